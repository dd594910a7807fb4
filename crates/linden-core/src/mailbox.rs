//! The mailbox word: a list that anybody pushes to, and what its owner waits for, in one atomic.
//!
//! Writers: any thread pushes links and sets `WOKEN`; only the owner (the one worker that runs the process) takes the list,
//! goes idle and closes. A process that was killed while its owner stands still is closed by the reaper (`reap.rs`): its owner
//! then finds nothing to take and cannot go idle. The word is a pointer to the newest link, plus a tag in its low bits:
//!
//! | tag | meaning |
//! |---|---|
//! | `RUNNING` | the process is in a run queue or is being run; a push enqueues and nothing else |
//! | `IDLE_ANY` | it waits for mail; any push makes it `RUNNING`, and the pusher must schedule it |
//! | `IDLE_SIGNALS` | it waits for something else (a reply, a socket); only a signal or a wake makes it `RUNNING` |
//! | `CLOSED` | it is dead; pushes are refused and the link stays with the pusher |
//! | `WOKEN` (extra bit) | a waker fired while it was `RUNNING`; it cannot go idle before it was polled again. Never set in an idle word |
//! | `CLOSED` and `WOKEN` | it is dying: messages are refused, signals are still taken, to be answered when it is gone |
//!
//! So one compare-and-swap both enqueues and tells whether to schedule: exactly one thread sees each change from idle to
//! `RUNNING`, and that thread owns the duty to put the process in a run queue.
//!
//! Order: links of one pusher are taken in the order pushed, messages and signals alike; over all pushers there is one
//! total order, that of the successful compare-and-swaps.
//!
//! The upper 16 bits, which no address of a program has, count the links of the list, up to their most; for observers.
//!
//! Absent on purpose: bounds (a policy of the layer
//! above), blocking.

use std::cell::Cell;
use std::ptr;

use crate::sync::{AtomicPtr, Ordering, order};

const STATE: usize = 0b011;
const RUNNING: usize = 0;
const IDLE_ANY: usize = 1;
const IDLE_SIGNALS: usize = 2;
const CLOSED: usize = 3;
const WOKEN: usize = 0b100;
const CLOSING: usize = CLOSED | WOKEN;
const TAG: usize = STATE | WOKEN;
/// The count: its place and its unit.
const COUNT_SHIFT: u32 = 48;
const ONE: usize = 1 << COUNT_SHIFT;
const COUNT: usize = !(ONE - 1);

/// The bits of a link whose message carries a trace or counts, and all bits of a link that are no address.
const LINK_TRACED: usize = 0b010;
const LINK_COUNTED: usize = 0b100;
const LINK_TAG: usize = 0b111;

/// The head of everything that can stand in a mailbox. The first field of a message or signal node (`repr(C)`).
///
/// Before the push the link belongs to the pusher, between push and take to nobody, then to the owner.
#[repr(C, align(8))]
#[derive(Debug)]
pub(crate) struct Link {
    /// The older neighbour; bit 0 is set for a signal, bit 1 for a message that carries a trace, bit 2 for one that
    /// counts against the process's limit.
    next: Cell<*mut Link>,
}

/// What a link leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LinkKind {
    Message,
    Signal,
}

impl Link {
    pub(crate) fn new(kind: LinkKind) -> Self {
        Self { next: Cell::new(ptr::null_mut::<Link>().map_addr(|_| kind as usize)) }
    }

    pub(crate) fn kind(&self) -> LinkKind {
        if self.next.get().addr() & 1 == 0 { LinkKind::Message } else { LinkKind::Signal }
    }

    /// The link of a message that carries a trace.
    #[cfg_attr(loom, expect(dead_code, reason = "the envelopes are not part of the models"))]
    pub(crate) fn traced() -> Self {
        Self { next: Cell::new(ptr::null_mut::<Link>().map_addr(|_| LINK_TRACED)) }
    }

    #[cfg_attr(loom, expect(dead_code, reason = "as above"))]
    pub(crate) fn is_traced(&self) -> bool {
        self.next.get().addr() & LINK_TRACED != 0
    }

    /// Whether the message neither carries a trace nor counts, as most do.
    #[cfg_attr(loom, expect(dead_code, reason = "as above"))]
    pub(crate) fn is_plain(&self) -> bool {
        self.next.get().addr() & (LINK_TRACED | LINK_COUNTED) == 0
    }

