//! A customer who pays, takes back and orders, and who keeps what was acknowledged.
//!
//! What was asked and not answered is asked again, under the same key, also of the next program: so in the
//! end each deed is done once. [`check_files`] holds what was acknowledged against the shop's files.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    path::Path,
};

use serde_json::{Value, json};
use shop_billing::{Cents, Currency, IdempotencyKey, Journal, Kind, Receipt, Sequence, UserId};
use shop_orders::{OrderId, OrdersReport};

use crate::http::{Client, Response};

/// What is sold: `catalog.items`. There is little of the bench, so that some orders are refused.
pub(crate) const ITEMS: &str = r#"[
    { sku = "tea", name = "Tea", stock = 1000000, price = { cents = 790, currency = "EUR" } },
    { sku = "honey", name = "Honey", stock = 1000000, price = { cents = 1250, currency = "EUR" } },
    { sku = "bench", name = "Bench", stock = 5, price = { cents = 24900, currency = "EUR" } },
]"#;

/// One user with what was acknowledged.
pub(crate) struct Customer {
    pub(crate) user_id: UserId,
    pub(crate) bearer: String,
    pub(crate) payments: Vec<Receipt>,
    pub(crate) refunds: Vec<Receipt>,
    pub(crate) orders: Vec<OrderId>,
    /// Clean 503s.
    pub(crate) refused: u64,
}

/// The next thing to do. What it is depends on what was acknowledged alone: asked again, it is the same.
enum Deed {
    Pay,
    Refund(Receipt),
    Order,
}

impl Customer {
    /// Registers and logs in.
    pub(crate) fn new(address: SocketAddr, name: &str) -> Customer {
        let mut client = Client::connect(address);
        let credentials = credentials(name);
        let registered = client.post("/register", &[], &credentials);
        assert_eq!(registered.status, 201, "{registered:?}");
        let session = client.post("/login", &[], &credentials).json();
        Customer {
            user_id: UserId(session["user_id"].as_u64().expect("an id")),
            bearer: format!("Bearer {}", session["token"].as_str().expect("a token")),
            payments: Vec::new(),
            refunds: Vec::new(),
            orders: Vec::new(),
            refused: 0,
        }
    }

    fn next(&self) -> Deed {
        let done = self.payments.len() + self.refunds.len() + self.orders.len();
        match (done % 5, self.payments.last()) {
            (1 | 3, _) => Deed::Order,
            (4, Some(payment)) => Deed::Refund(payment.clone()),
            _ => Deed::Pay,
        }
    }

    /// Does the next deed, or the last one again if nobody knows what became of it; `None` when the
    /// connection breaks. A clean 503 is asked again.
    pub(crate) fn act(&mut self, client: &mut Client) -> Option<()> {
        match self.next() {
            Deed::Pay => {
                let cents = 1 + self.payments.len() as i64;
                let key = format!("payment-{}", self.payments.len());
                let body = json!({ "amount": cents });
                let answer = self.insist(client, "/payments", &key, &body, 200)?;
                self.payments.push(self.receipt(&answer, cents, &key)?);
            }
            Deed::Refund(payment) => {
                let key = format!("refund-{}", self.refunds.len());
                let path = format!("/payments/{}/refunds", payment.sequence);
                let answer = self.insist(client, &path, &key, &json!({ "amount": 1 }), 200)?;
                self.refunds.push(self.receipt(&answer, 1, &key)?);
            }
            Deed::Order => {
                let number = self.orders.len();
                let key = format!("order-of-mine-{number}");
                let mut lines = vec![json!({ "sku": "tea", "quantity": 1 + number % 3 })];
                if number % 2 == 1 {
                    lines.push(json!({ "sku": "honey", "quantity": 1 }));
                }
                if number % 7 == 3 {
                    lines.push(json!({ "sku": "bench", "quantity": 1 }));
                }
                let body = json!({ "lines": lines });
                let answer = self.insist(client, "/orders", &key, &body, 201)?;
                // An answer that was cut off is none.
                let order: Value = serde_json::from_str(&answer.body).ok()?;
                assert_eq!(order["key"].as_str(), Some(key.as_str()), "{order}");
                self.orders.push(OrderId(order["id"].as_u64().expect("a number")));
            }
        }
        Some(())
    }

    fn receipt(&self, answer: &Response, cents: i64, key: &str) -> Option<Receipt> {
        // An answer that was cut off is none.
        let receipt: Receipt = serde_json::from_str(&answer.body).ok()?;
        assert_eq!((receipt.amount.cents, receipt.key.as_str()), (Cents(cents), key));
        assert_eq!(receipt.user_id, self.user_id);
        Some(receipt)
    }

