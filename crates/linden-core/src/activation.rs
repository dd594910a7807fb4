//! One activation: a process takes its mail, acts on signals, is polled, and goes idle, to the back, or to its end.
//!
//! The order at death (`docs/SEMANTICS.md`): the mailbox is closed; the future, and the state in it, is dropped; the name
//! and the pid are released; links, then monitors are told; unread mail is dropped, so that each pending call is answered.
//! Nothing here unwinds: the future is polled and dropped under `catch_unwind`, and so is each unread message.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use crate::bonds;
use crate::cell::{
    self, CellRef, EXITING, Header, NAMED, PARENT_LINKED, REAPED, REMOTE, TRAP_EXIT,
};
use crate::dead_letters::{DeadLetterReason, DeadLetterTarget};
use crate::envelope::{self, SignalNode};
use crate::hook::{drop_guarded, panic_reason, wake_guarded};
use crate::id::Pid;
use crate::introspect::{CrashDetail, ExitEvent, ExitOrigin, ProcessInfo};
use crate::limit::Limit;
use crate::mailbox::{Idle, Link, LinkKind, reverse};
use crate::memory;
use crate::node::NodeInner;
use crate::reason::Reason;
use crate::signal::{ExitAction, ExitVia, Info, Sender, Signal, Trap, Watcher, on_exit};
use crate::trace::TraceContext;
use crate::worker::{self, MESSAGES_MAX, REDUCTIONS_MAX, Worker};

/// How often in one activation a process that waits for something else takes mail that pours in, before it goes to the
/// back.
const DRAINS_MAX: u32 = 16;

/// What a drain brought.
#[derive(Clone, Copy, Default, Debug)]
struct Drained {
    woken: bool,
    mail: bool,
}

impl Worker {
    /// Runs a process that was due.
    pub(crate) fn activate(&self, cell: NonNull<Header>) {
        // SAFETY: as below; what was made with the cell never changes.
        self.count_activation(unsafe { cell.as_ref() }.local);
        self.set_current(Some(cell));
        self.messages_left.set(MESSAGES_MAX);
        self.reductions_left.set(REDUCTIONS_MAX);
        self.tally.begin();
        let _ = memory::take_of_process();
        let held = self.in_hand();
        // SAFETY: the task that was taken from a queue made this worker the owner.
        unsafe { self.run_owned(cell) };
        self.set_current(None);
        if held.is_some() && self.in_hand() == held {
            self.settle_hand();
        }
    }

    /// # Safety
    /// This worker owns the process.
    unsafe fn run_owned(&self, cell: NonNull<Header>) {
        // SAFETY: an owned process lives, until `end` below or until another worker has it after `try_idle`.
        let header = unsafe { cell.as_ref() };
        let mut poll_due = true;
        let mut drains = 0;
        loop {
            if header.mail.is_dirty() {
                // SAFETY: owned.
                let drained = unsafe { self.drain(cell) };
                drains += 1;
                // SAFETY: owned.
                poll_due |= drained.woken || (drained.mail && unsafe { header.owner() }.waiting);
            }
            if self.doomed.get() {
                // SAFETY: owned.
                unsafe { self.end(cell, self.take_doom()) };
                return;
            }
            if poll_due {
                poll_due = false;
                // SAFETY: owned.
                if let Some(reason) = unsafe { self.poll(cell) } {
                    // SAFETY: owned.
                    unsafe { self.end(cell, reason) };
                    return;
                }
            }
            if self.yielding.replace(false) || drains > DRAINS_MAX {
                self.give_back(header);
                self.set_current(None);
                self.push_back(cell);
                return;
            }
            // SAFETY: owned.
            let idle = if unsafe { header.owner() }.waiting { Idle::Any } else { Idle::Signals };
            self.give_back(header);
            self.set_current(None);
            if (idle == Idle::Signals && self.keep_in_hand(cell)) || header.mail.try_idle(idle) {
                return;
            }
            self.set_current(Some(cell));
        }
    }

    /// Books what the activation used.
    fn give_back(&self, header: &Header) {
        let used = REDUCTIONS_MAX - self.reductions_left.replace(REDUCTIONS_MAX);
        let (read, sent) = (self.newly_read(), self.tally.take_sent());
        header.account.ran(used + 1, read, sent);
        self.remote().activity.sent(sent);
        let bytes = memory::take_of_process();
        if bytes != 0 {
            header.account.allocated(bytes);
        }
        self.clear_leavings();
    }

