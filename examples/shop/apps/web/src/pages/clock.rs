//! Moments as people read them.

use std::fmt;

/// A moment, as text for people and as one for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(jiff::Timestamp);

impl Moment {
    /// So many milliseconds after 1970 began; the end of time when there is no such moment.
    pub(super) fn of_millis(millis: u64) -> Moment {
        let millis = i64::try_from(millis).unwrap_or(i64::MAX);
        Moment(jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX))
    }

    /// So many seconds after 1970 began.
    pub(super) fn of_secs(secs: u64) -> Moment {
        Moment::of_millis(secs.saturating_mul(1_000))
    }

    /// RFC 3339, for the attribute `datetime`.
    pub(super) fn exact(self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.strftime("%-d %b %Y, %H:%M UTC").fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_by_people_and_by_programs() {
        let moment = Moment::of_secs(1_357_036_200);
        assert_eq!(moment.to_string(), "1 Jan 2013, 10:30 UTC");
        assert_eq!(moment.exact(), "2013-01-01T10:30:00Z");
        assert_eq!(Moment::of_millis(u64::MAX).exact(), "9999-12-30T22:00:00Z");
    }
}
