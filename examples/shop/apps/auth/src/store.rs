//! The accounts on disk, in one redb file.
//!
//! Clones share the open file; the calls wait for the disk, so a process makes them on the blocking
//! pool. Open the file once, where the application starts, and give clones to the processes: a
//! restarted process then never meets a file that its predecessor's last write still holds open.
//!
//! Invariants: a name belongs to one account for ever; an id is never given twice; an account that
//! was returned by [`AccountStore::insert`] is on disk and survives a power cut.
//! Absent on purpose: change and removal of accounts. The sessions are in the same file, in tables of
//! their own ([`SessionStore`](crate::SessionStore)).
//!
//! Tables: `accounts`: name -> (id, password hash, created at in seconds); `names`: id -> name.

use std::{error::Error, fmt, path::Path, sync::Arc};

use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::{Deserialize, Serialize};
use shop_storage::{Medium, OpenError};

use crate::{Account, PasswordHash, UnixTime, UserId, UserName};

pub(crate) const ACCOUNTS: TableDefinition<&str, (u64, &str, u64)> =
    TableDefinition::new("accounts");
pub(crate) const NAMES: TableDefinition<u64, &str> = TableDefinition::new("names");

/// What is known of an account before the store has given it an id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAccount {
    /// Must be free.
    pub name: UserName,
    /// Proves the password.
    pub password_hash: PasswordHash,
    /// When it was registered.
    pub created_at: UnixTime,
}

/// The open accounts file. Clones share it.
#[derive(Clone, Debug)]
pub struct AccountStore {
    database: Arc<Database>,
}

impl AccountStore {
    /// Opens the file; makes it and its directory when they do not exist.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    pub fn open(path: impl AsRef<Path>) -> Result<AccountStore, StoreError> {
        AccountStore::open_on(Medium::Disk, path)
    }

    /// As [`AccountStore::open`], for a file that another medium holds.
    ///
    /// # Errors
    /// As [`AccountStore::open`].
    pub fn open_on(medium: Medium, path: impl AsRef<Path>) -> Result<AccountStore, StoreError> {
        let database = shop_storage::database(path.as_ref(), medium)?;
        let store = AccountStore { database: Arc::new(database) };
        store.create_tables().map_err(StoreError::database)?;
        Ok(store)
    }

    /// Opens a file that exists.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    pub fn open_existing(path: impl AsRef<Path>) -> Result<AccountStore, StoreError> {
        let database = shop_storage::existing_database(path.as_ref())?;
        Ok(AccountStore { database: Arc::new(database) })
    }

    /// Stores a new account. It is on disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`]; nothing was stored. Otherwise [`StoreError::Database`].
    pub fn insert(&self, new: NewAccount) -> Result<Account, StoreError> {
        let id = self.try_insert(&new).map_err(StoreError::database)?;
        let NewAccount { name, password_hash, created_at } = new;
        match id {
            Some(id) => Ok(Account { id, name, password_hash, created_at }),
            None => Err(StoreError::NameTaken { name }),
        }
    }

    /// Finds an account by its name.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn by_name(&self, name: &UserName) -> Result<Option<Account>, StoreError> {
        let row = self.read_account(name.as_str()).map_err(StoreError::database)?;
        row.map(|row| row.into_account(name)).transpose()
    }

    /// Finds an account by its id.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        let Some(text) = self.read_name(id).map_err(StoreError::database)? else {
            return Ok(None);
        };
        let name = UserName::new(&text).map_err(|_| StoreError::Corrupt { name: text })?;
        self.by_name(&name)
    }

    /// Number of accounts.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn count(&self) -> Result<u64, StoreError> {
        self.read_count().map_err(StoreError::database)
    }

    /// The file.
    pub(crate) fn shared_database(&self) -> Arc<Database> {
        self.database.clone()
    }

    /// Whoever holds it keeps all writes waiting.
    #[cfg(test)]
    pub(crate) fn lock(&self) -> redb::WriteTransaction {
        self.database.begin_write().expect("the file is open")
    }

    fn create_tables(&self) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(ACCOUNTS)?;
        transaction.open_table(NAMES)?;
        transaction.commit()?;
        Ok(())
    }

    /// `None` when the name is taken. An early return drops the transaction, which undoes it.
    fn try_insert(&self, new: &NewAccount) -> Result<Option<UserId>, redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let id;
        {
            let mut accounts = transaction.open_table(ACCOUNTS)?;
            let mut names = transaction.open_table(NAMES)?;
            let name = new.name.as_str();
            if accounts.get(name)?.is_some() {
                return Ok(None);
            }
            id = names.last()?.map_or(0, |(id, _)| id.value()) + 1;
            accounts.insert(name, (id, new.password_hash.as_str(), new.created_at.0))?;
            names.insert(id, name)?;
        }
        transaction.commit()?;
        Ok(Some(UserId(id)))
    }

    fn read_account(&self, name: &str) -> Result<Option<Row>, redb::Error> {
        let accounts = self.database.begin_read()?.open_table(ACCOUNTS)?;
        let row = accounts.get_owned(name)?.map(|row| {
            let (id, password_hash, created_at) = row.value();
            let password_hash = password_hash.to_owned();
            Row { id: UserId(id), password_hash, created_at: UnixTime(created_at) }
        });
        Ok(row)
    }

    fn read_name(&self, id: UserId) -> Result<Option<String>, redb::Error> {
        let names = self.database.begin_read()?.open_table(NAMES)?;
        let name = names.get_owned(id.0)?.map(|name| name.value().to_owned());
        Ok(name)
    }

    fn read_count(&self) -> Result<u64, redb::Error> {
        use redb::ReadableTableMetadata as _;
        Ok(self.database.begin_read()?.open_table(NAMES)?.len()?)
    }
}

