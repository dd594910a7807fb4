//! Why the journal's file cannot be used.

use std::{error::Error, fmt, path::PathBuf};

use shop_storage::OpenError;

use super::row::FORMAT;
use crate::Sequence;

/// The journal failed. A process that meets it has nothing better to do than to crash.
#[derive(Debug)]
#[non_exhaustive]
pub enum JournalError {
    /// The file was not opened.
    Open(OpenError),
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

impl<E: Into<redb::Error>> From<E> for JournalError {
    fn from(error: E) -> JournalError {
        JournalError::Database(Box::new(error.into()))
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Open(_) => f.write_str("the journal was not opened"),
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
            JournalError::Open(error) => Some(error),
            JournalError::Database(source) => Some(source),
            _ => None,
        }
    }
}
