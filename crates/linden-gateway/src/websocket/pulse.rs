//! Whether the client at the other end still lives: when to ask it, and when to give it up. Decided from signs and the time.
//!
//! Pure: no clock, no socket. A client is given up only after it was asked: how long nobody looked does not count against it.

use std::time::Duration;

/// A moment, counted from wherever the caller counts from.
pub(super) type Moment = Duration;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Pulse {
    ping_after: Duration,
    pong_timeout: Duration,
    heard: Moment,
    /// When it was asked, if it has not given a sign since.
    asked: Option<Moment>,
}

/// What is to be done now.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Beat {
    Nothing,
    /// Ask whether it lives.
    Ping,
    /// It does not.
    Dead,
}

impl Pulse {
    pub(super) fn new(ping_after: Duration, pong_timeout: Duration, now: Moment) -> Self {
        Self { ping_after, pong_timeout, heard: now, asked: None }
    }

    /// The client gave a sign.
    pub(super) fn heard(&mut self, now: Moment) {
        self.heard = now;
        self.asked = None;
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Moment {
        match self.asked {
            Some(asked) => asked.saturating_add(self.pong_timeout),
            None => self.heard.saturating_add(self.ping_after),
        }
    }

    pub(super) fn beat(&mut self, now: Moment) -> Beat {
        if now < self.deadline() {
            return Beat::Nothing;
        }
        match self.asked {
            Some(_) => Beat::Dead,
            None => {
                self.asked = Some(now);
                Beat::Ping
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pulse() -> Pulse {
        Pulse::new(30 * SECOND, 10 * SECOND, SECOND)
    }

    // proves: GATE-54
    #[test]
    fn a_silent_client_is_asked_once_and_then_given_up() {
        let mut pulse = pulse();
        assert_eq!(pulse.beat(30 * SECOND), Beat::Nothing);
        assert_eq!((pulse.deadline(), pulse.beat(31 * SECOND)), (31 * SECOND, Beat::Ping));
        assert_eq!((pulse.deadline(), pulse.beat(40 * SECOND)), (41 * SECOND, Beat::Nothing));
        assert_eq!(pulse.beat(41 * SECOND), Beat::Dead);
    }

    #[test]
    fn a_client_that_answers_goes_on() {
        let mut pulse = pulse();
        let mut now = SECOND;
        for _ in 0..5 {
            now += 30 * SECOND;
            assert_eq!(pulse.beat(now), Beat::Ping);
            now += 9 * SECOND;
            pulse.heard(now);
        }
        assert_eq!(pulse.beat(now + 29 * SECOND), Beat::Nothing);
    }

    #[test]
    fn a_client_that_nobody_looked_at_is_asked_before_it_is_given_up() {
        let mut pulse = pulse();
        assert_eq!(pulse.beat(1000 * SECOND), Beat::Ping);
        assert_eq!(pulse.beat(1009 * SECOND), Beat::Nothing);
    }
}
