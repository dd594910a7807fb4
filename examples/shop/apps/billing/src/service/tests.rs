//! The service over a real journal. Whoever holds the journal's write lock decides when a commit
//! ends, so nothing here depends on time.

use std::path::Path;

use linden::{Booted, NodeBuilder};

use super::*;

fn key(key: &str) -> IdempotencyKey {
    IdempotencyKey::new(key).unwrap()
}

/// Pays from a process of its own.
fn pay(user: u64, cents: i64, name: &str) -> Task<Result<Answer, CallError>> {
    let key = key(name);
    Task::spawn_unlinked(async move {
        BillingService::named().process_payment(UserId(user), Cents(cents), key).await
    })
}

/// The service under a supervisor, on the test's node.
async fn start(journal: &Journal, waiting_max: usize) -> BillingServiceClient {
    let journal = journal.clone();
    Supervisor::one_for_one()
        .intensity(1_000, 10.secs())
        .child(child("billing_service", move || {
            BillingService::open(journal.clone(), waiting_max, true)
        }))
        .start()
        .await
        .unwrap();
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
            answer => break answer.unwrap(),
        }
    }
}

/// Whether the service's state, as observers see it, has these words.
async fn until_state(billing: &BillingServiceClient, words: &str) {
    while !billing.state().await.unwrap().unwrap().contains(words) {}
}

#[linden::test]
async fn a_payment_is_booked_once_however_often_it_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let billing = start(&journal, 10).await;
    let first = pay(1, 250, "a").await.unwrap().unwrap().unwrap();
    assert_eq!(journal.receipt(&key("a")).unwrap(), Some(first.clone()));
    assert_eq!(billing.balance(UserId(1)).await, Ok(Cents(250)));

    assert_eq!(pay(1, 250, "a").await.unwrap(), Ok(Ok(first)));
    let reuse = pay(1, 251, "a").await.unwrap();
    assert_eq!(reuse, Ok(Err(PaymentError::KeyReuse { key: key("a") })));
    let nothing = pay(1, 0, "b").await.unwrap();
    assert_eq!(nothing, Ok(Err(PaymentError::AmountNotPositive { amount: Cents(0) })));
    assert_eq!(billing.balance(UserId(1)).await, Ok(Cents(250)));
}

#[linden::test]
async fn payments_that_wait_share_the_next_commit_and_hinder_no_balance() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let billing = start(&journal, 2).await;
    let lock = journal.lock();
    let first = pay(1, 100, "a");
    until_state(&billing, "committing: 1").await;
    let others = [pay(1, 10, "b"), pay(2, 1, "c")];
    until_state(&billing, "waiting: 2").await;

    let refused = pay(2, 1, "d").await.unwrap();
    assert_eq!(refused, Ok(Err(PaymentError::Overloaded { waiting_max: 2 })));
    assert_eq!(billing.balance(UserId(1)).await, Ok(Cents::ZERO));
    drop(lock);

    assert_eq!(first.await.unwrap().unwrap().unwrap().sequence, 1);
    let receipts = Task::await_many(others).await;
    let receipts: Vec<_> =
        receipts.into_iter().map(|receipt| receipt.unwrap().unwrap().unwrap()).collect();
    assert_eq!(receipts[0].recorded_at, receipts[1].recorded_at, "one batch");
    assert_eq!(billing.balance(UserId(1)).await, Ok(Cents(110)));
    Ledger::replay(&journal).unwrap().verify(&journal).unwrap();
}

#[linden::test]
async fn what_was_in_flight_in_a_crash_is_paid_once_when_it_is_sent_again(node: Node) {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let billing = start(&journal, 10).await;
    let lock = journal.lock();
    let in_flight = [pay(1, 100, "a"), pay(1, 10, "b")];
    until_state(&billing, "waiting: 1, committing: 1").await;
    let before = billing.pid().unwrap();
    let crash = billing.crash().await;
    assert!(matches!(crash, Err(CallError::Exited(Reason::Panic(_)))), "{crash:?}");
    node.wait_exit(before).await;
    for payment in in_flight {
        let answer = payment.await.unwrap();
        assert!(!matches!(answer, Ok(_) | Err(CallError::Timeout)), "{answer:?}");
    }
    assert_eq!(balance(&billing, 1).await, Cents::ZERO);

    // The dead service's commit still waits for the lock; so will its successor's.
    let again = [pay(1, 100, "a"), pay(1, 10, "b")];
    drop(lock);
    let sequences = Task::await_many(again).await;
    let mut sequences: Vec<_> =
        sequences.into_iter().map(|receipt| receipt.unwrap().unwrap().unwrap().sequence).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, [1, 2]);
    assert_eq!(billing.balance(UserId(1)).await, Ok(Cents(110)));
    Ledger::replay(&journal).unwrap().verify(&journal).unwrap();
}

#[linden::test]
async fn an_armed_crash_waits_for_a_payment() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let billing = start(&journal, 10).await;
    let of_task = billing.clone();
    let crash = Task::spawn_unlinked(async move { of_task.crash().await });
    // The task may not have asked yet: then the payment goes through, and another one is tried.
    let mut paid = 0;
    while pay(1, 1, &format!("p{paid}")).await.unwrap().is_ok() {
        paid += 1;
    }
    let crash = crash.await.unwrap();
    assert!(matches!(crash, Err(CallError::Exited(Reason::Panic(_)))), "{crash:?}");
    assert!(balance(&billing, 1).await >= Cents(paid));
}

#[test]
fn without_chaos_the_service_does_not_crash_on_demand() {
    let directory = tempfile::tempdir().unwrap();
    let booted = boot(directory.path(), "4000");
    let billing = BillingService::named_on(&booted.node);
    assert_eq!(booted.node.block_on(billing.crash()).unwrap(), ChaosIsOff);
    assert_eq!(booted.node.block_on(billing.balance(UserId(1))), Ok(Cents::ZERO));
    linden::block_on(booted.stop()).unwrap();
}

fn boot(directory: &Path, waiting_max: &str) -> Booted {
    let node = NodeBuilder::new()
        .application(crate::BillingApp)
        .foreign_logging()
        .set("billing", "path", directory.join("billing.redb").display())
        .set("billing", "waiting_max", waiting_max);
    linden::block_on(node.boot()).unwrap()
}
