//! The node's log: events with the process that wrote them, for people or as JSON, on standard error.
//!
//! [`Lines`] is the layer that writes it. A node sets it up as `[log]` says; a program that sets up `tracing` itself adds it to its
//! own subscriber. The process is looked up when an event is written, not carried in a span, so that logging costs a process
//! nothing while it does not log. A report ([`crate::report`]) comes whole with its event; this file only frames it.

mod outlet;

use std::error::Error;
use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use linden_core::current_process;
use serde::Serialize;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};
use crate::events::{CRASH, Carried, SUPERVISOR};
use crate::report::{CrashReport, SupervisorReport};
use outlet::Outlet;

/// The field that names the trace of the process that wrote an event, unless the event itself names one.
const TRACE_ID: &str = "trace_id";

/// Starts the log. Does nothing when the program has set up `tracing` itself.
pub(crate) fn init(config: &LogConfig) {
    let filter = EnvFilter::new(config.directives());
    // An error means that somebody else was first, which is theirs to decide.
    let _ = tracing_subscriber::registry().with(filter).with(Lines::new(config.format)).try_init();
}

/// All logs of this OS process that go to standard error.
static STANDARD_ERROR: Outlet = Outlet::new();

/// How long the end of a node waits for the log's reader.
const PATIENCE_AT_END: Duration = Duration::from_secs(1);

/// Waits until what was logged to standard error is written, or for `patience`. The end of a node's stop and of a
/// `#[linden::main]` do so for a second; a program that ends in another way, as by
/// [`std::process::exit`], loses what was not written yet.
pub fn flush(patience: Duration) {
    STANDARD_ERROR.flush(patience);
}

pub(crate) fn flush_at_end() {
    flush(PATIENCE_AT_END);
}

/// A layer of `tracing` that writes the node's log: each event as one line with pid, name, application and trace of the
/// process that wrote it, and reports over several lines in the readable format.
///
/// Lines for standard error are written by a thread, so that nobody who logs waits for their reader. When more than 1 MiB of
/// them wait, further ones are dropped; a warning says how many when the log goes on. See [`flush`].
///
/// For programs with a subscriber of their own ([`crate::NodeBuilder::foreign_logging`]), which may filter, or have layers
/// beside it. Another formatter, such as `tracing_subscriber::fmt`, knows nothing of processes; a layer of the program's own
/// asks [`crate::current_process`] while it handles an event.
///
/// # Examples
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use linden::config::LogFormat;
/// use linden::log::Lines;
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let written = Arc::new(Mutex::new(String::new()));
/// let kept = written.clone();
/// let lines = Lines::new(LogFormat::Json)
///     .write_to(move |line| kept.lock().expect("nobody panics").push_str(line));
/// let subscriber = tracing_subscriber::registry().with(lines);
/// tracing::subscriber::with_default(subscriber, || tracing::info!(orders = 3, "open"));
/// assert!(written.lock().expect("nobody panics").contains(r#""message":"open","orders":3"#));
/// ```
pub struct Lines {
    format: LogFormat,
    destination: Destination,
}

enum Destination {
    StandardError,
    Function(Box<dyn Fn(&str) + Send + Sync>),
}

impl Lines {
    /// Lines of this format on standard error.
    #[must_use]
    pub fn new(format: LogFormat) -> Self {
        Self { format, destination: Destination::StandardError }
    }

    /// Gives each event to `write`, its line break included, in place of standard error. It is called by the process that logs,
    /// which waits for it; several may call at once.
    #[must_use]
    pub fn write_to(mut self, write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.destination = Destination::Function(Box::new(write));
        self
    }

    fn write(&self, line: &str) {
        match &self.destination {
            Destination::StandardError => {
                STANDARD_ERROR.write(line, |dropped| self.notice(dropped), std::io::stderr);
            }
            Destination::Function(write) => write(line),
        }
    }

