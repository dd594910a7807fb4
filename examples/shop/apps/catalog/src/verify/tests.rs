//! Each rule is broken once, by hand.

use redb::{Database, WriteTransaction, backends::InMemoryBackend};
use shop_billing::{Cents, Currency, Timestamp};

use super::*;
use crate::{Line, Lines, NewItem, stock::Shelves};

/// What `verify` says of a shop with ten pens, two of them reserved and one sold, after `damage`.
fn verified(damage: impl FnOnce(&WriteTransaction)) -> Result<CatalogReport, VerifyError> {
    let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
    let pen = NewItem {
        sku: pen(),
        name: "Pen".to_owned(),
        price: Cents(250).of(Currency::EUR),
        stock: 10,
    };
    Shelves::seed(&database, &[pen]).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut shelves = Shelves::open(&transaction).unwrap();
        for (order, quantity) in [(1, 2), (2, 1)] {
            let lines = Lines::new(vec![Line { sku: self::pen(), quantity }]).unwrap();
            let ttl = std::time::Duration::from_secs(9);
            shelves.reserve(OrderId(order), &lines, Timestamp(0), ttl).unwrap().unwrap();
        }
        shelves.confirm(OrderId(2), Timestamp(0)).unwrap().unwrap();
    }
    damage(&transaction);
    transaction.commit().unwrap();
    verify(&database.begin_read().unwrap())
}

fn pen() -> Sku {
    Sku::new("pen").unwrap()
}

fn with_stock(stock: Stock) -> impl FnOnce(&WriteTransaction) {
    move |transaction| {
        let price = Cents(250).of(Currency::EUR);
        let item = row::encode(&ItemRow { name: "Pen".to_owned(), price, stock });
        transaction.open_table(ITEMS).unwrap().insert("pen", item.as_slice()).unwrap();
    }
}

#[test]
fn a_sound_catalog_is_summed_up() {
    let report = verified(|_| {}).unwrap();
    assert_eq!(report.items, 1);
    assert_eq!(report.stock, Stock { received: 10, on_hand: 7, reserved: 2, sold: 1 });
    assert_eq!(report.held, BTreeMap::from([(OrderId(1), Cents(500).of(Currency::EUR))]));
    assert_eq!(report.sold, BTreeMap::from([(OrderId(2), Cents(250).of(Currency::EUR))]));
}

#[test]
fn every_broken_rule_is_named() {
    let stock = Stock { received: 10, on_hand: 7, reserved: 2, sold: 1 };
    for (damaged, words) in [
        (verified(with_stock(Stock { on_hand: 8, ..stock })), "lost or made up"),
        (verified(with_stock(Stock { on_hand: 6, sold: 2, ..stock })), "and its orders say"),
        (verified(with_stock(Stock { received: 11, on_hand: 8, ..stock })), "and its orders say"),
        (
            verified(|transaction| {
                drop(transaction.open_table(ITEMS).unwrap().remove("pen").unwrap());
            }),
            "which does not exist",
        ),
        (
            verified(|transaction| {
                transaction.open_table(EXPIRIES).unwrap().remove((9_000, 1)).unwrap();
            }),
            "the reservation of order 1 would never expire",
        ),
        (
            verified(|transaction| {
                transaction.open_table(RESERVATIONS).unwrap().insert(1, &[9_u8][..]).unwrap();
            }),
            "the catalog could not be read",
        ),
    ] {
        let error = damaged.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_file_that_is_missing_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.redb");
    let error = verify_file(&path).unwrap_err();
    assert!(matches!(error, VerifyError::Open(_)), "{error:?}");
    assert!(!path.exists());
}
