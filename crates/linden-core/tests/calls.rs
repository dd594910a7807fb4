//! Calls: what each error says, what becomes of late and unsent requests, deadlines, and callers of every kind.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use linden_core::{
    Address, CALL_TIMEOUT, CallError, Cx, Delivered, Mail, MailRef, Message, Node, Reason, Reply,
    reply_channel,
};
use stage::{Running, SEEDS, check, end_of, inside, on_node, watch};
use teller::{Ask, serve, teller};
use tokio::time::{Instant, sleep, timeout};

#[path = "support/stage.rs"]
mod stage;
#[path = "support/teller.rs"]
mod teller;

const TICK: Duration = Duration::from_millis(1);

fn echo(number: u64) -> impl FnOnce(Reply<u64>) -> Ask {
    move |reply| Ask::Echo(number, reply)
}

fn is_crash(result: &Result<u64, CallError>) -> bool {
    matches!(result, Err(CallError::Exited(Reason::Panic(info))) if info.message == "the handler crashed")
}

// ---- Errors

// proves: CALL-01
#[test]
fn a_call_gives_the_answer_to_its_own_request() {
    check(SEEDS, |node| async move {
        let server = teller(&node);
        inside(&node, |_: Cx<()>| async move {
            for number in 0..100 {
                assert_eq!(server.call(echo(number)).await, Ok(number));
            }
        })
        .await;
    });
}

// proves: CALL-02
#[test]
fn a_call_to_the_dead_or_to_nobody_is_noproc_and_sends_nothing() {
    check(SEEDS, |node| async move {
        let server = teller(&node);
        server.send(Ask::End(Reason::Normal)).expect("it lives");
        node.wait_exit(server.pid()).await;
        let nobody = node.named::<Ask>("nobody");
        inside(&node, |_: Cx<()>| async move {
            assert_eq!(server.call(Ask::Keep).await, Err(CallError::NoProc));
            assert_eq!(nobody.call(Ask::Keep).await, Err(CallError::NoProc));
        })
        .await;
    });
}

// proves: CALL-03
#[test]
fn a_call_times_out_on_time_and_its_late_answer_is_dropped_and_counted() {
    check(SEEDS, |node| async move {
        let server = teller(&node);
        inside(&node, |cx: Cx<()>| async move {
            for millis in [1, 50, 999, 1_000, 60_000] {
                let limit = millis * TICK;
                let start = Instant::now();
                assert_eq!(server.call(Ask::Keep).timeout(limit).await, Err(CallError::Timeout));
                let took = start.elapsed();
                assert!(took >= limit && took <= limit + 3 * TICK, "{limit:?} took {took:?}");
                let late = cx.node().dead_letters().late_replies;
                server.send(Ask::Release(666)).expect("it lives");
                assert_eq!(server.call(echo(millis.into())).await, Ok(millis.into()));
                assert_eq!(cx.node().dead_letters().late_replies, late + 1);
            }
        })
        .await;
    });
}

// proves: CALL-03
#[test]
fn the_default_timeout_is_otps_five_seconds() {
    check(SEEDS, |node| async move {
        let server = teller(&node);
        inside(&node, |_: Cx<()>| async move {
            let start = Instant::now();
            assert_eq!(server.call(Ask::Keep).await, Err(CallError::Timeout));
            let took = start.elapsed();
            assert!(took >= CALL_TIMEOUT && took <= CALL_TIMEOUT + 3 * TICK, "{took:?}");
            assert_eq!(CALL_TIMEOUT, Duration::from_secs(5));
        })
        .await;
    });
}

// proves: CALL-10
#[test]
fn a_call_without_timeout_waits_as_long_as_the_server_lives() {
    check(0..4, |node| async move {
        let server = teller(&node);
        let patient = server.clone();
        inside(&node, move |cx: Cx<()>| async move {
            cx.send_after(&server, Duration::from_secs(3_600), Ask::Release(7));
            assert_eq!(patient.call(Ask::Keep).no_timeout().await, Ok(7));
        })
        .await;
    });
}

/// How a server ends, and what its callers then hear.
type Ending = (fn(&Address<Ask>), Reason);

