//! Calls: a message with a place for its answer, a deadline, and an error when there will be none.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::address::{Place, RemoteProcess};
use crate::budget::{self, Try};
use crate::cell::{CellRef, Refused};
use crate::deadline::{self, OwnTimer};
use crate::envelope::Letter;
use crate::limit::{InLine, Unsent};
use crate::message::Message;
use crate::names::NameSlot;
use crate::node::Node;
use crate::reason::Reason;
use crate::reply::{CallError, Reply, ReplyReceiver, reply_pair};
use crate::room::Called;
use crate::timer::{NEVER, ticks};
use crate::transport::RemoteCall;
use crate::worker;

/// A call's timeout when it sets none, as OTP's.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT_TICKS: u64 = CALL_TIMEOUT.as_millis() as u64;

/// A call that was not awaited yet, or waits for its answer.
///
/// Lazy, as futures are: the request is sent when the call is first polled, and never when it is dropped before. Awaiting it
/// gives the answer or a [`CallError`]; it never waits for a server that is dead.
///
/// # Cancellation
/// Dropped while it waits (in `select!`, say) it is cancelled: the server may still handle the request, and its answer is
/// dropped and counted, never delivered to another call.
#[must_use = "a call does nothing until it is awaited"]
pub struct Call<'a, R> {
    /// Until it is sent.
    letter: Option<Letter>,
    receiver: ReplyReceiver<R>,
    /// Until it is sent, the timeout in ticks; then the deadline.
    time: u64,
    /// What is armed for the deadline, when the process's one wake-up does not do.
    own_timer: Option<Box<OwnTimer>>,
    /// Dropped after the receiver, whose slot a call to another node answers.
    target: Target<'a>,
}

/// To whom a call goes.
pub(crate) enum Target<'a> {
    Cell(&'a CellRef),
    Name(&'a NameSlot),
    Remote(&'a RemoteProcess),
    /// The mailbox is full, and its policy is to wait.
    InLine(Box<Standing<'a>>),
    /// The reply was passed on by hand.
    Elsewhere,
    /// Another node is to answer.
    Asked(
        #[expect(dead_code, reason = "its drop gives the place for the answer up")] Box<RemoteCall>,
    ),
}

/// A call that waits for room in the server's mailbox.
pub(crate) struct Standing<'a> {
    /// A process of this node, or a name.
    to: Target<'a>,
    place: Option<Box<InLine>>,
}

impl<'a> From<&'a Place> for Target<'a> {
    fn from(place: &'a Place) -> Self {
        match place {
            Place::Local(cell) => Self::Cell(cell),
            Place::Remote(remote) => Self::Remote(remote),
        }
    }
}

impl<'a, R> Call<'a, R> {
    #[inline]
    pub(crate) fn new<M: Message>(target: Target<'a>, request: impl FnOnce(Reply<R>) -> M) -> Self {
        let (reply, receiver) = reply_pair();
        receiver.register_early();
        Self {
            letter: Some(Letter::new(request(reply))),
            receiver,
            time: CALL_TIMEOUT_TICKS,
            own_timer: None,
            target,
        }
    }

    /// Waits at most so long for the answer; default [`CALL_TIMEOUT`]. Counted from the sending; never ended early.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.time = ticks(timeout);
        self
    }

    /// Waits as long as the server lives.
    pub fn no_timeout(mut self) -> Self {
        self.time = NEVER;
        self
    }

    /// Sends the request; `Pending` when it waits for room in the server's mailbox.
    fn send(&mut self, letter: Letter, cx: &Context<'_>) -> Poll<Result<(), CallError>> {
        match self.target {
            Target::Cell(cell) => self.send_to(cell, letter, cx),
            Target::Name(slot) => match slot.get() {
                Some(cell) => self.send_to(&cell, letter, cx),
                None => Poll::Ready(Err(CallError::NoProc)),
            },
            Target::Remote(remote) => Poll::Ready(self.send_far(remote, letter)),
            Target::InLine(_) => self.send_again(letter, cx),
            Target::Elsewhere | Target::Asked(_) => Poll::Ready(Ok(())),
        }
    }

    fn send_far(&mut self, remote: &RemoteProcess, letter: Letter) -> Result<(), CallError> {
        let reference = remote.send(letter).map_err(CallError::Codec)?;
        if let Some(reference) = reference {
            self.target = Target::Asked(Box::new(RemoteCall::new(&remote.node, reference)));
        }
        self.start_clock(&remote.node);
        Ok(())
    }

    fn send_to(
        &mut self,
        cell: &CellRef,
        letter: Letter,
        cx: &Context<'_>,
    ) -> Poll<Result<(), CallError>> {
        if worker::current_process() == Some(cell.as_ptr()) {
            return Poll::Ready(Err(CallError::SelfCall));
        }
        // What a full mailbox takes is apart, so that calls do not pay for it.
        match cell.post(letter) {
            Ok(()) => {
                self.start_clock(cell.node_handle());
                Poll::Ready(Ok(()))
            }
            Err(refused) => self.refused(cell, refused, cx),
        }
    }

    /// The request was not taken: it waits in line from now on, with its clock running, or the call is over.
    #[cold]
    #[inline(never)]
    fn refused(
        &mut self,
        cell: &CellRef,
        refused: Refused,
        cx: &Context<'_>,
    ) -> Poll<Result<(), CallError>> {
        self.start_clock(cell.node_handle());
        let to = std::mem::replace(&mut self.target, Target::Elsewhere);
        self.wait(Box::new(Standing { to, place: None }), cell, refused, cx)
    }

    /// Tries again to send a request that waited in line.
    #[cold]
    #[inline(never)]
    fn send_again(&mut self, letter: Letter, cx: &Context<'_>) -> Poll<Result<(), CallError>> {
        let Target::InLine(mut standing) = std::mem::replace(&mut self.target, Target::Elsewhere)
        else {
            unreachable!("only a call that waits in line tries again");
        };
        let of_name;
        let cell = match standing.to {
            Target::Cell(cell) => cell,
            Target::Name(slot) => match slot.get() {
                Some(cell) => {
                    of_name = cell;
                    &of_name
                }
                None => return Poll::Ready(Err(CallError::NoProc)),
            },
            _ => unreachable!("only mailboxes of this node have a line"),
        };
        match cell.post(letter) {
            Ok(()) => {
                InLine::end(&mut standing.place, Called::Used);
                Poll::Ready(Ok(()))
            }
            Err(refused) => self.wait(standing, cell, refused, cx),
        }
    }

    fn wait(
        &mut self,
        mut standing: Box<Standing<'a>>,
        cell: &CellRef,
        refused: Refused,
        cx: &Context<'_>,
    ) -> Poll<Result<(), CallError>> {
        Poll::Ready(match InLine::wait(&mut standing.place, cell, refused, cx.waker()) {
            Ok(()) => Ok(()),
            Err(Unsent::Waits(letter)) => {
                self.letter = Some(letter);
                self.target = Target::InLine(standing);
                return Poll::Pending;
            }
            Err(Unsent::Refused(Refused::Full(_))) => Err(CallError::Overloaded),
            Err(Unsent::Refused(Refused::Dead(letter)))
                if letter.ops.type_id != cell.vtable.ops.type_id =>
            {
                Err(CallError::WrongType {
                    sent: (letter.ops.type_name)(),
                    expected: (cell.vtable.ops.type_name)(),
                })
            }
            Err(Unsent::Refused(Refused::Dead(_))) => Err(CallError::NoProc),
        })
    }

    fn start_clock(&mut self, server: &Node) {
        if self.time == NEVER {
            return;
        }
        worker::with_here(|worker| match worker {
            // Inside a process: the worker's node outlasts every poll, so no handle is kept.
            Some(worker) => self.time = deadline::after_on(worker, self.time),
            None => {
                let node = worker::current_node().unwrap_or_else(|| server.clone());
                self.time = deadline::after(node.inner(), self.time);
                self.own_timer = Some(OwnTimer::new(node));
            }
        });
    }
}