    /// Messages that the process has read since this was asked last.
    fn newly_read(&self) -> u32 {
        self.tally.newly_read(MESSAGES_MAX - self.messages_left.get())
    }

    /// The process has taken messages from its mailbox.
    fn took(&self, header: &Header, messages: u32) {
        header.account.took(messages, self.newly_read());
        self.remote().activity.received(messages);
    }

    /// Polls the future; the exit reason when it is done.
    ///
    /// # Safety
    /// This worker owns the process, whose future is live.
    unsafe fn poll(&self, cell: NonNull<Header>) -> Option<Reason> {
        // SAFETY: owned, so it lives.
        let header = unsafe { cell.as_ref() };
        // A receive under a waker of its own is not polled again until that one is woken: it goes on waiting meanwhile.
        // SAFETY: owned.
        let waits_apart = header.rare().is_some_and(|rare| unsafe { rare.has_recv_waker() });
        // SAFETY: owned.
        unsafe { header.owner() }.waiting = waits_apart;
        // SAFETY: the waker does not outlive this function, the cell does.
        let waker = unsafe { cell::borrowed_waker(cell) };
        let mut cx = Context::from_waker(&waker);
        // SAFETY: the caller's promise.
        let polled = catch_unwind(AssertUnwindSafe(|| unsafe { Header::poll(cell, &mut cx) }));
        match polled {
            Ok(Poll::Pending) if self.doomed.get() => Some(self.take_doom()),
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(reason)) => {
                self.doomed.set(false);
                Some(reason)
            }
            Err(payload) => {
                self.doomed.set(false);
                Some(panic_reason(payload))
            }
        }
    }

    /// Takes the mail: acts on signals, keeps messages in order.
    ///
    /// # Safety
    /// This worker owns the process and holds no reference to its owner part or bonds.
    unsafe fn drain(&self, cell: NonNull<Header>) -> Drained {
        // SAFETY: owned, so it lives.
        let header = unsafe { cell.as_ref() };
        self.in_core.set(true);
        let taken = header.mail.take();
        let mut drained = Drained { woken: taken.woken, mail: false };
        if taken.closed {
            // It was killed while this worker stood still, and has ended for all others.
            self.set_doom(Reason::Killed);
        }
        // SAFETY: taken, so it is this worker's.
        let mut next = unsafe { reverse(taken.newest) };
        let mut messages = 0;
        while let Some(link) = NonNull::new(next) {
            // SAFETY: a link of the list that was taken.
            let lead = unsafe { link.as_ref() };
            next = lead.next();
            let keep = match lead.kind() {
                LinkKind::Message => {
                    messages += 1;
                    Some(link)
                }
                // Mail behind the signal that ends the process is not acted on, but answered at its death.
                LinkKind::Signal if self.doomed.get() => Some(link),
                LinkKind::Signal => {
                    // First, for the signal may ask for it.
                    self.took(header, std::mem::take(&mut messages));
                    // SAFETY: taken, so it is this worker's.
                    let signal = unsafe { envelope::open_signal(link) };
                    // SAFETY: owned; no reference to the owner part or bonds is held.
                    unsafe { self.act(cell, signal) }
                }
            };
            if let Some(link) = keep {
                drained.mail = true;
                // SAFETY: owned; the link is this worker's.
                let inbox = unsafe { &mut header.owner().inbox };
                // SAFETY: the link is this worker's.
                unsafe { inbox.push_back(link) };
            }
        }
        if messages > 0 {
            self.took(header, messages);
        }
        if drained.mail
            && let Some(rare) = header.rare()
        {
            // SAFETY: owned.
            if let Some(waker) = unsafe { rare.swap_recv_waker(None) } {
                drained.woken = true;
                wake_guarded(waker);
            }
        }
        if let Some(limit) = header.limit() {
            // SAFETY: owned; no reference to the owner part is held.
            unsafe { drop_excess(header, limit) };
        }
        self.in_core.set(false);
        drained
    }

    /// Takes the mail from within the process: `recv` found its inbox empty. Says whether there is mail now.
    ///
    /// # Safety
    /// The process `cell` is being polled by this worker, and the caller holds no reference to its owner part or bonds.
    pub(crate) unsafe fn drain_for_recv(&self, cell: NonNull<Header>) -> bool {
        // SAFETY: it is being polled here.
        if !unsafe { cell.as_ref() }.mail.is_dirty() {
            return false;
        }
        // SAFETY: the caller's promise.
        let drained = unsafe { self.drain(cell) };
        if drained.woken {
            // The wake was meant for the poll that runs: it may have been for a part of it that was polled before.
            // SAFETY: it is being polled here.
            let _ = unsafe { cell.as_ref() }.mail.wake();
        }
        drained.mail
    }

    /// Acts on one signal; what is left of it for `recv`.
    ///
    /// # Safety
    /// As for [`Worker::drain`].
    unsafe fn act(
        &self,
        cell: NonNull<Header>,
        mut node: Box<SignalNode>,
    ) -> Option<NonNull<crate::mailbox::Link>> {
        // SAFETY: owned, so it lives.
        let header = unsafe { cell.as_ref() };
        let signal = std::mem::replace(&mut node.signal, Signal::NodeDown(header.node().id));
        // SAFETY: owned.
        let info = unsafe { self.act_on(header, signal) }?;
        node.signal = Signal::Info(info);
        Some(node.into_link())
    }

    /// # Safety
    /// As for [`Worker::drain`].
    unsafe fn act_on(&self, header: &Header, signal: Signal) -> Option<Info> {
        let own = header.pid();
        match signal {
            Signal::Exit { from, reason, via } => {
                // LINK-02: an exit through a link that this process took down is not heard.
                if via == ExitVia::Link && !bonds::unlink(header, from) {
                    bonds::forget_unlink(header, from);
                    return None;
                }
                self.take_exit(header, from, reason, via)
            }
            Signal::Link { from } => {
                // LINK-05: a link that crosses this process's unlink goes with it, as it does at the other end.
                if !bonds::is_unlinking(header, from) {
                    bonds::link(header, from);
                }
                None
            }
            Signal::Unlink { from, id } => {
                bonds::unlink(header, from);
                self.node().signal(from, Signal::UnlinkAck { from: own, id });
                None
            }
            Signal::UnlinkAck { from, id } => {
                bonds::bonds(header).links.end_unlink(from, id);
                None
            }
            Signal::Monitor { reference, watcher } => {
                if let Watcher::Process(pid) = watcher
                    && pid.node() != own.node()
                {
                    header.set_flag(REMOTE);
                }
                bonds::bonds(header).watchers.push((reference, watcher));
                None
            }
            Signal::Demonitor { reference } => {
                bonds::forget_watcher(header, reference);
                None
            }
            Signal::Down { reference, pid, reason } => {
                // MON-02: a `Down` of a monitor that was taken down is not heard.
                bonds::bonds(header).monitors.remove(&reference)?;
                Some(Info::Down { reference, pid, reason })
            }
            Signal::NodeDown(node) => {
                // SAFETY: owned.
                unsafe { self.lose_node(header, node) };
                None
            }
            Signal::Inspect(reply) => {
                // SAFETY: owned.
                reply.send(unsafe { inspect(header) });
                None
            }
            Signal::Info(info) => Some(info),
        }
    }

    /// The process that runs must end for this reason; the first counts.
    fn set_doom(&self, reason: Reason) {
        self.doomed.set(true);
        self.doom.borrow_mut().get_or_insert(reason);
    }

    /// Stays doomed until the end is over, so that the report knows that a signal ended the process.
    fn take_doom(&self) -> Reason {
        self.doom.take().unwrap_or(Reason::Killed)
    }

    fn take_exit(&self, header: &Header, from: Pid, reason: Reason, via: ExitVia) -> Option<Info> {
        let trap = if header.flag(TRAP_EXIT) { Trap::On } else { Trap::Off };
        let sender = if from == header.pid() { Sender::Own } else { Sender::Other };
        match on_exit(&reason, via, trap, sender) {
            ExitAction::Drop => None,
            ExitAction::Deliver => Some(Info::Exit { from, reason }),
            ExitAction::End(reason) => {
                self.set_doom(reason);
                None
            }
        }
    }

    /// The connection to a node is lost: its links exit, its monitors are down.
    ///
    /// # Safety
    /// As for [`Worker::drain`].
    unsafe fn lose_node(&self, header: &Header, node: crate::id::NodeId) {
        let lost = bonds::lose_node(header, node);
        let mut news: Vec<Info> = Vec::new();
        for from in lost.links {
            news.extend(self.take_exit(header, from, Reason::NoConnection, ExitVia::Link));
        }
        news.extend(lost.monitors.into_iter().map(|(reference, pid)| Info::Down {
            reference,
            pid,
            reason: Reason::NoConnection,
        }));
        for info in news {
            let link = SignalNode::new(Signal::Info(info)).into_link();
            // SAFETY: owned; the link was just made.
            let inbox = unsafe { &mut header.owner().inbox };
            // SAFETY: the link is this worker's.
            unsafe { inbox.push_back(link) };
        }
        // The news came from within: a waiting process must be polled for them.
        let _ = header.mail.wake();
    }

    /// Ends the process.
    ///
    /// # Safety
    /// This worker owns the process, whose future is live; the process is not used afterwards.
    unsafe fn end(&self, cell: NonNull<Header>, reason: Reason) {
        // SAFETY: owned, so it lives until its count is given back below.
        let header = unsafe { cell.as_ref() };
        let node = self.node();
        // DEATH-06: the mailbox is closed first, so that a caller that has heard of the end finds nobody.
        let flags = header.set_flag(EXITING);
        if flags & REAPED != 0 {
            // SAFETY: the caller's promise.
            return unsafe { self.end_reaped(cell) };
        }
        let left = header.mail.begin_close();
        if let Some(limit) = header.limit() {
            limit.close();
        }
        self.settle_orphans(|| reason.clone());
        *self.exit_reason.borrow_mut() = Some(reason.clone());
        // SAFETY: owned; taken, so it is this worker's.
        unsafe { self.keep_mail(header, left) };
        // DEATH-01: the state is dropped before anybody hears of the end.
        // SAFETY: owned, and done once.
        let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { Header::drop_future(cell) }));
        if let Err(payload) = dropped {
            let second = panic_reason(payload);
            node.dead_letters.drop_panics.fetch_add(1, Ordering::Relaxed);
            self.settle_orphans(|| second);
        }
        if !reason.is_orderly() {
            let origin = if self.doomed.get() { ExitOrigin::Signal } else { ExitOrigin::Own };
            // SAFETY: owned: this worker ends the process.
            let trace = unsafe { crate::trace::trace_of(header) };
            let detail = self.crash_detail.take();
            let own = Own { trace, detail };
            node.report(header, flags, &reason, origin, Some(own));
        }
        self.crash_detail.take();
        // DEATH-02: names and the pid are free before links and monitors hear of the end.
        if flags & NAMED != 0 {
            // SAFETY: the process's own count is still there; the handle's is forgotten, not given back.
            let handle = std::mem::ManuallyDrop::new(unsafe { CellRef::from_counted(cell) });
            node.names.release(&handle);
        }
        node.table.remove(header.local, cell, Some(&mut self.indices.borrow_mut()));
        // DEATH-02: a link or monitor that came meanwhile hears that there is no such process only now.
        let late = header.mail.close();
        // SAFETY: owned; taken, so it is this worker's.
        unsafe { self.keep_mail(header, late) };
        // SAFETY: owned.
        drop_guarded(header.rare().and_then(|rare| unsafe { rare.swap_recv_waker(None) }));
        bonds::tell(header, &reason);
        // SAFETY: owned; no reference to the owner part is held.
        unsafe { worker::drain_inbox(cell, |signal| node.bounce(header.pid(), signal)) };
        self.settle_orphans(|| reason.clone());
        self.forget_ended();
        let ended = &self.remote().ended;
        ended.store(ended.load(Ordering::Relaxed) + 1, Ordering::Release);
        // SAFETY: this worker ended the process, and does not use it again.
        unsafe { cell::release_own(cell) };
    }

    /// Puts mail as taken from the mailbox behind what is there.
    ///
    /// # Safety
    /// This worker owns the process and the list, and holds no reference to the owner part.
    unsafe fn keep_mail(&self, header: &Header, newest: *mut Link) {
        // SAFETY: the caller's promise.
        let mut next = unsafe { reverse(newest) };
        let mut messages = 0;
        while let Some(link) = NonNull::new(next) {
            // SAFETY: a link of the caller's list.
            let lead = unsafe { link.as_ref() };
            next = lead.next();
            messages += u32::from(lead.kind() == LinkKind::Message);
            // SAFETY: the caller's promise.
            let inbox = unsafe { &mut header.owner().inbox };
            // SAFETY: the link is the caller's.
            unsafe { inbox.push_back(link) };
        }
        self.took(header, messages);
    }

    /// The process is over: nothing of it is this worker's any more.
    pub(crate) fn forget_ended(&self) {
        self.settle_orphans(|| Reason::Killed);
        self.exit_reason.take();
        self.doomed.set(false);
        self.doom.take();
        self.yielding.set(false);
        self.set_current(None);
    }
}

