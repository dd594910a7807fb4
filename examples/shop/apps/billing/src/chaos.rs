//! Faults on demand, for tests and demonstrations: a part of the service crashes, hangs or is slow.
//!
//! Nothing here happens unless `billing.chaos` is set.

use std::{error::Error, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use shop_auth::UserId;

/// Which process is to suffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// `billing_service`.
    Service,
    /// `ledger_writer`.
    Writer,
    /// The process of a user's account.
    Account(UserId),
}

/// What is to happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It panics.
    Crash,
    /// It panics while a payment is in flight: now, or at the next one.
    CrashInFlight,
    /// It does nothing for so long.
    Hang(#[serde(with = "linden::config::duration")] Duration),
    /// From now on it takes so much longer for each payment, or, the writer, for each commit; zero
    /// ends that.
    Slow(#[serde(with = "linden::config::duration")] Duration),
}

/// The fault did not happen: `billing.chaos` is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChaosIsOff;

impl fmt::Display for ChaosIsOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("chaos is off; set billing.chaos = true to allow it")
    }
}

impl Error for ChaosIsOff {}

/// What a process was told to suffer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Suffering {
    crash_in_flight: bool,
    slow: Duration,
}

impl Suffering {
    /// Suffers what can be suffered at once, and remembers the rest.
    pub(crate) async fn begin(&mut self, fault: Fault) {
        match fault {
            Fault::Crash => crash(),
            Fault::CrashInFlight => self.crash_in_flight = true,
            Fault::Hang(duration) => tokio::time::sleep(duration).await,
            Fault::Slow(duration) => self.slow = duration,
        }
    }

    /// How much longer each request takes.
    pub(crate) fn slow(&self) -> Duration {
        self.slow
    }

    /// Takes that much longer.
    pub(crate) async fn linger(&self) {
        if !self.slow.is_zero() {
            tokio::time::sleep(self.slow).await;
        }
    }

    /// To be called when a payment is in flight.
    pub(crate) fn strike(&self) {
        if self.crash_in_flight {
            crash();
        }
    }
}

fn crash() -> ! {
    panic!("a crash was asked for");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_faults_are_written_as_people_write_them() {
        let part = |part: Part| serde_json::to_string(&part).unwrap();
        assert_eq!(part(Part::Writer), r#""writer""#);
        assert_eq!(part(Part::Account(UserId(7))), r#"{"account":7}"#);
        for (json, fault) in [
            (r#""crash_in_flight""#, Fault::CrashInFlight),
            (r#"{"hang":"50ms"}"#, Fault::Hang(Duration::from_millis(50))),
            (r#"{"slow":"0s"}"#, Fault::Slow(Duration::ZERO)),
        ] {
            assert_eq!(serde_json::from_str::<Fault>(json).unwrap(), fault);
            assert_eq!(serde_json::to_string(&fault).unwrap(), json);
        }
    }
}
