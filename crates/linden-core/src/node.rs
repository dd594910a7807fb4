//! The node: a value that owns a process table, names, timers, workers and a runtime. Several live in one OS process.
//!
//! [`Node`] is a cheap handle. Its memory is kept by handles and by cells of processes, live or dead, that somebody still
//! holds; its threads by the node itself, until [`Node::stop`]. Dropping the last handle does not stop a node.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, RwLock};
use tokio::runtime::{Handle, Runtime};

use crate::account::START_UNIT;
use crate::cell::{CellRef, HEAVY, Header, NAMED};
use crate::dead_letters::{DeadLetterCounts, DeadLetterReport, DeadLetters};
use crate::duty::Duty;
use crate::fairness::{Fairness, FairnessCounts, Stall, StallEvent};
use crate::hook;
use crate::id::{LocalPid, NodeId, Pid, Ref};
use crate::idle::IdleSet;
use crate::introspect::ProcessRow;
use crate::limit::MailboxLimit;
use crate::links::IdMap;
use crate::mailboxes::MailboxCounts;
use crate::memory;
use crate::monitor::{self, Watch};
use crate::names::{NAME_LEN_MAX, Names, RegisterError};
use crate::observe::status_of;
use crate::options::NodeOptions;
use crate::priority::{Priority, PriorityQueues};
use crate::queue::Injector;
use crate::reactor::{Driving, Reactor};
use crate::reason::Reason;
use crate::remote::Remote;
use crate::reply::{Delivered, ReplyPort, reply_pair};
use crate::signal::{ExitVia, Signal, Watcher};
use crate::table::ProcessTable;
use crate::timer::Timers;
use crate::transport::Transport;
use crate::worker::{self, EnteredNode, Queue, Worker};

/// A handle of a node.
#[derive(Clone)]
pub struct Node(Arc<NodeShare>);

/// One share of a node. Each worker has one of its own, so that counts of the handles it gives out stay in its cache.
pub(crate) struct NodeShare {
    inner: Arc<NodeInner>,
}

pub(crate) struct NodeInner {
    pub(crate) id: NodeId,
    pub(crate) options: NodeOptions,
    pub(crate) table: ProcessTable,
    pub(crate) names: Names,
    pub(crate) timers: Timers,
    pub(crate) injector: Injector,
    pub(crate) prioritized: PriorityQueues,
    pub(crate) idle: IdleSet,
    /// Places of workers: those that the node began with, and [`SPARE_PLACES`] for successors of retired ones.
    pub(crate) remotes: Box<[Arc<Remote>]>,
    /// How many of them, from the first on, have ever had a worker. Written by the watch.
    places_used: AtomicUsize,
    pub(crate) fairness: FairnessCounts,
    pub(crate) mailboxes: MailboxCounts,
    pub(crate) driving: Driving,
    pub(crate) watch: Watch,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) transport: RwLock<Option<Arc<dyn Transport>>>,
    /// The names of process groups; the number of a group is its place, from 1 on.
    groups: RwLock<Vec<Arc<str>>>,
    /// Calls to other nodes that wait for an answer.
    pub(crate) pending: Mutex<IdMap<Ref, (NodeId, ReplyPort)>>,
    pub(crate) clock: Clock,
    pub(crate) life: Life,
    refs: AtomicU64,
    handle: Handle,
    simulated: bool,
}

/// Most workers that are away in long activations and have a successor. When more are, the node has fewer workers.
const SPARE_PLACES: usize = 64;

/// Where the node is in its life.
#[derive(Default)]
pub(crate) struct Life {
    /// Code outside of processes spawns no more.
    pub(crate) closed: AtomicBool,
    /// Workers and watch end.
    quit: AtomicBool,
    pub(crate) stop_lock: Mutex<()>,
    pub(crate) threads: Mutex<Vec<JoinHandle<()>>>,
    pub(crate) runtime: Mutex<Option<Arc<Runtime>>>,
    /// Tick 0 of the reactor, once there are workers.
    reactor_start: Mutex<Option<tokio::time::Instant>>,
    /// Processes spawned from outside of workers.
    pub(crate) spawned_outside: AtomicU64,
    /// Those of them that came too late and never lived.
    pub(crate) refused_outside: AtomicU64,
}

/// The door to time: the machine's, or the simulator's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    Real(Instant),
    #[cfg_attr(not(feature = "sim"), expect(dead_code, reason = "used by the simulator alone"))]
    /// tokio's clock, which its tests can pause. Read only inside the runtime.
    Virtual(tokio::time::Instant),
}

