//! The shop's accounts: register, log in, prove who you are with a token.
//!
//! [`AuthApp`] is the application, [`AuthService`] its one process. The other modules are plain
//! libraries: no process, no clock, no global state. Two calls are slow on
//! purpose, [`PasswordHasher::hash_password`] and [`PasswordHasher::verify_password`] (tens of
//! milliseconds of CPU and 19 MiB of memory), and the calls of [`AccountStore`] wait for the disk:
//! a process calls all of them on the blocking pool.
//!
//! Secrets (passwords, hashes, keys, tokens) have a `Debug` that hides them, because crash reports
//! print the state of a process and its last message.
//!
//! Absent on purpose: password reset, roles, revocation of single tokens (they expire).

#![forbid(unsafe_code)]

pub mod account;
mod app;
mod hashing;
pub mod key;
pub mod password;
mod service;
pub mod store;
pub mod token;

pub use account::{Account, UserId, UserName, UserNameError};
pub use app::{AuthApp, AuthConfig};
pub use key::{KeyError, TokenKey};
pub use password::{
    HashCost, Password, PasswordError, PasswordHash, PasswordHashError, PasswordHasher,
};
pub use service::{AuthError, AuthService, AuthServiceClient, AuthServiceMsg};
pub use store::{AccountStore, NewAccount, StoreError};
pub use token::{Token, TokenError, TokenSigner};
