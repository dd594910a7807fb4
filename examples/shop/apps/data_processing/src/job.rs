//! A job: the process that takes one file's bytes and ends with the file's report.
//!
//! It expands the bytes and cuts them into blocks, a piece for each message to itself so that other
//! messages and other processes come between; keeps a bounded number of blocks with the workers; and
//! merges what comes back. A chunk is answered when it is used up and the job has room for the next
//! one: that is the back-pressure that reaches the sender's socket. A job ends by itself, alone, and
//! is never restarted: only its client has the file.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use linden::{Cx, prelude::*};

use crate::{
    Aggregates, Block, BlockReader, DataProcessingConfig, Decision, FileOrder, IngestError,
    IngestService, IngestServiceClient, JobId, Limits, Outcome, Progress, Report, Selection,
    pool::Pool,
};

/// What a job is to do.
#[derive(Clone, Debug)]
pub(crate) struct JobPlan {
    pub(crate) id: JobId,
    pub(crate) selection: Selection,
}

/// The state of a job.
pub(crate) struct Job {
    id: JobId,
    /// How long it waits for somebody to take it up.
    claim_timeout: Duration,
    service: IngestServiceClient,
    pool: Pool,
    /// `None` after the last byte.
    reader: Option<BlockReader>,
    input: VecDeque<Bytes>,
    /// Whether the reader holds more than it has given, and whether it was told to go on.
    more: bool,
    reading: bool,
    /// Blocks that no worker has yet.
    cut: VecDeque<Block>,
    blocks: usize,
    /// Blocks that the workers have or whose parts are not merged yet.
    in_flight: usize,
    in_flight_max: usize,
    order: FileOrder,
    /// Blocks in flight, if they may have to be aggregated again.
    kept: HashMap<usize, Arc<Block>>,
    totals: Aggregates,
    bytes: u64,
    failed: Option<IngestError>,
    client: Client,
}

/// What the client waits for.
#[derive(Debug)]
enum Client {
    /// Nothing: it reads the file.
    Reads,
    /// Room for the next chunk.
    Feeds(Reply<Result<Progress, IngestError>>),
    /// The report.
    Finishes(Reply<Result<Arc<Report>, IngestError>>),
}

impl Job {
    pub(crate) fn new(
        plan: JobPlan,
        config: &DataProcessingConfig,
        pool: Pool,
        in_flight_max: usize,
    ) -> Job {
        let limits = config.limits;
        Job {
            id: plan.id,
            claim_timeout: config.claim_timeout,
            service: IngestService::named(),
            pool,
            order: FileOrder::new(&plan.selection),
            reader: Some(BlockReader::new(plan.selection, limits)),
            input: VecDeque::new(),
            more: false,
            reading: false,
            cut: VecDeque::new(),
            blocks: 0,
            in_flight: 0,
            in_flight_max,
            kept: HashMap::new(),
            totals: Aggregates::new(limits),
            bytes: 0,
            failed: None,
            client: Client::Reads,
        }
    }
}

#[gen_server]
impl Job {
    #[init]
    fn wait_for_client(&mut self, cx: &mut Context<Self>) {
        cx.set_timeout(self.claim_timeout);
    }

    /// A client has the job's address, and will tell it when it leaves.
    #[cast]
    pub(crate) fn claim(&mut self, cx: &mut Context<Self>) {
        cx.clear_timeout();
    }

    /// Whoever wanted the job has left before it heard of it.
    #[timeout]
    fn nobody_came(&mut self, cx: &mut Context<Self>) {
        self.end_early(Outcome::Abandoned, cx);
    }

    /// Takes the next bytes. Answered when there is room for more.
    #[call]
    pub(crate) fn feed(
        &mut self,
        chunk: Bytes,
        reply: Reply<Result<Progress, IngestError>>,
        cx: &mut Context<Self>,
    ) {
        self.client = Client::Feeds(reply);
        self.bytes += chunk.len() as u64;
        self.input.push_back(chunk);
        self.go_on(cx);
    }

    /// Takes the end of the file. Answered when everything is aggregated.
    #[call]
    pub(crate) fn finish(
        &mut self,
        reply: Reply<Result<Arc<Report>, IngestError>>,
        cx: &mut Context<Self>,
    ) {
        self.client = Client::Finishes(reply);
        self.go_on(cx);
    }

    /// The client is gone.
    #[cast]
    pub(crate) fn abandon(&mut self, cx: &mut Context<Self>) {
        self.end_early(Outcome::Abandoned, cx);
    }

    /// Somebody wants the job to end.
    #[cast]
    pub(crate) fn cancel(&mut self, cx: &mut Context<Self>) {
        self.end_early(Outcome::Cancelled, cx);
        self.answer(IngestError::Cancelled);
    }

    /// Reads one piece more of the input.
    #[cast]
    fn read_on(&mut self, cx: &mut Context<Self>) {
        self.reading = false;
        if let Some(reader) = &mut self.reader {
            match reader.read(self.input.front().map_or(&[], |chunk| chunk)) {
                Ok(read) => {
                    self.cut.extend(read.blocks);
                    self.more = read.more;
                    self.used_up(read.consumed);
                }
                Err(error) => self.fail(IngestError::File(error)),
            }
        }
        self.go_on(cx);
    }

