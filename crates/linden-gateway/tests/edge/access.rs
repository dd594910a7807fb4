//! The access log. The tests of this binary share one log: each looks for its own request id.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use linden_gateway::axum::Router;
use linden_gateway::axum::body::{Body, Bytes};
use linden_gateway::axum::routing::{get, post};
use linden_gateway::{EdgeConfig, Limits, RouteLimits};
use tokio::sync::Semaphore;

use crate::client::Client;
use crate::log;
use crate::served::{Served, serve, until_true};

async fn panics() -> &'static str {
    panic!("in a handler")
}

async fn served(begun: &Arc<Semaphore>) -> Served {
    let begun = begun.clone();
    let waits = async move || {
        begun.add_permits(1);
        std::future::pending::<()>().await;
    };
    let hasty = RouteLimits::new().request_timeout(Duration::from_millis(20));
    let small = RouteLimits::new().body_bytes_max(3);
    let endless = async || {
        let parts = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"part"))]);
        Body::from_stream(parts.chain(stream::pending()))
    };
    let streamed = async || {
        let parts =
            [Ok::<_, std::io::Error>(Bytes::from_static(b"ab")), Ok(Bytes::from_static(b"cd"))];
        Body::from_stream(stream::iter(parts))
    };
    let router = Router::new()
        .route("/echo/{id}", post(async |body: Bytes| body))
        .route("/empty", get(async || ()))
        .route("/streamed", get(streamed))
        .route("/waits", get(waits.clone()))
        .route("/late", get(waits).layer(hasty))
        .route("/small", post(async |body: Bytes| body).layer(small))
        .route("/panics", get(panics))
        .route("/endless", get(endless));
    let router = EdgeConfig::default().wrap(router).expect("the edge is sound");
    serve(router, Limits::default()).await
}

fn request(method: &str, path: &str, id: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: test\r\nx-request-id: {id}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// The one line of this request, when it is written.
async fn line(id: &str) -> String {
    let field = format!("request_id=\"{id}\"");
    until_true(|| !log::lines_with(&field).is_empty()).await;
    let mut lines = log::lines_with(&field);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.pop().expect("there is one")
}

fn assert_fields(line: &str, fields: &[&str]) {
    assert!(line.starts_with("INFO linden::access"), "{line}");
    for field in fields {
        assert!(line.contains(field), "{field} is missing in {line}");
    }
}

// proves: GATE-49
#[linden::test]
async fn each_request_is_one_line_that_says_all_but_secrets() {
    log::keep();
    let served = served(&Arc::new(Semaphore::new(0))).await;
    let mut client = Client::of(&served.gateway).await;
    let trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    let head = request("POST", "/echo/7?token=secret", "log-all", "12345");
    client.send(head.replacen("host:", &format!("{trace}host:"), 1)).await;
    assert_eq!(client.response().await.text(), "12345");
    let line = line("log-all").await;
    let peer = format!("peer={}", client.addr());
    assert_fields(
        &line,
        &[
            "method=POST",
            r#"path="/echo/7""#,
            r#"route="/echo/{id}""#,
            "status=200",
            "bytes_in=5",
            "bytes_out=5",
            "micros=",
            &peer,
            "trace_id=0af7651916cd43dd8448eb211c80319c",
            "protocol=HTTP/1.1",
            "aborted=false",
        ],
    );
    assert!(!line.contains("secret"), "{line}");
}

// proves: GATE-49
#[linden::test]
async fn responses_are_logged_as_the_client_got_them() {
    log::keep();
    let served = served(&Arc::new(Semaphore::new(0))).await;
    let table = [
        ("GET", "/empty", "log-empty", "", 200, "bytes_out=0"),
        ("GET", "/streamed", "log-streamed", "", 200, "bytes_out=4"),
        ("HEAD", "/streamed", "log-head", "", 200, "bytes_out=0"),
        ("GET", "/nowhere", "log-missing", "", 404, "bytes_out=0"),
        ("GET", "/panics", "log-panics", "", 500, "bytes_out=0"),
        ("GET", "/late", "log-late", "", 504, "bytes_out=0"),
        ("POST", "/small", "log-small", "1234", 413, "bytes_in=0"),
    ];
    for (method, path, id, body, status, bytes) in table {
        let mut client = Client::of(&served.gateway).await;
        client.send(request(method, path, id, body)).await;
        assert_eq!(client.head().await.status, status, "{path}");
        let status = format!("status={status}");
        assert_fields(&line(id).await, &[&status, bytes, "aborted=false"]);
    }
}

// proves: GATE-49
#[linden::test]
async fn a_client_that_leaves_is_logged_as_aborted() {
    log::keep();
    let begun = Arc::new(Semaphore::new(0));
    let served = served(&begun).await;
    let mut client = Client::of(&served.gateway).await;
    client.send(request("GET", "/waits", "log-left", "")).await;
    drop(begun.acquire().await);
    drop(client);
    assert_fields(&line("log-left").await, &["status=0", "aborted=true"]);
    let mut client = Client::of(&served.gateway).await;
    client.send(request("GET", "/endless", "log-broken", "")).await;
    client.head().await;
    assert_eq!(client.chunk().await, b"part");
    drop(client);
    assert_fields(&line("log-broken").await, &["status=200", "bytes_out=4", "aborted=true"]);
}
