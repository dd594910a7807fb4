//! What is told: notices, messages, and why there are none.
//!
//! Plain values that travel in messages and as JSON.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};
use shop_billing::{Timestamp, UserId};
use shop_catalog::OrderId;
use shop_storage::Overload;

/// News of an order for the user who placed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Whom it is for.
    pub user_id: UserId,
    /// What it is about.
    pub order_id: OrderId,
    /// What happened.
    pub kind: Kind,
    /// The same in words.
    pub text: String,
}

/// What happened to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// It was taken.
    Placed,
    /// What it wants is held for it.
    Reserved,
    /// It is paid.
    Paid,
    /// It is on its way to the customer. The last news.
    Completed,
    /// Something went wrong: what was done is being undone.
    Undoing,
    /// It came to nothing, and what was paid is refunded. The last news.
    Rejected,
}

impl Kind {
    /// As it is stored.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    /// Whether nothing more will be told of the order.
    #[must_use]
    pub fn is_last(self) -> bool {
        matches!(self, Kind::Completed | Kind::Rejected)
    }
}

/// A notice in a user's inbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// 1 for the user's first message, then without gaps.
    pub number: u64,
    /// What it says.
    pub notice: Notice,
    /// When it was told first.
    pub told_at: Timestamp,
}

/// Messages of one user, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxPage {
    /// The messages.
    pub messages: Vec<Message>,
    /// What to ask for to get the next, older page; `None` after the last one.
    pub next: Option<u64>,
}

/// Whether a notice was news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// It is in the inbox now.
    Now,
    /// It was told before.
    Before,
}

/// What to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Topic {
    /// All orders of a user.
    User(UserId),
    /// One order, whosever it is: whoever subscribes has checked that.
    Order(OrderId),
}

/// Why the service did not do it. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NotificationsError {
    /// Too many requests wait for the disk. Try again in a moment.
    Overloaded(Overload),
    /// Too many subscriptions are open. Try again later.
    TooManySubscriptions {
        /// So many.
        subscriptions_max: usize,
    },
}

impl From<Overload> for NotificationsError {
    fn from(overload: Overload) -> NotificationsError {
        NotificationsError::Overloaded(overload)
    }
}

impl fmt::Display for NotificationsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotificationsError::Overloaded(_) => f.write_str("the notifications are overloaded"),
            NotificationsError::TooManySubscriptions { subscriptions_max } => {
                write!(f, "{subscriptions_max} subscriptions are open already; try again later")
            }
        }
    }
}

impl Error for NotificationsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            NotificationsError::Overloaded(overload) => Some(overload),
            NotificationsError::TooManySubscriptions { .. } => None,
        }
    }
}
