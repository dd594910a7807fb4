//! Why an order is not taken, found, changed.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};
use shop_billing::IdempotencyKey;
use shop_catalog::OrderId;
use shop_storage::Overload;

/// Why the service did not do it. Nothing was changed, unless the variant says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum OrdersError {
    /// The user has used the key before, for another order.
    KeyReuse {
        /// The key.
        key: IdempotencyKey,
    },
    /// The user has no such order.
    NoSuchOrder {
        /// What was asked for.
        order_id: OrderId,
    },
    /// The order cannot be cancelled any more.
    TooLate {
        /// The order.
        order_id: OrderId,
    },
    /// The order is further than whoever wanted to change it knew.
    Changed {
        /// The order.
        order_id: OrderId,
    },
    /// The order's process does not answer, and whether the order is cancelled is not known. Try again
    /// in a moment.
    Unavailable {
        /// The order.
        order_id: OrderId,
    },
    /// Too many orders are on their way. Try again in a moment.
    TooManyRunning {
        /// So many.
        running_max: u64,
    },
    /// Too many requests wait for the disk. Try again in a moment.
    Overloaded(Overload),
}

impl From<Overload> for OrdersError {
    fn from(overload: Overload) -> OrdersError {
        OrdersError::Overloaded(overload)
    }
}

impl fmt::Display for OrdersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OrdersError::KeyReuse { key } => {
                write!(f, "the key {key} belongs to another order; take a new one")
            }
            OrdersError::NoSuchOrder { order_id } => {
                write!(f, "there is no order {order_id} of this user")
            }
            OrdersError::TooLate { order_id } => {
                write!(f, "order {order_id} cannot be cancelled any more")
            }
            OrdersError::Changed { order_id } => {
                write!(f, "order {order_id} has gone on meanwhile")
            }
            OrdersError::Unavailable { order_id } => {
                write!(f, "order {order_id} does not answer; try again in a moment")
            }
            OrdersError::TooManyRunning { running_max } => {
                write!(f, "{running_max} orders are on their way; try again in a moment")
            }
            OrdersError::Overloaded(_) => f.write_str("the orders are overloaded"),
        }
    }
}

impl Error for OrdersError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            OrdersError::Overloaded(overload) => Some(overload),
            _ => None,
        }
    }
}
