//! The process `ingest_service`: begins jobs, and knows what became of them.
//!
//! It never touches a byte of a file: jobs tell it how far they are, and it hears of their ends by
//! its monitors, also when they crash.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
    fmt,
    sync::Arc,
    time::SystemTime,
};

use linden::{DynamicRef, Ref, ServerRef, SupervisorError, prelude::*};
use serde::{Deserialize, Serialize};

use crate::{
    DataProcessingConfig, Format, IngestError, Progress, Report, Selection,
    job::{Job, JobClient, JobPlan},
};

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

/// Whose a job is: the number that its caller knows a user by. Nothing here looks into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owner(pub u64);

/// One job as everybody may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// The job.
    pub id: JobId,
    /// Whose it is; nobody's if it was begun without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The column it groups by.
    pub key: String,
    /// The column it sums up.
    pub value: String,
    /// How the file is written.
    pub format: Format,
    /// When it began, in seconds since the Unix epoch.
    pub began_at_secs: u64,
    /// How far it is, or was when it ended.
    #[serde(flatten)]
    pub progress: Progress,
    /// How many bytes the file has, if its client knew.
    pub bytes_total: Option<u64>,
    /// How much of them was taken, in percent.
    pub percent: Option<u8>,
    /// Whether [`IngestService::report`] has its report.
    pub has_report: bool,
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
    /// [`IngestService::cancel`] ended it.
    Cancelled,
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
    clients: HashMap<JobId, JobClient>,
    reports: BTreeMap<JobId, Arc<Report>>,
    report_bytes: usize,
    config: DataProcessingConfig,
    last_id: u64,
}

impl IngestService {
    /// A service without jobs.
    pub fn new(config: DataProcessingConfig) -> IngestService {
        IngestService {
            jobs: BTreeMap::new(),
            running: HashMap::new(),
            clients: HashMap::new(),
            reports: BTreeMap::new(),
            report_bytes: 0,
            config,
            last_id: 0,
        }
    }
}

#[gen_server(name = "ingest_service")]
impl IngestService {
    /// Begins a job of a file of so many bytes, if that is known, for its owner, if it is to have one:
    /// gives its id and its process. Clients use [`Upload`](crate::Upload).
    #[call]
    pub async fn begin(
        &mut self,
        selection: Selection,
        bytes_total: Option<u64>,
        owner: Option<Owner>,
        cx: &mut Context<Self>,
    ) -> Result<(JobId, Pid), IngestError> {
        let jobs_max = self.config.jobs_max;
        if self.running.len() >= jobs_max {
            return Err(IngestError::Overloaded { jobs_max });
        }
        let id = JobId(self.last_id + 1);
        let jobs = DynamicRef::by_name(cx.node(), JOBS);
        let plan = JobPlan { id, selection: selection.clone() };
        let pid = jobs.start_child(plan).await.map_err(not_begun)?;
        self.last_id = id.0;
        self.running.insert(cx.monitor(pid), id);
        if let Some(job) = ServerRef::<Job>::by_pid(cx.node(), pid) {
            self.clients.insert(id, job.into());
        }
        self.jobs.insert(id, JobStatus { owner, ..JobStatus::begun(id, selection, bytes_total) });
        Ok((id, pid))
    }

    /// The jobs that go on and the last ones that ended, oldest first.
    #[call]
    pub fn jobs(&self) -> Vec<JobStatus> {
        self.jobs.values().cloned().collect()
    }

    /// Those of one owner.
    #[call]
    pub fn jobs_of(&self, owner: Owner) -> Vec<JobStatus> {
        self.jobs.values().filter(|job| job.owner == Some(owner)).cloned().collect()
    }

    /// One of them.
    #[call]
    pub fn job(&self, id: JobId) -> Option<JobStatus> {
        self.jobs.get(&id).cloned()
    }

    /// The report of a job that is done.
    #[call]
    pub fn report(&self, id: JobId) -> Result<Arc<Report>, JobError> {
        let job = self.jobs.get(&id).ok_or(JobError::Unknown { id })?;
        let report = self.reports.get(&id).cloned();
        report.ok_or(match job.outcome {
            Outcome::Running => JobError::Running { id },
            Outcome::Done => JobError::NotKept { id },
            _ => JobError::NotDone { id },
        })
    }

    /// Tells a job to end. It ends at once; what it took until then is thrown away, and its client
    /// gets [`IngestError::Cancelled`].
    #[call]
    pub fn cancel(&mut self, id: JobId) -> Result<(), JobError> {
        if !self.jobs.contains_key(&id) {
            return Err(JobError::Unknown { id });
        }
        let job = self.clients.get(&id).ok_or(JobError::Ended { id })?;
        job.cancel();
        Ok(())
    }

