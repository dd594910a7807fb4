//! The application controller: the process that starts applications in order, hears of their ends, and stops them in reverse.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use linden_core::{Cx, Info, Mail, MailRef, Message, Pid, Reason, Reply, panic_reason};

use super::{AnyApplication, ApplicationKind, StartFunction};
use crate::error::BoxError;
use crate::gen_server::serve::guard;
use crate::report::SupervisorReport;
use crate::supervisor::{LastWords, stop_or_leave};
use crate::task::{Task, TaskError};

/// Under this name the controller is registered.
pub(crate) const NAME: &str = "application_controller";

/// An application that did not start.
#[derive(Debug)]
pub(crate) struct BootFailure {
    pub(crate) application: &'static str,
    pub(crate) cause: BoxError,
}

/// What the controller is asked.
#[derive(Debug)]
pub(crate) enum Request {
    /// Stop every application in reverse order, then end.
    Stop(Reply<()>),
}

impl Message for Request {
    fn name(&self) -> &'static str {
        "stop"
    }
}

/// What the controller is to start, and whom it tells.
pub(crate) struct Order {
    /// In boot order.
    pub(crate) applications: Vec<(Arc<dyn AnyApplication>, StartFunction)>,
    pub(crate) booted: Reply<Result<(), BootFailure>>,
    /// Told when an application's end means that of the node.
    pub(crate) down: Reply<Down>,
    pub(crate) grace: Duration,
}

/// An application ended, and the node must.
#[derive(Clone, Debug)]
pub(crate) struct Down {
    pub(crate) application: &'static str,
    pub(crate) reason: Reason,
    /// What its supervisor said when it gave up.
    pub(crate) gave_up: Option<Box<SupervisorReport>>,
}

struct Running {
    application: Arc<dyn AnyApplication>,
    supervisor: Pid,
    last_words: LastWords,
}

/// Why an application does not run.
enum NotStarted {
    Failed(BoxError),
    /// The node is to stop; whoever asked for it waits.
    Stopped(Reply<()>),
}

/// How long a killed process may take to end before the stop goes on without it.
const KILL_PATIENCE: Duration = Duration::from_secs(1);

/// The longest that stopping may take: each application drains, ends its tree and stops, and one more may be starting.
pub(crate) fn stop_time_max(applications: usize, grace: Duration) -> Duration {
    let each = grace.saturating_mul(3).saturating_add(KILL_PATIENCE);
    each.saturating_mul(u32::try_from(applications).unwrap_or(u32::MAX).saturating_add(1))
}

/// The future of the controller's process.
pub(crate) async fn control(mut cx: Cx<Request>, order: Order) -> Reason {
    cx.trap_exit(true);
    cx.set_label("application controller");
    let Order { applications, booted, down, grace } = order;
    if let Err(error) = cx.register(NAME) {
        booted.send(Err(BootFailure { application: NAME, cause: Box::new(error) }));
        return Reason::Normal;
    }
    let mut running: Vec<Running> = Vec::new();
    for (application, start_function) in applications {
        let name = application.name();
        match start(&mut cx, application, start_function, grace).await {
            Ok(one) => {
                tracing::info!(target: "linden::application", application = name, supervisor = %one.supervisor, "application started");
                running.push(one);
            }
            Err(NotStarted::Failed(cause)) => {
                stop_all(&mut cx, running, grace).await;
                booted.send(Err(BootFailure { application: name, cause }));
                return Reason::Normal;
            }
            Err(NotStarted::Stopped(done)) => {
                stop_all(&mut cx, running, grace).await;
                done.send(());
                return Reason::Normal;
            }
        }
    }
    booted.send(Ok(()));
    serve(cx, running, down, grace).await
}

/// Watches the applications, which all run, until the node stops.
async fn serve(
    mut cx: Cx<Request>,
    mut running: Vec<Running>,
    down: Reply<Down>,
    grace: Duration,
) -> Reason {
    let mut down = Some(down);
    loop {
        match cx.recv().await {
            Mail::Msg(Request::Stop(done)) => {
                stop_all(&mut cx, running, grace).await;
                done.send(());
                return Reason::Normal;
            }
            Mail::Info(Info::Exit { from, reason }) => {
                if cx.is_told_by(from) {
                    stop_all(&mut cx, running, grace).await;
                    return reason;
                }
                let Some(place) = running.iter().position(|one| one.supervisor == from) else {
                    continue;
                };
                let ended = running.remove(place);
                after_end(&ended.application, grace).await;
                if let Some(told) = judge(&ended, &reason).then(|| down.take()).flatten() {
                    told.send(ended.down(reason));
                    // APP-05: whoever booted the node may not be listening.
                    stop_all(&mut cx, std::mem::take(&mut running), grace).await;
                }
            }
            Mail::Info(_) => {}
        }
    }
}

impl Running {
    fn down(self, reason: Reason) -> Down {
        let gave_up = self.last_words.get().cloned().map(Box::new);
        Down { application: self.application.name(), reason, gave_up }
    }
}

