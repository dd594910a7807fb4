//! The rules of the stock, within one transaction of its file.
//!
//! Blocks: runs on the blocking pool. Everything is decided from what the transaction reads, nothing
//! from memory, and the time is passed in. Invariants: a request that refuses has written nothing but
//! what the next one would write again; of each item, on hand + reserved + sold = received; an order has one reservation, which is held, sold,
//! released or expired, and only what is held is in `expiries`. An order that was released before it
//! reserved is remembered too, so that a request that comes late reserves nothing.
//!
//! Tables: `items`: number -> [`ItemRow`]; `reservations`: order -> [`Booking`]; `expiries`: (expires
//! at in ms, order); `deliveries`: key -> (number, quantity).

use std::{ops::Bound, time::Duration};

use redb::{Database, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use shop_billing::{Cents, IdempotencyKey, MoneyError, Timestamp};
use shop_storage::{Fault, Schema, row};

use crate::{
    CatalogError, Item, Lines, Money, NewItem, OrderId, PricedLine, Reservation, Sku, Stock,
};

/// Reservations that come back in one sweep at most; the next sweep goes on.
pub const EXPIRED_PER_SWEEP_MAX: usize = 1_000;

pub(crate) const SCHEMA: Schema = Schema { name: "catalog", format: 1 };
pub(crate) const ITEMS: TableDefinition<&str, &[u8]> = TableDefinition::new("items");
pub(crate) const RESERVATIONS: TableDefinition<u64, &[u8]> = TableDefinition::new("reservations");
pub(crate) const EXPIRIES: TableDefinition<(u64, u64), ()> = TableDefinition::new("expiries");
pub(crate) const DELIVERIES: TableDefinition<&str, &[u8]> = TableDefinition::new("deliveries");

/// The outer result is the file's, the inner one the caller's.
pub(crate) type Outcome<T> = Result<Result<T, CatalogError>, Fault>;

/// An item as it is stored, under its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ItemRow {
    pub(crate) name: String,
    pub(crate) price: Money,
    pub(crate) stock: Stock,
}

/// An order's reservation as it is stored, under the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Booking {
    Held(Reservation),
    Sold(Reservation),
    Expired(Reservation),
    /// Given back; or refused in advance, when there was none.
    Released,
}

/// The tables, open for writing in one transaction.
pub(crate) struct Shelves<'t> {
    items: Table<'t, &'static str, &'static [u8]>,
    reservations: Table<'t, u64, &'static [u8]>,
    expiries: Table<'t, (u64, u64), ()>,
    deliveries: Table<'t, &'static str, &'static [u8]>,
}

