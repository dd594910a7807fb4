//! Counts that one thread writes and any other reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Adds to a count that has one writer. Orders nothing.
#[inline]
pub(crate) fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// Nanoseconds, up to 584 years.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
