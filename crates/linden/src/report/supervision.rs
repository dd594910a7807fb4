//! The supervisor report: what a supervisor did about a child.
//!
//! Lives here: [`SupervisorReport`]. Plain data.

use std::fmt;

use serde::{Serialize, Serializer};

use super::field::{self, FieldValue, Fields};
use super::limited::Limited;
use crate::config::duration;
use crate::supervisor::intensity::Intensity;

/// What a supervisor did about a child.
///
/// # Examples
/// ```
/// use linden::report::{Limited, SupervisorEvent, SupervisorReport};
/// use linden::supervisor::intensity::Intensity;
///
/// let report = SupervisorReport {
///     reason: Some(Limited::new("panic: no such account")),
///     restarts_in_period: 1,
///     ..SupervisorReport::new("billing_sup", "ledger", SupervisorEvent::Crashed, Intensity::default())
/// };
/// assert_eq!(
///     report.to_string(),
///     "supervisor report: billing_sup: child ledger ended
///   reason: panic: no such account
///   restarts: 1 in the last 5s, 1 allowed"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupervisorReport {
    /// The supervisor, by name and pid.
    pub supervisor: String,
    /// The application it belongs to.
    pub application: Option<String>,
    /// The child's id.
    pub child: String,
    /// The child's process, if it has or had one.
    pub child_pid: Option<String>,
    /// What happened.
    pub what: SupervisorEvent,
    /// Why.
    pub reason: Option<Limited>,
    /// Restarts within the period, this one included.
    pub restarts_in_period: u32,
    /// How many are allowed in how much time.
    pub intensity: Intensity,
}

/// What happened to a child.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SupervisorEvent {
    /// It was started for the first time, or on request.
    Started,
    /// It was started again after an end.
    Restarted,
    /// It ended by itself in a way worth a report. (OTP: `child_terminated`.)
    Crashed,
    /// It did not start. (OTP: `start_error`.)
    StartFailed,
    /// Told to stop, it ended otherwise than asked. (OTP: `shutdown_error`.)
    StopFailed,
    /// It asked for one restart more than allowed: the supervisor ends. (OTP: `shutdown`.)
    GaveUp,
    /// Being significant, it ended, and so does the supervisor.
    AutoShutdown,
}

/// How important a report is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// All is as planned.
    Debug,
    /// All is well again.
    Info,
    /// Something failed.
    Error,
}

impl SupervisorEvent {
    /// The name in the field `what`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Restarted => "restarted",
            Self::Crashed => "crashed",
            Self::StartFailed => "start_failed",
            Self::StopFailed => "stop_failed",
            Self::GaveUp => "gave_up",
            Self::AutoShutdown => "auto_shutdown",
        }
    }

    /// How important it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::Started => Severity::Debug,
            Self::Restarted | Self::AutoShutdown => Severity::Info,
            Self::Crashed | Self::StartFailed | Self::StopFailed | Self::GaveUp => Severity::Error,
        }
    }

    /// What a person reads behind the child's name.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Restarted => "restarted",
            Self::Crashed => "ended",
            Self::StartFailed => "did not start",
            Self::StopFailed => "did not stop as asked",
            Self::GaveUp => "was restarted too often, the supervisor ends",
            Self::AutoShutdown => "is significant and ended, the supervisor ends too",
        }
    }
}

impl SupervisorReport {
    /// A report without reason, process and restarts.
    pub fn new(
        supervisor: impl fmt::Display,
        child: impl fmt::Display,
        what: SupervisorEvent,
        intensity: Intensity,
    ) -> Self {
        Self {
            supervisor: supervisor.to_string(),
            application: None,
            child: child.to_string(),
            child_pid: None,
            what,
            reason: None,
            restarts_in_period: 0,
            intensity,
        }
    }

    /// Calls `write` for each field that has a value, in a fixed order: for tracing and JSON.
    ///
    /// The names: `report` (always `supervisor`), `supervisor`, `application`, `child`, `child_pid`, `what`, `reason`,
    /// `restarts_in_period`, `restarts_max`, `period`.
    pub fn fields(&self, mut write: impl FnMut(&'static str, FieldValue<'_>)) {
        self.each(&mut write);
    }
}

