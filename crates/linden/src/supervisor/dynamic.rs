//! Dynamic supervisors: children that are all alike and come and go at run time, a million if need be.
//!
//! OTP source: `simple_one_for_one`, Elixir's `DynamicSupervisor`. A child costs its pid and its arguments here.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use linden_core::{
    Address, Call, CallError, Cx, Info, LocalPid, Mail, MailRef, MailboxLimit, MailboxPolicy,
    Message, Named, Node, Pid, Reason, Reply, reply_channel, yield_now,
};

use super::child::{NameChoice, guarded, limited};
use super::decision::{
    AutoShutdown, ChildCounts, ChildRow, DynamicChildren, DynamicDone, DynamicExited, DynamicNext,
    DynamicTerminate, DynamicTryAgain, Liveness, Report, Restart, Shutdown, Started, StopVerdict,
    Terms,
};
use super::intensity::Intensity;
use super::process::{SupervisorError, has_ended};
use super::stop_child::{exit_kind, stop_child};
use crate::error::StartError;
use crate::events::{self, Reporter, Subject};
use crate::gen_server::{GenServer, Init, Link, spawn_server};
use crate::report::SupervisorEvent;

/// What children are called in reports: they have no ids.
const CHILD: &str = "(dynamic)";

/// The specification of a dynamic supervisor, whose children are started with arguments of type `A`.
///
/// The children are all alike, have no ids, and come and go at run time: one for each connection, account or job. One that
/// is restarted is built from the arguments that it was started with.
///
/// # Examples
/// ```
/// use linden::prelude::*;
///
/// struct Account {
///     owner: String,
/// }
///
/// #[gen_server]
/// impl Account {
///     #[call]
///     fn owner(&self) -> String {
///         self.owner.clone()
///     }
/// }
///
/// # let node = Node::start(linden::NodeOptions::default())?;
/// # node.block_on(async {
/// let accounts = DynamicSupervisor::<String>::new(|owner: &String| {
///     let owner = owner.clone();
///     move || Account { owner }
/// });
/// let accounts = accounts.transient().intensity(100, 1.secs()).start().await?;
///
/// let pid = accounts.start_child("ada".to_owned()).await?;
/// let account = ServerRef::<Account>::by_pid(&Node::current().expect("on a node"), pid);
/// let account = AccountClient::from(account.expect("it lives"));
/// assert_eq!(account.owner().await?, "ada");
///
/// accounts.terminate_child(pid).await?;
/// assert_eq!(accounts.count_children().await?.active, 0);
/// # Ok::<(), linden::BoxError>(())
/// # })?;
/// # node.stop(5.secs());
/// # Ok::<(), linden::BoxError>(())
/// ```
///
/// # When not to use this
/// For children that differ or depend on each other: [`super::Supervisor`]. For work that is done once: a
/// [`crate::TaskSupervisor`].
#[derive(Clone)]
pub struct DynamicSupervisor<A> {
    template: Arc<dyn Template<A>>,
    terms: Terms,
    intensity: Intensity,
    auto_shutdown: AutoShutdown,
    name: Option<Box<str>>,
}

type Starting = std::pin::Pin<Box<dyn Future<Output = Result<Pid, StartError>> + Send>>;

/// Starts a child from its arguments, linked to the process that calls it.
trait Template<A>: Send + Sync {
    fn start(&self, args: &A, restarts: u32) -> Starting;
}

struct ServerTemplate<T, S, K> {
    template: T,
    types: std::marker::PhantomData<fn() -> (S, K)>,
}

impl<A, T, I, S, K> Template<A> for ServerTemplate<T, S, K>
where
    T: Fn(&A) -> I + Send + Sync,
    I: Init<S, K>,
    S: GenServer,
    K: 'static,
{
    fn start(&self, args: &A, restarts: u32) -> Starting {
        let init = (self.template)(args);
        Box::pin(async move {
            let server = spawn_server::<S, K>(None, Link::Yes, None, restarts, init).await?;
            Ok(server.pid().expect("a local address has a pid"))
        })
    }
}

struct LimitedTemplate<A> {
    template: Arc<dyn Template<A>>,
    limit: MailboxLimit,
}

impl<A> Template<A> for LimitedTemplate<A> {
    fn start(&self, args: &A, restarts: u32) -> Starting {
        Box::pin(limited(self.template.start(args, restarts), self.limit))
    }
}

