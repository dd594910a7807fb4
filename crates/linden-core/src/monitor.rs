//! The watch: a thread that looks every 5 ms whether work lies where nobody will fetch it, and whether a worker stands still.
//!
//! A worker that is busy with one long activation serves no I/O, and what stands in its slot or queue waits. The watch sees
//! that by epochs that do not move. It gives what waits there to the others, and wakes a sleeping worker, who drives the
//! reactor. A worker that has computed in one activation for [`STILL_LOOKS`] is *retired*: a new thread takes its place,
//! and its own thread is demoted (`demotion.rs`) and ends with that activation. One that blocks instead is retired, without
//! demotion, when work waits and nobody else is free.
//!
//! The watch also moves the coarse clock, from which processes measure long waits (`deadline.rs`). While every worker sleeps
//! it sleeps as well.
//!
//! Absent: foreign tasks. One that holds the reactor's driver inside of a sleeping worker is not seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::demotion::{self, ProcessorTime};
use crate::fairness::Stall;
use crate::node::{Node, NodeInner};

/// How late the coarse clock may be while a worker is awake.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// How often the watch looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Looks in a row at which a worker stands still before it is retired: 10 to 15 ms.
const STILL_LOOKS: u32 = 2;
/// A worker that stands still computes when it has used a quarter of the time from look to look at least.
const COMPUTES_FROM: Duration = Duration::from_micros(1250);

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
    places: Vec<Place>,
    driver: u64,
    /// The injector was not empty.
    left: bool,
    all_asleep: bool,
}

/// A worker, as it was seen.
#[derive(Clone, Copy, Default)]
struct Place {
    epoch: u64,
    /// Looks in a row at which it was on duty and had begun nothing since the one before.
    still: u32,
    /// Its processor time when it was first seen still.
    time: Option<ProcessorTime>,
}

/// The watch's thread.
pub(crate) fn run(node: &Node) {
    let inner: &Arc<NodeInner> = node.arc();
    let mut seen = Seen::default();
    let mut guard = inner.watch.lock.lock();
    while !inner.has_quit() {
        if seen.all_asleep {
            inner.watch.asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            // A worker that woke before it could see the flag is caught by the second look.
            if all_asleep(inner) && !inner.has_quit() {
                inner.watch.call.wait(&mut guard);
            }
            inner.watch.asleep.store(false, Ordering::Relaxed);
            seen.all_asleep = false;
        } else {
            inner.watch.call.wait_for(&mut guard, LOOK_EVERY);
            look(node, &mut seen);
        }
    }
}

fn all_asleep(node: &NodeInner) -> bool {
    node.places().iter().all(|worker| !worker.duty().is_awake())
        && node.fairness.missing.load(Ordering::Relaxed) == 0
}

fn look(node: &Node, seen: &mut Seen) {
    let inner = node.inner();
    inner.update_clock();
    seen.all_asleep = all_asleep(inner);
    fill_missing(node);
    let stranded = look_at_places(node, seen);
    let driver = inner.driving.epoch();
    let left = !inner.injector.is_empty();
    if inner.idle.sleeping() > 0 && !seen.all_asleep {
        let unserved = !inner.driving.is_held() && driver == seen.driver;
        if unserved || stranded || (left && seen.left) {
            inner.wake_any_sleeper();
        }
    }
    seen.left = !inner.injector.is_empty();
    seen.driver = driver;
}

/// Looks at each worker. Whether work was found where nobody would have fetched it.
fn look_at_places(node: &Node, seen: &mut Seen) -> bool {
    let inner = node.inner();
    let places = inner.places();
    seen.places.resize(places.len(), Place::default());
    let mut stranded = false;
    for (index, (worker, place)) in places.iter().zip(&mut seen.places).enumerate() {
        let epoch = worker.epoch();
        let stands = epoch == place.epoch && worker.duty().is_awake();
        if !stands {
            *place = Place { epoch, ..Place::default() };
            continue;
        }
        if worker.has_work() {
            stranded = true;
            for task in [worker.lifo.steal(), worker.hand.steal()].into_iter().flatten() {
                inner.injector.push(task);
            }
        }
        if worker.duty().is_on_duty() {
            stands_still(node, index, place);
        }
    }
    stranded
}

/// A worker on duty has begun nothing since the last look.
fn stands_still(node: &Node, index: usize, place: &mut Place) {
    let inner = node.inner();
    let worker = &inner.places()[index];
    let Some(thread) = worker.os_thread() else { return };
    place.still += 1;
    if place.still < STILL_LOOKS {
        place.time = demotion::processor_time(thread);
        return;
    }
    let times = demotion::processor_time(thread).zip(place.time);
    let computes = match since(times) {
        Does::Computes => true,
        // It takes a second thread then, and only if there is something to do for it.
        Does::Blocks if inner.idle.sleeping() == 0 && inner.has_visible_work() => false,
        Does::Blocks | Does::WaitsForProcessor => return,
    };
    if inner.vacancy().is_none() {
        return;
    }
    let process = (!inner.driving.is_held_by(index)).then(|| worker.process());
    if !worker.duty().retire() {
        return;
    }
    inner.fairness.retired.fetch_add(1, Ordering::Relaxed);
    let kind = if computes {
        let demoted = demotion::demote(thread);
        inner.fairness.demoted.fetch_add(u64::from(demoted), Ordering::Relaxed);
        Stall::Computes { demoted }
    } else {
        Stall::Blocks
    };
    inner.fairness.missing.fetch_add(1, Ordering::Relaxed);
    fill_missing(node);
    inner.tell_stall(process, kind, LOOK_EVERY * place.still);
}

/// What a thread does that stands still.
enum Does {
    Computes,
    Blocks,
    /// Something else runs in its place, which says nothing of it.
    WaitsForProcessor,
}

/// What a thread has done between two readings; where there are none, the worst is supposed.
fn since(times: Option<(ProcessorTime, ProcessorTime)>) -> Does {
    let Some((now, before)) = times else { return Does::Computes };
    if now.used.saturating_sub(before.used) >= COMPUTES_FROM {
        Does::Computes
    } else if now.waited.saturating_sub(before.waited) >= COMPUTES_FROM {
        Does::WaitsForProcessor
    } else {
        Does::Blocks
    }
}

/// Starts a worker for each one that was retired and has no successor yet.
fn fill_missing(node: &Node) {
    let missing = &node.inner().fairness.missing;
    while missing.load(Ordering::Relaxed) > 0 {
        match node.start_successor() {
            true => missing.fetch_sub(1, Ordering::Relaxed),
            false => return,
        };
    }
}