    /// Notes that the message counts against its receiver's limit.
    #[cfg_attr(loom, expect(dead_code, reason = "as above"))]
    pub(crate) fn set_counted(&self) {
        self.next.set(self.next.get().map_addr(|addr| addr | LINK_COUNTED));
    }

    #[cfg_attr(loom, expect(dead_code, reason = "as above"))]
    pub(crate) fn is_counted(&self) -> bool {
        self.next.get().addr() & LINK_COUNTED != 0
    }

    pub(crate) fn next(&self) -> *mut Link {
        self.next.get().map_addr(|addr| addr & !LINK_TAG)
    }

    /// Sets the neighbour and keeps what the link leads.
    pub(crate) fn set_next(&self, next: *mut Link) {
        let tag = self.next.get().addr() & LINK_TAG;
        self.next.set(next.map_addr(|addr| addr | tag));
    }
}

/// What a push did.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Push {
    /// In the mailbox; the owner will see it, now or when it asks for mail.
    Queued,
    /// In the mailbox, and the process is `RUNNING` now: the pusher must schedule it.
    Schedule,
    /// Refused: the process is dead. The link still belongs to the pusher.
    Closed,
}

/// What a wake did.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wake {
    /// The process is running, queued or dead: nothing to do.
    Noted,
    /// The process is `RUNNING` now: the waker must schedule it.
    Schedule,
}

/// What the owner waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Idle {
    Any,
    Signals,
}

/// What a take found, newest link first.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) newest: *mut Link,
    pub(crate) woken: bool,
    /// Somebody else has closed the mailbox and taken what was in it.
    pub(crate) closed: bool,
}

/// What the mailbox is doing, for introspection; may be old when it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MailState {
    Running,
    WaitingForMail,
    Suspended,
    Dead,
}

/// The mailbox word of one process.
#[derive(Debug)]
pub(crate) struct MailWord {
    /// Written by all. Each change that hands links or the duty to run over is `AcqRel`: a push releases the link's
    /// contents to the take, going idle releases the owner's data to whoever runs the process next.
    head: AtomicPtr<Link>,
}

fn word(newest: *mut Link, tag: usize) -> *mut Link {
    newest.map_addr(|addr| addr | tag)
}

fn link_of(word: *mut Link) -> *mut Link {
    word.map_addr(|addr| addr & !(TAG | COUNT))
}

impl MailWord {
    /// A mailbox that is `RUNNING`: whoever makes it schedules the process for the first time.
    pub(crate) fn new() -> Self {
        Self { head: AtomicPtr::new(word(ptr::null_mut(), RUNNING)) }
    }

    /// Pushes a link.
    ///
    /// # Safety
    /// `link` points to a live link that the caller owns and that is in no list. On [`Push::Closed`] the caller still
    /// owns it, otherwise the mailbox does.
    pub(crate) unsafe fn push(&self, link: *mut Link, kind: LinkKind) -> Push {
        let mut current = self.head.load(Ordering::Relaxed);
        loop {
            let tag = current.addr() & TAG;
            let wakes = match tag & STATE {
                CLOSED if tag == CLOSED || is_refused_by_the_dying(kind) => return Push::Closed,
                IDLE_ANY => true,
                IDLE_SIGNALS => kind == LinkKind::Signal,
                _ => false,
            };
            let next_tag = if wakes { RUNNING } else { tag };
            debug_assert_eq!(link.addr() & COUNT, 0, "an address has 48 bits");
            let count = (current.addr() & COUNT).saturating_add(ONE) & COUNT;
            // SAFETY: the caller owns `link` until the exchange below succeeds.
            unsafe { (*link).set_next(link_of(current)) };
            match self.head.compare_exchange_weak(
                current,
                word(link, next_tag | count),
                order!("mailbox_push_release", AcqRel),
                Ordering::Relaxed,
            ) {
                Ok(_) if wakes => return Push::Schedule,
                Ok(_) => return Push::Queued,
                Err(now) => current = now,
            }
        }
    }

    /// Asks that the process be polled once more.
    pub(crate) fn wake(&self) -> Wake {
        let mut current = self.head.load(Ordering::Relaxed);
        loop {
            let tag = current.addr() & TAG;
            let (next, wake) = match tag & STATE {
                // A read-modify-write also when the bit is set already: it releases the waker's writes to the poll.
                RUNNING => (word(current, WOKEN), Wake::Noted),
                CLOSED => return Wake::Noted,
                _ => (current.map_addr(|addr| addr & !TAG | RUNNING), Wake::Schedule),
            };
            match self.head.compare_exchange_weak(
                current,
                next,
                order!("mailbox_wake_release", AcqRel),
                Ordering::Relaxed,
            ) {
                Ok(_) => return wake,
                Err(now) => current = now,
            }
        }
    }

