//! The children of a dynamic supervisor (OTP's `simple_one_for_one`): all alike, started on request, in no order.
//!
//! Lives here: [`DynamicChildren`]. Owned by one supervisor process.
//!
//! Invariants:
//! - A running child is one entry of a [`Roster`], its pid and its start arguments; the terms are kept once. The
//!   arguments of temporary children are dropped, since they are never needed again. So a million children cost
//!   a million times `size_of::<(P, A)>()` and two bytes.
//! - A child whose restart failed is kept under its last pid until another try succeeds.
//!
//! Differences from OTP 25: a restart whose start function chooses not to run (`ignore`) forgets the child, where
//! OTP keeps an entry without a pid that crashes the supervisor when it ends; and `count_children` stays right
//! when a child is terminated while it waits for another try.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use super::{
    AfterExit, AutoShutdown, ChildCounts, ChildKind, ChildRow, ChildState, ExitKind, Report,
    Restart, SpecError, Started, StopVerdict, Terms, check_intensity,
};
use crate::supervisor::intensity::{Intensity, RestartHistory, Verdict};

mod roster;

pub use roster::Numbered;
use roster::Roster;

/// The children of one dynamic supervisor.
///
/// `P` is the pid type, `A` the start arguments'.
#[derive(Debug)]
pub struct DynamicChildren<P, A> {
    terms: Terms,
    auto_shutdown: AutoShutdown,
    history: RestartHistory,
    running: Running<P, A>,
    restarting: HashMap<P, A>,
}

#[derive(Debug)]
enum Running<P, A> {
    /// They may be restarted.
    WithArgs(Roster<P, A>),
    /// They are temporary.
    Bare(Roster<P, ()>),
}

/// What the exit of a process means to this supervisor.
#[must_use]
#[derive(Debug)]
pub enum DynamicExited<'s, P, A> {
    /// No child of ours, or none any more.
    NotAChild,
    /// A child ended by itself.
    Child(DynamicExit<'s, P, A>),
}

/// A child ended by itself.
#[derive(Debug)]
pub struct DynamicExit<'s, P, A> {
    /// Whether to report the exit. Do so before going on.
    pub report: Report,
    /// Restarts in the period that ends now, with the one that this exit asks for; 0 when it asks for none.
    pub restarts_in_period: u32,
    /// What to do.
    pub next: DynamicNext<'s, P, A>,
}

/// What to do next.
#[must_use]
#[derive(Debug)]
pub enum DynamicNext<'s, P, A> {
    /// Start the child again.
    Restart(DynamicRestart<'s, P, A>),
    /// The event is dealt with.
    Done(DynamicDone<P>),
}

/// How an event ended.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum DynamicDone<P> {
    /// Receive the next event.
    Settled,
    /// A restart's start failed. Put this *behind* what is already in the mailbox and give it to
    /// [`DynamicChildren::try_again`] when it comes back.
    TryAgain(DynamicTryAgain<P>),
    /// Too many restarts: report it, [`shut_down`](DynamicChildren::shut_down) and exit with `shutdown`.
    GiveUp,
    /// A significant child ended: [`shut_down`](DynamicChildren::shut_down) and exit with `shutdown`.
    AutoShutdown,
}

/// A failed restart that wants another try. Each is good for one try.
#[must_use = "without another try the child stays down as `restarting`"]
#[derive(Debug, PartialEq, Eq)]
pub struct DynamicTryAgain<P> {
    last_pid: P,
}

/// Whether a process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It does.
    Alive,
    /// It does not, or never did.
    Gone,
}

/// The answer to [`DynamicChildren::terminate_child`].
#[must_use]
#[derive(Debug)]
pub enum DynamicTerminate<P> {
    /// Terminate this process by the supervisor's terms, then answer ok. It is forgotten already.
    Stop(P),
    /// Answer ok: it had no process, or died before.
    Done,
    /// Answer that it is no child of this supervisor.
    NotFound,
}

