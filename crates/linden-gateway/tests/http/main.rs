//! The gateway over real sockets.

mod client;
mod clock;
mod drain;
mod log;
mod processes;
mod refusals;
mod requests;
mod served;
mod services;
mod streams;
mod upgrades;
