//! The process cell: one allocation that holds a process's header, mailbox word, accounts and future.
//!
//! Who may touch what (rules in `docs/UNSAFE.md`):
//! - the mailbox word, the count and the flags: anybody who holds a count;
//! - the owner part and the future: the worker that runs the process, between the moment it took it from a run queue and the
//!   moment `MailWord::try_idle` gave it up, or, when the process ends, it gave the process's own count back;
//! - the memory: freed by whoever gives back the last count. The process itself holds one count until it is dead, so the
//!   future is always dropped by a worker, never by a handle.

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop, MaybeUninit};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use crate::account::Account;
use crate::envelope::{Letter, MessageOps, SignalNode, open_signal};
use crate::hand;
use crate::id::{LocalPid, Pid};
use crate::inbox::Inbox;
use crate::links::Rare;
use crate::mailbox::{LinkKind, MailWord, Push, Wake};
use crate::message::Message;
use crate::node::{Node, NodeInner};
use crate::prefetch::fetch_ahead;
use crate::priority::Priority;
use crate::reason::{IntoReason, Reason};
use crate::signal::Signal;
use crate::slot::Counted;
use crate::worker;

/// The process traps exits. Written by the owner.
pub(crate) const TRAP_EXIT: u32 = 1;
/// The process is linked to its parent. Written by the owner.
pub(crate) const PARENT_LINKED: u32 = 1 << 1;
/// The process is dying; it takes no name any more. Written by the owner.
pub(crate) const EXITING: u32 = 1 << 2;
/// The process has a registered name. Written by whoever registers it, under the registry's lock.
pub(crate) const NAMED: u32 = 1 << 3;
/// The process has links or monitors to other nodes. Set by the owner, and by whoever delivers one from there.
pub(crate) const REMOTE: u32 = 1 << 4;

/// The process once took so long in one activation that its worker was replaced. Set by the watch, never cleared.
pub(crate) const HEAVY: u32 = 1 << 5;

/// The process has a limit for its mailbox; `Rare` has it. Set by whoever limits it, never cleared.
pub(crate) const LIMITED: u32 = 1 << 7;
/// The process works in a trace; `Rare` has it. Written by the owner.
pub(crate) const TRACED: u32 = 1 << 6;

/// An exit signal that cannot be trapped was sent. Set by the sender, behind the signal.
pub(crate) const KILLED: u32 = 1 << 8;
/// The process is dead for all others while its owner stands still in its code; see `reap.rs`. Set by the reaper.
pub(crate) const REAPED: u32 = 1 << 9;

// Bits 10 and 11: the priority; see `priority.rs`.

/// The upper half of the flags: the number of the process's group. Written by the owner.
pub(crate) const GROUP_SHIFT: u32 = 16;

/// The part of a cell that does not depend on the process's types.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) mail: MailWord,
    /// Counted handles, the process's own included.
    refs: AtomicU32,
    flags: AtomicU32,
    pub(crate) vtable: &'static VTable,
    /// Keeps the node's memory. Each worker has a share of its own, so that its count is not fought over.
    node: ManuallyDrop<Node>,
    pub(crate) local: LocalPid,
    pub(crate) parent: LocalPid,
    /// Made by the owner at the first need, freed with the cell.
    rare: AtomicPtr<Rare>,
    /// What it has done. Dropped by `release`.
    pub(crate) account: ManuallyDrop<Account>,
    owner: UnsafeCell<Owner>,
}

/// What only the owner touches.
#[derive(Debug)]
pub(crate) struct Owner {
    /// Mail in the order of arrival, taken from the mailbox word and not yet read.
    pub(crate) inbox: Inbox,
    /// The process sits in a `recv`: mail makes it run.
    pub(crate) waiting: bool,
    /// Counts of this cell taken in advance, for wakers that the process leaves: one that comes back by waking the process
    /// goes here, so that a call touches the shared count only now and then.
    spare_counts: u16,
    /// The tick of the wake-up that is armed for a deadline of this process; 0 for none. See `deadline.rs`.
    pub(crate) armed: u32,
}

