//! What orders want of whoever takes payments.

use std::{error::Error, fmt, pin::Pin};

use shop_billing::{Money, UserId};
use shop_catalog::OrderId;

use crate::{Bill, PaymentRef};

/// An answer on its way.
pub type Paying<'a, T> = Pin<Box<dyn Future<Output = Result<T, PayError>> + Send + 'a>>;

/// Takes payments for orders, and gives them back.
///
/// Both may be asked for again and again: an order is paid once and refunded once, whatever crashed
/// in between, and the same question gets the same answer.
pub trait Payments: Send + Sync + 'static {
    /// Lets the user pay for the order.
    fn pay(&self, order_id: OrderId, user_id: UserId, total: Money) -> Paying<'_, PaymentRef>;

    /// Gives the user back what was paid for the order.
    fn refund(&self, order_id: OrderId, user_id: UserId, bill: Bill) -> Paying<'_, ()>;
}

/// Why a payment or a refund has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayError {
    /// It was refused, and will always be. Nothing was paid.
    Refused {
        /// Why.
        reason: String,
    },
    /// Whether it was made is not known. Ask again.
    Unavailable {
        /// What was heard instead.
        cause: String,
    },
}

impl fmt::Display for PayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PayError::Refused { reason } => f.write_str(reason),
            PayError::Unavailable { cause } => write!(f, "no answer: {cause}"),
        }
    }
}

impl Error for PayError {}
