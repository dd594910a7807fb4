//! The owner's side of a process's links and monitors.
//!
//! Who is linked and who monitors is kept behind a lock that the process's own worker takes alone, but for the reaper
//! (`reap.rs`). Nothing of the user's runs under it.

use std::mem;

use parking_lot::MutexGuard;

use crate::cell::{Header, PARENT_LINKED, REMOTE};
use crate::id::{NodeId, Pid, Ref};
use crate::links::Bonds;
use crate::reason::Reason;
use crate::signal::{ExitVia, Signal, Watcher};

/// The bonds of a process.
pub(crate) fn bonds(header: &Header) -> MutexGuard<'_, Bonds> {
    header.rare_or_new().bonds()
}

/// Whether `pid` is the process's parent on this node.
fn is_parent(header: &Header, pid: Pid) -> bool {
    pid.node() == header.node().id && pid.local() == header.parent
}

/// Adds a link to the owner's side. Says whether it is new.
pub(crate) fn link(header: &Header, pid: Pid) -> bool {
    if is_parent(header, pid) {
        forget_unlink(header, pid);
        return header.set_flag(PARENT_LINKED) & PARENT_LINKED == 0;
    }
    if pid.node() != header.node().id {
        header.set_flag(REMOTE);
    }
    bonds(header).links.add(header.node().id, pid)
}

/// Removes a link from the owner's side. Says whether it was there.
pub(crate) fn unlink(header: &Header, pid: Pid) -> bool {
    if is_parent(header, pid) {
        return header.clear_flag(PARENT_LINKED) & PARENT_LINKED != 0;
    }
    let Some(rare) = header.rare() else {
        return false;
    };
    rare.bonds().links.remove(header.node().id, pid)
}

/// Takes a link down from the owner's side, and tells the other end.
pub(crate) fn take_link_down(header: &Header, pid: Pid) {
    if !unlink(header, pid) {
        return;
    }
    let id = bonds(header).links.begin_unlink(pid);
    let from = header.pid();
    header.node().signal(pid, Signal::Unlink { from, id });
}

/// The other end of a link that was taken down has ended: it acknowledges nothing any more.
pub(crate) fn forget_unlink(header: &Header, pid: Pid) {
    if let Some(rare) = header.rare() {
        rare.bonds().links.forget_unlink(pid);
    }
}

/// Whether an unlink is under way that the other end has not acknowledged yet.
pub(crate) fn is_unlinking(header: &Header, pid: Pid) -> bool {
    header.rare().is_some_and(|rare| rare.bonds().links.is_unlinking(pid))
}

/// Nobody watches under this reference any more.
pub(crate) fn forget_watcher(header: &Header, reference: Ref) {
    // What is taken out is dropped when the bonds are free again: a watcher's place for an answer answers then.
    let gone: Vec<_> = bonds(header).watchers.extract_if(.., |(of, _)| *of == reference).collect();
    drop(gone);
}

/// What a process loses with a node.
pub(crate) struct Lost {
    pub(crate) links: Vec<Pid>,
    pub(crate) monitors: Vec<(Ref, Pid)>,
}

/// Takes the bonds to a node that is out of reach.
pub(crate) fn lose_node(header: &Header, node: NodeId) -> Lost {
    let mut bonds = bonds(header);
    bonds
        .watchers
        .retain(|(_, watcher)| !matches!(watcher, Watcher::Process(pid) if pid.node() == node));
    let links = bonds.links.take_of_node(node);
    let monitors = bonds.monitors.extract_if(|_, pid| pid.node() == node).collect();
    Lost { links, monitors }
}

/// DEATH-03: tells of the process's end, links first, then monitors, each once: what is told is forgotten.
pub(crate) fn tell(header: &Header, reason: &Reason) {
    let own = header.pid();
    let node = header.node();
    let exit = |to: Pid| {
        node.signal(to, Signal::Exit { from: own, reason: reason.clone(), via: ExitVia::Link });
    };
    if header.clear_flag(PARENT_LINKED) & PARENT_LINKED != 0 {
        exit(Pid::new(own.node(), header.parent));
    }
    let Some(rare) = header.rare() else { return };
    let bonds = mem::take(&mut *rare.bonds());
    bonds.links.iter(own.node()).for_each(exit);
    for (reference, pid) in bonds.monitors {
        node.signal(pid, Signal::Demonitor { reference });
    }
    for (reference, watcher) in bonds.watchers {
        match watcher {
            Watcher::Process(pid) => {
                node.signal(pid, Signal::Down { reference, pid: own, reason: reason.clone() })
            }
            Watcher::Slot(reply) => {
                reply.send(reason.clone());
            }
        }
    }
}
