//! An allocator that counts, by thread, so that tests of one binary do not disturb each other.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Install it by `#[global_allocator]`.
pub(crate) struct Counting;

thread_local! {
    static COUNTED: Cell<Counted> = const { Cell::new(Counted { allocations: 0, live: 0, live_bytes: 0 }) };
}

/// What this thread has allocated, and allocated less what it has freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Counted {
    pub(crate) allocations: i64,
    pub(crate) live: i64,
    pub(crate) live_bytes: i64,
}

impl Counted {
    pub(crate) fn now() -> Self {
        COUNTED.get()
    }

    /// What came since `before`.
    pub(crate) fn since(before: Self) -> Self {
        let now = Self::now();
        Self {
            allocations: now.allocations - before.allocations,
            live: now.live - before.live,
            live_bytes: now.live_bytes - before.live_bytes,
        }
    }
}

fn count(allocations: i64, live: i64, bytes: i64) {
    // Not after the thread-local is gone: a thread that ends is no test's.
    let _ = COUNTED.try_with(|counted| {
        let mut now = counted.get();
        now.allocations += allocations;
        now.live += live;
        now.live_bytes += bytes;
        counted.set(now);
    });
}

// SAFETY: every call goes on to `System` as it came; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, 1, layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(0, -1, -(layout.size() as i64));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, 0, size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(place, layout, size) }
    }
}
