//! Starting and stopping nodes: who is told in which order, who is killed, what becomes of calls, what is refused.
//!
//! That nothing is left behind is counted in `lifecycle_counts.rs`; that an idle node rests is measured in
//! `lifecycle_idle.rs`: both look at the whole OS process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use linden_core::{
    Address, CallError, Cx, Info, Mail, Node, NodeOptions, NodeStartError, Reason, Reply,
    SendError, StopReport, block_on, yield_now,
};
use stage::{HANGS_AFTER, Journal, Running, end_of, inside, quiet, watch};
use teller::{Ask, teller};

#[path = "support/stage.rs"]
mod stage;
#[path = "support/teller.rs"]
mod teller;

/// A grace that no test uses up.
const GRACE: Duration = HANGS_AFTER;

/// Waits until it is told to end; says first that it traps exits.
async fn wait_until_told(cx: &mut Cx<()>, ready: Reply<()>) -> Reason {
    cx.trap_exit(true);
    ready.send(());
    loop {
        match cx.recv().await {
            Mail::Info(Info::Exit { from, reason }) if cx.is_told_by(from) => return reason,
            _ => {}
        }
    }
}

/// Spawns a process and waits until it has answered the place that it was given.
async fn spawn_ready<F>(node: &Node, body: impl FnOnce(Cx<()>, Reply<()>) -> F) -> Address<()>
where
    F: Future<Output = Reason> + Send + 'static,
{
    let (reply, ready) = linden_core::reply_channel();
    let process = node.spawn(move |cx| body(cx, reply));
    ready.await.unwrap();
    process
}

/// A process that traps exits and does not end when told.
async fn stubborn(node: &Node) -> Address<()> {
    spawn_ready(node, |mut cx, ready| async move {
        wait_until_told(&mut cx, ready).await;
        pending().await
    })
    .await
}

/// Makes a future begin, so that what it sends is under way.
fn begun<'a, T: Send + 'a>(future: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
    let mut future = future.boxed();
    let first = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    match first {
        Poll::Ready(output) => std::future::ready(output).boxed(),
        Poll::Pending => future,
    }
}

fn is_clean(report: &StopReport) -> bool {
    report.killed.is_empty() && report.zombies.is_empty()
}

// ---- Stopping

// proves: NODE-21
#[test]
fn every_process_ends_with_shutdown_and_its_watchers_hear_it() {
    let node = Running::start(2);
    let reasons: Journal<Reason> = Journal::new();
    let server = teller(&node);
    let (watched, ends) = node.run(async {
        let mut watched = vec![server.pid()];
        for _ in 0..8 {
            let server = server.clone();
            watched.push(node.spawn(|mut cx: Cx<()>| async move { drop(cx.recv().await) }).pid());
            watched.push(
                node.spawn(|_: Cx<()>| async { tokio::time::sleep(GRACE * 1_000).await }).pid(),
            );
            watched.push(
                node.spawn(|_: Cx<()>| async {
                    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
                    drop(socket.recv(&mut [0; 8]).await);
                })
                .pid(),
            );
            watched.push(
                node.spawn(|mut cx: Cx<()>| async move {
                    drop(server.call(Ask::Keep).await);
                    drop(cx.recv().await);
                })
                .pid(),
            );
            watched.push(
                spawn_ready(
                    &node,
                    |mut cx, ready| async move { wait_until_told(&mut cx, ready).await },
                )
                .await
                .pid(),
            );
        }
        let ends: Vec<_> = watched.iter().map(|pid| watch(&node, *pid)).collect();
        let (heard, of) = (reasons.clone(), watched.clone());
        spawn_ready(&node, |mut cx, ready| async move {
            cx.trap_exit(true);
            for pid in &of {
                cx.monitor(*pid);
            }
            // Read by those that it monitors before a stop that begins later.
            ready.send(());
            let mut left = of.len();
            while left > 0 {
                if let Mail::Info(Info::Down { reason, .. }) = cx.recv().await {
                    heard.write(reason);
                    left -= 1;
                }
            }
            Reason::Shutdown
        })
        .await;
        (watched, ends)
    });
    let report = node.stop();
    assert!(is_clean(&report), "{report:?}");
    assert_eq!(block_on(join_all(ends)), vec![Reason::Shutdown; watched.len()]);
    assert_eq!(reasons.entries(), vec![Reason::Shutdown; watched.len()]);
    assert_eq!(node.process_count(), 0);
    assert!(node.processes().is_empty());
}

