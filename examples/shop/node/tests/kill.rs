//! The kernel's kill: the program is killed in the middle of its load, and loses nothing that it acknowledged.
//!
//! Nothing in the program hears of a SIGKILL. A customer whose connection breaks does not know whether its
//! payment, refund or order was taken, and sends it to the next program under the same key. After each kill
//! `shop verify` finds nothing, and the files have all that was acknowledged; in the end they have each deed
//! exactly once. On a volatile medium a kill takes what was not synced with it, as a power cut would.
//!
//! `KILLS=50` sets how often; `cargo xtask crash` runs the whole.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

#[path = "support/customer.rs"]
mod customer;
#[path = "support/http.rs"]
mod http;
#[allow(dead_code, reason = "this test reads no log")]
#[path = "support/program.rs"]
mod program;

use std::{env, fs, path::Path, sync::mpsc, thread};

use customer::{Customer, ITEMS, Unknown, check_balances, check_files, credentials};
use http::Client;
use program::{Program, run, shop};

/// Kills of each test unless `KILLS` says otherwise.
const KILLS: usize = 10;
const CUSTOMERS: usize = 12;
/// Applications that keep something.
const STORES: [&str; 5] = ["auth", "billing", "catalog", "notifications", "orders"];

#[test]
fn kills_lose_nothing_that_was_acknowledged_and_double_nothing() {
    survive("disk");
}

#[test]
fn kills_that_take_unsynced_writes_with_them_lose_nothing_that_was_acknowledged() {
    survive("volatile");
}

fn survive(medium: &'static str) {
    let kills = env::var("KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let shop = Shop { directory: directory.path(), medium };
    let (mut customers, mut newcomers) = (Vec::new(), Vec::new());
    let mut unfinished = 0;
    for life in 0..kills {
        let program = shop.serve();
        if customers.is_empty() {
            let name = |number| format!("customer-{number}");
            customers = (0..CUSTOMERS)
                .map(|number| Customer::new(program.address, &name(number)))
                .collect();
        }
        // Each life is of another length, from a few deeds to a few batches of them.
        let deeds = 1 + life * 7 % 150;
        (customers, newcomers) = act_until_killed(program, customers, newcomers, deeds);
        let unknown = shop.check(&customers, newcomers.len());
        assert!(unknown.movements + unknown.orders <= CUSTOMERS, "life {life}: {unknown:?}");
        unfinished += shop.orders_on_their_way();
    }
    assert!(kills < KILLS || unfinished > 0, "no kill met an order on its way");

    // What was unknown is sent once more, and then everything is known.
    let program = shop.serve();
    for customer in &mut customers {
        let mut client = Client::connect(program.address);
        customer.act(&mut client).expect("nobody kills this one");
        customer.wait_for_orders(&mut client);
    }
    for name in &newcomers {
        let answer = Client::connect(program.address).post("/login", &[], &credentials(name));
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
    }
    program.terminate();
    assert_eq!(program.ended().code, Some(0));
    assert_eq!(shop.check(&customers, newcomers.len()), Unknown::default());
    assert_eq!(shop.orders_on_their_way(), 0);
    check_balances(&directory.path().join("data"), &customers);
    let count = |what: fn(&Customer) -> usize| customers.iter().map(what).sum::<usize>();
    println!(
        "{kills} kills on {medium}: {} payments, {} refunds, {} orders, {} accounts acknowledged; \
         {unfinished} orders were on their way",
        count(|customer| customer.payments.len()),
        count(|customer| customer.refunds.len()),
        count(|customer| customer.orders.len()),
        newcomers.len() + CUSTOMERS,
    );
}

struct Shop<'d> {
    directory: &'d Path,
    medium: &'static str,
}

impl Shop<'_> {
    /// The program with its data below the directory, with cheap passwords and nothing to say.
    fn serve(&self) -> Program {
        let mut command = shop(self.directory, &["--listen", "127.0.0.1:0"]);
        command
            .env("LINDEN__AUTH__HASH_COST", "{ memory_kib = 8, passes = 1, lanes = 1 }")
            .env("LINDEN__AUTH__ATTEMPTS", ATTEMPTS)
            .env("LINDEN__CATALOG__ITEMS", ITEMS.replace('\n', " "))
            .env("LINDEN__LOG__LEVEL", "error");
        for store in STORES {
            command.env(format!("LINDEN__{}__MEDIUM", store.to_uppercase()), self.medium);
        }
        Program::start(&mut command)
    }

    /// The files are sound and have all that was acknowledged. Looks at copies: the next program finds
    /// the files as the kill has left them.
    fn check(&self, customers: &[Customer], newcomers: usize) -> Unknown {
        let copy = self.directory.join("copy");
        fs::create_dir_all(&copy).unwrap();
        for store in STORES {
            let name = format!("{store}.redb");
            fs::copy(self.directory.join("data").join(&name), copy.join(&name)).unwrap();
        }
        let verified = run(&mut shop(self.directory, &["verify", "--data", "copy"]));
        assert_eq!(verified.code, Some(0), "{}", verified.stdout);
        let accounts = shop_auth::verify_file(copy.join("auth.redb")).unwrap().accounts;
        let known = (newcomers + CUSTOMERS) as u64;
        assert!(accounts >= known, "{accounts} of {known} accounts");
        check_files(&copy, customers)
    }

    fn orders_on_their_way(&self) -> usize {
        let orders = self.directory.join("copy/orders.redb");
        shop_orders::verify_file(&orders).unwrap().unfinished.len()
    }
}

/// Nobody here guesses.
const ATTEMPTS: &str = "{ registrations_per_address = { burst = 1000000, every = \"1ms\" }, \
                        log_ins_per_address = { burst = 1000000, every = \"1ms\" } }";

/// Everybody acts over a connection of its own, and newcomers register; the kill comes after so many deeds.
fn act_until_killed(
    program: Program,
    customers: Vec<Customer>,
    newcomers: Vec<String>,
    deeds: usize,
) -> (Vec<Customer>, Vec<String>) {
    let (done, all_done) = mpsc::channel();
    let address = program.address;
    let customers = customers.into_iter().map(|mut customer| {
        let (done, mut client) = (done.clone(), Client::connect(address));
        thread::spawn(move || {
            while customer.act(&mut client).is_some() {
                let _ = done.send(());
            }
            customer
        })
    });
    let customers: Vec<_> = customers.collect();
    let client = Client::connect(address);
    let registrar = thread::spawn(move || register_until_killed(client, newcomers));
    assert_eq!(all_done.iter().take(deeds).count(), deeds);
    // A program that is dropped is killed.
    drop(program);
    let customers = customers.into_iter().map(|customer| customer.join().unwrap()).collect();
    (customers, registrar.join().unwrap())
}

/// Registers one after the other. A registration without an answer may have been made or not.
fn register_until_killed(mut client: Client, mut newcomers: Vec<String>) -> Vec<String> {
    loop {
        let name = format!("newcomer-{}", newcomers.len());
        let credentials = credentials(&name);
        match client.request("POST", "/register", &[], credentials.as_bytes()) {
            // The one before the kill, that nobody answered, has it already.
            Ok(answer) if [201, 409].contains(&answer.status) => newcomers.push(name),
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => return newcomers,
        }
    }
}
