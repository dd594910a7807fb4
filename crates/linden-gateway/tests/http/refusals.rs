//! What the gateway refuses: bodies and heads that are too large, what is no HTTP, addresses and limits that make no sense.

use std::io::ErrorKind;
use std::sync::Arc;

use linden_gateway::axum::body::{Body, Bytes};
use linden_gateway::axum::extract::DefaultBodyLimit;
use linden_gateway::axum::http::StatusCode;
use linden_gateway::axum::routing::{get, post};
use linden_gateway::axum::{Json, Router};
use linden_gateway::{BindError, Gateway, Limits, RouteLimits};
use tokio::sync::Notify;

use crate::client::{Client, Response, post as post_of};
use crate::served::{serve, short};

/// Reads the body as a stream, and says how much came.
async fn count(body: Body) -> (StatusCode, String) {
    match linden_gateway::axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) => (StatusCode::OK, bytes.len().to_string()),
        Err(error) => (StatusCode::IM_A_TEAPOT, error.to_string()),
    }
}

fn routes() -> Router {
    Router::new()
        .route("/bytes", post(|bytes: Bytes| async move { bytes.len().to_string() }))
        .route("/json", post(|Json(text): Json<String>| async move { text.len().to_string() }))
        .route("/stream", post(count))
        .route("/unread", post(async || "not read"))
        .route("/success", post(async |body: Body| count(body).await.1))
        .route("/large", post(count).layer(RouteLimits::new().body_bytes_max(100_000)))
        .route("/any", post(count).layer(RouteLimits::new().unlimited_body()))
        .route("/small", post(|bytes: Bytes| async move { bytes.len().to_string() }))
        .layer(RouteLimits::new())
        .route(
            "/axum",
            post(|bytes: Bytes| async move { bytes.len().to_string() })
                .layer(DefaultBodyLimit::max(10)),
        )
        .route("/hello", get(async || "hello"))
}

fn limits() -> Limits {
    Limits { body_bytes_max: 1000, ..Limits::default() }
}

fn chunked(path: &str, bytes: usize) -> String {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\n\
        content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let chunks = format!("64\r\n{}\r\n", "x".repeat(100)).repeat(bytes / 100);
    format!("{head}{chunks}0\r\n\r\n")
}