// proves: NODE-22
#[test]
fn parents_are_told_before_the_children_that_they_do_not_stop() {
    let node = Running::start(2);
    let journal = Journal::new();
    let (parents, children) = (journal.clone(), journal.clone());
    let linked = node.run(async {
        let (tell, linked) = tokio::sync::oneshot::channel();
        spawn_ready(&node, |mut cx, ready| async move {
            let (reply, child_ready) = linden_core::reply_channel();
            cx.spawn(|mut cx: Cx<()>| async move {
                let reason = wait_until_told(&mut cx, reply).await;
                children.write("child told");
                reason
            });
            child_ready.await.unwrap();
            let linked = cx.spawn_link(|mut cx: Cx<()>| async move { drop(cx.recv().await) });
            tell.send(linked.pid()).unwrap();
            let reason = wait_until_told(&mut cx, ready).await;
            parents.write("parent told");
            for _ in 0..2_000 {
                yield_now().await;
            }
            assert!(linked.is_alive());
            parents.write("parent ends");
            reason
        })
        .await;
        linked.await.unwrap()
    });
    let linked = watch(&node, linked);
    let report = node.stop();
    assert!(is_clean(&report), "{report:?}");
    assert_eq!(journal.entries(), ["parent told", "parent ends", "child told"]);
    assert_eq!(block_on(linked), Reason::Shutdown, "a linked child goes with its parent");
}

// proves: NODE-23
#[test]
fn a_process_that_ignores_shutdown_is_killed_after_the_grace_and_listed() {
    let node = Running::start(2);
    let (process, end) = node.run(async {
        node.spawn(|mut cx: Cx<()>| async move { drop(cx.recv().await) });
        let process = stubborn(&node).await.pid();
        (process, watch(&node, process))
    });
    let grace = Duration::from_millis(30);
    let start = std::time::Instant::now();
    let report = Node::stop(&node, grace);
    assert!(start.elapsed() >= grace);
    assert_eq!((report.killed, report.zombies), (vec![process], vec![]));
    assert_eq!(block_on(end), Reason::Killed);
}

/// Says that it was dropped, and panics.
struct Bomb(Journal<()>);

impl linden_core::Message for Bomb {}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.write(());
        panic!("dropped");
    }
}

// proves: EXIT-03, NODE-27
#[test]
fn a_stop_drops_the_messages_of_armed_timers_whatever_their_drops_do() {
    let node = Running::start(2);
    let dropped: Journal<()> = Journal::new();
    let messages = dropped.clone();
    node.run(inside(&node, |cx: Cx<Bomb>| async move {
        for delay in [GRACE, 1_000 * GRACE, Duration::MAX] {
            cx.send_after(&cx.address(), delay, Bomb(messages.clone()));
        }
    }));
    let task = node.runtime().spawn(pending::<()>());
    assert!(is_clean(&node.stop()));
    assert_eq!((dropped.entries().len(), node.timer_count()), (3, 0));
    assert!(block_on(task).is_err_and(|error| error.is_cancelled()), "the runtime has ended");
}

/// Panics when the node lets go of it; looks at the node before.
struct Clinging(Node);

impl linden_core::Transport for Clinging {
    fn send(
        &self,
        _: linden_core::NodeId,
        packet: linden_core::Packet,
    ) -> Result<(), linden_core::Packet> {
        Err(packet)
    }
}

impl Drop for Clinging {
    fn drop(&mut self) {
        // Asks for the transport, for the process is one of another node.
        let elsewhere = Node::start(NodeOptions { workers: 1, ..quiet() }).unwrap();
        self.0.exit(linden_core::Pid::outside(elsewhere.id()), Reason::Kill);
        elsewhere.stop(Duration::ZERO);
        if !std::thread::panicking() {
            panic!("let go");
        }
    }
}

// proves: EXIT-03
#[test]
fn a_transport_is_dropped_outside_of_the_nodes_locks_and_its_panic_hurts_nobody() {
    let node = Running::start(1);
    for _ in 0..2 {
        node.set_transport(Arc::new(Clinging((*node).clone())));
    }
    assert!(is_clean(&node.stop()));
}

// proves: NODE-21
#[test]
fn a_grace_of_any_length_is_taken() {
    let node = Running::start(1);
    let process = node.spawn(|mut cx: Cx<()>| async move { drop(cx.recv().await) });
    let end = watch(&node, process.pid());
    assert!(is_clean(&Node::stop(&node, Duration::MAX)));
    assert_eq!(block_on(end), Reason::Shutdown);
}

