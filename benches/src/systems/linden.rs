//! Linden: a gen_server per role, written by the macro; typed clients; a real supervisor with crash reports formatted.
//!
//! Everything of a node is switched on: timers, reactor, watch, accounts, a default timeout on each call. Drivers are
//! processes of the node (a `Task`), but in `outside`.

mod http;
mod runaway;

use std::sync::Arc;
use std::time::{Duration, Instant};

use linden::config::LogConfig;
use linden::log::Lines;
use linden::prelude::*;
use linden::{Cx, Mail, Message, NodeOptions};
use tracing_subscriber::EnvFilter;

use crate::measure::{self, Latch, Params, Rounds};
use crate::outcome::{Metric, Unsupported};
use crate::scenario::{Scenario, Variant};

/// Does one scenario with Linden.
pub(crate) fn run(
    scenario: Scenario,
    variant: Variant,
    params: Params,
) -> Result<Vec<Metric>, Unsupported> {
    let node = || start(params.workers);
    Ok(match scenario {
        Scenario::Call => vec![Metric::round_trip(call(variant, params))],
        Scenario::Cast => vec![Metric::messages(drive(&node(), flood(1, params)))],
        Scenario::Fanin => vec![Metric::messages(drive(&node(), flood(measure::SENDERS, params)))],
        Scenario::Pairs => vec![Metric::messages(drive(&node(), pairs(params)))],
        Scenario::Ring => vec![Metric::hop(drive(&node(), ring(params)))],
        Scenario::Spawn => vec![Metric::spawns(spawn(&node(), params))],
        Scenario::Idle => drive(&node(), idle(params)),
        Scenario::Restart => {
            measure::silence_crashes();
            format_reports();
            restart(&node(), params)
        }
        Scenario::Http => http::serve(variant, params)?,
        Scenario::Runaway => runaway::run(variant, params)?,
        Scenario::Timers => vec![Metric::arm_cancel(timers(&node(), params))],
        Scenario::IdleCpu => drive(&node(), idle_cpu(params)),
        Scenario::Scale => return Err(Unsupported("is a program of its own".to_owned())),
    })
}

fn start(workers: usize) -> Node {
    let options = NodeOptions {
        workers,
        exit_listener: Some(Arc::new(linden::CrashReporter)),
        ..NodeOptions::default()
    };
    Node::start(options).expect("the node starts")
}

/// Runs a future as a process of the node.
fn drive<T: Send + 'static>(node: &Node, future: impl Future<Output = T> + Send + 'static) -> T {
    let _inside = node.enter();
    let task = Task::spawn_unlinked(future);
    node.block_on(task).expect("the driver does not crash")
}

/// Crash and supervisor reports are formatted by the layer and the filter of a node's own log, and the text thrown away.
fn format_reports() {
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let log = LogConfig::default();
    let lines = Lines::new(log.format).write_to(|line| {
        std::hint::black_box(line);
    });
    let filter = EnvFilter::new(log.directives());
    tracing_subscriber::registry().with(filter).with(lines).init();
}

/// The server of `call`, `idle` and `restart`.
#[derive(Default, Debug)]
struct Counter {
    counter: u64,
}

#[gen_server]
impl Counter {
    #[call]
    fn increment(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
}

fn call(variant: Variant, params: Params) -> f64 {
    let workers = if variant == Variant::OneCore { 1 } else { params.workers };
    match variant {
        Variant::Default | Variant::OneCore => {
            let node = start(workers);
            let server = start_counter(&node);
            drive(&node, calls(server, params))
        }
        Variant::CrossWorker => {
            let (callers, servers) = (start(1), start(1));
            let server = start_counter(&servers);
            drive(&callers, calls(server, params))
        }
        Variant::Outside => {
            let node = start(workers);
            calls_from_outside(&node, &start_counter(&node), params)
        }
        other => unreachable!("{other} is no variant of call"),
    }
}

fn start_counter(node: &Node) -> CounterClient {
    let started = node.block_on(Counter::start_on(node, Counter::default));
    started.expect("the counter starts")
}

async fn ask(server: &CounterClient) -> u64 {
    server.increment().await.expect("the server lives and answers")
}

async fn calls(server: CounterClient, params: Params) -> f64 {
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        let start = Instant::now();
        for _ in 0..measure::CALLS_A_ROUND {
            ask(&server).await;
        }
        rounds.record(measure::CALLS_A_ROUND, start.elapsed());
    }
    rounds.nanoseconds_each()
}

fn calls_from_outside(node: &Node, server: &CounterClient, params: Params) -> f64 {
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        let start = Instant::now();
        for _ in 0..measure::CALLS_A_ROUND {
            node.block_on(ask(server));
        }
        rounds.record(measure::CALLS_A_ROUND, start.elapsed());
    }
    rounds.nanoseconds_each()
}

