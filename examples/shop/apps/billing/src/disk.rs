//! A disk that loses what was not synced when the power is cut: redb's storage, in memory.
//!
//! It keeps the image of what was synced and the writes since. A cut comes at a given operation, also
//! in the middle of a commit: from then on everything fails, as for a program whose disk is gone. What
//! a real disk holds afterwards is the synced image and any part of the later writes, for caches write
//! back in their own order and in sectors; [`Disk::image`] asks for each sector whether it was kept.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard},
};

use redb::StorageBackend;

/// What a disk writes whole or not at all.
const SECTOR_LEN: usize = 512;

/// Clones are the same disk.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Mutex<State>>);

struct State {
    /// What the running program sees.
    current: Vec<u8>,
    /// What survives in any case.
    synced: Vec<u8>,
    unsynced: Vec<Change>,
    /// Operations that still work.
    operations_left: u64,
}

enum Change {
    Len(usize),
    /// At most a sector.
    Write {
        offset: usize,
        bytes: Vec<u8>,
    },
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Change::Len(len) => image.resize(*len, 0),
            Change::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

impl Disk {
    /// A disk that holds `image`, whose power is cut after so many writes and syncs.
    pub(crate) fn new(image: Vec<u8>, operations: u64) -> Disk {
        Disk(Arc::new(Mutex::new(State {
            current: image.clone(),
            synced: image,
            unsynced: Vec::new(),
            operations_left: operations,
        })))
    }

    /// What is found after the cut. A new length is always kept, for file systems write it with what
    /// was appended.
    pub(crate) fn image(&self, mut is_kept: impl FnMut() -> bool) -> Vec<u8> {
        let state = self.state();
        let mut image = state.synced.clone();
        for change in &state.unsynced {
            if matches!(change, Change::Len(_)) || is_kept() {
                change.apply(&mut image);
            }
        }
        image
    }

    /// Cuts the power now.
    pub(crate) fn cut(&self) {
        self.state().operations_left = 0;
    }

    /// Whether the power was cut.
    pub(crate) fn is_dead(&self) -> bool {
        self.state().operations_left == 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics under the lock")
    }

    fn operate(&self, operation: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.state();
        if state.operations_left == 0 {
            return Err(io::Error::other("the power was cut"));
        }
        state.operations_left -= 1;
        operation(&mut state);
        Ok(())
    }
}

impl State {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.unsynced.push(change);
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let offset = usize::try_from(offset).expect("a test's image is small");
        let bytes = state.current.get(offset..offset + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).expect("a test's image is small");
        self.operate(|state| state.change(Change::Len(len)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.operate(|state| {
            for change in std::mem::take(&mut state.unsynced) {
                change.apply(&mut state.synced);
            }
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).expect("a test's image is small");
        self.operate(|state| {
            // Sectors begin at multiples of their length.
            let (mut at, mut rest) = (offset, data);
            while !rest.is_empty() {
                let (sector, others) = rest.split_at(rest.len().min(SECTOR_LEN - at % SECTOR_LEN));
                state.change(Change::Write { offset: at, bytes: sector.to_vec() });
                (at, rest) = (at + sector.len(), others);
            }
        })
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

mod tests;
