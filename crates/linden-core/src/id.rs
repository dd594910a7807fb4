//! Identities: nodes, processes and references, as plain data.
//!
//! None of them is or holds a pointer: they travel to other nodes, survive a hand-over to new code, and may outlive what
//! they name. OTP source: `pid()`, `reference()` and the node's creation.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names one incarnation of a node: a hash of its name, and its creation.
///
/// Two incarnations of one node differ in their creation, so that a pid of the earlier one never reaches the later one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId {
    name_hash: u32,
    creation: u32,
}

impl NodeId {
    /// The id of the node called `name` in its incarnation `creation`.
    #[must_use]
    pub fn new(name: &str, creation: u32) -> Self {
        // FNV-1a: stable over programs and versions, which `DefaultHasher` does not promise.
        let name_hash = name
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Self { name_hash, creation }
    }

    /// Which incarnation of the node this is.
    #[must_use]
    pub fn creation(self) -> u32 {
        self.creation
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.{}", self.name_hash, self.creation)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Names one process, on this node or another, for ever: a later process never has the same pid.
///
/// 16 bytes, `Copy`. An index is used again after its process ended, with the next of 2^32 generations.
/// Shown as `<index.generation>`; `{:#}` shows the node as well.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pid {
    node: NodeId,
    index: u32,
    generation: u32,
}

impl Pid {
    pub(crate) fn new(node: NodeId, local: LocalPid) -> Self {
        Self { node, index: local.index, generation: local.generation }
    }

    /// The pid that stands for code outside of every process of `node`: senders of exit signals from plain threads.
    #[must_use]
    pub fn outside(node: NodeId) -> Self {
        Self::new(node, LocalPid::OUTSIDE)
    }

    /// The node that the process lives on.
    #[must_use]
    pub fn node(self) -> NodeId {
        self.node
    }

    /// The part of the pid that names the process within its node.
    #[must_use]
    pub fn local(self) -> LocalPid {
        LocalPid { index: self.index, generation: self.generation }
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            write!(f, "<{}:{}.{}>", self.node, self.index, self.generation)
        } else {
            write!(f, "<{}.{}>", self.index, self.generation)
        }
    }
}

/// A process within its node: what tables of one node use as a key (8 bytes).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct LocalPid {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl LocalPid {
    /// The pid of this process, of the node `node`.
    #[must_use]
    pub fn on(self, node: NodeId) -> Pid {
        Pid::new(node, self)
    }

    /// The process's place in the node's table. A later process may have the same one.
    #[must_use]
    pub fn index(self) -> u32 {
        self.index
    }

    /// Both parts in one number.
    pub(crate) fn bits(self) -> u64 {
        u64::from(self.index) << 32 | u64::from(self.generation)
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self { index: (bits >> 32) as u32, generation: bits as u32 }
    }

    /// Index 0 is never given to a process.
    pub(crate) const OUTSIDE: Self = Self { index: 0, generation: 0 };
}

/// Names a call, a monitor or a timer: unique on its node, as data.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ref {
    node: NodeId,
    id: u64,
}

impl Ref {
    pub(crate) fn new(node: NodeId, id: u64) -> Self {
        Self { node, id }
    }

    /// The node that made the reference.
    #[must_use]
    pub fn node(self) -> NodeId {
        self.node
    }
}

impl fmt::Display for LocalPid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}.{}>", self.index, self.generation)
    }
}

impl fmt::Debug for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#Ref<{}>", self.id)
    }
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_incarnations_of_a_node_have_different_pids() {
        let local = LocalPid { index: 7, generation: 1 };
        let first = Pid::new(NodeId::new("shop@host", 1), local);
        let second = Pid::new(NodeId::new("shop@host", 2), local);
        assert_ne!(first, second);
        assert_eq!(first.local(), second.local());
    }

    #[test]
    fn pids_are_shown_short_and_with_their_node_on_demand() {
        let pid = Pid::new(NodeId::new("a", 3), LocalPid { index: 12, generation: 4 });
        assert_eq!(pid.to_string(), "<12.4>");
        assert!(format!("{pid:#}").contains(".3:12.4>"));
    }
}
