//! Event streams: from a process, and from a stream.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use linden::{Address, Cx, Info, Mail, Node, Reason, Task};
use linden_gateway::axum::Router;
use linden_gateway::axum::response::sse::Event;
use linden_gateway::axum::routing::get;
use linden_gateway::{CompressionConfig, EdgeConfig, Limits, NobodyListens, Sse};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::client::{Client, get as get_of};
use crate::served::{Served, labelled, serve, until, until_true};

/// What the streams of a gateway tell the test.
struct Streams {
    served: Served,
    born: UnboundedReceiver<Address<String>>,
    ended: UnboundedReceiver<Reason>,
}

/// A gateway with a stream `/news/{topic}` of what its process is told, and one of what a stream says.
async fn streams() -> Streams {
    let (births, born) = unbounded_channel();
    let (ends, ended) = unbounded_channel();
    let news = async move |sse: Sse| {
        let (births, ends) = (births.clone(), ends.clone());
        let since = sse.last_event_id().unwrap_or("the beginning").to_owned();
        sse.from_process(move |mut events, mut cx: Cx<String>| async move {
            cx.trap_exit(true);
            births.send(cx.address()).expect("the test listens");
            let _ = events.send(Event::default().data(format!("since {since}"))).await;
            loop {
                match cx.recv().await {
                    Mail::Msg(text) if text == "end" => return,
                    Mail::Msg(text) => {
                        let _ = events.send(Event::default().id("7").data(text)).await;
                    }
                    Mail::Info(Info::Exit { reason, .. }) => {
                        assert_eq!(events.send(Event::default()).await, Err(NobodyListens));
                        let _ = ends.send(reason);
                        return;
                    }
                    Mail::Info(_) => {}
                }
            }
        })
    };
    let pulled = async |sse: Sse| {
        let events = stream::iter(1..=2).map(|n| Event::default().data(n.to_string()));
        sse.keep_alive(Duration::from_millis(20)).from_stream(events.chain(stream::pending()))
    };
    let router = Router::new().route("/news/{topic}", get(news)).route("/pulled", get(pulled));
    let compression = Some(CompressionConfig { bytes_min: 0 });
    let edge = EdgeConfig { compression, ..EdgeConfig::default() };
    let router = edge.wrap(router).expect("the edge is sound");
    // Streams outlive the gateway's limit for requests.
    let limits = Limits { request_timeout: Duration::from_millis(200), ..Limits::default() };
    Streams { served: serve(router, limits).await, born, ended }
}

impl Streams {
    async fn open(&mut self, fields: &str) -> (Client, Address<String>) {
        let mut client = Client::of(&self.served.gateway).await;
        client.send(format!("GET /news/7 HTTP/1.1\r\nhost: test\r\n{fields}\r\n")).await;
        let head = client.head().await;
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
        assert_eq!(
            (head.header("cache-control"), head.header("content-encoding")),
            (Some("no-cache"), None)
        );
        (client, self.born.recv().await.expect("it is born"))
    }
}

async fn event(client: &mut Client) -> String {
    String::from_utf8(client.chunk().await).expect("events are text")
}

// proves: GATE-55
#[linden::test]
async fn a_stream_is_a_process_that_others_tell_the_news(node: Node) {
    let mut streams = streams().await;
    let (mut client, process) =
        streams.open("accept-encoding: gzip\r\nlast-event-id: 41\r\n").await;
    assert_eq!(event(&mut client).await, "data: since 41\n\n");
    let label = format!("event stream {} /news/{{topic}}", client.addr());
    assert_eq!(labelled(&node, &label), Some(process.pid()));
    process.send("two\nlines".to_owned()).expect("it lives");
    assert_eq!(event(&mut client).await, "id: 7\ndata: two\ndata: lines\n\n");
    // It ends, and so does the stream; the connection goes on.
    process.send("end".to_owned()).expect("it lives");
    assert_eq!(event(&mut client).await, "");
    node.wait_exit(process.pid()).await;
    assert_eq!(client.get("/nowhere").await.status, 404);
}

