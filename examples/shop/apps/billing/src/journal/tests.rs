//! Tests of the journal on real files.

use shop_storage::OpenError;

use super::*;
use crate::{BookAccount, Cents, Currency, Transaction, verify};
use redb::TableDefinition;
use std::error::Error as _;
use tempfile::TempDir;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const LATER: Timestamp = Timestamp(1_700_000_060_000);
const TTL: Duration = Duration::from_secs(100);
const AFTER_TTL: Timestamp = Timestamp(1_700_000_100_000);

fn journal() -> (TempDir, Journal) {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(directory.path().join("data/billing.redb")).unwrap();
    (directory, journal.with_key_ttl(TTL))
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

fn one(journal: &Journal, movement: Movement, now: Timestamp) -> Result<Receipt, PaymentError> {
    journal.append(&[movement], now).unwrap().remove(0).answer
}

fn all(journal: &Journal) -> Vec<Transaction> {
    let transactions = journal.transactions_after(Sequence(0)).unwrap();
    transactions.map(Result::unwrap).collect()
}

fn balance(journal: &Journal, user_id: u64) -> Cents {
    journal.balances(UserId(user_id)).unwrap().of(Currency::EUR)
}

#[test]
fn a_batch_is_numbered_in_order_and_survives_reopening() {
    let (directory, journal) = journal();
    let batch = [pay(1, 100, "a"), pay(2, 200, "b"), pay(1, 300, "c")];
    let posted = journal.append(&batch, NOW).unwrap();
    let sequences: Vec<u64> =
        posted.iter().map(|posted| posted.answer.as_ref().unwrap().sequence.0).collect();
    assert_eq!(sequences, [1, 2, 3]);
    let balances: Vec<_> = posted.iter().map(|posted| posted.balance).collect();
    assert_eq!(balances, [Some(euros(100)), Some(euros(200)), Some(euros(400))]);
    let before = all(&journal);
    drop(journal);

    let journal = Journal::open_existing(directory.path().join("data/billing.redb")).unwrap();
    assert_eq!(all(&journal), before);
    assert_eq!(one(&journal, pay(3, 1, "d"), NOW).unwrap().sequence, Sequence(4));
    assert_eq!((balance(&journal, 1), balance(&journal, 9)), (Cents(400), Cents::ZERO));
}

#[test]
fn a_repeated_payment_gets_the_first_receipt() {
    let (_directory, journal) = journal();
    let first = one(&journal, pay(1, 100, "a"), NOW).unwrap();
    let again = journal.append(&[pay(1, 100, "a")], LATER).unwrap().remove(0);
    assert_eq!(again, Posted { answer: Ok(first.clone()), balance: Some(euros(100)) });
    assert_eq!(first.recorded_at, NOW);
    assert_eq!(journal.receipt(UserId(1), &first.key, LATER).unwrap(), Some(first));
}

#[test]
fn a_payment_repeated_within_one_batch_is_taken_once() {
    let (_directory, journal) = journal();
    let batch = [pay(1, 100, "a"), pay(1, 100, "a"), pay(1, 999, "a")];
    let posted = journal.append(&batch, NOW).unwrap();
    assert_eq!(posted[0].answer, posted[1].answer);
    let refused = Posted { answer: Err(PaymentError::KeyReuse { key: key("a") }), balance: None };
    assert_eq!(posted[2], refused);
    assert_eq!(balance(&journal, 1), Cents(100));
}

#[test]
fn a_key_with_other_contents_is_refused_and_belongs_to_its_user() {
    let (_directory, journal) = journal();
    one(&journal, pay(1, 100, "a"), NOW).unwrap();
    let dollars = Movement { amount: Cents(100).of(Currency::USD), ..pay(1, 100, "a") };
    for other in [pay(1, 101, "a"), dollars, refund(1, 1, 100, "a")] {
        assert_eq!(one(&journal, other, NOW), Err(PaymentError::KeyReuse { key: key("a") }));
    }
    assert_eq!(one(&journal, pay(2, 100, "a"), NOW).unwrap().user_id, UserId(2));
    assert_eq!(all(&journal).len(), 2);
}

#[test]
fn a_key_is_free_again_when_its_life_span_is_over() {
    let (_directory, journal) = journal();
    let first = one(&journal, pay(1, 100, "a"), NOW).unwrap();
    let last_moment = Timestamp(AFTER_TTL.0 - 1);
    assert_eq!(one(&journal, pay(1, 100, "a"), last_moment), Ok(first));
    assert_eq!(journal.receipt(UserId(1), &key("a"), AFTER_TTL).unwrap(), None);
    let second = one(&journal, pay(1, 7, "a"), AFTER_TTL).unwrap();
    assert_eq!((second.sequence, balance(&journal, 1)), (Sequence(2), Cents(107)));
    assert_eq!(verify(&journal).unwrap().transactions, 2);
}

#[test]
fn a_key_keeps_the_life_span_that_it_was_written_with() {
    let (_directory, journal) = journal();
    let first = one(&journal, pay(1, 100, "a"), NOW).unwrap();
    let impatient = journal.clone().with_key_ttl(Duration::ZERO);
    assert_eq!(one(&impatient, pay(1, 100, "a"), LATER), Ok(first));
    one(&impatient, pay(1, 100, "b"), LATER).unwrap();
    assert_eq!(one(&journal, pay(1, 9, "b"), LATER).unwrap().amount, euros(9));
}

#[test]
fn keys_are_forgotten_in_bounded_batches_when_their_time_is_over() {
    let (_directory, journal) = journal();
    let keys = |journal: &Journal| journal.read().unwrap().counts().unwrap().keys;
    let batch: Vec<_> = (0..2_500).map(|i| pay(i % 7, 1, &format!("k{i}"))).collect();
    journal.append(&batch, NOW).unwrap();
    one(&journal, pay(1, 1, "young"), LATER).unwrap();
    assert_eq!((journal.sweep(LATER).unwrap(), keys(&journal)), (0, 2_501));
    assert_eq!((journal.sweep(AFTER_TTL).unwrap(), keys(&journal)), (SWEEP_MAX, 1_501));
    verify(&journal).unwrap();
    // A payment sweeps on its way. "k1000" is used again before the sweep has come to it.
    one(&journal, pay(1_000 % 7, 1, "k1000"), AFTER_TTL).unwrap();
    assert_eq!(keys(&journal), 502, "the 501 that are left, and the new use");
    assert_eq!((journal.sweep(AFTER_TTL).unwrap(), keys(&journal)), (500, 2));
    assert_eq!(journal.sweep(AFTER_TTL).unwrap(), 0);
    let young = journal.receipt(UserId(1), &key("young"), AFTER_TTL).unwrap();
    assert_eq!(young.map(|receipt| receipt.sequence), Some(Sequence(2_501)));
    assert_eq!(verify(&journal).unwrap().transactions, 2_502);
}

#[test]
fn a_clock_that_goes_back_stands_still_in_the_journal() {
    let (_directory, journal) = journal();
    let first = one(&journal, pay(1, 100, "a"), NOW).unwrap();
    assert_eq!(journal.sweep(AFTER_TTL).unwrap(), 1);
    // The key was forgotten: who uses it again must not be younger than its life span's end.
    let second = one(&journal, pay(1, 100, "a"), LATER).unwrap();
    assert_eq!((second.sequence, second.recorded_at), (Sequence(2), AFTER_TTL));
    assert!(first.recorded_at < second.recorded_at);
    assert_eq!(verify(&journal).unwrap().transactions, 2);
}

#[test]
fn amounts_that_are_not_positive_are_refused() {
    let (_directory, journal) = journal();
    for cents in [0, -1, i64::MIN] {
        for movement in [pay(1, cents, "a"), refund(1, 1, cents, "a")] {
            let refused = PaymentError::AmountNotPositive { amount: Cents(cents) };
            assert_eq!(one(&journal, movement, NOW), Err(refused));
        }
    }
    // A refused payment does not use up its key.
    assert!(one(&journal, pay(1, 1, "a"), NOW).is_ok());
}

#[test]
fn a_balance_that_would_overflow_is_refused_and_the_rest_of_the_batch_is_taken() {
    let (_directory, journal) = journal();
    let dollars = Movement { amount: Cents(5).of(Currency::USD), ..pay(1, 5, "d") };
    let batch = [pay(1, i64::MAX, "a"), pay(1, 1, "b"), pay(2, 5, "c"), dollars];
    let posted = journal.append(&batch, NOW).unwrap();
    let overflow = |account, cents| {
        let balance = euros(cents);
        Err(PaymentError::BalanceOverflow { account, balance })
    };
    assert_eq!(posted[1].answer, overflow(BookAccount::User(UserId(1)), i64::MAX));
    assert_eq!(posted[2].answer, overflow(BookAccount::Cash, -i64::MAX));
    assert_eq!(posted[3].answer.as_ref().unwrap().sequence, Sequence(2), "no gap");
    assert_eq!(balance(&journal, 1), Cents::MAX);
    assert_eq!(verify(&journal).unwrap().total(Currency::EUR), i128::from(i64::MAX));
}

#[test]
fn a_payment_is_refunded_in_parts_and_never_above_itself() {
    let (_directory, journal) = journal();
    one(&journal, pay(1, 100, "a"), NOW).unwrap();
    let receipt = one(&journal, refund(1, 1, 60, "r1"), NOW).unwrap();
    assert_eq!(receipt.kind, crate::Kind::Refund { of: Sequence(1) });
    assert_eq!((receipt.amount, balance(&journal, 1)), (euros(60), Cents(40)));
    assert_eq!(
        one(&journal, refund(1, 1, 60, "r1"), LATER),
        Ok(receipt),
        "a retry is no second one"
    );

    let above = PaymentError::AboveRest { of: Sequence(1), rest: euros(40) };
    assert_eq!(one(&journal, refund(1, 1, 41, "r2"), NOW), Err(above));
    let batch = [refund(1, 1, 30, "r2"), refund(1, 1, 30, "r3"), refund(1, 1, 10, "r4")];
    let posted = journal.append(&batch, NOW).unwrap();
    let is_taken: Vec<bool> = posted.iter().map(|posted| posted.answer.is_ok()).collect();
    assert_eq!(is_taken, [true, false, true]);
    assert_eq!(balance(&journal, 1), Cents::ZERO);
    let report = verify(&journal).unwrap();
    assert_eq!((report.transactions, report.refunds, report.total(Currency::EUR)), (4, 3, 0));
}

#[test]
fn only_the_users_own_payments_are_refunded_and_in_their_currency() {
    let (_directory, journal) = journal();
    one(&journal, pay(1, 100, "a"), NOW).unwrap();
    one(&journal, refund(1, 1, 50, "r"), NOW).unwrap();
    let no_such_payment = |of| Err(PaymentError::NoSuchPayment { of: Sequence(of) });
    for (user_id, of) in [(1, 0), (1, 9), (2, 1), (1, 2)] {
        assert_eq!(one(&journal, refund(user_id, of, 1, "x"), NOW), no_such_payment(of));
    }
    let dollars = Movement { amount: Cents(1).of(Currency::USD), ..refund(1, 1, 1, "x") };
    let other = PaymentError::OtherCurrency { of: Sequence(1), currency: Currency::EUR };
    assert_eq!(one(&journal, dollars, NOW), Err(other));
}

#[test]
fn a_batch_without_news_writes_nothing() {
    let (directory, journal) = journal();
    let path = directory.path().join("data/billing.redb");
    one(&journal, pay(1, 100, "a"), NOW).unwrap();
    let before = std::fs::read(&path).unwrap();
    journal.append(&[pay(1, 100, "a"), pay(1, 0, "b")], LATER).unwrap();
    journal.append(&[], LATER).unwrap();
    journal.sweep(LATER).unwrap();
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
    assert_eq!(crate::verify_file(&image).unwrap().total(Currency::EUR), 100);
    let found = Journal::open_existing(image).unwrap();
    assert_eq!(found.receipt(UserId(1), &receipt.key, NOW).unwrap(), Some(receipt));
}

#[test]
fn unknown_keys_have_no_receipt() {
    let (_directory, journal) = journal();
    assert_eq!(journal.receipt(UserId(1), &key("nobody"), NOW).unwrap(), None);
}

#[test]
fn transactions_after_a_sequence_are_the_younger_ones() {
    let (_directory, journal) = journal();
    let batch: Vec<_> = (0..5).map(|i| pay(i, 10, &format!("k{i}"))).collect();
    journal.append(&batch, NOW).unwrap();
    let after = |sequence| journal.transactions_after(Sequence(sequence)).unwrap().count();
    assert_eq!((after(0), after(3), after(5), after(u64::MAX)), (5, 2, 0, 0));
}

#[test]
fn a_statement_is_paged_newest_first_and_stable_under_new_payments() {
    let (_directory, journal) = journal();
    let post = |from: u64, to: u64| {
        let batch: Vec<_> = (from..to).map(|i| pay(i % 2, 10, &format!("k{i}"))).collect();
        journal.append(&batch, NOW).unwrap();
    };
    let page = |after, limit| {
        let statement = journal.statement(UserId(0), Page { after, limit }).unwrap();
        let lines: Vec<u64> = statement.lines.iter().map(|line| line.sequence.0).collect();
        (lines, statement.next)
    };
    assert_eq!(page(None, 2), (vec![], None));
    post(0, 10);
    assert_eq!(page(None, 2), (vec![9, 7], Some(Sequence(7))));
    post(10, 14);
    assert_eq!(page(Some(Sequence(7)), 2), (vec![5, 3], Some(Sequence(3))));
    assert_eq!(page(Some(Sequence(3)), 2), (vec![1], None));
    assert_eq!(page(Some(Sequence(3)), 1), (vec![1], None));
    assert_eq!(page(None, 200), (vec![13, 11, 9, 7, 5, 3, 1], None));
    let line = journal.statement(UserId(0), Page::default()).unwrap().lines.remove(0);
    assert_eq!(Ok(line), one(&journal, pay(0, 10, "k12"), NOW));
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
                    let posted = journal.append(&[own, shared], NOW).unwrap();
                    assert!(posted.iter().all(|posted| posted.answer.is_ok()));
                }
            });
        }
    });
    let report = verify(&journal).unwrap();
    let total = report.total(Currency::EUR);
    assert_eq!((report.transactions, report.users, total), (25, 5, 4 * 5 + 5 * 7));
}

