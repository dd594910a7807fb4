//! Supervisors: processes that start, watch, restart and stop other processes.
//!
//! [`Supervisor`] and [`DynamicSupervisor`] are specifications: values that can be started again and again. The decisions are
//! pure ([`decision`], [`intensity`]); the processes only do what they say. OTP source: `supervisor`. The promises are
//! SUP-01 to SUP-23 in `docs/SEMANTICS.md`.
//!
//! # A child spec's keys
//!
//! | Key | Default | Meaning |
//! |---|---|---|
//! | id | none | unique within the supervisor |
//! | restart | `permanent()` | `permanent()`: restarted always. `transient()`: after an end that is not orderly. `temporary()`: never |
//! | shutdown | 5 s; no limit for a supervisor | told to shut down and killed after this time; [`decision::Shutdown::Brutal`] kills at once |
//! | name | the server's own | `name("x")`: registered as `x`; `unnamed()`: not registered |
//! | max_mailbox | no limit | `max_mailbox(n, policy)`: at most so many messages wait for it |
//! | significant | no | `significant()`: its end counts for `auto_shutdown` |
//!
//! # A supervisor's keys
//!
//! | Key | Default | Meaning |
//! |---|---|---|
//! | strategy | none | `one_for_one`: the child that ended is restarted. `one_for_all`: all are. `rest_for_one`: it and those behind it |
//! | intensity | 1 in 5 s | more restarts than this, and the supervisor stops its children and exits with `shutdown` |
//! | auto_shutdown | never | whether the end of any, or of all, significant children ends the supervisor |
//! | name | none | registered under it |
//!
//! A tree that is started with `start_link` ends with the process that started it. A child that never answers its init holds
//! its supervisor, as in OTP: kill it, or give its init a time limit.

pub(crate) use self::child::registered_child;
pub use self::child::{ChildSpec, child, dynamic_child, process_child, supervisor_child};
pub use self::dynamic::{DynamicRef, DynamicSupervisor};
pub use self::process::{SupervisorError, SupervisorRef};
pub(crate) use self::spec::LastWords;
pub use self::spec::Supervisor;
pub use self::stop_child::exit_kind;
pub(crate) use self::stop_child::stop_or_leave;

mod child;
pub mod decision;
mod dynamic;
pub mod intensity;
mod process;
mod spec;
mod stop_child;