/// Ergo's defect: a call is not tied to the callee's life.
// proves: CALL-01, DEATH-05
#[test]
fn a_caller_hears_at_once_with_which_reason_the_server_ended() {
    check(SEEDS, |node| async move {
        let ends: Vec<Ending> = vec![
            (|server| server.send(Ask::End(Reason::Normal)).expect("it lives"), Reason::Normal),
            (
                |server| server.send(Ask::End(Reason::custom("over"))).expect("it lives"),
                Reason::custom("over"),
            ),
            (|_| {}, Reason::Killed),
        ];
        for (end, reason) in ends {
            let server = teller(&node);
            let (asked, killer) = (server.clone(), node.clone());
            let (first, second) = (server.clone(), server.clone());
            inside(&node, move |_: Cx<()>| async move {
                let start = Instant::now();
                // One is kept in the server's state, one is unread when it ends.
                let (kept, (), unread) = tokio::join!(
                    first.call(Ask::Keep),
                    async {
                        end(&asked);
                        if reason == Reason::Killed {
                            killer.exit(asked.pid(), Reason::Kill);
                        }
                    },
                    second.call(Ask::Keep)
                );
                assert_eq!(kept, Err(CallError::Exited(reason.clone())));
                assert_eq!(unread, Err(CallError::Exited(reason)));
                assert_eq!(start.elapsed(), Duration::ZERO);
            })
            .await;
        }
    });
}

// proves: CALL-01, DEATH-05, EXIT-02
#[test]
fn every_pending_caller_hears_of_a_panic_in_the_handler() {
    check(SEEDS, |node| async move {
        let server = teller(&node);
        inside(&node, |_: Cx<()>| async move {
            let (kept, crashed, unread) =
                tokio::join!(server.call(Ask::Keep), server.call(Ask::Crash), server.call(echo(7)));
            assert!(is_crash(&kept), "kept in the state: {kept:?}");
            assert!(is_crash(&crashed), "held by the handler: {crashed:?}");
            assert!(is_crash(&unread), "unread: {unread:?}");
        })
        .await;
    });
}

// proves: CALL-04
#[test]
fn a_reply_dropped_by_a_living_server_answers_at_once() {
    check(SEEDS, |node| async move {
        let server = teller(&node);
        inside(&node, |_: Cx<()>| async move {
            let start = Instant::now();
            let refused = server.call(Ask::Refuse).await;
            assert!(matches!(refused, Err(CallError::Exited(Reason::Custom(_)))), "{refused:?}");
            assert_eq!(start.elapsed(), Duration::ZERO);
            assert_eq!(server.call(echo(7)).await, Ok(7));
        })
        .await;
    });
}

/// A panic that the server catches itself: the reply that it dropped must not wait for an end that does not come.
// proves: CALL-04
#[test]
fn a_reply_dropped_by_a_panic_that_the_server_survives_answers_all_the_same() {
    async fn careful(mut cx: Cx<Ask>) {
        loop {
            match cx.recv().await {
                Mail::Msg(Ask::Crash(reply)) => {
                    let caught =
                        std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                            let _reply = reply;
                            panic!("caught by the server")
                        }));
                    assert!(caught.is_err());
                }
                Mail::Msg(Ask::Echo(number, reply)) => drop(reply.send(number)),
                _ => {}
            }
        }
    }
    check(SEEDS, |node| async move {
        let server = node.spawn(careful);
        inside(&node, |_: Cx<()>| async move {
            let start = Instant::now();
            let crashed = server.call(Ask::Crash).await;
            assert!(matches!(crashed, Err(CallError::Exited(_))), "{crashed:?}");
            assert_eq!(start.elapsed(), Duration::ZERO);
            assert_eq!(server.call(echo(7)).await, Ok(7));
        })
        .await;
    });
}

// proves: CALL-05
#[test]
fn a_process_that_calls_itself_gets_an_error_and_nothing_is_sent() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<Ask>| async move {
            cx.register("itself").expect("the name is free");
            let (own, named) = (cx.address(), cx.node().named::<Ask>("itself"));
            assert_eq!(own.call(echo(1)).await, Err(CallError::SelfCall));
            assert_eq!(named.call(echo(1)).await, Err(CallError::SelfCall));
            assert!(cx.recv_timeout(Duration::ZERO).await.is_none(), "nothing was sent");
        })
        .await;
    });
}

