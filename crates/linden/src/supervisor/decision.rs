//! What a supervisor decides: the words of its rules, and the pure states that apply them.
//!
//! Lives here: the keys of a child spec that decide ([`Terms`], [`Restart`], [`Shutdown`] ...), the supervisor's
//! own flags ([`Policy`]), and below, [`Children`] for supervisors with a fixed order of children and
//! [`DynamicChildren`] for those whose children are all alike (OTP's `simple_one_for_one`).
//! Owned by one supervisor process; plain data: no clock, no I/O, no process. The time is an argument, and
//! whatever must be done to a process is handed out as a value that has to be answered.
//!
//! Invariants:
//! - An event is decided whole before the next one, as in OTP, where a supervisor that waits for a child does
//!   not receive. The types enforce it: a [`Step`] borrows the state until it is answered.
//! - Temporary children are never restarted and are forgotten when they end.
//!
//! The rules are those of `supervisor.erl` in OTP 25. Differences stand at the item that differs.
//!
//! Absent on purpose: the start functions' meaning (a spec carries an opaque `F`), reports, names.

mod children;
mod dynamic;
mod requests;
mod step;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use children::{ChildCounts, ChildExit, ChildRow, ChildState, Children, Exited};
pub use dynamic::{
    Draining, DynamicChildren, DynamicDone, DynamicExit, DynamicExited, DynamicNext,
    DynamicRestart, DynamicTerminate, DynamicTryAgain, Liveness, Numbered,
};
pub use requests::{
    DeleteChildError, NotFound, RestartChildError, StartAgain, StartChildError, StartNew, StopOne,
    Terminate,
};
pub use step::{Done, ExitCause, GiveUp, Start, Started, Step, Stop, TryAgain};

use super::intensity::Intensity;

/// Which children are affected when one must be restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// That child alone.
    #[default]
    OneForOne,
    /// All: the others are terminated in reverse start order, then all are started in order.
    OneForAll,
    /// That child and those started after it, in the same manner.
    RestForOne,
}

/// When a child that ended is restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// After an abnormal exit: anything but `normal`, `shutdown`, `{shutdown, _}`.
    Transient,
    /// Never, not even when a sibling's crash terminates it. Its spec is deleted when it ends.
    Temporary,
}

/// How a child is terminated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// `kill` at once. The child cannot clean up.
    Brutal,
    /// `shutdown`, then `kill` when it has not ended after this time.
    Timeout(Duration),
    /// `shutdown`, then wait for as long as it takes. Right for supervisors.
    Infinity,
}

impl Shutdown {
    /// OTP's default for workers: 5 s.
    pub const WORKER_DEFAULT: Self = Self::Timeout(Duration::from_secs(5));
    /// OTP's default for supervisors: however long their own children need.
    pub const SUPERVISOR_DEFAULT: Self = Self::Infinity;
}

/// Whether a child is itself a supervisor. Decides nothing; it is shown and counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChildKind {
    /// Any process that is no supervisor.
    #[default]
    Worker,
    /// A supervisor with children of its own.
    Supervisor,
}

/// Whether the end of significant children ends the supervisor too (OTP 24 and later).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AutoShutdown {
    /// No. Significant children are refused.
    #[default]
    Never,
    /// As soon as one significant child ends by itself and is not restarted.
    AnySignificant,
    /// When the last active significant child does.
    AllSignificant,
}

/// The supervisor's own flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Which children a crash affects.
    pub strategy: Strategy,
    /// How many restarts are too many.
    pub intensity: Intensity,
    /// Whether significant children may end the supervisor.
    pub auto_shutdown: AutoShutdown,
}

/// As much of an exit reason as a supervisor's decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitKind {
    /// `normal`
    Normal,
    /// `shutdown`
    Shutdown,
    /// `{shutdown, detail}`
    ShutdownWith,
    /// `killed`: somebody sent `kill`.
    Killed,
    /// Everything else: panics, errors, `noproc`, custom reasons.
    Abnormal,
}

impl ExitKind {
    /// Whether a transient child with this exit stays down: `normal`, `shutdown`, `{shutdown, _}`.
    pub fn is_orderly(self) -> bool {
        matches!(self, Self::Normal | Self::Shutdown | Self::ShutdownWith)
    }
}

/// Whether a child that was told to stop ended as asked.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopVerdict {
    /// It did. Nothing to report.
    AsAsked,
    /// It ended otherwise: killed after its time was up, or by its own crash. OTP reports a `shutdown_error`.
    Otherwise,
}

/// Whether a child's exit is worth a report.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// OTP reports `child_terminated`.
    Write,
    /// An orderly end of a child that may end.
    Omit,
}

/// The keys of a child spec that decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// When it is restarted.
    pub restart: Restart,
    /// How it is terminated.
    pub shutdown: Shutdown,
    /// What it is shown as.
    pub kind: ChildKind,
    /// Whether its end counts for [`AutoShutdown`]. Not allowed for permanent children.
    pub significant: bool,
}

