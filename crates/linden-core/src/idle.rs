//! Who sleeps, who searches, and whom to wake: the protocol that keeps work and sleeping workers from missing each other.
//!
//! A worker that runs out of work becomes *the searcher* (one at most), looks at every queue, and then sleeps. Whoever adds
//! work wakes one sleeper, unless somebody searches already. The rule against a lost wake-up: the one who adds work makes
//! it visible, then looks for sleepers; the sleeper announces itself, then looks at the queues once more. A sequentially
//! consistent fence on both sides makes one of the two see the other.
//!
//! Absent on purpose: the sleeping itself (`park.rs`) and the queues.

use crate::sync::{AtomicUsize, Mutex, Ordering, fence};

const SEARCHING: usize = 1 << 16;
const SLEEPING_MASK: usize = SEARCHING - 1;

/// The sleepers and searchers of one node.
#[derive(Debug)]
pub(crate) struct IdleSet {
    /// `searching << 16 | sleeping`. Written by workers as they go and come, read by whoever adds work.
    counts: AtomicUsize,
    /// Last in, first out: the worker that slept the shortest has the warmest cache.
    sleepers: Mutex<Vec<usize>>,
}

/// Whether a worker may search.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Search {
    Granted,
    /// Somebody searches already.
    Taken,
}

impl IdleSet {
    /// The most workers that a node can have: the counts share one word.
    pub(crate) const WORKERS_MAX: usize = 1024;

    pub(crate) fn new() -> Self {
        Self { counts: AtomicUsize::new(0), sleepers: Mutex::new(Vec::new()) }
    }

    /// Asks to become the searcher.
    pub(crate) fn start_search(&self) -> Search {
        let counts = self.counts.load(Ordering::Relaxed);
        if counts >= SEARCHING
            || self
                .counts
                .compare_exchange(counts, counts + SEARCHING, Ordering::SeqCst, Ordering::Relaxed)
                .is_err()
        {
            return Search::Taken;
        }
        Search::Granted
    }

    /// The searcher found work, or gives up. Before it runs anything it must look whether there is more, and then call
    /// [`IdleSet::sleeper_to_wake`]: who added work meanwhile counted on the searcher.
    pub(crate) fn end_search(&self) {
        self.counts.fetch_sub(SEARCHING, Ordering::SeqCst);
        if !cfg!(linden_weaken = "idle_end_fence") {
            fence(Ordering::SeqCst);
        }
    }

    /// Announces that `worker` goes to sleep. It must look at every queue once more after this, and call
    /// [`IdleSet::cancel_sleep`] when it finds something.
    pub(crate) fn announce_sleep(&self, worker: usize, was_searching: bool) {
        let mut sleepers = self.sleepers.lock();
        sleepers.push(worker);
        let change = if was_searching { 1_usize.wrapping_sub(SEARCHING) } else { 1 };
        self.counts.fetch_add(change, Ordering::SeqCst);
        drop(sleepers);
        if !cfg!(linden_weaken = "idle_sleep_fence") {
            fence(Ordering::SeqCst);
        }
    }

    /// Takes `worker` back from the sleepers. `false`: somebody woke it meanwhile, and counted it as the searcher.
    pub(crate) fn cancel_sleep(&self, worker: usize) -> bool {
        let mut sleepers = self.sleepers.lock();
        let Some(place) = sleepers.iter().position(|&sleeper| sleeper == worker) else {
            return false;
        };
        sleepers.swap_remove(place);
        self.counts.fetch_sub(1, Ordering::SeqCst);
        true
    }

    /// Whom to wake for work that was just made visible; counted as the searcher from now on. To be called after the work
    /// can be found.
    #[must_use]
    pub(crate) fn sleeper_to_wake(&self) -> Option<usize> {
        if !cfg!(linden_weaken = "idle_wake_fence") {
            fence(Ordering::SeqCst);
        }
        self.sleeper_to_wake_soon()
    }

    /// As [`IdleSet::sleeper_to_wake`] without the fence: for work that the caller itself will find in any case, so that a
    /// sleeper missed now costs parallelism for a moment and nothing else.
    #[must_use]
    pub(crate) fn sleeper_to_wake_soon(&self) -> Option<usize> {
        if !wanted(self.counts.load(Ordering::Relaxed)) {
            return None;
        }
        let mut sleepers = self.sleepers.lock();
        if !wanted(self.counts.load(Ordering::SeqCst)) {
            return None;
        }
        let worker = sleepers.pop()?;
        self.counts.fetch_add(SEARCHING - 1, Ordering::SeqCst);
        Some(worker)
    }

