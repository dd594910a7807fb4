//! A user's statement: what came and went, newest first, a page at a time.
//!
//! Plain values that travel in messages and as JSON. A page goes on where another one ended, named by
//! the sequence of that page's last line; so pages neither repeat nor skip a line, whatever is posted
//! meanwhile: new lines come before the first page.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

use crate::{Overload, Receipt, Sequence};

/// Most lines of one page.
pub const PAGE_LINES_MAX: usize = 200;

/// Which lines of a statement are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// [`Statement::next`] of the page before; the newest lines when there is none.
    pub after: Option<Sequence>,
    /// Most lines; 1 to [`PAGE_LINES_MAX`], 50 by default.
    pub limit: usize,
}

impl Default for Page {
    fn default() -> Page {
        Page { after: None, limit: 50 }
    }
}

impl Page {
    /// Checks the limit.
    ///
    /// # Errors
    /// [`StatementError::Limit`].
    pub fn check(&self) -> Result<(), StatementError> {
        if (1..=PAGE_LINES_MAX).contains(&self.limit) {
            return Ok(());
        }
        Err(StatementError::Limit { limit: self.limit })
    }
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The newest one first.
    pub lines: Vec<Receipt>,
    /// For [`Page::after`] of the next page; `None` when this is the last one.
    pub next: Option<Sequence>,
}

/// Why there is no statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum StatementError {
    /// A page has 1 to [`PAGE_LINES_MAX`] lines.
    Limit {
        /// What was asked for.
        limit: usize,
    },
    /// Too many accounts are in use.
    Overloaded(Overload),
}

impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StatementError::Limit { limit } => {
                write!(f, "a page has 1 to {PAGE_LINES_MAX} lines, not {limit}")
            }
            StatementError::Overloaded(overload) => overload.fmt(f),
        }
    }
}

impl Error for StatementError {}

impl From<Overload> for StatementError {
    fn from(overload: Overload) -> StatementError {
        StatementError::Overloaded(overload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_limited() {
        for (limit, is_good) in [(0, false), (1, true), (200, true), (201, false)] {
            let checked = Page { after: None, limit }.check();
            assert_eq!(checked.is_ok(), is_good, "{limit}");
            if let Err(error) = checked {
                assert_eq!(error.to_string(), format!("a page has 1 to 200 lines, not {limit}"));
            }
        }
        assert!(Page::default().check().is_ok());
    }
}
