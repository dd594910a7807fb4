//! Opening a file: its directory, its lock, the number of its format.
//!
//! A file is opened once, where its application starts, before any process exists; processes get
//! clones of the handle. So a restarted process never meets a file that its predecessor's last write
//! still holds open. The table `format` of each file says what the file is and how it is written.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{Builder, Database, DatabaseError, TableDefinition};

use crate::{
    Fault, Medium,
    creation::{self, System},
};

/// Memory that one open file may use as its cache.
pub const CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;

const FORMAT: TableDefinition<&str, u64> = TableDefinition::new("format");

/// What a file is, and how its rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// What it is, for people: `catalog`.
    pub name: &'static str,
    /// Counted up with each change that older programs could not read.
    pub format: u64,
}

/// Opens the file; makes it and its directory when they do not exist. Its name survives a power cut when
/// this returns.
///
/// # Errors
/// [`OpenError`]; of an existing file nothing was changed.
pub fn create(path: &Path, schema: Schema, medium: Medium) -> Result<Arc<Database>, OpenError> {
    checked(database(path, medium)?, path, schema)
}

/// Opens a file that exists: what a program that only looks at it wants.
///
/// # Errors
/// [`OpenError`]; nothing was changed, except that a file that was not closed is repaired.
pub fn open(path: &Path, schema: Schema) -> Result<Arc<Database>, OpenError> {
    checked(existing_database(path)?, path, schema)
}

/// As [`create`], for whoever looks after the format itself. A new file has no tables.
///
/// # Errors
/// [`OpenError`]; of an existing file nothing was changed.
pub fn database(path: &Path, medium: Medium) -> Result<Database, OpenError> {
    creation::make(&System::new(medium), path)?;
    creation::open(path, medium)
}

/// As [`open`], for whoever looks after the format itself.
///
/// # Errors
/// [`OpenError`]; nothing was changed, except that a file that was not closed is repaired.
pub fn existing_database(path: &Path) -> Result<Database, OpenError> {
    creation::open(path, Medium::Disk)
}

pub(crate) fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES_MAX);
    builder
}

fn checked(database: Database, path: &Path, schema: Schema) -> Result<Arc<Database>, OpenError> {
    let failed = |fault| OpenError::Read { path: path.to_owned(), source: fault };
    match format(&database, schema).map_err(failed)? {
        Some(found) if found == schema.format => Ok(Arc::new(database)),
        found => Err(OpenError::OtherFormat { path: path.to_owned(), schema, found }),
    }
}

/// The format's number, which a new file gets here; `None` when the file is something else.
fn format(database: &Database, schema: Schema) -> Result<Option<u64>, Fault> {
    let transaction = database.begin_write()?;
    let is_new = transaction.list_tables()?.next().is_none();
    let found = {
        let mut table = transaction.open_table(FORMAT)?;
        if is_new {
            table.insert(schema.name, schema.format)?;
        }
        redb::ReadableTable::get(&table, schema.name)?.map(|number| number.value())
    };
    if is_new {
        transaction.commit()?;
    } else {
        transaction.abort()?;
    }
    Ok(found)
}

/// Why a file was not opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The file's directory could not be made.
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file could not be made, or its name not be written down.
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
    /// The file could not be opened: it is not there, may not be read, or is no database.
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// The file was opened and could not be read.
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Fault,
    },
    /// The file is of another kind, or written by another version of the program.
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// What was wanted.
        schema: Schema,
        /// The number of its format; `None` when it is of another kind.
        found: Option<u64>,
    },
}

impl OpenError {
    pub(crate) fn of(path: &Path, error: DatabaseError) -> OpenError {
        let path = path.to_owned();
        match error {
            DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path },
            error => OpenError::Open { path, source: Box::new(error.into()) },
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Directory { directory, .. } => {
                write!(
                    f,
                    "cannot make the directory {}; check the rights of its parent, or choose another one",
                    directory.display()
                )
            }
            OpenError::Make { path, .. } => write!(
                f,
                "cannot make {}; check the rights of its directory and the room on the disk",
                path.display()
            ),
            OpenError::InUse { path } => write!(
                f,
                "{} is in use; stop the other program or choose another path",
                path.display()
            ),
            OpenError::Open { path, .. } => {
                write!(f, "cannot open {}; check its rights", path.display())
            }
            OpenError::Read { path, .. } => {
                write!(f, "cannot read {}; check its rights and the disk", path.display())
            }
            OpenError::OtherFormat { path, schema, found: None } => {
                write!(f, "{} is no {} file; choose another path", path.display(), schema.name)
            }
            OpenError::OtherFormat { path, schema, found: Some(found) } => write!(
                f,
                "{} has format {found} of the {}, and this program reads {}; use the program that \
                 wrote it, or choose another path",
                path.display(),
                schema.name,
                schema.format
            ),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            OpenError::Directory { source, .. } | OpenError::Make { source, .. } => Some(source),
            OpenError::Open { source, .. } => Some(source),
            OpenError::Read { source, .. } => Some(source),
            OpenError::InUse { .. } | OpenError::OtherFormat { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PENS: Schema = Schema { name: "pens", format: 2 };

    #[test]
    fn a_file_is_made_with_its_directory_and_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data/pens.redb");
        drop(create(&path, PENS, Medium::Volatile).unwrap());
        let files: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(files.len(), 1, "{files:?}");
        drop(create(&path, PENS, Medium::Disk).unwrap());
        let _open = open(&path, PENS).unwrap();
        let error = open(&path, PENS).unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    }

    #[test]
    fn a_file_that_is_missing_or_cannot_be_made_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pens.redb");
        let missing = open(&path, PENS).unwrap_err();
        assert!(matches!(missing, OpenError::Open { .. }), "{missing:?}");
        assert!(!path.exists());
        fs::write(&path, "no database").unwrap();
        let error = create(&path, PENS, Medium::Disk).unwrap_err();
        assert!(matches!(error, OpenError::Open { .. }), "{error:?}");
        let error = create(&path.join("below/pens.redb"), PENS, Medium::Disk).unwrap_err();
        assert!(matches!(error, OpenError::Directory { .. }), "{error:?}");
    }

    #[test]
    fn another_format_is_refused_with_the_mend() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pens.redb");
        drop(create(&path, Schema { format: 1, ..PENS }, Medium::Disk).unwrap());
        let error = create(&path, PENS, Medium::Disk).unwrap_err().to_string();
        assert!(error.contains("format 1 of the pens, and this program reads 2"), "{error}");
        let ink = Schema { name: "ink", format: 1 };
        let error = create(&path, ink, Medium::Disk).unwrap_err().to_string();
        assert!(error.ends_with("pens.redb is no ink file; choose another path"), "{error}");
    }
}
