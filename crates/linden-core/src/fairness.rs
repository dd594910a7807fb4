//! What is known of workers that stood still: counts, and the word to a listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::id::{LocalPid, Pid};
use crate::introspect::ProcessRow;

/// How a node keeps its workers free for others; [`crate::Node::fairness`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Fairness {
    /// Workers that were replaced because one activation took too long, since the node's start.
    pub retired: u64,
    /// Those of them that computed, and run from then on while nothing else wants to.
    pub demoted: u64,
    /// Those that are still in that activation.
    pub away: usize,
    /// Processes that were killed while their code did not give its worker back, which still runs.
    pub zombies: usize,
    /// Workers that are owed a replacement: the operating system gave no thread, or too many are away.
    pub missing: usize,
}

/// An activation that takes too long, as a [`StallListener`] is told.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct StallEvent {
    /// The process. `None`: code outside of processes, such as a task that a library has spawned, or one that is gone.
    pub pid: Option<Pid>,
    /// Its registered name.
    pub name: Option<String>,
    /// What it calls itself.
    pub label: Option<Arc<str>>,
    /// Its application.
    pub group: Option<Arc<str>>,
    /// What it does with its worker.
    pub kind: Stall,
    /// For how long at least it has done so.
    pub lasting: Duration,
}

impl StallEvent {
    pub(crate) fn new(row: Option<ProcessRow>, kind: Stall, lasting: Duration) -> Self {
        let pid = row.as_ref().map(|row| row.pid);
        let (name, label, group) =
            row.map_or((None, None, None), |row| (row.name, row.label, row.group));
        Self { pid, name, label, group, kind, lasting }
    }
}

/// What a process does with the worker that it does not give back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Stall {
    /// It computes. Its thread runs from now on while nothing else wants to, where the system allows that.
    Computes {
        /// Whether the system did.
        demoted: bool,
    },
    /// It waits in the operating system: it blocks its thread.
    Blocks,
    /// It is a task that a library has spawned on the runtime, and keeps the runtime's driver: no socket and no timer of tokio's is
    /// served until it gives its thread back. Let it await, or move it to `tokio::task::spawn_blocking`.
    HoldsDriver,
}

/// Told once of each activation for which a worker was replaced, by the watch's own thread: it must not block.
pub trait StallListener: Send + Sync {
    /// The worker that ran it has been replaced.
    fn stalled(&self, event: &StallEvent);
}

/// Counts since the node's start. Written by the watch, read by anybody; relaxed, as they order nothing.
#[derive(Debug, Default)]
pub(crate) struct FairnessCounts {
    pub(crate) retired: AtomicU64,
    pub(crate) demoted: AtomicU64,
    pub(crate) missing: AtomicU64,
    /// Processes that were ended by the reaper.
    pub(crate) reaped: AtomicU64,
    /// Held while one is ended.
    pub(crate) reaping: Mutex<()>,
    /// Those of them whose code still runs.
    pub(crate) zombies: Mutex<Vec<LocalPid>>,
}

impl FairnessCounts {
    pub(crate) fn read(&self, away: usize) -> Fairness {
        Fairness {
            retired: self.retired.load(Ordering::Relaxed),
            demoted: self.demoted.load(Ordering::Relaxed),
            away,
            zombies: self.zombies.lock().len(),
            missing: usize::try_from(self.missing.load(Ordering::Relaxed)).unwrap_or(usize::MAX),
        }
    }
}
