//! The journal's tables, open for writing: what one batch does.
//!
//! Lives within one transaction of the database and decides there, from what is stored, whether a
//! movement is made. Invariants of the whole journal are kept here, and nowhere else.

use std::{collections::HashMap, time::Duration};

use redb::{ReadableTable as _, Table, WriteTransaction};

use super::{
    JournalError, Posted, SWEEP_MAX,
    row::{
        self, CLOCK_KEY, KEYS, KeyKey, LINES, META, REFUNDED, SWEPT_KEY, TOTALS, TRANSACTIONS,
        TotalKey, TransactionRow,
    },
};
use crate::{
    BookAccount, Cents, Currency, Kind, Money, Movement, PaymentError, Posting, Receipt, Sequence,
    Timestamp, Transaction,
};

pub(super) struct Tables<'t> {
    meta: Table<'t, &'static str, u64>,
    transactions: Table<'t, u64, TransactionRow<'static>>,
    keys: Table<'t, KeyKey, u64>,
    totals: Table<'t, TotalKey, i64>,
    lines: Table<'t, (u64, u64), ()>,
    refunded: Table<'t, u64, i64>,
    last: u64,
    /// The time of this batch. Never earlier than that of one before, also when the machine's clock has
    /// gone back: else a key that was forgotten could be used while it still belongs to its owner.
    now: Timestamp,
    /// Totals that this batch has changed: written once, at its end.
    changed: HashMap<(BookAccount, Currency), Cents>,
}

/// Why a movement is not made.
enum Halt {
    /// It was refused, and the rest of the batch goes on.
    Refused(PaymentError),
    /// The batch fails.
    Failed(JournalError),
}

impl<E: Into<JournalError>> From<E> for Halt {
    fn from(error: E) -> Halt {
        Halt::Failed(error.into())
    }
}

