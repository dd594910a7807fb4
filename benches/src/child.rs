//! One child OS process: start it, read its line, and kill it when it takes too long.
//!
//! Runs on the parent's main thread, with one thread per pipe of the child so that a full pipe
//! cannot hold it up. Knows nothing of what the child does.

use std::error::Error;
use std::fmt;
use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::outcome::Outcome;

/// How long a child may take. `idle` is the longest: a million servers, some 20 s for the slowest.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(180);

/// Why a child gave no outcome.
#[derive(Debug)]
pub(crate) enum ChildError {
    /// It could not be started or waited for.
    Io(io::Error),
    /// It was killed after this time.
    TimedOut(Duration),
    /// It ended without a line that is an outcome; with the beginning of its standard error.
    NoOutcome { status: ExitStatus, said: String },
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChildError::Io(_) => f.write_str("its OS process could not be run"),
            ChildError::TimedOut(limit) => write!(f, "killed after {} s", limit.as_secs()),
            ChildError::NoOutcome { status, said } if said.is_empty() => {
                write!(f, "ended with {status} and said nothing")
            }
            ChildError::NoOutcome { status, said } => write!(f, "ended with {status}: {said}"),
        }
    }
}

impl Error for ChildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ChildError::Io(error) => Some(error),
            ChildError::TimedOut(_) | ChildError::NoOutcome { .. } => None,
        }
    }
}

impl From<io::Error> for ChildError {
    fn from(error: io::Error) -> ChildError {
        ChildError::Io(error)
    }
}

/// Runs the command to its end, or to the limit.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<Outcome, ChildError> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let out = read_to_end(child.stdout.take().expect("standard output is piped"));
    let err = read_to_end(child.stderr.take().expect("standard error is piped"));
    // The end of its output is the end of the child.
    let Ok(said) = out.recv_timeout(limit) else {
        child.kill()?;
        child.wait()?;
        return Err(ChildError::TimedOut(limit));
    };
    let status = child.wait()?;
    match last_line(&said).map(serde_json::from_str) {
        Some(Ok(outcome)) if status.success() => Ok(outcome),
        _ => {
            let said = beginning(&err.recv().unwrap_or_default());
            Err(ChildError::NoOutcome { status, said })
        }
    }
}

/// Reads a pipe on a thread of its own; the text arrives when the pipe is closed.
fn read_to_end(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that fails has ended; what was read until then counts.
        let _ = pipe.read_to_end(&mut bytes);
        // The receiver is gone when the child was killed.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// The first two lines: a panic has its place on one and its message on the other.
fn beginning(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.take(2).collect::<Vec<_>>().join(" ")
}

fn last_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Metric;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_last_line_is_the_outcome() {
        let line = r#"{"metrics":[{"metric":"hop","unit":"ns","value":145.0}]}"#;
        let mut command = shell(&format!("echo starting; echo '{line}'"));
        let outcome = run(&mut command, TIME_LIMIT).unwrap();
        assert_eq!(outcome, Outcome::Metrics(vec![Metric::hop(145.0)]));
    }

    #[test]
    fn a_child_that_fails_is_quoted() {
        let error = run(&mut shell("printf 'no\\n\\nmemory\\nat all\\n' >&2; exit 3"), TIME_LIMIT)
            .unwrap_err();
        assert_eq!(error.to_string(), "ended with exit status: 3: no memory");
    }

    #[test]
    fn a_child_that_ends_well_without_a_figure_has_failed() {
        let error = run(&mut shell("echo fine"), TIME_LIMIT).unwrap_err();
        assert_eq!(error.to_string(), "ended with exit status: 0 and said nothing");
    }

    #[test]
    fn a_child_that_hangs_is_killed() {
        let error = run(&mut shell("exec cat /dev/zero >/dev/null"), Duration::ZERO).unwrap_err();
        assert!(matches!(error, ChildError::TimedOut(_)));
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error() {
        let error = run(&mut Command::new("/no/such/program"), TIME_LIMIT).unwrap_err();
        assert!(matches!(error, ChildError::Io(_)));
        assert!(error.source().is_some());
    }
}
