//! Crash-only payments: 64 connections pay while the billing service is crashed a thousand times.
//!
//! Every crash happens with payments in flight, for the service crashes only then. A client that
//! gets a 503 sends the payment again under the same key until it has a receipt. Afterwards the
//! journal has each payment exactly once, and nobody but the payers has noticed anything.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

#[path = "support/http.rs"]
mod http;
#[path = "support/shop.rs"]
mod shop;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

use http::{Client, Response};
use linden::{CallError, Node, Reason};
use shop::Shop;
use shop_auth::{AuthService, UserId};
use shop_billing::{
    BillingService, Cents, Currency, Fault, Journal, Part, Receipt, Sequence, verify,
};
use tempfile::TempDir;

const CONNECTIONS: u64 = 64;
const CRASHES: u32 = 1000;
/// Payments between two crashes.
const RECEIPTS_PER_CRASH: usize = 64;

#[test]
fn a_thousand_crashes_lose_no_payment_double_none_and_hurt_nobody_else() {
    let shop = Shop::boot(&[
        ("billing", "chaos", "true"),
        ("billing", "restarts_max", "1000000"),
        ("billing", "restarts_within", "1s"),
    ]);
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    let (paid, receipts) = mpsc::channel();
    let (node, address) = (&shop.node, shop.address);
    let mut payers = thread::scope(|scope| {
        let payers: Vec<_> = (1..=CONNECTIONS)
            .map(|number| {
                let payer = Payer::new(address, number);
                let (paid, stop) = (paid.clone(), &stop);
                scope.spawn(move || payer.run(stop, &paid))
            })
            .collect();
        let (verify, verify_turns) = mpsc::channel();
        let (health, health_turns) = mpsc::channel();
        let (file, file_turns) = mpsc::channel();
        let bystanders = [
            scope.spawn(|| verify_tokens(node, address, verify_turns)),
            scope.spawn(|| ask_for_health(address, health_turns)),
            scope.spawn(|| ingest(address, file_turns)),
        ];
        let turns = [verify, health, file];
        for _ in 0..CRASHES {
            receipts.iter().take(RECEIPTS_PER_CRASH).for_each(drop);
            turns.iter().for_each(|turn| turn.send(()).unwrap());
            crash(node);
            receipts.try_iter().for_each(drop);
        }
        stop.store(true, Ordering::Relaxed);
        drop(turns);
        bystanders.into_iter().for_each(|bystander| bystander.join().unwrap());
        payers.into_iter().map(|payer| payer.join().unwrap()).collect::<Vec<_>>()
    });
    let seconds = began.elapsed().as_secs_f64();

    let good: usize = payers.iter().map(|payer| payer.receipts.len()).sum();
    let refused: u64 = payers.iter().map(|payer| payer.refused).sum();
    println!(
        "{CRASHES} crashes in {seconds:.1} s: {good} times 200, {refused} times 503, {:.0} /s",
        good as f64 / seconds
    );
    let share = good as f64 / (good as f64 + refused as f64);
    assert!(share >= 0.95, "only {:.2} % of the responses are 2xx", share * 100.0);
    payers.iter_mut().for_each(Payer::check_balance);
    check_books(shop.stop(), &payers);
}

/// Crashes the service once; returns when it has crashed.
fn crash(node: &Node) {
    let billing = BillingService::named_on(node);
    loop {
        match node.block_on(billing.inflict(Part::Service, Fault::CrashInFlight)) {
            Err(CallError::Exited(Reason::Panic(panic))) => {
                assert_eq!(panic.message, "a crash was asked for");
                return;
            }
            // Between the last crash and the restart there is nobody to be asked.
            Err(CallError::NoProc) => thread::yield_now(),
            other => panic!("the service did not crash as asked: {other:?}"),
        }
    }
}

/// One user with one connection.
struct Payer {
    client: Client,
    user_id: UserId,
    bearer: String,
    receipts: Vec<Receipt>,
    /// Clean 503s.
    refused: u64,
}

impl Payer {
    fn new(address: SocketAddr, number: u64) -> Payer {
        let mut client = Client::connect(address);
        let (user_id, bearer) = shop::log_in(&mut client, &format!("payer-{number}"));
        Payer { client, user_id, bearer, receipts: Vec::new(), refused: 0 }
    }

