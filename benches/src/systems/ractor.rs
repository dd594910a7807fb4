//! ractor: one actor type per role, `call` and `cast` on `ActorRef`, `spawn_linked` under a
//! supervisor actor that starts a failed child again in `handle_supervisor_evt`.
//!
//! Built without `message_span_propogation` (it only costs) and without a tracing subscriber.
//! Callers are tokio tasks, as everywhere in ractor programs: its actors are tasks too.

use std::sync::Arc;
use std::time::Instant;

use ractor::rpc::CallResult;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::runtimes::{drive, multi_thread};
use crate::measure::{self, Latch, Params, Rounds};
use crate::outcome::{Metric, Unsupported};
use crate::scenario::{Scenario, Variant};

/// Does one scenario with ractor.
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

/// The server of `call`, `idle` and `restart`.
struct Counter;

enum CounterMsg {
    Increment(RpcReplyPort<u64>),
    Crash,
}

impl Actor for Counter {
    type Msg = CounterMsg;
    type State = u64;
    type Arguments = ();

    async fn pre_start(
        &self,
        _myself: ActorRef<CounterMsg>,
        (): (),
    ) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _myself: ActorRef<CounterMsg>,
        msg: CounterMsg,
        counter: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            CounterMsg::Increment(reply) => {
                *counter += 1;
                // The caller may have gone; then nobody wants the answer.
                let _ = reply.send(*counter);
            }
            CounterMsg::Crash => panic!("{}", measure::CRASH),
        }
        Ok(())
    }
}

async fn ask(server: &ActorRef<CounterMsg>) -> u64 {
    match server.call(CounterMsg::Increment, None).await {
        Ok(CallResult::Success(counter)) => counter,
        _ => panic!("the server lives and answers"),
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
            calls_from_outside(&runtime, &start_counter(&runtime), params)
        }
        other => unreachable!("{other} is no variant of call"),
    }
}

fn start_counter(runtime: &Runtime) -> ActorRef<CounterMsg> {
    let started = drive(runtime, Actor::spawn(None, Counter, ()));
    started.expect("the counter starts").0
}

async fn calls(server: ActorRef<CounterMsg>, params: Params) -> f64 {
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

/// ractor has no blocking call; a thread outside blocks on the future by the runtime's handle.
fn calls_from_outside(runtime: &Runtime, server: &ActorRef<CounterMsg>, params: Params) -> f64 {
    let handle = runtime.handle();
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        let start = Instant::now();
        for _ in 0..measure::CALLS_A_ROUND {
            handle.block_on(ask(server));
        }
        rounds.record(measure::CALLS_A_ROUND, start.elapsed());
    }
    rounds.nanoseconds_each()
}

/// Sends what it is told to send: the sender of `cast` and `fanin`.
struct Sender;

/// Counts what it gets: their receiver.
struct Receiver;

impl Actor for Sender {
    type Msg = u64;
    type State = ActorRef<u64>;
    type Arguments = ActorRef<u64>;

    async fn pre_start(
        &self,
        _myself: ActorRef<u64>,
        receiver: ActorRef<u64>,
    ) -> Result<ActorRef<u64>, ActorProcessingErr> {
        Ok(receiver)
    }

    async fn handle(
        &self,
        _myself: ActorRef<u64>,
        messages: u64,
        receiver: &mut ActorRef<u64>,
    ) -> Result<(), ActorProcessingErr> {
        for value in 0..messages {
            receiver.cast(value)?;
        }
        Ok(())
    }
}

struct Sum {
    sum: u64,
    latch: Arc<Latch>,
}

impl Actor for Receiver {
    type Msg = u64;
    type State = Sum;
    type Arguments = Arc<Latch>;

    async fn pre_start(
        &self,
        _myself: ActorRef<u64>,
        latch: Arc<Latch>,
    ) -> Result<Sum, ActorProcessingErr> {
        Ok(Sum { sum: 0, latch })
    }

