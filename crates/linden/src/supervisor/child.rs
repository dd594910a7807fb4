//! Child specs: what a supervisor starts, and how it treats it.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use linden_core::{
    Cx, IntoReason, MailboxLimit, MailboxPolicy, Message, Node, Pid, Priority, Reason,
    panic_reason, reply_channel,
};

use super::decision::{Restart, Shutdown, Spec, Terms};
use super::dynamic::DynamicSupervisor;
use super::spec::Supervisor;
use crate::error::StartError;
use crate::gen_server::serve::guard;
use crate::gen_server::{GenServer, Init, Link, await_start, spawn_server};

/// What a supervisor starts, and how it treats it. Made by [`child`], [`supervisor_child`], [`dynamic_child`] or
/// [`process_child`]; OTP source: child specification.
///
/// Defaults as OTP's: permanent; shutdown after 5 s for a worker, without limit for a supervisor; not significant.
#[derive(Clone)]
pub struct ChildSpec {
    id: Arc<str>,
    terms: Terms,
    name: NameChoice,
    start: Arc<dyn StartChild>,
}

/// Under which name a child is registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NameChoice {
    /// Its type's.
    Own,
    /// None.
    None,
    /// This one.
    Given(Box<str>),
}

/// A start on its way.
pub(super) type Starting<'a> = Pin<Box<dyn Future<Output = Result<Pid, StartError>> + Send + 'a>>;

/// A start whose panics are failures. SUP-18: the supervisor does not crash because a child's factory does.
pub(super) async fn guarded<'a>(start: impl FnOnce() -> Starting<'a>) -> Result<Pid, StartError> {
    let failed = |panic| StartError::Init(panic_reason(panic));
    let starting = catch_unwind(AssertUnwindSafe(start)).map_err(failed)?;
    guard(starting).await.map_err(failed)?
}

/// Starts one child, linked to the process that calls it. A factory: it can be called again and again.
pub(super) trait StartChild: Send + Sync {
    fn start<'a>(&'a self, name: &'a NameChoice, restarts: u32) -> Starting<'a>;
}

/// How a supervisor starts a child: the factory and the name.
#[derive(Clone)]
pub(super) struct Factory {
    pub(super) name: NameChoice,
    pub(super) start: Arc<dyn StartChild>,
}

impl ChildSpec {
    fn new(id: &str, terms: Terms, start: impl StartChild + 'static) -> Self {
        Self { id: id.into(), terms, name: NameChoice::Own, start: Arc::new(start) }
    }

    /// The child's id within its supervisor.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Restarted always. The default.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.terms.restart = Restart::Permanent;
        self
    }

    /// Restarted when it ends for a reason that is not orderly.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.terms.restart = Restart::Transient;
        self
    }

    /// Never restarted.
    #[must_use]
    pub fn temporary(mut self) -> Self {
        self.terms.restart = Restart::Temporary;
        self
    }

    /// How it is stopped: killed at once, told to shut down and killed after a time, or told and waited for.
    #[must_use]
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.terms.shutdown = shutdown;
        self
    }

    /// As [`ChildSpec::shutdown`], told to shut down and killed after `timeout`.
    #[must_use]
    pub fn shutdown_after(self, timeout: Duration) -> Self {
        self.shutdown(Shutdown::Timeout(timeout))
    }

    /// Its end counts for the supervisor's auto-shutdown. Not for a permanent child.
    #[must_use]
    pub fn significant(mut self) -> Self {
        self.terms.significant = true;
        self
    }

    /// At most so many messages wait for it, from its start on, and `policy` says what happens to more. A restarted child has
    /// the same limit. Without this its mailbox is unbounded, as in OTP.
    ///
    /// # Examples
    /// ```
    /// use linden::prelude::*;
    /// use linden::MailboxPolicy;
    ///
    /// # struct Ledger;
    /// # #[gen_server]
    /// # impl Ledger {}
    /// let ledger = child("ledger", || Ledger).max_mailbox(10_000, MailboxPolicy::Reject);
    /// let _tree = Supervisor::one_for_one().child(ledger);
    /// ```
    #[must_use]
    pub fn max_mailbox(mut self, messages_max: usize, policy: MailboxPolicy) -> Self {
        let limit = MailboxLimit { messages_max, policy };
        self.start = Arc::new(LimitedChild { start: self.start, limit });
        self
    }

    /// Gives the child's process another priority than normal, when it has started and again after each restart. Its own children
    /// begin as normal.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.start = Arc::new(PrioritizedChild { start: self.start, priority });
        self
    }

    /// Registers the child under this name in place of its type's.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = NameChoice::Given(name.into());
        self
    }

    /// Registers the child under no name.
    #[must_use]
    pub fn unnamed(mut self) -> Self {
        self.name = NameChoice::None;
        self
    }

    pub(super) fn into_spec(self) -> Spec<Factory> {
        let factory = Factory { name: self.name, start: self.start };
        Spec::new(self.id, self.terms, factory)
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}

