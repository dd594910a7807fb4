//! The kernel's kill: the program is killed 50 times in the middle of its load, and loses no payment.
//!
//! Nothing in the program hears of a SIGKILL. A client whose connection breaks does not know whether its
//! payment was made, and sends it to the next program under the same key. After each kill the books
//! are clean and have every receipt; in the end they have each payment exactly once.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

#[path = "support/http.rs"]
mod http;
#[expect(dead_code, reason = "this test ends its programs by force")]
#[path = "support/program.rs"]
mod program;

use std::{fs, net::SocketAddr, path::Path, sync::mpsc, thread};

use http::Client;
use program::{Program, shop};
use shop_billing::{BooksReport, Cents, Currency, Journal, Receipt, verify};

const KILLS: usize = 50;
const PAYERS: usize = 16;

#[test]
fn fifty_kills_lose_no_acknowledged_payment_and_double_none() {
    let directory = tempfile::tempdir().unwrap();
    let mut payers: Vec<Payer> = Vec::new();
    for life in 0..KILLS {
        let program = serve(directory.path());
        if payers.is_empty() {
            payers = (0..PAYERS).map(|number| Payer::new(program.address, number)).collect();
        }
        // Each life is of another length, from a few payments to a few batches of them.
        payers = pay_until_killed(program, payers, 1 + life * 7 % 150);
        let report = check_books(directory.path(), &payers);
        let unknown = report.transactions - count(&payers);
        assert!(unknown <= PAYERS as u64, "life {life}: {unknown} more than was sent");
    }

    // What was unknown is sent once more, and then everything is known.
    let program = serve(directory.path());
    for payer in &mut payers {
        let mut client = Client::connect(program.address);
        payer.pay(&mut client).expect("nobody kills this one");
        let balance = client.get("/balance", &[("authorization", &payer.bearer)]);
        assert_eq!(balance.json()["balances"]["EUR"].as_i64(), Some(payer.sum()));
    }
    drop(program);
    let report = check_books(directory.path(), &payers);
    println!("{KILLS} kills: {report}");
    let sum: i64 = payers.iter().map(Payer::sum).sum();
    assert_eq!(report.transactions, count(&payers));
    assert_eq!(report.total(Currency::EUR), i128::from(sum));
}

/// The program with its data below this directory, with cheap passwords and nothing to say.
fn serve(directory: &Path) -> Program {
    Program::start(
        shop(directory, &["--listen", "127.0.0.1:0"])
            .env("LINDEN__AUTH__HASH_COST", "{ memory_kib = 8, passes = 1, lanes = 1 }")
            .env("LINDEN__LOG__LEVEL", "error"),
    )
}

/// Everybody pays over a connection of its own; the kill comes after so many receipts.
fn pay_until_killed(program: Program, payers: Vec<Payer>, receipts: usize) -> Vec<Payer> {
    let (paid, all_paid) = mpsc::channel();
    let payers = payers.into_iter().map(|mut payer| {
        let (paid, mut client) = (paid.clone(), Client::connect(program.address));
        thread::spawn(move || {
            while payer.pay(&mut client).is_some() {
                let _ = paid.send(());
            }
            payer
        })
    });
    let payers: Vec<_> = payers.collect();
    assert_eq!(all_paid.iter().take(receipts).count(), receipts);
    // A program that is dropped is killed.
    drop(program);
    payers.into_iter().map(|payer| payer.join().unwrap()).collect()
}

/// One user, over all lives of the program.
struct Payer {
    bearer: String,
    receipts: Vec<Receipt>,
}

impl Payer {
    fn new(address: SocketAddr, number: usize) -> Payer {
        let mut client = Client::connect(address);
        let credentials = format!("{{\"name\":\"payer-{number}\",\"password\":\"correct horse\"}}");
        assert_eq!(client.post("/register", &[], &credentials).status, 201);
        let logged_in = client.post("/login", &[], &credentials).json();
        let bearer = format!("Bearer {}", logged_in["token"].as_str().unwrap());
        Payer { bearer, receipts: Vec::new() }
    }

    /// Makes the next payment, or the last one again if nobody knows what became of it; `None` when
    /// that is so again.
    fn pay(&mut self, client: &mut Client) -> Option<()> {
        let number = self.receipts.len();
        let (key, cents) = (format!("payment-{number}"), 1 + number as i64);
        let headers = [("authorization", self.bearer.as_str()), ("idempotency-key", key.as_str())];
        let body = format!("{{\"amount\":{cents}}}");
        let response = client.request("POST", "/payments", &headers, body.as_bytes()).ok()?;
        assert_eq!(response.status, 200, "{response:?}");
        // An answer that was cut off is none.
        let receipt: Receipt = serde_json::from_str(&response.body).ok()?;
        assert_eq!((receipt.amount.cents, receipt.key.as_str()), (Cents(cents), key.as_str()));
        self.receipts.push(receipt);
        Some(())
    }

    fn sum(&self) -> i64 {
        self.receipts.iter().map(|receipt| receipt.amount.cents.0).sum()
    }
}

fn count(payers: &[Payer]) -> u64 {
    payers.iter().map(|payer| payer.receipts.len() as u64).sum()
}

/// The books are clean and have every receipt. Looks at a copy: the next program finds the file as the
/// kill has left it.
fn check_books(directory: &Path, payers: &[Payer]) -> BooksReport {
    let copy = directory.join("copy.redb");
    fs::copy(directory.join("data/billing.redb"), &copy).unwrap();
    let journal = Journal::open_existing(copy).unwrap();
    for receipt in payers.iter().flat_map(|payer| &payer.receipts) {
        let found = journal.receipt(receipt.user_id, &receipt.key, receipt.recorded_at).unwrap();
        assert_eq!(found.as_ref(), Some(receipt));
    }
    verify(&journal).unwrap()
}