    async fn handle(
        &self,
        _myself: ActorRef<u64>,
        value: u64,
        state: &mut Sum,
    ) -> Result<(), ActorProcessingErr> {
        state.sum = state.sum.wrapping_add(value);
        state.latch.count_down();
        Ok(())
    }
}

async fn flood(senders: u64, params: Params) -> f64 {
    let latch = Arc::new(Latch::default());
    let (receiver, _) =
        Actor::spawn(None, Receiver, Arc::clone(&latch)).await.expect("the receiver starts");
    let mut flood = Vec::new();
    for _ in 0..senders {
        flood
            .push(Actor::spawn(None, Sender, receiver.clone()).await.expect("the sender starts").0);
    }
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        latch.arm(measure::MESSAGES_A_ROUND);
        let start = Instant::now();
        for sender in &flood {
            sender.cast(measure::MESSAGES_A_ROUND / senders).expect("the sender lives");
        }
        latch.wait().await;
        rounds.record(measure::MESSAGES_A_ROUND, start.elapsed());
    }
    rounds.per_second()
}

/// Either end of a pair; only the one that serves counts laps.
struct Player;

enum Play {
    Opponent(ActorRef<Play>),
    Serve { laps: u64 },
    Ball,
}

struct Game {
    opponent: Option<ActorRef<Play>>,
    /// Counts laps when there is a latch to tell.
    latch: Option<Arc<Latch>>,
    left: u64,
}

impl Actor for Player {
    type Msg = Play;
    type State = Game;
    type Arguments = Game;

    async fn pre_start(
        &self,
        _myself: ActorRef<Play>,
        game: Game,
    ) -> Result<Game, ActorProcessingErr> {
        Ok(game)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Play>,
        msg: Play,
        game: &mut Game,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Play::Opponent(opponent) => {
                game.opponent = Some(opponent);
                return Ok(());
            }
            Play::Serve { laps } => game.left = laps,
            Play::Ball if game.latch.is_some() => game.left -= 1,
            Play::Ball => {}
        }
        match (&game.latch, &game.opponent) {
            (Some(latch), _) if game.left == 0 => latch.count_down(),
            (_, Some(opponent)) => opponent.cast(Play::Ball)?,
            _ => {}
        }
        Ok(())
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
            server.cast(Play::Serve { laps: measure::LAPS_A_ROUND }).expect("the player lives");
        }
        latch.wait().await;
        rounds.record(2 * measure::PAIRS * measure::LAPS_A_ROUND, start.elapsed());
    }
    rounds.per_second()
}

async fn start_pair(latch: Arc<Latch>) -> ActorRef<Play> {
    let pinger = Game { opponent: None, latch: Some(latch), left: 0 };
    let (pinger, _) = Actor::spawn(None, Player, pinger).await.expect("the player starts");
    let ponger = Game { opponent: Some(pinger.clone()), latch: None, left: 0 };
    let (ponger, _) = Actor::spawn(None, Player, ponger).await.expect("the player starts");
    pinger.cast(Play::Opponent(ponger)).expect("the player lives");
    pinger
}

/// One process of the ring.
struct Link;

enum Token {
    Next(ActorRef<Token>),
    Token(u64),
}

struct Place {
    next: Option<ActorRef<Token>>,
    latch: Arc<Latch>,
}

impl Actor for Link {
    type Msg = Token;
    type State = Place;
    type Arguments = Place;

    async fn pre_start(
        &self,
        _myself: ActorRef<Token>,
        place: Place,
    ) -> Result<Place, ActorProcessingErr> {
        Ok(place)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Token>,
        msg: Token,
        place: &mut Place,
    ) -> Result<(), ActorProcessingErr> {
        match (msg, &place.next) {
            (Token::Next(next), _) => place.next = Some(next),
            (Token::Token(0), _) => place.latch.count_down(),
            (Token::Token(hops), Some(next)) => next.cast(Token::Token(hops - 1))?,
            (Token::Token(_), None) => return Err("the ring is open".into()),
        }
        Ok(())
    }
}

