//! The slot for the process that a worker just woke: it runs next, while what it needs is still in the cache.
//!
//! Its worker puts and takes; anybody may steal, so that a process is not stranded behind a worker that is stuck.

use std::ptr::{self, NonNull};

use crate::sync::{AtomicPtr, Ordering, order};

/// A slot for one pointer. The pointer's duty (to run the process) passes with it.
#[derive(Debug)]
pub(crate) struct LifoSlot<T> {
    /// Filled by the owner alone (`Release`), emptied by anybody (`Acquire`).
    next: AtomicPtr<T>,
}

impl<T> LifoSlot<T> {
    pub(crate) fn new() -> Self {
        Self { next: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Puts `task` and says what it displaced. Owner only.
    #[must_use]
    pub(crate) fn put(&self, task: NonNull<T>) -> Option<NonNull<T>> {
        if self.next.load(Ordering::Relaxed).is_null() {
            // Only the owner fills the slot, so it stays empty until this store: no exchange is needed.
            self.next.store(task.as_ptr(), order!("lifo_put_release", Release));
            return None;
        }
        NonNull::new(self.next.swap(task.as_ptr(), Ordering::AcqRel))
    }

    /// Takes what is there: the owner's way to run it, a thief's way to steal it.
    pub(crate) fn take(&self) -> Option<NonNull<T>> {
        if self.next.load(Ordering::Relaxed).is_null() {
            return None;
        }
        if cfg!(linden_weaken = "lifo_take_twice") {
            // The omitted step: reading and emptying in two steps lets two takers have it.
            let task = self.next.load(Ordering::Acquire);
            self.next.store(ptr::null_mut(), Ordering::Release);
            return NonNull::new(task);
        }
        NonNull::new(self.next.swap(ptr::null_mut(), Ordering::Acquire))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.next.load(Ordering::Relaxed).is_null()
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    //! Owner against thief: each task is run once, with its contents visible.

    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    struct Task {
        runs: UnsafeCell<usize>,
    }

    fn run(task: NonNull<Task>) {
        // SAFETY: the tasks outlive the threads; loom reports two runners at once.
        let task = unsafe { task.as_ref() };
        // SAFETY: as above.
        task.runs.with_mut(|runs| unsafe { *runs += 1 });
    }

    #[test]
    fn loom_a_task_in_the_lifo_slot_is_run_once_by_owner_or_thief() {
        loom::model(|| {
            let tasks: Arc<Vec<Task>> =
                Arc::new((0..2).map(|_| Task { runs: UnsafeCell::new(0) }).collect());
            let slot = Arc::new(LifoSlot::new());
            // The owner prepares the tasks, as a waker does, before they are put.
            for task in tasks.iter() {
                // SAFETY: no other thread yet.
                task.runs.with_mut(|runs| unsafe { *runs = 0 });
            }
            let thief = {
                let (slot, tasks) = (slot.clone(), tasks.clone());
                thread::spawn(move || {
                    if let Some(task) = slot.take() {
                        run(task);
                    }
                    drop(tasks);
                })
            };
            // The owner writes to the task before it puts it: the thief must see that.
            for task in tasks.iter() {
                // SAFETY: not put yet, so it is the owner's.
                task.runs.with_mut(|runs| unsafe { *runs = 0 });
                if let Some(displaced) = slot.put(NonNull::from(task)) {
                    run(displaced);
                }
            }
            if let Some(task) = slot.take() {
                run(task);
            }
            thief.join().unwrap();
            assert!(slot.is_empty());
            for task in tasks.iter() {
                // SAFETY: the thief ended.
                assert_eq!(task.runs.with(|runs| unsafe { *runs }), 1);
            }
        });
    }
}
