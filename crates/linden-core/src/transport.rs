//! The door to other nodes: packets of plain data, and what a node does with those that arrive.
//!
//! This crate knows no wire format and no socket. A [`Transport`] takes packets to other nodes, in order; what arrives is
//! passed to [`Node::deliver`], and a lost connection to [`Node::node_down`].

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::address::{Address, RemoteProcess};
use crate::cell::{CellRef, REMOTE, Refused};
use crate::dead_letters::{DeadLetterReason, DeadLetterTarget};
use crate::deadline::{self, OwnTimer};
use crate::envelope::Letter;
use crate::hook::{drop_guarded, panic_reason};
use crate::id::{NodeId, Pid, Ref};
use crate::message::{CodecError, Message, MethodInfo, Payload};
use crate::node::{Node, NodeInner};
use crate::reason::Reason;
use crate::reply::{CallError, Delivered, ReplyPort, reply_pair};
use crate::signal::{ExitVia, Signal, Watcher};
use crate::timer::ticks;
use crate::trace::{TraceContext, current_trace};
use crate::worker;

/// Takes packets to other nodes.
pub trait Transport: Send + Sync + 'static {
    /// Passes on a packet for `to`. Packets from one thread to one node arrive in the order passed. Must not block.
    ///
    /// # Errors
    /// There is no connection: the packet is back, and the node acts as OTP says for a node that is out of reach. A panic is
    /// caught and taken for the same.
    fn send(&self, to: NodeId, packet: Packet) -> Result<(), Packet>;
}

/// Something for a process of another node, or for that node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Packet {
    /// For whom; `None` for the node itself.
    pub to: Option<Destination>,
    /// What.
    pub body: Body,
}

/// A process as other nodes name it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Destination {
    /// By its pid.
    Pid(Pid),
    /// By its registered name.
    Name(String),
}

/// What a packet carries.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Body {
    /// A message, with a reference for the answer if it is a call.
    Message {
        /// The method's name.
        method: String,
        /// The arguments.
        payload: Payload,
        /// Where the answer goes: a reference of the node that calls.
        reply: Option<Ref>,
        /// The trace that it was sent in. Boxed: a packet is passed back by value, and few have one.
        trace: Option<Box<TraceContext>>,
    },
    /// The answer of a call.
    Answer {
        /// The call.
        reference: Ref,
        /// The answer, or why there is none.
        answer: Result<Payload, AnswerError>,
    },
    /// An exit signal.
    Exit {
        /// The sender.
        from: Pid,
        /// Why.
        reason: Reason,
        /// How it came about.
        via: ExitVia,
    },
    /// Sets up a link.
    Link {
        /// The other end.
        from: Pid,
    },
    /// Takes down a link.
    Unlink {
        /// The other end.
        from: Pid,
        /// Comes back in the acknowledgement.
        id: u64,
    },
    /// Acknowledges an unlink.
    UnlinkAck {
        /// The other end.
        from: Pid,
        /// Of the unlink.
        id: u64,
    },
    /// Sets up a monitor.
    Monitor {
        /// Names the monitor.
        reference: Ref,
        /// Who is to be told.
        watcher: Pid,
    },
    /// Takes down a monitor.
    Demonitor {
        /// Of the monitor.
        reference: Ref,
    },
    /// A monitored process ended.
    Down {
        /// Of the monitor.
        reference: Ref,
        /// The process.
        pid: Pid,
        /// Why.
        reason: Reason,
    },
}

/// Why a call from another node has no answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AnswerError {
    /// No such process.
    NoProc,
    /// The server ended, or dropped the reply.
    Exited(Reason),
    /// The request was refused; the text says why.
    Refused(String),
    /// The server's mailbox was full.
    Overloaded,
}

impl From<Refused> for CallError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Dead(_) => Self::NoProc,
            Refused::Full(_) => Self::Overloaded,
        }
    }
}

