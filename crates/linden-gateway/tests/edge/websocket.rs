//! WebSockets: a process each, from the handshake to the end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use linden::{Address, Cx, Mail, Message, Node, Reason, Task};
use linden_gateway::axum::Router;
use linden_gateway::axum::routing::get;
use linden_gateway::{
    Drained, EdgeConfig, Limits, WebSocket, WebSocketClosed, WebSocketEvent, WebSocketLimits,
    WebSocketMessage, WebSocketUpgrade,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as WsMessage;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};

use crate::client::{Client, Response};
use crate::served::{Served, labelled, serve, short, until, until_true};

type Far = WebSocketStream<TcpStream>;

/// News for the process of a socket.
#[derive(Debug, PartialEq)]
enum News {
    Say(String),
    Crash,
}

impl Message for News {}

/// What the sockets of a gateway tell the test.
struct Sockets {
    served: Served,
    born: UnboundedReceiver<Address<News>>,
    ended: UnboundedReceiver<WebSocketClosed>,
}

/// A gateway whose `/live/{room}` echoes and passes on what it is told.
async fn sockets(limits: WebSocketLimits) -> Sockets {
    let (births, born) = unbounded_channel();
    let (ends, ended) = unbounded_channel();
    let live = async move |upgrade: WebSocketUpgrade| {
        let (births, ends) = (births.clone(), ends.clone());
        let upgrade = upgrade.limits(limits).protocols(["chat.v2", "chat.v1"]);
        upgrade.allow_origin("https://app.example").on_upgrade(move |socket, cx: Cx<News>| {
            births.send(cx.address()).expect("the test listens");
            echo(socket, cx, ends)
        })
    };
    let router =
        Router::new().route("/live/{room}", get(live)).route("/hello", get(async || "hello"));
    let router = EdgeConfig::default().wrap(router).expect("the edge is sound");
    // The gateway's time limits are short: they must not hold for a WebSocket.
    Sockets { served: serve(router, short()).await, born, ended }
}

async fn echo(mut socket: WebSocket, mut cx: Cx<News>, ends: UnboundedSender<WebSocketClosed>) {
    loop {
        let result = match socket.next(&mut cx).await {
            Ok(WebSocketEvent::Message(WebSocketMessage::Text(text))) if &*text == "bye" => {
                return socket.close(3007, "bye bye").await;
            }
            Ok(WebSocketEvent::Message(message)) => socket.send(message).await,
            Ok(WebSocketEvent::Mail(Mail::Msg(News::Say(text)))) => socket.send(text).await,
            Ok(WebSocketEvent::Mail(Mail::Msg(News::Crash))) => panic!("told to crash"),
            Ok(WebSocketEvent::Mail(Mail::Info(_))) => Ok(()),
            Err(closed) => Err(closed),
        };
        if let Err(closed) = result {
            let _ = ends.send(closed);
            return;
        }
    }
}

impl Sockets {
    async fn connect(&self) -> Far {
        let addr = self.served.gateway.local_addr();
        let request = format!("ws://{addr}/live/7").into_client_request().expect("an address");
        let stream = TcpStream::connect(addr).await.expect("the gateway listens");
        let (far, response) =
            tokio_tungstenite::client_async(request, stream).await.expect("it agrees");
        assert_eq!(response.status(), 101);
        far
    }

    fn drain(&self, grace: Duration) -> Task<Drained> {
        let gateway = self.served.gateway.clone();
        Task::spawn_unlinked(async move { gateway.drain(grace).await })
    }

    async fn ended(&mut self) -> WebSocketClosed {
        self.ended.recv().await.expect("it tells of its end")
    }
}

async fn next(far: &mut Far) -> WsMessage {
    far.next().await.expect("there is more").expect("it is sound")
}

fn closes(message: WsMessage) -> (u16, String) {
    let WsMessage::Close(Some(CloseFrame { code, reason })) = message else {
        panic!("{message:?}")
    };
    (code.into(), reason.as_str().to_owned())
}

