//! The journal's tables: how its rows are written.
//!
//! | Table | Key | Value |
//! |---|---|---|
//! | `meta` | `format` | the number of this layout, [`FORMAT`] |
//! | `meta` | `swept` | the last transaction whose key was looked at by the sweep |
//! | `meta` | `clock` | the time of the last commit |
//! | `transactions` | sequence | user id, kind (0 payment, 1 refund), the refund's payment or 0, recorded at, key until, key, postings |
//! | `keys` | user id, key | the sequence of the last transaction with that key |
//! | `totals` | account, currency | the sum of the account's postings, in cents |
//! | `lines` | user id, sequence | nothing: the user's transactions, for statements |
//! | `refunded` | sequence of a payment | the sum of its refunds, in cents |
//!
//! A posting is an account, a currency and cents; an account is (0, 0) for cash and (1, user id) for a
//! user's; a currency is its three letters; moments are milliseconds since the Unix epoch.
//! A change of this layout is a new [`FORMAT`].

use redb::TableDefinition;
use shop_auth::UserId;

use super::JournalError;
use crate::{
    BookAccount, Cents, Currency, IdempotencyKey, Kind, Money, Movement, Posting, Sequence,
    Timestamp, Transaction,
};

/// The number of the layout that is described above.
pub const FORMAT: u64 = 2;

/// Key of `meta`.
pub(super) const FORMAT_KEY: &str = "format";
/// Key of `meta`.
pub(super) const SWEPT_KEY: &str = "swept";
/// Key of `meta`.
pub(super) const CLOCK_KEY: &str = "clock";

pub(crate) type AccountRow = (u8, u64);
pub(crate) type PostingRow<'r> = (u8, u64, &'r [u8; 3], i64);
pub(crate) type TransactionRow<'r> = (u64, u8, u64, u64, u64, &'r str, Vec<PostingRow<'r>>);
pub(crate) type KeyKey = (u64, &'static str);
pub(crate) type TotalKey = (u8, u64, &'static [u8; 3]);

pub(crate) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
pub(crate) const TRANSACTIONS: TableDefinition<u64, TransactionRow<'static>> =
    TableDefinition::new("transactions");
pub(crate) const KEYS: TableDefinition<KeyKey, u64> = TableDefinition::new("keys");
pub(crate) const TOTALS: TableDefinition<TotalKey, i64> = TableDefinition::new("totals");
pub(crate) const LINES: TableDefinition<(u64, u64), ()> = TableDefinition::new("lines");
pub(crate) const REFUNDED: TableDefinition<u64, i64> = TableDefinition::new("refunded");

const PAYMENT: u8 = 0;
const REFUND: u8 = 1;

const CASH: u8 = 0;
const USER: u8 = 1;

pub(super) fn of_account(account: BookAccount) -> AccountRow {
    match account {
        BookAccount::Cash => (CASH, 0),
        BookAccount::User(user_id) => (USER, user_id.0),
    }
}

pub(super) fn account(row: AccountRow) -> Option<BookAccount> {
    match row {
        (CASH, 0) => Some(BookAccount::Cash),
        (USER, user_id) => Some(BookAccount::User(UserId(user_id))),
        _ => None,
    }
}

/// The row of a transaction, as a value that borrows from it.
pub(super) fn of_transaction(transaction: &Transaction) -> TransactionRow<'_> {
    let Transaction { movement, postings, recorded_at, key_until, .. } = transaction;
    let (kind, of) = match movement.kind {
        Kind::Payment => (PAYMENT, 0),
        Kind::Refund { of } => (REFUND, of.0),
    };
    let postings = postings.iter().map(|Posting { account, amount }| {
        let (kind, id) = of_account(*account);
        (kind, id, amount.currency.bytes(), amount.cents.0)
    });
    let (user_id, key) = (movement.user_id.0, movement.key.as_str());
    (user_id, kind, of, recorded_at.0, key_until.0, key, postings.collect())
}

pub(super) fn transaction(
    sequence: u64,
    row: TransactionRow<'_>,
) -> Result<Transaction, JournalError> {
    let sequence = Sequence(sequence);
    read(sequence, row).ok_or(JournalError::Corrupt { sequence })
}

fn read(sequence: Sequence, row: TransactionRow<'_>) -> Option<Transaction> {
    let (user_id, kind, of, recorded_at, key_until, key, postings) = row;
    let user_id = UserId(user_id);
    let kind = match (kind, of) {
        (PAYMENT, 0) => Kind::Payment,
        (REFUND, of) => Kind::Refund { of: Sequence(of) },
        _ => return None,
    };
    let postings: Vec<Posting> = postings.into_iter().map(posting).collect::<Option<_>>()?;
    // The user's side says how much was moved.
    let of_user = BookAccount::User(user_id);
    let moved = postings.iter().find(|posting| posting.account == of_user)?.amount;
    let cents = match kind {
        Kind::Payment => moved.cents,
        Kind::Refund { .. } => moved.cents.checked_neg()?,
    };
    let (amount, key) = (cents.of(moved.currency), IdempotencyKey::new(key).ok()?);
    Some(Transaction {
        sequence,
        movement: Movement { user_id, kind, amount, key },
        postings,
        recorded_at: Timestamp(recorded_at),
        key_until: Timestamp(key_until),
    })
}

fn posting((kind, id, currency, cents): PostingRow<'_>) -> Option<Posting> {
    Some(Posting { account: account((kind, id))?, amount: money(currency, cents)? })
}

pub(super) fn money(currency: &[u8; 3], cents: i64) -> Option<Money> {
    Some(Cents(cents).of(Currency::from_bytes(currency)?))
}