/// A place for one answer, and the wait for it, for requests that are no plain call: the reply travels in whatever message
/// the program likes. Without a timeout; the wait ends when the reply is answered or dropped.
pub fn reply_channel<R>() -> (Reply<R>, Call<'static, R>) {
    let (reply, receiver) = reply_pair();
    let call =
        Call { letter: None, receiver, time: NEVER, own_timer: None, target: Target::Elsewhere };
    (reply, call)
}

impl<R> Unpin for Call<'_, R> {}

impl<R> Future for Call<'_, R> {
    type Output = Result<R, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let call = self.get_mut();
        let mut waits = false;
        // A loop of calls that all fail at once comes to the end of its budget, too.
        let tries = if matches!(call.target, Target::InLine(_)) { Try::Again } else { Try::First };
        if call.letter.is_some() && !budget::charge_or_yield(2, tries, cx.waker()) {
            return Poll::Pending;
        }
        if let Some(letter) = call.letter.take() {
            waits = match call.send(letter, cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                // An answer that came meanwhile has woken the process: it is polled once more.
                Poll::Ready(Ok(())) => call.receiver.waits_as(cx),
                Poll::Pending => true,
            };
        }
        if !waits && let Poll::Ready(answer) = call.receiver.poll(cx) {
            return Poll::Ready(answer.map_err(no_answer));
        }
        if call.time == NEVER {
            return Poll::Pending;
        }
        deadline::poll(call.time, &mut call.own_timer, cx).map(|()| {
            let answer = call.receiver.leave();
            // After the leaving: the place for the answer answers when it is dropped.
            call.target = Target::Elsewhere;
            answer.map_or(Err(CallError::Timeout), |answer| answer.map_err(no_answer))
        })
    }
}

fn no_answer(reason: Reason) -> CallError {
    match reason {
        Reason::NoProc => CallError::NoProc,
        reason => CallError::Exited(reason),
    }
}

impl<R> fmt::Debug for Call<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call")
    }
}
