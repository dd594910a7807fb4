//! Requests that go well, those whose handler or service does not, and what the log and the counts say of them.

use std::collections::HashMap;

use linden::prelude::*;
use linden_gateway::axum::extract::{Path, Query};
use linden_gateway::axum::http::StatusCode;
use linden_gateway::axum::routing::{get, post};
use linden_gateway::axum::{Json, Router};
use linden_gateway::{Limits, PeerAddr, ServiceError};

use crate::client::{self, Client};
use crate::served::{serve, until};
use crate::services::{Answer, Clerk};
use crate::{log, served};

async fn add(Json((a, b)): Json<(u64, u64)>) -> Json<u64> {
    Json(a + b)
}

async fn query(Query(query): Query<HashMap<String, String>>) -> String {
    query["q"].clone()
}

fn routes() -> Router {
    Router::new()
        .route(
            "/hello/{name}",
            get(|Path(name): Path<String>| async move { format!("hello {name}") }),
        )
        .route("/query", get(query))
        .route("/add", post(add))
        .route("/peer", get(|PeerAddr(peer): PeerAddr| async move { peer.to_string() }))
        .route("/panic", get(async || -> String { panic!("a secret of the handler") }))
        .nest(
            "/deep",
            Router::new().route("/{x}/panic", get(async || -> String { panic!("deep") })),
        )
}

