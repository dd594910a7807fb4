//! Tests of the journal on real files.

use super::*;
use crate::Ledger;
use tempfile::TempDir;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const LATER: Timestamp = Timestamp(1_700_000_060_000);

fn journal() -> (TempDir, Journal) {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(directory.path().join("data/billing.redb")).unwrap();
    (directory, journal)
}

fn pay(user_id: u64, cents: i64, key: &str) -> Payment {
    Payment {
        user_id: UserId(user_id),
        amount: Cents(cents),
        key: IdempotencyKey::new(key).unwrap(),
    }
}

fn one(journal: &Journal, payment: Payment, now: Timestamp) -> Result<Receipt, PaymentError> {
    journal.append(&[payment], now).unwrap().remove(0)
}

fn all(journal: &Journal) -> Vec<Entry> {
    let entries = journal.entries_after(0).unwrap();
    entries.map(Result::unwrap).collect()
}

#[test]
fn a_batch_is_numbered_in_order_and_survives_reopening() {
    let (directory, journal) = journal();
    let batch = [pay(1, 100, "a"), pay(2, 200, "b"), pay(1, 300, "c")];
    let answers = journal.append(&batch, NOW).unwrap();
    let sequences: Vec<u64> =
        answers.iter().map(|answer| answer.as_ref().unwrap().sequence).collect();
    assert_eq!(sequences, [1, 2, 3]);
    let before = all(&journal);
    drop(journal);

    let journal = Journal::open(directory.path().join("data/billing.redb")).unwrap();
    assert_eq!(all(&journal), before);
    assert_eq!(one(&journal, pay(3, 1, "d"), NOW).unwrap().sequence, 4);
    assert_eq!(journal.total(UserId(1)).unwrap(), Cents(400));
    assert_eq!(journal.total(UserId(9)).unwrap(), Cents::ZERO);
}

#[test]
fn a_repeated_payment_gets_the_first_receipt() {
    let (_directory, journal) = journal();
    let first = one(&journal, pay(1, 100, "a"), NOW).unwrap();
    let again = one(&journal, pay(1, 100, "a"), LATER).unwrap();
    assert_eq!(first, again);
    assert_eq!(first.recorded_at, NOW);
    assert_eq!(journal.total(UserId(1)).unwrap(), Cents(100));
    let found = journal.receipt(&first.key).unwrap();
    assert_eq!(found, Some(first));
}

#[test]
fn a_payment_repeated_within_one_batch_is_taken_once() {
    let (_directory, journal) = journal();
    let batch = [pay(1, 100, "a"), pay(1, 100, "a"), pay(1, 999, "a")];
    let answers = journal.append(&batch, NOW).unwrap();
    assert_eq!(answers[0], answers[1]);
    let key = batch[0].key.clone();
    assert_eq!(answers[2], Err(PaymentError::KeyReuse { key }));
    assert_eq!(journal.total(UserId(1)).unwrap(), Cents(100));
}

#[test]
fn a_key_with_other_contents_is_refused() {
    let (_directory, journal) = journal();
    one(&journal, pay(1, 100, "a"), NOW).unwrap();
    for other in [pay(1, 101, "a"), pay(2, 100, "a")] {
        let key = other.key.clone();
        assert_eq!(one(&journal, other, NOW), Err(PaymentError::KeyReuse { key }));
    }
    assert_eq!(all(&journal).len(), 1);
}

#[test]
fn amounts_that_are_not_positive_are_refused() {
    let (_directory, journal) = journal();
    for cents in [0, -1, i64::MIN] {
        assert_eq!(
            one(&journal, pay(1, cents, "a"), NOW),
            Err(PaymentError::AmountNotPositive { amount: Cents(cents) })
        );
    }
    // A refused payment does not use up its key.
    assert!(one(&journal, pay(1, 1, "a"), NOW).is_ok());
}