impl<A: Clone + Send + Sync + 'static> DynamicSupervisor<A> {
    /// Children are servers that `template` builds from their arguments: it gives what [`super::child`] takes as its `init`.
    /// They are registered under no name. Permanent by default; restarted with the arguments they had.
    pub fn new<S, I, K>(template: impl Fn(&A) -> I + Send + Sync + 'static) -> Self
    where
        S: GenServer,
        I: Init<S, K>,
        K: 'static,
    {
        Self {
            template: Arc::new(ServerTemplate {
                template,
                types: std::marker::PhantomData::<fn() -> (S, K)>,
            }),
            terms: Terms::WORKER,
            intensity: Intensity::default(),
            auto_shutdown: AutoShutdown::Never,
            name: None,
        }
    }

    /// Children are restarted when they end for a reason that is not orderly.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.terms.restart = Restart::Transient;
        self
    }

    /// Children are never restarted, and their arguments not kept.
    #[must_use]
    pub fn temporary(mut self) -> Self {
        self.terms.restart = Restart::Temporary;
        self
    }

    /// How children are stopped.
    #[must_use]
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.terms.shutdown = shutdown;
        self
    }

    /// The end of a child counts for [`DynamicSupervisor::auto_shutdown`]. Not for permanent children.
    #[must_use]
    pub fn significant(mut self) -> Self {
        self.terms.significant = true;
        self
    }

    /// Whether the end of significant children ends the supervisor.
    #[must_use]
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.auto_shutdown = auto_shutdown;
        self
    }

    /// At most so many messages wait for each child, and `policy` says what happens to more; see
    /// [`super::ChildSpec::max_mailbox`].
    #[must_use]
    pub fn max_mailbox(mut self, messages_max: usize, policy: MailboxPolicy) -> Self {
        let limit = MailboxLimit { messages_max, policy };
        self.template = Arc::new(LimitedTemplate { template: self.template, limit });
        self
    }

    /// How many restarts within `period` are allowed; one more, and the supervisor stops its children and exits.
    #[must_use]
    pub fn intensity(mut self, restarts_max: u32, period: Duration) -> Self {
        self.intensity = Intensity { restarts_max, period };
        self
    }

    /// Registers the supervisor under a name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(super) fn with_name(mut self, choice: &NameChoice) -> Self {
        match choice {
            NameChoice::Own => {}
            NameChoice::None => self.name = None,
            NameChoice::Given(name) => self.name = Some(name.clone()),
        }
        self
    }

    /// Starts the supervisor on the current node, without children.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Panics
    /// Outside of every node.
    pub async fn start(&self) -> Result<DynamicRef<A>, StartError> {
        let (started, waits) = reply_channel();
        let spec = self.clone();
        let address = linden_core::spawn(|cx| supervise(cx, spec, started));
        crate::gen_server::await_start(waits).await?;
        Ok(DynamicRef(To::Address(address)))
    }

    /// As [`DynamicSupervisor::start`], linked to the process that calls it.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Panics
    /// Outside of every process.
    pub async fn start_link(&self) -> Result<DynamicRef<A>, StartError> {
        let (started, waits) = reply_channel();
        let spec = self.clone();
        let address = linden_core::spawn_link(|cx| supervise(cx, spec, started));
        crate::gen_server::await_start(waits).await?;
        Ok(DynamicRef(To::Address(address)))
    }
}

impl<A> fmt::Debug for DynamicSupervisor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicSupervisor").field("terms", &self.terms).finish_non_exhaustive()
    }
}

/// What a dynamic supervisor is asked.
enum Request<A> {
    Start(A, Reply<Result<Pid, SupervisorError>>),
    Terminate(Pid, Reply<Result<(), SupervisorError>>),
    WhichChildren(Reply<Vec<ChildRow<Pid>>>),
    CountChildren(Reply<ChildCounts>),
    Stop(Reason, Reply<Reason>),
    TryAgain(DynamicTryAgain<LocalPid>),
}

impl<A: Send + 'static> Message for Request<A> {
    fn name(&self) -> &'static str {
        match self {
            Self::Start(..) => "start_child",
            Self::Terminate(..) => "terminate_child",
            Self::WhichChildren(_) => "which_children",
            Self::CountChildren(_) => "count_children",
            Self::Stop(..) => "(stop)",
            Self::TryAgain(_) => "(try again)",
        }
    }
}

/// A reference to a running dynamic supervisor.
pub struct DynamicRef<A>(To<A>);

enum To<A> {
    Address(Address<Request<A>>),
    Name(Named<Request<A>>),
}

