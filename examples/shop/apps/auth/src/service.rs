//! The process `auth_service`: registers, logs in, checks tokens.
//!
//! The service itself never waits. A password hash takes tens of milliseconds, so each request that
//! needs one gets a process of its own, which hashes on the blocking pool and answers the caller;
//! meanwhile the service checks tokens. What keeps many such requests from eating the machine is
//! [`Hashing`].

use std::{
    error::Error,
    fmt,
    num::NonZeroUsize,
    time::{SystemTime, UNIX_EPOCH},
};

use linden::{Cx, prelude::*};
use serde::{Deserialize, Serialize};

use crate::{
    AccountStore, NewAccount, Password, PasswordError, PasswordHasher, StoreError, Token,
    TokenError, TokenSigner, UserId, UserName, hashing::Hashing,
};

/// The state of `auth_service`.
#[derive(Clone, Debug)]
pub struct AuthService {
    accounts: Accounts,
    hashing: Hashing,
}

impl AuthService {
    /// A service over open files. Clones share the bounds.
    pub fn new(
        store: AccountStore,
        hasher: PasswordHasher,
        signer: TokenSigner,
        hashes_max: NonZeroUsize,
        hashes_waiting_max: usize,
    ) -> AuthService {
        AuthService {
            accounts: Accounts { store, hasher, signer },
            hashing: Hashing::new(hashes_max, hashes_waiting_max),
        }
    }
}

#[gen_server(name = "auth_service")]
impl AuthService {
    /// Makes an account. It is on disk when the answer comes.
    #[call]
    pub fn register(
        &mut self,
        name: UserName,
        password: Password,
        reply: Reply<Result<UserId, AuthError>>,
    ) {
        self.hash(reply, move |accounts| accounts.register(name, &password));
    }

    /// Gives a token to whoever knows the password.
    #[call]
    pub fn log_in(
        &mut self,
        name: UserName,
        password: String,
        reply: Reply<Result<Token, AuthError>>,
    ) {
        self.hash(reply, move |accounts| accounts.log_in(&name, &password));
    }

    /// Says whose token it is.
    #[call]
    pub fn verify_token(&self, token: String) -> Result<UserId, TokenError> {
        self.accounts.signer.verify(&token, SystemTime::now())
    }

    /// Answers: the service lives.
    #[call]
    pub fn ping(&self) {}

    /// Answers `reply` from a process of its own. If the store fails, that process crashes and its
    /// caller hears `Exited`; the service goes on.
    fn hash<T: Send + 'static>(
        &self,
        reply: Reply<Result<T, AuthError>>,
        work: impl FnOnce(&Accounts) -> Result<Result<T, AuthError>, StoreError> + Send + 'static,
    ) {
        let Some(place) = self.hashing.admit() else {
            reply.send(Err(AuthError::Overloaded));
            return;
        };
        let accounts = self.accounts.clone();
        linden::spawn(move |_: Cx<()>| async move {
            let answer = place.run(move || work(&accounts)).await??;
            reply.send(answer);
            Ok::<(), BoxError>(())
        });
    }
}

/// What the slow requests need. Its methods block: they run on the blocking pool.
///
/// The outer result is the store's, the inner one the caller's.
#[derive(Clone, Debug)]
struct Accounts {
    store: AccountStore,
    hasher: PasswordHasher,
    signer: TokenSigner,
}

impl Accounts {
    fn register(
        &self,
        name: UserName,
        password: &Password,
    ) -> Result<Result<UserId, AuthError>, StoreError> {
        if let Err(error) = password.check_against(&name) {
            return Ok(Err(AuthError::Password(error)));
        }
        // Asked before the hash, which costs much, and decided by the insert.
        if self.store.by_name(&name)?.is_some() {
            return Ok(Err(AuthError::NameTaken { name }));
        }
        let password_hash =
            self.hasher.hash_password(password).expect("the system has randomness for a salt");
        let created_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let new = NewAccount { name, password_hash, created_at_secs: created_at.as_secs() };
        match self.store.insert(new) {
            Ok(account) => Ok(Ok(account.id)),
            Err(StoreError::NameTaken { name }) => Ok(Err(AuthError::NameTaken { name })),
            Err(error) => Err(error),
        }
    }

    fn log_in(
        &self,
        name: &UserName,
        password: &str,
    ) -> Result<Result<Token, AuthError>, StoreError> {
        let account = self.store.by_name(name)?;
        let hash = account.as_ref().map(|account| &account.password_hash);
        let is_right = self.hasher.verify_password(password, hash);
        let token = account
            .filter(|_| is_right)
            .map(|account| self.signer.issue(account.id, SystemTime::now()));
        Ok(token.ok_or(AuthError::WrongCredentials))
    }
}

/// Why somebody was not registered or logged in. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AuthError {
    /// Another account has the name.
    NameTaken {
        /// The name.
        name: UserName,
    },
    /// The password breaks a rule.
    Password(PasswordError),
    /// No such user, or another password: which one is not told.
    WrongCredentials,
    /// Too many passwords wait to be hashed. Try again in a moment.
    Overloaded,
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuthError::NameTaken { name } => write!(f, "the name {name} is taken"),
            AuthError::Password(_) => f.write_str("the password is refused"),
            AuthError::WrongCredentials => f.write_str("the name or the password is wrong"),
            AuthError::Overloaded => f.write_str("too many log-ins at once; try again in a moment"),
        }
    }
}

impl Error for AuthError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            AuthError::Password(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{HashCost, TokenKey};

    #[linden::test]
    async fn too_many_hashes_are_refused_and_hinder_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let signer = TokenSigner::new(TokenKey::from_bytes([7; 32]), Duration::from_secs(60));
        let service = AuthService::new(
            AccountStore::open(directory.path().join("auth.redb")).unwrap(),
            PasswordHasher::new(HashCost::CHEAPEST).unwrap(),
            signer.clone(),
            NonZeroUsize::MIN,
            1,
        );
        let busy = [service.hashing.admit().unwrap(), service.hashing.admit().unwrap()];
        let auth = AuthService::start(move || service.clone()).await.unwrap();

        let name = || UserName::new("ada").unwrap();
        let register = || auth.register(name(), Password::new("correct horse").unwrap());
        assert_eq!(register().await, Ok(Err(AuthError::Overloaded)));
        let log_in = auth.log_in(name(), "correct horse".to_owned()).await;
        assert_eq!(log_in, Ok(Err(AuthError::Overloaded)));
        let token = signer.issue(UserId(7), SystemTime::now()).as_str().to_owned();
        assert_eq!(auth.verify_token(token).await, Ok(Ok(UserId(7))));

        drop(busy);
        assert_eq!(register().await, Ok(Ok(UserId(1))));
    }
}
