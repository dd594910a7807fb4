//! For tests: a disk that loses what was not synced when the power is cut: redb's storage, in memory.
//!
//! It keeps the image of what was synced and the writes since. A cut comes at a given operation, also
//! in the middle of a commit: from then on everything fails, as for a program whose disk is gone. What
//! a real disk holds afterwards is the synced image and any part of the later writes, for caches write
//! back in their own order and in sectors; [`Disk::image`] asks for each sector whether it was kept.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use redb::StorageBackend;

/// What a disk writes whole or not at all.
const SECTOR_LEN: usize = 512;

/// How many operations still work. Clones are the same power: it may feed several disks.
#[derive(Clone, Debug)]
pub struct Power(Arc<AtomicU64>);

impl Power {
    /// Power for so many operations.
    #[must_use]
    pub fn new(operations: u64) -> Power {
        Power(Arc::new(AtomicU64::new(operations)))
    }

    /// Cuts the power now.
    pub fn cut(&self) {
        self.restore(0);
    }

    /// Power for so many operations from now on.
    pub fn restore(&self, operations: u64) {
        self.0.store(operations, Ordering::Relaxed);
    }

    /// How many operations are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Lets one operation work, if there is power for it.
    ///
    /// # Errors
    /// The power was cut.
    pub fn spend(&self) -> io::Result<()> {
        let spent =
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        spent.map(drop).map_err(|_| io::Error::other("the power was cut"))
    }
}

/// Clones are the same disk.
#[derive(Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    power: Power,
}

struct State {
    /// What the running program sees.
    current: Vec<u8>,
    /// What survives in any case.
    synced: Vec<u8>,
    unsynced: Vec<Change>,
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
    #[must_use]
    pub fn new(image: Vec<u8>, operations: u64) -> Disk {
        Disk::powered(image, Power::new(operations))
    }

    /// A disk that holds `image` and works as long as there is power.
    #[must_use]
    pub fn powered(image: Vec<u8>, power: Power) -> Disk {
        let state = State { current: image.clone(), synced: image, unsynced: Vec::new() };
        Disk { state: Arc::new(Mutex::new(state)), power }
    }

    /// What is found after the cut. A new length is always kept, for file systems write it with what
    /// was appended.
    pub fn image(&self, mut is_kept: impl FnMut() -> bool) -> Vec<u8> {
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
    pub fn cut(&self) {
        self.power.cut();
    }

    /// Whether the power was cut.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.power.left() == 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under the lock")
    }

    fn operate(&self, operation: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.state();
        self.power.spend()?;
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
