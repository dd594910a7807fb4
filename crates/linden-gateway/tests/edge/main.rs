//! What stands around the routes, over real sockets.

#[path = "../http/client.rs"]
#[expect(dead_code, reason = "these tests need a part of the client")]
mod client;
#[path = "../http/log.rs"]
mod log;
#[path = "../http/served.rs"]
#[expect(dead_code, reason = "these tests need a part")]
mod served;

mod access;
mod headers;
mod hosts;
mod http2;
mod load;
mod responses;
mod sse;
mod websocket;
