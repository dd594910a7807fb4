//! The same over HTTP/2, where each stream is a process.

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use linden::{Address, Cx, Node, Task};
use linden_gateway::axum::Router;
use linden_gateway::axum::response::sse::Event;
use linden_gateway::axum::routing::get;
use linden_gateway::{EdgeConfig, Gateway, Hosts, Limits, Sse, WebSocketUpgrade};
use tokio::net::TcpStream;
use tokio::sync::mpsc::unbounded_channel;

use crate::log;
use crate::served::{serve, until_true};

async fn connect(gateway: &Gateway) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(gateway.local_addr()).await.expect("the gateway listens");
    let (client, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
    // Its process goes on.
    drop(Task::spawn_unlinked(connection));
    client.ready().await.expect("it takes requests")
}

fn request(host: &str, path: &str) -> Request<()> {
    let request = Request::get(format!("http://{host}{path}")).header("x-request-id", "over-h2");
    request.body(()).expect("the request is sound")
}

// proves: GATE-49, GATE-50
#[linden::test]
async fn the_authority_is_the_host_and_the_log_names_the_protocol() {
    log::keep();
    let route = |name: &'static str| Router::new().route("/", get(async move || name));
    let hosts = Hosts::new().host("shop.example", route("shop")).expect("a host");
    let router = EdgeConfig::default().wrap(hosts.into_router()).expect("the edge is sound");
    let served = serve(router, Limits::default()).await;
    let mut client = connect(&served.gateway).await;
    for (host, status) in [("shop.example:80", 200), ("other.example", 404)] {
        let (response, _) = client.send_request(request(host, "/"), true).expect("it is sent");
        assert_eq!(response.await.expect("it answers").status(), status);
    }
    until_true(|| log::lines_with("over-h2").len() == 2).await;
    assert!(log::lines_with("over-h2").iter().all(|line| line.contains("protocol=HTTP/2.0")));
}

// proves: GATE-48
#[linden::test]
async fn each_stream_has_the_trace_of_its_own_request() {
    let trace = async || linden::current_trace().map(|trace| trace.to_string()).unwrap_or_default();
    let router = EdgeConfig::default().wrap(Router::new().route("/", get(trace)));
    let served = serve(router.expect("the edge is sound"), Limits::default()).await;
    let mut client = connect(&served.gateway).await;
    let traces = ["1", "2", "3"].map(|n| format!("00-{}-{}-01", n.repeat(32), n.repeat(16)));
    let mut responses = Vec::new();
    for trace in &traces {
        let mut request = request("shop.example", "/");
        request.headers_mut().insert("traceparent", trace.parse().expect("a header field"));
        responses.push(client.send_request(request, true).expect("it is sent").0);
    }
    for (response, trace) in responses.into_iter().zip(&traces) {
        let mut body = response.await.expect("it answers").into_body();
        assert_eq!(body.data().await.expect("a trace").expect("sound"), trace);
    }
}

// proves: GATE-55
#[linden::test]
async fn a_stream_that_is_reset_ends_its_process(node: Node) {
    let (births, mut born) = unbounded_channel::<Address<()>>();
    let news = async move |sse: Sse| {
        let births = births.clone();
        sse.from_process(move |mut events, mut cx: Cx<()>| async move {
            births.send(cx.address()).expect("the test listens");
            let _ = events.send(Event::default().data("first")).await;
            loop {
                cx.recv().await;
            }
        })
    };
    let served = serve(Router::new().route("/", get(news)), Limits::default()).await;
    let mut client = connect(&served.gateway).await;
    let (response, _) =
        client.send_request(request("shop.example", "/"), true).expect("it is sent");
    let mut body = response.await.expect("it answers").into_body();
    assert_eq!(body.data().await.expect("an event").expect("sound"), "data: first\n\n");
    let process = born.recv().await.expect("it is born");
    drop(body);
    node.wait_exit(process.pid()).await;
    assert_eq!(served.gateway.stats().connections_open, 1);
}

// proves: GATE-51
#[linden::test]
async fn a_websocket_takes_a_connection_of_http_1() {
    let socket =
        async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(|_socket, _: Cx<()>| async {});
    let served = serve(Router::new().route("/", get(socket)), Limits::default()).await;
    let mut client = connect(&served.gateway).await;
    let (response, _) =
        client.send_request(request("shop.example", "/"), true).expect("it is sent");
    assert_eq!(response.await.expect("it answers").status(), 426);
}
