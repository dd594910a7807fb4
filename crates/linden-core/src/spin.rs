//! How long a worker that is out of work looks around before it sleeps.
//!
//! Pure: a search asks how long it may spin, and the worker says how it went on. A call from another worker is answered 30
//! times sooner by a searcher that spins than by one that sleeps. But what a worker that serves sockets waits for comes from
//! outside, often from a thread that the kernel would run on this very core: there a spin only delays it. So the while is
//! doubled each time that work comes, halved each time that none does, and in the end a search looks once, until somebody
//! else's work wakes the worker.

use std::cell::Cell;
use std::time::Duration;

/// The longest and shortest spin.
const SPIN_MAX: Duration = Duration::from_micros(20);
const SPIN_MIN: Duration = Duration::from_micros(1);

/// See the head of this file. Touched by its worker only.
#[derive(Debug)]
pub(crate) struct Spin {
    /// Zero: a search looks once.
    length: Cell<Duration>,
}

impl Spin {
    pub(crate) fn new() -> Self {
        Self { length: Cell::new(SPIN_MIN) }
    }

    /// How long the search that begins may spin; zero: it looks once.
    pub(crate) fn length(&self) -> Duration {
        self.length.get()
    }

    /// A search found work.
    pub(crate) fn found(&self) {
        self.length.set((self.length.get() * 2).min(SPIN_MAX));
    }

    /// A search found nothing.
    pub(crate) fn failed(&self) {
        let half = self.length.get() / 2;
        self.length.set(if half < SPIN_MIN { Duration::ZERO } else { half });
    }

    /// The worker had gone to sleep, and was woken for somebody else's work.
    pub(crate) fn called(&self) {
        self.length.set(self.length.get().max(SPIN_MIN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths of searches that all go on in this way.
    fn lengths(spin: &Spin, searches: usize, how: impl Fn(&Spin)) -> Vec<u128> {
        let search = |_| {
            let length = spin.length();
            how(spin);
            length.as_micros()
        };
        (0..searches).map(search).collect()
    }

    #[test]
    fn a_search_that_finds_work_makes_the_next_one_longer_up_to_the_longest() {
        assert_eq!(lengths(&Spin::new(), 7, Spin::found), [1, 2, 4, 8, 16, 20, 20]);
    }

    #[test]
    fn searches_in_vain_become_single_looks() {
        let spin = Spin::new();
        spin.found();
        spin.found();
        assert_eq!(lengths(&spin, 5, Spin::failed), [4, 2, 1, 0, 0]);
        // What a look finds says nothing for spinning.
        assert_eq!(lengths(&spin, 2, Spin::found), [0, 0]);
    }

    #[test]
    fn a_worker_that_others_wake_spins_before_it_sleeps_again() {
        let spin = Spin::new();
        spin.failed();
        spin.called();
        assert_eq!(lengths(&spin, 3, Spin::found), [1, 2, 4]);
        spin.called();
        assert_eq!(spin.length(), Duration::from_micros(8));
    }
}
