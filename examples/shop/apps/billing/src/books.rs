//! Checking the books: everything that must be equal is summed up anew and compared.
//!
//! Reads the whole journal in one frozen state, so it may run beside the service or on a file that a
//! killed node left behind. For tests, audits and the start of a suspicious day; the time grows with
//! the journal, the memory with the keys in it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    error::Error,
    fmt,
    path::Path,
};

use serde::{Deserialize, Serialize};
use shop_auth::UserId;

use crate::{
    BookAccount, Currency, IdempotencyKey, Journal, JournalError, Kind, Sequence, Timestamp,
    Transaction, journal::Snapshot,
};

/// Checks the books of a file that nobody has open.
///
/// # Errors
/// [`VerifyError`] names the first difference.
pub fn verify_file(path: impl AsRef<Path>) -> Result<BooksReport, VerifyError> {
    verify(&Journal::open_existing(path)?)
}

/// Checks the books of an open journal.
///
/// The transactions have no gaps; each one's postings sum up to zero and are what its kind says; each
/// balance is the sum of its postings; refunds are of a payment of the same user and never more than it
/// (so no user holds less than nothing); no two transactions of a user share a key within its life
/// span; and the tables that lead to transactions lead to all of them.
///
/// # Errors
/// [`VerifyError`] names the first difference.
pub fn verify(journal: &Journal) -> Result<BooksReport, VerifyError> {
    let snapshot = journal.read()?;
    let mut recount = Recount::default();
    for transaction in snapshot.transactions_after(Sequence(0))? {
        recount.take(&transaction?, &snapshot)?;
    }
    recount.compare_totals(&snapshot)?;
    recount.compare_refunds(&snapshot)?;
    recount.compare_keys(&snapshot)?;
    Ok(recount.report())
}

/// What a successful [`verify`] has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BooksReport {
    /// Payments and refunds together.
    pub transactions: u64,
    /// Of these, refunds.
    pub refunds: u64,
    /// Users that have ever paid.
    pub users: usize,
    /// What all users together hold, in cents.
    pub totals: BTreeMap<Currency, i128>,
}

impl BooksReport {
    /// What all users together hold in a currency, in cents.
    pub fn total(&self, currency: Currency) -> i128 {
        self.totals.get(&currency).copied().unwrap_or_default()
    }
}

/// One line for people: `12 transactions (2 of them refunds) of 3 users; 12.34 EUR`.
impl fmt::Display for BooksReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BooksReport { transactions, refunds, users, totals } = self;
        write!(f, "{transactions} transactions ({refunds} of them refunds) of {users} users")?;
        for (currency, cents) in totals {
            write!(f, "; {}.{:02} {currency}", cents / 100, cents % 100)?;
        }
        Ok(())
    }
}

/// The books as the transactions alone say that they are.
#[derive(Default)]
struct Recount {
    last: u64,
    refunds: u64,
    totals: HashMap<(BookAccount, Currency), i128>,
    refunded: HashMap<Sequence, i128>,
    keys: HashMap<(UserId, IdempotencyKey), KeyUse>,
}

/// The last use of a key.
struct KeyUse {
    sequence: Sequence,
    until: Timestamp,
}

impl Recount {
    fn take(&mut self, transaction: &Transaction, snapshot: &Snapshot) -> Result<(), VerifyError> {
        let Transaction { sequence, movement, postings, .. } = transaction;
        let sequence = *sequence;
        if sequence.0 != self.last + 1 {
            return Err(VerifyError::Gap { sequence: Sequence(self.last + 1) });
        }
        self.last = sequence.0;
        if let Some((currency, sum)) = transaction.imbalance() {
            return Err(VerifyError::Unbalanced { sequence, currency, sum });
        }
        let expected = movement.postings();
        let is_as_said = expected.is_some_and(|expected| expected[..] == postings[..]);
        if !movement.amount.cents.is_positive() || !is_as_said {
            return Err(VerifyError::Shape { sequence });
        }
        if let Kind::Refund { of } = movement.kind {
            self.take_refund(of, transaction, snapshot)?;
        }
        for posting in postings {
            let total = (posting.account, posting.amount.currency);
            *self.totals.entry(total).or_default() += i128::from(posting.amount.cents.0);
        }
        if !snapshot.has_line(movement.user_id, sequence)? {
            return Err(VerifyError::Line { sequence });
        }
        self.take_key(transaction)
    }