// SAFETY: what is shared is atomic or immutable; the owner part is passed from worker to worker with the ownership that the
// mailbox word hands over.
unsafe impl Send for Header {}
// SAFETY: as above.
unsafe impl Sync for Header {}

// SAFETY: the counter is atomic.
unsafe impl Counted for Header {
    fn retain(&self) {
        self.refs.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the header needs to know of the types behind it.
pub(crate) struct VTable {
    /// Polls the future.
    poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Poll<Reason>,
    drop_future: unsafe fn(NonNull<Header>),
    dealloc: unsafe fn(NonNull<Header>),
    pub(crate) cell_size: usize,
    pub(crate) ops: &'static MessageOps,
}

/// One process, with its types.
#[repr(C)]
struct ProcessCell<M, F> {
    header: Header,
    /// Written once before the process is known to anybody, dropped in place by the owner at death.
    future: UnsafeCell<MaybeUninit<F>>,
    message: PhantomData<fn(M)>,
}

struct TableOf<M, F>(PhantomData<(fn(M), F)>);

impl<M: Message, F: Future<Output: IntoReason> + Send + 'static> TableOf<M, F> {
    const TABLE: VTable = VTable {
        poll: |cell, cx| {
            let cell = cell.cast::<ProcessCell<M, F>>();
            // SAFETY: the header stands first in a cell of this type.
            let future = unsafe { cell.as_ref() }.future.get();
            fetch_ahead(future);
            // SAFETY: only the owner polls, and no other reference to the future is held.
            let future = unsafe { &mut *future };
            // SAFETY: the future is live until the owner drops it.
            let future = unsafe { future.assume_init_mut() };
            // SAFETY: a cell never moves.
            let future = unsafe { Pin::new_unchecked(future) };
            future.poll(cx).map(IntoReason::into_reason)
        },
        drop_future: |cell| {
            let cell = cell.cast::<ProcessCell<M, F>>();
            // SAFETY: the header stands first in a cell of this type.
            let future = unsafe { cell.as_ref() }.future.get();
            // SAFETY: only the owner drops it, and no other reference to the future is held.
            let future = unsafe { &mut *future };
            // SAFETY: dropped once.
            unsafe { future.assume_init_drop() };
        },
        dealloc: |cell| {
            let cell = cell.cast::<MaybeUninit<ProcessCell<M, F>>>();
            // SAFETY: the last count is gone, the future was dropped; the memory came from a `Box` of this layout.
            drop(unsafe { Box::from_raw(cell.as_ptr()) });
        },
        cell_size: size_of::<ProcessCell<M, F>>(),
        ops: MessageOps::of::<M>(),
    };
}

/// What a new cell is made of.
pub(crate) struct Birth {
    pub(crate) node: Node,
    pub(crate) local: LocalPid,
    pub(crate) parent: LocalPid,
    pub(crate) flags: u32,
    /// In units of [`account::START_UNIT`](crate::account::START_UNIT).
    pub(crate) started: u32,
}

/// A cell whose future is not there yet: known to nobody but its maker.
pub(crate) struct NewCell<M, F> {
    cell: NonNull<ProcessCell<M, F>>,
}

impl<M: Message, F: Future<Output: IntoReason> + Send + 'static> NewCell<M, F> {
    pub(crate) fn new(birth: Birth) -> Self {
        let cell = Box::new(ProcessCell::<M, F> {
            header: Header {
                mail: MailWord::new(),
                refs: AtomicU32::new(1),
                flags: AtomicU32::new(birth.flags),
                vtable: &TableOf::<M, F>::TABLE,
                node: ManuallyDrop::new(birth.node),
                local: birth.local,
                parent: birth.parent,
                rare: AtomicPtr::new(std::ptr::null_mut()),
                account: ManuallyDrop::new(Account::new(birth.started)),
                owner: UnsafeCell::new(Owner {
                    inbox: Inbox::new(),
                    waiting: false,
                    spare_counts: 0,
                    armed: 0,
                }),
            },
            future: UnsafeCell::new(MaybeUninit::uninit()),
            message: PhantomData,
        });
        Self { cell: NonNull::from(Box::leak(cell)) }
    }

