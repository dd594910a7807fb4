//! HTTP/2 in cleartext: what holds for HTTP/1.1 holds for each stream, and one stream hinders no other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason as H2Reason, SendStream};
use linden::{Cx, Node, Reason, Task};
use linden_gateway::axum::Router;
use linden_gateway::axum::body::{Body, Bytes};
use linden_gateway::axum::http::{Request, StatusCode};
use linden_gateway::axum::routing::{get, post};
use linden_gateway::{Drained, Gateway, Limits, RouteLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::client::Client;
use crate::served::{labelled, serve, short, until, until_true};

const NEVER: Duration = Duration::from_secs(3600);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A SETTINGS frame without settings.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// One connection, read and written by a process of its own.
struct H2 {
    send: SendRequest<Bytes>,
    addr: SocketAddr,
    /// Ends with the connection.
    driver: Task<Result<(), h2::Error>>,
}

impl H2 {
    async fn of(gateway: &Gateway) -> Self {
        let stream = TcpStream::connect(gateway.local_addr()).await.expect("the gateway listens");
        let addr = stream.local_addr().expect("it is connected");
        let (send, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
        Self { send, addr, driver: Task::spawn_unlinked(connection) }
    }

    async fn begin(
        &mut self,
        request: Request<()>,
        end: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut ready = self.send.clone().ready().await.expect("it takes streams");
        ready.send_request(request, end).expect("the request is sound")
    }

    async fn get(&mut self, path: &str) -> (u16, String) {
        let (response, _) = self.begin(head("GET", path), true).await;
        whole(response).await
    }

    async fn post(&mut self, path: &str, body: Vec<u8>) -> (u16, String) {
        let (response, mut send) = self.begin(head("POST", path), false).await;
        // A stream that is reset takes no more.
        let _ = send.send_data(body.into(), true);
        whole(response).await
    }
}

fn head(method: &str, path: &str) -> Request<()> {
    let request = Request::builder().method(method).uri(format!("http://test{path}"));
    request.body(()).expect("the head is sound")
}

/// The status and the whole body.
async fn whole(response: ResponseFuture) -> (u16, String) {
    let response = response.await.expect("there is a response");
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(part) = body.data().await {
        let part = part.expect("the body comes whole");
        body.flow_control().release_capacity(part.len()).expect("it was taken");
        text.extend(part);
    }
    (status, String::from_utf8(text).expect("the body is text"))
}

/// Tells when it is dropped.
struct Dropped(Arc<Semaphore>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// What handlers tell a test, and are told by it.
#[derive(Clone)]
struct Gate {
    begun: Arc<Semaphore>,
    may_end: Arc<Semaphore>,
    dropped: Arc<Semaphore>,
}

impl Gate {
    fn new() -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self { begun: none(), may_end: none(), dropped: none() }
    }

    async fn pass(self) -> &'static str {
        let _dropped = Dropped(self.dropped);
        self.begun.add_permits(1);
        self.may_end.acquire().await.expect("never closed").forget();
        "passed"
    }

    async fn begun(&self) {
        self.begun.acquire().await.expect("never closed").forget();
    }
}

fn routes(gate: &Gate) -> Router {
    let gate = gate.clone();
    async fn crashing(_: Cx<()>) {
        panic!("linked to a handler")
    }
    let crash = async || {
        linden::spawn_link(crashing);
        std::future::pending::<()>().await;
    };
    let endless = async || {
        Body::from_stream(futures_util::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(Bytes::from_static(&[0; 16 * 1024]))
        }))
    };
    Router::new()
        .route("/hello/{name}", get(async || "hello"))
        .route("/panic", get(async || -> String { panic!("a handler") }))
        .route("/crash", get(crash))
        .route("/endless", get(endless))
        .route("/wait", get(std::future::pending::<()>))
        .route("/gate/{x}", get(move || gate.clone().pass()))
        .route("/body", post(|body: Bytes| async move { body.len().to_string() }))
        .route(
            "/hasty",
            get(std::future::pending::<()>)
                .layer(RouteLimits::new().request_timeout(Duration::from_millis(20))),
        )
}

