//! Connections that a handler takes over.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use linden::{Cx, Node, Task};
use linden_gateway::Limits;
use linden_gateway::axum::Router;
use linden_gateway::axum::body::Body;
use linden_gateway::axum::extract::Request;
use linden_gateway::axum::http::StatusCode;
use linden_gateway::axum::http::header::{CONNECTION, UPGRADE};
use linden_gateway::axum::response::Response;
use linden_gateway::axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::client::Client;
use crate::served::{labelled, serve, short, until, until_true};

/// Takes the connection over, to a process that sends back what it gets.
async fn echo(mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    linden::spawn(|_: Cx<()>| async move {
        let mut socket = TokioIo::new(upgrade.await.expect("the connection is handed over"));
        let mut bytes = [0; 64];
        while let Ok(read @ 1..) = socket.read(&mut bytes).await {
            socket.write_all(&bytes[..read]).await.expect("the client reads");
        }
    });
    switching()
}

fn switching() -> Response {
    let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    let response = response.header(CONNECTION, "upgrade").header(UPGRADE, "echo");
    response.body(Body::empty()).expect("the head is sound")
}

fn routes() -> Router {
    Router::new()
        .route("/echo", get(echo))
        .route("/refused", get(async || (StatusCode::FORBIDDEN, "no")))
        .route("/hello", get(async || "hello"))
}

fn upgrade(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
}

// proves: GATE-20
#[linden::test]
async fn a_handler_takes_its_connection_over_and_the_process_ends(node: Node) {
    let served = serve(routes(), short()).await;
    let mut client = Client::of(&served.gateway).await;
    // The first bytes of the new protocol may come with the request.
    client.send(upgrade("/echo") + "early").await;
    let response = client.head().await;
    assert_eq!((response.status, response.header("upgrade")), (101, Some("echo")));
    let label = format!("http/1.1 {} GET /echo", client.addr());
    // So none of the time limits holds any more.
    until_true(|| labelled(&node, &label).is_none()).await;
    assert_eq!(client.take(5).await, b"early");
    client.send("late").await;
    assert_eq!(client.take(4).await, b"late");
    assert_eq!(served.gateway.stats().connections_open, 1);
    drop(client);
    until(&served.gateway, |stats| stats.connections_open == 0).await;
    assert_eq!(served.gateway.stats().requests_abandoned, 0);
}

#[linden::test]
async fn an_upgrade_that_is_refused_is_a_response_like_any_other() {
    let served = serve(routes(), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    client.send(upgrade("/refused")).await;
    assert_eq!(client.response().await.status, 403);
    client.send(upgrade("/hello")).await;
    assert_eq!(client.response().await.text(), "hello");
    assert_eq!(served.gateway.stats().connections_accepted, 1);
}

// proves: GATE-20
#[linden::test]
async fn an_upgrade_during_a_drain_says_upgrade_and_not_close() {
    let (begun, may_answer) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (begins, waits) = (begun.clone(), may_answer.clone());
    let slow = async move |request: Request| {
        begins.add_permits(1);
        drop(waits.acquire().await);
        echo(request).await
    };
    let served = serve(Router::new().route("/slow", get(slow)), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    client.send(upgrade("/slow")).await;
    drop(begun.acquire().await);
    let gateway = served.gateway.clone();
    let drain = Task::spawn_unlinked(async move { gateway.drain(Duration::from_secs(60)).await });
    until_true(|| std::net::TcpStream::connect(served.gateway.local_addr()).is_err()).await;
    may_answer.add_permits(1);
    let response = client.head().await;
    assert_eq!((response.status, response.header("connection")), (101, Some("upgrade")));
    assert_eq!(drain.await.expect("the drain ends").cut, 0);
    client.send("on").await;
    assert_eq!(client.take(2).await, b"on");
}