/// A row of `accounts` as it stands on disk, not yet believed.
struct Row {
    id: UserId,
    password_hash: String,
    created_at: UnixTime,
}

impl Row {
    fn into_account(self, name: &UserName) -> Result<Account, StoreError> {
        let password_hash = PasswordHash::try_from(self.password_hash)
            .map_err(|_| StoreError::Corrupt { name: name.to_string() })?;
        let (id, created_at) = (self.id, self.created_at);
        Ok(Account { id, name: name.clone(), password_hash, created_at })
    }
}

/// Why the store did not do it.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// Another account has the name. Nothing was stored.
    NameTaken {
        /// The name.
        name: UserName,
    },
    /// The file was not opened.
    Open(OpenError),
    /// The file could not be read or written. A write that fails so has stored nothing.
    Database(Box<redb::Error>),
    /// A stored account breaks our rules: somebody else wrote to the file.
    Corrupt {
        /// The account's name.
        name: String,
    },
}

impl StoreError {
    pub(crate) fn database(error: impl Into<redb::Error>) -> StoreError {
        StoreError::Database(Box::new(error.into()))
    }
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> StoreError {
        StoreError::Open(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::NameTaken { name } => write!(f, "the name {name} is taken"),
            StoreError::Open(_) => f.write_str("the accounts were not opened"),
            StoreError::Database(_) => f.write_str("the accounts file failed"),
            StoreError::Corrupt { name } => write!(f, "the stored account {name:?} is corrupt"),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StoreError::Open(error) => Some(error),
            StoreError::Database(source) => Some(source),
            StoreError::NameTaken { .. } | StoreError::Corrupt { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HashCost, Password, PasswordHasher};

    fn new_account(name: &str) -> NewAccount {
        let hasher = PasswordHasher::new(HashCost::CHEAPEST).unwrap();
        NewAccount {
            name: UserName::new(name).unwrap(),
            password_hash: hasher.hash_password(&Password::new("correct horse").unwrap()).unwrap(),
            created_at: UnixTime(1_700_000_000),
        }
    }

    #[test]
    fn accounts_survive_reopening() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data/auth.redb");
        let store = AccountStore::open(&path).unwrap();
        let ada = store.insert(new_account("ada")).unwrap();
        drop(store);

        let store = AccountStore::open(&path).unwrap();
        let eve = store.insert(new_account("eve")).unwrap();
        assert_eq!((ada.id, eve.id), (UserId(1), UserId(2)));
        assert_eq!(store.by_name(&ada.name).unwrap(), Some(ada.clone()));
        assert_eq!(store.by_id(eve.id).unwrap(), Some(eve));
        assert_eq!(store.count().unwrap(), 2);
    }

    #[test]
    fn a_taken_name_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = AccountStore::open(directory.path().join("auth.redb")).unwrap();
        let first = store.insert(new_account("ada")).unwrap();
        let error = store.insert(new_account("Ada")).unwrap_err();
        assert!(matches!(&error, StoreError::NameTaken { name } if name.as_str() == "ada"));
        assert_eq!(store.by_name(&first.name).unwrap(), Some(first));
        assert_eq!(store.count().unwrap(), 1);
    }

    #[test]
    fn unknown_accounts_are_none() {
        let directory = tempfile::tempdir().unwrap();
        let store = AccountStore::open(directory.path().join("auth.redb")).unwrap();
        assert_eq!(store.by_name(&UserName::new("nobody").unwrap()).unwrap(), None);
        assert_eq!(store.by_id(UserId(1)).unwrap(), None);
    }

    #[test]
    fn names_are_given_once_when_many_threads_ask() {
        let directory = tempfile::tempdir().unwrap();
        let store = AccountStore::open(directory.path().join("auth.redb")).unwrap();
        let wins = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| store.clone().insert(new_account("ada")).is_ok()))
                .collect();
            tries.into_iter().fold(0, |wins, thread| wins + usize::from(thread.join().unwrap()))
        });
        assert_eq!((wins, store.count().unwrap()), (1, 1));
    }

    #[test]
    fn a_file_open_elsewhere_is_an_error_with_its_cause() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("auth.redb");
        let _open = AccountStore::open(&path).unwrap();
        let error = AccountStore::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Open(OpenError::InUse { .. })), "{error}");
        let error = AccountStore::open(path.join("below-a-file/auth.redb")).unwrap_err();
        assert!(matches!(error, StoreError::Open(OpenError::Directory { .. })), "{error}");
        let error = AccountStore::open(directory.path()).unwrap_err();
        assert!(matches!(error, StoreError::Open(OpenError::Open { .. })), "{error}");
        assert!(error.source().is_some());
        let error = AccountStore::open_existing(directory.path().join("none.redb")).unwrap_err();
        assert!(matches!(error, StoreError::Open(OpenError::Open { .. })), "{error}");
        assert!(error.source().is_some());
    }

    #[test]
    fn a_hash_that_is_none_is_corrupt() {
        let directory = tempfile::tempdir().unwrap();
        let store = AccountStore::open(directory.path().join("auth.redb")).unwrap();
        let transaction = store.database.begin_write().unwrap();
        transaction.open_table(ACCOUNTS).unwrap().insert("ada", (1, "plain text", 0)).unwrap();
        transaction.commit().unwrap();
        let error = store.by_name(&UserName::new("ada").unwrap()).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }));
    }
}