async fn ring(params: Params) -> f64 {
    let latch = Arc::new(Latch::default());
    let place = |next| Place { next, latch: Arc::clone(&latch) };
    let (first, _) = Actor::spawn(None, Link, place(None)).await.expect("the link starts");
    let mut next = first.clone();
    for _ in 1..measure::RING {
        next = Actor::spawn(None, Link, place(Some(next))).await.expect("the link starts").0;
    }
    first.cast(Token::Next(next)).expect("the first of the ring lives");
    let mut rounds = Rounds::new(params.measure);
    while rounds.go_on() {
        latch.arm(1);
        let start = Instant::now();
        first.cast(Token::Token(measure::HOPS_A_ROUND)).expect("the first of the ring lives");
        latch.wait().await;
        rounds.record(measure::HOPS_A_ROUND, start.elapsed());
    }
    rounds.nanoseconds_each()
}

/// Stops as soon as it runs.
struct Ephemeral;

impl Actor for Ephemeral {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn post_start(
        &self,
        myself: ActorRef<()>,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        myself.stop(None);
        Ok(())
    }
}

async fn spawn(params: Params) -> f64 {
    let mut rounds = Rounds::new(params.measure);
    let mut handles = Vec::with_capacity(measure::SPAWNS_A_ROUND as usize);
    while rounds.go_on() {
        let start = Instant::now();
        for _ in 0..measure::SPAWNS_A_ROUND {
            handles.push(Actor::spawn(None, Ephemeral, ()).await.expect("the actor starts").1);
        }
        for handle in handles.drain(..) {
            handle.await.expect("the actor's task does not panic");
        }
        rounds.record(measure::SPAWNS_A_ROUND, start.elapsed());
    }
    rounds.per_second()
}

/// Starts its child again whenever it fails, and tells the address of each incarnation.
struct Supervisor;

impl Actor for Supervisor {
    type Msg = ();
    type State = mpsc::UnboundedSender<ActorRef<CounterMsg>>;
    type Arguments = mpsc::UnboundedSender<ActorRef<CounterMsg>>;

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        announce: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        start_child(&myself, &announce).await?;
        Ok(announce)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        announce: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(..) = event {
            start_child(&myself, announce).await?;
        }
        Ok(())
    }
}

async fn start_child(
    supervisor: &ActorRef<()>,
    announce: &mpsc::UnboundedSender<ActorRef<CounterMsg>>,
) -> Result<(), ActorProcessingErr> {
    let (child, _) = Actor::spawn_linked(None, Counter, (), supervisor.get_cell()).await?;
    announce.send(child)?;
    Ok(())
}

async fn restart(params: Params) -> Vec<Metric> {
    let mut times = Vec::with_capacity(params.crashes as usize);
    for _ in 0..params.crashes / measure::CRASHES_A_SUPERVISOR {
        let (announce, mut incarnations) = mpsc::unbounded_channel();
        let (supervisor, _) =
            Actor::spawn(None, Supervisor, announce).await.expect("the supervisor starts");
        let mut server = incarnations.recv().await.expect("the supervisor starts its child");
        for _ in 0..measure::CRASHES_A_SUPERVISOR {
            let start = Instant::now();
            server.cast(CounterMsg::Crash).expect("the server lives");
            server = incarnations.recv().await.expect("the supervisor restarts its child");
            let counter = ask(&server).await;
            times.push(start.elapsed());
            assert_eq!(counter, 1, "the state of the new incarnation is new");
        }
        supervisor.stop(None);
    }
    measure::restart_metrics(&times)
}

/// A supervisor of a million: children are linked to it, and it has nothing else to do.
struct Parent;

impl Actor for Parent {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

async fn idle(params: Params) -> Vec<Metric> {
    let (supervisor, _) = Actor::spawn(None, Parent, ()).await.expect("the supervisor starts");
    let before = measure::rss_bytes();
    for _ in 0..params.idle_processes {
        let (server, _) = Actor::spawn_linked(None, Counter, (), supervisor.get_cell())
            .await
            .expect("the counter starts");
        ask(&server).await;
    }
    measure::idle_metrics(before, measure::rss_bytes(), params.idle_processes)
}