impl From<CallError> for AnswerError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NoProc => Self::NoProc,
            CallError::Exited(reason) => Self::Exited(reason),
            CallError::Overloaded => Self::Overloaded,
            CallError::Codec(error) => Self::Refused(error.to_string()),
            other => Self::Refused(other.to_string()),
        }
    }
}

impl From<AnswerError> for CallError {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::NoProc => Self::NoProc,
            AnswerError::Exited(reason) => Self::Exited(reason),
            AnswerError::Overloaded => Self::Overloaded,
            AnswerError::Refused(detail) => Self::Codec(CodecError::Arguments(detail)),
        }
    }
}

impl From<&Destination> for DeadLetterTarget {
    fn from(to: &Destination) -> Self {
        match to {
            Destination::Pid(pid) => Self::Process(*pid),
            Destination::Name(name) => Self::Name(name.as_str().into()),
        }
    }
}

impl RemoteProcess {
    /// Encodes a message and passes it on. A call's place for the answer waits in the node's table, under the reference that
    /// is returned.
    ///
    /// # Errors
    /// It cannot be encoded; it is dropped and counted.
    pub(crate) fn send(&self, letter: Letter) -> Result<Option<Ref>, CodecError> {
        let node = self.node.inner();
        let trace = letter.trace().map(Box::new);
        let message = (letter.ops.type_name)();
        let encoded = match letter.encode() {
            Ok(encoded) => encoded,
            Err(error) => {
                node.dead_letter(DeadLetterReason::NoProcess, (&self.to).into(), message);
                return Err(error);
            }
        };
        let reply = encoded.reply.map(|port| {
            let reference = node.new_ref();
            node.pending.lock().insert(reference, (self.at, port));
            reference
        });
        let packet = Packet {
            to: Some(self.to.clone()),
            body: Body::Message {
                method: encoded.method.to_owned(),
                payload: encoded.payload,
                reply,
                trace,
            },
        };
        node.pass_on(self.at, packet);
        Ok(reply)
    }
}

/// A call to another node that waits for its answer. Dropped, it takes the place for the answer out of the node's table.
pub(crate) struct RemoteCall {
    node: Node,
    reference: Ref,
}

impl RemoteCall {
    pub(crate) fn new(node: &Node, reference: Ref) -> Self {
        Self { node: node.clone(), reference }
    }
}

impl Drop for RemoteCall {
    fn drop(&mut self) {
        let port = self.node.inner().pending.lock().remove(&self.reference);
        // Outside of the lock: what goes with the port is the caller's.
        drop(port);
    }
}

/// What a cast is called in the dead letters when the transport that had it panicked.
const LOST_IN_TRANSPORT: &str = "a cast in a transport that panicked";

/// What a packet that was not sent comes back as: what OTP says of a node that is out of reach.
enum Unsent {
    Call(Ref),
    /// To this process, or to one of its node.
    Cast(Pid),
    /// Somebody hears of it.
    News(Pid, Signal),
    Nothing,
}

impl Unsent {
    /// Of a packet that `node` is about to send.
    fn of(packet: &Packet, node: NodeId) -> Self {
        let pid = match packet.to {
            Some(Destination::Pid(pid)) => pid,
            _ => Pid::outside(node),
        };
        let reason = Reason::NoConnection;
        match packet.body {
            Body::Message { reply: Some(reference), .. } => Self::Call(reference),
            Body::Message { reply: None, .. } => Self::Cast(pid),
            Body::Link { from } => {
                let via = ExitVia::Link;
                Self::News(from, Signal::Exit { from: pid, reason, via })
            }
            Body::Monitor { reference, watcher } => {
                Self::News(watcher, Signal::Down { reference, pid, reason })
            }
            Body::Unlink { from, id } => Self::News(from, Signal::UnlinkAck { from: pid, id }),
            Body::Answer { .. }
            | Body::Exit { .. }
            | Body::UnlinkAck { .. }
            | Body::Demonitor { .. }
            | Body::Down { .. } => Self::Nothing,
        }
    }
}

