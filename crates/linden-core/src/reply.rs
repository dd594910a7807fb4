//! Answers: the server's end of a call ([`Reply`]), the caller's end, and answers that cross a wire ([`ReplyPort`]).
//!
//! Each call has a fresh slot, so a late answer cannot reach another call. A reply that is dropped unanswered answers the
//! caller at once: with the exit reason when the server is ending, so that nobody waits for a dead server. The slot is shared
//! by exactly two parties, and freed by the last (`reply/word.rs`).

use std::cell::UnsafeCell;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use crate::cell::{self, Header};
use crate::hook::{panic_reason, wake_guarded};
use crate::id::{NodeId, Ref};
use crate::message::{CodecError, Format, Payload};
use crate::node::Node;
use crate::reason::Reason;
use crate::reply::word::{Abandoned, Look, Published, ReplyWord};
use crate::worker;

pub(crate) mod word;

/// Why a call has no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CallError {
    /// No such process. Nothing was sent.
    NoProc,
    /// Time ran out. The request may still be handled; a late reply is dropped.
    Timeout,
    /// The server ended, or dropped the reply, first. Whether it saw the request is unknown.
    Exited(Reason),
    /// The server's mailbox is full. Nothing was sent.
    Overloaded,
    /// A process called itself and would have waited for ever. Nothing was sent.
    SelfCall,
    /// The process behind the name or pid reads other messages. Nothing was sent.
    WrongType {
        /// The message type of the call.
        sent: &'static str,
        /// The message type of the process.
        expected: &'static str,
    },
    /// The request could not be encoded or the answer not decoded.
    Codec(CodecError),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProc => f.write_str("no such process"),
            Self::Timeout => f.write_str("the call timed out"),
            Self::Exited(reason) => write!(f, "the server ended before it answered: {reason}"),
            Self::Overloaded => f.write_str("the server is overloaded"),
            Self::SelfCall => f.write_str(
                "the process called itself and would have waited for ever; do it directly or spawn a process for it",
            ),
            Self::WrongType { sent, expected } => {
                write!(f, "the process reads {expected}, not {sent}")
            }
            Self::Codec(_) => f.write_str("the request or its answer could not cross the wire"),
        }
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Codec(error) => Some(error),
            _ => None,
        }
    }
}

/// What a slot leads to while its caller waits: a process's header, or a boxed waker (bit 2 set).
type WaiterPtr = *mut Header;

const BOXED: usize = 0b100;

/// The memory that the two ends of a call share.
struct ReplySlot<T> {
    word: ReplyWord<Header>,
    /// Written by the server before it publishes, read by whoever finds it published.
    answer: UnsafeCell<MaybeUninit<Result<T, Reason>>>,
}

/// Wakes a waiter and gives up what it held.
///
/// # Safety
/// `waiter` came out of a slot's word, and the caller is the one who got it.
unsafe fn wake_waiter(waiter: WaiterPtr) {
    if waiter.addr() & BOXED != 0 {
        let waker = waiter.map_addr(|addr| addr & !BOXED).cast::<Waker>();
        // SAFETY: boxed by `waiter_of`.
        wake_guarded(*unsafe { Box::from_raw(waker) });
        return;
    }
    // SAFETY: a waiter is no null pointer.
    let process = unsafe { NonNull::new_unchecked(waiter) };
    // SAFETY: `waiter_of` left a counted header.
    unsafe { cell::wake_counted(process) };
}

/// Gives up what a waiter held.
///
/// # Safety
/// As for [`wake_waiter`].
unsafe fn drop_waiter(waiter: WaiterPtr) {
    if waiter.addr() & BOXED != 0 {
        let waker = waiter.map_addr(|addr| addr & !BOXED).cast::<Waker>();
        // SAFETY: boxed by `waiter_of`.
        drop(unsafe { Box::from_raw(waker) });
        return;
    }
    // SAFETY: a waiter is no null pointer.
    let process = unsafe { NonNull::new_unchecked(waiter) };
    // SAFETY: `waiter_of` left a counted header.
    drop(unsafe { cell::CellRef::from_counted(process) });
}

