//! Observers' questions to a node: rows of workers and processes, and searches over all processes.
//!
//! A search reads the accounts in the headers, a thousand slots of the table at a time, and lets others run in between: a node
//! with a million processes goes on while somebody looks. Rows are made only of the processes that are shown.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::sync::Arc;

use crate::activation::inspect;
use crate::cell::{CellRef, HEAVY, Header, NAMED};
use crate::counts::nanos;
use crate::cx::yield_now;
use crate::id::{LocalPid, Pid};
use crate::introspect::{ProcessInfo, ProcessRow, Status, WorkerRow};
use crate::mailbox::MailState;
use crate::mailboxes::Mailboxes;
use crate::node::Node;
use crate::priority::Priority;
use crate::reply::reply_pair;
use crate::signal::Signal;
use crate::worker;

/// The most that [`ProcessQuery::offset`] and [`ProcessQuery::limit`] may be together: what a search keeps.
pub const PROCESS_QUERY_MAX: usize = 100_000;

/// Slots of the table that are looked at before others get their turn.
const STEP: usize = 1024;

/// Which processes are asked for, and in which order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessQuery {
    /// Only those of this group (application).
    pub group: Option<Arc<str>>,
    /// Only those in whose pid, name, label, group or message type this text occurs; the case of ASCII letters is not minded.
    pub text: Option<String>,
    /// Only those that do this.
    pub status: Option<Status>,
    /// Only those that were once replaced because they took too long.
    pub heavy: bool,
    /// What stands first.
    pub order: ProcessOrder,
    /// So many of the first are left out.
    pub offset: usize,
    /// The most rows.
    pub limit: usize,
}

impl Default for ProcessQuery {
    /// The first hundred, by pid.
    fn default() -> Self {
        Self {
            group: None,
            text: None,
            status: None,
            heavy: false,
            order: ProcessOrder::Pid,
            offset: 0,
            limit: 100,
        }
    }
}

/// By what processes are ordered: the largest first, and of equal ones the one with the smaller pid.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ProcessOrder {
    /// By the pid's index; the smallest first.
    Pid,
    /// By [`ProcessRow::reductions`].
    Reductions,
    /// By [`ProcessRow::activations`].
    Activations,
    /// By [`ProcessRow::received`].
    Received,
    /// By [`ProcessRow::sent`].
    Sent,
    /// By [`ProcessRow::mailbox_len`].
    MailboxLen,
    /// By [`ProcessRow::mailbox_peak`].
    MailboxPeak,
    /// By [`ProcessRow::processor_time`].
    ProcessorTime,
    /// By [`ProcessRow::started`]: the youngest first.
    Started,
    /// By [`ProcessRow::restarts`].
    Restarts,
    /// By [`ProcessRow::cell_size`].
    CellSize,
    /// By [`ProcessRow::memory`].
    Memory,
}

/// What a search has found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ProcessPage {
    /// The processes asked for. One that ended during the search is left out.
    pub rows: Vec<ProcessRow>,
    /// How many processes meet the query, on all pages.
    pub matching: usize,
}

/// A query that cannot be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueryTooLarge;

impl std::fmt::Display for QueryTooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "offset and limit of a query for processes may be {PROCESS_QUERY_MAX} together: ask for fewer rows, or narrow it by group, text \
             or status"
        )
    }
}

impl std::error::Error for QueryTooLarge {}

impl Node {
    /// A row for each process that lives, in the order of indices. Takes a while where there are many:
    /// [`Node::find_processes`] lets others run meanwhile.
    #[must_use]
    pub fn processes(&self) -> Vec<ProcessRow> {
        let inner = self.inner();
        inner.table.iter().map(|cell| inner.row_of(&cell)).collect()
    }

    /// The row of one process; `None` when it does not live here.
    #[must_use]
    pub fn process(&self, pid: Pid) -> Option<ProcessRow> {
        let inner = self.inner();
        inner.local(pid).map(|cell| inner.row_of(&cell))
    }

