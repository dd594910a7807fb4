//! Orders end to end: real catalog, real notifications, real files, and a till that takes payments as
//! a script says. Whatever crashes, in the end the files are sound and the till's books fit them.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

mod till;

use std::sync::Arc;

use linden::{Booted, NodeBuilder, prelude::*};
use shop_catalog::{CatalogApp, CatalogService, Line, Lines, OrderId, Sku};
use shop_notifications::{
    Kind, NotificationsApp, NotificationsService, Subscription, Topic, Update, UserId,
};
use shop_orders::{
    Cause, IdempotencyKey, Order, OrdersConfig, OrdersError, OrdersService, Stage, tree,
};
use tempfile::TempDir;
use till::{Books, Deed, TillApp, TillPayments};

const USER: UserId = UserId(1);
/// Crashes of the storm.
const KILLS: u64 = 200;

/// The application under test, with the till in place of billing.
struct Orders;

impl Application for Orders {
    const NAME: &'static str = "orders";
    const DEPENDS_ON: &'static [&'static str] = &["till", "catalog", "notifications"];
    type Config = OrdersConfig;

    fn start(&self, config: OrdersConfig) -> Result<Supervisor, BoxError> {
        tree(config, Arc::new(TillPayments))
    }
}

/// The files of a shop and the till's books: what outlives a node.
struct Shop {
    directory: TempDir,
    books: Arc<Books>,
    settings: Vec<(&'static str, &'static str, &'static str)>,
}

impl Shop {
    fn new() -> Shop {
        let settings = vec![
            ("orders", "retry", r#"{ tries_max = 100000, pause_min = "1ms", pause_max = "2ms" }"#),
            ("orders", "revive_every", "5ms"),
        ];
        Shop { directory: tempfile::tempdir().unwrap(), books: Arc::default(), settings }
    }

    fn with(mut self, table: &'static str, key: &'static str, value: &'static str) -> Shop {
        self.settings.push((table, key, value));
        self
    }

    /// A node on the files.
    fn boot(&self) -> Booted {
        let pens = r#"[{ sku = "pen", name = "Pen", stock = 100,
                         price = { cents = 250, currency = "EUR" } }]"#;
        let mut node = NodeBuilder::new()
            .foreign_logging()
            .application(TillApp(self.books.clone()))
            .application(CatalogApp)
            .application(NotificationsApp)
            .application(Orders)
            .set("catalog", "items", pens.replace('\n', " "));
        for name in ["catalog", "notifications", "orders"] {
            let path = self.directory.path().join(name).with_extension("redb");
            node = node.set(name, "path", path.display()).set(name, "restarts_max", "100000");
        }
        for &(table, key, value) in &self.settings {
            node = node.set(table, key, value);
        }
        linden::block_on(node.boot()).unwrap()
    }

    /// Runs the test on a node, stops that, and checks the files.
    fn run<F: Future<Output = ()>>(&self, test: impl FnOnce(Node) -> F) {
        let booted = self.boot();
        let node = booted.node.clone();
        booted.node.block_on(test(node));
        linden::block_on(booted.stop()).unwrap();
        self.verify();
    }

    /// Every file is sound, and they fit together and the till's books: nobody has paid for nothing
    /// or got something for nothing.
    fn verify(&self) {
        let path = |name: &str| self.directory.path().join(name).with_extension("redb");
        let orders = shop_orders::verify_file(&path("orders")).unwrap();
        let catalog = shop_catalog::verify_file(&path("catalog")).unwrap();
        let inboxes = shop_notifications::verify_file(&path("notifications")).unwrap();
        orders.check_stock(&catalog).unwrap();
        for (&order_id, (_, bill)) in &orders.completed {
            assert_eq!(self.books.account(order_id), (Some(bill.total), None), "{order_id}");
            assert_eq!(inboxes.last_news[&order_id], Kind::Completed);
        }
        for (&order_id, (_, refunded)) in &orders.rejected {
            let refunded = refunded.map(|bill| bill.total);
            assert_eq!(self.books.account(order_id), (refunded, refunded), "{order_id}");
            assert_eq!(inboxes.last_news[&order_id], Kind::Rejected);
        }
    }
}

fn pens(quantity: u32) -> Lines {
    Lines::new(vec![Line { sku: Sku::new("pen").unwrap(), quantity }]).unwrap()
}

fn key(key: &str) -> IdempotencyKey {
    IdempotencyKey::new(key).unwrap()
}

