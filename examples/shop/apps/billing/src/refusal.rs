//! Why the service refuses: payments and refunds, and whatever comes while it is full.
//!
//! Plain values that travel in messages and as JSON. A refused request has left nothing behind, in
//! particular it has not used up its key.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

use crate::{BookAccount, Cents, Currency, IdempotencyKey, Money, Sequence};

/// Why a payment or a refund was refused. Nothing was written for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum PaymentError {
    /// The amount is zero or less.
    AmountNotPositive {
        /// The amount asked for.
        amount: Cents,
    },
    /// The user has used the key before, for something else, and it still belongs to that.
    KeyReuse {
        /// The key.
        key: IdempotencyKey,
    },
    /// An account of the books cannot hold so much.
    BalanceOverflow {
        /// The account.
        account: BookAccount,
        /// What it holds.
        balance: Money,
    },
    /// The user has no such payment.
    NoSuchPayment {
        /// What the refund asked for.
        of: Sequence,
    },
    /// The payment was made in another currency.
    OtherCurrency {
        /// The payment.
        of: Sequence,
        /// Its currency.
        currency: Currency,
    },
    /// The refunds of the payment would be more than the payment.
    AboveRest {
        /// The payment.
        of: Sequence,
        /// What is left of it.
        rest: Money,
    },
    /// So much waits already that this was not taken. Try again in a moment.
    Overloaded(Overload),
}

impl fmt::Display for PaymentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PaymentError::AmountNotPositive { amount } => {
                write!(f, "the amount must be positive, not {amount}")
            }
            PaymentError::KeyReuse { key } => {
                write!(f, "the key {key} belongs to another payment; take a new one")
            }
            PaymentError::BalanceOverflow { account, balance } => {
                write!(f, "{account} holds {balance} and cannot hold so much more")
            }
            PaymentError::NoSuchPayment { of } => {
                write!(f, "there is no payment {of} of this user")
            }
            PaymentError::OtherCurrency { of, currency } => {
                write!(f, "payment {of} was made in {currency}; refund it in {currency}")
            }
            PaymentError::AboveRest { of, rest } => {
                write!(f, "of payment {of}, {rest} is left to refund and no more")
            }
            PaymentError::Overloaded(overload) => overload.fmt(f),
        }
    }
}

impl Error for PaymentError {}

impl From<Overload> for PaymentError {
    fn from(overload: Overload) -> PaymentError {
        PaymentError::Overloaded(overload)
    }
}

/// A limit is reached, and the request was not taken. Try again in a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Overload {
    /// Of all users together, so many payments and refunds wait for the disk.
    Ledger {
        /// `billing.waiting_max`.
        waiting_max: usize,
    },
    /// Of this user, so many payments and refunds, or questions for balances, wait for the disk.
    Account {
        /// `billing.account_waiting_max`.
        waiting_max: usize,
    },
    /// So many accounts have a process, and none is left for this user's.
    Accounts {
        /// `billing.accounts_max`.
        accounts_max: usize,
    },
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Overload::Ledger { waiting_max } => {
                write!(f, "{waiting_max} payments wait already; try again in a moment")
            }
            Overload::Account { waiting_max } => {
                write!(f, "{waiting_max} requests of this user wait already; try again in a moment")
            }
            Overload::Accounts { accounts_max } => {
                write!(f, "{accounts_max} accounts are in use already; try again in a moment")
            }
        }
    }
}

impl Error for Overload {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UserId;

    #[test]
    fn refusals_travel_as_json_and_say_how_to_mend_them() {
        let (of, key) = (Sequence(3), IdempotencyKey::new("k").unwrap());
        let euros = |cents| Cents(cents).of(Currency::EUR);
        let account = BookAccount::User(UserId(7));
        let overloaded = |overload| PaymentError::Overloaded(overload);
        for (refusal, text) in [
            (
                PaymentError::AmountNotPositive { amount: Cents(-5) },
                "the amount must be positive, not -0.05",
            ),
            (
                PaymentError::KeyReuse { key },
                "the key k belongs to another payment; take a new one",
            ),
            (
                PaymentError::BalanceOverflow { account, balance: euros(i64::MAX) },
                "user 7 holds 92233720368547758.07 EUR and cannot hold so much more",
            ),
            (
                PaymentError::BalanceOverflow { account: BookAccount::Cash, balance: euros(-1) },
                "the house holds -0.01 EUR and cannot hold so much more",
            ),
            (PaymentError::NoSuchPayment { of }, "there is no payment 3 of this user"),
            (
                PaymentError::OtherCurrency { of, currency: Currency::USD },
                "payment 3 was made in USD; refund it in USD",
            ),
            (
                PaymentError::AboveRest { of, rest: euros(5) },
                "of payment 3, 0.05 EUR is left to refund and no more",
            ),
            (
                overloaded(Overload::Ledger { waiting_max: 9 }),
                "9 payments wait already; try again in a moment",
            ),
            (
                overloaded(Overload::Account { waiting_max: 9 }),
                "9 requests of this user wait already; try again in a moment",
            ),
            (
                overloaded(Overload::Accounts { accounts_max: 9 }),
                "9 accounts are in use already; try again in a moment",
            ),
        ] {
            assert_eq!(refusal.to_string(), text);
            let json = serde_json::to_string(&refusal).unwrap();
            assert_eq!(serde_json::from_str::<PaymentError>(&json).unwrap(), refusal, "{json}");
        }
    }
}
