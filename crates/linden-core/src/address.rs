//! Addresses: typed ways to a process, by its pid or by its name, on this node or another.

use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::budget;
use crate::call::Call;
use crate::cell::{CellRef, Refused};
use crate::dead_letters::{DeadLetterReason, DeadLetterTarget};
use crate::envelope::Letter;
use crate::id::{NodeId, Pid};
use crate::limit::SendWait;
use crate::message::Message;
use crate::names::NameSlot;
use crate::node::{Node, NodeInner};
use crate::reply::Reply;
use crate::transport::Destination;

/// A typed address of one process: messages of type `M` go there.
///
/// It keeps the memory of the process's cell, also when the process is dead; keep a [`Pid`] where that matters.
pub struct Address<M> {
    pub(crate) place: Place,
    message: PhantomData<fn(M)>,
}

#[derive(Clone)]
pub(crate) enum Place {
    Local(CellRef),
    Remote(Arc<RemoteProcess>),
}

/// A process of another node.
pub(crate) struct RemoteProcess {
    pub(crate) node: Node,
    pub(crate) at: NodeId,
    pub(crate) to: Destination,
}

/// Why a message was not sent; the message is back.
#[derive(PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<M> {
    /// No such process.
    NoProc(M),
    /// The process's mailbox is full ([`crate::MailboxLimit`]).
    Overloaded(M),
}

impl<M> SendError<M> {
    /// The message, which nobody got.
    pub fn into_message(self) -> M {
        match self {
            Self::NoProc(message) | Self::Overloaded(message) => message,
        }
    }
}

impl<M: Message> SendError<M> {
    /// Notes the dead letter, and gives the message back.
    #[cold]
    pub(crate) fn of(
        refused: Refused,
        node: &NodeInner,
        target: impl FnOnce() -> DeadLetterTarget,
    ) -> Self {
        let open = |letter: Letter| letter.open().expect("the letter was made of an M");
        let (reason, error) = match refused {
            Refused::Dead(letter) => (DeadLetterReason::NoProcess, Self::NoProc(open(letter))),
            Refused::Full(letter) => {
                (DeadLetterReason::MailboxFull, Self::Overloaded(open(letter)))
            }
        };
        node.dead_letter(reason, target(), std::any::type_name::<M>());
        error
    }
}

impl<M> fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoProc(_) => "NoProc",
            Self::Overloaded(_) => "Overloaded",
        })
    }
}

impl<M> fmt::Display for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoProc(_) => "no such process",
            Self::Overloaded(_) => "the process's mailbox is full",
        })
    }
}

impl<M> Error for SendError<M> {}

impl<M: Message> Address<M> {
    pub(crate) fn of_cell(cell: CellRef) -> Self {
        Self { place: Place::Local(cell), message: PhantomData }
    }

    pub(crate) fn of_remote(remote: RemoteProcess) -> Self {
        Self { place: Place::Remote(Arc::new(remote)), message: PhantomData }
    }

    /// The process's pid; `None` for a name on another node.
    #[must_use]
    pub fn try_pid(&self) -> Option<Pid> {
        match &self.place {
            Place::Local(cell) => Some(cell.pid()),
            Place::Remote(remote) => match remote.to {
                Destination::Pid(pid) => Some(pid),
                Destination::Name(_) => None,
            },
        }
    }

    /// The process's pid.
    ///
    /// # Panics
    /// For an address by name on another node ([`Node::remote_name`]), whose pid only that node knows.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.try_pid().expect("an address by pid, not by a remote name")
    }

    /// Sends a message. From one sender, messages and signals arrive in the order sent.
    ///
    /// A message to a process of another node is never refused: what the other node drops is counted there.
    ///
    /// # Errors
    /// The process does not live, or its mailbox is full; the message is back, and noted as a dead letter.
    #[inline]
    pub fn send(&self, message: M) -> Result<(), SendError<M>> {
        budget::charge_send();
        match &self.place {
            Place::Local(cell) => match cell.post(Letter::new(message)) {
                Ok(()) => Ok(()),
                Err(refused) => Err(SendError::of(refused, cell.node(), || {
                    DeadLetterTarget::Process(cell.pid())
                })),
            },
            Place::Remote(remote) => {
                // What cannot be encoded is counted as dropped.
                let _ = remote.send(Letter::new(message));
                Ok(())
            }
        }
    }

    /// As [`Address::send`], but while the process's mailbox is full and its policy is
    /// [`MailboxPolicy::Wait`](crate::MailboxPolicy::Wait), it waits for room. A process never waits so for itself.
    ///
    /// # Cancellation
    /// Dropped before it is ready, the message is not sent.
    #[inline]
    pub fn send_wait(&self, message: M) -> SendWait<'_, M> {
        SendWait::new((&self.place).into(), None, message)
    }

    /// A call: `request` makes the message around the place for its answer. Sent when it is first awaited.
    #[inline]
    pub fn call<R>(&self, request: impl FnOnce(Reply<R>) -> M) -> Call<'_, R> {
        Call::new((&self.place).into(), request)
    }

    /// Whether the process lives; for a remote one, `true`.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        match &self.place {
            Place::Local(cell) => cell.node().is_live(cell),
            Place::Remote(_) => true,
        }
    }
}

