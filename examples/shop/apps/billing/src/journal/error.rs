//! Why the journal's file cannot be used.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
};

use redb::DatabaseError;

use super::row::FORMAT;
use crate::Sequence;

/// The journal failed. A process that meets it has nothing better to do than to crash.
#[derive(Debug)]
#[non_exhaustive]
pub enum JournalError {
    /// The file or its directory could not be made.
    Make {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is open already, here or in another program.
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be opened.
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// The file is written in another way than this program writes it. It was not changed.
    Format {
        /// The file.
        path: PathBuf,
        /// The number of its format; 1 for files without a number.
        found: u64,
    },
    /// The file could not be read or written.
    Database(Box<redb::Error>),
    /// A stored transaction breaks our rules: somebody else wrote to the file.
    Corrupt {
        /// The transaction.
        sequence: Sequence,
    },
    /// A stored balance is of no account or of no currency: somebody else wrote to the file.
    CorruptBalance,
}

impl JournalError {
    pub(super) fn open(path: &Path, error: DatabaseError) -> JournalError {
        let path = path.to_owned();
        match error {
            DatabaseError::DatabaseAlreadyOpen => JournalError::InUse { path },
            error => JournalError::Open { path, source: Box::new(error.into()) },
        }
    }
}

impl<E: Into<redb::Error>> From<E> for JournalError {
    fn from(error: E) -> JournalError {
        JournalError::Database(Box::new(error.into()))
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Make { path, .. } => {
                write!(f, "cannot make the journal {}", path.display())
            }
            JournalError::InUse { path } => write!(f, "the journal {} is in use", path.display()),
            JournalError::Open { path, .. } => {
                write!(f, "cannot open the journal {}", path.display())
            }
            JournalError::Format { path, found } => write!(
                f,
                "the journal {} is of format {found} and this program reads format {FORMAT}; move the \
                 file away, or open it with the program that wrote it",
                path.display()
            ),
            JournalError::Database(_) => f.write_str("the journal file failed"),
            JournalError::Corrupt { sequence } => {
                write!(f, "transaction {sequence} of the journal is corrupt")
            }
            JournalError::CorruptBalance => f.write_str("a balance in the journal is corrupt"),
        }
    }
}

impl Error for JournalError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            JournalError::Make { source, .. } => Some(source),
            JournalError::Open { source, .. } | JournalError::Database(source) => Some(source),
            _ => None,
        }
    }
}
