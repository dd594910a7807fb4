//! The restart intensity: how many restarts a supervisor may do within how much time.
//!
//! Lives here: the limit ([`Intensity`]) and the pure counter that applies it ([`RestartHistory`]).
//! Owned by one supervisor process; plain data, no clock: the caller passes the monotonic time in.
//!
//! Invariants: the history holds only restarts of the current period, oldest first, and never more
//! than `restarts_max + 1` of them, whatever the rate (16 bytes each).
//!
//! Source: OTP's `supervisor:add_restart/1`. One difference, on purpose: OTP counts in whole seconds, we
//! count in nanoseconds, so that periods below a second mean something. A restart exactly one
//! period old still counts, as in OTP.
//!
//! Absent on purpose: back-off. Like OTP, a supervisor restarts at once or gives up.

use std::collections::VecDeque;
use std::time::Duration;

/// The limit: more than `restarts_max` restarts within `period` end the supervisor.
///
/// The default is OTP's: one restart in five seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// Restarts allowed within one period. 0 means that the first crash ends the supervisor.
    pub restarts_max: u32,
    /// The window. Must not be zero: supervisors refuse that, as OTP does.
    pub period: Duration,
}

impl Default for Intensity {
    fn default() -> Self {
        Self { restarts_max: 1, period: Duration::from_secs(5) }
    }
}

/// Whether the supervisor may go on after one more restart.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The restart is within the limit.
    Go,
    /// One restart too many: all children are terminated, then the supervisor exits.
    Exceeded,
}

/// The restarts of the current period.
#[derive(Clone, Debug)]
pub struct RestartHistory {
    intensity: Intensity,
    recent: VecDeque<Duration>,
}

impl RestartHistory {
    /// An empty history under this limit.
    pub fn new(intensity: Intensity) -> Self {
        Self { intensity, recent: VecDeque::new() }
    }

    /// Records one restart at the monotonic time `now` and says whether the supervisor may go on.
    ///
    /// `now` may count from any origin. A `now` before the last one is taken as the last one.
    pub fn record(&mut self, now: Duration) -> Verdict {
        let now = self.recent.back().map_or(now, |&last| now.max(last));
        let threshold = now.saturating_sub(self.intensity.period);
        while self.recent.front().is_some_and(|&at| at < threshold) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        if self.recent.len() <= self.restarts_max() {
            return Verdict::Go;
        }
        if self.recent.len() > self.restarts_max().saturating_add(1) {
            self.recent.pop_front();
        }
        Verdict::Exceeded
    }

    /// Restarts in the period that ended at the last [`record`](Self::record), that one included.
    ///
    /// Counts to `restarts_max + 1` at most.
    pub fn restarts_in_period(&self) -> u32 {
        u32::try_from(self.recent.len()).unwrap_or(u32::MAX)
    }

    /// The limit.
    pub fn intensity(&self) -> Intensity {
        self.intensity
    }

    fn restarts_max(&self) -> usize {
        usize::try_from(self.intensity.restarts_max).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests;
