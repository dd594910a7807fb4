//! A finished aggregation, in order, for people and for other programs: JSON by serde, CSV by
//! [`Report::to_csv`], a picture by [`Report::to_svg`].
//!
//! Plain values.

use serde::{Deserialize, Serialize};

use crate::{Aggregate, Aggregates, BadLine, Decimal, Window};

mod plot;

pub use plot::{BARS_MAX, LINES_MAX, Measure, UnknownMeasure};

/// A finished aggregation, in the order of its windows and keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Rows taken in.
    pub rows: u64,
    /// Rows left out because they came too late.
    pub late_rows: u64,
    /// Lines that were not rows.
    pub bad_lines: u64,
    /// The first of them.
    pub bad: Vec<BadLine>,
    /// One entry a key, in each window that has it; sorted by window and key.
    pub keys: Vec<KeyReport>,
}

/// One key of a [`Report`], in one window if there are windows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyReport {
    /// The window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
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
    /// Their sample standard deviation (of count less one), rounded likewise; none of one value.
    pub stddev: Option<Decimal>,
    /// The median, within 1 percent; exact up to 16 values.
    pub p50: Decimal,
    /// The value that 90 percent are below or at, likewise.
    pub p90: Decimal,
    /// The value that 99 percent are below or at, likewise.
    pub p99: Decimal,
    /// About how many different values the distinct column has, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distinct: Option<u64>,
}

impl Report {
    pub(crate) fn new(totals: Aggregates) -> Report {
        let (rows, late_rows, bad_lines) = (totals.rows(), totals.late_rows(), totals.bad_lines());
        let bad = totals.bad().to_vec();
        let mut keys = Vec::with_capacity(totals.keys());
        for (window, groups) in totals.into_groups() {
            let begin = keys.len();
            keys.extend(groups.into_iter().map(|(key, group)| KeyReport::new(window, key, &group)));
            keys[begin..].sort_unstable_by(|a, b| a.key.cmp(&b.key));
        }
        Report { rows, late_rows, bad_lines, bad, keys }
    }

    /// The groups as CSV with a header: without columns for windows and distinct values when there
    /// are none. Bad lines are not in it.
    ///
    /// # Examples
    /// ```
    /// use shop_data_processing::{FileAggregator, Limits, Selection};
    /// let mut aggregator = FileAggregator::new(Selection::new("k", "v"), Limits::default());
    /// aggregator.feed(b"k,v\n\"a,b\",1\n").unwrap();
    /// let report = aggregator.finish().unwrap().into_report();
    /// assert_eq!(
    ///     report.to_csv(),
    ///     "key,count,sum,min,max,mean,stddev,p50,p90,p99\n\"a,b\",1,1,1,1,1,,1,1,1\n"
    /// );
    /// ```
    #[must_use]
    pub fn to_csv(&self) -> String {
        let columns = Columns::of(self);
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut write = |record: Vec<String>| {
            writer.write_record(record).expect("all records have one length, and memory is there");
        };
        write(columns.names());
        self.keys.iter().for_each(|key| write(columns.fields(key)));
        let bytes = writer.into_inner().expect("memory is there");
        String::from_utf8(bytes).expect("names, keys and numbers are text")
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn size_estimate(&self) -> usize {
        let keys: usize = self.keys.iter().map(|key| key.key.capacity()).sum();
        size_of::<Report>()
            + keys
            + self.keys.capacity() * size_of::<KeyReport>()
            + self.bad.capacity() * size_of::<BadLine>()
    }
}

impl KeyReport {
    fn new(window: Option<Window>, key: String, group: &Aggregate) -> KeyReport {
        KeyReport {
            window,
            key,
            count: group.count(),
            sum: group.sum(),
            min: group.min(),
            max: group.max(),
            mean: group.mean(),
            stddev: group.stddev(),
            p50: group.percentile(50),
            p90: group.percentile(90),
            p99: group.percentile(99),
            distinct: group.distinct(),
        }
    }
}

/// The optional columns of a report.
#[derive(Clone, Copy)]
struct Columns {
    windows: bool,
    distinct: bool,
}

impl Columns {
    fn of(report: &Report) -> Columns {
        Columns {
            windows: report.keys.iter().any(|key| key.window.is_some()),
            distinct: report.keys.iter().any(|key| key.distinct.is_some()),
        }
    }

    fn names(self) -> Vec<String> {
        let mut names = Vec::new();
        if self.windows {
            names.extend(["window_start", "window_end"]);
        }
        names.extend(["key", "count", "sum", "min", "max", "mean", "stddev", "p50", "p90", "p99"]);
        names.extend(self.distinct.then_some("distinct"));
        names.into_iter().map(str::to_owned).collect()
    }

