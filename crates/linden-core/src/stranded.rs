//! How a busy worker finds another one that stands still, so that the processes which wait there are not stranded.
//!
//! Pure: it is told how many activations one other worker after the other has begun. A worker that begins none between two
//! looks is in a long activation, or the kernel runs something else in its place, for some milliseconds. A worker that is out
//! of work steals from it at once; this is for those that never are.

use std::cell::Cell;

/// For each so many tasks that wait at the looking worker itself...
const WAITING_PER_STEP: usize = 64;
/// ... the other one has to stand still for so many looks more.
const LOOKS_PER_STEP: usize = 8;

/// See the head of this file. Touched by its worker only.
#[derive(Debug)]
pub(crate) struct StrandedSearch {
    /// The worker that is looked at.
    other: Cell<usize>,
    /// What it had begun at the look before.
    begun: Cell<Option<u64>>,
    /// The looks in a row at which it stood still.
    still: Cell<usize>,
}

impl StrandedSearch {
    pub(crate) fn new() -> Self {
        Self { other: Cell::new(0), begun: Cell::new(None), still: Cell::new(0) }
    }

    /// Which of `workers` to look at; `None` for a worker that is alone.
    pub(crate) fn other(&self, own: usize, workers: usize) -> Option<usize> {
        if workers < 2 {
            return None;
        }
        let other = self.other.get() % workers;
        Some(if other == own { (own + 1) % workers } else { other })
    }

    /// Whether to take what waits there, when it has begun so many activations until now and so many tasks wait here. What is
    /// taken waits behind these, so the more there are the longer it may wait where it is. If so it is looked at again.
    pub(crate) fn is_stranded(&self, begun: u64, waiting_here: usize) -> bool {
        match self.begun.replace(Some(begun)) {
            Some(before) if before == begun => {
                self.still.set(self.still.get() + 1);
                self.still.get() > waiting_here / WAITING_PER_STEP * LOOKS_PER_STEP
            }
            Some(_) => {
                self.go_on();
                false
            }
            None => false,
        }
    }

    /// Nothing waits there: looks at the next one.
    pub(crate) fn go_on(&self) {
        self.begun.set(None);
        self.still.set(0);
        self.other.set(self.other.get().wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_begins_nothing_between_two_looks_stands_still_until_it_does() {
        let search = StrandedSearch::new();
        assert!(!search.is_stranded(7, 0));
        assert!(search.is_stranded(7, 0));
        assert!(search.is_stranded(7, 0));
        assert!(!search.is_stranded(8, 0));
        // Another worker is looked at now: its count says nothing yet.
        assert!(!search.is_stranded(8, 0));
    }

    #[test]
    fn a_worker_with_much_to_do_takes_later() {
        let search = StrandedSearch::new();
        let looks = |waiting_here| {
            search.go_on();
            (0..).take_while(|_| !search.is_stranded(7, waiting_here)).count()
        };
        let waiting = [0, WAITING_PER_STEP - 1, WAITING_PER_STEP, 10 * WAITING_PER_STEP];
        assert_eq!(waiting.map(looks), [1, 1, 9, 81]);
    }

    #[test]
    fn each_other_worker_is_looked_at_in_turn_and_never_the_own() {
        let search = StrandedSearch::new();
        let looks: Vec<_> = (0..6)
            .map(|_| {
                let other = search.other(1, 3);
                search.go_on();
                other
            })
            .collect();
        assert_eq!(looks, [0, 2, 2, 0, 2, 2].map(Some));
        assert_eq!(search.other(0, 1), None);
    }
}