impl<P: Numbered + Hash, A> DynamicChildren<P, A> {
    /// A dynamic supervisor's state without children. All children will have these terms.
    ///
    /// # Errors
    /// See [`SpecError`].
    pub fn new(
        terms: Terms,
        intensity: Intensity,
        auto_shutdown: AutoShutdown,
    ) -> Result<Self, SpecError> {
        check_intensity(intensity)?;
        terms.check(auto_shutdown).map_err(|cause| {
            let id = Arc::from("dynamic");
            SpecError::Terms { id, cause }
        })?;
        let running = if terms.restart == Restart::Temporary {
            Running::Bare(Roster::default())
        } else {
            Running::WithArgs(Roster::default())
        };
        Ok(Self {
            terms,
            auto_shutdown,
            history: RestartHistory::new(intensity),
            running,
            restarting: HashMap::new(),
        })
    }

    /// A requested start succeeded: this process is a child from now on.
    ///
    /// A start that failed or was ignored leaves nothing behind and need not be told.
    pub fn started(&mut self, pid: P, args: A) {
        self.running.insert(pid, args);
    }

    /// A process linked to the supervisor ended.
    pub fn child_exited(
        &mut self,
        pid: P,
        how: ExitKind,
        now: Duration,
    ) -> DynamicExited<'_, P, A> {
        let Some(args) = self.running.remove(pid) else {
            return DynamicExited::NotAChild;
        };
        let report = self.terms.report_of_exit(how);
        let next = match (self.terms.after_exit(how), args) {
            (AfterExit::Restart, Some(args)) => self.restart(pid, args, now),
            (AfterExit::LetGo, _) | (_, None) if self.ends_after_exit() => {
                DynamicNext::Done(DynamicDone::AutoShutdown)
            }
            (AfterExit::LetGo, _) | (_, None) => DynamicNext::Done(DynamicDone::Settled),
        };
        let restarts_in_period = match &next {
            DynamicNext::Restart(restart) => restart.restarts_in_period(),
            DynamicNext::Done(_) => 0,
        };
        DynamicExited::Child(DynamicExit { report, restarts_in_period, next })
    }

    /// Another try for a restart that failed. It counts against the intensity like any restart.
    ///
    /// Nothing to do when the child was terminated meanwhile.
    pub fn try_again(&mut self, token: DynamicTryAgain<P>, now: Duration) -> DynamicNext<'_, P, A> {
        match self.restarting.remove(&token.last_pid) {
            Some(args) => self.restart(token.last_pid, args, now),
            None => DynamicNext::Done(DynamicDone::Settled),
        }
    }

    /// Terminates the child with this pid, or the one that had it and waits for another try.
    ///
    /// `liveness` is asked for a pid that is no child's: as in OTP, a dead one is answered with ok.
    pub fn terminate_child(
        &mut self,
        pid: P,
        liveness: impl FnOnce(P) -> Liveness,
    ) -> DynamicTerminate<P> {
        if self.running.remove(pid).is_some() {
            return DynamicTerminate::Stop(pid);
        }
        if self.restarting.remove(&pid).is_some() {
            return DynamicTerminate::Done;
        }
        match liveness(pid) {
            Liveness::Gone => DynamicTerminate::Done,
            Liveness::Alive => DynamicTerminate::NotFound,
        }
    }

    /// Ends the supervision: the children are to be terminated all at once, in no order.
    pub fn shut_down(self) -> Draining<P> {
        Draining { terms: self.terms, waiting: self.running.pids().collect() }
    }

    /// The children in no order. As many lines as there are children: for a person, not for a loop.
    pub fn which_children(&self) -> impl Iterator<Item = ChildRow<P>> {
        let kind = self.terms.kind;
        let running = self.running.pids().map(ChildState::Running);
        let restarting = self.restarting.keys().map(|_| ChildState::Restarting);
        running.chain(restarting).map(move |state| ChildRow { id: None, state, kind, restarts: 0 })
    }

    /// Counts the children, in constant time. As in OTP, `specs` is 1.
    pub fn count_children(&self) -> ChildCounts {
        let active = self.running.len();
        let all = active + self.restarting.len();
        let (supervisors, workers) = match self.terms.kind {
            ChildKind::Supervisor => (all, 0),
            ChildKind::Worker => (0, all),
        };
        ChildCounts { specs: 1, active, supervisors, workers }
    }

    /// The terms of all children.
    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// Restarts in the period that ended with the last restart, that one included. For reports.
    pub fn restarts_in_period(&self) -> u32 {
        self.history.restarts_in_period()
    }

    fn restart(&mut self, last_pid: P, args: A, now: Duration) -> DynamicNext<'_, P, A> {
        match self.history.record(now) {
            Verdict::Exceeded => DynamicNext::Done(DynamicDone::GiveUp),
            Verdict::Go => DynamicNext::Restart(DynamicRestart { children: self, last_pid, args }),
        }
    }

    fn ends_after_exit(&self) -> bool {
        match self.auto_shutdown {
            _ if !self.terms.significant => false,
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => self.running.len() + self.restarting.len() == 0,
        }
    }
}

