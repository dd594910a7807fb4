//! The aggregation as a whole against independent computations.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    BadReason, Decimal, EventTime, Late, ParseDecimalError, ParseTimeError, Report, Windows,
    sample::Sample,
};

fn limits() -> Limits {
    Limits::default()
}

fn single(
    selection: &Selection,
    limits: Limits,
    chunks: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> Result<Report, FileError> {
    let mut aggregator = FileAggregator::new(selection.clone(), limits);
    for chunk in chunks {
        aggregator.feed(chunk.as_ref())?;
    }
    aggregator.finish().map(Aggregates::into_report)
}

/// Blocks of `block_len` go to three workers in turn, which are done last to first.
fn pooled(selection: &Selection, file: &[u8], block_len: usize, chunk_len: usize) -> Report {
    let mut splitter = Splitter::with_block_len(selection.clone(), limits(), block_len);
    let mut blocks = Vec::new();
    for chunk in file.chunks(chunk_len) {
        blocks.extend(splitter.feed(chunk).unwrap());
    }
    blocks.extend(splitter.finish().unwrap());

    let mut workers = [(); 3].map(|()| BlockAggregator::new(limits()));
    let mut order = FileOrder::new(selection);
    let mut totals = Aggregates::new(limits());
    let mut todo: Vec<(usize, Block)> = blocks.iter().cloned().enumerate().collect();
    while let Some((number, block)) = todo.pop() {
        let part = workers[number % 3].aggregate(&block).unwrap();
        for decision in order.came_back(number, part) {
            match decision {
                Decision::Merge { part, .. } => totals.merge(part).unwrap(),
                Decision::Again { number, latest } => {
                    todo.push((number, Block { latest, ..blocks[number].clone() }));
                }
            }
        }
    }
    totals.into_report()
}

fn report(file: &str) -> Report {
    single(&Selection::new("k", "v"), limits(), [file]).unwrap()
}

fn bad(file: &str) -> Vec<(u64, BadReason)> {
    report(file).bad.iter().map(|bad| (bad.line, bad.reason)).collect()
}

#[test]
fn a_million_rows_aggregate_exactly_to_the_truth() {
    let sample = Sample::new(1_000_000).quoted().bad_every(777);
    let mut truth: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut bad_lines = Vec::new();
    for row in sample.rows() {
        match row.truth {
            Some(known) => truth.entry(known.region).or_default().push(known.cents),
            None => bad_lines.push(row.line),
        }
    }

    let report = single(&sample.selection(), limits(), sample.chunks()).unwrap();
    assert_eq!(report.rows + report.bad_lines, 1_000_000);
    assert_eq!(report.bad_lines, bad_lines.len() as u64);
    let kept: Vec<u64> = report.bad.iter().map(|bad| bad.line).collect();
    assert_eq!(kept, bad_lines[..limits().bad_lines_kept_max]);

    let cents = |cents: i64| Decimal::from_billionths(i128::from(cents) * 10_000_000);
    assert_eq!(report.keys.len(), truth.len());
    for (key, (region, amounts)) in report.keys.iter().zip(truth) {
        assert_eq!(key.key, region);
        assert_eq!(key.count, amounts.len() as u64);
        assert_eq!(key.sum, cents(amounts.iter().sum()));
        assert_eq!(Some(key.min), amounts.iter().min().copied().map(cents));
        assert_eq!(Some(key.max), amounts.iter().max().copied().map(cents));
        let mean = amounts.iter().sum::<i64>() as f64 / 100.0 / amounts.len() as f64;
        let shown: f64 = key.mean.to_string().parse().unwrap();
        assert!((shown - mean).abs() < 1e-6, "{shown} is not {mean}");
    }
}

#[test]
fn a_pool_gives_what_one_process_gives() {
    let sample = Sample::new(20_000).quoted().bad_every(10);
    let file: Vec<u8> = sample.chunks().flatten().collect();
    let selection = sample.selection();
    let expected = single(&selection, limits(), [&file]).unwrap();
    for (block_len, chunk_len) in [(1, 65_536), (4_096, 1_000), (100_000, 7), (usize::MAX, 4_096)] {
        assert_eq!(pooled(&selection, &file, block_len, chunk_len), expected);
    }
}

#[test]
fn each_way_to_be_bad_is_named_with_its_line() {
    let value = |error| BadReason::Value(error);
    assert_eq!(
        bad(concat!(
            "k,v\n",
            "a\n",           // 2
            "a,1,2\n",       // 3
            "\n",            // an empty line is nothing
            "a,b\n",         // 5
            "\"a\n\n\",x\n", // 6 to 8
            "a,1.0000000001\r\n",
            "a,1000000000000000001\n",
            "a,1000000000000000000\n", // the greatest good value
            "a, 1 \n",                 // good
            " \n",                     // 13
            "\"b,2\nc,3\n",            // 14 to the end
        )),
        [
            (2, BadReason::FieldCount { found: 1, expected: 2 }),
            (3, BadReason::FieldCount { found: 3, expected: 2 }),
            (5, value(ParseDecimalError::NotADecimal)),
            (6, value(ParseDecimalError::NotADecimal)),
            (9, value(ParseDecimalError::TooPrecise)),
            (10, value(ParseDecimalError::TooLarge)),
            (13, BadReason::FieldCount { found: 1, expected: 2 }),
            (14, BadReason::OpenQuote),
        ]
    );
}

#[test]
fn keys_that_are_not_utf8_or_too_long_are_bad() {
    let long = "k".repeat(limits().key_len_max + 1);
    let file =
        [b"k,v\n\xFF,1\n", long.as_bytes(), b",1\n", &long.as_bytes()[1..], b",1\n"].concat();
    let report = single(&Selection::new("k", "v"), limits(), [file]).unwrap();
    let reasons: Vec<_> = report.bad.iter().map(|bad| (bad.line, bad.reason)).collect();
    assert_eq!(reasons, [(2, BadReason::KeyNotUtf8), (3, BadReason::KeyTooLong)]);
    assert_eq!(report.rows, 1);
}

#[test]
fn lines_are_counted_for_every_kind_of_line_end() {
    for line_end in ["\n", "\r\n", "\r"] {
        let file = ["k,v", "a,1", "", "\"x", "y\",?", "b,?", "c,2", "d,?"].join(line_end);
        let lines: Vec<u64> = bad(&file).iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [4, 6, 8], "{line_end:?}");
    }
}

