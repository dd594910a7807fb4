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
    BlockAggregator, DataProcessingConfig, EventTime, FileAggregator, JobError, JobStatus, Late,
    Owner, Upload, Windows, app::tree, pool::BlockWorkerMsg, sample::Sample,
};

/// Crashes on the first blocks that it or its successors get.
struct Flaky {
    crashes_left: Arc<AtomicUsize>,
    blocks: BlockAggregator,
}

impl GenServer for Flaky {
    type Msg = BlockWorkerMsg;
    type Client = linden::ServerRef<Flaky>;

    fn handle<'a>(&'a mut self, msg: BlockWorkerMsg, _: &'a mut Context<Self>) -> Handled<'a> {
        let left = |left: usize| left.checked_sub(1);
        if self.crashes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok() {
            panic!("a worker crashes on purpose");
        }
        let BlockWorkerMsg::Aggregate { block, reply } = msg;
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
    kept: Vec<BlockWorkerMsg>,
}

impl GenServer for Slow {
    type Msg = BlockWorkerMsg;
    type Client = linden::ServerRef<Slow>;

    fn handle<'a>(&'a mut self, msg: BlockWorkerMsg, _: &'a mut Context<Self>) -> Handled<'a> {
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
        for BlockWorkerMsg::Aggregate { block, reply } in self.kept.drain(..) {
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

fn expected(sample: Sample) -> Arc<Report> {
    let mut alone = FileAggregator::new(sample.selection(), Limits::default());
    sample.chunks().for_each(|chunk| alone.feed(&chunk).unwrap());
    Arc::new(alone.finish().unwrap().into_report())
}

async fn ingest(node: &Node, sample: Sample) -> Result<Arc<Report>, IngestError> {
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

/// Crashes on every block that holds the word.
struct Allergic {
    blocks: BlockAggregator,
}

const POISON: &[u8] = b"POISON";

impl GenServer for Allergic {
    type Msg = BlockWorkerMsg;
    type Client = linden::ServerRef<Allergic>;

    fn handle<'a>(&'a mut self, msg: BlockWorkerMsg, _: &'a mut Context<Self>) -> Handled<'a> {
        let BlockWorkerMsg::Aggregate { block, reply } = msg;
        assert!(!block.bytes.windows(POISON.len()).any(|bytes| bytes == POISON), "on purpose");
        reply.send(self.blocks.aggregate(&block));
        Handled::done()
    }
}

#[linden::test]
async fn a_line_that_crashes_workers_fails_its_job_and_no_other_one(node: Node) {
    let worker = |limits| Allergic { blocks: BlockAggregator::new(limits) };
    tree(config(2), worker).start().await.unwrap();
    let mut other = Upload::begin(&node, sample().selection()).await.unwrap();
    let mut chunks = sample().chunks();
    other.feed(chunks.next().unwrap()).await.unwrap();

    let mut poisoned = Upload::begin(&node, sample().selection()).await.unwrap();
    poisoned.feed(&b"id,region,amount,note\n1,a,1,POISON\n"[..]).await.unwrap();
    let error = poisoned.finish().await.unwrap_err();
    assert!(matches!(error, IngestError::WorkerCrashed { line: 2, .. }), "{error:?}");

    for chunk in chunks {
        other.feed(chunk).await.unwrap();
    }
    assert_eq!(other.finish().await, Ok(expected(sample())));
}

#[linden::test]
async fn rows_are_late_by_their_place_in_the_file_whatever_the_workers_do_first(node: Node) {
    // A worker that crashes gives its block back last.
    start_flaky(config(3), 1).await;
    let mut file = b"region,amount,at\n".to_vec();
    // Each row is a second later than the one before it; every tenth is a minute behind.
    for second in 0..100_000_u64 {
        let at = if second % 10 == 0 { second.saturating_sub(60) } else { second };
        file.extend(format!("r,1,{at}\n").into_bytes());
    }
    let time = EventTime {
        column: "at".to_owned(),
        windows: Windows::tumbling(100.secs()).unwrap(),
        late: Late::Drop { lateness: 30.secs() },
    };
    let selection = Selection { time: Some(time), ..Selection::new("region", "amount") };
    let mut alone = FileAggregator::new(selection.clone(), Limits::default());
    alone.feed(&file).unwrap();
    let expected = alone.finish().unwrap().into_report();
    // The first four were not yet half a minute behind anything.
    assert_eq!(expected.late_rows, 10_000 - 4);

    let mut upload = Upload::begin(&node, selection).await.unwrap();
    upload.feed(file).await.unwrap();
    assert_eq!(upload.finish().await, Ok(Arc::new(expected)));
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
    while !(state.contains("client: Feeds") && state.contains("in_flight: 4")) {
        state = job.state().await.unwrap().unwrap();
    }
    assert!(state.contains("chunks: 1"), "{state}");
    // Whatever else the workers were to get would be there by now.
    let later = Upload::begin(&node, sample().selection()).await.unwrap();
    drop(later);
    assert!(job.state().await.unwrap().unwrap().contains("in_flight: 4"));

    gate.lock().unwrap().open();
    let upload = fed.await.unwrap().unwrap();
    assert_eq!(upload.finish().await, Ok(expected(sample())));
}

#[linden::test]
async fn a_cancelled_job_ends_at_once_and_its_client_is_told(node: Node) {
    let gate = Arc::new(Mutex::new(Gate::default()));
    let of_workers = gate.clone();
    tree(config(1), move |_| Slow { gate: of_workers.clone() }).start().await.unwrap();
    let service = IngestService::named();
    // One waits for room, one for its report, and one reads.
    let mut feeding = Upload::begin(&node, sample().selection()).await.unwrap();
    let mut finishing = Upload::begin(&node, sample().selection()).await.unwrap();
    let mut reading = Upload::begin(&node, sample().selection()).await.unwrap();
    let rows = &b"region,amount\nr,1\n"[..];
    finishing.feed(rows).await.unwrap();
    reading.feed(rows).await.unwrap();
    let clients = [feeding.job.clone(), finishing.job.clone(), reading.job.clone()];
    let ids = [feeding.id(), finishing.id(), reading.id()];
    let file: Vec<u8> = sample().chunks().flatten().collect();
    let fed = Task::spawn_unlinked(async move { feeding.feed(file).await });
    let finished = Task::spawn_unlinked(finishing.finish());
    for (client, words) in [(&clients[0], "client: Feeds"), (&clients[1], "client: Finishes")] {
        while !client.state().await.unwrap().unwrap().contains(words) {}
    }

    for (client, id) in clients.iter().zip(ids) {
        let pid = client.pid().unwrap();
        assert_eq!(service.cancel(id).await.unwrap(), Ok(()));
        node.wait_exit(pid).await;
    }
    assert_eq!(fed.await.unwrap(), Err(IngestError::Cancelled));
    assert_eq!(finished.await.unwrap(), Err(IngestError::Cancelled));
    assert_eq!(reading.feed(rows).await, Err(IngestError::Cancelled));
    let outcomes: Vec<_> = ended_jobs().await.into_iter().map(|job| job.outcome).collect();
    assert_eq!(outcomes, vec![Outcome::Cancelled; 3]);
    // Its end may not be known yet.
    let refused = loop {
        if let Err(error) = service.cancel(ids[0]).await.unwrap() {
            break error;
        }
    };
    assert_eq!(refused, JobError::Ended { id: ids[0] });
    let unknown = JobId(99);
    assert_eq!(service.cancel(unknown).await.unwrap(), Err(JobError::Unknown { id: unknown }));
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
    node.wait_exit(job).await;
    gate.lock().unwrap().open();
    assert_eq!(other.await.unwrap(), Ok(expected(sample())));
    let outcomes: Vec<_> = ended_jobs().await.into_iter().map(|job| job.outcome).collect();
    assert_eq!(outcomes, [Outcome::Abandoned, Outcome::Done]);
}

#[linden::test]
async fn a_job_whose_client_left_before_it_began_makes_room_for_the_next_one(node: Node) {
    let config = DataProcessingConfig { jobs_max: 1, claim_timeout: 5.ms(), ..config(1) };
    start_flaky(config, 0).await;
    {
        let mut begin = std::pin::pin!(Upload::begin(&node, sample().selection()));
        // The request is sent by the first poll, and nobody waits for its answer, which is seldom there already.
        let waker = std::task::Waker::noop();
        let _ = begin.as_mut().poll(&mut std::task::Context::from_waker(waker));
    }
    while ended_jobs().await.is_empty() {
        tokio::task::yield_now().await;
    }
    let outcomes: Vec<_> = ended_jobs().await.into_iter().map(|job| job.outcome).collect();
    assert_eq!(outcomes, [Outcome::Abandoned]);
    // A job says that it ends a little before it is gone.
    let next = loop {
        match ingest(&node, sample()).await {
            Err(IngestError::Overloaded { .. }) => tokio::task::yield_now().await,
            next => break next,
        }
    };
    assert_eq!(next, Ok(expected(sample())));
}

#[linden::test]
async fn jobs_are_listed_by_their_owner(node: Node) {
    start_flaky(config(1), 0).await;
    let service = IngestService::named();
    let selection = || sample().selection();
    let nobodys = Upload::begin(&node, selection()).await.unwrap();
    let owned = Upload::begin_owned(&node, selection(), None, Some(Owner(7))).await.unwrap();
    let listed = |jobs: Vec<JobStatus>| jobs.iter().map(|job| job.id).collect::<Vec<_>>();
    assert_eq!(listed(service.jobs().await.unwrap()), [nobodys.id(), owned.id()]);
    assert_eq!(listed(service.jobs_of(Owner(7)).await.unwrap()), [owned.id()]);
    assert_eq!(listed(service.jobs_of(Owner(8)).await.unwrap()), []);
}
