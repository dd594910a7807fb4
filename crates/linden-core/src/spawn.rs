//! Spawning: how a process comes to be known, linked and runnable, in this order.

use std::sync::atomic::Ordering;

use crate::account::START_UNIT;
use crate::address::Address;
use crate::bonds;
use crate::budget;
use crate::cell::{Birth, CellRef, EXITING, GROUP_SHIFT, Header, NewCell, PARENT_LINKED, TRACED};
use crate::cx::Cx;
use crate::id::{LocalPid, Pid, Ref};
use crate::message::Message;
use crate::node::Node;
use crate::reason::{IntoReason, Reason};
use crate::signal::{ExitVia, Signal, Watcher};
use crate::table::IndexCache;
use crate::trace::{give_trace, trace_of};
use crate::worker::{self, Worker};

/// Whether a process is linked to its parent from the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ParentLink {
    Linked,
    Unlinked,
    /// Unlinked, and monitored by the parent under this reference.
    Monitored(Ref),
}

impl Node {
    /// Spawns a process: `body` makes its future, which owns the process's end of the mailbox. A process may be spawned
    /// from anywhere; spawned by a process, it is that process's child, unlinked.
    ///
    /// `body` itself runs at once, in the caller; what it returns runs as the process. On a node that has stopped the
    /// process never runs, and its address is dead.
    ///
    /// # Panics
    /// When `body` panics, and when 2^31 processes live.
    pub fn spawn<M, B, F>(&self, body: B) -> Address<M>
    where
        M: Message,
        B: FnOnce(Cx<M>) -> F,
        F: Future<Output: IntoReason> + Send + 'static,
    {
        Address::of_cell(self.spawn_cell(ParentLink::Unlinked, body))
    }

    pub(crate) fn spawn_cell<M, B, F>(&self, parent_link: ParentLink, body: B) -> CellRef
    where
        M: Message,
        B: FnOnce(Cx<M>) -> F,
        F: Future<Output: IntoReason> + Send + 'static,
    {
        worker::with_here(|worker| match worker {
            Some(worker) if std::ptr::eq(worker.node(), self.inner()) => {
                budget::charge(10);
                let spawned = &worker.remote().spawned;
                let cell = self.spawn_on(Some(worker), parent_link, body);
                spawned.store(spawned.load(Ordering::Relaxed) + 1, Ordering::Release);
                worker.push_woken(cell.as_ptr());
                cell
            }
            _ => self.spawn_from_outside(body),
        })
    }

    fn spawn_from_outside<M, B, F>(&self, body: B) -> CellRef
    where
        M: Message,
        B: FnOnce(Cx<M>) -> F,
        F: Future<Output: IntoReason> + Send + 'static,
    {
        let life = &self.inner().life;
        // Counted before the look at `closed`, so that a stop that saw nothing living closed the door before.
        life.spawned_outside.fetch_add(1, Ordering::SeqCst);
        if life.closed.load(Ordering::SeqCst) {
            let cell = NewCell::<M, F>::new(Birth {
                node: self.clone(),
                local: LocalPid::OUTSIDE,
                parent: LocalPid::OUTSIDE,
                flags: 0,
                started: 0,
            });
            life.refused_outside.fetch_add(1, Ordering::SeqCst);
            return cell.handle();
        }
        struct Uncount<'a>(&'a Node);
        impl Drop for Uncount<'_> {
            fn drop(&mut self) {
                self.0.inner().life.refused_outside.fetch_add(1, Ordering::SeqCst);
            }
        }
        let uncount = Uncount(self);
        let cell = self.spawn_on(None, ParentLink::Unlinked, body);
        std::mem::forget(uncount);
        self.inner().inject(cell.as_ptr());
        cell
    }

    /// Makes the process known and linked; the caller counts it and makes it runnable.
    fn spawn_on<M, B, F>(
        &self,
        worker: Option<&Worker>,
        parent_link: ParentLink,
        body: B,
    ) -> CellRef
    where
        M: Message,
        B: FnOnce(Cx<M>) -> F,
        F: Future<Output: IntoReason> + Send + 'static,
    {
        let inner = self.inner();
        let allocation = Allocation::new(self, worker);
        let parent = worker::current_process().filter(|_| worker.is_some());
        // SAFETY: the parent runs here.
        let parent = parent.map(|parent| unsafe { parent.as_ref() });
        let linked = parent_link == ParentLink::Linked;
        let cell = NewCell::<M, F>::new(Birth {
            node: worker.map_or_else(|| self.clone(), |worker| worker.handle.clone()),
            local: allocation.local,
            parent: parent.map_or(LocalPid::OUTSIDE, |parent| parent.local),
            flags: u32::from(parent.map_or(0, Header::group)) << GROUP_SHIFT
                | if linked { PARENT_LINKED } else { 0 },
            started: start_of(if worker.is_some() {
                inner.timers.now()
            } else {
                inner.update_clock()
            }),
        });
        let future = body(Cx::of_cell(cell.handle()));
        let handle = cell.handle();
        if let Some(parent) = parent.filter(|parent| parent.flag(TRACED)) {
            // SAFETY: the parent is the process that runs here.
            let trace = unsafe { trace_of(parent) };
            // SAFETY: who makes a process is its owner until it is in a run queue.
            unsafe { give_trace(&handle, trace) };
        }
        let local = allocation.keep();
        let header: std::ptr::NonNull<Header> = cell.complete(future);
        // SAFETY: allocated for this cell, which lives until its death removes it from the table.
        unsafe { inner.table.insert(local, header) };
        // The bonds stand before the child runs: one that dies at once is heard of, with its own reason.
        match (parent, parent_link) {
            // LINK-06: the parent's links have been told of its end. The child hears of it when it runs.
            (Some(parent), ParentLink::Linked) if is_over(parent) => {
                let (from, reason, via) = (parent.pid(), Reason::NoProc, ExitVia::Link);
                let _ = handle.signal(Signal::Exit { from, reason, via });
            }
            (Some(parent), ParentLink::Linked) => {
                bonds::link(parent, Pid::new(inner.id, local));
            }
            (Some(parent), ParentLink::Monitored(reference)) => {
                bonds::bonds(parent).monitors.insert(reference, handle.pid());
                let watchers = &mut bonds::bonds(&handle).watchers;
                watchers.push((reference, Watcher::Process(parent.pid())));
            }
            _ => {}
        }
        handle
    }
}

