//! Traces: that they travel with messages, to children, over transports, and end where others begin.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use linden_core::{
    Address, Cx, ExitEvent, ExitListener, Mail, Message, Node, NodeOptions, Reason, Reply,
    TraceContext, current_process, current_trace, set_trace, spawn, spawn_link,
};
use puppet::Puppet;
use stage::simulated;

#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/stage.rs"]
mod stage;

const FIRST: TraceContext = TraceContext { trace_id: [1; 16], parent_id: [2; 8], flags: 1 };
const SECOND: TraceContext = TraceContext { trace_id: [3; 16], parent_id: [4; 8], flags: 0 };

/// Asks for the trace that the request came in.
struct Ask(Reply<Option<TraceContext>>);

impl Message for Ask {}

async fn tell(mut cx: Cx<Ask>) {
    while let Mail::Msg(Ask(reply)) = cx.recv().await {
        reply.send(current_trace());
    }
}

/// A process that asks another in turn.
async fn pass_on(mut cx: Cx<Ask>, to: Address<Ask>) {
    while let Mail::Msg(Ask(reply)) = cx.recv().await {
        reply.send(to.call(Ask).await.expect("it lives"));
    }
}

// proves: TRACE-01
#[test]
fn a_trace_travels_with_calls_through_several_processes() {
    simulated(1, |node| async move {
        let last = node.spawn(tell);
        let middle = node.spawn(move |cx| pass_on(cx, last));
        let puppet = Puppet::spawn(&node);
        for trace in [Some(FIRST), None, Some(SECOND), Some(FIRST)] {
            let (reply, heard) = linden_core::reply_channel();
            let middle = middle.clone();
            puppet.cast(move |_| {
                assert_eq!(set_trace(trace), None);
                middle.send(Ask(reply)).expect("it lives");
            });
            assert_eq!(heard.await, Ok(trace));
        }
    });
}

// proves: TRACE-01
#[test]
fn a_message_without_a_trace_ends_the_one_before() {
    simulated(1, |node| async move {
        let puppet = Puppet::spawn(&node);
        let set = puppet
            .run(|_| (set_trace(Some(FIRST)), current_trace(), set_trace(Some(SECOND))))
            .await;
        assert_eq!(set, (None, Some(FIRST), Some(FIRST)));
        assert_eq!(puppet.run(|_| current_trace()).await, None);
        // News, too.
        let info = puppet.run(|cx| {
            set_trace(Some(FIRST));
            cx.start_timer(Duration::ZERO);
        });
        info.await;
        puppet.hear().await;
        assert_eq!(puppet.run(|_| current_trace()).await, None);
    });
}

// proves: TRACE-01
#[test]
fn a_selective_receive_takes_the_trace_of_what_it_takes() {
    simulated(1, |node| async move {
        let (done, ended) = linden_core::reply_channel();
        let picky = node.spawn(async move |mut cx: Cx<u64>| {
            let mut heard = Vec::new();
            for wanted in [2, 1, 3] {
                cx.recv_match(
                    |mail| matches!(mail, linden_core::MailRef::Msg(number) if *number == wanted),
                )
                .await;
                heard.push(current_trace());
            }
            done.send(heard);
        });
        let puppet = Puppet::spawn(&node);
        puppet.cast(move |_| {
            for (number, trace) in [(1, Some(FIRST)), (2, Some(SECOND)), (3, None)] {
                set_trace(trace);
                picky.send(number).expect("it lives");
            }
        });
        assert_eq!(ended.await, Ok(vec![Some(SECOND), Some(FIRST), None]));
    });
}

// proves: TRACE-01
#[test]
fn a_message_sent_later_keeps_the_trace_of_its_order() {
    simulated(1, |node| async move {
        let teller = node.spawn(tell);
        let puppet = Puppet::spawn(&node);
        let (reply, heard) = linden_core::reply_channel();
        puppet.cast(move |cx| {
            set_trace(Some(FIRST));
            cx.send_after(&teller, Duration::from_secs(1), Ask(reply));
        });
        assert_eq!(heard.await, Ok(Some(FIRST)));
    });
}

// proves: TRACE-02
#[test]
fn children_are_born_into_the_trace_of_their_parent() {
    simulated(1, |node| async move {
        let puppet = Puppet::spawn(&node);
        let (plain, heard_plain) = linden_core::reply_channel();
        let (linked, heard_linked) = linden_core::reply_channel();
        let (later, heard_later) = linden_core::reply_channel();
        puppet.cast(move |_| {
            set_trace(Some(FIRST));
            spawn(async move |_: Cx<()>| {
                plain.send(current_trace());
            });
            spawn_link(async move |_: Cx<()>| {
                linked.send(current_trace());
            });
            set_trace(None);
            spawn(async move |_: Cx<()>| {
                later.send(current_trace());
            });
        });
        assert_eq!(heard_plain.await, Ok(Some(FIRST)));
        assert_eq!(heard_linked.await, Ok(Some(FIRST)));
        assert_eq!(heard_later.await, Ok(None));
    });
}

#[test]
fn outside_of_processes_there_is_no_trace() {
    assert_eq!(set_trace(Some(FIRST)), None);
    assert_eq!(current_trace(), None);
}

#[test]
fn a_message_that_comes_back_is_whole() {
    simulated(1, |node| async move {
        let dead = node.spawn(async |_: Cx<String>| {});
        let puppet = Puppet::spawn(&node);
        puppet.run(|_| ()).await;
        let back = puppet.run(move |_| {
            set_trace(Some(FIRST));
            dead.send("text".to_owned())
        });
        assert_eq!(back.await, Err(linden_core::SendError::NoProc("text".to_owned())));
    });
}

/// The trace of each report, and of the process as a log line would see it.
#[derive(Default)]
struct Ends(Mutex<Vec<[Option<TraceContext>; 2]>>);

impl ExitListener for Ends {
    fn process_exited(&self, event: &ExitEvent<'_>) {
        let seen = current_process().and_then(|process| process.trace);
        self.0.lock().expect("nobody panics").push([event.trace, seen]);
    }
}

// proves: TRACE-03
#[test]
fn a_crash_tells_the_trace_of_the_message_that_it_came_from() {
    let ends = Arc::new(Ends::default());
    let options = NodeOptions { exit_listener: Some(ends.clone()), ..NodeOptions::default() };
    let node = Node::start(options).expect("a node");
    let victim = node.spawn(async |mut cx: Cx<u64>| {
        cx.recv().await;
        Reason::error(&std::fmt::Error)
    });
    let watcher = Puppet::spawn(&node);
    let pid = victim.pid();
    node.block_on(async {
        watcher
            .run(move |cx| {
                cx.monitor(pid);
                set_trace(Some(SECOND));
                victim.send(1).expect("it lives");
            })
            .await;
        watcher.hear().await;
    });
    node.stop(Duration::from_secs(5));
    assert_eq!(ends.0.lock().expect("nobody panics").first(), Some(&[Some(SECOND); 2]));
}
