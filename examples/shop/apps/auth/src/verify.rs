//! Checks an accounts file that nobody has open: whether its tables say the same.
//!
//! Reads one state of the file and changes nothing. Blocks.

use std::{collections::HashMap, error::Error, fmt, path::Path};

use redb::{
    ReadTransaction, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _,
};

use crate::{
    AccountStore, PasswordHash, SessionId, StoreError, UserId, UserName,
    session::StoredSession,
    session_store::{ENDS, OF_USERS, REVOCATIONS, SESSIONS, session},
    store::{ACCOUNTS, NAMES},
};

/// Checks the file: each account has an id of its own, a name by the rules and a hash; each session
/// is one of a known user, ends after its access tokens, is found by its user and by its end, and was
/// not revoked.
///
/// # Errors
/// [`VerifyError`] names the first difference.
pub fn verify_file(path: impl AsRef<Path>) -> Result<AuthReport, VerifyError> {
    let store = AccountStore::open_existing(path)?;
    let read = store.shared_database().begin_read().map_err(StoreError::database)?;
    let users = users(&read)?;
    let sessions = sessions(&read)?;
    for (id, session) in &sessions {
        check_session(&read, *id, session, &users)?;
    }
    // Nothing but these sessions is found: all of them are, and there are as many entries.
    for table in [OF_USERS, ENDS] {
        let entries = read.open_table(table).map_err(StoreError::database)?;
        if entries.len().map_err(StoreError::database)? != sessions.len() as u64 {
            return Err(VerifyError::EntriesWithoutSession);
        }
    }
    Ok(AuthReport { accounts: users.len() as u64, sessions: sessions.len() as u64 })
}

/// What a successful [`verify_file`] has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthReport {
    /// Accounts.
    pub accounts: u64,
    /// Sessions, expired ones that were not swept yet among them.
    pub sessions: u64,
}

/// The first difference.
#[derive(Debug)]
#[non_exhaustive]
pub enum VerifyError {
    /// The file cannot be read, or an account breaks the rules.
    Store(StoreError),
    /// The account is not found by its id, or another one is.
    AccountWithoutId {
        /// Its name.
        name: String,
    },
    /// There is an id that belongs to no account.
    IdWithoutAccount,
    /// The session's user has no account.
    SessionOfNobody {
        /// The session.
        session_id: SessionId,
        /// The user.
        user_id: UserId,
    },
    /// The session ends before it begins, or before its access tokens do.
    SessionTimes {
        /// The session.
        session_id: SessionId,
    },
    /// The session is not found by its user, or not by its end: nobody would end it.
    SessionNotFound {
        /// The session.
        session_id: SessionId,
    },
    /// The session was ended and goes on.
    SessionRevoked {
        /// The session.
        session_id: SessionId,
    },
    /// By users or by ends there are sessions to be found that do not exist.
    EntriesWithoutSession,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifyError::Store(_) => f.write_str("the accounts cannot be checked"),
            VerifyError::AccountWithoutId { name } => {
                write!(f, "the account {name} is not found by its id")
            }
            VerifyError::IdWithoutAccount => f.write_str("an id belongs to no account"),
            VerifyError::SessionOfNobody { session_id, user_id } => {
                write!(f, "{session_id:?} belongs to user {user_id}, who has no account")
            }
            VerifyError::SessionTimes { session_id } => {
                write!(f, "the times of {session_id:?} are out of order")
            }
            VerifyError::SessionNotFound { session_id } => {
                write!(f, "{session_id:?} is not found by its user or its end")
            }
            VerifyError::SessionRevoked { session_id } => {
                write!(f, "{session_id:?} was ended and goes on")
            }
            VerifyError::EntriesWithoutSession => {
                f.write_str("sessions are listed that do not exist")
            }
        }
    }
}

impl Error for VerifyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            VerifyError::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for VerifyError {
    fn from(error: StoreError) -> VerifyError {
        VerifyError::Store(error)
    }
}

/// The names of all users by their ids, checked.
fn users(read: &ReadTransaction) -> Result<HashMap<UserId, String>, VerifyError> {
    let stored = read_users(read).map_err(StoreError::database)?;
    let count = stored.accounts.len();
    for (name, id, hash) in stored.accounts {
        let is_sound = UserName::new(&name).is_ok_and(|folded| folded.as_str() == name)
            && PasswordHash::try_from(hash).is_ok();
        if !is_sound {
            return Err(StoreError::Corrupt { name }.into());
        }
        if stored.names.get(&id) != Some(&name) {
            return Err(VerifyError::AccountWithoutId { name });
        }
    }
    if stored.names.len() != count {
        return Err(VerifyError::IdWithoutAccount);
    }
    Ok(stored.names)
}

/// Both tables of accounts.
struct StoredUsers {
    accounts: Vec<(String, UserId, String)>,
    names: HashMap<UserId, String>,
}

fn read_users(read: &ReadTransaction) -> Result<StoredUsers, redb::Error> {
    let mut stored = StoredUsers { accounts: Vec::new(), names: HashMap::new() };
    for entry in read.open_table(ACCOUNTS)?.iter()? {
        let (name, row) = entry?;
        let (id, hash, _) = row.value();
        stored.accounts.push((name.value().to_owned(), UserId(id), hash.to_owned()));
    }
    for entry in read.open_table(NAMES)?.iter()? {
        let (id, name) = entry?;
        stored.names.insert(UserId(id.value()), name.value().to_owned());
    }
    Ok(stored)
}

