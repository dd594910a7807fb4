//! User code that panics wherever it can: one process ends, nobody else does, and every worker goes on.

use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::{Pin, pin};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use linden_core::{
    CallError, Cx, ExitEvent, ExitListener, IntoReason, Mail, MailRef, Message, Node, NodeOptions,
    Reason, Reply,
};
use stage::{Running, at_rest, boom, end_of, eventually, inside, quiet, watch};

#[path = "support/stage.rs"]
mod stage;

const WORKERS: usize = 2;
const TICK: Duration = Duration::from_millis(1);

/// Panics when it is dropped, unless something unwinds already (which would abort, as the documentation says).
#[derive(Debug)]
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("dropped");
        }
    }
}

impl Message for Grenade {}

/// Panics when it is cloned; shows that it was dropped by nothing.
struct Uncloned;

impl Clone for Uncloned {
    fn clone(&self) -> Self {
        panic!("cloned")
    }
}

impl Message for Uncloned {}

struct Ask(Reply<Grenade>);

impl Message for Ask {}

fn panicked(reason: &Reason, text: &str) -> bool {
    matches!(reason, Reason::Panic(info) if info.message == text)
}

type Scenario = Pin<Box<dyn Future<Output = ()>>>;

/// Runs a scenario several times on each worker's node; afterwards every worker must still take work.
fn survive(options: NodeOptions, scenario: impl Fn(Node) -> Scenario) {
    let running = Running::with_options(NodeOptions { workers: WORKERS, ..options });
    for _ in 0..8 {
        running.run(scenario(running.clone()));
    }
    running.run(every_worker_serves(&running));
    let report = running.stop();
    assert!(report.killed.is_empty(), "the node stops cleanly");
}

/// As many processes as workers wait for each other, each holding its worker.
async fn every_worker_serves(node: &Node) {
    let barrier = Arc::new(Barrier::new(WORKERS));
    let meetings = (0..WORKERS).map(|_| {
        let barrier = barrier.clone();
        end_of(node, move |_: Cx<()>| async move { _ = barrier.wait() })
    });
    for end in futures_util::future::join_all(meetings).await {
        assert_eq!(end, Reason::Normal);
    }
}

// proves: EXIT-02, EXIT-03
#[test]
fn a_panic_in_the_future_ends_that_process_alone() {
    survive(quiet(), |node| {
        Box::pin(async move {
            let bystander = node.spawn(|mut cx: Cx<()>| async move { drop(cx.recv().await) });
            let at_once = end_of(&node, |_: Cx<()>| async { boom() }).await;
            let later = end_of(&node, |_: Cx<()>| async {
                linden_core::yield_now().await;
                boom()
            });
            assert!(panicked(&at_once, "boom") && panicked(&later.await, "boom"));
            bystander.send(()).expect("it lives");
            node.wait_exit(bystander.pid()).await;
        })
    });
}

// proves: EXIT-03, DEATH-04
#[test]
fn a_panic_in_the_drop_of_a_killed_process_does_not_change_its_end() {
    survive(quiet(), |node| {
        Box::pin(async move {
            let process = node.spawn(|mut cx: Cx<()>| async move {
                cx.register("grenadier").expect("the name is free");
                let _state = (Grenade, Grenade);
                cx.recv().await;
            });
            at_rest(&node, process.pid()).await;
            let end = watch(&node, process.pid());
            node.exit(process.pid(), Reason::Kill);
            assert_eq!(end.await, Reason::Killed);
            assert_eq!(node.whereis("grenadier"), None);
        })
    });
}

// proves: EXIT-02
#[test]
fn a_panic_in_the_drop_of_a_process_that_returns_is_its_reason() {
    survive(quiet(), |node| {
        Box::pin(async move {
            let end = end_of(&node, |_: Cx<()>| async {
                let _state = Grenade;
                Reason::Normal
            });
            assert!(panicked(&end.await, "dropped"));
        })
    });
}

// proves: EXIT-03, DEATH-05
#[test]
fn a_panic_in_the_drop_of_unread_messages_leaves_none_undropped() {
    survive(quiet(), |node| {
        Box::pin(async move {
            let before = node.dead_letters().unread;
            let process = node.spawn(|mut cx: Cx<Grenade>| async move {
                // Some are taken from the mailbox and stay unread, others never are.
                cx.recv_match(|mail| matches!(mail, MailRef::Info(_))).await;
            });
            for _ in 0..3 {
                assert!(process.send(Grenade).is_ok());
            }
            at_rest(&node, process.pid()).await;
            let end = watch(&node, process.pid());
            node.exit(process.pid(), Reason::custom("over"));
            for _ in 0..2 {
                // The process may be gone already: then the message comes back.
                if let Err(linden_core::SendError::NoProc(back)) = process.send(Grenade) {
                    std::mem::forget(back);
                }
            }
            assert_eq!(end.await, Reason::custom("over"));
            eventually(|| node.dead_letters().unread >= before + 3).await;
        })
    });
}

