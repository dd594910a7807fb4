//! Ends: drains in good order, and ends without one.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use linden::{Node, Reason, Status, Task};
use linden_gateway::axum::Router;
use linden_gateway::axum::body::{Body, Bytes};
use linden_gateway::axum::routing::get;
use linden_gateway::{Drained, Gateway, Limits};
use tokio::sync::Semaphore;

use crate::client::{Client, get as get_of};
use crate::log;
use crate::served::{Served, serve, turn, until};

/// A grace that no test waits for.
const LONG: Duration = Duration::from_secs(3600);

/// A gateway whose `/slow` answers when it is let to.
struct Slow {
    served: Served,
    /// Handlers that have begun.
    begun: Arc<Semaphore>,
    /// Handlers that may end.
    may_end: Arc<Semaphore>,
}

async fn slow() -> Slow {
    let (begun, may_end) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (began, end) = (begun.clone(), may_end.clone());
    let handler = async move || {
        began.add_permits(1);
        end.acquire().await.expect("never closed").forget();
        "slow"
    };
    let router = Router::new().route("/slow", get(handler)).route("/hello", get(async || "hello"));
    Slow { served: serve(router, Limits::default()).await, begun, may_end }
}

impl Slow {
    /// A client whose request is being served.
    async fn in_flight(&self) -> Client {
        let mut client = Client::of(&self.served.gateway).await;
        client.send(get_of("/slow")).await;
        self.begun.acquire().await.expect("never closed").forget();
        client
    }

    fn drain(&self, grace: Duration) -> Task<Drained> {
        let gateway = self.served.gateway.clone();
        Task::spawn_unlinked(async move { gateway.drain(grace).await })
    }

    /// Returns when nobody is let in any more.
    async fn shut(&self) {
        while TcpStream::connect(self.served.gateway.local_addr()).is_ok() {
            turn().await;
        }
    }
}

// proves: GATE-07
#[linden::test]
async fn a_drain_lets_requests_end_closes_idle_connections_and_refuses_new_ones() {
    let slow = slow().await;
    let mut busy = slow.in_flight().await;
    let mut idle = Client::of(&slow.served.gateway).await;
    assert!(!idle.get("/hello").await.closes());
    let drain = slow.drain(LONG);
    idle.closed().await;
    slow.shut().await;
    slow.may_end.add_permits(1);
    let response = busy.response().await;
    assert_eq!((response.text(), response.closes()), ("slow", true));
    busy.closed().await;
    let drained = drain.await.expect("the drain ends");
    assert_eq!((drained.ended >= 2, drained.cut), (true, 0), "{drained:?}");
    assert_eq!(slow.served.gateway.stats().connections_open, 0);
}

// proves: GATE-07
#[linden::test]
async fn what_is_left_after_the_grace_is_cut() {
    log::keep();
    let slow = slow().await;
    let mut busy = slow.in_flight().await;
    let drained = slow.drain(Duration::from_millis(20)).await.expect("the drain ends");
    assert_eq!((drained.ended, drained.cut), (0, 1));
    let lines = log::lines_with(&format!("listen={}", slow.served.gateway.local_addr()));
    assert!(lines.len() == 1 && lines[0].starts_with("WARN"), "{lines:?}");
    assert!(lines[0].contains("cut=1"), "{lines:?}");
    busy.closed().await;
    let stats = slow.served.gateway.stats();
    assert_eq!((stats.connections_open, stats.requests_abandoned), (0, 1));
}

#[linden::test]
async fn a_client_that_has_just_connected_is_let_in_and_served() {
    let slow = slow().await;
    let busy = slow.in_flight().await;
    let mut fresh = Client::of(&slow.served.gateway).await;
    until(&slow.served.gateway, |stats| stats.connections_accepted == 2).await;
    let drain = slow.drain(LONG);
    slow.shut().await;
    let response = fresh.get("/hello").await;
    assert_eq!((response.text(), response.closes()), ("hello", true));
    fresh.closed().await;
    drop(busy);
    assert_eq!(drain.await.expect("the drain ends").cut, 0);
}

#[linden::test]
async fn clients_for_whom_there_was_no_room_are_closed_by_a_drain() {
    let limits = Limits { connections_max: 2, ..Limits::default() };
    let router = Router::new().route("/hello", get(async || "hello"));
    let served = serve(router, limits).await;
    let mut first = Client::of(&served.gateway).await;
    let mut second = Client::of(&served.gateway).await;
    assert_eq!(first.get("/hello").await.status, 200);
    assert_eq!(second.get("/hello").await.status, 200);
    // There is no room for this one until the others are closed, and then the door is shut.
    let mut waiting = Client::of(&served.gateway).await;
    waiting.send(get_of("/hello")).await;
    let drained = served.gateway.drain(LONG).await;
    assert_eq!(drained, {
        let mut expected = Drained::default();
        expected.ended = 2;
        expected
    });
    waiting.closed().await;
}

