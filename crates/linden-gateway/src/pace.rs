//! The pace that a client has to keep: which deadline a connection is under, decided from events and the time.
//!
//! A plain state of one connection, or of one stream of an HTTP/2 connection, which is then a process as a connection is. It holds no clock, socket or timer: [`crate::watch`] feeds it and the connection's
//! process acts on what it says. The parts of a connection that feed it (socket, request body, handler, response body) are
//! all polled by that process, save bodies that a handler has given to another one; what those report after their request
//! is over is told from the present request by its number.
//!
//! The clock is read when something comes or goes on the socket. What follows from it in the same poll (a head is complete, a
//! response is made to its end) has no time of its own: it happened when the socket was last at work.
//!
//! Invariant: in each phase but a response that is being made there is a deadline, so no client holds a connection for
//! nothing. A connection that a handler has taken over is no longer the pace's, and while a connection has streams the
//! deadlines are theirs.

use std::time::Duration;

/// A moment, counted from the node's start.
pub(crate) type Moment = Duration;

/// How long a connection that is told to drain waits for the first request of a client that has just connected.
pub(crate) const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);
/// How long the rest of a request's body is waited for, when the handler has answered without it.
pub(crate) const SKIP: Duration = Duration::from_secs(1);
/// How long the rest of what a client sends is read and dropped before its socket is closed, so that it can read the
/// response that refuses it.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// The time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) header: Duration,
    pub(crate) idle: Duration,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Pace {
    timeouts: Timeouts,
    phase: Phase,
    /// When the socket was last at work, as far as it was told.
    at_work: Moment,
    /// Counts requests; the present or newest one has this number.
    request: u64,
    /// Since when the handler waits for the client's body.
    body_awaited: Option<Moment>,
    /// Since when the client takes nothing of what is written.
    write_blocked: Option<Moment>,
    /// Whether the request's body has not been read to its end.
    body_unread: bool,
    draining: bool,
}

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Nothing came yet.
    Opening { since: Moment },
    /// A part of a request's head came.
    Head { since: Moment },
    /// The handler works.
    Handling { since: Moment, timeout: Option<Duration> },
    /// The handler has answered; the rest of the request's body is read, so that the next request can follow.
    Skipping { since: Moment },
    /// The handler's time, or that of the body's rest, is up.
    GivenUp { since: Moment, waited_for: WaitedFor },
    /// The response's body is being made and written.
    Answering,
    /// Between two requests.
    Idle { since: Moment },
    /// A handler takes the connection over: its client's pace is that handler's affair.
    Upgraded,
    /// HTTP/2: the streams have paces of their own. When none is open, none has been since then.
    Streams { open: usize, since: Moment },
    /// All is written and the rest of what the client sends is dropped.
    Lingering { since: Moment },
}

/// What a handler waited for when its time was up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WaitedFor {
    /// Something of its own.
    Handler,
    /// The request's body.
    Body,
}

/// What a deadline that has passed means.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// None has passed.
    NotYet,
    /// The connection is closed.
    Close(CloseCause),
    /// The handler is dropped and its request refused.
    GiveUp,
    /// The client is told to open no more streams.
    GoAway,
}

/// Why a connection is closed by its deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CloseCause {
    /// The head did not come.
    SlowHead,
    /// No request came.
    Idle,
    /// The client neither sent its body nor took the response.
    Stalled,
    /// The client went on sending after it was refused.
    Lingered,
}

/// Whether the socket is closed at once.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Closing {
    /// Nothing of the client's can be lost.
    AtOnce,
    /// The client may still be sending: a reset would take the response away from it.
    AfterLinger,
}

impl Pace {
    pub(crate) fn new(timeouts: Timeouts, now: Moment) -> Self {
        Self {
            timeouts,
            phase: Phase::Opening { since: now },
            at_work: now,
            request: 0,
            body_awaited: None,
            write_blocked: None,
            body_unread: false,
            draining: false,
        }
    }

    /// Bytes came.
    pub(crate) fn read(&mut self, now: Moment) {
        self.at_work = now;
        if matches!(self.phase, Phase::Opening { .. } | Phase::Idle { .. }) {
            self.phase = Phase::Head { since: self.head_began(now) };
        }
    }