// proves: CALL-06
#[test]
fn a_call_through_a_name_whose_owner_reads_other_messages_is_refused() {
    check(SEEDS, |node| async move {
        let other = node.spawn(|mut cx: Cx<String>| async move { drop(cx.recv().await) });
        node.register("other", other.pid()).expect("the name is free");
        let wrong = node.named::<Ask>("other");
        inside(&node, |_: Cx<()>| async move {
            let refused = wrong.call(echo(1)).await;
            let named = matches!(refused, Err(CallError::WrongType { sent, expected })
                if sent.contains("Ask") && expected.contains("String"));
            assert!(named, "{refused:?}");
        })
        .await;
        assert!(node.address::<Ask>(other.pid()).is_none());
        assert!(node.address::<String>(other.pid()).is_some());
    });
}

// ---- Sent or not, waited for or not

// proves: CALL-07
#[test]
fn a_call_is_sent_when_it_is_first_awaited_and_never_when_it_is_dropped_before() {
    check(SEEDS, |node| async move {
        let server = teller(&node);
        inside(&node, |_: Cx<()>| async move {
            drop(server.call(Ask::Keep));
            let later = server.call(echo(7));
            assert_eq!(server.call(Ask::Count).await, Ok(1));
            assert_eq!(later.await, Ok(7));
            assert_eq!(server.call(Ask::Count).await, Ok(3));
        })
        .await;
    });
}

// proves: CALL-08
#[test]
fn a_call_that_loses_in_select_is_cancelled_and_its_answer_reaches_nobody() {
    check(SEEDS, |node| async move {
        let server = teller(&node);
        inside(&node, |cx: Cx<()>| async move {
            for number in 0..10 {
                tokio::select! {
                    biased;
                    _ = server.call(Ask::Keep) => unreachable!("nothing is released"),
                    () = sleep(TICK) => {}
                }
                server.send(Ask::Release(666)).expect("it lives");
                assert_eq!(server.call(echo(number)).await, Ok(number));
            }
            assert_eq!(cx.node().dead_letters().late_replies, 10);
        })
        .await;
    });
}

// proves: CALL-08
#[test]
fn a_server_learns_that_its_caller_has_gone() {
    check(SEEDS, |node| async move {
        let (told, learns) = tokio::sync::oneshot::channel();
        let server = node.spawn(|mut cx: Cx<Ask>| async move {
            let Mail::Msg(Ask::Keep(reply)) = cx.recv().await else { panic!("a request") };
            sleep(10 * TICK).await;
            told.send(reply.send(7)).expect("the test waits");
        });
        let caller = node.spawn(move |_: Cx<()>| async move { drop(server.call(Ask::Keep).await) });
        node.process_info(caller.pid()).await;
        node.exit(caller.pid(), Reason::Kill);
        assert_eq!(learns.await, Ok(Delivered::CallerGone));
    });
}

// proves: CALL-11
#[test]
fn a_reply_is_answered_later_or_by_another_process() {
    check(SEEDS, |node| async move {
        let front = node.spawn(|mut cx: Cx<Ask>| async move {
            let Mail::Msg(Ask::Keep(reply)) = cx.recv().await else { panic!("a request") };
            cx.spawn(move |_: Cx<()>| async move {
                sleep(10 * TICK).await;
                reply.send(7);
            });
        });
        inside(&node, |_: Cx<()>| async move {
            assert_eq!(front.call(Ask::Keep).await, Ok(7), "though the first server has ended");
        })
        .await;
    });
}

struct Envelope(Reply<u64>);
impl Message for Envelope {}

