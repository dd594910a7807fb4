//! Linden: what a service is built from. Supervised processes, applications, configuration, reports.
#![forbid(unsafe_code)]

extern crate self as linden;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
pub mod application;
pub mod config;
mod duration;
mod error;
mod events;
mod gen_server;
pub mod log;
mod node;
pub mod report;
pub mod supervisor;
mod task;

pub use application::{Application, ApplicationKind, NoConfig};
pub use duration::DurationExt;
pub use error::{BoxError, StartError, Stop};
pub use events::{CrashReporter, DeadLetterReporter, MailboxReporter, StallReporter};
pub use gen_server::{Context, GenServer, Handled, Init, ServerRef, Start, named, named_on};
pub use linden_core::{
    Address, Call, CallError, CountingAllocator, CrashDetail, Cx, DeadLetter, DeadLetterCounts,
    DeadLetterListener, DeadLetterReason, DeadLetterReport, DeadLetterTarget, ExitEvent,
    ExitListener, ExitOrigin, Fairness, Flush, Info, IntoReason, Mail, MailRef, MailboxAlarm,
    MailboxLimit, MailboxListener, MailboxPolicy, Mailboxes, Message, Named, Node, NodeId,
    NodeOptions, PROCESS_QUERY_MAX, Pid, Priority, ProcessInfo, ProcessOrder, ProcessPage,
    ProcessQuery, ProcessRow, QueryTooLarge, Reason, Ref, Reply, Stall, StallEvent, StallListener,
    Status, TimerRef, TraceContext, TraceContextError, WorkerRow, WorkerStatus, block_on,
    current_process, current_trace, live_bytes, reply_channel, set_trace, spawn, spawn_link,
    yield_now,
};
pub use linden_macros::{gen_server, main, test};
pub use node::{Booted, NodeBuilder, NodeError, Ready};
pub use supervisor::{
    ChildSpec, DynamicRef, DynamicSupervisor, Supervisor, SupervisorError, SupervisorRef, child,
    dynamic_child, process_child, supervisor_child,
};
pub use task::{Task, TaskError, TaskSupervisor};

/// The programs of `docs/guide`, compiled and run as tests.
#[cfg(doctest)]
mod guide {
    macro_rules! pages {
        ($($page:ident: $file:literal,)*) => {
            $(#[doc = include_str!(concat!("../../../docs/guide/", $file, ".md"))] struct $page;)*
        };
    }
    pages! {
        FirstService: "1-first-service",
        Supervision: "2-supervision",
        CallingServices: "3-calling-services",
        Configuration: "4-configuration",
        Testing: "5-testing",
        LimitsAndObservation: "6-limits-and-observation",
    }
}

pub mod prelude {
    //! What most services use.
    pub use crate::{
        Application, BoxError, Call, CallError, ChildSpec, Context, DurationExt, DynamicRef,
        DynamicSupervisor, GenServer, Handled, Info, Node, NodeBuilder, NodeError, Pid, Reason,
        Reply, ServerRef, Start, StartError, Stop, Supervisor, SupervisorRef, Task, child,
        dynamic_child, gen_server, process_child, supervisor_child,
    };
}
