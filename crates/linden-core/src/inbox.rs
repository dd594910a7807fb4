//! The mail that a process has taken from its mailbox word and not yet read, in the order of arrival.
//!
//! A circular list by its newest link, so that an empty inbox is one null pointer. Only the owner touches it.

use std::ptr::{self, NonNull};

use crate::mailbox::Link;

#[derive(Debug)]
pub(crate) struct Inbox {
    /// The newest; its neighbour is the oldest.
    newest: *mut Link,
}

/// A place between two links of an inbox: where a scan went on from. Stays good while links are only appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    before: *mut Link,
}

// SAFETY: a place is only used by the owner of the inbox, which checks that (`cx.rs`).
unsafe impl Send for Place {}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self { newest: ptr::null_mut() }
    }

    /// Appends a link.
    ///
    /// # Safety
    /// The caller owns `link` and passes it on.
    pub(crate) unsafe fn push_back(&mut self, link: NonNull<Link>) {
        // SAFETY: the caller's promise.
        let new = unsafe { link.as_ref() };
        if self.newest.is_null() {
            new.set_next(link.as_ptr());
        } else {
            // SAFETY: the inbox owns its links.
            let newest = unsafe { &*self.newest };
            new.set_next(newest.next());
            newest.set_next(link.as_ptr());
        }
        self.newest = link.as_ptr();
    }

    /// Takes the oldest link.
    pub(crate) fn pop_front(&mut self) -> Option<NonNull<Link>> {
        let newest = NonNull::new(self.newest)?;
        // SAFETY: the inbox owns its links.
        Some(unsafe { self.remove_after(newest) })
    }

    /// How many links wait. Counts them.
    pub(crate) fn len(&self) -> usize {
        let Some(newest) = NonNull::new(self.newest) else {
            return 0;
        };
        let mut count = 1;
        // SAFETY: the inbox owns its links, and a circular list has no null neighbour.
        let mut at = unsafe { newest.as_ref() }.next();
        while at != newest.as_ptr() {
            count += 1;
            // SAFETY: as above.
            at = unsafe { &*at }.next();
        }
        count
    }

    /// Takes the link behind `before`, which is in the list.
    ///
    /// # Safety
    /// `before` is a link of this inbox.
    unsafe fn remove_after(&mut self, before: NonNull<Link>) -> NonNull<Link> {
        // SAFETY: the caller's promise.
        let before_link = unsafe { before.as_ref() };
        // SAFETY: a circular list has no null neighbour.
        let link = unsafe { NonNull::new_unchecked(before_link.next()) };
        if link == before {
            self.newest = ptr::null_mut();
            return link;
        }
        // SAFETY: a link of this inbox.
        before_link.set_next(unsafe { link.as_ref() }.next());
        if link.as_ptr() == self.newest {
            self.newest = before.as_ptr();
        }
        link
    }

    /// Takes the first link, from `place` on, that `wanted` says yes to. Otherwise moves `place` behind the newest.
    ///
    /// # Safety
    /// `place` is `None` (from the oldest on), or was set by this function since when links were only appended.
    pub(crate) unsafe fn take_first(
        &mut self,
        place: &mut Option<Place>,
        mut wanted: impl FnMut(NonNull<Link>) -> bool,
    ) -> Option<NonNull<Link>> {
        let newest = NonNull::new(self.newest)?;
        let mut before = match place {
            Some(place) if place.before == newest.as_ptr() => return None,
            // SAFETY: only set below, from a link.
            Some(place) => unsafe { NonNull::new_unchecked(place.before) },
            None => newest,
        };
        loop {
            // SAFETY: a link of this inbox.
            let next = unsafe { before.as_ref() }.next();
            // SAFETY: a circular list has no null neighbour.
            let link = unsafe { NonNull::new_unchecked(next) };
            if wanted(link) {
                // SAFETY: `before` is a link of this inbox.
                return Some(unsafe { self.remove_after(before) });
            }
            if link == newest {
                *place = Some(Place { before: newest.as_ptr() });
                return None;
            }
            before = link;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{SignalNode, open_signal};
    use crate::id::{NodeId, Ref};
    use crate::signal::{Info, Signal};

    fn numbered(id: u64) -> NonNull<Link> {
        let reference = Ref::new(NodeId::new("t", 1), id);
        SignalNode::new(Signal::Info(Info::Timer(reference))).into_link()
    }

    fn number(link: NonNull<Link>) -> u64 {
        // SAFETY: made by `numbered`, still owned by the inbox.
        let node = unsafe { link.cast::<SignalNode>().as_ref() };
        match node.signal {
            Signal::Info(Info::Timer(reference)) => (0..100)
                .find(|&id| Ref::new(NodeId::new("t", 1), id) == reference)
                .expect("numbers below 100"),
            _ => unreachable!("only timers are made here"),
        }
    }

    fn open(link: NonNull<Link>) -> u64 {
        let id = number(link);
        // SAFETY: taken from the inbox, so it is the test's.
        drop(unsafe { open_signal(link) });
        id
    }

    fn filled(ids: &[u64]) -> Inbox {
        let mut inbox = Inbox::new();
        for &id in ids {
            // SAFETY: just made.
            unsafe { inbox.push_back(numbered(id)) };
        }
        inbox
    }

    fn rest(mut inbox: Inbox) -> Vec<u64> {
        std::iter::from_fn(|| inbox.pop_front().map(open)).collect()
    }

    #[test]
    fn mail_is_read_in_the_order_of_arrival() {
        assert_eq!(rest(filled(&[1, 2, 3])), [1, 2, 3]);
        assert_eq!(rest(filled(&[])), []);
    }

    // proves: RCV-02
    #[test]
    fn a_selective_take_leaves_the_rest_in_order() {
        for (wanted, left) in [(1, [2, 3]), (2, [1, 3]), (3, [1, 2])] {
            let mut inbox = filled(&[1, 2, 3]);
            // SAFETY: a fresh place.
            let taken = unsafe { inbox.take_first(&mut None, |link| number(link) == wanted) };
            assert_eq!(taken.map(open), Some(wanted));
            assert_eq!(rest(inbox), left);
        }
    }

    #[test]
    fn a_scan_goes_on_where_it_ended() {
        let mut inbox = filled(&[1, 2]);
        let mut place = None;
        let mut looked_at = Vec::new();
        for id in [3, 4] {
            // SAFETY: links were only appended.
            let taken = unsafe {
                inbox.take_first(&mut place, |link| {
                    looked_at.push(number(link));
                    number(link) == 4
                })
            };
            assert!(taken.is_none());
            // SAFETY: just made.
            unsafe { inbox.push_back(numbered(id)) };
        }
        // SAFETY: links were only appended.
        let taken = unsafe { inbox.take_first(&mut place, |link| number(link) == 4) };
        assert_eq!(taken.map(open), Some(4));
        assert_eq!(looked_at, [1, 2, 3]);
        assert_eq!(rest(inbox), [1, 2, 3]);
    }
}
