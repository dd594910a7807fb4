//! The stage of the suites: simulated nodes explored by seeds, real nodes that are stopped whatever happens.
//!
//! A failing seed is named together with the command that replays it. Code that runs as a process reports to the test by
//! [`inside`], for a panic of a process fails no test by itself.
#![allow(dead_code, reason = "each suite uses a part of the stage")]

use std::ops::{Deref, Range};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use linden::{Cx, Node, NodeOptions, Pid, Reason};
use linden_core::{PanicOutput, Simulation};

/// The seeds that a scenario is explored with. Few enough to be fast, enough to see both orders of any two steps.
pub(crate) const SEEDS: Range<u64> = 0..16;

/// The longest that a scenario on a real node may take; nothing waits for it unless something hangs.
pub(crate) const HANGS_AFTER: Duration = Duration::from_secs(40);

/// The environment variable that picks one seed.
const SEED_VARIABLE: &str = "LINDEN_SEED";

/// Runs a scenario on a simulated node, once a seed. It runs outside of processes.
pub(crate) fn check<F: Future<Output = ()>>(
    seeds: impl IntoIterator<Item = u64>,
    scenario: impl Fn(Node) -> F,
) {
    for seed in chosen(seeds) {
        simulated(seed, &scenario);
    }
}

/// Runs a scenario on a simulated node, once a seed. It runs as a process.
pub(crate) fn check_inside<F>(
    seeds: impl IntoIterator<Item = u64>,
    scenario: impl Fn(Cx<()>) -> F + Clone + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    check(seeds, |node| {
        let scenario = scenario.clone();
        async move { inside(&node, scenario).await }
    });
}

fn chosen(seeds: impl IntoIterator<Item = u64>) -> Vec<u64> {
    match std::env::var(SEED_VARIABLE).ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => seeds.into_iter().collect(),
    }
}

/// Runs a scenario on a node simulated with one seed, and gives what it returned.
pub(crate) fn simulated<T, F: Future<Output = T>>(seed: u64, scenario: impl Fn(Node) -> F) -> T {
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut simulation = Simulation::with_options(seed, quiet());
        let node = simulation.node().clone();
        simulation.run(scenario(node))
    }));
    ran.unwrap_or_else(|payload| {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("test");
        eprintln!(
            "seed {seed} fails; replay it: {SEED_VARIABLE}={seed} cargo nextest run -p linden {test}"
        );
        resume_unwind(payload)
    })
}

/// Options of a node whose processes crash without a word, for tests make them.
pub(crate) fn quiet() -> NodeOptions {
    NodeOptions { panic_output: PanicOutput::CrashReportOnly, ..NodeOptions::default() }
}

/// A real node, stopped when it goes.
pub(crate) struct Running(Node);

impl Running {
    pub(crate) fn start(workers: usize) -> Self {
        Self::with_options(NodeOptions { workers, ..quiet() })
    }

    pub(crate) fn with_options(options: NodeOptions) -> Self {
        Self(Node::start(options).expect("the node starts"))
    }

    /// Runs a future on the test's thread; a hang is a failure.
    pub(crate) fn run<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(async {
            tokio::time::timeout(HANGS_AFTER, future).await.expect("the scenario hangs")
        })
    }
}

impl Deref for Running {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop(Duration::from_millis(100));
    }
}

/// Runs a scenario as a process of a real node.
pub(crate) fn on_node<F>(workers: usize, scenario: impl FnOnce(Cx<()>) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let node = Running::start(workers);
    node.run(inside(&node, scenario));
}

/// Runs `body` as a process and gives what it returned; when it panics, so does the test.
pub(crate) async fn inside<T, F>(node: &Node, body: impl FnOnce(Cx<()>) -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let result = Arc::new(Mutex::new(None));
    let place = result.clone();
    let process = node.spawn(move |cx: Cx<()>| {
        let body = body(cx);
        async move {
            let value = body.await;
            *place.lock().expect("nobody panics with the lock") = Some(value);
        }
    });
    let reason = node.wait_exit(process.pid()).await;
    let value = result.lock().expect("nobody panics with the lock").take();
    value.unwrap_or_else(|| panic!("the process inside ended: {reason}"))
}

/// Monitors a process from now on; what is given back waits for its exit reason.
pub(crate) fn watch(node: &Node, pid: Pid) -> impl Future<Output = Reason> + use<> {
    let node = node.clone();
    let mut end = Box::pin(async move { node.wait_exit(pid).await });
    // The first poll sets the monitor up.
    let first = end.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    async move {
        match first {
            Poll::Ready(reason) => reason,
            Poll::Pending => end.await,
        }
    }
}

/// Polls a future once, so that what it sends is sent; panics when it is through already.
pub(crate) fn begun<F: Future + Unpin>(mut future: F) -> F {
    let first = std::pin::Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()));
    assert!(first.is_pending(), "it is through already");
    future
}

/// Lets everything that can run do so: waits for one millisecond of the clock.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// A list that processes and tests write to.
#[derive(Debug)]
pub(crate) struct Journal<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone> Journal<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Vec::new())))
    }

    pub(crate) fn write(&self, entry: T) {
        self.0.lock().expect("nobody panics with the lock").push(entry);
    }

    pub(crate) fn entries(&self) -> Vec<T> {
        self.0.lock().expect("nobody panics with the lock").clone()
    }

    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.0.lock().expect("nobody panics with the lock"))
    }
}

impl<T> Clone for Journal<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
