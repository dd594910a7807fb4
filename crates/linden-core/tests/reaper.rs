//! Processes that are killed while their code does not give its worker back: dead for all others at once, remains dropped when
//! the code returns.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use linden_core::{
    Address, CallError, Cx, ExitEvent, ExitListener, Info, Mail, Message, Node, NodeOptions, Pid,
    Reason, Reply,
};

/// Lets the code of a process return, also when the test fails.
#[derive(Clone, Default)]
struct Leash(Arc<AtomicBool>);

impl Leash {
    fn let_end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_off(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct AtEnd(Leash);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.let_end();
    }
}

/// Says when it is dropped.
struct Remains(Sender<&'static str>);

impl Drop for Remains {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

enum Ask {
    Run,
    Answer(Reply<()>),
}

impl Message for Ask {}

/// How the code of a process keeps its worker.
#[derive(Clone, Copy, Debug)]
enum Hold {
    Compute,
    Block,
}

struct Zombies(Mutex<Sender<(Pid, Reason)>>);

impl ExitListener for Zombies {
    fn process_exited(&self, event: &ExitEvent<'_>) {
        if event.is_zombie {
            let told = (event.pid, event.reason.clone());
            let _ = self.0.lock().expect("nobody panics with it").send(told);
        }
    }
}

struct Scene {
    node: Node,
    leash: Leash,
    dropped: Receiver<&'static str>,
    begun: Receiver<()>,
    told: Receiver<(Pid, Reason)>,
    victim: Address<Ask>,
}

/// A node with a process that waits for its order to hold its worker.
fn scene(hold: Hold) -> Scene {
    let (tells, told) = channel();
    let options = NodeOptions {
        workers: 2,
        exit_listener: Some(Arc::new(Zombies(Mutex::new(tells)))),
        ..NodeOptions::default()
    };
    let node = Node::start(options).expect("the system gives threads");
    let leash = Leash::default();
    let (drops, dropped) = channel();
    let (begins, begun) = channel();
    let off = leash.clone();
    let victim = node.spawn(move |mut cx: Cx<Ask>| async move {
        let _remains = Remains(drops);
        let mut counted = 0;
        while counted < u32::MAX {
            counted += 1;
            match cx.recv().await {
                Mail::Msg(Ask::Run) => {
                    let _ = begins.send(());
                    while !off.is_off() {
                        match hold {
                            Hold::Compute => std::hint::spin_loop(),
                            Hold::Block => std::thread::sleep(Duration::from_millis(1)),
                        }
                    }
                }
                Mail::Msg(Ask::Answer(reply)) => drop(reply.send(())),
                Mail::Info(_) => {}
            }
        }
    });
    Scene { node, leash, dropped, begun, told, victim }
}

fn await_no_zombie(node: &Node) {
    while node.fairness().zombies > 0 {
        std::thread::yield_now();
    }
}

// proves: FAIR-07
#[test]
fn a_killed_runaway_is_dead_for_all_others_while_its_code_goes_on() {
    for hold in [Hold::Compute, Hold::Block] {
        let Scene { node, leash, dropped, begun, told, victim } = scene(hold);
        let _at_end = AtEnd(leash.clone());
        let pid = victim.pid();
        node.register("victim", pid).expect("the name is free");
        let (news, hears) = channel();
        let (ties, tied) = channel();
        node.spawn(move |mut cx: Cx<()>| async move {
            cx.trap_exit(true);
            cx.link(pid);
            cx.monitor(pid);
            let _ = ties.send(());
            while let Mail::Info(info) = cx.recv().await {
                let _ = news.send(info);
            }
        });
        tied.recv().expect("it has linked itself");
        victim.send(Ask::Run).expect("it lives");
        begun.recv().expect("it runs");
        // What comes now is not read by the victim any more.
        let asked = victim.clone();
        let (answers, answer) = channel();
        node.spawn(move |_: Cx<()>| async move {
            let _ = answers.send(asked.call(Ask::Answer).await);
        });
        node.exit(pid, Reason::Kill);
        let mut heard: Vec<Info> = (0..2).map(|_| hears.recv().expect("it hears")).collect();
        heard.sort_by_key(|info| matches!(info, Info::Down { .. }));
        assert!(
            matches!(&heard[0], Info::Exit { from, reason: Reason::Killed } if *from == pid),
            "{heard:?}"
        );
        assert!(
            matches!(&heard[1], Info::Down { pid: of, reason: Reason::Killed, .. } if *of == pid),
            "{heard:?}"
        );
        // The call came before the kill was acted on, or after.
        let answered = answer.recv().expect("it is answered");
        assert!(
            matches!(answered, Err(CallError::Exited(Reason::Killed) | CallError::NoProc)),
            "{answered:?}"
        );
        assert!(!node.is_alive(pid) && node.process(pid).is_none());
        assert_eq!(node.whereis("victim"), None);
        assert!(victim.send(Ask::Run).is_err());
        assert_eq!(node.block_on(node.wait_exit(pid)), Reason::NoProc);
        assert_eq!(told.recv().expect("the listener is told"), (pid, Reason::Killed));
        let successor = node.spawn(|mut cx: Cx<()>| async move { drop(cx.recv().await) });
        node.register("victim", successor.pid()).expect("the name is free again");
        assert_eq!((node.fairness().zombies, node.zombies()), (1, vec![pid]));
        assert!(dropped.try_recv().is_err(), "its state is there as long as its code runs");
        leash.let_end();
        // It goes back to its receive.
        assert_eq!(dropped.recv().expect("its state goes with its code"), "dropped");
        await_no_zombie(&node);

        assert_eq!(
            node.whereis("victim"),
            Some(successor.pid()),
            "the end of the code took nothing more"
        );
        let report = node.stop(Duration::from_secs(1));
        assert!(report.zombies.is_empty(), "{report:?}");
    }
}

// proves: FAIR-07
#[test]
fn what_waits_in_the_mailbox_of_a_killed_runaway_is_answered_at_once() {
    let Scene { node, leash, begun, victim, .. } = scene(Hold::Compute);
    let _at_end = AtEnd(leash.clone());
    victim.send(Ask::Run).expect("it lives");
    begun.recv().expect("it runs");
    let (answers, answered) = channel();
    let (asks, asked) = channel();
    for _ in 0..100 {
        let (victim, answers, asks) = (victim.clone(), answers.clone(), asks.clone());
        node.spawn(move |_: Cx<()>| async move {
            let mut call = Box::pin(victim.call(Ask::Answer));
            let first =
                std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx))).await;
            let _ = asks.send(first.is_pending());
            let _ = answers.send(call.await);
        });
    }
    assert!((0..100).all(|_| asked.recv().expect("it is sent")));
    let before = node.dead_letters();
    node.exit(victim.pid(), Reason::Kill);
    for _ in 0..100 {
        assert_eq!(
            answered.recv().expect("it is answered"),
            Err(CallError::Exited(Reason::Killed))
        );
    }
    let after = node.dead_letters();
    assert_eq!(after.unread - before.unread, 100, "{after:?}");
    leash.let_end();
    await_no_zombie(&node);
    node.stop(Duration::from_secs(1));
}

