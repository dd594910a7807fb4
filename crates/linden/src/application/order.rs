//! The order in which a node's applications start.
//!
//! Lives here: one pure function, [`boot_order`]. Anyone may call it.
//!
//! Invariants: every application comes after all it depends on; of those that could come next, the one declared
//! first does. So the order depends on nothing but the declarations. Stopping goes in the reverse order.
//!
//! Absent on purpose: starting anything, and optional dependencies.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::error::Error;
use std::fmt;

/// An application as far as the order is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared<'a> {
    /// Unique within the node.
    pub name: &'a str,
    /// The applications that must have started before. Naming one twice is harmless.
    pub depends_on: &'a [&'a str],
}

/// The order in which these applications start, as indices into `declared`.
///
/// # Errors
/// See [`OrderError`].
///
/// # Examples
/// ```
/// use linden::application::order::{Declared, boot_order};
///
/// let declared = [
///     Declared { name: "web", depends_on: &["billing"] },
///     Declared { name: "billing", depends_on: &["auth"] },
///     Declared { name: "auth", depends_on: &[] },
/// ];
/// assert_eq!(boot_order(&declared), Ok(vec![2, 1, 0]));
/// ```
pub fn boot_order(declared: &[Declared<'_>]) -> Result<Vec<usize>, OrderError> {
    let places = places(declared)?;
    let needs = needs(declared, &places)?;
    let mut needed_by = vec![Vec::new(); declared.len()];
    for (at, needs) in needs.iter().enumerate() {
        for &need in needs {
            needed_by[need].push(at);
        }
    }
    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..declared.len()).filter(|&at| missing[at] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(declared.len());
    while let Some(Reverse(at)) = ready.pop() {
        order.push(at);
        for &waiting in &needed_by[at] {
            missing[waiting] -= 1;
            if missing[waiting] == 0 {
                ready.push(Reverse(waiting));
            }
        }
    }
    if order.len() == declared.len() {
        return Ok(order);
    }
    let chain = cycle(&needs, &missing);
    Err(OrderError::Cycle {
        chain: chain.into_iter().map(|at| declared[at].name.to_owned()).collect(),
    })
}

/// Why there is no order. Nothing was started.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderError {
    /// Two applications have the same name.
    Duplicate {
        /// The name.
        name: String,
    },
    /// An application depends on one that the node does not have.
    Unknown {
        /// The name that nobody has.
        name: String,
        /// The application that asks for it.
        asked_by: String,
        /// All names there are, in the order of declaration.
        known: Vec<String>,
    },
    /// Applications depend on each other in a circle.
    Cycle {
        /// Each depends on the next; the last is the first again.
        chain: Vec<String>,
    },
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { name } => {
                write!(f, "two applications have the name `{name}`; add each once")
            }
            Self::Unknown { name, asked_by, known } => write!(
                f,
                "application `{asked_by}` depends on `{name}`, which this node does not have \
                 (it has: {})",
                known.join(", ")
            ),
            Self::Cycle { chain } => {
                write!(f, "applications depend on each other in a circle: {}", chain.join(" -> "))
            }
        }
    }
}

impl Error for OrderError {}

fn places<'a>(declared: &[Declared<'a>]) -> Result<HashMap<&'a str, usize>, OrderError> {
    let mut places = HashMap::with_capacity(declared.len());
    for (at, application) in declared.iter().enumerate() {
        if places.insert(application.name, at).is_some() {
            return Err(OrderError::Duplicate { name: application.name.to_owned() });
        }
    }
    Ok(places)
}

/// For each application the places of those it depends on, each once.
fn needs(
    declared: &[Declared<'_>],
    places: &HashMap<&str, usize>,
) -> Result<Vec<Vec<usize>>, OrderError> {
    let place = |name: &str, asked_by: &str| {
        places.get(name).copied().ok_or_else(|| OrderError::Unknown {
            name: name.to_owned(),
            asked_by: asked_by.to_owned(),
            known: declared.iter().map(|application| application.name.to_owned()).collect(),
        })
    };
    let needs_of = |application: &Declared<'_>| {
        let names = application.depends_on.iter();
        let mut needs: Vec<usize> =
            names.map(|name| place(name, application.name)).collect::<Result<_, _>>()?;
        needs.sort_unstable();
        needs.dedup();
        Ok(needs)
    };
    declared.iter().map(needs_of).collect()
}

