//! The gateway over real sockets.

mod client;
mod clock;
mod drain;
mod http2;
mod log;
mod processes;
mod refusals;
mod requests;
mod served;
mod services;
mod smuggling;
mod streams;
mod tls;
mod upgrades;
