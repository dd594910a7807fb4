//! Why a node did not start, or stopped by itself.

use std::error::Error;
use std::fmt;

use linden_core::{NodeStartError, Pid, Reason};

use crate::application::controller::Down;
use crate::application::order::OrderError;
use crate::config::{ConfigError, duration};
use crate::error::BoxError;
use crate::report::SupervisorReport;

/// Why a node did not start, or stopped by itself. What had started was stopped again, in reverse order.
#[derive(Debug)]
#[non_exhaustive]
pub enum NodeError {
    /// The configuration is refused.
    Config(ConfigError),
    /// The applications' names or dependencies make no sense.
    Order(OrderError),
    /// The node itself did not start.
    Start(NodeStartError),
    /// An application did not start.
    Application {
        /// Its name.
        name: &'static str,
        /// Why.
        cause: BoxError,
    },
    /// A permanent application ended, and the node with it.
    #[non_exhaustive]
    ApplicationDown {
        /// Its name.
        name: &'static str,
        /// Why it ended.
        reason: Reason,
        /// What its supervisor said when it gave up, if that is why: the child, the restarts, and how the child ended last.
        gave_up: Option<Box<SupervisorReport>>,
    },
    /// Processes did not end when the node stopped; their threads are stuck.
    Zombies(Vec<Pid>),
    /// The operating system refused to pass on its signals.
    Signals(std::io::Error),
}

impl From<Down> for NodeError {
    fn from(down: Down) -> Self {
        let Down { application: name, reason, gave_up } = down;
        Self::ApplicationDown { name, reason, gave_up }
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(_) => f.write_str("the configuration is refused"),
            Self::Order(_) => f.write_str("the applications cannot be put in order"),
            Self::Start(_) => f.write_str("the node did not start"),
            Self::Application { name, .. } => write!(f, "the application {name} did not start"),
            Self::ApplicationDown { name, reason, gave_up } => {
                write!(f, "the application {name} ended, and the node with it: ")?;
                match gave_up {
                    Some(report) => too_often(report, f),
                    None => reason.fmt(f),
                }
            }
            Self::Zombies(pids) => zombies(pids, f),
            Self::Signals(_) => f.write_str("the operating system's signals cannot be heard"),
        }
    }
}

/// What a supervisor that gave up leaves to be said, and what is to be done.
fn too_often(report: &SupervisorReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let SupervisorReport { supervisor, child, restarts_in_period, intensity, .. } = report;
    let (period, allowed) = (duration::format(intensity.period), intensity.restarts_max);
    write!(
        f,
        "its supervisor {supervisor} gave up restarting child {child} ({restarts_in_period} restarts in {period}, \
         {allowed} allowed)"
    )?;
    if let Some(reason) = &report.reason {
        write!(f, "; the child ended last with: {reason}")?;
    }
    f.write_str("; the crash reports in the log say more; mend what crashes, or raise the supervisor's intensity")
}

fn zombies(pids: &[Pid], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let named: Vec<String> = pids.iter().take(ZOMBIES_NAMED_MAX).map(Pid::to_string).collect();
    let more = if pids.len() > named.len() { " ..." } else { "" };
    write!(
        f,
        "{} processes did not end: they are stuck in code that never awaits ({}{more}); move such code to \
         tokio::task::spawn_blocking, or let it await now and then",
        pids.len(),
        named.join(", ")
    )
}

/// How many stuck processes an error's text names.
const ZOMBIES_NAMED_MAX: usize = 10;

impl Error for NodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Order(error) => Some(error),
            Self::Start(error) => Some(error),
            Self::Application { cause, .. } => Some(&**cause),
            Self::Signals(error) => Some(error),
            Self::ApplicationDown { .. } | Self::Zombies(_) => None,
        }
    }
}