impl Node {
    /// Connects the node to others through `transport`, in place of an earlier one.
    pub fn set_transport(&self, transport: Arc<dyn Transport>) {
        let old = self.inner().transport.write().replace(transport);
        drop_guarded(old);
    }

    /// The typed address of a process of another node, whose message type has a codec.
    ///
    /// # Errors
    /// The message type has none.
    pub fn remote_address<M: Message>(&self, pid: Pid) -> Result<Address<M>, CodecError> {
        self.remote(pid.node(), Destination::Pid(pid))
    }

    /// The typed address of whatever process has a name on another node.
    ///
    /// # Errors
    /// The message type has no codec.
    pub fn remote_name<M: Message>(
        &self,
        at: NodeId,
        name: &str,
    ) -> Result<Address<M>, CodecError> {
        self.remote(at, Destination::Name(name.to_owned()))
    }

    fn remote<M: Message>(&self, at: NodeId, to: Destination) -> Result<Address<M>, CodecError> {
        M::codec().ok_or(CodecError::NoCodec(std::any::type_name::<M>()))?;
        Ok(Address::of_remote(RemoteProcess { node: self.clone(), at, to }))
    }

    /// Takes a packet from another node.
    pub fn deliver(&self, packet: Packet) {
        self.inner().deliver(self, packet);
    }

    /// Takes the news that the connection to a node is lost: calls to it end with [`Reason::NoConnection`], links and
    /// monitors to its processes exit and are down for that reason.
    pub fn node_down(&self, lost: NodeId) {
        let inner = self.inner();
        let calls: Vec<_> = inner.pending.lock().extract_if(|_, (at, _)| *at == lost).collect();
        for (_, (_, port)) in calls {
            port.send(Err(CallError::Exited(Reason::NoConnection)));
        }
        for cell in inner.table.iter() {
            if cell.flag(REMOTE) {
                let _ = cell.signal(Signal::NodeDown(lost));
            }
        }
    }

    /// What can be called on a process by name; empty when its message type has no codec.
    #[must_use]
    pub fn methods(&self, to: &Destination) -> &'static [MethodInfo] {
        match self.inner().find(to) {
            Some(cell) => (cell.vtable.ops.methods)(),
            None => &[],
        }
    }

    /// Calls `method` of a process of this node with encoded arguments, as the command line does.
    ///
    /// # Errors
    /// As a typed call; [`CallError::Codec`] names an unknown method, arguments that do not fit, or a missing codec.
    pub async fn call_encoded(
        &self,
        to: &Destination,
        method: &str,
        payload: &Payload,
        timeout: Duration,
    ) -> Result<Payload, CallError> {
        let cell = self.inner().find(to).ok_or(CallError::NoProc)?;
        if worker::current_process() == Some(cell.as_ptr()) {
            return Err(CallError::SelfCall);
        }
        let (reply, mut receiver) = reply_pair::<Payload>();
        let port = reply.into_port(|payload| Ok(payload.clone())).in_format(payload.format);
        let letter = decode(&cell, method, payload, Some(port), current_trace())
            .map_err(CallError::Codec)?;
        cell.post(letter).map_err(CallError::from)?;
        let at = deadline::after(self.inner(), ticks(timeout));
        let mut own_timer = Some(OwnTimer::new(self.clone()));
        std::future::poll_fn(|cx| match receiver.poll(cx) {
            Poll::Ready(Ok(payload)) => Poll::Ready(Ok(payload)),
            Poll::Ready(Err(reason)) => Poll::Ready(Err(CallError::Exited(reason))),
            Poll::Pending => {
                deadline::poll(at, &mut own_timer, cx).map(|()| Err(CallError::Timeout))
            }
        })
        .await
    }

    /// Casts `method` to a process of this node with encoded arguments.
    ///
    /// # Errors
    /// No such process, or [`CallError::Codec`].
    pub fn cast_encoded(
        &self,
        to: &Destination,
        method: &str,
        payload: &Payload,
    ) -> Result<(), CallError> {
        let cell = self.inner().find(to).ok_or(CallError::NoProc)?;
        let letter =
            decode(&cell, method, payload, None, current_trace()).map_err(CallError::Codec)?;
        cell.post(letter).map_err(CallError::from)
    }
}

