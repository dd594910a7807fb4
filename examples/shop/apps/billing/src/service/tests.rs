//! The whole tree over a real journal. Whoever holds the journal's write lock decides when a commit
//! ends, so nothing here depends on time.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use linden::{NodeBuilder, SupervisorRef};

use super::*;
use crate::{
    BillingConfig, Cents, Currency, Journal, Kind,
    app::tree,
    verify,
    writer::{BATCH_MAX, LedgerWriterClient},
};

type Answer = Result<Receipt, PaymentError>;

fn key(key: &str) -> IdempotencyKey {
    IdempotencyKey::new(key).unwrap()
}

fn euros(cents: i64) -> Money {
    Cents(cents).of(Currency::EUR)
}

/// Pays from a process of its own.
fn pay(user: u64, cents: i64, name: &str) -> Task<Result<Answer, CallError>> {
    let key = key(name);
    Task::spawn_unlinked(async move {
        BillingService::named().process_payment(UserId(user), euros(cents), key).await
    })
}

/// Asks for a balance from a process of its own.
fn ask(user: u64) -> Task<Result<Cents, CallError>> {
    Task::spawn_unlinked(async move {
        let balances = BillingService::named().balance(UserId(user)).await?;
        Ok(balances.unwrap().of(Currency::EUR))
    })
}

fn config() -> BillingConfig {
    let restarts_max = 1_000;
    BillingConfig { chaos: true, restarts_max, ..BillingConfig::default() }
}

/// The tree on the test's node.
async fn start(journal: &Journal, config: BillingConfig) -> BillingServiceClient {
    tree(journal.clone(), config).start().await.unwrap();
    BillingService::named()
}

fn journal(directory: &Path) -> Journal {
    Journal::open(directory.join("billing.redb")).unwrap()
}

/// Calls until the service is there again.
async fn balance(billing: &BillingServiceClient, user: u64) -> Cents {
    loop {
        match billing.balance(UserId(user)).await {
            Err(CallError::NoProc | CallError::Exited(_)) => {}
            answer => break answer.unwrap().unwrap().of(Currency::EUR),
        }
    }
}

fn writer() -> LedgerWriterClient {
    LedgerWriter::named()
}

/// Waits until the writer's state, as observers see it, has these words.
async fn until_writer(words: &str) {
    while !writer().state().await.unwrap().unwrap().contains(words) {}
}

/// The processes of accounts.
async fn accounts(node: &Node) -> Vec<Pid> {
    let rows = DynamicRef::<Opening>::by_name(node, ACCOUNTS).which_children().await.unwrap();
    let pids = rows.into_iter().filter_map(|row| match row.state {
        linden::supervisor::decision::ChildState::Running(pid) => Some(pid),
        _ => None,
    });
    pids.collect()
}

/// Waits until the state of a user's account has these words.
async fn until_account(node: &Node, user: u64, words: &str) {
    let is_there =
        |state: &str| state.contains(&format!("UserId({user})")) && state.contains(words);
    loop {
        for pid in accounts(node).await {
            let account = ServerRef::<Account>::by_pid(node, pid).unwrap();
            if is_there(&account.state().await.unwrap().unwrap()) {
                return;
            }
        }
    }
}

fn is_a_crash(error: &CallError) -> bool {
    matches!(error, CallError::Exited(Reason::Panic(panic)) if panic.message == "a crash was asked for")
}

#[linden::test]
async fn a_payment_is_booked_once_however_often_it_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let billing = start(&journal, config()).await;
    let first = pay(1, 250, "a").await.unwrap().unwrap().unwrap();
    let found = journal.receipt(UserId(1), &key("a"), first.recorded_at).unwrap();
    assert_eq!(found, Some(first.clone()));
    assert_eq!(balance(&billing, 1).await, Cents(250));

    assert_eq!(pay(1, 250, "a").await.unwrap(), Ok(Ok(first)));
    let reuse = pay(1, 251, "a").await.unwrap();
    assert_eq!(reuse, Ok(Err(PaymentError::KeyReuse { key: key("a") })));
    let nothing = pay(1, 0, "b").await.unwrap();
    assert_eq!(nothing, Ok(Err(PaymentError::AmountNotPositive { amount: Cents(0) })));
    assert_eq!(balance(&billing, 1).await, Cents(250));
}

