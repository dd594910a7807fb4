//! A job: the process that takes one file's bytes and ends with the file's report.
//!
//! It cuts the bytes into blocks, keeps a bounded number of them with the workers, and merges what
//! comes back. A chunk is answered when the job has room for the next one: that is the back-pressure
//! that reaches the sender's socket. A job ends by itself, alone, and is never restarted: only its
//! client has the file.

use std::{collections::VecDeque, fmt};

use bytes::Bytes;
use linden::{Cx, prelude::*};

use crate::{
    Aggregates, Block, IngestError, IngestService, IngestServiceClient, JobId, Limits, Outcome,
    Progress, Report, Selection, Splitter, pool::Pool,
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
    service: IngestServiceClient,
    pool: Pool,
    /// `None` after the last byte.
    splitter: Option<Splitter>,
    /// Blocks that no worker has yet.
    cut: VecDeque<Block>,
    blocks: usize,
    in_flight: usize,
    in_flight_max: usize,
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
    Finishes(Reply<Result<Report, IngestError>>),
}

impl Job {
    pub(crate) fn new(plan: JobPlan, limits: Limits, pool: Pool, in_flight_max: usize) -> Job {
        Job {
            id: plan.id,
            service: IngestService::named(),
            pool,
            splitter: Some(Splitter::new(plan.selection, limits)),
            cut: VecDeque::new(),
            blocks: 0,
            in_flight: 0,
            in_flight_max,
            totals: Aggregates::new(limits),
            bytes: 0,
            failed: None,
            client: Client::Reads,
        }
    }
}

#[gen_server]
impl Job {
    /// Takes the next bytes. Answered when there is room for more.
    #[call]
    pub(crate) fn feed(
        &mut self,
        chunk: Bytes,
        reply: Reply<Result<Progress, IngestError>>,
        cx: &mut Context<Self>,
    ) {
        self.client = Client::Feeds(reply);
        if let Some(splitter) = &mut self.splitter {
            match splitter.feed(&chunk) {
                Ok(blocks) => self.cut.extend(blocks),
                Err(error) => self.fail(IngestError::Csv(error)),
            }
            self.bytes += chunk.len() as u64;
        }
        self.go_on(cx);
    }

    /// Takes the end of the file. Answered when everything is aggregated.
    #[call]
    pub(crate) fn finish(
        &mut self,
        reply: Reply<Result<Report, IngestError>>,
        cx: &mut Context<Self>,
    ) {
        self.client = Client::Finishes(reply);
        match self.splitter.take().map(Splitter::finish) {
            Some(Ok(last)) => self.cut.extend(last),
            Some(Err(error)) => self.fail(IngestError::Csv(error)),
            None => {}
        }
        self.go_on(cx);
    }

    /// The client is gone.
    #[cast]
    pub(crate) fn abandon(&mut self, cx: &mut Context<Self>) {
        let outcome = match &self.failed {
            Some(error) => Outcome::failed(error),
            None => Outcome::Abandoned,
        };
        self.end(outcome, cx);
    }

    /// A block came back from the workers.
    #[cast]
    fn aggregated(&mut self, part: Result<Aggregates, IngestError>, cx: &mut Context<Self>) {
        self.in_flight -= 1;
        let merged = part.and_then(|part| self.totals.merge(part).map_err(IngestError::Csv));
        if let Err(error) = merged {
            self.fail(error);
        }
        self.service.progressed(self.id, self.progress());
        self.go_on(cx);
    }

    fn fail(&mut self, error: IngestError) {
        self.failed.get_or_insert(error);
    }

    /// Hands out blocks, and answers the client if its answer is due.
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
        match std::mem::replace(&mut self.client, Client::Reads) {
            Client::Feeds(reply) if has_room => drop(reply.send(Ok(self.progress()))),
            Client::Finishes(reply) if self.cut.is_empty() && self.in_flight == 0 => {
                self.end(Outcome::Done, cx);
                reply.send(Ok(self.take_report()));
            }
            waits => self.client = waits,
        }
    }

    /// A process of its own waits for the worker, so that the job goes on.
    fn hand_out(&mut self, block: Block, cx: &mut Context<Self>) {
        let (own, pool, number) = (cx.client(), self.pool.clone(), self.blocks);
        self.blocks += 1;
        self.in_flight += 1;
        cx.spawn_link(move |_: Cx<()>| async move {
            own.aggregated(pool.aggregate(number, block).await);
        });
    }

    /// A client that reads hears of it when it comes with the next chunk.
    fn tell_failure(&mut self, error: IngestError, cx: &mut Context<Self>) {
        match std::mem::replace(&mut self.client, Client::Reads) {
            Client::Reads => return,
            Client::Feeds(reply) => drop(reply.send(Err(error.clone()))),
            Client::Finishes(reply) => drop(reply.send(Err(error.clone()))),
        }
        self.end(Outcome::failed(&error), cx);
    }

    fn end(&mut self, outcome: Outcome, cx: &mut Context<Self>) {
        self.service.ended(self.id, self.progress(), outcome);
        cx.stop(Reason::Normal);
    }

    fn progress(&self) -> Progress {
        Progress {
            bytes: self.bytes,
            rows: self.totals.rows(),
            bad_lines: self.totals.bad_lines(),
            keys: self.totals.keys(),
        }
    }

    fn take_report(&mut self) -> Report {
        let empty = Aggregates::new(Limits::default());
        std::mem::replace(&mut self.totals, empty).into_report()
    }
}

/// For crash reports: how much there is, not what.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id)
            .field("progress", &self.progress())
            .field("cut", &self.cut.len())
            .field("in_flight", &self.in_flight)
            .field("client", &self.client)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
