//! The process of a static supervisor: receives exits and requests, and takes the steps that the decision says.

use std::error::Error;
use std::fmt;

use linden_core::{
    Address, Call, CallError, Cx, Info, LocalPid, Mail, Message, Named, Node, Pid, Reason, Reply,
};

use super::child::{ChildSpec, Factory, guarded};
use super::decision::{
    ChildCounts, ChildRow, Children, DeleteChildError, Done, ExitCause, Exited, NotFound, Report,
    RestartChildError, Spec, StartChildError, Started, Step, StopVerdict, Terminate, TryAgain,
};
use super::intensity::Intensity;
use super::spec::{LastWords, Supervisor};
use super::stop_child::{exit_kind, stop_child};
use crate::error::{StartError, chain};
use crate::events::{self, Reporter, Subject};
use crate::report::SupervisorEvent;

/// What a supervisor is asked.
#[derive(Debug)]
pub(super) enum Request {
    WhichChildren(Reply<Vec<ChildRow<Pid>>>),
    CountChildren(Reply<ChildCounts>),
    Start(Box<ChildSpec>, Reply<Result<Pid, SupervisorError>>),
    Restart(Box<str>, Reply<Result<Pid, SupervisorError>>),
    Terminate(Box<str>, Reply<Result<(), SupervisorError>>),
    Delete(Box<str>, Reply<Result<(), SupervisorError>>),
    /// End in an orderly way; the reply hears when it is done.
    Stop(Reason, Reply<Reason>),
    /// A restart failed and is tried again, behind what was in the mailbox.
    TryAgain(TryAgain),
}

impl Message for Request {
    fn name(&self) -> &'static str {
        match self {
            Self::WhichChildren(_) => "which_children",
            Self::CountChildren(_) => "count_children",
            Self::Start(..) => "start_child",
            Self::Restart(..) => "restart_child",
            Self::Terminate(..) => "terminate_child",
            Self::Delete(..) => "delete_child",
            Self::Stop(..) => "(stop)",
            Self::TryAgain(_) => "(try again)",
        }
    }
}

/// Why a request to a supervisor failed. Nothing was changed, but for a start that failed after it began.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SupervisorError {
    /// There is no such child.
    NotFound,
    /// The child runs.
    Running,
    /// The supervisor is about to restart it.
    Restarting,
    /// A child with this id runs already.
    AlreadyStarted(Pid),
    /// A child with this id exists without a process: restart or delete it.
    AlreadyPresent,
    /// The spec makes no sense under this supervisor; the text says why.
    Spec(String),
    /// The child did not start.
    Start(StartError),
    /// The supervisor did not answer.
    Call(CallError),
}

impl fmt::Display for SupervisorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => {
                f.write_str("there is no such child; which_children lists those there are")
            }
            Self::Running => f.write_str("the child is running; terminate it first"),
            Self::Restarting => {
                f.write_str("the child is about to be restarted; wait for that, or terminate it")
            }
            Self::AlreadyStarted(pid) => write!(
                f,
                "a child with this id runs already, as {pid}; terminate and delete it, or take another id"
            ),
            Self::AlreadyPresent => f.write_str(
                "a child with this id is present without a process; restart or delete it",
            ),
            Self::Spec(detail) => f.write_str(detail),
            Self::Start(_) => f.write_str("the child did not start"),
            Self::Call(_) => f.write_str("the supervisor did not answer"),
        }
    }
}

impl Error for SupervisorError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Start(error) => Some(error),
            Self::Call(error) => Some(error),
            _ => None,
        }
    }
}

impl From<NotFound> for SupervisorError {
    fn from(_: NotFound) -> Self {
        Self::NotFound
    }
}

impl From<RestartChildError> for SupervisorError {
    fn from(error: RestartChildError) -> Self {
        match error {
            RestartChildError::Running => Self::Running,
            RestartChildError::Restarting => Self::Restarting,
            RestartChildError::NotFound => Self::NotFound,
        }
    }
}

impl From<DeleteChildError> for SupervisorError {
    fn from(error: DeleteChildError) -> Self {
        match error {
            DeleteChildError::Running => Self::Running,
            DeleteChildError::Restarting => Self::Restarting,
            DeleteChildError::NotFound => Self::NotFound,
        }
    }
}

/// A reference to a running supervisor.
#[derive(Clone, Debug)]
pub struct SupervisorRef(To);

#[derive(Clone, Debug)]
enum To {
    Address(Address<Request>),
    Name(Named<Request>),
}

impl SupervisorRef {
    pub(super) fn by_address(address: Address<Request>) -> Self {
        Self(To::Address(address))
    }

