//! A gateway under a supervisor, on the node of the test.

use std::time::Duration;

use linden::{Node, Pid, Supervisor, SupervisorRef};
use linden_gateway::axum::Router;
use linden_gateway::{Gateway, GatewayStats, Limits};

/// A running gateway.
pub(crate) struct Served {
    pub(crate) gateway: Gateway,
    pub(crate) supervisor: SupervisorRef,
}

/// Serves the routes with these limits.
pub(crate) async fn serve(router: Router, limits: Limits) -> Served {
    let addr = "127.0.0.1:0".parse().expect("an address");
    let gateway = Gateway::bind(addr, router, limits).expect("a free port");
    let supervisor = Supervisor::one_for_one().child(gateway.child());
    let supervisor = supervisor.start().await.expect("the gateway starts");
    Served { gateway, supervisor }
}

/// Limits whose time limits are short enough to be reached by a test, and far enough apart to be told apart.
pub(crate) fn short() -> Limits {
    Limits {
        header_timeout: Duration::from_millis(200),
        request_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(200),
        ..Limits::default()
    }
}

/// The process with this label.
pub(crate) fn labelled(node: &Node, label: &str) -> Option<Pid> {
    let mut rows = node.processes().into_iter();
    rows.find(|row| row.label.as_deref() == Some(label)).map(|row| row.pid)
}

/// Lets the node work until the gateway's counts are as wanted.
pub(crate) async fn until(gateway: &Gateway, wanted: impl Fn(GatewayStats) -> bool) {
    until_true(|| wanted(gateway.stats())).await;
}

/// Looks again and again, each time after others had their turn.
pub(crate) async fn until_true(wanted: impl Fn() -> bool) {
    while !wanted() {
        turn().await;
    }
}

/// Gives the processor away once.
pub(crate) async fn turn() {
    std::thread::yield_now();
    let mut turned = false;
    std::future::poll_fn(|task| {
        if std::mem::replace(&mut turned, true) {
            return std::task::Poll::Ready(());
        }
        task.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