// proves: NODE-24
#[test]
fn a_process_that_never_awaits_is_reported_as_a_zombie_and_holds_the_stop_up_no_longer() {
    struct Gone(mpsc::Sender<()>);
    impl Drop for Gone {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let node = Running::start(2);
    let may_end = Arc::new(AtomicBool::new(false));
    let stuck_until = may_end.clone();
    let (gone, is_gone) = mpsc::channel();
    let zombie = node.run(async {
        spawn_ready(&node, |_, ready| async move {
            let _gone = Gone(gone);
            ready.send(());
            while !stuck_until.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            pending().await
        })
        .await
        .pid()
    });
    let report = Node::stop(&node, Duration::from_millis(10));
    assert_eq!((report.killed, report.zombies), (vec![zombie], vec![zombie]));
    may_end.store(true, Ordering::Relaxed);
    is_gone.recv_timeout(HANGS_AFTER).expect("the kill is acted on when the process lets go");
}

// proves: NODE-25
#[test]
fn a_stopped_node_gives_dead_addresses() {
    let node = Running::start(1);
    let old = teller(&node);
    node.stop();
    for process in [old, teller(&node)] {
        assert!(!process.is_alive());
        assert!(matches!(process.send(Ask::Release(1)), Err(SendError::NoProc(Ask::Release(1)))));
        assert_eq!(node.block_on(process.call(Ask::Count)), Err(CallError::NoProc));
        assert_eq!(node.block_on(node.wait_exit(process.pid())), Reason::NoProc);
        assert!(!node.is_alive(process.pid()));
    }
    assert_eq!(node.process_count(), 0);
    assert_eq!(node.stop(), StopReport::default());
}

// proves: NODE-26
#[test]
fn of_two_stops_at_once_one_stops_and_both_wait_for_it() {
    for _ in 0..10 {
        let node = Running::start(2);
        let process = node.run(stubborn(&node)).pid();
        let reports = std::thread::scope(|scope| {
            let stop = || {
                let report = Node::stop(&node, Duration::from_millis(5));
                assert_eq!(node.process_count(), 0);
                report
            };
            [scope.spawn(stop), scope.spawn(stop)].map(|stopping| stopping.join().unwrap())
        });
        let killed: Vec<_> = reports.iter().flat_map(|report| report.killed.clone()).collect();
        assert_eq!(killed, [process]);
    }
}

// proves: NODE-27
#[test]
fn a_stop_answers_every_call_that_is_under_way() {
    let node = Running::start(2);
    let keeper = teller(&node);
    let heard: Journal<Result<u64, CallError>> = Journal::new();
    let kept: Vec<_> = (0..50).map(|_| begun(keeper.call(Ask::Keep).no_timeout())).collect();
    for _ in 0..50 {
        let (keeper, heard) = (keeper.clone(), heard.clone());
        node.run(spawn_ready(&node, |cx, ready| async move {
            cx.trap_exit(true);
            let call = begun(async move { keeper.call(Ask::Keep).no_timeout().await });
            ready.send(());
            heard.write(call.await);
            Reason::Shutdown
        }));
    }
    assert!(is_clean(&node.stop()));
    let expected = vec![Err(CallError::Exited(Reason::Shutdown)); 50];
    assert_eq!(block_on(join_all(kept)), expected);
    assert_eq!(heard.entries(), expected);
}

// proves: NODE-27
#[test]
fn callers_that_never_let_up_hear_an_error_when_the_node_stops() {
    let node = Running::start(2);
    let server = teller(&node);
    std::thread::scope(|scope| {
        let (tell, answered) = mpsc::channel();
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (server, node, tell) = (server.clone(), node.clone(), tell.clone());
                scope.spawn(move || {
                    loop {
                        let call = server.call(|reply| Ask::Echo(7, reply)).no_timeout();
                        match node.block_on(call) {
                            Ok(number) => assert_eq!(number, 7),
                            Err(error) => return error,
                        }
                        let _ = tell.send(());
                    }
                })
            })
            .collect();
        for _ in 0..100 {
            answered.recv_timeout(HANGS_AFTER).unwrap();
        }
        drop(answered);
        assert!(is_clean(&node.stop()));
        for caller in callers {
            let error = caller.join().unwrap();
            let expected = [CallError::NoProc, CallError::Exited(Reason::Shutdown)];
            assert!(expected.contains(&error), "{error:?}");
        }
    });
}

// ---- What is refused

fn panic_message(reason: Reason) -> String {
    match reason {
        Reason::Panic(info) => info.message.clone(),
        other => panic!("not a panic: {other}"),
    }
}

// proves: NODE-28
#[test]
fn stop_and_block_on_inside_a_process_panic_and_say_what_to_do() {
    let node = Running::start(2);
    let (stopping, blocking) = (node.clone(), node.clone());
    node.run(async {
        let reason = end_of::<(), _, _>(&node, move |_| async move {
            stopping.stop(Duration::ZERO);
        })
        .await;
        let message = panic_message(reason);
        assert!(message.contains("stop it from outside of processes"), "{message}");
        let reason = end_of::<(), _, _>(&node, move |_| async move {
            blocking.block_on(async {});
        })
        .await;
        let message = panic_message(reason);
        assert!(message.contains("await the future"), "{message}");
        assert_eq!(inside(&node, |_: Cx<()>| async { 42 }).await, 42, "the node goes on");
    });
    assert!(is_clean(&node.stop()));
}

// proves: NODE-29
#[test]
fn options_out_of_bounds_are_errors_that_name_the_option() {
    let bad = [
        ("workers", NodeOptions { workers: 0, ..quiet() }),
        ("workers", NodeOptions { workers: 1_025, ..quiet() }),
        ("blocking_threads_max", NodeOptions { blocking_threads_max: 0, ..quiet() }),
        ("name", NodeOptions { name: String::new(), ..quiet() }),
        ("name", NodeOptions { name: "n".repeat(256), ..quiet() }),
    ];
    for (expected, options) in bad {
        let error = Node::start(options).expect_err("the option is bad");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(
            matches!(&error, NodeStartError::Option { option, .. } if *option == expected),
            "{error:?}"
        );
    }
}
