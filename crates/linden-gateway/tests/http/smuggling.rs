//! Requests that two servers could read in two ways: each is refused, or read in the one right way, and none of what
//! follows it is taken for a request that it is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use linden_gateway::Limits;
use linden_gateway::axum::Router;
use linden_gateway::axum::body::Bytes;
use linden_gateway::axum::http::HeaderMap;
use linden_gateway::axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::served::serve;

/// What a refused client hides behind its request.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nhost: test\r\n\r\n";

/// Sends everything, and reads all responses until the gateway closes.
async fn talk(addr: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("the gateway listens");
    // A gateway that refuses may close first.
    let _ = stream.write_all(bytes).await;
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    String::from_utf8_lossy(&all).into_owned()
}

fn statuses(responses: &str) -> Vec<u16> {
    let heads = responses.match_indices("HTTP/1.1 ");
    heads.map(|(at, _)| responses[at + 9..at + 12].parse().expect("a status")).collect()
}

// proves: GATE-30
#[linden::test]
async fn requests_that_could_be_read_in_two_ways_are_refused_and_hide_nothing() {
    let hidden = Arc::new(AtomicUsize::new(0));
    let hits = hidden.clone();
    let router = Router::new()
        .route("/", get(async || "read").post(|body: Bytes| async move { body.len().to_string() }))
        .route("/hidden", get(async move || hits.fetch_add(1, Ordering::SeqCst).to_string()));
    let served = serve(router, Limits::default()).await;
    let host = "host: test\r\n";
    let table: [(&str, String, u16); 23] = [
        (
            "two lengths",
            format!("POST / HTTP/1.1\r\n{host}content-length: 3\r\ncontent-length: 5\r\n\r\nabc"),
            400,
        ),
        (
            "two lengths in one",
            format!("POST / HTTP/1.1\r\n{host}content-length: 3, 5\r\n\r\nabc"),
            400,
        ),
        (
            "a negative length",
            format!("POST / HTTP/1.1\r\n{host}content-length: -3\r\n\r\nabc"),
            400,
        ),
        (
            "a length with a sign",
            format!("POST / HTTP/1.1\r\n{host}content-length: +3\r\n\r\nabc"),
            400,
        ),
        (
            "a huge length",
            format!("POST / HTTP/1.1\r\n{host}content-length: 99999999999999999999\r\n\r\n"),
            400,
        ),
        (
            "an unknown coding",
            format!("POST / HTTP/1.1\r\n{host}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
            400,
        ),
        (
            "a coding after chunked",
            format!(
                "POST / HTTP/1.1\r\n{host}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"
            ),
            400,
        ),
        (
            "two codings",
            format!(
                "POST / HTTP/1.1\r\n{host}transfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n0\r\n\r\n"
            ),
            400,
        ),
        (
            "a coding that is not undone",
            format!("POST / HTTP/1.1\r\n{host}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            501,
        ),
        (
            "chunked in HTTP/1.0",
            format!("POST / HTTP/1.0\r\n{host}transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            400,
        ),
        (
            "a huge chunk",
            format!(
                "POST / HTTP/1.1\r\n{host}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc"
            ),
            400,
        ),
        (
            "a negative chunk",
            format!("POST / HTTP/1.1\r\n{host}transfer-encoding: chunked\r\n\r\n-1\r\nabc"),
            400,
        ),
        (
            "a chunk without its end",
            format!(
                "POST / HTTP/1.1\r\n{host}transfer-encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n"
            ),
            400,
        ),
        ("a folded field", format!("GET / HTTP/1.1\r\n{host}x: a\r\n b\r\n\r\n"), 400),
        (
            "a space before the colon",
            format!("POST / HTTP/1.1\r\n{host}content-length : 3\r\n\r\nabc"),
            400,
        ),
        ("a bare CR", format!("GET / HTTP/1.1\r\n{host}x: a\rb\r\n\r\n"), 400),
        ("a NUL", format!("GET / HTTP/1.1\r\n{host}x: a\0b\r\n\r\n"), 400),
        ("no host", "GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("two hosts", format!("GET / HTTP/1.1\r\n{host}{host}\r\n"), 400),
        ("a host that is none", "GET / HTTP/1.1\r\nhost: a@b/c\r\n\r\n".to_owned(), 400),
        ("HTTP/1.2", format!("GET / HTTP/1.2\r\n{host}\r\n"), 400),
        ("HTTP/0.9", "GET /\r\n\r\n".to_owned(), 400),
        ("a second space", format!("GET / x HTTP/1.1\r\n{host}\r\n"), 400),
    ];
    for (name, request, status) in table {
        let responses = talk(served.gateway.local_addr(), (request + HIDDEN).as_bytes()).await;
        assert_eq!(statuses(&responses), [status], "{name}: {responses}");
        assert_eq!(hidden.load(Ordering::SeqCst), 0, "{name}: the hidden request was served");
    }
}

// proves: GATE-30
#[linden::test]
async fn a_length_beside_chunks_is_not_believed_and_the_connection_closes() {
    let router =
        Router::new().route("/", post(|body: Bytes| async move { body.len().to_string() }));
    let served = serve(router, Limits::default()).await;
    for fields in [
        "content-length: 60\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
    ] {
        let request =
            format!("POST / HTTP/1.1\r\nhost: test\r\n{fields}\r\n3\r\nabc\r\n0\r\n\r\n{HIDDEN}");
        let responses = talk(served.gateway.local_addr(), request.as_bytes()).await;
        assert_eq!(statuses(&responses), [200], "{responses}");
        assert!(responses.ends_with('3'), "{responses}");
    }
}

#[linden::test]
async fn what_has_one_reading_only_is_served() {
    let host = async |headers: HeaderMap| headers["host"].to_str().expect("text").to_owned();
    let served = serve(Router::new().route("/", get(host)), Limits::default()).await;
    let table = [
        (
            "GET http://a.example/ HTTP/1.1\r\nhost: b.example\r\nconnection: close\r\n\r\n",
            "a.example",
        ),
        ("GET / HTTP/1.1\nhost: c.example\nconnection: close\n\n", "c.example"),
        ("\r\nGET / HTTP/1.1\r\nhost: d.example\r\nconnection: close\r\n\r\n", "d.example"),
    ];
    for (request, expected) in table {
        let responses = talk(served.gateway.local_addr(), request.as_bytes()).await;
        assert_eq!(statuses(&responses), [200], "{request}");
        assert!(responses.ends_with(expected), "{responses}");
    }
}
