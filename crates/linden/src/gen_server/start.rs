//! Starting servers: from what they are built, under which name, linked to whom.

use linden_core::{Call, CallError, Node, Reason, reply_channel};

use super::serve::{Birth, serve};
use super::{GenServer, ServerRef};
use crate::error::{StartError, Stop};

/// A way to build a server. It runs inside the new process, so a slow or failing build hurts nobody else.
///
/// Implemented for functions that give the state, a `Result` of it, or a future of such a `Result`:
/// `Billing::default`, `|| Ledger::open(path)`, `|| async { Pool::connect(url).await }`. `Kind` tells them apart and is
/// inferred.
pub trait Init<S, Kind>: Send + 'static {
    /// Builds the state.
    fn build(self) -> impl Future<Output = Result<S, Stop>> + Send;
}

/// Tells [`Init`]s that give the state itself.
#[derive(Debug)]
pub struct Plain;
/// Tells [`Init`]s that may fail.
#[derive(Debug)]
pub struct Fallible;
/// Tells [`Init`]s that are asynchronous.
#[derive(Debug)]
pub struct Asynchronous;

impl<S: GenServer, F: FnOnce() -> S + Send + 'static> Init<S, Plain> for F {
    async fn build(self) -> Result<S, Stop> {
        Ok(self())
    }
}

impl<S, E, F> Init<S, (Fallible, E)> for F
where
    S: GenServer,
    E: Into<Stop>,
    F: FnOnce() -> Result<S, E> + Send + 'static,
{
    async fn build(self) -> Result<S, Stop> {
        self().map_err(Into::into)
    }
}

impl<S, E, U, F> Init<S, (Asynchronous, E, U)> for F
where
    S: GenServer,
    E: Into<Stop>,
    U: Future<Output = Result<S, E>> + Send,
    F: FnOnce() -> U + Send + 'static,
{
    async fn build(self) -> Result<S, Stop> {
        self().await.map_err(Into::into)
    }
}

/// Whether the new process is linked to the one that starts it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Link {
    Yes,
    No,
}

/// Starts servers of a type.
pub trait Start: GenServer {
    /// Starts a server on the current node and waits until its init is through. It is registered under [`GenServer::NAME`].
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    ///
    /// # Panics
    /// Outside of every node: use [`Start::start_on`].
    fn start<K: 'static>(
        init: impl Init<Self, K>,
    ) -> impl Future<Output = Result<Self::Client, StartError>> + Send {
        launch(None, Link::No, Self::NAME.map(Into::into), init)
    }

    /// As [`Start::start`], on `node`.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    fn start_on<K: 'static>(
        node: &Node,
        init: impl Init<Self, K>,
    ) -> impl Future<Output = Result<Self::Client, StartError>> + Send {
        launch(Some(node.clone()), Link::No, Self::NAME.map(Into::into), init)
    }

    /// As [`Start::start`], registered under `name` in place of the type's own; without a name for `None`.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    ///
    /// # Panics
    /// Outside of every node.
    fn start_as<K: 'static>(
        name: Option<&str>,
        init: impl Init<Self, K>,
    ) -> impl Future<Output = Result<Self::Client, StartError>> + Send {
        launch(None, Link::No, name.map(Into::into), init)
    }

    /// As [`Start::start`], linked to the process that calls it before the server runs.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    ///
    /// # Panics
    /// Outside of every process.
    fn start_link<K: 'static>(
        init: impl Init<Self, K>,
    ) -> impl Future<Output = Result<Self::Client, StartError>> + Send {
        launch(None, Link::Yes, Self::NAME.map(Into::into), init)
    }
}

impl<S: GenServer> Start for S {}

async fn launch<S: GenServer, K: 'static>(
    node: Option<Node>,
    link: Link,
    name: Option<Box<str>>,
    init: impl Init<S, K>,
) -> Result<S::Client, StartError> {
    let server = spawn_server(node, link, name, 0, init).await?;
    Ok(server.into())
}

/// Spawns a server and waits for its init.
pub(crate) async fn spawn_server<S: GenServer, K: 'static>(
    node: Option<Node>,
    link: Link,
    name: Option<Box<str>>,
    restarts: u32,
    init: impl Init<S, K>,
) -> Result<ServerRef<S>, StartError> {
    let (started, waits) = reply_channel();
    let birth = Birth { name, restarts, started };
    let address = match (node, link) {
        (_, Link::Yes) => linden_core::spawn_link(|cx| serve::<S, _, K>(cx, init, birth)),
        (Some(node), Link::No) => node.spawn(|cx| serve::<S, _, K>(cx, init, birth)),
        (None, Link::No) => linden_core::spawn(|cx| serve::<S, _, K>(cx, init, birth)),
    };
    await_start(waits).await?;
    Ok(ServerRef::by_address(address))
}

/// What came of a start: the process's word, or the reason of its end when it came first.
pub(crate) async fn await_start(waits: Call<'_, Result<(), StartError>>) -> Result<(), StartError> {
    match waits.await {
        Ok(started) => started,
        Err(CallError::Exited(reason)) => Err(StartError::Init(reason)),
        Err(error) => Err(StartError::Init(Reason::error(&error))),
    }
}
