//! Making a new file, so that a power cut leaves a whole one or none.
//!
//! The file is made under a name of its own and gets the right one when it is on disk; then the
//! directories are synced that lead to it, since a file that is not in a synced directory is lost with
//! the power, and with it whatever was acknowledged. That is done at each opening, not only by who has
//! made the file: a program that was killed before it synced has left a name that looks as good as any.
//! Only the file's owner may read it. A file of another name that a cut has left behind is of no use and
//! may be deleted.
//!
//! What is done is decided here, on [`Files`]; `creation/tests.rs` cuts the power at every point.

use std::{
    fs, io,
    path::{Path, PathBuf, absolute},
    sync::{Mutex, PoisonError},
};

use redb::{Database, StorageBackend, backends::FileBackend};
use tempfile::{NamedTempFile, TempPath};

use crate::{Medium, OpenError, file::builder};

/// What making a file needs of a file system.
pub(crate) trait Files {
    /// A file under a name of its own, which is gone when this is dropped.
    type Draft;
    /// What redb writes to.
    type Backend: StorageBackend;

    fn is_there(&self, path: &Path) -> bool;

    /// Its parent is there; it may be there itself.
    fn make_directory(&self, path: &Path) -> io::Result<()>;

    /// A new file in this directory.
    fn draft(&self, directory: &Path) -> io::Result<(Self::Draft, Self::Backend)>;

    /// Gives a draft its name, unless another file has it: that one is `AlreadyExists`.
    fn publish(&self, draft: Self::Draft, path: &Path) -> io::Result<()>;

    /// Waits until the names in a directory are on disk.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// Makes the file, an empty database, and its directories; a file that is there already, or comes
/// meanwhile, is left alone. Its name is on disk when this returns.
pub(crate) fn make(files: &impl Files, path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Make { path: path.to_owned(), source };
    let whole_path = absolute(path).map_err(failed)?;
    let no_parent = || failed(io::ErrorKind::IsADirectory.into());
    let directory = whole_path.parent().ok_or_else(no_parent)?;
    make_directories(files, directory).map_err(|source| OpenError::Directory {
        directory: path.parent().unwrap_or(directory).to_owned(),
        source,
    })?;
    if !files.is_there(&whole_path) {
        let (draft, backend) = files.draft(directory).map_err(failed)?;
        let made = builder().create_with_backend(backend).map(drop);
        made.map_err(|error| OpenError::of(path, error))?;
        match files.publish(draft, &whole_path) {
            // Or another program was faster.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            _ => {}
        }
    }
    sync_directories(files, directory).map_err(failed)
}

fn make_directories(files: &impl Files, directory: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        directory.ancestors().take_while(|ancestor| !files.is_there(ancestor)).collect();
    missing.into_iter().rev().try_for_each(|directory| files.make_directory(directory))
}

/// The directory and those above it, up to one that is not ours: what we may not read, we have not made.
fn sync_directories(files: &impl Files, directory: &Path) -> io::Result<()> {
    files.sync_directory(directory)?;
    for ancestor in directory.ancestors().skip(1) {
        match files.sync_directory(ancestor) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            synced => synced?,
        }
    }
    Ok(())
}

/// Waits until the name of a file that was made by other means is on disk, and the directories that lead
/// to it.
///
/// # Errors
/// The system's.
pub fn sync_name(path: &Path) -> io::Result<()> {
    let whole_path = absolute(path)?;
    let directory = whole_path.parent().unwrap_or(&whole_path);
    sync_directories(&System::new(Medium::Disk), directory)
}

/// The system's files. On a volatile medium a name is not given before its directory is synced.
pub(crate) struct System {
    medium: Medium,
    unsynced: Mutex<Vec<(TempPath, PathBuf)>>,
}

impl System {
    pub(crate) fn new(medium: Medium) -> System {
        System { medium, unsynced: Mutex::default() }
    }
}

impl Files for System {
    type Draft = NamedTempFile;
    type Backend = FileBackend;

    fn is_there(&self, path: &Path) -> bool {
        path.exists()
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(_) if path.is_dir() => Ok(()),
            made => made,
        }
    }

    fn draft(&self, directory: &Path) -> io::Result<(NamedTempFile, FileBackend)> {
        let draft = NamedTempFile::new_in(directory)?;
        let backend = FileBackend::new(draft.reopen()?).map_err(io::Error::other)?;
        Ok((draft, backend))
    }

    fn publish(&self, draft: NamedTempFile, path: &Path) -> io::Result<()> {
        match self.medium {
            Medium::Disk => draft.persist_noclobber(path).map(drop).map_err(|error| error.error),
            Medium::Volatile => {
                let mut unsynced = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
                unsynced.push((draft.into_temp_path(), path.to_owned()));
                Ok(())
            }
        }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut unsynced = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        for (draft, name) in unsynced.extract_if(.., |(_, name)| name.parent() == Some(path)) {
            match draft.persist_noclobber(name) {
                Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(error.error);
                }
                _ => {}
            }
        }
        sync(path)
    }
}

#[cfg(unix)]
fn sync(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

/// Elsewhere a directory cannot be opened, and is written with the file.
#[cfg(not(unix))]
fn sync(_directory: &Path) -> io::Result<()> {
    Ok(())
}

/// Opens the database of a file that is there.
pub(crate) fn open(path: &Path, medium: Medium) -> Result<Database, OpenError> {
    let opened = match medium {
        Medium::Disk => builder().open(path),
        Medium::Volatile => crate::volatile::VolatileFile::open(path)
            .and_then(|file| builder().create_with_backend(file)),
    };
    opened.map_err(|error| OpenError::of(path, error))
}

#[cfg(test)]
mod tests;
