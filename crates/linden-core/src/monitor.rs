//! The watch: a thread that looks every 10 ms whether work lies where nobody will fetch it.
//!
//! A worker that is busy with one long activation serves no I/O, and what stands in its slot or queue waits. The watch sees
//! that by epochs that do not move, and wakes a sleeping worker, who steals the work and drives the reactor. It also moves
//! the coarse clock, from which processes measure long waits (`deadline.rs`). While every worker sleeps the watch sleeps as
//! well.
//!
//! Absent: retiring the stuck worker itself, which is what it takes when *all* workers are stuck.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::node::NodeInner;

/// How often the watch looks.
pub(crate) const TICK: Duration = Duration::from_millis(10);

#[derive(Default)]
pub(crate) struct Watch {
    /// Set while the watch sleeps without end: who starts to work must wake it.
    asleep: AtomicBool,
    lock: Mutex<()>,
    call: Condvar,
}

impl Watch {
    /// A worker starts to work, and is no longer counted as asleep.
    pub(crate) fn wake(&self) {
        // Pairs with the fence in `run`: either the watch sees this worker awake, or this worker sees the watch asleep.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            self.call_now();
        }
    }

    /// Makes the watch look at once: the node ends.
    pub(crate) fn call_now(&self) {
        let _guard = self.lock.lock();
        self.call.notify_one();
    }
}

/// What was seen at the last look.
#[derive(Default)]
struct Seen {
    workers: Vec<u64>,
    driver: u64,
    /// The injector was not empty.
    left: bool,
    all_asleep: bool,
}

/// The watch's thread.
pub(crate) fn run(node: &Arc<NodeInner>) {
    let mut seen = Seen::default();
    let mut guard = node.watch.lock.lock();
    while !node.has_quit() {
        if seen.all_asleep {
            node.watch.asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            // A worker that woke before it could see the flag is caught by the second look.
            if node.idle.sleeping() == node.remotes.len() && !node.has_quit() {
                node.watch.call.wait(&mut guard);
            }
            node.watch.asleep.store(false, Ordering::Relaxed);
            seen.all_asleep = false;
        } else {
            node.watch.call.wait_for(&mut guard, TICK);
            look(node, &mut seen);
        }
    }
}

fn look(node: &NodeInner, seen: &mut Seen) {
    node.update_clock();
    let workers: Vec<u64> = node.remotes.iter().map(|worker| worker.epoch()).collect();
    let driver = node.driving.epoch();
    let sleeping = node.idle.sleeping();
    seen.all_asleep = sleeping == node.remotes.len();
    if sleeping > 0 && !seen.all_asleep {
        let unserved = !node.driving.is_held() && driver == seen.driver;
        let stranded = workers
            .iter()
            .zip(&seen.workers)
            .zip(node.remotes.iter())
            .filter(|((now, before), worker)| now == before && worker.has_work())
            .map(|(_, worker)| {
                for task in [worker.lifo.steal(), worker.hand.steal()].into_iter().flatten() {
                    node.injector.push(task);
                }
            })
            .count();
        let left = !node.injector.is_empty();
        if unserved || stranded > 0 || (left && seen.left) {
            node.wake_any_sleeper();
        }
    }
    seen.left = !node.injector.is_empty();
    seen.workers = workers;
    seen.driver = driver;
}
