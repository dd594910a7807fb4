//! A place that leads from a pid or a name to a live cell, while the cell may be dying at the same moment.
//!
//! The reclamation scheme of this crate (rules in `docs/UNSAFE.md`): handles are counted, and a slot owns *no* count. A
//! reader locks the slot by one bit, and while it holds the bit the cell cannot die, because a dying process must clear
//! its slots, which takes the bit, before it gives up its own count. So a count can be taken from at least one.
//!
//! The lock is held for a handful of instructions, never across user code, so waiting for it is a short spin.

use std::ptr::{self, NonNull};

use crate::sync::{AtomicPtr, Ordering, order, spin_hint};

/// What a slot can lead to.
///
/// # Safety
/// `retain` adds one count to a value that has at least one, and may be called from any thread.
pub(crate) unsafe trait Counted {
    fn retain(&self);
}

const LOCKED: usize = 0b01;
const VACANT: usize = 0b10;
const TAG: usize = 0b11;

/// One slot. Vacant, it keeps a small number for its owner (the table keeps the next generation there).
#[derive(Debug)]
pub(crate) struct Slot<T> {
    /// A pointer to the cell, or `number << 2 | VACANT`; bit 0 is the lock. The lock is taken with `Acquire` and released
    /// with `Release`, so that a cleared slot is cleared after every count that was taken through it.
    word: AtomicPtr<T>,
}

fn vacant<T>(number: u32) -> *mut T {
    ptr::null_mut::<T>().map_addr(|_| ((number as usize) << 2) | VACANT)
}

impl<T: Counted> Slot<T> {
    pub(crate) fn new(number: u32) -> Self {
        Self { word: AtomicPtr::new(vacant(number)) }
    }

    /// The number kept in a vacant slot.
    pub(crate) fn number(&self) -> Option<u32> {
        let word = self.word.load(Ordering::Relaxed);
        (word.addr() & VACANT != 0).then(|| (word.addr() >> 2) as u32)
    }

    /// Keeps another number in a vacant slot that this thread alone may fill.
    pub(crate) fn renumber(&self, number: u32) {
        debug_assert!(self.number().is_some(), "a slot that leads somewhere keeps no number");
        self.word.store(vacant(number), Ordering::Relaxed);
    }

    /// Lets the slot lead to `cell`.
    ///
    /// # Safety
    /// The slot is vacant and this thread alone may fill it; `cell` lives, and `clear` is called before it dies.
    pub(crate) unsafe fn fill(&self, cell: NonNull<T>) {
        debug_assert_eq!(cell.as_ptr().addr() & TAG, 0);
        self.word.store(cell.as_ptr(), Ordering::Release);
    }

    /// Makes the slot vacant, if it still leads to `cell`. From then on nobody can take a count through it.
    pub(crate) fn clear(&self, cell: NonNull<T>, number: u32) -> bool {
        loop {
            let swapped = self.word.compare_exchange(
                cell.as_ptr(),
                vacant(number),
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(_) => return true,
                Err(now) if now.addr() == cell.as_ptr().addr() | LOCKED => spin_hint(),
                Err(_) => return false,
            }
        }
    }

    /// Takes a count of the cell that the slot leads to, if `wanted` says yes to it.
    pub(crate) fn acquire(&self, wanted: impl FnOnce(&T) -> bool) -> Option<NonNull<T>> {
        let cell = self.lock()?;
        // SAFETY: the slot is locked, so the cell lives (see the head of this file).
        let target = unsafe { cell.as_ref() };
        let taken = wanted(target).then(|| {
            if !cfg!(linden_weaken = "slot_count_after_unlock") {
                target.retain();
            }
            cell
        });
        self.word.store(cell.as_ptr(), order!("slot_unlock_release", Release));
        if cfg!(linden_weaken = "slot_count_after_unlock") && taken.is_some() {
            target.retain();
        }
        taken
    }

    fn lock(&self) -> Option<NonNull<T>> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word.addr() & VACANT != 0 {
                return None;
            }
            if word.addr() & LOCKED != 0 {
                spin_hint();
                word = self.word.load(Ordering::Relaxed);
                continue;
            }
            match self.word.compare_exchange_weak(
                word,
                word.map_addr(|addr| addr | LOCKED),
                order!("slot_lock_acquire", Acquire),
                Ordering::Relaxed,
            ) {
                Ok(_) => return NonNull::new(word),
                Err(now) => word = now,
            }
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    //! A look-up against a death: the count is taken from a live cell, or none is taken.

    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::thread;

    use super::*;

