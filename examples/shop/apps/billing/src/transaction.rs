//! What the ledger records: movements of money, their two sides, and the receipts for them.
//!
//! Plain values that travel in messages and as JSON. Double entry: whatever one account of the books
//! gets, another one gives, so the postings of a [`Transaction`] sum up to zero.
//! Absent on purpose: a way to change or delete a transaction. A mistake is mended by a further one.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use shop_auth::UserId;

use crate::{Cents, Currency, IdempotencyKey, Money};

/// A transaction's place in the journal: 1 for the first one, then without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// So much later; the end of time when there is no such moment.
    #[must_use]
    pub fn after(self, duration: Duration) -> Timestamp {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_add(millis))
    }
}

impl From<SystemTime> for Timestamp {
    /// A clock before 1970 counts as 1970.
    fn from(time: SystemTime) -> Timestamp {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// What a movement of money is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// The user pays in.
    Payment,
    /// The user gets back a payment or a part of it.
    Refund {
        /// The payment.
        of: Sequence,
    },
}

/// A request to move money to or from a user's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    /// Whose account.
    pub user_id: UserId,
    /// Into it or out of it.
    #[serde(flatten)]
    pub kind: Kind,
    /// How much; what is not positive is refused.
    pub amount: Money,
    /// The user's name for this movement.
    pub key: IdempotencyKey,
}

impl Movement {
    /// Credits `amount` to the user.
    pub fn payment(user_id: UserId, amount: Money, key: IdempotencyKey) -> Movement {
        Movement { user_id, kind: Kind::Payment, amount, key }
    }

    /// Gives `amount` of the payment `of` back to the user.
    pub fn refund(user_id: UserId, of: Sequence, amount: Money, key: IdempotencyKey) -> Movement {
        Movement { user_id, kind: Kind::Refund { of }, amount, key }
    }

    /// The two sides; `None` for an amount that has no negative.
    pub(crate) fn postings(&self) -> Option<[Posting; 2]> {
        let Money { cents, currency } = self.amount;
        let (of_user, of_cash) = match self.kind {
            Kind::Payment => (cents, cents.checked_neg()?),
            Kind::Refund { .. } => (cents.checked_neg()?, cents),
        };
        Some([
            Posting { account: BookAccount::User(self.user_id), amount: of_user.of(currency) },
            Posting { account: BookAccount::Cash, amount: of_cash.of(currency) },
        ])
    }
}

/// An account of the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BookAccount {
    /// The house's: what came in from users is missing here.
    Cash,
    /// A user's.
    User(UserId),
}

impl fmt::Display for BookAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BookAccount::Cash => f.write_str("the house"),
            BookAccount::User(user_id) => write!(f, "user {user_id}"),
        }
    }
}

/// One side of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// Whose balance changes.
    pub account: BookAccount,
    /// By how much; negative for the side that gives.
    pub amount: Money,
}

/// A movement in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Its place.
    pub sequence: Sequence,
    /// What was asked for.
    pub movement: Movement,
    /// Its sides. They sum up to zero in each currency.
    pub postings: Vec<Posting>,
    /// When it was written.
    pub recorded_at: Timestamp,
    /// From when on the user may use the key for something else.
    pub key_until: Timestamp,
}

impl Transaction {
    /// A currency in which the postings do not sum up to zero, and what they sum up to.
    pub(crate) fn imbalance(&self) -> Option<(Currency, i128)> {
        Currency::known().find_map(|currency| {
            let amounts = self.postings.iter().map(|posting| posting.amount);
            let of_currency = amounts.filter(|amount| amount.currency == currency);
            let sum: i128 =
                of_currency.map(|Money { cents: Cents(cents), .. }| i128::from(cents)).sum();
            (sum != 0).then_some((currency, sum))
        })
    }
}

/// Proof that a movement is on disk. A repeated one gets the receipt of the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The transaction's place in the journal; refunds name their payment by it.
    pub sequence: Sequence,
    /// Whose account.
    pub user_id: UserId,
    /// Into it or out of it.
    #[serde(flatten)]
    pub kind: Kind,
    /// How much; positive for both kinds.
    pub amount: Money,
    /// The user's name for the movement.
    pub key: IdempotencyKey,
    /// When it was written.
    pub recorded_at: Timestamp,
}

impl From<Transaction> for Receipt {
    fn from(transaction: Transaction) -> Receipt {
        let Transaction { sequence, movement, recorded_at, .. } = transaction;
        let Movement { user_id, kind, amount, key } = movement;
        Receipt { sequence, user_id, kind, amount, key, recorded_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn movement(kind: Kind, cents: i64) -> Movement {
        Movement {
            user_id: UserId(7),
            kind,
            amount: Cents(cents).of(Currency::EUR),
            key: IdempotencyKey::new("order-77").unwrap(),
        }
    }

    fn transaction(kind: Kind) -> Transaction {
        let movement = movement(kind, 1234);
        let postings = movement.postings().unwrap().to_vec();
        let (recorded_at, key_until) = (Timestamp(5), Timestamp(6));
        Transaction { sequence: Sequence(3), movement, postings, recorded_at, key_until }
    }

    #[test]
    fn timestamps_come_from_the_clock() {
        assert_eq!(Timestamp::from(UNIX_EPOCH + Duration::from_millis(1_234)), Timestamp(1_234));
        assert_eq!(Timestamp::from(UNIX_EPOCH - Duration::from_secs(1)), Timestamp(0));
        assert_eq!(Timestamp(5).after(Duration::from_secs(1)), Timestamp(1_005));
        assert_eq!(Timestamp(5).after(Duration::MAX), Timestamp(u64::MAX));
    }

    #[test]
    fn what_one_side_gets_the_other_one_gives() {
        for (kind, of_user) in [(Kind::Payment, 1234), (Kind::Refund { of: Sequence(1) }, -1234)] {
            let transaction = transaction(kind);
            let amounts: Vec<i64> =
                transaction.postings.iter().map(|posting| posting.amount.cents.0).collect();
            assert_eq!(amounts, [of_user, -of_user]);
            assert_eq!(transaction.imbalance(), None);
        }
        assert_eq!(movement(Kind::Payment, i64::MIN).postings(), None);
    }

    #[test]
    fn sides_that_do_not_balance_are_found_in_each_currency() {
        let mut wrong = transaction(Kind::Payment);
        wrong.postings[1].amount.currency = Currency::USD;
        assert_eq!(wrong.imbalance(), Some((Currency::EUR, 1234)));
    }

    #[test]
    fn a_receipt_is_one_flat_json_object() {
        for (kind, json) in [
            (Kind::Payment, r#""kind":"payment""#),
            (Kind::Refund { of: Sequence(1) }, r#""kind":"refund","of":1"#),
        ] {
            let receipt = Receipt::from(transaction(kind));
            let text = serde_json::to_string(&receipt).unwrap();
            let amount = r#""amount":{"cents":1234,"currency":"EUR"}"#;
            let rest = r#""key":"order-77","recorded_at":5"#;
            assert_eq!(text, format!(r#"{{"sequence":3,"user_id":7,{json},{amount},{rest}}}"#));
            assert_eq!(serde_json::from_str::<Receipt>(&text).unwrap(), receipt);
        }
    }
}
