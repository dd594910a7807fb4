//! The process table: from the index in a pid to the cell.
//!
//! Slots live in segments that double in size and are never freed while the node lives, so a look-up takes no lock but the
//! slot's own. Indices are handed out in ranges: a worker keeps some to itself, and (later) another program that is the
//! same node for a while gets ranges of its own. A freed index goes to the back of the line, so that its 2^32 generations
//! last; index 0 is nobody's.

use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::OnceLock;

use parking_lot::Mutex;

use crate::cell::{CellRef, Header};
use crate::id::LocalPid;
use crate::slot::Slot;

const FIRST_SEGMENT_BITS: u32 = 10;
const SEGMENTS: usize = 21;

/// The most processes that live at once: what the segments hold.
pub(crate) const PROCESSES_MAX: usize = (1 << FIRST_SEGMENT_BITS) * ((1 << SEGMENTS) - 1) - 1;

/// How many indices a worker takes or gives back at a time.
const RANGE: usize = 256;

pub(crate) struct ProcessTable {
    segments: [OnceLock<Box<[Slot<Header>]>>; SEGMENTS],
    indices: Mutex<Indices>,
}

/// Indices that nobody uses.
#[derive(Debug)]
struct Indices {
    free: VecDeque<u32>,
    /// The first one that was never used.
    fresh: u32,
}

/// The indices that one worker keeps to itself.
#[derive(Default, Debug)]
pub(crate) struct IndexCache {
    free: VecDeque<u32>,
}

/// Segment and place of an index.
fn locate(index: u32) -> (usize, usize) {
    let shifted = index as usize + (1 << FIRST_SEGMENT_BITS);
    let segment = shifted.ilog2() - FIRST_SEGMENT_BITS;
    (segment as usize, shifted - (1 << (segment + FIRST_SEGMENT_BITS)))
}

impl ProcessTable {
    pub(crate) fn new() -> Self {
        Self {
            segments: [const { OnceLock::new() }; SEGMENTS],
            indices: Mutex::new(Indices { free: VecDeque::new(), fresh: 1 }),
        }
    }

    fn slot(&self, index: u32) -> Option<&Slot<Header>> {
        let (segment, place) = locate(index);
        self.segments.get(segment)?.get()?.get(place)
    }

    /// A pid for a new process, from the worker's own indices if there is a worker. `None`: the table is full.
    pub(crate) fn allocate(&self, cache: Option<&mut IndexCache>) -> Option<LocalPid> {
        let index = match cache {
            Some(cache) => {
                // A worker keeps a good many, so that a freed index rests before it comes round again.
                if cache.free.len() < RANGE / 2 {
                    let mut indices = self.indices.lock();
                    cache.free.extend(std::iter::from_fn(|| indices.next()).take(RANGE));
                }
                cache.free.pop_front()?
            }
            None => self.indices.lock().next()?,
        };
        let (segment, place) = locate(index);
        let slots = self.segments[segment].get_or_init(|| {
            (0..1_usize << (segment as u32 + FIRST_SEGMENT_BITS)).map(|_| Slot::new(1)).collect()
        });
        let generation = slots[place].number().expect("a free index has a vacant slot");
        Some(LocalPid { index, generation })
    }

    /// Lets the pid lead to its cell.
    ///
    /// # Safety
    /// The pid was allocated here for this cell, which lives until `remove`.
    pub(crate) unsafe fn insert(&self, local: LocalPid, cell: NonNull<Header>) {
        let slot = self.slot(local.index).expect("allocated, so the segment is there");
        // SAFETY: the caller's promise; an allocated index is one process's alone.
        unsafe { slot.fill(cell) };
    }

    /// Ends the pid: nobody finds the cell from now on, and the index may be used again.
    pub(crate) fn remove(
        &self,
        local: LocalPid,
        cell: NonNull<Header>,
        cache: Option<&mut IndexCache>,
    ) {
        let slot = self.slot(local.index).expect("inserted, so the segment is there");
        let cleared = slot.clear(cell, local.generation.wrapping_add(1));
        debug_assert!(cleared, "a pid is removed once");
        self.free(local.index, cache);
    }