/// The work that the one connection has done, when it waits.
fn work_of_connection(node: &Node) -> Option<u64> {
    let rows = node.processes().into_iter();
    let mut connections =
        rows.filter(|row| row.label.as_deref().is_some_and(|label| label.starts_with("http/1.1")));
    let row = connections.next().expect("it is open");
    (row.status != Status::Running).then_some(row.reductions)
}

// proves: GATE-07
#[linden::test]
async fn a_request_whose_head_has_come_in_part_is_served_by_a_drain(node: Node) {
    let served =
        serve(Router::new().route("/hello", get(async || "hello")), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    assert!(!client.get("/hello").await.closes());
    let before = loop {
        if let Some(work) = work_of_connection(&node) {
            break work;
        }
        turn().await;
    };
    client.send("GET /hello HTTP/1.1\r\nho").await;
    while work_of_connection(&node).is_none_or(|work| work == before) {
        turn().await;
    }
    let gateway = served.gateway.clone();
    let drain = Task::spawn_unlinked(async move { gateway.drain(LONG).await });
    while TcpStream::connect(served.gateway.local_addr()).is_ok() {
        turn().await;
    }
    client.send("st: test\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!((response.text(), response.closes()), ("hello", true));
    client.closed().await;
    assert_eq!(drain.await.expect("it drains").cut, 0);
}

#[linden::test]
async fn a_response_on_its_way_is_sent_to_its_end() {
    let more = Arc::new(Semaphore::new(1));
    let parts = more.clone();
    let stream = move || {
        let parts = parts.clone();
        let body = futures_util::stream::unfold(0, move |number: u8| {
            let parts = parts.clone();
            async move {
                parts.acquire().await.expect("never closed").forget();
                (number < 3)
                    .then(|| (Ok::<_, std::io::Error>(Bytes::from(vec![number])), number + 1))
            }
        });
        std::future::ready(Body::from_stream(body))
    };
    let served = serve(Router::new().route("/stream", get(stream)), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    client.send(get_of("/stream")).await;
    client.head().await;
    assert_eq!(client.chunk().await, [0]);
    let gateway = served.gateway.clone();
    let drain = Task::spawn_unlinked(async move { gateway.drain(LONG).await });
    while TcpStream::connect(served.gateway.local_addr()).is_ok() {
        turn().await;
    }
    more.add_permits(3);
    assert_eq!((client.chunk().await, client.chunk().await), (vec![1], vec![2]));
    assert_eq!(client.chunk().await, [0; 0]);
    client.closed().await;
    assert_eq!(drain.await.expect("the drain ends").cut, 0);
}

#[linden::test]
async fn drains_of_an_idle_gateway_and_second_drains_end() {
    let slow = slow().await;
    let busy = slow.in_flight().await;
    let (first, second) = (slow.drain(LONG), slow.drain(LONG));
    slow.may_end.add_permits(1);
    let drained = first.await.expect("the drain ends");
    assert_eq!(second.await.expect("the drain ends"), drained);
    assert_eq!(slow.served.gateway.drain(LONG).await, drained);
    drop(busy);
    let addr = slow.served.gateway.local_addr();
    let again = Gateway::bind(addr, Router::new(), Limits::default()).expect("the port is free");
    assert_eq!(again.drain(LONG).await, Drained::default());
}

#[linden::test]
async fn a_stop_without_a_drain_closes_everything(node: Node) {
    let slow = slow().await;
    let mut busy = slow.in_flight().await;
    let mut idle = Client::of(&slow.served.gateway).await;
    idle.get("/hello").await;
    slow.served.supervisor.stop(Reason::Shutdown).await.expect("it stops");
    busy.closed().await;
    idle.closed().await;
    until(&slow.served.gateway, |stats| stats.connections_open == 0).await;
    assert_eq!(slow.served.gateway.drain(LONG).await, Drained::default());
    drop(node);
}

#[test]
fn a_node_stops_with_connections_open() {
    let options = linden::NodeOptions { workers: 2, ..linden::NodeOptions::default() };
    let node = Node::start(options).expect("a node starts");
    let (mut busy, gateway) = node.block_on(async {
        let slow = slow().await;
        (slow.in_flight().await, slow.served.gateway)
    });
    let report = node.stop(Duration::from_secs(60));
    assert_eq!((report.killed.len(), report.zombies.len()), (0, 0), "{report:?}");
    assert_eq!(gateway.stats().connections_open, 0);
    linden_closed(&mut busy);
}

/// The client's socket belonged to the node; what is left of it is the descriptor.
fn linden_closed(client: &mut Client) {
    let mut byte = [0];
    let read = client.stream.try_read(&mut byte);
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}
