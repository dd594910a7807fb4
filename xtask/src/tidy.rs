//! `cargo xtask tidy`: the rules of the repository that the compiler does not know.
//!
//! Each check is a pure function from a [`Tree`] (texts of the tracked files and the edges between crates) to
//! findings; only `tree` reads anything. Each has a test in which it fails. A finding says what is wrong and what
//! mends it. Files that git ignores are not looked at; files not yet added are.

mod arrows;
mod heads;
mod links;
mod names;
mod promises;
mod reach;
mod readme;
pub(crate) mod rust;
mod sizes;
mod tree;
mod unsafe_code;
mod words;

use std::fmt;
use std::process::ExitCode;

pub(crate) use readme::program_path;
use tree::Tree;

use crate::workspace::Workspace;

/// All checks, in the order in which their findings are printed.
const CHECKS: &[fn(&Tree) -> Vec<Finding>] = &[
    arrows::check,
    heads::check,
    promises::check,
    unsafe_code::check,
    readme::check,
    sizes::check,
    names::check,
    words::check,
    links::check,
];

/// A rule that is broken somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The file, from the root.
    path: String,
    /// The line, counted from 1, where one is to blame.
    line: Option<usize>,
    /// What is wrong and what mends it.
    text: String,
}

impl Finding {
    fn file(path: &str, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, text: text.into() }
    }

    /// `index` counts from 0, as an enumeration of lines does.
    fn line(path: &str, index: usize, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: Some(index + 1), text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.text),
            None => write!(f, "{}: {}", self.path, self.text),
        }
    }
}

/// Prints the findings of all checks; any finding is a failure.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let findings = findings(workspace)?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy: nothing found");
            Ok(ExitCode::SUCCESS)
        }
        count => {
            println!("tidy: {count} findings");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The findings of all checks.
pub(crate) fn findings(workspace: &Workspace) -> anyhow::Result<Vec<Finding>> {
    let tree = Tree::read(workspace)?;
    Ok(CHECKS.iter().flat_map(|check| check(&tree)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finding_is_shown_with_its_place() {
        assert_eq!(Finding::line("a.rs", 0, "text").to_string(), "a.rs:1: text");
        assert_eq!(Finding::file("a.rs", "text").to_string(), "a.rs: text");
    }
}