#[linden::test]
async fn a_payment_is_refunded_and_both_are_on_the_statement() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let billing = start(&journal, config()).await;
    let (user, payment) = (UserId(1), pay(1, 250, "a").await.unwrap().unwrap().unwrap());
    let dollars = Cents(5).of(Currency::USD);
    billing.process_payment(user, dollars, key("b")).await.unwrap().unwrap();
    let refund = billing.refund(user, payment.sequence, euros(100), key("r")).await.unwrap();
    let refund = refund.unwrap();
    assert_eq!(refund.kind, Kind::Refund { of: payment.sequence });
    let above = billing.refund(user, payment.sequence, euros(151), key("s")).await.unwrap();
    let rest = euros(150);
    assert_eq!(above, Err(PaymentError::AboveRest { of: payment.sequence, rest }));
    let balances = billing.balance(user).await.unwrap().unwrap();
    assert_eq!(balances.iter().collect::<Vec<_>>(), [euros(150), dollars]);
    assert_eq!(journal.balances(user).unwrap(), balances);

    let newest = Page { limit: 2, ..Page::default() };
    let statement = billing.statement(user, newest).await.unwrap().unwrap();
    assert_eq!(statement.lines[0], refund);
    let older = Page { after: statement.next, ..newest };
    let statement = billing.statement(user, older).await.unwrap().unwrap();
    assert_eq!(statement, Statement { lines: vec![payment], next: None });
    let unlimited = billing.statement(user, Page { limit: 0, after: None }).await.unwrap();
    assert_eq!(unlimited, Err(StatementError::Limit { limit: 0 }));
}

#[linden::test]
async fn payments_that_wait_share_the_next_commit_and_hinder_no_balance() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let billing = start(&journal, BillingConfig { waiting_max: 2, ..config() }).await;
    for user in [1, 2] {
        assert_eq!(balance(&billing, user).await, Cents::ZERO);
    }
    let lock = journal.lock();
    let first = pay(1, 100, "a");
    until_writer("committing: 1").await;
    let others = [pay(1, 10, "b"), pay(2, 1, "c")];
    until_writer("waiting: 2").await;

    let refused = pay(2, 1, "d").await.unwrap();
    assert_eq!(refused, Ok(Err(Overload::Ledger { waiting_max: 2 }.into())));
    assert_eq!(balance(&billing, 1).await, Cents::ZERO);
    drop(lock);

    assert_eq!(first.await.unwrap().unwrap().unwrap().sequence, Sequence(1));
    let receipts = Task::await_many(others).await;
    let receipts: Vec<_> =
        receipts.into_iter().map(|receipt| receipt.unwrap().unwrap().unwrap()).collect();
    assert_eq!(receipts[0].recorded_at, receipts[1].recorded_at, "one batch");
    assert_eq!(balance(&billing, 1).await, Cents(110));
    verify(&journal).unwrap();
}

#[linden::test]
async fn a_batch_is_bounded() {
    const EACH: usize = BATCH_MAX / 2 + 50;
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let billing = start(&journal, config()).await;
    for user in [1, 2] {
        assert_eq!(balance(&billing, user).await, Cents::ZERO);
    }
    let lock = journal.lock();
    let first = pay(1, 1, "first");
    until_writer("committing: 1").await;
    let payment = |number| pay(1 + number as u64 % 2, 1, &format!("{number}"));
    let others: Vec<_> = (0..2 * EACH).map(payment).collect();
    until_writer(&format!("waiting: {}", 2 * EACH)).await;
    drop(lock);
    first.await.unwrap().unwrap().unwrap();
    let mut batches = HashMap::<_, usize>::new();
    for receipt in Task::await_many(others).await {
        *batches.entry(receipt.unwrap().unwrap().unwrap().recorded_at).or_default() += 1;
    }
    assert!(batches.values().all(|&len| len <= BATCH_MAX), "{batches:?}");
}

