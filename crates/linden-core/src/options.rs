//! How a node is set up.

use std::sync::Arc;

use crate::dead_letters::DeadLetterListener;
use crate::fairness::StallListener;
use crate::introspect::ExitListener;
use crate::mailboxes::MailboxListener;

/// What a panic inside a process prints besides the exit reason it makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PanicOutput {
    /// The hook that was installed before the first node runs as well.
    #[default]
    Chain,
    /// Nothing: the crash report says it.
    CrashReportOnly,
}

/// How a node is set up. `NodeOptions::default()` is a node called `linden@localhost` with one worker a core.
#[derive(Clone)]
pub struct NodeOptions {
    /// The node's name, `name@host`.
    pub name: String,
    /// How many threads run processes; default: the cores this OS process may use. At least 1, at most 1024.
    pub workers: usize,
    /// The most threads for blocking work (`tokio::task::spawn_blocking`); default 64. More blocking work waits.
    pub blocking_threads_max: usize,
    /// What panics print.
    pub panic_output: PanicOutput,
    /// Told of each process that ends for a reason that is not orderly.
    pub exit_listener: Option<Arc<dyn ExitListener>>,
    /// Told of messages that nobody reads.
    pub dead_letter_listener: Option<Arc<dyn DeadLetterListener>>,
    /// Told of each activation for which a worker was replaced.
    pub stall_listener: Option<Arc<dyn StallListener>>,
    /// More messages than so many in all mailboxes together are an alarm; default 1,000,000. `None`: there is none.
    pub mailbox_watermark: Option<u64>,
    /// Told of that alarm.
    pub mailbox_listener: Option<Arc<dyn MailboxListener>>,
    /// Which incarnation of the node this is; default: from the clock.
    pub creation: Option<u32>,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            name: "linden@localhost".to_owned(),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            blocking_threads_max: 64,
            panic_output: PanicOutput::default(),
            exit_listener: None,
            dead_letter_listener: None,
            stall_listener: None,
            mailbox_watermark: Some(1_000_000),
            mailbox_listener: None,
            creation: None,
        }
    }
}

impl std::fmt::Debug for NodeOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeOptions")
            .field("name", &self.name)
            .field("workers", &self.workers)
            .field("blocking_threads_max", &self.blocking_threads_max)
            .field("panic_output", &self.panic_output)
            .field("mailbox_watermark", &self.mailbox_watermark)
            .finish_non_exhaustive()
    }
}
