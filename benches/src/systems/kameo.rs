//! kameo: one actor type per role, `ask` and `tell`, unbounded mailboxes, and its own supervision
//! (`supervise` with a restart policy), which keeps the `ActorRef` and the mailbox over a restart.
//!
//! Built without its default features: neither macros nor tracing, which only cost. Callers are
//! tokio tasks, as everywhere in kameo programs: its actors are tasks too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kameo::actor::{Actor, ActorRef, Spawn};
use kameo::error::Infallible;
use kameo::mailbox;
use kameo::message::{Context, Message};
use tokio::runtime::Runtime;

use super::runtimes::{drive, multi_thread};
use crate::measure::{self, Latch, Params, Rounds};
use crate::outcome::{Metric, Unsupported};
use crate::scenario::{Scenario, Variant};

/// Does one scenario with kameo.
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
        Scenario::Http
        | Scenario::Runaway
        | Scenario::Scale
        | Scenario::Timers
        | Scenario::IdleCpu => return Err(Unsupported::takes_no_part()),
    })
}

fn start<A: Actor>(args: A::Args) -> ActorRef<A> {
    A::spawn_with_mailbox(args, mailbox::unbounded())
}

/// The server of `call`, `idle` and `restart`.
struct Counter {
    counter: u64,
}

impl Actor for Counter {
    type Args = ();
    type Error = Infallible;

    async fn on_start((): (), _myself: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Counter { counter: 0 })
    }
}

struct Increment;

impl Message<Increment> for Counter {
    type Reply = u64;

    async fn handle(&mut self, _msg: Increment, _cx: &mut Context<Self, u64>) -> u64 {
        self.counter += 1;
        self.counter
    }
}

struct Crash;

impl Message<Crash> for Counter {
    type Reply = ();

    async fn handle(&mut self, _msg: Crash, _cx: &mut Context<Self, ()>) {
        panic!("{}", measure::CRASH);
    }
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

fn start_counter(runtime: &Runtime) -> ActorRef<Counter> {
    drive(runtime, async { start::<Counter>(()) })
}

async fn calls(server: ActorRef<Counter>, params: Params) -> f64 {
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        let start = Instant::now();
        for _ in 0..measure::CALLS_A_ROUND {
            server.ask(Increment).send().await.expect("the server lives and answers");
        }
        rounds.record(measure::CALLS_A_ROUND, start.elapsed());
    }
    rounds.nanoseconds_each()
}

fn calls_from_outside(server: &ActorRef<Counter>, params: Params) -> f64 {
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        let start = Instant::now();
        for _ in 0..measure::CALLS_A_ROUND {
            server.ask(Increment).blocking_send().expect("the server lives and answers");
        }
        rounds.record(measure::CALLS_A_ROUND, start.elapsed());
    }
    rounds.nanoseconds_each()
}

/// Sends what it is told to send: the sender of `cast` and `fanin`.
struct Sender {
    receiver: ActorRef<Receiver>,
}

impl Actor for Sender {
    type Args = ActorRef<Receiver>;
    type Error = Infallible;

    async fn on_start(
        receiver: ActorRef<Receiver>,
        _myself: ActorRef<Self>,
    ) -> Result<Self, Infallible> {
        Ok(Sender { receiver })
    }
}

struct Flood {
    messages: u64,
}

impl Message<Flood> for Sender {
    type Reply = ();

    async fn handle(&mut self, msg: Flood, _cx: &mut Context<Self, ()>) {
        for value in 0..msg.messages {
            self.receiver.tell(value).send().await.expect("the receiver lives");
        }
    }
}

/// Counts what it gets: the receiver of `cast` and `fanin`.
struct Receiver {
    sum: u64,
    latch: Arc<Latch>,
}

impl Actor for Receiver {
    type Args = Arc<Latch>;
    type Error = Infallible;

    async fn on_start(latch: Arc<Latch>, _myself: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Receiver { sum: 0, latch })
    }
}