    /// One more count, for the process's own end.
    pub(crate) fn handle(&self) -> CellRef {
        let header = self.cell.cast::<Header>();
        // SAFETY: the cell lives.
        unsafe { header.as_ref() }.retain();
        CellRef { header }
    }

    /// Puts the future in. The count of the process itself passes to the caller as a raw pointer: whoever runs the process
    /// to its end gives it back.
    pub(crate) fn complete(self, future: F) -> NonNull<Header> {
        let cell = ManuallyDrop::new(self).cell;
        // SAFETY: the cell lives and is known to nobody who would touch its future.
        let place = unsafe { cell.as_ref() }.future.get();
        // SAFETY: as above.
        unsafe { (*place).write(future) };
        cell.cast()
    }
}

impl<M, F> Drop for NewCell<M, F> {
    /// The function that should have made the future panicked: the cell dies without having lived. It had a `Cx`, which it
    /// may have named the process by, or passed to somebody.
    fn drop(&mut self) {
        let header = self.cell.cast::<Header>();
        // SAFETY: the cell lives until the release below.
        let cell = unsafe { header.as_ref() };
        if cell.set_flag(EXITING) & NAMED != 0 {
            // SAFETY: the process's own count is still there; the handle's is forgotten, not given back.
            let handle = ManuallyDrop::new(unsafe { CellRef::from_counted(header) });
            cell.node().names.release(&handle);
        }
        let left = cell.mail.close();
        if let Some(limit) = cell.limit() {
            limit.close();
        }
        // SAFETY: the cell's maker is its owner, and gives back the process's own count, once.
        unsafe {
            worker::drop_list(header, left);
        }
        // SAFETY: as above.
        unsafe { release(header) };
    }
}

impl Header {
    pub(crate) fn pid(&self) -> Pid {
        Pid::new(self.node().id, self.local)
    }

    pub(crate) fn node(&self) -> &NodeInner {
        self.node.inner()
    }

    /// A handle of the node.
    pub(crate) fn node_handle(&self) -> &Node {
        &self.node
    }

    pub(crate) fn flag(&self, flag: u32) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    pub(crate) fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Gives the process another priority, and says which it had.
    pub(crate) fn set_priority(&self, priority: Priority) -> Priority {
        let put = |flags| Some(priority.put_into(flags));
        let before = self.flags.fetch_update(Ordering::AcqRel, Ordering::Relaxed, put);
        Priority::of(before.unwrap_or_default())
    }

    /// Sets a flag and says which flags were set before. One total order over all flags of the cell.
    pub(crate) fn set_flag(&self, flag: u32) -> u32 {
        self.flags.fetch_or(flag, Ordering::AcqRel)
    }

    /// The number of the process's group; 0 for none.
    pub(crate) fn group(&self) -> u16 {
        (self.flags.load(Ordering::Relaxed) >> GROUP_SHIFT) as u16
    }

    /// Moves the process to another group. Owner only.
    pub(crate) fn set_group(&self, group: u16) {
        self.clear_flag(u32::from(u16::MAX) << GROUP_SHIFT);
        self.set_flag(u32::from(group) << GROUP_SHIFT);
    }

    /// Clears a flag and says which flags were set before.
    pub(crate) fn clear_flag(&self, flag: u32) -> u32 {
        self.flags.fetch_and(!flag, Ordering::AcqRel)
    }

