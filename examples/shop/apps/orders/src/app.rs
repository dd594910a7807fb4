//! The application `orders`: its configuration and its supervision tree.
//!
//! ```text
//! orders (one_for_one)
//! ├── orders_service
//! └── order_processes (dynamic): one process for each order on its way, never restarted
//! ```
//!
//! One for one, because nobody here holds what another needs: everything is on disk. A process that
//! crashed is not restarted by its supervisor but by the next round of the service: an order that
//! crashes its process each time hurts itself alone and not the supervisor's restart limit.

use std::{path::PathBuf, sync::Arc, time::Duration};

use linden::prelude::*;
use serde::Deserialize;
use shop_catalog::OrderId;
use shop_storage::Medium;

use crate::{
    Billing, OrdersService, Payments, RetryPolicy,
    journal::{SCHEMA, create_tables},
    process::{OrderProcess, Plan},
    service::PROCESSES,
};

/// The shop's orders, paid by `billing`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OrdersApp;

impl Application for OrdersApp {
    const NAME: &'static str = "orders";
    const DEPENDS_ON: &'static [&'static str] = &["billing", "catalog", "notifications"];
    type Config = OrdersConfig;

    fn start(&self, config: OrdersConfig) -> Result<Supervisor, BoxError> {
        tree(config, Arc::new(Billing))
    }
}

/// The tree of the application, with anybody who takes payments.
///
/// # Errors
/// The file cannot be opened.
pub fn tree(config: OrdersConfig, payments: Arc<dyn Payments>) -> Result<Supervisor, BoxError> {
    let database = shop_storage::create(&config.path, SCHEMA, config.medium)?;
    create_tables(&database)?;
    let OrdersConfig { waiting_max, running_max, revive_every, .. } = config;
    let plan = Plan { payments, retry: config.retry, step_timeout: config.step_timeout };
    let service =
        move || OrdersService::new(database.clone(), waiting_max, running_max, revive_every);
    Ok(Supervisor::one_for_one()
        .name("orders_sup")
        .intensity(config.restarts_max, config.restarts_within)
        .child(child("orders_service", service))
        .child(dynamic_child(PROCESSES, move || processes(plan.clone()))))
}

fn processes(plan: Plan) -> DynamicSupervisor<OrderId> {
    DynamicSupervisor::new(move |&order_id: &OrderId| {
        let plan = plan.clone();
        move || OrderProcess::new(order_id, plan)
    })
    .temporary()
    .name(PROCESSES)
}

/// `[orders]` in `linden.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct OrdersConfig {
    /// The orders; `data/orders.redb`.
    pub path: PathBuf,
    /// What holds them; `disk`.
    pub medium: Medium,
    /// Orders on their way at a time; 1,000. More are refused.
    pub running_max: u64,
    /// How often a step is tried, and how long after.
    pub retry: RetryPolicy,
    /// How long a step may take before it counts as failed; `5s`. Payments have their own limit.
    #[serde(with = "linden::config::duration")]
    pub step_timeout: Duration,
    /// How often the service looks for orders whose process has crashed; `1s`.
    #[serde(with = "linden::config::duration")]
    pub revive_every: Duration,
    /// Requests that may wait for the disk, of those that write and of those that read; 10,000. More
    /// are refused as overload.
    pub waiting_max: usize,
    /// Restarts of the service within [`OrdersConfig::restarts_within`]; 10. One more stops the node.
    pub restarts_max: u32,
    /// See [`OrdersConfig::restarts_max`]; `10s`.
    #[serde(with = "linden::config::duration")]
    pub restarts_within: Duration,
}

impl Default for OrdersConfig {
    fn default() -> OrdersConfig {
        OrdersConfig {
            path: "data/orders.redb".into(),
            medium: Medium::Disk,
            running_max: 1_000,
            retry: RetryPolicy::default(),
            step_timeout: 5.secs(),
            revive_every: 1.secs(),
            waiting_max: 10_000,
            restarts_max: 10,
            restarts_within: 10.secs(),
        }
    }
}
