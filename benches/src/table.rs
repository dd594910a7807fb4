//! The table of one group, as text for a terminal. Pure: results in, text out.

use std::fmt::Write;

use crate::goal::{self, Verdict};
use crate::outcome::more_is_better;
use crate::plan::Group;
use crate::results::{Record, Results};
use crate::scenario::System;

/// The systems that all others are compared with.
const REFERENCES: [System; 2] = [System::Linden, System::Tokio];

/// What the columns of ratios mean; printed once, above the first table.
pub(crate) const LEGEND: &str =
    "`linden is` and `tokio is`: how many times better that system's median is than the row's.";

/// One table per metric of the group, then the systems without (all) figures and why.
pub(crate) fn render(results: &Results) -> String {
    let mut text = String::new();
    let records = results.records();
    for same_metric in records.chunk_by(|a, b| a.metric == b.metric) {
        render_metric(&mut text, same_metric);
        render_goals(&mut text, results.group(), same_metric);
    }
    if records.is_empty() {
        let group = results.group();
        line(&mut text, format_args!("\n{}/{}", group.scenario, group.variant));
    }
    for (system, why) in results.troubles() {
        line(&mut text, format_args!("  {system:<8}{why}"));
    }
    text
}

fn render_metric(text: &mut String, records: &[Record]) {
    let Some(Record { scenario, variant, metric, unit, .. }) = records.first() else {
        return;
    };
    let better = if more_is_better(unit) { "more" } else { "less" };
    line(text, format_args!("\n{scenario}/{variant}: {metric}, {unit} ({better} is better)"));
    line(
        text,
        format_args!(
            "  {:<8}{:>12}{:>12}{:>12}{:>6}{:>11}{:>10}",
            "system", "median", "min", "max", "runs", "linden is", "tokio is"
        ),
    );
    for record in records {
        let [linden, tokio] = REFERENCES.map(|reference| ratio(records, reference, record));
        line(
            text,
            format_args!(
                "  {:<8}{:>12}{:>12}{:>12}{:>6}{:>11}{:>10}",
                record.system,
                number(record.median),
                number(record.min),
                number(record.max),
                record.runs,
                linden,
                tokio
            ),
        );
    }
}

fn render_goals(text: &mut String, group: Group, records: &[Record]) {
    for verdict in goal::verdicts(group, records) {
        line(text, format_args!("  {verdict}"));
    }
}

/// The verdicts on all metrics of a group.
pub(crate) fn verdicts(results: &Results) -> impl Iterator<Item = Verdict> + use<> {
    let records = results.records();
    let of_metrics = records.chunk_by(|a, b| a.metric == b.metric);
    let verdicts: Vec<_> =
        of_metrics.flat_map(|same_metric| goal::verdicts(results.group(), same_metric)).collect();
    verdicts.into_iter()
}

/// The goals of all groups in one table, in Markdown.
pub(crate) fn render_verdicts(verdicts: &[(Group, Verdict)]) -> String {
    let mut text =
        String::from("\n| Scenario | Metric | Goal | It is | |\n|---|---|---|---|---|\n");
    for (group, verdict) in verdicts {
        let Group { scenario, variant } = group;
        let [metric, goal, is, reached] = verdict.cells();
        line(
            &mut text,
            format_args!("| `{scenario}/{variant}` | `{metric}` | {goal} | {is} | {reached} |"),
        );
    }
    let reached = verdicts.iter().filter(|(_, verdict)| verdict.is_reached()).count();
    line(&mut text, format_args!("\n{reached} of {} goals are reached.", verdicts.len()));
    text
}

/// How many times better the reference is than this record; empty when it has no figure.
fn ratio(records: &[Record], reference: System, record: &Record) -> String {
    let reference = records.iter().find(|other| other.system == reference.name());
    reference
        .map(|reference| format!("{:.2}x", reference.times_better_than(record)))
        .unwrap_or_default()
}

