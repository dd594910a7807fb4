//! The crash report: everything known about a process that ended abnormally.
//!
//! Lives here: [`CrashReport`]. Plain data.

use std::fmt;

use serde::{Serialize, Serializer};

use super::field::{self, FieldValue, Fields};
use super::limited::Limited;

/// Everything known about a process that ended abnormally.
///
/// # Examples
/// ```
/// use linden::report::CrashReport;
///
/// let report = CrashReport {
///     name: Some("billing_service".to_owned()),
///     application: Some("billing".to_owned()),
///     location: Some("src/billing.rs:42:9".to_owned()),
///     last_message: Some("process_payment".to_owned()),
///     restarts_so_far: Some(2),
///     ..CrashReport::new("<0.12.1>", "panic: no such account")
/// };
/// assert_eq!(
///     report.to_string(),
///     "crash report: billing_service <0.12.1> of application billing ended
///   reason: panic: no such account
///   location: src/billing.rs:42:9
///   last message: process_payment
///   restarts so far: 2
///   unread messages: 0"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashReport {
    /// The process.
    pub pid: String,
    /// The name it was registered under, or its label.
    pub name: Option<String>,
    /// The application it belonged to.
    pub application: Option<String>,
    /// Why it ended.
    pub reason: Limited,
    /// Where it panicked, as `file:line:column`.
    pub location: Option<String>,
    /// The name of the message it was handling, or had handled last.
    pub last_message: Option<String>,
    /// Its state, if the state shows itself.
    pub state: Option<Limited>,
    /// How often its supervisor had restarted it before. Only servers know; `None` for a plain process.
    pub restarts_so_far: Option<u64>,
    /// Messages in its mailbox that nobody will read.
    pub unread_messages: u64,
    /// The trace that it worked in, as 32 hexadecimal digits.
    pub trace_id: Option<String>,
    /// Its parent, its parent's parent and so on.
    pub ancestors: Vec<String>,
}

impl CrashReport {
    /// A report of this process and reason, all else unknown.
    pub fn new(pid: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self {
            pid: pid.to_string(),
            name: None,
            application: None,
            reason: Limited::new(reason),
            location: None,
            last_message: None,
            state: None,
            restarts_so_far: None,
            unread_messages: 0,
            trace_id: None,
            ancestors: Vec::new(),
        }
    }

    /// Calls `write` for each field that has a value, in a fixed order: for tracing and JSON.
    ///
    /// The names: `report` (always `crash`), `pid`, `name`, `application`, `reason`, `location`, `last_message`, `state`,
    /// `restarts_so_far`, `unread_messages`, `trace_id`, `ancestors`.
    pub fn fields(&self, mut write: impl FnMut(&'static str, FieldValue<'_>)) {
        self.each(&mut write);
    }
}

impl Fields for CrashReport {
    fn each(&self, write: &mut dyn FnMut(&'static str, FieldValue<'_>)) {
        let texts = [
            ("report", Some("crash")),
            ("pid", Some(&self.pid)),
            ("name", self.name.as_deref()),
            ("application", self.application.as_deref()),
        ];
        let more_texts = [
            ("location", self.location.as_deref()),
            ("last_message", self.last_message.as_deref()),
        ];
        for (name, text) in present(texts) {
            write(name, FieldValue::Text(text));
        }
        write("reason", FieldValue::Limited(&self.reason));
        for (name, text) in present(more_texts) {
            write(name, FieldValue::Text(text));
        }
        if let Some(state) = &self.state {
            write("state", FieldValue::Limited(state));
        }
        if let Some(restarts) = self.restarts_so_far {
            write("restarts_so_far", FieldValue::Number(restarts));
        }
        write("unread_messages", FieldValue::Number(self.unread_messages));
        if let Some(trace_id) = &self.trace_id {
            write("trace_id", FieldValue::Text(trace_id));
        }
        if !self.ancestors.is_empty() {
            write("ancestors", FieldValue::List(&self.ancestors));
        }
    }
}

fn present<'a, const N: usize>(
    texts: [(&'static str, Option<&'a str>); N],
) -> impl Iterator<Item = (&'static str, &'a str)> {
    texts.into_iter().filter_map(|(name, text)| Some((name, text?)))
}

