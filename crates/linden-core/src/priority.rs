//! Priorities of processes, with OTP's meaning, and the queues of those that are not normal.
//!
//! Nearly all processes are normal and go through the workers' own queues. The others wait in queues of the whole node: workers
//! look there first, at one number, and only go on when somebody waits.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cell::Header;
use crate::queue::Injector;

/// Of so many turns that a busy worker gives to processes one goes to a low one, if one waits.
const LOW_EVERY: u32 = 8;

/// Who runs first when several processes are ready. OTP source: `process_flag(priority, Level)`.
///
/// While a process of priority max is ready none of a lower one is begun, and while one of priority high is ready no normal or low
/// one is; what runs already is not interrupted. Normal and low ones share: a low one gets one turn in eight. A process that keeps
/// its worker is replaced whatever its priority.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Priority {
    /// After the others, but never starved by normal ones.
    Low,
    /// What a process begins with.
    #[default]
    Normal,
    /// Before normal ones. For little work that must not wait.
    High,
    /// Before all others. OTP keeps it for itself; use it for what watches the node.
    Max,
}

/// Where the priority stands in a process's flags: two bits. Normal is 0, so that most flags have none of them set.
const SHIFT: u32 = 10;
const MASK: u32 = 0b11 << SHIFT;

impl Priority {
    const ALL: [Self; 4] = [Self::Normal, Self::Low, Self::High, Self::Max];

    pub(crate) fn of(flags: u32) -> Self {
        Self::ALL[((flags & MASK) >> SHIFT) as usize]
    }

    /// Whether flags say another priority than normal.
    #[inline]
    pub(crate) fn is_special(flags: u32) -> bool {
        flags & MASK != 0
    }

    /// The flags with this priority in place of what they say.
    pub(crate) fn put_into(self, flags: u32) -> u32 {
        let place = Self::ALL.iter().position(|&priority| priority == self).unwrap_or(0);
        flags & !MASK | (place as u32) << SHIFT
    }
}

/// The processes of a node that are due and not normal.
#[derive(Default, Debug)]
pub(crate) struct PriorityQueues {
    /// How many are in the queues. Added to behind a push, so a pop that is faster takes it below zero for a moment, which reads as
    /// `not empty`: a look in vain. Who pushes wakes a worker afterwards.
    waiting: AtomicUsize,
    max: Injector,
    high: Injector,
    low: Injector,
}

impl PriorityQueues {
    pub(crate) fn push(&self, cell: NonNull<Header>, priority: Priority) {
        match priority {
            Priority::Max => self.max.push(cell),
            Priority::High => self.high.push(cell),
            // One that became normal while it was pushed is none the worse.
            Priority::Low | Priority::Normal => self.low.push(cell),
        }
        self.waiting.fetch_add(1, Ordering::Release);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// The next that goes before normal ones; on each eighth `turn` also a low one.
    pub(crate) fn pop_before_normal(&self, turn: u32) -> Option<NonNull<Header>> {
        let urgent = self.max.pop().or_else(|| self.high.pop());
        let low = || if turn.is_multiple_of(LOW_EVERY) { self.low.pop() } else { None };
        self.popped(urgent.or_else(low))
    }

    /// The next, whatever its priority: there is no normal one.
    pub(crate) fn pop(&self) -> Option<NonNull<Header>> {
        self.popped(self.max.pop().or_else(|| self.high.pop()).or_else(|| self.low.pop()))
    }

    fn popped(&self, task: Option<NonNull<Header>>) -> Option<NonNull<Header>> {
        if task.is_some() {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
        task
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_is_kept_among_other_flags() {
        for priority in [Priority::Low, Priority::Normal, Priority::High, Priority::Max] {
            for flags in [0, u32::MAX, 0x5555_5555] {
                let with = priority.put_into(flags);
                assert_eq!(Priority::of(with), priority);
                assert_eq!(with & !MASK, flags & !MASK);
                assert_eq!(Priority::is_special(with), priority != Priority::Normal);
            }
        }
        assert_eq!(Priority::of(0), Priority::Normal);
        assert!(Priority::Low < Priority::Normal && Priority::High < Priority::Max);
    }

    #[test]
    fn the_urgent_go_first_and_a_low_one_in_its_turn() {
        let queues = PriorityQueues::default();
        // Never followed: they only stand for processes.
        let task = |number: usize| NonNull::new(std::ptr::without_provenance_mut(number << 3));
        let [low, high, max] = [1, 2, 3].map(|number| task(number).expect("not null"));
        assert!(queues.is_empty());
        queues.push(low, Priority::Low);
        queues.push(high, Priority::High);
        queues.push(max, Priority::Max);
        assert_eq!(queues.pop_before_normal(1), Some(max));
        assert_eq!(queues.pop_before_normal(2), Some(high));
        assert_eq!(queues.pop_before_normal(3), None);
        assert!(!queues.is_empty());
        assert_eq!(queues.pop_before_normal(8), Some(low));
        assert!(queues.is_empty() && queues.pop().is_none());
        queues.push(low, Priority::Low);
        assert_eq!(queues.pop(), Some(low));
    }
}
