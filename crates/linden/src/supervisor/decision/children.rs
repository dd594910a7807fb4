//! The children of a supervisor with a fixed order of children, and every event they can have.
//!
//! Lives here: [`Children`]. Owned by one supervisor process. What takes more than one action goes through
//! [`Step`]; requests such as `start_child` are in `requests.rs`.
//!
//! Invariants:
//! - Children are kept by a key that only grows, so the order of keys is the start order for ever.
//! - `by_pid` holds exactly the running children; `by_id` holds all.
//! - A temporary child is here only while it runs (or before its first start).
//!
//! Everything costs at most the logarithm of the number of children, but for the two listings.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use super::step::{Plan, Then};
use super::{
    AfterExit, AutoShutdown, ChildKind, Done, ExitCause, ExitKind, GiveUp, Policy, Report, Restart,
    Spec, SpecError, Step, Strategy, Terms, TryAgain, check_intensity,
};
use crate::supervisor::intensity::{RestartHistory, Verdict};

/// The children of one supervisor, in start order.
///
/// `P` is the pid type, `F` the start function's.
pub struct Children<P, F> {
    policy: Policy,
    history: RestartHistory,
    table: BTreeMap<Key, Child<P, F>>,
    by_id: HashMap<Arc<str>, Key>,
    by_pid: HashMap<P, Key>,
    next_key: Key,
}

/// A child's place in the start order. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64);

impl Key {
    pub(super) const FIRST: Self = Self(0);
    /// After every key there will ever be.
    pub(super) const END: Self = Self(u64::MAX);

    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

pub(super) struct Child<P, F> {
    pub(super) spec: Spec<F>,
    pub(super) state: ChildState<P>,
    restarts: u64,
}

/// Whether a child runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildState<P> {
    /// As this process.
    Running(P),
    /// It should run; its last restart failed and another try is on its way.
    Restarting,
    /// It has no process: it ended for good, was terminated, or chose not to start. (OTP: `undefined`.)
    Undefined,
}

/// One line of [`Children::which_children`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildRow<P> {
    /// The id. `None` in a dynamic supervisor, whose children have none.
    pub id: Option<Arc<str>>,
    /// Whether it runs.
    pub state: ChildState<P>,
    /// Worker or supervisor.
    pub kind: ChildKind,
    /// Restarts since it was first started. Always 0 in a dynamic supervisor, which does not count them by child.
    pub restarts: u64,
}

impl<P> ChildRow<P> {
    /// The same line with another kind of pid.
    pub fn with_pid<Q>(self, pid: impl FnOnce(P) -> Q) -> ChildRow<Q> {
        ChildRow {
            id: self.id,
            state: match self.state {
                ChildState::Running(running) => ChildState::Running(pid(running)),
                ChildState::Restarting => ChildState::Restarting,
                ChildState::Undefined => ChildState::Undefined,
            },
            kind: self.kind,
            restarts: self.restarts,
        }
    }
}

/// The answer to `count_children`, as OTP counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChildCounts {
    /// Child specs, running or not (1 in a dynamic supervisor).
    pub specs: usize,
    /// Running processes.
    pub active: usize,
    /// Children marked as supervisors, running or not.
    pub supervisors: usize,
    /// Children marked as workers, running or not.
    pub workers: usize,
}

/// What the exit of a process means to this supervisor.
#[must_use]
#[derive(Debug)]
pub enum Exited<'s, P, F> {
    /// No child of ours, or none any more. OTP ignores it.
    NotAChild,
    /// A child ended by itself.
    Child(ChildExit<'s, P, F>),
}

/// A child ended by itself.
#[derive(Debug)]
pub struct ChildExit<'s, P, F> {
    /// The child. Its spec is already deleted when it was temporary.
    pub id: Arc<str>,
    /// Its terms.
    pub terms: Terms,
    /// Whether to report the exit. Do so before taking the step.
    pub report: Report,
    /// How often it had been restarted before this exit.
    pub restarts: u64,
    /// Restarts in the period that ends now, with the one that this exit asks for; 0 when it asks for none.
    pub restarts_in_period: u32,
    /// What to do.
    pub step: Step<'s, P, F>,
}