impl<A: Send + 'static> DynamicRef<A> {
    /// Whatever dynamic supervisor with these arguments has the name, now or later.
    #[must_use]
    pub fn by_name(node: &Node, name: &str) -> Self {
        Self(To::Name(node.named(name)))
    }

    /// The supervisor's pid; `None` when nobody has the name.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        match &self.0 {
            To::Address(address) => address.try_pid(),
            To::Name(named) => named.pid(),
        }
    }

    fn call<R>(&self, request: impl FnOnce(Reply<R>) -> Request<A>) -> Call<'_, R> {
        let call = match &self.0 {
            To::Address(address) => address.call(request),
            To::Name(named) => named.call(request),
        };
        call.no_timeout()
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(Reply<Result<T, SupervisorError>>) -> Request<A>,
    ) -> Result<T, SupervisorError> {
        self.call(request).await.unwrap_or_else(|error| Err(SupervisorError::Call(error)))
    }

    /// Starts a child and waits until its init is through.
    ///
    /// # Errors
    /// [`SupervisorError`]; nothing is left running.
    pub async fn start_child(&self, args: A) -> Result<Pid, SupervisorError> {
        self.ask(|reply| Request::Start(args, reply)).await
    }

    /// Stops a child, which is forgotten.
    ///
    /// # Errors
    /// The process lives and is no child of this supervisor.
    pub async fn terminate_child(&self, pid: Pid) -> Result<(), SupervisorError> {
        self.ask(|reply| Request::Terminate(pid, reply)).await
    }

    /// The children, in no order. For people: as many lines as there are children.
    ///
    /// # Errors
    /// The supervisor does not live.
    pub async fn which_children(&self) -> Result<Vec<ChildRow<Pid>>, CallError> {
        self.call(Request::WhichChildren).await
    }

    /// Counts the children.
    ///
    /// # Errors
    /// The supervisor does not live.
    pub async fn count_children(&self) -> Result<ChildCounts, CallError> {
        self.call(Request::CountChildren).await
    }

    /// Stops all children at once, then the supervisor with `reason`. Returns when it has ended.
    ///
    /// # Errors
    /// The supervisor does not live.
    pub async fn stop(&self, reason: Reason) -> Result<(), CallError> {
        match self.call(|done| Request::Stop(reason, done)).await {
            Ok(_) | Err(CallError::Exited(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl<A> Clone for DynamicRef<A> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            To::Address(address) => To::Address(address.clone()),
            To::Name(named) => To::Name(named.clone()),
        })
    }
}

impl<A: Send + 'static> fmt::Debug for DynamicRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            To::Address(address) => fmt::Debug::fmt(address, f),
            To::Name(named) => fmt::Debug::fmt(named, f),
        }
    }
}

/// The supervisor's state.
struct Process<A: Send + 'static> {
    cx: Cx<Request<A>>,
    template: Arc<dyn Template<A>>,
    children: DynamicChildren<LocalPid, A>,
    /// How often a running child was restarted, for those that were: for their crash reports.
    restarts: HashMap<LocalPid, u32>,
    /// For reports, as the intensity.
    name: Option<Box<str>>,
    intensity: Intensity,
}

/// The future of a dynamic supervisor's process.
async fn supervise<A: Clone + Send + Sync + 'static>(
    cx: Cx<Request<A>>,
    spec: DynamicSupervisor<A>,
    started: Reply<Result<(), StartError>>,
) -> Reason {
    cx.trap_exit(true);
    cx.set_label("dynamic supervisor");
    if let Some(name) = &spec.name
        && let Err(error) = cx.register(name)
    {
        started.send(Err(error.into()));
        return Reason::Normal;
    }
    let children = match DynamicChildren::new(spec.terms, spec.intensity, spec.auto_shutdown) {
        Ok(children) => children,
        Err(error) => {
            if let Some(name) = &spec.name {
                cx.node().unregister(name);
            }
            started.send(Err(error.into()));
            return Reason::Normal;
        }
    };
    started.send(Ok(()));
    let DynamicSupervisor { template, name, intensity, .. } = spec;
    let restarts = HashMap::new();
    let mut process = Process { cx, template, children, restarts, name, intensity };
    let (reason, done) = process.run().await;
    if let Some(done) = done {
        process.cx.answer_at_exit(done);
    }
    process.stop_all().await;
    reason
}

