//! The rules on a file in memory; the time is a number.

use std::collections::BTreeMap;

use proptest::prelude::*;
use redb::{ReadableDatabase as _, backends::InMemoryBackend};
use shop_billing::Currency;

use super::*;
use crate::{Line, verify::verify};

const TTL: Duration = Duration::from_millis(10);

/// A catalog in memory.
struct Shop(Database);

impl Shop {
    fn with(items: &[(&str, i64, Currency, u32)]) -> Shop {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        let items: Vec<NewItem> = items
            .iter()
            .map(|&(name, cents, currency, stock)| NewItem {
                sku: sku(name),
                name: name.to_owned(),
                price: Cents(cents).of(currency),
                stock,
            })
            .collect();
        Shelves::seed(&database, &items).unwrap();
        Shop(database)
    }

    /// Ten pens at 2.50, three books at 20.00 and a hat for dollars.
    fn small() -> Shop {
        Shop::with(&[
            ("pen", 250, Currency::EUR, 10),
            ("book", 2_000, Currency::EUR, 3),
            ("hat", 1_500, Currency::USD, 1),
        ])
    }

    fn change<T>(&self, change: impl FnOnce(&mut Shelves<'_>) -> Result<T, Fault>) -> T {
        let transaction = self.0.begin_write().unwrap();
        let answer = change(&mut Shelves::open(&transaction).unwrap()).unwrap();
        transaction.commit().unwrap();
        answer
    }

    fn reserve(
        &self,
        order: u64,
        lines: &[(&str, u32)],
        now: u64,
    ) -> Result<Reservation, CatalogError> {
        let lines = lines.iter().map(|&(name, quantity)| Line { sku: sku(name), quantity });
        let lines = Lines::new(lines.collect()).unwrap();
        self.change(|shelves| shelves.reserve(OrderId(order), &lines, Timestamp(now), TTL))
    }

    fn confirm(&self, order: u64, now: u64) -> Result<(), CatalogError> {
        self.change(|shelves| shelves.confirm(OrderId(order), Timestamp(now)))
    }

    fn release(&self, order: u64) {
        self.change(|shelves| shelves.release(OrderId(order))).unwrap();
    }

    fn sweep(&self, now: u64) -> usize {
        self.change(|shelves| shelves.sweep(Timestamp(now)))
    }

    fn restock(&self, delivery: &str, name: &str, quantity: u32) -> Result<Item, CatalogError> {
        let delivery = IdempotencyKey::new(delivery).unwrap();
        self.change(|shelves| shelves.restock(&delivery, &sku(name), quantity))
    }

    /// On hand, reserved and sold.
    fn stock(&self, name: &str) -> (u64, u64, u64) {
        verify(&self.0.begin_read().unwrap()).unwrap();
        let item = item(&self.0.begin_read().unwrap(), &sku(name)).unwrap().unwrap();
        (item.stock.on_hand, item.stock.reserved, item.stock.sold)
    }
}

fn sku(sku: &str) -> Sku {
    Sku::new(sku).unwrap()
}

#[test]
fn a_reservation_is_sold_once_however_often_it_is_asked_for() {
    let shop = Shop::small();
    let first = shop.reserve(1, &[("pen", 4), ("book", 1)], 0).unwrap();
    assert_eq!(first.total, Cents(3_000).of(Currency::EUR));
    assert_eq!(first.expires_at, Timestamp(10));
    assert_eq!(shop.reserve(1, &[("book", 1), ("pen", 4)], 5), Ok(first.clone()));
    assert_eq!(shop.stock("pen"), (6, 4, 0));
    for _ in 0..2 {
        assert_eq!(shop.confirm(1, 9), Ok(()));
        assert_eq!(shop.stock("pen"), (6, 0, 4));
    }
    assert_eq!(shop.reserve(1, &[("pen", 4), ("book", 1)], 99), Ok(first));
    assert_eq!(shop.sweep(99), 0, "what is sold does not come back");
    let other = shop.reserve(1, &[("pen", 5)], 99);
    assert_eq!(other, Err(CatalogError::OtherLines { order_id: OrderId(1) }));
}

#[test]
fn an_order_gets_all_or_nothing() {
    let shop = Shop::small();
    let refused = shop.reserve(1, &[("pen", 4), ("book", 4)], 0);
    assert_eq!(refused, Err(CatalogError::OutOfStock { sku: sku("book"), on_hand: 3 }));
    let refused = shop.reserve(1, &[("pen", 4), ("zebra", 1)], 0);
    assert_eq!(refused, Err(CatalogError::UnknownItem { sku: sku("zebra") }));
    let refused = shop.reserve(1, &[("pen", 4), ("hat", 1)], 0);
    assert_eq!(refused, Err(CatalogError::MixedCurrencies));
    assert_eq!(shop.stock("pen"), (10, 0, 0));
    assert_eq!(shop.confirm(1, 0), Err(CatalogError::NotReserved { order_id: OrderId(1) }));
    assert!(shop.reserve(1, &[("pen", 4)], 0).is_ok(), "a refusal leaves nothing behind");
}

#[test]
fn a_total_that_is_no_amount_is_refused() {
    let shop =
        Shop::with(&[("moon", i64::MAX, Currency::EUR, 5), ("star", i64::MAX, Currency::EUR, 5)]);
    for lines in [&[("moon", 2)][..], &[("moon", 1), ("star", 1)]] {
        assert_eq!(shop.reserve(1, lines, 0), Err(CatalogError::TotalTooLarge));
    }
    assert!(shop.reserve(1, &[("moon", 1)], 0).is_ok());
}

#[test]
fn what_is_released_comes_back_and_is_not_reserved_again() {
    let shop = Shop::small();
    shop.reserve(1, &[("pen", 4)], 0).unwrap();
    for _ in 0..2 {
        shop.release(1);
        assert_eq!(shop.stock("pen"), (10, 0, 0));
    }
    let released = CatalogError::Released { order_id: OrderId(1) };
    assert_eq!(shop.reserve(1, &[("pen", 4)], 0), Err(released.clone()));
    assert_eq!(shop.confirm(1, 0), Err(released));

    shop.release(2);
    let late = shop.reserve(2, &[("pen", 1)], 0);
    assert_eq!(late, Err(CatalogError::Released { order_id: OrderId(2) }));
}

#[test]
fn what_was_sold_can_be_given_back() {
    let shop = Shop::small();
    shop.reserve(1, &[("pen", 4)], 0).unwrap();
    shop.confirm(1, 0).unwrap();
    shop.release(1);
    assert_eq!(shop.stock("pen"), (10, 0, 0));
    assert_eq!(shop.confirm(1, 0), Err(CatalogError::Released { order_id: OrderId(1) }));
}

#[test]
fn a_reservation_comes_back_when_its_time_has_come() {
    let shop = Shop::small();
    shop.reserve(1, &[("pen", 4)], 0).unwrap();
    shop.reserve(2, &[("pen", 3)], 5).unwrap();
    assert_eq!(shop.sweep(9), 0);
    assert_eq!(shop.sweep(10), 1);
    assert_eq!(shop.stock("pen"), (7, 3, 0));
    let expired = |order| CatalogError::Expired { order_id: OrderId(order) };
    assert_eq!(shop.confirm(1, 10), Err(expired(1)));
    assert_eq!(shop.confirm(2, 15), Err(expired(2)), "also when nobody swept");
    assert_eq!(shop.stock("pen"), (10, 0, 0));
    assert_eq!(shop.reserve(1, &[("pen", 4)], 20), Err(expired(1)));
    shop.release(1);
    assert_eq!(shop.stock("pen"), (10, 0, 0));
}

#[test]
fn a_sweep_takes_a_bounded_number() {
    let shop = Shop::with(&[("dot", 1, Currency::EUR, 2_000)]);
    let line = Lines::new(vec![Line { sku: sku("dot"), quantity: 1 }]).unwrap();
    shop.change(|shelves| {
        for order in 1..=1_001 {
            let reserved = shelves.reserve(OrderId(order), &line, Timestamp(0), TTL)?;
            assert!(reserved.is_ok());
        }
        Ok(())
    });
    assert_eq!(shop.sweep(10), EXPIRED_PER_SWEEP_MAX);
    assert_eq!(shop.sweep(10), 1);
    assert_eq!(shop.stock("dot"), (2_000, 0, 0));
}

#[test]
fn a_delivery_is_taken_in_once() {
    let shop = Shop::small();
    for _ in 0..2 {
        assert_eq!(shop.restock("d1", "pen", 5).unwrap().stock.received, 15);
    }
    assert_eq!(shop.restock("d1", "pen", 6), Err(CatalogError::OtherDelivery));
    assert_eq!(shop.restock("d1", "book", 5), Err(CatalogError::OtherDelivery));
    assert_eq!(shop.restock("d2", "pen", 0), Err(CatalogError::BadQuantity));
    let unknown = shop.restock("d2", "zebra", 1);
    assert_eq!(unknown, Err(CatalogError::UnknownItem { sku: sku("zebra") }));
    assert_eq!(shop.stock("pen"), (15, 0, 0));
}

#[test]
fn items_come_in_pages() {
    let shop = Shop::small();
    let page = |after: Option<&str>, limit| {
        let after = after.map(sku);
        let items = items(&shop.0.begin_read().unwrap(), after.as_ref(), limit).unwrap();
        items.into_iter().map(|item| item.name).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2), ["book", "hat"]);
    assert_eq!(page(Some("hat"), 2), ["pen"]);
    assert_eq!(page(Some("c"), 1), ["hat"], "a number that is gone is a place too");
    assert_eq!(page(Some("pen"), 2), [""; 0]);
}