    /// The owner part.
    ///
    /// # Safety
    /// The caller is the owner (see the head of this file) and holds no other reference to the owner part.
    #[expect(
        clippy::mut_from_ref,
        reason = "ownership passes through the mailbox word, as an UnsafeCell's does"
    )]
    pub(crate) unsafe fn owner(&self) -> &mut Owner {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.owner.get() }
    }

    /// The rare part, if it was ever needed.
    pub(crate) fn rare(&self) -> Option<&Rare> {
        // SAFETY: set once from a `Box`, freed with the cell.
        unsafe { self.rare.load(Ordering::Acquire).as_ref() }
    }

    /// The rare part, made now if need be. Owner only, or under the registry's lock: two makers are told apart.
    pub(crate) fn rare_or_new(&self) -> &Rare {
        if let Some(rare) = self.rare() {
            return rare;
        }
        let fresh = Box::into_raw(Box::default());
        match self.rare.compare_exchange(
            std::ptr::null_mut(),
            fresh,
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            // SAFETY: just made, and freed with the cell.
            Ok(_) => unsafe { &*fresh },
            Err(theirs) => {
                // SAFETY: made above, shared with nobody.
                drop(unsafe { Box::from_raw(fresh) });
                // SAFETY: set once, freed with the cell.
                unsafe { &*theirs }
            }
        }
    }

    /// Polls the future.
    ///
    /// # Safety
    /// The caller is the owner, and the future was neither completed nor dropped.
    pub(crate) unsafe fn poll(cell: NonNull<Self>, cx: &mut Context<'_>) -> Poll<Reason> {
        // SAFETY: the cell lives while it is run.
        let table = unsafe { cell.as_ref() }.vtable;
        // SAFETY: the caller's promise.
        unsafe { (table.poll)(cell, cx) }
    }

    /// Drops the future.
    ///
    /// # Safety
    /// The caller is the owner and does it once.
    pub(crate) unsafe fn drop_future(cell: NonNull<Self>) {
        // SAFETY: the cell lives while it is run.
        let table = unsafe { cell.as_ref() }.vtable;
        // SAFETY: the caller's promise.
        unsafe { (table.drop_future)(cell) };
    }
}

/// Gives back one count, and frees the cell with the last.
///
/// # Safety
/// The caller owns one count and does not use it again.
pub(crate) unsafe fn release(header: NonNull<Header>) {
    // SAFETY: the caller's count keeps the cell until here.
    let cell = unsafe { header.as_ref() };
    if cell.refs.fetch_sub(1, Ordering::Release) != 1 {
        return;
    }
    std::sync::atomic::fence(Ordering::Acquire);
    let rare = cell.rare.load(Ordering::Relaxed);
    if !rare.is_null() {
        // SAFETY: made by a `Box`, and nobody holds a count any more.
        drop(unsafe { Box::from_raw(rare) });
    }
    let dealloc = cell.vtable.dealloc;
    // SAFETY: the last count is gone, so nobody else has a reference to the cell.
    let cell = unsafe { &mut *header.as_ptr() };
    // SAFETY: the field is not used again.
    let node = unsafe { ManuallyDrop::take(&mut cell.node) };
    // SAFETY: as above.
    unsafe { ManuallyDrop::drop(&mut cell.account) };
    // SAFETY: the last count is gone; the process is dead, so its future was dropped.
    unsafe { dealloc(header) };
    // Last: this may be what kept the node's memory.
    drop(node);
}

/// Why a message is not in the mailbox; it is back.
pub(crate) enum Refused {
    /// The process is dead, or its message type is another one.
    Dead(Letter),
    /// The mailbox has a limit and is full.
    Full(Letter),
}

/// A counted handle of a cell, live or dead.
pub(crate) struct CellRef {
    header: NonNull<Header>,
}

// SAFETY: the header is shared safely, and the count is atomic.
unsafe impl Send for CellRef {}
// SAFETY: as above.
unsafe impl Sync for CellRef {}

impl CellRef {
    /// # Safety
    /// The caller passes on one count.
    pub(crate) unsafe fn from_counted(header: NonNull<Header>) -> Self {
        Self { header }
    }

