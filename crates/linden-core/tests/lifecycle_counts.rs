//! Starting and stopping leaves nothing behind: threads, descriptors and live allocations are counted over 1,000 nodes.
//!
//! The counts are those of the whole OS process, so this file has one test and no other may join it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use linden_core::{
    CallError, Cx, Info, Mail, Message, Node, NodeOptions, PanicOutput, Reason, Reply,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The rounds after which everything that is made once and kept has been made.
const WARM_UP: usize = 10;
const ROUNDS: usize = 1_000;

struct Counting;

static LIVE: AtomicI64 = AtomicI64::new(0);
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);

fn count(allocations: i64, bytes: usize, sign: i64) {
    LIVE.fetch_add(allocations, Ordering::Relaxed);
    LIVE_BYTES.fetch_add(sign * bytes as i64, Ordering::Relaxed);
}

// SAFETY: every call goes on to `System` as it came; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size(), 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-1, layout.size(), -1);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the OS process holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Held {
    threads: usize,
    descriptors: usize,
    allocations: i64,
    bytes: i64,
}

impl Held {
    fn now() -> Self {
        // First, for it allocates and frees.
        let threads = entries("/proc/self/task");
        let descriptors = entries("/proc/self/fd");
        Self {
            threads,
            descriptors,
            allocations: LIVE.load(Ordering::Relaxed),
            bytes: LIVE_BYTES.load(Ordering::Relaxed),
        }
    }

    /// What is held once it is `expected`, or after a while. A joined thread leaves the kernel's list a moment later.
    fn settled(expected: Self) -> Self {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let held = Self::now();
            if held == expected || Instant::now() > end {
                return held;
            }
            std::thread::yield_now();
        }
    }
}

fn entries(directory: &str) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

enum Ask {
    Echo(u64, Reply<u64>),
    /// Keeps the place for the answer for ever.
    Keep(Reply<u64>),
    Crash(Reply<u64>),
}
impl Message for Ask {}

async fn serve(mut cx: Cx<Ask>) {
    let mut kept = Vec::new();
    loop {
        match cx.recv().await {
            Mail::Msg(Ask::Echo(number, reply)) => drop(reply.send(number)),
            Mail::Msg(Ask::Keep(reply)) => kept.push(reply),
            Mail::Msg(Ask::Crash(_reply)) => panic!("the handler crashed"),
            Mail::Info(_) => {}
        }
    }
}

async fn tcp_round_trip(cx: &Cx<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    cx.spawn(move |_: Cx<()>| async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        let byte = peer.read_u8().await.unwrap();
        peer.write_u8(byte + 1).await.unwrap();
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_u8(41).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), 42);
}

async fn work(mut cx: Cx<()>) -> Reason {
    let server = cx.spawn(serve);
    let (other, other_down) = cx.spawn_monitor(serve);
    cx.register("worker").unwrap();
    assert_eq!(server.call(|reply| Ask::Echo(7, reply)).await, Ok(7));
    let crashed = other.call(Ask::Crash).await;
    assert!(matches!(crashed, Err(CallError::Exited(Reason::Panic(_)))), "{crashed:?}");
    let down = cx.recv().await;
    assert!(matches!(down, Mail::Info(Info::Down { reference, .. }) if reference == other_down));
    let timer = cx.start_timer(Duration::from_millis(1));
    assert!(
        matches!(cx.recv().await, Mail::Info(Info::Timer(fired)) if fired == timer.reference())
    );
    tcp_round_trip(&cx).await;
    assert_eq!(tokio::task::spawn_blocking(|| 6 * 7).await.unwrap(), 42);
    tokio::time::sleep(Duration::from_millis(1)).await;
    // Left under way for the stop: a call, timers, a socket, processes that wait and that are linked.
    let waiting = server.clone();
    cx.spawn_link(move |_: Cx<()>| async move { waiting.call(Ask::Keep).await.map(drop) });
    cx.spawn(|cx: Cx<()>| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        cx.start_timer(Duration::from_secs(3_600));
        drop(listener.accept().await);
    });
    for _ in 0..5 {
        cx.spawn_link(|mut cx: Cx<()>| async move { drop(cx.recv().await) });
    }
    cx.send_interval(&cx.address(), Duration::from_millis(1), ());
    assert!(matches!(cx.recv().await, Mail::Msg(())));
    Reason::Normal
}

fn round() {
    let node = Node::start(NodeOptions {
        workers: 2,
        panic_output: PanicOutput::CrashReportOnly,
        ..NodeOptions::default()
    })
    .unwrap();
    let worker = node.spawn(work);
    let reason = node.block_on(node.wait_exit(worker.pid()));
    assert!(reason.is_orderly() || reason == Reason::NoProc, "{reason}");
    let report = node.stop(Duration::from_secs(20));
    assert!(report.killed.is_empty() && report.zombies.is_empty(), "{report:?}");
}

// proves: NODE-20
#[test]
fn a_thousand_starts_and_stops_leave_what_ten_leave() {
    let start = Instant::now();
    (0..WARM_UP).for_each(|_| round());
    let mut early = Held::now();
    // The test's thread and the harness's.
    while early.threads > 2 && start.elapsed() < Duration::from_secs(20) {
        early = Held::now();
    }
    (WARM_UP..ROUNDS).for_each(|_| round());
    assert_eq!(Held::settled(early), early, "after {:?}", start.elapsed());
}