impl Clock {
    pub(crate) fn elapsed(self) -> Duration {
        match self {
            Self::Real(start) => start.elapsed(),
            Self::Virtual(start) => start.elapsed(),
        }
    }
}

/// Why a node did not start. Nothing of it is left.
#[derive(Debug)]
#[non_exhaustive]
pub enum NodeStartError {
    /// An option is out of its bounds.
    Option {
        /// Which.
        option: &'static str,
        /// What it may be.
        allowed: String,
    },
    /// The operating system refused a thread or the reactor.
    System(std::io::Error),
}

impl fmt::Display for NodeStartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option { option, allowed } => write!(f, "the node option {option} must be {allowed}"),
            Self::System(_) => f.write_str(
                "the operating system refused a thread or the reactor; check its limits on threads and open files",
            ),
        }
    }
}

impl Error for NodeStartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::System(error) => Some(error),
            Self::Option { .. } => None,
        }
    }
}

fn check(options: &NodeOptions) -> Result<(), NodeStartError> {
    let refuse = |option, allowed: String| Err(NodeStartError::Option { option, allowed });
    if options.workers == 0 || options.workers > IdleSet::WORKERS_MAX {
        return refuse("workers", format!("1 to {}", IdleSet::WORKERS_MAX));
    }
    if options.blocking_threads_max == 0 {
        return refuse("blocking_threads_max", "at least 1".to_owned());
    }
    if options.name.is_empty() || options.name.len() > NAME_LEN_MAX {
        return refuse("name", format!("1 to {NAME_LEN_MAX} bytes"));
    }
    Ok(())
}

/// A creation that no earlier node of this machine had: from the clock, and a count for nodes of one instant.
fn fresh_creation() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = (since.as_nanos() as u64) ^ u64::from(std::process::id()).rotate_left(40);
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (mixed as u32).wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)).max(4)
}

impl Node {
    /// Starts a node: its workers and its runtime.
    ///
    /// # Errors
    /// An option out of its bounds, or the operating system refuses a thread or the reactor.
    pub fn start(options: NodeOptions) -> Result<Self, NodeStartError> {
        check(&options)?;
        hook::install();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(options.blocking_threads_max)
            .thread_name("linden-blocking")
            .build()
            .map_err(NodeStartError::System)?;
        let runtime = Arc::new(runtime);
        let place = |duty| Remote::new(Some(crossbeam_deque::Worker::new_fifo()), duty);
        let begun = std::iter::repeat_with(|| place(Duty::on_duty())).take(options.workers);
        let spare = std::iter::repeat_with(|| place(Duty::vacant())).take(SPARE_PLACES);
        let places = begun.chain(spare).collect();
        let clock = Clock::Real(Instant::now());
        let node = Self::assemble(options, &runtime, places, clock, false);
        match node.start_threads(&runtime) {
            Ok(()) => Ok(node),
            Err(error) => {
                drop(runtime);
                node.stop(Duration::ZERO);
                Err(NodeStartError::System(error))
            }
        }
    }

    pub(crate) fn assemble(
        options: NodeOptions,
        runtime: &Arc<Runtime>,
        places: Vec<Remote>,
        clock: Clock,
        simulated: bool,
    ) -> Self {
        let creation = options.creation.unwrap_or_else(fresh_creation);
        let workers = options.workers;
        let inner = NodeInner {
            id: NodeId::new(&options.name, creation),
            options,
            table: ProcessTable::new(),
            names: Names::default(),
            timers: Timers::new(),
            injector: Injector::default(),
            prioritized: PriorityQueues::default(),
            idle: IdleSet::new(),
            remotes: places.into_iter().map(Arc::new).collect(),
            places_used: AtomicUsize::new(workers),
            fairness: FairnessCounts::default(),
            mailboxes: MailboxCounts::default(),
            driving: Driving::new(),
            watch: Watch::default(),
            dead_letters: DeadLetters::default(),
            transport: RwLock::new(None),
            groups: RwLock::new(Vec::new()),
            pending: Mutex::new(IdMap::default()),
            clock,
            life: Life::default(),
            refs: AtomicU64::new(1),
            handle: runtime.handle().clone(),
            simulated,
        };
        *inner.life.runtime.lock() = Some(runtime.clone());
        Self(Arc::new(NodeShare { inner: Arc::new(inner) }))
    }

