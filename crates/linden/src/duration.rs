//! Durations as people write them: `50.ms()`, `5.secs()`.

use std::time::Duration;

/// Makes durations of whole numbers.
pub trait DurationExt {
    /// Milliseconds.
    fn ms(self) -> Duration;
    /// Seconds.
    fn secs(self) -> Duration;
    /// Minutes.
    fn mins(self) -> Duration;
}

impl DurationExt for u64 {
    fn ms(self) -> Duration {
        Duration::from_millis(self)
    }

    fn secs(self) -> Duration {
        Duration::from_secs(self)
    }

    fn mins(self) -> Duration {
        Duration::from_secs(self.saturating_mul(60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_durations() {
        assert_eq!(50.ms(), Duration::from_millis(50));
        assert_eq!(5.secs(), Duration::from_secs(5));
        assert_eq!(2.mins(), Duration::from_secs(120));
    }
}
