//! Processes that never give their worker back: others are served meanwhile, and it is known who they are.
//!
//! The proof is never a time: a loop ends only when the test lets it, and that is after others were served.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use linden_core::{
    Address, Cx, Mail, Message, Node, NodeOptions, Pid, Reason, Reply, Stall, StallEvent,
    StallListener,
};

const WORKERS: usize = 2;

/// What the tests let end.
#[derive(Clone, Default)]
struct Leash {
    is_off: Arc<AtomicBool>,
    /// Loops that have begun.
    begun: Arc<AtomicUsize>,
}

impl Leash {
    /// Computes until it is let end.
    fn run(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        while !self.is_off.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    }

    fn until_begun(&self, loops: usize) {
        while self.begun.load(Ordering::SeqCst) < loops {
            std::thread::yield_now();
        }
    }

    fn let_end(&self) {
        self.is_off.store(true, Ordering::Relaxed);
    }
}

/// Ends the loops also when the test fails.
impl Drop for Leash {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.let_end();
        }
    }
}

struct Told(Mutex<Sender<StallEvent>>);

impl StallListener for Told {
    fn stalled(&self, event: &StallEvent) {
        let _ = self.0.lock().expect("nobody panics with it").send(event.clone());
    }
}

fn node() -> (Node, std::sync::mpsc::Receiver<StallEvent>) {
    let (told, hears) = channel();
    let options = NodeOptions {
        workers: WORKERS,
        stall_listener: Some(Arc::new(Told(Mutex::new(told)))),
        ..NodeOptions::default()
    };
    (Node::start(options).expect("the system gives threads"), hears)
}

struct Ask(Reply<u32>);

impl Message for Ask {}

/// A server that counts its calls.
fn echo(node: &Node) -> Address<Ask> {
    node.spawn(|mut cx: Cx<Ask>| async move {
        let mut count = 0;
        while count < u32::MAX {
            if let Mail::Msg(Ask(reply)) = cx.recv().await {
                count += 1;
                reply.send(count);
            }
        }
    })
}

fn ask(node: &Node, echo: &Address<Ask>) -> u32 {
    node.block_on(async { echo.call(Ask).await.expect("it answers") })
}

/// Waits for a timer of the runtime: the reactor is served.
fn await_timer(node: &Node) {
    node.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
}

// proves: FAIR-01, FAIR-02, FAIR-05
#[test]
fn beside_more_endless_loops_than_workers_calls_and_timers_are_served_and_the_loops_are_named() {
    let (node, hears) = node();
    let echo = echo(&node);
    let leash = Leash::default();
    let loops: HashSet<Pid> = (0..2 * WORKERS)
        .map(|number| {
            let leash = leash.clone();
            let body = move |cx: Cx<()>| async move {
                cx.set_label(format!("loop {number}"));
                leash.run();
            };
            node.spawn(body).pid()
        })
        .collect();
    leash.until_begun(2 * WORKERS);
    assert_eq!(ask(&node, &echo), 1);
    await_timer(&node);
    let mut named = HashSet::new();
    while named.len() < loops.len() {
        let event = hears.recv().expect("the node lives");
        assert!(matches!(event.kind, Stall::Computes { .. }), "{event:?}");
        assert!(event.lasting >= Duration::from_millis(3), "{event:?}");
        assert!(
            event.label.as_deref().is_some_and(|label| label.starts_with("loop ")),
            "{event:?}"
        );
        named.insert(event.pid.expect("a process"));
    }
    assert_eq!(named, loops);
    let fairness = node.fairness();
    let hand_offs: u64 = node.worker_rows().iter().map(|row| row.hand_offs).sum();
    assert_eq!(hand_offs, fairness.retired);
    assert_eq!((fairness.retired, fairness.away, fairness.missing), (4, 4, 0), "{fairness:?}");
    assert_eq!(ask(&node, &echo), 2);
    leash.let_end();
    for pid in loops {
        node.block_on(node.wait_exit(pid));
    }
    while node.fairness().away > 0 {
        std::thread::yield_now();
    }
    assert_eq!(ask(&node, &echo), 3);
    assert_eq!(node.stop(Duration::from_secs(5)).zombies, []);
}

// proves: FAIR-03
#[test]
fn beside_processes_that_block_their_threads_others_are_served() {
    let (node, hears) = node();
    let echo = echo(&node);
    let (release, blocked) = (Arc::new(Mutex::new(())), Arc::new(AtomicUsize::new(0)));
    let held = release.lock().expect("nobody panics with it");
    let pids: Vec<Pid> = (0..WORKERS)
        .map(|_| {
            let (release, blocked) = (release.clone(), blocked.clone());
            let body = move |_: Cx<()>| async move {
                blocked.fetch_add(1, Ordering::SeqCst);
                drop(release.lock());
            };
            node.spawn(body).pid()
        })
        .collect();
    while blocked.load(Ordering::SeqCst) < WORKERS {
        std::thread::yield_now();
    }
    assert_eq!(ask(&node, &echo), 1);
    let event = hears.recv().expect("the node lives");
    assert_eq!(event.kind, Stall::Blocks);
    assert!(pids.contains(&event.pid.expect("a process")));
    drop(held);
    for pid in pids {
        node.block_on(node.wait_exit(pid));
    }
    assert_eq!(node.fairness().demoted, 0);
    node.stop(Duration::from_secs(5));
}