// proves: GATE-21
#[linden::test]
async fn http_2_is_served_beside_http_1_on_one_port() {
    let served = serve(routes(&Gate::new()), Limits::default()).await;
    let mut h2 = H2::of(&served.gateway).await;
    assert_eq!(h2.get("/hello/ada").await, (200, "hello".to_owned()));
    assert_eq!(h2.post("/body", vec![7; 300_000]).await, (200, "300000".to_owned()));
    assert_eq!(h2.get("/nowhere").await.0, 404);
    assert_eq!(Client::of(&served.gateway).await.get("/hello/ada").await.text(), "hello");
    assert_eq!(served.gateway.stats().requests_served, 4);
}

// proves: GATE-21
#[linden::test]
async fn a_preface_that_comes_byte_by_byte_is_understood() {
    let served = serve(routes(&Gate::new()), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    client.stream.set_nodelay(true).expect("it is a socket");
    for byte in PREFACE {
        client.send([*byte]).await;
    }
    client.send(SETTINGS).await;
    // Length, type and flags of the SETTINGS frame that answers.
    assert_eq!(client.take(5).await[3..], [4, 0]);
    let mut almost = Client::of(&served.gateway).await;
    almost.send(b"PRI * HTTP/2.0\r\n\r\nSMTP").await;
    assert_eq!(almost.head().await.status, 400);
    almost.closed().await;
}

// proves: GATE-22
#[linden::test]
async fn a_stream_is_a_process_with_its_route_and_falls_with_its_connection(node: Node) {
    let gate = Gate::new();
    let served = serve(routes(&gate), Limits::default()).await;
    let mut h2 = H2::of(&served.gateway).await;
    let (response, _) = h2.begin(head("GET", "/gate/1"), true).await;
    gate.begun().await;
    let label = format!("GET /gate/{{x}} {}", h2.addr);
    until_true(|| labelled(&node, &label).is_some()).await;
    let stream = labelled(&node, &label).expect("it is visible");
    let connection = labelled(&node, &format!("h2 {}", h2.addr)).expect("it is visible");
    let info = node.process_info(stream).await.expect("it lives");
    assert_eq!((info.row.parent, info.links), (Some(connection), vec![connection]));
    node.exit(connection, Reason::Kill);
    drop(gate.dropped.acquire().await);
    assert_eq!(node.wait_exit(stream).await, Reason::NoProc);
    response.await.expect_err("the connection is closed");
    until(&served.gateway, |stats| stats.connections_open == 0).await;
}

// proves: GATE-22
#[linden::test]
async fn a_stream_that_panics_crashes_or_is_ended_hinders_no_other(node: Node) {
    let gate = Gate::new();
    let served = serve(routes(&gate), Limits::default()).await;
    let mut h2 = H2::of(&served.gateway).await;
    let (waiting, _) = h2.begin(head("GET", "/gate/1"), true).await;
    gate.begun().await;
    assert_eq!(h2.get("/panic").await, (500, r#"{"error":"internal_error"}"#.to_owned()));
    let (crashed, _) = h2.begin(head("GET", "/crash"), true).await;
    assert!(crashed.await.expect_err("the stream is reset").is_reset());
    let (ended, _) = h2.begin(head("GET", "/wait"), true).await;
    let label = format!("GET /wait {}", h2.addr);
    until_true(|| labelled(&node, &label).is_some()).await;
    node.exit(labelled(&node, &label).expect("it waits"), Reason::Kill);
    assert!(ended.await.expect_err("the stream is reset").is_reset());
    gate.may_end.add_permits(1);
    assert_eq!(whole(waiting).await, (200, "passed".to_owned()));
    assert_eq!(served.gateway.stats().connections_accepted, 1);
}

// proves: GATE-22
#[linden::test]
async fn a_client_that_resets_its_stream_or_leaves_drops_the_handler() {
    let gate = Gate::new();
    let served = serve(routes(&gate), Limits::default()).await;
    let mut h2 = H2::of(&served.gateway).await;
    let (response, mut send) = h2.begin(head("GET", "/gate/1"), true).await;
    gate.begun().await;
    send.send_reset(H2Reason::CANCEL);
    drop(response);
    gate.dropped.acquire().await.expect("never closed").forget();
    let (response, _) = h2.begin(head("GET", "/gate/2"), true).await;
    gate.begun().await;
    drop((response, h2));
    gate.dropped.acquire().await.expect("never closed").forget();
    until(&served.gateway, |stats| stats.requests_abandoned == 2).await;
}

// proves: GATE-23
#[linden::test]
async fn limits_of_time_and_size_hold_for_each_stream() {
    let gate = Gate::new();
    let limits = Limits { body_bytes_max: 1000, headers_max: 10, ..Limits::default() };
    let served = serve(routes(&gate), limits).await;
    let mut h2 = H2::of(&served.gateway).await;
    let (waiting, _) = h2.begin(head("GET", "/gate/1"), true).await;
    gate.begun().await;
    assert_eq!(h2.get("/hasty").await, (504, r#"{"error":"timeout"}"#.to_owned()));
    let too_large = (413, r#"{"error":"body_too_large"}"#.to_owned());
    assert_eq!(h2.post("/body", vec![7; 1001]).await, too_large);
    assert_eq!(h2.post("/body", vec![7; 1000]).await, (200, "1000".to_owned()));
    let mut many = head("GET", "/hello/ada");
    for number in 0..11 {
        let name = format!("x-{number}").parse::<linden_gateway::axum::http::HeaderName>();
        many.headers_mut().insert(name.expect("a name"), "1".parse().expect("a value"));
    }
    let (response, _) = h2.begin(many, true).await;
    assert_eq!(whole(response).await.0, 431);
    let mut large = head("GET", "/hello/ada");
    large.headers_mut().insert("x", "y".repeat(20_000).parse().expect("a value"));
    let (response, _) = h2.begin(large, true).await;
    assert_eq!(response.await.expect("there is a response").status(), 431);
    gate.may_end.add_permits(1);
    assert_eq!(whole(waiting).await.0, 200);
    assert_eq!(served.gateway.stats().connections_accepted, 1);
}

// proves: GATE-23
#[linden::test]
async fn a_stream_whose_body_does_not_come_is_a_408_and_one_that_is_not_taken_is_reset(node: Node) {
    let limits = Limits { idle_timeout: NEVER, ..short() };
    let served = serve(routes(&Gate::new()), limits).await;
    let mut h2 = H2::of(&served.gateway).await;
    let (response, mut send) = h2.begin(head("POST", "/body"), false).await;
    send.send_data(Bytes::from_static(b"begun"), false).expect("it is open");
    assert_eq!(whole(response).await, (408, r#"{"error":"request_timeout"}"#.to_owned()));

    let limits = Limits { header_timeout: NEVER, request_timeout: NEVER, ..short() };
    let served = serve(routes(&Gate::new()), limits).await;
    let mut h2 = H2::of(&served.gateway).await;
    let (response, _) = h2.begin(head("GET", "/endless"), true).await;
    let mut body = response.await.expect("there is a response").into_body();
    let label = format!("GET /endless {}", h2.addr);
    until_true(|| labelled(&node, &label).is_none()).await;
    let error = loop {
        match body.data().await.expect("it does not end") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(error.is_reset(), "{error}");
}

// proves: GATE-24
#[linden::test]
async fn streams_beyond_the_limit_wait_with_the_client() {
    let gate = Gate::new();
    let limits = Limits { streams_max: 2, ..Limits::default() };
    let served = serve(routes(&gate), limits).await;
    let mut h2 = H2::of(&served.gateway).await;
    // The client has read how many it may open.
    assert_eq!(h2.get("/hello/ada").await.0, 200);
    let mut waiting = Vec::new();
    for number in 0..4 {
        let mut send = h2.send.clone().ready().await.expect("it takes streams");
        let (response, _) = send
            .send_request(head("GET", &format!("/gate/{number}")), true)
            .expect("the request is sound");
        waiting.push(response);
        if number < 2 {
            gate.begun().await;
        } else {
            assert_eq!(gate.begun.available_permits(), 0);
            gate.may_end.add_permits(1);
            gate.begun().await;
        }
    }
    gate.may_end.add_permits(2);
    for response in waiting {
        assert_eq!(whole(response).await.0, 200);
    }
}

/// HEADERS of `GET /gate/1` on a stream, and its RST_STREAM.
fn opened_and_reset(stream: u32) -> Vec<u8> {
    // Indexed `:method GET`, `:scheme http`; literal `:path` and `:authority`.
    let block = b"\x82\x86\x04\x07/gate/1\x01\x04test";
    let mut frames = vec![0, 0, u8::try_from(block.len()).expect("it is short"), 1, 0x5];
    frames.extend(stream.to_be_bytes());
    frames.extend(block);
    frames.extend([0, 0, 4, 3, 0]);
    frames.extend(stream.to_be_bytes());
    frames.extend(8_u32.to_be_bytes());
    frames
}

// proves: GATE-24
#[linden::test]
async fn a_client_that_opens_and_resets_streams_in_a_burst_is_sent_away() {
    let gate = Gate::new();
    let served = serve(routes(&gate), Limits::default()).await;
    let mut other = H2::of(&served.gateway).await;
    let mut stream = TcpStream::connect(served.gateway.local_addr()).await.expect("it listens");
    let mut burst = [PREFACE, SETTINGS].concat();
    for number in 0..2000 {
        burst.extend(opened_and_reset(2 * number + 1));
    }
    // The gateway may close before it has read everything.
    let _ = stream.write_all(&burst).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    until(&served.gateway, |stats| stats.connections_open == 1).await;
    let begun = gate.begun.available_permits();
    assert!(begun < 1000, "{begun} handlers were begun");
    // GOAWAY, ENHANCE_YOUR_CALM.
    let calm = answer.windows(4).any(|bytes| bytes == [0, 0, 0, 0xb]);
    assert!(calm, "{answer:?}");
    assert_eq!(other.get("/hello/ada").await.0, 200);
}

// proves: GATE-25
#[linden::test]
async fn a_drain_sends_the_client_away_and_streams_in_flight_end() {
    let gate = Gate::new();
    let served = serve(routes(&gate), Limits::default()).await;
    let mut idle = H2::of(&served.gateway).await;
    assert_eq!(idle.get("/hello/ada").await.0, 200);
    let mut busy = H2::of(&served.gateway).await;
    let (waiting, _) = busy.begin(head("GET", "/gate/1"), true).await;
    gate.begun().await;
    let gateway = served.gateway.clone();
    let drain = Task::spawn_unlinked(async move { gateway.drain(NEVER).await });
    idle.driver.await.expect("it ends").expect("in good order");
    // The client knows when it takes no streams any more.
    until_refused(&mut busy).await;
    gate.may_end.add_permits(1);
    assert_eq!(whole(waiting).await, (200, "passed".to_owned()));
    drop(busy.send);
    busy.driver.await.expect("it ends").expect("in good order");
    let drained: Drained = drain.await.expect("the drain ends");
    assert_eq!((drained.ended, drained.cut), (2, 0));
}

async fn until_refused(h2: &mut H2) {
    while let Ok(mut send) = h2.send.clone().ready().await {
        let Ok((response, _)) = send.send_request(head("GET", "/hello/ada"), true) else { return };
        if response.await.is_err() {
            return;
        }
    }
}

// proves: GATE-26
#[linden::test]
async fn an_idle_connection_is_sent_away_and_closed() {
    let limits = Limits { header_timeout: NEVER, ..short() };
    let served = serve(routes(&Gate::new()), limits).await;
    let mut h2 = H2::of(&served.gateway).await;
    assert_eq!(h2.get("/hello/ada").await.0, 200);
    h2.driver.await.expect("it ends").expect("in good order");
    // One that does not answer, too.
    let mut client = Client::of(&served.gateway).await;
    client.send([PREFACE, SETTINGS].concat()).await;
    until(&served.gateway, |stats| stats.connections_accepted == 2 && stats.connections_open == 0)
        .await;
}

// proves: GATE-26
#[linden::test]
async fn a_head_that_does_not_come_on_is_cut_and_others_are_served() {
    let limits = Limits { header_timeout: NEVER, ..short() };
    let served = serve(routes(&Gate::new()), limits).await;
    let mut slow = Client::of(&served.gateway).await;
    // HEADERS without END_HEADERS: the rest, in CONTINUATION frames, never comes.
    let begun = [0, 0, 1, 1, 1, 0, 0, 0, 1, 0x82];
    slow.send([PREFACE, SETTINGS, &begun].concat()).await;
    let mut other = H2::of(&served.gateway).await;
    assert_eq!(other.get("/hello/ada").await.0, 200);
    until(&served.gateway, |stats| stats.connections_accepted == 2 && stats.connections_open == 0)
        .await;
    assert_eq!(served.gateway.stats().requests_served, 1);
}

#[linden::test]
async fn a_stop_without_a_drain_ends_streams_too() {
    let gate = Gate::new();
    let served = serve(routes(&gate), Limits::default()).await;
    let mut h2 = H2::of(&served.gateway).await;
    let (response, _) = h2.begin(head("GET", "/gate/1"), true).await;
    gate.begun().await;
    served.supervisor.stop(Reason::Shutdown).await.expect("it stops");
    drop(gate.dropped.acquire().await);
    response.await.expect_err("the connection is closed");
    until(&served.gateway, |stats| stats.connections_open == 0).await;
}

// proves: GATE-26
#[linden::test]
async fn a_client_that_answers_no_ping_is_closed() {
    let soon = Duration::from_millis(50);
    let limits = Limits { ping_interval: soon, ping_timeout: soon, ..Limits::default() };
    let served = serve(routes(&Gate::new()), limits).await;
    let mut client = Client::of(&served.gateway).await;
    client.send([PREFACE, SETTINGS].concat()).await;
    until(&served.gateway, |stats| stats.connections_accepted == 1 && stats.connections_open == 0)
        .await;
}

// proves: GATE-30
#[linden::test]
async fn what_is_no_http_2_ends_its_connection_or_stream_only() {
    let gate = Gate::new();
    let served = serve(routes(&gate), Limits::default()).await;
    let mut other = H2::of(&served.gateway).await;
    let garbage: [&[u8]; 3] =
        [b"no frame at all, and more", &[0, 0, 0, 1, 5, 0, 0, 0, 0], &[255; 64]];
    for bytes in garbage {
        let mut stream = TcpStream::connect(served.gateway.local_addr()).await.expect("it listens");
        let _ = stream.write_all(&[PREFACE, bytes].concat()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(other.get("/hello/ada").await.0, 200);
    }
    for (name, value) in [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("te", "gzip"),
        ("host", "other"),
    ] {
        let mut request = head("GET", "/gate/1");
        request.headers_mut().insert(name, value.parse().expect("a value"));
        let mut ready = other.send.clone().ready().await.expect("it takes streams");
        if let Ok((response, _)) = ready.send_request(request, true) {
            match response.await {
                Ok(response) => assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{name}"),
                Err(error) => assert!(error.is_reset(), "{name}: {error}"),
            }
        }
    }
    assert_eq!(gate.begun.available_permits(), 0);
    assert_eq!(other.get("/hello/ada").await.0, 200);
}
