//! The watch: a thread that looks every 5 ms whether work lies where nobody will fetch it, and whether a worker stands still.
//! Just after it found a worker that does not end its activation it looks every millisecond: there may be more of the kind.
//!
//! A worker that is busy with one long activation serves no I/O, and what stands in its slot or queue waits. The watch sees
//! that by epochs that do not move. It gives what waits there to the others, and wakes a sleeping worker, who drives the
//! reactor. A worker that has computed in one activation for some looks ([`Pace`]) is *retired*: a new thread takes its place,
//! and its own thread is demoted (`demotion.rs`) and ends with that activation. One that blocks instead is retired, without
//! demotion, when work waits and nobody else is free.
//!
//! The watch also moves the coarse clock, from which processes measure long waits (`deadline.rs`). While every worker sleeps
//! it sleeps as well.
//!
//! A task of a library that holds the driver inside of a sleeping worker (`reactor.rs`) is looked for as long as there are such
//! tasks: the sleeper is poked now and then, and when it does not answer for [`UNANSWERED`] it is retired from its sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::cell::HEAVY;
use crate::demotion;
use crate::fairness::Stall;
use crate::mailboxes::MailboxWalk;
use crate::node::{Node, NodeInner};
use crate::reap::reap_killed;

/// How late the coarse clock may be while a worker is awake.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// How often the watch looks, and what it makes of what it sees.
struct Pace {
    look_every: Duration,
    /// Looks in a row at which a worker stands still before it is retired.
    still_looks: u32,
}

/// A worker is retired after 10 to 15 ms.
const CALM: Pace = Pace { look_every: Duration::from_millis(5), still_looks: 2 };
/// A worker is retired after 3 to 4 ms.
const ALARMED: Pace = Pace { look_every: Duration::from_millis(1), still_looks: 3 };
/// Looks that the watch stays alarmed after the last retirement.
const ALARMED_LOOKS: u32 = 100;

/// From one poke of a sleeper that drives to the next.
const POKE_EVERY: Duration = Duration::from_millis(50);
/// A sleeper that has not answered a poke for so long does not come back soon. The runtime polls 61 tasks before it looks.
const UNANSWERED: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(crate) struct Watch {
    /// Set while the watch sleeps without end: who starts to work must wake it.
    asleep: AtomicBool,
    /// A process that a replaced worker runs was killed.
    reap: AtomicBool,
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

    /// Lets the watch end what was killed, before its next look.
    pub(crate) fn ask_to_reap(&self) {
        self.reap.store(true, Ordering::Release);
        self.call_now();
    }

    /// Wakes the watch: the node ends, or there is something to reap.
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
    /// Looks left at which the watch is alarmed.
    alarm: u32,
    walk: MailboxWalk,
    poke: Option<Poke>,
}

/// A sleeper that drives was poked.
struct Poke {
    holder: usize,
    /// What it had answered until then.
    polls: u64,
    at: Instant,
}

impl Seen {
    fn pace(&self) -> &'static Pace {
        if self.alarm > 0 { &ALARMED } else { &CALM }
    }
}

/// A worker, as it was seen.
#[derive(Clone, Copy, Default)]
struct Place {
    /// Its thread, and what that had used of the processors.
    charged: Option<(u32, Duration)>,
    epoch: u64,
    /// Looks in a row at which it was on duty and had begun nothing since the one before.
    still: u32,
    /// For how long, at least.
    stood: Duration,
    /// Its processor time when it was first seen still.
    time: Option<Duration>,
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
                if has_foreign_tasks(inner) {
                    inner.watch.call.wait_for(&mut guard, UNANSWERED);
                } else {
                    inner.watch.call.wait(&mut guard);
                }
            }
            inner.watch.asleep.store(false, Ordering::Relaxed);
            seen.all_asleep = false;
        } else {
            let next = Instant::now() + seen.pace().look_every;
            loop {
                if inner.watch.reap.swap(false, Ordering::AcqRel) {
                    let is_away = |index: usize| inner.places()[index].duty().is_retired();
                    MutexGuard::unlocked(&mut guard, || reap_killed(node, is_away));
                } else if inner.has_quit()
                    || inner.watch.call.wait_until(&mut guard, next).timed_out()
                {
                    break;
                }
            }
            // Listeners are told meanwhile, which may kill a process and so call the watch.
            MutexGuard::unlocked(&mut guard, || look(node, &mut seen));
        }
    }
}

