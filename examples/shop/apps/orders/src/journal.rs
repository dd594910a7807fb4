//! The orders on disk, within one transaction of their file.
//!
//! Blocks: runs on the blocking pool. Invariants: ids are given out once, from 1 upwards; a key of a
//! user is one order's; an order's stages are numbered without gaps and never change; a stage is
//! recorded only by who knows the one before it, so two processes of one order cannot both go on.
//!
//! Tables: `orders`: id -> [`Order`]; `steps`: (id, version) -> (when, [`Stage`]); `keys`: (user, key)
//! -> id; `by_user`: (user, id); `unfinished`: id.

use redb::{
    Database, ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, TableDefinition,
    WriteTransaction,
};
use shop_billing::{IdempotencyKey, Timestamp, UserId};
use shop_catalog::{Lines, OrderId};
use shop_storage::{Fault, Schema, row};

use crate::{Order, OrderPage, OrdersError, Stage};

pub(crate) const SCHEMA: Schema = Schema { name: "orders", format: 1 };
pub(crate) const ORDERS: TableDefinition<u64, &[u8]> = TableDefinition::new("orders");
pub(crate) const STEPS: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("steps");
pub(crate) const KEYS: TableDefinition<(u64, &str), u64> = TableDefinition::new("keys");
pub(crate) const BY_USER: TableDefinition<(u64, u64), ()> = TableDefinition::new("by_user");
pub(crate) const UNFINISHED: TableDefinition<u64, ()> = TableDefinition::new("unfinished");

/// The outer result is the file's, the inner one the caller's.
pub(crate) type Outcome<T> = Result<Result<T, OrdersError>, Fault>;

/// Makes the tables of a new file.
pub(crate) fn create_tables(database: &Database) -> Result<(), Fault> {
    let transaction = database.begin_write()?;
    transaction.open_table(ORDERS)?;
    transaction.open_table(STEPS)?;
    transaction.open_table(KEYS)?;
    transaction.open_table(BY_USER)?;
    transaction.open_table(UNFINISHED)?;
    Ok(transaction.commit()?)
}

/// What a user orders.
#[derive(Clone, Debug)]
pub(crate) struct NewOrder {
    pub(crate) user_id: UserId,
    pub(crate) lines: Lines,
    pub(crate) key: IdempotencyKey,
}

/// Takes an order, once for each key.
pub(crate) fn place(
    transaction: &WriteTransaction,
    new: NewOrder,
    now: Timestamp,
    running_max: u64,
) -> Outcome<Order> {
    let NewOrder { user_id, lines, key } = new;
    let mut keys = transaction.open_table(KEYS)?;
    let known = keys.get((user_id.0, key.as_str()))?.map(|id| OrderId(id.value()));
    if let Some(id) = known {
        let order = stored(&transaction.open_table(ORDERS)?, id)?;
        let order = order.ok_or_else(|| Fault::corrupt(format_args!("key {key}")))?;
        let is_same = order.lines == lines;
        return Ok(if is_same { Ok(order) } else { Err(OrdersError::KeyReuse { key }) });
    }
    if transaction.open_table(UNFINISHED)?.len()? >= running_max {
        return Ok(Err(OrdersError::TooManyRunning { running_max }));
    }
    let last = transaction.open_table(ORDERS)?.last()?.map_or(0, |(id, _)| id.value());
    let id = OrderId(last + 1);
    keys.insert((user_id.0, key.as_str()), id.0)?;
    transaction.open_table(BY_USER)?.insert((user_id.0, id.0), ())?;
    let (placed_at, changed_at, stage) = (now, now, Stage::Placed);
    let order = Order { id, user_id, lines, key, placed_at, changed_at, version: 0, stage };
    write(transaction, &order)?;
    Ok(Ok(order))
}

/// Writes down that the order came to `stage`, for whoever knows it at `version`. Repeated, it does
/// nothing.
pub(crate) fn record(
    transaction: &WriteTransaction,
    order_id: OrderId,
    version: u64,
    stage: Stage,
    now: Timestamp,
) -> Outcome<Order> {
    let Some(mut order) = stored(&transaction.open_table(ORDERS)?, order_id)? else {
        return Ok(Err(OrdersError::NoSuchOrder { order_id }));
    };
    if order.version == version + 1 && order.stage == stage {
        return Ok(Ok(order));
    }
    if order.version != version || !order.stage.may_become(&stage) {
        return Ok(Err(OrdersError::Changed { order_id }));
    }
    order.version += 1;
    order.changed_at = now;
    order.stage = stage;
    write(transaction, &order)?;
    Ok(Ok(order))
}

fn write(transaction: &WriteTransaction, order: &Order) -> Result<(), Fault> {
    let id = order.id.0;
    transaction.open_table(ORDERS)?.insert(id, row::encode(order).as_slice())?;
    let step = row::encode(&(order.changed_at, &order.stage));
    transaction.open_table(STEPS)?.insert((id, order.version), step.as_slice())?;
    let mut unfinished = transaction.open_table(UNFINISHED)?;
    if order.stage.is_final() {
        unfinished.remove(id)?;
    } else {
        unfinished.insert(id, ())?;
    }
    Ok(())
}

/// An order, whosever it is.
pub(crate) fn load(transaction: &ReadTransaction, order_id: OrderId) -> Outcome<Order> {
    let order = stored(&transaction.open_table(ORDERS)?, order_id)?;
    Ok(order.ok_or(OrdersError::NoSuchOrder { order_id }))
}

/// An order of the user.
pub(crate) fn order(
    transaction: &ReadTransaction,
    user_id: UserId,
    order_id: OrderId,
) -> Outcome<Order> {
    let order = stored(&transaction.open_table(ORDERS)?, order_id)?;
    let own = order.filter(|order| order.user_id == user_id);
    Ok(own.ok_or(OrdersError::NoSuchOrder { order_id }))
}

/// Up to `limit` orders of the user, newest first, of those older than `before`.
pub(crate) fn page(
    transaction: &ReadTransaction,
    user_id: UserId,
    before: Option<OrderId>,
    limit: usize,
) -> Result<OrderPage, Fault> {
    let orders = transaction.open_table(ORDERS)?;
    let ids = transaction.open_table(BY_USER)?;
    let before = before.map_or(u64::MAX, |id| id.0);
    let newest = ids.range((user_id.0, 0)..(user_id.0, before))?.rev().take(limit + 1);
    let found = newest.map(|row| {
        let id = OrderId(row?.0.value().1);
        stored(&orders, id)?.ok_or_else(|| Fault::corrupt(format_args!("order {id}")))
    });
    let mut orders = found.collect::<Result<Vec<_>, Fault>>()?;
    let more = orders.len() > limit;
    orders.truncate(limit);
    let next = orders.last().filter(|_| more).map(|order| order.id);
    Ok(OrderPage { orders, next })
}

/// The orders that are on their way.
pub(crate) fn unfinished(transaction: &ReadTransaction) -> Result<Vec<OrderId>, Fault> {
    let table = transaction.open_table(UNFINISHED)?;
    table.iter()?.map(|row| Ok(OrderId(row?.0.value()))).collect()
}

fn stored(
    orders: &impl redb::ReadableTable<u64, &'static [u8]>,
    id: OrderId,
) -> Result<Option<Order>, Fault> {
    let found = orders.get(id.0)?;
    found.map(|bytes| decode(id, bytes.value())).transpose()
}

pub(crate) fn decode(id: OrderId, bytes: &[u8]) -> Result<Order, Fault> {
    row::decode(bytes, format_args!("order {id}"))
}

#[cfg(test)]
mod tests;
