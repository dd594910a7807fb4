//! A worker: the thread (or the simulator's loop) that runs processes, and what a thread knows of the worker it is.
//!
//! Order of work: the LIFO slot (at most [`LIFO_STREAK_MAX`] times in a row), the own queue, the injector, other workers'
//! queues. Everything in `Worker` is touched by its own thread only; what others may touch is in [`Remote`] (`remote.rs`).

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::{Duration, Instant};

use crossbeam_deque::Steal;

use crate::cell::{Header, WAKER_TABLE};
use crate::clock_pace::ClockPace;
use crate::dead_letters::{DeadLetterReason, DeadLetterTarget, Unread};
use crate::duty::FallAsleep;
use crate::envelope::{drop_mail, open_signal};
use crate::id::LocalPid;
use crate::idle::Search;
use crate::introspect::CrashDetail;
use crate::mailbox::{Link, reverse};
use crate::node::{Node, NodeInner};
use crate::options::PanicOutput;
use crate::park::Bed;
use crate::queue::Task;
use crate::reactor::Reactor;
use crate::reason::Reason;
use crate::remote::{Remote, WorkerThread};
use crate::reply::{self, Orphan};
use crate::sim::ReadySet;
use crate::spin::Spin;
use crate::stranded::StrandedSearch;
use crate::table::IndexCache;
use crate::tally::Tally;
use crate::timer::TimerEntry;

/// How often in a row the LIFO slot goes before the queue.
pub(crate) const LIFO_STREAK_MAX: u32 = 16;
/// Messages that a process reads in one activation before it goes to the back of the queue.
pub(crate) const MESSAGES_MAX: u32 = 256;
/// Reductions of one activation.
pub(crate) const REDUCTIONS_MAX: u32 = 4000;
/// Activations between two looks at the injector while there is other work.
const INJECTOR_EVERY: u32 = 61;
/// A busy worker looks so often whether another one stands still.
const LOOK_AFTER: Duration = Duration::from_micros(100);
/// A busy worker polls the reactor when nobody did for so long. What the poll finds goes to the back of this worker's queue, and
/// keeps it from being out of work and taking over what waits elsewhere: too short hurts those that wait.
const POLL_AFTER: Duration = Duration::from_micros(500);
/// The most that a worker takes over, at one look, from one that stands still, in batches of some tasks each.
const STRANDED_BATCHES_MAX: usize = 8;

thread_local! {
    /// The worker that this thread is, while it is one.
    static HERE: Cell<*const Worker> = const { Cell::new(ptr::null()) };
    /// The node whose `block_on` or `enter` this thread is inside.
    static ENTERED: RefCell<Option<Node>> = const { RefCell::new(None) };
}

/// Where a worker keeps what is due.
pub(crate) enum Queue {
    Threaded(crossbeam_deque::Worker<Task>),
    #[cfg_attr(not(feature = "sim"), expect(dead_code, reason = "used by the simulator alone"))]
    Simulated(ReadySet),
}

/// Whether it was time to look at other workers too.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Maintained {
    WithLook,
    WithoutLook,
}