/// A message from another node, still encoded.
struct Incoming {
    method: String,
    payload: Payload,
    reply: Option<Ref>,
    trace: Option<Box<TraceContext>>,
}

impl NodeInner {
    fn find(&self, to: &Destination) -> Option<CellRef> {
        match to {
            Destination::Pid(pid) => self.local(*pid),
            Destination::Name(name) => self.names.whereis(name),
        }
    }

    /// Passes a packet to the transport. Without a connection it comes back as what OTP says.
    fn pass_on(&self, to: NodeId, packet: Packet) {
        let transport = self.transport.read().clone();
        let unsent = Unsent::of(&packet, self.id);
        // A transport is the user's code, run on whatever thread sends or ends a process: a panic in it is no connection.
        let send = AssertUnwindSafe(move || match transport {
            Some(transport) => transport.send(to, packet).map_err(Some),
            None => Err(Some(packet)),
        });
        let sent = catch_unwind(send).unwrap_or_else(|panic| {
            let _ = panic_reason(panic);
            Err(None)
        });
        if let Err(packet) = sent {
            self.give_back(unsent, packet);
        }
    }

    /// The packet is back as well, unless the transport panicked.
    fn give_back(&self, unsent: Unsent, packet: Option<Packet>) {
        match unsent {
            Unsent::Call(reference) => {
                let call = self.pending.lock().remove(&reference);
                if let Some((_, port)) = call {
                    port.send(Err(CallError::Exited(Reason::NoConnection)));
                }
            }
            Unsent::Cast(pid) => match packet {
                Some(Packet { to: Some(to), body: Body::Message { method, .. } }) => {
                    self.dead_letter(DeadLetterReason::NoProcess, (&to).into(), method);
                }
                _ => self.dead_letter(
                    DeadLetterReason::NoProcess,
                    DeadLetterTarget::Process(pid),
                    LOST_IN_TRANSPORT,
                ),
            },
            Unsent::News(to, signal) => self.signal(to, signal),
            Unsent::Nothing => {}
        }
    }

    /// Sends a signal to a process of another node.
    pub(crate) fn signal_remote(&self, to: Pid, signal: Signal) {
        let body = match signal {
            Signal::Exit { from, reason, via } => Body::Exit { from, reason, via },
            Signal::Link { from } => Body::Link { from },
            Signal::Unlink { from, id } => Body::Unlink { from, id },
            Signal::UnlinkAck { from, id } => Body::UnlinkAck { from, id },
            Signal::Monitor { reference, watcher: Watcher::Process(watcher) } => {
                Body::Monitor { reference, watcher }
            }
            Signal::Monitor { watcher: Watcher::Slot(reply), .. } => {
                // Code outside of processes has no pid that another node could answer.
                reply.send(Reason::NoConnection);
                return;
            }
            Signal::Demonitor { reference } => Body::Demonitor { reference },
            Signal::Down { reference, pid, reason } => Body::Down { reference, pid, reason },
            Signal::NodeDown(_) | Signal::Inspect(_) | Signal::Info(_) => return,
        };
        let packet = Packet { to: Some(Destination::Pid(to)), body };
        self.pass_on(to.node(), packet);
    }

    pub(crate) fn send_answer(
        &self,
        to: NodeId,
        reference: Ref,
        answer: Result<Payload, CallError>,
    ) -> Delivered {
        let packet = Packet {
            to: None,
            body: Body::Answer { reference, answer: answer.map_err(AnswerError::from) },
        };
        self.pass_on(to, packet);
        Delivered::Yes
    }

