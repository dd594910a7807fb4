//! Death in absentia: a process that was killed while its code does not give its worker back is dead for all others at once.
//!
//! The watch is the reaper. It acts for a worker that has stood still for so long that it would be replaced, when the process
//! that it runs was sent a `kill`. Who ends a process is agreed on by the flag `EXITING`: the owner sets it as it begins the end,
//! the reaper together with `REAPED`; who finds it set leaves the end to the other. The reaper closes the mailbox, frees the
//! names and the pid, tells links and monitors, and has what was in the mailbox answered. The future stays the owner's: its code
//! goes on, as a *zombie*, holds what it holds, and when it returns the rest is dropped. A receive ends it quietly, and any other use
//! of its `Cx` panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use crate::bonds;
use crate::cell::{self, CellRef, EXITING, Header, KILLED, NAMED, REAPED};
use crate::cx::Cx;
use crate::dead_letters::Unread;
use crate::envelope::{MessageOps, drop_mail, open_signal};
use crate::hook::{drop_guarded, panic_reason};
use crate::introspect::ExitOrigin;
use crate::mailbox::{Link, LinkKind, reverse};
use crate::node::Node;
use crate::reason::Reason;
use crate::signal::{ExitVia, Signal};
use crate::worker::{self, Worker};

/// Ends the processes that were killed and are being run by a worker of which `stands_still` says so.
pub(crate) fn reap_killed(node: &Node, stands_still: impl Fn(usize) -> bool) {
    let inner = node.inner();
    for (index, worker) in inner.places().iter().enumerate() {
        if !stands_still(index) || inner.driving.is_held_by(index) {
            continue;
        }
        if let Some(process) = inner.table.get(worker.process())
            && process.flag(KILLED)
        {
            reap(node, &process);
        }
    }
}

fn reap(node: &Node, process: &CellRef) {
    let inner = node.inner();
    let _reaping = inner.fairness.reaping.lock();
    let flags = process.set_flag(EXITING | REAPED);
    if flags & EXITING != 0 {
        // Its owner is at it.
        return;
    }
    inner.fairness.zombies.lock().push(process.local);
    // From here on the order is that of every death; see `activation.rs`.
    let left = process.mail.begin_close();
    if let Some(limit) = process.limit() {
        limit.close();
    }
    inner.report(process, flags, &Reason::Killed, ExitOrigin::Signal, None);
    if flags & NAMED != 0 {
        inner.names.release(process);
    }
    inner.table.remove(process.local, process.as_ptr(), None);
    let late = process.mail.close();
    let mut leftovers = Leftovers { process: process.clone(), messages: Vec::new() };
    let unheard = leftovers.add(left);
    let mut before = unheard.into_iter();
    // What was sent before the kill is heard before it.
    for signal in before.by_ref().take_while(|signal| !signal.kills()) {
        hear(process, signal);
    }
    bonds::tell(process, &Reason::Killed);
    for signal in before.chain(leftovers.add(late)) {
        inner.bounce(process.pid(), signal);
    }
    if !leftovers.messages.is_empty() {
        // Their drops are the user's code, which the watch is not to run.
        node.spawn(move |_: Cx<()>| async move { drop(leftovers) });
    }
    inner.fairness.reaped.fetch_add(1, Ordering::Release);
}

/// Acts on a signal that came before the kill, as far as it matters for the end.
fn hear(process: &CellRef, signal: Signal) {
    let node = process.node();
    match signal {
        Signal::Link { from } if !bonds::is_unlinking(process, from) => {
            bonds::link(process, from);
        }
        Signal::Unlink { from, id } => {
            bonds::unlink(process, from);
            node.signal(from, Signal::UnlinkAck { from: process.pid(), id });
        }
        Signal::UnlinkAck { from, id } => bonds::bonds(process).links.end_unlink(from, id),
        Signal::Monitor { reference, watcher } => {
            bonds::bonds(process).watchers.push((reference, watcher));
        }
        Signal::Demonitor { reference } => bonds::forget_watcher(process, reference),
        // The end of one that it was linked to: the link is no more.
        Signal::Exit { from, via: ExitVia::Link, .. } => {
            bonds::unlink(process, from);
        }
        Signal::Inspect(reply) => reply.fail(Reason::NoProc),
        Signal::Link { .. }
        | Signal::Exit { .. }
        | Signal::Down { .. }
        | Signal::NodeDown(_)
        | Signal::Info(_) => {}
    }
}

/// Messages to a process that was reaped.
struct Leftovers {
    process: CellRef,
    messages: Vec<NonNull<Link>>,
}

// SAFETY: messages are `Send`, and these are nobody else's.
unsafe impl Send for Leftovers {}

impl Leftovers {
    /// Takes a list over as it was in the mailbox; gives back the signals in their order.
    fn add(&mut self, newest: *mut Link) -> Vec<Signal> {
        let mut signals = Vec::new();
        // SAFETY: taken from the mailbox, so it is this function's.
        let mut next = unsafe { reverse(newest) };
        while let Some(link) = NonNull::new(next) {
            // SAFETY: a link of that list.
            let lead = unsafe { link.as_ref() };
            next = lead.next();
            match lead.kind() {
                LinkKind::Message => self.messages.push(link),
                LinkKind::Signal => {
                    // SAFETY: as above, a signal node.
                    signals.push(unsafe { open_signal(link) }.signal);
                }
            }
        }
        signals
    }
}

impl Drop for Leftovers {
    /// Each pending call is answered `killed`.
    fn drop(&mut self) {
        let ops: &'static MessageOps = self.process.vtable.ops;
        let node = self.process.node();
        let mut unread = Unread::new(node, self.process.pid(), (ops.type_name)());
        worker::with_exit_reason(&Reason::Killed, || {
            for link in self.messages.drain(..) {
                unread.one();
                // SAFETY: a message of that process, owned here.
                let drop = AssertUnwindSafe(|| unsafe { drop_mail(link, ops) });
                if let Err(payload) = catch_unwind(drop) {
                    let _ = panic_reason(payload);
                    node.dead_letters.drop_panics.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
}

impl Worker {
    /// The code of a process that was reaped has returned: drops what is left of it.
    ///
    /// # Safety
    /// This worker owns the process, whose future is live; the process is not used afterwards.
    pub(crate) unsafe fn end_reaped(&self, cell: NonNull<Header>) {
        // SAFETY: owned, so it lives until its count is given back below.
        let header = unsafe { cell.as_ref() };
        let node = self.node();
        // Its code may have returned while the reaper is at it: what comes here comes after that.
        drop(node.fairness.reaping.lock());
        self.settle_orphans(|| Reason::Killed);
        *self.exit_reason.borrow_mut() = Some(Reason::Killed);
        // SAFETY: owned, and done once.
        let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { Header::drop_future(cell) }));
        if let Err(payload) = dropped {
            let second = panic_reason(payload);
            node.dead_letters.drop_panics.fetch_add(1, Ordering::Relaxed);
            self.settle_orphans(|| second);
        }
        // The owner may have been at its mail when the reaper came, and have taken on more after that had told all.
        bonds::tell(header, &Reason::Killed);
        // SAFETY: owned.
        drop_guarded(header.rare().and_then(|rare| unsafe { rare.swap_recv_waker(None) }));
        // SAFETY: owned; no reference to the owner part is held.
        unsafe { worker::drain_inbox(cell, |signal| node.bounce(header.pid(), signal)) };
        self.forget_ended();
        node.fairness.zombies.lock().retain(|zombie| *zombie != header.local);
        // SAFETY: this worker ended the process, and does not use it again.
        unsafe { cell::release_own(cell) };
    }
}
