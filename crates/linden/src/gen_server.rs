//! The generic server: a process that owns a state and handles calls, casts and news of other processes.
//!
//! OTP source: `gen_server`. [`GenServer`] is the callbacks; [`Start`] starts servers; [`ServerRef`] and the client that
//! `#[gen_server]` writes reach them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use linden_core::{Info, Message, Node, Reason};

pub use self::context::Context;
pub use self::reference::ServerRef;
pub use self::start::{Init, Start};
pub(crate) use self::start::{Link, await_start, spawn_server};

use crate::error::Stop;

mod context;
pub(crate) mod message;
mod reference;
pub(crate) mod serve;
mod start;

/// The callbacks of a server. Usually written by `#[gen_server]`, whose page shows the code that it writes.
///
/// # When each runs
/// `init` once, in the server's own process, before its start returns. `handle` for each call and cast, in the order of
/// arrival, one at a time. `handle_info` for exits (when trapping them), monitors and timers. `handle_continue` after a
/// callback that called [`Context::continue_`], before any other message. `handle_timeout` when no message came for as long as
/// [`Context::set_timeout`] said.
///
/// `terminate` runs when the server stops itself ([`Context::stop`]), when it is stopped ([`ServerRef::stop`]), when a callback
/// panics, and, if it traps exits, when its parent tells it to end. It does *not* run when the server is killed, or when an
/// exit signal ends it because it does not trap exits.
///
/// A panic in a callback is a crash: the server ends with the panic as its reason. An `Err` returned to a caller is data.
///
/// # When not to use this
/// For work without a state of its own: spawn a [`crate::Task`]. For a value that is only read: share it by `Arc`. A server
/// handles one message at a time, so it is also the bound on how much of that happens at once.
pub trait GenServer: Sized + Send + 'static {
    /// The calls and casts: one enum.
    type Msg: Message;
    /// What callers hold: a [`ServerRef`], or a typed client around it.
    type Client: From<ServerRef<Self>> + Clone + Send + Sync;
    /// Registered under this name when it is started, unless the start says otherwise.
    const NAME: Option<&'static str> = None;

    /// Runs first, in the server's process. An error ends the start.
    fn init(&mut self, cx: &mut Context<Self>) -> impl Future<Output = Result<(), Stop>> + Send {
        let _ = cx;
        async { Ok(()) }
    }

    /// Handles a call or a cast: at once, or by a future that is awaited before the next message.
    fn handle<'a>(&'a mut self, msg: Self::Msg, cx: &'a mut Context<Self>) -> Handled<'a>;

    /// Handles news of other processes and timers. By default they are dropped.
    fn handle_info(
        &mut self,
        info: Info,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (info, cx);
        async {}
    }

    /// Goes on with what [`Context::continue_`] announced.
    fn handle_continue(&mut self, cx: &mut Context<Self>) -> impl Future<Output = ()> + Send {
        let _ = cx;
        async {}
    }

    /// No message came for as long as [`Context::set_timeout`] said.
    fn handle_timeout(&mut self, cx: &mut Context<Self>) -> impl Future<Output = ()> + Send {
        let _ = cx;
        async {}
    }

    /// Cleans up. See "When each runs".
    fn terminate(
        &mut self,
        reason: &Reason,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (reason, cx);
        async {}
    }

    /// The state as text, for crash reports and observers.
    fn format_state(&self) -> Option<String> {
        None
    }
}

/// What [`GenServer::handle`] did.
#[must_use = "a future that is not passed on is never awaited"]
pub struct Handled<'a>(pub(crate) Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>);

impl<'a> Handled<'a> {
    /// The message is dealt with.
    pub fn done() -> Self {
        Self(None)
    }

    /// The message is dealt with when the future ends; the next one waits for it.
    pub fn future(future: impl Future<Output = ()> + Send + 'a) -> Self {
        Self(Some(Box::pin(future)))
    }
}

impl fmt::Debug for Handled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Handled::future" } else { "Handled::done" })
    }
}

/// The server of type `S` that is registered under its name on the current node.
///
/// # Panics
/// Outside of every node, and when the type has no name.
pub fn named<S: GenServer>() -> ServerRef<S> {
    let node = Node::current().expect(
        "named() is called inside a process or a node's block_on; elsewhere use named_on(&node)",
    );
    named_on(&node)
}

/// The server of type `S` that is registered under its name on `node`.
///
/// # Panics
/// When the type has no name.
pub fn named_on<S: GenServer>(node: &Node) -> ServerRef<S> {
    let name = S::NAME.expect("the server's type has a name: #[gen_server(name = \"...\")]");
    ServerRef::by_name(node, name)
}