/// See the head of this file.
pub(crate) struct Worker {
    pub(crate) handle: Node,
    index: usize,
    remote: Arc<Remote>,
    pub(crate) queue: Queue,
    reactor: Reactor,
    /// The process that is being run.
    current: Cell<*const Header>,
    pub(crate) messages_left: Cell<u32>,
    pub(crate) reductions_left: Cell<u32>,
    pub(crate) tally: Tally,
    /// The process that runs has used up its budget and goes to the back.
    pub(crate) yielding: Cell<bool>,
    /// The process that runs must end; `doom` says why.
    pub(crate) doomed: Cell<bool>,
    /// The process that runs must end for this reason.
    pub(crate) doom: RefCell<Option<Reason>>,
    /// The reason for which the process that runs is ending, for the replies that it drops.
    pub(crate) exit_reason: RefCell<Option<Reason>>,
    /// The process that runs dropped replies unanswered or left a crash detail, since its poll began.
    has_leavings: Cell<bool>,
    orphans: RefCell<Vec<Orphan>>,
    pub(crate) crash_detail: RefCell<Option<Box<CrashDetail>>>,
    pub(crate) indices: RefCell<IndexCache>,
    refs_left: Cell<(u64, u64)>,
    in_reactor: Cell<bool>,
    /// The core is at the process's owner part: code that it calls (a waker, a drop) may not use the `Cx`.
    pub(crate) in_core: Cell<bool>,
    lifo_streak: Cell<u32>,
    /// The process that this worker put in its hand, whether or not it was stolen from there.
    pub(crate) in_hand: Cell<*const Header>,
    /// How often it was woken there, each time with a count that is owed to it.
    pub(crate) hand_wakes: Cell<u32>,
    tick: Cell<u32>,
    clock_pace: ClockPace,
    /// Since the node's start.
    last_look: Cell<Duration>,
    last_poll: Cell<Duration>,
    spin: Spin,
    stranded: StrandedSearch,
    due: RefCell<Vec<(u64, TimerEntry)>>,
}

/// Runs `f` with the worker that this thread is.
pub(crate) fn with_here<R>(f: impl FnOnce(Option<&Worker>) -> R) -> R {
    let here = HERE.get();
    // SAFETY: set by `Worker::enter` for as long as the worker stands on this thread's stack.
    f(unsafe { here.as_ref() })
}

/// Puts a process that just became `RUNNING` in a run queue.
pub(crate) fn schedule(cell: NonNull<Header>) {
    // SAFETY: the caller has the duty to schedule a live process.
    let node = unsafe { cell.as_ref() }.node();
    with_here(|worker| match worker {
        Some(worker) if ptr::eq(worker.node(), node) => worker.push_woken(cell),
        _ => {
            // The handle keeps the node's memory: once injected, the process may end and the node with it.
            // SAFETY: as above.
            let keep = unsafe { cell.as_ref() }.node_handle().clone();
            keep.inner().inject(cell);
        }
    });
}

/// The process that is polled here and now, if `waker` is its own: not the waker of some combinator inside of it.
pub(crate) fn own_process(waker: &Waker) -> Option<NonNull<Header>> {
    let current = with_here(|worker| worker.map(|worker| worker.current.get()))?;
    let own =
        ptr::eq(waker.data(), current.cast()) && ptr::eq(waker.vtable(), &raw const WAKER_TABLE);
    if own { NonNull::new(current.cast_mut()) } else { None }
}

/// The process that runs on this thread.
pub(crate) fn current_process() -> Option<NonNull<Header>> {
    with_here(|worker| NonNull::new(worker?.current.get().cast_mut()))
}

/// The process that runs on this thread, where its owner part may be touched: not while the core itself is at it.
pub(crate) fn running_process() -> Option<NonNull<Header>> {
    with_here(|worker| {
        let worker = worker.filter(|worker| !worker.in_core.get())?;
        NonNull::new(worker.current.get().cast_mut())
    })
}

/// The node of this thread: the running process's, or the one that the thread has entered.
pub(crate) fn current_node() -> Option<Node> {
    with_here(|worker| worker.map(|worker| worker.handle.clone()))
        .or_else(|| ENTERED.try_with(|node| node.borrow().clone()).ok().flatten())
}

/// Marks this thread as inside `node` until the guard goes.
pub(crate) fn enter_node(node: Node) -> EnteredNode {
    EnteredNode { previous: ENTERED.replace(Some(node)) }
}

/// Leaves the node that the thread has entered.
pub(crate) struct EnteredNode {
    previous: Option<Node>,
}

impl Drop for EnteredNode {
    fn drop(&mut self) {
        ENTERED.set(self.previous.take());
    }
}

/// What a panic on this thread prints; `None` outside of processes.
pub(crate) fn panic_output_here() -> Option<PanicOutput> {
    with_here(|worker| {
        let worker = worker?;
        (!worker.current.get().is_null()).then_some(worker.node().options.panic_output)
    })
}

