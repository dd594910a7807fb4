//! Tests of the check: what is right passes, and each thing that can be wrong is named.

use shop_storage::OpenError;

use super::*;
use crate::{
    Cents, Money, Movement, PaymentError, Timestamp,
    journal::row::{self, KEYS, LINES, REFUNDED, TOTALS, TRANSACTIONS},
};
use proptest::prelude::*;
use redb::{ReadableTable as _, WriteTransaction};
use std::collections::BTreeMap;
use tempfile::TempDir;

const NOW: Timestamp = Timestamp(1_000);

fn journal() -> (TempDir, Journal) {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(directory.path().join("billing.redb")).unwrap();
    (directory, journal)
}

fn key(key: &str) -> IdempotencyKey {
    IdempotencyKey::new(key).unwrap()
}

fn euros(cents: i64) -> Money {
    Cents(cents).of(Currency::EUR)
}

fn pay(user_id: u64, cents: i64, name: &str) -> Movement {
    Movement::payment(UserId(user_id), euros(cents), key(name))
}

fn refund(user_id: u64, of: u64, cents: i64, name: &str) -> Movement {
    Movement::refund(UserId(user_id), Sequence(of), euros(cents), key(name))
}

#[test]
fn an_empty_journal_has_clean_books() {
    let (_directory, journal) = journal();
    assert_eq!(verify(&journal).unwrap(), BooksReport::default());
}

#[test]
fn clean_books_are_counted_by_currency() {
    let (directory, journal) = journal();
    let dollars = Movement { amount: Cents(5).of(Currency::USD), ..pay(2, 5, "c") };
    let batch = [pay(1, 100, "a"), pay(2, 50, "b"), dollars, refund(1, 1, 30, "r")];
    assert!(journal.append(&batch, NOW).unwrap().iter().all(|posted| posted.answer.is_ok()));
    drop(journal);
    let report = verify_file(directory.path().join("billing.redb")).unwrap();
    let totals = BTreeMap::from([(Currency::EUR, 120), (Currency::USD, 5)]);
    assert_eq!(report, BooksReport { transactions: 4, refunds: 1, users: 2, totals });
    assert_eq!(
        report.to_string(),
        "4 transactions (1 of them refunds) of 2 users; 1.20 EUR; 0.05 USD"
    );
}

#[test]
fn a_file_that_is_missing_or_in_use_is_not_verified() {
    let (directory, _journal) = journal();
    let error = verify_file(directory.path().join("missing.redb")).unwrap_err();
    assert!(matches!(error, VerifyError::Journal(JournalError::Open(OpenError::Open { .. }))));
    assert!(error.source().is_some());
    let error = verify_file(directory.path().join("billing.redb")).unwrap_err();
    assert!(matches!(error, VerifyError::Journal(JournalError::Open(OpenError::InUse { .. }))));
}

/// What the check says of three payments and a refund after somebody has changed the file behind the
/// journal's back.
fn tampered(change: impl FnOnce(&WriteTransaction)) -> VerifyError {
    let (_directory, journal) = journal();
    let batch = [pay(1, 100, "a"), pay(2, 50, "b"), pay(2, 5, "c"), refund(1, 1, 30, "r")];
    journal.append(&batch, NOW).unwrap();
    verify(&journal).unwrap();
    let transaction = journal.lock();
    change(&transaction);
    transaction.commit().unwrap();
    verify(&journal).unwrap_err()
}

fn rewrite(sequence: u64, row: row::TransactionRow<'_>) -> VerifyError {
    tampered(|transaction| {
        transaction.open_table(TRANSACTIONS).unwrap().insert(sequence, row).unwrap();
    })
}

fn sides(user_id: u64, cents: i64) -> Vec<row::PostingRow<'static>> {
    vec![(1, user_id, b"EUR", cents), (0, 0, b"EUR", -cents)]
}