// proves: GATE-51
#[linden::test]
async fn a_socket_is_a_process_that_hears_its_client_and_others(node: Node) {
    let mut sockets = sockets(WebSocketLimits::default()).await;
    let mut far = sockets.connect().await;
    let process = sockets.born.recv().await.expect("it is born");
    let peer = far.get_ref().local_addr().expect("it is connected");
    assert_eq!(labelled(&node, &format!("websocket {peer} /live/{{room}}")), Some(process.pid()));
    far.send("hello".into()).await.expect("it is sent");
    assert_eq!(next(&mut far).await, "hello".into());
    far.send(WsMessage::Binary(vec![7; 70_000].into())).await.expect("it is sent");
    assert_eq!(next(&mut far).await.into_data().len(), 70_000);
    process.send(News::Say("news".to_owned())).expect("it lives");
    assert_eq!(next(&mut far).await, "news".into());
    far.send(WsMessage::Ping(vec![1, 2].into())).await.expect("it is sent");
    assert_eq!(next(&mut far).await, WsMessage::Pong(vec![1, 2].into()));
    // The connection's process is gone, the place is taken by the socket.
    until_true(|| labelled(&node, &format!("http/1.1 {peer} GET /live/{{room}}")).is_none()).await;
    assert_eq!(sockets.served.gateway.stats().connections_open, 1);
    far.close(Some(CloseFrame { code: CloseCode::Away, reason: "home".into() }))
        .await
        .expect("it is sent");
    assert_eq!(closes(next(&mut far).await), (1001, "home".to_owned()));
    let closed = sockets.ended().await;
    assert!(
        matches!(&closed, WebSocketClosed::ByClient { code: Some(1001), reason } if reason == "home")
    );
    assert!(far.next().await.is_none());
    node.wait_exit(process.pid()).await;
    until(&sockets.served.gateway, |stats| stats.connections_open == 0).await;
}

// proves: GATE-51
#[linden::test]
async fn a_socket_is_closed_when_its_process_ends(node: Node) {
    let mut sockets = sockets(WebSocketLimits::default()).await;
    let mut far = sockets.connect().await;
    far.send("bye".into()).await.expect("it is sent");
    assert_eq!(closes(next(&mut far).await), (3007, "bye bye".to_owned()));
    sockets.born.recv().await.expect("it was born");
    for crash in [true, false] {
        let mut far = sockets.connect().await;
        let process = sockets.born.recv().await.expect("it is born");
        match crash {
            true => process.send(News::Crash).expect("it lives"),
            false => node.exit(process.pid(), Reason::Kill),
        }
        assert!(far.next().await.is_none_or(|message| message.is_err()));
        node.wait_exit(process.pid()).await;
    }
    let mut far = sockets.connect().await;
    far.send("still here".into()).await.expect("it is sent");
    assert_eq!(next(&mut far).await, "still here".into());
}

#[linden::test]
async fn a_socket_that_the_program_leaves_is_closed_with_1000() {
    let router = Router::new().route(
        "/",
        get(async |upgrade: WebSocketUpgrade| {
            upgrade.on_upgrade(|mut socket, _: Cx<()>| async move {
                let _ = socket.send("only this").await;
            })
        }),
    );
    let served = serve(router, Limits::default()).await;
    let addr = served.gateway.local_addr();
    let stream = TcpStream::connect(addr).await.expect("the gateway listens");
    let (mut far, _) =
        tokio_tungstenite::client_async(format!("ws://{addr}/"), stream).await.expect("it agrees");
    assert_eq!(next(&mut far).await, "only this".into());
    assert_eq!(closes(next(&mut far).await), (1000, String::new()));
    assert!(far.next().await.is_none());
    until(&served.gateway, |stats| stats.connections_open == 0).await;
}

// proves: GATE-52
#[linden::test]
async fn a_drain_sends_a_close_frame_and_waits_for_its_answer(node: Node) {
    let mut sockets = sockets(WebSocketLimits::default()).await;
    let mut far = sockets.connect().await;
    let process = sockets.born.recv().await.expect("it is born");
    let drain = sockets.drain(Duration::from_secs(3600));
    // The answer to it is made by the client's library, at the next look.
    assert_eq!(closes(next(&mut far).await), (1001, "going away".to_owned()));
    assert!(far.next().await.is_none());
    assert!(matches!(sockets.ended().await, WebSocketClosed::Draining));
    node.wait_exit(process.pid()).await;
    let drained = drain.await.expect("it ends");
    assert_eq!((drained.ended, drained.cut), (1, 0));
}

// proves: GATE-52
#[linden::test]
async fn a_drain_cuts_sockets_that_stay_after_the_grace() {
    let router = Router::new().route(
        "/",
        get(async |upgrade: WebSocketUpgrade| {
            upgrade.on_upgrade(|_socket, mut cx: Cx<()>| async move {
                // It never looks at its socket.
                loop {
                    cx.recv().await;
                }
            })
        }),
    );
    let served = serve(router, Limits::default()).await;
    let addr = served.gateway.local_addr();
    let stream = TcpStream::connect(addr).await.expect("the gateway listens");
    let (mut far, _) =
        tokio_tungstenite::client_async(format!("ws://{addr}/"), stream).await.expect("it agrees");
    let drained = served.gateway.drain(Duration::from_millis(50)).await;
    assert_eq!((drained.ended, drained.cut), (0, 1));
    assert!(far.next().await.is_none_or(|message| message.is_err()));
}

