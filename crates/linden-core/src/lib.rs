//! Processes, signals and the scheduler: the core of Linden.
//!
//! A process is one cell: a mailbox, a future, and the accounts of both. It is spawned on a [`Node`], owns its end of the
//! mailbox ([`Cx`]), and is reached by its [`Address`], its name or its [`Pid`]. When it ends, those linked to it and those
//! that monitor it hear why. Promises are numbered in `docs/SEMANTICS.md`; the rules for `unsafe` are in `docs/UNSAFE.md`.
//!
//! This crate knows no behaviour (gen_server, supervisor), no wire format, no HTTP and no command line.
//!
//! # Examples
//! ```
//! use linden_core::{Cx, Mail, Message, Node, NodeOptions, Reply};
//!
//! enum Count {
//!     Add(u64),
//!     Total(Reply<u64>),
//! }
//! impl Message for Count {}
//!
//! async fn counter(mut cx: Cx<Count>) {
//!     let mut total = 0;
//!     loop {
//!         match cx.recv().await {
//!             Mail::Msg(Count::Add(n)) => total += n,
//!             Mail::Msg(Count::Total(reply)) => drop(reply.send(total)),
//!             Mail::Info(_) => {}
//!         }
//!     }
//! }
//!
//! let node = Node::start(NodeOptions::default()).unwrap();
//! let counter = node.spawn(counter);
//! counter.send(Count::Add(2)).unwrap();
//! counter.send(Count::Add(3)).unwrap();
//! assert_eq!(node.block_on(counter.call(Count::Total)), Ok(5));
//! node.stop(std::time::Duration::from_secs(1));
//! ```
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(panic = "abort")]
compile_error!(
    "Linden turns panics into exits of one process, which takes unwinding: remove `panic = \"abort\"` from the profile"
);

// The protocols, which loom explores. They stand on `sync` alone.
mod asymmetric;
mod duty;
mod idle;
mod lifo;
mod mailbox;
mod park;
mod room;
mod slot;
mod sync;

#[cfg(loom)]
#[path = "reply/word.rs"]
mod reply_word;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("Linden is for processors of 64 bits");

// All else stands on tokio too, which changes shape under loom and is left out there.
#[cfg(not(loom))]
mod account;
#[cfg(not(loom))]
mod activation;
#[cfg(not(loom))]
mod address;
#[cfg(not(loom))]
mod bonds;
#[cfg(not(loom))]
mod budget;
#[cfg(not(loom))]
mod call;
#[cfg(not(loom))]
mod cell;
#[cfg(not(loom))]
mod clock_pace;
#[cfg(not(loom))]
mod counts;
#[cfg(not(loom))]
mod cx;
#[cfg(not(loom))]
mod dead_letters;
#[cfg(not(loom))]
mod deadline;
#[cfg(not(loom))]
mod demotion;
#[cfg(not(loom))]
mod envelope;
#[cfg(not(loom))]
mod fairness;
#[cfg(not(loom))]
mod hand;
#[cfg(not(loom))]
mod hook;
#[cfg(not(loom))]
mod id;
#[cfg(not(loom))]
mod inbox;
#[cfg(not(loom))]
mod introspect;
#[cfg(not(loom))]
mod limit;
#[cfg(not(loom))]
mod links;
#[cfg(not(loom))]
mod mailboxes;
#[cfg(not(loom))]
mod memory;
#[cfg(not(loom))]
mod message;
#[cfg(not(loom))]
mod monitor;
#[cfg(not(loom))]
mod names;
#[cfg(not(loom))]
mod node;
#[cfg(not(loom))]
mod observe;
#[cfg(not(loom))]
mod options;
#[cfg(not(loom))]
mod prefetch;
#[cfg(not(loom))]
mod priority;
#[cfg(not(loom))]
mod queue;
#[cfg(not(loom))]
mod reactor;
#[cfg(not(loom))]
mod reap;
#[cfg(not(loom))]
mod reason;
#[cfg(not(loom))]
mod remote;
#[cfg(not(loom))]
mod reply;
#[cfg(not(loom))]
mod signal;
#[cfg(not(loom))]
mod sim;
#[cfg(not(loom))]
mod spawn;
#[cfg(not(loom))]
mod spin;
#[cfg(not(loom))]
mod stop;
#[cfg(not(loom))]
mod stranded;
#[cfg(not(loom))]
mod table;
#[cfg(not(loom))]
mod tally;
#[cfg(not(loom))]
mod timer;
#[cfg(not(loom))]
mod trace;
#[cfg(not(loom))]
mod transport;
#[cfg(not(loom))]
mod worker;

#[cfg(not(loom))]
pub use address::{Address, Named, SendError};
#[cfg(not(loom))]
pub use call::{CALL_TIMEOUT, Call, reply_channel};
#[cfg(not(loom))]
pub use cx::{Cx, Flush, MailRef, Recv, process_size, yield_now};
#[cfg(not(loom))]
pub use dead_letters::{
    DEAD_LETTER_TARGETS_MAX, DEAD_LETTERS_KEPT_MAX, DeadLetter, DeadLetterCounts,
    DeadLetterListener, DeadLetterReason, DeadLetterReport, DeadLetterTarget, TargetCounts,
};
#[cfg(not(loom))]
pub use fairness::{Fairness, Stall, StallEvent, StallListener};
#[cfg(not(loom))]
pub use hook::panic_reason;
#[cfg(not(loom))]
pub use id::{LocalPid, NodeId, Pid, Ref};
#[cfg(not(loom))]
pub use introspect::{
    CrashDetail, CurrentProcess, ExitEvent, ExitListener, ExitOrigin, ProcessInfo, ProcessRow,
    Status, WorkerRow, WorkerStatus, current_process,
};
#[cfg(not(loom))]
pub use limit::{MailboxLimit, MailboxPolicy, SendWait};
#[cfg(not(loom))]
pub use mailboxes::{MailboxAlarm, MailboxListener, Mailboxes};
#[cfg(not(loom))]
pub use memory::{CountingAllocator, live_bytes};
#[cfg(not(loom))]
pub use message::{
    Codec, CodecError, EncodedMessage, Format, Message, MethodInfo, MethodKind, Payload,
};
#[cfg(not(loom))]
pub use names::{NAME_LEN_MAX, RegisterError};
#[cfg(not(loom))]
pub use node::{Group, Node, NodeGuard, NodeStartError, block_on};
#[cfg(not(loom))]
pub use observe::{PROCESS_QUERY_MAX, ProcessOrder, ProcessPage, ProcessQuery, QueryTooLarge};
#[cfg(not(loom))]
pub use options::{NodeOptions, PanicOutput};
#[cfg(not(loom))]
pub use priority::Priority;
#[cfg(not(loom))]
pub use reason::{ErrorInfo, IntoReason, PanicInfo, Reason};
#[cfg(not(loom))]
pub use reply::{CallError, Delivered, Reply, ReplyPort};
#[cfg(not(loom))]
pub use signal::{ExitVia, Info, Mail};
#[cfg(all(feature = "sim", not(loom)))]
pub use sim::Simulation;
#[cfg(not(loom))]
pub use spawn::{spawn, spawn_link, unlink};
#[cfg(not(loom))]
pub use stop::StopReport;
#[cfg(not(loom))]
pub use timer::TimerRef;
#[cfg(not(loom))]
pub use trace::{TraceContext, TraceContextError, current_trace, set_trace};
#[cfg(not(loom))]
pub use transport::{AnswerError, Body, Destination, Packet, Transport};