    fn deliver(&self, node: &Node, packet: Packet) {
        let to = match (packet.to, packet.body) {
            (_, Body::Answer { reference, answer }) => {
                let call = self.pending.lock().remove(&reference);
                // An answer whose caller left is dropped here, by the user's code.
                let send = AssertUnwindSafe(|| {
                    call.map(|(_, port)| port.send(answer.map_err(CallError::from)))
                });
                let delivered = catch_unwind(send).unwrap_or_else(|panic| {
                    let _ = panic_reason(panic);
                    None
                });
                let delivered = delivered.unwrap_or(Delivered::CallerGone);
                if delivered == Delivered::CallerGone {
                    self.dead_letter(
                        DeadLetterReason::LateReply,
                        DeadLetterTarget::Caller,
                        "answer of another node",
                    );
                }
                return;
            }
            (Some(to), Body::Message { method, payload, reply, trace }) => {
                self.deliver_message(node, &to, Incoming { method, payload, reply, trace });
                return;
            }
            (Some(Destination::Pid(to)), body) => (to, body),
            // A name takes messages only, and the node answers only.
            (Some(Destination::Name(_)) | None, _) => return,
        };
        let (pid, body) = to;
        // Set before the process acts on it: the news of a lost connection may come first, and looks for the flag.
        if matches!(body, Body::Link { .. } | Body::Monitor { .. })
            && let Some(cell) = self.local(pid)
        {
            cell.set_flag(REMOTE);
        }
        let signal = match body {
            Body::Exit { from, reason, via } => Signal::Exit { from, reason, via },
            Body::Link { from } => Signal::Link { from },
            Body::Unlink { from, id } => Signal::Unlink { from, id },
            Body::UnlinkAck { from, id } => Signal::UnlinkAck { from, id },
            Body::Monitor { reference, watcher } => {
                Signal::Monitor { reference, watcher: Watcher::Process(watcher) }
            }
            Body::Demonitor { reference } => Signal::Demonitor { reference },
            Body::Down { reference, pid, reason } => Signal::Down { reference, pid, reason },
            Body::Message { .. } | Body::Answer { .. } => return,
        };
        // A pid of another node or incarnation is as dead as any.
        if pid.node() == self.id {
            self.signal(pid, signal);
        } else {
            self.bounce(pid, signal);
        }
    }

    fn deliver_message(&self, node: &Node, to: &Destination, message: Incoming) {
        let Incoming { method, payload, reply, trace } = message;
        let armed = Arc::new(AtomicBool::new(false));
        let port = reply.map(|reference| {
            ReplyPort::remote(node.clone(), reference, payload.format, armed.clone())
        });
        let refused = match self.find(to) {
            None => CallError::NoProc,
            Some(cell) => match decode(&cell, &method, &payload, port, trace.map(|trace| *trace)) {
                Ok(letter) => {
                    armed.store(true, Ordering::Relaxed);
                    let Err(refused) = cell.post(letter) else {
                        return;
                    };
                    // It has died since it was found, or is full: the answer below says so, not the port that goes with the
                    // message.
                    armed.store(false, Ordering::Relaxed);
                    CallError::from(refused)
                }
                Err(error) => CallError::Codec(error),
            },
        };
        let reason = match refused {
            CallError::Overloaded => DeadLetterReason::MailboxFull,
            _ => DeadLetterReason::NoProcess,
        };
        self.dead_letter(reason, to.into(), method);
        if let Some(reference) = reply {
            self.send_answer(reference.node(), reference, Err(refused));
        }
    }
}

/// Decodes a message for `cell`. The codec is the user's code, run on whatever thread brings the bytes: a panic in it is an
/// error of the bytes.
fn decode(
    cell: &CellRef,
    method: &str,
    payload: &Payload,
    port: Option<ReplyPort>,
    trace: Option<TraceContext>,
) -> Result<Letter, CodecError> {
    let ops = cell.vtable.ops;
    catch_unwind(AssertUnwindSafe(|| (ops.decode)(method, payload, port, trace)))
        .unwrap_or_else(|panic| Err(CodecError::Arguments(panic_reason(panic).to_string())))
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => fmt::Display::fmt(pid, f),
            Self::Name(name) => f.write_str(name),
        }
    }
}