    /// The first head's time counts from the connection's beginning.
    fn head_began(&self, now: Moment) -> Moment {
        match self.phase {
            Phase::Opening { since } => since,
            _ => now,
        }
    }

    /// A head is complete, and its handler begins. Returns the request's number on the connection.
    pub(crate) fn request_began(&mut self, timeout: Duration, body: BodyAhead) -> u64 {
        self.request += 1;
        self.phase = Phase::Handling { since: self.at_work, timeout: Some(timeout) };
        self.body_unread = body == BodyAhead::Yes;
        self.body_awaited = None;
        self.request
    }

    /// The route has a time limit of its own, or none.
    pub(crate) fn set_request_timeout(&mut self, request: u64, limit: Option<Duration>) {
        if let Phase::Handling { timeout, .. } = &mut self.phase
            && self.request == request
        {
            *timeout = limit;
        }
    }

    /// The body was asked for and had nothing.
    pub(crate) fn body_awaited(&mut self, request: u64, now: Moment) {
        if self.request == request {
            self.body_awaited.get_or_insert(now);
        }
    }

    /// A part of the body came, or nobody waits for it any more.
    pub(crate) fn body_came(&mut self, request: u64) {
        if self.request == request {
            self.body_awaited = None;
        }
    }

    /// The body was read to its end.
    pub(crate) fn body_ended(&mut self, request: u64) {
        if self.request == request {
            self.body_awaited = None;
            self.body_unread = false;
        }
    }

    /// The handler has answered before the body was read to its end.
    pub(crate) fn skips_body(&mut self, request: u64, now: Moment) {
        if self.request == request {
            self.body_awaited = None;
            self.phase = Phase::Skipping { since: now };
        }
    }

    /// Why the handler of this request is to be dropped, if it is.
    pub(crate) fn given_up(&self, request: u64) -> Option<WaitedFor> {
        match self.phase {
            Phase::GivenUp { waited_for, .. } if self.request == request => Some(waited_for),
            _ => None,
        }
    }

    /// The response's head is there.
    pub(crate) fn answered(&mut self, request: u64) {
        if self.request == request {
            self.phase = Phase::Answering;
        }
    }

    /// The response's head is there, and with it the connection passes to the handler.
    pub(crate) fn upgraded(&mut self, request: u64) {
        if self.request == request {
            self.phase = Phase::Upgraded;
        }
    }

    /// The connection carries streams from now on.
    pub(crate) fn streams_begin(&mut self, now: Moment) {
        self.phase = Phase::Streams { open: 0, since: now };
    }

    /// One stream more.
    pub(crate) fn stream_began(&mut self) {
        if let Phase::Streams { open, .. } = &mut self.phase {
            *open += 1;
        }
    }

    /// One stream less.
    pub(crate) fn stream_ended(&mut self, now: Moment) {
        if let Phase::Streams { open, since } = &mut self.phase {
            *open = open.saturating_sub(1);
            *since = now;
        }
    }

    /// The response's body is made to its end, or dropped. What is left of it to be written is told still.
    pub(crate) fn answer_ended(&mut self, request: u64) {
        if self.request == request && self.phase == Phase::Answering {
            self.phase = Phase::Idle { since: self.at_work };
        }
    }

    /// The client takes nothing more for now.
    pub(crate) fn write_blocked(&mut self, now: Moment) {
        if self.write_blocked.is_none() {
            self.write_blocked = Some(now);
            self.worked(now);
        }
    }

    /// The client took something.
    pub(crate) fn wrote(&mut self, now: Moment) {
        self.write_blocked = None;
        self.worked(now);
    }

    fn worked(&mut self, now: Moment) {
        self.at_work = now;
        if let Phase::Idle { since } = &mut self.phase {
            *since = now;
        }
    }

    /// The connection is to end after its present request. Says whether hyper is told at once; a client that has just
    /// connected is waited for a little.
    pub(crate) fn drain(&mut self, now: Moment) -> DrainNow {
        self.draining = true;
        match &mut self.phase {
            Phase::Opening { since } => {
                *since = now;
                DrainNow::WithResponse
            }
            // A request that was begun is served, also when no more than a part of its head has come.
            Phase::Head { .. } | Phase::Handling { .. } => DrainNow::WithResponse,
            Phase::Streams { since, .. } => {
                *since = now;
                DrainNow::Yes
            }
            _ => DrainNow::Yes,
        }
    }