// proves: CALL-11
#[test]
fn a_reply_channel_carries_an_answer_in_whatever_message() {
    check(SEEDS, |node| async move {
        let server = node.spawn(|mut cx: Cx<Envelope>| async move {
            let Mail::Msg(Envelope(reply)) = cx.recv().await else { panic!("a request") };
            reply.send(7);
            cx.recv().await;
        });
        inside(&node, move |_: Cx<()>| async move {
            let (reply, answer) = reply_channel();
            server.send(Envelope(reply)).expect("it lives");
            assert_eq!(answer.await, Ok(7));
            let (reply, answer) = reply_channel();
            server.send(Envelope(reply)).expect("it lives");
            assert_eq!(answer.await, Err(CallError::Exited(Reason::Normal)));
        })
        .await;
    });
}

// ---- Deadlines

// proves: CALL-10
#[test]
fn calls_that_run_at_once_keep_their_own_deadlines() {
    check(SEEDS, |node| async move {
        let server = teller(&node);
        inside(&node, |_: Cx<()>| async move {
            let start = Instant::now();
            let limits = [30_u32, 10, 5_000, 20, 10, 1];
            let calls = limits.map(|limit| {
                let call = server.call(Ask::Keep).timeout(limit * TICK);
                async move { (call.await, limit, start.elapsed()) }
            });
            for (result, limit, took) in join_all(calls).await {
                assert_eq!(result, Err(CallError::Timeout));
                let limit = limit * TICK;
                assert!(took >= limit && took <= limit + 3 * TICK, "{limit:?} took {took:?}");
            }
        })
        .await;
    });
}

// proves: CALL-10
#[test]
fn a_hundred_joined_calls_are_answered_each_with_its_own() {
    check(0..8, |node| async move {
        let server = teller(&node);
        inside(&node, |_: Cx<()>| async move {
            let numbers = || 0..100_u64;
            let answers = join_all(numbers().map(|number| server.call(echo(number)))).await;
            assert_eq!(answers, numbers().map(Ok).collect::<Vec<_>>());
            let mut unordered: FuturesUnordered<_> =
                numbers().map(|number| server.call(echo(number))).collect();
            let mut sum = 0;
            while let Some(answer) = unordered.next().await {
                sum += answer.expect("it answers");
            }
            assert_eq!(sum, numbers().sum());
        })
        .await;
    });
}

// proves: CALL-10
#[test]
fn nested_timeouts_end_by_the_shorter_whichever_is_outside() {
    check(SEEDS, |node| async move {
        let server = teller(&node);
        inside(&node, |mut cx: Cx<()>| async move {
            for (outer, inner) in [(10, 50), (50, 10)] {
                let start = Instant::now();
                let call = server.call(Ask::Keep).timeout(inner * TICK);
                let ended = timeout(outer * TICK, call).await;
                let shorter = outer.min(inner) * TICK;
                assert_eq!(ended.is_err(), outer < inner);
                let took = start.elapsed();
                assert!(took >= shorter && took <= shorter + 3 * TICK, "{took:?}");
            }
            let start = Instant::now();
            tokio::select! {
                biased;
                _ = server.call(Ask::Keep).timeout(50 * TICK) => unreachable!("the shorter ends"),
                none = cx.recv_timeout(10 * TICK) => assert_eq!(none, None),
            }
            assert!(start.elapsed() <= 13 * TICK);
        })
        .await;
    });
}

// proves: CALL-10
#[test]
fn a_shorter_deadline_after_a_longer_one_is_kept() {
    check(SEEDS, |node| async move {
        let server = teller(&node);
        inside(&node, |_: Cx<()>| async move {
            for limits in [[5_000, 10], [10, 5_000], [60_000, 5_000]] {
                for limit in limits {
                    assert_eq!(server.call(echo(1)).timeout(limit * TICK).await, Ok(1));
                }
                for limit in limits {
                    let (limit, start) = (limit * TICK, Instant::now());
                    let call = server.call(Ask::Keep).timeout(limit);
                    assert_eq!(call.await, Err(CallError::Timeout));
                    let took = start.elapsed();
                    assert!(took >= limit && took <= limit + 3 * TICK, "{limit:?} took {took:?}");
                }
            }
        })
        .await;
    });
}

