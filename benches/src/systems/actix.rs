//! actix: one actor type per role, `send` and `do_send` on `Addr`, `Supervisor::start`.
//!
//! An actix worker is an arbiter: a thread with its own event loop. The first is the system's own
//! thread, the others are started here. An actor stays on the arbiter where it was started, so the
//! placement is the program's; it is stated at each scenario.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::time::timeout;

use crate::measure::{self, Latch, Params, Rounds};
use crate::outcome::{Metric, Unsupported};
use crate::scenario::{Scenario, Variant};

/// How long a supervised actor is given to come back after a panic.
const PATIENCE: Duration = Duration::from_secs(2);

/// Does one scenario with actix.
pub(crate) fn run(
    scenario: Scenario,
    variant: Variant,
    params: Params,
) -> Result<Vec<Metric>, Unsupported> {
    let workers = if variant == Variant::OneCore { 1 } else { params.workers };
    let system = System::new();
    system.block_on(async move {
        let arbiters = arbiters(workers);
        Ok(match scenario {
            Scenario::Call => vec![Metric::round_trip(call(variant, &arbiters, params).await)],
            Scenario::Cast => vec![Metric::messages(flood(1, &arbiters, params).await)],
            Scenario::Fanin => {
                vec![Metric::messages(flood(measure::SENDERS, &arbiters, params).await)]
            }
            Scenario::Pairs => vec![Metric::messages(pairs(&arbiters, params).await)],
            Scenario::Ring => vec![Metric::hop(ring(params).await)],
            Scenario::Spawn => vec![Metric::spawns(spawn(params).await)],
            Scenario::Idle => idle(&arbiters, params).await,
            Scenario::Restart => {
                measure::silence_crashes();
                restart(params).await?
            }
            Scenario::Http
            | Scenario::Runaway
            | Scenario::Scale
            | Scenario::Timers
            | Scenario::IdleCpu => return Err(Unsupported::takes_no_part()),
        })
    })
}

/// The system's own arbiter and as many more as there are further workers. They live until this OS
/// process ends.
fn arbiters(workers: usize) -> Vec<ArbiterHandle> {
    let further = (1..workers).map(|_| Arbiter::new().handle());
    std::iter::once(Arbiter::current()).chain(further).collect()
}

fn last(arbiters: &[ArbiterHandle]) -> &ArbiterHandle {
    arbiters.last().expect("a system has an arbiter")
}

/// The server of `call`, `idle` and `restart`.
#[derive(Default)]
struct Counter {
    counter: u64,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Supervised for Counter {
    fn restarting(&mut self, _cx: &mut Context<Self>) {
        self.counter = 0;
    }
}

struct Increment;

impl Message for Increment {
    type Result = u64;
}

impl Handler<Increment> for Counter {
    type Result = u64;

    fn handle(&mut self, _msg: Increment, _cx: &mut Context<Self>) -> u64 {
        self.counter += 1;
        self.counter
    }
}

struct Crash;

impl Message for Crash {
    type Result = ();
}

impl Handler<Crash> for Counter {
    type Result = ();

    fn handle(&mut self, _msg: Crash, _cx: &mut Context<Self>) {
        panic!("{}", measure::CRASH);
    }
}

/// The server is on the last arbiter; the caller is a task on the first, or a thread outside.
async fn call(variant: Variant, arbiters: &[ArbiterHandle], params: Params) -> f64 {
    let server = Counter::start_in_arbiter(last(arbiters), |_| Counter::default());
    if variant == Variant::Outside {
        let (done, result) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || done.send(calls_from_outside(&server, params)));
        return result.await.expect("the caller does not panic");
    }
    actix::spawn(calls(server, params)).await.expect("the caller does not panic")
}

async fn calls(server: Addr<Counter>, params: Params) -> f64 {
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        let start = Instant::now();
        for _ in 0..measure::CALLS_A_ROUND {
            server.send(Increment).await.expect("the server lives and answers");
        }
        rounds.record(measure::CALLS_A_ROUND, start.elapsed());
    }
    rounds.nanoseconds_each()
}

/// actix has no blocking call; a thread outside blocks on the future with a runtime of its own.
fn calls_from_outside(server: &Addr<Counter>, params: Params) -> f64 {
    let blocking =
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        let start = Instant::now();
        for _ in 0..measure::CALLS_A_ROUND {
            blocking.block_on(server.send(Increment)).expect("the server lives and answers");
        }
        rounds.record(measure::CALLS_A_ROUND, start.elapsed());
    }
    rounds.nanoseconds_each()
}