    /// The line that tells of lines that were dropped.
    fn notice(&self, dropped: u64) -> String {
        let at = timestamp(SystemTime::now());
        let (target, message) = ("linden::log", "lines were dropped: nobody took them in time");
        match self.format {
            LogFormat::Readable => format!("{at}  WARN {target}: {message} dropped={dropped}\n"),
            LogFormat::Json => {
                let fields = serde_json::json!({
                    "timestamp": at, "level": "WARN", "target": target, "message": message, "dropped": dropped
                });
                format!("{fields}\n")
            }
        }
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("format", &self.format).finish_non_exhaustive()
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if is_of_reports(event.metadata()) {
            let mut visit = ReportLine { format: self.format, event, line: None };
            event.record(&mut visit);
            if let Some(line) = visit.line {
                return self.write(&line);
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.write(&match self.format {
            LogFormat::Readable => readable(event, &fields),
            LogFormat::Json => json(event, &fields.message, fields.others),
        });
    }
}

fn is_of_reports(metadata: &Metadata<'_>) -> bool {
    [CRASH, SUPERVISOR].contains(&metadata.target())
}

/// Finds the report that an event carries, and makes its line; the event's fields say the same and are passed over.
struct ReportLine<'a, 'e> {
    format: LogFormat,
    event: &'a Event<'e>,
    line: Option<String>,
}

impl Visit for ReportLine<'_, '_> {
    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}

    fn record_error(&mut self, _: &Field, value: &(dyn Error + 'static)) {
        if let Some(Carried(report)) = value.downcast_ref::<Carried<CrashReport>>() {
            self.line = Some(self.write(report, "process crashed"));
        } else if let Some(Carried(report)) = value.downcast_ref::<Carried<SupervisorReport>>() {
            self.line = Some(self.write(report, &format!("child {}", report.what.words())));
        }
    }
}

impl ReportLine<'_, '_> {
    fn write(&self, report: &(impl fmt::Display + Serialize), message: &str) -> String {
        match self.format {
            LogFormat::Readable => {
                let metadata = self.event.metadata();
                let (at, level) = (timestamp(SystemTime::now()), metadata.level());
                let report = escape_report(&report.to_string());
                format!("{at} {level:>5} {}: {report}\n", metadata.target())
            }
            LogFormat::Json => match serde_json::to_value(report) {
                Ok(Value::Object(fields)) => json(self.event, message, fields),
                // A report is a map of texts and numbers, which JSON always has a form for.
                _ => json(self.event, message, Vec::<(String, Value)>::new()),
            },
        }
    }
}

/// The fields of an event, the message apart.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        self.others.push((field.name(), value));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            self.add(field, format!("{value:?}").into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.add(field, value.into());
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

/// `2026-11-23T01:16:06.123Z ERROR billing <12.1> billing_service: process crashed reason=...`
fn readable(event: &Event<'_>, fields: &Fields) -> String {
    let metadata = event.metadata();
    let mut line = format!("{} {:>5} ", timestamp(SystemTime::now()), metadata.level());
    let process = current_process();
    if let Some(process) = &process {
        if let Some(group) = &process.group {
            let _ = write!(line, "{} ", escape(group));
        }
        let _ = write!(line, "{} ", process.pid);
        if let Some(name) = process.name.as_deref().or(process.label.as_deref()) {
            let _ = write!(line, "{} ", escape(name));
        }
    }
    let _ = write!(line, "{}: {}", metadata.target(), escape(&fields.message));
    for (name, value) in &fields.others {
        let text = match value {
            Value::String(text) => escape(text),
            other => other.to_string(),
        };
        let _ = write!(line, " {name}={text}");
    }
    let trace = process.and_then(|process| process.trace);
    if let Some(trace) = trace.filter(|_| fields.others.iter().all(|(name, _)| *name != TRACE_ID)) {
        let _ = write!(line, " {TRACE_ID}={}", trace.trace_id_text());
    }
    line.push('\n');
    line
}

/// A log line is one event: control characters of foreign texts must not make it two.
fn escape(text: &str) -> String {
    text.chars()
        .flat_map(|char| {
            let escaped = char.is_control();
            let plain = (!escaped).then_some(char);
            plain.into_iter().chain(char.escape_default().filter(move |_| escaped))
        })
        .collect()
}

/// A report keeps its line breaks, each followed by an indented line: nothing in it can begin a line of its own.
fn escape_report(text: &str) -> String {
    let mut lines = text.split('\n').map(escape);
    let mut escaped = lines.next().unwrap_or_default();
    for line in lines {
        escaped.push_str(if line.starts_with("  ") { "\n" } else { "\\n" });
        escaped.push_str(&line);
    }
    escaped
}

/// One object: the event, the process that wrote it, and the fields, which win: a report may be on another process.
fn json<K: Into<String>>(
    event: &Event<'_>,
    message: &str,
    fields: impl IntoIterator<Item = (K, Value)>,
) -> String {
    let metadata = event.metadata();
    let mut object = serde_json::Map::new();
    let mut put = |name: &str, text: &str| object.insert(name.to_owned(), text.into());
    put("timestamp", &timestamp(SystemTime::now()));
    put("level", metadata.level().as_str());
    put("target", metadata.target());
    put("message", message);
    if let Some(process) = current_process() {
        put("pid", &process.pid.to_string());
        let name = process.name.as_deref().map(|name| ("name", name));
        let label = process.label.as_deref().map(|label| ("label", label));
        let group = process.group.as_deref().map(|group| ("application", group));
        for (name, text) in [name, label, group].into_iter().flatten() {
            put(name, text);
        }
        if let Some(trace) = process.trace {
            put(TRACE_ID, &trace.trace_id_text().to_string());
        }
    }
    object.extend(fields.into_iter().map(|(name, value)| (name.into(), value)));
    let mut line = Value::Object(object).to_string();
    line.push('\n');
    line
}

/// UTC, to the millisecond, as RFC 3339.
fn timestamp(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_millis()
    )
}

/// Year, month and day of a day counted from 1970 (Howard Hinnant's algorithm for the civil calendar).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timestamps_are_rfc_3339() {
        let at = |seconds: u64, millis: u64| {
            timestamp(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis))
        };
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400, 7), "2000-02-29T00:00:00.007Z");
        assert_eq!(at(1_795_410_966, 123), "2026-11-23T05:16:06.123Z");
    }

    #[test]
    fn a_foreign_text_cannot_forge_a_line() {
        assert_eq!(escape("ok\n2026 ERROR forged"), "ok\\n2026 ERROR forged");
        assert_eq!(escape("grün"), "grün");
    }
}
