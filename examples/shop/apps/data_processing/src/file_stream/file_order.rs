//! Which parts of a file count as they are, when late rows are to be left out.
//!
//! Whether a row is late depends on all rows before it in the file, but blocks are aggregated at the
//! same time. So a block is aggregated with what is known of the times before it, which can only be
//! too little: too few rows are left out. As soon as all blocks before it are back, its part is
//! checked, and aggregated once more when a row in it turns out to be late. In files that are nearly
//! in order this is rare.
//!
//! A plain value, owned by the process that hands out the blocks: no process, no clock.

use std::collections::BTreeMap;

use super::Selection;
use crate::{Aggregates, Late, Timestamp};

/// Takes the parts of a file in the order in which they come back.
#[derive(Debug)]
pub struct FileOrder {
    late: Late,
    /// The first block that is not back yet.
    next: usize,
    /// The latest time in all blocks before `next`.
    latest: Option<Timestamp>,
    /// Parts of later blocks.
    waiting: BTreeMap<usize, Aggregates>,
}

/// What is to be done with a part.
#[derive(Debug)]
pub enum Decision {
    /// It is right: merge it.
    Merge {
        /// Its block's number.
        number: usize,
        /// The part.
        part: Aggregates,
    },
    /// It is not: aggregate its block again, which will be right then.
    Again {
        /// The block's number.
        number: usize,
        /// The latest time before it.
        latest: Option<Timestamp>,
    },
}

impl FileOrder {
    /// Starts before the first block, which has the number 0.
    #[must_use]
    pub fn new(selection: &Selection) -> FileOrder {
        let late = selection.time.as_ref().map_or(Late::Include, |time| time.late);
        FileOrder { late, next: 0, latest: None, waiting: BTreeMap::new() }
    }

    /// What is known of the times before any block that is not back yet.
    #[must_use]
    pub fn latest(&self) -> Option<Timestamp> {
        self.latest
    }

    /// Whether blocks may have to be aggregated again, and so have to be kept.
    #[must_use]
    pub fn may_repeat(&self) -> bool {
        self.late != Late::Include
    }

    /// Takes the part of a block, and gives what can be decided now: at most one decision for each
    /// block that is back, and in the end one [`Decision::Merge`] for each.
    #[must_use]
    pub fn came_back(&mut self, number: usize, part: Aggregates) -> Vec<Decision> {
        if !self.may_repeat() || number < self.next {
            return vec![Decision::Merge { number, part }];
        }
        self.waiting.insert(number, part);
        let mut decisions = Vec::new();
        while let Some(part) = self.waiting.remove(&self.next) {
            let (number, latest) = (self.next, self.latest);
            self.next += 1;
            self.latest = self.latest.max(part.latest());
            decisions.push(if part.holds_after(self.late, latest) {
                Decision::Merge { number, part }
            } else {
                Decision::Again { number, latest }
            });
        }
        decisions
    }
}
