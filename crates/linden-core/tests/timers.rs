//! Timers: never early, in order, cancelled, of dead processes, and under a clock that jumps.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use linden_core::{Address, Cx, Info, Mail, Message, Node, Reason, TimerRef};
use stage::{Journal, Running, SEEDS, check, eventually, inside, on_node};
use tokio::time::Instant;

#[path = "support/stage.rs"]
mod stage;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Number(u32);

impl Message for Number {}

const TICK: Duration = Duration::from_millis(1);
/// How late a timer may be when nothing else runs: the tick in which it was armed and the one in which it fires.
const LATE_MAX: Duration = Duration::from_millis(2);

async fn next(cx: &mut Cx<Number>) -> u32 {
    cx.recv().await.into_msg().expect("only numbers are sent").0
}

// proves: TIME-01, TIME-02
#[test]
fn a_message_after_a_delay_is_never_early_and_hardly_late() {
    check(0..8, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            let own = cx.address();
            for millis in [0, 1, 2, 63, 64, 65, 1_000, 4_095, 4_096, 4_097, 262_145, 3_600_000] {
                let (delay, start) = (millis * TICK, Instant::now());
                cx.send_after(&own, delay, Number(millis));
                assert_eq!(next(&mut cx).await, millis);
                let took = start.elapsed();
                assert!(took >= delay && took <= delay + LATE_MAX, "{delay:?} took {took:?}");
            }
        })
        .await;
    });
}

// proves: TIME-01
#[test]
fn a_delay_of_part_of_a_millisecond_is_not_early() {
    check(0..4, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            let own = cx.address();
            for micros in [1, 999, 1_001, 1_500] {
                let (delay, start) = (Duration::from_micros(micros), Instant::now());
                tokio::time::advance(Duration::from_micros(617)).await;
                cx.send_after(&own, delay, Number(0));
                next(&mut cx).await;
                assert!(start.elapsed() >= delay, "{delay:?}");
            }
        })
        .await;
    });
}

// proves: TIME-01
#[test]
fn real_timers_are_never_early() {
    on_node(2, |node| async move {
        let timers: Vec<_> = (0..20_u32)
            .map(|millis| {
                inside(&node, move |mut cx: Cx<Number>| async move {
                    let own = cx.address();
                    let (delay, start) = (millis * TICK, std::time::Instant::now());
                    cx.send_after(&own, delay, Number(millis));
                    assert_eq!(next(&mut cx).await, millis);
                    let sent = start.elapsed();
                    let start = std::time::Instant::now();
                    assert_eq!(cx.recv_timeout(delay).await, None);
                    sent >= delay && start.elapsed() >= delay
                })
            })
            .collect();
        assert!(futures_util::future::join_all(timers).await.into_iter().all(|right| right));
    });
}

// proves: TIME-04
#[test]
fn timers_fire_in_the_order_of_their_deadlines_and_equal_ones_in_the_order_of_arming() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            let own = cx.address();
            let delays = [70, 5, 64, 5, 70, 128, 5, 64, 0, 4_096, 0];
            let mut expected: Vec<(u32, u32)> = delays.into_iter().zip(0..).collect();
            for &(millis, number) in &expected {
                cx.send_after(&own, millis * TICK, Number(number));
            }
            expected.sort_unstable();
            for (_, number) in expected {
                assert_eq!(next(&mut cx).await, number);
            }
        })
        .await;
    });
}

// proves: TIME-03
#[test]
fn a_cancelled_timer_never_fires_and_says_what_was_left() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            let own = cx.address();
            let timer = cx.send_after(&own, 100 * TICK, Number(1));
            tokio::time::sleep(30 * TICK).await;
            let left = cx.cancel(&timer).expect("it is armed");
            assert!(left >= 68 * TICK && left <= 72 * TICK, "{left:?}");
            assert_eq!(cx.cancel(&timer), None, "it was cancelled");
            assert_eq!(cx.recv_timeout(Duration::from_secs(1)).await, None);
            let timer = cx.send_after(&own, TICK, Number(2));
            assert_eq!(next(&mut cx).await, 2);
            assert_eq!(cx.cancel(&timer), None, "it has fired");
            cx.node().process_info(cx.pid()).await;
        })
        .await;
        assert_eq!(node.timer_count(), 0);
    });
}

