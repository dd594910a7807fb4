//! Time limits. Each test waits for what the limit does, not for the time.

use std::sync::Arc;
use std::time::Duration;

use linden_gateway::axum::Router;
use linden_gateway::axum::body::{Body, Bytes};
use linden_gateway::axum::routing::{get, post};
use linden_gateway::{Limits, RouteLimits};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use crate::client::{Client, get as get_of};
use crate::served::{serve, short, until};

/// A limit that no test reaches.
const NEVER: Duration = Duration::from_secs(3600);

/// Tells when it is dropped.
struct Dropped(Arc<Semaphore>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

async fn endless(dropped: Arc<Semaphore>) -> &'static str {
    let _dropped = Dropped(dropped);
    std::future::pending().await
}

fn routes(dropped: &Arc<Semaphore>) -> Router {
    let dropped = dropped.clone();
    Router::new()
        .route("/endless", get(move || endless(dropped.clone())))
        .route("/hello", get(async || "hello"))
        .route("/body", post(|body: Bytes| async move { body.len().to_string() }))
        .route(
            "/patient",
            post(|body: Bytes| async move { body.len().to_string() })
                .layer(RouteLimits::new().no_request_timeout()),
        )
        .route(
            "/hasty",
            get(std::future::pending::<()>)
                .layer(RouteLimits::new().request_timeout(Duration::from_millis(20))),
        )
}

// proves: GATE-04
#[linden::test]
async fn a_handler_above_its_time_is_dropped_and_the_connection_goes_on() {
    let dropped = Arc::new(Semaphore::new(0));
    let served = serve(routes(&dropped), short()).await;
    let mut client = Client::of(&served.gateway).await;
    let response = client.get("/endless").await;
    assert_eq!((response.status, response.text()), (504, r#"{"error":"timeout"}"#));
    assert!(!response.closes());
    drop(dropped.acquire().await);
    assert_eq!(client.get("/hello").await.text(), "hello");
    assert_eq!(served.gateway.stats().connections_accepted, 1);
}

#[linden::test]
async fn a_route_has_a_time_limit_of_its_own() {
    let dropped = Arc::new(Semaphore::new(0));
    let limits = Limits { request_timeout: NEVER, ..Limits::default() };
    let served = serve(routes(&dropped), limits).await;
    let mut client = Client::of(&served.gateway).await;
    assert_eq!(client.get("/hasty").await.status, 504);
    assert_eq!(client.get("/hello").await.status, 200);
}

// proves: GATE-04
#[linden::test]
async fn a_body_that_does_not_come_is_a_408() {
    let dropped = Arc::new(Semaphore::new(0));
    let by_request = Limits { idle_timeout: NEVER, ..short() };
    let by_stall = Limits { request_timeout: NEVER, ..short() };
    for (path, limits) in [("/body", by_request), ("/patient", by_stall)] {
        let served = serve(routes(&dropped), limits).await;
        let mut client = Client::of(&served.gateway).await;
        let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n");
        client.send(format!("{head}12345")).await;
        let response = client.response().await;
        assert_eq!((response.status, response.text()), (408, r#"{"error":"request_timeout"}"#));
        assert!(response.closes());
        client.stream.shutdown().await.expect("the client ends too");
        client.closed().await;
        until(&served.gateway, |stats| stats.connections_open == 0).await;
    }
}

// proves: GATE-04
#[linden::test]
async fn a_head_that_does_not_come_is_cut_and_others_are_served() {
    let dropped = Arc::new(Semaphore::new(0));
    let limits = Limits { idle_timeout: NEVER, request_timeout: NEVER, ..short() };
    let served = serve(routes(&dropped), limits).await;
    let mut silent = Client::of(&served.gateway).await;
    let mut slow = Client::of(&served.gateway).await;
    slow.send("GET /hello HTTP/1.1\r\nx: ").await;
    let mut second = Client::of(&served.gateway).await;
    assert_eq!(second.get("/hello").await.status, 200);
    second.send("GET").await;
    // One byte after the other does not help.
    while slow.stream.write_all(b"x").await.is_ok() {
        let mut other = Client::of(&served.gateway).await;
        assert_eq!(other.get("/hello").await.status, 200);
    }
    silent.closed().await;
    second.closed().await;
    until(&served.gateway, |stats| stats.connections_open == 0).await;
}

// proves: GATE-04
#[linden::test]
async fn an_idle_connection_is_closed() {
    let dropped = Arc::new(Semaphore::new(0));
    let limits = Limits { header_timeout: NEVER, request_timeout: NEVER, ..short() };
    let served = serve(routes(&dropped), limits).await;
    let mut client = Client::of(&served.gateway).await;
    assert_eq!(client.get("/hello").await.status, 200);
    client.closed().await;
    until(&served.gateway, |stats| stats.connections_open == 0).await;
}

// proves: GATE-04
#[linden::test]
async fn a_client_that_takes_nothing_is_cut_and_the_body_dropped() {
    let dropped = Arc::new(Semaphore::new(0));
    let guard = dropped.clone();
    let endless = move || {
        let guard = Dropped(guard.clone());
        let parts = futures_util::stream::repeat_with(move || {
            let _held = &guard;
            Ok::<_, std::io::Error>(Bytes::from_static(&[0; 16 * 1024]))
        });
        std::future::ready(Body::from_stream(parts))
    };
    let router = Router::new().route("/endless", get(endless));
    let served = serve(router, short()).await;
    let mut client = Client::of(&served.gateway).await;
    client.send(get_of("/endless")).await;
    assert_eq!(client.head().await.status, 200);
    drop(dropped.acquire().await);
    until(&served.gateway, |stats| stats.connections_open == 0).await;
}