impl Serialize for CrashReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        field::serialize(self, serializer)
    }
}

/// Several lines, without a line break at the end.
impl fmt::Display for CrashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("crash report: ")?;
        match &self.name {
            Some(name) => write!(f, "{name} {}", self.pid)?,
            None => write!(f, "process {}", self.pid)?,
        }
        if let Some(application) = &self.application {
            write!(f, " of application {application}")?;
        }
        f.write_str(" ended")?;
        field::line(f, "reason", &self.reason)?;
        if let Some(location) = &self.location {
            field::line(f, "location", location)?;
        }
        if let Some(message) = &self.last_message {
            field::line(f, "last message", message)?;
        }
        if let Some(state) = &self.state {
            field::line(f, "state", state)?;
        }
        if let Some(restarts) = self.restarts_so_far {
            field::line(f, "restarts so far", restarts)?;
        }
        field::line(f, "unread messages", self.unread_messages)?;
        if let Some(trace_id) = &self.trace_id {
            field::line(f, "trace", trace_id)?;
        }
        if !self.ancestors.is_empty() {
            field::line(f, "ancestors", FieldValue::List(&self.ancestors))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> CrashReport {
        CrashReport {
            name: Some("billing_service".to_owned()),
            application: Some("billing".to_owned()),
            location: Some("src/a.rs:1:2".to_owned()),
            last_message: Some("process_payment".to_owned()),
            state: Some(Limited::new("Billing {\n    cents: 5,\n}")),
            restarts_so_far: Some(2),
            unread_messages: 14,
            trace_id: Some("0af7651916cd43dd8448eb211c80319c".to_owned()),
            ancestors: vec!["billing_sup <0.3.0>".to_owned(), "<0.2.0>".to_owned()],
            ..CrashReport::new("<0.12.1>", "panic: first\nsecond")
        }
    }

    #[test]
    fn full_report_is_readable() {
        assert_eq!(
            full().to_string(),
            "crash report: billing_service <0.12.1> of application billing ended
  reason: panic: first
    second
  location: src/a.rs:1:2
  last message: process_payment
  state: Billing {
        cents: 5,
    }
  restarts so far: 2
  unread messages: 14
  trace: 0af7651916cd43dd8448eb211c80319c
  ancestors: billing_sup <0.3.0>, <0.2.0>"
        );
    }

    #[test]
    fn report_of_a_plain_process_says_only_what_is_known() {
        assert_eq!(
            CrashReport::new("<0.12.1>", "killed").to_string(),
            "crash report: process <0.12.1> ended
  reason: killed
  unread messages: 0"
        );
    }

    #[test]
    fn json_has_all_fields_with_their_types() {
        assert_eq!(
            serde_json::to_string(&full()).unwrap(),
            r#"{"report":"crash","pid":"<0.12.1>","name":"billing_service","application":"billing","reason":"panic: first\nsecond","location":"src/a.rs:1:2","last_message":"process_payment","state":"Billing {\n    cents: 5,\n}","restarts_so_far":2,"unread_messages":14,"trace_id":"0af7651916cd43dd8448eb211c80319c","ancestors":["billing_sup <0.3.0>","<0.2.0>"]}"#
        );
        assert_eq!(
            serde_json::to_string(&CrashReport::new("<0.1.0>", "killed")).unwrap(),
            r#"{"report":"crash","pid":"<0.1.0>","reason":"killed","unread_messages":0}"#
        );
    }

    #[test]
    fn fields_come_in_the_documented_order() {
        let mut names = Vec::new();
        full().fields(|name, _| names.push(name));
        let documented = "report pid name application reason location last_message state \
                          restarts_so_far unread_messages trace_id ancestors";
        assert_eq!(names.join(" "), documented);
    }

    #[test]
    fn huge_state_and_reason_are_cut() {
        let report = CrashReport {
            state: Some(Limited::debug(&vec![0_u8; 1 << 20])),
            ..CrashReport::new("<0.1.0>", "é".repeat(1 << 20))
        };
        let text = report.to_string();
        assert!(text.len() < 9000, "{}", text.len());
        assert_eq!(text.matches("... (cut at 4096 bytes)").count(), 2);
        assert!(serde_json::to_string(&report).unwrap().contains("... (cut at 4096 bytes)"));
    }
}