#[linden::test]
async fn one_user_may_fill_its_own_queue_and_not_that_of_others(node: Node) {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let billing = start(&journal, BillingConfig { account_waiting_max: 1, ..config() }).await;
    assert_eq!(balance(&billing, 1).await, Cents::ZERO);
    let lock = journal.lock();
    let first = pay(1, 100, "a");
    until_writer("committing: 1").await;
    let overload = Overload::Account { waiting_max: 1 };
    assert_eq!(pay(1, 1, "b").await.unwrap(), Ok(Err(overload.into())));
    let other = pay(2, 5, "a");
    until_writer("waiting: 2").await;
    // That account does not know its balances yet.
    let questions = [(); 2].map(|()| {
        Task::spawn_unlinked(async { BillingService::named().balance(UserId(2)).await.unwrap() })
    });
    until_account(&node, 2, "received: 3").await;
    drop(lock);
    for payment in [first, other] {
        payment.await.unwrap().unwrap().unwrap();
    }
    let answers = Task::await_many(questions).await.into_iter().map(Result::unwrap);
    let is_refused = |answer: &Result<Balances, Overload>| *answer == Err(overload);
    assert_eq!(answers.filter(is_refused).count(), 1);
}

#[linden::test]
async fn so_many_accounts_have_a_process_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let billing = start(&journal, BillingConfig { accounts_max: 1, ..config() }).await;
    pay(1, 1, "a").await.unwrap().unwrap().unwrap();
    let overload = Overload::Accounts { accounts_max: 1 };
    assert_eq!(pay(2, 1, "a").await.unwrap(), Ok(Err(overload.into())));
    assert_eq!(billing.balance(UserId(2)).await, Ok(Err(overload)));
    let statement = billing.statement(UserId(2), Page::default()).await;
    assert_eq!(statement, Ok(Err(overload.into())));
    // The place is free again when the account crashes.
    billing.inflict(Part::Account(UserId(1)), Fault::Crash).await.unwrap().unwrap();
    while pay(2, 1, "a").await.unwrap().unwrap().is_err() {}
    assert_eq!(balance(&billing, 2).await, Cents(1));
}

#[linden::test]
async fn an_idle_account_ends_and_no_request_is_lost_with_it(node: Node) {
    const PAYMENTS: u64 = 300;
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    // Accounts end whenever they have nothing to do for a moment.
    let billing = start(&journal, BillingConfig { account_idle: Duration::ZERO, ..config() }).await;
    let payers: Vec<_> = (0..8_u64)
        .map(|payer| {
            Task::spawn_unlinked(async move {
                for number in 0..PAYMENTS / 8 {
                    let (user, name) = (UserId(payer % 3), key(&format!("{payer}-{number}")));
                    let billing = BillingService::named();
                    billing.process_payment(user, euros(1), name).await.unwrap().unwrap();
                    assert!(
                        billing.balance(user).await.unwrap().unwrap().of(Currency::EUR) > Cents(0)
                    );
                }
            })
        })
        .collect();
    for payer in Task::await_many(payers).await {
        payer.unwrap();
    }
    let report = verify(&journal).unwrap();
    assert_eq!(report.transactions, PAYMENTS / 8 * 8);
    while !billing.state().await.unwrap().unwrap().contains("accounts: 0") {}
    while !accounts(&node).await.is_empty() {}
}