impl<'t> Tables<'t> {
    pub(super) fn open(
        transaction: &'t WriteTransaction,
        now: Timestamp,
    ) -> Result<Tables<'t>, JournalError> {
        let meta = transaction.open_table(META)?;
        let before = meta.get(CLOCK_KEY)?.map_or(0, |clock| clock.value());
        let transactions = transaction.open_table(TRANSACTIONS)?;
        let last = transactions.last()?.map_or(0, |(sequence, _)| sequence.value());
        Ok(Tables {
            meta,
            transactions,
            keys: transaction.open_table(KEYS)?,
            totals: transaction.open_table(TOTALS)?,
            lines: transaction.open_table(LINES)?,
            refunded: transaction.open_table(REFUNDED)?,
            last,
            now: now.max(Timestamp(before)),
            changed: HashMap::new(),
        })
    }

    /// The last transaction's sequence; 0 for none.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The answer to the client; a failure fails the batch.
    pub(super) fn post(
        &mut self,
        movement: &Movement,
        key_ttl: Duration,
    ) -> Result<Posted, JournalError> {
        let answer = match self.decide(movement, key_ttl) {
            Ok(receipt) => Ok(receipt),
            Err(Halt::Refused(error)) => Err(error),
            Err(Halt::Failed(error)) => return Err(error),
        };
        let account = BookAccount::User(movement.user_id);
        let currency = movement.amount.currency;
        let balance = match &answer {
            Ok(_) => Some(self.total(account, currency)?.of(currency)),
            Err(_) => None,
        };
        Ok(Posted { answer, balance })
    }

    fn decide(&mut self, movement: &Movement, key_ttl: Duration) -> Result<Receipt, Halt> {
        let amount = movement.amount.cents;
        if !amount.is_positive() {
            return Err(Halt::Refused(PaymentError::AmountNotPositive { amount }));
        }
        if let Some(first) = self.owner_of_key(movement)? {
            if first.movement == *movement {
                return Ok(Receipt::from(first));
            }
            let key = movement.key.clone();
            return Err(Halt::Refused(PaymentError::KeyReuse { key }));
        }
        let refunded = match movement.kind {
            Kind::Payment => None,
            Kind::Refund { of } => Some((of, self.refunded_with(of, movement)?)),
        };
        let postings = movement.postings().expect("a positive amount has a negative");
        self.add_up(&postings)?;
        // From here on nothing refuses: a refused movement leaves nothing behind.
        if let Some((of, sum)) = refunded {
            self.refunded.insert(of.0, sum.0)?;
        }
        Ok(self.write(movement, &postings, key_ttl)?)
    }

    /// The transaction that the key belongs to, if it still does.
    fn owner_of_key(&self, movement: &Movement) -> Result<Option<Transaction>, JournalError> {
        let key = (movement.user_id.0, movement.key.as_str());
        let Some(sequence) = self.keys.get(key)?.map(|sequence| sequence.value()) else {
            return Ok(None);
        };
        let owner = self.transaction(sequence)?;
        let owner = owner.ok_or(JournalError::Corrupt { sequence: Sequence(sequence) })?;
        Ok((self.now < owner.key_until).then_some(owner))
    }

    fn transaction(&self, sequence: u64) -> Result<Option<Transaction>, JournalError> {
        let row = self.transactions.get(sequence)?;
        row.map(|row| row::transaction(sequence, row.value())).transpose()
    }

    /// The sum of a payment's refunds, this one included.
    fn refunded_with(&self, of: Sequence, movement: &Movement) -> Result<Cents, Halt> {
        let no_such_payment = || Halt::Refused(PaymentError::NoSuchPayment { of });
        let payment = self.transaction(of.0)?.ok_or_else(no_such_payment)?.movement;
        if payment.kind != Kind::Payment || payment.user_id != movement.user_id {
            return Err(no_such_payment());
        }
        let currency = payment.amount.currency;
        if movement.amount.currency != currency {
            return Err(Halt::Refused(PaymentError::OtherCurrency { of, currency }));
        }
        let before = Cents(self.refunded.get(of.0)?.map_or(0, |cents| cents.value()));
        let corrupt = || JournalError::Corrupt { sequence: of };
        let rest = payment.amount.cents.checked_sub(before).ok_or_else(corrupt)?;
        if movement.amount.cents > rest {
            let rest = rest.of(currency);
            return Err(Halt::Refused(PaymentError::AboveRest { of, rest }));
        }
        Ok(before.checked_add(movement.amount.cents).ok_or_else(corrupt)?)
    }

    /// Adds the postings to the totals: all of them, or none.
    fn add_up(&mut self, postings: &[Posting]) -> Result<(), Halt> {
        let mut sums = Vec::with_capacity(postings.len());
        for &Posting { account, amount: Money { cents, currency } } in postings {
            let balance = self.total(account, currency)?;
            let Some(sum) = balance.checked_add(cents) else {
                let balance = balance.of(currency);
                return Err(Halt::Refused(PaymentError::BalanceOverflow { account, balance }));
            };
            sums.push(((account, currency), sum));
        }
        self.changed.extend(sums);
        Ok(())
    }

    fn total(&self, account: BookAccount, currency: Currency) -> Result<Cents, JournalError> {
        if let Some(&cents) = self.changed.get(&(account, currency)) {
            return Ok(cents);
        }
        let (kind, id) = row::of_account(account);
        let total = self.totals.get((kind, id, currency.bytes()))?;
        Ok(Cents(total.map_or(0, |total| total.value())))
    }

    fn write(
        &mut self,
        movement: &Movement,
        postings: &[Posting],
        key_ttl: Duration,
    ) -> Result<Receipt, JournalError> {
        self.last += 1;
        let transaction = Transaction {
            sequence: Sequence(self.last),
            movement: movement.clone(),
            postings: postings.to_vec(),
            recorded_at: self.now,
            key_until: self.now.after(key_ttl),
        };
        let user_id = movement.user_id.0;
        self.transactions.insert(self.last, row::of_transaction(&transaction))?;
        self.keys.insert((user_id, movement.key.as_str()), self.last)?;
        self.lines.insert((user_id, self.last), ())?;
        Ok(Receipt::from(transaction))
    }

    /// Forgets keys whose time is over, the oldest first, [`SWEEP_MAX`] at most, and returns how many
    /// transactions it has looked at.
    pub(super) fn sweep(&mut self) -> Result<usize, JournalError> {
        let swept = self.meta.get(SWEPT_KEY)?.map_or(0, |swept| swept.value());
        let mut expired = Vec::new();
        for row in self.transactions.range(swept + 1..)?.take(SWEEP_MAX) {
            let (sequence, row) = row?;
            let transaction = row::transaction(sequence.value(), row.value())?;
            if self.now < transaction.key_until {
                break;
            }
            expired.push(transaction);
        }
        for Transaction { sequence, movement, .. } in &expired {
            let key = (movement.user_id.0, movement.key.as_str());
            // The user may have used it again: then it belongs to a later transaction.
            if self.keys.get(key)?.is_some_and(|owner| owner.value() == sequence.0) {
                self.keys.remove(key)?;
            }
        }
        if let Some(last) = expired.last() {
            self.meta.insert(SWEPT_KEY, last.sequence.0)?;
        }
        Ok(expired.len())
    }

    /// Writes what the batch has kept back.
    pub(super) fn finish(mut self) -> Result<(), JournalError> {
        self.meta.insert(CLOCK_KEY, self.now.0)?;
        for ((account, currency), cents) in self.changed {
            let (kind, id) = row::of_account(account);
            self.totals.insert((kind, id, currency.bytes()), cents.0)?;
        }
        Ok(())
    }
}