/// Asks until the service answers.
async fn insist<T, F: Future<Output = Result<T, CallError>>>(call: impl Fn() -> F) -> T {
    loop {
        match call().await {
            // A process that only asks keeps its worker from those it waits for.
            Err(CallError::NoProc | CallError::Exited(_)) => {
                Task::spawn_unlinked(async {}).await.unwrap();
            }
            answer => break answer.unwrap(),
        }
    }
}

async fn place(pieces: u32, name: &str) -> Order {
    let place = |key| async move { OrdersService::named().place(USER, pens(pieces), key).await };
    insist(|| place(key(name))).await.unwrap()
}

async fn order(order_id: OrderId) -> Order {
    insist(|| async move { OrdersService::named().order(USER, order_id).await }).await.unwrap()
}

/// The stage that the order ends at.
async fn end_of(order_id: OrderId) -> Stage {
    loop {
        let order = order(order_id).await;
        if order.stage.is_final() {
            break order.stage;
        }
    }
}

async fn until_stage(order_id: OrderId, name: &str) {
    while order(order_id).await.stage.name() != name {}
}

async fn on_hand() -> u64 {
    let item = || async { CatalogService::named().item(Sku::new("pen").unwrap()).await };
    insist(item).await.unwrap().stock.on_hand
}

/// Why the order came to nothing, and whether it was refunded.
async fn rejection(order_id: OrderId) -> (Cause, bool) {
    match end_of(order_id).await {
        Stage::Rejected { cause, refunded } => (cause, refunded.is_some()),
        other => panic!("not rejected: {other:?}"),
    }
}

#[test]
fn an_order_is_reserved_paid_sold_and_told_to_whoever_looks_on() {
    Shop::new().run(|_| async {
        let mut news = Subscription::open(Topic::User(USER)).await.unwrap().unwrap();
        let order = place(4, "a").await;
        assert_eq!((order.id, order.stage), (OrderId(1), Stage::Placed));
        for expected in [Kind::Reserved, Kind::Paid, Kind::Completed] {
            match news.next().await.unwrap() {
                Update::Notice(notice) => assert_eq!(notice.kind, expected),
                Update::Lagged(missed) => panic!("{missed} missed"),
            }
        }
        assert!(matches!(end_of(OrderId(1)).await, Stage::Completed(_)));
        assert_eq!(on_hand().await, 96);
        let inbox = NotificationsService::named().inbox(USER, None, 10).await.unwrap().unwrap();
        let texts: Vec<_> = inbox.messages.iter().map(|message| &message.notice.text).collect();
        assert_eq!(texts, ["order 1 is paid, 10.00 EUR, and on its way"]);
    });
}

#[test]
fn a_repeated_order_is_the_same_one_and_others_do_not_see_it() {
    Shop::new().run(|_| async {
        let orders = OrdersService::named();
        let first = place(1, "a").await;
        end_of(first.id).await;
        let again = place(1, "a").await;
        assert_eq!(again.id, first.id);
        let reuse = orders.place(USER, pens(2), key("a")).await.unwrap();
        assert_eq!(reuse, Err(OrdersError::KeyReuse { key: key("a") }));
        let page = orders.orders_of(USER, None, 10).await.unwrap().unwrap();
        assert_eq!((page.orders.len(), page.next), (1, None));
        let other = orders.order(UserId(2), first.id).await.unwrap();
        assert_eq!(other, Err(OrdersError::NoSuchOrder { order_id: first.id }));
        assert_eq!(on_hand().await, 99);
    });
}

#[test]
fn what_cannot_be_reserved_or_paid_is_rejected_and_undone() {
    let shop = Shop::new();
    shop.run(|_| async {
        let too_many = place(101, "a").await;
        let (cause, refunded) = rejection(too_many.id).await;
        assert_eq!((cause, refunded), (Cause::OutOfStock { sku: Sku::new("pen").unwrap() }, false));

        let zebras = Line { sku: Sku::new("zebra").unwrap(), quantity: 1 };
        let zebras = Lines::new(vec![zebras]).unwrap();
        let zebras = OrdersService::named().place(USER, zebras, key("b")).await.unwrap().unwrap();
        let (cause, _) = rejection(zebras.id).await;
        assert_eq!(cause, Cause::NotSold { reason: "the shop does not sell zebra".to_owned() });

        shop.books.script([Deed::Refuse]);
        let unpaid = place(3, "c").await;
        let (cause, refunded) = rejection(unpaid.id).await;
        let reason = "no credit".to_owned();
        assert_eq!((cause, refunded), (Cause::PaymentRefused { reason }, false));
        assert_eq!(on_hand().await, 100);
    });
}

#[test]
fn what_expires_before_it_is_sold_is_refunded() {
    let shop = Shop::new().with("catalog", "reservation_ttl", "0s");
    shop.run(|_| async {
        let late = place(3, "a").await;
        assert_eq!(rejection(late.id).await, (Cause::Expired, true));
        assert_eq!(on_hand().await, 100);
    });
}