/// The reason for which the process that runs here is ending.
pub(crate) fn exit_reason_here() -> Option<Reason> {
    with_here(|worker| worker?.exit_reason.borrow().clone())
}

/// Runs `f` as part of the end of the process that runs here: replies that it drops answer with `reason`.
pub(crate) fn with_exit_reason<R>(reason: &Reason, f: impl FnOnce() -> R) -> R {
    struct Forget;
    impl Drop for Forget {
        fn drop(&mut self) {
            with_here(|worker| worker.map(|worker| worker.exit_reason.take()));
        }
    }
    with_here(|worker| {
        if let Some(worker) = worker {
            *worker.exit_reason.borrow_mut() = Some(reason.clone());
        }
    });
    let _forget = Forget;
    f()
}

/// A reply was dropped unanswered: answers it with the reason that is known, or keeps it until the reason is known.
pub(crate) fn orphan_reply(orphan: Orphan) {
    with_here(|worker| {
        let running = worker.filter(|worker| !worker.current.get().is_null());
        let Some(worker) = running else {
            return orphan.fail(reply::dropped());
        };
        let known = worker.exit_reason.borrow().clone();
        match known {
            Some(reason) => orphan.fail(reason),
            // The process may be unwinding or returning: whether it ends, and why, is known when its poll is over.
            None => {
                worker.has_leavings.set(true);
                worker.orphans.borrow_mut().push(orphan);
            }
        }
    });
}

/// Notes an answer of type `T` whose caller had left, on the node of this thread.
#[cold]
pub(crate) fn note_late_reply<T>() {
    if let Some(node) = current_node() {
        let (reason, target) = (DeadLetterReason::LateReply, DeadLetterTarget::Caller);
        node.inner().dead_letter(reason, target, std::any::type_name::<T>());
    }
}

/// Drops a list of mail as taken from a mailbox.
///
/// # Safety
/// The caller owns the list, which is mail of the process `header`, which lives in memory.
pub(crate) unsafe fn drop_list(header: NonNull<Header>, newest: *mut Link) {
    // SAFETY: the caller's promise.
    let ops = unsafe { header.as_ref() }.vtable.ops;
    // SAFETY: the caller's promise.
    let mut next = unsafe { reverse(newest) };
    while let Some(link) = NonNull::new(next) {
        // SAFETY: a link of the caller's list.
        next = unsafe { link.as_ref() }.next();
        // SAFETY: as above, and not used again.
        unsafe { drop_mail(link, ops) };
    }
}

impl Worker {
    pub(crate) fn new(handle: Node, index: usize, queue: Queue, reactor: Reactor) -> Self {
        let remote = handle.inner().remotes[index].clone();
        Self {
            handle,
            index,
            remote,
            queue,
            reactor,
            current: Cell::new(ptr::null()),
            messages_left: Cell::new(0),
            reductions_left: Cell::new(0),
            tally: Tally::default(),
            yielding: Cell::new(false),
            doomed: Cell::new(false),
            doom: RefCell::new(None),
            exit_reason: RefCell::new(None),
            has_leavings: Cell::new(false),
            orphans: RefCell::new(Vec::new()),
            crash_detail: RefCell::new(None),
            indices: RefCell::new(IndexCache::default()),
            refs_left: Cell::new((0, 0)),
            in_reactor: Cell::new(false),
            in_core: Cell::new(false),
            lifo_streak: Cell::new(0),
            in_hand: Cell::new(ptr::null()),
            hand_wakes: Cell::new(0),
            tick: Cell::new(0),
            clock_pace: ClockPace::new(),
            last_look: Cell::new(Duration::ZERO),
            last_poll: Cell::new(Duration::ZERO),
            spin: Spin::new(),
            stranded: StrandedSearch::new(),
            due: RefCell::new(Vec::new()),
        }
    }

    pub(crate) fn node(&self) -> &NodeInner {
        self.handle.inner()
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Makes this thread the worker while `f` runs.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Leave(*const Worker);
        impl Drop for Leave {
            fn drop(&mut self) {
                HERE.set(self.0);
            }
        }
        let _leave = Leave(HERE.replace(ptr::from_ref(self)));
        f()
    }

