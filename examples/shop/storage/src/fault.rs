//! Why a file could not be used. Whoever meets it has nothing better to do than to crash.

use std::{error::Error, fmt};

/// A file that is open could not be read or written.
///
/// After a commit that failed, whether the batch is on disk is not known: repeat the requests.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The database failed.
    Database(Box<redb::Error>),
    /// A row breaks our rules: somebody else wrote to the file.
    Corrupt {
        /// The row, for people.
        row: String,
    },
    /// The work panicked, or the pool of threads is gone. Nothing was written.
    Aborted {
        /// What the pool said.
        cause: String,
    },
}

impl Fault {
    /// A row that breaks our rules.
    pub fn corrupt(row: impl fmt::Display) -> Fault {
        Fault::Corrupt { row: row.to_string() }
    }
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Fault {
        Fault::Database(Box::new(error.into()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Database(_) => f.write_str("the database file failed"),
            Fault::Corrupt { row } => write!(f, "{row} is corrupt"),
            Fault::Aborted { cause } => write!(f, "the work on the file was aborted: {cause}"),
        }
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Fault::Database(source) => Some(source),
            Fault::Corrupt { .. } | Fault::Aborted { .. } => None,
        }
    }
}
