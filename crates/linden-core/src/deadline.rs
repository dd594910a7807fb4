//! Deadlines of waiting: calls and receives with a timeout.
//!
//! In the usual case a deadline costs nothing: a process has at most one wake-up armed in the wheel, and a deadline that is
//! later than it arms nothing. When the wake-up fires the process is polled, each future looks whether its own deadline
//! passed, and the earliest that did not arms the next. So a thousand calls in a row, each with five seconds, arm one timer
//! every five seconds. A future that is polled by another waker than its process's own (in a `FuturesUnordered`, or outside
//! of processes) arms a timer of its own, with that waker.
//!
//! A deadline is checked against the node's coarse clock and is never early.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::node::{Node, NodeInner};
use crate::timer::{TimerEntry, ticks};
use crate::worker;

/// From here on a duration is measured from the coarse clock: what that is late is little against it.
const COARSE_FROM: Duration = Duration::from_secs(1);
/// How far ahead the process's one wake-up reaches: its tick is kept in 32 bits.
const NEAR: u64 = 1 << 30;

/// A moment of the node's clock, and what is armed for it.
pub(crate) struct Deadline {
    at: u64,
    own_timer: Option<OwnTimer>,
}

/// A timer with a waker of its own, taken back when the deadline is not waited for any more.
struct OwnTimer {
    node: Node,
    key: crate::timer::TimerKey,
    waker: Waker,
}

impl Drop for OwnTimer {
    fn drop(&mut self) {
        self.node.inner().timers.cancel(self.key);
    }
}

impl Deadline {
    pub(crate) fn after(node: &NodeInner, duration: Duration) -> Self {
        let now = if duration < COARSE_FROM {
            node.update_clock()
        } else {
            node.timers.now()
        };
        Self {
            at: now.saturating_add(ticks(duration)).saturating_add(1),
            own_timer: None,
        }
    }

    /// Ready when the moment passed; otherwise the waker in `cx` is woken then.
    pub(crate) fn poll(&mut self, node: &Node, cx: &Context<'_>) -> Poll<()> {
        let now = node.inner().timers.now();
        if now >= self.at {
            self.own_timer = None;
            return Poll::Ready(());
        }
        if let Some(own) = worker::own_process(cx.waker()) {
            // SAFETY: the process runs here.
            let header = unsafe { own.as_ref() };
            if self.at - now < NEAR && std::ptr::eq(header.node(), node.inner()) {
                // SAFETY: it is being polled on this thread, so this is its owner; the reference ends with the statement.
                let armed = unsafe { &mut header.owner().armed };
                arm_process(node.inner(), header.local, armed, now, self.at);
                return Poll::Pending;
            }
        }
        if self.own_timer.as_ref().is_some_and(|timer| timer.waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        let waker = cx.waker().clone();
        let key = node.inner().arm(self.at, TimerEntry::WakeTask(waker.clone())).key();
        self.own_timer = Some(OwnTimer {
            node: node.clone(),
            key,
            waker,
        });
        Poll::Pending
    }
}

fn arm_process(node: &NodeInner, local: crate::id::LocalPid, armed: &mut u32, now: u64, at: u64) {
    let (now, wanted) = (now as u32, at as u32);
    let is_ahead = *armed != 0 && (armed.wrapping_sub(now) as i32) > 0;
    if is_ahead && (wanted.wrapping_sub(*armed) as i32) >= 0 {
        return;
    }
    *armed = wanted.max(1);
    let _ = node.arm(at, TimerEntry::WakeProcess(local));
}
