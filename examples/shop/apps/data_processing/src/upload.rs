//! The client's end of a job.
//!
//! Usable from any process, and from outside of processes. Dropping an [`Upload`] ends its job: a
//! handler whose connection breaks needs to do nothing.

use std::{error::Error, fmt, sync::Arc};

use bytes::Bytes;
use linden::{ServerRef, prelude::*};

use crate::{
    FileError, IngestService, JobId, Outcome, Owner, Progress, Report, Selection, job::JobClient,
};

/// A file on its way to its report.
///
/// # Cancellation
/// Dropped before [`Upload::finish`] has answered, its job ends.
#[derive(Debug)]
#[must_use = "dropping an upload ends its job"]
pub struct Upload {
    node: Node,
    id: JobId,
    pub(crate) job: JobClient,
    job_ended: bool,
}

impl Upload {
    /// Begins a job on `node`.
    ///
    /// # Errors
    /// [`IngestError::Overloaded`], [`IngestError::Service`].
    pub async fn begin(node: &Node, selection: Selection) -> Result<Upload, IngestError> {
        Upload::begin_sized(node, selection, None).await
    }

    /// Begins a job of a file of so many bytes, compressed if it is: others then see how much of it
    /// is done.
    ///
    /// # Errors
    /// [`IngestError::Overloaded`], [`IngestError::Service`].
    pub async fn begin_sized(
        node: &Node,
        selection: Selection,
        bytes_total: Option<u64>,
    ) -> Result<Upload, IngestError> {
        Upload::begin_owned(node, selection, bytes_total, None).await
    }

    /// As [`Upload::begin_sized`]; the job is its owner's, and listed as such.
    ///
    /// # Errors
    /// [`IngestError::Overloaded`], [`IngestError::Service`].
    pub async fn begin_owned(
        node: &Node,
        selection: Selection,
        bytes_total: Option<u64>,
        owner: Option<Owner>,
    ) -> Result<Upload, IngestError> {
        let service = IngestService::named_on(node);
        let (id, pid) = service.begin(selection, bytes_total, owner).await??;
        let job: JobClient = ServerRef::by_pid(node, pid).ok_or(CallError::NoProc)?.into();
        job.claim();
        Ok(Upload { node: node.clone(), id, job, job_ended: false })
    }

    /// The job, as [`IngestService`] shows it.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Sends the next bytes of the file, and waits until the job has room for more.
    ///
    /// # Errors
    /// [`IngestError`]; the job has ended.
    pub async fn feed(&mut self, chunk: impl Into<Bytes>) -> Result<Progress, IngestError> {
        let answer = match self.job.feed(chunk.into()).no_timeout().await {
            Ok(answer) => answer,
            Err(error) => Err(self.reason_of(error).await),
        };
        answer.inspect_err(|_| self.job_ended = true)
    }

    /// Tells the job that this was the whole file, and waits for its report.
    ///
    /// # Errors
    /// [`IngestError`]; the job has ended.
    pub async fn finish(mut self) -> Result<Arc<Report>, IngestError> {
        let answer = self.job.finish().no_timeout().await;
        self.job_ended = true;
        match answer {
            Ok(answer) => answer,
            Err(error) => Err(self.reason_of(error).await),
        }
    }

    /// A job that was cancelled between two chunks is gone when the next one comes.
    async fn reason_of(&self, error: CallError) -> IngestError {
        match IngestService::named_on(&self.node).job(self.id).await {
            Ok(Some(job)) if job.outcome == Outcome::Cancelled => IngestError::Cancelled,
            _ => IngestError::Service(error),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.job_ended {
            self.job.abandon();
        }
    }
}

/// Why a file has no report. Nothing is kept of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IngestError {
    /// The file cannot be aggregated.
    File(FileError),
    /// A block of the file crashed two workers.
    WorkerCrashed {
        /// The block's first line.
        line: u64,
        /// What the second one's crash looked like.
        cause: CallError,
    },
    /// Somebody cancelled the job.
    Cancelled,
    /// So many jobs go on already that this one did not begin. Try again in a moment.
    Overloaded {
        /// How many may.
        jobs_max: usize,
    },
    /// The job, or the service that begins jobs, did not answer.
    Service(CallError),
}

impl From<CallError> for IngestError {
    fn from(error: CallError) -> IngestError {
        IngestError::Service(error)
    }
}

impl fmt::Display for IngestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IngestError::File(_) => f.write_str("the file cannot be aggregated"),
            IngestError::WorkerCrashed { line, .. } => {
                write!(f, "the rows from line {line} on crashed two workers")
            }
            IngestError::Cancelled => f.write_str("the job was cancelled"),
            IngestError::Overloaded { jobs_max } => {
                write!(f, "{jobs_max} files are on their way already; try again in a moment")
            }
            IngestError::Service(_) => f.write_str("the ingest service did not answer"),
        }
    }
}

impl Error for IngestError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            IngestError::File(error) => Some(error),
            IngestError::WorkerCrashed { cause, .. } | IngestError::Service(cause) => Some(cause),
            IngestError::Cancelled | IngestError::Overloaded { .. } => None,
        }
    }
}
