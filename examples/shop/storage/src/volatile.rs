//! A file that forgets what was not synced, for kills that are to be as bad as power cuts.
//!
//! The system's cache survives the program, so that a SIGKILL alone would not show a missing sync. Here
//! writes stay in the program's memory until the sync, which brings them to the file page by page, in no
//! order: killed in the middle, it leaves what a disk's own cache might.

use std::{
    collections::HashMap,
    fmt,
    fs::OpenOptions,
    io,
    ops::Bound,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use redb::{BackendError, DatabaseError, StorageBackend, StorageError, backends::FileBackend};

/// What is written whole or not at all.
const PAGE_LEN: usize = 4096;

pub(crate) struct VolatileFile {
    file: FileBackend,
    state: Mutex<State>,
}

struct State {
    /// As the program sees it.
    len: u64,
    /// The bytes of the file that count; whatever it has behind them was cut off, and is zero now.
    kept_len: u64,
    /// What was written since the last sync.
    pages: HashMap<u64, Vec<u8>>,
}

impl VolatileFile {
    pub(crate) fn open(path: &Path) -> Result<VolatileFile, DatabaseError> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        VolatileFile::on(FileBackend::new(file.map_err(StorageError::from)?)?)
    }

    fn on(file: FileBackend) -> Result<VolatileFile, DatabaseError> {
        let len = file.len().map_err(StorageError::from)?;
        let state = State { len, kept_len: len, pages: HashMap::new() };
        Ok(VolatileFile { file, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page as the file has it.
    fn synced_page(&self, number: u64, kept_len: u64) -> io::Result<Vec<u8>> {
        let mut page = vec![0; PAGE_LEN];
        let begin = number * PAGE_LEN as u64;
        let len = part(kept_len.saturating_sub(begin));
        if len > 0 {
            self.file.read(begin, &mut page[..len])?;
        }
        Ok(page)
    }
}

/// At most a page.
fn part(len: u64) -> usize {
    usize::try_from(len).map_or(PAGE_LEN, |len| len.min(PAGE_LEN))
}

/// The pages of some bytes: the number of each, where it begins within, and how many bytes it has of them.
fn pages(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut at, mut left) = (offset, len);
    std::iter::from_fn(move || {
        let begin = part(at % PAGE_LEN as u64);
        let count = left.min(PAGE_LEN - begin);
        let page = (at / PAGE_LEN as u64, begin, count);
        (at, left) = (at + count as u64, left - count);
        (count > 0).then_some(page)
    })
}

impl StorageBackend for VolatileFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        if offset + out.len() as u64 > state.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        for (number, begin, count) in pages(offset, out.len()) {
            let part = &mut out[done..done + count];
            match state.pages.get(&number) {
                Some(page) => part.copy_from_slice(&page[begin..begin + count]),
                None => {
                    let page = self.synced_page(number, state.kept_len)?;
                    part.copy_from_slice(&page[begin..begin + count]);
                }
            }
            done += count;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.len = len;
        state.kept_len = state.kept_len.min(len);
        let (last, rest) = (len / PAGE_LEN as u64, part(len % PAGE_LEN as u64));
        state.pages.retain(|number, _| *number < last || (*number == last && rest > 0));
        if let Some(page) = state.pages.get_mut(&last) {
            page[rest..].fill(0);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let mut done = 0;
        for (number, begin, count) in pages(offset, data.len()) {
            let mut page = match state.pages.remove(&number) {
                Some(page) => page,
                None => self.synced_page(number, state.kept_len)?,
            };
            page[begin..begin + count].copy_from_slice(&data[done..done + count]);
            state.pages.insert(number, page);
            done += count;
        }
        state.len = state.len.max(offset + data.len() as u64);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        if self.file.len()? > state.kept_len {
            self.file.set_len(state.kept_len)?;
        }
        self.file.set_len(state.len)?;
        // In the order of the map's hashes, which is another one each time.
        for (number, page) in &state.pages {
            let begin = number * PAGE_LEN as u64;
            self.file.write(begin, &page[..part(state.len - begin)])?;
        }
        self.file.sync_data()?;
        state.kept_len = state.len;
        state.pages.clear();
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

impl fmt::Debug for VolatileFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VolatileFile")
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use proptest::prelude::*;
    use redb::{Database, ReadableDatabase as _, TableDefinition, backends::InMemoryBackend};

    use super::*;

    const PENS: TableDefinition<u64, u64> = TableDefinition::new("pens");

    fn file(directory: &tempfile::TempDir) -> (PathBuf, VolatileFile) {
        let path = directory.path().join("file");
        fs::write(&path, "").unwrap();
        let file = VolatileFile::open(&path).unwrap();
        (path, file)
    }

    #[derive(Clone, Debug)]
    enum Step {
        Len(u64),
        Write(u64, Vec<u8>),
        Sync,
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = proptest::collection::vec(any::<u8>(), 1..9_000);
        prop_oneof![
            (0..20_000_u64).prop_map(Step::Len),
            (0..20_000_u64, bytes).prop_map(|(at, bytes)| Step::Write(at, bytes)),
            Just(Step::Sync),
        ]
    }

    fn image(backend: &impl StorageBackend) -> Vec<u8> {
        let mut image = vec![0; usize::try_from(backend.len().unwrap()).unwrap()];
        backend.read(0, &mut image).unwrap();
        image
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_reads_as_any_file_and_keeps_what_was_synced(
            steps in proptest::collection::vec(step(), 1..20),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let (path, file) = file(&directory);
            let (memory, mut kept) = (InMemoryBackend::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Len(len) => {
                        file.set_len(len).unwrap();
                        memory.set_len(len).unwrap();
                    }
                    Step::Write(at, bytes) => {
                        let len = memory.len().unwrap().max(at + bytes.len() as u64);
                        file.set_len(len).unwrap();
                        memory.set_len(len).unwrap();
                        file.write(at, &bytes).unwrap();
                        memory.write(at, &bytes).unwrap();
                    }
                    Step::Sync => {
                        file.sync_data().unwrap();
                        kept = image(&memory);
                    }
                }
                prop_assert_eq!(image(&file), image(&memory));
                prop_assert_eq!(&fs::read(&path).unwrap(), &kept);
            }
        }
    }

    #[test]
    fn reading_behind_the_end_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let (_, file) = file(&directory);
        file.write(0, b"pen").unwrap();
        let error = file.read(1, &mut [0; 3]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_commit_that_does_not_sync_is_lost_and_one_that_does_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (path, file) = file(&directory);
        let database = Database::builder().create_with_backend(file).unwrap();
        for (number, durability) in [(1, redb::Durability::Immediate), (2, redb::Durability::None)]
        {
            let mut transaction = database.begin_write().unwrap();
            transaction.set_durability(durability).unwrap();
            transaction.open_table(PENS).unwrap().insert(number, number).unwrap();
            transaction.commit().unwrap();
        }
        // The kill: the program comes to nothing more.
        let killed = directory.path().join("killed");
        fs::copy(&path, &killed).unwrap();
        let found = Database::open(&killed).unwrap();
        let table = found.begin_read().unwrap().open_table(PENS).unwrap();
        let has = |number| redb::ReadableTable::get(&table, number).unwrap().is_some();
        assert_eq!((has(1), has(2)), (true, false));
    }

    #[test]
    fn a_second_program_finds_it_in_use() {
        let directory = tempfile::tempdir().unwrap();
        let (path, file) = file(&directory);
        let _open = Database::builder().create_with_backend(file).unwrap();
        let other = VolatileFile::open(&path).unwrap();
        let error = Database::builder().create_with_backend(other).unwrap_err();
        assert!(matches!(error, DatabaseError::DatabaseAlreadyOpen), "{error}");
    }
}
