//! The process `ingest_service`: begins jobs, and knows what became of them.
//!
//! It never touches a byte of a file: jobs tell it how far they are, and it hears of their ends by
//! its monitors, also when they crash.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error as _,
    fmt,
    time::SystemTime,
};

use linden::{DynamicRef, Ref, SupervisorError, prelude::*};
use serde::{Deserialize, Serialize};

use crate::{IngestError, Progress, Selection, job::JobPlan};

/// The name of the jobs' supervisor.
pub(crate) const JOBS: &str = "ingest_jobs";

/// Identifies a job until the service is restarted: counted from 1 upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One job as everybody may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// The job.
    pub id: JobId,
    /// The column it groups by.
    pub key: String,
    /// The column it sums up.
    pub value: String,
    /// When it began, in seconds since the Unix epoch.
    pub began_at_secs: u64,
    /// How far it is, or was when it ended.
    #[serde(flatten)]
    pub progress: Progress,
    /// Whether it ended, and how.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Whether a job ended, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It goes on.
    Running,
    /// Its report was given.
    Done,
    /// Its client left before the end.
    Abandoned,
    /// The file cannot be aggregated.
    Failed {
        /// Why.
        error: String,
    },
    /// Its process ended before it was done.
    Crashed {
        /// Why.
        error: String,
    },
}

impl Outcome {
    pub(crate) fn failed(error: &IngestError) -> Outcome {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Outcome::Failed { error: format!("{error}{cause}") }
    }
}

/// The state of `ingest_service`.
#[derive(Debug)]
pub struct IngestService {
    jobs: BTreeMap<JobId, JobStatus>,
    running: HashMap<Ref, JobId>,
    jobs_max: usize,
    ended_kept_max: usize,
    last_id: u64,
}

impl IngestService {
    /// A service without jobs.
    pub fn new(jobs_max: usize, ended_kept_max: usize) -> IngestService {
        IngestService {
            jobs: BTreeMap::new(),
            running: HashMap::new(),
            jobs_max,
            ended_kept_max,
            last_id: 0,
        }
    }
}

#[gen_server(name = "ingest_service")]
impl IngestService {
    /// Begins a job: gives its id and its process. Clients use [`Upload`](crate::Upload).
    #[call]
    pub async fn begin(
        &mut self,
        selection: Selection,
        cx: &mut Context<Self>,
    ) -> Result<(JobId, Pid), IngestError> {
        if self.running.len() >= self.jobs_max {
            return Err(IngestError::Overloaded { jobs_max: self.jobs_max });
        }
        let id = JobId(self.last_id + 1);
        let jobs = DynamicRef::by_name(cx.node(), JOBS);
        let plan = JobPlan { id, selection: selection.clone() };
        let pid = jobs.start_child(plan).await.map_err(not_begun)?;
        self.last_id = id.0;
        self.running.insert(cx.monitor(pid), id);
        self.jobs.insert(id, JobStatus::begun(id, selection));
        Ok((id, pid))
    }

    /// The jobs that go on and the last ones that ended, oldest first.
    #[call]
    pub fn jobs(&self) -> Vec<JobStatus> {
        self.jobs.values().cloned().collect()
    }

    /// Answers: the service lives.
    #[call]
    pub fn ping(&self) {}

    /// A job tells how far it is.
    #[cast]
    pub(crate) fn progressed(&mut self, id: JobId, progress: Progress) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.progress = progress;
        }
    }

    /// A job is about to end.
    #[cast]
    pub(crate) fn ended(&mut self, id: JobId, progress: Progress, outcome: Outcome) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.progress = progress;
            job.outcome = outcome;
        }
    }

    /// A job's process is gone. One that has not said why has crashed.
    #[info]
    fn job_is_gone(&mut self, info: Info) {
        let Info::Down { reference, reason, .. } = info else { return };
        let Some(id) = self.running.remove(&reference) else { return };
        if let Some(job) = self.jobs.get_mut(&id)
            && job.outcome == Outcome::Running
        {
            job.outcome = Outcome::Crashed { error: reason.to_string() };
        }
        self.forget_oldest();
    }

    fn forget_oldest(&mut self) {
        let ended = self.jobs.values().filter(|job| job.outcome != Outcome::Running);
        let surplus = ended.count().saturating_sub(self.ended_kept_max);
        let oldest = self.jobs.values().filter(|job| job.outcome != Outcome::Running);
        let oldest: Vec<JobId> = oldest.take(surplus).map(|job| job.id).collect();
        for id in oldest {
            self.jobs.remove(&id);
        }
    }
}

impl JobStatus {
    fn begun(id: JobId, selection: Selection) -> JobStatus {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        JobStatus {
            id,
            key: selection.key,
            value: selection.value,
            began_at_secs: now.as_secs(),
            progress: Progress::default(),
            outcome: Outcome::Running,
        }
    }
}

fn not_begun(error: SupervisorError) -> IngestError {
    IngestError::Service(match error {
        SupervisorError::Call(error) => error,
        other => CallError::Exited(Reason::error(&other)),
    })
}