// proves: FAIR-04
#[test]
fn what_a_runaway_woke_or_sent_before_its_loop_is_not_stranded_with_it() {
    let (node, _hears) = node();
    let leash = Leash::default();
    let receivers: Vec<_> = (0..2 * WORKERS).map(|_| echo(&node)).collect();
    let (told, hears) = channel();
    for receiver in receivers {
        let (leash, told) = (leash.clone(), told.clone());
        node.spawn(move |_: Cx<()>| async move {
            let mut call = Box::pin(receiver.call(Ask));
            // The request is sent when the call is polled first.
            let polled = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(std::future::Future::poll(call.as_mut(), cx).is_ready())
            });
            assert!(!polled.await);
            leash.run();
            let _ = told.send(call.await.expect("it was answered meanwhile"));
        });
        // A call of its own each, so that the answer is known to have come while the loop ran.
    }
    leash.until_begun(2 * WORKERS);
    let echo = echo(&node);
    assert_eq!(ask(&node, &echo), 1);
    leash.let_end();
    for _ in 0..2 * WORKERS {
        assert_eq!(hears.recv(), Ok(1));
    }
    node.stop(Duration::from_secs(5));
}

/// Starts a process that computes without end somewhere, and says when it does.
type Runaway = fn(&Node, Leash);

struct RunsInDrop(Leash);

impl Drop for RunsInDrop {
    fn drop(&mut self) {
        self.0.run();
    }
}

