//! Receiving: order, selection, time limits, foreign wakers, cancelling, and a context that left its process.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use linden_core::{Address, Cx, Flush, Info, Mail, MailRef, Message, Node, Reason};
use stage::{SEEDS, check, end_of, inside, on_node};
use tokio::time::{Instant, sleep};

#[path = "support/stage.rs"]
mod stage;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Number(u32);

impl Message for Number {}

const TICK: Duration = Duration::from_millis(1);

fn send_all(to: &Address<Number>, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        to.send(Number(number)).expect("the receiver lives");
    }
}

fn number_of(mail: Mail<Number>) -> u32 {
    mail.into_msg().expect("only numbers are sent").0
}

/// Reads what is there.
async fn drain(cx: &mut Cx<Number>) -> Vec<u32> {
    let mut numbers = Vec::new();
    while let Some(mail) = cx.recv_timeout(TICK).await {
        numbers.push(number_of(mail));
    }
    numbers
}

/// Calls `later` with the process's own address once the process waits.
fn meanwhile(cx: &Cx<Number>, later: impl FnOnce(Address<Number>) + Send + 'static) {
    let own = cx.address();
    cx.spawn(move |_: Cx<()>| async move { later(own) });
}

// proves: RCV-01
#[test]
fn mail_is_read_oldest_first() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            send_all(&cx.address(), 0..1_000);
            for expected in 0..1_000 {
                assert_eq!(number_of(cx.recv().await), expected);
            }
        })
        .await;
    });
}

/// Takes the numbers in the order wanted; the rest must come in the order sent.
async fn select(node: &Node, sent: u32, wanted: Vec<u32>) {
    inside(node, move |mut cx: Cx<Number>| async move {
        let half = sent / 2;
        send_all(&cx.address(), 0..half);
        meanwhile(&cx, move |own| send_all(&own, half..sent));
        for &number in &wanted {
            let is_wanted =
                |mail: MailRef<'_, Number>| matches!(mail, MailRef::Msg(&Number(n)) if n == number);
            assert_eq!(number_of(cx.recv_match(is_wanted).await), number);
        }
        let rest: Vec<u32> = (0..sent).filter(|number| !wanted.contains(number)).collect();
        assert_eq!(drain(&mut cx).await, rest);
    })
    .await;
}

// proves: RCV-02
#[test]
fn a_selective_receive_takes_what_is_wanted_and_leaves_the_rest_in_order() {
    for wanted in
        [vec![], vec![0], vec![9], vec![4, 5], vec![9, 0, 5, 1], vec![7, 6, 5, 4, 3, 2, 1, 0]]
    {
        check(0..8, |node| {
            let wanted = wanted.clone();
            async move { select(&node, 10, wanted).await }
        });
    }
}

// proves: RCV-02
#[test]
fn a_selective_receive_sees_news_and_messages_alike() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            let (child, monitor) = cx.spawn_monitor(|_: Cx<()>| async { Reason::custom("over") });
            send_all(&cx.address(), 0..3);
            let news = cx.recv_match(|mail| matches!(mail, MailRef::Info(_))).await;
            let reason = Reason::custom("over");
            let down = Info::Down { reference: monitor, pid: child.pid(), reason };
            assert_eq!(news, Mail::Info(down));
            assert_eq!(drain(&mut cx).await, [0, 1, 2]);
        })
        .await;
    });
}

/// Mail that pours in while a selective receive waits is looked at once each.
// proves: RCV-02
#[test]
fn a_waiting_selective_receive_looks_at_each_mail_once() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            send_all(&cx.address(), 0..5);
            for round in 1..5 {
                meanwhile(&cx, move |own| send_all(&own, round * 5..round * 5 + 5));
            }
            let mut looks = Vec::new();
            cx.recv_match(|mail| {
                if let MailRef::Msg(&number) = mail {
                    looks.push(number);
                }
                looks.len() == 25
            })
            .await;
            looks.sort_unstable();
            assert_eq!(looks, (0..25).map(Number).collect::<Vec<_>>());
        })
        .await;
    });
}

// proves: RCV-03
#[test]
fn a_receive_with_a_timeout_gives_up_when_the_time_is_over_and_not_before() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            for millis in [1, 7, 63, 64, 65, 999, 1_000, 4_097, 3_600_000] {
                let timeout = Duration::from_millis(millis);
                let start = Instant::now();
                assert_eq!(cx.recv_timeout(timeout).await, None);
                let took = start.elapsed();
                assert!(took >= timeout && took <= timeout + 3 * TICK, "{timeout:?} took {took:?}");
                let start = Instant::now();
                assert_eq!(cx.recv_match_timeout(timeout, |_| true).await, None);
                assert!(start.elapsed() >= timeout);
            }
        })
        .await;
    });
}