#[test]
fn transactions_that_were_changed_are_found_out() {
    let error = tampered(|transaction| {
        transaction.open_table(TRANSACTIONS).unwrap().remove(2).unwrap();
    });
    assert!(matches!(error, VerifyError::Gap { sequence: Sequence(2) }));
    assert_eq!(error.to_string(), "transaction 2 is missing");

    let uneven = vec![(1, 2, b"EUR", 50), (0, 0, b"EUR", -49)];
    let error = rewrite(2, (2, 0, 0, 1_000, 2_000, "b", uneven));
    assert!(matches!(error, VerifyError::Unbalanced { sequence: Sequence(2), sum: 1, .. }));
    assert_eq!(
        error.to_string(),
        "the postings of transaction 2 sum up to 1 cents EUR, not to zero"
    );

    let three = vec![(1, 2, b"EUR", 50), (0, 0, b"EUR", -49), (1, 1, b"EUR", -1)];
    for row in [
        (2, 0, 0, 1_000, 2_000, "b", three),
        (2, 0, 0, 1_000, 2_000, "b", sides(2, -50)),
        (2, 0, 0, 1_000, 2_000, "b", sides(2, 0)),
    ] {
        let error = rewrite(2, row);
        assert!(matches!(error, VerifyError::Shape { sequence: Sequence(2) }), "{error}");
        assert_eq!(error.to_string(), "transaction 2 is neither a payment nor a refund");
    }

    let error = rewrite(3, (2, 0, 0, 1_000, 2_000, "b", sides(2, 5)));
    let [first, second] = [Sequence(2), Sequence(3)];
    assert!(
        matches!(error, VerifyError::KeyTwice { first: f, second: s } if (f, s) == (first, second))
    );
    assert_eq!(error.to_string(), "transaction 3 has the key of transaction 2");

    let error = rewrite(1, (1, 0, 0, 1_000, 2_000, "other", sides(1, 100)));
    assert!(matches!(error, VerifyError::Key { .. }), "{error}");
    let error = rewrite(2, (2, 0, 0, 1_000, 2_000, "not a key", sides(2, 50)));
    assert!(matches!(error, VerifyError::Journal(JournalError::Corrupt { sequence: Sequence(2) })));
}

#[test]
fn refunds_that_were_changed_are_found_out() {
    for (user_id, of) in [(1, 9), (1, 4), (1, 2), (2, 1)] {
        let error = rewrite(4, (user_id, 1, of, 1_000, 2_000, "r", sides(user_id, -30)));
        assert!(matches!(error, VerifyError::RefundOfNothing { of: found, .. } if found.0 == of));
    }
    let dollars = vec![(1, 1, b"USD", -30), (0, 0, b"USD", 30)];
    let error = rewrite(4, (1, 1, 1, 1_000, 2_000, "r", dollars));
    assert_eq!(error.to_string(), "refund 4 is of 1, which is no payment that it can be of");
    let error = rewrite(4, (1, 1, 1, 1_000, 2_000, "r", sides(1, -101)));
    assert!(matches!(error, VerifyError::RefundAbovePayment { .. }));
    assert_eq!(error.to_string(), "with refund 4, more was refunded than payment 1");
    for (of, cents) in [(1, 31), (2, 1)] {
        let error = tampered(|transaction| {
            transaction.open_table(REFUNDED).unwrap().insert(of, cents).unwrap();
        });
        assert!(
            matches!(error, VerifyError::RefundedSum { of: found } if found.0 == of),
            "{error}"
        );
    }
}

#[test]
fn totals_keys_and_lines_that_were_changed_are_found_out() {
    let error = tampered(|transaction| {
        transaction.open_table(TOTALS).unwrap().insert((1, 1, b"EUR"), 99).unwrap();
    });
    assert!(matches!(error, VerifyError::Total { .. }));
    assert_eq!(error.to_string(), "user 1 holds 99 cents EUR in the totals and 70 in the postings");
    for (key, value) in [((0, 0, b"EUR"), -124), ((1, 9, b"EUR"), 0), ((1, 1, b"USD"), 1)] {
        let error = tampered(|transaction| {
            transaction.open_table(TOTALS).unwrap().insert(key, value).unwrap();
        });
        assert!(matches!(error, VerifyError::Total { .. }), "{error}");
    }
    let error = tampered(|transaction| {
        transaction.open_table(KEYS).unwrap().insert((1, "a"), 2).unwrap();
    });
    assert!(matches!(error, VerifyError::Key { sequence: Sequence(1) }));
    assert_eq!(error.to_string(), "the key of transaction 1 leads elsewhere");
    let error = tampered(|transaction| {
        transaction.open_table(KEYS).unwrap().insert((1, "surplus"), 1).unwrap();
    });
    assert!(matches!(error, VerifyError::SurplusRows { keys: 5, lines: 4 }));
    let error = tampered(|transaction| {
        transaction.open_table(LINES).unwrap().remove((2, 3)).unwrap();
    });
    assert!(matches!(error, VerifyError::Line { sequence: Sequence(3) }));
    assert_eq!(error.to_string(), "transaction 3 is missing on its user's statement");
    let error = tampered(|transaction| {
        transaction.open_table(LINES).unwrap().insert((9, 3), ()).unwrap();
    });
    assert!(matches!(error, VerifyError::SurplusRows { keys: 4, lines: 5 }));
    let error = tampered(|transaction| {
        let mut meta = transaction.open_table(row::META).unwrap();
        assert!(meta.first().unwrap().is_some());
        meta.insert("swept", 1).unwrap();
    });
    assert!(matches!(error, VerifyError::Key { sequence: Sequence(1) }), "{error}");
}