#[test]
fn a_file_open_elsewhere_is_an_error_with_its_cause() {
    let (directory, _journal) = journal();
    let path = directory.path().join("data/billing.redb");
    let error = Journal::open(&path).unwrap_err();
    assert!(matches!(error, JournalError::Open(OpenError::InUse { .. })), "{error}");
    let error = Journal::open(path.join("below-a-file/billing.redb")).unwrap_err();
    assert!(matches!(error, JournalError::Open(OpenError::Directory { .. })), "{error}");
    let error = Journal::open_existing(directory.path().join("missing.redb")).unwrap_err();
    assert!(
        matches!(error, JournalError::Open(OpenError::Open { .. })) && error.source().is_some()
    );
    assert!(!directory.path().join("missing.redb").exists());
}

#[test]
fn a_new_journal_is_the_only_file_in_its_directory() {
    let (directory, _journal) = journal();
    let files = std::fs::read_dir(directory.path().join("data")).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["billing.redb"]);
}

#[test]
fn programs_that_make_a_journal_at_the_same_time_do_not_hide_it_from_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("billing.redb");
    std::thread::scope(|scope| {
        let open = || match Journal::open(&path) {
            Ok(journal) => one(&journal, pay(1, 100, "a"), NOW).map(Some).unwrap(),
            Err(JournalError::Open(OpenError::InUse { .. })) => None,
            Err(error) => panic!("{error}"),
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        let receipts: Vec<_> = threads.into_iter().filter_map(|t| t.join().unwrap()).collect();
        assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
    });
    assert_eq!(crate::verify_file(&path).unwrap().transactions, 1);
}