/// A tick of the node's clock, a millisecond, as accounts keep it.
fn start_of(tick: u64) -> u32 {
    u32::try_from(u128::from(tick) / START_UNIT.as_millis()).unwrap_or(u32::MAX)
}

/// Whether a process that still runs drops of its own has no pid, and so no links, any more.
fn is_over(header: &Header) -> bool {
    header.flag(EXITING) && header.node().table.get(header.local).is_none()
}

/// Spawns a child of the process that runs here, unlinked, as [`crate::Cx::spawn`] does.
///
/// # Panics
/// Outside of every process and node: use [`Node::spawn`].
pub fn spawn<M, B, F>(body: B) -> Address<M>
where
    M: Message,
    B: FnOnce(Cx<M>) -> F,
    F: Future<Output: IntoReason> + Send + 'static,
{
    let node = Node::current()
        .expect("spawn is called inside a process or a node; use Node::spawn elsewhere");
    node.spawn(body)
}

/// Spawns a child of the process that runs here, linked before it runs, as [`crate::Cx::spawn_link`] does. A child that is
/// spawned in a drop of a process that is ending hears of that end: with its reason, or with [`Reason::NoProc`] when the
/// links of the process were told already.
///
/// # Panics
/// Outside of every process: there is nobody to link to.
pub fn spawn_link<M, B, F>(body: B) -> Address<M>
where
    M: Message,
    B: FnOnce(Cx<M>) -> F,
    F: Future<Output: IntoReason> + Send + 'static,
{
    let own =
        worker::current_process().expect("spawn_link is called inside a process: it links to it");
    // SAFETY: the process runs here.
    let node = unsafe { own.as_ref() }.node_handle();
    Address::of_cell(node.spawn_cell(ParentLink::Linked, body))
}

/// Takes a link of the process that runs here down, as [`crate::Cx::unlink`] does; also in the drop of its state when it is
/// ending, and then the other end does not hear of it. Outside of processes there is none to take down.
pub fn unlink(pid: Pid) {
    let Some(own) = worker::running_process() else { return };
    // SAFETY: the process runs here.
    let own = unsafe { own.as_ref() };
    bonds::take_link_down(own, pid);
}

/// An index that goes back when the spawn fails.
struct Allocation<'a> {
    node: &'a Node,
    worker: Option<&'a Worker>,
    local: LocalPid,
}

fn cached<R>(worker: Option<&Worker>, f: impl FnOnce(Option<&mut IndexCache>) -> R) -> R {
    match worker {
        Some(worker) => f(Some(&mut worker.indices.borrow_mut())),
        None => f(None),
    }
}

impl<'a> Allocation<'a> {
    fn new(node: &'a Node, worker: Option<&'a Worker>) -> Self {
        let local = cached(worker, |cache| node.inner().table.allocate(cache))
            .expect("fewer than 2^31 processes live at once");
        Self { node, worker, local }
    }

    fn keep(self) -> LocalPid {
        let local = self.local;
        std::mem::forget(self);
        local
    }
}

impl Drop for Allocation<'_> {
    fn drop(&mut self) {
        cached(self.worker, |cache| self.node.inner().table.cancel(self.local, cache));
    }
}
