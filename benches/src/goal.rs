//! What Linden has to reach beside a peer, and whether it did. Pure.
//!
//! A goal is judged by the medians of one run of the benches, so a noisy machine can miss it; the table shows by how much.

use std::fmt;

use crate::plan::Group;
use crate::results::Record;
use crate::scenario::{Scenario, System, Variant};

/// What a figure of Linden's has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Goal {
    scenario: Scenario,
    /// `None`: in all of them.
    variant: Option<Variant>,
    metric: &'static str,
    mark: Mark,
}

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mark {
    /// So many times better than the peer's figure, at least.
    Times(Peer, f64),
    /// So much, in the metric's unit, at most.
    AtMost(f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Peer {
    One(System),
    /// The one that is best of the libraries for actors in Rust.
    BestLibrary,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::One(system) => write!(f, "{system}"),
            Peer::BestLibrary => f.write_str("the best Rust library"),
        }
    }
}

const LIBRARIES: [System; 3] = [System::Ractor, System::Kameo, System::Actix];
const TOKIO: Peer = Peer::One(System::Tokio);
const OTP: Peer = Peer::One(System::Otp);
const AXUM: Peer = Peer::One(System::Axum);

const fn goal(scenario: Scenario, variant: Variant, metric: &'static str, mark: Mark) -> Goal {
    Goal { scenario, variant: Some(variant), metric, mark }
}

const fn times(scenario: Scenario, metric: &'static str, peer: Peer, times_min: f64) -> Goal {
    goal(scenario, Variant::Default, metric, Mark::Times(peer, times_min))
}

/// The numbers to reach, in the order of the scenarios.
const GOALS: [Goal; 30] = [
    times(Scenario::Call, "round_trip", TOKIO, 3.0),
    times(Scenario::Call, "round_trip", OTP, 15.0),
    times(Scenario::Call, "round_trip", Peer::BestLibrary, 4.0),
    goal(Scenario::Call, Variant::CrossWorker, "round_trip", Mark::AtMost(2_000.0)),
    times(Scenario::Cast, "rate", TOKIO, 1.5),
    times(Scenario::Cast, "rate", OTP, 6.0),
    times(Scenario::Cast, "rate", Peer::BestLibrary, 4.0),
    times(Scenario::Fanin, "rate", TOKIO, 3.0),
    times(Scenario::Fanin, "rate", OTP, 6.0),
    times(Scenario::Fanin, "rate", Peer::BestLibrary, 4.0),
    times(Scenario::Pairs, "rate", TOKIO, 2.5),
    times(Scenario::Pairs, "rate", OTP, 5.0),
    times(Scenario::Pairs, "rate", Peer::BestLibrary, 4.0),
    times(Scenario::Spawn, "rate", TOKIO, 2.0),
    times(Scenario::Spawn, "rate", OTP, 4.0),
    times(Scenario::Spawn, "rate", Peer::BestLibrary, 5.0),
    goal(Scenario::Idle, Variant::Default, "rss_per_process", Mark::AtMost(250.0)),
    times(Scenario::Idle, "rss_per_process", TOKIO, 5.0),
    times(Scenario::Idle, "rss_per_process", OTP, 8.0),
    times(Scenario::Idle, "rss_per_process", Peer::BestLibrary, 3.0),
    goal(Scenario::Restart, Variant::Default, "p50", Mark::AtMost(10.0)),
    times(Scenario::Restart, "p50", OTP, 1.0),
    Goal { scenario: Scenario::Http, variant: None, metric: "rate", mark: Mark::Times(AXUM, 0.95) },
    Goal { scenario: Scenario::Http, variant: None, metric: "p99", mark: Mark::Times(AXUM, 1.0) },
    goal(Scenario::Runaway, Variant::Loops4, "p99", Mark::Times(OTP, 1.0)),
    goal(Scenario::Scale, Variant::Servers1e6, "rss_per_process", Mark::AtMost(250.0)),
    goal(Scenario::Scale, Variant::Servers1e7, "rss_per_process", Mark::AtMost(250.0)),
    goal(Scenario::Scale, Variant::Servers1e7, "live_bytes_per_process", Mark::AtMost(250.0)),
    goal(Scenario::Timers, Variant::Default, "arm_cancel", Mark::AtMost(100.0)),
    goal(Scenario::IdleCpu, Variant::Default, "share", Mark::AtMost(0.5)),
];

