//! What one child reports: the line of JSON on its standard output.
//!
//! The contract between parent and child, whichever language the child is written in
//! (`otp/bench.erl` prints the same). A child that crashes prints nothing; that is a failure and is
//! the business of `child`.

use serde::{Deserialize, Serialize};

/// One measured figure of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Metric {
    pub(crate) metric: String,
    pub(crate) unit: String,
    pub(crate) value: f64,
}

impl Metric {
    fn new(metric: &str, unit: &str, value: f64) -> Metric {
        Metric { metric: metric.to_owned(), unit: unit.to_owned(), value }
    }

    pub(crate) fn round_trip(nanoseconds: f64) -> Metric {
        Metric::new("round_trip", "ns", nanoseconds)
    }

    pub(crate) fn hop(nanoseconds: f64) -> Metric {
        Metric::new("hop", "ns", nanoseconds)
    }

    pub(crate) fn messages(per_second: f64) -> Metric {
        Metric::new("rate", "msgs/s", per_second)
    }

    pub(crate) fn spawns(per_second: f64) -> Metric {
        Metric::new("rate", "1/s", per_second)
    }

    pub(crate) fn requests(per_second: f64) -> Metric {
        Metric::new("rate", "requests/s", per_second)
    }

    pub(crate) fn rss_per_process(bytes: f64) -> Metric {
        Metric::new("rss_per_process", "bytes", bytes)
    }

    pub(crate) fn arm_cancel(nanoseconds: f64) -> Metric {
        Metric::new("arm_cancel", "ns", nanoseconds)
    }

    pub(crate) fn core_share(percent: f64) -> Metric {
        Metric::new("share", "%", percent)
    }

    pub(crate) fn p50(microseconds: f64) -> Metric {
        Metric::new("p50", "us", microseconds)
    }

    pub(crate) fn p99(microseconds: f64) -> Metric {
        Metric::new("p99", "us", microseconds)
    }

    pub(crate) fn max(microseconds: f64) -> Metric {
        Metric::new("max", "us", microseconds)
    }
}

/// The reason why a system has no figure for a scenario.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unsupported(pub(crate) String);

impl Unsupported {
    /// It is no peer of Linden's there.
    pub(crate) fn takes_no_part() -> Unsupported {
        Unsupported("takes no part in this scenario".to_owned())
    }
}

/// The whole line: figures, or the reason why there are none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Metrics(Vec<Metric>),
    Unsupported(String),
}

impl From<Result<Vec<Metric>, Unsupported>> for Outcome {
    fn from(result: Result<Vec<Metric>, Unsupported>) -> Outcome {
        match result {
            Ok(metrics) => Outcome::Metrics(metrics),
            Err(Unsupported(why)) => Outcome::Unsupported(why),
        }
    }
}

/// A unit of which more is better; of all others less is better.
pub(crate) fn more_is_better(unit: &str) -> bool {
    unit.ends_with("/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_survives_its_line() {
        for outcome in [
            Outcome::Metrics(vec![Metric::p50(4.5), Metric::p99(9.25)]),
            Outcome::Unsupported("it has no \"blocking\" call".to_owned()),
        ] {
            let line = serde_json::to_string(&outcome).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Outcome>(&line).unwrap(), outcome);
        }
    }

    #[test]
    fn the_line_of_the_erlang_child_is_understood() {
        let line = r#"{"metrics":[{"metric":"round_trip","unit":"ns","value":1.6440e+03}]}"#;
        assert_eq!(
            serde_json::from_str::<Outcome>(line).unwrap(),
            Outcome::Metrics(vec![Metric::round_trip(1644.0)])
        );
    }

    #[test]
    fn rates_are_better_when_larger_and_the_rest_when_smaller() {
        assert!(more_is_better("msgs/s") && more_is_better("1/s"));
        assert!(more_is_better("requests/s"));
        assert!(!more_is_better("ns") && !more_is_better("us") && !more_is_better("bytes"));
    }
}