    /// Any sleeper, searcher or not: for the monitor thread, which must have a worker.
    pub(crate) fn any_sleeper(&self) -> Option<usize> {
        let mut sleepers = self.sleepers.lock();
        let worker = sleepers.pop()?;
        self.counts.fetch_add(SEARCHING - 1, Ordering::SeqCst);
        Some(worker)
    }

    pub(crate) fn sleeping(&self) -> usize {
        self.counts.load(Ordering::Relaxed) & SLEEPING_MASK
    }
}

/// Whether work that was added needs a sleeper: one sleeps, and nobody searches.
fn wanted(counts: usize) -> bool {
    counts < SEARCHING && counts & SLEEPING_MASK > 0
}

#[cfg(all(test, loom))]
mod loom_tests {
    //! Work added from outside against a worker that falls asleep.

    use loom::sync::Arc;
    use loom::sync::atomic::AtomicBool;
    use loom::thread;

    use super::*;

    struct Node {
        idle: IdleSet,
        /// The queue of the model, with no ordering of its own: the fences must do it.
        work: AtomicBool,
        woken: AtomicBool,
    }

    /// Falls asleep as a worker does; says whether it found work or was woken.
    fn fall_asleep(node: &Node) -> bool {
        let searching = node.idle.start_search() == Search::Granted;
        if searching && node.work.load(Ordering::Relaxed) {
            node.idle.end_search();
            return true;
        }
        node.idle.announce_sleep(0, searching);
        if node.work.load(Ordering::Relaxed) {
            if !node.idle.cancel_sleep(0) {
                node.idle.end_search();
            }
            return true;
        }
        false
    }

    #[test]
    fn loom_work_added_while_a_worker_falls_asleep_is_found() {
        loom::model(|| {
            let node = Arc::new(Node {
                idle: IdleSet::new(),
                work: AtomicBool::new(false),
                woken: AtomicBool::new(false),
            });
            let adder = {
                let node = node.clone();
                thread::spawn(move || {
                    node.work.store(true, Ordering::Relaxed);
                    if node.idle.sleeper_to_wake().is_some() {
                        node.woken.store(true, Ordering::Relaxed);
                    }
                })
            };
            let found = fall_asleep(&node);
            adder.join().unwrap();
            assert!(
                found || node.woken.load(Ordering::Relaxed),
                "the worker sleeps, the work lies there, nobody knows: {:x}",
                node.idle.counts.load(Ordering::SeqCst)
            );
        });
    }

    #[test]
    fn loom_work_added_while_the_searcher_gives_up_is_found_by_it_or_a_sleeper_is_woken() {
        loom::model(|| {
            let node = Arc::new(Node {
                idle: IdleSet::new(),
                work: AtomicBool::new(false),
                woken: AtomicBool::new(false),
            });
            node.idle.announce_sleep(1, false);
            assert_eq!(node.idle.start_search(), Search::Granted);
            let adder = {
                let node = node.clone();
                thread::spawn(move || {
                    node.work.store(true, Ordering::Relaxed);
                    if node.idle.sleeper_to_wake().is_some() {
                        node.woken.store(true, Ordering::Relaxed);
                    }
                })
            };
            node.idle.end_search();
            let found = node.work.load(Ordering::Relaxed);
            adder.join().unwrap();
            assert!(
                found || node.woken.load(Ordering::Relaxed),
                "who added the work counted on the searcher, who did not see it"
            );
        });
    }

    #[test]
    fn loom_of_two_wakers_one_wakes_the_sleeper_and_the_counts_return() {
        loom::model(|| {
            let idle = Arc::new(IdleSet::new());
            idle.announce_sleep(0, false);
            let other = {
                let idle = idle.clone();
                thread::spawn(move || usize::from(idle.sleeper_to_wake().is_some()))
            };
            let woken = usize::from(idle.sleeper_to_wake().is_some()) + other.join().unwrap();
            assert_eq!(woken, 1);
            assert_eq!(idle.sleeping(), 0);
            idle.end_search();
            assert_eq!(idle.counts.load(Ordering::Relaxed), 0);
        });
    }
}
