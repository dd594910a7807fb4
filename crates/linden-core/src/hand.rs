//! The caller in hand: a process that waits for an answer is kept while the process that it woke runs.
//!
//! It stays `RUNNING`, and its worker its owner, so the answer wakes it by a note of the worker's instead of two changes of its
//! mailbox word. It is decided about when the other activation is over. Touched by the worker's own thread, but for the slot
//! ([`crate::lifo`]), from which the watch may steal the process when that activation takes long.

use std::ptr::{self, NonNull};

use crate::cell::{self, Header};
use crate::mailbox::Idle;
use crate::worker::{Worker, with_here};

/// Wakes a process that this worker has in hand: it needs no notice in its mailbox, for it is looked at when the process that
/// runs is through. The count of the one who wakes it is owed to it until then. `false`: it is not in hand.
pub(crate) fn wake_in_hand(cell: NonNull<Header>) -> bool {
    with_here(|worker| {
        let Some(worker) = worker.filter(|worker| worker.in_hand() == Some(cell)) else {
            return false;
        };
        let is_here = worker.remote().hand.holds(cell);
        if is_here {
            worker.hand_wakes.set(worker.hand_wakes.get() + 1);
        }
        is_here
    })
}

impl Worker {
    /// The process that this worker has put in its hand.
    pub(crate) fn in_hand(&self) -> Option<NonNull<Header>> {
        NonNull::new(self.in_hand.get().cast_mut())
    }

    /// Keeps a process that waits for something else than mail, mostly a caller, while the process that it just woke runs:
    /// the answer then wakes it without two changes of its mailbox word. It stays `RUNNING`, and this worker its owner, for
    /// one activation of another process; the watch may steal it when that one takes long.
    pub(crate) fn keep_in_hand(&self, cell: NonNull<Header>) -> bool {
        self.settle_hand();
        // Never true in a simulated node, whose workers do not fill the slot.
        let keeps = !self.remote().lifo.is_empty();
        if keeps {
            self.in_hand.set(cell.as_ptr());
            let displaced = self.remote().hand.put(cell);
            debug_assert!(displaced.is_none(), "the hand was empty");
        }
        keeps
    }

    /// Decides about the process in hand when another one has run: it runs next if it was woken or has mail, and goes idle
    /// otherwise. Says whether it is to run.
    pub(crate) fn settle_hand(&self) -> bool {
        let Some(held) = self.in_hand() else {
            return false;
        };
        self.in_hand.set(ptr::null());
        let wakes = self.hand_wakes.take();
        let is_owner = self.remote().hand.take().is_some();
        // SAFETY: each wake left its count; what was put in the hand and is still there is this worker's.
        unsafe { cell::take_back(held, wakes, is_owner) };
        if !is_owner {
            return false;
        }
        // SAFETY: owned, so it lives.
        let mail = unsafe { &held.as_ref().mail };
        if wakes == 0 && mail.try_idle(Idle::Signals) {
            return false;
        }
        self.push_woken(held);
        true
    }
}
