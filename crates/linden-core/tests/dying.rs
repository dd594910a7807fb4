//! What the code of a dying process may do: the drops of its state, of its unread mail, and of what it left with the core.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use futures_util::FutureExt;
use linden_core::{
    Address, Cx, Message, Node, Pid, Reason, Reply, current_process, spawn_link, unlink,
};
use puppet::Puppet;
use stage::{Journal, SEEDS, at_rest, check, eventually, inside, on_node, watch};

#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/stage.rs"]
mod stage;

/// Does something when it is dropped: as state, or as a message that nobody reads.
struct AtDrop(Option<Box<dyn FnOnce() + Send>>);

impl AtDrop {
    fn new(deed: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(deed)))
    }
}

impl Drop for AtDrop {
    fn drop(&mut self) {
        if let Some(deed) = self.0.take() {
            deed();
        }
    }
}

impl Message for AtDrop {}

/// Where the code of a dying process runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    State,
    UnreadMail,
}

const PLACES: [Place; 2] = [Place::State, Place::UnreadMail];

/// Kills a process that runs `deed` in its drops, and waits until it has run.
async fn die_and_do(node: &Node, place: Place, deed: impl FnOnce() + Send + 'static) -> Pid {
    let done: Journal<()> = Journal::new();
    let says = done.clone();
    let mut deed = Some(AtDrop::new(move || {
        deed();
        says.write(());
    }));
    let state = deed.take_if(|_| place == Place::State);
    let process: Address<AtDrop> = node.spawn(|_: Cx<AtDrop>| async move {
        let _state = state;
        std::future::pending::<()>().await;
    });
    if let Some(message) = deed {
        process.send(message).unwrap_or_else(|_| panic!("it lives"));
    }
    at_rest(node, process.pid()).await;
    node.exit(process.pid(), Reason::Kill);
    eventually(|| !done.entries().is_empty()).await;
    process.pid()
}

// proves: LINK-06
#[test]
fn a_child_that_a_dying_process_spawns_linked_ends_for_that() {
    // One worker, so that the child runs when the drop is over and is monitored from its birth.
    on_node(1, |node| async move {
        for (place, expected) in PLACES.into_iter().zip([Reason::Killed, Reason::NoProc]) {
            let (tell, heard) = std::sync::mpsc::channel();
            let at = node.clone();
            die_and_do(&node, place, move || {
                let child = spawn_link(|mut cx: Cx<()>| async move { drop(cx.recv().await) });
                tell.send(watch(&at, child.pid()).boxed()).unwrap();
            })
            .await;
            assert_eq!(heard.recv().unwrap().await, expected, "{place:?}");
        }
    });
}

// proves: LINK-02
#[test]
fn a_link_that_a_dying_process_takes_down_in_the_drop_of_its_state_is_down() {
    check(SEEDS, |node| async move {
        let other = Puppet::trapping(&node).await;
        let (pid, told) = (other.pid(), Journal::new());
        let says = told.clone();
        let process = node.spawn(move |mut cx: Cx<()>| async move {
            cx.link(pid);
            let _state = AtDrop::new(move || {
                unlink(pid);
                says.write(());
            });
            cx.recv().await;
        });
        node.process_info(process.pid()).await;
        let end = watch(&node, process.pid());
        node.exit(process.pid(), Reason::Kill);
        assert_eq!(end.await, Reason::Killed);
        assert_eq!(told.entries(), [()], "the unlink did not panic");
        assert_eq!(other.heard().await, []);
        assert_eq!(other.links().await, []);
    });
}

// proves: LINK-02
#[test]
fn an_unlink_in_the_drop_of_unread_mail_finds_no_link_any_more() {
    on_node(2, |node| async move {
        let (other, told) = (Puppet::trapping(&node).await, Journal::new());
        let (pid, says) = (other.pid(), told.clone());
        die_and_do(&node, Place::UnreadMail, move || {
            unlink(pid);
            says.write(current_process().is_some());
        })
        .await;
        assert_eq!(told.entries(), [true]);
        assert_eq!(other.links().await, []);
    });
}

struct Knock(#[expect(dead_code, reason = "goes with its message")] Reply<()>);
impl Message for Knock {}

// proves: DEATH-05, CALL-07
#[test]
fn a_call_made_in_the_drop_of_unread_mail_or_state_is_only_dropped() {
    on_node(2, |node| async move {
        let server = node.spawn(|mut cx: Cx<Knock>| async move { drop(cx.recv().await) });
        for place in PLACES {
            let at = server.clone();
            // More than one: the counts that a process takes in advance are touched each time.
            die_and_do(&node, place, move || (0..100).for_each(|_| drop(at.call(Knock)))).await;
        }
        assert!(server.is_alive(), "nothing was sent");
    });
}

/// A waker whose drop panics.
struct Brittle;

impl Wake for Brittle {
    fn wake(self: Arc<Self>) {
        std::mem::forget(self);
    }
}

impl Drop for Brittle {
    fn drop(&mut self) {
        panic!("brittle");
    }
}

// proves: EXIT-03, RCV-05
#[test]
fn a_panic_in_the_drop_of_a_waker_that_a_receive_left_does_not_hurt_the_worker() {
    on_node(1, |node| async move {
        let process = node.spawn(|mut cx: Cx<()>| async move {
            {
                let waker = Waker::from(Arc::new(Brittle));
                let mut recv = pin!(cx.recv());
                assert!(recv.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
            std::future::pending::<()>().await;
        });
        at_rest(&node, process.pid()).await;
        let end = watch(&node, process.pid());
        node.exit(process.pid(), Reason::Kill);
        assert_eq!(end.await, Reason::Killed);
        inside(&node, |_: Cx<()>| async {}).await;
    });
}

// proves: EXIT-03, DEATH-05
#[test]
fn panics_in_the_drops_of_a_dead_process_are_counted() {
    on_node(2, |node| async move {
        for (place, count) in PLACES.into_iter().zip(1..) {
            let process = node.spawn(move |_: Cx<AtDrop>| async move {
                let bomb = || panic!("dropped");
                let _state = (place == Place::State).then(|| AtDrop::new(bomb));
                std::future::pending::<()>().await;
            });
            if place == Place::UnreadMail {
                let bomb = AtDrop::new(|| panic!("dropped"));
                process.send(bomb).unwrap_or_else(|_| panic!("it lives"));
            }
            at_rest(&node, process.pid()).await;
            let end = watch(&node, process.pid());
            node.exit(process.pid(), Reason::Kill);
            assert_eq!(end.await, Reason::Killed, "a panic does not change the end");
            eventually(|| node.dead_letters().drop_panics == count).await;
        }
    });
}
