//! The payments on disk, in one redb file: the truth about the books.
//!
//! Clones share the open file; the calls wait for the disk, so a process makes them on the blocking
//! pool. Open the file once, where the application starts, and give clones to the processes. A
//! process may be killed while its [`Journal::append`] is still running on the blocking pool; that
//! append ends on its own, whole or not at all, and the next process sees it through
//! [`Ledger::catch_up`](crate::Ledger::catch_up). For the same reason the journal trusts nothing in
//! memory: sequence, totals and keys are read in the transaction that writes.
//!
//! Invariants: entries are numbered from 1 without gaps and never change; a key has one entry; a
//! user's total is the sum of the user's entries; what `append` has returned survives a power cut.
//! Absent on purpose: deletion, compaction.
//!
//! Tables: `entries`: sequence -> (user id, cents, recorded at in ms, key); `keys`: key -> sequence;
//! `totals`: user id -> cents.

use std::{
    collections::HashMap,
    error::Error,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{
    Database, DatabaseError, Durability, Range, ReadOnlyTable, ReadTransaction,
    ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, Table, TableDefinition,
};
use shop_auth::UserId;

use crate::{Cents, Entry, IdempotencyKey, Payment, PaymentError, Receipt, Timestamp};

/// Memory that the journal may use to cache the file.
pub const CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;

type EntryRow = (u64, i64, u64, &'static str);
const ENTRIES: TableDefinition<u64, EntryRow> = TableDefinition::new("entries");
const KEYS: TableDefinition<&str, u64> = TableDefinition::new("keys");
const TOTALS: TableDefinition<u64, i64> = TableDefinition::new("totals");

/// The open journal. Clones share it.
#[derive(Clone, Debug)]
pub struct Journal {
    database: Arc<Database>,
}

impl Journal {
    /// Opens the file; makes it and its directory when they do not exist.
    ///
    /// # Errors
    /// [`JournalError::Directory`], [`JournalError::InUse`] or [`JournalError::Open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Journal, JournalError> {
        let path = path.as_ref();
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(|source| JournalError::Directory {
                directory: directory.to_owned(),
                source,
            })?;
        }
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES_MAX)
            .create(path)
            .map_err(|error| JournalError::open(path, error))?;
        let transaction = database.begin_write()?;
        Tables::open(&transaction)?;
        transaction.commit()?;
        Ok(Journal { database: Arc::new(database) })
    }

    /// Writes a batch of payments in one transaction and returns one answer each, in their order.
    ///
    /// When this returns `Ok`, everything that has a receipt is on disk. The batch costs one wait
    /// for the disk, however long it is: that is the group commit. A payment whose key is known and
    /// whose contents are the same gets the first receipt, also within one batch; a refused payment
    /// does not hinder the others.
    ///
    /// # Errors
    /// [`JournalError`]: after a failure to commit, whether the batch is on disk is not known;
    /// otherwise nothing was written. In both cases send the payments again with the same keys.
    pub fn append(
        &self,
        batch: &[Payment],
        now: Timestamp,
    ) -> Result<Vec<Result<Receipt, PaymentError>>, JournalError> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let mut tables = Tables::open(&transaction)?;
        let first_new = tables.next_sequence()?;
        let answers =
            batch.iter().map(|payment| tables.post(payment, now)).collect::<Result<Vec<_>, _>>()?;
        let wrote = tables.next_sequence()? > first_new;
        drop(tables);
        if wrote {
            transaction.commit()?;
        } else {
            transaction.abort()?;
        }
        Ok(answers)
    }

    /// The entries whose sequence is greater than `sequence`, oldest first, as of now. 0 gives all.
    ///
    /// # Errors
    /// [`JournalError::Database`]; each item may also be [`JournalError::Corrupt`].
    pub fn entries_after(&self, sequence: u64) -> Result<Entries, JournalError> {
        self.read()?.entries_after(sequence)
    }

    /// The receipt of the payment that has this key.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn receipt(&self, key: &IdempotencyKey) -> Result<Option<Receipt>, JournalError> {
        let snapshot = self.read()?;
        match snapshot.sequence_of(key)? {
            Some(sequence) => snapshot.entry(sequence).map(Receipt::from).map(Some),
            None => Ok(None),
        }
    }

    /// The sum of a user's payments; zero for a user without any.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn total(&self, user_id: UserId) -> Result<Cents, JournalError> {
        self.read()?.total(user_id)
    }

    /// Keeps everybody from writing until it is dropped.
    #[cfg(test)]
    pub(crate) fn lock(&self) -> redb::WriteTransaction {
        self.database.begin_write().expect("the file can be written")
    }

    /// Freezes one state of the journal, so that several questions get answers that fit together.
    pub(crate) fn read(&self) -> Result<Snapshot, JournalError> {
        Ok(Snapshot(self.database.begin_read()?))
    }
}

