//! How much waits in all mailboxes of a node, and the alarm when it is too much.
//!
//! A mailbox is unbounded unless it has a limit of its own; this is the bound that a whole node is watched by. Nothing is counted
//! when a message is sent: while a worker is awake the watch walks over the table, a part at each of its looks, and adds up what
//! it finds there. So the sum is as old as one walk takes: 5 ms for each 1,024 slots of the table.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::cell::Header;
use crate::hook::panic_reason;
use crate::id::LocalPid;
use crate::introspect::ProcessRow;
use crate::node::NodeInner;

/// Mailboxes that an alarm names.
const NAMED: usize = 5;
/// Slots of the table that are looked at in one part of a walk.
const PART: usize = 1024;

/// What waits in a node's mailboxes; [`crate::Node::mailboxes`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Mailboxes {
    /// Messages and signals in all of them, when they were last counted.
    pub waiting: u64,
    /// More than so many are an alarm; `None` when nobody asked for one.
    pub watermark: Option<u64>,
    /// There were more at the last count, and there have been more than half as many since.
    pub is_above: bool,
}

/// More messages wait than there should be, as a [`MailboxListener`] is told.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MailboxAlarm {
    /// Messages and signals in all mailboxes.
    pub waiting: u64,
    /// What was said to be too much.
    pub watermark: u64,
    /// The processes with the longest mailboxes, the longest first: five at most.
    pub longest: Vec<ProcessRow>,
}

/// Told when more messages wait on the node than its watermark says, and again only after it were fewer than half as many.
/// Called by the watch's own thread: it must not block.
pub trait MailboxListener: Send + Sync {
    /// So many wait.
    fn above_watermark(&self, alarm: &MailboxAlarm);
}

/// What the last walk has found. Written by the watch, read by anybody; relaxed, as it orders nothing.
#[derive(Debug, Default)]
pub(crate) struct MailboxCounts {
    waiting: AtomicU64,
    is_above: AtomicBool,
}

impl MailboxCounts {
    pub(crate) fn read(&self, watermark: Option<u64>) -> Mailboxes {
        Mailboxes {
            waiting: self.waiting.load(Ordering::Relaxed),
            watermark,
            is_above: self.is_above.load(Ordering::Relaxed),
        }
    }
}

/// A walk over the table. The watch's own.
#[derive(Debug, Default)]
pub(crate) struct MailboxWalk {
    next: usize,
    waiting: u64,
    /// The longest so far, the longest first.
    longest: Vec<(u64, LocalPid)>,
}

impl MailboxWalk {
    /// Looks at some more mailboxes.
    pub(crate) fn go_on(&mut self, node: &NodeInner) {
        let next = node.table.scan(self.next, PART, |slot| {
            slot(&mut |header| {
                self.add(length(header), header.local);
                false
            });
        });
        if let Some(next) = next {
            self.next = next;
            return;
        }
        let walk = std::mem::take(self);
        node.mailboxes.waiting.store(walk.waiting, Ordering::Relaxed);
        let Some(watermark) = node.options.mailbox_watermark else { return };
        let was_above = node.mailboxes.is_above.load(Ordering::Relaxed);
        let is_above = walk.waiting > if was_above { watermark / 2 } else { watermark };
        node.mailboxes.is_above.store(is_above, Ordering::Relaxed);
        if is_above && !was_above {
            walk.tell(node, watermark);
        }
    }

    fn add(&mut self, length: u64, process: LocalPid) {
        self.waiting += length;
        let place = self.longest.partition_point(|(longer, _)| *longer >= length);
        if length > 0 && place < NAMED {
            self.longest.truncate(NAMED - 1);
            self.longest.insert(place, (length, process));
        }
    }

    fn tell(self, node: &NodeInner, watermark: u64) {
        let Some(listener): &Option<Arc<dyn MailboxListener>> = &node.options.mailbox_listener
        else {
            return;
        };
        let longest = self.longest.iter().filter_map(|(_, process)| node.table.get(*process));
        let longest = longest.map(|cell| node.row_of(&cell)).collect();
        let alarm = MailboxAlarm { waiting: self.waiting, watermark, longest };
        let told = std::panic::AssertUnwindSafe(|| listener.above_watermark(&alarm));
        if let Err(payload) = std::panic::catch_unwind(told) {
            let _ = panic_reason(payload);
        }
    }
}

fn length(header: &Header) -> u64 {
    u64::from(header.account.read().unread) + u64::from(header.mail.waiting())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_are_kept_in_order_and_all_are_added_up() {
        let mut walk = MailboxWalk::default();
        for (index, length) in [3, 0, 9, 1, 7, 9, 2, 8].into_iter().enumerate() {
            walk.add(length, LocalPid { index: index as u32, generation: 1 });
        }
        let longest: Vec<_> =
            walk.longest.iter().map(|(length, pid)| (*length, pid.index)).collect();
        assert_eq!(longest, [(9, 2), (9, 5), (8, 7), (7, 4), (3, 0)]);
        assert_eq!(walk.waiting, 39);
    }
}
