//! The steps of one decision: what the supervisor process must do next, one thing at a time.
//!
//! Lives here: [`Step`] and the values in it. Used by the supervisor process only. Each value is linear: the
//! only way on from [`Stop`], [`Start`] and [`GiveUp`] is to say what came of it, which consumes it and gives
//! the next step. So no step can be left out, repeated, or answered in another order; and since a step borrows
//! [`Children`], no other event can be decided in between. A supervisor that dies half-way just drops it.
//!
//! Invariants: within one decision, stops come before starts; stops go in reverse start order; starts go in start
//! order; after [`GiveUp`] nothing is started.

use std::hash::Hash;
use std::sync::Arc;

use super::children::{Children, Key};
use super::{ChildState, ExitKind, Restart, Spec, StopVerdict};

/// What to do next.
#[must_use = "a step that is not taken leaves children neither stopped nor started"]
#[derive(Debug)]
pub enum Step<'s, P, F> {
    /// Terminate this child and wait until it is gone.
    Stop(Stop<'s, P, F>),
    /// Start this child.
    Start(Start<'s, P, F>),
    /// The supervisor will end: report it, then go on to terminate the children.
    GiveUp(GiveUp<'s, P, F>),
    /// The event is dealt with.
    Done(Done),
}

impl<P: Copy + Eq + Hash, F> Step<'_, P, F> {
    /// Restarts in the period that ended with this decision's, that one included; 0 when it restarts nothing. For reports.
    pub fn restarts_in_period(&self) -> u32 {
        match self {
            Self::Stop(stop) => stop.plan.children.restarts_in_period(),
            Self::Start(start) => start.restarts_in_period(),
            Self::GiveUp(give_up) => give_up.restarts_in_period(),
            Self::Done(_) => 0,
        }
    }
}

/// How an event ended.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Done {
    /// Receive the next event.
    Settled,
    /// A restart's start failed. Put this *behind* what is already in the mailbox, so that requests and a
    /// shutdown come through, and give it to [`Children::try_again`] when it comes back.
    TryAgain(TryAgain),
    /// All children are gone. The supervisor must exit now.
    Exit(ExitCause),
}

/// Why the supervisor ends. The exit reason is `shutdown`, but for a failed start:
/// `{shutdown, {failed_to_start_child, Id, Reason}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitCause {
    /// This child did not start while the supervisor itself was starting.
    StartFailed {
        /// The child.
        id: Arc<str>,
    },
    /// One restart more than the intensity allows, asked for by this child's end.
    Intensity {
        /// The child.
        id: Arc<str>,
    },
    /// The end of this significant child.
    AutoShutdown {
        /// The child.
        id: Arc<str>,
    },
    /// [`Children::shut_down`] was called.
    Asked,
}

/// A failed restart that wants another try. Each is good for one try.
#[must_use = "without another try the child stays down as `restarting`"]
#[derive(Debug, PartialEq, Eq)]
pub struct TryAgain {
    pub(super) id: Arc<str>,
}

impl TryAgain {
    /// The child.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }
}

/// What came of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started<P> {
    /// It runs.
    Running(P),
    /// It chose not to run (OTP's `ignore`). The spec stays, without a process, unless it is temporary.
    Ignored,
    /// It failed.
    Failed,
}

/// Terminate this child: `kill` or `shutdown` by its terms, then wait for its end.
///
/// It may have died already; then its own reason is the answer.
#[must_use]
#[derive(Debug)]
pub struct Stop<'s, P, F> {
    plan: Plan<'s, P, F>,
    key: Key,
    pid: P,
}

impl<'s, P: Copy + Eq + Hash, F> Stop<'s, P, F> {
    /// The process to terminate.
    pub fn pid(&self) -> P {
        self.pid
    }

    /// Its spec.
    pub fn spec(&self) -> &Spec<F> {
        self.plan.children.spec_at(self.key)
    }

    /// The child is gone, with this exit. A later exit signal from the same pid is not news any more.
    pub fn gone(self, how: ExitKind) -> (StopVerdict, Step<'s, P, F>) {
        let verdict = self.spec().terms.judge_stop(how);
        self.plan.children.close(self.key);
        (verdict, self.plan.advance())
    }
}

/// Start this child.
#[must_use]
#[derive(Debug)]
pub struct Start<'s, P, F> {
    plan: Plan<'s, P, F>,
    key: Key,
    on_failure: OnFailure,
}

impl<'s, P: Copy + Eq + Hash, F> Start<'s, P, F> {
    /// Its spec.
    pub fn spec(&self) -> &Spec<F> {
        self.plan.children.spec_at(self.key)
    }

    /// Whether this is a restart, or the first start while the supervisor itself is starting.
    pub fn is_restart(&self) -> bool {
        self.on_failure == OnFailure::TryAgain
    }

    /// How often the child will have been restarted when this start succeeds.
    pub fn restarts(&self) -> u64 {
        let before = self.plan.children.restarts_at(self.key);
        if self.is_restart() { before + 1 } else { before }
    }

    /// Restarts in the period that ended with this one; 0 for a first start. For reports.
    pub fn restarts_in_period(&self) -> u32 {
        if self.is_restart() { self.plan.children.restarts_in_period() } else { 0 }
    }