    pub(crate) fn as_ptr(&self) -> NonNull<Header> {
        self.header
    }

    /// Puts a message in the mailbox.
    pub(crate) fn post(&self, letter: Letter) -> Result<(), Refused> {
        if letter.ops.type_id != self.vtable.ops.type_id {
            return Err(Refused::Dead(letter));
        }
        if self.flag(LIMITED) {
            return self.post_limited(letter);
        }
        self.push(letter)
    }

    #[cold]
    #[inline(never)]
    fn post_limited(&self, letter: Letter) -> Result<(), Refused> {
        match self.limit() {
            Some(limit) if !limit.try_enter() => Err(Refused::Full(letter)),
            _ => self.post_entered(letter),
        }
    }

    /// Puts a message of the right type in the mailbox, for which there is room.
    pub(crate) fn post_entered(&self, letter: Letter) -> Result<(), Refused> {
        letter.set_counted();
        self.push(letter)
    }

    #[inline(always)]
    fn push(&self, letter: Letter) -> Result<(), Refused> {
        let ops = letter.ops;
        let link = letter.into_link();
        // SAFETY: the letter owned its envelope, of the type that this process reads.
        match unsafe { self.mail.push(link.as_ptr(), LinkKind::Message) } {
            Push::Queued => Ok(()),
            Push::Schedule => {
                worker::schedule(self.header);
                Ok(())
            }
            // SAFETY: refused, so it is still this function's.
            Push::Closed => Err(Refused::Dead(unsafe { Letter::of_refused(link, ops) })),
        }
    }

    /// Puts a signal in the mailbox. Back with it when the process is dead.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Signal> {
        let kills = signal.kills();
        let link = SignalNode::new(signal).into_link();
        // SAFETY: the node was just made.
        let pushed = unsafe { self.mail.push(link.as_ptr(), LinkKind::Signal) };
        if pushed == Push::Closed {
            // SAFETY: refused, so it is still this function's.
            return Err(unsafe { open_signal(link) }.signal);
        }
        if kills {
            self.set_flag(KILLED);
            self.node().hurry_reaper(self.local);
        }
        if pushed == Push::Schedule {
            worker::schedule(self.header);
        }
        Ok(())
    }

    /// Asks that the process be polled once more.
    pub(crate) fn wake(&self) {
        wake(self.header);
    }
}

impl std::ops::Deref for CellRef {
    type Target = Header;

    fn deref(&self) -> &Header {
        // SAFETY: the count keeps the cell.
        unsafe { self.header.as_ref() }
    }
}

impl Clone for CellRef {
    fn clone(&self) -> Self {
        self.retain();
        Self { header: self.header }
    }
}

impl Drop for CellRef {
    fn drop(&mut self) {
        // SAFETY: the handle owns one count.
        unsafe { release(self.header) };
    }
}

impl fmt::Debug for CellRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}.{}>", self.local.index, self.local.generation)
    }
}

/// How many counts a process takes in advance.
const SPARE_COUNTS: u16 = 64;

/// One count of the process that runs here, for a waker that it leaves somewhere.
///
/// # Safety
/// The process is being run by this thread, and no other reference to its owner part is held.
pub(crate) unsafe fn lend_count(header: NonNull<Header>) {
    // SAFETY: the process runs here.
    let cell = unsafe { header.as_ref() };
    // SAFETY: the caller's promise.
    let owner = unsafe { cell.owner() };
    if owner.spare_counts == 0 {
        cell.refs.fetch_add(u32::from(SPARE_COUNTS), Ordering::Relaxed);
        owner.spare_counts = SPARE_COUNTS;
    }
    owner.spare_counts -= 1;
}

