//! The rules on a file in memory.

use redb::{ReadableDatabase as _, backends::InMemoryBackend};
use shop_billing::{Cents, Currency, Money};
use shop_catalog::{Line, Sku};

use super::*;
use crate::{
    Bill, Cause, PaymentRef,
    verify::{OrdersReport, VerifyError, verify},
};

struct Orders(Database);

impl Orders {
    fn new() -> Orders {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        create_tables(&database).unwrap();
        Orders(database)
    }

    fn change<T>(&self, change: impl FnOnce(&WriteTransaction) -> T) -> T {
        let transaction = self.0.begin_write().unwrap();
        let answer = change(&transaction);
        transaction.commit().unwrap();
        answer
    }

    fn place(&self, user: u64, pens: u32, key: &str) -> Result<Order, OrdersError> {
        let key = IdempotencyKey::new(key).unwrap();
        let new = NewOrder { user_id: UserId(user), lines: lines(pens), key };
        self.change(|transaction| place(transaction, new, Timestamp(5), 3)).unwrap()
    }

    fn record(&self, id: u64, version: u64, stage: Stage) -> Result<Order, OrdersError> {
        let id = OrderId(id);
        self.change(|transaction| record(transaction, id, version, stage, Timestamp(6))).unwrap()
    }

    /// Brings an order that was just placed to its end.
    fn complete(&self, id: u64) {
        let stages = [Stage::Reserved { total: total() }, Stage::Paid(bill()), Stage::Sold(bill())];
        for (version, stage) in stages.into_iter().chain([Stage::Completed(bill())]).enumerate() {
            self.record(id, version as u64, stage).unwrap();
        }
    }

    fn verify(&self) -> Result<OrdersReport, VerifyError> {
        verify(&self.0.begin_read().unwrap())
    }
}

fn lines(pens: u32) -> Lines {
    Lines::new(vec![Line { sku: Sku::new("pen").unwrap(), quantity: pens }]).unwrap()
}

fn total() -> Money {
    Cents(250).of(Currency::EUR)
}

fn bill() -> Bill {
    Bill { total: total(), payment: PaymentRef(7) }
}

#[test]
fn a_key_is_one_order() {
    let orders = Orders::new();
    let first = orders.place(1, 2, "a").unwrap();
    assert_eq!((first.id, first.version), (OrderId(1), 0));
    assert_eq!(orders.place(1, 2, "a"), Ok(first));
    let key = IdempotencyKey::new("a").unwrap();
    assert_eq!(orders.place(1, 3, "a"), Err(OrdersError::KeyReuse { key }));
    assert_eq!(orders.place(2, 3, "a").unwrap().id, OrderId(2), "keys are the user's own");
    orders.verify().unwrap();
}

#[test]
fn too_many_orders_on_their_way_are_refused_until_one_ends() {
    let orders = Orders::new();
    for key in ["a", "b", "c"] {
        orders.place(1, 1, key).unwrap();
    }
    assert_eq!(orders.place(1, 1, "d"), Err(OrdersError::TooManyRunning { running_max: 3 }));
    assert_eq!(orders.place(1, 1, "a").unwrap().id, OrderId(1), "a repeated one is none more");
    orders.complete(2);
    assert_eq!(orders.place(1, 1, "d").unwrap().id, OrderId(4));
    let unfinished = unfinished(&orders.0.begin_read().unwrap()).unwrap();
    assert_eq!(unfinished, [OrderId(1), OrderId(3), OrderId(4)]);
}

#[test]
fn a_stage_is_recorded_by_who_knows_the_one_before() {
    let orders = Orders::new();
    orders.place(1, 1, "a").unwrap();
    let reserved = Stage::Reserved { total: total() };
    let order = orders.record(1, 0, reserved.clone()).unwrap();
    assert_eq!((order.version, order.changed_at), (1, Timestamp(6)));
    assert_eq!(orders.record(1, 0, reserved), Ok(order), "repeated, it does nothing");
    let changed = Err(OrdersError::Changed { order_id: OrderId(1) });
    let rejecting = Stage::Rejecting { refunded: None, cause: Cause::Cancelled };
    assert_eq!(orders.record(1, 0, rejecting), changed);
    assert_eq!(orders.record(1, 1, Stage::Sold(bill())), changed, "nothing is skipped");
    let unknown = Err(OrdersError::NoSuchOrder { order_id: OrderId(9) });
    assert_eq!(orders.record(9, 0, Stage::Paid(bill())), unknown);
    orders.verify().unwrap();
}

#[test]
fn a_user_sees_the_own_orders_in_pages_newest_first() {
    let orders = Orders::new();
    for (user, key) in [(1, "a"), (2, "b"), (1, "c")] {
        orders.place(user, 1, key).unwrap();
    }
    let read = orders.0.begin_read().unwrap();
    let page = |before: Option<u64>, limit| {
        let page = page(&read, UserId(1), before.map(OrderId), limit).unwrap();
        (page.orders.iter().map(|order| order.id.0).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(page(None, 1), (vec![3], Some(OrderId(3))));
    assert_eq!(page(Some(3), 1), (vec![1], None));
    let others = order(&read, UserId(1), OrderId(2)).unwrap();
    assert_eq!(others, Err(OrdersError::NoSuchOrder { order_id: OrderId(2) }));
}

#[test]
fn every_broken_rule_is_named() {
    let damaged = |damage: fn(&WriteTransaction)| {
        let orders = Orders::new();
        orders.place(1, 1, "a").unwrap();
        orders.complete(1);
        orders.place(1, 1, "b").unwrap();
        assert_eq!(orders.verify().unwrap().completed.len(), 1);
        orders.change(damage);
        orders.verify().unwrap_err().to_string()
    };
    for (damage, words) in [
        (
            (|transaction| {
                transaction.open_table(UNFINISHED).unwrap().remove(2).unwrap();
            }) as fn(&WriteTransaction),
            "order 2 is not where it belongs",
        ),
        (
            |transaction| {
                drop(transaction.open_table(STEPS).unwrap().remove((1, 2)).unwrap());
            },
            "stage 3 of order 1 does not follow",
        ),
        (
            |transaction| {
                drop(transaction.open_table(STEPS).unwrap().remove((1, 4)).unwrap());
            },
            "stage 4 of order 1 does not follow",
        ),
        (
            |transaction| {
                transaction.open_table(BY_USER).unwrap().insert((3, 9), ()).unwrap();
            },
            "name orders that do not exist",
        ),
        (
            |transaction| {
                transaction.open_table(ORDERS).unwrap().insert(1, &[][..]).unwrap();
            },
            "could not be read",
        ),
    ] {
        let error = damaged(damage);
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn orders_and_stock_are_compared() {
    let orders = Orders::new();
    orders.place(1, 1, "a").unwrap();
    orders.complete(1);
    orders.place(1, 1, "b").unwrap();
    let report = orders.verify().unwrap();
    let mut catalog = shop_catalog::CatalogReport::default();
    let missing = report.check_stock(&catalog);
    assert!(matches!(missing, Err(VerifyError::NotSold { order_id: OrderId(1) })), "{missing:?}");
    catalog.sold.insert(OrderId(1), total());
    catalog.held.insert(OrderId(2), total());
    report.check_stock(&catalog).unwrap();
    catalog.held.insert(OrderId(3), total());
    let surplus = report.check_stock(&catalog);
    assert!(
        matches!(surplus, Err(VerifyError::NotReleased { order_id: OrderId(3) })),
        "{surplus:?}"
    );
}
