//! What behaviours write to the log: crash reports and supervisor reports, as `tracing` events with fields.
//!
//! The texts and the fields are [`crate::report`]'s; here a report is filled, if anybody listens, and passed on. Each event
//! has the report's fields for whoever subscribes, and carries the report itself ([`Carried`]) for the node's own log. Called
//! by the process that reports; a restart costs no formatting while nobody listens.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use linden_core::{
    DeadLetter, DeadLetterListener, ExitEvent, ExitListener, ExitOrigin, MailboxAlarm,
    MailboxListener, Pid, Reason, Stall, StallEvent, StallListener, current_process,
};
use tracing::Level;

use crate::error::{StartError, chain};
use crate::report::{
    CrashReport, FieldValue, Limited, Severity, SupervisorEvent, SupervisorReport,
};
use crate::supervisor::intensity::Intensity;

/// The target of crash reports.
pub(crate) const CRASH: &str = "linden::crash";
/// The target of dead letters.
const DEAD_LETTER: &str = "linden::dead_letter";
/// The target of processes that do not give their worker back.
const STALL: &str = "linden::stall";
/// The target of mailboxes that are too long.
const MAILBOX: &str = "linden::mailbox";
/// A process is named again after so long.
const STALL_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Processes that are known to have been named. When there are more, they are forgotten.
const STALLS_KNOWN_MAX: usize = 256;
/// The target of supervisor reports.
pub(crate) const SUPERVISOR: &str = "linden::supervisor";

/// A report on its way through `tracing`. Subscribers that do not know it see its kind; the node's log finds the whole.
#[derive(Debug)]
pub(crate) struct Carried<R>(pub(crate) R);

impl fmt::Display for Carried<CrashReport> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("crash")
    }
}

impl fmt::Display for Carried<SupervisorReport> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("supervisor")
    }
}

// `tracing` passes on errors as they are, all other values as texts.
impl Error for Carried<CrashReport> {}
impl Error for Carried<SupervisorReport> {}

/// A supervisor, as its reports name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reporter<'a> {
    pub(crate) pid: Pid,
    pub(crate) name: Option<&'a str>,
    pub(crate) intensity: Intensity,
}

/// What a supervisor reports on.
#[derive(Clone, Copy, Default)]
pub(crate) struct Subject<'a> {
    pub(crate) child: &'a str,
    pub(crate) pid: Option<Pid>,
    pub(crate) reason: Option<&'a (dyn fmt::Display + Sync)>,
    /// With the one that is reported on.
    pub(crate) restarts_in_period: u32,
}

macro_rules! write_at {
    ($level:expr, $reporter:expr, $what:expr, $subject:expr) => {
        if tracing::enabled!(target: SUPERVISOR, $level) {
            let carried = Carried($reporter.fill($what, $subject));
            let report = &carried.0;
            tracing::event!(
                target: SUPERVISOR,
                $level,
                report = &carried as &(dyn Error + 'static),
                supervisor = report.supervisor,
                application = report.application.as_deref(),
                child = report.child,
                child_pid = report.child_pid.as_deref(),
                what = report.what.name(),
                reason = report.reason.as_ref().map(tracing::field::display),
                restarts_in_period = report.restarts_in_period,
                restarts_max = report.intensity.restarts_max,
                period = crate::config::duration::format(report.intensity.period),
                "child {}",
                report.what.words()
            );
        }
    };
}

impl Reporter<'_> {
    /// Writes a supervisor report.
    pub(crate) fn write(&self, what: SupervisorEvent, subject: Subject<'_>) {
        match what.severity() {
            Severity::Debug => write_at!(Level::DEBUG, self, what, subject),
            Severity::Info => write_at!(Level::INFO, self, what, subject),
            Severity::Error => write_at!(Level::ERROR, self, what, subject),
        }
    }

    /// The report as data.
    pub(crate) fn fill(&self, what: SupervisorEvent, subject: Subject<'_>) -> SupervisorReport {
        let supervisor = match self.name {
            Some(name) => format!("{name} {}", self.pid),
            None => self.pid.to_string(),
        };
        let group = current_process().and_then(|process| process.group);
        SupervisorReport {
            application: group.as_deref().map(str::to_owned),
            child_pid: subject.pid.map(|pid| pid.to_string()),
            reason: subject.reason.map(Limited::new),
            restarts_in_period: subject.restarts_in_period,
            ..SupervisorReport::new(supervisor, subject.child, what, self.intensity)
        }
    }
}