    fn insist(
        &mut self,
        client: &mut Client,
        path: &str,
        key: &str,
        body: &Value,
        success: u16,
    ) -> Option<Response> {
        let bearer = self.bearer.clone();
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        let body = body.to_string();
        loop {
            let answer = client.request("POST", path, &headers, body.as_bytes()).ok()?;
            match answer.status {
                503 => {
                    assert_clean(&answer);
                    self.refused += 1;
                }
                status if status == success => return Some(answer),
                _ => panic!("neither {success} nor 503: {answer:?}"),
            }
        }
    }

    /// Asks until each of its orders has come to an end.
    pub(crate) fn wait_for_orders(&mut self, client: &mut Client) {
        for order_id in self.orders.clone() {
            while !self.is_final(client, order_id) {}
        }
    }

    fn is_final(&self, client: &mut Client, order_id: OrderId) -> bool {
        let headers = [("authorization", self.bearer.as_str())];
        let answer = client.get(&format!("/orders/{order_id}"), &headers);
        if answer.status == 503 {
            assert_clean(&answer);
            return false;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        let stage = &answer.json()["stage"];
        ["Completed", "Rejected"].iter().any(|end| stage.get(end).is_some())
    }

    fn receipts(&self) -> impl Iterator<Item = &Receipt> {
        self.payments.iter().chain(&self.refunds)
    }

    /// By its own receipts.
    pub(crate) fn cents(&self) -> i64 {
        let sum = |receipts: &[Receipt]| receipts.iter().map(|one| one.amount.cents.0).sum::<i64>();
        sum(&self.payments) - sum(&self.refunds)
    }
}

/// A service that is not there says so, and when to ask again.
pub(crate) fn assert_clean(answer: &Response) {
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert!(answer.json()["error"].is_string(), "{answer:?}");
}

pub(crate) fn credentials(name: &str) -> String {
    json!({ "name": name, "password": "correct horse" }).to_string()
}

/// What the files of a shop hold besides what its customers know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// Payments and refunds that no customer has a receipt of, and no order asked for.
    pub(crate) movements: usize,
    pub(crate) orders: usize,
}

/// The files have all that was acknowledged, nothing of it twice; says what they have besides.
pub(crate) fn check_files(data: &Path, customers: &[Customer]) -> Unknown {
    let books = Journal::open_existing(data.join("billing.redb")).expect("the books");
    let mut found: HashMap<(UserId, IdempotencyKey), Receipt> = HashMap::new();
    for transaction in books.transactions_after(Sequence(0)).expect("the books") {
        let receipt = Receipt::from(transaction.expect("a transaction"));
        let twice = found.insert((receipt.user_id, receipt.key.clone()), receipt);
        assert_eq!(twice, None, "a key was used twice");
    }
    let receipts: Vec<&Receipt> = customers.iter().flat_map(Customer::receipts).collect();
    for receipt in &receipts {
        let of_books = found.remove(&(receipt.user_id, receipt.key.clone()));
        assert_eq!(of_books.as_ref(), Some(*receipt), "a movement was lost");
    }
    found.retain(|(_, key), _| !is_of_an_order(key));

    let orders = shop_orders::verify_file(&data.join("orders.redb")).expect("sound orders");
    let mut ids = all_orders(&orders);
    for customer in customers {
        for order_id in &customer.orders {
            assert!(ids.remove(order_id), "order {order_id} was lost, or taken twice");
        }
    }
    Unknown { movements: found.len(), orders: ids.len() }
}

fn is_of_an_order(key: &IdempotencyKey) -> bool {
    let number = |prefix| key.as_str().strip_prefix(prefix).map(str::parse::<u64>);
    ["order-", "refund-order-"].into_iter().any(|prefix| matches!(number(prefix), Some(Ok(_))))
}

fn all_orders(orders: &OrdersReport) -> BTreeSet<OrderId> {
    let ended = orders.completed.keys().chain(orders.rejected.keys());
    ended.chain(orders.unfinished.keys()).copied().collect()
}

/// Each customer's balance is what it knows of: its own movements, and its orders' that were sold.
pub(crate) fn check_balances(data: &Path, customers: &[Customer]) {
    let books = Journal::open_existing(data.join("billing.redb")).expect("the books");
    let orders = shop_orders::verify_file(&data.join("orders.redb")).expect("sound orders");
    for customer in customers {
        let sold = orders.completed.values().filter(|(user_id, _)| *user_id == customer.user_id);
        let sold: i64 = sold.map(|(_, bill)| bill.total.cents.0).sum();
        let balance = books.balances(customer.user_id).expect("the books").of(Currency::EUR);
        assert_eq!(balance, Cents(customer.cents() + sold));
        let movements = books.transactions_after(Sequence(0)).expect("the books");
        let refunds = movements.filter(|movement| {
            let movement = &movement.as_ref().expect("a transaction").movement;
            movement.user_id == customer.user_id
                && matches!(movement.kind, Kind::Refund { .. })
                && !is_of_an_order(&movement.key)
        });
        assert_eq!(refunds.count(), customer.refunds.len());
    }
}
