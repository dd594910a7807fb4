//! Registered names: from a text to the process that owns it now.
//!
//! A name is a stable slot: a handle of it ([`crate::Named`]) looks in the slot, not in the table, and so follows the process
//! that takes the name next. A name belongs to one process at most, a process has one name at most (as in OTP), and a dying
//! process loses its name before its links and monitors hear of its end.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::cell::{CellRef, EXITING, Header, NAMED};
use crate::id::{LocalPid, Pid};
use crate::links::IdMap;
use crate::slot::Slot;

/// A name, whoever owns it.
pub(crate) struct NameSlot {
    pub(crate) name: Box<str>,
    slot: Slot<Header>,
}

impl NameSlot {
    /// The process that owns the name now.
    pub(crate) fn get(&self) -> Option<CellRef> {
        let found = self.slot.acquire(|_| true)?;
        // SAFETY: the slot gave a count.
        Some(unsafe { CellRef::from_counted(found) })
    }
}

/// The names of one node.
#[derive(Default)]
pub(crate) struct Names {
    tables: RwLock<Tables>,
}

#[derive(Default)]
struct Tables {
    by_name: HashMap<Box<str>, Arc<NameSlot>>,
    by_pid: IdMap<LocalPid, Arc<NameSlot>>,
}

/// Why a name was not registered. Nothing changed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name belongs to another process.
    Taken {
        /// The name that was asked for.
        name: String,
        /// Who owns it.
        owner: Pid,
    },
    /// The process has a name already.
    AlreadyNamed {
        /// The process.
        pid: Pid,
        /// Its name.
        name: String,
    },
    /// There is no such process on this node.
    NoProc(Pid),
    /// A name has 1 to [`NAME_LEN_MAX`] bytes.
    BadName(String),
}

/// The most bytes that a registered name has.
pub const NAME_LEN_MAX: usize = 255;

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { name, owner } => write!(f, "the name {name} belongs to {owner}"),
            Self::AlreadyNamed { pid, name } => write!(f, "{pid} is registered already, as {name}"),
            Self::NoProc(pid) => write!(f, "there is no process {pid} on this node"),
            Self::BadName(name) => {
                write!(f, "a name has 1 to {NAME_LEN_MAX} bytes, not {}", name.len())
            }
        }
    }
}

impl Error for RegisterError {}

impl Names {
    /// The slot of a name, made now if need be, whoever owns it.
    pub(crate) fn slot(&self, name: &str) -> Arc<NameSlot> {
        if let Some(slot) = self.tables.read().by_name.get(name) {
            return slot.clone();
        }
        self.tables.write().slot(name)
    }

    pub(crate) fn whereis(&self, name: &str) -> Option<CellRef> {
        self.tables.read().by_name.get(name)?.get()
    }

    /// Registers `cell` under `name`.
    pub(crate) fn register(&self, name: &str, cell: &CellRef) -> Result<(), RegisterError> {
        if name.is_empty() || name.len() > NAME_LEN_MAX {
            return Err(RegisterError::BadName(name.to_owned()));
        }
        let mut tables = self.tables.write();
        if let Some(slot) = tables.by_pid.get(&cell.local) {
            return Err(RegisterError::AlreadyNamed {
                pid: cell.pid(),
                name: slot.name.to_string(),
            });
        }
        let slot = tables.slot(name);
        if let Some(owner) = slot.get() {
            return Err(RegisterError::Taken { name: name.to_owned(), owner: owner.pid() });
        }
        // One total order over the flags: either the death sees NAMED and comes for the lock, or this sees EXITING.
        if cell.set_flag(NAMED) & EXITING != 0 {
            tables.forget_if_unused(name);
            return Err(RegisterError::NoProc(cell.pid()));
        }
        // SAFETY: vacant, filled under the write lock; the death clears it, for it sees NAMED.
        unsafe { slot.slot.fill(cell.as_ptr()) };
        tables.by_pid.insert(cell.local, slot);
        Ok(())
    }

    /// Takes the name from whoever owns it.
    pub(crate) fn unregister(&self, name: &str) -> bool {
        let Some(owner) = self.whereis(name) else {
            return false;
        };
        let mut tables = self.tables.write();
        match tables.by_pid.get(&owner.local) {
            Some(slot) if &*slot.name == name => tables.release(&owner),
            _ => false,
        }
    }

    /// Takes the name of a dying process. The cell is `EXITING` and was `NAMED`.
    pub(crate) fn release(&self, cell: &CellRef) {
        self.tables.write().release(cell);
    }

    pub(crate) fn name_of(&self, local: LocalPid) -> Option<Arc<NameSlot>> {
        self.tables.read().by_pid.get(&local).cloned()
    }

    /// A handle of the slot goes: the slot goes too, when it was the last and nobody owns the name.
    pub(crate) fn forget_if_unused(&self, slot: Arc<NameSlot>) {
        // First given up, then counted: of handles that go at once the last one sees that it was.
        let left = Arc::downgrade(&slot);
        drop(slot);
        if left.strong_count() > 1 {
            return;
        }
        let mut tables = self.tables.write();
        let name = left.upgrade().map(|slot| slot.name.clone());
        if let Some(name) = name {
            tables.forget_if_unused(&name);
        }
    }
}

impl Tables {
    fn slot(&mut self, name: &str) -> Arc<NameSlot> {
        if let Some(slot) = self.by_name.get(name) {
            return slot.clone();
        }
        let slot = Arc::new(NameSlot { name: name.into(), slot: Slot::new(0) });
        self.by_name.insert(name.into(), slot.clone());
        slot
    }

    fn release(&mut self, cell: &CellRef) -> bool {
        let Some(slot) = self.by_pid.remove(&cell.local) else {
            return false;
        };
        slot.slot.clear(cell.as_ptr(), 0);
        cell.clear_flag(NAMED);
        let name = slot.name.clone();
        drop(slot);
        self.forget_if_unused(&name);
        true
    }

    fn forget_if_unused(&mut self, name: &str) {
        if self
            .by_name
            .get(name)
            .is_some_and(|slot| Arc::strong_count(slot) == 1 && slot.slot.number().is_some())
        {
            self.by_name.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn a_slot_goes_with_its_handles_also_when_they_go_at_once() {
        let names = Names::default();
        for _ in 0..2_000 {
            let barrier = Barrier::new(2);
            let slot = names.slot("ephemeral");
            let handles = [slot.clone(), slot];
            std::thread::scope(|scope| {
                for handle in handles {
                    scope.spawn(|| {
                        barrier.wait();
                        names.forget_if_unused(handle);
                    });
                }
            });
            assert!(names.tables.read().by_name.is_empty());
        }
    }
}
