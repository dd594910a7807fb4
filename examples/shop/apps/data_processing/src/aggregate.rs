//! The result of an aggregation, whole or of a part: per group, plus what was left out.
//!
//! Owned by one process and sent as a message. Invariants: an [`Aggregate`] has seen at least one
//! value; merging parts in any order gives the same result, to the last digit; nothing here grows
//! past its [`Limits`].

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    num::NonZeroU64,
};

use serde::{Deserialize, Serialize};

use self::{distinct::Distinct, quantiles::Quantiles, spread::Squares};
use crate::{
    Decimal, FileError, Late, Limits, ParseDecimalError, ParseTimeError, Report, Timestamp, Window,
    Windows,
};

mod distinct;
mod quantiles;
mod spread;

pub use distinct::DISTINCT_ERROR;
pub use quantiles::{EXACT_MAX, QUANTILE_ERROR_MAX};

/// One row, as far as it is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'r> {
    /// What it is grouped by.
    pub key: &'r str,
    /// What is summed up.
    pub value: Decimal,
    /// Of what different values are counted, if that was asked for and the row has one.
    pub distinct: Option<&'r [u8]>,
    /// When it happened.
    pub when: When,
}

/// When a row happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Time is of no interest.
    Whenever,
    /// Rows are grouped by window, too.
    At {
        /// Its time.
        time: Timestamp,
        /// The windows.
        windows: Windows,
        /// What becomes of it when it is late.
        late: Late,
    },
}

/// Everything about at least one value.
#[derive(Clone, Debug)]
pub struct Aggregate {
    count: NonZeroU64,
    sum: Decimal,
    min: Decimal,
    max: Decimal,
    squares: Squares,
    quantiles: Quantiles,
    distinct: Option<Box<Distinct>>,
}

impl Aggregate {
    /// The aggregate of one row.
    #[must_use]
    pub fn of(row: Row<'_>) -> Aggregate {
        let Row { value, distinct, .. } = row;
        let mut aggregate = Aggregate {
            count: NonZeroU64::MIN,
            sum: value,
            min: value,
            max: value,
            squares: Squares::of(value),
            quantiles: Quantiles::of(value),
            distinct: None,
        };
        aggregate.add_distinct(distinct);
        aggregate
    }

    /// Takes in one more row; `None` when the sums do not fit, and then nothing has changed.
    #[must_use]
    pub fn add(&mut self, row: Row<'_>) -> Option<()> {
        let Row { value, distinct, .. } = row;
        self.add_moments(NonZeroU64::MIN, value, Squares::of(value))?;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.quantiles.add(value);
        self.add_distinct(distinct);
        Some(())
    }

    /// Takes in all rows of another aggregate; `None` when the sums do not fit.
    #[must_use]
    pub fn merge(&mut self, other: Aggregate) -> Option<()> {
        self.add_moments(other.count, other.sum, other.squares)?;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.quantiles.merge(other.quantiles);
        match (&mut self.distinct, other.distinct) {
            (Some(known), Some(more)) => known.merge(&more),
            (none @ None, more) => *none = more,
            (Some(_), None) => {}
        }
        Some(())
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

    /// The sample standard deviation (of count less one), rounded as the mean; `None` for one value.
    pub fn stddev(&self) -> Option<Decimal> {
        self.squares.stddev(self.sum, self.count)
    }

    /// A value at or below which so many percent of the values are: exact up to [`EXACT_MAX`] values,
    /// beyond off by at most [`QUANTILE_ERROR_MAX`] of itself.
    pub fn percentile(&self, percent: u8) -> Decimal {
        let value = self.quantiles.percentile(percent.min(100));
        value.clamp(self.min, self.max)
    }

    /// About how many different values the distinct column has; a standard error of
    /// [`DISTINCT_ERROR`]. `None` when no row had one.
    pub fn distinct(&self) -> Option<u64> {
        self.distinct.as_ref().map(|distinct| distinct.count())
    }

    fn add_moments(&mut self, count: NonZeroU64, sum: Decimal, squares: Squares) -> Option<()> {
        let count = self.count.checked_add(count.get())?;
        let sum = self.sum.checked_add(sum)?;
        self.squares = self.squares.checked_add(squares, count)?;
        (self.count, self.sum) = (count, sum);
        Some(())
    }

    fn add_distinct(&mut self, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.distinct.get_or_insert_with(|| Box::new(Distinct::new())).add(value);
        }
    }