/// Makes a waiter of the waker in `cx`: the process itself when it is polled as such, otherwise a box.
fn waiter_of(waker: &Waker) -> WaiterPtr {
    match worker::own_process(waker) {
        Some(header) => {
            // SAFETY: the process is polled here, and no reference to its owner part is held across a poll of a call.
            unsafe { cell::lend_count(header) };
            header.as_ptr()
        }
        None => {
            Box::into_raw(Box::new(waker.clone())).cast::<Header>().map_addr(|addr| addr | BOXED)
        }
    }
}

impl<T> ReplySlot<T> {
    /// Writes the answer and tells the caller.
    ///
    /// # Safety
    /// The caller is the server's end of `slot` and does not use it afterwards.
    unsafe fn answer(slot: NonNull<Self>, answer: Result<T, Reason>) -> Delivered {
        // SAFETY: the server's end keeps the slot until it publishes.
        let shared = unsafe { slot.as_ref() };
        // SAFETY: nobody reads the answer before it is published.
        unsafe { (*shared.answer.get()).write(answer) };
        match shared.word.publish() {
            Published::Unwatched => Delivered::Yes,
            Published::Waiter(waiter) => {
                // SAFETY: the publish gave it to this end.
                unsafe { wake_waiter(waiter) };
                Delivered::Yes
            }
            Published::Gone => {
                // SAFETY: the caller left, so this end is the last.
                drop(unsafe { Self::take(slot) });
                Delivered::CallerGone
            }
        }
    }

    /// Takes the answer out and frees the slot.
    ///
    /// # Safety
    /// The answer was written, and this end is the last.
    unsafe fn take(slot: NonNull<Self>) -> Result<T, Reason> {
        // SAFETY: the last end; slots are made by `Box`.
        let slot = unsafe { Box::from_raw(slot.as_ptr()) };
        // SAFETY: the answer was written.
        unsafe { slot.answer.into_inner().assume_init() }
    }
}

/// Whether an answer found its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivered {
    /// The caller will see it, or nobody wants one.
    Yes,
    /// The caller gave up before: the answer was dropped.
    CallerGone,
}

/// The caller's end of a slot.
pub(crate) struct ReplyReceiver<T> {
    slot: Option<NonNull<ReplySlot<T>>>,
}

// SAFETY: the answer passes from one thread to the other by the word.
unsafe impl<T: Send> Send for ReplyReceiver<T> {}
// SAFETY: nothing can be done through a shared reference.
unsafe impl<T: Send> Sync for ReplyReceiver<T> {}

impl<T> ReplyReceiver<T> {
    /// Looks for the answer, and leaves a waiter when it is not there.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Reason>> {
        let slot = self.slot.expect("a call is not polled after it answered");
        // SAFETY: this end keeps the slot.
        let word = &unsafe { slot.as_ref() }.word;
        match word.look() {
            Look::Ready => return Poll::Ready(self.finish(slot)),
            Look::Empty => {}
            Look::Waiting => {
                let same = worker::own_process(cx.waker()).map(NonNull::as_ptr);
                if same == Some(word.waiter()) {
                    return Poll::Pending;
                }
                match word.unregister() {
                    // SAFETY: taken back.
                    Some(waiter) => unsafe { drop_waiter(waiter) },
                    None => return Poll::Ready(self.finish(slot)),
                }
            }
        }
        let waiter = waiter_of(cx.waker());
        if word.register(waiter) {
            return Poll::Pending;
        }
        // SAFETY: refused, so it is still this end's.
        unsafe { drop_waiter(waiter) };
        Poll::Ready(self.finish(slot))
    }

    /// Leaves the process that runs here as the waiter, before anybody else knows of the slot: that costs no exchange. Called
    /// before the reply is passed on, and outside of every process does nothing.
    pub(crate) fn register_early(&self) {
        let (Some(slot), Some(process)) = (self.slot, worker::running_process()) else {
            return;
        };
        // SAFETY: the process runs here, and no reference to its owner part is held across code that makes a call.
        unsafe { cell::lend_count(process) };
        // SAFETY: this end keeps the slot.
        unsafe { slot.as_ref() }.word.preset(process.as_ptr());
    }

    /// Whether the process that `cx` polls as such waits in the slot already.
    pub(crate) fn waits_as(&self, cx: &Context<'_>) -> bool {
        let (Some(slot), Some(process)) = (self.slot, worker::own_process(cx.waker())) else {
            return false;
        };
        // SAFETY: this end keeps the slot.
        unsafe { slot.as_ref() }.word.waiter() == process.as_ptr()
    }

    fn finish(&mut self, slot: NonNull<ReplySlot<T>>) -> Result<T, Reason> {
        self.slot = None;
        // SAFETY: published, so the server's end is done.
        unsafe { ReplySlot::take(slot) }
    }
}

