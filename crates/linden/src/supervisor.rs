//! Supervisors: processes that start, watch, restart and stop other processes.
//!
//! [`Supervisor`] and [`DynamicSupervisor`] are specifications: values that can be started again and again. The decisions are
//! pure ([`decision`], [`intensity`]); the processes ([`process`], [`dynamic`]) only do what they say.

pub(crate) use self::child::registered_child;
pub use self::child::{ChildSpec, child, dynamic_child, process_child, supervisor_child};
pub use self::dynamic::{DynamicRef, DynamicSupervisor};
pub use self::process::{SupervisorError, SupervisorRef};
pub use self::spec::Supervisor;
pub use self::stop_child::exit_kind;
pub(crate) use self::stop_child::stop_child;

mod child;
pub mod decision;
mod dynamic;
pub mod intensity;
mod process;
mod spec;
mod stop_child;