/// The three tables, open for writing in one transaction.
struct Tables<'t> {
    entries: Table<'t, u64, EntryRow>,
    keys: Table<'t, &'static str, u64>,
    totals: Table<'t, u64, i64>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t redb::WriteTransaction) -> Result<Tables<'t>, JournalError> {
        Ok(Tables {
            entries: transaction.open_table(ENTRIES)?,
            keys: transaction.open_table(KEYS)?,
            totals: transaction.open_table(TOTALS)?,
        })
    }

    fn next_sequence(&self) -> Result<u64, JournalError> {
        let last = self.entries.last()?;
        Ok(last.map_or(0, |(sequence, _)| sequence.value()) + 1)
    }

    /// The inner result is the answer to the client; the outer one fails the batch.
    fn post(
        &mut self,
        payment: &Payment,
        now: Timestamp,
    ) -> Result<Result<Receipt, PaymentError>, JournalError> {
        if !payment.amount.is_positive() {
            return Ok(Err(PaymentError::AmountNotPositive { amount: payment.amount }));
        }
        if let Some(first) = self.entry_of(&payment.key)? {
            return Ok(if first.payment == *payment {
                Ok(Receipt::from(first))
            } else {
                Err(PaymentError::KeyReuse { key: payment.key.clone() })
            });
        }
        let user_id = payment.user_id;
        let balance = self.totals.get(user_id.0)?.map_or(0, |total| total.value());
        let Some(total) = Cents(balance).checked_add(payment.amount) else {
            return Ok(Err(PaymentError::BalanceOverflow { user_id, balance: Cents(balance) }));
        };
        self.write(payment, total, now).map(Ok)
    }

    fn entry_of(&self, key: &IdempotencyKey) -> Result<Option<Entry>, JournalError> {
        let Some(sequence) = self.keys.get(key.as_str())? else {
            return Ok(None);
        };
        let sequence = sequence.value();
        let row = self.entries.get(sequence)?.ok_or(JournalError::Corrupt { sequence })?;
        decode(sequence, row.value()).map(Some)
    }

    fn write(
        &mut self,
        payment: &Payment,
        total: Cents,
        now: Timestamp,
    ) -> Result<Receipt, JournalError> {
        let entry =
            Entry { sequence: self.next_sequence()?, payment: payment.clone(), recorded_at: now };
        let key = payment.key.as_str();
        let row = (payment.user_id.0, payment.amount.0, now.0, key);
        self.entries.insert(entry.sequence, row)?;
        self.keys.insert(key, entry.sequence)?;
        self.totals.insert(payment.user_id.0, total.0)?;
        Ok(Receipt::from(entry))
    }
}

/// One frozen state of the journal.
pub(crate) struct Snapshot(ReadTransaction);

impl Snapshot {
    pub(crate) fn entries_after(&self, sequence: u64) -> Result<Entries, JournalError> {
        let table: ReadOnlyTable<u64, EntryRow> = self.0.open_table(ENTRIES)?;
        let range = table.range(sequence.saturating_add(1)..)?;
        Ok(Entries { range, _table: table })
    }

    fn entry(&self, sequence: u64) -> Result<Entry, JournalError> {
        let table = self.0.open_table(ENTRIES)?;
        let row = table.get(sequence)?.ok_or(JournalError::Corrupt { sequence })?;
        decode(sequence, row.value())
    }

