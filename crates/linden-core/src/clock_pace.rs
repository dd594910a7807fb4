//! How many activations a busy worker begins before it reads the clock again.
//!
//! Pure: a worker counts its activations here, and says what the clock was. To read it costs as much as a short activation, so
//! there are many to a reading; but where they are long, timers, sockets and other workers' processes wait for the next one.
//! So the number is halved when a reading comes late, and doubled when it comes soon.

use std::cell::Cell;
use std::time::Duration;

/// The most activations between two readings.
const EVERY_MAX: u32 = 32;
/// A reading is late after so long.
const LATE: Duration = Duration::from_micros(100);
/// A reading is soon within so long.
const SOON: Duration = Duration::from_micros(25);

/// See the head of this file. Touched by its worker only.
#[derive(Debug)]
pub(crate) struct ClockPace {
    /// Activations from one reading to the next.
    every: Cell<u32>,
    /// Activations until the next reading.
    left: Cell<u32>,
    /// The last reading.
    read: Cell<Duration>,
}

impl ClockPace {
    pub(crate) fn new() -> Self {
        Self {
            every: Cell::new(EVERY_MAX),
            left: Cell::new(EVERY_MAX),
            read: Cell::new(Duration::ZERO),
        }
    }

    /// An activation begins. Whether the clock is to be read before it.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        let left = self.left.get() - 1;
        self.left.set(left);
        left == 0
    }

    /// What the clock says, when it was due.
    pub(crate) fn read(&self, now: Duration) {
        let every = self.every.get();
        let took = now.saturating_sub(self.read.get());
        self.every.set(if took > LATE {
            (every / 2).max(1)
        } else if took < SOON {
            (every * 2).min(EVERY_MAX)
        } else {
            every
        });
        self.restart(now);
    }

    /// What the clock says after a time without activations, which tells nothing of their length.
    pub(crate) fn restart(&self, now: Duration) {
        self.read.set(now);
        self.left.set(self.every.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of activations between readings, when each activation takes so many microseconds.
    fn numbers(pace: &ClockPace, activation: u64, readings: usize) -> Vec<u32> {
        let mut now = pace.read.get();
        let reading = |_| {
            let mut begun = 1;
            now += Duration::from_micros(activation);
            while !pace.is_due() {
                begun += 1;
                now += Duration::from_micros(activation);
            }
            pace.read(now);
            begun
        };
        (0..readings).map(reading).collect()
    }

    #[test]
    fn long_activations_have_the_clock_read_often_and_short_ones_seldom() {
        let pace = ClockPace::new();
        assert_eq!(numbers(&pace, 0, 2), [32, 32]);
        assert_eq!(numbers(&pace, 10, 4), [32, 16, 8, 8]);
        assert_eq!(numbers(&pace, 1_000, 5), [8, 4, 2, 1, 1]);
        assert_eq!(numbers(&pace, 1, 6), [1, 2, 4, 8, 16, 32]);
    }

    #[test]
    fn a_sleep_says_nothing_of_activations() {
        let pace = ClockPace::new();
        pace.restart(Duration::from_secs(9));
        assert_eq!(numbers(&pace, 0, 1), [32]);
        assert_eq!(pace.every.get(), 32);
    }
}
