//! The result of an aggregation, whole or of a part: per key, plus what was left out.
//!
//! Owned by one process and sent as a message. Invariants: an [`Aggregate`] has seen at least one
//! value; merging parts in any order gives the same result; nothing here grows past its
//! [`Limits`].

use std::{collections::HashMap, fmt, num::NonZeroU64};

use serde::{Deserialize, Serialize};

use crate::{CsvError, Decimal, Limits, ParseDecimalError};

/// Count, sum, min, max and mean of at least one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate {
    count: NonZeroU64,
    sum: Decimal,
    min: Decimal,
    max: Decimal,
}

impl Aggregate {
    /// The aggregate of one value.
    #[must_use]
    pub fn of(value: Decimal) -> Aggregate {
        Aggregate { count: NonZeroU64::MIN, sum: value, min: value, max: value }
    }

    /// The aggregate of both sets of values, or `None` when the sum does not fit.
    #[must_use]
    pub fn merged(self, other: Aggregate) -> Option<Aggregate> {
        Some(Aggregate {
            count: self.count.checked_add(other.count.get())?,
            sum: self.sum.checked_add(other.sum)?,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        })
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.count.get()
    }

    /// Their exact sum.
    pub fn sum(&self) -> Decimal {
        self.sum
    }

    /// The least of them.
    pub fn min(&self) -> Decimal {
        self.min
    }

    /// The greatest of them.
    pub fn max(&self) -> Decimal {
        self.max
    }

    /// Sum divided by count, rounded to nine digits after the point, half to even.
    pub fn mean(&self) -> Decimal {
        self.sum.mean(self.count)
    }
}

/// The aggregates of all keys, and the lines that were not counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregates {
    limits: Limits,
    keys: HashMap<String, Aggregate>,
    key_bytes: usize,
    rows: u64,
    bad_lines: u64,
    bad: Vec<BadLine>,
}

impl Aggregates {
    /// Nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Aggregates {
        Aggregates {
            limits,
            keys: HashMap::new(),
            key_bytes: 0,
            rows: 0,
            bad_lines: 0,
            bad: Vec::new(),
        }
    }

    /// Takes in one row.
    ///
    /// # Errors
    /// [`CsvError::TooManyKeys`], [`CsvError::KeysTooLarge`], [`CsvError::SumOverflow`]; the row was
    /// not taken in.
    pub fn add(&mut self, key: &str, value: Decimal) -> Result<(), CsvError> {
        let value = Aggregate::of(value);
        match self.keys.get_mut(key) {
            Some(known) => *known = merge_key(key, *known, value)?,
            None => self.insert(key.to_owned(), value)?,
        }
        self.rows += 1;
        Ok(())
    }

    /// Counts a line that is not a row, and keeps its number if it is one of the first.
    pub fn add_bad(&mut self, bad: BadLine) {
        self.bad_lines += 1;
        self.keep(&[bad]);
    }

    /// Takes in another part of the same file. Parts may come in any order.
    ///
    /// # Errors
    /// As [`Aggregates::add`]; some keys of the part may have been taken in: give the whole up.
    pub fn merge(&mut self, part: Aggregates) -> Result<(), CsvError> {
        for (key, value) in part.keys {
            match self.keys.get_mut(&key) {
                Some(known) => *known = merge_key(&key, *known, value)?,
                None => self.insert(key, value)?,
            }
        }
        self.rows += part.rows;
        self.bad_lines += part.bad_lines;
        self.keep(&part.bad);
        Ok(())
    }

    /// The aggregate of a key.
    pub fn get(&self, key: &str) -> Option<&Aggregate> {
        self.keys.get(key)
    }

    /// Number of distinct keys.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Number of rows taken in.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Number of lines that were not rows.
    pub fn bad_lines(&self) -> u64 {
        self.bad_lines
    }

    /// The first bad lines of the file, at most [`Limits::bad_lines_kept_max`].
    pub fn bad(&self) -> &[BadLine] {
        &self.bad
    }

    /// The result in the order of the keys, for showing it.
    #[must_use]
    pub fn into_report(self) -> Report {
        let mut keys: Vec<KeyReport> = self.keys.into_iter().map(KeyReport::new).collect();
        keys.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Report { rows: self.rows, bad_lines: self.bad_lines, bad: self.bad, keys }
    }

    fn insert(&mut self, key: String, value: Aggregate) -> Result<(), CsvError> {
        let Limits { keys_max, key_bytes_max, .. } = self.limits;
        if self.keys.len() >= keys_max {
            return Err(CsvError::TooManyKeys { keys_max });
        }
        if self.key_bytes + key.len() > key_bytes_max {
            return Err(CsvError::KeysTooLarge { key_bytes_max });
        }
        self.key_bytes += key.len();
        self.keys.insert(key, value);
        Ok(())
    }

    /// Keeps the first of both, in the order of the file. Both are in that order already, and
    /// mostly one comes after the other.
    fn keep(&mut self, more: &[BadLine]) {
        let kept_max = self.limits.bad_lines_kept_max;
        let in_order = match (self.bad.last(), more.first()) {
            (Some(last), Some(first)) => last.line <= first.line,
            _ => true,
        };
        if in_order {
            let room = kept_max.saturating_sub(self.bad.len());
            self.bad.extend(more.iter().take(room));
        } else {
            self.bad.extend(more);
            self.bad.sort_by_key(|bad| bad.line);
            self.bad.truncate(kept_max);
        }
    }
}

