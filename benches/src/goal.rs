//! What Linden has to reach beside a peer, and whether it did. Pure.
//!
//! A goal is judged by the medians of one run of the benches, so a noisy machine can miss it; the table shows by how much.

use std::fmt;

use crate::plan::Group;
use crate::results::Record;
use crate::scenario::{Scenario, System, Variant};

/// Linden's figure against that of a peer.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Goal {
    scenario: Scenario,
    /// `None`: in all of them.
    variant: Option<Variant>,
    metric: &'static str,
    peer: System,
    /// How many times better than the peer's the figure has to be, at least.
    times_min: f64,
}

const GOALS: [Goal; 3] = [
    Goal {
        scenario: Scenario::Http,
        variant: None,
        metric: "rate",
        peer: System::Axum,
        times_min: 0.95,
    },
    Goal {
        scenario: Scenario::Http,
        variant: None,
        metric: "p99",
        peer: System::Axum,
        times_min: 1.0,
    },
    Goal {
        scenario: Scenario::Runaway,
        variant: Some(Variant::Loops4),
        metric: "p99",
        peer: System::Otp,
        times_min: 1.0,
    },
];

/// How a goal was met.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Verdict {
    goal: Goal,
    times: f64,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Goal { peer, times_min, .. } = self.goal;
        let verdict = if self.times >= times_min { "reached" } else { "missed" };
        write!(f, "goal: {times_min:.2}x of {peer} or better; it is {:.2}x: {verdict}", self.times)
    }
}

/// The verdicts on the records of one metric; none where Linden or the peer has no figure.
pub(crate) fn verdicts(group: Group, records: &[Record]) -> Vec<Verdict> {
    let of = |system: System| records.iter().find(|record| record.system == system.name());
    let Some(linden) = of(System::Linden) else {
        return Vec::new();
    };
    GOALS
        .iter()
        .filter(|goal| goal.scenario == group.scenario && goal.metric == linden.metric)
        .filter(|goal| goal.variant.is_none_or(|variant| variant == group.variant))
        .filter_map(|&goal| Some(Verdict { goal, times: linden.times_better_than(of(goal.peer)?) }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Metric;
    use crate::results::Results;

    fn judged(figures: &[(System, Metric)]) -> Vec<String> {
        judged_in(Group { scenario: Scenario::Http, variant: Variant::Plain1 }, figures)
    }

    fn judged_in(group: Group, figures: &[(System, Metric)]) -> Vec<String> {
        let mut results = Results::new(group);
        for (system, metric) in figures {
            results.add(*system, vec![metric.clone()]);
        }
        let verdicts = verdicts(group, &results.records());
        verdicts.iter().map(Verdict::to_string).collect()
    }

    #[test]
    fn a_goal_is_reached_at_its_very_mark() {
        let rate = |linden| {
            judged(&[
                (System::Linden, Metric::requests(linden)),
                (System::Axum, Metric::requests(100.0)),
            ])
        };
        assert_eq!(rate(95.0), ["goal: 0.95x of axum or better; it is 0.95x: reached"]);
        assert_eq!(rate(90.0), ["goal: 0.95x of axum or better; it is 0.90x: missed"]);
    }

    #[test]
    fn a_time_reaches_its_goal_when_it_is_shorter() {
        let p99 = |linden| {
            judged(&[(System::Linden, Metric::p99(linden)), (System::Axum, Metric::p99(50.0))])
        };
        assert_eq!(p99(40.0), ["goal: 1.00x of axum or better; it is 1.25x: reached"]);
        assert_eq!(p99(100.0), ["goal: 1.00x of axum or better; it is 0.50x: missed"]);
    }

    #[test]
    fn a_goal_of_one_variant_is_none_of_the_others() {
        let figures = [(System::Linden, Metric::p99(40.0)), (System::Otp, Metric::p99(50.0))];
        let in_variant =
            |variant| judged_in(Group { scenario: Scenario::Runaway, variant }, &figures);
        assert_eq!(
            in_variant(Variant::Loops4),
            ["goal: 1.00x of otp or better; it is 1.25x: reached"]
        );
        assert!(in_variant(Variant::Alone).is_empty());
    }

    #[test]
    fn nothing_is_judged_without_both_figures_or_a_goal() {
        assert!(judged(&[(System::Linden, Metric::p99(40.0))]).is_empty());
        assert!(judged(&[(System::Axum, Metric::p99(40.0))]).is_empty());
        let hop = [(System::Linden, Metric::hop(1.0)), (System::Axum, Metric::hop(1.0))];
        assert!(judged(&hop).is_empty());
    }
}
