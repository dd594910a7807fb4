//! Bounded mailboxes: the limit of a process, what happens at it, and a sender that waits for room.
//!
//! A mailbox is unbounded unless somebody limits it, as in OTP. Only messages count: signals of links, monitors, exits and
//! timers' news are never refused, dropped or delayed. The limit is kept in the process's rare part; a flag in the header
//! tells senders to look there.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};

use crate::address::SendError;
use crate::budget::{self, Try};
use crate::call::Target;
use crate::cell::{CellRef, Header, LIMITED, Refused};
use crate::dead_letters::DeadLetterTarget;
use crate::envelope::Letter;
use crate::hook::wake_guarded;
use crate::message::Message;
use crate::node::Node;
use crate::room::{Called, Entry, Room, Ticket};
use crate::worker;

/// How many messages may wait in a mailbox, and what happens to more.
///
/// What was in the mailbox when the limit was set does not count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MailboxLimit {
    /// The most messages; 0 refuses all.
    pub messages_max: usize,
    /// What happens at the limit.
    pub policy: MailboxPolicy,
}

/// What happens to a message for a mailbox that is full.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum MailboxPolicy {
    /// The new message goes back: a caller gets [`crate::CallError::Overloaded`], a sender
    /// [`crate::SendError::Overloaded`].
    Reject,
    /// The new message is taken and the oldest dropped, when the process next takes its mail; the caller of a call that is
    /// dropped so gets [`crate::CallError::Exited`]. A process that does not take its mail meanwhile holds up to twice as many
    /// messages; beyond that new ones go back, as with [`MailboxPolicy::Reject`].
    DropOldest,
    /// Who can wait does: a call, and [`crate::Address::send_wait`], go on when there is room. A plain send, a timer's message
    /// and one from another node cannot, and go back.
    Wait,
}

impl MailboxPolicy {
    const ALL: [Self; 3] = [Self::Reject, Self::DropOldest, Self::Wait];
}

/// The limit of one process.
#[derive(Debug)]
pub(crate) struct Limit {
    room: Room,
    /// The place in [`MailboxPolicy::ALL`]. Orders nothing.
    policy: AtomicU8,
}

impl Limit {
    pub(crate) fn new() -> Self {
        Self { room: Room::new(usize::MAX), policy: AtomicU8::new(MailboxPolicy::Reject as u8) }
    }

    fn policy(&self) -> MailboxPolicy {
        MailboxPolicy::ALL[usize::from(self.policy.load(Ordering::Relaxed))]
    }

    /// Takes room for a message.
    pub(crate) fn try_enter(&self) -> bool {
        let times = if self.policy() == MailboxPolicy::DropOldest { 2 } else { 1 };
        self.room.try_enter(times)
    }

    /// A message was read.
    pub(crate) fn leave(&self) {
        self.room.leave();
        if self.policy() == MailboxPolicy::Wait
            && let Some(next) = self.room.call_next()
        {
            wake_guarded(next);
        }
    }

    /// A message was dropped by its owner, who was above the limit.
    pub(crate) fn drop_out(&self) {
        self.room.leave();
    }

    /// How many of the oldest messages are to be dropped.
    pub(crate) fn excess(&self) -> usize {
        match self.policy() {
            MailboxPolicy::DropOldest => self.room.taken().saturating_sub(self.room.max()),
            _ => 0,
        }
    }

    /// The process is dying: nobody is to wait for it.
    pub(crate) fn close(&self) {
        self.room.close().into_iter().for_each(|(_, waker)| wake_guarded(waker));
    }
}

impl Header {
    /// Limits the mailbox, or lifts the limit.
    pub(crate) fn limit_mailbox(&self, limit: Option<MailboxLimit>) {
        let kept = self.rare_or_new().limit.get_or_init(Default::default);
        if let Some(limit) = limit {
            kept.policy.store(limit.policy as u8, Ordering::Relaxed);
        }
        let called = kept.room.set_max(limit.map_or(usize::MAX, |limit| limit.messages_max));
        self.set_flag(LIMITED);
        called.into_iter().for_each(|(_, waker)| wake_guarded(waker));
    }

    /// The limit, if one was ever set.
    pub(crate) fn limit(&self) -> Option<&Limit> {
        if !self.flag(LIMITED) {
            return None;
        }
        self.rare().and_then(|rare| rare.limit.get()).map(|limit| &**limit)
    }

    fn waits_when_full(&self) -> bool {
        self.limit().is_some_and(|limit| limit.policy() == MailboxPolicy::Wait)
    }

    /// What [`Header::limit_mailbox`] was last told.
    pub(crate) fn mailbox_limit(&self) -> Option<MailboxLimit> {
        let limit = self.limit()?;
        let messages_max = limit.room.max();
        (messages_max < usize::MAX).then(|| MailboxLimit { messages_max, policy: limit.policy() })
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self::new()
    }
}

/// A sender's place in the line before a full mailbox.
pub(crate) struct InLine {
    cell: CellRef,
    ticket: Option<Ticket>,
}