/// How a goal was met.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Verdict {
    goal: Goal,
    /// Times better than the peer, or the figure itself.
    is: f64,
}

impl Verdict {
    pub(crate) fn is_reached(&self) -> bool {
        match self.goal.mark {
            Mark::Times(_, times_min) => self.is >= times_min,
            Mark::AtMost(most) => self.is <= most,
        }
    }
}

impl Verdict {
    /// Metric, goal, what it is, and whether that is enough: for a table.
    pub(crate) fn cells(&self) -> [String; 4] {
        let (goal, is) = match self.goal.mark {
            Mark::Times(peer, times_min) => {
                (format!("{times_min:.2}x of {peer}"), format!("{:.2}x", self.is))
            }
            Mark::AtMost(most) => (format!("at most {most}"), format!("{:.2}", self.is)),
        };
        let reached = if self.is_reached() { "reached" } else { "**missed**" };
        [self.goal.metric.to_owned(), goal, is, reached.to_owned()]
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_reached() { "reached" } else { "missed" };
        match self.goal.mark {
            Mark::Times(peer, times_min) => write!(
                f,
                "goal: {times_min:.2}x of {peer} or better; it is {:.2}x: {verdict}",
                self.is
            ),
            Mark::AtMost(most) => {
                write!(f, "goal: at most {most}; it is {:.3}: {verdict}", self.is)
            }
        }
    }
}

/// The verdicts on the records of one metric; none where Linden or the peer has no figure.
pub(crate) fn verdicts(group: Group, records: &[Record]) -> Vec<Verdict> {
    let of = |system: System| records.iter().find(|record| record.system == system.name());
    let Some(linden) = of(System::Linden) else {
        return Vec::new();
    };
    let is = |mark| match mark {
        Mark::AtMost(_) => Some(linden.median),
        Mark::Times(Peer::One(peer), _) => Some(linden.times_better_than(of(peer)?)),
        Mark::Times(Peer::BestLibrary, _) => {
            let times = LIBRARIES.iter().filter_map(|&peer| of(peer));
            times.map(|peer| linden.times_better_than(peer)).min_by(f64::total_cmp)
        }
    };
    GOALS
        .iter()
        .filter(|goal| goal.scenario == group.scenario && goal.metric == linden.metric)
        .filter(|goal| goal.variant.is_none_or(|variant| variant == group.variant))
        .filter_map(|&goal| Some(Verdict { goal, is: is(goal.mark)? }))
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
    fn the_best_of_the_libraries_counts_and_a_figure_may_be_a_goal_of_its_own() {
        let idle = Group { scenario: Scenario::Idle, variant: Variant::Default };
        let bytes = Metric::rss_per_process;
        let figures = [
            (System::Linden, bytes(240.0)),
            (System::Ractor, bytes(960.0)),
            (System::Kameo, bytes(600.0)),
        ];
        assert_eq!(
            judged_in(idle, &figures),
            [
                "goal: at most 250; it is 240.000: reached",
                "goal: 3.00x of the best Rust library or better; it is 2.50x: missed"
            ]
        );
    }

    #[test]
    fn nothing_is_judged_without_both_figures_or_a_goal() {
        assert!(judged(&[(System::Linden, Metric::p99(40.0))]).is_empty());
        assert!(judged(&[(System::Axum, Metric::p99(40.0))]).is_empty());
        let hop = [(System::Linden, Metric::hop(1.0)), (System::Axum, Metric::hop(1.0))];
        assert!(judged(&hop).is_empty());
    }
}
