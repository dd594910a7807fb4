//! HTTP ingress of a Linden node: connections as processes, routes to handlers, limits, drain.
//!
//! A [`Gateway`] is a bound socket with an [`axum`] router behind it. Its [child](Gateway::child) is an acceptor and a process
//! for each connection, in which the handlers run: they call services as any process does, and whoever ends the process
//! closes the socket. hyper reads and writes HTTP/1.1 and HTTP/2, where each stream has a process of its own; rustls does
//! TLS ([`Tls`]). No task is started outside of supervision.
//!
//! # Examples
//! ```
//! use linden::prelude::*;
//! use linden_gateway::axum::{Json, Router, routing::post};
//! use linden_gateway::{Gateway, Limits, ServiceError};
//!
//! #[derive(Default)]
//! struct Counter {
//!     total: u64,
//! }
//!
//! #[gen_server(name = "counter")]
//! impl Counter {
//!     #[call]
//!     fn add(&mut self, n: u64) -> u64 {
//!         self.total += n;
//!         self.total
//!     }
//! }
//!
//! // A service that is down, or crashes during the call, is a 503 with `Retry-After`.
//! async fn add(Json(n): Json<u64>) -> Result<Json<u64>, ServiceError> {
//!     Ok(Json(Counter::named().add(n).await?))
//! }
//!
//! struct Web {
//!     gateway: std::sync::OnceLock<Gateway>,
//! }
//!
//! #[derive(serde::Deserialize)]
//! struct WebConfig {
//!     listen: std::net::SocketAddr,
//!     #[serde(default)]
//!     limits: Limits,
//! }
//!
//! impl Application for Web {
//!     const NAME: &'static str = "web";
//!     type Config = WebConfig;
//!
//!     fn start(&self, config: WebConfig) -> Result<Supervisor, BoxError> {
//!         let router = Router::new().route("/add", post(add));
//!         let gateway = Gateway::bind(config.listen, router, config.limits)?;
//!         let gateway = self.gateway.get_or_init(|| gateway);
//!         Ok(Supervisor::rest_for_one()
//!             .child(child("counter", Counter::default))
//!             .child(gateway.child()))
//!     }
//!
//!     async fn prepare_stop(&self) {
//!         if let Some(gateway) = self.gateway.get() {
//!             gateway.drain(20.secs()).await;
//!         }
//!     }
//! }
//! # use std::io::{Read, Write};
//! # use linden::BoxError;
//! # linden::__private::test(|node: Node| async move {
//! #     let web = Web { gateway: Default::default() };
//! #     let config = WebConfig { listen: "127.0.0.1:0".parse().unwrap(), limits: Limits::default() };
//! #     web.start(config).unwrap().start().await.unwrap();
//! #     let mut client = std::net::TcpStream::connect(web.gateway.get().unwrap().local_addr()).unwrap();
//! #     client.write_all(b"POST /add HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
//! #         content-type: application/json\r\ncontent-length: 2\r\n\r\n42").unwrap();
//! #     let mut response = String::new();
//! #     client.read_to_string(&mut response).unwrap();
//! #     assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("42"), "{response}");
//! #     web.prepare_stop().await;
//! # });
//! ```
//!
//! # What a client sees
//!
//! | What happens | The client gets |
//! |---|---|
//! | a handler panics | 500; the connection goes on, and the log names the route once |
//! | a service is down, overloaded, slow, or ends during the call ([`ServiceError`]) | 503 with `Retry-After: 1` |
//! | the handler takes too long | 504; the handler is dropped, its calls are cancelled |
//! | the client's own body does not come | 408, and the connection closes |
//! | the body is too large | 413, and the connection closes |
//! | the head is too large, or has too many fields | 431, and the connection closes |
//! | what comes is no HTTP, or could be read in two ways | 400, and the connection closes |
//! | a coding of the body besides `chunked` | 501, and the connection closes |
//! | the handler answers without reading the body | the response; the connection goes on when at most 256 KiB are left and come within a second, else it closes and the response says so |
//! | more requests than the [`ConcurrencyLimit`] lets run and wait | 503 with `Retry-After: 1`, at once |
//! | more requests than its [`RateLimit`] allows | 429, with `Retry-After` for the next one |
//! | a host that cannot be read, or that nobody has ([`Hosts`]) | 400, or 404 |
//! | no handshake where a WebSocket is; a page of another host | 426 or 400; 403 |
//! | the gateway [drains](Gateway::drain) | the response with `connection: close`; a WebSocket's close frame with code 1001; the end of an event stream; newcomers are refused |
//! | the connection's process is ended | a closed connection |
//! | an HTTP/2 stream's process is ended, or crashes | a reset stream; the others go on |
//!
//! With HTTP/2 a connection does not close for one stream: where it says so above, the stream ends alone. A drain tells the
//! client to go away (GOAWAY), and its streams end in peace.
//!
//! The gateway's own responses have small JSON bodies, `{"error":"timeout"}`, which say nothing of the inside.
//!
//! # Limits
//!
//! | Limit ([`Limits`]) | Default | Beyond it |
//! |---|---|---|
//! | `body_bytes_max` | 2 MiB | 413, for streams too; [`RouteLimits`] lifts it for one route |
//! | `request_timeout` | 30 s | 504, or 408 when the body was waited for; [`RouteLimits`] lifts it for one route |
//! | `header_timeout` | 10 s | the connection closes |
//! | `idle_timeout` | 60 s | the connection closes; also when a client neither sends nor takes what it is waited for |
//! | `connections_max` | 10,000 | newcomers wait in the operating system's backlog of 1,024 |
//! | `streams_max` | 100 | the HTTP/2 client waits with its streams, or has them refused |
//! | `ping_interval`, `ping_timeout` | 20 s, 10 s | an HTTP/2 client that is silent is pinged; the connection of one that does not answer closes |
//! | `headers_max` | 100 | 431 |
//! | `header_bytes_max` | 16 KiB | 431; it is also the size of a connection's buffers |
//!
//! The limits of a WebSocket are [`WebSocketLimits`]; those on load are [`ConcurrencyConfig`] and [`RateConfig`].
//!
//! # Around the routes
//!
//! [`EdgeConfig`] lays layers around a router by configuration: trusted proxies, request ids, trace context, the access log,
//! CORS, a rate limit, a concurrency limit, compression, and static files. Each is usable alone. [`Hosts`] puts several routers behind one
//! gateway, and [`NamedRouters`] does so by `linden.toml`.
//!
//! # Connections that last
//!
//! A handler that takes a [`WebSocketUpgrade`] makes a process of its own, which has the socket and a mailbox; one that takes
//! [`Sse`] makes a stream of events, from such a process or from a stream. `tokio::spawn` is in none of it: these processes
//! are seen, counted and drained.
//!
//! # Handlers
//!
//! A handler runs in the process of its connection, or of its stream with HTTP/2, and when the client goes away it is dropped where it awaits; a client that
//! shuts its sending side before the response has gone away. What must be done to its end belongs into a service or a
//! [`linden::Task`] that is not linked. What a handler links to it links to the
//! connection: when that crashes, so does the connection. Blocking code goes to `tokio::task::spawn_blocking`.
//!
//! # Log
//!
//! Requests are logged by a layer, [`AccessLog`]. What goes wrong (a handler that panics, a connection that breaks off, a
//! drain that cuts connections) has the target `linden::gateway`.
//!
//! # When not to use this
//!
//! For calls between services: they call each other as processes.
#![forbid(unsafe_code)]

