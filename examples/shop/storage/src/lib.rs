//! How the shop's services use their redb files: opening them, sharing one wait for the disk among
//! many requests, and what a row looks like.
//!
//! [`create`] and [`open`] give a file whose format is known. A service owns a [`Disk`] on it, which
//! gathers requests and sends them off together, each time as one [`Visit`] by a process of its own:
//! the service never waits, a thousand writes cost one sync, and reads never wait for writes. What
//! is written by [`Disk::write`] is answered when it survives a power cut, and not before.
//!
//! Nothing here knows what is stored. Absent on purpose: caches of our own (redb has one), retries (a
//! disk that fails crashes its service, and the supervisor decides).

#![forbid(unsafe_code)]

mod disk;
mod fault;
mod file;
pub mod row;

pub use disk::{Disk, Overload, Returned, Visit};
pub use fault::Fault;
pub use file::{CACHE_BYTES_MAX, OpenError, Schema, create, open};