    /// What a process knows of itself; `None` when it does not live here. Waits until the process runs next, so it may wait
    /// for ever for one that is stuck: put a timeout around it.
    pub async fn process_info(&self, pid: Pid) -> Option<ProcessInfo> {
        let (reply, mut receiver) = reply_pair();
        if let Some(own) = worker::current_process() {
            // SAFETY: the process is running here.
            let header = unsafe { own.as_ref() };
            if header.pid() == pid {
                // SAFETY: the process is being polled on this thread, so this is its owner, and no other reference to its
                // parts is held across a call into this function.
                return Some(unsafe { inspect(header) });
            }
        }
        self.inner().signal(pid, Signal::Inspect(reply));
        poll_fn(|cx| receiver.poll(cx)).await.ok()
    }

    /// Gives a process another priority, from its next turn on. `false`: no such process on this node.
    pub fn set_priority(&self, pid: Pid, priority: Priority) -> bool {
        self.inner().local(pid).map(|cell| cell.set_priority(priority)).is_some()
    }

    /// Says how often a process was restarted by its supervisor before, for [`ProcessRow::restarts`]. For supervisors. `false`: no
    /// such process on this node.
    pub fn note_restarts(&self, pid: Pid, restarts: u32) -> bool {
        self.inner().local(pid).map(|cell| cell.account.set_restarts(restarts)).is_some()
    }

    /// The processes that were killed while their code did not give its worker back, whose code still runs. They are dead for all
    /// others, so no search finds them.
    #[must_use]
    pub fn zombies(&self) -> Vec<Pid> {
        let zombies = self.inner().fairness.zombies.lock();
        zombies.iter().map(|zombie| Pid::new(self.id(), *zombie)).collect()
    }

    /// What waits in all mailboxes together. Counted by the watch while a worker is awake, so some milliseconds old, and 5 ms for
    /// each 1,024 processes that there ever were at once; on a simulated node, which has no watch, never.
    #[must_use]
    pub fn mailboxes(&self) -> Mailboxes {
        self.inner().mailboxes.read(self.inner().options.mailbox_watermark)
    }

    /// A row for each worker, and for each place where a successor of one has ever worked.
    #[must_use]
    pub fn worker_rows(&self) -> Vec<WorkerRow> {
        let now = self.uptime();
        let places = self.inner().places().iter().enumerate();
        places.map(|(index, place)| place.row(index, now)).collect()
    }

    /// Searches the processes that live. Others run meanwhile, so processes that come or go during the search may be missed, and
    /// figures are of different moments.
    ///
    /// # Errors
    /// [`QueryTooLarge`].
    pub async fn find_processes(&self, query: &ProcessQuery) -> Result<ProcessPage, QueryTooLarge> {
        let last = query.offset.saturating_add(query.limit);
        if last > PROCESS_QUERY_MAX {
            return Err(QueryTooLarge);
        }
        let mut found = Found { first: BinaryHeap::new(), most: last, matching: 0 };
        let mut from = Some(0);
        while let Some(start) = from {
            from = self.look_at(start, query, &mut found);
            yield_now().await;
        }
        let matching = found.matching;
        let inner = self.inner();
        let shown = found.first.into_sorted_vec().into_iter().skip(query.offset);
        let rows = shown.filter_map(|entry| inner.table.get(entry.pid()));
        Ok(ProcessPage { rows: rows.map(|cell| inner.row_of(&cell)).collect(), matching })
    }

    /// Looks at [`STEP`] slots. Where to go on, if there are more.
    fn look_at(&self, start: usize, query: &ProcessQuery, found: &mut Found) -> Option<usize> {
        let text = query.text.as_deref();
        let group = |header: &Header| self.inner().group_name(header);
        self.inner().table.scan(start, STEP, |slot| {
            // What costs little is decided while the slot is held; a text is looked for afterwards.
            let mut entry = None;
            let cell = slot(&mut |header| {
                let wanted = (!query.heavy || header.flag(HEAVY))
                    && query.status.is_none_or(|status| status == status_of(header));
                if wanted {
                    entry = Some(Entry::of(header, query.order));
                }
                wanted && (query.group.is_some() || text.is_some())
            });
            let Some(entry) = entry else { return };
            if let Some(cell) = cell {
                let is_of_group = query.group.is_none() || group(&cell) == query.group;
                if !is_of_group || !text.is_none_or(|text| self.has_text(&cell, text)) {
                    return;
                }
            }
            found.add(entry);
        })
    }