/// A circle among the applications that still miss something, from its first declared member round to it.
fn cycle(needs: &[Vec<usize>], missing: &[usize]) -> Vec<usize> {
    let is_stuck = |at: &usize| missing[*at] > 0;
    let next = |at: usize| {
        *needs[at].iter().find(|at| is_stuck(at)).expect("what is stuck waits for something stuck")
    };
    let mut at = (0..needs.len()).find(is_stuck).expect("called when something is stuck");
    let mut path = Vec::new();
    while !path.contains(&at) {
        path.push(at);
        at = next(at);
    }
    let start = path.iter().position(|&seen| seen == at).expect("the loop ended on a seen one");
    let mut chain = path.split_off(start);
    let first = chain.iter().enumerate().min_by_key(|(_, at)| **at).map_or(0, |(index, _)| index);
    chain.rotate_left(first);
    chain.push(chain[0]);
    chain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `"web: billing auth; auth"` declares web, which depends on billing and auth, and auth.
    fn order_of(text: &str) -> Result<String, OrderError> {
        let parsed: Vec<(&str, Vec<&str>)> = text
            .split(';')
            .map(str::trim)
            .filter(|one| !one.is_empty())
            .map(|one| {
                let (name, needs) = one.split_once(':').unwrap_or((one, ""));
                (name.trim(), needs.split_whitespace().collect())
            })
            .collect();
        let declared: Vec<Declared<'_>> =
            parsed.iter().map(|(name, depends_on)| Declared { name, depends_on }).collect();
        let order = boot_order(&declared)?;
        Ok(order.into_iter().map(|at| declared[at].name).collect::<Vec<_>>().join(" "))
    }

    #[track_caller]
    fn check(text: &str, order: &str) {
        assert_eq!(order_of(text).as_deref(), Ok(order), "{text}");
    }

    #[track_caller]
    fn refused(text: &str, message: &str) {
        assert_eq!(order_of(text).expect_err(text).to_string(), message);
    }

    #[test]
    fn independent_applications_keep_the_order_of_declaration() {
        check("c; a; b", "c a b");
        check("", "");
    }

    #[test]
    fn dependencies_come_first() {
        check("web: billing; billing: auth; auth", "auth billing web");
        check("web: billing; auth; billing", "auth billing web");
        check("a; d: b c; c: a; b: a", "a c b d");
    }

    #[test]
    fn dependency_named_twice_is_harmless() {
        check("web: auth auth; auth", "auth web");
    }

    #[test]
    fn unknown_name_says_who_asks_for_it() {
        refused(
            "web: auht; auth",
            "application `web` depends on `auht`, which this node does not have (it has: web, auth)",
        );
    }

    #[test]
    fn duplicate_name_is_refused() {
        refused("web; auth; web", "two applications have the name `web`; add each once");
    }

    #[test]
    fn cycle_names_its_chain_from_the_first_declared() {
        let circle = |chain| format!("applications depend on each other in a circle: {chain}");
        refused("a: b; b: c; c: a", &circle("a -> b -> c -> a"));
        refused("z: b; c: a; a: b; b: c", &circle("c -> a -> b -> c"));
        refused("a: a", &circle("a -> a"));
        refused("x; w: p; p: q x; q: p", &circle("p -> q -> p"));
    }

    proptest! {
        #[test]
        fn every_order_is_complete_and_respects_dependencies(
            // application i may depend on any application, so there are circles too
            needs in proptest::collection::vec(proptest::collection::vec(0_usize..8, 0..3), 0..8),
        ) {
            let names: Vec<String> = (0..needs.len()).map(|at| format!("n{at}")).collect();
            let needs: Vec<Vec<&str>> = needs
                .iter()
                .map(|of| of.iter().filter_map(|&n| names.get(n)).map(String::as_str).collect())
                .collect();
            let declared: Vec<Declared<'_>> = names
                .iter()
                .zip(&needs)
                .map(|(name, depends_on)| Declared { name, depends_on })
                .collect();
            let depends = |on: &str, of: &str| {
                declared.iter().any(|d| d.name == of && d.depends_on.contains(&on))
            };
            match boot_order(&declared) {
                Ok(order) => {
                    let mut sorted = order.clone();
                    sorted.sort_unstable();
                    prop_assert_eq!(sorted, (0..declared.len()).collect::<Vec<_>>());
                    for (index, &at) in order.iter().enumerate() {
                        for &later in &order[index..] {
                            prop_assert!(!depends(declared[later].name, declared[at].name));
                        }
                    }
                }
                Err(OrderError::Cycle { chain }) => {
                    prop_assert!(chain.len() >= 2);
                    prop_assert_eq!(chain.first(), chain.last());
                    for pair in chain.windows(2) {
                        prop_assert!(depends(&pair[1], &pair[0]));
                    }
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}