fn all_asleep(node: &NodeInner) -> bool {
    node.places().iter().all(|worker| !worker.duty().is_awake())
        && node.fairness.missing.load(Ordering::Relaxed) == 0
}

fn has_foreign_tasks(node: &NodeInner) -> bool {
    node.handle().metrics().num_alive_tasks() > 0
}

/// Whether the worker that drives in its sleep comes back when it is called.
fn look_at_driver(node: &Node, seen: &mut Seen) {
    let inner = node.inner();
    let driving = &inner.driving;
    if driving.is_stuck() {
        // Nobody is woken by the next of the node's timers.
        if inner.timers.next() <= inner.timers.now() {
            inner.wake_any_sleeper();
        }
        return;
    }
    let asleep = driving.holder().filter(|&holder| inner.places()[holder].duty().is_asleep());
    let Some(holder) = asleep.filter(|_| has_foreign_tasks(inner)) else {
        seen.poke = None;
        return;
    };
    match &seen.poke {
        Some(poke) if poke.holder == holder && poke.polls == driving.root_polls() => {
            if poke.at.elapsed() >= UNANSWERED {
                let stood = poke.at.elapsed();
                seen.poke = None;
                retire_sleeper(node, holder, stood);
            }
        }
        Some(poke) if poke.at.elapsed() < POKE_EVERY => {}
        _ => {
            seen.poke = Some(Poke { holder, polls: driving.root_polls(), at: Instant::now() });
            inner.places()[holder].poke();
        }
    }
}

/// Begins a worker in the place of one that does not come back from its sleep in the reactor. Its thread is not demoted: all
/// sockets wait for it.
fn retire_sleeper(node: &Node, holder: usize, stood: Duration) {
    let inner = node.inner();
    let worker = &inner.places()[holder];
    if inner.vacancy().is_none() || !worker.duty().retire_asleep() {
        return;
    }
    inner.driving.set_stuck();
    if !inner.idle.cancel_sleep(holder) {
        // Somebody has called it, and counts on it to search.
        inner.idle.end_search();
    }
    inner.fairness.retired.fetch_add(1, Ordering::Relaxed);
    worker.counts.handed_off();
    inner.fairness.missing.fetch_add(1, Ordering::Relaxed);
    fill_missing(node);
    inner.wake_sleeper();
    inner.tell_stall(None, Stall::HoldsDriver, stood);
}

fn look(node: &Node, seen: &mut Seen) {
    let inner = node.inner();
    inner.update_clock();
    seen.all_asleep = all_asleep(inner);
    fill_missing(node);
    let pace = seen.pace();
    seen.alarm = seen.alarm.saturating_sub(1);
    seen.walk.go_on(inner);
    look_at_driver(node, seen);
    let stranded = look_at_places(node, seen, pace);
    // A place that was just begun at has not been seen yet.
    let still =
        |index| seen.places.get(index).is_some_and(|place: &Place| place.still >= pace.still_looks);
    reap_killed(node, |index| inner.places()[index].duty().is_retired() || still(index));
    let driver = inner.driving.epoch();
    let is_left = || !inner.injector.is_empty() || !inner.prioritized.is_empty();
    let left = is_left();
    if inner.idle.sleeping() > 0 && !seen.all_asleep {
        let unserved = !inner.driving.is_held() && driver == seen.driver;
        if unserved || stranded || (left && seen.left) {
            inner.wake_any_sleeper();
        }
    }
    seen.left = is_left();
    seen.driver = driver;
}

