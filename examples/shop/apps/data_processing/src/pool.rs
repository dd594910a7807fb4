//! The workers: processes that each aggregate one block at a time, and how a block finds one.

use std::{sync::Arc, time::Duration};

use linden::{ServerRef, prelude::*};

use crate::{Aggregates, Block, BlockAggregator, FileError, IngestError, Limits};

/// A worker that crashed is back after so long, or something is seriously wrong.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// The state of a worker.
pub(crate) struct BlockWorker {
    blocks: BlockAggregator,
}

impl BlockWorker {
    pub(crate) fn new(limits: Limits) -> BlockWorker {
        BlockWorker { blocks: BlockAggregator::new(limits) }
    }
}

#[gen_server]
impl BlockWorker {
    /// Aggregates a block. The caller keeps its own share of it, to try again elsewhere.
    #[call]
    pub(crate) fn aggregate(&mut self, block: Arc<Block>) -> Result<Aggregates, FileError> {
        self.blocks.aggregate(&block)
    }
}

/// The name of a worker.
pub(crate) fn worker_name(number: usize) -> String {
    format!("block_worker_{number}")
}

/// All workers, by their names: a worker that is restarted keeps its place.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    workers: Arc<[BlockWorkerClient]>,
}

impl Pool {
    /// The workers of the current node.
    pub(crate) fn new(workers: usize) -> Pool {
        let node = Node::current().expect("a pool is made by a process");
        let client = |number| ServerRef::by_name(&node, &worker_name(number)).into();
        Pool { workers: (0..workers).map(client).collect() }
    }

    /// Aggregates the file's `number`th block: the blocks of a file go to the workers in turn. When
    /// the worker crashes, the next one tries, once: a block that crashes two of them is to blame.
    pub(crate) async fn aggregate(
        &self,
        number: usize,
        block: Arc<Block>,
    ) -> Result<Aggregates, IngestError> {
        match self.ask(number, &block).await {
            Ok(part) => return part.map_err(IngestError::File),
            Err(_crash) => tokio::time::sleep(RETRY_PAUSE).await,
        }
        match self.ask(number + 1, &block).await {
            Ok(part) => part.map_err(IngestError::File),
            Err(cause @ CallError::Exited(Reason::Panic(_) | Reason::Error(_))) => {
                Err(IngestError::WorkerCrashed { line: block.first_line, cause })
            }
            // The workers are being restarted, or stopped: nothing that the file has done.
            Err(cause) => Err(IngestError::Service(cause)),
        }
    }

    /// Waits as long as the worker lives: others' blocks may be before this one.
    async fn ask(
        &self,
        number: usize,
        block: &Arc<Block>,
    ) -> Result<Result<Aggregates, FileError>, CallError> {
        let worker = &self.workers[number % self.workers.len()];
        worker.aggregate(block.clone()).no_timeout().await
    }
}