#[test]
fn a_byte_order_mark_is_removed_from_the_start_of_the_file_alone() {
    let file = "\u{FEFF}k,v\n\u{FEFF}a,1\na,1\n\u{FEFF}a,1\n";
    let selection = Selection::new("k", "v");
    for block_len in [1, 8, 100] {
        let report = pooled(&selection, file.as_bytes(), block_len, 1);
        let keys: Vec<_> = report.keys.iter().map(|key| (key.key.as_str(), key.count)).collect();
        assert_eq!(keys, [("a", 1), ("\u{FEFF}a", 2)]);
    }
}

#[test]
fn one_aggregator_serves_files_of_different_delimiters_and_widths() {
    let mut worker = BlockAggregator::new(limits());
    for (delimiter, file) in [
        (",", "k,v\na,1\n"),
        (";", "x;v;y;k\n\"1,0\";1;;a\n"),
        ("\\t", "v\tk\n1\ta\n"),
        (",", "k,v\na,1\n"),
    ] {
        let format = Format::Csv { delimiter: delimiter.parse().unwrap() };
        let selection = Selection { format, ..Selection::new("k", "v") };
        let mut splitter = Splitter::new(selection, limits());
        assert!(splitter.feed(file.as_bytes()).unwrap().is_empty());
        let part = worker.aggregate(&splitter.finish().unwrap().unwrap()).unwrap();
        assert_eq!(part.get("a").map(|a| a.count()), Some(1), "{file:?}");
    }
}

#[test]
fn too_many_keys_stop_the_file() {
    let limits = Limits { keys_max: 1_000, ..limits() };
    let sample = Sample::new(100_000).regions(50_000);
    let mut aggregator = FileAggregator::new(sample.selection(), limits);
    let error = sample.chunks().find_map(|chunk| aggregator.feed(&chunk).err()).unwrap();
    assert_eq!(error, FileError::TooManyKeys { keys_max: 1_000 });
    assert_eq!(aggregator.feed(b"1,a,1,\n"), Err(error.clone()));
    assert_eq!(aggregator.finish().err(), Some(error));
}

#[test]
fn a_quote_left_open_in_a_large_file_is_found_by_its_line() {
    let file = [b"k,v\na,1\n\"b,2\n".to_vec(), b"c,3\n".repeat(300_000)].concat();
    let error = single(&Selection::new("k", "v"), limits(), file.chunks(10_000)).unwrap_err();
    assert_eq!(error, FileError::LineTooLong { line: 3, len_max: 1024 * 1024 });
    assert!(error.to_string().contains("is a quote left open"));
}

