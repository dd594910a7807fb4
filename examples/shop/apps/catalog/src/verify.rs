//! The invariants of the stock, checked in a file that nobody uses: what `shop verify` calls.
//!
//! Counts everything anew from the reservations and deliveries and compares it with the items. Reads
//! one state of the file and changes nothing; a file that a killed node left behind is repaired when
//! it is opened.

use std::{collections::BTreeMap, error::Error, fmt, path::Path};

use redb::{ReadTransaction, ReadableDatabase as _, ReadableTable as _};
use serde::Serialize;
use shop_billing::Money;
use shop_storage::{Fault, OpenError, row};

use crate::{
    OrderId, Reservation, Sku, Stock,
    stock::{Booking, DELIVERIES, EXPIRIES, ITEMS, ItemRow, RESERVATIONS, SCHEMA, decode_booking},
};

/// What a sound catalog holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CatalogReport {
    /// Different items.
    pub items: u64,
    /// Pieces of all items together.
    pub stock: Stock,
    /// Orders that hold stock, and what they will cost.
    pub held: BTreeMap<OrderId, Money>,
    /// Orders that were sold, and what they cost.
    pub sold: BTreeMap<OrderId, Money>,
}

/// Checks the file.
///
/// # Errors
/// [`VerifyError`]: the file cannot be read, or the first rule that it breaks.
pub fn verify_file(path: &Path) -> Result<CatalogReport, VerifyError> {
    let database = shop_storage::open(path, SCHEMA).map_err(VerifyError::Open)?;
    let transaction = database.begin_read().map_err(Fault::from)?;
    verify(&transaction)
}

pub(crate) fn verify(transaction: &ReadTransaction) -> Result<CatalogReport, VerifyError> {
    let counted = Counted::count(transaction)?;
    let mut report = CatalogReport { held: counted.held, sold: counted.sold, ..Default::default() };
    let mut stocks = counted.stocks;
    let items = transaction.open_table(ITEMS).map_err(Fault::from)?;
    for row in items.iter().map_err(Fault::from)? {
        let (key, bytes) = row.map_err(Fault::from)?;
        let sku = Sku::new(key.value()).map_err(|_| Fault::corrupt("an item's number"))?;
        let item: ItemRow = row::decode(bytes.value(), format_args!("item {sku}"))?;
        let counted = stocks.remove(&sku).unwrap_or_default();
        compare(sku, item.stock, counted)?;
        report.items += 1;
        report.stock.received += item.stock.received;
        report.stock.on_hand += item.stock.on_hand;
        report.stock.reserved += item.stock.reserved;
        report.stock.sold += item.stock.sold;
    }
    match stocks.into_keys().next() {
        Some(sku) => Err(VerifyError::UnknownItem { sku }),
        None => Ok(report),
    }
}

/// `counted` knows nothing of what is on hand.
fn compare(sku: Sku, stock: Stock, counted: Stock) -> Result<(), VerifyError> {
    if !stock.is_complete() {
        return Err(VerifyError::Incomplete { sku, stock });
    }
    if (Stock { on_hand: 0, ..stock }) != counted {
        return Err(VerifyError::Miscounted { sku, stock, counted });
    }
    Ok(())
}

/// What the deliveries and reservations say.
#[derive(Default)]
struct Counted {
    stocks: BTreeMap<Sku, Stock>,
    held: BTreeMap<OrderId, Money>,
    sold: BTreeMap<OrderId, Money>,
}

impl Counted {
    fn count(transaction: &ReadTransaction) -> Result<Counted, VerifyError> {
        let mut counted = Counted::default();
        counted.deliveries(transaction)?;
        let expiries = transaction.open_table(EXPIRIES).map_err(Fault::from)?;
        let bookings = transaction.open_table(RESERVATIONS).map_err(Fault::from)?;
        for row in bookings.iter().map_err(Fault::from)? {
            let (key, bytes) = row.map_err(Fault::from)?;
            let order_id = OrderId(key.value());
            match decode_booking(order_id, bytes.value())? {
                Booking::Held(reservation) => {
                    let expiry = (reservation.expires_at.0, order_id.0);
                    if expiries.get(expiry).map_err(Fault::from)?.is_none() {
                        return Err(VerifyError::NeverExpires { order_id });
                    }
                    counted.add(&reservation, |stock| &mut stock.reserved);
                    counted.held.insert(order_id, reservation.total);
                }
                Booking::Sold(reservation) => {
                    counted.add(&reservation, |stock| &mut stock.sold);
                    counted.sold.insert(order_id, reservation.total);
                }
                Booking::Expired(_) | Booking::Released => {}
            }
        }
        Ok(counted)
    }

    fn deliveries(&mut self, transaction: &ReadTransaction) -> Result<(), Fault> {
        for row in transaction.open_table(DELIVERIES)?.iter()? {
            let (key, bytes) = row?;
            let name = format_args!("delivery {}", key.value());
            let (sku, quantity): (Sku, u32) = row::decode(bytes.value(), name)?;
            self.stocks.entry(sku).or_default().received += u64::from(quantity);
        }
        Ok(())
    }

    fn add(&mut self, reservation: &Reservation, place: impl Fn(&mut Stock) -> &mut u64) {
        for line in &reservation.lines {
            let stock = self.stocks.entry(line.sku.clone()).or_default();
            *place(stock) += u64::from(line.quantity);
        }
    }
}

/// Why a catalog is not sound.
#[derive(Debug)]
#[non_exhaustive]
pub enum VerifyError {
    /// The file was not opened.
    Open(OpenError),
    /// The file could not be read.
    Read(Fault),
    /// On hand, reserved and sold are not together what was received.
    Incomplete {
        /// The item.
        sku: Sku,
        /// What the file says.
        stock: Stock,
    },
    /// The item says something else than the deliveries and reservations.
    Miscounted {
        /// The item.
        sku: Sku,
        /// What the item says.
        stock: Stock,
        /// What the others say; of what is on hand they know nothing.
        counted: Stock,
    },
    /// Deliveries or reservations of an item that does not exist.
    UnknownItem {
        /// The item.
        sku: Sku,
    },
    /// A reservation that would be held for ever.
    NeverExpires {
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
            VerifyError::Open(_) => f.write_str("the catalog was not opened"),
            VerifyError::Read(_) => f.write_str("the catalog could not be read"),
            VerifyError::Incomplete { sku, stock } => {
                write!(f, "pieces of {sku} were lost or made up: {stock:?}")
            }
            VerifyError::Miscounted { sku, stock, counted } => {
                write!(f, "the stock of {sku} is {stock:?}, and its orders say {counted:?}")
            }
            VerifyError::UnknownItem { sku } => {
                write!(f, "there are deliveries or orders of {sku}, which does not exist")
            }
            VerifyError::NeverExpires { order_id } => {
                write!(f, "the reservation of order {order_id} would never expire")
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

#[cfg(test)]
mod tests;