impl<P: Copy + Eq + Hash, F> Children<P, F> {
    /// The children of a supervisor that has not started any yet, in start order.
    ///
    /// # Errors
    /// See [`SpecError`].
    pub fn new(policy: Policy, specs: Vec<Spec<F>>) -> Result<Self, SpecError> {
        check_intensity(policy.intensity)?;
        let mut ids = HashSet::new();
        for spec in &specs {
            if !ids.insert(Arc::clone(&spec.id)) {
                let id = Arc::clone(&spec.id);
                return Err(SpecError::DuplicateId { id });
            }
            spec.terms.check(policy.auto_shutdown).map_err(|cause| {
                let id = Arc::clone(&spec.id);
                SpecError::Terms { id, cause }
            })?;
        }
        let mut children = Self {
            policy,
            history: RestartHistory::new(policy.intensity),
            table: BTreeMap::new(),
            by_id: HashMap::new(),
            by_pid: HashMap::new(),
            next_key: Key::FIRST,
        };
        for spec in specs {
            children.append(spec);
        }
        Ok(children)
    }

    /// Starts all children in order: what a supervisor does in its own start, once.
    ///
    /// When one fails, those before it are terminated in reverse order and the supervisor's start fails with
    /// [`ExitCause::StartFailed`].
    ///
    /// # Panics
    /// In debug builds, when a child runs already.
    pub fn boot(&mut self) -> Step<'_, P, F> {
        debug_assert!(self.by_pid.is_empty(), "a supervisor boots once");
        Plan::boot(self).advance()
    }

    /// A process linked to the supervisor ended.
    pub fn child_exited(&mut self, pid: P, how: ExitKind, now: Duration) -> Exited<'_, P, F> {
        let Some(&key) = self.by_pid.get(&pid) else {
            return Exited::NotAChild;
        };
        let child = self.child(key);
        let (id, terms, restarts) = (Arc::clone(&child.spec.id), child.spec.terms, child.restarts);
        self.close(key);
        let step = match terms.after_exit(how) {
            AfterExit::Restart => self.restart(key, now),
            AfterExit::LetGo if self.ends_with(terms) => {
                let id = Arc::clone(&id);
                self.give_up(ExitCause::AutoShutdown { id })
            }
            AfterExit::LetGo => Step::Done(Done::Settled),
        };
        let restarts_in_period = step.restarts_in_period();
        let report = terms.report_of_exit(how);
        Exited::Child(ChildExit { id, terms, report, restarts, restarts_in_period, step })
    }

    /// Another try for a restart that failed. It counts against the intensity like any restart.
    ///
    /// Nothing to do when the child was started, terminated or deleted meanwhile.
    pub fn try_again(&mut self, token: TryAgain, now: Duration) -> Step<'_, P, F> {
        match self.by_id.get(&token.id).copied() {
            Some(key) if self.child(key).state == ChildState::Restarting => {
                self.close(key);
                self.restart(key, now)
            }
            _ => Step::Done(Done::Settled),
        }
    }

    /// Terminates all children in reverse start order, because the supervisor was asked to end.
    pub fn shut_down(&mut self) -> Step<'_, P, F> {
        Plan::stop_from(self, Key::FIRST, Then::Exit(ExitCause::Asked)).advance()
    }

    /// All children, the last started first, as OTP lists them.
    pub fn which_children(&self) -> Vec<ChildRow<P>> {
        let row = |child: &Child<P, F>| ChildRow {
            id: Some(Arc::clone(&child.spec.id)),
            state: child.state,
            kind: child.spec.terms.kind,
            restarts: child.restarts,
        };
        self.table.values().rev().map(row).collect()
    }

    /// Counts the children. `is_alive` says whether a process lives: one that has died without our having heard
    /// of it yet is not active.
    pub fn count_children(&self, is_alive: impl Fn(P) -> bool) -> ChildCounts {
        let mut counts = ChildCounts::default();
        for child in self.table.values() {
            counts.specs += 1;
            if matches!(child.state, ChildState::Running(pid) if is_alive(pid)) {
                counts.active += 1;
            }
            match child.spec.terms.kind {
                ChildKind::Worker => counts.workers += 1,
                ChildKind::Supervisor => counts.supervisors += 1,
            }
        }
        counts
    }

    /// The spec of a child.
    pub fn spec(&self, id: &str) -> Option<&Spec<F>> {
        self.key_of(id).map(|key| self.spec_at(key))
    }

    /// Whether a child runs. `None` when there is no such child.
    pub fn state_of(&self, id: &str) -> Option<ChildState<P>> {
        self.key_of(id).map(|key| self.child(key).state)
    }

    /// The flags.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Restarts in the period that ended with the last restart, that one included. For reports.
    pub fn restarts_in_period(&self) -> u32 {
        self.history.restarts_in_period()
    }

    fn restart(&mut self, key: Key, now: Duration) -> Step<'_, P, F> {
        match (self.history.record(now), self.policy.strategy) {
            (Verdict::Exceeded, _) => {
                let id = Arc::clone(&self.spec_at(key).id);
                self.give_up(ExitCause::Intensity { id })
            }
            (Verdict::Go, Strategy::OneForOne) => Plan::restart_one(self, key).advance(),
            (Verdict::Go, Strategy::RestForOne) => {
                Plan::stop_from(self, key, Then::Restart).advance()
            }
            (Verdict::Go, Strategy::OneForAll) => {
                Plan::stop_from(self, Key::FIRST, Then::Restart).advance()
            }
        }
    }

    /// Whether the supervisor ends now that a child with these terms ended for good.
    fn ends_with(&self, terms: Terms) -> bool {
        let significant_left = || {
            let mut left = self.table.values();
            left.any(|c| c.spec.terms.significant && c.state != ChildState::Undefined)
        };
        match self.policy.auto_shutdown {
            _ if !terms.significant => false,
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => !significant_left(),
        }
    }
}