impl Message<u64> for Receiver {
    type Reply = ();

    async fn handle(&mut self, value: u64, _cx: &mut Context<Self, ()>) {
        self.sum = self.sum.wrapping_add(value);
        self.latch.count_down();
    }
}

async fn flood(senders: u64, params: Params) -> f64 {
    let latch = Arc::new(Latch::default());
    let receiver = start::<Receiver>(Arc::clone(&latch));
    let flood: Vec<_> = (0..senders).map(|_| start::<Sender>(receiver.clone())).collect();
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        latch.arm(measure::MESSAGES_A_ROUND);
        let start = Instant::now();
        for sender in &flood {
            let messages = measure::MESSAGES_A_ROUND / senders;
            sender.tell(Flood { messages }).send().await.expect("the sender lives");
        }
        latch.wait().await;
        rounds.record(measure::MESSAGES_A_ROUND, start.elapsed());
    }
    rounds.per_second()
}

/// The player that serves and counts laps.
struct Pinger {
    opponent: ActorRef<Ponger>,
    left: u64,
    latch: Arc<Latch>,
}

impl Actor for Pinger {
    type Args = Arc<Latch>;
    type Error = Infallible;

    async fn on_start(latch: Arc<Latch>, myself: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Pinger { opponent: start(myself), left: 0, latch })
    }
}

struct Serve {
    laps: u64,
}

impl Message<Serve> for Pinger {
    type Reply = ();

    async fn handle(&mut self, msg: Serve, _cx: &mut Context<Self, ()>) {
        self.left = msg.laps;
        self.opponent.tell(Ball).send().await.expect("the opponent lives");
    }
}

struct Ball;

impl Message<Ball> for Pinger {
    type Reply = ();

    async fn handle(&mut self, ball: Ball, _cx: &mut Context<Self, ()>) {
        self.left -= 1;
        if self.left == 0 {
            self.latch.count_down();
        } else {
            self.opponent.tell(ball).send().await.expect("the opponent lives");
        }
    }
}

/// The player that only plays back.
struct Ponger {
    opponent: ActorRef<Pinger>,
}

impl Actor for Ponger {
    type Args = ActorRef<Pinger>;
    type Error = Infallible;

    async fn on_start(
        opponent: ActorRef<Pinger>,
        _myself: ActorRef<Self>,
    ) -> Result<Self, Infallible> {
        Ok(Ponger { opponent })
    }
}

impl Message<Ball> for Ponger {
    type Reply = ();

    async fn handle(&mut self, ball: Ball, _cx: &mut Context<Self, ()>) {
        self.opponent.tell(ball).send().await.expect("the opponent lives");
    }
}

async fn pairs(params: Params) -> f64 {
    let latch = Arc::new(Latch::default());
    let pingers: Vec<_> =
        (0..measure::PAIRS).map(|_| start::<Pinger>(Arc::clone(&latch))).collect();
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        latch.arm(measure::PAIRS);
        let start = Instant::now();
        for pinger in &pingers {
            let serve = Serve { laps: measure::LAPS_A_ROUND };
            pinger.tell(serve).send().await.expect("the player lives");
        }
        latch.wait().await;
        rounds.record(2 * measure::PAIRS * measure::LAPS_A_ROUND, start.elapsed());
    }
    rounds.per_second()
}

/// One process of the ring.
struct Link {
    next: Option<ActorRef<Link>>,
    latch: Arc<Latch>,
}

impl Actor for Link {
    type Args = Link;
    type Error = Infallible;

    async fn on_start(link: Link, _myself: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(link)
    }
}

struct Next(ActorRef<Link>);

impl Message<Next> for Link {
    type Reply = ();

    async fn handle(&mut self, Next(next): Next, _cx: &mut Context<Self, ()>) {
        self.next = Some(next);
    }
}

struct Token {
    hops: u64,
}

