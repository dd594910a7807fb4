//! One frozen state of the journal: several questions get answers that fit together.
//!
//! Reading hinders no writer. While a snapshot or something read from it lives, its state keeps space
//! in the file: do not store it.

use std::fmt;

use redb::{Range, ReadOnlyTable, ReadTransaction, ReadableTable as _, ReadableTableMetadata as _};
use shop_auth::UserId;

use super::{
    JournalError,
    row::{self, KEYS, LINES, META, REFUNDED, SWEPT_KEY, TOTALS, TRANSACTIONS, TransactionRow},
};
use crate::{
    Balances, BookAccount, IdempotencyKey, Money, Page, Receipt, Sequence, Statement, Timestamp,
    Transaction,
};

pub(crate) struct Snapshot(pub(super) ReadTransaction);

impl Snapshot {
    pub(crate) fn transactions_after(
        &self,
        sequence: Sequence,
    ) -> Result<Transactions, JournalError> {
        let table: ReadOnlyTable<u64, TransactionRow<'static>> = self.0.open_table(TRANSACTIONS)?;
        let range = table.range(sequence.0.saturating_add(1)..)?;
        Ok(Transactions { range, _table: table })
    }

    pub(crate) fn transaction(
        &self,
        sequence: Sequence,
    ) -> Result<Option<Transaction>, JournalError> {
        let table = self.0.open_table(TRANSACTIONS)?;
        let row = table.get(sequence.0)?;
        row.map(|row| row::transaction(sequence.0, row.value())).transpose()
    }

    /// The transaction that a key belongs to, whether or not it still does.
    pub(crate) fn owner_of_key(
        &self,
        user_id: UserId,
        key: &IdempotencyKey,
    ) -> Result<Option<Sequence>, JournalError> {
        let keys = self.0.open_table(KEYS)?;
        let sequence = keys.get((user_id.0, key.as_str()))?;
        Ok(sequence.map(|sequence| Sequence(sequence.value())))
    }

    pub(super) fn receipt(
        &self,
        user_id: UserId,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Option<Receipt>, JournalError> {
        let Some(sequence) = self.owner_of_key(user_id, key)? else {
            return Ok(None);
        };
        let owner = self.transaction(sequence)?.ok_or(JournalError::Corrupt { sequence })?;
        Ok((now < owner.key_until).then(|| Receipt::from(owner)))
    }

    pub(super) fn balances(&self, user_id: UserId) -> Result<Balances, JournalError> {
        let (kind, id) = row::of_account(BookAccount::User(user_id));
        let table = self.0.open_table(TOTALS)?;
        let rows = table.range((kind, id, &[0; 3])..=(kind, id, &[u8::MAX; 3]))?;
        rows.map(|row| {
            let (key, cents) = row?;
            let (_, _, currency) = key.value();
            row::money(currency, cents.value()).ok_or(JournalError::CorruptBalance)
        })
        .collect()
    }

    pub(super) fn statement(&self, user_id: UserId, page: Page) -> Result<Statement, JournalError> {
        let lines = self.0.open_table(LINES)?;
        let end = page.after.map_or(u64::MAX, |after| after.0);
        let mut older = lines.range((user_id.0, 0)..(user_id.0, end))?.rev();
        let mut statement = Statement { lines: Vec::new(), next: None };
        for row in older.by_ref().take(page.limit) {
            let sequence = Sequence(row?.0.value().1);
            let transaction = self.transaction(sequence)?;
            let transaction = transaction.ok_or(JournalError::Corrupt { sequence })?;
            statement.lines.push(Receipt::from(transaction));
        }
        if older.next().transpose()?.is_some() {
            statement.next = statement.lines.last().map(|line| line.sequence);
        }
        Ok(statement)
    }

    /// Every balance.
    pub(crate) fn totals(&self) -> Result<Vec<(BookAccount, Money)>, JournalError> {
        let table = self.0.open_table(TOTALS)?;
        table
            .iter()?
            .map(|row| {
                let (key, cents) = row?;
                let (kind, id, currency) = key.value();
                let account = row::account((kind, id)).ok_or(JournalError::CorruptBalance)?;
                let balance = row::money(currency, cents.value());
                Ok((account, balance.ok_or(JournalError::CorruptBalance)?))
            })
            .collect()
    }

    /// The sums of refunds, by their payments.
    pub(crate) fn refunded(&self) -> Result<Vec<(Sequence, i64)>, JournalError> {
        let table = self.0.open_table(REFUNDED)?;
        table
            .iter()?
            .map(|row| {
                let (of, cents) = row?;
                Ok((Sequence(of.value()), cents.value()))
            })
            .collect()
    }

    /// Whether a user's statements have the transaction.
    pub(crate) fn has_line(
        &self,
        user_id: UserId,
        sequence: Sequence,
    ) -> Result<bool, JournalError> {
        Ok(self.0.open_table(LINES)?.get((user_id.0, sequence.0))?.is_some())
    }

    /// The last transaction that the sweep has looked at.
    pub(crate) fn swept(&self) -> Result<Sequence, JournalError> {
        let swept = self.0.open_table(META)?.get(SWEPT_KEY)?.map(|swept| swept.value());
        Ok(Sequence(swept.unwrap_or(0)))
    }

    pub(crate) fn counts(&self) -> Result<Counts, JournalError> {
        Ok(Counts {
            keys: self.0.open_table(KEYS)?.len()?,
            lines: self.0.open_table(LINES)?.len()?,
        })
    }
}

/// Rows of the tables that lead to transactions.
pub(crate) struct Counts {
    pub(crate) keys: u64,
    pub(crate) lines: u64,
}

/// Transactions of the journal, oldest first; reads the file as it goes.
///
/// While it lives, its frozen state keeps space in the file: do not store it.
pub struct Transactions {
    range: Range<'static, u64, TransactionRow<'static>>,
    // Keeps the read transaction open for `range`.
    _table: ReadOnlyTable<u64, TransactionRow<'static>>,
}

impl Iterator for Transactions {
    type Item = Result<Transaction, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.range.next()?;
        Some(
            row.map_err(JournalError::from)
                .and_then(|(sequence, row)| row::transaction(sequence.value(), row.value())),
        )
    }
}

impl fmt::Debug for Transactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transactions(..)")
    }
}
