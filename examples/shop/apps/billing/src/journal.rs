//! The ledger on disk, in one redb file: the truth about the books.
//!
//! Clones share the open file; the calls wait for the disk, so a process makes them on the blocking
//! pool. Open the file once, where the application starts, and give clones to the processes. A
//! process may be killed while its [`Journal::append`] is still running on the blocking pool; that
//! append ends on its own, whole or not at all. For the same reason the journal trusts nothing in
//! memory: sequence, totals, keys and refunds are read in the transaction that writes.
//!
//! Invariants: transactions are numbered from 1 without gaps and never change; the postings of each
//! sum up to zero; within its life span a key belongs to one transaction of its user; an account's
//! total is the sum of its postings; the refunds of a payment are never more than the payment; what
//! `append` has returned survives a power cut. [`verify`](crate::books::verify) checks them.
//! Absent on purpose: deletion, compaction, migration of old files.
//!
//! `journal/row.rs` describes the tables.

use std::{path::Path, sync::Arc, time::Duration};

use redb::{
    Database, Durability, ReadableDatabase as _, ReadableTable as _, TableHandle as _,
    WriteTransaction,
};
use shop_auth::UserId;
use shop_storage::Medium;

use crate::{
    Balances, IdempotencyKey, Money, Movement, Page, PaymentError, Receipt, Sequence, Statement,
    Timestamp,
};

mod error;
pub(crate) mod row;
mod snapshot;
mod tables;

pub use error::JournalError;
pub use row::FORMAT;
pub(crate) use snapshot::Snapshot;
pub use snapshot::Transactions;
use tables::Tables;

/// How long an idempotency key belongs to its movement unless [`Journal::with_key_ttl`] says otherwise.
pub const KEY_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Most keys that one commit forgets. As many as one batch of the service has movements, so the sweep
/// keeps up with whatever is posted.
pub const SWEEP_MAX: usize = 1_000;

/// The open journal. Clones share it.
#[derive(Clone, Debug)]
pub struct Journal {
    database: Arc<Database>,
    key_ttl: Duration,
}

/// What came of a movement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The receipt, or why there is none.
    pub answer: Result<Receipt, PaymentError>,
    /// The user's balance in the movement's currency afterwards; none when it was refused.
    pub balance: Option<Money>,
}

impl Journal {
    /// Opens the file; makes it and its directory when they do not exist.
    ///
    /// # Errors
    /// [`JournalError::Open`] or [`JournalError::Format`].
    pub fn open(path: impl AsRef<Path>) -> Result<Journal, JournalError> {
        Journal::open_on(Medium::Disk, path)
    }

