//! What a node says when processes crash and supervisors act.
//!
//! Lives here: [`CrashReport`], [`SupervisorReport`], the bounded text they hold ([`Limited`]), and their two forms: lines
//! for people (`Display`) and fields for machines ([`CrashReport::fields`], `Serialize`). Plain data and formatting; usable
//! from any thread. `events` fills them and passes them to `tracing`; `log` writes them.
//!
//! Invariants: no text that a process decides about (reason, state) takes more than its limit, however
//! large the thing it shows. Names, pids and reasons come in as whatever shows itself, so nothing here depends on
//! processes.
//!
//! Absent on purpose: writing to a log, catching a `Debug` that panics, time stamps: the logger's.

mod crash;
mod field;
mod limited;
mod supervision;

pub use crash::CrashReport;
pub use field::FieldValue;
pub use limited::{BYTES_MAX_DEFAULT, Limited};
pub use supervision::{Severity, SupervisorEvent, SupervisorReport};