impl crate::node::NodeInner {
    fn is_live(&self, cell: &CellRef) -> bool {
        self.table.get(cell.local).is_some()
    }
}

impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self { place: self.place.clone(), message: PhantomData }
    }
}

impl<M: Message> fmt::Debug for Address<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_pid() {
            Some(pid) => write!(f, "Address({pid})"),
            None => f.write_str("Address(remote name)"),
        }
    }
}

impl<M: Message> From<&Address<M>> for Pid {
    fn from(address: &Address<M>) -> Self {
        address.pid()
    }
}

/// A typed way to whatever process owns a name: it follows the process that takes the name next.
pub struct Named<M> {
    node: Node,
    /// `Some` until the handle goes.
    slot: Option<Arc<NameSlot>>,
    message: PhantomData<fn(M)>,
}

impl Node {
    /// A typed way to whatever process owns `name`, now or later.
    #[must_use]
    pub fn named<M: Message>(&self, name: &str) -> Named<M> {
        Named {
            node: self.clone(),
            slot: Some(self.inner().names.slot(name)),
            message: PhantomData,
        }
    }

    /// The typed address of a process of this node, if it lives and reads messages of type `M`.
    #[must_use]
    pub fn address<M: Message>(&self, pid: Pid) -> Option<Address<M>> {
        let cell = self.inner().local(pid)?;
        let fits = cell.vtable.ops.type_id == std::any::TypeId::of::<M>();
        fits.then(|| Address::of_cell(cell))
    }
}

impl<M: Message> Named<M> {
    fn slot(&self) -> &NameSlot {
        self.slot.as_ref().expect("taken only by the drop")
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.slot().name
    }

    /// The node on which the name is looked up.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The process that owns the name now.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.slot().get().map(|cell| cell.pid())
    }

    /// Sends a message to the process that owns the name now.
    ///
    /// # Errors
    /// Nobody owns it, the owner reads other messages, or its mailbox is full; the message is back, and noted as a dead letter.
    #[inline]
    pub fn send(&self, message: M) -> Result<(), SendError<M>> {
        budget::charge_send();
        let letter = Letter::new(message);
        let refused = match self.slot().get() {
            Some(cell) => cell.post(letter).err(),
            None => Some(Refused::Dead(letter)),
        };
        match refused {
            None => Ok(()),
            Some(refused) => {
                let name = || DeadLetterTarget::Name(self.name().into());
                Err(SendError::of(refused, self.node.inner(), name))
            }
        }
    }

    /// As [`Address::send_wait`], to the process that owns the name whenever it tries.
    #[inline]
    pub fn send_wait(&self, message: M) -> SendWait<'_, M> {
        SendWait::new(crate::call::Target::Name(self.slot()), Some(&self.node), message)
    }

    /// A call to the process that owns the name when the call is first awaited.
    #[inline]
    pub fn call<R>(&self, request: impl FnOnce(Reply<R>) -> M) -> Call<'_, R> {
        Call::new(crate::call::Target::Name(self.slot()), request)
    }
}

impl<M> Clone for Named<M> {
    fn clone(&self) -> Self {
        Self { node: self.node.clone(), slot: self.slot.clone(), message: PhantomData }
    }
}

impl<M> Drop for Named<M> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.node.inner().names.forget_if_unused(slot);
        }
    }
}

impl<M: Message> fmt::Debug for Named<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Named({})", self.name())
    }
}