#[linden::test]
async fn what_was_in_flight_in_a_crash_is_paid_once_when_it_is_sent_again(node: Node) {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let billing = start(&journal, config()).await;
    assert_eq!(balance(&billing, 1).await, Cents::ZERO);
    let lock = journal.lock();
    let first = pay(1, 100, "a");
    until_writer("committing: 1").await;
    let (service, accounts) = (billing.pid().unwrap(), accounts(&node).await);
    let of_task = billing.clone();
    let crash =
        Task::spawn_unlinked(
            async move { of_task.inflict(Part::Service, Fault::CrashInFlight).await },
        );
    while !billing.state().await.unwrap().unwrap().contains("crash_asked_by: 1") {}
    // The service crashes when it has passed this one on.
    let second = pay(1, 10, "b");
    let crash = crash.await.unwrap();
    assert!(is_a_crash(crash.as_ref().unwrap_err()), "{crash:?}");
    node.wait_exit(service).await;
    for account in accounts {
        node.wait_exit(account).await;
    }
    drop(lock);

    // The writer lives: what it has is written and answered. Whether the second payment has come so
    // far nobody knows.
    let first = first.await.unwrap().unwrap().unwrap();
    let second = second.await.unwrap();
    assert!(matches!(second, Ok(Ok(_)) | Err(CallError::Exited(_))), "{second:?}");
    assert!([Cents(100), Cents(110)].contains(&balance(&billing, 1).await));
    assert_eq!(pay(1, 100, "a").await.unwrap(), Ok(Ok(first)));
    assert_eq!(pay(1, 10, "b").await.unwrap().unwrap().unwrap().sequence, Sequence(2));
    assert_eq!(balance(&billing, 1).await, Cents(110));
    verify(&journal).unwrap();
}

#[linden::test]
async fn a_writer_that_crashes_fails_what_waits_and_it_is_paid_once_when_it_is_sent_again(
    node: Node,
) {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let billing = start(&journal, config()).await;
    assert_eq!(balance(&billing, 1).await, Cents::ZERO);
    let lock = journal.lock();
    let first = pay(1, 100, "a");
    until_writer("committing: 1").await;
    let second = pay(2, 10, "b");
    until_writer("waiting: 2").await;
    let (old_writer, old_service) = (writer().pid().unwrap(), billing.pid().unwrap());
    billing.inflict(Part::Writer, Fault::CrashInFlight).await.unwrap().unwrap();
    node.wait_exit(old_writer).await;
    for payment in [first, second] {
        let answer = payment.await.unwrap();
        assert!(matches!(answer, Err(CallError::Exited(_))), "{answer:?}");
    }
    // What the accounts knew may be old, so they and who knows them are new as well.
    node.wait_exit(old_service).await;
    drop(lock);
    assert!(balance(&billing, 1).await <= Cents(100));
    for (user, cents, name) in [(1, 100, "a"), (2, 10, "b")] {
        assert!(pay(user, cents, name).await.unwrap().unwrap().is_ok());
        assert_eq!(balance(&billing, user).await, Cents(cents));
    }
    assert_eq!(verify(&journal).unwrap().transactions, 2);
}

#[linden::test]
async fn an_account_that_crashes_hurts_no_other_and_its_successor_knows_what_it_had_sent(
    node: Node,
) {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let billing = start(&journal, config()).await;
    assert_eq!(balance(&billing, 1).await, Cents::ZERO);
    let account = accounts(&node).await[0];
    assert_eq!(balance(&billing, 2).await, Cents::ZERO);
    let lock = journal.lock();
    let (own, of_other) = (pay(1, 100, "a"), pay(2, 10, "b"));
    while in_flight().await < 2 {}
    billing.inflict(Part::Account(UserId(1)), Fault::Crash).await.unwrap().unwrap();
    node.wait_exit(account).await;
    // Asked while the crashed account's payment is still on its way to the disk.
    let successor = ask(1);
    while in_flight().await < 3 {}
    drop(lock);
    let receipt = own.await.unwrap();
    assert!(matches!(receipt, Ok(Ok(_))), "it was on its way to the disk: {receipt:?}");
    of_other.await.unwrap().unwrap().unwrap();
    assert_eq!(successor.await.unwrap(), Ok(Cents(100)));
    assert_eq!(pay(1, 100, "a").await.unwrap(), receipt);
    assert_eq!(verify(&journal).unwrap().transactions, 2);
}

