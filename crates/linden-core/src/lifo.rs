//! The slot for the process that a worker just woke: it runs next, while what it needs is still in the cache.
//!
//! Its worker puts and takes by plain loads and stores, some hundred million times a second; the watch may steal, so that a
//! process is not stranded behind a worker that is stuck. The two meet in Dekker's way: the worker empties the slot and then
//! looks for a thief, the thief announces itself and then looks into the slot ([`crate::asymmetric`]). A worker that finds a
//! thief waits for its decision, some microseconds. What was stolen stays in the slot until the worker comes by.
//!
//! A second slot of this kind holds the caller in hand (`hand.rs`): stealable for the same reason.

use std::ptr::{self, NonNull};

use crate::asymmetric::AsymmetricFence;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, order, spin_hint};

/// No thief.
const ABSENT: usize = 0;
/// The thief looks into the slot.
const LOOKING: usize = 1;
/// What is in the slot is the thief's.
const STOLEN: usize = 2;

/// A slot for one pointer. The pointer's duty (to run the process) passes with it.
#[derive(Debug)]
pub(crate) struct LifoSlot<T> {
    /// Written by the owner alone. The store of a task releases what the owner wrote to it before.
    next: AtomicPtr<T>,
    /// `ABSENT`, `LOOKING` or `STOLEN`. The thief goes from the first to the second and from there to the first or third;
    /// the owner goes from the third to the first, which releases its emptying of the slot to the next thief.
    thief: AtomicUsize,
    fence: AsymmetricFence,
}

impl<T> LifoSlot<T> {
    pub(crate) fn new() -> Self {
        Self {
            next: AtomicPtr::new(ptr::null_mut()),
            thief: AtomicUsize::new(ABSENT),
            fence: AsymmetricFence::new(),
        }
    }

    /// Puts `task` and says what it displaced. Owner only.
    #[must_use]
    pub(crate) fn put(&self, task: NonNull<T>) -> Option<NonNull<T>> {
        let displaced = self.take();
        self.next.store(task.as_ptr(), order!("lifo_put_release", Release));
        displaced
    }

    /// Takes what is there, to run it. Owner only.
    #[inline]
    pub(crate) fn take(&self) -> Option<NonNull<T>> {
        let task = NonNull::new(self.next.load(Ordering::Relaxed))?;
        self.next.store(ptr::null_mut(), Ordering::Relaxed);
        self.fence.light();
        if cfg!(linden_weaken = "lifo_take_blind") || self.thief.load(Ordering::Relaxed) == ABSENT {
            return Some(task);
        }
        self.take_beside_a_thief(task)
    }

    /// Whether `task` is here and no thief is. If one comes right after this, it and whoever it passes the task on to see all
    /// that was written before. Owner only.
    pub(crate) fn holds(&self, task: NonNull<T>) -> bool {
        if !ptr::eq(self.next.load(Ordering::Relaxed), task.as_ptr()) {
            return false;
        }
        if !cfg!(linden_weaken = "lifo_holds_fence") {
            self.fence.light();
        }
        self.thief.load(Ordering::Relaxed) == ABSENT
    }

    #[cold]
    fn take_beside_a_thief(&self, task: NonNull<T>) -> Option<NonNull<T>> {
        loop {
            match self.thief.load(Ordering::Acquire) {
                ABSENT => return Some(task),
                STOLEN => {
                    // No weakening is planted here: the two sides' fences order the emptying as well.
                    self.thief.store(ABSENT, Ordering::Release);
                    return None;
                }
                _ => spin_hint(),
            }
        }
    }

    /// Takes what is there although this is not the owner. One thief at a time; it may come away with nothing although there
    /// is something: then the owner is there as well.
    #[must_use]
    pub(crate) fn steal(&self) -> Option<NonNull<T>> {
        if self.thief.load(Ordering::Acquire) != ABSENT {
            return None;
        }
        self.thief.store(LOOKING, Ordering::Relaxed);
        let found = self.fence.heavy().then(|| self.next.load(Ordering::Acquire));
        let stolen = found.and_then(NonNull::new);
        let state = if stolen.is_some() { STOLEN } else { ABSENT };
        self.thief.store(state, Ordering::Release);
        stolen
    }