    /// Gives back a pid that never led to a cell. It was seen all the same, so no later process gets it.
    pub(crate) fn cancel(&self, local: LocalPid, cache: Option<&mut IndexCache>) {
        let slot = self.slot(local.index).expect("allocated, so the segment is there");
        slot.renumber(local.generation.wrapping_add(1));
        self.free(local.index, cache);
    }

    fn free(&self, index: u32, cache: Option<&mut IndexCache>) {
        let Some(cache) = cache else {
            self.indices.lock().free.push_back(index);
            return;
        };
        cache.free.push_back(index);
        if cache.free.len() > 4 * RANGE {
            self.indices.lock().free.extend(cache.free.drain(..2 * RANGE));
        }
    }

    /// Takes back all indices of a worker that leaves.
    pub(crate) fn give_back(&self, cache: &mut IndexCache) {
        self.indices.lock().free.append(&mut cache.free);
    }

    /// The process of this pid, if it lives.
    pub(crate) fn get(&self, local: LocalPid) -> Option<CellRef> {
        let found = self.slot(local.index)?.acquire(|cell| cell.local == local)?;
        // SAFETY: the slot gave a count.
        Some(unsafe { CellRef::from_counted(found) })
    }

    /// Passes up to `max` slots from `start` on to `each`, which may take a count of the process behind each by asking the slot
    /// whether it is wanted. Says where to go on, if there are more slots.
    pub(crate) fn scan(
        &self,
        start: usize,
        max: usize,
        mut each: impl FnMut(&dyn Fn(&mut dyn FnMut(&Header) -> bool) -> Option<CellRef>),
    ) -> Option<usize> {
        for index in start..start + max {
            let (segment, place) = locate(u32::try_from(index).ok()?);
            let slot = &self.segments.get(segment)?.get()?[place];
            each(&|wanted| {
                let found = slot.acquire(|cell| wanted(cell))?;
                // SAFETY: the slot gave a count.
                Some(unsafe { CellRef::from_counted(found) })
            });
        }
        Some(start + max)
    }

    /// Every process that lives, in the order of indices. Processes that come or go meanwhile may be missed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = CellRef> {
        self.segments.iter().filter_map(OnceLock::get).flat_map(|slots| slots.iter()).filter_map(
            |slot| {
                let found = slot.acquire(|_| true)?;
                // SAFETY: the slot gave a count.
                Some(unsafe { CellRef::from_counted(found) })
            },
        )
    }
}

impl Indices {
    fn next(&mut self) -> Option<u32> {
        // Fresh ones first as long as few are free: a freed index rests for a while.
        if self.free.len() > 4 * RANGE {
            return self.free.pop_front();
        }
        if (self.fresh as usize) < PROCESSES_MAX {
            self.fresh += 1;
            return Some(self.fresh - 1);
        }
        self.free.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for index in 0..10_000 {
            assert_eq!(locate(index), expected);
            expected.1 += 1;
            if expected.1 == 1 << (expected.0 as u32 + FIRST_SEGMENT_BITS) {
                expected = (expected.0 + 1, 0);
            }
        }
    }

    #[test]
    fn the_index_of_a_cancelled_pid_is_used_again_and_no_pid_is_given_twice() {
        let table = ProcessTable::new();
        let mut cache = IndexCache::default();
        let mut given = std::collections::HashSet::new();
        for _ in 0..10_000 {
            let pid = table.allocate(Some(&mut cache)).expect("room");
            assert!(given.insert(pid));
            assert_ne!(pid.index, 0);
        }
        for pid in &given {
            table.cancel(*pid, Some(&mut cache));
        }
        let again = table.allocate(Some(&mut cache)).expect("room");
        let was_given = |pid: &LocalPid| pid.index == again.index;
        assert!(given.iter().any(was_given), "the indices of cancelled pids come back");
        assert!(!given.contains(&again), "the pids do not");
    }
}