// proves: FAIR-07
#[test]
fn a_runaway_that_uses_its_cx_after_it_was_killed_is_ended_by_that() {
    let (begins, begun) = channel();
    let (drops, dropped) = channel();
    let options = NodeOptions {
        panic_output: linden_core::PanicOutput::CrashReportOnly,
        ..NodeOptions::default()
    };
    let node = Node::start(options).expect("the system gives threads");
    let runaway = node.spawn(move |cx: Cx<()>| async move {
        let _remains = Remains(drops);
        let _ = begins.send(());
        while !cx.info().trap_exit {}
    });
    begun.recv().expect("it runs");
    node.exit(runaway.pid(), Reason::Kill);
    assert_eq!(dropped.recv().expect("it ends"), "dropped");
    await_no_zombie(&node);
    assert!(node.stop(Duration::from_secs(1)).zombies.is_empty());
}

// proves: FAIR-07
#[test]
fn kills_race_with_ends_and_each_process_ends_once() {
    let node = Node::start(NodeOptions::default()).expect("the system gives threads");
    for round in 0..100_u64 {
        let ends = Leash::default();
        let off = ends.clone();
        let (begins, begun) = channel();
        let victim = node.spawn(move |_: Cx<()>| async move {
            let _ = begins.send(());
            while !off.is_off() {
                std::hint::spin_loop();
            }
        });
        let pid = victim.pid();
        let (news, hears) = channel();
        let (sets, set) = channel();
        node.spawn(move |mut cx: Cx<()>| async move {
            cx.monitor(pid);
            let _ = sets.send(());
            while let Mail::Info(info) = cx.recv().await {
                let _ = news.send(info);
            }
        });
        begun.recv().expect("it runs");
        set.recv().expect("it monitors");
        node.exit(pid, Reason::Kill);
        // Ended before, while and after the reaper comes.
        std::thread::sleep(Duration::from_micros(round * 200));
        ends.let_end();
        // One that ends by itself has not read that it is monitored.
        assert!(matches!(
            hears.recv().expect("it hears"),
            Info::Down { reason: Reason::Killed | Reason::NoProc, .. }
        ));
        await_no_zombie(&node);
        assert!(hears.try_recv().is_err(), "it is told once");
        assert!(!node.is_alive(pid));
    }
    let report = node.stop(Duration::from_secs(1));
    assert!(report.zombies.is_empty(), "{report:?}");
}
