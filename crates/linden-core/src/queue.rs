//! The injector: the queue for processes that are made runnable from outside of the node's workers.

use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::cell::Header;

/// A process that is due to run: `RUNNING`, and in exactly one queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task(pub(crate) NonNull<Header>);

// SAFETY: a task is the duty to run a live process; whoever has it is the process's owner.
unsafe impl Send for Task {}

#[derive(Default, Debug)]
pub(crate) struct Injector {
    tasks: Mutex<VecDeque<Task>>,
    /// Written under the lock, read without.
    len: AtomicUsize,
}

impl Injector {
    pub(crate) fn push(&self, cell: NonNull<Header>) {
        let mut tasks = self.tasks.lock();
        tasks.push_back(Task(cell));
        self.len.store(tasks.len(), Ordering::Release);
    }

    pub(crate) fn pop(&self) -> Option<NonNull<Header>> {
        if self.is_empty() {
            return None;
        }
        let mut tasks = self.tasks.lock();
        let task = tasks.pop_front();
        self.len.store(tasks.len(), Ordering::Release);
        task.map(|task| task.0)
    }

    /// Passes up to `max` tasks to `each`.
    pub(crate) fn pop_some(&self, max: usize, mut each: impl FnMut(Task)) {
        let mut tasks = self.tasks.lock();
        let max = max.min(tasks.len());
        tasks.drain(..max).for_each(&mut each);
        self.len.store(tasks.len(), Ordering::Release);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Acquire) == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }
}
