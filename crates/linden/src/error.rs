//! Why a start fails and why an init refuses, as data.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use linden_core::{Pid, Reason, RegisterError};

use crate::supervisor::decision::SpecError;

/// Any error; what application code returns where only people read it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why an init does not give a running server. Any error becomes one by `?`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stop {
    /// The start fails with this reason (OTP: `{stop, Reason}`).
    Because(Reason),
    /// The server chose not to run; that is no failure (OTP: `ignore`).
    Ignore,
}

impl Stop {
    /// The start fails, and a text says why.
    pub fn because(text: impl Into<Arc<str>>) -> Self {
        Self::Because(Reason::custom(text))
    }
}

impl<E: Error> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Because(Reason::error(&error))
    }
}

/// Why a process, a supervisor or an application did not start. What it had started before is stopped again.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Its init failed, or it ended before it was through.
    Init(Reason),
    /// Its init chose not to run.
    Ignored,
    /// Its name belongs to another process.
    NameTaken {
        /// The name.
        name: String,
        /// Who owns it.
        owner: Pid,
    },
    /// Its name cannot be registered; the text says why.
    BadName(String),
    /// A child of the supervisor did not start.
    Child {
        /// The child.
        id: Arc<str>,
        /// Why.
        cause: Box<StartError>,
    },
    /// The supervisor's flags or child specs make no sense.
    Spec(SpecError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Init(reason) => write!(f, "init failed: {reason}"),
            Self::Ignored => f.write_str("init chose not to run"),
            Self::NameTaken { name, owner } => {
                write!(
                    f,
                    "the name {name} belongs to {owner}; stop that process or take another name"
                )
            }
            Self::BadName(detail) => f.write_str(detail),
            Self::Child { id, cause } => write!(f, "child {id} did not start: {cause}"),
            Self::Spec(_) => f.write_str("the supervisor's specification makes no sense"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Child { cause, .. } => Some(cause),
            Self::Spec(error) => Some(error),
            _ => None,
        }
    }
}

impl From<RegisterError> for StartError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Taken { name, owner } => Self::NameTaken { name, owner },
            other => Self::BadName(other.to_string()),
        }
    }
}

impl From<SpecError> for StartError {
    fn from(error: SpecError) -> Self {
        Self::Spec(error)
    }
}

impl From<Stop> for StartError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Because(reason) => Self::Init(reason),
            Stop::Ignore => Self::Ignored,
        }
    }
}

/// An error with its sources, on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let source_text = source.to_string();
        // An error that shows its source itself says it once.
        if !text.ends_with(&source_text) {
            text.push_str(": ");
            text.push_str(&source_text);
        }
        next = source.source();
    }
    text
}