    fn start_threads(&self, runtime: &Arc<Runtime>) -> std::io::Result<()> {
        let start = {
            let _inside = runtime.enter();
            tokio::time::Instant::now()
        };
        let mut threads = self.inner().life.threads.lock();
        for index in 0..self.workers() {
            threads.push(self.start_worker(index, runtime.clone(), start)?);
        }
        *self.inner().life.reactor_start.lock() = Some(start);
        let share = self.own_share();
        let thread = std::thread::Builder::new().name("linden-watch".to_owned());
        threads.push(thread.spawn(move || monitor::run(&share))?);
        Ok(())
    }

    /// A thread that works at a place until the node has quit, or it is retired.
    fn start_worker(
        &self,
        index: usize,
        runtime: Arc<Runtime>,
        start: tokio::time::Instant,
    ) -> std::io::Result<JoinHandle<()>> {
        let share = self.own_share();
        let thread = std::thread::Builder::new().name(format!("linden-{index}"));
        thread.spawn(move || {
            let inside = runtime.clone();
            let _inside = inside.enter();
            let place = share.inner().remotes[index].clone();
            let queue = place.queue.lock().take().expect("a place that is begun at has a queue");
            let reactor = Reactor { runtime, start };
            let worker = Worker::new(share, index, Queue::Threaded(queue), reactor);
            worker.enter(|| worker.run_to_the_end());
            if place.duty().is_retired() {
                *place.queue.lock() = worker.into_queue();
                place.duty().leave();
            }
        })
    }

    /// Starts a worker in the place of one that was retired. `false`: there is no place, or no thread.
    pub(crate) fn start_successor(&self) -> bool {
        let inner = self.inner();
        let (runtime, start) =
            (inner.life.runtime.lock().clone(), *inner.life.reactor_start.lock());
        let (Some(runtime), Some(start), false) = (runtime, start, inner.has_quit()) else {
            return false;
        };
        let Some(index) = inner.vacancy() else { return false };
        let place = &inner.remotes[index];
        place.duty().begin();
        inner.places_used.fetch_max(index + 1, Ordering::Release);
        let Ok(thread) = self.start_worker(index, runtime, start) else {
            place.duty().leave();
            return false;
        };
        let mut threads = inner.life.threads.lock();
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        true
    }

    pub(crate) fn arc(&self) -> &Arc<NodeInner> {
        &self.0.inner
    }

    /// A handle whose count is shared with nobody else yet.
    pub(crate) fn own_share(&self) -> Self {
        Self(Arc::new(NodeShare { inner: self.0.inner.clone() }))
    }

    pub(crate) fn inner(&self) -> &NodeInner {
        &self.0.inner
    }

    /// The node of the process that runs here, or of the `block_on` or `enter` that this thread is inside.
    #[must_use]
    pub fn current() -> Option<Self> {
        worker::current_node()
    }

