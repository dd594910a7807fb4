//! What a callback can do with its own process.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use linden_core::{
    Address, Cx, Flush, IntoReason, Message, Node, Pid, Reason, Ref, RegisterError, TimerRef,
};

use super::message::ServerMsg;
use super::{GenServer, ServerRef};

/// A callback's way to its own process: who it is, what happens next, whom it watches.
pub struct Context<S: GenServer> {
    pub(super) cx: Cx<ServerMsg<S::Msg>>,
    /// Made at the first need: most servers never stop, continue or time out.
    pub(super) next: Option<Box<Next>>,
}

/// What is to happen after the callback.
#[derive(Default, Debug)]
pub(super) struct Next {
    pub(super) stop: Option<Reason>,
    pub(super) continues: bool,
    pub(super) timeout: Option<Duration>,
    /// How often the supervisor had restarted this server.
    pub(super) restarts: u32,
}

impl<S: GenServer> Context<S> {
    pub(super) fn next(&mut self) -> &mut Next {
        self.next.get_or_insert_default()
    }

    /// Whether a callback announced something that comes before the next message.
    pub(super) fn is_due(&self) -> bool {
        self.next.as_deref().is_some_and(|next| next.continues || next.stop.is_some())
    }

    pub(super) fn restarts(&self) -> u32 {
        self.next.as_deref().map_or(0, |next| next.restarts)
    }

    /// The server's pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.cx.pid()
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> &Node {
        self.cx.node()
    }

    /// A client of the server itself: for messages to itself and for others to reach it. A *call* of itself is an error.
    #[must_use]
    pub fn client(&self) -> S::Client {
        S::Client::from(ServerRef::by_address(self.cx.address()))
    }

    /// Who started the server, if that was a process.
    #[must_use]
    pub fn parent(&self) -> Option<Pid> {
        self.cx.parent()
    }

    /// Ends the server after this callback: `terminate` runs, then it exits with `reason`. Called twice, the first counts.
    pub fn stop(&mut self, reason: Reason) {
        self.next().stop.get_or_insert(reason);
    }

    /// Runs `handle_continue` after this callback, before any other message: an init that returns at once and goes on with
    /// the slow part.
    pub fn continue_(&mut self) {
        self.next().continues = true;
    }

    /// Runs `handle_timeout` when no message comes for so long; again and again, until it is cleared. Each message starts the
    /// time anew.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.next().timeout = Some(timeout);
    }

    /// Waits for messages without a time limit again.
    pub fn clear_timeout(&mut self) {
        if let Some(next) = &mut self.next {
            next.timeout = None;
        }
    }

    /// Whether exit signals become [`linden_core::Info::Exit`] instead of ending the server. A server that wants its
    /// `terminate` called when its supervisor shuts it down must trap exits.
    pub fn trap_exit(&mut self, trap: bool) -> bool {
        self.cx.trap_exit(trap)
    }

    /// Links the server with a process: when one ends, the other gets an exit signal.
    pub fn link(&mut self, pid: Pid) {
        self.cx.link(pid);
    }

    /// Takes a link down.
    pub fn unlink(&mut self, pid: Pid) {
        self.cx.unlink(pid);
    }

    /// Monitors a process: one `Info::Down` tells of its end.
    pub fn monitor(&mut self, pid: Pid) -> Ref {
        self.cx.monitor(pid)
    }

    /// Takes a monitor down, and removes its `Down` if that is there already.
    pub fn demonitor(&mut self, reference: Ref) {
        self.cx.demonitor(reference, Flush::Yes);
    }

    /// Sends an exit signal.
    pub fn exit(&mut self, to: Pid, reason: Reason) {
        self.cx.exit(to, reason);
    }

    /// Casts `message` to the server itself after `delay`, unless it is cancelled. Never early.
    pub fn send_after(&mut self, delay: Duration, message: S::Msg) -> TimerRef {
        let own = self.cx.address();
        self.cx.send_after(&own, delay, ServerMsg::User(message))
    }

    /// Sends the server `Info::Timer` after `delay`. Never early.
    pub fn start_timer(&mut self, delay: Duration) -> TimerRef {
        self.cx.start_timer(delay)
    }

    /// Takes a timer back; the time that was left, or `None` when it has fired or was cancelled.
    pub fn cancel(&mut self, timer: &TimerRef) -> Option<Duration> {
        self.cx.cancel(timer)
    }

    /// Spawns a plain process, linked to the server before it runs.
    pub fn spawn_link<M, B, F>(&mut self, body: B) -> Address<M>
    where
        M: Message,
        B: FnOnce(Cx<M>) -> F,
        F: Future<Output: IntoReason> + Send + 'static,
    {
        self.cx.spawn_link(body)
    }

    /// Names the server for people: observers and crash reports show it.
    pub fn set_label(&mut self, label: impl Into<Arc<str>>) {
        self.cx.set_label(label);
    }

    /// Registers the server under a name.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn register(&mut self, name: &str) -> Result<(), RegisterError> {
        self.cx.register(name)
    }
}

impl<S: GenServer> fmt::Debug for Context<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({})", self.pid())
    }
}