#[test]
fn a_balance_that_would_overflow_is_refused_and_the_rest_of_the_batch_is_taken() {
    let (_directory, journal) = journal();
    let batch = [pay(1, i64::MAX, "a"), pay(1, 1, "b"), pay(2, 5, "c")];
    let answers = journal.append(&batch, NOW).unwrap();
    assert_eq!(
        answers[1],
        Err(PaymentError::BalanceOverflow { user_id: UserId(1), balance: Cents::MAX })
    );
    assert_eq!(answers[2].as_ref().unwrap().sequence, 2, "no gap");
    assert_eq!(journal.total(UserId(1)).unwrap(), Cents::MAX);
}

#[test]
fn a_batch_without_news_writes_nothing() {
    let (directory, journal) = journal();
    let path = directory.path().join("data/billing.redb");
    one(&journal, pay(1, 100, "a"), NOW).unwrap();
    let before = std::fs::read(&path).unwrap();
    journal.append(&[pay(1, 100, "a"), pay(1, 0, "b")], LATER).unwrap();
    journal.append(&[], LATER).unwrap();
    assert!(before == std::fs::read(&path).unwrap());
}

#[test]
fn what_was_acknowledged_is_in_the_file_without_closing_it() {
    let (directory, journal) = journal();
    let path = directory.path().join("data/billing.redb");
    let receipt = one(&journal, pay(1, 100, "a"), NOW).unwrap();
    // The file as a killed OS process leaves it: nobody has said goodbye.
    let image = directory.path().join("image.redb");
    std::fs::copy(path, &image).unwrap();
    let found = Journal::open(image).unwrap();
    assert_eq!(found.receipt(&receipt.key).unwrap(), Some(receipt));
    Ledger::replay(&found).unwrap().verify(&found).unwrap();
}

#[test]
fn unknown_keys_have_no_receipt() {
    let (_directory, journal) = journal();
    let key = IdempotencyKey::new("nobody").unwrap();
    assert_eq!(journal.receipt(&key).unwrap(), None);
}

#[test]
fn entries_after_a_sequence_are_the_younger_ones() {
    let (_directory, journal) = journal();
    let batch: Vec<_> = (0..5).map(|i| pay(i, 10, &format!("k{i}"))).collect();
    journal.append(&batch, NOW).unwrap();
    let after = |sequence| journal.entries_after(sequence).unwrap().count();
    assert_eq!((after(0), after(3), after(5), after(u64::MAX)), (5, 2, 0, 0));
}

#[test]
fn writers_on_many_threads_agree_on_one_order() {
    let (_directory, journal) = journal();
    std::thread::scope(|scope| {
        for writer in 0..4_u64 {
            let journal = journal.clone();
            scope.spawn(move || {
                for i in 0..5 {
                    // "shared-i" is sent by each writer, as retries after a crash would be.
                    let own = pay(writer, 1, &format!("own-{writer}-{i}"));
                    let shared = pay(99, 7, &format!("shared-{i}"));
                    let answers = journal.append(&[own, shared], NOW).unwrap();
                    assert!(answers.iter().all(Result::is_ok));
                }
            });
        }
    });
    let sequences: Vec<u64> = all(&journal).iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, (1..=25).collect::<Vec<_>>());
    let books = Ledger::replay(&journal).unwrap().verify(&journal).unwrap();
    assert_eq!((books.total, books.users), (4 * 5 + 5 * 7, 5));
}

#[test]
fn a_file_open_elsewhere_is_an_error_with_its_cause() {
    let (directory, _journal) = journal();
    let path = directory.path().join("data/billing.redb");
    let error = Journal::open(&path).unwrap_err();
    assert!(matches!(&error, JournalError::InUse { path: named } if *named == path), "{error}");
    let error = Journal::open(path.join("below-a-file/billing.redb")).unwrap_err();
    assert!(matches!(error, JournalError::Directory { .. }) && error.source().is_some());
}

#[test]
fn a_key_that_breaks_the_rules_is_corrupt() {
    let (_directory, journal) = journal();
    let transaction = journal.database.begin_write().unwrap();
    transaction.open_table(ENTRIES).unwrap().insert(1, (1, 1, 1, "not a key")).unwrap();
    transaction.commit().unwrap();
    let error = journal.entries_after(0).unwrap().next().unwrap();
    assert!(matches!(error, Err(JournalError::Corrupt { sequence: 1 })));
}