    fn fields(self, key: &KeyReport) -> Vec<String> {
        let text = |number: Option<Decimal>| number.map_or_else(String::new, |n| n.to_string());
        let mut fields = Vec::new();
        if self.windows {
            let ends = key.window.map(|window| [window.start, window.end]);
            fields.extend(ends.into_iter().flatten().map(|time| time.to_string()));
        }
        fields.extend([key.key.clone(), key.count.to_string()]);
        fields.extend([key.sum, key.min, key.max, key.mean].map(|number| number.to_string()));
        fields.push(text(key.stddev));
        fields.extend([key.p50, key.p90, key.p99].map(|number| number.to_string()));
        if self.distinct {
            fields.push(key.distinct.map_or_else(String::new, |count| count.to_string()));
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{BadReason, Late, Limits, Row, Timestamp, When, Windows};

    fn row<'r>(key: &'r str, value: &str) -> Row<'r> {
        Row { key, value: value.parse().unwrap(), distinct: None, when: When::Whenever }
    }

    fn windowed() -> Report {
        let windows = Windows::tumbling(Duration::from_secs(3_600)).unwrap();
        let mut totals = Aggregates::new(Limits::default());
        for (time, key) in [("7200", "b"), ("0", "b"), ("3", "a\"")] {
            let time = Timestamp::parse(time.as_bytes()).unwrap();
            let when = When::At { time, windows, late: Late::Include };
            totals.add(Row { when, distinct: Some(b"u"), ..row(key, "2") }).unwrap();
        }
        totals.into_report()
    }

    #[test]
    fn a_report_is_sorted_and_reads_well_as_json() {
        let mut totals = Aggregates::new(Limits::default());
        totals.add(row("b", "1.50")).unwrap();
        totals.add(row("b", "2.5")).unwrap();
        totals.add(row("a", "2")).unwrap();
        let reason = BadReason::FieldCount { found: 1, expected: 2 };
        totals.add_bad(BadLine { line: 9, reason });
        let report = totals.into_report();
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"rows":3,"late_rows":0,"bad_lines":1,"#,
                r#""bad":[{"line":9,"reason":{"field_count":{"found":1,"expected":2}}}],"#,
                r#""keys":[{"key":"a","count":1,"sum":"2","min":"2","max":"2","mean":"2","#,
                r#""stddev":null,"p50":"2","p90":"2","p99":"2"},"#,
                r#"{"key":"b","count":2,"sum":"4","min":"1.5","max":"2.5","mean":"2","#,
                r#""stddev":"0.707106781","p50":"1.5","p90":"1.5","p99":"1.5"}]}"#,
            )
        );
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }

    #[test]
    fn windows_come_first_and_are_written_as_times() {
        let report = windowed();
        let keys: Vec<_> = report.keys.iter().map(|key| key.key.as_str()).collect();
        assert_eq!(keys, ["a\"", "b", "b"]);
        let json = serde_json::to_value(&report).unwrap();
        let window = &json["keys"][2]["window"];
        assert_eq!(window["start"], "1970-01-01T02:00:00Z");
        assert_eq!(window["end"], "1970-01-01T03:00:00Z");
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    }

    #[test]
    fn csv_has_the_columns_that_there_are() {
        assert_eq!(
            windowed().to_csv(),
            "window_start,window_end,key,count,sum,min,max,mean,stddev,p50,p90,p99,distinct\n\
             1970-01-01T00:00:00Z,1970-01-01T01:00:00Z,\"a\"\"\",1,2,2,2,2,,2,2,2,1\n\
             1970-01-01T00:00:00Z,1970-01-01T01:00:00Z,b,1,2,2,2,2,,2,2,2,1\n\
             1970-01-01T02:00:00Z,1970-01-01T03:00:00Z,b,1,2,2,2,2,,2,2,2,1\n"
        );
        let none = Aggregates::new(Limits::default()).into_report();
        assert_eq!(none.to_csv(), "key,count,sum,min,max,mean,stddev,p50,p90,p99\n");
    }

    #[test]
    fn the_size_grows_with_the_keys() {
        let mut totals = Aggregates::new(Limits::default());
        let keys: Vec<String> = (0..1_000).map(|key| format!("key-{key:0100}")).collect();
        keys.iter().for_each(|key| totals.add(row(key, "1")).unwrap());
        let size = totals.into_report().size_estimate();
        assert!((250_000..600_000).contains(&size), "{size}");
    }
}
