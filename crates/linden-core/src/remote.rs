//! The part of a worker that others may touch: where its next process lies, how it is woken, and what the watch sees of it.
//!
//! A place outlives its workers: one that is retired leaves it to the next.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::thread::Thread;

use crossbeam_deque::Stealer;
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use crate::cell::Header;
use crate::duty::Duty;
use crate::id::LocalPid;
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
    duty: Duty,
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
                duty,
            }),
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

    pub(crate) fn has_work(&self) -> bool {
        !self.lifo.is_empty()
            || !self.hand.is_empty()
            || self.stealer.as_ref().is_some_and(|queue| !queue.is_empty())
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
