//! The sessions on disk, in the file of the accounts.
//!
//! Clones share the open file; the calls wait for the disk, so a process makes them on the blocking
//! pool. What a session is allowed to do, `session` decides; here it is written.
//!
//! Invariants: each call is one transaction and survives a power cut when it returns; an account
//! never has more sessions than the policy allows; a session that was ended before its time leaves
//! a [`Revocation`] in the same transaction, as long as an access token of it may be good.
//!
//! Tables, times in seconds since the Unix epoch: `sessions`: session -> (user, hash of the family's
//! secret, hash of the refresh token's secret, created, expires, end of its access tokens);
//! `sessions_of_users`: (user, session); `session_ends`: (expires, session); `revocations`: (end of
//! its access tokens, session).

use std::sync::Arc;

use redb::{
    Database, Durability, ReadableDatabase as _, ReadableTable, ReadableTableMetadata as _, Table,
    TableDefinition, WriteTransaction,
};

use crate::{
    AccountStore, SessionId, SessionPolicy, StoreError, TokenError, UnixTime, UserId,
    revocations::Revocation,
    session::{Offer, RefreshParts, SecretHash, StoredSession},
};

pub(crate) type Row = (u64, [u8; 32], [u8; 32], u64, u64, u64);

pub(crate) const SESSIONS: TableDefinition<u128, Row> = TableDefinition::new("sessions");
pub(crate) const OF_USERS: TableDefinition<(u64, u128), ()> =
    TableDefinition::new("sessions_of_users");
pub(crate) const ENDS: TableDefinition<(u64, u128), ()> = TableDefinition::new("session_ends");
pub(crate) const REVOCATIONS: TableDefinition<(u64, u128), ()> =
    TableDefinition::new("revocations");

/// The sessions of an open accounts file. Clones share it.
#[derive(Clone, Debug)]
pub struct SessionStore {
    database: Arc<Database>,
}

/// What became of an offered refresh token.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Rotation {
    /// The session goes on like this; the new token is good.
    GoesOn(StoredSession),
    /// The token was used before. The session has ended.
    Reused(Option<Revocation>),
    /// Nothing has changed.
    Refused(TokenError),
}

/// What a sweep has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Swept {
    /// Nothing.
    All,
    /// It reached its limit: there may be more.
    Some,
}

impl SessionStore {
    /// The sessions beside these accounts.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn beside(accounts: &AccountStore) -> Result<SessionStore, StoreError> {
        let store = SessionStore { database: accounts.shared_database() };
        store.write(|_| Ok(()))?;
        Ok(store)
    }

    /// Number of sessions.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn count(&self) -> Result<u64, StoreError> {
        self.read(|read| read.open_table(SESSIONS)?.len().map_err(Into::into))
    }

    /// Stores a new session. Those of the user that are too many end, the oldest first.
    pub(crate) fn insert(
        &self,
        id: SessionId,
        session: &StoredSession,
        policy: &SessionPolicy,
    ) -> Result<Vec<Revocation>, StoreError> {
        let (user_id, now) = (session.user_id, session.created_at);
        self.write(|tables| {
            let revoked = tables.end_oldest(user_id, policy.per_account_max.get() - 1, now)?;
            tables.insert(id, session)?;
            Ok(revoked)
        })
    }

    /// Replaces the refresh token `old` by `new`, if it is good.
    pub(crate) fn rotate(
        &self,
        old: &RefreshParts,
        new: &RefreshParts,
        policy: &SessionPolicy,
        now: UnixTime,
    ) -> Result<Rotation, StoreError> {
        let id = old.session_id;
        let offer = |session: Option<StoredSession>| match session {
            Some(session) => session.offer(old, new, policy, now),
            None => Offer::Refused(TokenError::SessionEnded),
        };
        // Asked first without writing, so that made-up tokens cost no write.
        let known = self.read(|read| get(&read.open_table(SESSIONS)?, id))?;
        if let Offer::Refused(error) = offer(known) {
            return Ok(Rotation::Refused(error));
        }
        self.write(|tables| match offer(tables.get(id)?) {
            Offer::GoesOn(session) => {
                tables.sessions.insert(id.0, row(&session))?;
                Ok(Rotation::GoesOn(session))
            }
            Offer::Reused => Ok(Rotation::Reused(tables.end(id, now)?)),
            Offer::Refused(error) => Ok(Rotation::Refused(error)),
        })
    }

    /// Ends a session.
    pub(crate) fn end(
        &self,
        id: SessionId,
        now: UnixTime,
    ) -> Result<Option<Revocation>, StoreError> {
        self.write(|tables| tables.end(id, now))
    }

    /// Ends all sessions of a user.
    pub(crate) fn end_all(&self, user_id: UserId, now: UnixTime) -> Result<Ended, StoreError> {
        self.write(|tables| {
            let sessions = tables.ids_of(user_id)?.len();
            let revoked = tables.end_oldest(user_id, 0, now)?;
            Ok(Ended { sessions, revoked })
        })
    }

    /// The sessions that were ended and whose access tokens may still be good.
    pub(crate) fn revocations(&self, now: UnixTime) -> Result<Vec<Revocation>, StoreError> {
        self.read(|read| {
            let revocations = read.open_table(REVOCATIONS)?;
            let later = revocations.range((now.0, u128::MAX)..)?;
            later.map(|entry| Ok(revocation(entry?.0.value()))).collect()
        })
    }

    /// Removes sessions and revocations whose time is over: so many of each at most.
    pub(crate) fn sweep(&self, now: UnixTime, max: usize) -> Result<Swept, StoreError> {
        let is_due = self.read(|read| {
            let mut is_due = false;
            for table in [ENDS, REVOCATIONS] {
                let first = read.open_table(table)?.first()?.map(|(key, _)| key.value().0);
                is_due |= first.is_some_and(|first| first <= now.0);
            }
            Ok(is_due)
        })?;
        if !is_due {
            return Ok(Swept::All);
        }
        self.write(|tables| {
            let ended = over(&tables.ends, now, max)?;
            for (_, id) in &ended {
                tables.end(SessionId(*id), now)?;
            }
            let forgotten = over(&tables.revocations, now, max)?;
            for key in &forgotten {
                tables.revocations.remove(key)?;
            }
            let is_full = ended.len().max(forgotten.len()) == max;
            Ok(if is_full { Swept::Some } else { Swept::All })
        })
    }

    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let read = self.database.begin_read().map_err(StoreError::database)?;
        work(&read).map_err(StoreError::database)
    }

    /// One transaction. An error undoes it.
    fn write<T>(
        &self,
        work: impl FnOnce(&mut Tables<'_>) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        self.try_write(work).map_err(StoreError::database)
    }

    fn try_write<T>(
        &self,
        work: impl FnOnce(&mut Tables<'_>) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let done = work(&mut Tables::open(&transaction)?)?;
        transaction.commit()?;
        Ok(done)
    }
}

/// All sessions of a user have ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) sessions: usize,
    /// Those of them that matter still.
    pub(crate) revoked: Vec<Revocation>,
}