mod acceptor;
mod access_log;
mod buckets;
mod client_addr;
mod compression;
mod concurrency;
mod connection;
mod connections;
mod cors;
mod drain_signal;
mod edge;
mod exchange;
mod gateway;
mod head;
mod hosts;
mod http1;
mod http2;
mod limits;
mod opening;
mod pace;
mod pacing;
mod peer;
mod rate_limit;
mod refusal;
mod request_body;
mod request_id;
mod response_body;
mod route_limits;
mod route_table;
mod routing;
mod service_error;
mod shared;
mod socket;
mod sse;
mod static_files;
mod stats;
mod streams;
mod tls;
mod trace_context;
mod traced;
mod unread_body;
mod waiting_line;
mod watch;
mod websocket;
mod wire;

pub use access_log::{AccessLog, Logged, LoggedRoute};
pub use axum;
pub use client_addr::{ClientAddr, ProxiedRoute, ProxyNet, ProxyNetError, TrustedProxies};
pub use compression::{Compressible, CompressionConfig};
pub use concurrency::{ConcurrencyConfig, ConcurrencyLimit, ConcurrencyLimited};
pub use connections::Drained;
pub use cors::CorsConfig;
pub use edge::{EdgeConfig, EdgeError};
pub use gateway::{BindError, Gateway, GatewayBuilder};
pub use hosts::{Hosts, RouteError};
pub use limits::{LimitError, Limits};
pub use peer::PeerAddr;
pub use rate_limit::{RateConfig, RateKey, RateLimit, RateLimited, WithinRate};
pub use request_body::BodyError;
pub use request_id::{Identified, IdentifiedRoute, RequestId, RequestIds};
pub use route_limits::{LimitedRoute, RouteLimits};
pub use route_table::{NamedRouters, RouteConfig};
pub use service_error::ServiceError;
pub use sse::{Events, NobodyListens, Sse};
pub use static_files::StaticFiles;
pub use stats::GatewayStats;
pub use tls::{CertificateFiles, Tls, TlsConfig, TlsError};
pub use trace_context::TraceState;
pub use traced::{Traced, TracedFuture, TracedRoute};
pub use websocket::{
    WebSocket, WebSocketClosed, WebSocketEvent, WebSocketLimits, WebSocketMessage, WebSocketUpgrade,
};