#[linden::test]
async fn routes_answer() {
    let served = serve(routes(), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    assert_eq!(client.get("/hello/ada").await.text(), "hello ada");
    assert_eq!(client.get("/query?q=a%20b").await.text(), "a b");
    assert_eq!(client.post("/add", "[2, 3]").await.text(), "5");
    assert_eq!(client.get("/nowhere").await.status, 404);
    assert_eq!(client.post("/query", "").await.status, 405);
    let peer = client.addr().to_string();
    assert_eq!(client.get("/peer").await.text(), peer);
    client.send("HEAD /hello/ada HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("9")));
    assert_eq!(client.get("/hello/again").await.text(), "hello again");
    let stats = served.gateway.stats();
    assert_eq!((stats.connections_accepted, stats.connections_open), (1, 1));
    assert_eq!(stats.requests_served, 8);
}

#[linden::test]
async fn requests_in_one_go_are_answered_in_order() {
    let served = serve(routes(), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    let names: Vec<String> = (0..50).map(|number| format!("/hello/{number}")).collect();
    let requests: String = names.iter().map(|path| client::get(path)).collect();
    client.send(requests).await;
    for number in 0..50 {
        assert_eq!(client.response().await.text(), format!("hello {number}"));
    }
}

#[linden::test]
async fn a_client_may_ask_for_one_response_only() {
    let served = serve(routes(), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    client.send("GET /hello/ada HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!((response.text(), response.closes()), ("hello ada", true));
    client.closed().await;
    let mut old = Client::of(&served.gateway).await;
    old.send("GET /hello/ada HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.response().await.text(), "hello ada");
    old.closed().await;
    until(&served.gateway, |stats| stats.connections_open == 0).await;
}

// proves: GATE-01
#[linden::test]
async fn a_panic_costs_one_request_a_500_and_the_connection_goes_on() {
    log::keep();
    let served = serve(routes(), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    let requests = [client::get("/deep/log-of-a-panic/panic"), client::get("/hello/after")];
    client.send(requests.concat()).await;
    let response = client.response().await;
    assert_eq!(response.status, 500);
    assert_eq!(response.text(), r#"{"error":"internal_error"}"#);
    assert_eq!(client.response().await.text(), "hello after");
    assert_eq!(client.get("/panic").await.status, 500);
    assert_eq!(client.get("/hello/again").await.text(), "hello again");
    let stats = served.gateway.stats();
    assert_eq!((stats.handler_panics, stats.connections_accepted), (2, 1));
    let lines = log::lines_with("/deep/log-of-a-panic/panic");
    let panics: Vec<_> = lines.iter().filter(|line| line.starts_with("ERROR")).collect();
    assert_eq!(panics.len(), 1, "{lines:?}");
    for part in ["linden::gateway ", "route=\"/deep/{x}/panic\"", "panic=\"deep\"", "method=GET"] {
        assert!(panics[0].contains(part), "{part}: {}", panics[0]);
    }
}

/// Routes that call the clerk, whoever that is now.
fn to_clerk(node: &Node) -> Router {
    let clerk: ServerRef<Clerk> = ServerRef::by_name(node, "clerk");
    let clerk = crate::services::client(clerk);
    let (crashing, waiting) = (clerk.clone(), clerk.clone());
    Router::new()
        .route("/greet", get(async move || -> Answer { Ok(clerk.greet("ada".to_owned()).await?) }))
        .route("/crash", get(async move || -> Answer { Ok(crashing.crash().await?) }))
        .route(
            "/wait",
            get(async move || -> Answer { Ok(waiting.keep_waiting().timeout(20.ms()).await?) }),
        )
}

// proves: GATE-02
#[linden::test]
async fn a_service_that_does_not_answer_is_a_503_to_try_again(node: Node) {
    let served = serve(to_clerk(&node), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    let unavailable = |response: &client::Response, cause: &str| {
        assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
        assert_eq!(response.header("content-type"), Some("application/json"));
        let body = format!(r#"{{"error":"service_unavailable","cause":"{cause}"}}"#);
        assert_eq!(response.text(), body);
    };
    unavailable(&client.get("/greet").await, "not_running");

    let clerks = Supervisor::one_for_one().child(child("clerk", Clerk::default).name("clerk"));
    clerks.start().await.expect("the clerk starts");
    assert_eq!(client.get("/greet").await.text(), "hello ada");
    unavailable(&client.get("/wait").await, "timeout");
    unavailable(&client.get("/crash").await, "ended");
    // The supervisor restarts it.
    while client.get("/greet").await.status != 200 {}
    assert_eq!(served.gateway.stats().connections_accepted, 1);
}

#[linden::test]
async fn what_a_call_says_decides_on_the_status() {
    let table = [
        (CallError::NoProc, 503),
        (CallError::Exited(Reason::Killed), 503),
        (CallError::Overloaded, 503),
        (CallError::Timeout, 503),
        (CallError::SelfCall, 500),
        (CallError::WrongType { sent: "A", expected: "B" }, 500),
    ];
    for (call, status) in table {
        let error = ServiceError::from(call.clone());
        assert_eq!(error.status().as_u16(), status, "{call:?}");
        assert_eq!(error.call_error(), &call);
    }
    let table = table_of_responses();
    for (path, expected) in table {
        let served = serve(mistakes(), Limits::default()).await;
        let response = Client::of(&served.gateway).await.get(path).await;
        assert_eq!((response.status, response.text()), expected);
    }
}

fn table_of_responses() -> [(&'static str, (u16, &'static str)); 2] {
    [
        ("/overloaded", (503, r#"{"error":"service_unavailable","cause":"overloaded"}"#)),
        ("/self", (500, r#"{"error":"internal_error"}"#)),
    ]
}

fn mistakes() -> Router {
    Router::new()
        .route("/overloaded", get(async || ServiceError::from(CallError::Overloaded)))
        .route("/self", get(async || ServiceError::from(CallError::SelfCall)))
}

#[linden::test]
async fn clients_are_served_side_by_side(node: Node) {
    let slow = tokio::sync::Semaphore::new(0);
    let slow = std::sync::Arc::new(slow);
    let gate = slow.clone();
    let router = Router::new()
        .route("/slow", get(async move || slow.acquire().await.map(|_| "slow").unwrap_or("shut")))
        .route("/fast", get(async || (StatusCode::ACCEPTED, "fast")));
    let served = serve(router, Limits::default()).await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut client = Client::of(&served.gateway).await;
        client.send(client::get("/slow")).await;
        waiting.push(client);
    }
    let mut fast = Client::of(&served.gateway).await;
    for _ in 0..20 {
        assert_eq!(fast.get("/fast").await.status, 202);
    }
    served::until_true(|| node.process_count() >= 21).await;
    gate.add_permits(1);
    for client in &mut waiting {
        assert_eq!(client.response().await.text(), "slow");
    }
}
