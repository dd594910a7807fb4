//! What is run, in which order. Pure: a selection goes in, groups of steps come out.
//!
//! A group is one table: a scenario in one variant. Within it the systems take turns, run by run,
//! so that a noisy minute of the machine hits all of them.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;

use crate::scenario::{Scenario, System, Variant};

/// A scenario as named on the command line: `call`, or one variant of it, `call/one_core`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Selection {
    scenario: Scenario,
    variant: Option<Variant>,
}

/// The name is not that of a scenario, or the variant does not exist in it.
#[derive(Debug, PartialEq)]
pub(crate) enum SelectionError {
    Scenario(String),
    Variant(Scenario, String),
}

impl fmt::Display for SelectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SelectionError::Scenario(name) => {
                let known = Scenario::ALL.iter().map(|scenario| scenario.name());
                write!(f, "no scenario {name}; there are {}", join(known))
            }
            SelectionError::Variant(scenario, name) => {
                let known = scenario.variants().iter().map(|variant| variant.name());
                write!(f, "no variant {name} of {scenario}; there is {}", join(known))
            }
        }
    }
}

impl Error for SelectionError {}

fn join<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

impl FromStr for Selection {
    type Err = SelectionError;

    fn from_str(text: &str) -> Result<Selection, SelectionError> {
        let (name, variant) = match text.split_once('/') {
            Some((name, variant)) => (name, Some(variant)),
            None => (text, None),
        };
        let scenario = Scenario::from_str(name, false)
            .map_err(|_| SelectionError::Scenario(name.to_owned()))?;
        let variant = variant.map(|variant| {
            Variant::from_str(variant, false)
                .ok()
                .filter(|found| scenario.variants().contains(found))
                .ok_or_else(|| SelectionError::Variant(scenario, variant.to_owned()))
        });
        Ok(Selection { scenario, variant: variant.transpose()? })
    }
}

/// One table: a scenario in one variant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) scenario: Scenario,
    pub(crate) variant: Variant,
}

/// The groups of a selection in a fixed order, each once; all when nothing is selected.
pub(crate) fn groups(selections: &[Selection]) -> Vec<Group> {
    let wanted = |group: &Group| {
        selections.is_empty()
            || selections.iter().any(|selection| {
                selection.scenario == group.scenario
                    && selection.variant.is_none_or(|variant| variant == group.variant)
            })
    };
    Scenario::ALL
        .iter()
        .flat_map(|&scenario| {
            scenario.variants().iter().map(move |&variant| Group { scenario, variant })
        })
        .filter(wanted)
        .collect()
}

/// The runs of one group, interleaved: run 1 of each system that takes part, then run 2 of each.
pub(crate) fn turns(
    group: Group,
    systems: &[System],
    runs: usize,
) -> impl Iterator<Item = (usize, System)> {
    let part = move |&&system: &&System| group.scenario.has(system);
    (1..=runs).flat_map(move |run| systems.iter().filter(part).map(move |&system| (run, system)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(selections: &[&str]) -> Vec<String> {
        let selections: Vec<Selection> =
            selections.iter().map(|text| text.parse().unwrap()).collect();
        groups(&selections).iter().map(|g| format!("{}/{}", g.scenario, g.variant)).collect()
    }

    #[test]
    fn everything_is_run_when_nothing_is_selected() {
        assert_eq!(names(&[]).len(), 29);
    }

    #[test]
    fn a_scenario_means_all_its_variants_once() {
        assert_eq!(
            names(&["ring", "call", "call/one_core"]),
            ["call/default", "call/one_core", "call/cross_worker", "call/outside", "ring/default"]
        );
    }

    #[test]
    fn one_variant_can_be_selected() {
        assert_eq!(names(&["call/outside"]), ["call/outside"]);
        assert_eq!(names(&["http/64", "http/tls1"]), ["http/64", "http/tls1"]);
    }

    #[test]
    fn unknown_names_are_refused_with_the_known_ones() {
        let error = "cal".parse::<Selection>().unwrap_err();
        assert!(error.to_string().starts_with("no scenario cal; there are call, cast"));
        let error = "cast/outside".parse::<Selection>().unwrap_err();
        assert_eq!(error.to_string(), "no variant outside of cast; there is default");
    }

    #[test]
    fn systems_take_turns() {
        let group = Group { scenario: Scenario::Call, variant: Variant::Default };
        let systems = [System::Tokio, System::Axum, System::Otp];
        let turns: Vec<_> = turns(group, &systems, 2).collect();
        assert_eq!(
            turns,
            [(1, System::Tokio), (1, System::Otp), (2, System::Tokio), (2, System::Otp)]
        );
    }
}
