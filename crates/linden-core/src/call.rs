//! Calls: a message with a place for its answer, a deadline, and an error when there will be none.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::address::{Place, RemoteProcess};
use crate::cell::{CellRef, Letter};
use crate::deadline::Deadline;
use crate::message::Message;
use crate::names::NameSlot;
use crate::node::Node;
use crate::reason::Reason;
use crate::reply::{CallError, Reply, ReplyReceiver, reply_pair};
use crate::worker;

/// A call's timeout when it sets none, as OTP's.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);

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
    target: Target<'a>,
    /// Until it is sent.
    letter: Option<Letter>,
    receiver: ReplyReceiver<R>,
    timeout: Option<Duration>,
    /// From the sending on. The node is that of whoever waits, or the server's.
    deadline: Option<Box<(Node, Deadline)>>,
    near: NearDeadline,
}

/// The deadline of a call that waits inside a process: its tick, with nothing of its own armed.
type NearDeadline = Option<Deadline>;

/// To whom a call goes.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    Cell(&'a CellRef),
    Name(&'a NameSlot),
    Remote(&'a RemoteProcess),
    /// The reply was passed on by hand.
    Elsewhere,
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
    pub(crate) fn new<M: Message>(target: Target<'a>, request: impl FnOnce(Reply<R>) -> M) -> Self {
        let (reply, receiver) = reply_pair();
        Self {
            target,
            letter: Some(Letter::new(request(reply))),
            receiver,
            timeout: Some(CALL_TIMEOUT),
            deadline: None,
            near: None,
        }
    }

    /// Waits at most so long for the answer; default [`CALL_TIMEOUT`]. Counted from the sending; never ended early.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Waits as long as the server lives.
    pub fn no_timeout(mut self) -> Self {
        self.timeout = None;
        self
    }

    fn send(&mut self, letter: Letter) -> Result<(), CallError> {
        worker::charge(2);
        match self.target {
            Target::Cell(cell) => self.send_to(cell, letter),
            Target::Name(slot) => {
                let cell = slot.get().ok_or(CallError::NoProc)?;
                self.send_to(&cell, letter)
            }
            Target::Remote(remote) => {
                remote.send(letter);
                self.start_clock(&remote.node);
                Ok(())
            }
            Target::Elsewhere => Ok(()),
        }
    }

    fn send_to(&mut self, cell: &CellRef, letter: Letter) -> Result<(), CallError> {
        if worker::current_process() == Some(cell.as_ptr()) {
            return Err(CallError::SelfCall);
        }
        match cell.post(letter) {
            Ok(()) => {
                self.start_clock(cell.node_handle());
                Ok(())
            }
            Err(letter) if letter.ops.type_id != cell.vtable.ops.type_id => Err(CallError::WrongType {
                sent: (letter.ops.type_name)(),
                expected: (cell.vtable.ops.type_name)(),
            }),
            Err(_) => Err(CallError::NoProc),
        }
    }

    fn start_clock(&mut self, server: &Node) {
        let Some(timeout) = self.timeout else { return };
        worker::with_here(|worker| match worker {
            // Inside a process: the worker's node outlasts every poll, so no handle is kept.
            Some(worker) => self.near = Some(Deadline::after(worker.node(), timeout)),
            None => {
                let node = worker::current_node().unwrap_or_else(|| server.clone());
                let deadline = Deadline::after(node.inner(), timeout);
                self.deadline = Some(Box::new((node, deadline)));
            }
        });
    }

    fn poll_deadline(&mut self, cx: &Context<'_>) -> Poll<()> {
        if let Some(far) = &mut self.deadline {
            let (node, deadline) = &mut **far;
            return deadline.poll(node, cx);
        }
        let Some(deadline) = &mut self.near else {
            return Poll::Pending;
        };
        worker::with_here(|worker| match worker {
            Some(worker) => deadline.poll(&worker.handle, cx),
            // Sent inside a process and awaited outside of it: no clock is at hand, so the call waits for the answer or the
            // server's end.
            None => Poll::Pending,
        })
    }
}

/// A place for one answer, and the wait for it, for requests that are no plain call: the reply travels in whatever message
/// the program likes. Without a timeout; the wait ends when the reply is answered or dropped.
pub fn reply_channel<R>() -> (Reply<R>, Call<'static, R>) {
    let (reply, receiver) = reply_pair();
    let call = Call {
        target: Target::Elsewhere,
        letter: None,
        receiver,
        timeout: None,
        deadline: None,
        near: None,
    };
    (reply, call)
}

impl<R> Unpin for Call<'_, R> {}

impl<R> Future for Call<'_, R> {
    type Output = Result<R, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let call = self.get_mut();
        if let Some(letter) = call.letter.take()
            && let Err(error) = call.send(letter)
        {
            return Poll::Ready(Err(error));
        }
        match call.receiver.poll(cx) {
            Poll::Ready(Ok(answer)) => Poll::Ready(Ok(answer)),
            Poll::Ready(Err(Reason::NoProc)) => Poll::Ready(Err(CallError::NoProc)),
            Poll::Ready(Err(reason)) => Poll::Ready(Err(CallError::Exited(reason))),
            Poll::Pending => call.poll_deadline(cx).map(|()| Err(CallError::Timeout)),
        }
    }
}

impl<R> fmt::Debug for Call<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call")
    }
}