#[test]
fn a_shop_that_has_items_is_not_seeded_again() {
    let shop = Shop::small();
    let pen = NewItem {
        sku: sku("quill"),
        name: "Quill".to_owned(),
        price: Cents(1).of(Currency::EUR),
        stock: 1,
    };
    Shelves::seed(&shop.0, &[pen]).unwrap();
    let quill = item(&shop.0.begin_read().unwrap(), &sku("quill")).unwrap();
    assert_eq!(quill, Err(CatalogError::UnknownItem { sku: sku("quill") }));
}

/// What may happen to a shop with three orders a step.
#[derive(Clone, Copy, Debug)]
enum Step {
    Reserve { order: u64, pens: u32, books: u32 },
    Confirm { order: u64 },
    Release { order: u64 },
    Sweep,
    Restock { delivery: u8, pens: u32 },
    Wait { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let order = 1..8_u64;
    prop_oneof![
        4 => (order.clone(), 1..6_u32, 0..3_u32)
            .prop_map(|(order, pens, books)| Step::Reserve { order, pens, books }),
        3 => order.clone().prop_map(|order| Step::Confirm { order }),
        2 => order.prop_map(|order| Step::Release { order }),
        1 => Just(Step::Sweep),
        1 => (0..3_u8, 0..4_u32).prop_map(|(delivery, pens)| Step::Restock { delivery, pens }),
        2 => (1..8_u64).prop_map(|ms| Step::Wait { ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_piece_is_lost_made_up_or_sold_twice(steps in prop::collection::vec(step(), 1..60)) {
        let shop = Shop::small();
        let mut now = 0;
        let mut sold = BTreeMap::new();
        for step in steps {
            match step {
                Step::Reserve { order, pens, books } => {
                    let lines = [("pen", pens), ("book", books)];
                    let _ = shop.reserve(order, &lines[..1 + usize::from(books > 0)], now);
                }
                Step::Confirm { order } => {
                    if shop.confirm(order, now).is_ok() {
                        let _ = sold.insert(order, ());
                    }
                }
                Step::Release { order } => {
                    shop.release(order);
                    sold.remove(&order);
                }
                Step::Sweep => {
                    shop.sweep(now);
                }
                Step::Restock { delivery, pens } => {
                    let _ = shop.restock(&format!("d{delivery}"), "pen", pens);
                }
                Step::Wait { ms } => now += ms,
            }
            let report = verify(&shop.0.begin_read().unwrap()).unwrap();
            let expected: Vec<u64> = sold.keys().copied().collect();
            let found: Vec<u64> = report.sold.keys().map(|order| order.0).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
