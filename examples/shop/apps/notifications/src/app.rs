//! The application `notifications`: its configuration and its supervision tree.
//!
//! The file is opened here, once, before any process exists, and the service gets a clone of the
//! handle.

use std::{path::PathBuf, time::Duration};

use linden::prelude::*;
use serde::Deserialize;
use shop_storage::Medium;

use crate::{
    NotificationsService,
    inbox::{SCHEMA, create_tables},
};

/// What the shop tells its users.
#[derive(Clone, Copy, Debug, Default)]
pub struct NotificationsApp;

impl Application for NotificationsApp {
    const NAME: &'static str = "notifications";
    type Config = NotificationsConfig;

    fn start(&self, config: NotificationsConfig) -> Result<Supervisor, BoxError> {
        let database = shop_storage::create(&config.path, SCHEMA, config.medium)?;
        create_tables(&database)?;
        let service = move || {
            NotificationsService::new(
                database.clone(),
                config.waiting_max,
                config.kept_max,
                config.subscriptions_max,
                config.lag_max,
            )
        };
        Ok(Supervisor::one_for_one()
            .name("notifications_sup")
            .intensity(config.restarts_max, config.restarts_within)
            .child(child("notifications_service", service)))
    }
}

/// `[notifications]` in `linden.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct NotificationsConfig {
    /// The inboxes; `data/notifications.redb`.
    pub path: PathBuf,
    /// What holds them; `disk`.
    pub medium: Medium,
    /// Messages of one user that are kept; 1,000. The oldest go.
    pub kept_max: u64,
    /// Subscriptions that are open at a time; 10,000. More are refused.
    pub subscriptions_max: usize,
    /// Notices that are kept for a subscriber that is slow; 64. The oldest are lost to it, and it is
    /// told how many.
    pub lag_max: usize,
    /// Requests that may wait for the disk, of those that write and of those that read; 10,000. More
    /// are refused as overload.
    pub waiting_max: usize,
    /// Restarts of the service within [`NotificationsConfig::restarts_within`]; 10. One more stops
    /// the node.
    pub restarts_max: u32,
    /// See [`NotificationsConfig::restarts_max`]; `10s`.
    #[serde(with = "linden::config::duration")]
    pub restarts_within: Duration,
}

impl Default for NotificationsConfig {
    fn default() -> NotificationsConfig {
        NotificationsConfig {
            path: "data/notifications.redb".into(),
            medium: Medium::Disk,
            kept_max: 1_000,
            subscriptions_max: 10_000,
            lag_max: 64,
            waiting_max: 10_000,
            restarts_max: 10,
            restarts_within: 10.secs(),
        }
    }
}
