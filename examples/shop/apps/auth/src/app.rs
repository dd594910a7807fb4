//! The application `auth`: its configuration and its supervision tree.
//!
//! Files are opened here, once, before any process exists, and the service gets clones: a restarted
//! service neither waits for its predecessor's file nor signs with another key.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use linden::{ChildSpec, prelude::*};
use serde::Deserialize;

use crate::{AccountStore, AuthService, HashCost, PasswordHasher, TokenKey, TokenSigner};

/// Accounts and log-in.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthApp;

impl Application for AuthApp {
    const NAME: &'static str = "auth";
    type Config = AuthConfig;

    fn start(&self, config: AuthConfig) -> Result<Supervisor, BoxError> {
        Ok(Supervisor::one_for_one()
            .name("auth_sup")
            .intensity(10, 10.secs())
            .child(service(&config)?))
    }
}

/// `[auth]` in `linden.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    /// The accounts; `data/auth.redb`.
    pub path: PathBuf,
    /// How long a log-in is good for; `1h`.
    #[serde(with = "linden::config::duration")]
    pub token_ttl: Duration,
    /// The key that signs tokens; `token.key` beside the accounts. Made when there is none.
    pub secret_file: Option<PathBuf>,
    /// What one password hash costs.
    pub hash_cost: HashCost,
    /// Passwords hashed at the same time; 2. Each takes the memory that its cost says.
    pub hashes_max: NonZeroUsize,
    /// Requests that wait for their hash; 64. More are refused as overload.
    pub hashes_waiting_max: usize,
}

impl Default for AuthConfig {
    fn default() -> AuthConfig {
        AuthConfig {
            path: "data/auth.redb".into(),
            token_ttl: 60.mins(),
            secret_file: None,
            hash_cost: HashCost::default(),
            hashes_max: NonZeroUsize::new(2).expect("2 is not 0"),
            hashes_waiting_max: 64,
        }
    }
}

fn service(config: &AuthConfig) -> Result<ChildSpec, BoxError> {
    let key_file = config.secret_file.clone();
    let key_file = key_file.unwrap_or_else(|| config.path.with_file_name("token.key"));
    let service = AuthService::new(
        AccountStore::open(&config.path)?,
        PasswordHasher::new(config.hash_cost)?,
        TokenSigner::new(TokenKey::read_or_create(&key_file)?, config.token_ttl),
        config.hashes_max,
        config.hashes_waiting_max,
    );
    Ok(child("auth_service", move || service.clone()))
}