/// What only the owner of a process can tell of its end.
pub(crate) struct Own {
    trace: Option<TraceContext>,
    detail: Option<Box<CrashDetail>>,
}

impl NodeInner {
    /// Tells the listener of an end that is not orderly. Without its `own` words the process is a zombie.
    pub(crate) fn report(
        &self,
        header: &Header,
        flags: u32,
        reason: &Reason,
        origin: ExitOrigin,
        own: Option<Own>,
    ) {
        let Some(listener) = &self.options.exit_listener else {
            return;
        };
        let name = (flags & NAMED != 0).then(|| self.names.name_of(header.local)).flatten();
        let label = header.rare().and_then(|rare| rare.label.lock().clone());
        let group = self.group_name(header);
        let event = ExitEvent {
            pid: header.pid(),
            name: name.as_ref().map(|slot| &*slot.name),
            label: label.as_deref(),
            group: group.as_deref(),
            parent: self.parent_of(header),
            unread: header.account.read().unread,
            reason,
            trace: own.as_ref().and_then(|own| own.trace),
            origin,
            detail: own.as_ref().and_then(|own| own.detail.as_deref()),
            is_zombie: own.is_none(),
        };
        let told = catch_unwind(AssertUnwindSafe(|| listener.process_exited(&event)));
        if let Err(payload) = told {
            let _ = panic_reason(payload);
        }
    }
}

