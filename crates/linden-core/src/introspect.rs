//! What can be seen of processes from outside: rows read from the headers, details asked of the owner, ends as events.

use std::sync::Arc;
use std::time::Duration;

use crate::id::{Pid, Ref};
use crate::limit::MailboxLimit;
use crate::priority::Priority;
use crate::reason::Reason;
use crate::trace::{TraceContext, current_trace};

/// What a process is doing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Status {
    /// In a run queue, or being run.
    Running,
    /// Waits for mail.
    Waiting,
    /// Waits for something else: an answer, a socket, a timer.
    Suspended,
}

/// One process as anybody can see it at once, without asking it. Each figure is right at some moment of the reading.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ProcessRow {
    /// The process.
    pub pid: Pid,
    /// Its registered name.
    pub name: Option<String>,
    /// What it calls itself, for people.
    pub label: Option<Arc<str>>,
    /// The group that it belongs to: its application.
    pub group: Option<Arc<str>>,
    /// Who spawned it; `None` when that was code outside of processes.
    pub parent: Option<Pid>,
    /// What it is doing.
    pub status: Status,
    /// Work done so far: messages read and sent, processes spawned, and 1 for each activation.
    pub reductions: u64,
    /// How often it was made to run.
    pub activations: u64,
    /// Messages that it has taken from its mailbox.
    pub received: u64,
    /// Messages that it has sent, those that were refused included; not the answers of calls.
    pub sent: u64,
    /// Messages taken from the mailbox and not yet read, when it last ran.
    pub unread: u32,
    /// Messages and signals in its mailbox: those unread, and what came since, of which at most 65,535 are counted.
    pub mailbox_len: u32,
    /// The most messages that were ever unread.
    pub mailbox_peak: u32,
    /// Processor time, sampled: while a worker is busy the watch charges what it has used, each 5 ms, to the process that it
    /// runs then. Right in the long run; a process that runs for microseconds now and then may show none.
    pub processor_time: Duration,
    /// When it was spawned, since the node's start, in steps of 100 ms.
    pub started: Duration,
    /// How often its supervisor has restarted it.
    pub restarts: u32,
    /// Bytes that its code has allocated less those that it has freed, its own cell not counted; `None` without a
    /// [`CountingAllocator::per_process`](crate::CountingAllocator::per_process). A report, not a measure: what one process
    /// allocates and another one frees stays with the first.
    pub memory: Option<i64>,
    /// Its priority.
    pub priority: Priority,
    /// It once took so long in one activation that its worker was replaced.
    pub is_heavy: bool,
    /// Bytes of its cell: header, state and future. What they point to is not counted.
    pub cell_size: usize,
    /// The type of its messages.
    pub message_type: &'static str,
}

/// What a worker is at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum WorkerStatus {
    /// It runs processes, or looks for some.
    Awake,
    /// It has nothing to do.
    Asleep,
    /// It was replaced, and is still in the activation that took too long.
    Away,
    /// Nobody works at this place now.
    Vacant,
}

/// One worker, or the place of one that was replaced. Counts are of all workers that were ever at this place.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct WorkerRow {
    /// Its place, from 0 on.
    pub index: usize,
    /// What it is at.
    pub status: WorkerStatus,
    /// Time without work, since the node's start. Utilisation is what is left of the time between two readings.
    pub idle: Duration,
    /// Activations of processes.
    pub activations: u64,
    /// Processes that wait in its queue.
    pub queue_len: usize,
    /// Processes, or batches of some, that it took from others.
    pub steals: u64,
    /// How often it went to sleep.
    pub parks: u64,
    /// How often the worker here was replaced because it did not come back.
    pub hand_offs: u64,
    /// Messages that processes took while it ran them.
    pub received: u64,
    /// Messages that processes sent while it ran them.
    pub sent: u64,
    /// Processes spawned by processes that it ran.
    pub spawned: u64,
    /// Processes that ended while it ran them.
    pub ended: u64,
}

/// One process as it sees itself, OTP's `process_info`.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// What everybody sees.
    pub row: ProcessRow,
    /// Messages and news in its mailbox.
    pub mailbox_len: usize,
    /// The limit of its mailbox; `None` when there is none.
    pub mailbox_limit: Option<MailboxLimit>,
    /// To whom it is linked.
    pub links: Vec<Pid>,
    /// Whom it monitors.
    pub monitors: Vec<(Ref, Pid)>,
    /// How many monitor it.
    pub watchers: usize,
    /// Whether exit signals become messages.
    pub trap_exit: bool,
}

/// Who runs on this thread: for logs.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CurrentProcess {
    /// The process.
    pub pid: Pid,
    /// Its registered name.
    pub name: Option<String>,
    /// What it calls itself.
    pub label: Option<Arc<str>>,
    /// The group that it belongs to.
    pub group: Option<Arc<str>>,
    /// The trace that it works in.
    pub trace: Option<TraceContext>,
}

/// The pid of the process that runs on this thread, if one does.
pub(crate) fn current_pid() -> Option<Pid> {
    let own = crate::worker::current_process()?;
    // SAFETY: the process runs here.
    Some(unsafe { own.as_ref() }.pid())
}

/// The process that runs on this thread, if one does.
#[must_use]
pub fn current_process() -> Option<CurrentProcess> {
    let own = crate::worker::current_process()?;
    // SAFETY: the process runs here.
    let header = unsafe { own.as_ref() };
    let row = header.node().row_of(header);
    Some(CurrentProcess {
        pid: row.pid,
        name: row.name,
        label: row.label,
        group: row.group,
        trace: current_trace(),
    })
}

/// What is known of a process that ended for a reason that is not orderly.
#[derive(Debug)]
#[non_exhaustive]
pub struct ExitEvent<'a> {
    /// The process.
    pub pid: Pid,
    /// Its registered name.
    pub name: Option<&'a str>,
    /// What it called itself.
    pub label: Option<&'a str>,
    /// The group that it belonged to: its application.
    pub group: Option<&'a str>,
    /// Who spawned it.
    pub parent: Option<Pid>,
    /// Messages that it had not read.
    pub unread: u32,
    /// Why it ended.
    pub reason: &'a Reason,
    /// The trace that it worked in.
    pub trace: Option<TraceContext>,
    /// Whether it ended by itself or was ended.
    pub origin: ExitOrigin,
    /// What the process left for the report ([`crate::Cx::set_crash_detail`]).
    pub detail: Option<&'a CrashDetail>,
    /// It was killed while its code did not give its worker back: the process has ended for all others, the code goes on, and
    /// what it holds stays held.
    pub is_zombie: bool,
}

/// Whose doing a process's end was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitOrigin {
    /// Its own: it returned the reason or panicked.
    Own,
    /// An exit signal ended it: of a linked process, or one that was sent to it.
    Signal,
}

/// What a process leaves for its crash report.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CrashDetail {
    /// The name of the message that it was handling.
    pub last_message: Option<&'static str>,
    /// Its state as text.
    pub state: Option<String>,
    /// How often its supervisor had restarted it.
    pub restarts: u32,
}

/// Told of each process that ends for a reason that is not orderly.
///
/// Called by the worker that ends the process, before links and monitors hear of it; so it must be quick. A panic in it is
/// caught and dropped.
pub trait ExitListener: Send + Sync + 'static {
    /// A process ended.
    fn process_exited(&self, event: &ExitEvent<'_>);

    /// Whether the listener would use an [`ExitEvent::detail`] now: making one may cost the process that ends some time.
    fn wants_detail(&self) -> bool {
        true
    }
}