/// Requests that the writer has.
async fn in_flight() -> usize {
    let state = writer().state().await.unwrap().unwrap();
    let numbers = state.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    numbers.map(|digits| digits.parse::<usize>().unwrap()).sum()
}

#[linden::test]
async fn keys_are_forgotten_while_nobody_pays() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path()).with_key_ttl(Duration::ZERO);
    let sweep_every = Duration::from_millis(1);
    start(&journal, BillingConfig { sweep_every, ..config() }).await;
    pay(1, 1, "a").await.unwrap().unwrap().unwrap();
    while journal.read().unwrap().counts().unwrap().keys > 0 {}
    pay(1, 2, "a").await.unwrap().unwrap().unwrap();
    assert_eq!(verify(&journal).unwrap().transactions, 2);
}

#[linden::test]
async fn accounts_end_with_the_service_that_knows_them(node: Node) {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let billing = start(&journal, config()).await;
    assert_eq!(balance(&billing, 1).await, Cents::ZERO);
    let account = accounts(&node).await[0];
    // As an operator would: so the supervisor restarts nothing, and stops nothing else.
    let supervisor = SupervisorRef::by_name(&node, "billing_front_sup");
    supervisor.terminate_child("billing_service").await.unwrap();
    node.wait_exit(account).await;
    supervisor.restart_child("billing_service").await.unwrap();
    assert_eq!(balance(&billing, 1).await, Cents::ZERO);
}

#[linden::test]
async fn a_part_that_hangs_or_is_slow_answers_later() {
    const SHORT: Duration = Duration::from_millis(30);
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let billing = start(&journal, config()).await;
    pay(1, 1, "a").await.unwrap().unwrap().unwrap();
    for (number, part) in
        [Part::Service, Part::Writer, Part::Account(UserId(1))].into_iter().enumerate()
    {
        for (name, fault) in [("hang", Fault::Hang(SHORT)), ("slow", Fault::Slow(SHORT))] {
            let began = Instant::now();
            billing.inflict(part, fault).await.unwrap().unwrap();
            pay(1, 1, &format!("{name}-{number}")).await.unwrap().unwrap().unwrap();
            assert!(began.elapsed() >= SHORT, "{part:?} {fault:?}");
        }
        billing.inflict(part, Fault::Slow(Duration::ZERO)).await.unwrap().unwrap();
    }
    billing.inflict(Part::Service, Fault::Hang(SHORT)).await.unwrap().unwrap();
    assert_eq!(billing.ping().timeout(Duration::ZERO).await, Err(CallError::Timeout));
    assert_eq!(billing.ping().await, Ok(()));
}

#[linden::test]
async fn the_service_crashes_at_once_when_it_is_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let billing = start(&journal, config()).await;
    let crash = billing.inflict(Part::Service, Fault::Crash).await;
    assert!(is_a_crash(crash.as_ref().unwrap_err()), "{crash:?}");
    assert_eq!(balance(&billing, 1).await, Cents::ZERO);
}

#[test]
fn without_chaos_nothing_crashes_on_demand() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("billing.redb");
    let node = NodeBuilder::new()
        .application(crate::BillingApp)
        .foreign_logging()
        .set("billing", "path", path.display())
        .set("billing", "waiting_max", "4000")
        .set("billing", "account_idle", "1s")
        .set("billing", "key_ttl", "1d12h");
    let booted = linden::block_on(node.boot()).unwrap();
    let billing = BillingService::named_on(&booted.node);
    for part in [Part::Service, Part::Writer, Part::Account(UserId(1))] {
        let refused = booted.node.block_on(billing.inflict(part, Fault::Crash));
        assert_eq!(refused, Ok(Err(ChaosIsOff)));
    }
    assert_eq!(ChaosIsOff.to_string(), "chaos is off; set billing.chaos = true to allow it");
    let balances = booted.node.block_on(billing.balance(UserId(1)));
    assert_eq!(balances, Ok(Ok(Balances::default())));
    linden::block_on(booted.stop()).unwrap();
}