// proves: RCV-03
#[test]
fn a_receive_with_a_timeout_of_zero_takes_what_is_there_and_does_not_wait() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            send_all(&cx.address(), 0..1_000);
            let start = Instant::now();
            let mut numbers = Vec::new();
            while let Some(mail) = cx.recv_timeout(Duration::ZERO).await {
                numbers.push(number_of(mail));
            }
            assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
            send_all(&cx.address(), 0..10);
            let odd =
                |mail: MailRef<'_, Number>| matches!(mail, MailRef::Msg(&Number(n)) if n % 2 == 1);
            while cx.recv_match_timeout(Duration::ZERO, odd).await.is_some() {}
            assert_eq!(start.elapsed(), Duration::ZERO);
            assert_eq!(drain(&mut cx).await, [0, 2, 4, 6, 8]);
        })
        .await;
    });
}

async fn poll_for_ever(mut cx: Cx<Number>) {
    loop {
        cx.recv_timeout(Duration::ZERO).await;
    }
}

// proves: RCV-03, SIG-08
#[test]
fn a_loop_of_receives_that_do_not_wait_can_be_killed_and_starves_nobody() {
    on_node(1, |node| async move {
        let poller = node.spawn(poll_for_ever);
        let other = end_of(&node, |_: Cx<()>| async { Reason::custom("ran") }).await;
        assert_eq!(other, Reason::custom("ran"));
        let end = stage::watch(&node, poller.pid());
        node.exit(poller.pid(), Reason::Kill);
        assert_eq!(end.await, Reason::Killed);
    });
}

// proves: RCV-04
#[test]
fn a_receive_that_is_dropped_or_times_out_loses_nothing() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            poll_once(cx.recv()).await;
            for round in 0..20 {
                poll_once(cx.recv_match(|_| false)).await;
                meanwhile(&cx, move |own| send_all(&own, [2 * round, 2 * round + 1]));
                poll_once(cx.recv_match(|_| false)).await;
                cx.recv_match_timeout(TICK, |_| false).await;
                tokio::select! {
                    biased;
                    () = sleep(TICK) => {}
                    _ = cx.recv_match(|_| false) => unreachable!("nothing is wanted"),
                }
            }
            assert_eq!(drain(&mut cx).await, (0..40).collect::<Vec<_>>());
        })
        .await;
    });
}

/// Polls a future once, with the process's own waker, and drops it.
async fn poll_once<F: Future>(future: F) {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        assert!(polled.is_pending(), "nothing is there");
        Poll::Ready(())
    })
    .await;
}

// proves: RCV-04, RCV-05
#[test]
fn select_takes_each_message_once_whatever_else_is_ready() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            for round in 0..20 {
                meanwhile(&cx, move |own| send_all(&own, round * 10..round * 10 + 10));
            }
            let mut numbers = Vec::new();
            while numbers.len() < 200 {
                tokio::select! {
                    mail = cx.recv() => numbers.push(number_of(mail)),
                    () = sleep(TICK) => {}
                    () = linden_core::yield_now() => {}
                }
            }
            numbers.sort_unstable();
            assert_eq!(numbers, (0..200).collect::<Vec<_>>());
        })
        .await;
    });
}

// proves: RCV-05
#[test]
fn join_waits_for_mail_and_for_time_at_once() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            let own = cx.address();
            let (mail, ()) = tokio::join!(cx.recv(), async {
                sleep(10 * TICK).await;
                send_all(&own, [7]);
            });
            assert_eq!(number_of(mail), 7);
        })
        .await;
    });
}

/// A combinator with wakers of its own polls the receive only when that one is woken: mail must wake it also after the
/// process ran for something else.
// proves: RCV-05
#[test]
fn a_receive_inside_futures_unordered_is_woken_after_the_others_ran() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            let own = cx.address();
            cx.spawn(move |_: Cx<()>| async move {
                sleep(50 * TICK).await;
                send_all(&own, [7]);
            });
            let mut set = FuturesUnordered::new();
            let (first, second) = (sleep(10 * TICK), sleep(20 * TICK));
            set.push(futures_util::future::Either::Left(async move { number_of(cx.recv().await) }));
            for (number, time) in [(1, first), (2, second)] {
                set.push(futures_util::future::Either::Right(async move {
                    time.await;
                    number
                }));
            }
            let mut order = Vec::new();
            while let Some(number) = set.next().await {
                order.push(number);
            }
            assert_eq!(order, [1, 2, 7]);
        })
        .await;
    });
}