/// What becomes of a child that ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterExit {
    /// It must run again.
    Restart,
    /// It stays down.
    LetGo,
}

impl Terms {
    /// OTP's defaults for a worker: permanent, 5 s to shut down.
    pub const WORKER: Self = Self {
        restart: Restart::Permanent,
        shutdown: Shutdown::WORKER_DEFAULT,
        kind: ChildKind::Worker,
        significant: false,
    };

    /// OTP's defaults for a supervisor: permanent, any time to shut down.
    pub const SUPERVISOR: Self = Self {
        restart: Restart::Permanent,
        shutdown: Shutdown::SUPERVISOR_DEFAULT,
        kind: ChildKind::Supervisor,
        significant: false,
    };

    /// Whether the combination makes sense under this auto-shutdown.
    ///
    /// # Errors
    /// See [`TermsError`].
    pub fn check(&self, auto_shutdown: AutoShutdown) -> Result<(), TermsError> {
        if !self.significant {
            return Ok(());
        }
        if auto_shutdown == AutoShutdown::Never {
            return Err(TermsError::SignificantWithoutAutoShutdown);
        }
        if self.restart == Restart::Permanent {
            return Err(TermsError::SignificantPermanent);
        }
        Ok(())
    }

    /// Whether this exit of a child nobody had told to stop is worth a report.
    pub fn report_of_exit(&self, how: ExitKind) -> Report {
        if self.restart == Restart::Permanent || !how.is_orderly() {
            Report::Write
        } else {
            Report::Omit
        }
    }

    /// Whether a child that had been told to stop ended as asked.
    ///
    /// `shutdown` is what was asked (`killed`, for a brutal one). A child that may end by itself is also
    /// excused when it did so at the same moment.
    pub fn judge_stop(&self, how: ExitKind) -> StopVerdict {
        let asked = match self.shutdown {
            Shutdown::Brutal => ExitKind::Killed,
            Shutdown::Timeout(_) | Shutdown::Infinity => ExitKind::Shutdown,
        };
        let excused = self.restart != Restart::Permanent && how.is_orderly();
        if how == asked || excused { StopVerdict::AsAsked } else { StopVerdict::Otherwise }
    }

    pub(crate) fn after_exit(&self, how: ExitKind) -> AfterExit {
        match self.restart {
            Restart::Permanent => AfterExit::Restart,
            Restart::Transient if !how.is_orderly() => AfterExit::Restart,
            Restart::Transient | Restart::Temporary => AfterExit::LetGo,
        }
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self::WORKER
    }
}

/// A child spec: the id, the terms, and how to start it.
#[derive(Clone, Debug)]
pub struct Spec<F> {
    /// Unique within the supervisor.
    pub id: Arc<str>,
    /// The keys that decide.
    pub terms: Terms,
    /// The start function, opaque here.
    pub start: F,
}

impl<F> Spec<F> {
    /// A child with these terms.
    pub fn new(id: impl Into<Arc<str>>, terms: Terms, start: F) -> Self {
        Self { id: id.into(), terms, start }
    }
}

/// Why a child's terms are refused.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermsError {
    /// A permanent child never ends for good, so it cannot be significant.
    SignificantPermanent,
    /// Nothing would come of being significant under `auto_shutdown: never`.
    SignificantWithoutAutoShutdown,
}

impl fmt::Display for TermsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SignificantPermanent => {
                "a permanent child cannot be significant, make it transient or temporary"
            }
            Self::SignificantWithoutAutoShutdown => {
                "a significant child needs a supervisor with auto_shutdown any_significant or all_significant"
            }
        })
    }
}

impl Error for TermsError {}

/// Why a supervisor's flags or its children's specs are refused. Nothing was started.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecError {
    /// Two children have the same id.
    DuplicateId {
        /// The id.
        id: Arc<str>,
    },
    /// A child's terms make no sense.
    Terms {
        /// The child, or the name of the template in a dynamic supervisor.
        id: Arc<str>,
        /// What is wrong.
        cause: TermsError,
    },
    /// The intensity's period is zero, so the limit would never be reached.
    PeriodZero,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateId { id } => {
                write!(f, "two children have the id `{id}`; give each its own")
            }
            Self::Terms { id, .. } => write!(f, "the spec of child `{id}` makes no sense"),
            Self::PeriodZero => f.write_str(
                "the period of the restart intensity is zero, so no limit would be reached; make it longer",
            ),
        }
    }
}

impl Error for SpecError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Terms { cause, .. } => Some(cause),
            Self::DuplicateId { .. } | Self::PeriodZero => None,
        }
    }
}

pub(crate) fn check_intensity(intensity: Intensity) -> Result<(), SpecError> {
    if intensity.period.is_zero() {
        return Err(SpecError::PeriodZero);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
