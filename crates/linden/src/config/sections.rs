//! The two sections that every node has: `[node]` and `[log]`.
//!
//! Lives here: their types and defaults. Plain data.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use serde::Deserialize;

use super::duration;

/// How long a node that was told to stop waits for its applications, unless configured.
const SHUTDOWN_GRACE_DEFAULT: Duration = Duration::from_secs(30);

/// `[node]`: how the node runs.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeConfig {
    /// The node's name, `shop` or `shop@host`. Absent: the program's own choice.
    pub name: Option<String>,
    /// Threads that run processes. Absent: one per core.
    pub workers: Option<NonZeroUsize>,
    /// The most threads for blocking work. Absent: the core's default.
    pub blocking_threads_max: Option<NonZeroUsize>,
    /// More messages than so many in all mailboxes together are a warning in the log. Absent: 1,000,000.
    pub mailbox_watermark: Option<NonZeroU64>,
    /// How long a stopping node waits for its applications before it kills what is left. Default `30s`.
    #[serde(with = "duration")]
    pub shutdown_grace: Duration,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            name: None,
            workers: None,
            blocking_threads_max: None,
            mailbox_watermark: None,
            shutdown_grace: SHUTDOWN_GRACE_DEFAULT,
        }
    }
}

/// `[log]`: what is logged, and how it looks.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// The least important level that is logged. Default `info`.
    pub level: LogLevel,
    /// Directives by target, such as `info,linden=debug,hyper=warn`. Takes the place of `level` when given.
    pub filter: Option<String>,
    /// How a line looks. Default `readable`.
    pub format: LogFormat,
}

impl LogConfig {
    /// The filter directives in effect: `filter` when given, else the level's name.
    pub fn directives(&self) -> &str {
        self.filter.as_deref().unwrap_or_else(|| self.level.name())
    }
}

/// How important an event must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing is logged.
    Off,
    /// Crashes and reports of them.
    Error,
    /// What may become an error.
    Warn,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The name as written in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How a logged event looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people: one line an event, reports over several lines.
    #[default]
    Readable,
    /// For machines: one JSON object a line.
    Json,
}