/// A child whose priority is set when it has started.
struct PrioritizedChild {
    start: Arc<dyn StartChild>,
    priority: Priority,
}

impl StartChild for PrioritizedChild {
    fn start<'a>(&'a self, name: &'a NameChoice, restarts: u32) -> Starting<'a> {
        Box::pin(async move {
            let pid = self.start.start(name, restarts).await?;
            if let Some(node) = Node::current() {
                node.set_priority(pid, self.priority);
            }
            Ok(pid)
        })
    }
}

/// A child whose mailbox is limited when it has started.
struct LimitedChild {
    start: Arc<dyn StartChild>,
    limit: MailboxLimit,
}

impl StartChild for LimitedChild {
    fn start<'a>(&'a self, name: &'a NameChoice, restarts: u32) -> Starting<'a> {
        Box::pin(limited(self.start.start(name, restarts), self.limit))
    }
}

/// Starts a child of the process that runs here, and limits its mailbox.
pub(super) async fn limited(
    starting: impl Future<Output = Result<Pid, StartError>>,
    limit: MailboxLimit,
) -> Result<Pid, StartError> {
    let pid = starting.await?;
    if let Some(node) = Node::current() {
        node.limit_mailbox(pid, Some(limit));
    }
    Ok(pid)
}

/// A server as a child. `init` builds its state, in the new process, at each start; see [`Init`].
pub fn child<S, I, K>(id: &str, init: I) -> ChildSpec
where
    S: GenServer,
    I: Init<S, K> + Clone + Sync,
    K: 'static,
{
    ChildSpec::new(
        id,
        Terms::WORKER,
        ServerChild { init, types: std::marker::PhantomData::<fn() -> (S, K)> },
    )
}

struct ServerChild<S, I, K> {
    init: I,
    types: std::marker::PhantomData<fn() -> (S, K)>,
}

impl<S, I, K> StartChild for ServerChild<S, I, K>
where
    S: GenServer,
    I: Init<S, K> + Clone + Sync,
    K: 'static,
{
    fn start<'a>(&'a self, name: &'a NameChoice, restarts: u32) -> Starting<'a> {
        Box::pin(start_server(self.init.clone(), name, restarts))
    }
}

async fn start_server<S: GenServer, K: 'static>(
    init: impl Init<S, K>,
    name: &NameChoice,
    restarts: u32,
) -> Result<Pid, StartError> {
    let name = match name {
        NameChoice::Own => S::NAME.map(Into::into),
        NameChoice::None => None,
        NameChoice::Given(name) => Some(name.clone()),
    };
    let server = spawn_server::<S, K>(None, Link::Yes, name, restarts, init).await?;
    Ok(server.pid().expect("a local address has a pid"))
}