/// Looks at each worker. Whether work was found where nobody would have fetched it.
fn look_at_places(node: &Node, seen: &mut Seen, pace: &Pace) -> bool {
    let inner = node.inner();
    let places = inner.places();
    seen.places.resize(places.len(), Place::default());
    let mut stranded = false;
    for (index, (worker, place)) in places.iter().zip(&mut seen.places).enumerate() {
        let epoch = worker.epoch();
        let is_awake = worker.duty().is_awake();
        if is_awake {
            charge(inner, index, place);
        }
        let stands = epoch == place.epoch && is_awake;
        if !stands {
            *place = Place { epoch, charged: place.charged, ..Place::default() };
            continue;
        }
        if worker.has_work() {
            stranded = true;
            for task in [worker.lifo.steal(), worker.hand.steal()].into_iter().flatten() {
                inner.injector.push(task);
            }
        }
        if worker.duty().is_on_duty() && stands_still(node, index, place, pace) {
            seen.alarm = ALARMED_LOOKS;
        }
    }
    stranded
}

/// Charges the process that a worker runs now with what its thread has used of the processors since the last look.
fn charge(node: &NodeInner, index: usize, place: &mut Place) {
    let worker = &node.places()[index];
    let Some(thread) = worker.os_thread() else { return };
    let Some(now) = demotion::processor_time(thread) else { return };
    let before = place.charged.replace((thread, now)).filter(|(before, _)| *before == thread);
    let used = now.saturating_sub(before.map_or(Duration::ZERO, |(_, before)| before));
    if node.driving.is_held_by(index) {
        return;
    }
    if let Some(process) = node.table.get(worker.process()) {
        process.account.add_processor_time(used);
    }
}

/// A worker on duty has begun nothing since the last look. Whether it was retired.
fn stands_still(node: &Node, index: usize, place: &mut Place, pace: &Pace) -> bool {
    let inner = node.inner();
    let worker = &inner.places()[index];
    let Some(thread) = worker.os_thread() else { return false };
    place.still += 1;
    place.stood += pace.look_every;
    if place.still < pace.still_looks {
        place.time = demotion::processor_time(thread);
        return false;
    }
    let before = std::mem::replace(&mut place.time, demotion::processor_time(thread));
    let used = place.time.zip(before).map(|(now, before)| now.saturating_sub(before));
    let computes = match does(thread, used, pace) {
        Does::Computes => true,
        // It takes a second thread then, and only if there is something to do for it.
        Does::Blocks if inner.idle.sleeping() == 0 && inner.has_visible_work() => false,
        Does::Blocks | Does::WaitsForProcessor => return false,
    };
    if inner.vacancy().is_none() {
        return false;
    }
    let drives = inner.driving.is_held_by(index);
    let process = (!drives).then(|| worker.process());
    if !worker.duty().retire() {
        return false;
    }
    inner.fairness.retired.fetch_add(1, Ordering::Relaxed);
    worker.counts.handed_off();
    if drives {
        inner.driving.set_stuck();
    }
    let kind = if drives {
        Stall::HoldsDriver
    } else if computes {
        if let Some(process) = process.and_then(|process| inner.table.get(process)) {
            process.set_flag(HEAVY);
        }
        // Not who holds the driver: all sockets wait for it.
        let demoted = !drives && demotion::demote(thread);
        inner.fairness.demoted.fetch_add(u64::from(demoted), Ordering::Relaxed);
        Stall::Computes { demoted }
    } else {
        Stall::Blocks
    };
    inner.fairness.missing.fetch_add(1, Ordering::Relaxed);
    fill_missing(node);
    inner.tell_stall(process, kind, place.stood);
    true
}

/// What a thread does that stands still.
enum Does {
    Computes,
    Blocks,
    /// Something else runs in its place, which says nothing of it.
    WaitsForProcessor,
}

/// What a thread does that used so much of the processors since the last look; where that is not known, the worst is supposed.
fn does(thread: u32, used: Option<Duration>, pace: &Pace) -> Does {
    if used.is_none_or(|used| used >= pace.look_every / 4) {
        Does::Computes
    } else if demotion::is_runnable(thread) {
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
