//! Raw tokio: a task per process, an unbounded mpsc channel as mailbox, a oneshot channel per call.
//!
//! The least that one can write by hand, and so the floor that the actor systems are measured
//! against. Supervision is a task that awaits the `JoinHandle` of its child and starts it again.

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::runtimes::{drive, multi_thread};
use crate::measure::{self, Latch, Params, Rounds};
use crate::outcome::{Metric, Unsupported};
use crate::scenario::{Scenario, Variant};

/// Does one scenario on raw tokio.
pub(crate) fn run(
    scenario: Scenario,
    variant: Variant,
    params: Params,
) -> Result<Vec<Metric>, Unsupported> {
    let runtime = || multi_thread(params.workers);
    Ok(match scenario {
        Scenario::Call => vec![Metric::round_trip(call(variant, params))],
        Scenario::Cast => vec![Metric::messages(drive(&runtime(), flood(1, params)))],
        Scenario::Fanin => {
            vec![Metric::messages(drive(&runtime(), flood(measure::SENDERS, params)))]
        }
        Scenario::Pairs => vec![Metric::messages(drive(&runtime(), pairs(params)))],
        Scenario::Ring => vec![Metric::hop(drive(&runtime(), ring(params)))],
        Scenario::Spawn => vec![Metric::spawns(drive(&runtime(), spawn(params)))],
        Scenario::Idle => drive(&runtime(), idle(params)),
        Scenario::Restart => {
            measure::silence_crashes();
            drive(&runtime(), restart(params))
        }
        Scenario::Timers => vec![Metric::arm_cancel(drive(&runtime(), timers(params)))],
        Scenario::IdleCpu => drive(&runtime(), idle_cpu(params)),
        Scenario::Http | Scenario::Runaway | Scenario::Scale => {
            return Err(Unsupported::takes_no_part());
        }
    })
}

enum CounterMsg {
    Increment(oneshot::Sender<u64>),
    Crash,
}

type Counter = mpsc::UnboundedSender<CounterMsg>;

/// The server of `call`, `idle` and `restart`.
async fn counter(mut inbox: mpsc::UnboundedReceiver<CounterMsg>) {
    let mut counter = 0_u64;
    while let Some(msg) = inbox.recv().await {
        match msg {
            CounterMsg::Increment(reply) => {
                counter += 1;
                // The caller may have gone; then nobody wants the answer.
                let _ = reply.send(counter);
            }
            CounterMsg::Crash => panic!("{}", measure::CRASH),
        }
    }
}

fn ask(server: &Counter) -> oneshot::Receiver<u64> {
    let (reply, answer) = oneshot::channel();
    server.send(CounterMsg::Increment(reply)).expect("the server lives");
    answer
}

fn call(variant: Variant, params: Params) -> f64 {
    let workers = if variant == Variant::OneCore { 1 } else { params.workers };
    match variant {
        Variant::Default | Variant::OneCore => {
            let runtime = multi_thread(workers);
            let server = start_counter(&runtime);
            drive(&runtime, calls(server, params))
        }
        Variant::CrossWorker => {
            let (callers, servers) = (multi_thread(1), multi_thread(1));
            let server = start_counter(&servers);
            drive(&callers, calls(server, params))
        }
        Variant::Outside => {
            let runtime = multi_thread(workers);
            calls_from_outside(&start_counter(&runtime), params)
        }
        other => unreachable!("{other} is no variant of call"),
    }
}

fn start_counter(runtime: &Runtime) -> Counter {
    let (server, inbox) = mpsc::unbounded_channel();
    runtime.spawn(counter(inbox));
    server
}

async fn calls(server: Counter, params: Params) -> f64 {
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        let start = Instant::now();
        for _ in 0..measure::CALLS_A_ROUND {
            ask(&server).await.expect("the server answers");
        }
        rounds.record(measure::CALLS_A_ROUND, start.elapsed());
    }
    rounds.nanoseconds_each()
}