/// Why a letter is not in the mailbox.
pub(crate) enum Unsent {
    /// It waits in line: the sender keeps the letter, and posts it again when its waker is woken.
    Waits(Letter),
    Refused(Refused),
}

impl InLine {
    /// A letter was refused: where the mailbox is full and its policy is to wait, stands in line in `place`, unless there is
    /// room by now.
    pub(crate) fn wait(
        place: &mut Option<Box<Self>>,
        cell: &CellRef,
        refused: Refused,
        waker: &Waker,
    ) -> Result<(), Unsent> {
        let letter = match refused {
            Refused::Full(letter) if cell.waits_when_full() => letter,
            refused => {
                Self::end(place, Called::Unused);
                return Err(Unsent::Refused(refused));
            }
        };
        if place.as_ref().is_some_and(|place| place.cell.as_ptr() != cell.as_ptr()) {
            // The name is another process's now.
            Self::end(place, Called::Unused);
        }
        let stands =
            place.get_or_insert_with(|| Box::new(Self { cell: cell.clone(), ticket: None }));
        let limit = cell.limit().expect("the mailbox is full");
        match limit.room.enter_or_wait(&mut stands.ticket, waker) {
            Entry::Waits => Err(Unsent::Waits(letter)),
            Entry::Closed => Err(Unsent::Refused(Refused::Dead(letter))),
            Entry::Entered => {
                Self::end(place, Called::Used);
                cell.post_entered(letter).map_err(Unsent::Refused)
            }
        }
    }

    /// Leaves the line, if the sender stands there.
    pub(crate) fn end(place: &mut Option<Box<Self>>, called: Called) {
        if let Some(mut place) = place.take() {
            place.leave(called);
        }
    }

    fn leave(&mut self, called: Called) {
        let Some(ticket) = self.ticket.take() else { return };
        let next = self.cell.limit().and_then(|limit| limit.room.leave_line(ticket, called));
        if let Some(next) = next {
            wake_guarded(next);
        }
    }
}

impl Drop for InLine {
    /// The sender gave up.
    fn drop(&mut self) {
        self.leave(Called::Unused);
    }
}

/// The future of [`crate::Address::send_wait`].
#[must_use = "nothing is sent until it is awaited"]
pub struct SendWait<'a, M: Message> {
    /// Until it is sent.
    letter: Option<Letter>,
    place: Option<Box<InLine>>,
    target: Target<'a>,
    /// That of a name.
    node: Option<&'a Node>,
    message: PhantomData<fn(M)>,
}

impl<'a, M: Message> SendWait<'a, M> {
    pub(crate) fn new(target: Target<'a>, node: Option<&'a Node>, message: M) -> Self {
        Self { letter: Some(Letter::new(message)), place: None, target, node, message: PhantomData }
    }

    fn post(
        &mut self,
        cell: &CellRef,
        letter: Letter,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Refused>> {
        if worker::current_process() == Some(cell.as_ptr()) {
            return Poll::Ready(cell.post(letter));
        }
        let refused = match cell.post(letter) {
            Ok(()) => {
                InLine::end(&mut self.place, Called::Used);
                return Poll::Ready(Ok(()));
            }
            Err(refused) => refused,
        };
        match InLine::wait(&mut self.place, cell, refused, cx.waker()) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(Unsent::Refused(refused)) => Poll::Ready(Err(refused)),
            Err(Unsent::Waits(letter)) => {
                self.letter = Some(letter);
                Poll::Pending
            }
        }
    }
}

impl<M: Message> Unpin for SendWait<'_, M> {}

impl<M: Message> Future for SendWait<'_, M> {
    type Output = Result<(), SendError<M>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let sending = self.get_mut();
        let tries = if sending.place.is_some() { Try::Again } else { Try::First };
        if !budget::charge_or_yield(1, tries, cx.waker()) {
            return Poll::Pending;
        }
        let letter = sending.letter.take().expect("polled until it is ready, not beyond");
        match sending.target {
            Target::Cell(cell) => sending.post(cell, letter, cx).map_err(|refused| {
                SendError::of(refused, cell.node(), || DeadLetterTarget::Process(cell.pid()))
            }),
            Target::Name(slot) => {
                let posted = match slot.get() {
                    Some(cell) => sending.post(&cell, letter, cx),
                    None => Poll::Ready(Err(Refused::Dead(letter))),
                };
                let name = || DeadLetterTarget::Name((*slot.name).into());
                posted.map_err(|refused| {
                    let node = sending.node.expect("a name is on a node");
                    SendError::of(refused, node.inner(), name)
                })
            }
            Target::Remote(remote) => {
                // What cannot be encoded is counted as dropped.
                let _ = remote.send(letter);
                Poll::Ready(Ok(()))
            }
            Target::Elsewhere | Target::Asked(_) | Target::InLine(_) => {
                unreachable!("no target of a send")
            }
        }
    }
}

impl<M: Message> fmt::Debug for SendWait<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendWait")
    }
}