    pub(crate) fn sequence_of(&self, key: &IdempotencyKey) -> Result<Option<u64>, JournalError> {
        let keys = self.0.open_table(KEYS)?;
        let sequence = keys.get(key.as_str())?.map(|sequence| sequence.value());
        Ok(sequence)
    }

    pub(crate) fn total(&self, user_id: UserId) -> Result<Cents, JournalError> {
        let totals = self.0.open_table(TOTALS)?;
        let total = totals.get(user_id.0)?.map_or(0, |total| total.value());
        Ok(Cents(total))
    }

    pub(crate) fn totals(&self) -> Result<HashMap<UserId, Cents>, JournalError> {
        let table = self.0.open_table(TOTALS)?;
        let rows = table.iter()?;
        rows.map(|row| {
            let (user_id, total) = row?;
            Ok((UserId(user_id.value()), Cents(total.value())))
        })
        .collect()
    }

    pub(crate) fn last_sequence(&self) -> Result<u64, JournalError> {
        let last = self.0.open_table(ENTRIES)?.last()?.map(|(sequence, _)| sequence.value());
        Ok(last.unwrap_or(0))
    }

    pub(crate) fn counts(&self) -> Result<Counts, JournalError> {
        Ok(Counts {
            keys: self.0.open_table(KEYS)?.len()?,
            totals: self.0.open_table(TOTALS)?.len()?,
        })
    }
}

/// Rows of the index tables.
pub(crate) struct Counts {
    pub(crate) keys: u64,
    pub(crate) totals: u64,
}

/// Entries of the journal, oldest first; reads the file as it goes.
///
/// While it lives, its frozen state keeps space in the file: do not store it.
pub struct Entries {
    range: Range<'static, u64, EntryRow>,
    // Keeps the read transaction open for `range`.
    _table: ReadOnlyTable<u64, EntryRow>,
}

impl Iterator for Entries {
    type Item = Result<Entry, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.range.next()?;
        Some(
            row.map_err(JournalError::from)
                .and_then(|(sequence, row)| decode(sequence.value(), row.value())),
        )
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entries(..)")
    }
}

fn decode(
    sequence: u64,
    (user_id, cents, recorded_at, key): (u64, i64, u64, &str),
) -> Result<Entry, JournalError> {
    Ok(Entry {
        sequence,
        payment: Payment {
            user_id: UserId(user_id),
            amount: Cents(cents),
            key: IdempotencyKey::new(key).map_err(|_| JournalError::Corrupt { sequence })?,
        },
        recorded_at: Timestamp(recorded_at),
    })
}

/// The journal failed. A process that meets it has nothing better to do than to crash.
#[derive(Debug)]
#[non_exhaustive]
pub enum JournalError {
    /// The file's directory could not be made.
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is open already, here or in another program.
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be opened.
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// The file could not be read or written.
    Database(Box<redb::Error>),
    /// A stored entry breaks our rules: somebody else wrote to the file.
    Corrupt {
        /// The entry.
        sequence: u64,
    },
}

impl JournalError {
    fn open(path: &Path, error: DatabaseError) -> JournalError {
        let path = path.to_owned();
        match error {
            DatabaseError::DatabaseAlreadyOpen => JournalError::InUse { path },
            error => JournalError::Open { path, source: Box::new(error.into()) },
        }
    }
}

impl<E: Into<redb::Error>> From<E> for JournalError {
    fn from(error: E) -> JournalError {
        JournalError::Database(Box::new(error.into()))
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Directory { directory, .. } => {
                write!(f, "cannot make the directory {}", directory.display())
            }
            JournalError::InUse { path } => write!(f, "the journal {} is in use", path.display()),
            JournalError::Open { path, .. } => {
                write!(f, "cannot open the journal {}", path.display())
            }
            JournalError::Database(_) => f.write_str("the journal file failed"),
            JournalError::Corrupt { sequence } => {
                write!(f, "entry {sequence} of the journal is corrupt")
            }
        }
    }
}

impl Error for JournalError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            JournalError::Directory { source, .. } => Some(source),
            JournalError::Open { source, .. } | JournalError::Database(source) => Some(source),
            JournalError::InUse { .. } | JournalError::Corrupt { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
