//! What is asked of a supervisor about one child, and the typed answers.
//!
//! Lives here: `start_child`, `restart_child`, `terminate_child`, `delete_child` of [`Children`], OTP's answers to each
//! as an enum. Used by the supervisor process only.
//!
//! Invariants: a refused request changes nothing. One that needs a process started or stopped hands out a value
//! that borrows the state until it is told what came of it; dropped, it has changed nothing.
//!
//! None of these counts against the restart intensity, and none ends the supervisor.

use std::error::Error;
use std::fmt;
use std::hash::Hash;

use super::children::Key;
use super::{ChildState, Children, ExitKind, Restart, Spec, Started, StopVerdict, TermsError};

impl<P: Copy + Eq + Hash, F> Children<P, F> {
    /// Adds a child after all others and starts it.
    ///
    /// # Errors
    /// See [`StartChildError`]. Nothing is added then, nor when the start fails.
    pub fn start_child(&mut self, spec: Spec<F>) -> Result<StartNew<'_, P, F>, StartChildError<P>> {
        spec.terms.check(self.policy().auto_shutdown).map_err(StartChildError::Terms)?;
        match self.state_of(&spec.id) {
            None => Ok(StartNew { children: self, spec }),
            Some(ChildState::Running(pid)) => Err(StartChildError::AlreadyStarted(pid)),
            Some(ChildState::Restarting | ChildState::Undefined) => {
                Err(StartChildError::AlreadyPresent)
            }
        }
    }

    /// Starts a child again that has no process. Does not count against the intensity.
    ///
    /// # Errors
    /// See [`RestartChildError`].
    pub fn restart_child(&mut self, id: &str) -> Result<StartAgain<'_, P, F>, RestartChildError> {
        let key = self.key_of(id).ok_or(RestartChildError::NotFound)?;
        match self.child(key).state {
            ChildState::Running(_) => Err(RestartChildError::Running),
            ChildState::Restarting => Err(RestartChildError::Restarting),
            ChildState::Undefined => Ok(StartAgain { children: self, key }),
        }
    }

    /// Terminates a child. Its spec stays, unless it is temporary; it is not restarted, and the end of a
    /// significant child does not end the supervisor.
    ///
    /// # Errors
    /// When there is no such child.
    pub fn terminate_child(&mut self, id: &str) -> Result<Terminate<'_, P, F>, NotFound> {
        let key = self.key_of(id).ok_or(NotFound)?;
        if let ChildState::Running(pid) = self.child(key).state {
            return Ok(Terminate::Stop(StopOne { children: self, key, pid }));
        }
        self.close(key);
        Ok(Terminate::Done)
    }

    /// Deletes the spec of a child that has no process.
    ///
    /// # Errors
    /// See [`DeleteChildError`].
    pub fn delete_child(&mut self, id: &str) -> Result<Spec<F>, DeleteChildError> {
        let key = self.key_of(id).ok_or(DeleteChildError::NotFound)?;
        match self.child(key).state {
            ChildState::Running(_) => Err(DeleteChildError::Running),
            ChildState::Restarting => Err(DeleteChildError::Restarting),
            ChildState::Undefined => Ok(self.remove(key)),
        }
    }
}

/// A child being added by [`Children::start_child`]. Nothing is stored before [`done`](Self::done).
#[must_use]
#[derive(Debug)]
pub struct StartNew<'s, P, F> {
    children: &'s mut Children<P, F>,
    spec: Spec<F>,
}

impl<P: Copy + Eq + Hash, F> StartNew<'_, P, F> {
    /// The spec to start.
    pub fn spec(&self) -> &Spec<F> {
        &self.spec
    }

    /// What came of it. A child that ignored its start is kept without a process, unless it is temporary; one
    /// that failed is not kept.
    pub fn done(self, started: Started<P>) {
        let keep_idle = self.spec.terms.restart != Restart::Temporary;
        match started {
            Started::Running(pid) => {
                let key = self.children.append(self.spec);
                self.children.set_running(key, pid);
            }
            Started::Ignored if keep_idle => {
                self.children.append(self.spec);
            }
            Started::Ignored | Started::Failed => {}
        }
    }
}