/// The tables in a transaction, which keeps them in step.
struct Tables<'t> {
    sessions: Table<'t, u128, Row>,
    of_users: Table<'t, (u64, u128), ()>,
    ends: Table<'t, (u64, u128), ()>,
    revocations: Table<'t, (u64, u128), ()>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Tables<'t>, redb::Error> {
        Ok(Tables {
            sessions: transaction.open_table(SESSIONS)?,
            of_users: transaction.open_table(OF_USERS)?,
            ends: transaction.open_table(ENDS)?,
            revocations: transaction.open_table(REVOCATIONS)?,
        })
    }

    fn get(&self, id: SessionId) -> Result<Option<StoredSession>, redb::Error> {
        get(&self.sessions, id)
    }

    fn insert(&mut self, id: SessionId, session: &StoredSession) -> Result<(), redb::Error> {
        self.sessions.insert(id.0, row(session))?;
        self.of_users.insert((session.user_id.0, id.0), ())?;
        self.ends.insert((session.expires_at.0, id.0), ())?;
        Ok(())
    }

    /// Removes a session; what is left of it is its revocation.
    fn end(&mut self, id: SessionId, now: UnixTime) -> Result<Option<Revocation>, redb::Error> {
        let Some(session) = self.get(id)? else {
            return Ok(None);
        };
        self.sessions.remove(id.0)?;
        self.of_users.remove((session.user_id.0, id.0))?;
        self.ends.remove((session.expires_at.0, id.0))?;
        if session.access_until <= now {
            return Ok(None);
        }
        self.revocations.insert((session.access_until.0, id.0), ())?;
        Ok(Some(Revocation { until: session.access_until, session_id: id }))
    }

    /// Ends sessions of the user until only so many are left.
    fn end_oldest(
        &mut self,
        user_id: UserId,
        left_max: usize,
        now: UnixTime,
    ) -> Result<Vec<Revocation>, redb::Error> {
        let mut by_age = Vec::new();
        for id in self.ids_of(user_id)? {
            by_age.push((self.get(id)?.map(|session| session.created_at), id));
        }
        by_age.sort_unstable();
        by_age.truncate(by_age.len().saturating_sub(left_max));
        let mut revoked = Vec::new();
        for (_, id) in by_age {
            revoked.extend(self.end(id, now)?);
        }
        Ok(revoked)
    }

    fn ids_of(&self, user_id: UserId) -> Result<Vec<SessionId>, redb::Error> {
        let all = (user_id.0, 0)..=(user_id.0, u128::MAX);
        self.of_users.range(all)?.map(|entry| Ok(SessionId(entry?.0.value().1))).collect()
    }
}

fn get(
    sessions: &impl ReadableTable<u128, Row>,
    id: SessionId,
) -> Result<Option<StoredSession>, redb::Error> {
    Ok(sessions.get(id.0)?.map(|row| session(row.value())))
}

/// The keys, so many at most, whose time is over.
fn over(
    table: &Table<'_, (u64, u128), ()>,
    now: UnixTime,
    max: usize,
) -> Result<Vec<(u64, u128)>, redb::Error> {
    let range = table.range(..=(now.0, u128::MAX))?;
    range.take(max).map(|entry| Ok(entry?.0.value())).collect()
}

fn row(session: &StoredSession) -> Row {
    let StoredSession { user_id, family, refresh, created_at, expires_at, access_until } = *session;
    (user_id.0, family.0, refresh.0, created_at.0, expires_at.0, access_until.0)
}

pub(crate) fn session(
    (user_id, family, refresh, created_at, expires_at, access_until): Row,
) -> StoredSession {
    StoredSession {
        user_id: UserId(user_id),
        family: SecretHash(family),
        refresh: SecretHash(refresh),
        created_at: UnixTime(created_at),
        expires_at: UnixTime(expires_at),
        access_until: UnixTime(access_until),
    }
}

fn revocation((until, id): (u64, u128)) -> Revocation {
    Revocation { until: UnixTime(until), session_id: SessionId(id) }
}

#[cfg(test)]
mod tests;
