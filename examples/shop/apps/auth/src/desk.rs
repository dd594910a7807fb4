//! What the slow requests do: look up, hash, write.
//!
//! The methods of [`Desk`] wait for the processor and the disk, so they run on the blocking pool, and
//! know nothing of processes. The outer result is the store's, the inner one the caller's.
//!
//! Whatever ends sessions also gives their [`Revocation`]s: the caller of the method tells them to
//! the service, which refuses their access tokens from then on.

use std::time::SystemTime;

use crate::{
    AccountStore, AuthError, Claims, NewAccount, Password, PasswordHasher, RefreshToken, Session,
    SessionPolicy, SessionStore, StoreError, Swept, TokenError, TokenSigner, UnixTime, UserId,
    UserName,
    revocations::Revocation,
    session::{RefreshParts, StoredSession},
    session_store::Rotation,
};

/// Rows that one sweep of the store removes of each kind at most; then others may write.
const SWEEP_MAX: usize = 1_000;

/// An answer, and the sessions that have ended on the way to it.
#[derive(Debug)]
pub(crate) struct Done<T> {
    pub(crate) answer: Result<T, AuthError>,
    pub(crate) revoked: Vec<Revocation>,
}

impl<T> From<Result<T, AuthError>> for Done<T> {
    fn from(answer: Result<T, AuthError>) -> Done<T> {
        Done { answer, revoked: Vec::new() }
    }
}

/// Open files, the key, the rules. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    /// Who has an account.
    pub(crate) accounts: AccountStore,
    /// Who is logged in.
    pub(crate) sessions: SessionStore,
    /// Hashes and checks passwords.
    pub(crate) hasher: PasswordHasher,
    /// Makes and checks access tokens.
    pub(crate) signer: TokenSigner,
    /// How long sessions live.
    pub(crate) policy: SessionPolicy,
}

impl Desk {
    pub(crate) fn register(
        &self,
        name: UserName,
        password: &Password,
    ) -> Result<Done<UserId>, StoreError> {
        // Asked before the hash, which costs much, and decided by the insert.
        if self.accounts.by_name(&name)?.is_some() {
            return Ok(Err(AuthError::NameTaken { name }).into());
        }
        let password_hash =
            self.hasher.hash_password(password).expect("the system has randomness for a salt");
        let new = NewAccount { name, password_hash, created_at: now() };
        match self.accounts.insert(new) {
            Ok(account) => Ok(Ok(account.id).into()),
            Err(StoreError::NameTaken { name }) => Ok(Err(AuthError::NameTaken { name }).into()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn log_in(
        &self,
        name: &UserName,
        password: &str,
    ) -> Result<Done<Session>, StoreError> {
        let account = self.accounts.by_name(name)?;
        let hash = account.as_ref().map(|account| &account.password_hash);
        let is_right = self.hasher.verify_password(password, hash);
        match account.filter(|_| is_right) {
            Some(account) => self.begin_session(account.id),
            None => Ok(Err(AuthError::WrongCredentials).into()),
        }
    }

    fn begin_session(&self, user_id: UserId) -> Result<Done<Session>, StoreError> {
        let (first, now) = (RefreshParts::new(random()), now());
        let stored = StoredSession::begin(user_id, &first, &self.policy, now);
        let revoked = self.sessions.insert(first.session_id, &stored, &self.policy)?;
        Ok(Done { answer: Ok(self.hand_out(&stored, &first, now)), revoked })
    }

    pub(crate) fn refresh(&self, token: &RefreshToken) -> Result<Done<Session>, StoreError> {
        let old = match token.parse() {
            Ok(old) => old,
            Err(error) => return Ok(Err(error.into()).into()),
        };
        let (new, now) = (old.next(random()), now());
        let done = match self.sessions.rotate(&old, &new, &self.policy, now)? {
            Rotation::GoesOn(stored) => Ok(self.hand_out(&stored, &new, now)).into(),
            Rotation::Refused(error) => Err(error.into()).into(),
            Rotation::Reused(revoked) => Done {
                answer: Err(TokenError::Reused.into()),
                revoked: revoked.into_iter().collect(),
            },
        };
        Ok(done)
    }

    fn hand_out(&self, stored: &StoredSession, refresh: &RefreshParts, now: UnixTime) -> Session {
        let access_expires_at = stored.access_expires_at(&self.policy, now);
        let access = self.signer.sign(&Claims {
            user_id: stored.user_id,
            session_id: refresh.session_id,
            expires_at: access_expires_at,
        });
        Session {
            user_id: stored.user_id,
            access,
            access_expires_at,
            refresh: refresh.token(),
            refresh_expires_at: stored.expires_at,
        }
    }

    pub(crate) fn log_out(&self, claims: &Claims) -> Result<Done<()>, StoreError> {
        let revoked = self.sessions.end(claims.session_id, now())?;
        Ok(Done { answer: Ok(()), revoked: revoked.into_iter().collect() })
    }

    pub(crate) fn log_out_everywhere(&self, user_id: UserId) -> Result<Done<usize>, StoreError> {
        let ended = self.sessions.end_all(user_id, now())?;
        Ok(Done { answer: Ok(ended.sessions), revoked: ended.revoked })
    }

    pub(crate) fn sweep(&self) -> Result<Swept, StoreError> {
        self.sessions.sweep(now(), SWEEP_MAX)
    }
}

pub(crate) fn now() -> UnixTime {
    SystemTime::now().into()
}

fn random<const LEN: usize>() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}