// proves: EXIT-03
#[test]
fn a_panic_payload_that_panics_when_dropped_ends_its_process_alone() {
    survive(quiet(), |node| {
        Box::pin(async move {
            let end = end_of(&node, |_: Cx<()>| async {
                panic_any(Grenade);
                #[expect(unreachable_code, reason = "tells the type")]
                Reason::Normal
            });
            assert!(matches!(end.await, Reason::Panic(info) if info.message.contains("no text")));
        })
    });
}

struct Touchy;

impl ExitListener for Touchy {
    fn process_exited(&self, _: &ExitEvent<'_>) {
        panic_any(Grenade);
    }
}

// proves: EXIT-03, EXIT-05
#[test]
fn a_panic_in_the_exit_listener_is_dropped_and_others_hear_of_the_end() {
    let options = NodeOptions { exit_listener: Some(Arc::new(Touchy)), ..quiet() };
    survive(options, |node| {
        Box::pin(async move {
            let end = end_of(&node, |_: Cx<()>| async { Reason::custom("over") });
            assert_eq!(end.await, Reason::custom("over"));
        })
    });
}

struct TouchyWaker;

impl Wake for TouchyWaker {
    fn wake(self: Arc<Self>) {
        panic_any(Grenade);
    }
}

fn poll_with_touchy_waker<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(Arc::new(TouchyWaker))))
}

/// A caller in somebody else's executor, whose waker panics when the server answers.
// proves: EXIT-03
#[test]
fn a_panic_in_the_waker_of_a_caller_does_not_hurt_the_server() {
    survive(quiet(), |node| {
        Box::pin(async move {
            let server = node.spawn(|mut cx: Cx<Ask>| async move {
                let Mail::Msg(Ask(first)) = cx.recv().await else { panic!("a request") };
                let Mail::Msg(Ask(second)) = cx.recv().await else { panic!("a request") };
                first.send(Grenade);
                second.send(Grenade);
            });
            let mut call = pin!(server.call(Ask));
            assert!(poll_with_touchy_waker(call.as_mut()).is_pending());
            std::mem::forget(server.call(Ask).await.expect("the server goes on"));
            std::mem::forget(call.await.expect("the answer is there"));
        })
    });
}

