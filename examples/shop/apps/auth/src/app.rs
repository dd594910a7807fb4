//! The application `auth`: its configuration and its supervision tree.
//!
//! Files are opened here, once, before any process exists, and the service gets clones: a restarted
//! service neither waits for its predecessor's file nor signs with another key.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use linden::prelude::*;
use serde::Deserialize;
use shop_storage::Medium;

use crate::{
    AccountStore, AttemptLimits, AuthAttempts, AuthService, HashCost, PasswordHasher,
    SessionPolicy, SessionStore, TokenKey, TokenSigner,
    desk::Desk,
    service::{AuthTools, Bounds},
};

/// Accounts and log-in.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthApp;

impl Application for AuthApp {
    const NAME: &'static str = "auth";
    type Config = AuthConfig;

    /// One for one: each of the two processes goes on without the other, and what was counted outlives
    /// a crash of the service.
    fn start(&self, config: AuthConfig) -> Result<Supervisor, BoxError> {
        let tools = AuthTools::new(desk(&config)?, config.bounds());
        let attempts = config.attempts;
        Ok(Supervisor::one_for_one()
            .name("auth_sup")
            .intensity(10, 10.secs())
            .child(child("auth_attempts", move || AuthAttempts::new(&attempts)))
            .child(child("auth_service", move || AuthService::open(tools.clone()))))
    }
}

/// `[auth]` in `linden.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    /// The accounts and their sessions; `data/auth.redb`.
    pub path: PathBuf,
    /// What holds them; `disk`.
    pub medium: Medium,
    /// How long an access token is good for; `15m`.
    #[serde(with = "linden::config::duration")]
    pub access_ttl: Duration,
    /// How long a session can be refreshed, counted from the log-in; `30d`.
    #[serde(with = "linden::config::duration")]
    pub session_ttl: Duration,
    /// Sessions of one account; 20. One more log-in ends the oldest.
    pub sessions_per_account_max: NonZeroUsize,
    /// The key that signs tokens; `token.key` beside the accounts. Made when there is none.
    pub secret_file: Option<PathBuf>,
    /// What one password hash costs.
    pub hash_cost: HashCost,
    /// Passwords hashed at the same time; 2. Each takes the memory that its cost says.
    pub hashes_max: NonZeroUsize,
    /// Requests that wait for their hash; 64. More are refused as overload.
    pub hashes_waiting_max: usize,
    /// Refreshes and log-outs that wait for the disk; 1,000. More are refused as overload.
    pub writes_waiting_max: usize,
    /// Expired sessions are removed from the disk so often; `1m`.
    #[serde(with = "linden::config::duration")]
    pub sweep_every: Duration,
    /// How many attempts to log in and to register are allowed.
    pub attempts: AttemptLimits,
}

impl AuthConfig {
    fn bounds(&self) -> Bounds {
        Bounds {
            hashes_max: self.hashes_max,
            hashes_waiting_max: self.hashes_waiting_max,
            writes_waiting_max: self.writes_waiting_max,
            sweep_every: self.sweep_every,
        }
    }
}

impl Default for AuthConfig {
    fn default() -> AuthConfig {
        AuthConfig {
            path: "data/auth.redb".into(),
            medium: Medium::Disk,
            access_ttl: 15.mins(),
            session_ttl: (30 * 24 * 60).mins(),
            sessions_per_account_max: NonZeroUsize::new(20).expect("20 is not 0"),
            secret_file: None,
            hash_cost: HashCost::default(),
            hashes_max: NonZeroUsize::new(2).expect("2 is not 0"),
            hashes_waiting_max: 64,
            writes_waiting_max: 1_000,
            sweep_every: 1.mins(),
            attempts: AttemptLimits::default(),
        }
    }
}

fn desk(config: &AuthConfig) -> Result<Desk, BoxError> {
    let key_file = config.secret_file.clone();
    let key_file = key_file.unwrap_or_else(|| config.path.with_file_name("token.key"));
    let accounts = AccountStore::open_on(config.medium, &config.path)?;
    Ok(Desk {
        sessions: SessionStore::beside(&accounts)?,
        accounts,
        hasher: PasswordHasher::new(config.hash_cost)?,
        signer: TokenSigner::new(TokenKey::read_or_create(&key_file)?),
        policy: SessionPolicy {
            access_ttl: config.access_ttl,
            session_ttl: config.session_ttl,
            per_account_max: config.sessions_per_account_max,
        },
    })
}