    /// As [`Journal::open`], for a file that another medium holds.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_on(medium: Medium, path: impl AsRef<Path>) -> Result<Journal, JournalError> {
        let path = path.as_ref();
        let database = shop_storage::database(path, medium).map_err(JournalError::Open)?;
        Journal::of(database, path)
    }

    /// Opens a file that exists, also one that a killed program has left behind.
    ///
    /// # Errors
    /// As [`Journal::open`]; a file that does not exist is [`JournalError::Open`].
    pub fn open_existing(path: impl AsRef<Path>) -> Result<Journal, JournalError> {
        let path = path.as_ref();
        let database = shop_storage::existing_database(path).map_err(JournalError::Open)?;
        Journal::of(database, path)
    }

    /// A journal on something else than a file.
    #[cfg(test)]
    pub(crate) fn on(backend: impl redb::StorageBackend) -> Result<Journal, JournalError> {
        let path = Path::new("(no file)");
        let database = Database::builder().create_with_backend(backend).map_err(|error| {
            let (path, source) = (path.to_owned(), Box::new(error.into()));
            JournalError::Open(shop_storage::OpenError::Open { path, source })
        })?;
        Journal::of(database, path)
    }

    /// Gives the keys of later movements another life span; [`KEY_TTL`] by default. Keys that are in
    /// use keep theirs.
    #[must_use]
    pub fn with_key_ttl(self, key_ttl: Duration) -> Journal {
        Journal { key_ttl, ..self }
    }

    fn of(database: Database, path: &Path) -> Result<Journal, JournalError> {
        let transaction = database.begin_write()?;
        let found = format_of(&transaction)?;
        if found != FORMAT {
            return Err(JournalError::Format { path: path.to_owned(), found });
        }
        Tables::open(&transaction, Timestamp(0))?;
        transaction.commit()?;
        Ok(Journal { database: Arc::new(database), key_ttl: KEY_TTL })
    }

    /// Writes a batch of movements in one transaction and returns what came of each, in their order.
    ///
    /// When this returns `Ok`, everything that has a receipt is on disk. The batch costs one wait
    /// for the disk, however long it is: that is the group commit. A movement whose key belongs to
    /// the same movement already gets the first receipt, also within one batch; a refused movement
    /// does not hinder the others. On the way, keys whose time is over are forgotten. When `now` is
    /// earlier than it was at an earlier commit, that one's time stands for it.
    ///
    /// # Errors
    /// [`JournalError`]: after a failure to commit, whether the batch is on disk is not known;
    /// otherwise nothing was written. In both cases send the movements again with the same keys.
    pub fn append(&self, batch: &[Movement], now: Timestamp) -> Result<Vec<Posted>, JournalError> {
        self.write(now, |tables| {
            let before = tables.last();
            let posted = batch.iter().map(|movement| tables.post(movement, self.key_ttl));
            let posted: Vec<Posted> = posted.collect::<Result<_, _>>()?;
            let swept = tables.sweep()?;
            Ok((posted, tables.last() > before || swept > 0))
        })
    }

    /// Forgets keys whose time is over, [`SWEEP_MAX`] at most, and returns how many transactions it
    /// has looked at for that; as many as [`SWEEP_MAX`] when there is more to do.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn sweep(&self, now: Timestamp) -> Result<usize, JournalError> {
        self.write(now, |tables| {
            let swept = tables.sweep()?;
            Ok((swept, swept > 0))
        })
    }

    /// Does `work` in one transaction, which ends with a commit when it says that there is something
    /// to keep.
    fn write<T>(
        &self,
        now: Timestamp,
        work: impl FnOnce(&mut Tables<'_>) -> Result<(T, bool), JournalError>,
    ) -> Result<T, JournalError> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let mut tables = Tables::open(&transaction, now)?;
        let (result, is_news) = work(&mut tables)?;
        if is_news {
            tables.finish()?;
            transaction.commit()?;
        } else {
            drop(tables);
            transaction.abort()?;
        }
        Ok(result)
    }

    /// The transactions after `sequence`, oldest first, as of now. `Sequence(0)` gives all.
    ///
    /// # Errors
    /// [`JournalError::Database`]; each item may also be [`JournalError::Corrupt`].
    pub fn transactions_after(&self, sequence: Sequence) -> Result<Transactions, JournalError> {
        self.read()?.transactions_after(sequence)
    }

    /// The receipt of the movement that the user's key belongs to.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn receipt(
        &self,
        user_id: UserId,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Option<Receipt>, JournalError> {
        self.read()?.receipt(user_id, key, now)
    }

    /// What the user holds.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn balances(&self, user_id: UserId) -> Result<Balances, JournalError> {
        self.read()?.balances(user_id)
    }

    /// A page of what the user paid and got back, newest first. [`Page::check`] it before.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn statement(&self, user_id: UserId, page: Page) -> Result<Statement, JournalError> {
        self.read()?.statement(user_id, page)
    }

    /// Keeps everybody from writing until it is dropped.
    #[cfg(test)]
    pub(crate) fn lock(&self) -> WriteTransaction {
        self.database.begin_write().expect("the file can be written")
    }

    /// Freezes one state of the journal, so that several questions get answers that fit together.
    pub(crate) fn read(&self) -> Result<Snapshot, JournalError> {
        Ok(Snapshot(self.database.begin_read()?))
    }
}

/// The number of the file's layout; an empty file gets ours.
fn format_of(transaction: &WriteTransaction) -> Result<u64, JournalError> {
    let tables: Vec<_> = transaction.list_tables()?.collect();
    if !tables.is_empty() && !tables.iter().any(|table| table.name() == row::META.name()) {
        // The first layout had no number.
        return Ok(1);
    }
    let mut meta = transaction.open_table(row::META)?;
    if tables.is_empty() {
        meta.insert(row::FORMAT_KEY, FORMAT)?;
    }
    let found = meta.get(row::FORMAT_KEY)?.map_or(0, |found| found.value());
    Ok(found)
}

#[cfg(test)]
mod tests;