// proves: CALL-03
#[test]
fn a_call_with_a_timeout_of_zero_is_sent_and_not_waited_for() {
    check(SEEDS, |node| async move {
        let server = teller(&node);
        inside(&node, |_: Cx<()>| async move {
            let call = server.call(Ask::Keep).timeout(Duration::ZERO);
            assert_eq!(call.await, Err(CallError::Timeout));
            assert_eq!(server.call(Ask::Count).await, Ok(2));
        })
        .await;
    });
}

// proves: TIME-06
#[test]
fn ten_thousand_calls_in_a_row_arm_at_most_two_timers() {
    check(0..2, |node| async move {
        let server = teller(&node);
        inside(&node, |cx: Cx<()>| async move {
            for number in 0..10_000 {
                assert_eq!(server.call(echo(number)).await, Ok(number));
                assert!(cx.node().timer_count() <= 2);
            }
        })
        .await;
    });
}

// ---- Callers outside of processes

async fn exercise(server: Address<Ask>) {
    assert_eq!(server.call(echo(7)).await, Ok(7));
    let (first, second) = tokio::join!(server.call(echo(1)), server.call(echo(2)));
    assert_eq!((first, second), (Ok(1), Ok(2)));
    let silent = server.call(Ask::Keep).timeout(10 * TICK).await;
    assert_eq!(silent, Err(CallError::Timeout));
    let crashed = server.call(Ask::Crash).await;
    assert!(is_crash(&crashed), "{crashed:?}");
    assert_eq!(server.call(echo(7)).await, Err(CallError::NoProc));
}

// proves: CALL-09
#[test]
fn a_call_is_made_from_any_async_code() {
    let node = Running::start(2);
    node.run(exercise(teller(&node)));
    futures_executor::block_on(exercise(teller(&node)));
    linden_core::block_on(exercise(teller(&node)));
    let foreign = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    let foreign = foreign.expect("the system gives threads");
    foreign.block_on(exercise(teller(&node)));
    let task = foreign.spawn(exercise(teller(&node)));
    foreign.block_on(task).expect("the task ends well");
    let (server, task) = (teller(&node), node.runtime());
    node.run(task.spawn(exercise(server))).expect("the task ends well");
}

// proves: CALL-09, NODE-35
#[test]
fn a_process_of_one_node_calls_a_process_of_another_in_the_same_os_process() {
    let (near, far) = (Running::start(1), Running::start(1));
    let server = teller(&far);
    near.run(inside(&near, |_: Cx<()>| exercise(server)));
}

// proves: CALL-03
#[test]
fn late_answers_are_counted_whoever_gives_them() {
    let node = Running::start(2);
    let (reply, answer) = reply_channel::<u64>();
    drop(answer);
    let server = node.spawn(move |_: Cx<()>| async move { _ = reply.send(1) });
    node.run(node.wait_exit(server.pid()));
    assert_eq!(node.dead_letters().late_replies, 1);
}

// ---- Many at once, on threads

async fn client(server: Address<Ask>, first: u64) -> Reason {
    for number in first..first + 1_000 {
        match server.call(echo(number)).await {
            Ok(answer) if answer == number => {}
            other => return Reason::custom(format!("{other:?} instead of {number}")),
        }
    }
    Reason::Normal
}

// proves: CALL-01
#[test]
fn calls_of_many_processes_on_many_workers_are_never_mixed_up() {
    on_node(4, |node| async move {
        let servers: Vec<_> = (0..4).map(|_| teller(&node)).collect();
        let clients: Vec<_> = (0..40_u64)
            .map(|client_number| {
                let server = servers[client_number as usize % 4].clone();
                end_of(&node, move |_: Cx<()>| client(server, client_number * 1_000_000))
            })
            .collect();
        for end in join_all(clients).await {
            assert_eq!(end, Reason::Normal);
        }
    });
}