impl Message<Token> for Link {
    type Reply = ();

    async fn handle(&mut self, Token { hops }: Token, _cx: &mut Context<Self, ()>) {
        if hops == 0 {
            self.latch.count_down();
        } else {
            let next = self.next.as_ref().expect("the ring is closed");
            next.tell(Token { hops: hops - 1 }).send().await.expect("the next link lives");
        }
    }
}

async fn ring(params: Params) -> f64 {
    let latch = Arc::new(Latch::default());
    let link = |next| start::<Link>(Link { next, latch: Arc::clone(&latch) });
    let first = link(None);
    let last = (1..measure::RING).fold(first.clone(), |next, _| link(Some(next)));
    first.tell(Next(last)).send().await.expect("the first of the ring lives");
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        latch.arm(1);
        let start = Instant::now();
        let token = Token { hops: measure::HOPS_A_ROUND };
        first.tell(token).send().await.expect("the first of the ring lives");
        latch.wait().await;
        rounds.record(measure::HOPS_A_ROUND, start.elapsed());
    }
    rounds.nanoseconds_each()
}

/// An actor to which nobody holds a reference ends as soon as it has started.
struct Ephemeral;

impl Actor for Ephemeral {
    type Args = ();
    type Error = Infallible;

    async fn on_start((): (), _myself: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Ephemeral)
    }
}

async fn spawn(params: Params) -> f64 {
    let mut rounds = Rounds::new(params.measure);
    let mut handles = Vec::with_capacity(measure::SPAWNS_A_ROUND as usize);
    while rounds.go_on() {
        let start = Instant::now();
        handles.extend(
            (0..measure::SPAWNS_A_ROUND)
                .map(|_| Ephemeral::prepare_with_mailbox(mailbox::unbounded()).spawn(())),
        );
        for handle in handles.drain(..) {
            let ended = handle.await.expect("the actor's task does not panic");
            assert!(ended.is_ok(), "the actor starts and ends normally");
        }
        rounds.record(measure::SPAWNS_A_ROUND, start.elapsed());
    }
    rounds.per_second()
}

/// A supervisor with kameo's default strategy, one for one.
struct Supervisor;

impl Actor for Supervisor {
    type Args = ();
    type Error = Infallible;

    async fn on_start((): (), _myself: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Supervisor)
    }
}

async fn start_supervised(supervisor: &ActorRef<Supervisor>) -> ActorRef<Counter> {
    Counter::supervise(supervisor, ())
        .restart_limit(u32::MAX, Duration::from_secs(1))
        .spawn_with_mailbox(mailbox::unbounded())
        .await
}

async fn idle(params: Params) -> Vec<Metric> {
    let supervisor = start::<Supervisor>(());
    let before = measure::rss_bytes();
    for _ in 0..params.idle_processes {
        let server = start_supervised(&supervisor).await;
        server.ask(Increment).send().await.expect("the server lives and answers");
    }
    measure::idle_metrics(before, measure::rss_bytes(), params.idle_processes)
}

async fn restart(params: Params) -> Vec<Metric> {
    let mut times = Vec::with_capacity(params.crashes as usize);
    for _ in 0..params.crashes / measure::CRASHES_A_SUPERVISOR {
        let supervisor = start::<Supervisor>(());
        let server = start_supervised(&supervisor).await;
        // What waits for the first start is lost when the first message already crashes.
        server.wait_for_startup().await;
        for _ in 0..measure::CRASHES_A_SUPERVISOR {
            let start = Instant::now();
            server.tell(Crash).send().await.expect("the server lives");
            // The call waits in the mailbox, which the new incarnation takes over.
            let counter = server.ask(Increment).send().await.expect("it is answered");
            times.push(start.elapsed());
            assert_eq!(counter, 1, "the state of the new incarnation is new");
        }
        supervisor.stop_gracefully().await.expect("the supervisor lives");
    }
    measure::restart_metrics(&times)
}