/// Whether the application's end means that of the node.
fn judge(ended: &Running, reason: &Reason) -> bool {
    let application = ended.application.name();
    let node_stops = match ended.application.kind() {
        ApplicationKind::Permanent => true,
        // APP-05: any reason but `normal`, as in OTP; a tree that gave up ends with `shutdown`.
        ApplicationKind::Transient => *reason != Reason::Normal,
        ApplicationKind::Temporary => false,
    };
    if node_stops {
        tracing::error!(target: "linden::application", application, %reason, "application ended: the node stops");
    } else {
        tracing::warn!(target: "linden::application", application, %reason, "application ended");
    }
    node_stops
}

/// Starts an application: its start function on a blocking thread, its supervision tree as part of its group. APP-12: until it
/// runs the node may be told to stop.
async fn start(
    cx: &mut Cx<Request>,
    application: Arc<dyn AnyApplication>,
    start_function: StartFunction,
    grace: Duration,
) -> Result<Running, NotStarted> {
    let given = tokio::task::spawn_blocking(move || {
        catch_unwind(AssertUnwindSafe(start_function))
            .unwrap_or_else(|panic| Err(panic_reason(panic).to_string().into()))
    });
    let given = unless_stopped(cx, given).await.map_err(NotStarted::Stopped)?;
    let tree = given.unwrap_or_else(|error| Err(error.into())).map_err(NotStarted::Failed)?;
    let last_words = LastWords::default();
    cx.set_group(cx.node().group(application.name()));
    let (supervisor, starts) = tree.spawn_link(last_words.clone());
    cx.clear_group();
    match unless_stopped(cx, starts).await {
        Ok(Ok(())) => Ok(Running { application, supervisor, last_words }),
        Ok(Err(error)) => Err(NotStarted::Failed(error.into())),
        Err(done) => {
            stop_tree(cx, application.name(), supervisor, grace).await;
            Err(NotStarted::Stopped(done))
        }
    }
}

/// What `work` gives, unless somebody asks for the stop before.
async fn unless_stopped<T>(
    cx: &mut Cx<Request>,
    work: impl Future<Output = T>,
) -> Result<T, Reply<()>> {
    let is_request = |mail: MailRef<'_, Request>| matches!(mail, MailRef::Msg(Request::Stop(_)));
    tokio::select! {
        biased;
        value = work => Ok(value),
        mail = cx.recv_match(is_request) => match mail {
            Mail::Msg(Request::Stop(done)) => Err(done),
            Mail::Info(_) => unreachable!("a request was selected"),
        },
    }
}

/// Lets an application drain, as a process of its own. APP-09: neither a panic nor a drain without end keeps the others from
/// being stopped, and a drain that blocks its worker does not block the controller.
async fn prepare_stop(cx: &Cx<Request>, application: &Arc<dyn AnyApplication>, grace: Duration) {
    let (name, draining) = (application.name(), application.clone());
    cx.set_group(cx.node().group(name));
    let drain =
        Task::spawn_unlinked(
            async move { guard(draining.prepare_stop()).await.map_err(panic_reason) },
        );
    cx.clear_group();
    let pid = drain.pid();
    let drained = tokio::time::timeout(grace, drain).await;
    match drained.map(|drained| drained.unwrap_or_else(|TaskError(reason)| Err(reason))) {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => {
            tracing::error!(target: "linden::application", application = name, %reason, "drain failed");
        }
        Err(_) => {
            cx.exit(pid, Reason::Kill);
            tracing::warn!(target: "linden::application", application = name, "drain not finished within the shutdown grace");
        }
    }
}

/// Stops a supervision tree. APP-09: one that does not end within the grace is killed; one whose supervisor is stuck in code that
/// never awaits is left behind.
async fn stop_tree(cx: &mut Cx<Request>, name: &str, supervisor: Pid, grace: Duration) {
    match stop_or_leave(cx, supervisor, grace, KILL_PATIENCE).await {
        Some(reason) => {
            tracing::info!(target: "linden::application", application = name, %reason, "application stopped");
        }
        None => {
            tracing::error!(target: "linden::application", application = name, %supervisor, "the supervisor is stuck in code that never awaits and was left behind");
        }
    }
}

/// Runs an application's `stop`, which may block or panic. APP-09: one that does not return within the grace is left behind on its
/// thread.
async fn after_end(application: &Arc<dyn AnyApplication>, grace: Duration) {
    let (name, of_thread) = (application.name(), application.clone());
    let stopped = tokio::task::spawn_blocking(move || {
        catch_unwind(AssertUnwindSafe(|| of_thread.stop())).map_err(panic_reason)
    });
    match tokio::time::timeout(grace, stopped).await {
        Ok(Ok(Err(reason))) => {
            tracing::error!(target: "linden::application", application = name, %reason, "stop failed");
        }
        Ok(_) => {}
        Err(_) => {
            tracing::warn!(target: "linden::application", application = name, "stop not finished within the shutdown grace");
        }
    }
}

async fn stop_all(cx: &mut Cx<Request>, mut running: Vec<Running>, grace: Duration) {
    while let Some(Running { application, supervisor, .. }) = running.pop() {
        prepare_stop(cx, &application, grace).await;
        stop_tree(cx, application.name(), supervisor, grace).await;
        after_end(&application, grace).await;
    }
}
