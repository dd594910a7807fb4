//! The application controller: the process that starts applications in order, hears of their ends, and stops them in reverse.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use linden_core::{Cx, Info, Mail, Message, Pid, Reason, Reply, panic_reason};

use super::{AnyApplication, ApplicationKind, StartFunction};
use crate::error::BoxError;
use crate::gen_server::serve::guard;
use crate::supervisor::Supervisor;

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
#[derive(Debug)]
pub(crate) struct Down {
    pub(crate) application: &'static str,
    pub(crate) reason: Reason,
}

struct Running {
    application: Arc<dyn AnyApplication>,
    supervisor: Pid,
}

/// The future of the controller's process.
pub(crate) async fn control(mut cx: Cx<Request>, order: Order) -> Reason {
    cx.trap_exit(true);
    cx.set_label("application controller");
    if let Err(error) = cx.register(NAME) {
        let failure = BootFailure { application: NAME, cause: Box::new(error) };
        order.booted.send(Err(failure));
        return Reason::Normal;
    }
    let mut running: Vec<Running> = Vec::new();
    for (application, start_function) in order.applications {
        let name = application.name();
        match start(&cx, name, start_function).await {
            Ok(supervisor) => {
                tracing::info!(target: "linden::application", application = name, %supervisor, "application started");
                running.push(Running { application, supervisor });
            }
            Err(cause) => {
                stop_all(&mut cx, running, order.grace).await;
                let failure = BootFailure { application: name, cause };
                order.booted.send(Err(failure));
                return Reason::Normal;
            }
        }
    }
    order.booted.send(Ok(()));
    let mut down = Some(order.down);
    loop {
        match cx.recv().await {
            Mail::Msg(Request::Stop(done)) => {
                stop_all(&mut cx, running, order.grace).await;
                done.send(());
                return Reason::Normal;
            }
            Mail::Info(Info::Exit { from, reason }) => {
                if cx.is_told_by(from) {
                    stop_all(&mut cx, running, order.grace).await;
                    return reason;
                }
                let Some(place) = running.iter().position(|one| one.supervisor == from) else {
                    continue;
                };
                let ended = running.remove(place);
                after_end(&ended.application).await;
                if let Some(told) = judge(&ended, &reason).then(|| down.take()).flatten() {
                    told.send(Down { application: ended.application.name(), reason });
                }
            }
            Mail::Info(_) => {}
        }
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

/// Starts an application: its start function on a blocking thread, its supervision tree as part of its group.
async fn start(
    cx: &Cx<Request>,
    name: &str,
    start_function: StartFunction,
) -> Result<Pid, BoxError> {
    let given = tokio::task::spawn_blocking(move || {
        catch_unwind(AssertUnwindSafe(start_function))
            .unwrap_or_else(|panic| Err(panic_reason(panic).to_string().into()))
    })
    .await;
    let tree: Supervisor = given??;
    let group = cx.node().group(name);
    cx.set_group(group);
    let started = tree.start_link().await;
    cx.clear_group();
    Ok(started?.pid().expect("just started"))
}

/// Lets an application drain. APP-09: neither a panic nor a drain without end keeps the others from being stopped.
async fn prepare_stop(application: &Arc<dyn AnyApplication>, grace: Duration) {
    let name = application.name();
    let drain = async { guard(application.prepare_stop()).await.map_err(panic_reason) };
    match tokio::time::timeout(grace, drain).await {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => {
            tracing::error!(target: "linden::application", application = name, %reason, "drain failed");
        }
        Err(_) => {
            tracing::warn!(target: "linden::application", application = name, "drain not finished within the shutdown grace");
        }
    }
}

/// Runs an application's `stop`, which may block or panic.
async fn after_end(application: &Arc<dyn AnyApplication>) {
    let (name, of_thread) = (application.name(), application.clone());
    let stopped = tokio::task::spawn_blocking(move || {
        catch_unwind(AssertUnwindSafe(|| of_thread.stop())).map_err(panic_reason)
    });
    if let Ok(Err(reason)) = stopped.await {
        tracing::error!(target: "linden::application", application = name, %reason, "stop failed");
    }
}

async fn stop_all(cx: &mut Cx<Request>, mut running: Vec<Running>, grace: Duration) {
    while let Some(Running { application, supervisor }) = running.pop() {
        let name = application.name();
        prepare_stop(&application, grace).await;
        let shutdown = crate::supervisor::decision::Shutdown::Timeout(grace);
        let reason = crate::supervisor::stop_child(cx, supervisor, shutdown).await;
        after_end(&application).await;
        tracing::info!(target: "linden::application", application = name, %reason, "application stopped");
    }
}