/// A child being started again by [`Children::restart_child`].
#[must_use]
#[derive(Debug)]
pub struct StartAgain<'s, P, F> {
    children: &'s mut Children<P, F>,
    key: Key,
}

impl<P: Copy + Eq + Hash, F> StartAgain<'_, P, F> {
    /// The spec to start.
    pub fn spec(&self) -> &Spec<F> {
        self.children.spec_at(self.key)
    }

    /// How often the child was restarted before. A start on request is none.
    pub fn restarts(&self) -> u64 {
        self.children.restarts_at(self.key)
    }

    /// What came of it. Without a process, the child stays as it was.
    pub fn done(self, started: Started<P>) {
        if let Started::Running(pid) = started {
            self.children.set_running(self.key, pid);
        }
    }
}

/// What [`Children::terminate_child`] asks for.
#[must_use]
#[derive(Debug)]
pub enum Terminate<'s, P, F> {
    /// It had no process. Answer ok.
    Done,
    /// Terminate it, then answer ok.
    Stop(StopOne<'s, P, F>),
}

/// A child being terminated by [`Children::terminate_child`].
#[must_use]
#[derive(Debug)]
pub struct StopOne<'s, P, F> {
    children: &'s mut Children<P, F>,
    key: Key,
    pid: P,
}

impl<P: Copy + Eq + Hash, F> StopOne<'_, P, F> {
    /// The process to terminate.
    pub fn pid(&self) -> P {
        self.pid
    }

    /// Its spec.
    pub fn spec(&self) -> &Spec<F> {
        self.children.spec_at(self.key)
    }

    /// The child is gone, with this exit.
    pub fn gone(self, how: ExitKind) -> StopVerdict {
        let verdict = self.spec().terms.judge_stop(how);
        self.children.close(self.key);
        verdict
    }
}

/// Why [`Children::start_child`] refuses. Nothing was changed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartChildError<P> {
    /// A child with this id runs as this process.
    AlreadyStarted(P),
    /// A child with this id exists without a process: restart or delete it.
    AlreadyPresent,
    /// The spec makes no sense here.
    Terms(TermsError),
}

impl<P: fmt::Display> fmt::Display for StartChildError<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyStarted(pid) => {
                write!(f, "a child with this id is already started as {pid}")
            }
            Self::AlreadyPresent => f.write_str(
                "a child with this id is present without a process, restart or delete it",
            ),
            Self::Terms(_) => f.write_str("the child spec makes no sense"),
        }
    }
}

impl<P: fmt::Debug + fmt::Display> Error for StartChildError<P> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Terms(cause) => Some(cause),
            Self::AlreadyStarted(_) | Self::AlreadyPresent => None,
        }
    }
}

/// Why [`Children::restart_child`] refuses. Nothing was changed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartChildError {
    /// It runs.
    Running,
    /// The supervisor is about to restart it.
    Restarting,
    /// There is no such child.
    NotFound,
}

impl fmt::Display for RestartChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "the child is running",
            Self::Restarting => "the child is about to be restarted",
            Self::NotFound => "there is no such child",
        })
    }
}

impl Error for RestartChildError {}

/// Why [`Children::delete_child`] refuses. Nothing was changed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteChildError {
    /// It runs: terminate it first.
    Running,
    /// The supervisor is about to restart it: terminate it first.
    Restarting,
    /// There is no such child.
    NotFound,
}

impl fmt::Display for DeleteChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "the child is running, terminate it first",
            Self::Restarting => "the child is about to be restarted, terminate it first",
            Self::NotFound => "there is no such child",
        })
    }
}

impl Error for DeleteChildError {}

/// There is no such child. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFound;

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no such child")
    }
}

impl Error for NotFound {}