/// A child did not start; the sources of the error are part of the reason.
pub(crate) fn start_failed(reporter: &Reporter<'_>, subject: Subject<'_>, error: &StartError) {
    struct Chain<'a>(&'a StartError);
    impl fmt::Display for Chain<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&chain(self.0))
        }
    }
    let subject = Subject { reason: Some(&Chain(error)), ..subject };
    reporter.write(SupervisorEvent::StartFailed, subject);
}

/// A server's state panicked while it was dropped, and the server was crashing anyway.
pub(crate) fn drop_panicked(reason: &Reason) {
    tracing::error!(target: CRASH, %reason, "the state of a crashed server panicked when it was dropped");
}

/// Writes a crash report for each process that ends by itself for a reason that is not orderly.
///
/// APP-10: a process that another one ends (a kill, a linked process's crash) has not crashed itself: whoever supervises it
/// reports its end.
#[derive(Debug, Default)]
pub struct CrashReporter;

impl ExitListener for CrashReporter {
    fn process_exited(&self, event: &ExitEvent<'_>) {
        if event.origin == ExitOrigin::Own && self.wants_detail() {
            write_crash(crash_report(event));
        }
        if event.is_zombie {
            tracing::warn!(
                target: STALL,
                pid = %event.pid,
                name = event.name,
                label = event.label,
                application = event.group,
                "killed while its code did not give its worker back: it has ended for all others, the code goes on, and what it holds \
                 (locks, files, memory) stays held until it returns"
            );
        }
    }

    fn wants_detail(&self) -> bool {
        tracing::enabled!(target: CRASH, Level::ERROR)
    }
}

/// Writes dead letters to the log: target `linden::dead_letter`, level info, at the bounded rate at which it is told of them.
#[derive(Debug, Default)]
pub struct DeadLetterReporter;

impl DeadLetterListener for DeadLetterReporter {
    fn dead_letter(&self, letter: &DeadLetter, untold: u64) {
        tracing::info!(
            target: DEAD_LETTER,
            reason = letter.reason.name(),
            to = %letter.target,
            dropped = &*letter.message,
            found_by = letter.found_by.map(tracing::field::display),
            trace_id = letter.trace.map(|trace| tracing::field::display(trace.trace_id_text())),
            untold = (untold > 0).then_some(untold),
            "message dropped"
        );
    }
}

/// Writes to the log that more messages wait on the node than its watermark says: target `linden::mailbox`, level warn.
#[derive(Debug, Default)]
pub struct MailboxReporter;

impl MailboxListener for MailboxReporter {
    fn above_watermark(&self, alarm: &MailboxAlarm) {
        let longest: Vec<String> = alarm
            .longest
            .iter()
            .map(|row| {
                let who = row.name.as_deref().or(row.label.as_deref()).unwrap_or(row.message_type);
                format!("{who} {} ({})", row.pid, row.mailbox_len)
            })
            .collect();
        tracing::warn!(
            target: MAILBOX,
            waiting = alarm.waiting,
            watermark = alarm.watermark,
            longest = longest.join(", "),
            "more messages wait on this node than its watermark says: their receivers do not keep up; limit the mailboxes of those \
             named, or raise node.mailbox_watermark"
        );
    }
}

/// Writes processes that do not give their worker back to the log: target `linden::stall`, level warn, each once a minute at
/// most.
#[derive(Debug, Default)]
pub struct StallReporter {
    /// When each was named last.
    named: Mutex<HashMap<Option<Pid>, Instant>>,
}

