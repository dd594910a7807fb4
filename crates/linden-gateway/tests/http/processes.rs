//! Connections, acceptor and keeper as processes: seen, killed, restarted, limited.

use std::sync::Arc;

use linden::{Node, Pid, Reason};
use linden_gateway::Limits;
use linden_gateway::axum::Router;
use linden_gateway::axum::routing::get;
use tokio::sync::Semaphore;

use crate::client::{Client, get as get_of};
use crate::served::{Served, labelled, serve, until, until_true};

async fn hello() -> Served {
    serve(Router::new().route("/hello", get(async || "hello")), Limits::default()).await
}

fn acceptor(node: &Node, served: &Served) -> Option<Pid> {
    labelled(node, &format!("acceptor {}", served.gateway.local_addr()))
}

// proves: GATE-03
#[linden::test]
async fn a_connection_is_a_process_and_its_end_closes_the_socket(node: Node) {
    let served = hello().await;
    let mut client = Client::of(&served.gateway).await;
    let mut other = Client::of(&served.gateway).await;
    client.get("/hello").await;
    other.get("/hello").await;
    let pid =
        labelled(&node, &format!("http/1.1 {} GET /hello", client.addr())).expect("it is visible");
    let keeper = labelled(&node, &format!("connections of {}", served.gateway.local_addr()));
    let info = node.process_info(pid).await.expect("it lives");
    assert_eq!((info.row.parent, info.links), (keeper, vec![keeper.expect("it is visible")]));
    node.exit(pid, Reason::Kill);
    client.closed().await;
    assert_eq!(node.wait_exit(pid).await, Reason::NoProc);
    assert_eq!(other.get("/hello").await.text(), "hello");
    until(&served.gateway, |stats| stats.connections_open == 1).await;
}

// proves: GATE-08
#[linden::test]
async fn a_killed_acceptor_is_restarted_and_open_connections_go_on(node: Node) {
    let may_end = Arc::new(Semaphore::new(0));
    let (begun, end) = (Arc::new(Semaphore::new(0)), may_end.clone());
    let began = begun.clone();
    let slow = async move || {
        began.add_permits(1);
        end.acquire().await.map(|_| "slow").unwrap_or("shut")
    };
    let served = serve(Router::new().route("/slow", get(slow)), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    client.send(get_of("/slow")).await;
    drop(begun.acquire().await);
    for reason in [Reason::Kill, Reason::Shutdown, Reason::custom("crash")] {
        let first = acceptor(&node, &served).expect("it accepts");
        node.exit(first, reason);
        node.wait_exit(first).await;
        until_true(|| acceptor(&node, &served).is_some_and(|pid| pid != first)).await;
        // The same port.
        let mut late = Client::of(&served.gateway).await;
        late.send(get_of("/slow")).await;
    }
    may_end.add_permits(4);
    assert_eq!(client.response().await.text(), "slow");
    until(&served.gateway, |stats| stats.connections_accepted == 4).await;
}

#[linden::test]
async fn a_killed_keeper_takes_the_connections_and_new_ones_are_served(node: Node) {
    let served = hello().await;
    let mut client = Client::of(&served.gateway).await;
    client.get("/hello").await;
    let label = format!("connections of {}", served.gateway.local_addr());
    let keeper = labelled(&node, &label).expect("it is visible");
    node.exit(keeper, Reason::Kill);
    client.closed().await;
    until_true(|| labelled(&node, &label).is_some_and(|pid| pid != keeper)).await;
    assert_eq!(Client::of(&served.gateway).await.get("/hello").await.text(), "hello");
    until(&served.gateway, |stats| stats.connections_open <= 1).await;
}

#[linden::test]
async fn what_a_handler_is_linked_to_ends_its_connection_only(node: Node) {
    async fn crashing(_: linden::Cx<()>) {
        panic!("linked to a handler")
    }
    let crash = async || {
        linden::spawn_link(crashing);
        std::future::pending::<()>().await;
    };
    let router = Router::new().route("/crash", get(crash)).route("/hello", get(async || "hello"));
    let served = serve(router, Limits::default()).await;
    let mut other = Client::of(&served.gateway).await;
    assert_eq!(other.get("/hello").await.status, 200);
    let mut client = Client::of(&served.gateway).await;
    client.send(get_of("/crash")).await;
    client.closed().await;
    assert_eq!(other.get("/hello").await.status, 200);
    until(&served.gateway, |stats| stats.requests_abandoned == 1).await;
    assert!(acceptor(&node, &served).is_some());
}

// proves: GATE-09
#[linden::test]
async fn at_the_limit_newcomers_wait_until_a_connection_closes() {
    let limits = Limits { connections_max: 2, ..Limits::default() };
    let router = Router::new().route("/hello", get(async || "hello"));
    let served = serve(router, limits).await;
    let mut first = Client::of(&served.gateway).await;
    let mut second = Client::of(&served.gateway).await;
    first.get("/hello").await;
    second.get("/hello").await;
    let mut third = Client::of(&served.gateway).await;
    third.send(get_of("/hello")).await;
    for _ in 0..100 {
        assert_eq!(second.get("/hello").await.status, 200);
    }
    let stats = served.gateway.stats();
    assert_eq!((stats.connections_open, stats.connections_accepted), (2, 2));
    drop(first);
    assert_eq!(third.response().await.text(), "hello");
    let stats = served.gateway.stats();
    assert_eq!((stats.connections_open, stats.connections_accepted), (2, 3));
}

// proves: GATE-04
#[linden::test]
async fn a_thousand_idle_connections_hinder_nobody(node: Node) {
    raise_descriptors();
    let served = hello().await;
    let mut idle = Vec::new();
    for number in 0..1000 {
        let mut client = Client::of(&served.gateway).await;
        if number % 2 == 0 {
            client.get("/hello").await;
        }
        idle.push(client);
    }
    until(&served.gateway, |stats| stats.connections_open == 1000).await;
    let mut client = Client::of(&served.gateway).await;
    for _ in 0..100 {
        assert_eq!(client.get("/hello").await.text(), "hello");
    }
    assert!(node.process_count() > 1000);
    for client in &mut idle {
        assert_eq!(client.get("/hello").await.text(), "hello");
    }
    drop(idle);
    until(&served.gateway, |stats| stats.connections_open == 1).await;
}

/// Both ends of the sockets are of this OS process.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
