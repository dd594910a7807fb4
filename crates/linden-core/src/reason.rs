//! Why a process ended, as data that can be compared, cloned cheaply and sent to another node.
//!
//! OTP source: exit reasons. `Reason` holds texts, never boxed errors or panic payloads, so that a reason survives the
//! process, the wire and a change of code.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a process ended or is told to end. 16 bytes; a clone is a counter increment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reason {
    /// The process did what it had to do.
    Normal,
    /// An orderly end, asked for by a supervisor or by the node.
    Shutdown,
    /// An orderly end with a detail, OTP's `{shutdown, Term}`.
    ShutdownWith(Arc<str>),
    /// As the reason of an exit *signal*: end at once, trapping or not. Others hear [`Reason::Killed`].
    Kill,
    /// The process was ended by a [`Reason::Kill`] signal.
    Killed,
    /// There was no such process when the link or the monitor was set up.
    NoProc,
    /// The connection to the process's node was lost; the process may live on there.
    NoConnection,
    /// Code of the process panicked.
    Panic(Arc<PanicInfo>),
    /// The process ended with an error.
    Error(Arc<ErrorInfo>),
    /// A reason of the application's own.
    Custom(Arc<str>),
}

impl Reason {
    /// A reason of the application's own.
    pub fn custom(text: impl Into<Arc<str>>) -> Self {
        Self::Custom(text.into())
    }

    /// An orderly end with a detail.
    pub fn shutdown_with(text: impl Into<Arc<str>>) -> Self {
        Self::ShutdownWith(text.into())
    }

    /// The error and its chain of sources, as texts.
    pub fn error<E: Error + ?Sized>(error: &E) -> Self {
        let mut sources = Vec::new();
        let mut next = error.source();
        while let Some(source) = next {
            if sources.len() == ErrorInfo::SOURCES_MAX {
                break;
            }
            sources.push(source.to_string());
            next = source.source();
        }
        Self::Error(Arc::new(ErrorInfo { message: error.to_string(), sources }))
    }

    /// Whether the end was an orderly one, which a transient child is not restarted after: normal, shutdown, shutdown
    /// with a detail.
    #[must_use]
    pub fn is_orderly(&self) -> bool {
        matches!(self, Self::Normal | Self::Shutdown | Self::ShutdownWith(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
            Self::Shutdown => f.write_str("shutdown"),
            Self::ShutdownWith(detail) => write!(f, "shutdown: {detail}"),
            Self::Kill => f.write_str("kill"),
            Self::Killed => f.write_str("killed"),
            Self::NoProc => f.write_str("no such process"),
            Self::NoConnection => f.write_str("no connection to the process's node"),
            Self::Panic(info) => fmt::Display::fmt(info, f),
            Self::Error(info) => fmt::Display::fmt(info, f),
            Self::Custom(text) => f.write_str(text),
        }
    }
}

/// What a panic said, and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PanicInfo {
    /// The panic's message, or a note that its payload was no text.
    pub message: String,
    /// `file:line:column`, or empty when the panic hook of another library hid it.
    pub location: String,
}

impl fmt::Display for PanicInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.message)?;
        if !self.location.is_empty() {
            write!(f, ", at {}", self.location)?;
        }
        Ok(())
    }
}

/// An error's message and those of its sources.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ErrorInfo {
    /// The error's own message.
    pub message: String,
    /// The messages of its sources, outermost first, at most [`ErrorInfo::SOURCES_MAX`].
    pub sources: Vec<String>,
}

impl ErrorInfo {
    /// How many sources are kept: a cyclic or endless chain must not hang the process that reports it.
    pub const SOURCES_MAX: usize = 16;
}

impl fmt::Display for ErrorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        self.sources.iter().try_for_each(|source| write!(f, ": {source}"))
    }
}

/// What a process's future may return: its exit reason, or something that says one.
pub trait IntoReason {
    /// The exit reason that the value stands for.
    fn into_reason(self) -> Reason;
}

impl IntoReason for () {
    fn into_reason(self) -> Reason {
        Reason::Normal
    }
}

impl IntoReason for Reason {
    fn into_reason(self) -> Reason {
        self
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> IntoReason for Result<(), E> {
    fn into_reason(self) -> Reason {
        match self {
            Ok(()) => Reason::Normal,
            Err(error) => Reason::error(&*error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Endless;

    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("endless")
        }
    }

    impl Error for Endless {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&Endless)
        }
    }

    #[test]
    fn an_error_keeps_its_sources_as_text() {
        let parse = "x".parse::<i32>().expect_err("x is no number");
        let error = std::io::Error::other(parse);
        let reason = Err::<(), _>(error).into_reason();
        assert_eq!(reason.to_string(), "error: invalid digit found in string");
        let Reason::Error(info) = reason else { panic!("an error is kept as an error") };
        assert!(info.sources.len() <= ErrorInfo::SOURCES_MAX);
    }

    #[test]
    fn an_endless_chain_of_sources_is_cut() {
        let Reason::Error(info) = Reason::error(&Endless) else {
            panic!("an error is kept as an error")
        };
        assert_eq!(info.sources.len(), ErrorInfo::SOURCES_MAX);
    }

    #[test]
    fn orderly_ends_are_the_three_of_otp() {
        assert!(Reason::Normal.is_orderly());
        assert!(Reason::Shutdown.is_orderly());
        assert!(Reason::shutdown_with("drained").is_orderly());
        assert!(!Reason::Killed.is_orderly());
        assert!(!Reason::custom("disk full").is_orderly());
    }

    #[test]
    fn a_reason_stays_small() {
        assert!(size_of::<Reason>() <= 24, "{}", size_of::<Reason>());
    }
}