impl<'t> Shelves<'t> {
    pub(crate) fn open(transaction: &'t WriteTransaction) -> Result<Shelves<'t>, Fault> {
        Ok(Shelves {
            items: transaction.open_table(ITEMS)?,
            reservations: transaction.open_table(RESERVATIONS)?,
            expiries: transaction.open_table(EXPIRIES)?,
            deliveries: transaction.open_table(DELIVERIES)?,
        })
    }

    /// Puts the items on the shelf, if it never had any. Makes the tables of a new file.
    pub(crate) fn seed(database: &Database, items: &[NewItem]) -> Result<(), Fault> {
        let transaction = database.begin_write()?;
        {
            let mut shelves = Shelves::open(&transaction)?;
            if shelves.items.first()?.is_none() {
                for item in items {
                    shelves.put(item)?;
                }
            }
        }
        Ok(transaction.commit()?)
    }

    fn put(&mut self, new: &NewItem) -> Result<(), Fault> {
        let count = u64::from(new.stock);
        let stock = Stock { received: count, on_hand: count, ..Stock::default() };
        let item = ItemRow { name: new.name.clone(), price: new.price, stock };
        self.store(&new.sku, &item)?;
        let delivery = row::encode(&(&new.sku, new.stock));
        self.deliveries.insert(format!("seed-{}", new.sku).as_str(), delivery.as_slice())?;
        Ok(())
    }

    /// Takes a delivery in, once.
    pub(crate) fn restock(
        &mut self,
        delivery: &IdempotencyKey,
        sku: &Sku,
        quantity: u32,
    ) -> Outcome<Item> {
        let Some(mut item) = self.item(sku)? else {
            return Ok(Err(CatalogError::UnknownItem { sku: sku.clone() }));
        };
        let key = format!("delivery-{delivery}");
        let contents = row::encode(&(sku, quantity));
        if let Some(known) = self.deliveries.get(key.as_str())? {
            let is_same = known.value() == contents;
            return Ok(if is_same {
                Ok(item.into_item(sku))
            } else {
                Err(CatalogError::OtherDelivery)
            });
        }
        let Some(received) = item.stock.received.checked_add(quantity.into()) else {
            return Ok(Err(CatalogError::BadQuantity));
        };
        if quantity == 0 {
            return Ok(Err(CatalogError::BadQuantity));
        }
        item.stock.received = received;
        item.stock.on_hand += u64::from(quantity);
        self.store(sku, &item)?;
        self.deliveries.insert(key.as_str(), contents.as_slice())?;
        Ok(Ok(item.into_item(sku)))
    }

    /// Holds all that the order wants, or nothing. Repeated, it gives the first reservation again.
    pub(crate) fn reserve(
        &mut self,
        order_id: OrderId,
        lines: &Lines,
        now: Timestamp,
        ttl: Duration,
    ) -> Outcome<Reservation> {
        match self.booking(order_id, now)? {
            None => {}
            Some(Booking::Held(first) | Booking::Sold(first)) if is_for(&first, lines) => {
                return Ok(Ok(first));
            }
            Some(Booking::Held(_) | Booking::Sold(_)) => {
                return Ok(Err(CatalogError::OtherLines { order_id }));
            }
            Some(Booking::Expired(_)) => return Ok(Err(CatalogError::Expired { order_id })),
            Some(Booking::Released) => return Ok(Err(CatalogError::Released { order_id })),
        }
        let (lines, total) = match self.priced(lines)? {
            Ok(priced) => priced,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let expires_at = Timestamp(now.0.saturating_add(ttl_ms));
        let reservation = Reservation { order_id, lines, total, expires_at };
        self.move_each(&reservation, |stock, quantity| {
            stock.on_hand -= quantity;
            stock.reserved += quantity;
        })?;
        self.expiries.insert((expires_at.0, order_id.0), ())?;
        self.book(order_id, &Booking::Held(reservation.clone()))?;
        Ok(Ok(reservation))
    }

    /// Sells what the order holds. Repeated, it does nothing.
    pub(crate) fn confirm(&mut self, order_id: OrderId, now: Timestamp) -> Outcome<()> {
        let reservation = match self.booking(order_id, now)? {
            Some(Booking::Held(reservation)) => reservation,
            Some(Booking::Sold(_)) => return Ok(Ok(())),
            Some(Booking::Expired(_)) => return Ok(Err(CatalogError::Expired { order_id })),
            Some(Booking::Released) => return Ok(Err(CatalogError::Released { order_id })),
            None => return Ok(Err(CatalogError::NotReserved { order_id })),
        };
        self.move_each(&reservation, |stock, quantity| {
            stock.reserved -= quantity;
            stock.sold += quantity;
        })?;
        self.expiries.remove((reservation.expires_at.0, order_id.0))?;
        self.book(order_id, &Booking::Sold(reservation))?;
        Ok(Ok(()))
    }

    /// Gives back what the order holds, also what it has bought. Repeated, it does nothing.
    pub(crate) fn release(&mut self, order_id: OrderId) -> Outcome<()> {
        match self.stored(order_id)? {
            Some(Booking::Held(reservation)) => {
                self.expiries.remove((reservation.expires_at.0, order_id.0))?;
                self.move_each(&reservation, |stock, quantity| {
                    stock.reserved -= quantity;
                    stock.on_hand += quantity;
                })?;
            }
            Some(Booking::Sold(reservation)) => {
                self.move_each(&reservation, |stock, quantity| {
                    stock.sold -= quantity;
                    stock.on_hand += quantity;
                })?;
            }
            None | Some(Booking::Expired(_)) => {}
            Some(Booking::Released) => return Ok(Ok(())),
        }
        self.book(order_id, &Booking::Released)?;
        Ok(Ok(()))
    }

    /// Brings back what has expired, [`EXPIRED_PER_SWEEP_MAX`] orders at most; says how many.
    pub(crate) fn sweep(&mut self, now: Timestamp) -> Result<usize, Fault> {
        let due: Vec<u64> = self
            .expiries
            .range(..=(now.0, u64::MAX))?
            .take(EXPIRED_PER_SWEEP_MAX)
            .map(|row| row.map(|(key, _)| key.value().1))
            .collect::<Result<_, _>>()?;
        for &order_id in &due {
            self.booking(OrderId(order_id), now)?;
        }
        Ok(due.len())
    }

    /// The order's reservation, which expires here when its time has come.
    fn booking(&mut self, order_id: OrderId, now: Timestamp) -> Result<Option<Booking>, Fault> {
        let booking = self.stored(order_id)?;
        let Some(Booking::Held(reservation)) = &booking else {
            return Ok(booking);
        };
        if reservation.expires_at > now {
            return Ok(booking);
        }
        self.expiries.remove((reservation.expires_at.0, order_id.0))?;
        self.move_each(reservation, |stock, quantity| {
            stock.reserved -= quantity;
            stock.on_hand += quantity;
        })?;
        let expired = Booking::Expired(reservation.clone());
        self.book(order_id, &expired)?;
        Ok(Some(expired))
    }

    fn priced(
        &self,
        lines: &Lines,
    ) -> Result<Result<(Vec<PricedLine>, Money), CatalogError>, Fault> {
        let mut priced = Vec::new();
        for line in lines.iter() {
            let sku = line.sku.clone();
            let Some(item) = self.item(&sku)? else {
                return Ok(Err(CatalogError::UnknownItem { sku }));
            };
            if item.stock.on_hand < u64::from(line.quantity) {
                let on_hand = item.stock.on_hand;
                return Ok(Err(CatalogError::OutOfStock { sku, on_hand }));
            }
            priced.push(PricedLine { sku, quantity: line.quantity, price: item.price });
        }
        Ok(total(&priced).map(|total| (priced, total)))
    }

    /// Moves the pieces of each line by `step`, which is given the item's stock and the quantity.
    fn move_each(
        &mut self,
        reservation: &Reservation,
        step: impl Fn(&mut Stock, u64),
    ) -> Result<(), Fault> {
        for line in &reservation.lines {
            let missing = || Fault::corrupt(format_args!("item {}", line.sku));
            let mut item = self.item(&line.sku)?.ok_or_else(missing)?;
            step(&mut item.stock, line.quantity.into());
            self.store(&line.sku, &item)?;
        }
        Ok(())
    }

    fn item(&self, sku: &Sku) -> Result<Option<ItemRow>, Fault> {
        find(&self.items, sku)
    }

    fn store(&mut self, sku: &Sku, item: &ItemRow) -> Result<(), Fault> {
        self.items.insert(sku.as_str(), row::encode(item).as_slice())?;
        Ok(())
    }

    fn stored(&self, order_id: OrderId) -> Result<Option<Booking>, Fault> {
        let found = self.reservations.get(order_id.0)?;
        found.map(|bytes| decode_booking(order_id, bytes.value())).transpose()
    }

    fn book(&mut self, order_id: OrderId, booking: &Booking) -> Result<(), Fault> {
        self.reservations.insert(order_id.0, row::encode(booking).as_slice())?;
        Ok(())
    }
}

fn is_for(reservation: &Reservation, lines: &Lines) -> bool {
    let reserved = reservation.lines.iter().map(|line| (&line.sku, line.quantity));
    reserved.eq(lines.iter().map(|line| (&line.sku, line.quantity)))
}

/// What all of it costs.
fn total(lines: &[PricedLine]) -> Result<Money, CatalogError> {
    let mut sum = Cents::ZERO.of(lines[0].price.currency);
    for PricedLine { quantity, price, .. } in lines {
        let cents = price.cents.0.checked_mul(i64::from(*quantity));
        let line = cents.map(|cents| Cents(cents).of(price.currency));
        let line = line.ok_or(CatalogError::TotalTooLarge)?;
        sum = sum.checked_add(line).map_err(|error| match error {
            MoneyError::Mixed { .. } => CatalogError::MixedCurrencies,
            _ => CatalogError::TotalTooLarge,
        })?;
    }
    Ok(sum)
}

impl ItemRow {
    pub(crate) fn into_item(self, sku: &Sku) -> Item {
        let ItemRow { name, price, stock } = self;
        Item { sku: sku.clone(), name, price, stock }
    }
}

pub(crate) fn decode_booking(order_id: OrderId, bytes: &[u8]) -> Result<Booking, Fault> {
    row::decode(bytes, format_args!("the reservation of order {order_id}"))
}

fn find(
    items: &impl ReadableTable<&'static str, &'static [u8]>,
    sku: &Sku,
) -> Result<Option<ItemRow>, Fault> {
    let found = items.get(sku.as_str())?;
    found.map(|bytes| row::decode(bytes.value(), format_args!("item {sku}"))).transpose()
}

/// One item.
pub(crate) fn item(transaction: &ReadTransaction, sku: &Sku) -> Outcome<Item> {
    let item = find(&transaction.open_table(ITEMS)?, sku)?;
    let unknown = || CatalogError::UnknownItem { sku: sku.clone() };
    Ok(item.map(|item| item.into_item(sku)).ok_or_else(unknown))
}

/// Up to `limit` items whose numbers come after `after`, in the order of the numbers.
pub(crate) fn items(
    transaction: &ReadTransaction,
    after: Option<&Sku>,
    limit: usize,
) -> Result<Vec<Item>, Fault> {
    let table = transaction.open_table(ITEMS)?;
    // No number sorts before the empty text, which is none itself.
    let after = after.map_or("", Sku::as_str);
    let rows = table.range::<&str>((Bound::Excluded(after), Bound::Unbounded))?.take(limit);
    rows.map(|row| {
        let (key, bytes) = row?;
        let sku = Sku::new(key.value()).map_err(|_| Fault::corrupt("an item's number"))?;
        let item: ItemRow = row::decode(bytes.value(), format_args!("item {sku}"))?;
        Ok(item.into_item(&sku))
    })
    .collect()
}

#[cfg(test)]
mod tests;
