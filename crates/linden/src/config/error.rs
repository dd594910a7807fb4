//! What can be wrong with a configuration, and how it is said.
//!
//! Lives here: [`ConfigError`], [`Problem`], and the rule which keys are secret. Plain data.
//!
//! Invariants: a [`Problem`] never holds the value of a secret key; that is decided when it is made, so neither
//! `Display` nor `Debug` can show one.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A configuration that cannot be used.
#[non_exhaustive]
#[derive(Debug)]
pub enum ConfigError {
    /// The file could not be read.
    Read {
        /// The file.
        path: Arc<Path>,
        /// Why.
        source: io::Error,
    },
    /// The file is no TOML.
    Syntax {
        /// The file.
        path: Arc<Path>,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What the parser says. It shows no part of the file, which may hold secrets.
        message: String,
    },
    /// It was read, but says what it must not or lacks what it must say.
    Invalid {
        /// One or more.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub place: Place,
    /// The key with its tables (`billing.retries`), or the table.
    pub key: String,
    /// What is wrong.
    pub kind: ProblemKind,
}

/// Where a key or value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this file.
    File {
        /// The file.
        path: Arc<Path>,
        /// The line, from 1. `None` when something is missing that has no line.
        line: Option<usize>,
    },
    /// In this environment variable.
    Env {
        /// Its name.
        variable: Arc<str>,
    },
    /// There is no file.
    Nowhere,
}

/// What is wrong with a key.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// No such key in this table.
    UnknownKey {
        /// The key that was probably meant.
        nearest: Option<String>,
        /// All keys of the table.
        known: Vec<String>,
    },
    /// No such table.
    UnknownTable {
        /// The table that was probably meant.
        nearest: Option<String>,
        /// All tables.
        known: Vec<String>,
    },
    /// The key must be there and is not.
    Missing,
    /// A value where a table must be.
    NotATable,
    /// A value of the wrong type.
    WrongType {
        /// What was expected.
        expected: String,
        /// What was found; of secret keys the type only.
        found: String,
    },
    /// The type refuses the value.
    Refused {
        /// Why; of secret keys nothing.
        why: Option<String>,
    },
    /// The name of the variable is not `LINDEN__TABLE__KEY`.
    BadVariable,
    /// Two variables mean the same key.
    SetTwice {
        /// The other one.
        other: String,
    },
}

/// Whether the values below this path must not be shown.
pub(super) fn is_secret(path: &str) -> bool {
    const MARKS: [&str; 7] =
        ["secret", "password", "passwd", "passphrase", "token", "key", "credential"];
    let path = path.to_ascii_lowercase();
    MARKS.iter().any(|mark| path.contains(mark))
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, .. } => write!(
                f,
                "cannot read {}; check that the path is right and that this user may read the file",
                path.display()
            ),
            Self::Syntax { path, line, column, message } => {
                write!(f, "{}:{line}:{column}: {message}", path.display())
            }
            Self::Invalid { problems } => match problems.as_slice() {
                [problem] => problem.fmt(f),
                _ => {
                    write!(f, "the configuration has {} problems", problems.len())?;
                    problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
                }
            },
        }
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Syntax { .. } | Self::Invalid { .. } => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, key, kind } = self;
        write!(f, "{place}: ")?;
        match kind {
            ProblemKind::UnknownKey { nearest, known } => {
                write!(f, "unknown key `{key}`")?;
                hint(f, nearest.as_deref(), known, "there are no keys")
            }
            ProblemKind::UnknownTable { nearest, known } => {
                write!(f, "unknown table `{key}`")?;
                hint(f, nearest.as_deref(), known, "there are no tables")
            }
            ProblemKind::Missing => write!(f, "key `{key}` is missing"),
            ProblemKind::NotATable => write!(f, "`{key}` is not a table"),
            ProblemKind::WrongType { expected, found } => {
                write!(f, "`{key}` must be {expected}, but it is {found}")
            }
            ProblemKind::Refused { why: Some(why) } => write!(f, "`{key}` is refused: {why}"),
            ProblemKind::Refused { why: None } => {
                write!(f, "`{key}` is refused (its value is not shown, it may be secret)")
            }
            ProblemKind::BadVariable => f.write_str("the name must be LINDEN__TABLE__KEY"),
            ProblemKind::SetTwice { other } => write!(f, "sets the same key as {other}"),
        }
    }
}

fn hint(
    f: &mut fmt::Formatter<'_>,
    nearest: Option<&str>,
    known: &[String],
    none: &str,
) -> fmt::Result {
    if let Some(nearest) = nearest {
        write!(f, ", did you mean `{nearest}`?")?;
    }
    if known.is_empty() {
        write!(f, " ({none})")
    } else {
        write!(f, " (known: {})", known.join(", "))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Env { variable } => write!(f, "environment variable {variable}"),
            Self::Nowhere => f.write_str("configuration"),
        }
    }
}
