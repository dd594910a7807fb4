//! The node's timers: one wheel of all deadlines, advanced by whoever is awake or drives the reactor.
//!
//! An entry names a process by its pid, never by its cell, so a timer of a dead process fires into nothing. Times are ticks
//! of one millisecond since the node's start. While a worker is awake the coarse clock is moved every 10 ms at least, by the
//! watch; while all sleep it stands still. A timer is late by at most the longest time for which every worker was busy with
//! one activation each, never early.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;

use crate::address::{Place, RemoteProcess};
use crate::envelope::Letter;
use crate::hook::drop_guarded;
use crate::id::{LocalPid, Pid, Ref};
use crate::node::{Node, NodeInner};
use crate::signal::Info;
pub(crate) use crate::timer::wheel::TimerKey;
use crate::timer::wheel::Wheel;

mod firing;
mod wheel;

/// No timer is armed.
pub(crate) const NEVER: u64 = u64::MAX;

/// What happens at a deadline.
pub(crate) enum TimerEntry {
    /// A deadline of the process passed: it is polled.
    WakeProcess(LocalPid),
    /// A deadline of code outside of processes passed.
    WakeTask(Waker),
    /// A message is due.
    Deliver { to: Receiver, letter: Letter },
    /// A message is due again and again.
    DeliverEvery(Interval),
    /// News are due.
    Inform { to: Pid, info: Info },
}

/// To whom a timer's message goes.
pub(crate) enum Receiver {
    /// A process of the timer's own node.
    Own(LocalPid),
    /// A process of another node of this OS process.
    Neighbour(Node, LocalPid),
    /// A process behind the transport.
    Remote(Arc<RemoteProcess>),
}

impl Receiver {
    /// Who is behind an address, for a timer of `node`.
    pub(crate) fn of(place: &Place, node: &NodeInner) -> Self {
        match place {
            Place::Local(cell) if std::ptr::eq(cell.node(), node) => Self::Own(cell.local),
            Place::Local(cell) => Self::Neighbour(cell.node_handle().clone(), cell.local),
            Place::Remote(remote) => Self::Remote(remote.clone()),
        }
    }
}

/// What is sent once a period.
pub(crate) struct Interval {
    pub(crate) to: Receiver,
    pub(crate) letter: Box<dyn RepeatedLetter>,
    /// In ticks.
    pub(crate) every: u64,
    /// The key of the next turn; `None` once it is cancelled or has ended. Not locked across the user's code.
    pub(crate) slot: Arc<Mutex<Option<TimerKey>>>,
}

/// A message that can be sent again.
pub(crate) trait RepeatedLetter: Send {
    fn copy(&self) -> Letter;
}

/// Names a timer that was started by `send_after`, `send_interval` or `start_timer`, as data.
#[derive(Clone, Debug)]
pub struct TimerRef {
    pub(crate) key: TimerSlot,
    pub(crate) reference: Ref,
}

#[derive(Clone, Debug)]
pub(crate) enum TimerSlot {
    Once(TimerKey),
    /// An interval has a new key after each turn.
    Repeated(Arc<Mutex<Option<TimerKey>>>),
}

impl TimerRef {
    /// The reference that [`Info::Timer`] carries.
    #[must_use]
    pub fn reference(&self) -> Ref {
        self.reference
    }
}

/// The timers of one node.
pub(crate) struct Timers {
    wheel: Mutex<Wheel<TimerEntry>>,
    /// The earliest tick at which something may be due; written under the wheel's lock.
    next: AtomicU64,
    /// The coarse clock, in ticks. Written by workers, read by all.
    now: AtomicU64,
}

/// Whether the reactor's driver sleeps too long for a new timer.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Armed {
    /// It is the earliest now: whoever sleeps until the next deadline must look again.
    Earliest(TimerKey),
    Later(TimerKey),
}

impl Armed {
    pub(crate) fn key(self) -> TimerKey {
        match self {
            Self::Earliest(key) | Self::Later(key) => key,
        }
    }
}

/// A duration in ticks, rounded up, and one more: a timer never fires early.
pub(crate) fn ticks(duration: Duration) -> u64 {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4);
    let up = u64::from(!duration.subsec_nanos().is_multiple_of(1_000_000));
    millis.saturating_add(up).min(u64::MAX / 4)
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self {
            wheel: Mutex::new(Wheel::new(0)),
            next: AtomicU64::new(NEVER),
            now: AtomicU64::new(0),
        }
    }

    /// The coarse clock.
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Moves the coarse clock on, never back.
    pub(crate) fn set_now(&self, now: u64) {
        if now > self.now() {
            self.now.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// The earliest tick at which something may be due, or [`NEVER`].
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    pub(crate) fn arm(&self, deadline: u64, entry: TimerEntry) -> Armed {
        let mut wheel = self.wheel.lock();
        let key = wheel.insert(deadline, entry);
        if deadline < self.next.load(Ordering::Relaxed) {
            self.next.store(deadline, Ordering::Relaxed);
            Armed::Earliest(key)
        } else {
            Armed::Later(key)
        }
    }

    /// Takes a timer back; the deadline that it had.
    pub(crate) fn cancel(&self, key: TimerKey) -> Option<u64> {
        let (deadline, entry) = self.wheel.lock().cancel(key)?;
        // Outside of the lock: the entry may hold a user's message.
        drop(entry);
        Some(deadline)
    }

    /// Takes what is due at `now`, in the order of deadlines.
    pub(crate) fn take_due(&self, now: u64, due: &mut Vec<(u64, TimerEntry)>) {
        if now < self.next() {
            return;
        }
        let mut wheel = self.wheel.lock();
        wheel.advance(now, due);
        self.next.store(wheel.next_deadline().unwrap_or(NEVER), Ordering::Relaxed);
    }

    pub(crate) fn armed_count(&self) -> usize {
        self.wheel.lock().len()
    }

    /// Drops every timer: the node ends. Each by itself and outside of the lock, for the drop of a message is the user's code.
    pub(crate) fn clear(&self) {
        let mut left = Vec::new();
        let mut wheel = self.wheel.lock();
        wheel.advance(u64::MAX, &mut left);
        *wheel = Wheel::new(self.now());
        self.next.store(NEVER, Ordering::Relaxed);
        drop(wheel);
        left.into_iter().for_each(drop_guarded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_rounded_up_to_ticks() {
        assert_eq!(ticks(Duration::ZERO), 0);
        assert_eq!(ticks(Duration::from_micros(1)), 1);
        assert_eq!(ticks(Duration::from_millis(7)), 7);
        assert!(ticks(Duration::MAX) < NEVER / 2);
    }
}