    /// Whatever supervisor has the name, now or later.
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

    fn call<R>(&self, request: impl FnOnce(Reply<R>) -> Request) -> Call<'_, R> {
        let call = match &self.0 {
            To::Address(address) => address.call(request),
            To::Name(named) => named.call(request),
        };
        // As OTP: a child may take any time to start or stop.
        call.no_timeout()
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(Reply<Result<T, SupervisorError>>) -> Request,
    ) -> Result<T, SupervisorError> {
        self.call(request).await.unwrap_or_else(|error| Err(SupervisorError::Call(error)))
    }

    /// The children, the last started first.
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

    /// Adds a child behind the others and starts it.
    ///
    /// # Errors
    /// [`SupervisorError`].
    pub async fn start_child(&self, child: ChildSpec) -> Result<Pid, SupervisorError> {
        self.ask(|reply| Request::Start(Box::new(child), reply)).await
    }

    /// Starts a child again that has no process.
    ///
    /// # Errors
    /// [`SupervisorError`].
    pub async fn restart_child(&self, id: &str) -> Result<Pid, SupervisorError> {
        self.ask(|reply| Request::Restart(id.into(), reply)).await
    }

    /// Stops a child; its spec stays, unless it is temporary.
    ///
    /// # Errors
    /// [`SupervisorError`].
    pub async fn terminate_child(&self, id: &str) -> Result<(), SupervisorError> {
        self.ask(|reply| Request::Terminate(id.into(), reply)).await
    }

    /// Deletes the spec of a child that has no process.
    ///
    /// # Errors
    /// [`SupervisorError`].
    pub async fn delete_child(&self, id: &str) -> Result<(), SupervisorError> {
        self.ask(|reply| Request::Delete(id.into(), reply)).await
    }

    /// Stops the supervisor: its children in reverse order, then itself with `reason`. Returns when it has ended.
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

/// The supervisor's state.
struct Process {
    cx: Cx<Request>,
    /// For reports, as the intensity.
    name: Option<Box<str>>,
    intensity: Intensity,
    /// Why the newest start failed.
    failure: Option<StartError>,
    /// How the child ended that ended last by itself, until another start fails.
    last_exit: Option<Reason>,
    last_words: Option<LastWords>,
}

/// A start, as reports and the child itself see it.
#[derive(Clone, Copy)]
struct Occasion {
    what: SupervisorEvent,
    /// How often the child will have been restarted.
    restarts: u64,
    restarts_in_period: u32,
}

impl Occasion {
    /// Asked for by a request.
    fn asked(restarts: u64) -> Self {
        Self { what: SupervisorEvent::Started, restarts, restarts_in_period: 0 }
    }
}

/// The future of a supervisor's process.
pub(super) async fn supervise(
    cx: Cx<Request>,
    spec: Supervisor,
    started: Reply<Result<(), StartError>>,
) -> Reason {
    cx.trap_exit(true);
    cx.set_label("supervisor");
    if let Some(name) = &spec.name
        && let Err(error) = cx.register(name)
    {
        started.send(Err(error.into()));
        return Reason::Normal;
    }
    let (name, intensity, last_words) = (spec.name, spec.policy.intensity, spec.last_words);
    let specs = spec.children.into_iter().map(ChildSpec::into_spec).collect();
    let mut children = match Children::new(spec.policy, specs) {
        Ok(children) => children,
        Err(error) => {
            release_name(&cx, name.as_deref());
            started.send(Err(error.into()));
            return Reason::Normal;
        }
    };
    let mut process = Process { cx, name, intensity, failure: None, last_exit: None, last_words };
    match process.take(children.boot()).await {
        Done::Exit(ExitCause::StartFailed { id }) => {
            let cause =
                Box::new(process.failure.take().unwrap_or(StartError::Init(Reason::NoProc)));
            let reason = Reason::shutdown_with(format!("child {id} did not start: {cause}"));
            release_name(&process.cx, process.name.as_deref());
            started.send(Err(StartError::Child { id, cause }));
            return reason;
        }
        Done::Exit(_) | Done::TryAgain(_) => unreachable!("a boot settles or fails"),
        Done::Settled => {}
    }
    started.send(Ok(()));
    process.run(&mut children).await
}

/// The name is free before the starter hears of the failure.
fn release_name(cx: &Cx<Request>, name: Option<&str>) {
    if let Some(name) = name {
        cx.node().unregister(name);
    }
}