/// Wakes the process and gives up one count: back to the process when this wake makes it run.
///
/// # Safety
/// The caller owns one count and does not use it again.
pub(crate) unsafe fn wake_counted(header: NonNull<Header>) {
    if hand::wake_in_hand(header) {
        return;
    }
    // SAFETY: the caller's count keeps the cell.
    let cell = unsafe { header.as_ref() };
    match cell.mail.wake() {
        // SAFETY: the caller's promise.
        Wake::Noted => unsafe { release(header) },
        Wake::Schedule => {
            // Between the change to `RUNNING` and the run queue this thread is the process's owner.
            // SAFETY: as said, and the reference ends with the statement.
            let spare = unsafe { &mut cell.owner().spare_counts };
            if *spare < u16::MAX {
                *spare += 1;
            } else {
                // SAFETY: the caller's promise; the process's own count keeps the cell.
                unsafe { release(header) };
            }
            worker::schedule(header);
        }
    }
}

/// Takes counts back that wakes of a process in hand gave up; see [`hand::wake_in_hand`].
///
/// # Safety
/// The caller owns so many counts and does not use them again. When `is_owner` says so, it owns the process as well.
pub(crate) unsafe fn take_back(header: NonNull<Header>, counts: u32, is_owner: bool) {
    for _ in 0..counts {
        if is_owner {
            // SAFETY: the counts keep the cell.
            let cell = unsafe { header.as_ref() };
            // SAFETY: the caller's promise, and the reference ends with the loop's body.
            let spare = unsafe { &mut cell.owner().spare_counts };
            if *spare < u16::MAX {
                *spare += 1;
                continue;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { release(header) };
    }
}

/// Gives back the counts of a process that has ended: its own, and those taken in advance.
///
/// # Safety
/// The caller is the worker that ended the process, and does not use it again.
pub(crate) unsafe fn release_own(header: NonNull<Header>) {
    // SAFETY: the process's own count keeps the cell.
    let cell = unsafe { header.as_ref() };
    // SAFETY: the caller is the owner.
    let spare = std::mem::take(unsafe { &mut cell.owner().spare_counts });
    if spare > 0 {
        cell.refs.fetch_sub(u32::from(spare), Ordering::Release);
    }
    // SAFETY: the caller's promise.
    unsafe { release(header) };
}

fn wake(header: NonNull<Header>) {
    // SAFETY: the callers hold a count.
    match unsafe { header.as_ref() }.mail.wake() {
        Wake::Noted => {}
        Wake::Schedule => worker::schedule(header),
    }
}

/// The waker of a process: its cell, with one count.
pub(crate) static WAKER_TABLE: RawWakerVTable = RawWakerVTable::new(
    |cell| {
        let header = header_of(cell);
        // SAFETY: the waker that is cloned holds a count.
        unsafe { header.as_ref() }.retain();
        RawWaker::new(cell, &WAKER_TABLE)
    },
    |cell| {
        // SAFETY: waking by value gives up the waker's count.
        unsafe { wake_counted(header_of(cell)) };
    },
    |cell| wake(header_of(cell)),
    |cell| {
        // SAFETY: the waker's count is given up.
        unsafe { release(header_of(cell)) };
    },
);

fn header_of(cell: *const ()) -> NonNull<Header> {
    // SAFETY: the data of this table's wakers is never null: it is a cell.
    unsafe { NonNull::new_unchecked(cell.cast::<Header>().cast_mut()) }
}

/// A waker of the process without a count of its own, for the length of one poll.
///
/// # Safety
/// The cell outlives the waker that is returned (clones of it take counts of their own).
pub(crate) unsafe fn borrowed_waker(header: NonNull<Header>) -> ManuallyDrop<Waker> {
    let raw = RawWaker::new(header.as_ptr().cast_const().cast(), &WAKER_TABLE);
    // SAFETY: the table keeps the contract of `RawWaker`.
    ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
}

/// The layout that `Box` gave to a cell with a future of `F`; tests weigh it.
pub(crate) fn cell_layout<M, F>() -> Layout {
    Layout::new::<ProcessCell<M, F>>()
}

const _: () = assert!(mem::size_of::<Header>() <= 88, "a process costs hundreds of bytes");