    /// The node's name, `name@host`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner().options.name
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.inner().id
    }

    /// How many threads run processes.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.inner().options.workers
    }

    /// How the node keeps its workers free: who was replaced because one activation took too long.
    #[must_use]
    pub fn fairness(&self) -> Fairness {
        let away = self.inner().places().iter().filter(|place| place.duty().is_retired()).count();
        self.inner().fairness.read(away)
    }

    /// The runtime that serves sockets, timers and blocking work. Tasks spawned on it run outside of supervision.
    #[must_use]
    pub fn runtime(&self) -> Handle {
        self.inner().handle.clone()
    }

    /// Makes this node the current one of this thread, with its runtime entered, until the guard goes.
    #[must_use]
    pub fn enter(&self) -> NodeGuard<'_> {
        NodeGuard { _runtime: self.inner().handle.enter(), _node: worker::enter_node(self.clone()) }
    }

    /// Runs a future to its end on this thread, with the node entered; processes run on their workers meanwhile.
    ///
    /// # Panics
    /// Inside a process: it would stop the worker and everything that waits for it. Await the future instead, or use
    /// `tokio::task::spawn_blocking`. On a simulated node: use `Simulation::run`.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        assert!(
            worker::current_process().is_none(),
            "block_on inside a process would stop its worker: await the future, or move the blocking code to \
             tokio::task::spawn_blocking"
        );
        assert!(!self.inner().simulated, "a simulated node is driven by Simulation::run");
        let _inside = self.enter();
        block_on(future)
    }

    /// Sends an exit signal from outside of every process.
    pub fn exit(&self, to: Pid, reason: Reason) {
        let from = Pid::outside(self.id());
        self.inner().signal(to, Signal::Exit { from, reason, via: ExitVia::Direct });
    }

    /// The process registered under `name`.
    #[must_use]
    pub fn whereis(&self, name: &str) -> Option<Pid> {
        self.inner().names.whereis(name).map(|cell| cell.pid())
    }

    /// Registers a process under a name.
    ///
    /// # Errors
    /// [`RegisterError`]; the taken name's owner is named.
    pub fn register(&self, name: &str, pid: Pid) -> Result<(), RegisterError> {
        let cell = self.inner().local(pid).ok_or(RegisterError::NoProc(pid))?;
        self.inner().names.register(name, &cell)
    }

    /// Frees a name. `false`: nobody had it.
    pub fn unregister(&self, name: &str) -> bool {
        self.inner().names.unregister(name)
    }

    /// Whether the process lives on this node.
    #[must_use]
    pub fn is_alive(&self, pid: Pid) -> bool {
        self.inner().local(pid).is_some()
    }

    /// How many processes live.
    #[must_use]
    pub fn process_count(&self) -> usize {
        self.inner().live() as usize
    }

    /// Waits for the end of a process and says why it ended; [`Reason::NoProc`] when it did not live.
    pub async fn wait_exit(&self, pid: Pid) -> Reason {
        let (reply, mut receiver) = reply_pair();
        let reference = self.inner().new_ref();
        let watcher = Watcher::Slot(reply);
        self.inner().signal(pid, Signal::Monitor { reference, watcher });
        let until_heard = ExitWait { node: self, pid, reference };
        let (Ok(reason) | Err(reason)) = poll_fn(|cx| receiver.poll(cx)).await;
        // The monitor went with its news.
        std::mem::forget(until_heard);
        reason
    }

    /// The group called `name`, made now if need be. A process's children are born into its group; the group shows to which
    /// application a process belongs (OTP: the group leader). At most 65,535 groups.
    ///
    /// # Panics
    /// When there are more.
    #[must_use]
    pub fn group(&self, name: &str) -> Group {
        let mut groups = self.inner().groups.write();
        let place = groups.iter().position(|group| &**group == name).unwrap_or_else(|| {
            groups.push(name.into());
            groups.len() - 1
        });
        Group(u16::try_from(place + 1).expect("at most 65,535 groups"))
    }

    /// Limits the mailbox of a process, or with `None` lifts the limit. `false`: no such process on this node.
    pub fn limit_mailbox(&self, pid: Pid, limit: Option<MailboxLimit>) -> bool {
        self.inner().local(pid).map(|cell| cell.limit_mailbox(limit)).is_some()
    }

    /// What was dropped since the node's start.
    #[must_use]
    pub fn dead_letters(&self) -> DeadLetterCounts {
        self.inner().dead_letters.counts()
    }

    /// Who lost messages, how many and why, and the newest of them.
    #[must_use]
    pub fn dead_letter_report(&self) -> DeadLetterReport {
        self.inner().dead_letters.report()
    }

    /// How many calls to other nodes wait for their answers.
    #[must_use]
    pub fn remote_call_count(&self) -> usize {
        self.inner().pending.lock().len()
    }

    /// How many timers are armed.
    #[must_use]
    pub fn timer_count(&self) -> usize {
        self.inner().timers.armed_count()
    }

    /// Time since the node's start; virtual on a simulated node.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.inner().clock.elapsed()
    }

    pub(crate) fn send_answer(
        &self,
        to: NodeId,
        reference: Ref,
        answer: Result<crate::message::Payload, crate::reply::CallError>,
    ) -> Delivered {
        self.inner().send_answer(to, reference, answer)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.name())
    }
}

/// A [`Node::wait_exit`] that is under way: dropped before it is over, it takes its monitor down.
struct ExitWait<'a> {
    node: &'a Node,
    pid: Pid,
    reference: Ref,
}

impl Drop for ExitWait<'_> {
    fn drop(&mut self) {
        let reference = self.reference;
        self.node.inner().signal(self.pid, Signal::Demonitor { reference });
    }
}

/// A group of processes of one node; see [`Node::group`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Group(pub(crate) u16);

/// Runs a future to its end on this thread, parking it in between. For threads outside of every runtime; what it awaits is
/// served elsewhere. With a node at hand, use [`Node::block_on`].
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let wake =
        Arc::new(ThreadWaker { thread: std::thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(wake.clone());
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        while !wake.woken.swap(false, Ordering::Acquire) {
            std::thread::park();
        }
    }
}

