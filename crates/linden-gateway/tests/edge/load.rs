//! More requests than are wanted: at once, and from one client.

use std::sync::Arc;
use std::time::Duration;

use linden_gateway::axum::Router;
use linden_gateway::axum::http::request::Parts;
use linden_gateway::axum::routing::get;
use linden_gateway::{
    ClientAddr, ConcurrencyConfig, ConcurrencyLimit, EdgeConfig, Limits, RateConfig, RateKey,
    RateLimit,
};
use tokio::sync::Semaphore;

use crate::client::{Client, get as get_of};
use crate::log;
use crate::served::{Served, serve, until_true};

/// A time that no test waits for.
const NEVER: Duration = Duration::from_secs(3600);

/// A gateway whose one route answers when it is let to.
struct Held {
    served: Served,
    limit: ConcurrencyLimit,
    may_end: Arc<Semaphore>,
}

async fn held(config: ConcurrencyConfig) -> Held {
    let may_end = Arc::new(Semaphore::new(0));
    let ends = may_end.clone();
    let handler = async move || {
        ends.acquire().await.expect("never closed").forget();
        "done"
    };
    let limit = ConcurrencyLimit::new(config);
    let router = Router::new().route("/", get(handler)).layer(limit.clone());
    Held { served: serve(router, Limits::default()).await, limit, may_end }
}

impl Held {
    /// A client whose request has come so far that `running` and `waiting` are as given.
    async fn ask(&self, running: usize, waiting: usize) -> Client {
        let mut client = Client::of(&self.served.gateway).await;
        client.send(get_of("/")).await;
        self.until(running, waiting).await;
        client
    }

    async fn until(&self, running: usize, waiting: usize) {
        until_true(|| (self.limit.running(), self.limit.waiting()) == (running, waiting)).await;
    }
}

