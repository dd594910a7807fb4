//! A gateway without descriptors left. In a binary of its own: the limit is the whole OS process's.

#[path = "http/client.rs"]
#[expect(dead_code, reason = "one test needs a part of the client")]
mod client;
#[path = "http/served.rs"]
#[expect(dead_code, reason = "one test needs a part")]
mod served;

use std::fs::File;

use linden_gateway::Limits;
use linden_gateway::axum::Router;
use linden_gateway::axum::routing::get;
use rustix::process::{Resource, Rlimit, setrlimit};

use client::{Client, get as get_of};
use served::{serve, until};

// proves: GATE-09
#[linden::test]
async fn a_gateway_out_of_descriptors_accepts_again_when_there_are_some() {
    let router = Router::new().route("/hello", get(async || "hello"));
    let served = serve(router, Limits::default()).await;
    let mut open = Client::of(&served.gateway).await;
    assert_eq!(open.get("/hello").await.text(), "hello");
    let most = Rlimit { current: Some(64), maximum: Some(64) };
    setrlimit(Resource::Nofile, most).expect("a limit may be lowered");
    let mut taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    // One descriptor for the client; none is left for the gateway's end.
    taken.pop();
    let mut waiting = Client::of(&served.gateway).await;
    waiting.send(get_of("/hello")).await;
    until(&served.gateway, |stats| stats.accept_errors >= 2).await;
    assert_eq!(open.get("/hello").await.text(), "hello");
    drop(taken);
    assert_eq!(waiting.response().await.text(), "hello");
    let errors = served.gateway.stats().accept_errors;
    assert!(errors < 100, "{errors} tries: the acceptor spins");
}