fn calls_from_outside(server: &Counter, params: Params) -> f64 {
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        let start = Instant::now();
        for _ in 0..measure::CALLS_A_ROUND {
            ask(server).blocking_recv().expect("the server answers");
        }
        rounds.record(measure::CALLS_A_ROUND, start.elapsed());
    }
    rounds.nanoseconds_each()
}

async fn flood(senders: u64, params: Params) -> f64 {
    let latch = Arc::new(Latch::default());
    let (receiver, mut inbox) = mpsc::unbounded_channel::<u64>();
    let counted = Arc::clone(&latch);
    tokio::spawn(async move {
        let mut sum = 0_u64;
        while let Some(value) = inbox.recv().await {
            sum = sum.wrapping_add(value);
            counted.count_down();
        }
        sum
    });
    let senders: Vec<_> = (0..senders)
        .map(|_| {
            let receiver = receiver.clone();
            let (go, mut orders) = mpsc::unbounded_channel::<u64>();
            tokio::spawn(async move {
                while let Some(messages) = orders.recv().await {
                    for value in 0..messages {
                        receiver.send(value).expect("the receiver lives");
                    }
                }
            });
            go
        })
        .collect();
    let each = measure::MESSAGES_A_ROUND / senders.len() as u64;
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        latch.arm(measure::MESSAGES_A_ROUND);
        let start = Instant::now();
        for go in &senders {
            go.send(each).expect("the sender lives");
        }
        latch.wait().await;
        rounds.record(measure::MESSAGES_A_ROUND, start.elapsed());
    }
    rounds.per_second()
}

enum Play {
    Serve { laps: u64 },
    Ball,
}

async fn pairs(params: Params) -> f64 {
    let latch = Arc::new(Latch::default());
    let players: Vec<_> = (0..measure::PAIRS).map(|_| start_pair(Arc::clone(&latch))).collect();
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        latch.arm(measure::PAIRS);
        let start = Instant::now();
        for player in &players {
            player.send(Play::Serve { laps: measure::LAPS_A_ROUND }).expect("the player lives");
        }
        latch.wait().await;
        rounds.record(2 * measure::PAIRS * measure::LAPS_A_ROUND, start.elapsed());
    }
    rounds.per_second()
}

fn start_pair(latch: Arc<Latch>) -> mpsc::UnboundedSender<Play> {
    let (pinger, mut pinger_inbox) = mpsc::unbounded_channel();
    let (ponger, mut ponger_inbox) = mpsc::unbounded_channel();
    let back = pinger.clone();
    tokio::spawn(async move {
        while let Some(ball) = ponger_inbox.recv().await {
            if back.send(ball).is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        let mut left = 0;
        while let Some(ball) = pinger_inbox.recv().await {
            match ball {
                Play::Serve { laps } => left = laps,
                Play::Ball => left -= 1,
            }
            if left == 0 {
                latch.count_down();
            } else {
                ponger.send(Play::Ball).expect("the other player lives");
            }
        }
    });
    pinger
}

async fn ring(params: Params) -> f64 {
    let latch = Arc::new(Latch::default());
    let (first, first_inbox) = mpsc::unbounded_channel::<u64>();
    let mut next = first.clone();
    for _ in 1..measure::RING {
        let (this, inbox) = mpsc::unbounded_channel();
        tokio::spawn(pass_on(inbox, next, Arc::clone(&latch)));
        next = this;
    }
    tokio::spawn(pass_on(first_inbox, next, Arc::clone(&latch)));
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        latch.arm(1);
        let start = Instant::now();
        first.send(measure::HOPS_A_ROUND).expect("the first of the ring lives");
        latch.wait().await;
        rounds.record(measure::HOPS_A_ROUND, start.elapsed());
    }
    rounds.nanoseconds_each()
}