impl<T> ReplyReceiver<T> {
    /// Waits no longer. The answer, if it came at the last moment.
    pub(crate) fn leave(&mut self) -> Option<Result<T, Reason>> {
        let slot = self.slot.take()?;
        // SAFETY: this end keeps the slot.
        match unsafe { slot.as_ref() }.word.abandon() {
            // SAFETY: published, so this end is the last.
            Abandoned::Ready => Some(unsafe { ReplySlot::take(slot) }),
            Abandoned::Left(waiter) => {
                if let Some(waiter) = waiter {
                    // SAFETY: the word gave it back.
                    unsafe { drop_waiter(waiter) };
                }
                None
            }
        }
    }
}

impl<T> Drop for ReplyReceiver<T> {
    fn drop(&mut self) {
        if let Some(Ok(_)) = self.leave() {
            worker::note_late_reply::<T>();
        }
    }
}

/// The server's end of one call: answers it once.
///
/// It may be kept and answered later, or passed to another process. Dropped unanswered, it answers the caller with
/// [`CallError::Exited`]: with the reason for which the process that dropped it is ending, or, when that process next
/// awaits, with a note that it dropped it.
#[must_use = "a reply that is dropped tells the caller that the server failed"]
pub struct Reply<T> {
    /// A slot on this node, a boxed `Portal<T>` (bit 0 set), or [`UNWANTED`].
    end: NonNull<()>,
    answer: PhantomData<fn(T)>,
}

/// An answer that is encoded on its way.
struct Portal<T> {
    port: ReplyPort,
    encode: fn(&T, Format) -> Result<Payload, CodecError>,
    format: Format,
}

// SAFETY: a reply passes a `T` to another thread, and is used by one thread at a time.
unsafe impl<T: Send> Send for Reply<T> {}
// SAFETY: nothing can be done through a shared reference.
unsafe impl<T: Send> Sync for Reply<T> {}

/// The two ends of a fresh slot.
pub(crate) fn reply_pair<T>() -> (Reply<T>, ReplyReceiver<T>) {
    let slot = NonNull::from(Box::leak(Box::new(ReplySlot::<T> {
        word: ReplyWord::new(),
        answer: UnsafeCell::new(MaybeUninit::uninit()),
    })));
    let reply = Reply { end: slot.cast(), answer: PhantomData };
    (reply, ReplyReceiver { slot: Some(slot) })
}

/// What leads to nobody. No address: bit 1 is clear in those of slots and portals.
const UNWANTED: NonNull<()> =
    NonNull::without_provenance(NonZeroUsize::new(0b10).expect("not zero"));

enum End<T> {
    Slot(NonNull<ReplySlot<T>>),
    Portal(Box<Portal<T>>),
    Nobody,
}

impl<T> Reply<T> {
    /// A reply whose answer is encoded and goes to `port`. Used by codecs.
    pub fn through(port: ReplyPort, encode: fn(&T, Format) -> Result<Payload, CodecError>) -> Self {
        let format = port.format;
        let portal = Box::into_raw(Box::new(Portal { port, encode, format }));
        // SAFETY: a box is not null, and bit 0 of its address is free.
        let end = unsafe { NonNull::new_unchecked(portal.map_addr(|addr| addr | 1)) };
        Self { end: end.cast(), answer: PhantomData }
    }