    fn take_refund(
        &mut self,
        of: Sequence,
        transaction: &Transaction,
        snapshot: &Snapshot,
    ) -> Result<(), VerifyError> {
        let (sequence, refund) = (transaction.sequence, &transaction.movement);
        self.refunds += 1;
        let payment = snapshot.transaction(of)?.filter(|payment| {
            payment.sequence < sequence
                && payment.movement.kind == Kind::Payment
                && payment.movement.user_id == refund.user_id
                && payment.movement.amount.currency == refund.amount.currency
        });
        let payment = payment.ok_or(VerifyError::RefundOfNothing { sequence, of })?;
        let refunded = self.refunded.entry(of).or_default();
        *refunded += i128::from(refund.amount.cents.0);
        if *refunded > i128::from(payment.movement.amount.cents.0) {
            return Err(VerifyError::RefundAbovePayment { sequence, of });
        }
        Ok(())
    }

    fn take_key(&mut self, transaction: &Transaction) -> Result<(), VerifyError> {
        let Transaction { sequence, movement, recorded_at, key_until, .. } = transaction;
        let key_use = KeyUse { sequence: *sequence, until: *key_until };
        let key = (movement.user_id, movement.key.clone());
        match self.keys.insert(key, key_use) {
            Some(before) if *recorded_at < before.until => {
                Err(VerifyError::KeyTwice { first: before.sequence, second: *sequence })
            }
            _ => Ok(()),
        }
    }

    fn compare_totals(&self, snapshot: &Snapshot) -> Result<(), VerifyError> {
        let stored: HashMap<_, _> = snapshot
            .totals()?
            .into_iter()
            .map(|(account, balance)| ((account, balance.currency), i128::from(balance.cents.0)))
            .collect();
        for &(account, currency) in self.totals.keys().chain(stored.keys()) {
            let sum = |sums: &HashMap<_, i128>| sums.get(&(account, currency)).copied();
            let (counted, stored) = (sum(&self.totals), sum(&stored));
            if counted != stored {
                let (counted, stored) = (counted.unwrap_or(0), stored.unwrap_or(0));
                return Err(VerifyError::Total { account, currency, counted, stored });
            }
        }
        Ok(())
    }

    fn compare_refunds(&self, snapshot: &Snapshot) -> Result<(), VerifyError> {
        let stored: HashMap<_, _> =
            snapshot.refunded()?.into_iter().map(|(of, sum)| (of, i128::from(sum))).collect();
        let mut payments = self.refunded.keys().chain(stored.keys());
        match payments.find(|of| self.refunded.get(of) != stored.get(of)) {
            Some(&of) => Err(VerifyError::RefundedSum { of }),
            None => Ok(()),
        }
    }

    /// Keys that the sweep has not looked at must be there; others must not.
    fn compare_keys(&self, snapshot: &Snapshot) -> Result<(), VerifyError> {
        let swept = snapshot.swept()?;
        let mut count = 0;
        for ((user_id, key), KeyUse { sequence, .. }) in &self.keys {
            let expected = (*sequence > swept).then_some(*sequence);
            if snapshot.owner_of_key(*user_id, key)? != expected {
                return Err(VerifyError::Key { sequence: *sequence });
            }
            count += u64::from(expected.is_some());
        }
        let counts = snapshot.counts()?;
        if counts.keys != count || counts.lines != self.last {
            return Err(VerifyError::SurplusRows { keys: counts.keys, lines: counts.lines });
        }
        Ok(())
    }

    fn report(&self) -> BooksReport {
        let mut report = BooksReport {
            transactions: self.last,
            refunds: self.refunds,
            ..BooksReport::default()
        };
        let mut users = HashSet::new();
        for (&(account, currency), &cents) in &self.totals {
            if let BookAccount::User(user_id) = account {
                users.insert(user_id);
                *report.totals.entry(currency).or_default() += cents;
            }
        }
        report.users = users.len();
        report
    }
}

