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

// All else stands on tokio too, which changes shape under loom and is left out there.
macro_rules! not_under_loom {
    ($($item:item)*) => { $(#[cfg(not(loom))] $item)* };
}

not_under_loom! {
    mod activation;
    mod address;
    mod call;
    mod cell;
    mod clock_pace;
    mod cx;
    mod dead_letters;
    mod deadline;
    mod demotion;
    mod envelope;
    mod fairness;
    mod hand;
    mod hook;
    mod id;
    mod inbox;
    mod introspect;
    mod limit;
    mod links;
    mod message;
    mod monitor;
    mod names;
    mod node;
    mod options;
    mod queue;
    mod reactor;
    mod reason;
    mod remote;
    mod reply;
    mod signal;
    mod sim;
    mod spawn;
    mod spin;
    mod stop;
    mod stranded;
    mod table;
    mod timer;
    mod trace;
    mod transport;
    mod worker;

    pub use address::{Address, Named, SendError};
    pub use call::{CALL_TIMEOUT, Call, reply_channel};
    pub use cx::{Cx, Flush, MailRef, Recv, process_size, yield_now};
    pub use fairness::{Fairness, Stall, StallEvent, StallListener};
    pub use hook::panic_reason;
    pub use id::{LocalPid, NodeId, Pid, Ref};
    pub use introspect::{CrashDetail, CurrentProcess, ExitEvent, ExitListener, ExitOrigin, ProcessInfo, ProcessRow, Status, current_process};
    pub use message::{
        Codec, CodecError, EncodedMessage, Format, Message, MethodInfo, MethodKind, Payload,
    };
    pub use limit::{MailboxLimit, MailboxPolicy, SendWait};
    pub use names::{NAME_LEN_MAX, RegisterError};
    pub use dead_letters::{
        DEAD_LETTER_TARGETS_MAX, DEAD_LETTERS_KEPT_MAX, DeadLetter, DeadLetterCounts, DeadLetterListener, DeadLetterReason,
        DeadLetterReport, DeadLetterTarget, TargetCounts,
    };
    pub use node::{Group, Node, NodeGuard, NodeStartError, block_on};
    pub use options::{NodeOptions, PanicOutput};
    pub use reason::{ErrorInfo, IntoReason, PanicInfo, Reason};
    pub use reply::{CallError, Delivered, Reply, ReplyPort};
    pub use signal::{ExitVia, Info, Mail};
    #[cfg(feature = "sim")]
    pub use sim::Simulation;
    pub use spawn::{spawn, spawn_link, unlink};
    pub use stop::StopReport;
    pub use timer::TimerRef;
    pub use trace::{TraceContext, TraceContextError, current_trace, set_trace};
    pub use transport::{AnswerError, Body, Destination, Packet, Transport};
}