/// The rules once more, in few lines and without a disk.
#[derive(Default)]
struct Model {
    /// By user and key: the movement, its place and the end of the key's life.
    keys: BTreeMap<(u64, String), (Movement, u64, u64)>,
    /// By place: whose, how much, how much is refunded.
    payments: BTreeMap<u64, (u64, i64, i64)>,
    balances: BTreeMap<u64, i64>,
    last: u64,
}

impl Model {
    /// The receipt's place, if there is one.
    fn take(&mut self, movement: &Movement, now: u64) -> Option<u64> {
        let (user, cents) = (movement.user_id.0, movement.amount.cents.0);
        if cents <= 0 {
            return None;
        }
        let key = (user, movement.key.to_string());
        if let Some((known, place, until)) = self.keys.get(&key)
            && now < *until
        {
            return (known == movement).then_some(*place);
        }
        let change = match movement.kind {
            Kind::Payment => cents,
            Kind::Refund { of } => {
                let (whose, paid, refunded) = self.payments.get_mut(&of.0)?;
                if *whose != user || *refunded + cents > *paid {
                    return None;
                }
                *refunded += cents;
                -cents
            }
        };
        *self.balances.entry(user).or_default() += change;
        self.last += 1;
        if movement.kind == Kind::Payment {
            self.payments.insert(self.last, (user, cents, 0));
        }
        self.keys.insert(key, (movement.clone(), self.last, now + TTL));
        Some(self.last)
    }
}

const TTL: u64 = 10;

fn movement() -> impl Strategy<Value = Movement> {
    let refund_of = prop::option::of(1..30_u64);
    (0..3_u64, -1..50_i64, 0..12_u8, refund_of).prop_map(|(user, cents, name, refund_of)| {
        let name = format!("k{name}");
        match refund_of {
            Some(of) => refund(user, of, cents, &name),
            None => pay(user, cents, &name),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_books_follow_the_rules(
        batches in prop::collection::vec((prop::collection::vec(movement(), 0..8), 0..6_u64), 1..12)
    ) {
        let (_directory, journal) = journal();
        let journal = journal.with_key_ttl(std::time::Duration::from_millis(TTL));
        let (mut model, mut now) = (Model::default(), 0);
        for (batch, pause) in batches {
            now += pause;
            let posted = journal.append(&batch, Timestamp(now)).unwrap();
            for (movement, posted) in batch.iter().zip(&posted) {
                let place = posted.answer.as_ref().ok().map(|receipt| receipt.sequence.0);
                prop_assert_eq!(model.take(movement, now), place, "{:?}", posted);
                if let Some(balance) = posted.balance {
                    prop_assert_eq!(balance.cents.0, model.balances[&movement.user_id.0]);
                }
            }
        }
        let report = verify(&journal).unwrap();
        prop_assert_eq!(report.transactions, model.last);
        for (&user, &cents) in &model.balances {
            let balances = journal.balances(UserId(user)).unwrap();
            prop_assert_eq!(balances.of(Currency::EUR), Cents(cents));
        }
        let total: i64 = model.balances.values().sum();
        prop_assert_eq!(report.total(Currency::EUR), i128::from(total));
    }
}

#[test]
fn refusals_leave_no_trace_in_the_books() {
    let (_directory, journal) = journal();
    let batch = [pay(1, i64::MAX, "a"), pay(1, 1, "b"), pay(2, 0, "c"), refund(2, 1, 1, "d")];
    let posted = journal.append(&batch, NOW).unwrap();
    assert!(matches!(posted[1].answer, Err(PaymentError::BalanceOverflow { .. })));
    let report = verify(&journal).unwrap();
    assert_eq!((report.users, report.total(Currency::EUR)), (1, i128::from(i64::MAX)));
}