/// A supervisor as a child. `spec` is called at each start.
pub fn supervisor_child(
    id: &str,
    spec: impl Fn() -> Supervisor + Send + Sync + 'static,
) -> ChildSpec {
    ChildSpec::new(id, Terms::SUPERVISOR, SupervisorChild(spec))
}

struct SupervisorChild<F>(F);

impl<F: Fn() -> Supervisor + Send + Sync> StartChild for SupervisorChild<F> {
    fn start<'a>(&'a self, name: &'a NameChoice, _restarts: u32) -> Starting<'a> {
        Box::pin(async move {
            let supervisor = (self.0)().with_name(name).start_link().await?;
            Ok(supervisor.pid().expect("just started"))
        })
    }
}

/// A dynamic supervisor as a child. `spec` is called at each start.
pub fn dynamic_child<A, F>(id: &str, spec: F) -> ChildSpec
where
    A: Clone + Send + Sync + 'static,
    F: Fn() -> DynamicSupervisor<A> + Send + Sync + 'static,
{
    ChildSpec::new(id, Terms::SUPERVISOR, DynamicChild(spec))
}

struct DynamicChild<F>(F);

impl<A, F> StartChild for DynamicChild<F>
where
    A: Clone + Send + Sync + 'static,
    F: Fn() -> DynamicSupervisor<A> + Send + Sync,
{
    fn start<'a>(&'a self, name: &'a NameChoice, _restarts: u32) -> Starting<'a> {
        Box::pin(async move {
            let supervisor = (self.0)().with_name(name).start_link().await?;
            Ok(supervisor.pid().expect("just started"))
        })
    }
}

/// A plain process as a child: `body` gives its future at each start. It counts as started at once.
pub fn process_child<B, F>(id: &str, body: B) -> ChildSpec
where
    B: Fn(Cx<()>) -> F + Send + Sync + 'static,
    F: Future<Output: IntoReason> + Send + 'static,
{
    plain_child(id, Terms::WORKER, body)
}

/// A process of a behaviour as a child, registered under its id.
pub(crate) fn registered_child<M, B, F>(name: &str, body: B) -> ChildSpec
where
    M: Message,
    B: Fn(Cx<M>) -> F + Send + Sync + 'static,
    F: Future<Output: IntoReason> + Send + 'static,
{
    plain_child(name, Terms::SUPERVISOR, body).name(name)
}

fn plain_child<M, B, F>(id: &str, terms: Terms, body: B) -> ChildSpec
where
    M: Message,
    B: Fn(Cx<M>) -> F + Send + Sync + 'static,
    F: Future<Output: IntoReason> + Send + 'static,
{
    let start = ProcessChild { body, message: std::marker::PhantomData::<fn(M)> };
    ChildSpec::new(id, terms, start)
}

struct ProcessChild<B, M> {
    body: B,
    message: std::marker::PhantomData<fn(M)>,
}

impl<B, M, F> StartChild for ProcessChild<B, M>
where
    M: Message,
    B: Fn(Cx<M>) -> F + Send + Sync,
    F: Future<Output: IntoReason> + Send + 'static,
{
    fn start<'a>(&'a self, name: &'a NameChoice, _restarts: u32) -> Starting<'a> {
        Box::pin(async move {
            let NameChoice::Given(name) = name else {
                return Ok(linden_core::spawn_link(|cx| (self.body)(cx)).pid());
            };
            // SUP-13: it takes its name itself, before its body runs: one that ends at once has had it.
            let (started, waits) = reply_channel();
            let address = linden_core::spawn_link(|cx: Cx<M>| {
                let (node, pid, name) = (cx.node().clone(), cx.pid(), name.clone());
                let body = (self.body)(cx);
                async move {
                    if let Err(error) = node.register(&name, pid) {
                        started.send(Err(error.into()));
                        return Reason::Normal;
                    }
                    started.send(Ok(()));
                    body.await.into_reason()
                }
            });
            await_start(waits).await?;
            Ok(address.pid())
        })
    }
}