#[test]
fn progress_counts_what_was_taken() {
    let sample = Sample::new(50_000).bad_every(100);
    let mut aggregator = FileAggregator::new(sample.selection(), limits());
    let mut before = aggregator.progress();
    assert_eq!(before, Progress::default());
    for chunk in sample.chunks() {
        aggregator.feed(&chunk).unwrap();
        let now = aggregator.progress();
        assert!(now.bytes == before.bytes + chunk.len() as u64 && now.rows >= before.rows);
        before = now;
    }
    assert!(before.rows > 40_000 && before.bad_lines > 0 && before.keys == 100);
}

/// Windows of ten seconds by the column `t`.
fn in_windows(late: Late) -> Option<EventTime> {
    let windows = Windows::tumbling(Duration::from_secs(10)).unwrap();
    Some(EventTime { column: "t".to_owned(), windows, late })
}

#[test]
fn ndjson_gives_what_the_same_rows_give_as_csv() {
    let sample = Sample::new(20_000).quoted();
    let csv: Vec<u8> = sample.chunks().flatten().collect();
    let mut ndjson = Vec::new();
    for row in sample.rows() {
        let truth = row.truth.unwrap();
        let cents = truth.cents;
        let amount = format!("{}.{:02}", cents.abs() / 100, cents.abs() % 100);
        let region = serde_json::to_string(&truth.region).unwrap();
        let sign = if cents < 0 { "-" } else { "" };
        ndjson.extend(format!("{{\"region\":{region},\"amount\":{sign}{amount}}}\n").into_bytes());
    }
    let selection = Selection { format: Format::Ndjson, ..sample.selection() };
    let expected = single(&sample.selection(), limits(), [&csv]).unwrap();
    assert_eq!(single(&selection, limits(), ndjson.chunks(999)).unwrap(), expected);
    assert_eq!(pooled(&selection, &ndjson, 5_000, 777), expected);
}

#[test]
fn bad_lines_of_ndjson_have_their_numbers() {
    let file = concat!(
        "\u{FEFF}{\"k\":\"a\",\"v\":1}\n",
        "\n",
        "{\"k\":\"a\",\r\"v\":2}\r\n", // a lone return ends no line
        "not json\n",
        "  \t\n",
        "{\"k\":\"b\",\"v\":\"x\"}\n",
        "{\"k\":\"b\",\"v\":3}", // 7
    );
    let selection = Selection { format: Format::Ndjson, ..Selection::new("k", "v") };
    for block_len in [1, 20, 1_000] {
        let report = pooled(&selection, file.as_bytes(), block_len, 3);
        let bad: Vec<_> = report.bad.iter().map(|bad| (bad.line, bad.reason)).collect();
        let value = BadReason::Value(ParseDecimalError::NotADecimal);
        assert_eq!(bad, [(4, BadReason::NotAnObject), (6, value)]);
        let sums: Vec<_> = report.keys.iter().map(|key| key.sum.to_string()).collect();
        assert_eq!((report.rows, sums), (3, vec!["3".to_owned(), "3".to_owned()]));
    }
    assert_eq!(single(&selection, limits(), [""; 0]).unwrap().rows, 0);
}

#[test]
fn a_line_of_ndjson_over_the_limit_is_refused() {
    let selection = Selection { format: Format::Ndjson, ..Selection::new("k", "v") };
    let file = [b"{}\n{}\n".to_vec(), vec![b'x'; 2 * 1024 * 1024]].concat();
    let error = single(&selection, limits(), file.chunks(10_000)).unwrap_err();
    assert_eq!(error, FileError::LineTooLong { line: 3, len_max: 1024 * 1024 });
}

#[test]
fn rows_are_grouped_by_window_and_bad_times_are_bad_lines() {
    let file = "k,v,t\na,1,0\nb,2,9.999\na,4,10\na,8,1970-01-01T00:00:15Z\na,16,noon\na,32,\n";
    let selection = Selection { time: in_windows(Late::Include), ..Selection::new("k", "v") };
    let report = single(&selection, limits(), [file]).unwrap();
    let groups: Vec<_> = report
        .keys
        .iter()
        .map(|key| (key.window.unwrap().start.millis(), key.key.as_str(), key.sum.to_string()))
        .map(|(start, key, sum)| format!("{start} {key} {sum}"))
        .collect();
    assert_eq!(groups, ["0 a 1", "0 b 2", "10000 a 12"]);
    let time = BadReason::Time(ParseTimeError::NotATime);
    let bad: Vec<_> = report.bad.iter().map(|bad| (bad.line, bad.reason)).collect();
    assert_eq!(bad, [(6, time), (7, time)]);
}