impl StallReporter {
    fn is_news(&self, pid: Option<Pid>, now: Instant) -> bool {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known =
            |&before: &Instant| now.saturating_duration_since(before) < STALL_AGAIN_AFTER;
        if named.get(&pid).is_some_and(is_known) {
            return false;
        }
        if named.len() >= STALLS_KNOWN_MAX {
            named.clear();
        }
        named.insert(pid, now);
        true
    }
}

impl StallListener for StallReporter {
    fn stalled(&self, event: &StallEvent) {
        if !self.is_news(event.pid, Instant::now()) {
            return;
        }
        let (does, demoted) = match event.kind {
            Stall::Computes { demoted } => ("computes", Some(demoted)),
            Stall::Blocks => ("blocks its thread", None),
            Stall::HoldsDriver => {
                ("holds the runtime's driver: no socket is served until it awaits", None)
            }
            _ => ("stands still", None),
        };
        tracing::warn!(
            target: STALL,
            process = event.pid.map(tracing::field::display),
            name = event.name.as_deref(),
            label = event.label.as_deref(),
            application = event.group.as_deref(),
            does,
            demoted,
            millis = u64::try_from(event.lasting.as_millis()).unwrap_or(u64::MAX),
            "a process does not give its worker back, which was replaced: let it await, or move the work to spawn_blocking"
        );
    }
}

fn crash_report(event: &ExitEvent<'_>) -> CrashReport {
    let (reason, location) = match event.reason {
        Reason::Panic(info) => {
            let location = (!info.location.is_empty()).then(|| info.location.clone());
            (Limited::new(format_args!("panicked: {}", info.message)), location)
        }
        other => (Limited::new(other), None),
    };
    let detail = event.detail;
    CrashReport {
        pid: event.pid.to_string(),
        name: event.name.or(event.label).map(str::to_owned),
        application: event.group.map(str::to_owned),
        reason,
        location,
        last_message: detail.and_then(|detail| detail.last_message).map(str::to_owned),
        state: detail.and_then(|detail| detail.state.as_deref()).map(Limited::new),
        restarts_so_far: detail.map(|detail| detail.restarts.into()),
        unread_messages: event.unread.into(),
        trace_id: event.trace.map(|trace| trace.trace_id_text().to_string()),
        ancestors: event.parent.iter().map(Pid::to_string).collect(),
    }
}

fn write_crash(report: CrashReport) {
    let carried = Carried(report);
    let report = &carried.0;
    let ancestors = FieldValue::List(&report.ancestors);
    tracing::error!(
        target: CRASH,
        report = &carried as &(dyn Error + 'static),
        pid = report.pid,
        name = report.name.as_deref(),
        application = report.application.as_deref(),
        reason = %report.reason,
        location = report.location.as_deref(),
        last_message = report.last_message.as_deref(),
        state = report.state.as_ref().map(tracing::field::display),
        restarts_so_far = report.restarts_so_far,
        unread_messages = report.unread_messages,
        trace_id = report.trace_id.as_deref(),
        ancestors = (!report.ancestors.is_empty()).then(|| tracing::field::display(ancestors)),
        "process crashed"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: FAIR-05
    #[test]
    fn a_process_is_named_once_a_minute_and_what_is_known_of_them_is_bounded() {
        let reporter = StallReporter::default();
        let now = Instant::now();
        assert!(reporter.is_news(None, now));
        assert!(!reporter.is_news(None, now + STALL_AGAIN_AFTER / 2));
        assert!(reporter.is_news(None, now + STALL_AGAIN_AFTER));
        let pids = linden_core::Simulation::new(1).run(async {
            let spawned = std::iter::repeat_with(|| {
                linden_core::spawn(|_: linden_core::Cx<()>| async {}).pid()
            });
            spawned.take(2 * STALLS_KNOWN_MAX).collect::<Vec<_>>()
        });
        for pid in pids {
            assert!(reporter.is_news(Some(pid), now));
            assert!(reporter.named.lock().expect("nobody panics").len() <= STALLS_KNOWN_MAX);
        }
    }
}
