//! What behaviours write to the log: supervisor reports and crash reports, as events with fields.
//!
//! The texts are made by [`crate::report`]; here they become `tracing` events. Whoever subscribes decides on the format.

use linden_core::{ExitEvent, ExitListener, Pid, Reason};

use crate::error::StartError;

/// A child ended by itself.
pub(crate) fn child_terminated(
    supervisor: Pid,
    id: &str,
    pid: Pid,
    reason: &Reason,
    restarts: u64,
) {
    tracing::error!(
        target: "linden::supervisor",
        %supervisor, child = id, child_pid = %pid, %reason, restarts,
        "child terminated"
    );
}

/// A child runs.
pub(crate) fn child_started(supervisor: Pid, id: &str, pid: Pid, restarts: u32) {
    if restarts == 0 {
        tracing::debug!(target: "linden::supervisor", %supervisor, child = id, child_pid = %pid, "child started");
    } else {
        tracing::info!(
            target: "linden::supervisor",
            %supervisor, child = id, child_pid = %pid, restarts,
            "child restarted"
        );
    }
}

/// A child did not start.
pub(crate) fn child_not_started(supervisor: Pid, id: &str, error: &StartError) {
    tracing::error!(target: "linden::supervisor", %supervisor, child = id, %error, "child did not start");
}

/// A child that was told to stop ended otherwise.
pub(crate) fn child_stopped_otherwise(supervisor: Pid, id: &str, pid: Pid, reason: &Reason) {
    tracing::warn!(
        target: "linden::supervisor",
        %supervisor, child = id, child_pid = %pid, %reason,
        "child did not stop as asked"
    );
}

/// A supervisor gives up.
pub(crate) fn intensity_exceeded(supervisor: Pid, id: &str) {
    tracing::error!(
        target: "linden::supervisor",
        %supervisor, child = id,
        "restart intensity exceeded: the supervisor stops its children and exits"
    );
}

/// Writes a crash report for each process that ends for a reason that is not orderly.
#[derive(Debug, Default)]
pub struct CrashReporter;

impl ExitListener for CrashReporter {
    fn process_exited(&self, event: &ExitEvent<'_>) {
        // A process that is killed or hears of another's crash has not crashed itself: its supervisor reports it.
        if matches!(event.reason, Reason::Killed | Reason::NoProc | Reason::NoConnection) {
            return;
        }
        let detail = event.detail;
        tracing::error!(
            target: "linden::crash",
            pid = %event.pid,
            name = event.name,
            application = event.group,
            label = event.label,
            parent = event.parent.map(tracing::field::display),
            reason = %event.reason,
            last_message = detail.and_then(|detail| detail.last_message),
            state = detail.and_then(|detail| detail.state.as_deref()),
            restarts = detail.map(|detail| detail.restarts),
            unread = event.unread,
            "process crashed"
        );
    }
}