    /// Answers: the service lives.
    #[call]
    pub fn ping(&self) {}

    /// Suffers a fault, for tests and demonstrations.
    #[cast]
    pub async fn suffer(&mut self, fault: shop_chaos::Fault, cx: &mut Context<Self>) {
        if let Some(rest) = fault.strike().await {
            cx.client().suffer(rest);
        }
    }

    /// A job tells how far it is.
    #[cast]
    pub(crate) fn progressed(&mut self, id: JobId, progress: Progress) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.progressed(progress);
        }
    }

    /// A job is about to end.
    #[cast]
    pub(crate) fn ended(
        &mut self,
        id: JobId,
        progress: Progress,
        outcome: Outcome,
        report: Option<Arc<Report>>,
    ) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.progressed(progress);
            job.outcome = outcome;
            if let Some(report) = report {
                self.keep(id, report);
            }
        }
    }

    /// A job's process is gone. One that has not said why has crashed.
    #[info]
    fn job_is_gone(&mut self, info: Info) {
        let Info::Down { reference, reason, .. } = info else { return };
        let Some(id) = self.running.remove(&reference) else { return };
        self.clients.remove(&id);
        if let Some(job) = self.jobs.get_mut(&id)
            && job.outcome == Outcome::Running
        {
            job.outcome = Outcome::Crashed { error: reason.to_string() };
        }
        self.forget_oldest();
    }

    fn forget_oldest(&mut self) {
        let ended = self.jobs.values().filter(|job| job.outcome != Outcome::Running);
        let surplus = ended.count().saturating_sub(self.config.ended_jobs_kept_max);
        let oldest = self.jobs.values().filter(|job| job.outcome != Outcome::Running);
        let oldest: Vec<JobId> = oldest.take(surplus).map(|job| job.id).collect();
        for id in oldest {
            self.forget_report(id);
            self.jobs.remove(&id);
        }
    }

    /// Keeps a report at the cost of the oldest ones.
    fn keep(&mut self, id: JobId, report: Arc<Report>) {
        let (size, size_max) = (report.size_estimate(), self.config.report_bytes_kept_max);
        if size > size_max {
            return;
        }
        while self.report_bytes + size > size_max
            && let Some((&oldest, _)) = self.reports.first_key_value()
        {
            self.forget_report(oldest);
        }
        self.report_bytes += size;
        self.reports.insert(id, report);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.has_report = true;
        }
    }

    fn forget_report(&mut self, id: JobId) {
        if let Some(report) = self.reports.remove(&id) {
            self.report_bytes -= report.size_estimate();
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            job.has_report = false;
        }
    }
}

impl JobStatus {
    fn begun(id: JobId, selection: Selection, bytes_total: Option<u64>) -> JobStatus {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        JobStatus {
            id,
            owner: None,
            key: selection.key,
            value: selection.value,
            format: selection.format,
            began_at_secs: now.as_secs(),
            progress: Progress::default(),
            bytes_total,
            percent: percent(0, bytes_total),
            has_report: false,
            outcome: Outcome::Running,
        }
    }

    fn progressed(&mut self, progress: Progress) {
        self.progress = progress;
        self.percent = percent(progress.bytes, self.bytes_total);
    }
}

/// A file may be longer than its client said.
fn percent(bytes: u64, total: Option<u64>) -> Option<u8> {
    let parts = u128::from(bytes) * 100 / u128::from(total?.max(1));
    Some(parts.min(100) as u8)
}

/// Why there is nothing to be had of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobError {
    /// No job has this id, or it is forgotten.
    Unknown {
        /// The id.
        id: JobId,
    },
    /// It goes on; ask again later.
    Running {
        /// The id.
        id: JobId,
    },
    /// It has ended already.
    Ended {
        /// The id.
        id: JobId,
    },
    /// It ended without a report.
    NotDone {
        /// The id.
        id: JobId,
    },
    /// Its report had to make room for others, or was too large to be kept.
    NotKept {
        /// The id.
        id: JobId,
    },
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobError::Unknown { id } => write!(f, "there is no job {id}; it may be forgotten"),
            JobError::Running { id } => {
                write!(f, "job {id} is not done yet; try again in a moment")
            }
            JobError::Ended { id } => write!(f, "job {id} has ended already"),
            JobError::NotDone { id } => write!(f, "job {id} ended without a report"),
            JobError::NotKept { id } => {
                write!(f, "the report of job {id} is not kept any more; send the file again")
            }
        }
    }
}

impl Error for JobError {}

fn not_begun(error: SupervisorError) -> IngestError {
    IngestError::Service(match error {
        SupervisorError::Call(error) => error,
        other => CallError::Exited(Reason::error(&other)),
    })
}