/// Keeps a node the current one of a thread; see [`Node::enter`].
pub struct NodeGuard<'a> {
    _node: EnteredNode,
    _runtime: tokio::runtime::EnterGuard<'a>,
}

struct ThreadWaker {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl NodeInner {
    pub(crate) fn has_quit(&self) -> bool {
        self.life.quit.load(Ordering::Acquire)
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The places that have ever had a worker.
    pub(crate) fn places(&self) -> &[Arc<Remote>] {
        &self.remotes[..self.places_used.load(Ordering::Acquire)]
    }

    /// Lets the reaper look at once, if the process is run by a worker that was replaced.
    pub(crate) fn hurry_reaper(&self, process: LocalPid) {
        if self.places().iter().any(|place| place.duty().is_retired() && place.process() == process)
        {
            self.watch.ask_to_reap();
        }
    }

    /// A place for a successor.
    pub(crate) fn vacancy(&self) -> Option<usize> {
        self.remotes.iter().position(|place| place.duty().is_vacant())
    }

    /// Tells the listener of an activation, or with `None` of a foreign task, that does not give its worker back.
    pub(crate) fn tell_stall(&self, process: Option<LocalPid>, kind: Stall, lasting: Duration) {
        let Some(listener) = &self.options.stall_listener else { return };
        let row =
            process.and_then(|process| self.table.get(process)).map(|cell| self.row_of(&cell));
        let event = StallEvent::new(row, kind, lasting);
        let told = catch_unwind(AssertUnwindSafe(|| listener.stalled(&event)));
        if let Err(payload) = told {
            let _ = hook::panic_reason(payload);
        }
    }

    /// Ends workers and watch. Nothing lives any more, or what lives is given up.
    pub(crate) fn quit(&self) {
        self.life.quit.store(true, Ordering::Release);
        self.remotes.iter().for_each(|worker| worker.unpark());
        self.watch.call_now();
    }

    /// How many processes live; never fewer than there are.
    pub(crate) fn live(&self) -> u64 {
        let ended: u64 =
            self.remotes.iter().map(|worker| worker.ended.load(Ordering::Acquire)).sum();
        fence(Ordering::SeqCst);
        let spawned: u64 =
            self.remotes.iter().map(|worker| worker.spawned.load(Ordering::Acquire)).sum();
        let outside = self.life.spawned_outside.load(Ordering::SeqCst);
        let refused = self.life.refused_outside.load(Ordering::SeqCst);
        let reaped = self.fairness.reaped.load(Ordering::Acquire);
        (spawned + outside).saturating_sub(ended + reaped + refused)
    }

    /// The process, if the pid is of this node and it lives.
    pub(crate) fn local(&self, pid: Pid) -> Option<CellRef> {
        if pid.node() != self.id {
            return None;
        }
        self.table.get(pid.local())
    }

    pub(crate) fn new_ref(&self) -> Ref {
        let number = worker::with_here(|worker| match worker {
            Some(worker) if std::ptr::eq(worker.node(), self) => worker.next_ref(),
            _ => self.refs.fetch_add(1, Ordering::Relaxed),
        });
        Ref::new(self.id, number)
    }

    /// A range of reference numbers for one worker.
    pub(crate) fn ref_range(&self) -> (u64, u64) {
        const RANGE: u64 = 4096;
        let first = self.refs.fetch_add(RANGE, Ordering::Relaxed);
        (first, first + RANGE)
    }

    /// Makes a process runnable from outside of the node's workers.
    pub(crate) fn inject(&self, cell: std::ptr::NonNull<Header>) {
        if !self.push_prioritized(cell) {
            self.injector.push(cell);
        }
        self.wake_sleeper();
    }

    /// Puts a process in the node's queue of its priority, if that is not normal. The caller wakes a worker.
    #[inline]
    pub(crate) fn push_prioritized(&self, cell: std::ptr::NonNull<Header>) -> bool {
        // SAFETY: the caller has the duty to schedule a live process.
        let flags = unsafe { cell.as_ref() }.flags();
        // The simulator's order is by its seed alone.
        let is_special = Priority::is_special(flags) && !self.simulated;
        if is_special {
            self.prioritized.push(cell, Priority::of(flags));
        }
        is_special
    }

    /// Wakes a worker for work that others added; see [`IdleSet::sleeper_to_wake`].
    pub(crate) fn wake_sleeper(&self) {
        if let Some(worker) = self.idle.sleeper_to_wake() {
            self.remotes[worker].unpark();
            // It may stand still in its sleep.
            self.watch.wake();
        } else if self.simulated {
            self.remotes[0].unpark();
        }
    }

    /// Wakes a worker for work that the caller will do otherwise.
    pub(crate) fn wake_sleeper_soon(&self) {
        if let Some(worker) = self.idle.sleeper_to_wake_soon() {
            self.remotes[worker].unpark();
        }
    }

    pub(crate) fn wake_any_sleeper(&self) {
        if let Some(worker) = self.idle.any_sleeper() {
            self.remotes[worker].unpark();
        }
    }

    pub(crate) fn has_visible_work(&self) -> bool {
        !self.injector.is_empty()
            || !self.prioritized.is_empty()
            || self
                .places()
                .iter()
                .any(|worker| worker.stealer.as_ref().is_some_and(|queue| !queue.is_empty()))
    }

    /// Whether the node is driven by the simulator: no watch looks after it.
    pub(crate) fn is_simulated(&self) -> bool {
        self.simulated
    }

    /// Reads the clock and moves the coarse one on; the time in ticks.
    pub(crate) fn update_clock(&self) -> u64 {
        self.set_clock(self.clock.elapsed())
    }

    /// Moves the coarse clock on to what was just read; the time in ticks.
    pub(crate) fn set_clock(&self, elapsed: Duration) -> u64 {
        let now = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.timers.set_now(now);
        now
    }

    /// Sends a signal to a process, here or elsewhere. A dead or absent process answers as OTP says.
    pub(crate) fn signal(&self, to: Pid, signal: Signal) {
        if to.node() != self.id {
            return self.signal_remote(to, signal);
        }
        let refused = match self.table.get(to.local()) {
            Some(cell) => cell.signal(signal).err(),
            None => Some(signal),
        };
        if let Some(signal) = refused {
            self.bounce(to, signal);
        }
    }

    /// What a signal to a process that does not live comes back as.
    pub(crate) fn bounce(&self, dead: Pid, signal: Signal) {
        match signal {
            Signal::Link { from } => self.signal(
                from,
                Signal::Exit { from: dead, reason: Reason::NoProc, via: ExitVia::Link },
            ),
            Signal::Unlink { from, id } => self.signal(from, Signal::UnlinkAck { from: dead, id }),
            Signal::Monitor { reference, watcher: Watcher::Process(watcher) } => {
                self.signal(watcher, Signal::Down { reference, pid: dead, reason: Reason::NoProc })
            }
            Signal::Monitor { watcher: Watcher::Slot(reply), .. } => {
                reply.send(Reason::NoProc);
            }
            Signal::Inspect(reply) => reply.fail(Reason::NoProc),
            Signal::Exit { .. }
            | Signal::UnlinkAck { .. }
            | Signal::Demonitor { .. }
            | Signal::Down { .. }
            | Signal::NodeDown(_)
            | Signal::Info(_) => {}
        }
    }

    pub(crate) fn parent_of(&self, header: &Header) -> Option<Pid> {
        (header.parent != LocalPid::OUTSIDE).then(|| Pid::new(self.id, header.parent))
    }

    pub(crate) fn group_name(&self, header: &Header) -> Option<Arc<str>> {
        let place = usize::from(header.group()).checked_sub(1)?;
        self.groups.read().get(place).cloned()
    }

    pub(crate) fn row_of(&self, header: &Header) -> ProcessRow {
        let figures = header.account.read();
        let name = header.flag(NAMED).then(|| self.names.name_of(header.local)).flatten();
        ProcessRow {
            pid: header.pid(),
            name: name.map(|slot| slot.name.to_string()),
            label: header.rare().and_then(|rare| rare.label.lock().clone()),
            group: self.group_name(header),
            parent: self.parent_of(header),
            status: status_of(header),
            reductions: figures.reductions,
            activations: figures.activations,
            received: figures.received,
            sent: figures.sent,
            unread: figures.unread,
            mailbox_len: figures.unread.saturating_add(header.mail.waiting()),
            mailbox_peak: figures.peak,
            processor_time: figures.processor_time,
            started: START_UNIT * figures.started,
            restarts: figures.restarts,
            memory: memory::is_per_process().then_some(figures.memory),
            is_heavy: header.flag(HEAVY),
            priority: Priority::of(header.flags()),
            cell_size: header.vtable.cell_size,
            message_type: (header.vtable.ops.type_name)(),
        }
    }
}
