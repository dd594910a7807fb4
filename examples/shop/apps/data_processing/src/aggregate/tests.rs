//! Groups, limits and what merging promises.

use std::time::Duration;

use super::*;

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn row<'r>(key: &'r str, value: &str) -> Row<'r> {
    Row { key, value: decimal(value), distinct: None, when: When::Whenever }
}

/// A row at so many seconds, in windows of ten.
fn row_at(secs: i64, late: Late) -> Row<'static> {
    let time = Timestamp::parse(secs.to_string().as_bytes()).unwrap();
    let windows = Windows::tumbling(Duration::from_secs(10)).unwrap();
    Row { when: When::At { time, windows, late }, ..row("a", "1") }
}

fn bad(line: u64) -> BadLine {
    BadLine { line, reason: BadReason::KeyNotUtf8 }
}

fn lines(aggregates: &Aggregates) -> Vec<u64> {
    aggregates.bad().iter().map(|bad| bad.line).collect()
}

#[test]
fn an_aggregate_sums_up_its_values() {
    let mut totals = Aggregates::new(Limits::default());
    for value in ["1.5", "-2", "0.1"] {
        totals.add(row("north", value)).unwrap();
    }
    let north = totals.get("north").unwrap();
    assert_eq!((north.count(), north.sum()), (3, decimal("-0.4")));
    assert_eq!((north.min(), north.max()), (decimal("-2"), decimal("1.5")));
    assert_eq!(north.mean(), decimal("-0.133333333"));
    assert_eq!(north.stddev(), Some(decimal("1.761628035")));
    assert_eq!((north.percentile(50), north.percentile(99)), (decimal("0.1"), decimal("0.1")));
    assert!(totals.get("south").is_none());
}

#[test]
fn different_values_are_counted_per_key() {
    let mut totals = Aggregates::new(Limits::default());
    for (key, user) in [("a", "x"), ("a", "y"), ("a", "x"), ("b", "x")] {
        totals.add(Row { distinct: Some(user.as_bytes()), ..row(key, "1") }).unwrap();
    }
    totals.add(row("b", "1")).unwrap();
    let count = |key| totals.get(key).map(|group| (group.count(), group.distinct()));
    assert_eq!((count("a"), count("b")), (Some((3, Some(2))), Some((2, Some(1)))));
}

#[test]
fn only_the_first_bad_lines_are_kept_whatever_the_order_of_the_parts() {
    let limits = Limits { bad_lines_kept_max: 4, ..Limits::default() };
    let part = |lines: &[u64]| {
        let mut part = Aggregates::new(limits);
        lines.iter().for_each(|&line| part.add_bad(bad(line)));
        part
    };
    let parts = [part(&[2, 3]), part(&[5, 6, 7, 8, 9]), part(&[11]), part(&[])];
    for order in [[0, 1, 2, 3], [2, 1, 0, 3], [1, 3, 2, 0]] {
        let mut totals = Aggregates::new(limits);
        for index in order {
            totals.merge(parts[index].clone()).unwrap();
        }
        assert_eq!((totals.bad_lines(), lines(&totals)), (8, vec![2, 3, 5, 6]));
    }
}

#[test]
fn too_many_keys_are_an_error_in_add_and_in_merge() {
    let limits = Limits { keys_max: 2, ..Limits::default() };
    let mut totals = Aggregates::new(limits);
    for key in ["a", "b", "a"] {
        totals.add(row(key, "1")).unwrap();
    }
    let error = Err(FileError::TooManyKeys { keys_max: 2 });
    assert_eq!(totals.add(row("c", "1")), error);
    let mut part = Aggregates::new(limits);
    part.add(row("c", "1")).unwrap();
    assert_eq!(totals.merge(part), error);
}

#[test]
fn too_many_bytes_of_keys_are_an_error() {
    let limits = Limits { key_bytes_max: 5, ..Limits::default() };
    let mut totals = Aggregates::new(limits);
    totals.add(row("abcde", "1")).unwrap();
    assert_eq!(totals.add(row("f", "1")), Err(FileError::KeysTooLarge { key_bytes_max: 5 }));
}

#[test]
fn too_many_windows_are_an_error() {
    let limits = Limits { windows_max: 2, ..Limits::default() };
    let mut totals = Aggregates::new(limits);
    for secs in [0, 10, 5, 19] {
        totals.add(row_at(secs, Late::Include)).unwrap();
    }
    let error = FileError::TooManyWindows { windows_max: 2 };
    assert_eq!(totals.add(row_at(20, Late::Include)), Err(error));
}

#[test]
fn sketches_that_take_too_much_memory_are_an_error() {
    let limits = Limits { sketch_bytes_max: 4_000, ..Limits::default() };
    let mut totals = Aggregates::new(limits);
    let error = Err(FileError::SketchesTooLarge { sketch_bytes_max: 4_000 });
    let mut keys = (0..100).map(|key| key.to_string());
    let refused = keys.find(|key| {
        let mut added = (0..30).map(|_| totals.add(row(key, "1")));
        added.any(|added| added == error)
    });
    let refused: u32 = refused.unwrap().parse().unwrap();
    assert!((1..10).contains(&refused), "{refused}");
}

#[test]
fn a_sum_that_does_not_fit_is_an_error() {
    let mut totals = Aggregates::new(Limits::default());
    let largest = Decimal::from_billionths(i128::MAX);
    totals.add(Row { value: largest, ..row("a", "0") }).unwrap();
    assert_eq!(totals.add(row("a", "1")), Err(FileError::SumOverflow { key: "a".into() }));
}

#[test]
fn late_rows_are_left_out_and_counted_if_that_is_the_policy() {
    let lateness = Duration::from_secs(5);
    for (late, rows, late_rows) in [(Late::Include, 5, 0), (Late::Drop { lateness }, 3, 2)] {
        let mut totals = Aggregates::new(Limits::default());
        for secs in [10, 20, 15, 14, 0] {
            totals.add(row_at(secs, late)).unwrap();
        }
        assert_eq!((totals.rows(), totals.late_rows()), (rows, late_rows));
        assert_eq!(totals.latest(), Some(Timestamp::parse(b"20").unwrap()));
    }
}

#[test]
fn a_part_tells_whether_it_holds_after_another() {
    let late = Late::Drop { lateness: Duration::from_secs(5) };
    let mut part = Aggregates::new(Limits::default());
    assert!(part.holds_after(late, Some(Timestamp::parse(b"1000").unwrap())));
    for secs in [20, 15, 30] {
        part.add(row_at(secs, late)).unwrap();
    }
    for (latest, holds) in [("0", true), ("20", true), ("21", false)] {
        let latest = Timestamp::parse(latest.as_bytes()).ok();
        assert_eq!(part.holds_after(late, latest), holds, "{latest:?}");
    }
    assert!(part.holds_after(late, None));
}