/// Three or four digits that matter: 4.85, 98.1, 544, 47 121, 22.13 M.
fn number(value: f64) -> String {
    if value >= 1e6 {
        format!("{:.2} M", value / 1e6)
    } else if value >= 1e4 {
        let rounded = value.round() as u64;
        format!("{} {:03}", rounded / 1000, rounded % 1000)
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    writeln!(text, "{arguments}").expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Metric;
    use crate::scenario::{Scenario, Variant};

    fn results(scenario: Scenario) -> Results {
        Results::new(Group { scenario, variant: Variant::Default })
    }

    fn row<'a>(table: &'a str, system: &str) -> Vec<&'a str> {
        let row = table.lines().find(|line| line.trim_start().starts_with(system)).unwrap();
        row.split_whitespace().collect()
    }

    #[test]
    fn all_goals_stand_in_one_table_with_what_was_reached() {
        let mut results = results(Scenario::Call);
        results.add(System::Linden, vec![Metric::round_trip(50.0)]);
        results.add(System::Tokio, vec![Metric::round_trip(200.0)]);
        results.add(System::Otp, vec![Metric::round_trip(100.0)]);
        let found: Vec<_> = verdicts(&results).map(|verdict| (results.group(), verdict)).collect();
        assert_eq!(
            render_verdicts(&found),
            "\n| Scenario | Metric | Goal | It is | |\n|---|---|---|---|---|\n\
             | `call/default` | `round_trip` | 3.00x of tokio | 4.00x | reached |\n\
             | `call/default` | `round_trip` | 15.00x of otp | 2.00x | **missed** |\n\
             \n1 of 2 goals are reached.\n"
        );
    }

    #[test]
    fn a_smaller_time_is_the_better_one() {
        let mut results = results(Scenario::Call);
        results.add(System::Linden, vec![Metric::round_trip(50.0)]);
        results.add(System::Tokio, vec![Metric::round_trip(200.0)]);
        let table = render(&results);
        assert!(table.contains("call/default: round_trip, ns (less is better)"));
        assert_eq!(
            row(&table, "linden"),
            ["linden", "50.0", "50.0", "50.0", "1", "1.00x", "0.25x"]
        );
        assert_eq!(row(&table, "tokio"), ["tokio", "200", "200", "200", "1", "4.00x", "1.00x"]);
    }

    #[test]
    fn a_larger_rate_is_the_better_one() {
        let mut results = results(Scenario::Cast);
        results.add(System::Tokio, vec![Metric::messages(22e6)]);
        results.add(System::Otp, vec![Metric::messages(4.4e6)]);
        assert_eq!(
            row(&render(&results), "otp"),
            ["otp", "4.40", "M", "4.40", "M", "4.40", "M", "1", "5.00x"]
        );
    }

    #[test]
    fn a_goal_stands_below_its_figures() {
        let mut results =
            Results::new(Group { scenario: Scenario::Http, variant: Variant::Plain64 });
        results.add(System::Linden, vec![Metric::requests(99e3), Metric::p99(1_010.0)]);
        results.add(System::Axum, vec![Metric::requests(100e3), Metric::p99(1_000.0)]);
        let table = render(&results);
        assert!(
            table.contains("  goal: 0.95x of axum or better; it is 0.99x: reached\n"),
            "{table}"
        );
        assert!(
            table.contains("  goal: 1.00x of axum or better; it is 0.99x: missed\n"),
            "{table}"
        );
    }

    #[test]
    fn a_system_without_figures_says_why() {
        let mut results = results(Scenario::Restart);
        results.give_up(System::Actix, "does not come back after a panic".to_owned());
        let table = render(&results);
        assert!(table.contains("restart/default"));
        assert!(table.contains("  actix   does not come back after a panic\n"));
    }

    #[test]
    fn numbers_keep_the_digits_that_matter() {
        let cases = [
            (4.849, "4.85"),
            (98.14, "98.1"),
            (544.4, "544"),
            (47_121.0, "47 121"),
            (22_130_000.0, "22.13 M"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }
}