#[test]
fn an_empty_field_is_no_distinct_value() {
    let file = "k,v,user\na,1,x\na,1,\na,1,y\na,1,x\nb,1,\n";
    let selection = Selection { distinct: Some("user".into()), ..Selection::new("k", "v") };
    let report = single(&selection, limits(), [file]).unwrap();
    let distinct: Vec<_> = report.keys.iter().map(|key| key.distinct).collect();
    assert_eq!(distinct, [Some(2), None]);
}

/// Late rows by the definition, row by row: the number of them and the sum of all others.
fn naive_late(times: &[i64], lateness: i64) -> (u64, i64) {
    let (mut latest, mut late, mut kept) = (i64::MIN, 0, 0);
    for &time in times {
        if latest != i64::MIN && time < latest - lateness {
            late += 1;
        } else {
            latest = latest.max(time);
            kept += 1;
        }
    }
    (late, kept)
}

/// The rules once more, a byte at a time over the whole file, without any library.
mod naive {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    pub(super) struct Totals {
        /// Count, sum, min and max in billionths.
        pub(super) keys: BTreeMap<String, (u64, i128, i128, i128)>,
        pub(super) bad: Vec<u64>,
    }

    struct Record {
        line: u64,
        fields: Vec<Vec<u8>>,
        open: bool,
    }

    /// `k` and `v` are the first two columns.
    pub(super) fn totals(file: &[u8]) -> Totals {
        let mut records = records(file).into_iter();
        let header = records.next().expect("the file has a header");
        let mut totals = Totals::default();
        for record in records {
            match row(&record, header.fields.len()) {
                Some((key, value)) => {
                    let entry = totals.keys.entry(key).or_insert((0, 0, value, value));
                    let (count, sum, min, max) = *entry;
                    *entry = (count + 1, sum + value, min.min(value), max.max(value));
                }
                None => totals.bad.push(record.line),
            }
        }
        totals
    }

    fn row(record: &Record, width: usize) -> Option<(String, i128)> {
        if record.open || record.fields.len() != width {
            return None;
        }
        let key = String::from_utf8(record.fields[0].clone()).ok()?;
        let value = str::from_utf8(&record.fields[1]).ok()?;
        Some((key, billionths(value.trim_matches([' ', '\t', '\n', '\r', '\x0C']))?))
    }

    fn billionths(text: &str) -> Option<i128> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let row = format!("{whole}{fraction:0<9}");
        let plain = row.bytes().all(|byte| byte.is_ascii_digit());
        let known = !(whole.is_empty() && fraction.is_empty()) && fraction.len() <= 9;
        (plain && known).then(|| sign * row.parse::<i128>().unwrap())
    }

    fn records(file: &[u8]) -> Vec<Record> {
        let mut records = Vec::new();
        let (mut at, mut line) = (0, 1);
        while at < file.len() {
            if file[at] == b'\n' || file[at] == b'\r' {
                line += line_end(file, &mut at);
                continue;
            }
            let mut record = Record { line, fields: Vec::new(), open: false };
            loop {
                let (field, open) = field(file, &mut at, &mut line);
                record.fields.push(field);
                record.open |= open;
                if file.get(at) != Some(&b',') {
                    break;
                }
                at += 1;
            }
            records.push(record);
        }
        records
    }

    /// Reads a field up to, not including, a comma, a line end or the end of the file.
    fn field(file: &[u8], at: &mut usize, line: &mut u64) -> (Vec<u8>, bool) {
        let mut field = Vec::new();
        if file.get(*at) == Some(&b'"') {
            *at += 1;
            loop {
                match &file[*at..] {
                    [] => return (field, true),
                    [b'"', b'"', ..] => {
                        field.push(b'"');
                        *at += 2;
                    }
                    [b'"', ..] => {
                        *at += 1;
                        break;
                    }
                    [b'\r' | b'\n', ..] => {
                        let start = *at;
                        *line += line_end(file, at);
                        field.extend_from_slice(&file[start..*at]);
                    }
                    [byte, ..] => {
                        field.push(*byte);
                        *at += 1;
                    }
                }
            }
        }
        while let Some(byte) = file.get(*at).filter(|byte| !b",\r\n".contains(byte)) {
            field.push(*byte);
            *at += 1;
        }
        (field, false)
    }

    fn line_end(file: &[u8], at: &mut usize) -> u64 {
        *at += if file[*at..].starts_with(b"\r\n") { 2 } else { 1 };
        1
    }
}

