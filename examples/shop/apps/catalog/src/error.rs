//! Why the catalog refuses. Nothing was changed then.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};
use shop_storage::Overload;

use crate::{OrderId, Sku};

/// Why the catalog did not do it. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CatalogError {
    /// The shop does not sell it.
    UnknownItem {
        /// What was asked for.
        sku: Sku,
    },
    /// There is not enough of it.
    OutOfStock {
        /// The item.
        sku: Sku,
        /// What there is.
        on_hand: u64,
    },
    /// The items of one order have prices in different currencies.
    MixedCurrencies,
    /// The order costs more than an amount can be.
    TotalTooLarge,
    /// The order has reserved something else already.
    OtherLines {
        /// The order.
        order_id: OrderId,
    },
    /// The order has given its reservation back, or will not reserve any more.
    Released {
        /// The order.
        order_id: OrderId,
    },
    /// The order was not confirmed in time: its reservation has come back.
    Expired {
        /// The order.
        order_id: OrderId,
    },
    /// The order has reserved nothing.
    NotReserved {
        /// The order.
        order_id: OrderId,
    },
    /// The delivery was taken in already, with other contents.
    OtherDelivery,
    /// A delivery has at least one piece, and the shelf has an end.
    BadQuantity,
    /// Too many requests wait for the disk. Try again in a moment.
    Overloaded(Overload),
}

impl From<Overload> for CatalogError {
    fn from(overload: Overload) -> CatalogError {
        CatalogError::Overloaded(overload)
    }
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CatalogError::UnknownItem { sku } => write!(f, "the shop does not sell {sku}"),
            CatalogError::OutOfStock { sku, on_hand } => {
                write!(f, "there are only {on_hand} pieces of {sku}")
            }
            CatalogError::MixedCurrencies => {
                f.write_str("the items have prices in different currencies; order them apart")
            }
            CatalogError::TotalTooLarge => f.write_str("the order costs more than can be paid"),
            CatalogError::OtherLines { order_id } => {
                write!(f, "order {order_id} has reserved something else")
            }
            CatalogError::Released { order_id } => {
                write!(f, "order {order_id} has given its reservation back")
            }
            CatalogError::Expired { order_id } => {
                write!(f, "the reservation of order {order_id} has expired")
            }
            CatalogError::NotReserved { order_id } => {
                write!(f, "order {order_id} has reserved nothing")
            }
            CatalogError::OtherDelivery => {
                f.write_str("the delivery was taken in already, with other contents")
            }
            CatalogError::BadQuantity => {
                f.write_str("a delivery has at least one piece and fits on the shelf")
            }
            CatalogError::Overloaded(_) => f.write_str("the catalog is overloaded"),
        }
    }
}

impl Error for CatalogError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            CatalogError::Overloaded(overload) => Some(overload),
            _ => None,
        }
    }
}
