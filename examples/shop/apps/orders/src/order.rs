//! What an order is, and how far it is.
//!
//! Plain values that travel in messages, are stored, and become JSON.

use std::fmt;

use serde::{Deserialize, Serialize};
use shop_billing::{IdempotencyKey, Money, Timestamp, UserId};
use shop_catalog::{Lines, OrderId, Sku};

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its number.
    pub id: OrderId,
    /// Who placed it.
    pub user_id: UserId,
    /// What it wants.
    pub lines: Lines,
    /// The user's name for it.
    pub key: IdempotencyKey,
    /// When it was taken.
    pub placed_at: Timestamp,
    /// When it came to its stage.
    pub changed_at: Timestamp,
    /// How many stages it has left behind.
    pub version: u64,
    /// How far it is.
    pub stage: Stage,
}

/// Orders of one user, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPage {
    /// The orders.
    pub orders: Vec<Order>,
    /// What to ask for to get the next, older page; `None` after the last one.
    pub next: Option<OrderId>,
}

/// How far an order is. On disk before the step that it asks for is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// It was taken. Next: reserve what it wants.
    Placed,
    /// What it wants is held for it. Next: pay.
    Reserved {
        /// What it costs.
        total: Money,
    },
    /// It is paid. Next: sell what is held.
    Paid(Bill),
    /// It is sold. Next: tell the user.
    Sold(Bill),
    /// It is done.
    Completed(Bill),
    /// It is given up, and whether it was paid is not known. Next: find out.
    Settling {
        /// What it costs.
        total: Money,
        /// Why it is given up.
        cause: Cause,
    },
    /// It is given up, and was paid. Next: refund.
    Refunding {
        /// What was paid.
        bill: Bill,
        /// Why it is given up.
        cause: Cause,
    },
    /// It is given up. Next: release what may be held for it.
    Releasing {
        /// What was paid and refunded, if it was.
        refunded: Option<Bill>,
        /// Why it is given up.
        cause: Cause,
    },
    /// It is given up, and everything is undone. Next: tell the user.
    Rejecting {
        /// What was paid and refunded, if it was.
        refunded: Option<Bill>,
        /// Why it is given up.
        cause: Cause,
    },
    /// It came to nothing.
    Rejected {
        /// What was paid and refunded, if it was.
        refunded: Option<Bill>,
        /// Why.
        cause: Cause,
    },
}

impl Stage {
    /// Whether nothing more happens to the order.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Stage::Completed(_) | Stage::Rejected { .. })
    }

    /// Whether an order can come from this stage to `next` in one step.
    #[must_use]
    pub fn may_become(&self, next: &Stage) -> bool {
        use Stage::{
            Completed, Paid, Placed, Refunding, Rejected, Rejecting, Releasing, Reserved, Settling,
            Sold,
        };
        match (self, next) {
            (Placed, Reserved { .. })
            | (Placed, Releasing { refunded: None, .. } | Rejecting { refunded: None, .. })
            | (Reserved { .. }, Releasing { refunded: None, .. })
            | (Settling { .. }, Releasing { refunded: None, .. }) => true,
            (Reserved { total }, Paid(bill)) | (Settling { total, .. }, Refunding { bill, .. }) => {
                bill.total == *total
            }
            (Reserved { total }, Settling { total: settled, .. }) => total == settled,
            (Paid(bill), Sold(next) | Refunding { bill: next, .. })
            | (Sold(bill), Completed(next))
            | (Refunding { bill, .. }, Releasing { refunded: Some(next), .. }) => bill == next,
            (Releasing { refunded, cause }, Rejecting { refunded: next, cause: why })
            | (Rejecting { refunded, cause }, Rejected { refunded: next, cause: why }) => {
                refunded == next && cause == why
            }
            _ => false,
        }
    }

    /// One word for it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Stage::Placed => "placed",
            Stage::Reserved { .. } => "reserved",
            Stage::Paid(_) => "paid",
            Stage::Sold(_) => "sold",
            Stage::Completed(_) => "completed",
            Stage::Settling { .. } => "settling",
            Stage::Refunding { .. } => "refunding",
            Stage::Releasing { .. } => "releasing",
            Stage::Rejecting { .. } => "rejecting",
            Stage::Rejected { .. } => "rejected",
        }
    }
}

/// What was paid for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// How much.
    pub total: Money,
    /// By which payment.
    pub payment: PaymentRef,
}

/// Names a payment to whoever took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaymentRef(pub u64);

/// Why an order came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// There was not enough of an item.
    OutOfStock {
        /// The item.
        sku: Sku,
    },
    /// The catalog cannot sell it.
    NotSold {
        /// Why.
        reason: String,
    },
    /// The payment was refused.
    PaymentRefused {
        /// Why.
        reason: String,
    },
    /// It took so long that what was held for it has come back.
    Expired,
    /// The user wanted it no longer.
    Cancelled,
    /// A service did not answer for too long.
    Unavailable {
        /// What was tried last.
        step: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::OutOfStock { sku } => write!(f, "there is not enough of {sku}"),
            Cause::NotSold { reason } => f.write_str(reason),
            Cause::PaymentRefused { reason } => write!(f, "the payment was refused: {reason}"),
            Cause::Expired => f.write_str("the reservation has expired"),
            Cause::Cancelled => f.write_str("it was cancelled"),
            Cause::Unavailable { step } => {
                write!(f, "the shop could not {step}; order again later")
            }
        }
    }
}