    fn run(mut self, stop: &AtomicBool, paid: &mpsc::Sender<()>) -> Payer {
        while !stop.load(Ordering::Relaxed) {
            let amount = Cents(1 + self.receipts.len() as i64);
            let key = format!("{}-{}", self.user_id, self.receipts.len());
            let receipt = self.pay(amount, &key);
            let euros = amount.of(Currency::EUR);
            assert_eq!((receipt.user_id, receipt.amount), (self.user_id, euros));
            assert_eq!(receipt.key.as_str(), key);
            self.receipts.push(receipt);
            let _ = paid.send(());
        }
        self
    }

    /// Pays until there is a receipt.
    fn pay(&mut self, amount: Cents, key: &str) -> Receipt {
        let headers = [("authorization", self.bearer.as_str()), ("idempotency-key", key)];
        let body = format!("{{\"amount\":{}}}", amount.0);
        loop {
            let response = self.client.post("/payments", &headers, &body);
            match response.status {
                200 => return serde_json::from_str(&response.body).unwrap(),
                503 => {
                    assert_clean(&response);
                    self.refused += 1;
                }
                _ => panic!("neither 200 nor 503: {response:?}"),
            }
        }
    }

    fn sum(&self) -> Cents {
        Cents(self.receipts.iter().map(|receipt| receipt.amount.cents.0).sum())
    }

    fn check_balance(&mut self) {
        let balance = self.client.get("/balance", &[("authorization", &self.bearer)]);
        let euros = balance.json()["balances"]["EUR"].as_i64();
        assert_eq!((balance.status, euros), (200, Some(self.sum().0)));
    }
}

fn assert_clean(response: &Response) {
    assert_eq!(response.header("retry-after"), Some("1"), "{response:?}");
    assert!(response.json()["error"].is_string(), "{response:?}");
}

/// The journal of the stopped shop has every receipt, and nothing else.
fn check_books(data: TempDir, payers: &[Payer]) {
    let journal = Journal::open(data.path().join("billing.redb")).unwrap();
    let report = verify(&journal).unwrap();
    let total: i128 = payers.iter().map(|payer| i128::from(payer.sum().0)).sum();
    let receipts: HashMap<Sequence, &Receipt> = payers
        .iter()
        .flat_map(|payer| &payer.receipts)
        .map(|receipt| (receipt.sequence, receipt))
        .collect();
    let count: usize = payers.iter().map(|payer| payer.receipts.len()).sum();
    assert_eq!(receipts.len(), count, "two payments have one receipt");
    assert_eq!((report.transactions, report.total(Currency::EUR)), (count as u64, total));
    for transaction in journal.transactions_after(Sequence(0)).unwrap() {
        let receipt = Receipt::from(transaction.unwrap());
        assert_eq!(receipts.get(&receipt.sequence), Some(&&receipt));
    }
}

// The bystanders: at each crash each asks once, and always gets its answer.

fn verify_tokens(node: &Node, address: SocketAddr, turns: mpsc::Receiver<()>) {
    let (user_id, bearer) = shop::log_in(&mut Client::connect(address), "bystander");
    let token = bearer.trim_start_matches("Bearer ").to_owned();
    let auth = AuthService::named_on(node);
    for () in turns {
        let verified = node.block_on(auth.verify_token(token.clone()));
        assert_eq!(verified, Ok(Ok(user_id)));
    }
}

fn ask_for_health(address: SocketAddr, turns: mpsc::Receiver<()>) {
    let mut client = Client::connect(address);
    for () in turns {
        assert_eq!(client.get("/healthz", &[]).status, 200);
    }
}

fn ingest(address: SocketAddr, turns: mpsc::Receiver<()>) {
    let mut client = Client::connect(address);
    let (_, bearer) = shop::log_in(&mut client, "uploader");
    let rows: String = (0..1_000).map(|n| format!("{},{n}\n", n % 7)).collect();
    let csv = format!("day,amount\n{rows}");
    for () in turns {
        let response =
            client.post("/ingest?key=day&value=amount", &[("authorization", &bearer)], &csv);
        assert_eq!((response.status, response.json()["rows"].as_u64()), (200, Some(1_000)));
    }
}
