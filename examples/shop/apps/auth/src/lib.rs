//! The shop's accounts: register, log in, prove who you are with a token, log out.
//!
//! [`AuthApp`] is the application. It has two processes: [`AuthService`] does the work,
//! [`AuthAttempts`] counts who tries how often. The other modules are plain libraries: no process, no
//! global state, and but for `desk` no clock. Some calls are slow on purpose
//! ([`PasswordHasher::hash_password`] and [`PasswordHasher::verify_password`]: tens of milliseconds
//! of CPU and 19 MiB of memory) or wait for the disk (those of [`AccountStore`] and
//! [`SessionStore`]): a process makes all of them on the blocking pool.
//!
//! A log-in opens a [`Session`]: a signed access token for a quarter of an hour, and a refresh token
//! that gives the next ones, once. What an attacker may know or steal, and what it is good for:
//!
//! | Somebody has | They can |
//! |---|---|
//! | the accounts file | try passwords at argon2's price; refresh tokens are hashed, access tokens are not in it |
//! | an access token | act as the user until it expires, or the session is ended |
//! | a refresh token | go on with the session, until the user refreshes, too: then it ends for both |
//! | the key file | act as anybody |
//!
//! Nobody learns which names have accounts from a log-in: not by the answer, not by its time, not by
//! the limit of attempts. A registration does tell that a name is taken.
//!
//! Secrets (passwords, hashes, keys, tokens) have a `Debug` that hides them, because crash reports
//! print the state of a process and its last message.
//!
//! Absent on purpose: password reset, roles.

#![forbid(unsafe_code)]

pub mod account;
mod app;
mod attempts;
mod desk;
mod error;
pub mod key;
mod limiter;
pub mod password;
mod revocations;
mod service;
pub mod session;
mod session_store;
pub mod store;
pub mod token;
mod turns;
mod unix_time;
mod verify;

pub use account::{Account, UserId, UserName, UserNameError};
pub use app::{AuthApp, AuthConfig};
pub use attempts::{AttemptLimits, AuthAttempts, AuthAttemptsClient, AuthAttemptsMsg, TooMany};
pub use error::AuthError;
pub use key::{KeyError, TokenKey};
pub use limiter::Rate;
pub use password::{
    HashCost, Password, PasswordError, PasswordHash, PasswordHashError, PasswordHasher,
};
pub use revocations::Revocation;
pub use service::{AuthService, AuthServiceClient, AuthServiceMsg};
pub use session::{RefreshToken, Session, SessionId, SessionPolicy};
pub use session_store::{SessionStore, Swept};
pub use store::{AccountStore, NewAccount, StoreError};
pub use token::{Claims, Token, TokenError, TokenSigner};
pub use unix_time::UnixTime;
pub use verify::{AuthReport, VerifyError, verify_file};
