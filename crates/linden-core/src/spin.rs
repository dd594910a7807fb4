//! How long a worker that is out of work looks around before it sleeps.
//!
//! Pure: a search asks how long it may spin, and says how it went. A call from another worker is answered 30 times sooner by
//! a searcher that spins than by one that sleeps. But what a worker that serves sockets waits for comes from outside, often
//! from a thread that the kernel would run on this very core: there a spin only delays it. So the while is doubled each time
//! that work comes, halved each time that none does, and in the end a search looks once.

use std::cell::Cell;
use std::time::Duration;

/// The longest and shortest spin.
const SPIN_MAX: Duration = Duration::from_micros(20);
const SPIN_MIN: Duration = Duration::from_micros(1);
/// Of so many searches that would look once, one spins: work from other workers may come by now. Rare enough to be no part of
/// a server's 99th percentile.
const SPIN_AGAIN_EVERY: u32 = 256;

/// See the head of this file. Touched by its worker only.
#[derive(Debug)]
pub(crate) struct Spin {
    /// Zero: a search looks once.
    length: Cell<Duration>,
    /// Searches that looked once since the last that did not.
    looks: Cell<u32>,
}

impl Spin {
    pub(crate) fn new() -> Self {
        Self { length: Cell::new(SPIN_MIN), looks: Cell::new(0) }
    }

    /// How long the search that begins may spin; zero: it looks once.
    pub(crate) fn begin(&self) -> Duration {
        if self.length.get().is_zero() {
            let looks = (self.looks.get() + 1) % SPIN_AGAIN_EVERY;
            self.looks.set(looks);
            if looks == 0 {
                self.length.set(SPIN_MIN);
            }
        }
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_that_finds_work_makes_the_next_one_longer_up_to_the_longest() {
        let spin = Spin::new();
        let lengths: Vec<_> = (0..7)
            .map(|_| {
                let length = spin.begin();
                spin.found();
                length.as_micros()
            })
            .collect();
        assert_eq!(lengths, [1, 2, 4, 8, 16, 20, 20]);
    }

    #[test]
    fn searches_in_vain_become_single_looks_with_a_spin_now_and_then() {
        let spin = Spin::new();
        spin.found();
        let mut lengths = std::iter::from_fn(|| {
            let length = spin.begin();
            spin.failed();
            Some(length.as_micros())
        });
        assert_eq!(lengths.by_ref().take(2).collect::<Vec<_>>(), [2, 1]);
        let spins = lengths.take(3 * SPIN_AGAIN_EVERY as usize).filter(|&length| length == 1);
        assert_eq!(spins.count(), 3);
    }

    #[test]
    fn work_that_a_single_look_finds_says_nothing_for_spinning() {
        let spin = Spin::new();
        spin.failed();
        assert!(spin.begin().is_zero());
        spin.found();
        assert!(spin.begin().is_zero());
    }
}
