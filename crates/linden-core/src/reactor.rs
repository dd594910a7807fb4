//! Driving the tokio runtime: sockets, timers and foreign tasks, by whichever worker has nothing better to do.
//!
//! The node has one `current_thread` runtime, entered on every worker. An idle worker that gets the token sleeps inside it
//! (`block_on`) and is woken by I/O, by a deadline of the node's wheel, or by a notice; a busy worker polls it from time to
//! time. `block_on` of a future that is ready at once does not poll the driver, so the busy poll yields once.
//!
//! Foreign tasks (`tokio::spawn` by a library) run on whoever drives, outside of supervision. One that does not give its thread
//! back holds the driver, and no other thread can serve sockets and tokio's timers until it does: they belong to the runtime that it
//! is inside of. The watch pokes a sleeper whose runtime has such tasks, and sees by [`Driving::root_polls`] that it does not
//! answer; another worker is begun in its place, and the node's own timers go on.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::time::{Instant, Sleep};

use crate::timer::NEVER;
use crate::worker::Worker;

/// Nobody sleeps inside the reactor.
pub(crate) const AWAKE: u64 = 0;

/// Who drives, and until when it sleeps.
#[derive(Debug)]
pub(crate) struct Driving {
    /// The token: one worker at a time is inside the runtime.
    held: AtomicBool,
    /// The worker that holds it.
    holder: AtomicUsize,
    /// Counts polls: an unchanged number tells the monitor that nobody serves I/O.
    epoch: AtomicU64,
    /// Counts how often a holder that sleeps looked what it is called for.
    root_polls: AtomicU64,
    /// The holder does not come back: nobody else can drive until it does.
    is_stuck: AtomicBool,
    /// The tick until which the holder sleeps, or [`AWAKE`]. Released by the holder, acquired by who armed a timer: whoever
    /// sees the tick sees who the holder is.
    sleeps_until: AtomicU64,
    /// The runtime's timer for the node's next deadline: most sleeps end before it, and the next one goes on with it. Taken by
    /// the holder as it lies down and put back as it gets up, so nothing runs under the lock.
    alarm: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl Driving {
    pub(crate) fn new() -> Self {
        Self {
            held: AtomicBool::new(false),
            holder: AtomicUsize::new(0),
            epoch: AtomicU64::new(0),
            root_polls: AtomicU64::new(0),
            is_stuck: AtomicBool::new(false),
            sleeps_until: AtomicU64::new(AWAKE),
            alarm: Mutex::new(None),
        }
    }

    #[must_use]
    fn try_hold(&self, worker: usize) -> bool {
        let got = !self.held.load(Ordering::Relaxed) && !self.held.swap(true, Ordering::Acquire);
        if got {
            self.holder.store(worker, Ordering::Relaxed);
        }
        got
    }

    fn release(&self) {
        self.is_stuck.store(false, Ordering::Relaxed);
        self.held.store(false, Ordering::Release);
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn is_held_by(&self, worker: usize) -> bool {
        self.is_held() && self.holder.load(Ordering::Relaxed) == worker
    }

    /// Who holds the driver, if somebody does.
    pub(crate) fn holder(&self) -> Option<usize> {
        self.is_held().then(|| self.holder.load(Ordering::Relaxed))
    }

    pub(crate) fn root_polls(&self) -> u64 {
        self.root_polls.load(Ordering::Relaxed)
    }

    /// The holder does not come back. The watch's.
    pub(crate) fn set_stuck(&self) {
        self.is_stuck.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stuck(&self) -> bool {
        self.is_held() && self.is_stuck.load(Ordering::Relaxed)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// The worker to wake for a timer that is due at `deadline`, when the holder sleeps beyond it.
    pub(crate) fn sleeper_beyond(&self, deadline: u64) -> Option<usize> {
        fence(Ordering::SeqCst);
        let until = self.sleeps_until.load(Ordering::Acquire);
        (until != AWAKE && until > deadline).then(|| self.holder.load(Ordering::Relaxed))
    }
}

/// A worker's way into the runtime.
pub(crate) struct Reactor {
    pub(crate) runtime: Arc<Runtime>,
    /// Tick 0.
    pub(crate) start: Instant,
}

impl Reactor {
    /// Serves what is ready, without sleeping. `false`: another worker is inside.
    pub(crate) fn poll_now(&self, worker: &Worker) -> bool {
        let driving = &worker.node().driving;
        if !driving.try_hold(worker.index()) {
            return false;
        }
        driving.epoch.fetch_add(1, Ordering::Relaxed);
        self.runtime.block_on(tokio::task::yield_now());
        driving.release();
        true
    }

    /// Sleeps inside the runtime until there is something to do for this worker. `false`: another worker is inside.
    pub(crate) fn sleep(&self, worker: &Worker) -> bool {
        let driving = &worker.node().driving;
        if !driving.try_hold(worker.index()) {
            return false;
        }
        driving.epoch.fetch_add(1, Ordering::Relaxed);
        let mut alarm = driving.alarm.lock().take();
        self.runtime.block_on(async {
            poll_fn(|cx| {
                driving.root_polls.fetch_add(1, Ordering::Relaxed);
                if worker.is_called(cx.waker()) {
                    return Poll::Ready(());
                }
                loop {
                    let next = worker.node().timers.next();
                    driving.sleeps_until.store(next, Ordering::Release);
                    fence(Ordering::SeqCst);
                    if worker.node().timers.next() != next {
                        continue;
                    }
                    if next == NEVER {
                        alarm = None;
                        return Poll::Pending;
                    }
                    let at = self.start + Duration::from_millis(next);
                    let sleep = alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
                    if sleep.deadline() != at {
                        sleep.as_mut().reset(at);
                    }
                    if sleep.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    // What fires may run code of the user's: not before this worker is on duty again.
                    worker.node().update_clock();
                    return Poll::Ready(());
                }
            })
            .await;
        });
        driving.sleeps_until.store(AWAKE, Ordering::Relaxed);
        *driving.alarm.lock() = alarm;
        driving.release();
        true
    }
}
