//! What the visitors measured: latencies a route, and what went wrong by its kind.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use hdrhistogram::Histogram;
use linden::prelude::*;

/// Latencies above it count as it: 10 minutes, in microseconds.
const LATENCY_MICROS_MAX: u64 = 600_000_000;

/// The process that gathers the measurements.
#[derive(Default)]
pub(super) struct Scoreboard {
    routes: BTreeMap<&'static str, Route>,
}

/// The measurements of one route.
#[derive(Clone, Debug)]
struct Route {
    micros: Histogram<u64>,
    failures: BTreeMap<String, u64>,
}

impl Default for Route {
    fn default() -> Route {
        let micros = Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3);
        Route { micros: micros.expect("the bounds are in order"), failures: BTreeMap::new() }
    }
}

#[gen_server]
impl Scoreboard {
    /// One request and how it ended: `None` is well.
    #[cast]
    pub(super) fn note(&mut self, route: &'static str, took: Duration, failure: Option<String>) {
        let route = self.routes.entry(route).or_default();
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        route.micros.saturating_record(micros);
        if let Some(failure) = failure {
            *route.failures.entry(failure).or_default() += 1;
        }
    }

    #[call]
    pub(super) fn summary(&self) -> Summary {
        Summary { routes: self.routes.clone() }
    }
}

/// All measurements.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    routes: BTreeMap<&'static str, Route>,
}

impl Summary {
    pub(super) fn requests(&self) -> u64 {
        self.routes.values().map(|route| route.micros.len()).sum()
    }

    pub(super) fn failures(&self) -> u64 {
        self.routes.values().flat_map(|route| route.failures.values()).sum()
    }

    /// For people: a line a route, and one for each kind of failure.
    pub(super) fn table(&self, length: Duration) -> String {
        let mut text = format!(
            "{:<26}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}\n",
            "route", "requests", "per s", "p50 ms", "p90 ms", "p99 ms", "max ms"
        );
        for (name, route) in &self.routes {
            let millis = |micros: u64| format!("{:.2}", micros as f64 / 1e3);
            let at = |quantile| millis(route.micros.value_at_quantile(quantile));
            let rate = route.micros.len() as f64 / length.as_secs_f64();
            let _ = writeln!(
                text,
                "{name:<26}{:>10}{rate:>10.0}{:>10}{:>10}{:>10}{:>10}",
                route.micros.len(),
                at(0.5),
                at(0.9),
                at(0.99),
                millis(route.micros.max()),
            );
        }
        let all = self.requests();
        let _ = writeln!(text, "{:<26}{all:>10}{:>10.0}", "all", all as f64 / length.as_secs_f64());
        for (name, route) in &self.routes {
            for (failure, count) in &route.failures {
                let _ = writeln!(text, "  {name}: {count} times {failure}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[linden::test]
    async fn requests_are_summed_up_by_route_and_failures_by_kind() {
        let board = Scoreboard::start(Scoreboard::default).await.unwrap();
        for millis in 1..=100 {
            board.note("GET /a", Duration::from_millis(millis), None);
        }
        board.note("GET /b", Duration::from_secs(3_600), Some("503".to_owned()));
        board.note("GET /b", Duration::from_millis(1), Some("503".to_owned()));
        let summary = board.summary().await.unwrap();
        assert_eq!((summary.requests(), summary.failures()), (102, 2));
        let table = summary.table(Duration::from_secs(10));
        let lines: Vec<Vec<&str>> =
            table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1][..5], ["GET", "/a", "100", "10", "50.02"]);
        assert_eq!(lines[2][..3], ["GET", "/b", "2"]);
        assert_eq!(lines[3], ["all", "102", "10"]);
        assert!(table.ends_with("  GET /b: 2 times 503\n"), "{table}");
    }
}