/// Sends what it is told to send: the sender of `cast` and `fanin`.
struct Sender {
    receiver: ReceiverClient,
}

#[gen_server]
impl Sender {
    #[cast]
    fn flood(&mut self, messages: u64) {
        for value in 0..messages {
            self.receiver.add(value);
        }
    }
}

/// Counts what it gets: their receiver.
struct Receiver {
    sum: u64,
    latch: Arc<Latch>,
}

#[gen_server]
impl Receiver {
    #[cast]
    fn add(&mut self, value: u64) {
        self.sum = self.sum.wrapping_add(value);
        self.latch.count_down();
    }
}

async fn flood(senders: u64, params: Params) -> f64 {
    let latch = Arc::new(Latch::default());
    let counted = Arc::clone(&latch);
    let receiver = Receiver::start(move || Receiver { sum: 0, latch: counted }).await;
    let receiver = receiver.expect("the receiver starts");
    let mut flood = Vec::new();
    for _ in 0..senders {
        let receiver = receiver.clone();
        flood.push(Sender::start(move || Sender { receiver }).await.expect("the sender starts"));
    }
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        latch.arm(measure::MESSAGES_A_ROUND);
        let start = Instant::now();
        for sender in &flood {
            sender.flood(measure::MESSAGES_A_ROUND / senders);
        }
        latch.wait().await;
        rounds.record(measure::MESSAGES_A_ROUND, start.elapsed());
    }
    rounds.per_second()
}

/// Either end of a pair; only the one that serves counts laps.
struct Player {
    opponent: Option<PlayerClient>,
    /// Counts laps when there is a latch to tell.
    latch: Option<Arc<Latch>>,
    left: u64,
}

#[gen_server]
impl Player {
    #[cast]
    fn meet(&mut self, opponent: PlayerClient) {
        self.opponent = Some(opponent);
    }

    #[cast]
    fn serve(&mut self, laps: u64) {
        self.left = laps;
        self.play();
    }

    #[cast]
    fn ball(&mut self) {
        if self.latch.is_some() {
            self.left -= 1;
        }
        self.play();
    }

    fn play(&self) {
        match (&self.latch, &self.opponent) {
            (Some(latch), _) if self.left == 0 => latch.count_down(),
            (_, Some(opponent)) => opponent.ball(),
            _ => {}
        }
    }
}

async fn pairs(params: Params) -> f64 {
    let latch = Arc::new(Latch::default());
    let mut servers = Vec::new();
    for _ in 0..measure::PAIRS {
        servers.push(start_pair(Arc::clone(&latch)).await);
    }
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        latch.arm(measure::PAIRS);
        let start = Instant::now();
        for server in &servers {
            server.serve(measure::LAPS_A_ROUND);
        }
        latch.wait().await;
        rounds.record(2 * measure::PAIRS * measure::LAPS_A_ROUND, start.elapsed());
    }
    rounds.per_second()
}

async fn start_pair(latch: Arc<Latch>) -> PlayerClient {
    let pinger = move || Player { opponent: None, latch: Some(latch), left: 0 };
    let pinger = Player::start(pinger).await.expect("the player starts");
    let opponent = pinger.clone();
    let ponger = move || Player { opponent: Some(opponent), latch: None, left: 0 };
    let ponger = Player::start(ponger).await.expect("the player starts");
    pinger.meet(ponger);
    pinger
}

/// One process of the ring.
struct Link {
    next: Option<LinkClient>,
    latch: Arc<Latch>,
}

#[gen_server]
impl Link {
    #[cast]
    fn close(&mut self, next: LinkClient) {
        self.next = Some(next);
    }

    #[cast]
    fn token(&mut self, hops: u64) {
        match &self.next {
            _ if hops == 0 => self.latch.count_down(),
            Some(next) => next.token(hops - 1),
            None => panic!("the ring is open"),
        }
    }
}

async fn ring(params: Params) -> f64 {
    let latch = Arc::new(Latch::default());
    let place = |next| {
        let latch = Arc::clone(&latch);
        Link::start(move || Link { next, latch })
    };
    let first = place(None).await.expect("the link starts");
    let mut next = first.clone();
    for _ in 1..measure::RING {
        next = place(Some(next)).await.expect("the link starts");
    }
    first.close(next);
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        latch.arm(1);
        let start = Instant::now();
        first.token(measure::HOPS_A_ROUND);
        latch.wait().await;
        rounds.record(measure::HOPS_A_ROUND, start.elapsed());
    }
    rounds.nanoseconds_each()
}

