//! Counting what is allocated: by the whole program, and by each process.
//!
//! A program that wants it makes [`CountingAllocator`] its global allocator, around the one that it would have; nothing is
//! counted otherwise. Each thread counts in cells of its own, and books the program's sum when some has come together. What was
//! counted while a process ran its worker books on the process's account when the activation is over.
//!
//! What a process allocates is charged to it, and given back to whoever frees it: a process that receives large messages and
//! drops them shows less than it has, and one that sends them shows more. So it is a report, and nothing is enforced by it.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

/// Bytes that a thread counts for itself at most.
const KEPT_MAX: i64 = 1 << 10;

const OFF: u8 = 0;
const TOTAL: u8 = 1;
const PER_PROCESS: u8 = 2;

/// What is counted in this program: set by the allocator's first use. Orders nothing.
static MODE: AtomicU8 = AtomicU8::new(OFF);
/// What threads have booked.
static BOOKED: AtomicI64 = AtomicI64::new(0);

thread_local! {
    /// Bytes allocated less bytes freed on this thread, and not booked.
    static KEPT: Cell<i64> = const { Cell::new(0) };
    /// The same, since the worker on this thread asked for it last.
    static OF_PROCESS: Cell<i64> = const { Cell::new(0) };
}

/// A global allocator that counts what another one allocates.
///
/// # Examples
/// ```
/// use linden_core::CountingAllocator;
/// use std::alloc::System;
///
/// #[global_allocator]
/// static ALLOCATOR: CountingAllocator<System> = CountingAllocator::per_process(System);
///
/// let text = vec![1_u8; 1 << 20];
/// assert!(linden_core::live_bytes().is_some_and(|bytes| bytes >= 1 << 19));
/// drop(text);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CountingAllocator<A> {
    inner: A,
    mode: u8,
}

impl<A> CountingAllocator<A> {
    /// Counts for the whole program ([`live_bytes`]) and for each process ([`crate::ProcessRow::memory`]).
    pub const fn per_process(inner: A) -> Self {
        Self { inner, mode: PER_PROCESS }
    }

    /// Counts for the whole program only.
    pub const fn total(inner: A) -> Self {
        Self { inner, mode: TOTAL }
    }

    fn count(&self, bytes: i64) {
        if MODE.load(Ordering::Relaxed) == OFF {
            MODE.store(self.mode, Ordering::Relaxed);
        }
        // What the last destructors of a thread do is not counted.
        let _ = KEPT.try_with(|kept| {
            let now = kept.get() + bytes;
            if now.abs() > KEPT_MAX {
                BOOKED.fetch_add(now, Ordering::Relaxed);
            }
            kept.set(if now.abs() > KEPT_MAX { 0 } else { now });
        });
        if self.mode == PER_PROCESS {
            let _ = OF_PROCESS.try_with(|of_process| of_process.set(of_process.get() + bytes));
        }
    }
}

// SAFETY: every call goes on to the inner allocator as it came; counting does not allocate.
unsafe impl<A: GlobalAlloc> GlobalAlloc for CountingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { self.inner.alloc(layout) };
        if !block.is_null() {
            self.count(size(layout.size()));
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.count(-size(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { self.inner.dealloc(block, layout) };
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { self.inner.alloc_zeroed(layout) };
        if !block.is_null() {
            self.count(size(layout.size()));
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        let grown = unsafe { self.inner.realloc(block, layout, new_size) };
        if !grown.is_null() {
            self.count(size(new_size) - size(layout.size()));
        }
        grown
    }
}

fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Bytes that are allocated and not freed, in the whole program; `None` without a [`CountingAllocator`]. Other threads may each
/// have counted 1 KiB that is not in it.
#[must_use]
pub fn live_bytes() -> Option<u64> {
    let kept = KEPT.try_with(Cell::get).unwrap_or(0);
    let bytes = BOOKED.load(Ordering::Relaxed) + kept;
    (MODE.load(Ordering::Relaxed) != OFF).then(|| u64::try_from(bytes).unwrap_or(0))
}

/// Whether processes have figures of their own.
pub(crate) fn is_per_process() -> bool {
    MODE.load(Ordering::Relaxed) == PER_PROCESS
}

/// What this thread has allocated less what it has freed since this was asked last; 0 where that is not counted.
pub(crate) fn take_of_process() -> i64 {
    if is_per_process() { OF_PROCESS.try_with(Cell::take).unwrap_or(0) } else { 0 }
}
