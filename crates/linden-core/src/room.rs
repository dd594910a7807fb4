//! The room in a bounded mailbox: how many messages may still come in, and who waits for it.
//!
//! Senders come in ([`Room::try_enter`]), the owner lets out what it read ([`Room::leave`]). Who finds no room may stand in
//! line ([`Room::enter_or_wait`]); the owner calls one for each message that it reads. Whoever stands in line tries once more,
//! so that room made meanwhile is not missed; one that leaves the line after it was called passes the call on, so that none is lost. The
//! end of the process ends the line.
//!
//! Absent on purpose: a promise that whoever was called finds room. A newcomer may be faster; then it stands first again.

use std::collections::VecDeque;
use std::task::Waker;

use crate::sync::{AtomicUsize, Mutex, Ordering};

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Room {
    /// The most messages. Written by whoever limits the process, read by senders; orders nothing.
    max: AtomicUsize,
    /// Messages that came in and are not read. Written by senders and the owner; what a change tells those in line goes
    /// through the lock, so that it orders nothing by itself.
    taken: AtomicUsize,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    is_closed: bool,
    last: u64,
    waiting: VecDeque<(Ticket, Waker)>,
}

impl Line {
    fn stand(&mut self, ticket: &mut Option<Ticket>, waker: &Waker) -> Stands {
        if self.is_closed {
            return Stands::Closed;
        }
        match *ticket {
            None => {
                self.last += 1;
                let new = Ticket(self.last);
                self.waiting.push_back((new, waker.clone()));
                *ticket = Some(new);
            }
            Some(old) => match self.waiting.iter_mut().find(|(waiting, _)| *waiting == old) {
                Some((_, known)) => known.clone_from(waker),
                // It was called, and somebody else was faster.
                None => self.waiting.push_front((old, waker.clone())),
            },
        }
        Stands::Yes
    }
}

/// A place in the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ticket(u64);

/// What came of an attempt to enter.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// There was room.
    Entered,
    /// The waker will be called; then the caller tries again.
    Waits,
    /// The process is dead.
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    Yes,
    Closed,
}

/// What became of the room that somebody in line was called for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Called {
    /// It was used.
    Used,
    /// It was not: the next is called.
    Unused,
}

impl Room {
    pub(crate) fn new(max: usize) -> Self {
        let line = Line { is_closed: false, last: 0, waiting: VecDeque::new() };
        Self { max: AtomicUsize::new(max), taken: AtomicUsize::new(0), line: Mutex::new(line) }
    }

    pub(crate) fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// Changes the most messages; what is in stays in. All who wait are to be woken: they try again.
    pub(crate) fn set_max(&self, max: usize) -> VecDeque<(Ticket, Waker)> {
        self.max.store(max, Ordering::Relaxed);
        std::mem::take(&mut self.line.lock().waiting)
    }

    /// Messages that came in and are not read.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes room for one message, if there are less than `times` the most messages.
    #[must_use]
    pub(crate) fn try_enter(&self, times: usize) -> bool {
        let max = self.max().saturating_mul(times);
        let mut taken = self.taken();
        loop {
            if taken >= max {
                return false;
            }
            let entered = self.taken.compare_exchange_weak(
                taken,
                taken + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match entered {
                Ok(_) => return true,
                Err(now) => taken = now,
            }
        }
    }

    /// Gives back the room of one message.
    pub(crate) fn leave(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whoever is next in line, to be woken.
    #[must_use]
    pub(crate) fn call_next(&self) -> Option<Waker> {
        self.line.lock().waiting.pop_front().map(|(_, waker)| waker)
    }

    /// Takes room for one message, or stands in line for it; a place that is kept there gets this waker.
    pub(crate) fn enter_or_wait(&self, ticket: &mut Option<Ticket>, waker: &Waker) -> Entry {
        if self.try_enter(1) {
            return Entry::Entered;
        }
        if self.line.lock().stand(ticket, waker) == Stands::Closed {
            return Entry::Closed;
        }
        // Room that was made before this one stood there called somebody else, or nobody.
        let is_late = !cfg!(linden_weaken = "room_no_second_try") && self.try_enter(1);
        if is_late { Entry::Entered } else { Entry::Waits }
    }

    /// Leaves the line. Whoever is to be called in place of one who was called and does not enter.
    #[must_use]
    pub(crate) fn leave_line(&self, ticket: Ticket, called: Called) -> Option<Waker> {
        let mut line = self.line.lock();
        match line.waiting.iter().position(|(waiting, _)| *waiting == ticket) {
            Some(place) => {
                line.waiting.remove(place);
                None
            }
            None if called == Called::Used || cfg!(linden_weaken = "room_call_dropped") => None,
            None => line.waiting.pop_front().map(|(_, waker)| waker),
        }
    }

    /// Ends the line: all who stand there are to be woken, and nobody else may stand there.
    #[must_use]
    pub(crate) fn close(&self) -> VecDeque<(Ticket, Waker)> {
        let mut line = self.line.lock();
        line.is_closed = true;
        std::mem::take(&mut line.waiting)
    }
}

#[cfg(all(test, loom))]
#[path = "room/loom_tests.rs"]
mod loom_tests;
