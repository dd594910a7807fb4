//! The process's own end: what a process's code does with its mailbox, links, monitors, timers and name.
//!
//! A `Cx` belongs to one process and works only while that process is polled: every use checks it, so that a `Cx` that was
//! carried off to another task or process panics there instead of touching a foreign inbox.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;

use crate::activation::inspect;
use crate::address::Address;
use crate::bonds;
use crate::budget;
use crate::cell::{self, CellRef, EXITING, Header, REAPED, REMOTE, TRACED, TRAP_EXIT};
use crate::deadline::{self, OwnTimer};
use crate::envelope::{Letter, SignalNode, envelope_message, open_envelope, open_signal};
use crate::hook::{drop_guarded, panic_reason};
use crate::id::{Pid, Ref};
use crate::inbox::Place;
use crate::introspect::{CrashDetail, ProcessInfo};
use crate::limit::MailboxLimit;
use crate::mailbox::{Link, LinkKind};
use crate::message::Message;
use crate::names::RegisterError;
use crate::node::{Group, Node};
use crate::priority::Priority;
use crate::reason::{IntoReason, Reason};
use crate::reply::Reply;
use crate::signal::{ExitVia, Info, Mail, Signal, Watcher};
use crate::spawn::ParentLink;
use crate::timer::{Interval, Receiver, RepeatedLetter, TimerEntry, TimerRef, TimerSlot, ticks};
use crate::trace;
use crate::worker::{self, Worker};

/// See the head of this file.
pub struct Cx<M> {
    cell: CellRef,
    message: PhantomData<fn() -> M>,
}

/// A piece of mail that a selective receive looks at.
#[derive(Debug)]
pub enum MailRef<'a, M> {
    /// A message of the process's own type.
    Msg(&'a M),
    /// News of links, monitors and timers.
    Info(&'a Info),
}

/// Whether `demonitor` also removes a `Down` that has arrived already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flush {
    /// It does.
    Yes,
    /// It does not.
    No,
}

impl<M: Message> Cx<M> {
    pub(crate) fn of_cell(cell: CellRef) -> Self {
        Self { cell, message: PhantomData }
    }

    /// Runs `f` with the worker that polls this process.
    fn here<R>(&self, f: impl FnOnce(&Worker) -> R) -> R {
        let reaped = || {
            panic!(
                "process {} was killed while its code ran on: for all others it has ended, and its Cx does nothing any more",
                self.pid()
            )
        };
        self.here_or(reaped, f)
    }

    /// As [`Cx::here`]; `reaped` says what happens in a process that was killed while its code ran on.
    fn here_or<R>(&self, reaped: impl FnOnce() -> R, f: impl FnOnce(&Worker) -> R) -> R {
        worker::with_here(|worker| match worker {
            Some(worker)
                if worker.is_current(self.cell.as_ptr())
                    && !worker.in_core.get()
                    && !self.cell.flag(EXITING) =>
            {
                f(worker)
            }
            Some(worker) if worker.is_current(self.cell.as_ptr()) && self.cell.flag(REAPED) => {
                reaped()
            }
            _ => panic!(
                "the Cx of process {} was used outside of it: a Cx stays in its process; send the process a message instead",
                self.pid()
            ),
        })
    }

    fn check_here(&self) {
        self.here(|_| ());
    }