impl Process {
    async fn run(&mut self, children: &mut Children<LocalPid, Factory>) -> Reason {
        loop {
            let done = match self.cx.recv().await {
                Mail::Info(Info::Exit { from, reason }) if self.cx.is_told_by(from) => {
                    let _ = self.take(children.shut_down()).await;
                    return reason;
                }
                Mail::Msg(Request::Stop(reason, done)) => {
                    self.cx.answer_at_exit(done);
                    let _ = self.take(children.shut_down()).await;
                    return reason;
                }
                Mail::Info(Info::Exit { from, reason }) => {
                    self.child_exited(children, from, &reason).await
                }
                Mail::Info(_) => Done::Settled,
                Mail::Msg(Request::TryAgain(token)) => {
                    let now = self.cx.node().uptime();
                    self.take(children.try_again(token, now)).await
                }
                Mail::Msg(request) => {
                    self.answer(children, request).await;
                    Done::Settled
                }
            };
            match done {
                Done::Settled => {}
                Done::TryAgain(token) => {
                    // To itself, so it cannot be refused.
                    let _ = self.cx.address().send(Request::TryAgain(token));
                }
                Done::Exit(_) => return Reason::Shutdown,
            }
        }
    }

    async fn child_exited(
        &mut self,
        children: &mut Children<LocalPid, Factory>,
        from: Pid,
        reason: &Reason,
    ) -> Done {
        if !has_ended(&self.cx, from) {
            return Done::Settled;
        }
        let now = self.cx.node().uptime();
        match children.child_exited(from.local(), exit_kind(reason), now) {
            Exited::NotAChild => Done::Settled,
            Exited::Child(exit) => {
                if exit.report == Report::Write {
                    let subject = Subject {
                        child: &exit.id,
                        pid: Some(from),
                        reason: Some(reason),
                        restarts_in_period: exit.restarts_in_period,
                    };
                    self.reporter().write(SupervisorEvent::Crashed, subject);
                }
                self.last_exit = Some(reason.clone());
                self.take(exit.step).await
            }
        }
    }