async fn pass_on(
    mut inbox: mpsc::UnboundedReceiver<u64>,
    next: mpsc::UnboundedSender<u64>,
    latch: Arc<Latch>,
) {
    while let Some(hops) = inbox.recv().await {
        if hops == 0 {
            latch.count_down();
        } else if next.send(hops - 1).is_err() {
            break;
        }
    }
}

async fn spawn(params: Params) -> f64 {
    let mut rounds = Rounds::new(params.measure);
    let mut handles = Vec::with_capacity(measure::SPAWNS_A_ROUND as usize);
    while rounds.go_on() {
        let start = Instant::now();
        handles.extend((0..measure::SPAWNS_A_ROUND).map(|_| tokio::spawn(async {})));
        for handle in handles.drain(..) {
            handle.await.expect("a task that does nothing does not panic");
        }
        rounds.record(measure::SPAWNS_A_ROUND, start.elapsed());
    }
    rounds.per_second()
}

/// Arms a timer: one that nobody has polled is none yet.
fn arm() -> std::pin::Pin<Box<tokio::time::Sleep>> {
    let mut timer = Box::pin(tokio::time::sleep(measure::TIMER_DELAY));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(timer.as_mut().poll(&mut cx).is_pending());
    timer
}

async fn timers(params: Params) -> f64 {
    let armed: Vec<_> = (0..measure::TIMERS_ARMED).map(|_| arm()).collect();
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        let start = Instant::now();
        for _ in 0..measure::TIMERS_A_ROUND {
            drop(arm());
        }
        rounds.record(measure::TIMERS_A_ROUND, start.elapsed());
    }
    drop(armed);
    rounds.nanoseconds_each()
}

async fn idle_cpu(params: Params) -> Vec<Metric> {
    let mut servers = Vec::new();
    for _ in 0..measure::WAITING {
        let (server, inbox) = mpsc::unbounded_channel();
        tokio::spawn(counter(inbox));
        ask(&server).await.expect("the server answers");
        servers.push(server);
    }
    let before = measure::processor_time();
    tokio::time::sleep(params.idle).await;
    measure::idle_cpu_metrics(before, measure::processor_time(), params.idle)
}

async fn idle(params: Params) -> Vec<Metric> {
    let before = measure::rss_bytes();
    let mut supervised = JoinSet::new();
    let mut servers = Vec::with_capacity(params.idle_processes as usize);
    for _ in 0..params.idle_processes {
        let (server, inbox) = mpsc::unbounded_channel();
        supervised.spawn(counter(inbox));
        ask(&server).await.expect("the server answers");
        servers.push(server);
    }
    measure::idle_metrics(before, measure::rss_bytes(), params.idle_processes)
}

async fn restart(params: Params) -> Vec<Metric> {
    let mut times = Vec::with_capacity(params.crashes as usize);
    for _ in 0..params.crashes / measure::CRASHES_A_SUPERVISOR {
        let (announce, mut incarnations) = mpsc::unbounded_channel();
        tokio::spawn(supervise(announce));
        let mut server = incarnations.recv().await.expect("the supervisor starts its child");
        for _ in 0..measure::CRASHES_A_SUPERVISOR {
            let start = Instant::now();
            server.send(CounterMsg::Crash).expect("the server lives");
            server = incarnations.recv().await.expect("the supervisor restarts its child");
            let counter = ask(&server).await.expect("the new server answers");
            times.push(start.elapsed());
            assert_eq!(counter, 1, "the state of the new incarnation is new");
        }
    }
    measure::restart_metrics(&times)
}

/// Keeps one counter alive until it ends normally; tells the address of each incarnation, because
/// a channel dies with the task that reads it.
async fn supervise(announce: mpsc::UnboundedSender<Counter>) {
    loop {
        let (server, inbox) = mpsc::unbounded_channel();
        let child = tokio::spawn(counter(inbox));
        if announce.send(server).is_err() || child.await.is_ok() {
            return;
        }
    }
}