/// Suspends the process until something wakes it.
async fn pending_once() {
    let mut suspended = false;
    poll_fn(|_| match std::mem::replace(&mut suspended, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// A combinator inside of a process, whose waker panics when mail comes.
// proves: EXIT-03, RCV-05
#[test]
fn a_panic_in_the_waker_of_a_receive_does_not_hurt_the_worker() {
    survive(quiet(), |node| {
        Box::pin(async move {
            let process = node.spawn(|mut cx: Cx<()>| async move {
                {
                    let mut recv = pin!(cx.recv());
                    assert!(poll_with_touchy_waker(recv.as_mut()).is_pending());
                }
                pending_once().await;
                cx.recv().await;
                Reason::custom("read")
            });
            let end = watch(&node, process.pid());
            at_rest(&node, process.pid()).await;
            process.send(()).expect("it lives");
            assert_eq!(end.await, Reason::custom("read"));
        })
    });
}

/// Deadlines of code outside of processes wake a foreign waker from the timer wheel.
// proves: EXIT-03, TIME-02
#[test]
fn a_panic_in_a_waker_that_a_timer_wakes_does_not_hurt_the_worker() {
    survive(quiet(), |node| {
        Box::pin(async move {
            let server = node.spawn(|mut cx: Cx<Ask>| async move {
                let _kept = cx.recv().await;
                pending::<()>().await;
            });
            let mut call = pin!(server.call(Ask).timeout(TICK));
            assert!(poll_with_touchy_waker(call.as_mut()).is_pending());
            let again = server.call(Ask).timeout(5 * TICK).await;
            assert!(matches!(again, Err(CallError::Timeout)));
            assert!(matches!(call.await, Err(CallError::Timeout)));
            node.exit(server.pid(), Reason::Kill);
        })
    });
}

// proves: EXIT-03, TIME-05
#[test]
fn a_panic_in_the_drop_of_a_timers_message_does_not_hurt_the_worker() {
    survive(quiet(), |node| {
        Box::pin(async move {
            let dead = node.spawn(|_: Cx<Grenade>| async {});
            node.wait_exit(dead.pid()).await;
            inside(&node, move |mut cx: Cx<()>| async move {
                cx.send_after(&dead, TICK, Grenade);
                cx.recv_timeout(5 * TICK).await;
                assert_eq!(cx.node().timer_count(), 0);
            })
            .await;
        })
    });
}

// proves: EXIT-03, TIME-05
#[test]
fn a_panic_in_the_clone_of_an_intervals_message_ends_the_interval_alone() {
    survive(quiet(), |node| {
        Box::pin(async move {
            let to = node.spawn(|mut cx: Cx<Uncloned>| async move { drop(cx.recv().await) });
            let receiver = to.clone();
            inside(&node, move |mut cx: Cx<()>| async move {
                cx.send_interval(&receiver, TICK, Uncloned);
                cx.recv_timeout(10 * TICK).await;
                assert_eq!(cx.node().timer_count(), 0, "it has ended");
            })
            .await;
            to.send(Uncloned).unwrap_or_else(|_| panic!("the receiver is unharmed"));
            node.wait_exit(to.pid()).await;
        })
    });
}

// proves: EXIT-02
#[test]
fn a_panic_in_the_making_of_the_exit_reason_is_the_reason() {
    struct NoReason;
    impl IntoReason for NoReason {
        fn into_reason(self) -> Reason {
            panic!("no reason")
        }
    }
    survive(quiet(), |node| {
        Box::pin(async move {
            let end = end_of(&node, |_: Cx<()>| async { NoReason });
            assert!(panicked(&end.await, "no reason"));
        })
    });
}

// proves: EXIT-02, DEATH-05
#[test]
fn a_panic_in_a_selective_receive_ends_the_process_and_its_mail_is_answered() {
    survive(quiet(), |node| {
        Box::pin(async move {
            let server = node.spawn(|mut cx: Cx<Ask>| async move {
                cx.recv_match(|_| panic!("picky")).await;
            });
            let answer = server.call(Ask).await.map(std::mem::forget);
            assert!(matches!(answer, Err(CallError::Exited(reason)) if panicked(&reason, "picky")));
        })
    });
}

/// actor-ts's defect: a panic in the constructor leaves a zombie.
// proves: PROC-03
#[test]
fn a_panic_in_the_body_of_a_spawn_is_the_callers_and_leaves_no_process() {
    survive(quiet(), |node| {
        Box::pin(async move {
            let body = |_: Cx<()>| -> std::future::Ready<()> { panic!("no body") };
            let outside = catch_unwind(AssertUnwindSafe(|| node.spawn(body)));
            assert!(outside.is_err());
            for link in [true, false] {
                let end = end_of(&node, move |cx: Cx<()>| async move {
                    if link {
                        cx.spawn_link(body);
                    } else {
                        cx.spawn_monitor(body);
                    }
                });
                assert!(panicked(&end.await, "no body"));
            }
            assert_eq!(node.processes(), []);
        })
    });
}

// proves: EXIT-03
#[test]
fn a_panic_in_a_task_that_a_process_started_is_an_error_of_that_task() {
    survive(quiet(), |node| {
        Box::pin(async move {
            inside(&node, |_: Cx<()>| async move {
                let task = tokio::spawn(async { boom() });
                let blocking = tokio::task::spawn_blocking(boom);
                assert!(task.await.is_err_and(|error| error.is_panic()));
                assert!(blocking.await.is_err_and(|error| error.is_panic()));
            })
            .await;
        })
    });
}

/// An answer that panics when it is dropped because its caller has gone is the server's own panic, wherever it happens.
// proves: EXIT-02, CALL-08
#[test]
fn a_panic_in_the_drop_of_a_late_answer_is_contained() {
    survive(quiet(), |node| {
        Box::pin(async move {
            let (go, gone) = tokio::sync::oneshot::channel();
            let server = node.spawn(|mut cx: Cx<Ask>| async move {
                let Mail::Msg(Ask(reply)) = cx.recv().await else { panic!("a request") };
                gone.await.expect("the test says so");
                reply.send(Grenade);
            });
            let end = watch(&node, server.pid());
            let call = server.call(Ask).timeout(TICK).await;
            assert!(matches!(call, Err(CallError::Timeout)));
            go.send(()).expect("the server waits");
            assert!(panicked(&end.await, "dropped"));
            // The answer arrives, and its caller dies before it looks.
            let answered = node.spawn(|mut cx: Cx<Ask>| async move {
                let Mail::Msg(Ask(reply)) = cx.recv().await else { panic!("a request") };
                reply.send(Grenade);
            });
            let answers = answered.pid();
            let caller = node.spawn(move |mut cx: Cx<()>| async move {
                let mut call = pin!(answered.call(Ask));
                poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await;
                cx.recv().await;
            });
            node.wait_exit(answers).await;
            let end = watch(&node, caller.pid());
            node.exit(caller.pid(), Reason::Kill);
            assert_eq!(end.await, Reason::Killed);
        })
    });
}

/// Links hear of a crash though everything in the dying process panics.
// proves: EXIT-03, DEATH-04
#[test]
fn everything_panics_at_once_and_each_bond_hears_once() {
    let options = NodeOptions { exit_listener: Some(Arc::new(Touchy)), ..quiet() };
    survive(options, |node| {
        Box::pin(async move {
            inside(&node, |mut cx: Cx<()>| async move {
                cx.trap_exit(true);
                let child = cx.spawn_link(|mut cx: Cx<Grenade>| async move {
                    let _state = Grenade;
                    cx.recv_match(|mail| matches!(mail, MailRef::Info(_))).await;
                });
                cx.monitor(child.pid());
                assert!(child.send(Grenade).is_ok());
                assert!(child.send(Grenade).is_ok());
                linden_core::yield_now().await;
                cx.exit(child.pid(), Reason::custom("now"));
                for _ in 0..2 {
                    assert!(matches!(cx.recv().await, Mail::Info(_)));
                }
                assert!(cx.recv_timeout(5 * TICK).await.is_none());
            })
            .await;
        })
    });
}
