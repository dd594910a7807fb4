//! `shop ingest` from outside.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

#[path = "../../apps/data_processing/tests/support/naive.rs"]
mod naive;
#[allow(dead_code, reason = "this program does not serve")]
#[path = "support/program.rs"]
mod program;

use std::{
    fs::{self, File},
    io::Write as _,
};

use program::{run, shop};
use shop_data_processing::{Report, sample::Sample};

#[test]
fn a_million_rows_aggregate_exactly() {
    let directory = tempfile::tempdir().unwrap();
    let sample = Sample::new(1_000_000).quoted().bad_every(777);
    let mut file = File::create(directory.path().join("sales.csv")).unwrap();
    sample.chunks().for_each(|chunk| file.write_all(&chunk).unwrap());
    let args = ["ingest", "sales.csv", "--key", "region", "--value", "amount", "--json"];
    let ended = run(&mut shop(directory.path(), &args));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report: Report = serde_json::from_str(&ended.stdout).unwrap();
    naive::assert_exact(&report, sample);
    assert!(ended.stderr.contains("sales.csv: 998713 rows, 1287 bad lines, "), "{}", ended.stderr);
}

#[test]
fn the_result_is_a_table_and_bad_lines_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let csv = "region;amount\nnorth;0.10\nsouth;7\nnorth;0.20\nnorth;lots\n";
    fs::write(directory.path().join("sales.csv"), csv).unwrap();
    // A configuration of the whole shop is no obstacle.
    fs::write(directory.path().join("linden.toml"), include_str!("../../linden.toml")).unwrap();
    let args = ["ingest", "sales.csv", "--key", "region", "--value", "amount", "--delimiter", ";"];
    let ended = run(&mut shop(directory.path(), &args));
    assert_eq!(
        ended.stdout,
        "key    count  sum  min  max  mean       stddev  p50  p90  p99\n\
         north      2  0.3  0.1  0.2  0.15  0.070710678  0.1  0.1  0.1\n\
         south      1    7    7    7     7                 7    7    7\n",
        "{}",
        ended.stderr
    );
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("3 rows, 1 bad lines, 2 keys in"), "{}", ended.stderr);
    assert!(ended.stderr.contains("line 5: the value: not a plain decimal"), "{}", ended.stderr);
}

#[test]
fn windows_of_a_compressed_file_are_printed_as_table_csv_and_picture() {
    let directory = tempfile::tempdir().unwrap();
    let rows = r#"{"at":"2013-01-01T10:20:00Z","shop":{"city":"Rome"},"sum":1.5,"user":"u"}
{"at":"2013-01-01T11:01:00Z","shop":{"city":"Rome"},"sum":2,"user":"u"}
{"at":"2013-01-01T10:30:00Z","shop":{"city":"Rome"},"sum":4,"user":"v"}
"#;
    let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    file.write_all(rows.as_bytes()).unwrap();
    fs::write(directory.path().join("day.ndjson.gz"), file.finish().unwrap()).unwrap();
    let ingest = |flags: &str| {
        let args = "ingest day.ndjson.gz --key shop.city --value sum --time at --window 1h";
        let words: Vec<_> = args.split(' ').chain(flags.split_whitespace()).collect();
        let ended = run(&mut shop(directory.path(), &words));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended
    };
    assert_eq!(
        ingest("--late include --distinct user").stdout,
        "window                key   count  sum  min  max  mean       stddev  p50  p90  p99  distinct\n\
         2013-01-01T10:00:00Z  Rome      2  5.5  1.5    4  2.75  1.767766953  1.5  1.5  1.5         2\n\
         2013-01-01T11:00:00Z  Rome      1    2    2    2     2                 2    2    2         1\n"
    );
    let dropped = ingest("--late drop --lateness 10m --csv");
    assert_eq!(
        dropped.stdout,
        "window_start,window_end,key,count,sum,min,max,mean,stddev,p50,p90,p99\n\
         2013-01-01T10:00:00Z,2013-01-01T11:00:00Z,Rome,1,1.5,1.5,1.5,1.5,,1.5,1.5,1.5\n\
         2013-01-01T11:00:00Z,2013-01-01T12:00:00Z,Rome,1,2,2,2,2,,2,2,2\n"
    );
    assert!(dropped.stderr.contains("1 rows came too late"), "{}", dropped.stderr);
    let picture = ingest("--svg mean").stdout;
    assert!(picture.starts_with("<svg ") && picture.contains("<polyline"), "{picture}");
}

#[test]
fn what_cannot_be_aggregated_is_one_error_line() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("sales.csv"), "region,amount\nnorth,1\n").unwrap();
    for (args, words) in [
        (["none.csv", "--key", "a", "--value", "b"], "cannot read none.csv: No such file"),
        (["sales.csv", "--key", "day", "--value", "amount"], r#"has no column "day"; it has"#),
        ([".", "--key", "a", "--value", "b"], "Is a directory"),
    ] {
        let ended = run(shop(directory.path(), &["ingest"]).args(args));
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        let errors: Vec<_> = ended.stderr.lines().collect();
        assert!(errors.len() == 1 && errors[0].starts_with("error: "), "{ended:?}");
        assert!(errors[0].contains(words), "{ended:?}");
    }
}
