//! What the shop sells: items with their prices, and stock that is never sold twice.
//!
//! [`CatalogApp`] is the application, [`CatalogService`] its one process. An order takes what it wants
//! by [`reserve`](CatalogServiceClient::reserve), all or nothing; then it is sold by
//! [`confirm`](CatalogServiceClient::confirm), given back by
//! [`release`](CatalogServiceClient::release), or comes back by itself when the reservation expires.
//! Each of these may be repeated, also after a crash: it is carried out once.
//!
//! Invariant: of each item, what is on hand, reserved and sold is together what was received.
//! [`verify_file`] checks that, and all that follows from it, in a file that nobody uses.
//!
//! Absent on purpose: change of names and prices, returns of what was delivered.

#![forbid(unsafe_code)]

mod app;
pub mod error;
pub mod item;
pub mod reservation;
mod service;
mod stock;
pub mod verify;

pub use app::{CatalogApp, CatalogConfig};
pub use error::CatalogError;
pub use item::{Item, NewItem, Sku, SkuError, Stock};
pub use reservation::{Line, Lines, LinesError, OrderId, PricedLine, Reservation};
pub use service::{
    CatalogService, CatalogServiceClient, CatalogServiceMsg, ItemPage, PAGE_LEN_MAX,
};
pub use shop_billing::{Cents, Currency, IdempotencyKey, Money, Timestamp};
pub use stock::EXPIRED_PER_SWEEP_MAX;
pub use verify::{CatalogReport, VerifyError, verify_file};
