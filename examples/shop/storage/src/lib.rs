//! How the shop's services use their redb files: opening them, sharing one wait for the disk among
//! many requests, and what a row looks like.
//!
//! [`create`] and [`open`] give a file whose format is known. A service owns a [`Disk`] on it, which
//! gathers requests and sends them off together, each time as one [`Visit`] by a process of its own:
//! the service never waits, a thousand writes cost one sync, and reads never wait for writes. What
//! is written by [`Disk::write`] is answered when it survives a power cut, and not before.
//!
//! A file is made so that a power cut leaves a whole one or none. On a [`Medium::Volatile`] a SIGKILL is
//! as bad as a power cut, and the feature `power-cuts` has a disk in memory whose power can be cut at any
//! operation: tests show by these that what was answered is there afterwards.
//!
//! Nothing here knows what is stored. Absent on purpose: caches of our own (redb has one), retries (a
//! disk that fails crashes its service, and the supervisor decides).

#![forbid(unsafe_code)]

mod creation;
mod disk;
mod fault;
mod file;
mod medium;
#[cfg(any(test, feature = "power-cuts"))]
pub mod power;
pub mod row;
mod volatile;

pub use creation::sync_name;
pub use disk::{Disk, Overload, Returned, Visit};
pub use fault::Fault;
pub use file::{CACHE_BYTES_MAX, OpenError, Schema, create, database, existing_database, open};
pub use medium::Medium;