    /// Whether there is something to take. Owner only.
    pub(crate) fn is_dirty(&self) -> bool {
        self.head.load(Ordering::Relaxed).addr() != RUNNING
    }

    /// Takes the list and the woken bit. Owner only, while `RUNNING`.
    pub(crate) fn take(&self) -> Taken {
        let mut old = self.head.load(Ordering::Relaxed);
        loop {
            if old.addr() & STATE == CLOSED && !cfg!(linden_weaken = "mailbox_take_reopens") {
                return Taken { newest: ptr::null_mut(), woken: false, closed: true };
            }
            match self.head.compare_exchange_weak(
                old,
                word(ptr::null_mut(), RUNNING),
                order!("mailbox_take_acquire", AcqRel),
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => old = now,
            }
        }
        Taken { newest: link_of(old), woken: old.addr() & WOKEN != 0, closed: false }
    }

    /// Goes idle, unless there is something to take. Owner only, while `RUNNING`.
    ///
    /// When it says `true` the caller is no longer the owner: another worker may run the process already.
    #[must_use]
    pub(crate) fn try_idle(&self, idle: Idle) -> bool {
        let tag = match idle {
            Idle::Any => IDLE_ANY,
            Idle::Signals => IDLE_SIGNALS,
        };
        if cfg!(linden_weaken = "mailbox_idle_blind") {
            // The omitted step: going idle without looking for what arrived since the last take.
            let old = self.head.load(Ordering::Relaxed);
            self.head.store(word(link_of(old), tag), Ordering::Release);
            return true;
        }
        self.head
            .compare_exchange(
                word(ptr::null_mut(), RUNNING),
                word(ptr::null_mut(), tag),
                order!("mailbox_idle_release", AcqRel),
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Closes for messages and takes what is there. While `RUNNING`, once: by the owner, or by the reaper, which has agreed with
    /// the owner on who ends the process.
    pub(crate) fn begin_close(&self) -> *mut Link {
        let old = self.head.swap(word(ptr::null_mut(), CLOSING), Ordering::AcqRel);
        debug_assert_eq!(old.addr() & STATE, RUNNING);
        link_of(old)
    }

    /// Closes for ever and takes what is left. While `RUNNING` or closing, once, by the same.
    pub(crate) fn close(&self) -> *mut Link {
        let old = self.head.swap(word(ptr::null_mut(), CLOSED), Ordering::AcqRel);
        debug_assert!(old.addr() & STATE == RUNNING || old.addr() & TAG == CLOSING);
        link_of(old)
    }

    /// How many links were pushed and not taken, up to 65,535. May be old when it is read.
    pub(crate) fn waiting(&self) -> u32 {
        (self.head.load(Ordering::Relaxed).addr() >> COUNT_SHIFT) as u32
    }

    pub(crate) fn state(&self) -> MailState {
        match self.head.load(Ordering::Relaxed).addr() & STATE {
            RUNNING => MailState::Running,
            IDLE_ANY => MailState::WaitingForMail,
            IDLE_SIGNALS => MailState::Suspended,
            _ => MailState::Dead,
        }
    }
}

/// Whether a mailbox that is closing refuses a push: it takes signals, which are answered when the process is gone.
fn is_refused_by_the_dying(kind: LinkKind) -> bool {
    kind == LinkKind::Message && !cfg!(linden_weaken = "mailbox_dying_takes_messages")
}

/// Reverses a list as taken (newest first) into the order of arrival (oldest first).
///
/// # Safety
/// The caller owns the list that begins at `newest`.
pub(crate) unsafe fn reverse(newest: *mut Link) -> *mut Link {
    let mut oldest = ptr::null_mut();
    let mut rest = newest;
    while !rest.is_null() {
        // SAFETY: `rest` is a link of the caller's list.
        let link = unsafe { &*rest };
        let next = link.next();
        link.set_next(oldest);
        oldest = rest;
        rest = next;
    }
    oldest
}

#[cfg(all(test, loom))]
#[path = "mailbox/loom_tests.rs"]
mod loom_tests;
