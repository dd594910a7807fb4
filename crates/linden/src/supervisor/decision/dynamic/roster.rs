//! The running children of a dynamic supervisor: a map from their pids to what is kept of each.
//!
//! Lives here: [`Roster`]. Owned by one supervisor's state.
//!
//! Invariants:
//! - A child is one entry of the page of its number, sorted by pid. Children that are started one after the other fill their
//!   pages, so that each costs little more than its entry; a hash map of all of them would be half empty at most sizes, and
//!   would be copied whole whenever it grows.
//! - No page is empty, and none keeps much more room than it needs.

use std::collections::HashMap;

/// How many numbers share a page. Enough that its own cost is small beside the entries, and few enough to be shifted quickly.
const PAGE: u32 = 64;

/// A page with room for this many children or less keeps it.
const ROOM_KEPT: usize = 4;

/// Room for this many pages is never given back.
const PAGES_KEPT: usize = 64;

/// A pid that says where in the node's table its process is.
pub trait Numbered: Copy + Ord {
    /// Processes that are started one after the other have numbers near each other. A later process may have the same.
    fn number(self) -> u32;
}

impl Numbered for linden_core::LocalPid {
    fn number(self) -> u32 {
        self.index()
    }
}

/// Children and what is kept of each.
#[derive(Debug)]
pub(super) struct Roster<P, T> {
    pages: HashMap<u32, Vec<(P, T)>>,
    len: usize,
}

impl<P, T> Default for Roster<P, T> {
    fn default() -> Self {
        Self { pages: HashMap::new(), len: 0 }
    }
}

impl<P: Numbered, T> Roster<P, T> {
    pub(super) fn insert(&mut self, pid: P, kept: T) {
        let page = self.pages.entry(pid.number() / PAGE).or_default();
        match page.binary_search_by_key(&pid, |(pid, _)| *pid) {
            Ok(at) => {
                debug_assert!(false, "one process is one child");
                page[at].1 = kept;
            }
            Err(at) => {
                page.insert(at, (pid, kept));
                self.len += 1;
            }
        }
    }

    pub(super) fn remove(&mut self, pid: P) -> Option<T> {
        let number = pid.number() / PAGE;
        let page = self.pages.get_mut(&number)?;
        let at = page.binary_search_by_key(&pid, |(pid, _)| *pid).ok()?;
        let (_, kept) = page.remove(at);
        self.len -= 1;
        if page.is_empty() {
            self.pages.remove(&number);
            self.give_back_pages();
        } else if page.capacity() > ROOM_KEPT && page.len() <= page.capacity() / 4 {
            page.shrink_to(page.len() * 2);
        }
        Some(kept)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The children in no order.
    pub(super) fn pids(&self) -> impl Iterator<Item = P> {
        self.pages.values().flatten().map(|(pid, _)| *pid)
    }

    /// Rare enough to cost nothing per removal.
    fn give_back_pages(&mut self) {
        let (pages, room) = (self.pages.len(), self.pages.capacity());
        if room > PAGES_KEPT && pages < room / 8 {
            self.pages.shrink_to(pages * 2);
        }
    }
}

#[cfg(test)]
impl<P, T> Roster<P, T> {
    /// For how many children there is room.
    pub(super) fn room(&self) -> usize {
        self.pages.values().map(Vec::capacity).sum()
    }
}

#[cfg(test)]
impl Numbered for u32 {
    fn number(self) -> u32 {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::mem::size_of;

    use proptest::prelude::*;

    use super::*;

    /// A process that had the number may not be buried yet when the next one has it.
    type Pid = (u32, u8);

    impl Numbered for Pid {
        fn number(self) -> u32 {
            self.0
        }
    }

    /// What the roster has asked the allocator for: its pages, and the table of pages with a byte for each place.
    fn bytes<P, T>(roster: &Roster<P, T>) -> usize {
        let pages = roster.pages.values().map(|page| page.capacity() * size_of::<(P, T)>());
        let places = (roster.pages.capacity() * 8 / 7).next_power_of_two();
        pages.sum::<usize>() + places * (size_of::<(u32, Vec<(P, T)>)>() + 1)
    }

    // proves: SUP-23
    #[test]
    fn a_child_costs_its_pid_and_two_bytes() {
        // A pid of the node is 8 bytes.
        assert_eq!(size_of::<linden_core::LocalPid>(), size_of::<Pid>());
        for count in [10_000, 100_000, 1_000_000] {
            let mut roster = Roster::default();
            for number in 1..=count {
                roster.insert((number, 0), ());
            }
            let each = bytes(&roster) as f64 / f64::from(count);
            assert!(each <= 10.0, "{each} bytes with {count} children");
        }
    }

    #[test]
    fn what_is_left_of_many_children_keeps_little() {
        let mut roster = Roster::default();
        for number in 0..100_000 {
            roster.insert((number, 0), ());
        }
        for number in (0..100_000).filter(|number| number % 1000 != 0) {
            roster.remove((number, 0));
        }
        assert_eq!(roster.len(), 100);
        assert!(bytes(&roster) < 100_000, "{} bytes", bytes(&roster));
    }

    proptest! {
        #[test]
        fn it_is_a_map(
            steps in proptest::collection::vec((any::<bool>(), 0_u32..200, 0_u8..3), 0..400),
        ) {
            let mut roster = Roster::default();
            let mut model = BTreeMap::new();
            for (inserts, number, generation) in steps {
                let pid = (number, generation);
                if inserts && !model.contains_key(&pid) {
                    let kept = model.len();
                    model.insert(pid, kept);
                    roster.insert(pid, kept);
                } else {
                    prop_assert_eq!(roster.remove(pid), model.remove(&pid));
                }
                prop_assert_eq!(roster.len(), model.len());
                prop_assert!(roster.pages.values().all(|page| !page.is_empty()));
            }
            let mut pids: Vec<Pid> = roster.pids().collect();
            pids.sort_unstable();
            prop_assert!(pids.iter().eq(model.keys()));
        }
    }
}