    fn reporter(&self) -> Reporter<'_> {
        let name = self.name.as_deref();
        Reporter { pid: self.cx.pid(), name, intensity: self.intensity }
    }

    /// Takes one step after the other.
    async fn take(&mut self, mut step: Step<'_, LocalPid, Factory>) -> Done {
        loop {
            step = match step {
                Step::Done(done) => return done,
                Step::Stop(stop) => {
                    let pid = stop.pid().on(self.cx.pid().node());
                    let reason = stop_child(&mut self.cx, pid, stop.spec().terms.shutdown).await;
                    let id = stop.spec().id.clone();
                    let (verdict, next) = stop.gone(exit_kind(&reason));
                    self.judge(verdict, &id, pid, &reason);
                    next
                }
                Step::Start(start) => {
                    let what = match start.is_restart() {
                        true => SupervisorEvent::Restarted,
                        false => SupervisorEvent::Started,
                    };
                    let occasion = Occasion {
                        what,
                        restarts: start.restarts(),
                        restarts_in_period: start.restarts_in_period(),
                    };
                    let started = self.start(start.spec(), occasion).await;
                    start.done(started)
                }
                Step::GiveUp(give_up) => {
                    self.report_end(give_up.cause(), give_up.restarts_in_period());
                    give_up.go_on()
                }
            };
        }
    }

    async fn start(&mut self, spec: &Spec<Factory>, occasion: Occasion) -> Started<LocalPid> {
        self.failure = None;
        let Occasion { what, restarts, restarts_in_period } = occasion;
        let restarts = u32::try_from(restarts).unwrap_or(u32::MAX);
        let Factory { name, start } = &spec.start;
        let subject = Subject { child: &spec.id, restarts_in_period, ..Subject::default() };
        match guarded(|| start.start(name, restarts)).await {
            Ok(pid) => {
                if restarts > 0 {
                    self.cx.node().note_restarts(pid, restarts);
                }
                self.reporter().write(what, Subject { pid: Some(pid), ..subject });
                Started::Running(pid.local())
            }
            Err(StartError::Ignored) => Started::Ignored,
            Err(error) => {
                events::start_failed(&self.reporter(), subject, &error);
                self.last_exit = None;
                self.failure = Some(error);
                Started::Failed
            }
        }
    }

    fn report_end(&self, cause: &ExitCause, restarts_in_period: u32) {
        let (what, child) = match cause {
            ExitCause::Intensity { id } => (SupervisorEvent::GaveUp, id),
            ExitCause::AutoShutdown { id } => (SupervisorEvent::AutoShutdown, id),
            // Reported as what it is; being asked is no news.
            ExitCause::StartFailed { .. } | ExitCause::Asked => return,
        };
        let failed_start = self.failure.as_ref().map(|error| chain(error));
        let reason: Option<&(dyn fmt::Display + Sync)> = match (&self.last_exit, &failed_start) {
            (Some(reason), _) => Some(reason),
            (None, Some(text)) => Some(text),
            (None, None) => None,
        };
        let subject = Subject { child, pid: None, reason, restarts_in_period };
        self.reporter().write(what, subject);
        if let (SupervisorEvent::GaveUp, Some(last_words)) = (what, &self.last_words) {
            // It gives up once.
            let _ = last_words.set(self.reporter().fill(what, subject));
        }
    }

    fn judge(&self, verdict: StopVerdict, child: &str, pid: Pid, reason: &Reason) {
        if verdict == StopVerdict::Otherwise {
            let subject =
                Subject { child, pid: Some(pid), reason: Some(reason), restarts_in_period: 0 };
            self.reporter().write(SupervisorEvent::StopFailed, subject);
        }
    }

    /// The newest failure, for whoever asked for the start.
    fn failure(&mut self) -> SupervisorError {
        SupervisorError::Start(self.failure.take().unwrap_or(StartError::Ignored))
    }

    async fn answer(&mut self, children: &mut Children<LocalPid, Factory>, request: Request) {
        let node = self.cx.pid().node();
        match request {
            Request::WhichChildren(reply) => {
                let rows = children.which_children();
                reply.send(rows.into_iter().map(|row| row.with_pid(|pid| pid.on(node))).collect());
            }
            Request::CountChildren(reply) => {
                let own = self.cx.node().clone();
                reply.send(children.count_children(|pid| own.is_alive(pid.on(node))));
            }
            Request::Start(child, reply) => {
                let answer = self.start_child(children, *child).await;
                reply.send(answer);
            }
            Request::Restart(id, reply) => {
                let answer = self.restart_child(children, &id).await;
                reply.send(answer);
            }
            Request::Terminate(id, reply) => {
                let answer = self.terminate_child(children, &id).await;
                reply.send(answer);
            }
            Request::Delete(id, reply) => {
                reply.send(children.delete_child(&id).map(drop).map_err(Into::into));
            }
            Request::Stop(..) | Request::TryAgain(_) => unreachable!("handled before"),
        }
    }

    async fn start_child(
        &mut self,
        children: &mut Children<LocalPid, Factory>,
        child: ChildSpec,
    ) -> Result<Pid, SupervisorError> {
        let node = self.cx.pid().node();
        let start = children.start_child(child.into_spec()).map_err(|error| match error {
            StartChildError::AlreadyStarted(pid) => SupervisorError::AlreadyStarted(pid.on(node)),
            StartChildError::AlreadyPresent => SupervisorError::AlreadyPresent,
            other => SupervisorError::Spec(chain(&other)),
        })?;
        let started = self.start(start.spec(), Occasion::asked(0)).await;
        start.done(started);
        match started {
            Started::Running(pid) => Ok(pid.on(node)),
            Started::Ignored | Started::Failed => Err(self.failure()),
        }
    }

    async fn restart_child(
        &mut self,
        children: &mut Children<LocalPid, Factory>,
        id: &str,
    ) -> Result<Pid, SupervisorError> {
        let start = children.restart_child(id)?;
        let occasion = Occasion::asked(start.restarts());
        let started = self.start(start.spec(), occasion).await;
        start.done(started);
        match started {
            Started::Running(pid) => Ok(pid.on(self.cx.pid().node())),
            Started::Ignored | Started::Failed => Err(self.failure()),
        }
    }

    async fn terminate_child(
        &mut self,
        children: &mut Children<LocalPid, Factory>,
        id: &str,
    ) -> Result<(), SupervisorError> {
        match children.terminate_child(id)? {
            Terminate::Done => {}
            Terminate::Stop(stop) => {
                let pid = stop.pid().on(self.cx.pid().node());
                let id = stop.spec().id.clone();
                let reason = stop_child(&mut self.cx, pid, stop.spec().terms.shutdown).await;
                let verdict = stop.gone(exit_kind(&reason));
                self.judge(verdict, &id, pid, &reason);
            }
        }
        Ok(())
    }
}

/// Whether an exit signal of `from` means that a process of this node has ended. SUP-19: one that lives has sent it by hand,
/// which is no news of a child (OTP takes it for the child's end).
pub(super) fn has_ended<M: Message>(cx: &Cx<M>, from: Pid) -> bool {
    from.node() == cx.pid().node() && !cx.node().is_alive(from)
}