/// Servers are killed under load: every call ends, by its answer or by the server's end.
// proves: CALL-01
#[test]
fn no_call_hangs_when_servers_die_under_load() {
    on_node(4, |node| async move {
        for _ in 0..200 {
            let server = teller(&node);
            let calls: Vec<_> = (0..8)
                .map(|_| {
                    let (server, node) = (server.clone(), node.clone());
                    async move {
                        inside(&node, move |_: Cx<()>| async move {
                            let call = server.call(echo(7)).timeout(stage::HANGS_AFTER);
                            let result = call.await;
                            let is_right = matches!(
                                result,
                                Ok(7) | Err(CallError::NoProc | CallError::Exited(Reason::Killed))
                            );
                            assert!(is_right, "{result:?}");
                        })
                        .await;
                    }
                })
                .collect();
            let end = watch(&node, server.pid());
            let killer = async { node.exit(server.pid(), Reason::Kill) };
            tokio::join!(join_all(calls), killer, end);
        }
    });
}

/// Calls with tiny timeouts against answers that come at the same moment: one of the two, and nothing is lost.
// proves: CALL-03, CALL-08
#[test]
fn an_answer_that_races_with_the_timeout_is_delivered_or_counted() {
    on_node(2, |node| async move {
        let server = teller(&node);
        let counted = node.clone();
        inside(&node, move |_: Cx<()>| async move {
            let (mut answered, mut timed_out) = (0, 0);
            for number in 0..300 {
                let mut call = pin!(server.call(Ask::Keep).timeout(TICK));
                let mut released = false;
                let result = std::future::poll_fn(|cx| {
                    let polled = call.as_mut().poll(cx);
                    if !std::mem::replace(&mut released, true) {
                        let server = server.clone();
                        std::thread::spawn(move || {
                            std::thread::park_timeout(Duration::from_micros(900 + number * 3));
                            let _ = server.send(Ask::Release(number));
                        });
                    }
                    match polled {
                        Poll::Pending => Poll::Pending,
                        Poll::Ready(result) => Poll::Ready(result),
                    }
                })
                .await;
                match result {
                    Ok(answer) => {
                        assert_eq!(answer, number);
                        answered += 1;
                    }
                    Err(CallError::Timeout) => {
                        timed_out += 1;
                        // Until the late answer has been dropped.
                        while counted.dead_letters().late_replies < timed_out {
                            server.call(Ask::Count).await.expect("it lives");
                        }
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
            assert_eq!(answered + timed_out, 300);
        })
        .await;
    });
}

/// A selective receive of a server reads a call out of turn; the rest is answered in order.
// proves: CALL-01, RCV-02
#[test]
fn a_server_that_reads_selectively_answers_the_rest_later() {
    check(SEEDS, |node| async move {
        let server = node.spawn(|mut cx: Cx<Ask>| async move {
            let last = |mail: MailRef<'_, Ask>| matches!(mail, MailRef::Msg(Ask::Echo(9, _)));
            if let Mail::Msg(Ask::Echo(number, reply)) = cx.recv_match(last).await {
                reply.send(number);
            }
            serve(cx).await
        });
        inside(&node, |_: Cx<()>| async move {
            let answers = join_all((0..10).map(|number| server.call(echo(number)))).await;
            assert_eq!(answers, (0..10).map(Ok).collect::<Vec<_>>());
        })
        .await;
    });
}

// proves: NODE-28
#[test]
fn block_on_inside_a_process_is_an_error_that_names_the_mend() {
    on_node(1, |node| async move {
        let inner = node.clone();
        let reason = end_of(&node, move |_: Cx<()>| async move { inner.block_on(async {}) }).await;
        let named =
            matches!(&reason, Reason::Panic(info) if info.message.contains("spawn_blocking"));
        assert!(named, "{reason}");
    });
}

#[test]
fn a_call_error_says_what_it_is() {
    let table: [(CallError, &str); 5] = [
        (CallError::NoProc, "no such process"),
        (CallError::Timeout, "timed out"),
        (CallError::Exited(Reason::custom("disk full")), "disk full"),
        (CallError::SelfCall, "called itself"),
        (CallError::WrongType { sent: "A", expected: "B" }, "reads B, not A"),
    ];
    for (error, part) in table {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[expect(
    dead_code,
    reason = "compiles: handles travel between threads and are kept in shared state"
)]
fn handles_are_send_and_sync(node: Node, address: Address<Ask>, reply: Reply<u64>) {
    fn travels<T: Send + Sync + 'static>(_: T) {}
    travels((node, address, reply));
}