fn assert_too_large(response: &Response) {
    assert_eq!((response.status, response.text()), (413, r#"{"error":"body_too_large"}"#));
    assert!(response.closes());
}

// proves: GATE-05
#[linden::test]
async fn a_body_above_the_limit_is_a_413_however_it_is_read() {
    let served = serve(routes(), limits()).await;
    for path in ["/bytes", "/json", "/stream"] {
        let mut client = Client::of(&served.gateway).await;
        client.send(post_of(path, &format!("\"{}\"", "x".repeat(999)))).await;
        assert_too_large(&client.response().await);
        client.closed().await;
        let mut client = Client::of(&served.gateway).await;
        client.send(chunked(path, 2000)).await;
        assert_too_large(&client.response().await);
        client.closed().await;
    }
}

#[linden::test]
async fn a_body_at_the_limit_passes() {
    let served = serve(routes(), limits()).await;
    let mut client = Client::of(&served.gateway).await;
    let body = "x".repeat(1000);
    assert_eq!(client.post("/bytes", &body).await.text(), "1000");
    assert_eq!(client.post("/stream", &body).await.text(), "1000");
    client.send(chunked("/stream", 1000)).await;
    assert_eq!(client.response().await.text(), "1000");
    assert_eq!(served.gateway.stats().connections_accepted, 1);
}

#[linden::test]
async fn a_route_has_limits_of_its_own() {
    let served = serve(routes(), limits()).await;
    let mut client = Client::of(&served.gateway).await;
    let body = "x".repeat(100_000);
    assert_eq!(client.post("/large", &body).await.text(), "100000");
    assert_eq!(client.post("/any", &"x".repeat(3_000_000)).await.text(), "3000000");
    assert_eq!(client.post("/axum", "x").await.text(), "1");
    assert_too_large(&client.post("/large", &format!("{body}x")).await);
    let mut client = Client::of(&served.gateway).await;
    assert_eq!(client.post("/axum", "more than ten").await.status, 413);
}

#[linden::test]
async fn a_refused_client_reads_the_refusal_while_it_is_still_sending() {
    let served = serve(routes(), limits()).await;
    let mut client = Client::of(&served.gateway).await;
    let head = "POST /bytes HTTP/1.1\r\nhost: test\r\ncontent-length: 8000000\r\n\r\n";
    client.send(head).await;
    client.send("x".repeat(8_000_000)).await;
    assert_too_large(&client.response().await);
    client.closed().await;
}

#[linden::test]
async fn what_a_handler_makes_of_a_large_body_counts_if_it_is_a_success() {
    let served = serve(routes(), limits()).await;
    let mut client = Client::of(&served.gateway).await;
    let response = client.post("/success", &"x".repeat(2000)).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.text(), "the request's body is longer than 1000 bytes");
    let mut client = Client::of(&served.gateway).await;
    assert_eq!(client.post("/unread", &"x".repeat(2000)).await.text(), "not read");
}

#[linden::test]
async fn a_client_that_asks_first_is_told_to_go_on_or_refused() {
    let served = serve(routes(), limits()).await;
    let mut client = Client::of(&served.gateway).await;
    let head = |length| {
        format!(
            "POST /bytes HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    client.send(head(5)).await;
    assert_eq!(client.head().await.status, 100);
    client.send("12345").await;
    assert_eq!(client.response().await.text(), "5");
    client.send(head(5000)).await;
    assert_too_large(&client.response().await);
    client.closed().await;
}

/// The head of a request to a handler that does not read its body.
fn unread(length: usize, more: &str) -> String {
    format!("POST /unread HTTP/1.1\r\nhost: test\r\n{more}content-length: {length}\r\n\r\n")
}

// proves: GATE-12
#[linden::test]
async fn a_body_that_nobody_reads_is_skipped_and_the_connection_goes_on() {
    let answered = Arc::new(Notify::new());
    let handler = {
        let answered = answered.clone();
        async move || {
            answered.notify_one();
            "not read"
        }
    };
    let served = serve(routes().route("/told", post(handler)), limits()).await;
    let mut client = Client::of(&served.gateway).await;
    for bytes in [1, 2000, 256 << 10] {
        client.send(unread(bytes, "").replacen("/unread", "/told", 1)).await;
        answered.notified().await;
        client.send("x".repeat(bytes)).await;
        let response = client.response().await;
        assert_eq!((response.text(), response.closes()), ("not read", false));
    }
    client.send(chunked("/unread", 3000)).await;
    assert!(!client.response().await.closes());
    assert_eq!(client.get("/hello").await.text(), "hello");
    assert_eq!(served.gateway.stats().connections_accepted, 1);
}

// proves: GATE-12
#[linden::test]
async fn a_response_says_that_the_connection_closes_when_the_body_is_not_skipped() {
    let served = serve(routes(), limits()).await;
    let large = unread((256 << 10) + 1, "");
    let asks_first = unread(5, "expect: 100-continue\r\n");
    let endless = chunked("/unread", 300 << 10);
    let never_comes = unread(5, "");
    for request in [large, asks_first, endless, never_comes] {
        let mut client = Client::of(&served.gateway).await;
        client.send(request).await;
        let response = client.response().await;
        assert_eq!((response.text(), response.closes()), ("not read", true));
        client.closed().await;
    }
}

// proves: GATE-06
#[linden::test]
async fn what_is_no_http_is_a_400_and_others_are_served() {
    let served = serve(routes(), Limits::default()).await;
    let mut other = Client::of(&served.gateway).await;
    assert_eq!(other.get("/hello").await.text(), "hello");
    let garbage: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello there\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET /hello HTTP/9.9\r\n\r\n",
        b"POST /bytes HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nabcde",
        b"POST /bytes HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    ];
    for bytes in garbage {
        let mut client = Client::of(&served.gateway).await;
        client.send(bytes).await;
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(client.head().await.status, 400, "{shown}");
        client.closed().await;
        assert_eq!(other.get("/hello").await.text(), "hello", "{shown}");
    }
}

#[linden::test]
async fn a_body_that_is_no_http_ends_its_connection_only() {
    let served = serve(routes(), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    let head = "POST /bytes HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";
    client.send(format!("{head}no size\r\n")).await;
    assert_eq!(client.response().await.status, 400);
    client.closed().await;
    assert_eq!(Client::of(&served.gateway).await.get("/hello").await.status, 200);
}

// proves: GATE-05
#[linden::test]
async fn a_head_above_the_limits_is_a_431() {
    let limits = Limits { headers_max: 5, header_bytes_max: 8192, ..Limits::default() };
    let served = serve(routes(), limits).await;
    let fields = |count: usize| -> String { (0..count).map(|n| format!("x-{n}: 1\r\n")).collect() };
    let table = [
        (format!("GET /hello HTTP/1.1\r\nhost: test\r\n{}\r\n", fields(4)), 200),
        (format!("GET /hello HTTP/1.1\r\nhost: test\r\n{}\r\n", fields(5)), 431),
        (format!("GET /hello HTTP/1.1\r\nhost: test\r\nx: {}\r\n\r\n", "y".repeat(8000)), 200),
        (format!("GET /hello HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(9000)), 431),
        (format!("GET /hello HTTP/1.1\r\nx: {}", "y".repeat(100_000)), 431),
    ];
    for (request, status) in table {
        let mut client = Client::of(&served.gateway).await;
        client.send(&request).await;
        assert_eq!(client.head().await.status, status, "{} bytes", request.len());
    }
}

#[linden::test]
async fn a_taken_port_is_an_error_that_names_it_and_the_mend() {
    let served = serve(routes(), short()).await;
    let addr = served.gateway.local_addr();
    let error = Gateway::bind(addr, routes(), limits()).expect_err("the port is taken");
    let BindError::Address { addr: named, cause } = &error else { panic!("{error:?}") };
    assert_eq!((*named, cause.kind()), (addr, ErrorKind::AddrInUse));
    let text = error.to_string();
    assert!(text.contains(&addr.to_string()) && text.contains("stop it"), "{text}");

    let elsewhere = "192.0.2.1:0".parse().expect("an address");
    let error = Gateway::bind(elsewhere, routes(), limits()).expect_err("no such address here");
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
    let privileged = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    if let Err(error) = Gateway::bind(privileged, routes(), limits()) {
        assert!(error.to_string().contains("higher one"), "{error}");
    }
    let none = Limits { connections_max: 0, ..limits() };
    let error = Gateway::bind(addr, routes(), none).expect_err("no connection at all");
    assert!(matches!(error, BindError::Limit(error) if error.limit == "connections_max"));
}