    struct Target {
        counts: AtomicUsize,
        /// Read by whoever holds a count, destroyed (a write) by the last count: loom reports a race on misuse.
        body: UnsafeCell<u32>,
    }

    // SAFETY: the counter is atomic.
    unsafe impl Counted for Target {
        fn retain(&self) {
            let old = self.counts.fetch_add(1, Ordering::Relaxed);
            assert_ne!(old, 0, "a count was taken from a dead cell");
        }
    }

    fn release(target: &Target) {
        if target.counts.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: the last count; loom checks.
            target.body.with_mut(|body| unsafe { *body = 0 });
        }
    }

    #[test]
    fn loom_a_look_up_against_death_finds_a_live_cell_or_none() {
        loom::model(|| {
            let target = Arc::new(Target { counts: AtomicUsize::new(1), body: UnsafeCell::new(7) });
            let slot = Arc::new(Slot::new(1));
            let cell = NonNull::from(&*target);
            // SAFETY: nobody else knows the slot yet.
            unsafe { slot.fill(cell) };
            let reader = {
                let (slot, target) = (slot.clone(), target.clone());
                thread::spawn(move || {
                    if slot.acquire(|_| true).is_some() {
                        // SAFETY: a count is held; loom checks.
                        assert_eq!(target.body.with(|body| unsafe { *body }), 7);
                        release(&target);
                    }
                })
            };
            assert!(slot.clear(cell, 2));
            release(&target);
            reader.join().unwrap();
            assert_eq!(slot.number(), Some(2));
            assert_eq!(target.counts.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn loom_a_look_at_the_cell_under_the_lock_is_over_before_its_death() {
        loom::model(|| {
            let target = Arc::new(Target { counts: AtomicUsize::new(1), body: UnsafeCell::new(7) });
            let slot = Arc::new(Slot::new(1));
            let cell = NonNull::from(&*target);
            // SAFETY: nobody else knows the slot yet.
            unsafe { slot.fill(cell) };
            let reader = {
                let (slot, target) = (slot.clone(), target.clone());
                thread::spawn(move || {
                    // No count is taken: the lock alone keeps the cell.
                    let found = slot.acquire(|cell| {
                        // SAFETY: the slot is locked; loom checks.
                        assert_eq!(cell.body.with(|body| unsafe { *body }), 7);
                        false
                    });
                    assert!(found.is_none());
                    drop(target);
                })
            };
            assert!(slot.clear(cell, 2));
            release(&target);
            reader.join().unwrap();
        });
    }

    #[test]
    fn loom_what_was_written_before_a_fill_is_seen_through_the_slot() {
        loom::model(|| {
            let target = Arc::new(Target { counts: AtomicUsize::new(1), body: UnsafeCell::new(0) });
            let slot = Arc::new(Slot::new(1));
            let maker = {
                let (slot, target) = (slot.clone(), target.clone());
                thread::spawn(move || {
                    // SAFETY: the slot leads nowhere yet, so nobody else reads it; loom checks.
                    target.body.with_mut(|body| unsafe { *body = 7 });
                    // SAFETY: vacant, filled by this thread alone, and the target outlives the slot.
                    unsafe { slot.fill(NonNull::from(&*target)) };
                })
            };
            if slot.acquire(|_| true).is_some() {
                // SAFETY: found through the slot, so it was written before; loom checks.
                assert_eq!(target.body.with(|body| unsafe { *body }), 7);
            }
            maker.join().unwrap();
        });
    }

    #[test]
    fn loom_a_look_up_never_takes_the_next_tenant_for_the_last() {
        loom::model(|| {
            let tenants: Vec<_> = (0..2)
                .map(|body| {
                    Arc::new(Target { counts: AtomicUsize::new(1), body: UnsafeCell::new(body) })
                })
                .collect();
            let slot = Arc::new(Slot::new(1));
            // SAFETY: nobody else knows the slot yet.
            unsafe { slot.fill(NonNull::from(&*tenants[0])) };
            let reader = {
                let (slot, tenants) = (slot.clone(), tenants.clone());
                thread::spawn(move || {
                    let first = NonNull::from(&*tenants[0]);
                    if let Some(found) = slot.acquire(|cell| ptr::eq(cell, first.as_ptr())) {
                        assert_eq!(found, first);
                        release(&tenants[0]);
                    }
                })
            };
            assert!(slot.clear(NonNull::from(&*tenants[0]), 2));
            release(&tenants[0]);
            // SAFETY: vacant, and this thread alone fills it.
            unsafe { slot.fill(NonNull::from(&*tenants[1])) };
            reader.join().unwrap();
        });
    }
}
