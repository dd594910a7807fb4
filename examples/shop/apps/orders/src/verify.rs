//! The invariants of the orders, checked in a file that nobody uses: what `shop verify` calls.
//!
//! Every order is at an end, or at a stage that its process can go on from; its stages follow from
//! each other. Whether that fits the stock is checked against the catalog's report; the report says
//! who paid and who was refunded, to be checked against the books.

use std::{collections::BTreeMap, error::Error, fmt, path::Path};

use redb::{
    ReadTransaction, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _,
};
use serde::Serialize;
use shop_billing::{Timestamp, UserId};
use shop_catalog::{CatalogReport, OrderId};
use shop_storage::{Fault, OpenError, row};

use crate::{
    Bill, Order, Stage,
    journal::{BY_USER, KEYS, ORDERS, SCHEMA, STEPS, UNFINISHED, decode},
};

/// What sound orders are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OrdersReport {
    /// All of them.
    pub orders: u64,
    /// Those on their way, and how far they are.
    pub unfinished: BTreeMap<OrderId, Stage>,
    /// Those that are done: who paid what.
    pub completed: BTreeMap<OrderId, (UserId, Bill)>,
    /// Those that came to nothing: who was refunded what.
    pub rejected: BTreeMap<OrderId, (UserId, Option<Bill>)>,
}

impl OrdersReport {
    /// Checks that exactly what was ordered is sold, at its price.
    ///
    /// # Errors
    /// [`VerifyError::NotSold`], [`VerifyError::NotReleased`] with the first order that is wrong.
    pub fn check_stock(&self, catalog: &CatalogReport) -> Result<(), VerifyError> {
        for (&order_id, (_, bill)) in &self.completed {
            if catalog.sold.get(&order_id) != Some(&bill.total) {
                return Err(VerifyError::NotSold { order_id });
            }
        }
        let taken = catalog.sold.keys().chain(catalog.held.keys());
        for &order_id in taken {
            let is_known =
                self.completed.contains_key(&order_id) || self.unfinished.contains_key(&order_id);
            if !is_known {
                return Err(VerifyError::NotReleased { order_id });
            }
        }
        Ok(())
    }
}

/// Checks the file.
///
/// # Errors
/// [`VerifyError`]: the file cannot be read, or the first order that breaks a rule.
pub fn verify_file(path: &Path) -> Result<OrdersReport, VerifyError> {
    let database = shop_storage::open(path, SCHEMA).map_err(VerifyError::Open)?;
    let transaction = database.begin_read().map_err(Fault::from)?;
    verify(&transaction)
}

pub(crate) fn verify(transaction: &ReadTransaction) -> Result<OrdersReport, VerifyError> {
    let mut report = OrdersReport::default();
    for row in transaction.open_table(ORDERS).map_err(Fault::from)?.iter().map_err(Fault::from)? {
        let (key, bytes) = row.map_err(Fault::from)?;
        let order_id = OrderId(key.value());
        let order = decode(order_id, bytes.value())?;
        check_indexes(transaction, order_id, &order)?;
        check_steps(transaction, &order)?;
        report.orders += 1;
        match order.stage {
            Stage::Completed(bill) => {
                report.completed.insert(order_id, (order.user_id, bill));
            }
            Stage::Rejected { refunded, .. } => {
                report.rejected.insert(order_id, (order.user_id, refunded));
            }
            stage => {
                report.unfinished.insert(order_id, stage);
            }
        }
    }
    check_counts(transaction, &report)?;
    Ok(report)
}

/// The order is where its number, its user, its key and its stage say.
fn check_indexes(
    transaction: &ReadTransaction,
    order_id: OrderId,
    order: &Order,
) -> Result<(), VerifyError> {
    let sound = || -> Result<bool, Fault> {
        let key = (order.user_id.0, order.key.as_str());
        let by_key = transaction.open_table(KEYS)?.get(key)?.map(|id| id.value());
        let of_user = transaction.open_table(BY_USER)?.get((order.user_id.0, order_id.0))?;
        let unfinished = transaction.open_table(UNFINISHED)?.get(order_id.0)?;
        Ok(order.id == order_id
            && by_key == Some(order_id.0)
            && of_user.is_some()
            && unfinished.is_some() != order.stage.is_final())
    };
    if sound()? { Ok(()) } else { Err(VerifyError::Misplaced { order_id }) }
}