/// Monitors each process and waits for its `Down`.
fn spawn(node: &Node, params: Params) -> f64 {
    let (told, rate) = linden::reply_channel();
    node.spawn(async move |mut cx: Cx<()>| {
        let mut rounds = Rounds::new(params.measure);
        while rounds.go_on() {
            let start = Instant::now();
            for _ in 0..measure::SPAWNS_A_ROUND {
                cx.spawn_monitor(async |_: Cx<()>| ());
            }
            let mut left = measure::SPAWNS_A_ROUND;
            while left > 0 {
                if let Mail::Info(Info::Down { .. }) = cx.recv().await {
                    left -= 1;
                }
            }
            rounds.record(measure::SPAWNS_A_ROUND, start.elapsed());
        }
        told.send(rounds.per_second());
    });
    node.block_on(rate).expect("the driver does not crash")
}

async fn supervisor_of_counters() -> DynamicRef<()> {
    let supervisor = DynamicSupervisor::new(|(): &()| Counter::default);
    supervisor.start().await.expect("the supervisor starts")
}

/// Starts so many, each of which answers a call.
async fn start_counters(supervisor: &DynamicRef<()>, count: u64) {
    let node = Node::current().expect("the driver runs on the node");
    for _ in 0..count {
        let pid = supervisor.start_child(()).await.expect("the counter starts");
        let server = ServerRef::by_pid(&node, pid).expect("the counter lives");
        ask(&CounterClient::from(server)).await;
    }
}

async fn idle(params: Params) -> Vec<Metric> {
    let supervisor = supervisor_of_counters().await;
    let before = measure::rss_bytes();
    start_counters(&supervisor, params.idle_processes).await;
    measure::idle_metrics(before, measure::rss_bytes(), params.idle_processes)
}

/// In a process, for a timer is armed by one: it would send it a message.
fn timers(node: &Node, params: Params) -> f64 {
    let (told, figure) = linden::reply_channel();
    node.spawn(|cx: Cx<()>| async move {
        for _ in 0..measure::TIMERS_ARMED {
            cx.start_timer(measure::TIMER_DELAY);
        }
        let mut rounds = Rounds::new(params.measure);
        while rounds.go_on() {
            let start = Instant::now();
            for _ in 0..measure::TIMERS_A_ROUND {
                let timer = cx.start_timer(measure::TIMER_DELAY);
                assert!(cx.cancel(&timer).is_some());
            }
            rounds.record(measure::TIMERS_A_ROUND, start.elapsed());
        }
        told.send(rounds.nanoseconds_each());
    });
    node.block_on(figure).expect("the driver does not crash")
}

async fn idle_cpu(params: Params) -> Vec<Metric> {
    let supervisor = supervisor_of_counters().await;
    start_counters(&supervisor, measure::WAITING).await;
    let before = measure::processor_time();
    tokio::time::sleep(params.idle).await;
    measure::idle_cpu_metrics(before, measure::processor_time(), params.idle)
}

/// A counter that tells the driver of each of its incarnations, and crashes on demand.
#[derive(Debug)]
struct Crasher {
    counter: u64,
    driver: linden::Address<Incarnation>,
}

struct Incarnation(CrasherClient);

impl Message for Incarnation {}

#[gen_server]
impl Crasher {
    #[init]
    fn announce(&mut self, cx: &mut Context<Self>) -> Result<(), Stop> {
        self.driver.send(Incarnation(cx.client()))?;
        Ok(())
    }

    #[call]
    fn increment(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    #[cast]
    fn crash(&mut self) {
        panic!("{}", measure::CRASH);
    }
}

fn restart(node: &Node, params: Params) -> Vec<Metric> {
    let (told, times) = linden::reply_channel();
    node.spawn(async move |mut cx: Cx<Incarnation>| {
        let mut times = Vec::with_capacity(params.crashes as usize);
        for _ in 0..params.crashes / measure::CRASHES_A_SUPERVISOR {
            let driver = cx.address();
            let crasher = move || Crasher { counter: 0, driver: driver.clone() };
            let supervisor = Supervisor::one_for_one()
                .intensity(measure::CRASHES_A_SUPERVISOR as u32, Duration::from_secs(1))
                .child(child("crasher", crasher));
            let supervisor = supervisor.start().await.expect("the supervisor starts");
            let mut server = incarnation(&mut cx).await;
            for _ in 0..measure::CRASHES_A_SUPERVISOR {
                let start = Instant::now();
                server.crash();
                server = incarnation(&mut cx).await;
                let counter = server.increment().await.expect("the new incarnation answers");
                times.push(start.elapsed());
                assert_eq!(counter, 1, "the state of the new incarnation is new");
            }
            supervisor.stop(Reason::Shutdown).await.expect("the supervisor stops");
        }
        told.send(times);
    });
    let times = node.block_on(times).expect("the driver does not crash");
    measure::restart_metrics(&times)
}

async fn incarnation(cx: &mut Cx<Incarnation>) -> CrasherClient {
    match cx.recv().await {
        Mail::Msg(Incarnation(server)) => server,
        Mail::Info(info) => panic!("the driver watches nobody: {info:?}"),
    }
}