// proves: TIME-08
#[test]
fn a_started_timer_is_news_with_its_reference() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            let (late, soon) = (cx.start_timer(20 * TICK), cx.start_timer(10 * TICK));
            assert_ne!(late.reference(), soon.reference());
            for timer in [soon, late] {
                assert_eq!(cx.recv().await, Mail::Info(Info::Timer(timer.reference())));
            }
            let cancelled = cx.start_timer(10 * TICK);
            assert!(cx.cancel(&cancelled).is_some());
            assert_eq!(cx.recv_timeout(Duration::from_secs(1)).await, None);
        })
        .await;
    });
}

// proves: TIME-07
#[test]
fn an_interval_sends_once_a_period_counted_from_its_start() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            let own = cx.address();
            let start = Instant::now();
            let interval = cx.send_interval(&own, 10 * TICK, Number(7));
            for turn in 1..=5 {
                assert_eq!(next(&mut cx).await, 7);
                let took = start.elapsed();
                assert!(
                    took >= turn * 10 * TICK && took <= turn * 10 * TICK + LATE_MAX,
                    "{took:?}"
                );
            }
            // Messages pile up while the process is busy with something else; none is left out, none is doubled.
            tokio::time::sleep_until(start + 105 * TICK).await;
            for _ in 6..=10 {
                assert_eq!(cx.recv_timeout(Duration::ZERO).await, Some(Mail::Msg(Number(7))));
            }
            assert_eq!(cx.recv_timeout(Duration::ZERO).await, None);
            assert!(cx.cancel(&interval).is_some());
            assert_eq!(cx.recv_timeout(Duration::from_secs(1)).await, None);
            assert_eq!(cx.cancel(&interval), None);
        })
        .await;
        assert_eq!(node.timer_count(), 0);
    });
}

// proves: TIME-07
#[test]
fn an_interval_of_no_time_has_a_period_of_one_tick() {
    check(0..4, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            let own = cx.address();
            let start = Instant::now();
            let interval = cx.send_interval(&own, Duration::ZERO, Number(7));
            for _ in 0..100 {
                next(&mut cx).await;
            }
            assert!(start.elapsed() >= 100 * TICK);
            cx.cancel(&interval);
        })
        .await;
    });
}

/// A message of an interval whose copies cancel it: when they are made, or when nobody takes them.
struct Cancelling {
    when: CancelledBy,
    /// Carried off from a process: cancelling needs no process.
    cx: Arc<Cx<()>>,
    interval: Arc<Mutex<Option<TimerRef>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum CancelledBy {
    Clone,
    Drop,
}

impl Cancelling {
    fn cancel(&self, when: CancelledBy) {
        let interval = self.interval.lock().unwrap();
        if when == self.when
            && let Some(interval) = &*interval
        {
            self.cx.cancel(interval);
        }
    }
}

impl Clone for Cancelling {
    fn clone(&self) -> Self {
        self.cancel(CancelledBy::Clone);
        Self { when: self.when, cx: self.cx.clone(), interval: self.interval.clone() }
    }
}

impl Drop for Cancelling {
    fn drop(&mut self) {
        self.cancel(CancelledBy::Drop);
    }
}

impl Message for Cancelling {}

// proves: TIME-07, TIME-03
#[test]
fn an_interval_whose_own_message_cancels_it_ends() {
    on_node(1, |node| async move {
        for when in [CancelledBy::Clone, CancelledBy::Drop] {
            let carried: Arc<Mutex<Option<Arc<Cx<()>>>>> = Arc::default();
            let place = carried.clone();
            node.spawn(move |cx: Cx<()>| {
                *place.lock().unwrap() = Some(Arc::new(cx));
                async {}
            });
            let cx = carried.lock().unwrap().take().unwrap();
            // It reads nothing; of the two it is only the copies for the dead that are dropped.
            let receiver = node.spawn(move |_: Cx<Cancelling>| async move {
                if when == CancelledBy::Clone {
                    std::future::pending::<()>().await;
                }
            });
            let interval = Arc::new(Mutex::new(None));
            let message = Cancelling { when, cx, interval: interval.clone() };
            let to = receiver.clone();
            inside(&node, move |cx: Cx<()>| async move {
                let mut place = interval.lock().unwrap();
                *place = Some(cx.send_interval(&to, TICK, message));
            })
            .await;
            eventually(|| node.timer_count() == 0).await;
            node.exit(receiver.pid(), Reason::Kill);
            inside(&node, |_: Cx<()>| async {}).await;
        }
    });
}

/// Reads one number and ends.
async fn read_one(mut cx: Cx<Number>) {
    cx.recv().await;
}

// proves: TIME-05
#[test]
fn timers_for_the_dead_fire_into_nothing_and_are_counted() {
    check(SEEDS, |node| async move {
        let receiver: Address<Number> = node.spawn(read_one);
        let to = receiver.clone();
        let dead_letters = node.dead_letters();
        inside(&node, move |cx: Cx<Number>| async move {
            cx.send_after(&to, 5 * TICK, Number(0));
            cx.send_after(&to, 50 * TICK, Number(1));
            cx.send_interval(&to, 20 * TICK, Number(2));
        })
        .await;
        node.wait_exit(receiver.pid()).await;
        assert_eq!(node.timer_count(), 2, "the sender's end does not matter");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(node.timer_count(), 0, "the interval has ended with its receiver");
        assert_eq!(node.dead_letters().no_process, dead_letters.no_process + 2);
    });
}

// proves: TIME-05
#[test]
fn a_timer_outlives_the_process_that_started_it() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            let own = cx.address();
            let starter = cx.spawn(move |cx: Cx<()>| async move {
                cx.send_after(&own, 50 * TICK, Number(7));
                cx.start_timer(20 * TICK);
                Reason::custom("over")
            });
            assert_eq!(next(&mut cx).await, 7);
            assert!(!starter.is_alive());
        })
        .await;
    });
}