/// The books are wrong, or could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum VerifyError {
    /// The journal failed or breaks its own rules.
    Journal(JournalError),
    /// A transaction is missing.
    Gap {
        /// The one that is missing.
        sequence: Sequence,
    },
    /// The postings of a transaction do not sum up to zero.
    Unbalanced {
        /// The transaction.
        sequence: Sequence,
        /// In which currency.
        currency: Currency,
        /// What they sum up to, in cents.
        sum: i128,
    },
    /// The postings of a transaction are not those of a payment or a refund.
    Shape {
        /// The transaction.
        sequence: Sequence,
    },
    /// Two transactions have the same key within its life span: one of them was made twice.
    KeyTwice {
        /// The one that the key belongs to.
        first: Sequence,
        /// The other one.
        second: Sequence,
    },
    /// A refund is of no earlier payment of its user in its currency.
    RefundOfNothing {
        /// The refund.
        sequence: Sequence,
        /// What it says that it is of.
        of: Sequence,
    },
    /// The refunds of a payment are more than the payment.
    RefundAbovePayment {
        /// The refund that is too much.
        sequence: Sequence,
        /// The payment.
        of: Sequence,
    },
    /// A stored balance is not the sum of the postings.
    Total {
        /// The account.
        account: BookAccount,
        /// The currency.
        currency: Currency,
        /// The sum of the postings, in cents.
        counted: i128,
        /// The stored balance, in cents.
        stored: i128,
    },
    /// A stored sum of refunds is not the sum of the refunds.
    RefundedSum {
        /// The payment.
        of: Sequence,
    },
    /// A key does not lead to its last transaction, or should have been forgotten.
    Key {
        /// The transaction.
        sequence: Sequence,
    },
    /// A transaction is missing on its user's statements.
    Line {
        /// The transaction.
        sequence: Sequence,
    },
    /// There are keys or statement lines that belong to no transaction.
    SurplusRows {
        /// Stored keys.
        keys: u64,
        /// Stored lines.
        lines: u64,
    },
}

impl From<JournalError> for VerifyError {
    fn from(error: JournalError) -> VerifyError {
        VerifyError::Journal(error)
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifyError::Journal(_) => f.write_str("the journal cannot be verified"),
            VerifyError::Gap { sequence } => write!(f, "transaction {sequence} is missing"),
            VerifyError::Unbalanced { sequence, currency, sum } => write!(
                f,
                "the postings of transaction {sequence} sum up to {sum} cents {currency}, not to zero"
            ),
            VerifyError::Shape { sequence } => {
                write!(f, "transaction {sequence} is neither a payment nor a refund")
            }
            VerifyError::KeyTwice { first, second } => {
                write!(f, "transaction {second} has the key of transaction {first}")
            }
            VerifyError::RefundOfNothing { sequence, of } => {
                write!(f, "refund {sequence} is of {of}, which is no payment that it can be of")
            }
            VerifyError::RefundAbovePayment { sequence, of } => {
                write!(f, "with refund {sequence}, more was refunded than payment {of}")
            }
            VerifyError::Total { account, currency, counted, stored } => write!(
                f,
                "{account} holds {stored} cents {currency} in the totals and {counted} in the postings"
            ),
            VerifyError::RefundedSum { of } => {
                write!(f, "the stored sum of refunds of payment {of} is not the sum of its refunds")
            }
            VerifyError::Key { sequence } => {
                write!(f, "the key of transaction {sequence} leads elsewhere")
            }
            VerifyError::Line { sequence } => {
                write!(f, "transaction {sequence} is missing on its user's statement")
            }
            VerifyError::SurplusRows { keys, lines } => write!(
                f,
                "the journal stores {keys} keys and {lines} statement lines, which do not fit its \
                 transactions"
            ),
        }
    }
}

impl Error for VerifyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            VerifyError::Journal(source) => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