    fn has_text(&self, cell: &CellRef, text: &str) -> bool {
        let inner = self.inner();
        let has = |place: &str| has_text(place, text);
        let name = cell.flag(NAMED).then(|| inner.names.name_of(cell.local)).flatten();
        name.is_some_and(|name| has(&name.name))
            || cell
                .rare()
                .and_then(|rare| rare.label.lock().clone())
                .is_some_and(|label| has(&label))
            || has((cell.vtable.ops.type_name)())
            || inner.group_name(cell).is_some_and(|group| has(&group))
            || has(&cell.pid().to_string())
    }
}

/// Whether `text` occurs; the case of ASCII letters is not minded.
fn has_text(place: &str, text: &str) -> bool {
    let (place, text) = (place.as_bytes(), text.as_bytes());
    text.is_empty() || place.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text))
}

pub(crate) fn status_of(header: &Header) -> Status {
    match header.mail.state() {
        MailState::Running | MailState::Dead => Status::Running,
        MailState::WaitingForMail => Status::Waiting,
        MailState::Suspended => Status::Suspended,
    }
}

/// A process and its place in the order: the smaller stands first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Entry {
    key: Reverse<u64>,
    index: u32,
    generation: u32,
}

impl Entry {
    fn of(header: &Header, order: ProcessOrder) -> Self {
        let figures = header.account.read();
        let key = match order {
            ProcessOrder::Pid => 0,
            ProcessOrder::Reductions => figures.reductions,
            ProcessOrder::Activations => figures.activations,
            ProcessOrder::Received => figures.received,
            ProcessOrder::Sent => figures.sent,
            ProcessOrder::MailboxLen => {
                u64::from(figures.unread) + u64::from(header.mail.waiting())
            }
            ProcessOrder::MailboxPeak => u64::from(figures.peak),
            ProcessOrder::ProcessorTime => nanos(figures.processor_time),
            ProcessOrder::Started => u64::from(figures.started),
            ProcessOrder::Restarts => u64::from(figures.restarts),
            ProcessOrder::Memory => u64::try_from(figures.memory).unwrap_or(0),
            ProcessOrder::CellSize => header.vtable.cell_size as u64,
        };
        let LocalPid { index, generation } = header.local;
        Self { key: Reverse(key), index, generation }
    }

    fn pid(self) -> LocalPid {
        LocalPid { index: self.index, generation: self.generation }
    }
}

/// The first of what was found, the last of them on top.
struct Found {
    first: BinaryHeap<Entry>,
    most: usize,
    matching: usize,
}

impl Found {
    fn add(&mut self, entry: Entry) {
        self.matching += 1;
        if self.first.len() < self.most {
            self.first.push(entry);
        } else if let Some(mut last) = self.first.peek_mut()
            && entry < *last
        {
            *last = entry;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_in_any_case_and_anywhere() {
        for (place, text, expected) in [
            ("Billing", "BILL", true),
            ("the BILLING one", "billing", true),
            ("bill", "billing", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(has_text(place, text), expected, "{text:?} in {place:?}");
        }
    }

    #[test]
    fn the_first_entries_are_kept_and_all_are_counted() {
        let mut found = Found { first: BinaryHeap::new(), most: 3, matching: 0 };
        for (index, key) in [5, 1, 9, 9, 3, 7].into_iter().enumerate() {
            found.add(Entry { key: Reverse(key), index: index as u32, generation: 1 });
        }
        let kept: Vec<_> = found.first.into_sorted_vec().iter().map(|entry| entry.index).collect();
        assert_eq!((kept, found.matching), (vec![2, 3, 5], 6));
    }
}