    /// A reply that nobody waits for: its answer is dropped, and so is the news when there is none. For requests that are
    /// written with a place for the answer and here need none.
    pub fn unwanted() -> Self {
        Self { end: UNWANTED, answer: PhantomData }
    }

    fn into_end(self) -> End<T> {
        let end = ManuallyDrop::new(self).end.as_ptr();
        if end == UNWANTED.as_ptr() {
            return End::Nobody;
        }
        if end.addr() & 1 == 0 {
            // SAFETY: not null.
            return End::Slot(unsafe { NonNull::new_unchecked(end) }.cast());
        }
        let portal = end.map_addr(|addr| addr & !1).cast::<Portal<T>>();
        // SAFETY: boxed by `through`.
        End::Portal(unsafe { Box::from_raw(portal) })
    }

    /// Answers the call.
    pub fn send(self, answer: T) -> Delivered {
        let delivered = self.deliver(answer);
        if delivered == Delivered::CallerGone {
            worker::note_late_reply::<T>();
        }
        delivered
    }

    /// Answers the call, and leaves the counting of a late answer to the caller.
    fn deliver(self, answer: T) -> Delivered {
        match self.into_end() {
            // SAFETY: this is the server's end.
            End::Slot(slot) => unsafe { ReplySlot::answer(slot, Ok(answer)) },
            End::Portal(portal) => {
                let encoded = (portal.encode)(&answer, portal.format).map_err(CallError::Codec);
                portal.port.send(encoded)
            }
            End::Nobody => Delivered::Yes,
        }
    }

    /// Answers the call with the reason why there is no answer.
    pub(crate) fn fail(self, reason: Reason) {
        match self.into_end() {
            End::Slot(slot) => {
                // SAFETY: this is the server's end.
                let _ = unsafe { ReplySlot::answer(slot, Err(reason)) };
            }
            End::Portal(portal) => {
                portal.port.send(Err(CallError::Exited(reason)));
            }
            End::Nobody => {}
        }
    }
}