// proves: RCV-05, RCV-03
#[test]
fn a_receive_with_a_timeout_keeps_its_time_inside_futures_unordered() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            let start = Instant::now();
            let mut set = FuturesUnordered::new();
            set.push(Box::pin(async move { cx.recv_timeout(30 * TICK).await.is_none() })
                as std::pin::Pin<Box<dyn Future<Output = bool> + Send>>);
            set.push(Box::pin(async {
                sleep(10 * TICK).await;
                true
            }));
            assert_eq!((set.next().await, set.next().await), (Some(true), Some(true)));
            let took = start.elapsed();
            assert!(took >= 30 * TICK && took < 40 * TICK, "{took:?}");
        })
        .await;
    });
}

// proves: RCV-03
#[test]
fn a_shorter_timeout_after_a_longer_one_is_kept_and_the_other_way_round() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            for (first, second) in [(5_000, 10), (10, 5_000)] {
                // The first ends by mail and leaves its wake-up armed.
                send_all(&cx.address(), [1]);
                poll_once(cx.recv_match_timeout(first * TICK, |_| false)).await;
                assert!(cx.recv_timeout(first * TICK).await.is_some());
                let start = Instant::now();
                assert!(cx.recv_timeout(second * TICK).await.is_none());
                let took = start.elapsed();
                assert!(took >= second * TICK && took <= (second + 3) * TICK, "{took:?}");
            }
        })
        .await;
    });
}

// ---- A context outside of its process

type Use = fn(&mut Cx<Number>);

/// Everything that a context may do only inside its process.
const USES: &[(&str, Use)] = &[
    ("trap_exit", |cx| _ = cx.trap_exit(true)),
    ("link", |cx| cx.link(cx.pid())),
    ("unlink", |cx| cx.unlink(cx.pid())),
    ("monitor", |cx| _ = cx.monitor(cx.pid())),
    ("monitor_name", |cx| _ = cx.monitor_name("nobody")),
    ("demonitor", |cx| {
        let reference = cx.start_timer(Duration::from_secs(1)).reference();
        cx.demonitor(reference, Flush::Yes);
    }),
    ("info", |cx| drop(cx.info())),
    ("spawn_link", |cx| drop(cx.spawn_link(|_: Cx<()>| pending::<()>()))),
    ("set_crash_detail", |cx| cx.set_crash_detail(linden_core::CrashDetail::default())),
    ("recv", |cx| {
        let mut recv = pin!(cx.recv());
        let waker = std::task::Waker::noop();
        let _ = recv.as_mut().poll(&mut std::task::Context::from_waker(waker));
    }),
];

/// A process whose context was carried off, and the context.
fn robbed(node: &Node) -> (Address<Number>, Cx<Number>) {
    let place = Arc::new(Mutex::new(None));
    let thief = place.clone();
    let process = node.spawn(move |cx: Cx<Number>| {
        *thief.lock().expect("no panic with the lock") = Some(cx);
        pending::<()>()
    });
    let cx = place.lock().expect("no panic with the lock").take().expect("the body ran at once");
    (process, cx)
}

fn says_outside(reason: &Reason) -> bool {
    matches!(reason, Reason::Panic(info) if info.message.contains("was used outside of it"))
}

// proves: PROC-06
#[test]
fn a_context_used_by_another_process_ends_that_one_and_harms_nobody() {
    check(0..2, |node| async move {
        for (name, use_it) in USES {
            let (owner, mut cx) = robbed(&node);
            let reason = end_of(&node, move |_: Cx<()>| async move { use_it(&mut cx) }).await;
            assert!(says_outside(&reason), "{name}: {reason}");
            assert!(node.process_info(owner.pid()).await.is_some(), "{name}: the owner goes on");
        }
    });
}

// proves: PROC-06
#[test]
fn a_context_used_by_a_foreign_task_or_thread_panics_there_and_harms_nobody() {
    on_node(2, |node| async move {
        for (name, use_it) in USES {
            let (owner, mut cx) = robbed(&node);
            let mut other = robbed(&node);
            let task = tokio::task::spawn(async move { use_it(&mut cx) }).await;
            let thread = std::thread::spawn(move || use_it(&mut other.1)).join();
            assert!(task.is_err() && thread.is_err(), "{name}");
            for process in [owner, other.0] {
                assert!(node.process_info(process.pid()).await.is_some(), "{name}");
            }
        }
    });
}

/// The context of a process that ends works no more, not even for what the process's state does in its drop.
// proves: PROC-06
#[test]
fn a_context_used_while_its_process_ends_is_refused_and_the_end_goes_on() {
    struct State(Cx<Number>);
    impl Drop for State {
        fn drop(&mut self) {
            self.0.trap_exit(true);
        }
    }
    check(SEEDS, |node| async move {
        let process = node.spawn(|cx: Cx<Number>| async move {
            let _state = State(cx);
            pending::<()>().await;
        });
        node.process_info(process.pid()).await;
        let end = stage::watch(&node, process.pid());
        node.exit(process.pid(), Reason::Kill);
        assert_eq!(end.await, Reason::Killed);
    });
}
