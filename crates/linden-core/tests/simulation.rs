//! The simulator: one seed is one run, seeds differ, time is virtual, and what cannot go on says so.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use linden_core::{
    Address, CallError, Cx, Info, Mail, Message, Node, Reason, Reply, Simulation, yield_now,
};
use stage::{Journal, quiet};

#[path = "support/stage.rs"]
mod stage;

const HOUR: Duration = Duration::from_secs(3600);

/// What a deadline may be late by in virtual time: the tick that it falls in.
const TICK: Duration = Duration::from_millis(1);

/// Runs a scenario; what it returned, and how many steps it took.
fn run<T, F: Future<Output = T>>(seed: u64, scenario: impl Fn(Node) -> F) -> (T, u64) {
    let mut simulation = Simulation::with_options(seed, quiet());
    assert_eq!(simulation.seed(), seed);
    let scenario = scenario(simulation.node().clone());
    let output = simulation.run(scenario);
    (output, simulation.steps())
}

// ---- One seed, one run

/// Four processes that each write four times, and go to the back in between.
async fn four_writers(node: Node) -> Vec<(u64, u64)> {
    let journal = Journal::new();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let journal = journal.clone();
            node.spawn(move |_: Cx<()>| async move {
                for turn in 0..4 {
                    journal.write((writer, turn));
                    yield_now().await;
                }
            })
        })
        .collect();
    for writer in writers {
        node.wait_exit(writer.pid()).await;
    }
    journal.entries()
}

// proves: SIM-01
#[test]
fn one_seed_gives_one_run_and_other_seeds_other_interleavings() {
    let mut traces = BTreeSet::new();
    for seed in 0..32 {
        let first = run(seed, four_writers);
        assert_eq!(run(seed, four_writers), first, "seed {seed}");
        assert_eq!(first.0.len(), 16);
        for writer in 0..4 {
            let turns = first.0.iter().filter(|(of, _)| *of == writer).map(|(_, turn)| *turn);
            assert!(turns.eq(0..4), "each process goes on in its own order");
        }
        traces.insert(first.0);
    }
    assert!(traces.len() > 24, "{} interleavings by 32 seeds", traces.len());
}

// ---- A race, found by exploring

enum Count {
    Read(Reply<u64>),
    Write(u64),
}

impl Message for Count {}

async fn counter(mut cx: Cx<Count>) {
    let mut count = 0;
    loop {
        match cx.recv().await {
            Mail::Msg(Count::Read(reply)) => drop(reply.send(count)),
            Mail::Msg(Count::Write(next)) => count = next,
            Mail::Info(_) => {}
        }
    }
}

/// The planted race: two processes add one each, by a read and a write.
async fn two_adders(node: Node) -> u64 {
    let counter = node.spawn(counter);
    let adders: Vec<_> = (0..2)
        .map(|_| {
            let counter: Address<Count> = counter.clone();
            node.spawn(move |_: Cx<()>| async move {
                let count = counter.call(Count::Read).await.unwrap();
                counter.send(Count::Write(count + 1)).unwrap();
            })
        })
        .collect();
    for adder in adders {
        assert_eq!(node.wait_exit(adder.pid()).await, Reason::Normal);
    }
    counter.call(Count::Read).await.unwrap()
}

// proves: SIM-01, SIM-02
#[test]
fn a_lost_update_is_found_by_exploring_seeds_and_its_seed_replays_it() {
    let lost = (0..100).find(|&seed| run(seed, two_adders).0 == 1).expect("a seed that loses one");
    let kept = (0..100).find(|&seed| run(seed, two_adders).0 == 2).expect("a seed that loses none");
    let found = run(lost, two_adders);
    for _ in 0..10 {
        assert_eq!(run(lost, two_adders), found);
        assert_eq!(run(kept, two_adders).0, 2);
    }
}

// ---- Virtual time

#[derive(Clone)]
struct Ping(u64);

impl Message for Ping {}

