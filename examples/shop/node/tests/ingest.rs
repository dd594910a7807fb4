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
        "key    count  sum  min  max  mean\n\
         north      2  0.3  0.1  0.2  0.15\n\
         south      1    7    7    7     7\n",
        "{}",
        ended.stderr
    );
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("3 rows, 1 bad lines, 2 keys in"), "{}", ended.stderr);
    assert!(ended.stderr.contains("line 5: the value: not a plain decimal"), "{}", ended.stderr);
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
