//! What stands in a mailbox: messages and signals in their boxes, and a message on its way whose type only a table knows.
//!
//! An envelope belongs to whoever holds it: its sender as a [`Letter`] until the push, the mailbox until it is taken, then the
//! process that reads it. One that was sent in a trace is longer than others and says so in its link: traces cost those who do
//! not trace nothing.

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::NonNull;

use crate::mailbox::{Link, LinkKind};
use crate::message::{CodecError, EncodedMessage, Message, MethodInfo, Payload};
use crate::reply::ReplyPort;
use crate::signal::Signal;
use crate::trace::{self, TraceContext};

/// What can be done with a message whose type is known by a table only.
pub(crate) struct MessageOps {
    pub(crate) type_id: TypeId,
    pub(crate) type_name: fn() -> &'static str,
    drop: unsafe fn(NonNull<Link>),
    encode: unsafe fn(NonNull<Link>) -> Result<EncodedMessage, CodecError>,
    trace: unsafe fn(NonNull<Link>) -> Option<TraceContext>,
    pub(crate) decode: Decode,
    pub(crate) methods: fn() -> &'static [MethodInfo],
}

/// Makes a letter of a method's name, its arguments, the place for its answer, and the trace that it was sent in.
type Decode =
    fn(&str, &Payload, Option<ReplyPort>, Option<TraceContext>) -> Result<Letter, CodecError>;

/// A message on its way: the link, then the message.
#[repr(C)]
struct Envelope<M> {
    link: Link,
    message: M,
}

/// A message that was sent in a trace; its link says so.
#[repr(C)]
struct TracedEnvelope<M> {
    envelope: Envelope<M>,
    trace: TraceContext,
}

/// A signal on its way.
#[repr(C)]
pub(crate) struct SignalNode {
    link: Link,
    pub(crate) signal: Signal,
}

/// An owned message that is in no mailbox, its type known by a table.
pub(crate) struct Letter {
    link: NonNull<Link>,
    pub(crate) ops: &'static MessageOps,
}

// SAFETY: every message is `Send`, and a letter is its only owner.
unsafe impl Send for Letter {}

impl Letter {
    /// A message of the process that runs here, in its trace.
    #[inline(always)]
    pub(crate) fn new<M: Message>(message: M) -> Self {
        if trace::is_traced_here() {
            return Self::traced(message);
        }
        let link = Link::new(LinkKind::Message);
        let envelope = Box::new(Envelope { link, message });
        Self { link: NonNull::from(Box::leak(envelope)).cast(), ops: MessageOps::of::<M>() }
    }

    #[cold]
    #[inline(never)]
    fn traced<M: Message>(message: M) -> Self {
        Self::in_trace(message, trace::current_trace())
    }

    /// A message in this trace, or in none.
    pub(crate) fn in_trace<M: Message>(message: M, trace: Option<TraceContext>) -> Self {
        let link = match trace {
            None => {
                let link = Link::new(LinkKind::Message);
                NonNull::from(Box::leak(Box::new(Envelope { link, message }))).cast()
            }
            Some(trace) => {
                let envelope = Envelope { link: Link::traced(), message };
                NonNull::from(Box::leak(Box::new(TracedEnvelope { envelope, trace }))).cast()
            }
        };
        Self { link, ops: MessageOps::of::<M>() }
    }

    /// The trace that it was sent in.
    pub(crate) fn trace(&self) -> Option<TraceContext> {
        // SAFETY: the letter owns the envelope, and the table is its type's.
        unsafe { (self.ops.trace)(self.link) }
    }

    /// A letter of what a mailbox refused.
    ///
    /// # Safety
    /// `link` came from [`Letter::into_link`] of a letter with this table, and the caller owns it.
    pub(crate) unsafe fn of_refused(link: NonNull<Link>, ops: &'static MessageOps) -> Self {
        Self { link, ops }
    }

    /// Takes the message out, if it is an `M`.
    pub(crate) fn open<M: Message>(self) -> Result<M, Self> {
        if self.ops.type_id != TypeId::of::<M>() {
            return Err(self);
        }
        let link = ManuallyDrop::new(self).link;
        // SAFETY: the table says that this is an envelope of an `M`, and the letter owned it.
        Ok(unsafe { open_envelope(link) })
    }

    pub(crate) fn encode(self) -> Result<EncodedMessage, CodecError> {
        let letter = ManuallyDrop::new(self);
        // SAFETY: the letter owned the envelope, and the table is its type's.
        unsafe { (letter.ops.encode)(letter.link) }
    }

    /// Notes that it counts against its receiver's limit.
    pub(crate) fn set_counted(&self) {
        // SAFETY: the letter owns the envelope.
        unsafe { self.link.as_ref() }.set_counted();
    }