/// Drops the oldest messages of a mailbox that is above its limit, where that is its policy.
///
/// # Safety
/// The caller owns the process and holds no reference to the owner part.
unsafe fn drop_excess(header: &Header, limit: &Limit) {
    let is_counted = |link: NonNull<Link>| {
        // SAFETY: a link of the process's inbox.
        let link = unsafe { link.as_ref() };
        link.kind() == LinkKind::Message && link.is_counted()
    };
    for _ in 0..limit.excess() {
        // SAFETY: owned; the reference ends with the statement.
        let inbox = unsafe { &mut header.owner().inbox };
        // SAFETY: a fresh place.
        let Some(oldest) = (unsafe { inbox.take_first(&mut None, is_counted) }) else { return };
        limit.drop_out();
        header.account.took(0, 1);
        let (node, ops) = (header.node(), header.vtable.ops);
        let target = DeadLetterTarget::Process(header.pid());
        node.dead_letter(DeadLetterReason::MailboxFull, target, (ops.type_name)());
        // SAFETY: taken from the inbox, so it is owned here; messages of this process are of its type.
        let dropped =
            catch_unwind(AssertUnwindSafe(|| unsafe { envelope::drop_mail(oldest, ops) }));
        if let Err(payload) = dropped {
            let _ = panic_reason(payload);
            node.dead_letters.drop_panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What the process knows of itself.
///
/// # Safety
/// As for [`bonds`].
pub(crate) unsafe fn inspect(header: &Header) -> ProcessInfo {
    let node = header.node();
    let own = header.pid();
    worker::with_here(|worker| {
        if let Some(worker) = worker.filter(|worker| worker.is_current(header.into())) {
            worker.took(header, 0);
        }
    });
    // SAFETY: the caller owns the process.
    let mailbox_len = unsafe { header.owner() }.inbox.len();
    let mut links = Vec::new();
    if header.flag(PARENT_LINKED) {
        links.push(Pid::new(own.node(), header.parent));
    }
    let mut monitors = Vec::new();
    let mut watchers = 0;
    if let Some(rare) = header.rare() {
        let bonds = rare.bonds();
        links.extend(bonds.links.iter(own.node()));
        monitors.extend(bonds.monitors.iter().map(|(&reference, &pid)| (reference, pid)));
        watchers = bonds.watchers.len();
    }
    links.sort_unstable();
    monitors.sort_unstable();
    ProcessInfo {
        row: node.row_of(header),
        mailbox_len,
        mailbox_limit: header.mailbox_limit(),
        links,
        monitors,
        watchers,
        trap_exit: header.flag(TRAP_EXIT),
    }
}