// proves: GATE-44
#[linden::test]
async fn beyond_those_that_run_and_wait_requests_are_shed_at_once() {
    let held = held(ConcurrencyConfig { running_max: 1, waiting_max: 2, wait_max: NEVER }).await;
    let mut first = held.ask(1, 0).await;
    let mut second = held.ask(1, 1).await;
    let mut third = held.ask(1, 2).await;
    let mut shed = Client::of(&held.served.gateway).await;
    let response = shed.get("/").await;
    assert_eq!((response.status, response.text()), (503, r#"{"error":"overloaded"}"#));
    assert_eq!(response.header("retry-after"), Some("1"));
    // In the order of their arrival.
    for (client, (running, waiting)) in
        [(&mut first, (1, 1)), (&mut second, (1, 0)), (&mut third, (0, 0))]
    {
        held.may_end.add_permits(1);
        assert_eq!(client.response().await.text(), "done");
        held.until(running, waiting).await;
    }
    held.may_end.add_permits(1);
    assert_eq!(shed.get("/").await.text(), "done");
}

// proves: GATE-44
#[linden::test]
async fn a_request_waits_no_longer_than_it_may() {
    let wait_max = Duration::from_millis(50);
    let held = held(ConcurrencyConfig { running_max: 1, waiting_max: 2, wait_max }).await;
    let mut first = held.ask(1, 0).await;
    let mut late = Client::of(&held.served.gateway).await;
    assert_eq!(late.get("/").await.status, 503);
    held.until(1, 0).await;
    held.may_end.add_permits(1);
    assert_eq!(first.response().await.text(), "done");
    held.until(0, 0).await;
}

// proves: GATE-44
#[linden::test]
async fn clients_that_leave_give_their_places_back() {
    let held = held(ConcurrencyConfig { running_max: 1, waiting_max: 2, wait_max: NEVER }).await;
    let first = held.ask(1, 0).await;
    let second = held.ask(1, 1).await;
    let mut third = held.ask(1, 2).await;
    drop(second);
    held.until(1, 1).await;
    // One that runs leaves: the next one's turn.
    drop(first);
    held.until(1, 0).await;
    held.may_end.add_permits(1);
    assert_eq!(third.response().await.text(), "done");
    held.until(0, 0).await;
}

fn rate(requests: u32, key: RateKey) -> RateConfig {
    RateConfig { requests, per: NEVER, burst: None, key, keys_max: 100 }
}

// proves: GATE-45
#[linden::test]
async fn a_client_above_its_rate_is_told_when_to_come_again() {
    let router = Router::new().route("/", get(async || "hello"));
    let edge = EdgeConfig { rate: Some(rate(2, RateKey::Client)), ..EdgeConfig::default() };
    let served = serve(edge.wrap(router).expect("sound"), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    assert_eq!(client.get("/").await.text(), "hello");
    // The peer's port does not count.
    let mut again = Client::of(&served.gateway).await;
    assert_eq!(again.get("/").await.text(), "hello");
    let response = again.get("/").await;
    assert_eq!((response.status, response.text()), (429, r#"{"error":"rate_limited"}"#));
    let seconds: u64 = response.header("retry-after").expect("it says when").parse().unwrap();
    assert!((1..=1800).contains(&seconds), "{seconds}");
    assert!(!response.closes() && response.header("x-request-id").is_some());
}

// proves: GATE-60
#[linden::test]
async fn clients_behind_a_trusted_proxy_are_limited_and_logged_each_for_itself() {
    log::keep();
    for (trusted, statuses) in [("127.0.0.1", [200, 200, 429]), ("192.0.2.0/24", [200, 429, 429])] {
        let router =
            Router::new().route("/", get(async |ClientAddr(ip): ClientAddr| ip.to_string()));
        let edge = EdgeConfig {
            trusted_proxies: vec![trusted.parse().expect("a network")],
            rate: Some(rate(1, RateKey::Client)),
            ..EdgeConfig::default()
        };
        let served = serve(edge.wrap(router).expect("sound"), Limits::default()).await;
        let mut proxy = Client::of(&served.gateway).await;
        for (client, status) in
            ["198.51.100.1", "198.51.100.2", "198.51.100.1"].iter().zip(statuses)
        {
            let id = format!("via-{trusted}-{client}-{status}");
            proxy
                .send(format!(
                    "GET / HTTP/1.1\r\nhost: test\r\nx-forwarded-for: 192.0.2.9, {client}\r\nx-request-id: {id}\r\n\r\n"
                ))
                .await;
            let response = proxy.response().await;
            assert_eq!(response.status, status, "{trusted} {client}");
            let expected = if trusted == "127.0.0.1" { client } else { "127.0.0.1" };
            if status == 200 {
                assert_eq!(response.text(), expected);
            }
            let field = format!("request_id=\"{id}\"");
            until_true(|| {
                log::lines_with(&field)
                    .iter()
                    .any(|line| line.contains(&format!("client={expected}")))
            })
            .await;
        }
    }
}

// proves: GATE-45
#[linden::test]
async fn clients_are_told_apart_by_a_header_or_a_function() {
    let by_header = RateKey::Header("x-api-key".parse().expect("a name"));
    let of_path = |parts: &Parts| parts.uri.query().map(str::to_owned);
    for limit in
        [RateLimit::new(&rate(1, by_header)), RateLimit::by(&rate(1, RateKey::Client), of_path)]
    {
        let router = Router::new().route("/", get(async || "hello")).layer(limit.clone());
        let served = serve(router, Limits::default()).await;
        let mut client = Client::of(&served.gateway).await;
        let mut statuses = Vec::new();
        for key in ["a", "b", "a", "b"] {
            let head = format!("GET /?{key} HTTP/1.1\r\nhost: test\r\nx-api-key: {key}\r\n\r\n");
            client.send(head).await;
            statuses.push(client.response().await.status);
        }
        // Without a key it is the address.
        for _ in 0..2 {
            statuses.push(client.get("/").await.status);
        }
        assert_eq!(statuses, [200, 200, 429, 429, 200, 429]);
        assert_eq!(limit.keys(), 3);
    }
}
