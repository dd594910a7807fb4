//! The application `catalog`: its configuration and its supervision tree.
//!
//! The file is opened here, once, before any process exists, and the service gets a clone of the
//! handle. The items of the configuration are put into a file that has none; later starts leave the
//! file's own alone.

use std::{path::PathBuf, time::Duration};

use linden::prelude::*;
use serde::Deserialize;
use shop_billing::{Cents, Currency};
use shop_storage::{Medium, create};

use crate::{
    CatalogService, NewItem, Sku,
    stock::{SCHEMA, Shelves},
};

/// What the shop sells.
#[derive(Clone, Copy, Debug, Default)]
pub struct CatalogApp;

impl Application for CatalogApp {
    const NAME: &'static str = "catalog";
    type Config = CatalogConfig;

    fn start(&self, config: CatalogConfig) -> Result<Supervisor, BoxError> {
        let database = create(&config.path, SCHEMA, config.medium)?;
        Shelves::seed(&database, &config.items)?;
        let service = move || {
            CatalogService::new(
                database.clone(),
                config.waiting_max,
                config.reservation_ttl,
                config.sweep_every,
            )
        };
        Ok(Supervisor::one_for_one()
            .name("catalog_sup")
            .intensity(config.restarts_max, config.restarts_within)
            .child(child("catalog_service", service)))
    }
}

/// `[catalog]` in `linden.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct CatalogConfig {
    /// The items and reservations; `data/catalog.redb`.
    pub path: PathBuf,
    /// What holds them; `disk`.
    pub medium: Medium,
    /// How long stock is held for an order that is not confirmed; `15m`.
    #[serde(with = "linden::config::duration")]
    pub reservation_ttl: Duration,
    /// How often the service looks for reservations that have expired; `1s`.
    #[serde(with = "linden::config::duration")]
    pub sweep_every: Duration,
    /// Requests that may wait for the disk, of those that write and of those that read; 10,000. More
    /// are refused as overload.
    pub waiting_max: usize,
    /// Restarts of the service within [`CatalogConfig::restarts_within`]; 10. One more stops the
    /// node.
    pub restarts_max: u32,
    /// See [`CatalogConfig::restarts_max`]; `10s`.
    #[serde(with = "linden::config::duration")]
    pub restarts_within: Duration,
    /// What the shop starts with, when its file is made: `[[catalog.items]]`; by default a small
    /// assortment.
    pub items: Vec<NewItem>,
}

impl Default for CatalogConfig {
    fn default() -> CatalogConfig {
        CatalogConfig {
            path: "data/catalog.redb".into(),
            medium: Medium::Disk,
            reservation_ttl: 15.mins(),
            sweep_every: 1.secs(),
            waiting_max: 10_000,
            restarts_max: 10,
            restarts_within: 10.secs(),
            items: assortment(),
        }
    }
}

fn assortment() -> Vec<NewItem> {
    [
        ("tea-linden", "Linden blossom tea, 100 g", 790, 500),
        ("honey-linden", "Linden honey, 500 g", 1_250, 200),
        ("bench-garden", "Garden bench for four", 24_900, 20),
        ("lamp-oil", "Oil lamp", 3_490, 60),
        ("rope-hemp", "Hemp rope, 10 m", 1_690, 120),
    ]
    .map(|(sku, name, cents, stock)| NewItem {
        sku: Sku::new(sku).expect("it obeys the rules"),
        name: name.to_owned(),
        price: Cents(cents).of(Currency::EUR),
        stock,
    })
    .into()
}