// proves: SIM-03
#[test]
fn an_hour_of_timers_of_linden_and_of_tokio_runs_at_once_and_in_order() {
    let began = Instant::now();
    for seed in 0..8 {
        let (events, _) = run(seed, |node| async move {
            let journal = Journal::new();
            let (written, clock) = (journal.clone(), node.clone());
            let write = move |event| written.write((clock.uptime().as_secs() / 60, event));
            let receiver = {
                let write = write.clone();
                node.spawn(move |mut cx: Cx<Ping>| async move {
                    cx.send_after(&cx.address(), HOUR / 4, Ping(1));
                    cx.start_timer(HOUR / 2);
                    let cancelled = cx.send_after(&cx.address(), HOUR / 3, Ping(2));
                    let left = cx.cancel(&cancelled).unwrap();
                    assert!(left.abs_diff(HOUR / 3) <= TICK);
                    while let Some(mail) = cx.recv_timeout(HOUR).await {
                        match mail {
                            Mail::Msg(Ping(number)) => write(format!("ping {number}")),
                            Mail::Info(Info::Timer(_)) => write("timer".to_owned()),
                            Mail::Info(other) => panic!("{other:?}"),
                        }
                    }
                    write("quiet for an hour".to_owned());
                })
            };
            let sleeper = node.spawn(move |_: Cx<()>| async move {
                for nap in 1..=3 {
                    tokio::time::sleep(HOUR / 3).await;
                    write(format!("nap {nap}"));
                }
            });
            node.wait_exit(sleeper.pid()).await;
            node.wait_exit(receiver.pid()).await;
            journal.entries()
        });
        let expected = [
            (15, "ping 1"),
            (20, "nap 1"),
            (30, "timer"),
            (40, "nap 2"),
            (60, "nap 3"),
            (90, "quiet for an hour"),
        ];
        assert!(events.iter().map(|(at, event)| (*at, event.as_str())).eq(expected), "{events:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(120), "12 hours took {:?}", began.elapsed());
}

// proves: SIM-03
#[test]
fn an_interval_has_as_many_turns_as_virtual_time_has_periods() {
    let (turns, _) = run(3, |node| async move {
        let count = Arc::new(AtomicUsize::new(0));
        let seen = count.clone();
        let process = node.spawn(move |mut cx: Cx<Ping>| async move {
            cx.send_interval(&cx.address(), Duration::from_secs(1), Ping(0));
            while let Mail::Msg(Ping(_)) = cx.recv().await {
                seen.fetch_add(1, Ordering::Relaxed);
            }
        });
        tokio::time::sleep(HOUR + Duration::from_millis(500)).await;
        assert!(process.is_alive());
        count.load(Ordering::Relaxed)
    });
    assert_eq!(turns, 3600);
}

// proves: SIM-03
#[test]
fn timeouts_of_receives_and_calls_follow_virtual_time_to_the_tick() {
    for seed in 0..8 {
        run(seed, |node| async move {
            let silent = node.spawn(counter_that_never_answers);
            let body = |mut cx: Cx<()>| async move {
                let node = cx.node().clone();
                for millis in [0, 1, 2, 7, 999, 1000, 5000, 3_600_000, 86_400_000] {
                    let timeout = Duration::from_millis(millis);
                    let began = node.uptime();
                    assert_eq!(cx.recv_timeout(timeout).await, None);
                    assert_due(timeout, node.uptime() - began);
                    let began = node.uptime();
                    let answer = silent.call(Count::Read).timeout(timeout).await;
                    assert_eq!(answer, Err(CallError::Timeout));
                    assert_due(timeout, node.uptime() - began);
                }
                let began = node.uptime();
                assert_eq!(silent.call(Count::Read).await, Err(CallError::Timeout));
                assert_due(linden_core::CALL_TIMEOUT, node.uptime() - began);
            };
            stage::inside(&node, body).await;
        });
    }
}

async fn counter_that_never_answers(mut cx: Cx<Count>) {
    let mut kept = Vec::new();
    loop {
        kept.push(cx.recv().await);
    }
}

/// Never early, and late by no more than the tick it falls in; a wait of nothing takes nothing.
fn assert_due(timeout: Duration, took: Duration) {
    let slack = if timeout.is_zero() { Duration::ZERO } else { 2 * TICK };
    assert!(took >= timeout && took <= timeout + slack, "{timeout:?} took {took:?}");
}

// ---- Ends

// proves: SIM-04
#[test]
fn a_deadlock_panics_and_names_the_seed_and_the_processes() {
    let mut simulation = Simulation::with_options(4711, quiet());
    let node = simulation.node().clone();
    let said = catch_unwind(AssertUnwindSafe(|| {
        simulation.run(async {
            let stuck = node.spawn(|mut cx: Cx<()>| async move {
                cx.set_label("waits for nobody");
                drop(cx.recv().await);
            });
            node.wait_exit(stuck.pid()).await
        })
    }));
    let payload = said.unwrap_err();
    let said = payload.downcast_ref::<String>().unwrap();
    assert!(said.contains("seed 4711") && said.contains("waits for nobody"), "{said}");
}

/// Counts its drops.
struct Tally(Arc<AtomicUsize>);

impl Drop for Tally {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

async fn trap_for_ever(mut cx: Cx<()>, _tally: Tally) {
    cx.trap_exit(true);
    loop {
        cx.recv().await;
    }
}

async fn yield_for_ever(_tally: Tally) {
    loop {
        yield_now().await;
    }
}

// proves: SIM-05
#[test]
fn processes_of_a_simulation_end_when_it_is_dropped() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let mut simulation = Simulation::with_options(5, quiet());
    let node = simulation.node().clone();
    let unheard = simulation.run(async {
        let tally = Tally(dropped.clone());
        let trapping = node.spawn(|cx| trap_for_ever(cx, tally));
        let tally = Tally(dropped.clone());
        node.spawn(|_: Cx<()>| async move {
            let _tally = tally;
            tokio::time::sleep(HOUR).await;
        });
        let tally = Tally(dropped.clone());
        node.spawn(|_: Cx<()>| yield_for_ever(tally));
        // Never run before the drop.
        let tally = Tally(dropped.clone());
        yield_now().await;
        node.spawn(|_: Cx<()>| async move { drop(tally) });
        trapping
    });
    assert_eq!(node.process_count(), 4);
    drop(simulation);
    assert_eq!((dropped.load(Ordering::Relaxed), node.process_count()), (4, 0));
    assert!(!unheard.is_alive() && unheard.send(()).is_err());
    // What is spawned afterwards never runs.
    let late = node.spawn(|_: Cx<()>| async {});
    assert!(!late.is_alive());
}