impl<A: Clone + Send + Sync + 'static> Process<A> {
    /// Serves until it is to end; why, and who asked for it.
    async fn run(&mut self) -> (Reason, Option<Reply<Reason>>) {
        loop {
            let done = match self.cx.recv().await {
                Mail::Info(Info::Exit { from, reason }) if self.cx.is_told_by(from) => {
                    return (reason, None);
                }
                Mail::Msg(Request::Stop(reason, done)) => return (reason, Some(done)),
                Mail::Info(Info::Exit { from, reason }) => self.child_exited(from, &reason).await,
                Mail::Info(_) => DynamicDone::Settled,
                Mail::Msg(Request::TryAgain(token)) => {
                    let now = self.cx.node().uptime();
                    let next = self.children.try_again(token, now);
                    let reporter = reporter(&self.cx, self.name.as_deref(), self.intensity);
                    restart(reporter, &self.template, &mut self.restarts, next).await
                }
                Mail::Msg(request) => {
                    self.answer(request).await;
                    DynamicDone::Settled
                }
            };
            match done {
                DynamicDone::Settled => {}
                // To itself, so it cannot be refused.
                DynamicDone::TryAgain(token) => {
                    drop(self.cx.address().send(Request::TryAgain(token)))
                }
                DynamicDone::GiveUp => {
                    let restarts_in_period = self.children.restarts_in_period();
                    let subject = Subject { restarts_in_period, ..SOME_CHILD };
                    self.reporter().write(SupervisorEvent::GaveUp, subject);
                    return (Reason::Shutdown, None);
                }
                DynamicDone::AutoShutdown => {
                    self.reporter().write(SupervisorEvent::AutoShutdown, SOME_CHILD);
                    return (Reason::Shutdown, None);
                }
            }
        }
    }

    async fn child_exited(&mut self, from: Pid, reason: &Reason) -> DynamicDone<LocalPid> {
        if !has_ended(&self.cx, from) {
            return DynamicDone::Settled;
        }
        let now = self.cx.node().uptime();
        let reporter = reporter(&self.cx, self.name.as_deref(), self.intensity);
        match self.children.child_exited(from.local(), exit_kind(reason), now) {
            DynamicExited::NotAChild => DynamicDone::Settled,
            DynamicExited::Child(exit) => {
                if exit.report == Report::Write {
                    let restarts_in_period = exit.restarts_in_period;
                    let (pid, reason) = (Some(from), Some(reason as &(dyn fmt::Display + Sync)));
                    let subject = Subject { pid, reason, restarts_in_period, ..SOME_CHILD };
                    reporter.write(SupervisorEvent::Crashed, subject);
                }
                if let DynamicNext::Done(_) = &exit.next {
                    self.restarts.remove(&from.local());
                }
                restart(reporter, &self.template, &mut self.restarts, exit.next).await
            }
        }
    }

    fn reporter(&self) -> Reporter<'_> {
        reporter(&self.cx, self.name.as_deref(), self.intensity)
    }

    async fn answer(&mut self, request: Request<A>) {
        let node = self.cx.pid().node();
        match request {
            Request::Start(args, reply) => {
                let started = guarded(|| self.template.start(&args, 0)).await;
                if let Ok(pid) = &started {
                    self.reporter()
                        .write(SupervisorEvent::Started, Subject { pid: Some(*pid), ..SOME_CHILD });
                    self.children.started(pid.local(), args);
                }
                reply.send(started.map_err(SupervisorError::Start));
            }
            Request::Terminate(pid, reply) => {
                let answer = self.terminate(pid).await;
                reply.send(answer);
            }
            Request::WhichChildren(reply) => {
                let rows = self.children.which_children();
                reply.send(rows.map(|row| row.with_pid(|pid| pid.on(node))).collect());
            }
            Request::CountChildren(reply) => {
                reply.send(self.children.count_children());
            }
            Request::Stop(..) | Request::TryAgain(_) => unreachable!("handled before"),
        }
    }

    async fn terminate(&mut self, pid: Pid) -> Result<(), SupervisorError> {
        let node = self.cx.node().clone();
        if pid.node() != node.id() {
            return Err(SupervisorError::NotFound);
        }
        self.restarts.remove(&pid.local());
        let liveness = |local: LocalPid| match node.is_alive(local.on(node.id())) {
            true => Liveness::Alive,
            false => Liveness::Gone,
        };
        match self.children.terminate_child(pid.local(), liveness) {
            DynamicTerminate::Stop(_) => {
                let terms = self.children.terms();
                let reason = stop_child(&mut self.cx, pid, terms.shutdown).await;
                if terms.judge_stop(exit_kind(&reason)) == StopVerdict::Otherwise {
                    self.report_stop(pid, &reason);
                }
                Ok(())
            }
            DynamicTerminate::Done => Ok(()),
            DynamicTerminate::NotFound => Err(SupervisorError::NotFound),
        }
    }

    fn report_stop(&self, pid: Pid, reason: &Reason) {
        let subject = Subject { pid: Some(pid), reason: Some(reason), ..SOME_CHILD };
        self.reporter().write(SupervisorEvent::StopFailed, subject);
    }

    /// SUP-16: stops all children at once: asked together, killed together when the time is up. Requests wait meanwhile, so that
    /// their callers hear of the supervisor's end when it has come.
    ///
    /// SUP-21: each is monitored for it, so that one that took its link down is waited for as well.
    async fn stop_all(mut self) {
        let none = DynamicChildren::new(Terms::WORKER, self.intensity, AutoShutdown::Never)
            .expect("the intensity was checked");
        let mut draining = std::mem::replace(&mut self.children, none).shut_down();
        let (node, shutdown) = (self.cx.pid().node(), draining.terms().shutdown);
        let reason = if shutdown == Shutdown::Brutal { Reason::Kill } else { Reason::Shutdown };
        for (told, pid) in draining.waiting().enumerate() {
            self.cx.monitor(pid.on(node));
            self.cx.exit(pid.on(node), reason.clone());
            let_others_run(told).await;
        }
        let mut limit = match shutdown {
            Shutdown::Timeout(timeout) => Some(self.cx.node().uptime().saturating_add(timeout)),
            Shutdown::Brutal | Shutdown::Infinity => None,
        };
        while !draining.is_done() {
            let mail = match limit {
                None => Some(self.cx.recv_match(is_news).await),
                Some(end) => {
                    let left = end.saturating_sub(self.cx.node().uptime());
                    self.cx.recv_match_timeout(left, is_news).await
                }
            };
            match mail {
                // The link speaks before the monitor, and also of an end that came before this.
                Some(Mail::Info(
                    Info::Exit { from: pid, reason } | Info::Down { pid, reason, .. },
                )) => {
                    let verdict = has_ended(&self.cx, pid)
                        .then(|| draining.gone(pid.local(), exit_kind(&reason)));
                    if verdict.flatten() == Some(StopVerdict::Otherwise) {
                        self.report_stop(pid, &reason);
                    }
                }
                Some(_) => {}
                None => {
                    for (told, pid) in draining.waiting().enumerate() {
                        self.cx.exit(pid.on(node), Reason::Kill);
                        let_others_run(told).await;
                    }
                    limit = None;
                }
            }
        }
    }
}

