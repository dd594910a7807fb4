//! What a sample adds up to, computed the slow and obvious way, from what is known of each row and
//! without parsing any.

use std::collections::BTreeMap;

use shop_data_processing::{Decimal, KeyReport, Limits, Report, sample::Sample};

/// Compares each figure of the report, to the last digit.
pub(crate) fn assert_exact(report: &Report, sample: Sample) {
    let mut regions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut bad_lines = Vec::new();
    for row in sample.rows() {
        match row.truth {
            Some(truth) => regions.entry(truth.region).or_default().push(truth.cents),
            None => bad_lines.push(row.line),
        }
    }
    let rows: usize = regions.values().map(Vec::len).sum();
    assert_eq!((report.rows, report.bad_lines), (rows as u64, bad_lines.len() as u64));
    bad_lines.truncate(Limits::default().bad_lines_kept_max);
    assert_eq!(report.bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), bad_lines);
    assert_eq!(report.keys.len(), regions.len());
    for (found, (region, cents)) in report.keys.iter().zip(regions) {
        let sum = cents.iter().sum();
        assert_eq!(found.key, region);
        assert_eq!(found.count, cents.len() as u64);
        assert_eq!(found.sum, decimal(sum));
        assert_eq!(Some(found.min), cents.iter().min().copied().map(decimal));
        assert_eq!(Some(found.max), cents.iter().max().copied().map(decimal));
        assert_eq!(found.mean.billionths(), mean(sum, cents.len() as i128), "{region}");
        assert_spread(found, &cents);
    }
}

/// The standard deviation within the precision of floats, quantiles within their one percent.
fn assert_spread(found: &KeyReport, cents: &[i64]) {
    let number = |decimal: Decimal| decimal.billionths() as f64 / 1e9;
    let mut amounts: Vec<f64> = cents.iter().map(|&cents| cents as f64 / 100.0).collect();
    amounts.sort_unstable_by(f64::total_cmp);
    let count = amounts.len();
    let mean = amounts.iter().sum::<f64>() / count as f64;
    let squares: f64 = amounts.iter().map(|amount| (amount - mean).powi(2)).sum();
    match found.stddev {
        Some(stddev) => {
            let expected = (squares / (count - 1) as f64).sqrt();
            assert!((number(stddev) - expected).abs() <= 1e-6 * expected.max(1.0), "{expected}");
        }
        None => assert_eq!(count, 1),
    }
    for (found, percent) in [(found.p50, 50), (found.p90, 90), (found.p99, 99)] {
        let rank = percent * (count - 1) / 100;
        let near = [rank.saturating_sub(1), rank]
            .iter()
            .any(|&rank| (number(found) - amounts[rank]).abs() <= 0.010_001 * amounts[rank].abs());
        assert!(near, "p{percent} is {found}, not {}", amounts[rank]);
    }
}

fn decimal(cents: i64) -> Decimal {
    format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100)
        .parse()
        .expect("a decimal")
}

/// In billionths, half to even: the integer whose distance from the true mean is least.
fn mean(cents: i64, count: i128) -> i128 {
    let billionths = i128::from(cents) * 10_000_000;
    let below = billionths.div_euclid(count);
    let distance = |candidate: i128| (candidate * count - billionths).abs();
    [below, below + 1]
        .into_iter()
        .min_by_key(|&candidate| (distance(candidate), candidate % 2 != 0))
        .expect("there are two")
}
