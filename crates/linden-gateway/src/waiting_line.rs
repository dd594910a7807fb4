//! Who runs, who waits and who is sent away, when only so many may run at once: decided from arrivals and ends.
//!
//! Pure: no clock, no waker. Invariant: somebody waits only while as many run as may.

use std::collections::VecDeque;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct WaitingLine {
    running_max: usize,
    waiting_max: usize,
    running: usize,
    /// In the order of arrival, so in that of their numbers.
    waiting: VecDeque<Ticket>,
    newest: u64,
}

/// One who waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Ticket(u64);

/// What becomes of one who arrives.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// It runs.
    Runs,
    /// It runs when it is its turn.
    Waits(Ticket),
    /// It is sent away: the line is full.
    Refused,
}

/// What one who waited leaves behind when it goes.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GaveUp {
    /// Its place in the line, which is closed up.
    Waiting,
    /// It was its turn already: somebody else may run.
    Running,
}

impl WaitingLine {
    pub(crate) fn new(running_max: usize, waiting_max: usize) -> Self {
        Self { running_max, waiting_max, running: 0, waiting: VecDeque::new(), newest: 0 }
    }

    pub(crate) fn running(&self) -> usize {
        self.running
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn arrive(&mut self) -> Arrival {
        if self.running < self.running_max {
            self.running += 1;
            return Arrival::Runs;
        }
        if self.waiting.len() >= self.waiting_max {
            return Arrival::Refused;
        }
        self.newest += 1;
        self.waiting.push_back(Ticket(self.newest));
        Arrival::Waits(Ticket(self.newest))
    }

    /// One that ran has ended. Who runs in its place, if somebody waits.
    #[must_use]
    pub(crate) fn leave(&mut self) -> Option<Ticket> {
        let next = self.waiting.pop_front();
        if next.is_none() {
            self.running -= 1;
        }
        next
    }

    /// Whether it is not yet its turn.
    pub(crate) fn is_waiting(&self, ticket: Ticket) -> bool {
        self.waiting.binary_search(&ticket).is_ok()
    }

    /// One that waited goes, whether or not it was its turn meanwhile.
    pub(crate) fn give_up(&mut self, ticket: Ticket) -> GaveUp {
        match self.waiting.binary_search(&ticket) {
            Ok(at) => {
                self.waiting.remove(at);
                GaveUp::Waiting
            }
            Err(_) => GaveUp::Running,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(line: &mut WaitingLine) -> Ticket {
        match line.arrive() {
            Arrival::Waits(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    // proves: GATE-44
    #[test]
    fn so_many_run_so_many_wait_and_the_rest_is_refused() {
        let mut line = WaitingLine::new(2, 2);
        assert_eq!([line.arrive(), line.arrive()], [Arrival::Runs; 2]);
        let (first, second) = (waits(&mut line), waits(&mut line));
        assert_eq!(line.arrive(), Arrival::Refused);
        assert_eq!(line.leave(), Some(first));
        assert!(!line.is_waiting(first) && line.is_waiting(second));
        let third = waits(&mut line);
        assert_eq!((line.leave(), line.leave()), (Some(second), Some(third)));
        assert_eq!((line.running(), line.waiting()), (2, 0));
        assert_eq!((line.leave(), line.leave()), (None, None));
        assert_eq!(line.arrive(), Arrival::Runs);
    }

    #[test]
    fn one_that_gives_up_makes_room_in_the_line() {
        let mut line = WaitingLine::new(1, 2);
        assert_eq!(line.arrive(), Arrival::Runs);
        let (first, second) = (waits(&mut line), waits(&mut line));
        assert_eq!(line.give_up(first), GaveUp::Waiting);
        let third = waits(&mut line);
        assert_eq!((line.leave(), line.leave(), line.leave()), (Some(second), Some(third), None));
        assert_eq!(line.running(), 0);
    }

    #[test]
    fn one_that_gives_up_in_its_turn_passes_it_on() {
        let mut line = WaitingLine::new(1, 2);
        assert_eq!(line.arrive(), Arrival::Runs);
        let (first, second) = (waits(&mut line), waits(&mut line));
        assert_eq!(line.leave(), Some(first));
        assert_eq!(line.give_up(first), GaveUp::Running);
        assert_eq!(line.leave(), Some(second));
        assert_eq!((line.leave(), line.running()), (None, 0));
    }

    #[test]
    fn without_a_line_nobody_waits() {
        let mut line = WaitingLine::new(1, 0);
        assert_eq!((line.arrive(), line.arrive()), (Arrival::Runs, Arrival::Refused));
    }

    proptest::proptest! {
        #[test]
        fn nobody_is_lost_and_no_place_either(acts in proptest::collection::vec(0_u8..4, 0..200)) {
            let mut line = WaitingLine::new(3, 4);
            let (mut running, mut waiting) = (0_usize, VecDeque::new());
            for act in acts {
                match act {
                    0 | 1 => match line.arrive() {
                        Arrival::Runs => running += 1,
                        Arrival::Waits(ticket) => waiting.push_back(ticket),
                        Arrival::Refused => assert_eq!((running, waiting.len()), (3, 4)),
                    },
                    2 if running > 0 => {
                        let next = line.leave();
                        assert_eq!(next, waiting.pop_front());
                        running -= usize::from(next.is_none());
                    }
                    3 if !waiting.is_empty() => {
                        let ticket = waiting.remove(waiting.len() / 2).unwrap();
                        assert_eq!(line.give_up(ticket), GaveUp::Waiting);
                    }
                    _ => {}
                }
                assert_eq!((line.running(), line.waiting()), (running, waiting.len()));
                assert!(running == 3 || waiting.is_empty());
            }
        }
    }
}