    /// A block came back from the workers.
    #[cast]
    fn aggregated(
        &mut self,
        number: usize,
        part: Result<Aggregates, IngestError>,
        cx: &mut Context<Self>,
    ) {
        match part {
            Ok(part) => {
                for decision in self.order.came_back(number, part) {
                    self.carry_out(decision, cx);
                }
            }
            Err(error) => self.fail(error),
        }
        self.service.progressed(self.id, self.progress());
        self.go_on(cx);
    }

    fn carry_out(&mut self, decision: Decision, cx: &mut Context<Self>) {
        match decision {
            Decision::Merge { number, part } => {
                self.in_flight -= 1;
                self.kept.remove(&number);
                if let Err(error) = self.totals.merge(part) {
                    self.fail(IngestError::File(error));
                }
            }
            Decision::Again { number, latest } => {
                if let Some(block) = self.kept.get(&number) {
                    let block = Block { latest, ..Block::clone(block) };
                    self.send_to_worker(number, Arc::new(block), cx);
                }
            }
        }
    }

    fn fail(&mut self, error: IngestError) {
        self.failed.get_or_insert(error);
    }

    /// Hands out blocks, reads on if there is room for more, and answers the client if its answer is
    /// due.
    fn go_on(&mut self, cx: &mut Context<Self>) {
        if let Some(error) = self.failed.clone() {
            return self.tell_failure(error, cx);
        }
        while self.in_flight < self.in_flight_max
            && let Some(block) = self.cut.pop_front()
        {
            self.hand_out(block, cx);
        }
        let has_room = self.cut.is_empty() && self.in_flight < self.in_flight_max;
        if !has_room {
            return;
        }
        if self.more || !self.input.is_empty() {
            if !std::mem::replace(&mut self.reading, true) {
                cx.client().read_on();
            }
            return;
        }
        match std::mem::replace(&mut self.client, Client::Reads) {
            Client::Reads => {}
            Client::Feeds(reply) => drop(reply.send(Ok(self.progress()))),
            Client::Finishes(reply) if self.reader.is_none() && self.in_flight == 0 => {
                let (progress, report) = (self.progress(), self.take_report());
                self.service.ended(self.id, progress, Outcome::Done, Some(report.clone()));
                cx.stop(Reason::Normal);
                reply.send(Ok(report));
            }
            waits => {
                self.client = waits;
                self.end_file(cx);
            }
        }
    }

    /// The client has no more bytes; the last block is still to come.
    fn end_file(&mut self, cx: &mut Context<Self>) {
        if let Some(mut reader) = self.reader.take() {
            match reader.end() {
                Ok(blocks) => self.cut.extend(blocks),
                Err(error) => self.fail(IngestError::File(error)),
            }
            self.go_on(cx);
        }
    }

    fn used_up(&mut self, len: usize) {
        if let Some(chunk) = self.input.front_mut() {
            chunk.advance(len);
            if chunk.is_empty() {
                self.input.pop_front();
            }
        }
    }

    fn hand_out(&mut self, block: Block, cx: &mut Context<Self>) {
        let block = Arc::new(Block { latest: self.order.latest(), ..block });
        let number = self.blocks;
        self.blocks += 1;
        self.in_flight += 1;
        if self.order.may_repeat() {
            self.kept.insert(number, block.clone());
        }
        self.send_to_worker(number, block, cx);
    }

    /// A process of its own waits for the worker, so that the job goes on.
    fn send_to_worker(&self, number: usize, block: Arc<Block>, cx: &mut Context<Self>) {
        let (own, pool) = (cx.client(), self.pool.clone());
        cx.spawn_link(move |_: Cx<()>| async move {
            own.aggregated(number, pool.aggregate(number, block).await);
        });
    }

    /// A client that reads hears of it when it comes with the next chunk.
    fn tell_failure(&mut self, error: IngestError, cx: &mut Context<Self>) {
        (self.reader, self.more) = (None, false);
        self.input.clear();
        self.cut.clear();
        if !matches!(self.client, Client::Reads) {
            self.end(Outcome::failed(&error), cx);
            self.answer(error);
        }
    }

    fn answer(&mut self, error: IngestError) {
        match std::mem::replace(&mut self.client, Client::Reads) {
            Client::Reads => {}
            Client::Feeds(reply) => drop(reply.send(Err(error))),
            Client::Finishes(reply) => drop(reply.send(Err(error))),
        }
    }

    /// A failure that nobody has heard of yet is the reason all the same.
    fn end_early(&mut self, outcome: Outcome, cx: &mut Context<Self>) {
        let outcome = self.failed.as_ref().map_or(outcome, Outcome::failed);
        self.end(outcome, cx);
    }

    /// The service hears of it before the client does.
    fn end(&mut self, outcome: Outcome, cx: &mut Context<Self>) {
        self.service.ended(self.id, self.progress(), outcome, None);
        cx.stop(Reason::Normal);
    }

    fn progress(&self) -> Progress {
        Progress::of(self.bytes, &self.totals)
    }

    fn take_report(&mut self) -> Arc<Report> {
        let totals = std::mem::replace(&mut self.totals, Aggregates::new(Limits::default()));
        Arc::new(totals.into_report())
    }
}

/// For crash reports: how much there is, not what.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id)
            .field("progress", &self.progress())
            .field("chunks", &self.input.len())
            .field("cut", &self.cut.len())
            .field("in_flight", &self.in_flight)
            .field("client", &self.client)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
