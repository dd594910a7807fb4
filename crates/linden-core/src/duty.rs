//! Whether a worker may be taken off duty: the word that it and the watch agree by.
//!
//! A worker that stands still in one activation is retired: another thread takes its place, and it leaves when that activation
//! is over. It must not be retired so while it sleeps, for who is asleep is woken and counted on; so the two changes, to fall
//! asleep and to be retired, start from the same state, and one of them finds that the other was first.
//!
//! One that sleeps in the reactor may stand still there, in a task of a library. It is retired too, from its sleep: then the watch
//! has taken over its place among the sleepers, and it finds that when it gets up.

use crate::sync::{AtomicUsize, Ordering};

/// It runs processes, or looks for some.
const ON_DUTY: usize = 0;
/// It sleeps, or is about to.
const ASLEEP: usize = 1;
/// It leaves when it has run what it runs.
const RETIRED: usize = 2;
/// Nobody works here.
const VACANT: usize = 3;

/// See the head of this file. Written by its worker, but for [`Duty::retire`] and [`Duty::begin`], which are the watch's.
#[derive(Debug)]
pub(crate) struct Duty(AtomicUsize);

/// Whether a worker may go to sleep.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FallAsleep {
    Granted,
    /// It is retired, and nobody would wake it.
    Retired,
}

impl Duty {
    pub(crate) fn on_duty() -> Self {
        Self(AtomicUsize::new(ON_DUTY))
    }

    pub(crate) fn vacant() -> Self {
        Self(AtomicUsize::new(VACANT))
    }

    /// Somebody begins to work here. The watch's.
    pub(crate) fn begin(&self) {
        self.0.store(ON_DUTY, Ordering::Release);
    }

    /// The worker goes to sleep.
    pub(crate) fn fall_asleep(&self) -> FallAsleep {
        if cfg!(linden_weaken = "duty_sleep_blind") {
            self.0.store(ASLEEP, Ordering::Release);
            return FallAsleep::Granted;
        }
        match self.0.compare_exchange(ON_DUTY, ASLEEP, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => FallAsleep::Granted,
            Err(_) => FallAsleep::Retired,
        }
    }

    /// The worker is awake again. `false`: it was retired in its sleep, and its place among the sleepers is gone.
    #[must_use]
    pub(crate) fn get_up(&self) -> bool {
        if cfg!(linden_weaken = "duty_up_blind") {
            self.0.store(ON_DUTY, Ordering::Release);
            return true;
        }
        self.0.compare_exchange(ASLEEP, ON_DUTY, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Takes a worker off duty that sleeps. `false`: it has got up. The watch's, who answers for the worker's place among the
    /// sleepers from then on.
    #[must_use]
    pub(crate) fn retire_asleep(&self) -> bool {
        self.0.compare_exchange(ASLEEP, RETIRED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Takes the worker off duty. `false`: it has fallen asleep, or is off already. The watch's.
    #[must_use]
    pub(crate) fn retire(&self) -> bool {
        self.0.compare_exchange(ON_DUTY, RETIRED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// The worker has left nothing behind and goes.
    pub(crate) fn leave(&self) {
        self.0.store(VACANT, Ordering::Release);
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.0.load(Ordering::Relaxed) == ASLEEP
    }

    pub(crate) fn is_on_duty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == ON_DUTY
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.0.load(Ordering::Relaxed) == RETIRED
    }

    /// Acquires what the last worker here has left.
    pub(crate) fn is_vacant(&self) -> bool {
        self.0.load(Ordering::Acquire) == VACANT
    }

    /// Whether somebody works here and is awake.
    pub(crate) fn is_awake(&self) -> bool {
        matches!(self.0.load(Ordering::Relaxed), ON_DUTY | RETIRED)
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    #[test]
    fn loom_a_sleeper_gets_up_or_is_retired_and_never_both() {
        loom::model(|| {
            let duty = Arc::new(Duty::on_duty());
            assert_eq!(duty.fall_asleep(), FallAsleep::Granted);
            let watch = {
                let duty = duty.clone();
                thread::spawn(move || duty.retire_asleep())
            };
            let is_up = duty.get_up();
            let is_retired = watch.join().unwrap();
            assert_ne!(is_up, is_retired);
            assert_eq!(duty.is_retired(), is_retired);
        });
    }

    #[test]
    fn loom_a_worker_is_retired_or_falls_asleep_and_never_both() {
        loom::model(|| {
            let duty = Arc::new(Duty::on_duty());
            let watch = {
                let duty = duty.clone();
                thread::spawn(move || duty.retire())
            };
            let sleeps = duty.fall_asleep() == FallAsleep::Granted;
            let is_retired = watch.join().unwrap();
            assert_ne!(sleeps, is_retired);
            assert_eq!(duty.is_retired(), is_retired);
        });
    }
}