    /// The process that runs, for the length of an activation.
    pub(crate) fn set_current(&self, cell: Option<NonNull<Header>>) {
        self.current.set(cell.map_or(ptr::null(), |cell| cell.as_ptr().cast_const()));
    }

    /// Whether a process is being run, and not something foreign.
    pub(crate) fn runs_process(&self) -> bool {
        !self.current.get().is_null()
    }

    pub(crate) fn is_current(&self, cell: NonNull<Header>) -> bool {
        ptr::eq(self.current.get(), cell.as_ptr())
    }

    /// A number for a reference, unique on the node.
    pub(crate) fn next_ref(&self) -> u64 {
        let (next, end) = self.refs_left.get();
        let (next, end) = if next == end { self.node().ref_range() } else { (next, end) };
        self.refs_left.set((next + 1, end));
        next
    }

    /// Keeps what the process leaves for its crash report, until its poll is over.
    pub(crate) fn leave_crash_detail(&self, detail: CrashDetail) {
        self.has_leavings.set(true);
        *self.crash_detail.borrow_mut() = Some(Box::new(detail));
    }

    /// The process goes on: the replies that it dropped are answered with a note, and the report that it prepared is void.
    pub(crate) fn clear_leavings(&self) {
        if self.has_leavings.get() {
            self.crash_detail.take();
            self.settle_orphans(reply::dropped);
        }
    }

    /// Answers the replies that the process dropped in this poll.
    pub(crate) fn settle_orphans(&self, reason: impl FnOnce() -> Reason) {
        if !self.has_leavings.replace(false) {
            return;
        }
        let reason = reason();
        for orphan in self.orphans.take() {
            orphan.fail(reason.clone());
        }
    }