impl Fields for SupervisorReport {
    fn each(&self, write: &mut dyn FnMut(&'static str, FieldValue<'_>)) {
        write("report", FieldValue::Text("supervisor"));
        write("supervisor", FieldValue::Text(&self.supervisor));
        if let Some(application) = &self.application {
            write("application", FieldValue::Text(application));
        }
        write("child", FieldValue::Text(&self.child));
        if let Some(pid) = &self.child_pid {
            write("child_pid", FieldValue::Text(pid));
        }
        write("what", FieldValue::Text(self.what.name()));
        if let Some(reason) = &self.reason {
            write("reason", FieldValue::Limited(reason));
        }
        write("restarts_in_period", FieldValue::Number(self.restarts_in_period.into()));
        write("restarts_max", FieldValue::Number(self.intensity.restarts_max.into()));
        write("period", FieldValue::Text(&duration::format(self.intensity.period)));
    }
}

impl Serialize for SupervisorReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        field::serialize(self, serializer)
    }
}

/// Several lines, without a line break at the end.
impl fmt::Display for SupervisorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { supervisor, child, what, .. } = self;
        write!(f, "supervisor report: {supervisor}")?;
        if let Some(application) = &self.application {
            write!(f, " of application {application}")?;
        }
        write!(f, ": child {child}")?;
        if let Some(pid) = &self.child_pid {
            write!(f, " {pid}")?;
        }
        write!(f, " {}", what.words())?;
        if let Some(reason) = &self.reason {
            field::line(f, "reason", reason)?;
        }
        if self.restarts_in_period == 0 {
            return Ok(());
        }
        let (restarts, allowed) = (self.restarts_in_period, self.intensity.restarts_max);
        let period = duration::format(self.intensity.period);
        field::line(
            f,
            "restarts",
            format_args!("{restarts} in the last {period}, {allowed} allowed"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const INTENSITY: Intensity = Intensity { restarts_max: 3, period: Duration::from_millis(500) };

    fn gave_up() -> SupervisorReport {
        SupervisorReport {
            application: Some("shop".to_owned()),
            child_pid: Some("<0.9.0>".to_owned()),
            reason: Some(Limited::new("panic: x\ny")),
            restarts_in_period: 4,
            ..SupervisorReport::new("shop_sup <0.7.0>", "web", SupervisorEvent::GaveUp, INTENSITY)
        }
    }

    #[test]
    fn full_report_is_readable() {
        assert_eq!(
            gave_up().to_string(),
            "supervisor report: shop_sup <0.7.0> of application shop: child web <0.9.0> was restarted too often, the supervisor ends
  reason: panic: x
    y
  restarts: 4 in the last 500ms, 3 allowed"
        );
    }

    #[test]
    fn progress_is_one_line() {
        let report = SupervisorReport::new("s", "web", SupervisorEvent::Started, INTENSITY);
        assert_eq!(report.to_string(), "supervisor report: s: child web started");
    }

    #[test]
    fn json_has_all_fields_with_their_types() {
        assert_eq!(
            serde_json::to_string(&gave_up()).unwrap(),
            r#"{"report":"supervisor","supervisor":"shop_sup <0.7.0>","application":"shop","child":"web","child_pid":"<0.9.0>","what":"gave_up","reason":"panic: x\ny","restarts_in_period":4,"restarts_max":3,"period":"500ms"}"#
        );
    }

    #[test]
    fn every_event_has_its_own_name_and_words() {
        use SupervisorEvent as E;
        let all = [
            E::Started,
            E::Restarted,
            E::Crashed,
            E::StartFailed,
            E::StopFailed,
            E::GaveUp,
            E::AutoShutdown,
        ];
        let names: std::collections::HashSet<_> = all.iter().map(|what| what.name()).collect();
        let words: std::collections::HashSet<_> = all.iter().map(|what| what.words()).collect();
        assert_eq!((names.len(), words.len()), (all.len(), all.len()));
        let errors = all.iter().filter(|what| what.severity() == Severity::Error).count();
        assert_eq!(errors, 4);
    }
}
