//! Tests of the ledger against real journals.

use super::*;
use crate::{IdempotencyKey, Payment, PaymentError, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tempfile::TempDir;

fn journal() -> (TempDir, Journal) {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(directory.path().join("billing.redb")).unwrap();
    (directory, journal)
}

fn pay(user_id: u64, cents: i64, key: &str) -> Payment {
    Payment {
        user_id: UserId(user_id),
        amount: Cents(cents),
        key: IdempotencyKey::new(key).unwrap(),
    }
}

#[test]
fn an_empty_journal_is_an_empty_ledger() {
    let (_directory, journal) = journal();
    let ledger = Ledger::replay(&journal).unwrap();
    assert_eq!((ledger.users(), ledger.last_sequence()), (0, 0));
    assert_eq!(ledger.balance(UserId(1)), Cents::ZERO);
    assert_eq!(ledger.verify(&journal).unwrap().total, 0);
}

#[test]
fn a_ledger_catches_up_with_entries_that_others_wrote() {
    let (_directory, journal) = journal();
    journal.append(&[pay(1, 100, "a"), pay(2, 50, "b")], Timestamp(1)).unwrap();
    let mut old = Ledger::replay(&journal).unwrap();
    // Another process, or an append that outlived its process.
    journal.clone().append(&[pay(1, 11, "c")], Timestamp(2)).unwrap();
    old.verify(&journal).unwrap();
    assert_eq!(old.balance(UserId(1)), Cents(100));
    assert_eq!(old.catch_up(&journal).unwrap(), 1);
    assert_eq!(old.catch_up(&journal).unwrap(), 0);
    assert_eq!(old.balance(UserId(1)), Cents(111));
    assert_eq!(old.verify(&journal).unwrap(), Books { entries: 3, users: 2, total: 161 });
}

#[test]
fn a_loaded_ledger_is_the_replayed_one() {
    let (_directory, journal) = journal();
    for count in 0..5 {
        let loaded = Ledger::load(&journal).unwrap();
        assert_eq!(loaded.last_sequence(), count);
        assert_eq!(loaded.balances, Ledger::replay(&journal).unwrap().balances);
        loaded.verify(&journal).unwrap();
        let payment = pay(count % 3, 100, &format!("key-{count}"));
        journal.append(&[payment], Timestamp(1)).unwrap();
    }
}

#[test]
fn differences_are_named() {
    let (_directory, journal) = journal();
    journal.append(&[pay(1, 100, "a"), pay(2, 50, "b")], Timestamp(1)).unwrap();
    let good = Ledger::replay(&journal).unwrap();

    let mut wrong = good.clone();
    wrong.balances.insert(UserId(2), Cents(51));
    assert_eq!(
        wrong.verify(&journal).unwrap_err().to_string(),
        "user 2 holds 0.51 in the ledger and 0.50 in the journal"
    );
    let mut stranger = good.clone();
    stranger.balances.insert(UserId(3), Cents(1));
    assert!(stranger.verify(&journal).is_err());
    let mut forgetful = good.clone();
    forgetful.balances.remove(&UserId(1));
    assert!(forgetful.verify(&journal).is_err());
    let mut ahead = good;
    ahead.last_sequence = 3;
    assert!(matches!(
        ahead.verify(&journal),
        Err(VerifyError::EntriesMissing { ledger: 3, journal: 2 })
    ));
}

/// Writes to the file behind the journal's back, through redb itself.
fn tamper(directory: &TempDir, change: impl FnOnce(&redb::WriteTransaction)) -> Journal {
    let path = directory.path().join("billing.redb");
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
    drop(database);
    Journal::open(path).unwrap()
}

const KEYS: redb::TableDefinition<&str, u64> = redb::TableDefinition::new("keys");
const TOTALS: redb::TableDefinition<u64, i64> = redb::TableDefinition::new("totals");
const ENTRIES: redb::TableDefinition<u64, (u64, i64, u64, &str)> =
    redb::TableDefinition::new("entries");

#[test]
fn a_file_changed_by_others_is_found_out() {
    let check = |change: &dyn Fn(&redb::WriteTransaction)| {
        let (directory, journal) = journal();
        let batch = [pay(1, 100, "a"), pay(2, 50, "b"), pay(2, 5, "c")];
        journal.append(&batch, Timestamp(1)).unwrap();
        drop(journal);
        let journal = tamper(&directory, change);
        match Ledger::replay(&journal) {
            Ok(ledger) => ledger.verify(&journal).unwrap_err(),
            Err(error) => VerifyError::from(error),
        }
    };
    let error = check(&|transaction| {
        let mut keys = transaction.open_table(KEYS).unwrap();
        keys.insert("a", 2).unwrap();
    });
    assert!(matches!(error, VerifyError::Key { sequence: 1 }));
    let error = check(&|transaction| {
        let mut keys = transaction.open_table(KEYS).unwrap();
        keys.insert("surplus", 1).unwrap();
    });
    assert!(matches!(error, VerifyError::IndexRows { keys: 4, totals: 2 }));
    let error = check(&|transaction| {
        let mut totals = transaction.open_table(TOTALS).unwrap();
        totals.insert(1, 99).unwrap();
    });
    assert!(matches!(error, VerifyError::Balance { .. }));
    let error = check(&|transaction| {
        let mut entries = transaction.open_table(ENTRIES).unwrap();
        entries.remove(2).unwrap();
    });
    let VerifyError::Journal(source) = &error else {
        panic!("{error}");
    };
    assert!(matches!(source, JournalError::Corrupt { sequence: 3 }));
    assert!(error.source().is_some());
}

/// The rules once more, in ten lines and without a disk.
#[derive(Default)]
struct Model {
    by_key: BTreeMap<String, (u64, i64)>,
    balances: BTreeMap<u64, i64>,
}

impl Model {
    fn take(&mut self, user: u64, cents: i64, key: &str) -> bool {
        if cents <= 0 {
            return false;
        }
        if let Some(known) = self.by_key.get(key) {
            return *known == (user, cents);
        }
        let balance = self.balances.get(&user).copied().unwrap_or(0);
        let Some(sum) = balance.checked_add(cents) else {
            return false;
        };
        self.by_key.insert(key.to_owned(), (user, cents));
        self.balances.insert(user, sum);
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_batches_keep_the_books_balanced(
        batches in prop::collection::vec(
            prop::collection::vec((0..4_u64, prop_oneof![-2..5_i64, Just(i64::MAX - 3)], 0..12_u8), 0..8),
            0..5,
        ),
    ) {
        let (_directory, journal) = journal();
        let mut model = Model::default();
        let mut ledger = Ledger::default();
        for batch in batches {
            let payments: Vec<Payment> = batch
                .iter()
                .map(|&(user, cents, key)| pay(user, cents, &format!("k{key}")))
                .collect();
            let answers = journal.append(&payments, Timestamp(1)).unwrap();
            for (&(user, cents, key), answer) in batch.iter().zip(&answers) {
                prop_assert_eq!(model.take(user, cents, &format!("k{key}")), answer.is_ok());
            }
            ledger.catch_up(&journal).unwrap();
        }
        for (&user, &cents) in &model.balances {
            prop_assert_eq!(ledger.balance(UserId(user)), Cents(cents));
        }
        prop_assert_eq!(ledger.users(), model.balances.len());
        ledger.verify(&journal).unwrap();
        prop_assert_eq!(&Ledger::replay(&journal).unwrap().balances, &ledger.balances);
    }
}

#[test]
fn refusals_leave_no_trace_in_the_books() {
    let (_directory, journal) = journal();
    let batch = [pay(1, i64::MAX, "a"), pay(1, 1, "b"), pay(2, 0, "c")];
    let answers = journal.append(&batch, Timestamp(1)).unwrap();
    assert!(matches!(answers[1], Err(PaymentError::BalanceOverflow { .. })));
    let ledger = Ledger::replay(&journal).unwrap();
    assert_eq!(ledger.verify(&journal).unwrap().total, i128::from(i64::MAX));
    assert_eq!(ledger.users(), 1);
}
