//! The shop's HTTP edge: JSON outside, typed messages inside.
//!
//! A handler reads the request, calls a service by its name, and writes the answer; it runs in the
//! process of its connection. It holds no state and no service: what a route needs it asks for, and
//! a service that was restarted in between is simply there again. Services that are dead or
//! overloaded become a 503 with `Retry-After`, in one place (`error.rs`).
//!
//! Absent on purpose: business rules; the services have them.

#![forbid(unsafe_code)]

mod accounts;
mod app;
mod chaos;
mod error;
mod files;
mod health;
mod json;
mod openapi;
mod orders;
mod pages;
mod payments;
mod routes;

pub use app::{WebApp, WebConfig};
pub use linden_gateway::BindError;