impl<T: Send + 'static> Reply<T> {
    /// A port that decodes what it is sent and passes it to this reply. Used by codecs.
    pub fn into_port(self, decode: fn(&Payload) -> Result<T, CodecError>) -> ReplyPort {
        ReplyPort {
            kind: Some(PortKind::Typed(Box::new(TypedPort { reply: self, decode }))),
            format: Format::Compact,
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let copy = Self { end: self.end, answer: PhantomData };
        match copy.into_end() {
            End::Slot(slot) => {
                let orphan = Orphan {
                    slot: slot.cast(),
                    // SAFETY: called once, with this slot, by its server's end.
                    fail: |slot, reason| unsafe {
                        let _ = ReplySlot::<T>::answer(slot.cast(), Err(reason));
                    },
                };
                worker::orphan_reply(orphan);
            }
            End::Portal(portal) => {
                let orphan = Orphan {
                    slot: NonNull::from(Box::leak(portal)).cast(),
                    fail: |portal, reason| {
                        // SAFETY: leaked above, and called once.
                        let portal = unsafe { Box::from_raw(portal.cast::<Portal<T>>().as_ptr()) };
                        portal.port.fail(reason);
                    },
                };
                worker::orphan_reply(orphan);
            }
            End::Nobody => {}
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}

/// The reason that a caller hears when the server lives and dropped the reply.
pub(crate) fn dropped() -> Reason {
    Reason::custom("the reply was dropped without an answer")
}

/// A reply that was dropped by a process of which is not known yet whether it ends, and why.
pub(crate) struct Orphan {
    /// The server's end: a slot, or a portal.
    slot: NonNull<()>,
    fail: unsafe fn(NonNull<()>, Reason),
}

impl Orphan {
    pub(crate) fn fail(self, reason: Reason) {
        // SAFETY: an orphan owns the server's end, and is consumed here.
        unsafe { (self.fail)(self.slot, reason) };
    }
}

/// Where an encoded answer goes.
///
/// Dropped unanswered, it answers [`CallError::Exited`].
pub struct ReplyPort {
    kind: Option<PortKind>,
    /// The format of the request, in which the answer is wanted.
    format: Format,
}

enum PortKind {
    /// A caller on this node, whose reply is typed.
    Typed(Box<dyn AnswerSink>),
    /// A caller on another node.
    Remote {
        node: Node,
        to: NodeId,
        reference: Ref,
        /// Unset while the request is being decoded: a codec that refuses it drops the port, and the node answers with
        /// the codec's error instead.
        armed: Arc<AtomicBool>,
    },
}

trait AnswerSink: Send {
    fn answer(self: Box<Self>, answer: Result<Payload, CallError>) -> Delivered;
}

struct TypedPort<T> {
    reply: Reply<T>,
    decode: fn(&Payload) -> Result<T, CodecError>,
}

impl<T: Send> AnswerSink for TypedPort<T> {
    fn answer(self: Box<Self>, answer: Result<Payload, CallError>) -> Delivered {
        match answer {
            Ok(payload) => match decode_guarded(self.decode, &payload) {
                Ok(answer) => self.reply.deliver(answer),
                Err(error) => {
                    self.reply.fail(Reason::error(&error));
                    Delivered::Yes
                }
            },
            Err(CallError::Exited(reason)) => {
                self.reply.fail(reason);
                Delivered::Yes
            }
            Err(CallError::NoProc) => {
                self.reply.fail(Reason::NoProc);
                Delivered::Yes
            }
            Err(error) => {
                self.reply.fail(Reason::error(&error));
                Delivered::Yes
            }
        }
    }
}

/// Decodes an answer. The codec is the user's code, run on whatever thread brings the bytes: a panic in it is an error of the
/// bytes.
fn decode_guarded<T>(
    decode: fn(&Payload) -> Result<T, CodecError>,
    payload: &Payload,
) -> Result<T, CodecError> {
    catch_unwind(AssertUnwindSafe(|| decode(payload)))
        .unwrap_or_else(|panic| Err(CodecError::Arguments(panic_reason(panic).to_string())))
}

impl ReplyPort {
    pub(crate) fn remote(
        node: Node,
        reference: Ref,
        format: Format,
        armed: Arc<AtomicBool>,
    ) -> Self {
        Self {
            kind: Some(PortKind::Remote { node, to: reference.node(), reference, armed }),
            format,
        }
    }

    /// The same port, whose answer is wanted in `format`.
    pub(crate) fn in_format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Passes on the answer.
    pub fn send(mut self, answer: Result<Payload, CallError>) -> Delivered {
        self.deliver(answer)
    }

    /// Passes on why there is no answer.
    fn fail(mut self, reason: Reason) {
        self.fail_with(|| reason);
    }

    fn fail_with(&mut self, reason: impl FnOnce() -> Reason) {
        match &self.kind {
            // The request was refused, also when its codec had made a `Reply` already: the node answers with the error.
            Some(PortKind::Remote { armed, .. }) if !armed.load(Ordering::Relaxed) => {
                self.kind = None
            }
            _ => {
                self.deliver(Err(CallError::Exited(reason())));
            }
        }
    }

    fn deliver(&mut self, answer: Result<Payload, CallError>) -> Delivered {
        match self.kind.take() {
            Some(PortKind::Typed(sink)) => sink.answer(answer),
            Some(PortKind::Remote { node, to, reference, .. }) => {
                node.send_answer(to, reference, answer)
            }
            None => Delivered::CallerGone,
        }
    }
}

impl Drop for ReplyPort {
    fn drop(&mut self) {
        if self.kind.is_some() {
            self.fail_with(|| worker::exit_reason_here().unwrap_or_else(dropped));
        }
    }
}

impl fmt::Debug for ReplyPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplyPort")
    }
}