/// A child to start again, with the arguments it had.
#[must_use]
#[derive(Debug)]
pub struct DynamicRestart<'s, P, A> {
    children: &'s mut DynamicChildren<P, A>,
    last_pid: P,
    args: A,
}

impl<P: Numbered + Hash, A> DynamicRestart<'_, P, A> {
    /// Its start arguments.
    pub fn args(&self) -> &A {
        &self.args
    }

    /// The pid that it had.
    pub fn last_pid(&self) -> P {
        self.last_pid
    }

    /// Restarts in the period that ended with this one. For reports.
    pub fn restarts_in_period(&self) -> u32 {
        self.children.history.restarts_in_period()
    }

    /// What came of it.
    pub fn done(self, started: Started<P>) -> DynamicDone<P> {
        let Self { children, last_pid, args } = self;
        match started {
            Started::Running(pid) => {
                children.running.insert(pid, args);
                DynamicDone::Settled
            }
            Started::Ignored => DynamicDone::Settled,
            Started::Failed => {
                children.restarting.insert(last_pid, args);
                DynamicDone::TryAgain(DynamicTryAgain { last_pid })
            }
        }
    }
}

/// The children of a dynamic supervisor that ends: told to stop all at once, then awaited.
///
/// Send each of [`waiting`](Self::waiting) `kill` or `shutdown` by the terms; when a timeout runs out, `kill` to
/// those still waiting.
#[must_use]
#[derive(Debug)]
pub struct Draining<P> {
    terms: Terms,
    waiting: HashSet<P>,
}

impl<P: Copy + Eq + Hash> Draining<P> {
    /// The terms of all children.
    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// The children that have not ended yet, in no order.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = P> {
        self.waiting.iter().copied()
    }

    /// A process ended. `None` when it was not waited for.
    pub fn gone(&mut self, pid: P, how: ExitKind) -> Option<StopVerdict> {
        self.waiting.remove(&pid).then(|| self.terms.judge_stop(how))
    }

    /// Whether all have ended.
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl<P: Numbered, A> Running<P, A> {
    fn insert(&mut self, pid: P, args: A) {
        match self {
            Self::WithArgs(children) => children.insert(pid, args),
            Self::Bare(children) => children.insert(pid, ()),
        }
    }

    /// The outer `None`: no such child. The inner one: its arguments were not kept.
    fn remove(&mut self, pid: P) -> Option<Option<A>> {
        match self {
            Self::WithArgs(children) => children.remove(pid).map(Some),
            Self::Bare(children) => children.remove(pid).map(|()| None),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::WithArgs(children) => children.len(),
            Self::Bare(children) => children.len(),
        }
    }

    fn pids(&self) -> Box<dyn Iterator<Item = P> + '_> {
        match self {
            Self::WithArgs(children) => Box::new(children.pids()),
            Self::Bare(children) => Box::new(children.pids()),
        }
    }
}

#[cfg(test)]
mod tests;