    /// A new activation begins: the watch sees that this worker is not stuck, and whom it runs.
    pub(crate) fn count_activation(&self, process: LocalPid) {
        let activity = &self.remote().activity;
        activity.process.store(process.bits(), Ordering::Relaxed);
        let epoch = &activity.epoch;
        epoch.store(epoch.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Makes a process runnable that this thread just woke: it runs next.
    pub(crate) fn push_woken(&self, cell: NonNull<Header>) {
        match &self.queue {
            Queue::Threaded(_) if self.node().push_prioritized(cell) => {
                self.node().wake_sleeper_soon();
            }
            Queue::Threaded(queue) => {
                if let Some(displaced) = self.remote().lifo.put(cell) {
                    queue.push(Task(displaced));
                    self.node().wake_sleeper_soon();
                }
            }
            Queue::Simulated(ready) => ready.push(Task(cell)),
        }
        if self.in_reactor.get() {
            self.remote().unpark();
        }
    }

    /// Makes a process runnable again that used up its budget: it goes to the back.
    pub(crate) fn push_back(&self, cell: NonNull<Header>) {
        match &self.queue {
            Queue::Threaded(_) if self.node().push_prioritized(cell) => {
                self.node().wake_sleeper_soon();
            }
            Queue::Threaded(queue) => {
                queue.push(Task(cell));
                self.node().wake_sleeper_soon();
            }
            Queue::Simulated(ready) => ready.push(Task(cell)),
        }
    }

    /// Runs processes until the node has quit, or the worker is retired. The thread's whole life.
    pub(crate) fn run_to_the_end(&self) {
        let os_id = crate::demotion::os_thread();
        *self.remote().thread.lock() = Some(WorkerThread { thread: std::thread::current(), os_id });
        let mut rested = false;
        while !self.node().has_quit() && !self.remote().duty().is_retired() {
            match self.next_task() {
                Some(task) => {
                    // Who added work while this worker searched in vain counted on it, and woke nobody.
                    if std::mem::take(&mut rested) && self.node().has_visible_work() {
                        self.node().wake_sleeper();
                    }
                    self.activate(task);
                }
                // The process that should have run before this was decided was stolen.
                None if self.settle_hand() => {}
                None => {
                    self.idle();
                    rested = true;
                }
            }
        }
        self.settle_hand();
        if self.remote().duty().is_retired() {
            self.hand_over();
            // If this one held the driver, those who fell asleep meanwhile lie elsewhere: one of them has to take it.
            self.node().wake_any_sleeper();
        }
    }

    /// Leaves what is due to the others.
    fn hand_over(&self) {
        let node = self.node();
        let Queue::Threaded(queue) = &self.queue else {
            return;
        };
        let left = self.remote().lifo.take().into_iter();
        left.chain(std::iter::from_fn(|| queue.pop().map(|task| task.0)))
            .for_each(|task| node.inject(task));
        node.table.give_back(&mut self.indices.borrow_mut());
    }

    /// The queue, for who comes after a worker that has left.
    pub(crate) fn into_queue(self) -> Option<crossbeam_deque::Worker<Task>> {
        match self.queue {
            Queue::Threaded(queue) => Some(queue),
            Queue::Simulated(_) => None,
        }
    }

    fn next_task(&self) -> Option<NonNull<Header>> {
        let tick = self.tick.get().wrapping_add(1);
        self.tick.set(tick);
        if self.clock_pace.is_due()
            && self.maintain() == Maintained::WithLook
            && let Some(task) = self.stranded_task()
        {
            return Some(task);
        }
        if !self.node().prioritized.is_empty()
            && let Some(task) = self.node().prioritized.pop_before_normal(tick)
        {
            return Some(task);
        }
        if tick.is_multiple_of(INJECTOR_EVERY)
            && let Some(task) = self.node().injector.pop()
        {
            return Some(task);
        }
        self.own_task().or_else(|| self.injected_task())
    }

    fn own_task(&self) -> Option<NonNull<Header>> {
        let Queue::Threaded(queue) = &self.queue else {
            return None;
        };
        let streak = self.lifo_streak.get();
        if streak < LIFO_STREAK_MAX
            && let Some(task) = self.remote().lifo.take()
        {
            self.lifo_streak.set(streak + 1);
            return Some(task);
        }
        self.lifo_streak.set(0);
        match queue.pop() {
            Some(task) => Some(task.0),
            None => self.remote().lifo.take(),
        }
    }

    /// A task of the node's own queues, when there is none here: of the injector, or one that is not normal.
    fn injected_task(&self) -> Option<NonNull<Header>> {
        self.injected_share().or_else(|| {
            let prioritized = &self.node().prioritized;
            if prioritized.is_empty() { None } else { prioritized.pop() }
        })
    }

    /// Takes a fair share of the injector: one task to run, some more for the own queue.
    fn injected_share(&self) -> Option<NonNull<Header>> {
        let injector = &self.node().injector;
        let Queue::Threaded(queue) = &self.queue else {
            return injector.pop();
        };
        let first = injector.pop()?;
        let share = (injector.len() / self.node().options.workers).min(64);
        if share > 0 {
            injector.pop_some(share, |task| queue.push(task));
            self.node().wake_sleeper_soon();
        }
        Some(first)
    }

    /// Clock, timers, I/O: what a busy worker does now and then.
    fn maintain(&self) -> Maintained {
        let node = self.node();
        let elapsed = node.clock.elapsed();
        self.clock_pace.read(elapsed);
        node.set_clock(elapsed);
        self.fire_due_timers();
        if elapsed.saturating_sub(self.last_look.get()) < LOOK_AFTER {
            return Maintained::WithoutLook;
        }
        self.last_look.set(elapsed);
        if elapsed.saturating_sub(self.last_poll.get()) >= POLL_AFTER {
            self.last_poll.set(elapsed);
            self.reactor.poll_now(self);
        }
        Maintained::WithLook
    }

    fn are_timers_due(&self) -> bool {
        self.node().timers.now() >= self.node().timers.next()
    }

    /// Fires what is due. Never runs user code but drops of messages to dead processes.
    pub(crate) fn fire_due_timers(&self) {
        if !self.are_timers_due() {
            return;
        }
        let now = self.node().timers.now();
        // Whose code it is that may run now is not known.
        self.remote().activity.process.store(0, Ordering::Relaxed);
        // Firing can arm and so come here again: the buffer is taken, not borrowed.
        let mut due = self.due.take();
        self.node().timers.take_due(now, &mut due);
        for (deadline, entry) in due.drain(..) {
            // A repeated message's `Clone`, and the `Drop` of one that nobody gets, are the user's code.
            let fired = catch_unwind(AssertUnwindSafe(|| self.node().fire(deadline, entry)));
            if let Err(payload) = fired {
                let _ = crate::hook::panic_reason(payload);
            }
        }
        self.due.replace(due);
    }

    /// Out of work: searches, then sleeps.
    fn idle(&self) {
        let counts = &self.remote().counts;
        counts.idle_begins(self.node().clock.elapsed());
        let found = self.rest();
        counts.idle_ends(self.node().clock.elapsed());
        if let Some(task) = found {
            self.activate(task);
        }
    }

    /// Searches, then sleeps. What was found is to be run.
    fn rest(&self) -> Option<NonNull<Header>> {
        let node = self.node();
        let searching = node.idle.start_search() == Search::Granted;
        if searching && let Some(task) = self.search() {
            node.idle.end_search();
            node.wake_sleeper();
            return Some(task);
        }
        if self.remote().duty().fall_asleep() == FallAsleep::Retired {
            if searching {
                node.idle.end_search();
                node.wake_sleeper();
            }
            return None;
        }
        node.idle.announce_sleep(self.index, searching);
        if node.has_visible_work() || node.has_quit() {
            return self.get_up();
        }
        self.remote().counts.parked();
        self.sleep();
        let elapsed = node.clock.elapsed();
        self.clock_pace.restart(elapsed);
        node.set_clock(elapsed);
        self.last_poll.set(elapsed);
        let found = self.get_up();
        if !self.are_timers_due() {
            return found;
        }
        // It waits where others find it: what fires may take long.
        if let Some(task) = found {
            self.push_back(task);
        }
        self.fire_due_timers();
        None
    }

    /// No longer one of the sleepers. What was found for one that was woken is to be run.
    fn get_up(&self) -> Option<NonNull<Header>> {
        if !self.remote().duty().get_up() {
            return None;
        }
        let is_called = !self.node().idle.cancel_sleep(self.index);
        // Only now: the watch that still counted this worker as asleep might go to sleep itself.
        self.node().watch.wake();
        if !is_called {
            return None;
        }
        self.spin.called();
        self.search_as_woken()
    }

    /// Somebody woke this worker and counts on it to search.
    fn search_as_woken(&self) -> Option<NonNull<Header>> {
        let found = self.own_task().or_else(|| self.injected_task()).or_else(|| self.steal());
        self.node().idle.end_search();
        if found.is_some() {
            self.node().wake_sleeper();
        }
        found
    }

    /// Looks at every queue, for as long as [`Spin`] says, and once at least.
    fn search(&self) -> Option<NonNull<Header>> {
        let spin = self.spin.length();
        let begin = (!spin.is_zero()).then(Instant::now);
        let mut rounds = 0_u32;
        loop {
            let found = self.injected_task().or_else(|| self.steal());
            if found.is_some() {
                self.spin.found();
                return found;
            }
            let begin = begin?;
            for _ in 0..16 {
                std::hint::spin_loop();
            }
            rounds += 1;
            if rounds.is_multiple_of(4) && begin.elapsed() >= spin {
                self.spin.failed();
                return None;
            }
        }
    }

    fn steal(&self) -> Option<NonNull<Header>> {
        let Queue::Threaded(queue) = &self.queue else {
            return None;
        };
        let remotes = self.node().places();
        for offset in 1..remotes.len() {
            let victim = &remotes[(self.index + offset) % remotes.len()];
            let Some(stealer) = &victim.stealer else {
                continue;
            };
            loop {
                match stealer.steal_batch_and_pop(queue) {
                    Steal::Success(task) => {
                        self.remote().counts.stole();
                        return Some(task.0);
                    }
                    Steal::Empty => break,
                    Steal::Retry => std::hint::spin_loop(),
                }
            }
        }
        None
    }

    /// A task of a worker that stands still, and for the own queue all that waits there, up to [`STRANDED_BATCHES_MAX`].
    fn stranded_task(&self) -> Option<NonNull<Header>> {
        let Queue::Threaded(queue) = &self.queue else {
            return None;
        };
        let remotes = self.node().places();
        let other = &remotes[self.stranded.other(self.index, remotes.len())?];
        if !self.stranded.is_stranded(other.epoch(), queue.len()) {
            return None;
        }
        let stealer = other.stealer.as_ref()?;
        match stealer.steal_batch_and_pop(queue) {
            Steal::Success(task) => {
                self.remote().counts.stole();
                // Each batch is half of what is left.
                for _ in 1..STRANDED_BATCHES_MAX {
                    if !stealer.steal_batch(queue).is_success() {
                        break;
                    }
                }
                Some(task.0)
            }
            Steal::Empty | Steal::Retry => {
                self.stranded.go_on();
                None
            }
        }
    }

    pub(crate) fn sleep(&self) {
        if self.reactor.sleep(self) {
            self.in_reactor.set(false);
            *self.remote().reactor_waker.lock() = None;
            self.remote().park.get_up();
            return;
        }
        let word = &self.remote().park;
        if !word.lie_down(Bed::Thread) {
            return;
        }
        while !word.is_notified() {
            std::thread::park();
        }
        word.get_up();
    }

    /// Inside the reactor: whether there is something to do here. Leaves the waker for those who will say so.
    pub(crate) fn is_called(&self, waker: &Waker) -> bool {
        let remote = self.remote();
        if !self.in_reactor.get() {
            *remote.reactor_waker.lock() = Some(waker.clone());
            if !remote.park.lie_down(Bed::Reactor) {
                return true;
            }
            self.in_reactor.set(true);
        } else {
            let mut left = remote.reactor_waker.lock();
            if !left.as_ref().is_some_and(|left| left.will_wake(waker)) {
                *left = Some(waker.clone());
            }
        }
        remote.park.is_notified()
    }

    #[cfg_attr(not(feature = "sim"), expect(dead_code, reason = "used by the simulator alone"))]
    /// Serves I/O that is ready. For the simulator, which sleeps otherwise.
    pub(crate) fn reactor(&self) -> &Reactor {
        &self.reactor
    }
}

/// Drops what is left in a dead process's inbox.
///
/// The drop of a message is the user's code, which may use the process (a call lends itself a count of it): no reference to
/// the owner part is held across it.
///
/// # Safety
/// The caller owns the process `header` and holds no reference to its owner part.
pub(crate) unsafe fn drain_inbox(
    header: NonNull<Header>,
    mut on_signal: impl FnMut(crate::signal::Signal),
) {
    // SAFETY: the process lives.
    let cell = unsafe { header.as_ref() };
    let ops = cell.vtable.ops;
    let mut unread = Unread::new(cell.node(), cell.pid(), (ops.type_name)());
    loop {
        // SAFETY: the caller's promise; the reference ends with the statement.
        let Some(link) = unsafe { cell.owner() }.inbox.pop_front() else {
            return;
        };
        // SAFETY: taken from the inbox, so it is owned here.
        match unsafe { link.as_ref() }.kind() {
            crate::mailbox::LinkKind::Message => {
                unread.one();
                // SAFETY: as above; messages of this process are of its type.
                let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| unsafe {
                    drop_mail(link, ops);
                }));
                if let Err(payload) = dropped {
                    let _ = crate::hook::panic_reason(payload);
                    cell.node().dead_letters.drop_panics.fetch_add(1, Ordering::Relaxed);
                }
            }
            // SAFETY: as above.
            crate::mailbox::LinkKind::Signal => on_signal(unsafe { open_signal(link) }.signal),
        }
    }
}
