//! The balances in memory, built from the journal.
//!
//! Owned by one process. Invariants: each balance is the sum of the user's entries up to
//! [`Ledger::last_sequence`]; entries are taken in order and without gaps. [`Ledger::verify`] proves
//! both against the journal.
//! Absent on purpose: a way to change a balance other than by an entry.

use std::{collections::HashMap, error::Error, fmt};

use serde::{Deserialize, Serialize};
use shop_auth::UserId;

use crate::{Cents, Entry, Journal, JournalError, journal::Snapshot};

/// Everybody's balance as of one entry of the journal.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    balances: HashMap<UserId, Cents>,
    last_sequence: u64,
}

impl Ledger {
    /// Builds the ledger from the whole journal.
    ///
    /// # Errors
    /// As [`Ledger::catch_up`].
    pub fn replay(journal: &Journal) -> Result<Ledger, JournalError> {
        let mut ledger = Ledger::default();
        ledger.catch_up(journal)?;
        Ok(ledger)
    }

    /// Builds the ledger from the totals that the journal keeps beside its entries: as fast for a
    /// journal of a million payments as for one of ten.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn load(journal: &Journal) -> Result<Ledger, JournalError> {
        let snapshot = journal.read()?;
        Ok(Ledger { balances: snapshot.totals()?, last_sequence: snapshot.last_sequence()? })
    }

    /// Takes in the entries that the journal has and the ledger has not, whoever wrote them, and
    /// returns their number.
    ///
    /// # Errors
    /// [`JournalError`]; [`JournalError::Corrupt`] also for a gap and for a sum that overflows,
    /// neither of which the journal ever writes. The entries before it have been taken in.
    pub fn catch_up(&mut self, journal: &Journal) -> Result<u64, JournalError> {
        self.catch_up_to(&journal.read()?)
    }

    /// Takes in entries that were read from the journal: those after [`Ledger::last_sequence`].
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] for a gap and for a sum that overflows. The entries before it have
    /// been taken in.
    pub fn take_in<'e>(
        &mut self,
        entries: impl IntoIterator<Item = &'e Entry>,
    ) -> Result<(), JournalError> {
        entries.into_iter().try_for_each(|entry| self.apply(entry))
    }

    /// The sum of a user's payments; zero for a user without any.
    pub fn balance(&self, user_id: UserId) -> Cents {
        self.balances.get(&user_id).copied().unwrap_or_default()
    }

    /// The youngest entry taken in; 0 for none.
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Number of users who have paid anything.
    pub fn users(&self) -> usize {
        self.balances.len()
    }

    /// Sums up the journal anew, up to the ledger's last entry, and compares everything that must
    /// be equal: the ledger's balances, and, when the ledger is up to date, the stored totals and
    /// keys as well. Reads the whole file: for tests, audits and the start of a suspicious day.
    ///
    /// # Errors
    /// [`VerifyError`] names the first difference.
    pub fn verify(&self, journal: &Journal) -> Result<Books, VerifyError> {
        let snapshot = journal.read()?;
        let mut recount = Ledger::default();
        for entry in snapshot.entries_after(0)? {
            let entry = entry?;
            if entry.sequence > self.last_sequence {
                break;
            }
            check_key(&snapshot, &entry)?;
            recount.apply(&entry)?;
        }
        self.compare(&recount)?;
        let newer = snapshot.entries_after(self.last_sequence)?.next();
        if newer.is_none() {
            self.check_stored(&snapshot)?;
        }
        Ok(self.books())
    }

    fn catch_up_to(&mut self, snapshot: &Snapshot) -> Result<u64, JournalError> {
        let before = self.last_sequence;
        for entry in snapshot.entries_after(self.last_sequence)? {
            self.apply(&entry?)?;
        }
        Ok(self.last_sequence - before)
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), JournalError> {
        let corrupt = || JournalError::Corrupt { sequence: entry.sequence };
        if entry.sequence != self.last_sequence + 1 {
            return Err(corrupt());
        }
        let balance = self.balances.entry(entry.payment.user_id).or_default();
        *balance = balance.checked_add(entry.payment.amount).ok_or_else(corrupt)?;
        self.last_sequence = entry.sequence;
        Ok(())
    }

    fn compare(&self, recount: &Ledger) -> Result<(), VerifyError> {
        if self.last_sequence != recount.last_sequence {
            return Err(VerifyError::EntriesMissing {
                ledger: self.last_sequence,
                journal: recount.last_sequence,
            });
        }
        let users = self.balances.keys().chain(recount.balances.keys());
        for &user_id in users {
            let (ledger, journal) = (self.balance(user_id), recount.balance(user_id));
            same_balance(user_id, ledger, journal)?;
        }
        Ok(())
    }

    fn check_stored(&self, snapshot: &Snapshot) -> Result<(), VerifyError> {
        for (&user_id, &balance) in &self.balances {
            same_balance(user_id, balance, snapshot.total(user_id)?)?;
        }
        let counts = snapshot.counts()?;
        let users = u64::try_from(self.users()).expect("a count of users fits 64 bits");
        if counts.keys != self.last_sequence || counts.totals != users {
            return Err(VerifyError::IndexRows { keys: counts.keys, totals: counts.totals });
        }
        Ok(())
    }

    fn books(&self) -> Books {
        Books {
            entries: self.last_sequence,
            users: self.users(),
            total: self.balances.values().map(|cents| i128::from(cents.0)).sum(),
        }
    }
}

/// What a successful [`Ledger::verify`] has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// Entries taken in.
    pub entries: u64,
    /// Users with at least one payment.
    pub users: usize,
    /// The sum of all balances in cents.
    pub total: i128,
}

/// The books do not balance, or could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum VerifyError {
    /// The journal failed or breaks its own rules.
    Journal(JournalError),
    /// The ledger has seen entries that the journal does not have.
    EntriesMissing {
        /// The ledger's last entry.
        ledger: u64,
        /// The journal's last entry.
        journal: u64,
    },
    /// A balance is not the sum of the entries, or not the stored total.
    Balance {
        /// The user.
        user_id: UserId,
        /// In the ledger.
        ledger: Cents,
        /// In the journal.
        journal: Cents,
    },
    /// An entry's key leads to no entry or to another one.
    Key {
        /// The entry.
        sequence: u64,
    },
    /// The stored keys or totals are more or fewer than the entries ask for.
    IndexRows {
        /// Stored keys.
        keys: u64,
        /// Stored totals.
        totals: u64,
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
            VerifyError::EntriesMissing { ledger, journal } => {
                write!(f, "the ledger is at entry {ledger}, the journal ends at entry {journal}")
            }
            VerifyError::Balance { user_id, ledger, journal } => write!(
                f,
                "user {user_id} holds {ledger} in the ledger and {journal} in the journal"
            ),
            VerifyError::Key { sequence } => {
                write!(f, "the key of entry {sequence} does not lead to it")
            }
            VerifyError::IndexRows { keys, totals } => write!(
                f,
                "the journal stores {keys} keys and {totals} totals, which do not fit its entries"
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

fn check_key(snapshot: &Snapshot, entry: &Entry) -> Result<(), VerifyError> {
    let sequence = entry.sequence;
    if snapshot.sequence_of(&entry.payment.key)? != Some(sequence) {
        return Err(VerifyError::Key { sequence });
    }
    Ok(())
}

fn same_balance(user_id: UserId, ledger: Cents, journal: Cents) -> Result<(), VerifyError> {
    if ledger != journal {
        return Err(VerifyError::Balance { user_id, ledger, journal });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
