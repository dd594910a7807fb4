//! What holds a service's file.

use serde::Deserialize;

/// What holds a service's file: the key `medium` of each that has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Medium {
    /// The disk, by way of the system's cache.
    #[default]
    Disk,
    /// For tests: as a disk whose power goes when the program is killed. What was written and not synced
    /// is lost, and a sync that the kill interrupts has written some pages and not others.
    Volatile,
}
