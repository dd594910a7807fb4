//! The part of a worker that others may touch: where its next process lies, how it is woken, and what the watch sees of it.
//!
//! A place outlives its workers: one that is retired leaves it to the next.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::thread::Thread;
use std::time::Duration;

use crossbeam_deque::Stealer;
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use crate::cell::Header;
use crate::counts::{add, nanos};
use crate::duty::Duty;
use crate::id::LocalPid;
use crate::introspect::{WorkerRow, WorkerStatus};
use crate::lifo::LifoSlot;
use crate::park::{Bed, ParkWord};
use crate::queue::Task;

/// See the head of this file.
pub(crate) struct Remote {
    pub(crate) lifo: LifoSlot<Header>,
    /// The caller in hand; see `hand.rs`.
    pub(crate) hand: LifoSlot<Header>,
    /// `None` in a simulated node, which has no second worker.
    pub(crate) stealer: Option<Stealer<Task>>,
    /// The queue, while nobody works here.
    pub(crate) queue: Mutex<Option<crossbeam_deque::Worker<Task>>>,
    pub(crate) park: ParkWord,
    pub(crate) thread: Mutex<Option<WorkerThread>>,
    /// The waker of the runtime's root, while the worker sleeps in the reactor.
    pub(crate) reactor_waker: Mutex<Option<Waker>>,
    pub(crate) activity: CachePadded<Activity>,
    pub(crate) counts: CachePadded<WorkerCounts>,
    /// Processes spawned and ended by this worker.
    pub(crate) spawned: CachePadded<AtomicU64>,
    pub(crate) ended: CachePadded<AtomicU64>,
}

/// What the watch sees of a worker's work.
pub(crate) struct Activity {
    /// Counts activations. One relaxed store each.
    pub(crate) epoch: AtomicU64,
    /// The process of the present activation, or of the last one. One relaxed store each.
    pub(crate) process: AtomicU64,
    /// Messages that processes took here, and that they sent from here. By the worker.
    received: AtomicU64,
    sent: AtomicU64,
    duty: Duty,
}

impl Activity {
    pub(crate) fn received(&self, messages: u32) {
        add(&self.received, u64::from(messages));
    }

    pub(crate) fn sent(&self, messages: u32) {
        if messages > 0 {
            add(&self.sent, u64::from(messages));
        }
    }
}

/// What a worker counts of itself, since its place was first used.
#[derive(Debug, Default)]
pub(crate) struct WorkerCounts {
    /// Nanoseconds without work, until the last one ended.
    idle_nanos: AtomicU64,
    /// When the present one began, in nanoseconds since the node's start; 0 when there is work.
    idle_since: AtomicU64,
    parks: AtomicU64,
    steals: AtomicU64,
    /// By the watch.
    hand_offs: AtomicU64,
}

impl WorkerCounts {
    pub(crate) fn idle_begins(&self, now: Duration) {
        self.idle_since.store(nanos(now).max(1), Ordering::Relaxed);
    }

    pub(crate) fn idle_ends(&self, now: Duration) {
        let since = self.idle_since.load(Ordering::Relaxed);
        let ended = self.idle_nanos.load(Ordering::Relaxed) + nanos(now).saturating_sub(since);
        // In this order: who sees the sum does not see its last part as present any more.
        self.idle_since.store(0, Ordering::Release);
        self.idle_nanos.store(ended, Ordering::Release);
    }

    /// Nanoseconds without work until `now`, the present ones included.
    fn idle_nanos_at(&self, now: Duration) -> u64 {
        loop {
            let ended = self.idle_nanos.load(Ordering::Acquire);
            let since = self.idle_since.load(Ordering::Acquire);
            if self.idle_nanos.load(Ordering::Acquire) == ended {
                let present = if since == 0 { 0 } else { nanos(now).saturating_sub(since) };
                return ended + present;
            }
        }
    }

    pub(crate) fn parked(&self) {
        add(&self.parks, 1);
    }

    /// The place was handed to another worker. The watch's.
    pub(crate) fn handed_off(&self) {
        add(&self.hand_offs, 1);
    }

    pub(crate) fn stole(&self) {
        add(&self.steals, 1);
    }
}

/// The thread that a worker is.
pub(crate) struct WorkerThread {
    pub(crate) thread: Thread,
    /// As the operating system counts it.
    pub(crate) os_id: u32,
}

impl Remote {
    /// A place for a worker. In a simulated node it has no queue.
    pub(crate) fn new(queue: Option<crossbeam_deque::Worker<Task>>, duty: Duty) -> Self {
        let stealer = queue.as_ref().map(crossbeam_deque::Worker::stealer);
        Self {
            lifo: LifoSlot::new(),
            hand: LifoSlot::new(),
            stealer,
            queue: Mutex::new(queue),
            park: ParkWord::new(),
            thread: Mutex::new(None),
            reactor_waker: Mutex::new(None),
            activity: CachePadded::new(Activity {
                epoch: AtomicU64::new(0),
                process: AtomicU64::new(0),
                received: AtomicU64::new(0),
                sent: AtomicU64::new(0),
                duty,
            }),
            counts: CachePadded::default(),
            spawned: CachePadded::default(),
            ended: CachePadded::default(),
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.activity.epoch.load(Ordering::Relaxed)
    }

    pub(crate) fn duty(&self) -> &Duty {
        &self.activity.duty
    }

    /// The process of the present activation, or of the last one.
    pub(crate) fn process(&self) -> LocalPid {
        LocalPid::from_bits(self.activity.process.load(Ordering::Relaxed))
    }

    /// The worker's thread, as the operating system counts it.
    pub(crate) fn os_thread(&self) -> Option<u32> {
        self.thread.lock().as_ref().map(|thread| thread.os_id)
    }

    /// What this worker has done; `now` is the time since the node's start.
    pub(crate) fn row(&self, index: usize, now: Duration) -> WorkerRow {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let idle = Duration::from_nanos(self.counts.idle_nanos_at(now));
        WorkerRow {
            index,
            status: match () {
                () if self.duty().is_retired() => WorkerStatus::Away,
                () if self.duty().is_vacant() => WorkerStatus::Vacant,
                () if self.duty().is_awake() => WorkerStatus::Awake,
                () => WorkerStatus::Asleep,
            },
            idle,
            activations: self.epoch(),
            queue_len: self.stealer.as_ref().map_or(0, Stealer::len),
            steals: count(&self.counts.steals),
            parks: count(&self.counts.parks),
            hand_offs: count(&self.counts.hand_offs),
            received: count(&self.activity.received),
            sent: count(&self.activity.sent),
            spawned: count(&self.spawned),
            ended: count(&self.ended),
        }
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.lifo.is_empty()
            || !self.hand.is_empty()
            || self.stealer.as_ref().is_some_and(|queue| !queue.is_empty())
    }

    /// Lets a worker that sleeps in the reactor look whether it is called.
    pub(crate) fn poke(&self) {
        if let Some(waker) = &*self.reactor_waker.lock() {
            waker.wake_by_ref();
        }
    }

    /// Wakes the worker, or lets its next sleep return at once.
    pub(crate) fn unpark(&self) {
        match self.park.notify() {
            Some(Bed::Thread) => {
                if let Some(WorkerThread { thread, .. }) = &*self.thread.lock() {
                    thread.unpark();
                }
            }
            Some(Bed::Reactor) => {
                if let Some(waker) = &*self.reactor_waker.lock() {
                    waker.wake_by_ref();
                }
            }
            None => {}
        }
    }
}
