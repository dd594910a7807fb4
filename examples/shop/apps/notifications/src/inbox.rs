//! The inboxes, within one transaction of their file.
//!
//! Blocks: runs on the blocking pool. Invariants: a user's messages are numbered without gaps, the
//! last [`kept_max`](crate::NotificationsConfig::kept_max) of them are there; an order has one
//! message of a kind, ever.
//!
//! Tables: `messages`: (user, number) -> [`Message`]; `told`: (order, kind) -> (user, number).

use redb::{ReadTransaction, ReadableTable as _, Table, TableDefinition, WriteTransaction};
use shop_billing::{Timestamp, UserId};
use shop_storage::{Fault, Schema, row};

use crate::{InboxPage, Message, Notice, Told};

pub(crate) const SCHEMA: Schema = Schema { name: "notifications", format: 1 };
pub(crate) const MESSAGES: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("messages");
pub(crate) const TOLD: TableDefinition<(u64, u8), (u64, u64)> = TableDefinition::new("told");

/// Makes the tables of a new file.
pub(crate) fn create_tables(database: &redb::Database) -> Result<(), Fault> {
    let transaction = database.begin_write()?;
    transaction.open_table(MESSAGES)?;
    transaction.open_table(TOLD)?;
    Ok(transaction.commit()?)
}

/// Puts the notice into the user's inbox, unless it is or was there; the oldest messages beyond
/// `kept_max` go.
pub(crate) fn tell(
    transaction: &WriteTransaction,
    notice: &Notice,
    now: Timestamp,
    kept_max: u64,
) -> Result<Told, Fault> {
    let mut told = transaction.open_table(TOLD)?;
    let key = (notice.order_id.0, notice.kind.number());
    if told.get(key)?.is_some() {
        return Ok(Told::Before);
    }
    let mut messages = transaction.open_table(MESSAGES)?;
    let user = notice.user_id.0;
    let last = messages.range(numbers(user))?.next_back().transpose()?;
    let number = last.map_or(0, |(key, _)| key.value().1) + 1;
    let message = Message { number, notice: notice.clone(), told_at: now };
    messages.insert((user, number), row::encode(&message).as_slice())?;
    told.insert(key, (user, number))?;
    forget(&mut messages, user, number.saturating_sub(kept_max))?;
    Ok(Told::Now)
}

/// Removes the user's messages up to `number`.
fn forget(
    messages: &mut Table<'_, (u64, u64), &'static [u8]>,
    user: u64,
    number: u64,
) -> Result<(), Fault> {
    for row in messages.extract_from_if((user, 0)..=(user, number), |_, _| true)? {
        row?;
    }
    Ok(())
}

/// Up to `limit` messages of the user, newest first, of those older than `before`.
pub(crate) fn page(
    transaction: &ReadTransaction,
    user_id: UserId,
    before: Option<u64>,
    limit: usize,
) -> Result<InboxPage, Fault> {
    let messages = transaction.open_table(MESSAGES)?;
    let rows = messages.range((user_id.0, 0)..(user_id.0, before.unwrap_or(u64::MAX)))?;
    let newest = rows.rev().take(limit + 1).map(|row| {
        let (key, bytes) = row?;
        decode(key.value(), bytes.value())
    });
    let mut messages = newest.collect::<Result<Vec<_>, Fault>>()?;
    let more = messages.len() > limit;
    messages.truncate(limit);
    let next = messages.last().filter(|_| more).map(|message| message.number);
    Ok(InboxPage { messages, next })
}

fn numbers(user: u64) -> std::ops::RangeInclusive<(u64, u64)> {
    (user, 0)..=(user, u64::MAX)
}

pub(crate) fn decode((user, number): (u64, u64), bytes: &[u8]) -> Result<Message, Fault> {
    row::decode(bytes, format_args!("message {number} of user {user}"))
}

#[cfg(test)]
mod tests {
    use redb::{Database, ReadableDatabase as _, backends::InMemoryBackend};
    use shop_catalog::OrderId;

    use super::*;
    use crate::{Kind, verify::verify};

    fn notice(user: u64, order: u64, kind: Kind) -> Notice {
        let text = format!("order {order}");
        Notice { user_id: UserId(user), order_id: OrderId(order), kind, text }
    }

    fn database() -> Database {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        create_tables(&database).unwrap();
        database
    }

    fn told(database: &Database, notice: &Notice) -> Told {
        let transaction = database.begin_write().unwrap();
        let told = tell(&transaction, notice, Timestamp(5), 3).unwrap();
        transaction.commit().unwrap();
        verify(&database.begin_read().unwrap()).unwrap();
        told
    }

    /// The orders on the page, and where the next one begins.
    fn orders(
        database: &Database,
        user: u64,
        before: Option<u64>,
        limit: usize,
    ) -> (Vec<u64>, Option<u64>) {
        let page = page(&database.begin_read().unwrap(), UserId(user), before, limit).unwrap();
        (page.messages.into_iter().map(|message| message.notice.order_id.0).collect(), page.next)
    }

    #[test]
    fn a_notice_is_told_once_for_each_order_and_kind() {
        let database = database();
        assert_eq!(told(&database, &notice(1, 7, Kind::Paid)), Told::Now);
        assert_eq!(told(&database, &notice(1, 7, Kind::Paid)), Told::Before);
        assert_eq!(told(&database, &notice(1, 7, Kind::Completed)), Told::Now);
        assert_eq!(told(&database, &notice(1, 8, Kind::Paid)), Told::Now);
        assert_eq!(orders(&database, 1, None, 9), (vec![8, 7, 7], None));
    }

    #[test]
    fn an_inbox_is_read_in_pages_newest_first() {
        let database = database();
        for order in [4, 5, 6] {
            told(&database, &notice(1, order, Kind::Paid));
        }
        told(&database, &notice(2, 9, Kind::Paid));
        assert_eq!(orders(&database, 1, None, 2), (vec![6, 5], Some(2)));
        assert_eq!(orders(&database, 1, Some(2), 2), (vec![4], None));
        assert_eq!(orders(&database, 2, None, 2), (vec![9], None));
        assert_eq!(orders(&database, 3, None, 2), (vec![], None));
    }

    #[test]
    fn the_oldest_messages_go_and_are_not_told_again() {
        let database = database();
        for order in 1..=5 {
            told(&database, &notice(1, order, Kind::Paid));
        }
        assert_eq!(orders(&database, 1, None, 9), (vec![5, 4, 3], None));
        assert_eq!(told(&database, &notice(1, 1, Kind::Paid)), Told::Before);
    }
}
