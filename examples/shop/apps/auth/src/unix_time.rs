//! Moments as they are signed and stored: whole seconds since the Unix epoch.
//!
//! A plain value, usable from any thread. There is no clock here: whoever wants the present passes it in.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Seconds since the Unix epoch. A clock before 1970 counts as 1970.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use shop_auth::UnixTime;
///
/// assert_eq!(UnixTime(60).after(Duration::from_secs(2)), UnixTime(62));
/// assert_eq!(UnixTime(60).after(Duration::MAX), UnixTime(u64::MAX));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// So much later, in whole seconds; the end of time at most.
    #[must_use]
    pub fn after(self, duration: Duration) -> UnixTime {
        UnixTime(self.0.saturating_add(duration.as_secs()))
    }
}

impl From<SystemTime> for UnixTime {
    fn from(time: SystemTime) -> UnixTime {
        UnixTime(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_counts_whole_seconds_from_1970_on() {
        assert_eq!(UnixTime::from(UNIX_EPOCH + Duration::from_millis(1_999)), UnixTime(1));
        assert_eq!(UnixTime::from(UNIX_EPOCH - Duration::from_secs(5)), UnixTime(0));
    }
}
