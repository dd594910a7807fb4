//! The application `billing`: its configuration and its supervision tree.
//!
//! The journal is opened here, once, before any process exists, and the processes get clones: a
//! restarted writer does not meet a file that its predecessor's last commit still holds open.

use std::{path::PathBuf, time::Duration};

use linden::prelude::*;
use serde::Deserialize;
use shop_storage::Medium;

use crate::{
    BillingService, Journal,
    account::{Account, AccountSetup, Opening},
    journal::KEY_TTL,
    service::ACCOUNTS,
    writer::LedgerWriter,
};

/// Payments, refunds, balances and statements.
#[derive(Clone, Copy, Debug, Default)]
pub struct BillingApp;

impl Application for BillingApp {
    const NAME: &'static str = "billing";
    type Config = BillingConfig;

    fn start(&self, config: BillingConfig) -> Result<Supervisor, BoxError> {
        let journal = Journal::open_on(config.medium, &config.path)?.with_key_ttl(config.key_ttl);
        Ok(tree(journal, config))
    }
}

/// The writer first. What the accounts know of the books is only right as long as the writer lives that
/// told them, so they are restarted with it (`rest_for_one`); without the accounts the writer does well.
pub(crate) fn tree(journal: Journal, config: BillingConfig) -> Supervisor {
    let BillingConfig { waiting_max, sweep_every, .. } = config;
    let of_writer = journal.clone();
    let writer = move || LedgerWriter::new(of_writer.clone(), waiting_max, sweep_every);
    Supervisor::rest_for_one()
        .name("billing_sup")
        .intensity(config.restarts_max, config.restarts_within)
        .child(child("ledger_writer", writer))
        .child(supervisor_child("billing_front_sup", move || front(journal.clone(), &config)))
}

/// Only the service knows which account has a process, so these end with it (`one_for_all`): else a
/// user could have two. They are temporary: the service starts a successor when there is need for one.
fn front(journal: Journal, config: &BillingConfig) -> Supervisor {
    let BillingConfig { accounts_max, chaos, .. } = *config;
    let setup = AccountSetup {
        journal,
        waiting_max: config.account_waiting_max,
        idle: config.account_idle,
    };
    Supervisor::one_for_all()
        .name("billing_front_sup")
        .intensity(config.restarts_max, config.restarts_within)
        .child(dynamic_child(ACCOUNTS, move || accounts(setup.clone())))
        .child(child("billing_service", move || BillingService::new(accounts_max, chaos)))
}

fn accounts(setup: AccountSetup) -> DynamicSupervisor<Opening> {
    let account = move |&opening: &Opening| {
        let setup = setup.clone();
        move || Account::new(opening, setup)
    };
    DynamicSupervisor::new(account).temporary().name(ACCOUNTS)
}

/// `[billing]` in `linden.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct BillingConfig {
    /// The journal; `data/billing.redb`.
    pub path: PathBuf,
    /// What holds it; `disk`.
    pub medium: Medium,
    /// Payments and refunds of all users that may wait for the next commit; 10,000. More are refused as
    /// overload.
    pub waiting_max: usize,
    /// Of these, those of one user; 1,000. As many of its questions for balances may wait for an account
    /// that has just been started. More are refused as overload.
    pub account_waiting_max: usize,
    /// Accounts that have a process at the same time; 100,000. Requests for others are refused as
    /// overload.
    pub accounts_max: usize,
    /// How long an account without requests keeps its process; `1m`.
    #[serde(with = "linden::config::duration")]
    pub account_idle: Duration,
    /// How long an idempotency key belongs to its payment; `7d`. Afterwards the user may use it for
    /// something else. Keys that are in use keep the life span that they were written with.
    #[serde(with = "linden::config::duration")]
    pub key_ttl: Duration,
    /// How often keys whose time is over are forgotten while nobody pays; `1m`. Each payment forgets some
    /// as well.
    #[serde(with = "linden::config::duration")]
    pub sweep_every: Duration,
    /// Restarts of the writer, or of the service, within [`BillingConfig::restarts_within`]; 10. One
    /// more stops the node.
    pub restarts_max: u32,
    /// See [`BillingConfig::restarts_max`]; `10s`.
    #[serde(with = "linden::config::duration")]
    pub restarts_within: Duration,
    /// Whether parts of billing may be told to crash, hang or be slow; for tests.
    pub chaos: bool,
}

impl Default for BillingConfig {
    fn default() -> BillingConfig {
        BillingConfig {
            path: "data/billing.redb".into(),
            medium: Medium::Disk,
            waiting_max: 10_000,
            account_waiting_max: 1_000,
            accounts_max: 100_000,
            account_idle: 60.secs(),
            key_ttl: KEY_TTL,
            sweep_every: 60.secs(),
            restarts_max: 10,
            restarts_within: 10.secs(),
            chaos: false,
        }
    }
}
