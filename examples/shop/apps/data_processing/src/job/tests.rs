//! Jobs with workers that crash, and workers that keep their blocks: what the pool does then.
//!
//! The workers here understand a real worker's messages and stand in its place in the tree.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use linden::{Context, Handled};

use super::*;
use crate::{
    BlockAggregator, CsvAggregator, DataProcessingConfig, JobStatus, Upload, app::tree,
    pool::CsvWorkerMsg, sample::Sample,
};

/// Crashes on the first blocks that it or its successors get.
struct Flaky {
    crashes_left: Arc<AtomicUsize>,
    blocks: BlockAggregator,
}

impl GenServer for Flaky {
    type Msg = CsvWorkerMsg;
    type Client = linden::ServerRef<Flaky>;

    fn handle<'a>(&'a mut self, msg: CsvWorkerMsg, _: &'a mut Context<Self>) -> Handled<'a> {
        let left = |left: usize| left.checked_sub(1);
        if self.crashes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok() {
            panic!("a worker crashes on purpose");
        }
        let CsvWorkerMsg::Aggregate { block, reply } = msg;
        reply.send(self.blocks.aggregate(&block));
        Handled::done()
    }
}

/// Starts the application with workers of which the first `crashes` blocks crash one.
async fn start_flaky(config: DataProcessingConfig, crashes: usize) {
    let crashes_left = Arc::new(AtomicUsize::new(crashes));
    let worker = move |limits| Flaky {
        crashes_left: crashes_left.clone(),
        blocks: BlockAggregator::new(limits),
    };
    tree(config, worker).start().await.unwrap();
}

/// Keeps what it is sent, until the gate is opened.
struct Slow {
    gate: Arc<Mutex<Gate>>,
}

#[derive(Default)]
struct Gate {
    is_open: bool,
    kept: Vec<CsvWorkerMsg>,
}

impl GenServer for Slow {
    type Msg = CsvWorkerMsg;
    type Client = linden::ServerRef<Slow>;

    fn handle<'a>(&'a mut self, msg: CsvWorkerMsg, _: &'a mut Context<Self>) -> Handled<'a> {
        let mut gate = self.gate.lock().unwrap();
        gate.kept.push(msg);
        if gate.is_open {
            gate.let_through();
        }
        Handled::done()
    }
}

impl Gate {
    fn let_through(&mut self) {
        for CsvWorkerMsg::Aggregate { block, reply } in self.kept.drain(..) {
            reply.send(BlockAggregator::new(Limits::default()).aggregate(&block));
        }
    }

    fn open(&mut self) {
        self.is_open = true;
        self.let_through();
    }
}

fn config(workers: usize) -> DataProcessingConfig {
    DataProcessingConfig { workers: workers.try_into().ok(), ..DataProcessingConfig::default() }
}

/// Some blocks' worth of rows.
fn sample() -> Sample {
    Sample::new(40_000).quoted().bad_every(100)
}

fn expected(sample: Sample) -> Report {
    let mut alone = CsvAggregator::new(sample.selection(), Limits::default());
    sample.chunks().for_each(|chunk| alone.feed(&chunk).unwrap());
    alone.finish().unwrap().into_report()
}

async fn ingest(node: &Node, sample: Sample) -> Result<Report, IngestError> {
    let mut upload = Upload::begin(node, sample.selection()).await?;
    for chunk in sample.chunks() {
        upload.feed(chunk).await?;
    }
    upload.finish().await
}

/// The jobs, once none of them runs any more.
async fn ended_jobs() -> Vec<JobStatus> {
    loop {
        let jobs = IngestService::named().jobs().await.unwrap();
        if jobs.iter().all(|job| job.outcome != Outcome::Running) {
            return jobs;
        }
    }
}

#[linden::test]
async fn a_block_whose_worker_crashes_is_tried_once_more(node: Node) {
    start_flaky(config(3), 1).await;
    assert_eq!(ingest(&node, sample()).await, Ok(expected(sample())));
}

#[linden::test]
async fn a_lone_worker_that_crashes_gets_its_block_again(node: Node) {
    start_flaky(config(1), 1).await;
    assert_eq!(ingest(&node, sample()).await, Ok(expected(sample())));
}

#[linden::test]
async fn a_block_that_crashes_two_workers_fails_its_job_alone(node: Node) {
    start_flaky(config(2), 2).await;
    // One block, so that both crashes are its own.
    let error = ingest(&node, Sample::new(100)).await.unwrap_err();
    assert!(matches!(error, IngestError::WorkerCrashed { line: 2, .. }), "{error:?}");
    assert_eq!(ingest(&node, sample()).await, Ok(expected(sample())));

    let jobs = ended_jobs().await;
    let Outcome::Failed { error } = &jobs[0].outcome else { panic!("{jobs:?}") };
    assert!(error.starts_with("the rows from line 2 on crashed two workers"), "{error}");
    assert_eq!(jobs[1].outcome, Outcome::Done);
}

#[linden::test]
async fn a_chunk_is_answered_when_the_workers_have_room(node: Node) {
    let gate = Arc::new(Mutex::new(Gate::default()));
    let of_workers = gate.clone();
    tree(config(2), move |_| Slow { gate: of_workers.clone() }).start().await.unwrap();
    let mut upload = Upload::begin(&node, sample().selection()).await.unwrap();
    let job = upload.job.clone();
    let file: Vec<u8> = sample().chunks().flatten().collect();
    let fed = Task::spawn_unlinked(async move {
        upload.feed(file).await?;
        Ok::<_, IngestError>(upload)
    });

    let mut state = String::new();
    while !state.contains("client: Feeds") {
        state = job.state().await.unwrap().unwrap();
    }
    assert!(state.contains("in_flight: 4"), "{state}");
    assert!(state.contains("cut: ") && !state.contains("cut: 0"), "{state}");
    // Whatever else the workers were to get would be there by now.
    let later = Upload::begin(&node, sample().selection()).await.unwrap();
    drop(later);
    assert!(job.state().await.unwrap().unwrap().contains("in_flight: 4"));

    gate.lock().unwrap().open();
    let upload = fed.await.unwrap().unwrap();
    assert_eq!(upload.finish().await, Ok(expected(sample())));
}

#[linden::test]
async fn a_client_that_leaves_ends_its_job_and_no_other(node: Node) {
    let gate = Arc::new(Mutex::new(Gate::default()));
    let of_workers = gate.clone();
    tree(config(2), move |_| Slow { gate: of_workers.clone() }).start().await.unwrap();
    let mut left = Upload::begin(&node, sample().selection()).await.unwrap();
    let other = Task::spawn_unlinked({
        let node = node.clone();
        async move { ingest(&node, sample()).await }
    });
    let job = left.job.pid().unwrap();
    left.feed(&b"region,amount\n"[..]).await.unwrap();
    drop(left);
    assert!(node.wait_exit(job).await.is_orderly());
    gate.lock().unwrap().open();
    assert_eq!(other.await.unwrap(), Ok(expected(sample())));
    let outcomes: Vec<_> = ended_jobs().await.into_iter().map(|job| job.outcome).collect();
    assert_eq!(outcomes, [Outcome::Abandoned, Outcome::Done]);
}
