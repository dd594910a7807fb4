//! What the runs of one group came to: figures per system and metric, or the reason for their
//! absence. Filled by the parent as its children report; read by the table and the JSON file.

use serde::Serialize;

use crate::outcome::{Metric, more_is_better};
use crate::plan::Group;
use crate::scenario::System;
use crate::stats::Summary;

/// One metric of one system over its runs; also one line of the JSON file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Record {
    pub(crate) scenario: &'static str,
    pub(crate) variant: &'static str,
    pub(crate) system: &'static str,
    pub(crate) metric: String,
    pub(crate) unit: String,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// How many runs gave a figure.
    pub(crate) runs: usize,
}

impl Record {
    /// The line of the JSON file, without the line break.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names and numbers can be written as JSON")
    }

    /// How many times better its median is than that of another record of the same metric; below 1 it is the worse one.
    pub(crate) fn times_better_than(&self, other: &Record) -> f64 {
        if self.median == other.median {
            // Both may be nothing.
            1.0
        } else if more_is_better(&self.unit) {
            self.median / other.median
        } else {
            other.median / self.median
        }
    }
}

#[derive(Debug)]
struct Series {
    system: System,
    metric: String,
    unit: String,
    values: Vec<f64>,
}

/// The results of one group.
#[derive(Debug)]
pub(crate) struct Results {
    group: Group,
    series: Vec<Series>,
    troubles: Vec<(System, String)>,
    /// Those of the troubled systems that crashed, hung or said nothing.
    failed: Vec<System>,
}

impl Results {
    pub(crate) fn new(group: Group) -> Results {
        Results { group, series: Vec::new(), troubles: Vec::new(), failed: Vec::new() }
    }

    pub(crate) fn group(&self) -> Group {
        self.group
    }

    /// Takes the figures of one run.
    pub(crate) fn add(&mut self, system: System, metrics: Vec<Metric>) {
        for Metric { metric, unit, value } in metrics {
            let known = self
                .series
                .iter_mut()
                .find(|series| series.system == system && series.metric == metric);
            match known {
                Some(series) => series.values.push(value),
                None => self.series.push(Series { system, metric, unit, values: vec![value] }),
            }
        }
    }

    /// Takes the reason why a run gave no figures; the system is not run again in this group.
    pub(crate) fn give_up(&mut self, system: System, why: String) {
        self.troubles.push((system, why));
    }

    /// As [`Results::give_up`], for a run that should have given figures.
    pub(crate) fn fail(&mut self, system: System, why: String) {
        self.failed.push(system);
        self.give_up(system, why);
    }

    pub(crate) fn has_failed(&self, system: System) -> bool {
        self.failed.contains(&system)
    }

    pub(crate) fn given_up(&self, system: System) -> bool {
        self.troubles.iter().any(|(troubled, _)| *troubled == system)
    }

    pub(crate) fn troubles(&self) -> &[(System, String)] {
        &self.troubles
    }

    /// One record per metric and system, metric by metric in the order of their first appearance.
    pub(crate) fn records(&self) -> Vec<Record> {
        let mut metrics: Vec<&str> = Vec::new();
        for series in &self.series {
            if !metrics.contains(&series.metric.as_str()) {
                metrics.push(&series.metric);
            }
        }
        let of_metric = |metric| self.series.iter().filter(move |series| series.metric == metric);
        metrics.into_iter().flat_map(of_metric).filter_map(|series| self.record(series)).collect()
    }

    fn record(&self, series: &Series) -> Option<Record> {
        let Summary { median, min, max, runs } = Summary::of(&series.values)?;
        Some(Record {
            scenario: self.group.scenario.name(),
            variant: self.group.variant.name(),
            system: series.system.name(),
            metric: series.metric.clone(),
            unit: series.unit.clone(),
            median,
            min,
            max,
            runs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Scenario, Variant};

    #[test]
    fn a_line_of_json_has_the_agreed_keys() {
        let group = Group { scenario: Scenario::Call, variant: Variant::OneCore };
        let mut results = Results::new(group);
        for nanoseconds in [110.0, 109.0, 120.5] {
            results.add(System::Tokio, vec![Metric::round_trip(nanoseconds)]);
        }
        let lines: Vec<String> = results.records().iter().map(Record::to_json).collect();
        assert_eq!(
            lines,
            [concat!(
                r#"{"scenario":"call","variant":"one_core","system":"tokio","#,
                r#""metric":"round_trip","unit":"ns","median":110.0,"min":109.0,"max":120.5,"#,
                r#""runs":3}"#
            )]
        );
    }

    #[test]
    fn metrics_are_kept_apart_and_a_system_without_figures_has_no_record() {
        let group = Group { scenario: Scenario::Restart, variant: Variant::Default };
        let mut results = Results::new(group);
        results.add(System::Tokio, vec![Metric::p50(5.0), Metric::p99(9.0)]);
        results.give_up(System::Actix, "never comes back".to_owned());
        results.add(System::Otp, vec![Metric::p50(98.0), Metric::p99(300.0)]);
        let order: Vec<_> = results.records().into_iter().map(|r| (r.metric, r.system)).collect();
        assert_eq!(
            order,
            [
                ("p50".to_owned(), "tokio"),
                ("p50".to_owned(), "otp"),
                ("p99".to_owned(), "tokio"),
                ("p99".to_owned(), "otp")
            ]
        );
        assert!(results.given_up(System::Actix) && !results.given_up(System::Otp));
    }

    #[test]
    fn a_system_that_fails_is_told_from_one_without_the_feature() {
        let group = Group { scenario: Scenario::Call, variant: Variant::Outside };
        let mut results = Results::new(group);
        results.give_up(System::Otp, "not possible".to_owned());
        results.fail(System::Linden, "killed after 180 s".to_owned());
        assert!(results.given_up(System::Linden) && results.given_up(System::Otp));
        assert!(results.has_failed(System::Linden) && !results.has_failed(System::Otp));
    }
}
