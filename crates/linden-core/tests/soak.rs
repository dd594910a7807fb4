//! Everything at once, from a seed: spawns, crashes, kills, links, floods, calls, processes that compute or block, timers and
//! sockets. At the end every process is accounted for, every end was told once, everybody who lives answers, and nothing leaks.
//!
//! Some seconds by default; `LINDEN_SOAK_SECONDS=300` for longer, `LINDEN_SOAK_SEED=N` for the seed that a failure has printed.

use std::alloc::System;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use linden_core::{
    Address, CallError, CountingAllocator, Cx, Info, Mail, Message, Node, NodeOptions, PanicOutput,
    Pid, Reason, Reply, live_bytes,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[global_allocator]
static ALLOCATOR: CountingAllocator<System> = CountingAllocator::total(System);

const WORKERS: usize = 3;
const ACTORS: usize = 100;
const DEEDS: u32 = 3_000;
/// What the last round may leave more than the second one did: queues and tables that have grown.
const GROWTH_MAX: u64 = 2 << 20;

/// A sequence that looks random (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.roll() >> 33) % end
    }
}

enum Deed {
    Note,
    Answer(Reply<u64>),
    Panic,
    End(Reason),
    Trap(bool),
    Link(Pid),
    Unlink(Pid),
    Monitor(Pid),
    Flood(Address<Deed>, u32),
    Call(Address<Deed>),
    Compute(Duration),
    Block(Duration),
    Sleep(Duration),
    Timer(Duration),
    CancelledTimer,
    SendAfter(Address<Deed>, Duration),
    Chat(SocketAddr),
}

impl Message for Deed {}

/// What calls came to, over all rounds.
#[derive(Default)]
struct Calls {
    made: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    /// The caller ended first.
    left: AtomicU64,
}

/// Counts a call whose caller ends before it.
struct Left<'a>(&'a Calls, bool);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.left.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn act(mut cx: Cx<Deed>, calls: Arc<Calls>) -> Reason {
    let mut noted = 0;
    loop {
        let deed = match cx.recv().await {
            Mail::Msg(deed) => deed,
            Mail::Info(Info::Exit { from, .. }) if from == Pid::outside(cx.pid().node()) => {
                return Reason::Shutdown;
            }
            Mail::Info(_) => continue,
        };
        match deed {
            Deed::Note => noted += 1,
            Deed::Answer(reply) => drop(reply.send(noted)),
            Deed::Panic => panic!("as it was told"),
            Deed::End(reason) => return reason,
            Deed::Trap(traps) => drop(cx.trap_exit(traps)),
            Deed::Link(pid) => cx.link(pid),
            Deed::Unlink(pid) => cx.unlink(pid),
            Deed::Monitor(pid) => drop(cx.monitor(pid)),
            Deed::Flood(to, count) => (0..count).for_each(|_| drop(to.send(Deed::Note))),
            Deed::Call(to) => {
                calls.made.fetch_add(1, Ordering::Relaxed);
                let mut left = Left(&calls, false);
                let answer = to.call(Deed::Answer).timeout(Duration::from_millis(20)).await;
                left.1 = true;
                let count = match answer {
                    Ok(_) => &calls.answered,
                    Err(CallError::Timeout | CallError::NoProc | CallError::Exited(_)) => {
                        &calls.failed
                    }
                    Err(CallError::SelfCall) => &calls.failed,
                    Err(error) => panic!("a call ended in {error}"),
                };
                count.fetch_add(1, Ordering::Relaxed);
            }
            Deed::Compute(time) => {
                let begin = Instant::now();
                while begin.elapsed() < time {
                    std::hint::spin_loop();
                }
            }
            Deed::Block(time) => std::thread::sleep(time),
            Deed::Sleep(time) => tokio::time::sleep(time).await,
            Deed::Timer(delay) => drop(cx.start_timer(delay)),
            Deed::CancelledTimer => {
                let timer = cx.start_timer(Duration::from_secs(3600));
                assert!(cx.cancel(&timer).is_some());
            }
            Deed::SendAfter(to, delay) => drop(cx.send_after(&to, delay, Deed::Note)),
            Deed::Chat(server) => {
                let mut stream = TcpStream::connect(server).await.expect("the server listens");
                stream.write_all(b"question").await.expect("it reads");
                let mut answer = [0; 8];
                stream.read_exact(&mut answer).await.expect("it answers");
                assert_eq!(&answer, b"question");
            }
        }
    }
}

/// Says what was said to it.
async fn echo(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.expect("it accepts");
        linden_core::spawn(|_: Cx<()>| async move {
            let mut said = [0; 8];
            // The client may have been killed.
            if stream.read_exact(&mut said).await.is_ok() {
                let _ = stream.write_all(&said).await;
            }
        });
    }
}

enum Ask {
    Watch(Pid, Reply<()>),
    /// How many ends were told, of how many processes.
    Ends(Reply<(u64, usize)>),
    Forget(Reply<()>),
}

impl Message for Ask {}

/// Monitors each actor, and counts what it is told of each.
async fn watch(mut cx: Cx<Ask>) {
    let mut ends: HashMap<Pid, u64> = HashMap::new();
    loop {
        match cx.recv().await {
            Mail::Msg(Ask::Watch(pid, reply)) => {
                cx.monitor(pid);
                ends.insert(pid, 0);
                reply.send(());
            }
            Mail::Msg(Ask::Ends(reply)) => {
                let most = ends.values().max().copied().unwrap_or(0);
                assert!(most <= 1, "an end was told {most} times");
                reply.send((ends.values().sum(), ends.len()));
            }
            Mail::Msg(Ask::Forget(reply)) => {
                ends = HashMap::new();
                reply.send(());
            }
            Mail::Info(Info::Down { pid, .. }) => *ends.entry(pid).or_default() += 1,
            Mail::Info(_) => return,
        }
    }
}