    /// What came of it.
    pub fn done(self, started: Started<P>) -> Step<'s, P, F> {
        let Self { plan, key, on_failure } = self;
        match started {
            Started::Running(pid) => {
                plan.children.set_running(key, pid);
                if on_failure == OnFailure::TryAgain {
                    plan.children.count_restart(key);
                }
                plan.advance()
            }
            Started::Ignored => {
                plan.children.close(key);
                plan.advance()
            }
            Started::Failed => {
                let id = Arc::clone(&plan.children.spec_at(key).id);
                match on_failure {
                    OnFailure::GiveUp => plan.children.give_up(ExitCause::StartFailed { id }),
                    OnFailure::TryAgain => {
                        plan.children.set_state(key, ChildState::Restarting);
                        Step::Done(Done::TryAgain(TryAgain { id }))
                    }
                }
            }
        }
    }
}

/// The supervisor will end: the moment to report why.
#[must_use]
#[derive(Debug)]
pub struct GiveUp<'s, P, F> {
    pub(super) children: &'s mut Children<P, F>,
    pub(super) cause: ExitCause,
}

impl<'s, P: Copy + Eq + Hash, F> GiveUp<'s, P, F> {
    /// Why.
    pub fn cause(&self) -> &ExitCause {
        &self.cause
    }

    /// Restarts in the period, with the one that was too many; 0 for another cause. For reports.
    pub fn restarts_in_period(&self) -> u32 {
        match self.cause {
            ExitCause::Intensity { .. } => self.children.restarts_in_period(),
            _ => 0,
        }
    }

    /// Goes on: terminates all children in reverse start order, then [`Done::Exit`].
    pub fn go_on(self) -> Step<'s, P, F> {
        Plan::stop_from(self.children, Key::FIRST, Then::Exit(self.cause)).advance()
    }
}

/// The rest of a decision: two cursors over the start order, so it needs no memory of its own.
#[derive(Debug)]
pub(super) struct Plan<'s, P, F> {
    children: &'s mut Children<P, F>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Children from `from` on are stopped, last first; those from `below` on are done.
    Stopping { from: Key, below: Key, then: Then },
    /// Children from `next` to before `end` are started.
    Starting { next: Key, end: Key, on_failure: OnFailure },
}

/// What follows when all are stopped.
#[derive(Debug)]
pub(super) enum Then {
    /// Start again what was stopped.
    Restart,
    /// The supervisor ends.
    Exit(ExitCause),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnFailure {
    /// While the supervisor starts: stop what was started, and fail.
    GiveUp,
    /// In a restart: leave it, and try again later.
    TryAgain,
}

impl<'s, P: Copy + Eq + Hash, F> Plan<'s, P, F> {
    /// The first start of all children.
    pub(super) fn boot(children: &'s mut Children<P, F>) -> Self {
        let phase =
            Phase::Starting { next: Key::FIRST, end: Key::END, on_failure: OnFailure::GiveUp };
        Self { children, phase }
    }

    /// A restart of this child alone.
    pub(super) fn restart_one(children: &'s mut Children<P, F>, key: Key) -> Self {
        let phase = Phase::Starting { next: key, end: key.next(), on_failure: OnFailure::TryAgain };
        Self { children, phase }
    }

    /// Stops all children from this one on.
    pub(super) fn stop_from(children: &'s mut Children<P, F>, from: Key, then: Then) -> Self {
        let phase = Phase::Stopping { from, below: Key::END, then };
        Self { children, phase }
    }

    pub(super) fn advance(self) -> Step<'s, P, F> {
        let Self { children, phase } = self;
        match phase {
            Phase::Stopping { from, below, then } => {
                Self::advance_stop(children, from, below, then)
            }
            Phase::Starting { next, end, on_failure } => {
                Self::advance_start(children, next, end, on_failure)
            }
        }
    }

    fn advance_stop(
        children: &'s mut Children<P, F>,
        from: Key,
        mut below: Key,
        then: Then,
    ) -> Step<'s, P, F> {
        while let Some((key, state)) = children.last_in(from, below) {
            below = key;
            if let ChildState::Running(pid) = state {
                let phase = Phase::Stopping { from, below, then };
                let plan = Self { children, phase };
                return Step::Stop(Stop { plan, key, pid });
            }
            children.close(key);
        }
        match then {
            Then::Exit(cause) => Step::Done(Done::Exit(cause)),
            Then::Restart => Self::advance_start(children, from, Key::END, OnFailure::TryAgain),
        }
    }

    fn advance_start(
        children: &'s mut Children<P, F>,
        next: Key,
        end: Key,
        on_failure: OnFailure,
    ) -> Step<'s, P, F> {
        let Some((key, terms)) = children.first_in(next, end) else {
            return Step::Done(Done::Settled);
        };
        debug_assert!(
            on_failure == OnFailure::GiveUp || terms.restart != Restart::Temporary,
            "a temporary child is forgotten when it ends, so no restart finds it"
        );
        let phase = Phase::Starting { next: key.next(), end, on_failure };
        let plan = Self { children, phase };
        Step::Start(Start { plan, key, on_failure })
    }
}
