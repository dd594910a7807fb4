//! The application `billing`: its configuration and its supervision tree.
//!
//! The journal is opened here, once, before any process exists, and the service gets a clone: a
//! restarted service does not meet a file that its predecessor's last commit still holds open.

use std::{path::PathBuf, time::Duration};

use linden::prelude::*;
use serde::Deserialize;

use crate::{BillingService, Journal};

/// Payments and balances.
#[derive(Clone, Copy, Debug, Default)]
pub struct BillingApp;

impl Application for BillingApp {
    const NAME: &'static str = "billing";
    type Config = BillingConfig;

    fn start(&self, config: BillingConfig) -> Result<Supervisor, BoxError> {
        let journal = Journal::open(&config.path)?;
        let service =
            move || BillingService::open(journal.clone(), config.waiting_max, config.chaos);
        Ok(Supervisor::one_for_one()
            .name("billing_sup")
            .intensity(config.restarts_max, config.restarts_within)
            .child(child("billing_service", service)))
    }
}

/// `[billing]` in `linden.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct BillingConfig {
    /// The journal; `data/billing.redb`.
    pub path: PathBuf,
    /// Payments that may wait for the next commit; 10,000. More are refused as overload.
    pub waiting_max: usize,
    /// Restarts of the service within [`BillingConfig::restarts_within`]; 10. One more stops the
    /// node.
    pub restarts_max: u32,
    /// See [`BillingConfig::restarts_max`]; `10s`.
    #[serde(with = "linden::config::duration")]
    pub restarts_within: Duration,
    /// Whether the service may be told to crash; for tests.
    pub chaos: bool,
}

impl Default for BillingConfig {
    fn default() -> BillingConfig {
        BillingConfig {
            path: "data/billing.redb".into(),
            waiting_max: 10_000,
            restarts_max: 10,
            restarts_within: 10.secs(),
            chaos: false,
        }
    }
}
