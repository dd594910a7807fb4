//! Orders that are paid by the real billing.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

use linden::{Booted, NodeBuilder};
use shop_billing::{BillingApp, BillingService, Cents, Currency};
use shop_catalog::{CatalogApp, Line, Lines, Sku};
use shop_notifications::NotificationsApp;
use shop_orders::{IdempotencyKey, OrdersApp, OrdersService, Stage, UserId};
use tempfile::TempDir;

const USER: UserId = UserId(1);

fn boot(directory: &TempDir, reservation_ttl: &str) -> Booted {
    let mut node = NodeBuilder::new()
        .foreign_logging()
        .application(BillingApp)
        .application(CatalogApp)
        .application(NotificationsApp)
        .application(OrdersApp)
        .set("catalog", "reservation_ttl", reservation_ttl);
    for name in ["billing", "catalog", "notifications", "orders"] {
        let path = directory.path().join(name).with_extension("redb");
        node = node.set(name, "path", path.display());
    }
    linden::block_on(node.boot()).unwrap()
}

/// The stage at which an order for two lamps ends, and what the user has paid less refunds.
fn ordered(booted: &Booted, name: &str) -> (Stage, Cents) {
    booted.node.block_on(async {
        let orders = OrdersService::named();
        let lamps = Line { sku: Sku::new("lamp-oil").unwrap(), quantity: 2 };
        let lamps = Lines::new(vec![lamps]).unwrap();
        let key = IdempotencyKey::new(name).unwrap();
        let placed = orders.place(USER, lamps, key).await.unwrap().unwrap();
        let end = loop {
            let order = orders.order(USER, placed.id).await.unwrap().unwrap();
            if order.stage.is_final() {
                break order.stage;
            }
        };
        let balances = BillingService::named().balance(USER).await.unwrap().unwrap();
        (end, balances.of(Currency::EUR))
    })
}

#[test]
fn an_order_is_paid_once_by_billing() {
    let directory = tempfile::tempdir().unwrap();
    let booted = boot(&directory, "15m");
    for _ in 0..2 {
        let (end, paid) = ordered(&booted, "a");
        assert!(
            matches!(end, Stage::Completed(bill) if bill.total.cents == Cents(6_980)),
            "{end:?}"
        );
        assert_eq!(paid, Cents(6_980));
    }
    linden::block_on(booted.stop()).unwrap();
}

#[test]
fn an_order_that_expired_is_refunded_by_billing() {
    let directory = tempfile::tempdir().unwrap();
    let booted = boot(&directory, "0s");
    let (end, paid) = ordered(&booted, "a");
    assert!(matches!(end, Stage::Rejected { refunded: Some(_), .. }), "{end:?}");
    assert_eq!(paid, Cents::ZERO);
    linden::block_on(booted.stop()).unwrap();
}