// proves: GATE-55
#[linden::test]
async fn a_client_that_leaves_ends_the_process(node: Node) {
    let mut streams = streams().await;
    let (mut client, process) = streams.open("").await;
    assert_eq!(event(&mut client).await, "data: since the beginning\n\n");
    drop(client);
    assert_eq!(streams.ended.recv().await, Some(Reason::Shutdown));
    node.wait_exit(process.pid()).await;
    until(&streams.served.gateway, |stats| stats.connections_open == 0).await;
}

#[linden::test]
async fn a_connection_that_is_killed_ends_the_process(node: Node) {
    let mut streams = streams().await;
    let (client, process) = streams.open("").await;
    let info = node.process_info(process.pid()).await.expect("it lives");
    assert!(info.links.is_empty());
    node.exit(info.row.parent.expect("its connection's"), Reason::Kill);
    assert_eq!(streams.ended.recv().await, Some(Reason::Shutdown));
    drop(client);
}

#[linden::test]
async fn a_process_that_crashes_ends_its_stream_alone(node: Node) {
    let mut streams = streams().await;
    let (mut client, process) = streams.open("").await;
    assert_eq!(event(&mut client).await, "data: since the beginning\n\n");
    node.exit(process.pid(), Reason::Kill);
    assert_eq!(event(&mut client).await, "");
    assert_eq!(client.get("/nowhere").await.status, 404);
}

// proves: GATE-56
#[linden::test]
async fn a_drain_ends_streams_after_what_was_said() {
    let mut streams = streams().await;
    let (mut client, process) = streams.open("").await;
    assert_eq!(event(&mut client).await, "data: since the beginning\n\n");
    let mut pulled = Client::of(&streams.served.gateway).await;
    pulled.send(get_of("/pulled")).await;
    pulled.head().await;
    process.send("last".to_owned()).expect("it lives");
    assert_eq!(event(&mut client).await, "id: 7\ndata: last\n\n");
    let gateway = streams.served.gateway.clone();
    let drain = Task::spawn_unlinked(async move { gateway.drain(Duration::from_secs(3600)).await });
    assert_eq!(event(&mut client).await, "");
    assert_eq!(streams.ended.recv().await, Some(Reason::Shutdown));
    while !event(&mut pulled).await.is_empty() {}
    let drained = drain.await.expect("it ends");
    assert_eq!((drained.ended, drained.cut), (2, 0));
    client.closed().await;
}

// proves: GATE-55
#[linden::test]
async fn a_quiet_stream_is_kept_alive_by_comments() {
    let streams = streams().await;
    let mut client = Client::of(&streams.served.gateway).await;
    client.send(get_of("/pulled")).await;
    client.head().await;
    for expected in ["data: 1\n\n", "data: 2\n\n", ":\n\n", ":\n\n"] {
        assert_eq!(event(&mut client).await, expected);
    }
}

// proves: GATE-55
#[linden::test]
async fn a_process_says_no_more_than_its_client_takes(node: Node) {
    let (says, mut said) = unbounded_channel();
    let endless = async move |sse: Sse| {
        let says = says.clone();
        sse.from_process(move |mut events, _: Cx<()>| async move {
            let large = "x".repeat(64 * 1024);
            while events.send(Event::default().data(&large)).await.is_ok() {
                let _ = says.send(large.len());
            }
        })
    };
    let served = serve(Router::new().route("/", get(endless)), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    client.send(get_of("/")).await;
    client.head().await;
    let (mut taken, mut most) = (0, 0);
    let mut total = 0;
    for _ in 0..1000 {
        taken += client.chunk().await.len();
        while let Ok(len) = said.try_recv() {
            total += len;
        }
        most = most.max(total.saturating_sub(taken));
    }
    // The buffers of the sockets, and sixteen events.
    assert!(most <= 24 * 1024 * 1024, "{most}");
    let label = format!("event stream {} /", client.addr());
    assert!(labelled(&node, &label).is_some());
    drop(client);
    until_true(|| labelled(&node, &label).is_none()).await;
}