fn sessions(read: &ReadTransaction) -> Result<Vec<(SessionId, StoredSession)>, VerifyError> {
    let read_all = || -> Result<_, redb::Error> {
        let mut sessions = Vec::new();
        for entry in read.open_table(SESSIONS)?.iter()? {
            let (id, row) = entry?;
            sessions.push((SessionId(id.value()), session(row.value())));
        }
        Ok(sessions)
    };
    Ok(read_all().map_err(StoreError::database)?)
}

fn check_session(
    read: &ReadTransaction,
    session_id: SessionId,
    session: &StoredSession,
    users: &HashMap<UserId, String>,
) -> Result<(), VerifyError> {
    let user_id = session.user_id;
    if !users.contains_key(&user_id) {
        return Err(VerifyError::SessionOfNobody { session_id, user_id });
    }
    if session.created_at > session.expires_at || session.access_until > session.expires_at {
        return Err(VerifyError::SessionTimes { session_id });
    }
    let has = |table, number: u64| -> Result<bool, redb::Error> {
        Ok(read.open_table(table)?.get((number, session_id.0))?.is_some())
    };
    let has = |table, number| has(table, number).map_err(StoreError::database);
    if !has(OF_USERS, user_id.0)? || !has(ENDS, session.expires_at.0)? {
        return Err(VerifyError::SessionNotFound { session_id });
    }
    if has(REVOCATIONS, session.access_until.0)? {
        return Err(VerifyError::SessionRevoked { session_id });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroUsize, time::Duration};

    use super::*;
    use crate::{
        HashCost, NewAccount, Password, PasswordHasher, SessionPolicy, SessionStore, UnixTime,
        session::RefreshParts,
    };

    const POLICY: SessionPolicy = SessionPolicy {
        access_ttl: Duration::from_secs(100),
        session_ttl: Duration::from_secs(1_000),
        per_account_max: NonZeroUsize::new(3).unwrap(),
    };

    /// Checks a file of two accounts and some sessions, after somebody else wrote to it.
    fn verify_after(write: impl Fn(&redb::WriteTransaction)) -> Result<AuthReport, VerifyError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("auth.redb");
        let accounts = AccountStore::open(&path).unwrap();
        let sessions = SessionStore::beside(&accounts).unwrap();
        let hasher = PasswordHasher::new(HashCost::CHEAPEST).unwrap();
        let hash = hasher.hash_password(&Password::new("correct horse").unwrap()).unwrap();
        for name in ["ada", "eve"] {
            let name = UserName::new(name).unwrap();
            let (password_hash, created_at) = (hash.clone(), UnixTime(0));
            accounts.insert(NewAccount { name, password_hash, created_at }).unwrap();
        }
        for id in 1..=5 {
            let first = RefreshParts::new([id; 64]);
            let session = StoredSession::begin(UserId(1), &first, &POLICY, UnixTime(u64::from(id)));
            sessions.insert(first.session_id, &session, &POLICY).unwrap();
        }
        let lock = accounts.lock();
        write(&lock);
        lock.commit().unwrap();
        drop((accounts, sessions));
        verify_file(path)
    }

    #[test]
    fn a_sound_file_is_counted() {
        let report = verify_after(|_| ()).unwrap();
        assert_eq!(report, AuthReport { accounts: 2, sessions: 3 });
    }

    #[test]
    fn a_file_that_is_missing_is_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("auth.redb");
        let error = verify_file(&path).unwrap_err();
        assert!(matches!(error, VerifyError::Store(StoreError::Open(_))), "{error}");
        assert!(error.source().is_some() && !path.exists());
    }

    #[test]
    fn each_difference_is_named() {
        let id = u128::from_be_bytes([5; 16]);
        let row = |user: u64, expires: u64| (user, [0; 32], [0; 32], 5_u64, expires, 105_u64);
        type Write<'w> = &'w dyn Fn(&redb::WriteTransaction);
        let cases: [(&str, Write<'_>); 9] = [
            ("the accounts cannot be checked", &|tables| {
                let mut accounts = tables.open_table(ACCOUNTS).unwrap();
                accounts.insert("ada", (1, "plain text", 0)).unwrap();
            }),
            ("the account ada is not found by its id", &|tables| {
                tables.open_table(NAMES).unwrap().insert(1, "eve").unwrap();
            }),
            ("an id belongs to no account", &|tables| {
                tables.open_table(NAMES).unwrap().insert(3, "eve").unwrap();
            }),
            ("belongs to user 9, who has no account", &|tables| {
                tables.open_table(SESSIONS).unwrap().insert(id, row(9, 1_005)).unwrap();
            }),
            ("are out of order", &|tables| {
                tables.open_table(SESSIONS).unwrap().insert(id, row(1, 104)).unwrap();
            }),
            ("is not found by its user or its end", &|tables| {
                tables.open_table(SESSIONS).unwrap().insert(id, row(2, 1_005)).unwrap();
            }),
            ("is not found by its user or its end", &|tables| {
                tables.open_table(ENDS).unwrap().remove((1_005, id)).unwrap();
            }),
            ("was ended and goes on", &|tables| {
                tables.open_table(REVOCATIONS).unwrap().insert((105, id), ()).unwrap();
            }),
            ("sessions are listed that do not exist", &|tables| {
                tables.open_table(ENDS).unwrap().insert((7, 7), ()).unwrap();
            }),
        ];
        for (words, write) in cases {
            let error = verify_after(write).unwrap_err();
            assert!(error.to_string().contains(words), "{words}: {error}");
        }
    }
}