    /// Whether there is nothing to take or steal; may be old when it is read.
    pub(crate) fn is_empty(&self) -> bool {
        self.next.load(Ordering::Relaxed).is_null() || self.thief.load(Ordering::Relaxed) == STOLEN
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

    impl Task {
        fn new() -> Self {
            Self { runs: UnsafeCell::new(0) }
        }

        /// What the owner writes before it puts the task: whoever runs it must see that.
        fn prepare(&self) {
            // SAFETY: not put yet, so it is the owner's.
            self.runs.with_mut(|runs| unsafe { *runs = 0 });
        }

        fn assert_run_once(&self) {
            // SAFETY: the thief ended.
            assert_eq!(self.runs.with(|runs| unsafe { *runs }), 1);
        }
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
            let tasks: Arc<Vec<Task>> = Arc::new((0..2).map(|_| Task::new()).collect());
            let slot = Arc::new(LifoSlot::new());
            let thief = {
                let (slot, tasks) = (slot.clone(), tasks.clone());
                thread::spawn(move || {
                    if let Some(task) = slot.steal() {
                        run(task);
                    }
                    drop(tasks);
                })
            };
            for task in tasks.iter() {
                task.prepare();
                if let Some(displaced) = slot.put(NonNull::from(task)) {
                    run(displaced);
                }
            }
            if let Some(task) = slot.take() {
                run(task);
            }
            thief.join().unwrap();
            assert!(slot.is_empty() && slot.take().is_none());
            tasks.iter().for_each(Task::assert_run_once);
        });
    }

    #[test]
    fn loom_a_second_theft_never_takes_what_the_first_one_took() {
        loom::model(|| {
            let tasks: Arc<Vec<Task>> = Arc::new((0..2).map(|_| Task::new()).collect());
            let slot = Arc::new(LifoSlot::new());
            tasks[0].prepare();
            assert!(slot.put(NonNull::from(&tasks[0])).is_none());
            let thief = {
                let (slot, tasks) = (slot.clone(), tasks.clone());
                thread::spawn(move || {
                    for task in [slot.steal(), slot.steal()].into_iter().flatten() {
                        run(task);
                    }
                    drop(tasks);
                })
            };
            if let Some(task) = slot.take() {
                run(task);
            }
            tasks[1].prepare();
            if let Some(displaced) = slot.put(NonNull::from(&tasks[1])) {
                run(displaced);
            }
            if let Some(task) = slot.take() {
                run(task);
            }
            thief.join().unwrap();
            tasks.iter().for_each(Task::assert_run_once);
        });
    }

    #[test]
    fn loom_a_wake_of_a_task_in_the_slot_is_seen_by_its_owner_or_its_thief() {
        loom::model(|| {
            let task = Arc::new(Task::new());
            let answer = Arc::new(AtomicUsize::new(0));
            let slot = Arc::new(LifoSlot::new());
            task.prepare();
            assert!(slot.put(NonNull::from(&*task)).is_none());
            let thief = {
                let (slot, task, answer) = (slot.clone(), task.clone(), answer.clone());
                thread::spawn(move || {
                    let stolen = slot.steal().is_some();
                    let saw = stolen && answer.load(Ordering::Relaxed) == 1;
                    drop(task);
                    (stolen, saw)
                })
            };
            answer.store(1, Ordering::Relaxed);
            let woken = slot.holds(NonNull::from(&*task));
            let kept = slot.take().is_some();
            let (stolen, saw) = thief.join().unwrap();
            assert_ne!(kept, stolen, "one of the two has it");
            assert!(kept || saw || !woken, "a wake that needs no more notice was not seen");
        });
    }
}
