//! The application `data_processing`: its configuration and its supervision tree.
//!
//! ```text
//! data_processing (rest_for_one)
//! ├── block_workers (one_for_one): block_worker_0, block_worker_1, ... one a core
//! ├── ingest_service
//! └── ingest_jobs (dynamic): one process for each file on its way, never restarted
//! ```
//!
//! A worker that crashes is restarted alone. A service that crashes takes the jobs along, which it
//! alone knows.

use std::{num::NonZeroUsize, time::Duration};

use linden::prelude::*;
use serde::Deserialize;

use crate::{
    IngestService, Limits,
    job::{Job, JobPlan},
    pool::{self, BlockWorker, Pool},
    service,
};

/// Aggregation of CSV and NDJSON files.
#[derive(Clone, Copy, Debug, Default)]
pub struct DataProcessingApp;

impl Application for DataProcessingApp {
    const NAME: &'static str = "data_processing";
    type Config = DataProcessingConfig;

    fn start(&self, config: DataProcessingConfig) -> Result<Supervisor, BoxError> {
        Ok(tree(config, BlockWorker::new))
    }
}

/// `[data_processing]` in `linden.toml`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub struct DataProcessingConfig {
    /// Workers that aggregate; one a worker thread of the node.
    pub workers: Option<NonZeroUsize>,
    /// Blocks of one file that the workers may have at a time, for each worker; 2.
    pub blocks_per_worker_max: NonZeroUsize,
    /// Files on their way at a time; 32. More are refused as overload.
    pub jobs_max: usize,
    /// How long a job waits for its client to take it up, which may have left meanwhile; `10s`.
    #[serde(with = "linden::config::duration")]
    pub claim_timeout: Duration,
    /// Jobs that have ended and are still shown; 100.
    pub ended_jobs_kept_max: usize,
    /// Bytes of their reports that are kept so that they can be fetched; 64 MiB. The oldest go
    /// first, and a larger report is not kept at all.
    pub report_bytes_kept_max: usize,
    /// What one file may use.
    pub limits: Limits,
}

impl Default for DataProcessingConfig {
    fn default() -> DataProcessingConfig {
        DataProcessingConfig {
            workers: None,
            blocks_per_worker_max: NonZeroUsize::new(2).expect("2 is not 0"),
            jobs_max: 32,
            claim_timeout: 10.secs(),
            ended_jobs_kept_max: 100,
            report_bytes_kept_max: 64 * 1024 * 1024,
            limits: Limits::default(),
        }
    }
}

impl DataProcessingConfig {
    fn workers(&self) -> usize {
        let node = Node::current().expect("asked while processes start");
        self.workers.map_or(node.workers(), NonZeroUsize::get)
    }
}

/// The tree, with workers of any kind that understands a worker's messages.
pub(crate) fn tree<W: GenServer>(
    config: DataProcessingConfig,
    worker: impl Fn(Limits) -> W + Clone + Send + Sync + 'static,
) -> Supervisor {
    Supervisor::rest_for_one()
        .name("data_processing_sup")
        .intensity(10, 10.secs())
        .child(supervisor_child("block_workers", move || workers(config, worker.clone())))
        .child(child("ingest_service", move || IngestService::new(config)))
        .child(dynamic_child(service::JOBS, move || jobs(config)))
}

fn workers<W: GenServer>(
    config: DataProcessingConfig,
    worker: impl Fn(Limits) -> W + Clone + Send + Sync + 'static,
) -> Supervisor {
    (0..config.workers()).map(pool::worker_name).fold(
        Supervisor::one_for_one().intensity(100, 10.secs()),
        |supervisor, name| {
            let worker = worker.clone();
            supervisor.child(child(&name, move || worker(config.limits)).name(&name))
        },
    )
}

fn jobs(config: DataProcessingConfig) -> DynamicSupervisor<JobPlan> {
    DynamicSupervisor::new(move |plan: &JobPlan| {
        let plan = plan.clone();
        move || {
            let workers = config.workers();
            let in_flight_max = workers * config.blocks_per_worker_max.get();
            Job::new(plan, &config, Pool::new(workers), in_flight_max)
        }
    })
    .temporary()
    .name(service::JOBS)
}