/// Each stage follows from the one before it, and the last one is the order's.
fn check_steps(transaction: &ReadTransaction, order: &Order) -> Result<(), VerifyError> {
    let order_id = order.id;
    let table = transaction.open_table(STEPS).map_err(Fault::from)?;
    let rows = table.range((order_id.0, 0)..=(order_id.0, u64::MAX)).map_err(Fault::from)?;
    let mut before: Option<Stage> = None;
    let mut count = 0;
    for row in rows {
        let (key, bytes) = row.map_err(Fault::from)?;
        let version = key.value().1;
        let name = format_args!("step {version} of order {order_id}");
        let (_, stage): (Timestamp, Stage) = row::decode(bytes.value(), name)?;
        let follows = match &before {
            Some(before) => before.may_become(&stage),
            None => stage == Stage::Placed,
        };
        if !follows || version != count {
            return Err(VerifyError::Jump { order_id, version });
        }
        before = Some(stage);
        count += 1;
    }
    if before.as_ref() != Some(&order.stage) || order.version + 1 != count {
        return Err(VerifyError::Jump { order_id, version: order.version });
    }
    Ok(())
}

/// The indexes have nothing besides.
fn check_counts(transaction: &ReadTransaction, report: &OrdersReport) -> Result<(), VerifyError> {
    let counts = || -> Result<[u64; 3], Fault> {
        Ok([
            transaction.open_table(KEYS)?.len()?,
            transaction.open_table(BY_USER)?.len()?,
            transaction.open_table(UNFINISHED)?.len()?,
        ])
    };
    let unfinished = report.unfinished.len() as u64;
    if counts()? == [report.orders, report.orders, unfinished] {
        Ok(())
    } else {
        Err(VerifyError::Surplus)
    }
}

/// Why orders are not sound.
#[derive(Debug)]
#[non_exhaustive]
pub enum VerifyError {
    /// The file was not opened.
    Open(OpenError),
    /// The file could not be read.
    Read(Fault),
    /// An order is not where its contents say.
    Misplaced {
        /// The order.
        order_id: OrderId,
    },
    /// A stage does not follow from the one before it, or is missing.
    Jump {
        /// The order.
        order_id: OrderId,
        /// The stage's number.
        version: u64,
    },
    /// Keys, users' orders or unfinished orders that are no orders.
    Surplus,
    /// A completed order that the catalog has not sold, or for another price.
    NotSold {
        /// The order.
        order_id: OrderId,
    },
    /// Stock that the catalog has sold to or holds for an order that is unknown or came to nothing.
    NotReleased {
        /// The order.
        order_id: OrderId,
    },
}

impl From<Fault> for VerifyError {
    fn from(fault: Fault) -> VerifyError {
        VerifyError::Read(fault)
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifyError::Open(_) => f.write_str("the orders were not opened"),
            VerifyError::Read(_) => f.write_str("the orders could not be read"),
            VerifyError::Misplaced { order_id } => {
                write!(f, "order {order_id} is not where it belongs")
            }
            VerifyError::Jump { order_id, version } => {
                write!(f, "stage {version} of order {order_id} does not follow from the one before")
            }
            VerifyError::Surplus => f.write_str("the indexes name orders that do not exist"),
            VerifyError::NotSold { order_id } => {
                write!(f, "order {order_id} is completed, and the catalog has not sold it so")
            }
            VerifyError::NotReleased { order_id } => {
                write!(f, "the catalog keeps stock for order {order_id}, which does not want it")
            }
        }
    }
}

impl Error for VerifyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            VerifyError::Open(error) => Some(error),
            VerifyError::Read(fault) => Some(fault),
            _ => None,
        }
    }
}
