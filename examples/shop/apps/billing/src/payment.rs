//! What a payment is: the request, the entry in the journal, the receipt, the refusals.
//!
//! Plain values that travel in messages and as JSON, so all of them are `Serialize` and
//! `Deserialize`. Invariant: an [`IdempotencyKey`] obeys its rules from the moment it exists.

use std::{
    error::Error,
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use shop_auth::UserId;

use crate::Cents;

/// Most characters of an idempotency key.
pub const IDEMPOTENCY_KEY_LEN_MAX: usize = 128;

/// The client's own name for one payment: the same key is the same payment, however often it is
/// sent. 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Checks the rules.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn new(key: &str) -> Result<IdempotencyKey, IdempotencyKeyError> {
        if key.is_empty() || key.len() > IDEMPOTENCY_KEY_LEN_MAX {
            return Err(IdempotencyKeyError::Length);
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(IdempotencyKeyError::Character);
        }
        Ok(IdempotencyKey(key.to_owned()))
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = IdempotencyKeyError;

    fn try_from(key: String) -> Result<IdempotencyKey, IdempotencyKeyError> {
        IdempotencyKey::new(&key)
    }
}

impl From<IdempotencyKey> for String {
    fn from(key: IdempotencyKey) -> String {
        key.0
    }
}

/// Why a text cannot be an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum IdempotencyKeyError {
    /// Empty, or longer than [`IDEMPOTENCY_KEY_LEN_MAX`].
    Length,
    /// A blank, a control character or a character outside of ASCII.
    Character,
}

impl fmt::Display for IdempotencyKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdempotencyKeyError::Length => {
                write!(f, "an idempotency key has 1 to {IDEMPOTENCY_KEY_LEN_MAX} characters")
            }
            IdempotencyKeyError::Character => {
                f.write_str("an idempotency key is made of visible ASCII characters")
            }
        }
    }
}

impl Error for IdempotencyKeyError {}

/// A moment in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl From<SystemTime> for Timestamp {
    /// A clock before 1970 counts as 1970.
    fn from(time: SystemTime) -> Timestamp {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A request to credit an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Whose account.
    pub user_id: UserId,
    /// How much; the journal refuses what is not positive.
    pub amount: Cents,
    /// The client's name for this payment.
    pub key: IdempotencyKey,
}

/// A payment in the journal. Entries are never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// 1 for the journal's first entry, then without gaps.
    pub sequence: u64,
    /// What was paid.
    pub payment: Payment,
    /// When it was written.
    pub recorded_at: Timestamp,
}

/// Proof that a payment is on disk. A repeated payment gets the receipt of the first one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The entry's place in the journal.
    pub sequence: u64,
    /// Whose account.
    pub user_id: UserId,
    /// How much.
    pub amount: Cents,
    /// The client's name for the payment.
    pub key: IdempotencyKey,
    /// When it was written.
    pub recorded_at: Timestamp,
}

impl From<Entry> for Receipt {
    fn from(entry: Entry) -> Receipt {
        Receipt {
            sequence: entry.sequence,
            user_id: entry.payment.user_id,
            amount: entry.payment.amount,
            key: entry.payment.key,
            recorded_at: entry.recorded_at,
        }
    }
}

/// Why a payment was refused. Nothing was written for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PaymentError {
    /// The amount is zero or less.
    AmountNotPositive {
        /// The amount asked for.
        amount: Cents,
    },
    /// The key was used before, for another user or another amount.
    KeyReuse {
        /// The key.
        key: IdempotencyKey,
    },
    /// The account cannot hold so much.
    BalanceOverflow {
        /// The account.
        user_id: UserId,
        /// What it holds.
        balance: Cents,
    },
    /// So many payments wait already that this one was not taken. Try again in a moment.
    Overloaded {
        /// How many may wait.
        waiting_max: usize,
    },
}

impl fmt::Display for PaymentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PaymentError::AmountNotPositive { amount } => {
                write!(f, "the amount must be positive, not {amount}")
            }
            PaymentError::KeyReuse { key } => {
                write!(f, "the key {key} belongs to another payment")
            }
            PaymentError::BalanceOverflow { user_id, balance } => {
                write!(f, "user {user_id} holds {balance} and cannot hold so much more")
            }
            PaymentError::Overloaded { waiting_max } => {
                write!(f, "{waiting_max} payments wait already; try again in a moment")
            }
        }
    }
}

impl Error for PaymentError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn idempotency_keys_are_checked_also_when_deserialized() {
        use IdempotencyKeyError::{Character, Length};
        for (key, expected) in [
            ("order-77", Ok(())),
            (&"k".repeat(128), Ok(())),
            (&"k".repeat(129), Err(Length)),
            ("", Err(Length)),
            ("a b", Err(Character)),
            ("a\n", Err(Character)),
            ("ä", Err(Character)),
        ] {
            assert_eq!(IdempotencyKey::new(key).map(|_| ()), expected, "{key:?}");
            let json = serde_json::to_string(key).unwrap();
            let read = serde_json::from_str::<IdempotencyKey>(&json);
            assert_eq!(read.is_ok(), expected.is_ok(), "{key:?}");
        }
    }

    #[test]
    fn timestamps_come_from_the_clock() {
        assert_eq!(Timestamp::from(UNIX_EPOCH + Duration::from_millis(1_234)), Timestamp(1_234));
        assert_eq!(Timestamp::from(UNIX_EPOCH - Duration::from_secs(1)), Timestamp(0));
    }

    #[test]
    fn refusals_travel_as_json() {
        let refusal = PaymentError::BalanceOverflow { user_id: UserId(7), balance: Cents::MAX };
        let json = serde_json::to_string(&refusal).unwrap();
        assert_eq!(serde_json::from_str::<PaymentError>(&json).unwrap(), refusal);
        assert_eq!(
            refusal.to_string(),
            "user 7 holds 92233720368547758.07 and cannot hold so much more"
        );
    }

    #[test]
    fn a_receipt_is_one_flat_json_object() {
        let receipt = Receipt::from(Entry {
            sequence: 3,
            payment: Payment {
                user_id: UserId(7),
                amount: Cents(1234),
                key: IdempotencyKey::new("order-77").unwrap(),
            },
            recorded_at: Timestamp(5),
        });
        assert_eq!(
            serde_json::to_string(&receipt).unwrap(),
            r#"{"sequence":3,"user_id":7,"amount":1234,"key":"order-77","recorded_at":5}"#
        );
    }
}
