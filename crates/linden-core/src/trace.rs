//! The trace that a process works in: it travels with messages and to children, as OTP's sequential trace token does.
//!
//! A process has a trace or none. What it sends, it sends in its trace; when it reads a message, the message's trace becomes
//! its own, and news (a `Down`, a timer) ends it. So all that a request sets off, in however many processes, can be told from
//! the rest, and nobody passes anything on by hand. The flag `TRACED` in the header says whether there is one: a process
//! without pays one look at its own flags for each message that it sends or reads.
//!
//! Answers of calls carry no trace: the caller has its own.

mod context;

use std::ptr::NonNull;

pub use context::{TraceContext, TraceContextError};

use crate::cell::{Header, TRACED};
use crate::envelope::envelope_trace;
use crate::mailbox::Link;
use crate::worker;

/// The trace that the process that runs here works in; `None` also outside of processes. OTP: `seq_trace:get_token/0`.
#[must_use]
pub fn current_trace() -> Option<TraceContext> {
    let own = worker::current_process()?;
    // SAFETY: the process runs here.
    let header = unsafe { own.as_ref() };
    // SAFETY: as above, so this is its owner.
    unsafe { trace_of(header) }
}

/// Sets the trace that the process that runs here works in, until it reads its next message; returns the one before. Outside
/// of processes there is nothing to set. OTP: `seq_trace:set_token/1`.
///
/// # Examples
/// ```
/// use linden_core::{
///     Cx, Mail, Node, NodeOptions, Reply, TraceContext, current_trace, reply_channel, set_trace,
/// };
///
/// struct Ask(Reply<Option<TraceContext>>);
/// impl linden_core::Message for Ask {}
///
/// let node = Node::start(NodeOptions::default()).unwrap();
/// let server = node.spawn(async |mut cx: Cx<Ask>| {
///     while let Mail::Msg(Ask(reply)) = cx.recv().await {
///         reply.send(current_trace());
///     }
/// });
/// let trace = TraceContext::begin([7; 16], [9; 8]);
/// let (reply, heard) = reply_channel();
/// node.spawn(async move |_: Cx<()>| {
///     set_trace(Some(trace));
///     reply.send(server.call(Ask).await);
/// });
/// assert_eq!(node.block_on(heard), Ok(Ok(Some(trace))));
/// # node.stop(std::time::Duration::from_secs(1));
/// ```
pub fn set_trace(trace: Option<TraceContext>) -> Option<TraceContext> {
    let own = worker::current_process()?;
    // SAFETY: the process runs here.
    let header = unsafe { own.as_ref() };
    // SAFETY: as above, so this is its owner.
    let before = unsafe { trace_of(header) };
    // SAFETY: as above.
    unsafe { give_trace(header, trace) };
    before
}

/// Whether the process that runs here works in a trace.
#[inline(always)]
pub(crate) fn is_traced_here() -> bool {
    // SAFETY: the process runs here.
    worker::current_process().is_some_and(|own| unsafe { own.as_ref() }.flag(TRACED))
}

/// # Safety
/// The caller is the process's owner.
pub(crate) unsafe fn trace_of(header: &Header) -> Option<TraceContext> {
    if !header.flag(TRACED) {
        return None;
    }
    // SAFETY: the caller's promise.
    header.rare().and_then(|rare| unsafe { rare.trace() })
}

/// Sets the trace of a process.
///
/// # Safety
/// The caller is its owner, or its maker before it runs.
pub(crate) unsafe fn give_trace(header: &Header, trace: Option<TraceContext>) {
    match trace {
        None if !header.flag(TRACED) => {}
        None => {
            header.clear_flag(TRACED);
        }
        Some(_) => {
            // SAFETY: the caller's promise.
            unsafe { header.rare_or_new().set_trace(trace) };
            if !header.flag(TRACED) {
                header.set_flag(TRACED);
            }
        }
    }
}

/// The process `header` reads the message of type `M` that `link` leads: its trace becomes the process's.
///
/// # Safety
/// The caller is the process's owner and owns the envelope.
pub(crate) unsafe fn take_over<M>(header: &Header, link: NonNull<Link>) {
    // SAFETY: the caller's promise.
    let trace = unsafe { envelope_trace::<M>(link) };
    // SAFETY: the caller's promise.
    unsafe { give_trace(header, trace) };
}
