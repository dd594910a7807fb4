//! Deadlines of waiting: calls and receives with a timeout.
//!
//! In the usual case a deadline costs nothing: a process has at most one wake-up armed in the wheel, and a deadline that is
//! later than it arms nothing. When the wake-up fires the process is polled, each future looks whether its own deadline
//! passed, and the earliest that did not arms the next. So a thousand calls in a row, each with five seconds, arm one timer
//! every five seconds. A future that is polled by another waker than its process's own (in a `FuturesUnordered`, or outside
//! of processes) arms a timer of its own, with that waker.
//!
//! A deadline is checked against the node's coarse clock and is never early. To read the clock for each call would cost a
//! fifth of it. So a wait of a second or more that begins inside a process is measured from the coarse clock as well, which
//! the watch moves every 10 ms while a worker is awake ([`monitor::TICK`]), and is [`COARSE_ERROR_TICKS`] longer for that.
//! Outside of processes the node may have slept for long, and the clock is read.

use std::task::{Context, Poll, Waker};

use crate::id::LocalPid;
use crate::monitor;
use crate::node::{Node, NodeInner};
use crate::timer::{TimerEntry, TimerKey};
use crate::worker::{self, Worker};

/// From here on a wait inside a process is measured from the coarse clock: [`COARSE_ERROR_TICKS`] is little against it.
const COARSE_FROM_TICKS: u64 = 1000;
/// How old the coarse clock may be while a process runs: a tick of the watch, and four more for a watch that waits for a CPU.
const COARSE_ERROR_TICKS: u64 = 5 * monitor::TICK.as_millis() as u64;
/// How far ahead the process's one wake-up reaches: its tick is kept in 32 bits.
const NEAR: u64 = 1 << 30;

/// A timer with a waker of its own, taken back when the deadline is not waited for any more.
pub(crate) struct OwnTimer {
    node: Node,
    armed: Option<(TimerKey, Waker)>,
}

impl OwnTimer {
    /// A timer on `node` that is not armed yet: for a wait outside of processes.
    pub(crate) fn new(node: Node) -> Box<Self> {
        Box::new(Self { node, armed: None })
    }

    fn disarm(&mut self) {
        if let Some((key, _)) = self.armed.take() {
            self.node.inner().timers.cancel(key);
        }
    }

    fn arm(&mut self, at: u64, waker: &Waker) {
        if self.armed.as_ref().is_some_and(|(_, armed)| armed.will_wake(waker)) {
            return;
        }
        self.disarm();
        let entry = TimerEntry::WakeTask(waker.clone());
        let key = self.node.inner().arm(at, entry).key();
        self.armed = Some((key, waker.clone()));
    }
}

impl Drop for OwnTimer {
    fn drop(&mut self) {
        self.disarm();
    }
}

/// The tick at which a wait of so many ticks, begun now, is over. A wait of none is over at once.
pub(crate) fn after(node: &NodeInner, ticks: u64) -> u64 {
    worker::with_here(|worker| match worker {
        Some(worker) if std::ptr::eq(worker.node(), node) => after_on(worker, ticks),
        _ => after_now(node, ticks),
    })
}

/// As [`after`], for a wait that begins on this worker's thread.
pub(crate) fn after_on(worker: &Worker, ticks: u64) -> u64 {
    let node = worker.node();
    // While a process runs here a worker is awake, and the watch keeps the coarse clock right; a simulated node has none.
    if ticks < COARSE_FROM_TICKS || !worker.runs_process() || node.is_simulated() {
        return after_now(node, ticks);
    }
    node.timers.now().saturating_add(COARSE_ERROR_TICKS).saturating_add(ticks).saturating_add(1)
}

fn after_now(node: &NodeInner, ticks: u64) -> u64 {
    if ticks == 0 {
        return 0;
    }
    node.update_clock().saturating_add(ticks).saturating_add(1)
}

/// Ready when the tick `at` has passed; otherwise the waker in `cx` is woken then.
///
/// A wait that began inside a process and goes on where no node is at hand has no clock: it is not ended by time.
pub(crate) fn poll(at: u64, own_timer: &mut Option<Box<OwnTimer>>, cx: &Context<'_>) -> Poll<()> {
    if let Some(timer) = own_timer {
        if timer.node.inner().timers.now() >= at {
            return Poll::Ready(());
        }
        timer.arm(at, cx.waker());
        return Poll::Pending;
    }
    worker::with_here(|worker| {
        let Some(worker) = worker else {
            return Poll::Pending;
        };
        let now = worker.node().timers.now();
        if now >= at {
            return Poll::Ready(());
        }
        match worker::own_process(cx.waker()) {
            Some(own) if at - now < NEAR => {
                // SAFETY: the process runs here.
                let header = unsafe { own.as_ref() };
                // SAFETY: it is being polled on this thread, so this is its owner; the reference ends with the statement.
                let armed = unsafe { &mut header.owner().armed };
                arm_process(worker.node(), header.local, armed, now, at);
            }
            _ => own_timer.insert(OwnTimer::new(worker.handle.clone())).arm(at, cx.waker()),
        }
        Poll::Pending
    })
}

fn arm_process(node: &NodeInner, local: LocalPid, armed: &mut u32, now: u64, at: u64) {
    let (now, wanted) = (now as u32, at as u32);
    let is_ahead = *armed != 0 && (armed.wrapping_sub(now) as i32) > 0;
    if is_ahead && (wanted.wrapping_sub(*armed) as i32) >= 0 {
        return;
    }
    *armed = wanted.max(1);
    let _ = node.arm(at, TimerEntry::WakeProcess(local));
}
