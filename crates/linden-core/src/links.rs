//! What most processes never have: links beyond the parent, monitors, watchers, a label, a trace. Kept in a box made at first
//! need.
//!
//! Links follow OTP's protocol: both ends keep the link, set up and taken down by signals. An unlink is acknowledged, and
//! until then what comes through the old link is dropped: an exit, so that nobody hears of a link that it took down, and a
//! link that the other end sent before it heard of the unlink, which takes that one down as well.

use std::cell::UnsafeCell;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use parking_lot::{Mutex, MutexGuard};

use crate::id::{LocalPid, NodeId, Pid, Ref};
use crate::limit::Limit;
use crate::signal::Watcher;
use crate::trace::TraceContext;

/// A hasher for ids, which nobody outside chooses: one multiplication.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(26) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

pub(crate) type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;
pub(crate) type IdSet<K> = HashSet<K, BuildHasherDefault<IdHasher>>;

/// The rare part of a process.
#[derive(Default)]
pub(crate) struct Rare {
    /// The owner's, and the reaper's (`reap.rs`). Held for a look or a change, never across code of the user's.
    bonds: Mutex<Bonds>,
    /// A `recv` that is polled by a waker that is not the process's own (inside a `FuturesUnordered`, say). Owner only.
    recv_waker: UnsafeCell<Option<Waker>>,
    /// The trace that the process works in, while its flag `TRACED` is set. Owner only.
    trace: UnsafeCell<Option<TraceContext>>,
    /// The mailbox's limit, once one was set.
    pub(crate) limit: OnceLock<Box<Limit>>,
    /// For people. Anybody may read it.
    pub(crate) label: Mutex<Option<Arc<str>>>,
}

// SAFETY: `recv_waker` and `trace` are touched by the owner alone, as the owner part of the header.
unsafe impl Sync for Rare {}

impl Rare {
    pub(crate) fn bonds(&self) -> MutexGuard<'_, Bonds> {
        self.bonds.lock()
    }

    /// # Safety
    /// The caller is the owner of the cell.
    pub(crate) unsafe fn has_recv_waker(&self) -> bool {
        // SAFETY: the caller's promise.
        unsafe { &*self.recv_waker.get() }.is_some()
    }

    /// Leaves a waker for the mail to come, or takes it.
    ///
    /// # Safety
    /// The caller is the owner of the cell.
    pub(crate) unsafe fn swap_recv_waker(&self, waker: Option<Waker>) -> Option<Waker> {
        // SAFETY: the caller's promise; no reference into it is ever kept.
        std::mem::replace(unsafe { &mut *self.recv_waker.get() }, waker)
    }

    /// # Safety
    /// The caller is the owner of the cell.
    pub(crate) unsafe fn trace(&self) -> Option<TraceContext> {
        // SAFETY: the caller's promise; a copy.
        unsafe { *self.trace.get() }
    }

    /// # Safety
    /// The caller is the owner of the cell.
    pub(crate) unsafe fn set_trace(&self, trace: Option<TraceContext>) {
        // SAFETY: the caller's promise; no reference into it is ever kept.
        unsafe { *self.trace.get() = trace };
    }
}

/// What ties a process to others.
#[derive(Default, Debug)]
pub(crate) struct Bonds {
    pub(crate) links: Links,
    /// What this process monitors.
    pub(crate) monitors: IdMap<Ref, Pid>,
    /// Who monitors this process, in the order of asking.
    pub(crate) watchers: Vec<(Ref, Watcher)>,
}

/// The links of a process, the one to its parent left out (a flag in the header).
#[derive(Default, Debug)]
pub(crate) struct Links {
    local: IdSet<LocalPid>,
    remote: Vec<Pid>,
    /// Links taken down whose other end has not said so yet.
    unlinking: IdMap<Pid, u64>,
    unlink_ids: u64,
}

impl Links {
    /// Adds a link; `false` when it stands already.
    pub(crate) fn add(&mut self, node: NodeId, pid: Pid) -> bool {
        self.unlinking.remove(&pid);
        if pid.node() == node {
            self.local.insert(pid.local())
        } else if self.remote.contains(&pid) {
            false
        } else {
            self.remote.push(pid);
            true
        }
    }

    pub(crate) fn remove(&mut self, node: NodeId, pid: Pid) -> bool {
        if pid.node() == node {
            return self.local.remove(&pid.local());
        }
        let place = self.remote.iter().position(|&linked| linked == pid);
        place.map(|place| self.remote.swap_remove(place)).is_some()
    }

    /// Notes that an unlink was sent; the id travels with it.
    pub(crate) fn begin_unlink(&mut self, pid: Pid) -> u64 {
        self.unlink_ids += 1;
        self.unlinking.insert(pid, self.unlink_ids);
        self.unlink_ids
    }

    /// The other end took the link down as well.
    pub(crate) fn end_unlink(&mut self, pid: Pid, id: u64) {
        if self.unlinking.get(&pid) == Some(&id) {
            self.unlinking.remove(&pid);
        }
    }

    /// Whether a link was taken down whose other end has not said so yet.
    pub(crate) fn is_unlinking(&self, pid: Pid) -> bool {
        self.unlinking.contains_key(&pid)
    }

    /// The other end is gone: nothing will be acknowledged.
    pub(crate) fn forget_unlink(&mut self, pid: Pid) {
        self.unlinking.remove(&pid);
    }

    pub(crate) fn iter(&self, node: NodeId) -> impl Iterator<Item = Pid> {
        let local = self.local.iter().map(move |&local| Pid::new(node, local));
        local.chain(self.remote.iter().copied())
    }

    /// Takes the links to a node that is out of reach.
    pub(crate) fn take_of_node(&mut self, node: NodeId) -> Vec<Pid> {
        self.unlinking.retain(|pid, _| pid.node() != node);
        self.remote.extract_if(.., |pid| pid.node() == node).collect()
    }
}