    fn heap_bytes(&self) -> usize {
        let distinct = self.distinct.as_ref().map_or(0, |distinct| distinct.heap_bytes());
        self.quantiles.heap_bytes() + distinct
    }
}

/// The aggregates of all groups, and the lines that were not counted.
#[derive(Clone, Debug)]
pub struct Aggregates {
    limits: Limits,
    /// By window and by key. Without windows there is one entry, without a window.
    groups: BTreeMap<Option<Window>, HashMap<String, Aggregate>>,
    groups_len: usize,
    key_bytes: usize,
    sketch_bytes: usize,
    rows: u64,
    late_rows: u64,
    latest: Option<Timestamp>,
    earliest_kept: Option<Timestamp>,
    bad_lines: u64,
    bad: Vec<BadLine>,
}

impl Aggregates {
    /// Nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Aggregates {
        Aggregates::after(limits, None)
    }

    /// Nothing yet, of a part of a file before which the latest time is `latest`.
    #[must_use]
    pub fn after(limits: Limits, latest: Option<Timestamp>) -> Aggregates {
        Aggregates {
            limits,
            groups: BTreeMap::new(),
            groups_len: 0,
            key_bytes: 0,
            sketch_bytes: 0,
            rows: 0,
            late_rows: 0,
            latest,
            earliest_kept: None,
            bad_lines: 0,
            bad: Vec::new(),
        }
    }

    /// Takes in one row: the next of the file, if it has a time.
    ///
    /// # Errors
    /// [`FileError::TooManyKeys`], [`FileError::TooManyWindows`], [`FileError::KeysTooLarge`],
    /// [`FileError::SketchesTooLarge`], [`FileError::SumOverflow`]; the row may be in some of its
    /// windows: give the whole up.
    pub fn add(&mut self, row: Row<'_>) -> Result<(), FileError> {
        match row.when {
            When::Whenever => self.add_to(None, row)?,
            When::At { time, late, .. } if late.is_late(time, self.latest) => {
                self.late_rows += 1;
                return Ok(());
            }
            When::At { time, windows, .. } => {
                self.latest = self.latest.max(Some(time));
                self.earliest_kept = Some(self.earliest_kept.map_or(time, |first| first.min(time)));
                for window in windows.of(time) {
                    self.add_to(Some(window), row)?;
                }
            }
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
    /// As [`Aggregates::add`]; some groups of the part may have been taken in: give the whole up.
    pub fn merge(&mut self, part: Aggregates) -> Result<(), FileError> {
        for (window, keys) in part.groups {
            for (key, more) in keys {
                self.merge_group(window, key, more)?;
            }
        }
        self.rows += part.rows;
        self.late_rows += part.late_rows;
        self.latest = self.latest.max(part.latest);
        self.earliest_kept = match (self.earliest_kept, part.earliest_kept) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.bad_lines += part.bad_lines;
        self.keep(&part.bad);
        Ok(())
    }

    /// The aggregate of a key, without windows.
    pub fn get(&self, key: &str) -> Option<&Aggregate> {
        self.groups.get(&None)?.get(key)
    }

    /// Number of distinct keys, counted in each window.
    pub fn keys(&self) -> usize {
        self.groups_len
    }

    /// Number of rows taken in.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Number of rows that came too late and were left out.
    pub fn late_rows(&self) -> u64 {
        self.late_rows
    }

    /// Number of lines that were not rows.
    pub fn bad_lines(&self) -> u64 {
        self.bad_lines
    }

    /// The first bad lines of the file, at most [`Limits::bad_lines_kept_max`].
    pub fn bad(&self) -> &[BadLine] {
        &self.bad
    }

    /// The latest time of all rows so far, and of those before this part as far as they were known.
    pub fn latest(&self) -> Option<Timestamp> {
        self.latest
    }

    /// Whether no row that was taken in is late, if `latest` is the latest time before this part.
    /// Those that were left out are late then as well.
    pub fn holds_after(&self, late: Late, latest: Option<Timestamp>) -> bool {
        self.earliest_kept.is_none_or(|earliest| !late.is_late(earliest, latest))
    }

    /// The result in the order of the windows and keys, for showing it.
    #[must_use]
    pub fn into_report(self) -> Report {
        Report::new(self)
    }

    pub(crate) fn into_groups(self) -> BTreeMap<Option<Window>, HashMap<String, Aggregate>> {
        self.groups
    }

    fn add_to(&mut self, window: Option<Window>, row: Row<'_>) -> Result<(), FileError> {
        match self.groups.get_mut(&window).and_then(|keys| keys.get_mut(row.key)) {
            Some(known) => {
                let before = known.heap_bytes();
                known.add(row).ok_or_else(|| overflow(row.key))?;
                self.sketch_bytes = self.sketch_bytes + known.heap_bytes() - before;
                self.check_sketches()
            }
            None => self.insert(window, row.key.to_owned(), Aggregate::of(row)),
        }
    }

    fn merge_group(
        &mut self,
        window: Option<Window>,
        key: String,
        more: Aggregate,
    ) -> Result<(), FileError> {
        match self.groups.get_mut(&window).and_then(|keys| keys.get_mut(&key)) {
            Some(known) => {
                let before = known.heap_bytes();
                known.merge(more).ok_or_else(|| overflow(&key))?;
                self.sketch_bytes = self.sketch_bytes + known.heap_bytes() - before;
                self.check_sketches()
            }
            None => self.insert(window, key, more),
        }
    }

    fn insert(
        &mut self,
        window: Option<Window>,
        key: String,
        group: Aggregate,
    ) -> Result<(), FileError> {
        let Limits { keys_max, key_bytes_max, windows_max, .. } = self.limits;
        if self.groups_len >= keys_max {
            return Err(FileError::TooManyKeys { keys_max });
        }
        if self.key_bytes + key.len() > key_bytes_max {
            return Err(FileError::KeysTooLarge { key_bytes_max });
        }
        if window.is_some()
            && self.groups.len() >= windows_max
            && !self.groups.contains_key(&window)
        {
            return Err(FileError::TooManyWindows { windows_max });
        }
        self.groups_len += 1;
        self.key_bytes += key.len();
        self.sketch_bytes += group.heap_bytes();
        self.groups.entry(window).or_default().insert(key, group);
        self.check_sketches()
    }

    fn check_sketches(&self) -> Result<(), FileError> {
        let sketch_bytes_max = self.limits.sketch_bytes_max;
        if self.sketch_bytes > sketch_bytes_max {
            return Err(FileError::SketchesTooLarge { sketch_bytes_max });
        }
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

fn overflow(key: &str) -> FileError {
    FileError::SumOverflow { key: key.to_owned() }
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
    /// It is not a JSON object.
    NotAnObject,
    /// The object has no such member, or it is null.
    Missing {
        /// The one that is missing.
        column: Column,
    },
    /// The member is an array or an object.
    NotAScalar {
        /// The one that is to be a text, a number or a truth value.
        column: Column,
    },
    /// The key is not UTF-8.
    KeyNotUtf8,
    /// The key is longer than [`Limits::key_len_max`].
    KeyTooLong,
    /// The value is not a plain decimal.
    Value(ParseDecimalError),
    /// The time is none.
    Time(ParseTimeError),
    /// A quote was opened and never closed: the record swallowed the rest of the file.
    OpenQuote,
}

impl fmt::Display for BadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadReason::FieldCount { found, expected } => {
                write!(f, "{found} fields, but the header has {expected}")
            }
            BadReason::NotAnObject => f.write_str("not a JSON object"),
            BadReason::Missing { column } => write!(f, "the {column} is missing or null"),
            BadReason::NotAScalar { column } => write!(f, "the {column} is an array or an object"),
            BadReason::KeyNotUtf8 => f.write_str("the key is not UTF-8"),
            BadReason::KeyTooLong => f.write_str("the key is too long"),
            BadReason::Value(error) => write!(f, "the value: {error}"),
            BadReason::Time(error) => write!(f, "the time: {error}"),
            BadReason::OpenQuote => f.write_str("a quote is never closed"),
        }
    }
}

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// What rows are grouped by.
    Key,
    /// What is summed up.
    Value,
    /// When a row happened.
    Time,
    /// Of what different values are counted.
    Distinct,
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Column::Key => "key",
            Column::Value => "value",
            Column::Time => "time",
            Column::Distinct => "distinct column",
        })
    }
}

#[cfg(test)]
mod tests;