// proves: TIME-05, PROC-01
#[test]
fn a_timer_never_reaches_a_later_process_with_the_same_index() {
    check(0..4, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            let journal: Journal<u32> = Journal::new();
            // More processes than free indices rest, so that indices are used again.
            for round in 0..3_000 {
                let read = journal.clone();
                let process = cx.spawn(move |mut cx: Cx<Number>| async move {
                    if let Some(Mail::Msg(Number(number))) = cx.recv_timeout(Duration::ZERO).await {
                        read.write(number);
                    }
                });
                cx.send_after(&process, 5 * TICK, Number(round));
            }
            assert_eq!(cx.recv_timeout(Duration::from_secs(1)).await, None);
            assert_eq!(journal.entries(), []);
        })
        .await;
    });
}

/// Every worker sleeps, one of them in the reactor until a far deadline: a nearer one must be kept.
// proves: TIME-02
#[test]
fn a_near_timer_wakes_a_node_that_sleeps_until_a_far_one() {
    let node = Running::start(2);
    let sleeper: Address<Number> = node.spawn(|mut cx: Cx<Number>| async move {
        cx.start_timer(Duration::from_secs(3_600));
        cx.recv().await;
    });
    node.run(async {
        node.process_info(sleeper.pid()).await;
        let start = std::time::Instant::now();
        inside(&node, |mut cx: Cx<Number>| async move {
            cx.start_timer(20 * TICK);
            cx.recv().await
        })
        .await;
        assert!(start.elapsed() < Duration::from_secs(20));
    });
}

/// A wait armed from a thread that is no worker.
// proves: TIME-02, CALL-09
#[test]
fn a_deadline_of_code_outside_is_kept_by_a_sleeping_node() {
    let node = Running::start(1);
    let server: Address<Silent> = node.spawn(|mut cx: Cx<Silent>| async move {
        let _kept = cx.recv().await;
        cx.recv().await;
    });
    let call = server.call(Silent).timeout(20 * TICK);
    assert_eq!(futures_executor::block_on(call), Err(linden_core::CallError::Timeout));
}

struct Silent(#[expect(dead_code, reason = "kept, never answered")] linden_core::Reply<()>);
impl Message for Silent {}

// proves: TIME-03
#[test]
fn ten_thousand_timers_are_armed_cancelled_and_forgotten() {
    async fn many(node: Node) {
        inside(&node, |cx: Cx<Number>| async move {
            let own = cx.address();
            let timers: Vec<_> = (0..10_000)
                .map(|n| cx.send_after(&own, Duration::from_secs(60) + n * TICK, Number(n)))
                .collect();
            assert!(cx.node().timer_count() >= 10_000);
            assert!(timers.iter().all(|timer| cx.cancel(timer).is_some()));
            assert_eq!(cx.node().timer_count(), 0);
            let never = cx.send_after(&own, Duration::MAX, Number(0));
            assert!(cx.cancel(&never).expect("armed") > Duration::from_secs(1 << 40));
        })
        .await;
    }
    check(0..2, many);
    on_node(1, |node| async move {
        inside(&node, |mut cx: Cx<Number>| async move {
            let own = cx.address();
            for number in 0..1_000 {
                cx.send_after(&own, (number % 7) * TICK, Number(number));
            }
            let mut read = Vec::new();
            while read.len() < 1_000 {
                read.push(next(&mut cx).await);
            }
            read.sort_unstable();
            assert_eq!(read, (0..1_000).collect::<Vec<_>>());
        })
        .await;
    });
}
