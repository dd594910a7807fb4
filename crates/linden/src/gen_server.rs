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
/// A server is a process with a state, which handles one message at a time. OTP source: `gen_server`. The promises are SRV-01
/// to SRV-24 in `docs/SEMANTICS.md`.
///
/// # Examples
/// A server as one writes it, and its typed client:
/// ```
/// use std::collections::HashMap;
///
/// use linden::prelude::*;
///
/// #[derive(Default)]
/// struct Store {
///     items: HashMap<String, u64>,
///     waiting: Vec<Reply<String>>,
/// }
///
/// #[gen_server(name = "store")]
/// impl Store {
///     /// Answered when the handler returns. An `Err` is data for the caller.
///     #[call]
///     fn get(&self, key: String) -> Result<u64, String> {
///         self.items.get(&key).copied().ok_or_else(|| format!("no {key} here"))
///     }
///
///     /// Nobody waits for it.
///     #[cast]
///     fn put(&mut self, key: String, value: u64) {
///         for reply in self.waiting.drain(..) {
///             reply.send(key.clone());
///         }
///         self.items.insert(key, value);
///     }
///
///     /// Answered later: the reply is kept.
///     #[call]
///     fn next_put(&mut self, reply: Reply<String>) {
///         self.waiting.push(reply);
///     }
/// }
///
/// # let node = Node::start(linden::NodeOptions::default())?;
/// # node.block_on(async {
/// let store = Store::start(Store::default).await?;
/// store.put("a".into(), 1);
/// assert_eq!(store.get("a".into()).await?, Ok(1));
/// assert_eq!(Store::named().get("b".into()).timeout(50.ms()).await?, Err("no b here".into()));
/// store.stop(Reason::Shutdown, 5.secs()).await?;
/// # Ok::<(), linden::BoxError>(())
/// # })?;
/// # node.stop(5.secs());
/// # Ok::<(), linden::BoxError>(())
/// ```
///
/// The same without the macro: one enum, one `handle`.
/// ```
/// use linden::Message;
/// use linden::prelude::*;
///
/// enum CounterMsg {
///     Add(u64, Reply<u64>),
/// }
/// impl Message for CounterMsg {}
///
/// struct Counter(u64);
///
/// impl GenServer for Counter {
///     type Msg = CounterMsg;
///     type Client = ServerRef<Self>;
///
///     fn handle<'a>(&'a mut self, msg: CounterMsg, _: &'a mut Context<Self>) -> Handled<'a> {
///         let CounterMsg::Add(n, reply) = msg;
///         self.0 += n;
///         reply.send(self.0);
///         Handled::done()
///     }
/// }
///
/// # let node = Node::start(linden::NodeOptions::default())?;
/// # node.block_on(async {
/// let counter = Counter::start(|| Counter(40)).await?;
/// assert_eq!(counter.call(|reply| CounterMsg::Add(2, reply)).await?, 42);
/// # Ok::<(), linden::BoxError>(())
/// # })?;
/// # node.stop(5.secs());
/// # Ok::<(), linden::BoxError>(())
/// ```
///
/// # Calling
/// A call may be made from any async code, process or not. It waits 5 s unless [`linden_core::Call::timeout`] says otherwise, and
/// never for a server that is dead: [`linden_core::CallError`] says what is known. A server that calls itself gets an error; what
/// it wants of itself it does directly, or casts to [`Context::client`].
///
/// # Supervising
/// In production a server is a child of a supervisor: `child("store", Store::default)` ([`crate::child`]). What can go wrong at
/// the start belongs in `init` or in what builds the state, so that the start fails; what can go wrong later may panic.
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