struct Stage {
    node: Node,
    watcher: Address<Ask>,
    server: SocketAddr,
    calls: Arc<Calls>,
}

impl Stage {
    fn build() -> Self {
        let node = Node::start(NodeOptions {
            workers: WORKERS,
            panic_output: PanicOutput::CrashReportOnly,
            ..NodeOptions::default()
        })
        .expect("the system gives threads");
        let watcher = node.spawn(watch);
        let (told, server) = linden_core::reply_channel();
        node.spawn(|_: Cx<()>| async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
            told.send(listener.local_addr().expect("it is bound"));
            echo(listener).await;
        });
        let server = node.block_on(server).expect("it listens");
        Self { node, watcher, server, calls: Arc::default() }
    }

    fn spawn(&self) -> Address<Deed> {
        let calls = self.calls.clone();
        let actor = self.node.spawn(|cx| act(cx, calls));
        let pid = actor.pid();
        let watched = self.watcher.call(|reply| Ask::Watch(pid, reply));
        self.node.block_on(watched).expect("the watcher lives");
        actor
    }

    fn ends(&self) -> (u64, usize) {
        self.node.block_on(self.watcher.call(Ask::Ends)).expect("the watcher lives")
    }

    fn round(&self, seed: u64) {
        let mut dice = Dice(seed | 1);
        let mut actors: Vec<_> = (0..ACTORS).map(|_| self.spawn()).collect();
        for _ in 0..DEEDS {
            let (one, other) =
                (dice.below(ACTORS as u64) as usize, dice.below(ACTORS as u64) as usize);
            let to = actors[other].clone();
            let millis = Duration::from_millis(dice.below(20));
            let deed = match dice.below(400) {
                0..4 => Deed::Panic,
                4..8 => Deed::End(Reason::Normal),
                8..12 => Deed::End(Reason::custom("as it was told")),
                12..18 => {
                    self.node.exit(actors[one].pid(), Reason::Kill);
                    Deed::Note
                }
                18..24 => {
                    self.node.exit(actors[one].pid(), Reason::custom("told from outside"));
                    Deed::Note
                }
                24..60 => Deed::Link(to.pid()),
                60..80 => Deed::Unlink(to.pid()),
                80..110 => Deed::Monitor(to.pid()),
                110..140 => Deed::Trap(dice.below(2) == 0),
                140..160 => Deed::Flood(to, 1_000),
                160..230 => Deed::Call(to),
                230..234 => Deed::Compute(millis * 2),
                234..238 => Deed::Block(millis),
                238..260 => Deed::Sleep(millis),
                260..290 => Deed::Timer(millis),
                290..310 => Deed::CancelledTimer,
                310..330 => Deed::SendAfter(to, millis),
                330..350 => Deed::Chat(self.server),
                _ => Deed::Note,
            };
            if actors[one].send(deed).is_err() {
                actors[one] = self.spawn();
            }
        }
        for actor in &actors {
            self.node.exit(actor.pid(), Reason::Kill);
        }
        self.settle(&actors);
    }

    /// Waits until all is over, and looks whether it is as it should be.
    fn settle(&self, actors: &[Address<Deed>]) {
        let end = Instant::now() + Duration::from_secs(60);
        let mut left = String::new();
        let is_over = std::iter::repeat_with(|| {
            let (told, of) = self.ends();
            let fairness = self.node.fairness();
            let timers = self.node.timer_count();
            left = format!(
                "{told} of {of} ends told, {} processes, {timers} timers, {fairness:?}",
                self.node.process_count()
            );
            // The watcher and the server are left.
            told == of as u64
                && self.node.process_count() == 2
                && timers == 0
                && fairness.zombies == 0
                && fairness.away == 0
        })
        .any(|is_over| is_over || Instant::now() > end);
        assert!(is_over && Instant::now() < end, "not over after a minute: {left}");
        for actor in actors {
            assert!(!self.node.is_alive(actor.pid()) && actor.send(Deed::Note).is_err());
        }
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Calls { made, answered, failed, left } = &*self.calls;
        assert_eq!(
            count(made),
            count(answered) + count(failed) + count(left),
            "each call has one end"
        );
        self.node.block_on(self.watcher.call(Ask::Forget)).expect("the watcher lives");
    }
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

// proves: DEATH-01, MON-01, CALL-01, FAIR-01, FAIR-07
#[test]
fn everything_at_once_leaves_nothing_behind() {
    let seconds = from_environment("LINDEN_SOAK_SECONDS").unwrap_or(5);
    let since = std::time::UNIX_EPOCH.elapsed().expect("the clock is set");
    let seed = from_environment("LINDEN_SOAK_SEED").unwrap_or(since.as_nanos() as u64);
    println!("LINDEN_SOAK_SEED={seed}");
    let stage = Stage::build();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut after_second = None;
    let mut rounds = 0;
    while rounds < 3 || Instant::now() < end {
        stage.round(seed.wrapping_add(rounds));
        rounds += 1;
        let live = live_bytes().expect("it is counted");
        if rounds == 2 {
            after_second = Some(live);
        }
    }
    let (second, last) =
        (after_second.expect("there were three"), live_bytes().expect("it is counted"));
    assert!(last <= second + GROWTH_MAX, "{second} bytes after two rounds, {last} after {rounds}");
    let Calls { made, answered, failed, left } = &*stage.calls;
    println!(
        "{rounds} rounds; calls: {made:?} made, {answered:?} answered, {failed:?} failed, {left:?} left"
    );
    let report = stage.node.stop(Duration::from_secs(5));
    assert!(report.zombies.is_empty(), "{report:?}");
}
