//! What idle connections cost. In a binary of its own: the memory that is looked at is the whole OS process's.
#![cfg(target_os = "linux")]

#[path = "http/client.rs"]
#[expect(dead_code, reason = "one test needs a part of the client")]
mod client;
#[path = "http/served.rs"]
#[expect(dead_code, reason = "one test needs a part")]
mod served;

use linden_gateway::Limits;
use linden_gateway::axum::Router;
use linden_gateway::axum::routing::get;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use client::Client;
use served::{serve, until};

const CONNECTIONS: usize = 2000;
/// Of both ends: the clients are in this OS process too.
const BYTES_PER_CONNECTION_MAX: usize = 16 << 10;

/// The memory of this OS process that is in use.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it tells this");
    let kilobytes = line.trim().trim_end_matches(" kB").parse::<usize>();
    kilobytes.expect("a number") << 10
}

/// Both ends of the sockets are of this OS process.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

// proves: GATE-31
#[linden::test]
async fn idle_connections_cost_little_memory_and_others_are_served() {
    raise_descriptors();
    let router = Router::new().route("/hello", get(async || "hello"));
    let served = serve(router, Limits::default()).await;
    let mut first = Client::of(&served.gateway).await;
    assert_eq!(first.get("/hello").await.status, 200);
    let before = resident_bytes();
    let mut idle = Vec::new();
    for number in 0..CONNECTIONS {
        let mut client = Client::of(&served.gateway).await;
        match number % 3 {
            0 => assert_eq!(client.get("/hello").await.status, 200),
            // A head that is never finished.
            1 => client.send("GET /hello HTTP/1.1\r\nx: ").await,
            _ => {}
        }
        idle.push(client);
    }
    until(&served.gateway, |stats| stats.connections_open == CONNECTIONS + 1).await;
    let per_connection = resident_bytes().saturating_sub(before) / CONNECTIONS;
    assert!(per_connection <= BYTES_PER_CONNECTION_MAX, "{per_connection} bytes a connection");
    assert_eq!(first.get("/hello").await.text(), "hello");
}