    /// The process's pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.cell.pid()
    }

    /// The process's own address.
    #[must_use]
    pub fn address(&self) -> Address<M> {
        Address::of_cell(self.cell.clone())
    }

    /// The node that the process runs on.
    #[must_use]
    pub fn node(&self) -> &Node {
        self.cell.node_handle()
    }

    /// Who spawned the process; `None` when that was code outside of processes.
    #[must_use]
    pub fn parent(&self) -> Option<Pid> {
        self.cell.node().parent_of(&self.cell)
    }

    /// Takes the process out of its group.
    ///
    /// # Panics
    /// Outside of the process.
    pub fn clear_group(&self) {
        self.check_here();
        self.cell.set_group(0);
    }

    /// Whether an exit signal of `from` tells the process to end as its parent would: it is from the parent, or from the
    /// node itself, which stops. For behaviours that trap exits.
    #[must_use]
    pub fn is_told_by(&self, from: Pid) -> bool {
        self.parent() == Some(from) || from == Pid::outside(self.pid().node())
    }

    /// Names the process for people: observers and crash reports show it.
    pub fn set_label(&self, label: impl Into<Arc<str>>) {
        *self.cell.rare_or_new().label.lock() = Some(label.into());
    }

    /// Moves the process to another group; children spawned from now on are born into it.
    ///
    /// # Panics
    /// Outside of the process.
    pub fn set_group(&self, group: Group) {
        self.check_here();
        self.cell.set_group(group.0);
    }

    /// Gives the process another priority, and says which it had. On a simulated node it has no effect.
    pub fn set_priority(&self, priority: Priority) -> Priority {
        self.cell.set_priority(priority)
    }

    /// Limits the process's mailbox, or with `None` lifts the limit. Also before the process runs.
    pub fn limit_mailbox(&self, limit: Option<MailboxLimit>) {
        self.cell.limit_mailbox(limit);
    }

    /// Registers the process under a name.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn register(&self, name: &str) -> Result<(), RegisterError> {
        self.cell.node().names.register(name, &self.cell)
    }

    /// Whether exit signals become messages ([`Info::Exit`]) instead of ending the process. Says what was set before.
    ///
    /// # Panics
    /// Outside of the process.
    pub fn trap_exit(&self, trap: bool) -> bool {
        self.check_here();
        if trap {
            self.cell.set_flag(TRAP_EXIT) & TRAP_EXIT != 0
        } else {
            let was = self.cell.flag(TRAP_EXIT);
            self.cell.clear_flag(TRAP_EXIT);
            was
        }
    }

    /// Spawns a child, unlinked.
    pub fn spawn<N, B, F>(&self, body: B) -> Address<N>
    where
        N: Message,
        B: FnOnce(Cx<N>) -> F,
        F: Future<Output: IntoReason> + Send + 'static,
    {
        Address::of_cell(self.node().spawn_cell(ParentLink::Unlinked, body))
    }

    /// Spawns a child that is linked before it runs.
    ///
    /// # Panics
    /// Outside of the process.
    pub fn spawn_link<N, B, F>(&self, body: B) -> Address<N>
    where
        N: Message,
        B: FnOnce(Cx<N>) -> F,
        F: Future<Output: IntoReason> + Send + 'static,
    {
        self.check_here();
        Address::of_cell(self.node().spawn_cell(ParentLink::Linked, body))
    }

    /// Spawns a child that is monitored before it runs.
    ///
    /// # Panics
    /// Outside of the process.
    pub fn spawn_monitor<N, B, F>(&self, body: B) -> (Address<N>, Ref)
    where
        N: Message,
        B: FnOnce(Cx<N>) -> F,
        F: Future<Output: IntoReason> + Send + 'static,
    {
        self.check_here();
        let reference = self.cell.node().new_ref();
        let child = self.node().spawn_cell(ParentLink::Monitored(reference), body);
        (Address::of_cell(child), reference)
    }

    /// Links this process with another one: when one ends, the other gets an exit signal with the reason. A link with a
    /// process that does not live gives an exit signal with [`Reason::NoProc`].
    ///
    /// # Panics
    /// Outside of the process.
    pub fn link(&self, pid: Pid) {
        self.check_here();
        if pid == self.pid() {
            return;
        }
        if bonds::link(&self.cell, pid) {
            self.cell.node().signal(pid, Signal::Link { from: self.pid() });
        }
    }

    /// Takes a link down. Afterwards no exit through it is heard, also of an end that came before.
    ///
    /// # Panics
    /// Outside of the process.
    pub fn unlink(&self, pid: Pid) {
        self.check_here();
        bonds::take_link_down(&self.cell, pid);
    }

    /// Monitors a process: one [`Info::Down`] tells of its end, at once when it does not live.
    ///
    /// # Panics
    /// Outside of the process.
    pub fn monitor(&self, pid: Pid) -> Ref {
        self.check_here();
        let reference = self.cell.node().new_ref();
        if pid.node() != self.pid().node() {
            self.cell.set_flag(REMOTE);
        }
        bonds::bonds(&self.cell).monitors.insert(reference, pid);
        let watcher = Watcher::Process(self.pid());
        self.cell.node().signal(pid, Signal::Monitor { reference, watcher });
        reference
    }

    /// Monitors the process that owns a name now; nobody owning it is a `Down` of [`Pid::outside`] at once.
    ///
    /// # Panics
    /// Outside of the process.
    pub fn monitor_name(&self, name: &str) -> Ref {
        let owner = self.node().whereis(name);
        self.monitor(owner.unwrap_or_else(|| Pid::outside(self.pid().node())))
    }

    /// Takes a monitor down: no `Down` of it arrives any more; with [`Flush::Yes`] one that is there is removed.
    ///
    /// # Panics
    /// Outside of the process.
    pub fn demonitor(&self, reference: Ref, flush: Flush) {
        self.check_here();
        let monitored = bonds::bonds(&self.cell).monitors.remove(&reference);
        if let Some(pid) = monitored {
            self.cell.node().signal(pid, Signal::Demonitor { reference });
        }
        if flush == Flush::Yes {
            let is_down = |link| matches!(info_of(link), Some(Info::Down { reference: of, .. }) if *of == reference);
            // SAFETY: the process is polled here, so this is its owner, and no other reference to its owner part is held.
            let inbox = unsafe { &mut self.cell.owner().inbox };
            // SAFETY: a fresh place.
            let down = unsafe { inbox.take_first(&mut None, is_down) };
            if let Some(link) = down {
                // SAFETY: taken from the inbox, a signal node.
                drop(unsafe { open_signal(link) });
            }
        }
    }

    /// Sends an exit signal, from this process.
    pub fn exit(&self, to: Pid, reason: Reason) {
        let from = self.pid();
        self.cell.node().signal(to, Signal::Exit { from, reason, via: ExitVia::Direct });
    }

    /// What the process knows of itself.
    ///
    /// # Panics
    /// Outside of the process.
    #[must_use]
    pub fn info(&self) -> ProcessInfo {
        self.check_here();
        // SAFETY: as in `demonitor`.
        unsafe { inspect(&self.cell) }
    }

    /// Whether anybody would read what [`Cx::set_crash_detail`] leaves.
    #[must_use]
    pub fn wants_crash_detail(&self) -> bool {
        let Some(listener) = &self.cell.node().options.exit_listener else {
            return false;
        };
        let wants = catch_unwind(AssertUnwindSafe(|| listener.wants_detail()));
        wants.unwrap_or_else(|payload| {
            let _ = panic_reason(payload);
            false
        })
    }

    /// Leaves what the crash report shall show, if the process ends before it is next suspended.
    ///
    /// # Panics
    /// Outside of the process.
    pub fn set_crash_detail(&self, detail: CrashDetail) {
        self.here(|worker| worker.leave_crash_detail(detail));
    }

    /// Says why the process is ending, while it still runs: replies that a caught panic dropped answer with the reason.
    ///
    /// # Panics
    /// Outside of the process.
    pub fn set_exit_reason(&self, reason: &Reason) {
        self.here(|worker| worker.settle_orphans(|| reason.clone()));
    }

    /// Runs `last`, the dropping of what an ending process owns: replies that go with it answer with the exit reason.
    ///
    /// # Panics
    /// Outside of the process, and when `last` does.
    pub fn end_with<R>(&self, reason: &Reason, last: impl FnOnce() -> R) -> R {
        self.check_here();
        worker::with_exit_reason(reason, last)
    }

    /// Answers `reply` with the process's exit reason when it has ended, as a monitor would.
    ///
    /// # Panics
    /// Outside of the process.
    pub fn answer_at_exit(&self, reply: Reply<Reason>) {
        self.check_here();
        let reference = self.cell.node().new_ref();
        bonds::bonds(&self.cell).watchers.push((reference, Watcher::Slot(reply)));
    }

    /// Sends `message` to `to` after `delay`, unless it is cancelled; a dead receiver is no error. Never early.
    pub fn send_after<N: Message>(&self, to: &Address<N>, delay: Duration, message: N) -> TimerRef {
        let node = self.cell.node();
        let entry =
            TimerEntry::Deliver { to: Receiver::of(&to.place, node), letter: Letter::new(message) };
        let deadline = node.update_clock().saturating_add(ticks(delay)).saturating_add(1);
        TimerRef {
            key: TimerSlot::Once(node.arm(deadline, entry).key()),
            reference: node.new_ref(),
        }
    }

    /// Sends clones of `message` to `to` every `period` until it is cancelled or `to` is dead. The period is at least 1 ms;
    /// turns are counted from the first, so a late one does not delay the others. The death of a process behind a transport
    /// is not seen: monitor it, and cancel.
    pub fn send_interval<N: Message + Clone>(
        &self,
        to: &Address<N>,
        period: Duration,
        message: N,
    ) -> TimerRef {
        let node = self.cell.node();
        let slot = Arc::new(Mutex::new(None));
        let every = ticks(period).max(1);
        let entry = TimerEntry::DeliverEvery(Interval {
            to: Receiver::of(&to.place, node),
            letter: Box::new(Repeated(message)),
            every,
            slot: slot.clone(),
        });
        let deadline = node.update_clock().saturating_add(every).saturating_add(1);
        // Under the lock: the first turn may come before the key is kept.
        let mut key = slot.lock();
        *key = Some(node.arm(deadline, entry).key());
        drop(key);
        TimerRef { key: TimerSlot::Repeated(slot), reference: node.new_ref() }
    }

    /// Sends this process [`Info::Timer`] after `delay`. Never early.
    pub fn start_timer(&self, delay: Duration) -> TimerRef {
        let node = self.cell.node();
        let reference = node.new_ref();
        let entry = TimerEntry::Inform { to: self.pid(), info: Info::Timer(reference) };
        let deadline = node.update_clock().saturating_add(ticks(delay)).saturating_add(1);
        TimerRef { key: TimerSlot::Once(node.arm(deadline, entry).key()), reference }
    }

    /// Takes a timer back. The time that was left, or `None` when it has fired or was cancelled. What it sent stays in the
    /// mailbox.
    pub fn cancel(&self, timer: &TimerRef) -> Option<Duration> {
        let node = self.cell.node();
        let deadline = match &timer.key {
            TimerSlot::Once(key) => node.timers.cancel(*key)?,
            TimerSlot::Repeated(slot) => {
                let key = slot.lock().take()?;
                node.timers.cancel(key)?
            }
        };
        Some(Duration::from_millis(deadline.saturating_sub(node.update_clock())))
    }

    /// Takes the oldest mail, waiting for it if need be.
    ///
    /// # Cancellation
    /// Nothing is lost when the future is dropped.
    ///
    /// # Panics
    /// Polled outside of the process.
    pub fn recv(&mut self) -> Recv<'_, M> {
        Recv { cx: self }
    }

    /// As [`Cx::recv`], for at most `timeout`; `None` when nothing came. With [`Duration::ZERO`] it takes what is there and
    /// does not wait.
    pub async fn recv_timeout(&mut self, timeout: Duration) -> Option<Mail<M>> {
        let at = deadline::after(self.cell.node(), ticks(timeout));
        let mut own_timer = None;
        let mut recv = self.recv();
        std::future::poll_fn(|cx| {
            let looks = may_look();
            match Pin::new(&mut recv).poll(cx) {
                Poll::Ready(mail) => Poll::Ready(Some(mail)),
                Poll::Pending => give_up(at, &mut own_timer, cx, looks).map(|()| None),
            }
        })
        .await
    }

    /// Takes the oldest mail that `wanted` says yes to, waiting for it if need be. The rest keeps its order.
    pub async fn recv_match(&mut self, mut wanted: impl FnMut(MailRef<'_, M>) -> bool) -> Mail<M> {
        let mut place = None;
        std::future::poll_fn(|cx| self.poll_match(cx, &mut place, &mut wanted)).await
    }

    /// As [`Cx::recv_match`], for at most `timeout`; `None` when nothing came.
    pub async fn recv_match_timeout(
        &mut self,
        timeout: Duration,
        mut wanted: impl FnMut(MailRef<'_, M>) -> bool,
    ) -> Option<Mail<M>> {
        let at = deadline::after(self.cell.node(), ticks(timeout));
        let mut own_timer = None;
        let mut place = None;
        std::future::poll_fn(|cx| {
            let looks = may_look();
            match self.poll_match(cx, &mut place, &mut wanted) {
                Poll::Ready(mail) => Poll::Ready(Some(mail)),
                Poll::Pending => give_up(at, &mut own_timer, cx, looks).map(|()| None),
            }
        })
        .await
    }

    fn poll_match(
        &mut self,
        cx: &Context<'_>,
        place: &mut Option<Place>,
        wanted: &mut impl FnMut(MailRef<'_, M>) -> bool,
    ) -> Poll<Mail<M>> {
        let cell: &Header = &self.cell;
        let link = self.poll_inbox(cx, || {
            // SAFETY: `poll_inbox` checked that the process is polled here; the reference ends with the scan.
            let inbox = unsafe { &mut cell.owner().inbox };
            let is_wanted = |link| match info_of(link) {
                Some(info) => wanted(MailRef::Info(info)),
                // SAFETY: no news, so a message, which stays where it is while it is looked at.
                None => wanted(MailRef::Msg(unsafe { envelope_message(link) })),
            };
            // SAFETY: mail is only appended between two polls of one future, for it borrows the `Cx`.
            unsafe { inbox.take_first(place, is_wanted) }
        });
        link.map(|link| self.open(link))
    }

    /// Takes the oldest mail, or waits.
    #[inline(never)]
    fn poll_oldest(&self, cx: &Context<'_>) -> Poll<NonNull<Link>> {
        let cell: &Header = &self.cell;
        self.poll_inbox(cx, || {
            // SAFETY: `poll_inbox` checked that the process is polled here; the reference ends with the statement.
            unsafe { cell.owner() }.inbox.pop_front()
        })
    }

    /// Takes mail by `take`; refills the inbox from the mailbox when there is none, and otherwise waits.
    fn poll_inbox(
        &self,
        cx: &Context<'_>,
        mut take: impl FnMut() -> Option<NonNull<Link>>,
    ) -> Poll<NonNull<Link>> {
        // There is no more mail for it: the code has come back, and what is left is dropped.
        let reaped = || Poll::Pending;
        self.here_or(reaped, |worker| {
            if worker.messages_left.get() == 0 || worker.reductions_left.get() == 0 {
                worker.yielding.set(true);
                if worker::own_process(cx.waker()).is_none() {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            loop {
                if worker.doomed.get() {
                    return Poll::Pending;
                }
                if let Some(link) = take() {
                    worker.messages_left.set(worker.messages_left.get() - 1);
                    worker.reductions_left.set(worker.reductions_left.get() - 1);
                    return Poll::Ready(link);
                }
                // SAFETY: the process is polled here, and `take` gave its reference back.
                if !unsafe { worker.drain_for_recv(self.cell.as_ptr()) } {
                    break;
                }
            }
            self.wait_for_mail(cx);
            Poll::Pending
        })
    }

    fn wait_for_mail(&self, cx: &Context<'_>) {
        // SAFETY: the process is polled here; the reference ends with the statement.
        unsafe { self.cell.owner() }.waiting = true;
        if worker::own_process(cx.waker()).is_none() {
            // SAFETY: as above.
            let before =
                unsafe { self.cell.rare_or_new().swap_recv_waker(Some(cx.waker().clone())) };
            drop_guarded(before);
        }
    }

    /// A message is read that counts or carries a trace, or the one before did.
    #[cold]
    #[inline(never)]
    fn look_at(&self, link: NonNull<Link>) {
        // SAFETY: taken from the inbox, so it is owned here.
        if unsafe { link.as_ref() }.is_counted()
            && let Some(limit) = self.cell.limit()
        {
            limit.leave();
        }
        // SAFETY: the process runs here; messages of this process are of type `M`.
        unsafe { trace::take_over::<M>(&self.cell, link) };
    }

    #[inline(always)]
    fn open(&self, link: NonNull<Link>) -> Mail<M> {
        // SAFETY: taken from the inbox, so it is owned here.
        match unsafe { link.as_ref() }.kind() {
            LinkKind::Message => {
                // SAFETY: taken from the inbox, so it is owned here.
                if !unsafe { link.as_ref() }.is_plain() || self.cell.flag(TRACED) {
                    self.look_at(link);
                }
                // SAFETY: as above.
                Mail::Msg(unsafe { open_envelope(link) })
            }
            LinkKind::Signal => {
                if self.cell.flag(TRACED) {
                    self.cell.clear_flag(TRACED);
                }
                worker::with_here(|worker| worker.map(|worker| worker.tally.read_news()));
                // SAFETY: taken from the inbox, a signal node.
                match unsafe { open_signal(link) }.signal {
                    Signal::Info(info) => Mail::Info(info),
                    other => unreachable!("{other:?} was to be acted on when it was drained"),
                }
            }
        }
    }
}

/// Whether a receive would look for mail now: the process has budget left and is not about to end.
fn may_look() -> bool {
    worker::with_here(|worker| {
        worker.is_some_and(|worker| {
            worker.messages_left.get() > 0
                && worker.reductions_left.get() > 0
                && !worker.doomed.get()
        })
    })
}

/// Whether a receive that found nothing gives up. Not before it has looked: without budget it is polled again soon.
fn give_up(
    at: u64,
    own_timer: &mut Option<Box<OwnTimer>>,
    cx: &Context<'_>,
    looked: bool,
) -> Poll<()> {
    match deadline::poll(at, own_timer, cx) {
        Poll::Ready(()) if looked => {
            // So that a loop of receives that never wait comes to the end of its budget.
            budget::charge(1);
            Poll::Ready(())
        }
        _ => Poll::Pending,
    }
}

/// The news in a link of an inbox; `None` for a message.
fn info_of<'a>(link: NonNull<Link>) -> Option<&'a Info> {
    // SAFETY: the caller looks at a link of its own inbox, for as long as it stays there.
    let lead = unsafe { link.as_ref() };
    match lead.kind() {
        LinkKind::Message => None,
        // SAFETY: as above.
        LinkKind::Signal => match unsafe { &link.cast::<SignalNode>().as_ref().signal } {
            Signal::Info(info) => Some(info),
            _ => None,
        },
    }
}

struct Repeated<N>(N);

impl<N: Message + Clone> RepeatedLetter for Repeated<N> {
    fn copy(&self) -> Letter {
        Letter::new(self.0.clone())
    }
}

impl<M: Message> fmt::Debug for Cx<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cx({})", self.pid())
    }
}

/// The future of [`Cx::recv`].
#[derive(Debug)]
#[must_use = "a receive does nothing until it is awaited"]
pub struct Recv<'a, M: Message> {
    cx: &'a mut Cx<M>,
}

impl<M: Message> Future for Recv<'_, M> {
    type Output = Mail<M>;

    // Only the link comes back from the part that is not inlined: the message is read straight to where it is used. Moved
    // once more, it would be read in pieces of another size than it was just written in, which stalls the processor.
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Mail<M>> {
        self.cx.poll_oldest(cx).map(|link| self.cx.open(link))
    }
}

/// Bytes that a process of message type `M` with a future of type `F` costs, its slot in the table included.
#[must_use]
pub fn process_size<M, F>() -> usize {
    cell::cell_layout::<M, F>().size() + size_of::<crate::slot::Slot<Header>>()
}

/// Lets other ready processes run: the process goes to the back of the queue.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        worker::with_here(|worker| match worker {
            Some(worker) if worker::own_process(cx.waker()).is_some() => worker.yielding.set(true),
            _ => cx.waker().wake_by_ref(),
        });
        Poll::Pending
    })
    .await;
}
