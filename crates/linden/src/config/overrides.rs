//! The environment's overrides.
//!
//! Lives here: how `LINDEN__TABLE__KEY=value` changes the tree. Pure: the variables are passed in.
//!
//! Invariants: the result does not depend on the order of the variables; no value is in any problem.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::Arc;

use super::error::{Place, Problem, ProblemKind};
use super::tree::{Entry, Node, Origin, Table, Value, parse_variable};

const PREFIX: &str = "LINDEN__";
const SEPARATOR: &str = "__";

/// Lays the overrides over the tree and says what was wrong with them.
pub(super) fn apply(
    root: &mut Table,
    env: impl IntoIterator<Item = (String, String)>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut overrides: BTreeMap<Vec<String>, Override> = BTreeMap::new();
    let mut env: Vec<_> =
        env.into_iter().filter(|(variable, _)| variable.starts_with(PREFIX)).collect();
    env.sort();
    for (variable, text) in env {
        let variable: Arc<str> = Arc::from(variable);
        let refuse = |kind| {
            let place = Place::Env { variable: Arc::clone(&variable) };
            Problem { place, key: variable.to_string(), kind }
        };
        let Some(path) = path_of(&variable) else {
            problems.push(refuse(ProblemKind::BadVariable));
            continue;
        };
        match overrides.entry(path) {
            btree_map::Entry::Vacant(entry) => {
                entry.insert(Override { variable, text });
            }
            btree_map::Entry::Occupied(entry) => {
                let other = entry.get().variable.to_string();
                problems.push(refuse(ProblemKind::SetTwice { other }));
            }
        }
    }
    // By path, so a table set whole comes before the keys set in it.
    for (path, Override { variable, text }) in overrides {
        let node = parse_variable(&text, &variable);
        if let Err(problem) = set(root, &path, &variable, node) {
            problems.push(problem);
        }
    }
    problems
}

struct Override {
    variable: Arc<str>,
    text: String,
}

/// The path a variable means, in lower case. `None` when a part of it is empty or it names no key.
fn path_of(variable: &str) -> Option<Vec<String>> {
    let path: Vec<String> =
        variable.strip_prefix(PREFIX)?.split(SEPARATOR).map(str::to_ascii_lowercase).collect();
    (path.len() >= 2 && path.iter().all(|part| !part.is_empty())).then_some(path)
}

fn set(root: &mut Table, path: &[String], variable: &Arc<str>, node: Node) -> Result<(), Problem> {
    let (last, tables) = path.split_last().expect("a path has two parts or more");
    let origin = || Origin::Env { variable: Arc::clone(variable) };
    let mut table = root;
    for (depth, part) in tables.iter().enumerate() {
        let inner = table.entry(part, || Entry {
            key: part.clone(),
            origin: origin(),
            node: Node { value: Value::Table(Table::default()), origin: origin(), raw: None },
        });
        let Value::Table(inner) = &mut inner.node.value else {
            let place = Place::Env { variable: Arc::clone(variable) };
            let key = path[..=depth].join(".");
            return Err(Problem { place, key, kind: ProblemKind::NotATable });
        };
        table = inner;
    }
    let entry =
        table.entry(last, || Entry { key: last.clone(), origin: origin(), node: node.clone() });
    entry.node = node;
    Ok(())
}

impl Table {
    /// The entry of this name without regard to case, the exact one first; made when there is none.
    fn entry(&mut self, name: &str, make: impl FnOnce() -> Entry) -> &mut Entry {
        let exact = self.entries.iter().position(|entry| entry.key == name);
        let loose = || self.entries.iter().position(|entry| entry.key.eq_ignore_ascii_case(name));
        let at = exact.or_else(loose).unwrap_or_else(|| {
            self.entries.push(make());
            self.entries.len() - 1
        });
        &mut self.entries[at]
    }
}