/// For the steps of a decision and for the requests.
impl<P: Copy + Eq + Hash, F> Children<P, F> {
    pub(super) fn key_of(&self, id: &str) -> Option<Key> {
        self.by_id.get(id).copied()
    }

    pub(super) fn child(&self, key: Key) -> &Child<P, F> {
        self.table.get(&key).expect("keys are only taken from the table, and a decision borrows it")
    }

    pub(super) fn append(&mut self, spec: Spec<F>) -> Key {
        let key = self.next_key;
        self.next_key = key.next();
        self.by_id.insert(Arc::clone(&spec.id), key);
        let child = Child { spec, state: ChildState::Undefined, restarts: 0 };
        self.table.insert(key, child);
        key
    }

    pub(super) fn remove(&mut self, key: Key) -> Spec<F> {
        self.set_state(key, ChildState::Undefined);
        let child = self
            .table
            .remove(&key)
            .expect("keys are only taken from the table, and a decision borrows it");
        self.by_id.remove(&child.spec.id);
        child.spec
    }

    pub(super) fn spec_at(&self, key: Key) -> &Spec<F> {
        &self.child(key).spec
    }

    /// The child has no process any more: forget it when it is temporary.
    pub(super) fn close(&mut self, key: Key) {
        self.set_state(key, ChildState::Undefined);
        if self.spec_at(key).terms.restart == Restart::Temporary {
            self.remove(key);
        }
    }

    pub(super) fn set_running(&mut self, key: Key, pid: P) {
        self.set_state(key, ChildState::Running(pid));
    }

    pub(super) fn set_state(&mut self, key: Key, state: ChildState<P>) {
        let child = self
            .table
            .get_mut(&key)
            .expect("keys are only taken from the table, and a decision borrows it");
        if let ChildState::Running(old) = std::mem::replace(&mut child.state, state) {
            self.by_pid.remove(&old);
        }
        if let ChildState::Running(pid) = state {
            let other = self.by_pid.insert(pid, key);
            debug_assert!(other.is_none(), "one process is one child");
        }
    }

    pub(super) fn restarts_at(&self, key: Key) -> u64 {
        self.child(key).restarts
    }

    pub(super) fn count_restart(&mut self, key: Key) {
        if let Some(child) = self.table.get_mut(&key) {
            child.restarts += 1;
        }
    }

    pub(super) fn give_up(&mut self, cause: ExitCause) -> Step<'_, P, F> {
        Step::GiveUp(GiveUp { children: self, cause })
    }

    /// The last child from `from` to before `below`.
    pub(super) fn last_in(&self, from: Key, below: Key) -> Option<(Key, ChildState<P>)> {
        let (key, child) = self.table.range(from..below).next_back()?;
        Some((*key, child.state))
    }

    /// The first child from `from` to before `below`.
    pub(super) fn first_in(&self, from: Key, below: Key) -> Option<(Key, Terms)> {
        let (key, child) = self.table.range(from..below).next()?;
        Some((*key, child.spec.terms))
    }
}

impl<P: fmt::Debug, F> fmt::Debug for Children<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for child in self.table.values() {
            map.entry(&child.spec.id, &child.state);
        }
        map.finish()
    }
}