/// Sends what it is told to send: the sender of `cast` and `fanin`.
struct Sender {
    receiver: Addr<Receiver>,
}

impl Actor for Sender {
    type Context = Context<Self>;
}

struct Flood {
    messages: u64,
}

impl Message for Flood {
    type Result = ();
}

impl Handler<Flood> for Sender {
    type Result = ();

    fn handle(&mut self, msg: Flood, _cx: &mut Context<Self>) {
        for value in 0..msg.messages {
            self.receiver.do_send(Note { value });
        }
    }
}

/// Counts what it gets: the receiver of `cast` and `fanin`.
struct Receiver {
    sum: u64,
    latch: Arc<Latch>,
}

impl Actor for Receiver {
    type Context = Context<Self>;
}

struct Note {
    value: u64,
}

impl Message for Note {
    type Result = ();
}

impl Handler<Note> for Receiver {
    type Result = ();

    fn handle(&mut self, note: Note, _cx: &mut Context<Self>) {
        self.sum = self.sum.wrapping_add(note.value);
        self.latch.count_down();
    }
}

/// The receiver is on the last arbiter, the senders are on all of them in turn (one: on the first).
async fn flood(senders: u64, arbiters: &[ArbiterHandle], params: Params) -> f64 {
    let latch = Arc::new(Latch::default());
    let counted = Arc::clone(&latch);
    let receiver =
        Receiver::start_in_arbiter(last(arbiters), |_| Receiver { sum: 0, latch: counted });
    let flood: Vec<_> = (0..senders)
        .zip(arbiters.iter().cycle())
        .map(|(_, arbiter)| {
            let receiver = receiver.clone();
            Sender::start_in_arbiter(arbiter, |_| Sender { receiver })
        })
        .collect();
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        latch.arm(measure::MESSAGES_A_ROUND);
        let start = Instant::now();
        for sender in &flood {
            sender.do_send(Flood { messages: measure::MESSAGES_A_ROUND / senders });
        }
        latch.wait().await;
        rounds.record(measure::MESSAGES_A_ROUND, start.elapsed());
    }
    rounds.per_second()
}

/// The player that serves and counts laps.
struct Pinger {
    opponent: Addr<Ponger>,
    left: u64,
    latch: Arc<Latch>,
}

impl Actor for Pinger {
    type Context = Context<Self>;
}

struct Serve {
    laps: u64,
}

impl Message for Serve {
    type Result = ();
}

impl Handler<Serve> for Pinger {
    type Result = ();

    fn handle(&mut self, serve: Serve, _cx: &mut Context<Self>) {
        self.left = serve.laps;
        self.opponent.do_send(Ball);
    }
}

struct Ball;

impl Message for Ball {
    type Result = ();
}

impl Handler<Ball> for Pinger {
    type Result = ();

    fn handle(&mut self, ball: Ball, _cx: &mut Context<Self>) {
        self.left -= 1;
        if self.left == 0 {
            self.latch.count_down();
        } else {
            self.opponent.do_send(ball);
        }
    }
}

/// The player that only plays back.
struct Ponger {
    opponent: Addr<Pinger>,
}

impl Actor for Ponger {
    type Context = Context<Self>;
}

impl Handler<Ball> for Ponger {
    type Result = ();

    fn handle(&mut self, ball: Ball, _cx: &mut Context<Self>) {
        self.opponent.do_send(ball);
    }
}

/// The pairs are on all arbiters in turn, the two players of a pair on the same one.
async fn pairs(arbiters: &[ArbiterHandle], params: Params) -> f64 {
    let latch = Arc::new(Latch::default());
    let pingers: Vec<_> = (0..measure::PAIRS)
        .zip(arbiters.iter().cycle())
        .map(|(_, arbiter)| {
            let latch = Arc::clone(&latch);
            Pinger::start_in_arbiter(arbiter, |cx| {
                let opponent = Ponger { opponent: cx.address() }.start();
                Pinger { opponent, left: 0, latch }
            })
        })
        .collect();
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        latch.arm(measure::PAIRS);
        let start = Instant::now();
        for pinger in &pingers {
            pinger.do_send(Serve { laps: measure::LAPS_A_ROUND });
        }
        latch.wait().await;
        rounds.record(2 * measure::PAIRS * measure::LAPS_A_ROUND, start.elapsed());
    }
    rounds.per_second()
}

/// One process of the ring.
struct Link {
    next: Option<Addr<Link>>,
    latch: Arc<Latch>,
}

impl Actor for Link {
    type Context = Context<Self>;
}

struct Next(Addr<Link>);

