//! The shop's orders: each one reserves stock, pays, sells and tells its user; or undoes what it did.
//!
//! [`OrdersApp`] is the application. [`OrdersService`] takes orders and knows what became of them; each
//! order that is on its way has a process of its own, which follows a [`Saga`]: a pure state machine
//! that says what to do next and what an answer means. Before each step the process writes the order's
//! [`Stage`] to disk, and every step may be repeated, so an order goes on where it was after any crash:
//! of its own process, of a service that it calls, of the node. A step that fails for good is followed
//! by the undoing of those before it: refund, release, reject.
//!
//! Who pays is behind the trait [`Payments`]; [`Billing`] asks `billing`.
//!
//! Absent on purpose: delivery, parts of orders, returns after an order is completed.

#![forbid(unsafe_code)]

mod app;
mod billing;
pub mod error;
mod journal;
pub mod order;
pub mod payments;
mod process;
pub mod saga;
mod service;
pub mod verify;

pub use app::{OrdersApp, OrdersConfig, tree};
pub use billing::Billing;
pub use error::OrdersError;
pub use order::{Bill, Cause, Order, OrderPage, PaymentRef, Stage};
pub use payments::{PayError, Paying, Payments};
pub use saga::{Action, Begun, Event, Next, RetryPolicy, Saga};
pub use service::{OrdersService, OrdersServiceClient, OrdersServiceMsg, PAGE_LEN_MAX};
pub use shop_billing::{IdempotencyKey, Money, Timestamp, UserId};
pub use shop_catalog::{Line, Lines, OrderId, Sku};
pub use verify::{OrdersReport, VerifyError, verify_file};
