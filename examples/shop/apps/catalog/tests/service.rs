//! `catalog_service` as others see it: by its name, on a node, over a real file.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

use std::{error::Error, time::Duration};

use linden::prelude::*;
use shop_catalog::{
    CatalogApp, CatalogConfig, CatalogError, CatalogService, CatalogServiceClient, IdempotencyKey,
    Line, Lines, OrderId, PAGE_LEN_MAX, Sku, verify_file,
};
use tempfile::TempDir;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn config(directory: &TempDir) -> CatalogConfig {
    CatalogConfig {
        path: directory.path().join("catalog.redb"),
        restarts_max: 1_000,
        ..CatalogConfig::default()
    }
}

/// Starts the application on the test's node.
async fn start(
    config: CatalogConfig,
) -> Result<(CatalogServiceClient, linden::SupervisorRef), BoxError> {
    let supervisor = CatalogApp.start(config)?.start().await?;
    Ok((CatalogService::named(), supervisor))
}

fn sku(sku: &str) -> Sku {
    Sku::new(sku).unwrap()
}

fn lines(name: &str, quantity: u32) -> Lines {
    Lines::new(vec![Line { sku: sku(name), quantity }]).unwrap()
}

#[linden::test]
async fn stock_is_reserved_sold_released_and_shown() -> Outcome {
    let directory = tempfile::tempdir()?;
    let (catalog, supervisor) = start(config(&directory)).await?;
    let page = catalog.items(None, PAGE_LEN_MAX).await??;
    assert_eq!((page.items.len(), page.next), (5, None));
    let page = catalog.items(None, 0).await??;
    assert_eq!((page.items.len(), page.next), (1, Some(sku("bench-garden"))));

    catalog.reserve(OrderId(1), lines("tea-linden", 3)).await??;
    catalog.reserve(OrderId(2), lines("tea-linden", 4)).await??;
    catalog.confirm(OrderId(1)).await??;
    catalog.release(OrderId(2)).await??;
    let delivery = IdempotencyKey::new("note-7")?;
    let tea = catalog.restock(delivery, sku("tea-linden"), 100).await??;
    assert_eq!((tea.stock.on_hand, tea.stock.sold), (597, 3));
    assert_eq!(catalog.item(sku("tea-linden")).await??, tea);
    let unknown = catalog.item(sku("tea")).await?;
    assert_eq!(unknown, Err(CatalogError::UnknownItem { sku: sku("tea") }));

    supervisor.stop(Reason::Shutdown).await?;
    drop(supervisor);
    Ok(())
}

#[linden::test]
async fn what_was_answered_survives_a_crash(node: Node) -> Outcome {
    let directory = tempfile::tempdir()?;
    let (catalog, _supervisor) = start(config(&directory)).await?;
    let reservation = catalog.reserve(OrderId(1), lines("tea-linden", 3)).await??;
    let pid = catalog.pid().ok_or("it runs")?;
    node.exit(pid, Reason::Kill);
    node.wait_exit(pid).await;
    let again = loop {
        match catalog.reserve(OrderId(1), lines("tea-linden", 3)).await {
            Err(CallError::NoProc | CallError::Exited(_)) => {}
            answer => break answer??,
        }
    };
    assert_eq!(again, reservation);
    assert_eq!(catalog.item(sku("tea-linden")).await??.stock.reserved, 3);
    Ok(())
}

#[linden::test]
async fn the_service_brings_back_what_has_expired() -> Outcome {
    let directory = tempfile::tempdir()?;
    let config = CatalogConfig {
        reservation_ttl: Duration::ZERO,
        sweep_every: Duration::from_millis(1),
        ..config(&directory)
    };
    let (catalog, _supervisor) = start(config).await?;
    catalog.reserve(OrderId(1), lines("tea-linden", 3)).await??;
    while catalog.item(sku("tea-linden")).await??.stock.reserved > 0 {}
    let expired = catalog.confirm(OrderId(1)).await?;
    assert_eq!(expired, Err(CatalogError::Expired { order_id: OrderId(1) }));
    Ok(())
}

#[linden::test]
async fn many_orders_at_once_never_oversell() -> Outcome {
    let directory = tempfile::tempdir()?;
    let (_catalog, _supervisor) = start(config(&directory)).await?;
    let orders = (1..=100).map(|order| {
        Task::spawn_unlinked(async move {
            let catalog = CatalogService::named();
            catalog
                .reserve(OrderId(order), lines("bench-garden", 3))
                .await?
                .map(|_| ())
                .map_err(|error| CallError::Exited(Reason::error(&error)))?;
            catalog.confirm(OrderId(order)).await
        })
    });
    let sold = Task::await_many(orders.collect::<Vec<_>>()).await;
    let sold = sold.into_iter().filter(|sold| matches!(sold, Ok(Ok(Ok(()))))).count();
    assert_eq!(sold, 6, "20 benches are 6 times 3");
    let bench = CatalogService::named().item(sku("bench-garden")).await??;
    assert_eq!((bench.stock.on_hand, bench.stock.sold), (2, 18));
    Ok(())
}

#[linden::test]
async fn a_catalog_that_may_not_wait_refuses_as_overload() -> Outcome {
    let directory = tempfile::tempdir()?;
    let (catalog, _supervisor) =
        start(CatalogConfig { waiting_max: 0, ..config(&directory) }).await?;
    let refused = catalog.release(OrderId(1)).await?;
    assert!(matches!(refused, Err(CatalogError::Overloaded(_))), "{refused:?}");
    let refused = catalog.item(sku("tea-linden")).await?;
    assert!(matches!(refused, Err(CatalogError::Overloaded(_))), "{refused:?}");
    Ok(())
}

#[test]
fn a_stopped_catalog_is_verified_offline() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.redb");
    let node = linden::NodeBuilder::new().application(CatalogApp).foreign_logging().set(
        "catalog",
        "path",
        path.display(),
    );
    let booted = linden::block_on(node.boot()).unwrap();
    let catalog = CatalogService::named_on(&booted.node);
    booted.node.block_on(catalog.reserve(OrderId(7), lines("lamp-oil", 2))).unwrap().unwrap();
    linden::block_on(booted.stop()).unwrap();

    let report = verify_file(&path).unwrap();
    assert_eq!((report.items, report.stock.reserved), (5, 2));
    assert_eq!(report.held[&OrderId(7)].to_string(), "69.80 EUR");
}

#[test]
fn the_configuration_is_read_with_its_defaults() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("linden.toml");
    let read = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let config = linden::config::Config::load(Some(&file), Vec::new()).unwrap();
        config.section::<CatalogConfig>("catalog")
    };
    let plain = read("").unwrap();
    assert_eq!(plain.path.to_str(), Some("data/catalog.redb"));
    assert_eq!((plain.reservation_ttl.as_secs(), plain.items.len()), (900, 5));
    let set = read(
        "[catalog]\nreservation_ttl = \"5m\"\n[[catalog.items]]\nsku = \"pen\"\nname = \"Pen\"\n\
         price = { cents = 250, currency = \"EUR\" }\nstock = 10\n",
    );
    let set = set.unwrap();
    assert_eq!((set.reservation_ttl.as_secs(), set.items.len()), (300, 1));
    assert_eq!(set.items[0].price.to_string(), "2.50 EUR");
    assert!(read("[catalog]\npaths = 1\n").is_err());
    assert!(read("[[catalog.items]]\nsku = \"A pen\"\n").is_err());
}