#[linden::test]
async fn while_the_gateway_drains_a_websocket_is_refused() {
    let (begun, may_go_on) =
        (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let (begins, waits) = (begun.clone(), may_go_on.clone());
    let late = async move |upgrade: WebSocketUpgrade| {
        begins.add_permits(1);
        drop(waits.acquire().await);
        upgrade.on_upgrade(|_socket, _: Cx<()>| async {})
    };
    let served = serve(Router::new().route("/", get(late)), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    client.send(handshake("/", "")).await;
    drop(begun.acquire().await);
    let gateway = served.gateway.clone();
    let drain = Task::spawn_unlinked(async move { gateway.drain(Duration::from_secs(3600)).await });
    until_true(|| std::net::TcpStream::connect(served.gateway.local_addr()).is_err()).await;
    may_go_on.add_permits(1);
    let response = client.response().await;
    assert_eq!((response.status, response.text()), (503, r#"{"error":"draining"}"#));
    assert!(response.header("retry-after").is_some());
    drain.await.expect("it ends");
}

// proves: GATE-54
#[linden::test]
async fn a_message_above_the_limits_is_refused_with_1009() {
    let limits =
        WebSocketLimits { message_bytes_max: 1000, frame_bytes_max: 600, ..Default::default() };
    let part = |size: usize, opcode: Data, last: bool| {
        WsMessage::Frame(Frame::message(vec![b'x'; size], OpCode::Data(opcode), last))
    };
    let one_frame = vec![part(601, Data::Text, true)];
    let two_frames = vec![part(600, Data::Text, false), part(401, Data::Continue, true)];
    for frames in [one_frame, two_frames] {
        let mut sockets = sockets(limits).await;
        let mut far = sockets.connect().await;
        for fits in [part(500, Data::Text, false), part(500, Data::Continue, true)] {
            far.send(fits).await.expect("it is sent");
        }
        assert_eq!(next(&mut far).await.len(), 1000);
        for frame in frames {
            far.send(frame).await.expect("it is sent");
        }
        assert_eq!(closes(next(&mut far).await).0, 1009);
        assert!(matches!(sockets.ended().await, WebSocketClosed::TooLarge));
    }
}

// proves: GATE-54
#[linden::test]
async fn what_breaks_the_protocol_is_refused_with_its_code() {
    // Frames that no library sends: not masked, of an unknown kind, a continuation of nothing; and text that is none.
    let table: [(&[u8], u16); 4] = [
        (&[0x81, 0x01, b'a'], 1002),
        (&[0x83, 0x80, 0, 0, 0, 0], 1002),
        (&[0x80, 0x80, 0, 0, 0, 0], 1002),
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
    ];
    for (bytes, code) in table {
        let mut sockets = sockets(WebSocketLimits::default()).await;
        let mut client = Client::of(&sockets.served.gateway).await;
        client.send(handshake("/live/7", "")).await;
        assert_eq!(client.head().await.status, 101);
        client.send(bytes).await;
        let frame = client.take(4).await;
        assert_eq!(frame[0], 0x88, "a close frame");
        assert_eq!(u16::from_be_bytes([frame[2], frame[3]]), code, "{bytes:?}");
        assert!(matches!(sockets.ended().await, WebSocketClosed::Protocol(_)));
    }
}

// proves: GATE-54
#[linden::test]
async fn a_silent_client_is_asked_and_then_cut() {
    let millis = Duration::from_millis;
    let limits =
        WebSocketLimits { ping_after: millis(30), pong_timeout: millis(30), ..Default::default() };
    let mut sockets = sockets(limits).await;
    let mut far = sockets.connect().await;
    for _ in 0..3 {
        // Read, so answered.
        assert!(matches!(next(&mut far).await, WsMessage::Ping(_)));
    }
    far.flush().await.expect("the answer is sent");
    assert!(matches!(sockets.ended().await, WebSocketClosed::Silent));
}

// proves: GATE-54
#[linden::test]
async fn a_client_that_takes_nothing_is_cut() {
    let limits = WebSocketLimits { send_timeout: Duration::from_millis(50), ..Default::default() };
    let mut sockets = sockets(limits).await;
    let far = sockets.connect().await;
    let process = sockets.born.recv().await.expect("it is born");
    let large = "x".repeat(1024 * 1024);
    // More than the buffers of two sockets hold.
    for _ in 0..64 {
        if process.send(News::Say(large.clone())).is_err() {
            break;
        }
    }
    assert!(matches!(sockets.ended().await, WebSocketClosed::Stalled));
    drop(far);
}

#[linden::test]
async fn a_client_that_leaves_without_a_word_ends_the_process(node: Node) {
    let mut sockets = sockets(WebSocketLimits::default()).await;
    let far = sockets.connect().await;
    let process = sockets.born.recv().await.expect("it is born");
    drop(far);
    assert!(matches!(sockets.ended().await, WebSocketClosed::Broken(_)));
    node.wait_exit(process.pid()).await;
    until(&sockets.served.gateway, |stats| stats.connections_open == 0).await;
}

fn handshake(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: shop.example\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    )
}

async fn answer(sockets: &Sockets, request: String) -> Response {
    let mut client = Client::of(&sockets.served.gateway).await;
    client.send(request).await;
    client.response().await
}

// proves: GATE-51
#[linden::test]
async fn a_handshake_is_answered_as_the_standard_says() {
    let sockets = sockets(WebSocketLimits::default()).await;
    let fields = "sec-websocket-protocol: other, chat.v1\r\nsec-websocket-protocol: chat.v2\r\n";
    let response = answer(&sockets, handshake("/live/7", fields)).await;
    assert_eq!((response.status, response.header("upgrade")), (101, Some("websocket")));
    assert_eq!(response.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(response.header("sec-websocket-protocol"), Some("chat.v2"));
    let without = answer(&sockets, handshake("/live/7", "sec-websocket-protocol: x\r\n")).await;
    assert_eq!((without.status, without.header("sec-websocket-protocol")), (101, None));
}

// proves: GATE-51
#[linden::test]
async fn what_is_no_handshake_is_refused() {
    let sockets = sockets(WebSocketLimits::default()).await;
    let good = handshake("/live/7", "");
    let table = [
        (good.replace("upgrade: WebSocket\r\n", ""), 426),
        (good.replace("keep-alive, Upgrade", "close"), 426),
        (good.replace("WebSocket\r\n", "h2c\r\n"), 426),
        (good.replace("version: 13", "version: 8"), 426),
        (good.replace("sec-websocket-version: 13\r\n", ""), 426),
        (good.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), 400),
        (good.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQAA"), 400),
        (good.replace("host:", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nhost:"), 400),
    ];
    for (request, status) in table {
        let response = answer(&sockets, request.clone()).await;
        assert_eq!(response.status, status, "{request}");
        assert_eq!(response.header("sec-websocket-version"), Some("13"));
    }
    assert_eq!(answer(&sockets, good.replace("GET", "POST")).await.status, 405);
}

// proves: GATE-53
#[linden::test]
async fn a_page_of_another_host_gets_no_socket() {
    let sockets = sockets(WebSocketLimits::default()).await;
    let table = [
        ("https://shop.example", 101),
        ("https://app.example", 101),
        ("https://evil.example", 403),
        ("null", 403),
    ];
    for (origin, status) in table {
        let response =
            answer(&sockets, handshake("/live/7", &format!("origin: {origin}\r\n"))).await;
        assert_eq!(response.status, status, "{origin}");
    }
}

#[linden::test]
async fn a_response_that_a_layer_replaces_ends_the_process(node: Node) {
    let born = Arc::new(tokio::sync::Semaphore::new(0));
    let begins = born.clone();
    let refused = async move |upgrade: WebSocketUpgrade| {
        let begins = begins.clone();
        drop(upgrade.on_upgrade(move |_socket, _: Cx<()>| async move { begins.add_permits(1) }));
        "no socket"
    };
    let served = serve(Router::new().route("/", get(refused)), short()).await;
    let mut client = Client::of(&served.gateway).await;
    client.send(handshake("/", "")).await;
    assert_eq!(client.response().await.text(), "no socket");
    let label = format!("websocket {} /", client.addr());
    until_true(|| labelled(&node, &label).is_none()).await;
    assert_eq!(born.available_permits(), 0);
}

#[linden::test]
async fn a_flood_of_mail_does_not_keep_the_client_waiting() {
    let mut sockets = sockets(WebSocketLimits::default()).await;
    let mut far = sockets.connect().await;
    let process = sockets.born.recv().await.expect("it is born");
    for _ in 0..10_000 {
        process.send(News::Say("x".to_owned())).expect("it lives");
    }
    far.send("hello".into()).await.expect("it is sent");
    let mut before = 0;
    while next(&mut far).await != "hello".into() {
        before += 1;
    }
    assert!(before < 10_000, "it came last");
}