#[test]
fn a_refund_that_is_refused_is_made_when_it_is_no_longer() {
    let shop = Shop::new().with("catalog", "reservation_ttl", "0s");
    shop.run(|_| async {
        shop.books.refund_nothing(true);
        let late = place(3, "a").await;
        until_stage(late.id, "refunding").await;
        shop.books.refund_nothing(false);
        assert_eq!(rejection(late.id).await, (Cause::Expired, true));
        assert_eq!(on_hand().await, 100);
    });
}

#[test]
fn an_order_that_cannot_be_paid_for_too_long_is_given_up() {
    let shop = Shop::new().with(
        "orders",
        "retry",
        r#"{ tries_max = 3, pause_min = "1ms", pause_max = "2ms" }"#,
    );
    shop.run(|_| async {
        shop.books.close();
        let order = place(3, "a").await;
        until_stage(order.id, "settling").await;
        shop.books.open();
        let step = "take the payment".to_owned();
        assert_eq!(rejection(order.id).await, (Cause::Unavailable { step }, true));
        assert_eq!(on_hand().await, 100);
    });
}

#[test]
fn an_order_is_cancelled_until_it_is_sold() {
    let shop = Shop::new();
    shop.run(|_| async {
        let orders = OrdersService::named();
        shop.books.close();
        let order = place(3, "a").await;
        until_stage(order.id, "reserved").await;
        let strange = orders.cancel(UserId(2), order.id).await.unwrap();
        assert_eq!(strange, Err(OrdersError::NoSuchOrder { order_id: order.id }));
        let cancelled = orders.cancel(USER, order.id).await.unwrap().unwrap();
        assert!(matches!(cancelled.stage.name(), "settling" | "releasing"), "{cancelled:?}");
        let twice = orders.cancel(USER, order.id).await.unwrap();
        assert_eq!(twice, Err(OrdersError::TooLate { order_id: order.id }));
        shop.books.open();
        assert_eq!(rejection(order.id).await.0, Cause::Cancelled);
        assert_eq!(on_hand().await, 100);

        let sold = place(1, "b").await;
        end_of(sold.id).await;
        let late = orders.cancel(USER, sold.id).await.unwrap();
        assert_eq!(late, Err(OrdersError::TooLate { order_id: sold.id }));
    });
}

#[test]
fn orders_on_their_way_are_bounded() {
    let shop = Shop::new().with("orders", "running_max", "1");
    shop.run(|_| async {
        shop.books.close();
        let first = place(1, "a").await;
        let refused = OrdersService::named().place(USER, pens(1), key("b")).await.unwrap();
        assert_eq!(refused, Err(OrdersError::TooManyRunning { running_max: 1 }));
        shop.books.open();
        end_of(first.id).await;
        end_of(place(1, "b").await.id).await;
    });
}

#[test]
fn a_service_that_crashes_in_the_middle_of_a_payment_changes_nothing() {
    let shop = Shop::new();
    shop.run(|_| async {
        let services = ["catalog_service", "notifications_service", "orders_service", "till"];
        let mut count = 0;
        for victim in services.into_iter().chain(["order_processes", "the order"]) {
            for deed in [Deed::KillBefore, Deed::KillAfter] {
                count += 1;
                shop.books.script([deed(victim)]);
                let order = place(1, &format!("order-{count}")).await;
                let end = end_of(order.id).await;
                assert!(matches!(end, Stage::Completed(_)), "{victim} {end:?}");
            }
        }
        assert_eq!(on_hand().await, 100 - count);
    });
}

/// Kills everybody once after each of the steps that are told, and gives the ends of the orders.
async fn killed_after(node: &Node, steps: &[Kind]) -> Vec<Stage> {
    let services = ["catalog_service", "notifications_service", "orders_service", "till"];
    let mut ends = Vec::new();
    for victim in services.into_iter().chain(["order_processes", "the order"]) {
        for &step in steps {
            let mut news = subscribed().await;
            let order = place(1, &format!("{victim}-{step:?}").replace(' ', "-")).await;
            while !matches!(news.next().await.unwrap(), Update::Notice(news) if news.kind == step) {
            }
            let name = victim.replace("the order", &format!("order_{}", order.id));
            if let Some(pid) = node.whereis(&name) {
                node.exit(pid, Reason::Kill);
                node.wait_exit(pid).await;
            }
            ends.push(end_of(order.id).await);
        }
    }
    ends
}

async fn subscribed() -> Subscription {
    insist(|| Subscription::open(Topic::User(USER))).await.unwrap()
}