fn as_naive(report: &Report) -> naive::Totals {
    let keys = report.keys.iter().map(|key| {
        let [sum, min, max] = [key.sum, key.min, key.max].map(Decimal::billionths);
        (key.key.clone(), (key.count, sum, min, max))
    });
    naive::Totals { keys: keys.collect(), bad: report.bad.iter().map(|bad| bad.line).collect() }
}

/// Cuts a file at arbitrary places.
fn cut<'f>(file: &'f [u8], places: &[prop::sample::Index]) -> Vec<&'f [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(file.len() + 1)).collect();
    places.extend([0, file.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &file[pair[0]..pair[1]]).collect()
}

/// Mostly rows, with quotes, line ends and garbage of all kinds.
fn any_file() -> impl Strategy<Value = Vec<u8>> {
    let key = prop_oneof![
        "[ab]",
        "\"[ab,\"\r\n]{0,4}\"",
        "\"([abé,\r\n]|\"\"){0,4}\"",
        Just("é".to_owned()),
        "[ab\"]{0,3}",
    ];
    let value = prop_oneof![
        "[-+]?[0-9]{1,3}(\\.[0-9]{0,10})?",
        "\"-?[0-9]{1,12}\"",
        " [0-9] ",
        "[0-9a.\"-]{0,4}",
    ];
    let line_end = prop_oneof![Just("\n"), Just("\r\n"), Just("\r"), Just("\n\n"), Just(",\n")];
    let row = (key, value, line_end)
        .prop_map(|(key, value, line_end)| format!("{key},{value}{line_end}").into_bytes());
    let garbage =
        prop::collection::vec(prop::sample::select(b"a1,,\"\"\r\n\n\xC3\xA9\xFF".to_vec()), 0..6);
    let part = prop_oneof![6 => row, 1 => garbage];
    prop::collection::vec(part, 0..20).prop_map(|parts| [&b"k,v\n"[..], &parts.concat()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_file_gives_what_a_naive_computation_gives(file in any_file()) {
        let report = single(&Selection::new("k", "v"), limits(), [&file]).unwrap();
        prop_assert_eq!(as_naive(&report), naive::totals(&file));
    }

    #[test]
    fn any_chunks_give_the_same_result(
        file in any_file(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let selection = Selection::new("k", "v");
        let whole = single(&selection, limits(), [&file]).unwrap();
        let parts = cut(&file, &places);
        prop_assert_eq!(parts.concat(), &file[..]);
        prop_assert_eq!(single(&selection, limits(), parts).unwrap(), whole);
    }

    #[test]
    fn any_blocks_merged_give_the_same_result(
        file in any_file(),
        block_len in 1..60_usize,
        chunk_len in 1..60_usize,
    ) {
        let selection = Selection::new("k", "v");
        let whole = single(&selection, limits(), [&file]).unwrap();
        prop_assert_eq!(pooled(&selection, &file, block_len, chunk_len), whole);
    }

    #[test]
    fn which_rows_are_late_depends_on_the_file_alone(
        times in prop::collection::vec(0..60_i64, 0..60),
        lateness in 0..40_i64,
        block_len in 1..40_usize,
    ) {
        let rows: String = times.iter().map(|time| format!("a,1,{time}\n")).collect();
        let file = format!("k,v,t\n{rows}");
        let late = Late::Drop { lateness: Duration::from_secs(lateness as u64) };
        let selection = Selection { time: in_windows(late), ..Selection::new("k", "v") };
        let whole = single(&selection, limits(), [&file]).unwrap();
        prop_assert_eq!(pooled(&selection, file.as_bytes(), block_len, 7), whole.clone());
        let counts: u64 = whole.keys.iter().map(|key| key.count).sum();
        let (late, kept) = naive_late(&times, lateness);
        prop_assert_eq!((whole.late_rows, counts as i64, whole.rows as i64), (late, kept, kept));
    }

    #[test]
    fn any_bytes_are_taken_without_a_panic(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
    ) {
        let _ = single(&Selection::new("k", "v"), limits(), &chunks);
        let selection = Selection { format: Format::Ndjson, ..Selection::new("k", "v") };
        let _ = single(&selection, limits(), &chunks);
    }
}
