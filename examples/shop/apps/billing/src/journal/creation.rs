//! Making a new journal's file, so that a power cut leaves a whole one or none.
//!
//! The file is made under a name of its own and gets the right one when it is on disk; then the
//! directories are synced that lead to it, since a file that is not in a synced directory is lost with
//! the power, and with it whatever was acknowledged. Only the file's owner may read it. A file of another
//! name that a cut has left behind is of no use and may be deleted.

use std::{fs, io, path::Path};

use super::{Journal, JournalError, builder};

/// Makes the file and its directories; a file that is there already, or comes meanwhile, is left alone.
pub(super) fn make(path: &Path) -> Result<(), JournalError> {
    if path.exists() {
        return Ok(());
    }
    let failed = |source| JournalError::Make { path: path.to_owned(), source };
    let directory = match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    };
    let first_there = directory.ancestors().find(|ancestor| ancestor.exists());
    fs::create_dir_all(directory).map_err(failed)?;
    let draft = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    let opened = builder().create(draft.path());
    drop(Journal::of(opened.map_err(|error| JournalError::open(path, error))?, path)?);
    match draft.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed(error.error));
        }
        // Or another program was faster.
        _ => {}
    }
    for ancestor in directory.ancestors() {
        sync(ancestor).map_err(failed)?;
        if Some(ancestor) == first_there {
            break;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn sync(directory: &Path) -> io::Result<()> {
    let directory = if directory == Path::new("") { Path::new(".") } else { directory };
    fs::File::open(directory)?.sync_all()
}

/// Elsewhere a directory cannot be opened, and is written with the file.
#[cfg(not(unix))]
fn sync(_directory: &Path) -> io::Result<()> {
    Ok(())
}
