//! Messages that nobody will read: counted by reason and by target, the newest kept, told to a listener at a bounded rate.
//!
//! Whoever finds that a message has no reader records it, on whatever thread that is; nothing here is on the way of a message
//! that arrives. Everything is bounded: so many targets, so many letters, so many lines a second.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::hook::panic_reason;
use crate::id::Pid;
use crate::introspect::current_pid;
use crate::node::NodeInner;
use crate::trace::{TraceContext, current_trace};

/// Dead letters that a node keeps; with one more the oldest goes.
pub const DEAD_LETTERS_KEPT_MAX: usize = 100;
/// Targets that a node counts apart. With one more, the half that lost least is counted as others from then on.
pub const DEAD_LETTER_TARGETS_MAX: usize = 1_000;
/// Of the messages that one process had not read when it ended, those that are kept; all are counted.
const UNREAD_KEPT_MAX: u64 = 16;
/// Letters that a listener is told of at once, and then one more each time that so many milliseconds have passed.
const TOLD_BURST: u64 = 10;
const TOLD_EVERY_MS: u64 = 1_000;

/// Why nobody reads a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum DeadLetterReason {
    /// No such process: it had ended, or nobody had the name. Also what could not be encoded for another node.
    NoProcess,
    /// The process ended before it read the message. The caller of a call hears of it; the sender of a cast does not.
    Unread,
    /// An answer whose caller had given up.
    LateReply,
    /// The mailbox was full ([`crate::MailboxLimit`]).
    MailboxFull,
}

impl DeadLetterReason {
    const ALL: [Self; 4] = [Self::NoProcess, Self::Unread, Self::LateReply, Self::MailboxFull];

    /// As it stands in logs: `no_process`, `unread`, `late_reply`, `mailbox_full`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoProcess => "no_process",
            Self::Unread => "unread",
            Self::LateReply => "late_reply",
            Self::MailboxFull => "mailbox_full",
        }
    }
}

impl fmt::Display for DeadLetterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// For whom a dead letter was.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum DeadLetterTarget {
    /// A process.
    Process(Pid),
    /// Whoever had the name.
    Name(Arc<str>),
    /// Whoever made the call that was answered too late.
    Caller,
}

impl fmt::Display for DeadLetterTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(pid) => fmt::Display::fmt(pid, f),
            Self::Name(name) => f.write_str(name),
            Self::Caller => f.write_str("the caller"),
        }
    }
}

/// One message that nobody read.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Why.
    pub reason: DeadLetterReason,
    /// For whom it was.
    pub target: DeadLetterTarget,
    /// The type of the message or of the answer; for a message from another node or to one, its method.
    pub message: Cow<'static, str>,
    /// The process that was running where it was found: for a message that was refused its sender, for a late answer the
    /// server, for an unread message the process that ended. `None` outside of processes.
    pub found_by: Option<Pid>,
    /// The trace that [`DeadLetter::found_by`] worked in.
    pub trace: Option<TraceContext>,
    /// When.
    pub at: SystemTime,
}

/// How often a target lost messages, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TargetCounts([u64; DeadLetterReason::ALL.len()]);

impl TargetCounts {
    /// How many for this reason.
    #[must_use]
    pub fn of(&self, reason: DeadLetterReason) -> u64 {
        self.0[reason as usize]
    }

    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    fn add(&mut self, reason: DeadLetterReason, count: u64) {
        self.0[reason as usize] += count;
    }

    fn absorb(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }
}

/// What a node lost since its start.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct DeadLetterReport {
    /// Who lost how many, most first.
    pub targets: Vec<(DeadLetterTarget, TargetCounts)>,
    /// What targets lost that are no longer counted apart; see [`DEAD_LETTER_TARGETS_MAX`].
    pub others: TargetCounts,
    /// The newest letters, oldest first; see [`DEAD_LETTERS_KEPT_MAX`].
    pub newest: Vec<DeadLetter>,
}

/// What was dropped since the node's start, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct DeadLetterCounts {
    /// Messages to processes that did not live any more.
    pub no_process: u64,
    /// Messages that a process had not read when it ended.
    pub unread: u64,
    /// Answers whose caller had given up.
    pub late_replies: u64,
    /// Messages to mailboxes that were full.
    pub mailbox_full: u64,
    /// Panics in the drops of what a process left behind: its state, when it was told to end, and its unread messages.
    pub drop_panics: u64,
}

/// Told of dead letters, at a bounded rate: 10 at once, then one a second.
///
/// Called by whoever found the letter, a process or a thread of the node; so it must be quick. A panic in it is caught and
/// dropped.
pub trait DeadLetterListener: Send + Sync + 'static {
    /// A message was dropped. `untold` were dropped since the last one that was told.
    fn dead_letter(&self, letter: &DeadLetter, untold: u64);
}

/// What a node keeps of its dead letters.
#[derive(Default, Debug)]
pub(crate) struct DeadLetters {
    counts: [AtomicU64; DeadLetterReason::ALL.len()],
    /// Panics while the state or the unread mail of a dead process was dropped.
    pub(crate) drop_panics: AtomicU64,
    kept: Mutex<Kept>,
}

