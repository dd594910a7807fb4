//! Charging the process that runs on this thread for what it does: its reductions, and the messages that it sends.

use std::task::Waker;

use crate::worker::{own_process, with_here};

/// Charges the process that runs here, if one does.
pub(crate) fn charge(reductions: u32) {
    with_here(|worker| {
        if let Some(worker) = worker {
            worker.reductions_left.set(worker.reductions_left.get().saturating_sub(reductions));
        }
    });
}

/// Charges the process that runs here, if one does, for a message that it sends.
pub(crate) fn charge_send() {
    with_here(|worker| {
        if let Some(worker) = worker {
            worker.reductions_left.set(worker.reductions_left.get().saturating_sub(1));
            worker.tally.send();
        }
    });
}

/// Whether a message was tried to be sent before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Try {
    First,
    Again,
}

/// Charges the process that runs here, if one does, before it sends a message, or tries again to. `false`: its budget is used
/// up. It goes to the back of the queue when it is suspended now, and is polled again with a new one.
#[must_use]
pub(crate) fn charge_or_yield(reductions: u32, tries: Try, waker: &Waker) -> bool {
    with_here(|worker| {
        let Some(worker) = worker.filter(|worker| worker.runs_process()) else {
            return true;
        };
        let left = worker.reductions_left.get();
        if left == 0 {
            worker.yielding.set(true);
            if own_process(waker).is_none() {
                waker.wake_by_ref();
            }
            return false;
        }
        worker.reductions_left.set(left.saturating_sub(reductions));
        if tries == Try::First {
            worker.tally.send();
        }
        true
    })
}
