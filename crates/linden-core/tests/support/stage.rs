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

use linden_core::{
    Cx, Info, IntoReason, Mail, Message, Node, NodeOptions, PanicOutput, Pid, Reason, Simulation,
    Status, StopReport,
};

/// The seeds that a scenario is explored with. Few enough to be fast, enough to see both orders of any two steps.
pub(crate) const SEEDS: Range<u64> = 0..24;

/// The longest that a scenario on a real node may take; nothing waits for it unless something hangs.
pub(crate) const HANGS_AFTER: Duration = Duration::from_secs(40);

/// The environment variable that picks one seed.
const SEED_VARIABLE: &str = "LINDEN_SEED";

/// Runs a scenario on a simulated node, once a seed.
pub(crate) fn check<F, S>(seeds: impl IntoIterator<Item = u64>, scenario: S)
where
    F: Future<Output = ()>,
    S: Fn(Node) -> F,
{
    for seed in chosen(seeds) {
        simulated(seed, &scenario);
    }
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
            "seed {seed} fails; replay it: {SEED_VARIABLE}={seed} cargo nextest run -p linden-core {test}"
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

    pub(crate) fn stop(&self) -> StopReport {
        self.0.stop(Duration::from_secs(5))
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

/// Runs a scenario on a real node, which must stop cleanly afterwards.
pub(crate) fn on_node<T, F: Future<Output = T>>(
    workers: usize,
    scenario: impl FnOnce(Node) -> F,
) -> T {
    let running = Running::start(workers);
    let output = running.run(scenario(running.clone()));
    let report = running.stop();
    assert!(report.killed.is_empty(), "{} processes did not end when told", report.killed.len());
    output
}

/// Runs `body` as a process and gives what it returned; fails with the exit reason when it did not return.
pub(crate) async fn inside<M, T, B, F>(node: &Node, body: B) -> T
where
    M: Message,
    T: Send + 'static,
    B: FnOnce(Cx<M>) -> F,
    F: Future<Output = T> + Send + 'static,
{
    let result = Arc::new(Mutex::new(None));
    let place = result.clone();
    let process = node.spawn(move |cx: Cx<M>| {
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

/// The exit reason of a process, heard by one that monitored it from the start.
pub(crate) async fn end_of<M, B, F>(node: &Node, body: B) -> Reason
where
    M: Message,
    B: FnOnce(Cx<M>) -> F + Send + 'static,
    F: Future<Output: IntoReason> + Send + 'static,
{
    inside(node, |mut cx: Cx<()>| async move {
        let (_, monitor) = cx.spawn_monitor(body);
        match cx.recv().await {
            Mail::Info(Info::Down { reference, reason, .. }) if reference == monitor => reason,
            other => panic!("only the end is heard, not {other:?}"),
        }
    })
    .await
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

/// Waits, on a real node, until something that no event tells of has happened; the scenario's limit is the limit.
pub(crate) async fn eventually(is_so: impl Fn() -> bool) {
    while !is_so() {
        std::thread::yield_now();
        tokio::task::yield_now().await;
    }
}

/// Waits, on a real node, until a process has run and waits for something.
pub(crate) async fn at_rest(node: &Node, pid: Pid) {
    eventually(|| {
        let rows = node.processes();
        rows.iter().all(|row| row.pid != pid || row.status != Status::Running)
    })
    .await;
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
}

impl<T> Clone for Journal<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Panics; the type says that a process's future may end with it.
pub(crate) fn boom() -> Reason {
    panic!("boom")
}

/// One exit reason of each kind that a process can be told or say, but for `kill`.
pub(crate) fn reasons() -> Vec<Reason> {
    let error = "x".parse::<i32>().expect_err("x is no number");
    vec![
        Reason::Normal,
        Reason::Shutdown,
        Reason::shutdown_with("drained"),
        Reason::Killed,
        Reason::NoProc,
        Reason::NoConnection,
        Reason::error(&error),
        Reason::custom("disk full"),
    ]
}
