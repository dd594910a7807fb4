//! Bodies that are read and written as streams, and clients that go away in the middle of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use linden_gateway::axum::Router;
use linden_gateway::axum::body::{Body, Bytes};
use linden_gateway::axum::routing::{get, post};
use linden_gateway::{Limits, RouteLimits};
use tokio::sync::Semaphore;

use crate::client::{Client, get as get_of};
use crate::served::{serve, until};

const PART: usize = 64 * 1024;
const PARTS: usize = 2048;
/// What may be on its way between the client and the handler: the sockets' buffers, and ours.
const ON_ITS_WAY_MAX: u64 = 24 * 1024 * 1024;

// proves: GATE-10
#[linden::test]
async fn a_large_body_passes_no_faster_than_it_is_read() {
    let written = Arc::new(AtomicU64::new(0));
    let ahead = written.clone();
    let read = async move |body: Body| {
        let (mut total, mut most) = (0_u64, 0);
        let mut parts = body.into_data_stream();
        while let Some(part) = parts.next().await {
            total += part.expect("the client sends all").len() as u64;
            most = ahead.load(Ordering::SeqCst).saturating_sub(total).max(most);
        }
        format!("{total} {}", most <= ON_ITS_WAY_MAX)
    };
    let limits = RouteLimits::new().unlimited_body().no_request_timeout();
    let router = Router::new().route("/upload", post(read).layer(limits));
    let served = serve(router, Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    let length = PART * PARTS;
    let head = format!("POST /upload HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n");
    client.send(head).await;
    let part = vec![7; PART];
    for _ in 0..PARTS {
        client.send(&part).await;
        written.fetch_add(PART as u64, Ordering::SeqCst);
    }
    assert_eq!(client.response().await.text(), format!("{length} true"));
}

// proves: GATE-10
#[linden::test]
async fn a_large_response_is_made_no_faster_than_it_is_taken() {
    let made = Arc::new(AtomicU64::new(0));
    let ahead = made.clone();
    let stream = move || {
        let made = made.clone();
        let parts = futures_util::stream::iter(0..PARTS).map(move |_| {
            made.fetch_add(PART as u64, Ordering::SeqCst);
            Ok::<_, std::io::Error>(Bytes::from(vec![7; PART]))
        });
        std::future::ready(Body::from_stream(parts))
    };
    let served = serve(Router::new().route("/", get(stream)), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    client.send(get_of("/")).await;
    client.head().await;
    let mut taken = 0;
    for _ in 0..PARTS {
        let most = ahead.load(Ordering::SeqCst).saturating_sub(taken);
        assert!(most <= ON_ITS_WAY_MAX, "{most} bytes are on their way");
        taken += client.chunk().await.len() as u64;
    }
    assert_eq!((taken, client.chunk().await.len()), ((PART * PARTS) as u64, 0));
}

/// Tells when it is dropped.
struct Dropped(Arc<Semaphore>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// A handler that never answers, and tells when it begins and when it is dropped.
fn endless(begun: &Arc<Semaphore>, dropped: &Arc<Semaphore>) -> Router {
    let (begun, dropped) = (begun.clone(), dropped.clone());
    let handler = async move || {
        let _dropped = Dropped(dropped.clone());
        begun.add_permits(1);
        std::future::pending::<()>().await;
    };
    Router::new().route("/endless", get(handler))
}

// proves: GATE-11
#[linden::test]
async fn a_client_that_leaves_during_its_request_drops_the_handler() {
    let (begun, dropped) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let served = serve(endless(&begun, &dropped), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    client.send(get_of("/endless")).await;
    drop(begun.acquire().await);
    drop(client);
    drop(dropped.acquire().await);
    until(&served.gateway, |stats| stats.connections_open == 0).await;
    let stats = served.gateway.stats();
    assert_eq!((stats.requests_abandoned, stats.requests_served), (1, 0));
}

// proves: GATE-11
#[linden::test]
async fn a_client_that_leaves_during_its_body_ends_the_body_with_an_error() {
    let failed = Arc::new(Semaphore::new(0));
    let begun = Arc::new(Semaphore::new(0));
    let (fails, begins) = (failed.clone(), begun.clone());
    let read = async move |body: Body| {
        let mut parts = body.into_data_stream();
        while let Some(part) = parts.next().await {
            begins.add_permits(1);
            if part.is_err() {
                fails.add_permits(1);
            }
        }
    };
    let served = serve(Router::new().route("/", post(read)), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\nbegun").await;
    drop(begun.acquire().await);
    drop(client);
    drop(failed.acquire().await);
    until(&served.gateway, |stats| stats.connections_open == 0).await;
}

// proves: GATE-11
#[linden::test]
async fn a_client_that_leaves_during_the_response_drops_its_body() {
    let dropped = Arc::new(Semaphore::new(0));
    let guard = dropped.clone();
    let stream = move || {
        let guard = Dropped(guard.clone());
        let parts = futures_util::stream::repeat_with(move || {
            let _held = &guard;
            Ok::<_, std::io::Error>(Bytes::from_static(b"more"))
        });
        std::future::ready(Body::from_stream(parts))
    };
    let served = serve(Router::new().route("/", get(stream)), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    client.send(get_of("/")).await;
    client.head().await;
    client.chunk().await;
    drop(client);
    drop(dropped.acquire().await);
    until(&served.gateway, |stats| stats.connections_open == 0).await;
}

#[linden::test]
async fn a_body_that_panics_breaks_its_connection_off_and_others_are_served() {
    let may_panic = Arc::new(Semaphore::new(0));
    let waits = may_panic.clone();
    let panics = async move || {
        let parts = futures_util::stream::iter(0..2).then(move |number| {
            let waits = waits.clone();
            async move {
                if number == 1 {
                    drop(waits.acquire().await);
                    panic!("a body");
                }
                Ok::<_, std::io::Error>(Bytes::from_static(b"first"))
            }
        });
        Body::from_stream(parts)
    };
    let router = Router::new().route("/", get(panics)).route("/hello", get(async || "hello"));
    let served = serve(router, Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    client.send(get_of("/")).await;
    client.head().await;
    assert_eq!(client.chunk().await, b"first");
    may_panic.add_permits(1);
    client.closed().await;
    until(&served.gateway, |stats| stats.connections_open == 0).await;
    assert_eq!(served.gateway.stats().handler_panics, 1);
    assert_eq!(Client::of(&served.gateway).await.get("/hello").await.status, 200);
}