#[test]
fn a_file_of_another_format_is_refused_and_left_as_it_is() {
    const OLD: TableDefinition<u64, u64> = TableDefinition::new("entries");
    let make = |change: &dyn Fn(&redb::WriteTransaction)| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("billing.redb");
        let database = Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        change(&transaction);
        transaction.commit().unwrap();
        drop(database);
        let error = Journal::open(&path).unwrap_err();
        let database = Database::open(&path).unwrap();
        let tables = database.begin_read().unwrap().list_tables().unwrap().count();
        (error, tables)
    };
    let (error, tables) = make(&|old| {
        old.open_table(OLD).unwrap().insert(1, 1).unwrap();
    });
    assert!(matches!(error, JournalError::Format { found: 1, .. }) && tables == 1);
    let text = error.to_string();
    assert!(text.contains("is of format 1 and this program reads format 2"), "{text}");
    assert!(text.contains("move the file away"), "{text}");
    let (error, tables) = make(&|newer| {
        newer.open_table(row::META).unwrap().insert("format", 3).unwrap();
    });
    assert!(matches!(error, JournalError::Format { found: 3, .. }) && tables == 1);
}

#[test]
fn rows_that_break_the_rules_are_corrupt() {
    let postings = || vec![(1, 1, b"EUR", 5), (0, 0, b"EUR", -5)];
    let rows: [row::TransactionRow<'_>; 6] = [
        (1, 0, 0, 1, 2, "not a key", postings()),
        (1, 9, 0, 1, 2, "kind", postings()),
        (1, 0, 7, 1, 2, "payment-of", postings()),
        (1, 0, 0, 1, 2, "account", vec![(1, 1, b"EUR", 5), (9, 0, b"EUR", -5)]),
        (1, 0, 0, 1, 2, "currency", vec![(1, 1, b"XYZ", 5), (0, 0, b"EUR", -5)]),
        (2, 0, 0, 1, 2, "whose", postings()),
    ];
    for row in rows {
        let (_directory, journal) = journal();
        let transaction = journal.lock();
        transaction.open_table(row::TRANSACTIONS).unwrap().insert(1, row).unwrap();
        transaction.commit().unwrap();
        let found = journal.transactions_after(Sequence(0)).unwrap().next().unwrap();
        assert!(matches!(found, Err(JournalError::Corrupt { sequence: Sequence(1) })));
    }
    let (_directory, journal) = journal();
    let transaction = journal.lock();
    transaction.open_table(row::TOTALS).unwrap().insert((1, 1, b"XYZ"), 5).unwrap();
    transaction.commit().unwrap();
    assert!(matches!(journal.balances(UserId(1)), Err(JournalError::CorruptBalance)));
}