fn merge_key(key: &str, a: Aggregate, b: Aggregate) -> Result<Aggregate, CsvError> {
    a.merged(b).ok_or_else(|| CsvError::SumOverflow { key: key.to_owned() })
}

/// A line that was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadLine {
    /// Where its record begins; the file's first line is 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: BadReason,
}

/// Why a line was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BadReason {
    /// It has more or fewer fields than the header.
    FieldCount {
        /// Its fields.
        found: usize,
        /// The header's fields.
        expected: usize,
    },
    /// The key is not UTF-8.
    KeyNotUtf8,
    /// The key is longer than [`Limits::key_len_max`].
    KeyTooLong,
    /// The value is not a plain decimal.
    Value(ParseDecimalError),
    /// A quote was opened and never closed: the record swallowed the rest of the file.
    OpenQuote,
}

impl fmt::Display for BadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadReason::FieldCount { found, expected } => {
                write!(f, "{found} fields, but the header has {expected}")
            }
            BadReason::KeyNotUtf8 => f.write_str("the key is not UTF-8"),
            BadReason::KeyTooLong => f.write_str("the key is too long"),
            BadReason::Value(error) => write!(f, "the value: {error}"),
            BadReason::OpenQuote => f.write_str("a quote is never closed"),
        }
    }
}

/// A finished aggregation, in the order of its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Rows taken in.
    pub rows: u64,
    /// Lines that were not rows.
    pub bad_lines: u64,
    /// The first of them.
    pub bad: Vec<BadLine>,
    /// One entry a key, sorted by key.
    pub keys: Vec<KeyReport>,
}

/// One key of a [`Report`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyReport {
    /// The key.
    pub key: String,
    /// Number of values.
    pub count: u64,
    /// Their exact sum.
    pub sum: Decimal,
    /// The least of them.
    pub min: Decimal,
    /// The greatest of them.
    pub max: Decimal,
    /// Sum divided by count, rounded to nine digits after the point, half to even.
    pub mean: Decimal,
}

impl KeyReport {
    fn new((key, aggregate): (String, Aggregate)) -> KeyReport {
        let Aggregate { count, sum, min, max } = aggregate;
        KeyReport { key, count: count.get(), sum, min, max, mean: aggregate.mean() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
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
            totals.add("north", decimal(value)).unwrap();
        }
        let north = totals.get("north").unwrap();
        assert_eq!((north.count(), north.sum()), (3, decimal("-0.4")));
        assert_eq!((north.min(), north.max()), (decimal("-2"), decimal("1.5")));
        assert_eq!(north.mean(), decimal("-0.133333333"));
        assert_eq!(totals.get("south"), None);
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
        totals.add("a", decimal("1")).unwrap();
        totals.add("b", decimal("1")).unwrap();
        totals.add("a", decimal("1")).unwrap();
        let error = Err(CsvError::TooManyKeys { keys_max: 2 });
        assert_eq!(totals.add("c", decimal("1")), error);
        let mut part = Aggregates::new(limits);
        part.add("c", decimal("1")).unwrap();
        assert_eq!(totals.merge(part), error);
    }

    #[test]
    fn too_many_bytes_of_keys_are_an_error() {
        let limits = Limits { key_bytes_max: 5, ..Limits::default() };
        let mut totals = Aggregates::new(limits);
        totals.add("abcde", decimal("1")).unwrap();
        assert_eq!(totals.add("f", decimal("1")), Err(CsvError::KeysTooLarge { key_bytes_max: 5 }));
    }

    #[test]
    fn a_sum_that_does_not_fit_is_an_error() {
        let mut totals = Aggregates::new(Limits::default());
        totals.add("a", Decimal::from_billionths(i128::MAX)).unwrap();
        assert_eq!(
            totals.add("a", Decimal::from_billionths(1)),
            Err(CsvError::SumOverflow { key: "a".into() })
        );
    }

    #[test]
    fn a_report_is_sorted_and_reads_well_as_json() {
        let mut totals = Aggregates::new(Limits::default());
        totals.add("b", decimal("1.50")).unwrap();
        totals.add("a", decimal("2")).unwrap();
        let reason = BadReason::FieldCount { found: 1, expected: 2 };
        totals.add_bad(BadLine { line: 9, reason });
        let report = totals.into_report();
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"rows":2,"bad_lines":1,"#,
                r#""bad":[{"line":9,"reason":{"field_count":{"found":1,"expected":2}}}],"#,
                r#""keys":[{"key":"a","count":1,"sum":"2","min":"2","max":"2","mean":"2"},"#,
                r#"{"key":"b","count":1,"sum":"1.5","min":"1.5","max":"1.5","mean":"1.5"}]}"#,
            )
        );
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }
}