struct Heavy(#[expect(dead_code, reason = "it is dropped")] RunsInDrop);

impl Message for Heavy {}

// proves: FAIR-01
#[test]
fn code_of_users_that_runs_without_end_anywhere_hinders_nobody() {
    let table: [(&str, Runaway); 4] = [
        ("the drop of a state", |node, leash| {
            node.spawn(|_: Cx<()>| async move { drop(RunsInDrop(leash)) });
        }),
        ("the drop of a message that is read", |node, leash| {
            let reader = node.spawn(|mut cx: Cx<Heavy>| async move { drop(cx.recv().await) });
            assert!(reader.send(Heavy(RunsInDrop(leash))).is_ok());
        }),
        ("the drop of unread mail at the end", |node, leash| {
            let owner =
                node.spawn(|_: Cx<Heavy>| async move { tokio::time::sleep(Duration::MAX).await });
            assert!(owner.send(Heavy(RunsInDrop(leash))).is_ok());
            node.exit(owner.pid(), Reason::Kill);
        }),
        ("the body that makes a future", |node, leash| {
            node.spawn(move |cx: Cx<()>| async move {
                let child = cx.spawn(move |_: Cx<()>| {
                    leash.run();
                    async {}
                });
                drop(child);
            });
        }),
    ];
    for (what, runaway) in table {
        let (node, hears) = node();
        let echo = echo(&node);
        let leash = Leash::default();
        for _ in 0..WORKERS {
            runaway(&node, leash.clone());
        }
        leash.until_begun(WORKERS);
        for _ in 0..WORKERS {
            hears.recv().expect(what);
        }
        assert_eq!(ask(&node, &echo), 1, "{what}");
        leash.let_end();
        node.stop(Duration::from_secs(5));
    }
}

// proves: FAIR-01
#[test]
fn processes_fed_by_a_channel_that_is_always_ready_hinder_nobody() {
    let (node, hears) = node();
    let echo = echo(&node);
    let leash = Leash::default();
    for _ in 0..2 * WORKERS {
        let leash = leash.clone();
        node.spawn(|_: Cx<()>| async move {
            // tokio's budget is for tasks of its own runtime: here a channel is ready as often as it has something.
            let (fills, mut channel) = tokio::sync::mpsc::unbounded_channel();
            leash.begun.fetch_add(1, Ordering::SeqCst);
            while !leash.is_off.load(Ordering::Relaxed) {
                fills.send(()).expect("it is open");
                channel.recv().await.expect("it is open");
            }
        });
    }
    leash.until_begun(2 * WORKERS);
    for _ in 0..2 * WORKERS {
        let event = hears.recv().expect("the node lives");
        assert!(matches!(event.kind, Stall::Computes { .. }), "{event:?}");
    }
    assert_eq!(ask(&node, &echo), 1);
    await_timer(&node);
    leash.let_end();
    node.stop(Duration::from_secs(5));
}

// proves: FAIR-06
#[test]
fn processes_that_chatter_without_end_hinder_nobody() {
    struct Ball;
    impl Message for Ball {}
    let (node, hears) = node();
    let stop = Arc::new(AtomicBool::new(false));
    // Each sends to itself, for ever.
    for _ in 0..2 * WORKERS {
        let stop = stop.clone();
        node.spawn(move |mut cx: Cx<Ball>| async move {
            let own = cx.address();
            let _ = own.send(Ball);
            while !stop.load(Ordering::Relaxed) {
                cx.recv().await;
                let _ = own.send(Ball);
            }
        });
    }
    let echo = echo(&node);
    for count in 1..=100 {
        assert_eq!(ask(&node, &echo), count);
    }
    stop.store(true, Ordering::Relaxed);
    assert!(hears.try_recv().is_err(), "nobody stood still");
    node.stop(Duration::from_secs(5));
}

/// Waits for the listener to be told of a task that holds the driver.
fn await_held(hears: &std::sync::mpsc::Receiver<StallEvent>) {
    let event = hears.recv().expect("the node lives");
    assert_eq!((event.pid, event.kind), (None, Stall::HoldsDriver), "{event:?}");
}

/// Spawned by a process, or from outside while every worker sleeps.
#[derive(Clone, Copy, Debug)]
enum From {
    Process,
    Outside,
}

// proves: FAIR-08
#[test]
fn beside_a_task_of_a_library_that_holds_the_driver_processes_and_their_timers_go_on() {
    for (from, blocks) in [
        (From::Process, false),
        (From::Process, true),
        (From::Outside, false),
        (From::Outside, true),
    ] {
        let (node, hears) = node();
        let echo = echo(&node);
        let leash = Leash::default();
        let of_task = leash.clone();
        let task = async move {
            if blocks {
                of_task.begun.fetch_add(1, Ordering::SeqCst);
                while !of_task.is_off.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            } else {
                of_task.run();
            }
        };
        match from {
            From::Outside => drop(node.runtime().spawn(task)),
            From::Process => {
                node.spawn(|_: Cx<()>| async move { drop(tokio::spawn(task)) });
            }
        }
        leash.until_begun(1);
        // Each of these wakes somebody, who may be the one that does not come back.
        for count in 1..=20 {
            assert_eq!(ask(&node, &echo), count, "{from:?} {blocks}");
        }
        await_held(&hears);
        for count in 21..=40 {
            assert_eq!(ask(&node, &echo), count, "{from:?} {blocks}");
        }
        // The node's own timers: of a process, and a call's.
        let (told, heard) = linden_core::reply_channel();
        node.spawn(|mut cx: Cx<()>| async move {
            cx.start_timer(Duration::from_millis(3));
            cx.recv().await;
            told.send(());
        });
        assert_eq!(node.block_on(heard), Ok(()));
        let never = node.spawn(|mut cx: Cx<Ask>| async move {
            let asked = cx.recv().await;
            cx.recv().await;
            drop(asked);
        });
        let (told, heard) = linden_core::reply_channel();
        node.spawn(move |_: Cx<()>| async move {
            told.send(never.call(Ask).timeout(Duration::from_millis(3)).await);
        });
        assert_eq!(node.block_on(heard), Ok(Err(linden_core::CallError::Timeout)));
        leash.let_end();
        // The runtime is served again.
        await_timer(&node);
        while node.fairness().away > 0 {
            std::thread::yield_now();
        }
        assert_eq!(ask(&node, &echo), 41);
        node.stop(Duration::from_secs(1));
    }
}

/// A message whose copies take long.
struct Copied(Leash);

impl Message for Copied {}

impl Clone for Copied {
    fn clone(&self) -> Self {
        self.0.run();
        Self(self.0.clone())
    }
}

// proves: FAIR-01
#[test]
fn a_repeated_message_whose_copy_computes_without_end_hinders_nobody() {
    let (node, hears) = node();
    let echo = echo(&node);
    let leash = Leash::default();
    let heavy = Copied(leash.clone());
    node.spawn(|mut cx: Cx<Copied>| async move {
        cx.send_interval(&cx.address(), Duration::from_millis(1), heavy);
        while let Mail::Msg(_) = cx.recv().await {}
    });
    leash.until_begun(1);
    for count in 1..=20 {
        assert_eq!(ask(&node, &echo), count);
    }
    await_timer(&node);
    let event = hears.recv().expect("the node lives");
    assert_eq!(event.pid, None, "{event:?}");
    assert!(matches!(event.kind, Stall::Computes { .. }), "{event:?}");
    leash.let_end();
    node.stop(Duration::from_secs(1));
}
