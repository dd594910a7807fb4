//! What the shop tells its users: messages that stay, and updates while they look.
//!
//! [`NotificationsApp`] is the application, [`NotificationsService`] its one process. A message that
//! is told by [`notify`](NotificationsServiceClient::notify) is in the user's inbox when the answer
//! comes, once for each order and kind, however often it is told. Whoever wants to see news as they
//! happen opens a [`Subscription`] to a user's or an order's.
//!
//! Absent on purpose: mail and push to the outside, marks for what was read.

#![forbid(unsafe_code)]

mod app;
mod board;
mod inbox;
pub mod notice;
mod service;
pub mod subscription;
pub mod verify;

pub use app::{NotificationsApp, NotificationsConfig};
pub use notice::{InboxPage, Kind, Message, Notice, NotificationsError, Told, Topic};
pub use service::{
    NotificationsService, NotificationsServiceClient, NotificationsServiceMsg, PAGE_LEN_MAX,
};
pub use shop_billing::{Timestamp, UserId};
pub use shop_catalog::OrderId;
pub use subscription::{Ended, Subscription, SubscriptionId, Update};
pub use verify::{InboxReport, VerifyError, verify_file};
