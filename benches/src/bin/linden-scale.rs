//! The child of `scale`: so many supervised gen_servers in one node, each of which answers a call; then all are stopped.
//!
//! A program of its own, for its allocator counts live bytes, which the other scenarios shall not pay for.

#![forbid(unsafe_code)]

#[path = "../rss.rs"]
mod rss;

use std::time::{Duration, Instant};

use clap::Parser;
use linden::prelude::*;
use linden::{CountingAllocator, NodeOptions, live_bytes};
use mimalloc::MiMalloc;
use rss::rss_bytes;
use serde_json::json;

#[global_allocator]
static ALLOCATOR: CountingAllocator<MiMalloc> = CountingAllocator::total(MiMalloc);

/// Starts, asks and stops gen_servers, and prints one line of JSON.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many
    processes: u64,
    /// Worker threads
    #[arg(long)]
    workers: usize,
}

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

/// What was measured.
struct Measured {
    rss_bytes: u64,
    live_bytes: u64,
    started_in: Duration,
    stopped_in: Duration,
}

fn main() {
    let Arguments { processes, workers } = Arguments::parse();
    let options = NodeOptions { workers, ..NodeOptions::default() };
    let node = Node::start(options).expect("the node starts");
    let task = {
        let _inside = node.enter();
        Task::spawn_unlinked(scale(processes))
    };
    let measured = node.block_on(task).expect("the driver does not crash");
    let each = |bytes: u64| bytes as f64 / processes as f64;
    let rate = |time: Duration| processes as f64 / time.as_secs_f64();
    let line = json!({ "metrics": [
        { "metric": "rss_per_process", "unit": "bytes", "value": each(measured.rss_bytes) },
        { "metric": "live_bytes_per_process", "unit": "bytes", "value": each(measured.live_bytes) },
        { "metric": "spawn_rate", "unit": "1/s", "value": rate(measured.started_in) },
        { "metric": "stop_rate", "unit": "1/s", "value": rate(measured.stopped_in) },
    ]});
    println!("{line}");
}

/// Servers that are started and stopped before anything is measured, so that what is there once (code, stacks, the allocator's
/// own) is no process's.
const WARM_UP: u64 = 1_000;

async fn scale(processes: u64) -> Measured {
    let (warm, _) = start(WARM_UP).await;
    stop(warm).await;
    let (rss_before, live_before) = (rss_bytes(), live());
    let (supervisor, started_in) = start(processes).await;
    let rss_bytes = rss_bytes().saturating_sub(rss_before);
    let live_bytes = live().saturating_sub(live_before);
    let stopped_in = stop(supervisor).await;
    Measured { rss_bytes, live_bytes, started_in, stopped_in }
}

/// Starts so many servers, each of which answers a call.
async fn start(processes: u64) -> (DynamicRef<()>, Duration) {
    let node = Node::current().expect("the driver runs on the node");
    let supervisor = DynamicSupervisor::new(|(): &()| Counter::default);
    let supervisor = supervisor.start().await.expect("the supervisor starts");
    let begin = Instant::now();
    for _ in 0..processes {
        let pid = supervisor.start_child(()).await.expect("the counter starts");
        let counter = ServerRef::<Counter>::by_pid(&node, pid).expect("the counter lives");
        let answer = CounterClient::from(counter).increment().await;
        assert_eq!(answer, Ok(1), "each answers one call");
    }
    let started_in = begin.elapsed();
    assert!(node.process_count() as u64 > processes, "all of them live");
    (supervisor, started_in)
}

/// Stops all servers.
async fn stop(supervisor: DynamicRef<()>) -> Duration {
    let node = Node::current().expect("the driver runs on the node");
    let begin = Instant::now();
    supervisor.stop(Reason::Shutdown).await.expect("it stops");
    let stopped_in = begin.elapsed();
    assert!(node.process_count() < 10, "none of them lives");
    stopped_in
}

fn live() -> u64 {
    live_bytes().expect("the allocator counts")
}