    /// Gives the envelope up, to a mailbox.
    pub(crate) fn into_link(self) -> NonNull<Link> {
        ManuallyDrop::new(self).link
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        // SAFETY: the letter owns the envelope, and the table is its type's.
        unsafe { (self.ops.drop)(self.link) };
    }
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str((self.ops.type_name)())
    }
}

/// Takes a message out of its envelope.
///
/// # Safety
/// `link` leads an envelope of an `M` that the caller owns.
#[inline(always)]
pub(crate) unsafe fn open_envelope<M>(link: NonNull<Link>) -> M {
    let envelope = link.cast::<Envelope<M>>();
    // SAFETY: the caller's promise: an envelope stands first in a traced one, too.
    let is_traced = unsafe { envelope.as_ref() }.link.is_traced();
    // SAFETY: as above; the pointer stays within the envelope.
    let place = unsafe { &raw const (*envelope.as_ptr()).message };
    // SAFETY: the message is moved out once; below goes the memory alone.
    let message = unsafe { place.read() };
    if is_traced {
        // SAFETY: the link says that this is a traced envelope; made by a `Box`.
        drop(unsafe { Box::from_raw(link.cast::<MaybeUninit<TracedEnvelope<M>>>().as_ptr()) });
    } else {
        // SAFETY: the link says that this is a plain envelope; made by a `Box`.
        drop(unsafe { Box::from_raw(link.cast::<MaybeUninit<Envelope<M>>>().as_ptr()) });
    }
    message
}

/// The trace that a message was sent in.
///
/// # Safety
/// `link` leads an envelope of an `M` that stays where it is meanwhile.
pub(crate) unsafe fn envelope_trace<M>(link: NonNull<Link>) -> Option<TraceContext> {
    // SAFETY: the caller's promise.
    let is_traced = unsafe { link.as_ref() }.is_traced();
    // SAFETY: the link says that this is a traced envelope.
    is_traced.then(|| unsafe { link.cast::<TracedEnvelope<M>>().as_ref() }.trace)
}

/// Looks at a message in its envelope.
///
/// # Safety
/// `link` leads an `Envelope<M>` that stays where it is and unchanged for `'a`.
pub(crate) unsafe fn envelope_message<'a, M>(link: NonNull<Link>) -> &'a M {
    // SAFETY: the caller's promise.
    unsafe { &link.cast::<Envelope<M>>().as_ref().message }
}

/// Takes back the signal node that `link` leads.
///
/// # Safety
/// `link` leads a `SignalNode` that the caller owns.
pub(crate) unsafe fn open_signal(link: NonNull<Link>) -> Box<SignalNode> {
    // SAFETY: the caller's promise; signal nodes are made by `Box`.
    unsafe { Box::from_raw(link.cast::<SignalNode>().as_ptr()) }
}

impl SignalNode {
    pub(crate) fn new(signal: Signal) -> Box<Self> {
        Box::new(Self { link: Link::new(LinkKind::Signal), signal })
    }

    pub(crate) fn into_link(self: Box<Self>) -> NonNull<Link> {
        NonNull::from(Box::leak(self)).cast()
    }
}

struct OpsOf<M>(PhantomData<M>);

impl<M: Message> OpsOf<M> {
    const OPS: MessageOps = MessageOps {
        type_id: TypeId::of::<M>(),
        type_name: std::any::type_name::<M>,
        drop: |link| {
            // SAFETY: the table's caller owns the envelope, and it is one of an `M`.
            drop(unsafe { open_envelope::<M>(link) });
        },
        encode: |link| {
            // SAFETY: as above.
            let message = unsafe { open_envelope::<M>(link) };
            let codec = M::codec().ok_or(CodecError::NoCodec(std::any::type_name::<M>()))?;
            (codec.encode)(message)
        },
        trace: |link| {
            // SAFETY: the table's caller has the envelope, and it is one of an `M`.
            unsafe { envelope_trace::<M>(link) }
        },
        decode: |method, payload, reply, trace| {
            let codec = M::codec().ok_or(CodecError::NoCodec(std::any::type_name::<M>()))?;
            let message = (codec.decode)(method, payload, reply)?;
            Ok(Letter::in_trace(message, trace))
        },
        methods: M::methods,
    };
}

impl MessageOps {
    pub(crate) const fn of<M: Message>() -> &'static Self {
        &OpsOf::<M>::OPS
    }
}

/// Drops a message or signal that nobody will read.
///
/// # Safety
/// `link` leads an envelope of the message type of `ops` or a signal node, and the caller owns it.
pub(crate) unsafe fn drop_mail(link: NonNull<Link>, ops: &MessageOps) {
    // SAFETY: the caller owns the link.
    match unsafe { link.as_ref() }.kind() {
        // SAFETY: the caller's promise.
        LinkKind::Message => unsafe { (ops.drop)(link) },
        // SAFETY: the caller's promise.
        LinkKind::Signal => drop(unsafe { open_signal(link) }),
    }
}