impl Message for Next {
    type Result = ();
}

impl Handler<Next> for Link {
    type Result = ();

    fn handle(&mut self, Next(next): Next, _cx: &mut Context<Self>) {
        self.next = Some(next);
    }
}

struct Token {
    hops: u64,
}

impl Message for Token {
    type Result = ();
}

impl Handler<Token> for Link {
    type Result = ();

    fn handle(&mut self, Token { hops }: Token, _cx: &mut Context<Self>) {
        if hops == 0 {
            self.latch.count_down();
        } else {
            let next = self.next.as_ref().expect("the ring is closed");
            next.do_send(Token { hops: hops - 1 });
        }
    }
}

/// The whole ring is on one arbiter: that is where `start` puts it, and it is the best for actix.
async fn ring(params: Params) -> f64 {
    let latch = Arc::new(Latch::default());
    let link = |next| Link { next, latch: Arc::clone(&latch) }.start();
    let first = link(None);
    let end = (1..measure::RING).fold(first.clone(), |next, _| link(Some(next)));
    first.do_send(Next(end));
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        latch.arm(1);
        let start = Instant::now();
        first.do_send(Token { hops: measure::HOPS_A_ROUND });
        latch.wait().await;
        rounds.record(measure::HOPS_A_ROUND, start.elapsed());
    }
    rounds.nanoseconds_each()
}

/// Stops as soon as it runs.
struct Ephemeral {
    latch: Arc<Latch>,
}

impl Actor for Ephemeral {
    type Context = Context<Self>;

    fn started(&mut self, cx: &mut Context<Self>) {
        cx.stop();
    }

    fn stopped(&mut self, _cx: &mut Context<Self>) {
        self.latch.count_down();
    }
}

/// All on the arbiter of the spawner: that is where `start` puts them.
async fn spawn(params: Params) -> f64 {
    let latch = Arc::new(Latch::default());
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        latch.arm(measure::SPAWNS_A_ROUND);
        let start = Instant::now();
        for _ in 0..measure::SPAWNS_A_ROUND {
            Ephemeral { latch: Arc::clone(&latch) }.start();
        }
        latch.wait().await;
        rounds.record(measure::SPAWNS_A_ROUND, start.elapsed());
    }
    rounds.per_second()
}

/// Each arbiter starts and calls its share; the addresses are kept, an actor without one ends.
async fn idle(arbiters: &[ArbiterHandle], params: Params) -> Vec<Metric> {
    let before = measure::rss_bytes();
    let share = params.idle_processes / arbiters.len() as u64;
    let mut results = Vec::new();
    for arbiter in arbiters {
        let (done, result) = tokio::sync::oneshot::channel();
        arbiter.spawn(async move {
            let mut servers = Vec::with_capacity(share as usize);
            for _ in 0..share {
                let server = actix::Supervisor::start(|_| Counter::default());
                server.send(Increment).await.expect("the server lives and answers");
                servers.push(server);
            }
            // The scenario may be over because another share failed.
            let _ = done.send(servers);
        });
        results.push(result);
    }
    let mut servers = Vec::new();
    for result in results {
        servers.push(result.await.expect("the share is started"));
    }
    let started = servers.iter().map(|share| share.len() as u64).sum();
    measure::idle_metrics(before, measure::rss_bytes(), started)
}

/// actix restarts an actor whose context stops, not one that panics: seen here, not assumed.
async fn restart(params: Params) -> Result<Vec<Metric>, Unsupported> {
    let mut times = Vec::with_capacity(params.crashes as usize);
    for _ in 0..params.crashes / measure::CRASHES_A_SUPERVISOR {
        let server = actix::Supervisor::start(|_| Counter::default());
        for _ in 0..measure::CRASHES_A_SUPERVISOR {
            let start = Instant::now();
            server.do_send(Crash);
            answer_after_crash(&server).await?;
            times.push(start.elapsed());
        }
    }
    Ok(measure::restart_metrics(&times))
}

async fn answer_after_crash(server: &Addr<Counter>) -> Result<(), Unsupported> {
    let answer = timeout(PATIENCE, async {
        // An answer of the old incarnation cannot come: the crash is before it in the mailbox.
        while server.send(Increment).await != Ok(1) {
            tokio::task::yield_now().await;
        }
    });
    answer.await.map_err(|_| {
        let seen = if server.connected() { "its mailbox is open" } else { "its mailbox is closed" };
        Unsupported(format!(
            "a supervised actor does not come back after a panic: no answer for {} s, {seen}",
            PATIENCE.as_secs()
        ))
    })
}
