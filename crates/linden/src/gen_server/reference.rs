//! References to servers: by address or by name, on this node or another.

use std::fmt;
use std::time::Duration;

use linden_core::{Address, Call, CallError, CodecError, Named, Node, NodeId, Pid, Reason, Reply};

use super::GenServer;
use super::message::{ServerMsg, System};

/// A typed reference to a server. Cheap to clone; it keeps the server's memory, not its life.
///
/// One by name follows the process that takes the name next: it may be kept over restarts.
pub struct ServerRef<S: GenServer>(To<S>);

enum To<S: GenServer> {
    Address(Address<ServerMsg<S::Msg>>),
    Name(Named<ServerMsg<S::Msg>>),
}

impl<S: GenServer> ServerRef<S> {
    pub(crate) fn by_address(address: Address<ServerMsg<S::Msg>>) -> Self {
        Self(To::Address(address))
    }

    /// Whatever server of this type has the name, now or later.
    #[must_use]
    pub fn by_name(node: &Node, name: &str) -> Self {
        Self(To::Name(node.named(name)))
    }

    /// The server with this pid; `None` when it does not live on `node` or is of another type.
    #[must_use]
    pub fn by_pid(node: &Node, pid: Pid) -> Option<Self> {
        node.address(pid).map(Self::by_address)
    }

    /// A server of another node by its pid.
    ///
    /// # Errors
    /// The server is not declared with `#[gen_server(remote)]`.
    pub fn remote(node: &Node, pid: Pid) -> Result<Self, CodecError> {
        node.remote_address(pid).map(Self::by_address)
    }

    /// Whatever server has the name on another node.
    ///
    /// # Errors
    /// The server is not declared with `#[gen_server(remote)]`.
    pub fn remote_name(node: &Node, at: NodeId, name: &str) -> Result<Self, CodecError> {
        node.remote_name(at, name).map(Self::by_address)
    }

    /// The server's pid; `None` when nobody has the name, or only another node knows.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        match &self.0 {
            To::Address(address) => address.try_pid(),
            To::Name(named) => named.pid(),
        }
    }

    /// A call; `request` makes the message around the place for the answer. Sent when it is first awaited.
    #[inline]
    pub fn call<R>(&self, request: impl FnOnce(Reply<R>) -> S::Msg) -> Call<'_, R> {
        self.call_raw(|reply| ServerMsg::User(request(reply)))
    }

    #[inline]
    fn call_raw<R>(&self, request: impl FnOnce(Reply<R>) -> ServerMsg<S::Msg>) -> Call<'_, R> {
        match &self.0 {
            To::Address(address) => address.call(request),
            To::Name(named) => named.call(request),
        }
    }

    /// A cast. Never an error, as in OTP: a message to nobody is counted as a dead letter.
    #[inline]
    pub fn cast(&self, message: S::Msg) {
        let message = ServerMsg::User(message);
        // What comes back was counted by the node.
        match &self.0 {
            To::Address(address) => drop(address.send(message)),
            To::Name(named) => drop(named.send(message)),
        }
    }

    /// Stops the server: it handles what was sent before, runs `terminate`, and exits with `reason`. Returns when it has ended.
    ///
    /// # Errors
    /// It did not end within `timeout`, there is no such server, or it is a server of another node.
    pub async fn stop(&self, reason: Reason, timeout: Duration) -> Result<(), CallError> {
        let stop = self.call_raw(|done| ServerMsg::System(Box::new(System::Stop { reason, done })));
        match stop.timeout(timeout).await {
            Ok(_) | Err(CallError::Exited(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The server's state as text; `None` when its type does not show it.
    ///
    /// # Errors
    /// As a call.
    pub async fn state(&self) -> Result<Option<String>, CallError> {
        self.call_raw(|reply| ServerMsg::System(Box::new(System::State(reply)))).await
    }
}

impl<S: GenServer> Clone for ServerRef<S> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            To::Address(address) => To::Address(address.clone()),
            To::Name(named) => To::Name(named.clone()),
        })
    }
}

impl<S: GenServer> fmt::Debug for ServerRef<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            To::Address(address) => fmt::Debug::fmt(address, f),
            To::Name(named) => fmt::Debug::fmt(named, f),
        }
    }
}