    /// Everything is written and the socket is to be closed.
    pub(crate) fn closing(&mut self, now: Moment) -> Closing {
        let refused_head = matches!(self.phase, Phase::Head { .. });
        let streams = matches!(self.phase, Phase::Streams { .. });
        if self.phase != Phase::Upgraded && (refused_head || streams || self.body_unread) {
            self.phase = Phase::Lingering { since: now };
            self.write_blocked = None;
            self.body_awaited = None;
            return Closing::AfterLinger;
        }
        Closing::AtOnce
    }

    /// The moment at which something must happen.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        let stalled = self.stalled_since().map(|since| since.saturating_add(self.timeouts.idle));
        match (self.phase_deadline(), stalled) {
            (Some(phase), Some(stalled)) => Some(phase.min(stalled)),
            (phase, stalled) => phase.or(stalled),
        }
    }

    fn phase_deadline(&self) -> Option<Moment> {
        match self.phase {
            Phase::Opening { since } if self.draining => {
                Some(since.saturating_add(FIRST_REQUEST_GRACE.min(self.timeouts.header)))
            }
            Phase::Opening { since } | Phase::Head { since } => {
                Some(since.saturating_add(self.timeouts.header))
            }
            Phase::Handling { since, timeout } => Some(since.saturating_add(timeout?)),
            Phase::Skipping { since } => Some(since.saturating_add(SKIP)),
            Phase::GivenUp { since, .. } | Phase::Idle { since } => {
                Some(since.saturating_add(self.timeouts.idle))
            }
            Phase::Streams { open: 0, since } if self.draining => {
                Some(since.saturating_add(LINGER))
            }
            Phase::Streams { open: 0, since } => Some(since.saturating_add(self.timeouts.idle)),
            Phase::Answering | Phase::Upgraded | Phase::Streams { .. } => None,
            Phase::Lingering { since } => Some(since.saturating_add(LINGER)),
        }
    }

    /// Since when the client is waited for in the middle of an exchange.
    fn stalled_since(&self) -> Option<Moment> {
        let body = self
            .body_awaited
            .filter(|_| matches!(self.phase, Phase::Handling { .. } | Phase::Answering));
        match (body, self.write_blocked) {
            (Some(body), Some(write)) => Some(body.min(write)),
            (body, write) => body.or(write),
        }
    }

    /// What must happen now.
    pub(crate) fn due(&mut self, now: Moment) -> Due {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Due::NotYet;
        }
        match self.phase {
            Phase::Handling { .. } if !self.is_write_stalled(now) => {
                let waited_for = match self.body_awaited {
                    Some(_) => WaitedFor::Body,
                    None => WaitedFor::Handler,
                };
                self.body_awaited = None;
                self.phase = Phase::GivenUp { since: now, waited_for };
                Due::GiveUp
            }
            Phase::Skipping { .. } if !self.is_write_stalled(now) => {
                self.phase = Phase::GivenUp { since: now, waited_for: WaitedFor::Body };
                Due::GiveUp
            }
            Phase::Opening { .. } | Phase::Head { .. } => Due::Close(CloseCause::SlowHead),
            Phase::Streams { .. } if !self.is_write_stalled(now) && !self.draining => {
                let _ = self.drain(now);
                Due::GoAway
            }
            Phase::Idle { .. } | Phase::Streams { .. } if !self.is_write_stalled(now) => {
                Due::Close(CloseCause::Idle)
            }
            Phase::Lingering { .. } => Due::Close(CloseCause::Lingered),
            _ => Due::Close(CloseCause::Stalled),
        }
    }

    fn is_write_stalled(&self, now: Moment) -> bool {
        self.write_blocked.is_some_and(|since| since.saturating_add(self.timeouts.idle) <= now)
    }
}

/// Whether a request has a body that is still to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BodyAhead {
    Yes,
    No,
}

/// When a connection that drains may be told to end.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DrainNow {
    /// Now: an idle one closes, a busy one ends its request.
    Yes,
    /// The next response will say that it is the last. Told now, hyper would say so in the place of a handler that takes
    /// the connection over.
    WithResponse,
}

#[cfg(test)]
mod tests;
