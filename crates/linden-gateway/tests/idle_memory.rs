//! What idle connections cost. In a binary of its own: the memory that is looked at is the whole OS process's. The clients are
//! another OS process: each of the two has the descriptors for one end.
#![cfg(target_os = "linux")]

#[path = "http/client.rs"]
#[expect(dead_code, reason = "one test needs a part of the client")]
mod client;
#[path = "../../linden/tests/support/program.rs"]
mod program;
#[path = "http/served.rs"]
#[expect(dead_code, reason = "one test needs a part")]
mod served;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use linden_gateway::Limits;
use linden_gateway::axum::Router;
use linden_gateway::axum::routing::get;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use client::Client;
use program::{again, role};
use served::{serve, until};

const CONNECTIONS: usize = 10_000;
/// Descriptors that are neither end of a connection.
const OTHER_DESCRIPTORS: usize = 100;
const BYTES_PER_CONNECTION_MAX: usize = 16 << 10;
/// No connection is ended for its age here.
const NEVER: Duration = Duration::from_secs(3600);

/// The memory of this OS process that is in use.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it tells this");
    let kilobytes = line.trim().trim_end_matches(" kB").parse::<usize>();
    kilobytes.expect("a number") << 10
}

/// Raises the limit of descriptors to what is allowed, and says how many connections that is enough for.
fn connections_here() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(OTHER_DESCRIPTORS);
    CONNECTIONS.min(room)
}

/// The part of the clients: opens connections to the address that is the part's name, says so, and keeps them until nobody
/// listens any more.
fn stay_idle(address: SocketAddr) {
    let open = |number: usize| {
        let mut stream = TcpStream::connect(address).expect("the gateway listens");
        match number % 3 {
            0 => {
                stream.write_all(b"GET /hello HTTP/1.1\r\nhost: test\r\n\r\n").expect("it reads");
                let mut response = [0; 12];
                stream.read_exact(&mut response).expect("it answers");
                assert_eq!(response, *b"HTTP/1.1 200");
            }
            // A head that is never finished.
            1 => stream.write_all(b"GET /hello HTTP/1.1\r\nx: ").expect("it reads"),
            _ => {}
        }
        stream
    };
    let idle: Vec<_> = (0..connections_here()).map(open).collect();
    println!("open: {}", idle.len());
    let _ = std::io::stdin().read(&mut [0]);
}

/// The clients' OS process.
struct Clients(Child);

impl Clients {
    fn start(address: SocketAddr) -> Self {
        let mut command = again(
            "idle_connections_cost_little_memory_and_others_are_served",
            &address.to_string(),
        );
        // What goes wrong there is seen here.
        Self(command.stdin(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("it starts"))
    }

    /// How many connections are open, once they are.
    fn open(&mut self) -> usize {
        let mut lines = BufReader::new(self.0.stdout.take().expect("piped")).lines();
        let open = lines.find_map(|line| line.ok()?.split_once("open: ")?.1.parse().ok());
        open.expect("all connections are open")
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// proves: GATE-31
#[linden::test]
async fn idle_connections_cost_little_memory_and_others_are_served() {
    if let Some(address) = role() {
        return stay_idle(address.parse().expect("an address"));
    }
    let connections = connections_here();
    let router = Router::new().route("/hello", get(async || "hello"));
    let limits = Limits {
        connections_max: CONNECTIONS + 1,
        header_timeout: NEVER,
        idle_timeout: NEVER,
        ..Limits::default()
    };
    let served = serve(router, limits).await;
    let mut first = Client::of(&served.gateway).await;
    assert_eq!(first.get("/hello").await.status, 200);
    let before = resident_bytes();
    let address = served.gateway.local_addr();
    let opens = tokio::task::spawn_blocking(move || {
        let mut clients = Clients::start(address);
        (clients.open(), clients)
    });
    let (open, clients) = opens.await.expect("it does not panic");
    assert_eq!(open, connections);
    until(&served.gateway, |stats| stats.connections_open == open + 1).await;
    let per_connection = resident_bytes().saturating_sub(before) / open;
    println!("{per_connection} bytes for each of {open} connections");
    assert!(per_connection <= BYTES_PER_CONNECTION_MAX, "{per_connection} bytes a connection");
    assert_eq!(first.get("/hello").await.text(), "hello");
    drop(clients);
    until(&served.gateway, |stats| stats.connections_open == 1).await;
    assert_eq!(first.get("/hello").await.text(), "hello");
}