#[test]
fn a_crash_after_any_step_changes_nothing() {
    Shop::new().run(|node| async move {
        let ends = killed_after(&node, &[Kind::Reserved, Kind::Paid, Kind::Completed]).await;
        assert_eq!(ends.len(), 18);
        assert!(ends.iter().all(|end| matches!(end, Stage::Completed(_))), "{ends:?}");
        assert_eq!(on_hand().await, 82);
    });
}

#[test]
fn a_crash_while_an_order_is_undone_changes_nothing() {
    let shop = Shop::new().with("catalog", "reservation_ttl", "0s");
    shop.run(|node| async move {
        let ends = killed_after(&node, &[Kind::Paid, Kind::Undoing, Kind::Rejected]).await;
        for end in ends {
            let Stage::Rejected { refunded, cause } = end else { panic!("not rejected: {end:?}") };
            assert_eq!((refunded.is_some(), cause), (true, Cause::Expired));
        }
        assert_eq!(on_hand().await, 100);
    });
}

#[test]
fn a_lost_answer_does_not_make_a_second_payment() {
    let shop = Shop::new();
    shop.run(|_| async {
        shop.books.script([Deed::LoseAnswer, Deed::LoseRequest, Deed::LoseAnswer]);
        let order = place(1, "a").await;
        assert!(matches!(end_of(order.id).await, Stage::Completed(_)));
        assert_eq!(shop.books.payments(), 1);
    });
}

#[test]
fn an_order_goes_on_when_its_node_is_started_again() {
    let shop = Shop::new();
    let booted = shop.boot();
    shop.books.close();
    let order = booted.node.block_on(async {
        let order = place(5, "a").await;
        until_stage(order.id, "reserved").await;
        order
    });
    linden::block_on(booted.stop()).unwrap();
    shop.verify();
    shop.books.open();
    shop.run(|_| async move {
        assert!(matches!(end_of(order.id).await, Stage::Completed(_)));
        assert_eq!(on_hand().await, 95);
    });
}

/// 60 orders for 180 of 100 pens, while everybody crashes again and again.
#[test]
fn many_orders_survive_a_storm_of_crashes_and_never_oversell() {
    let shop = Shop::new();
    shop.run(|node| async move {
        let orders = (0..60).map(|number| {
            Task::spawn_unlinked(async move {
                let order = place(3, &format!("order-{number}")).await;
                end_of(order.id).await
            })
        });
        let orders: Vec<_> = orders.collect();
        let storm = Task::spawn_unlinked(storm(node));
        let ends = Task::await_many(orders).await;
        storm.await.unwrap();
        let completed = ends.iter().filter(|end| matches!(end, Ok(Stage::Completed(_)))).count();
        assert_eq!(ends.iter().filter(|end| end.is_err()).count(), 0);
        assert_eq!(completed, 33, "100 pens are 33 times 3");
        assert_eq!(on_hand().await, 1);
    });
}

/// Kills one after the other, and an order with each, and lets some work be done in between.
async fn storm(node: Node) {
    let services = ["catalog_service", "orders_service", "notifications_service", "till"];
    for (round, victim) in (1..=KILLS).zip(services.into_iter().cycle()) {
        if let Some(pid) = node.whereis(victim) {
            node.exit(pid, Reason::Kill);
            node.wait_exit(pid).await;
        }
        if let Some(pid) = node.whereis(&format!("order_{}", round % 60 + 1)) {
            node.exit(pid, Reason::Kill);
        }
        // An order that nobody placed: it keeps the disk busy and holds nothing.
        let nobodys = OrderId(1_000_000 + round);
        insist(|| async move { CatalogService::named().release(nobodys).await }).await.unwrap();
    }
}

#[test]
fn the_configuration_is_read_with_its_defaults() {
    let read = |env: &[(&str, &str)]| {
        let env =
            env.iter().map(|(key, value)| (format!("LINDEN__ORDERS__{key}"), (*value).into()));
        linden::config::Config::load(None, env).unwrap().section::<OrdersConfig>("orders")
    };
    let plain = read(&[]).unwrap();
    assert_eq!(plain.path.to_str(), Some("data/orders.redb"));
    assert_eq!((plain.running_max, plain.retry.tries_max), (1_000, 10));
    let set = read(&[("RETRY__TRIES_MAX", "3"), ("REVIVE_EVERY", "2s")]).unwrap();
    assert_eq!((set.retry.tries_max, set.revive_every.as_secs()), (3, 2));
    assert_eq!(set.retry.pause_min.as_millis(), 20);
    assert!(read(&[("RETRY__TRIES", "3")]).is_err());
}