impl DeadLetters {
    pub(crate) fn counts(&self) -> DeadLetterCounts {
        let count = |reason: DeadLetterReason| self.counts[reason as usize].load(Ordering::Relaxed);
        DeadLetterCounts {
            no_process: count(DeadLetterReason::NoProcess),
            unread: count(DeadLetterReason::Unread),
            late_replies: count(DeadLetterReason::LateReply),
            mailbox_full: count(DeadLetterReason::MailboxFull),
            drop_panics: self.drop_panics.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn report(&self) -> DeadLetterReport {
        self.kept.lock().report()
    }
}

impl NodeInner {
    /// Notes a message that nobody will read.
    #[cold]
    pub(crate) fn dead_letter(
        &self,
        reason: DeadLetterReason,
        target: DeadLetterTarget,
        message: impl Into<Cow<'static, str>>,
    ) {
        let letter = DeadLetter {
            reason,
            target,
            message: message.into(),
            found_by: current_pid(),
            trace: current_trace(),
            at: SystemTime::now(),
        };
        self.dead_letters.counts[reason as usize].fetch_add(1, Ordering::Relaxed);
        let now = self.timers.now();
        let untold = self.dead_letters.kept.lock().record(&letter, now);
        let (Some(untold), Some(listener)) = (untold, &self.options.dead_letter_listener) else {
            return;
        };
        let told = catch_unwind(AssertUnwindSafe(|| listener.dead_letter(&letter, untold)));
        if let Err(payload) = told {
            let _ = panic_reason(payload);
        }
    }

    /// Counts more of the same that are not kept one by one.
    fn more_dead_letters(&self, reason: DeadLetterReason, target: DeadLetterTarget, count: u64) {
        self.dead_letters.counts[reason as usize].fetch_add(count, Ordering::Relaxed);
        self.dead_letters.kept.lock().count(target, reason, count);
    }
}

/// Counts what a process that ended had not read.
pub(crate) struct Unread<'a> {
    node: &'a NodeInner,
    of: Pid,
    message_type: &'static str,
    count: u64,
}

impl<'a> Unread<'a> {
    pub(crate) fn new(node: &'a NodeInner, of: Pid, message_type: &'static str) -> Self {
        Self { node, of, message_type, count: 0 }
    }

    pub(crate) fn one(&mut self) {
        self.count += 1;
        if self.count <= UNREAD_KEPT_MAX {
            let target = DeadLetterTarget::Process(self.of);
            self.node.dead_letter(DeadLetterReason::Unread, target, self.message_type);
        }
    }
}

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        let more = self.count.saturating_sub(UNREAD_KEPT_MAX);
        if more > 0 {
            let target = DeadLetterTarget::Process(self.of);
            self.node.more_dead_letters(DeadLetterReason::Unread, target, more);
        }
    }
}

/// The bounded memory of dead letters. Pure: it is told the time.
#[derive(Default, Debug)]
struct Kept {
    targets: HashMap<DeadLetterTarget, TargetCounts>,
    others: TargetCounts,
    newest: VecDeque<DeadLetter>,
    pace: Pace,
}

impl Kept {
    /// Keeps a letter. When somebody may be told of it: how many were not told before it.
    fn record(&mut self, letter: &DeadLetter, now_ms: u64) -> Option<u64> {
        self.count(letter.target.clone(), letter.reason, 1);
        if self.newest.len() == DEAD_LETTERS_KEPT_MAX {
            self.newest.pop_front();
        }
        self.newest.push_back(letter.clone());
        self.pace.admit(now_ms)
    }

    fn count(&mut self, target: DeadLetterTarget, reason: DeadLetterReason, count: u64) {
        if self.targets.len() == DEAD_LETTER_TARGETS_MAX && !self.targets.contains_key(&target) {
            self.forget_half();
        }
        self.targets.entry(target).or_default().add(reason, count);
    }

    /// The half of the targets that lost least become others.
    fn forget_half(&mut self) {
        let mut totals: Vec<u64> = self.targets.values().map(TargetCounts::total).collect();
        let (_, &mut median, _) = totals.select_nth_unstable(DEAD_LETTER_TARGETS_MAX / 2);
        let mut equal_to_go =
            DEAD_LETTER_TARGETS_MAX / 2 - totals.iter().filter(|&&total| total < median).count();
        let others = &mut self.others;
        self.targets.retain(|_, counts| {
            let total = counts.total();
            let goes = total < median || (total == median && equal_to_go > 0);
            if goes {
                equal_to_go -= usize::from(total == median);
                others.absorb(counts);
            }
            !goes
        });
    }

    fn report(&self) -> DeadLetterReport {
        let mut targets: Vec<_> =
            self.targets.iter().map(|(target, counts)| (target.clone(), *counts)).collect();
        targets.sort_unstable_by_key(|(_, counts)| std::cmp::Reverse(counts.total()));
        DeadLetterReport {
            targets,
            others: self.others,
            newest: self.newest.iter().cloned().collect(),
        }
    }
}

/// How often somebody is told: a bucket of tokens.
#[derive(Debug)]
struct Pace {
    tokens: u64,
    filled_at_ms: u64,
    untold: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { tokens: TOLD_BURST, filled_at_ms: 0, untold: 0 }
    }
}

impl Pace {
    /// Whether one may be told now, and how many were not since the last.
    fn admit(&mut self, now_ms: u64) -> Option<u64> {
        let earned = now_ms.saturating_sub(self.filled_at_ms) / TOLD_EVERY_MS;
        self.tokens = (self.tokens + earned).min(TOLD_BURST);
        self.filled_at_ms += earned * TOLD_EVERY_MS;
        if self.tokens == 0 {
            self.untold += 1;
            return None;
        }
        self.tokens -= 1;
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
#[path = "dead_letters/tests.rs"]
mod tests;