/// Children that are told before others get their turn.
const TOLD_AT_ONCE: usize = 256;

/// One more child was told: lets others run, if they were many.
async fn let_others_run(told: usize) {
    if (told + 1).is_multiple_of(TOLD_AT_ONCE) {
        yield_now().await;
    }
}

/// A child in a report: it has no id.
const SOME_CHILD: Subject<'static> =
    Subject { child: CHILD, pid: None, reason: None, restarts_in_period: 0 };

fn is_news<M>(mail: MailRef<'_, M>) -> bool {
    matches!(mail, MailRef::Info(_))
}

fn reporter<'a, A: Send + 'static>(
    cx: &Cx<Request<A>>,
    name: Option<&'a str>,
    intensity: Intensity,
) -> Reporter<'a> {
    Reporter { pid: cx.pid(), name, intensity }
}

async fn restart<A: Send + Sync + 'static>(
    reporter: Reporter<'_>,
    template: &Arc<dyn Template<A>>,
    restarts: &mut HashMap<LocalPid, u32>,
    next: DynamicNext<'_, LocalPid, A>,
) -> DynamicDone<LocalPid> {
    let restart = match next {
        DynamicNext::Done(done) => return done,
        DynamicNext::Restart(restart) => restart,
    };
    let count = restarts.get(&restart.last_pid()).map_or(1, |count| count.saturating_add(1));
    let subject = Subject { restarts_in_period: restart.restarts_in_period(), ..SOME_CHILD };
    let started = match guarded(|| template.start(restart.args(), count)).await {
        Ok(pid) => {
            reporter.write(SupervisorEvent::Restarted, Subject { pid: Some(pid), ..subject });
            restarts.remove(&restart.last_pid());
            restarts.insert(pid.local(), count);
            if let Some(node) = Node::current() {
                node.note_restarts(pid, count);
            }
            Started::Running(pid.local())
        }
        Err(StartError::Ignored) => {
            restarts.remove(&restart.last_pid());
            Started::Ignored
        }
        Err(error) => {
            events::start_failed(&reporter, subject, &error);
            Started::Failed
        }
    };
    restart.done(started)
}
