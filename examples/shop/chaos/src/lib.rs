//! Faults on demand, for tests and demonstrations: a service crashes, hangs, or is slow for a while.
//!
//! A service takes a fault as any message, so its mailbox waits behind it as behind a handler that really hangs:
//!
//! ```
//! use linden::prelude::*;
//! use shop_chaos::Fault;
//!
//! #[derive(Default)]
//! struct Catalog;
//!
//! #[gen_server]
//! impl Catalog {
//!     /// Suffers a fault.
//!     #[cast]
//!     pub async fn suffer(&mut self, fault: Fault, cx: &mut Context<Self>) {
//!         if let Some(rest) = fault.strike().await {
//!             cx.client().suffer(rest);
//!         }
//!     }
//! }
//! ```
//!
//! Who may inflict faults is for the edge to say.

#![forbid(unsafe_code)]

use std::time::Duration;

use linden::config::duration;
use serde::{Deserialize, Serialize};

/// The longest hang.
pub const HANG_MAX: Duration = Duration::from_secs(60);
/// The longest time for which a service is slow.
pub const SLOW_MAX: Duration = Duration::from_secs(600);

/// What is to happen to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It panics.
    Crash,
    /// It does nothing for so long, at most a minute.
    Hang(#[serde(serialize_with = "duration::serialize", deserialize_with = "hang")] Duration),
    /// For a while whatever it is asked for takes longer.
    Slow(Slow),
}

/// How slow, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// So much longer each request takes at most, a minute at most.
    #[serde(serialize_with = "duration::serialize", deserialize_with = "hang")]
    pub each: Duration,
    /// For so long, ten minutes at most.
    #[serde(serialize_with = "duration::serialize", deserialize_with = "slow")]
    pub lasting: Duration,
}

fn hang<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    up_to(HANG_MAX, deserializer)
}

fn slow<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    up_to(SLOW_MAX, deserializer)
}

/// A duration of at least a millisecond, so that a slow service comes to its end.
fn up_to<'de, D: serde::Deserializer<'de>>(
    max: Duration,
    deserializer: D,
) -> Result<Duration, D::Error> {
    let wanted = duration::deserialize(deserializer)?;
    if (Duration::from_millis(1)..=max).contains(&wanted) {
        return Ok(wanted);
    }
    let allowed = format!("a fault takes 1ms to {}s", max.as_secs());
    Err(serde::de::Error::custom(allowed))
}

impl Fault {
    /// Happens to the process that calls it. What is returned is to happen behind the requests that wait by then: the
    /// service sends it to itself.
    ///
    /// # Panics
    /// A crash does.
    pub async fn strike(self) -> Option<Fault> {
        match self {
            Fault::Crash => panic!("a crash was asked for"),
            Fault::Hang(time) => tokio::time::sleep(time).await,
            Fault::Slow(Slow { each, .. }) => tokio::time::sleep(each).await,
        }
        self.rest()
    }

    fn rest(self) -> Option<Fault> {
        let Fault::Slow(Slow { each, lasting }) = self else { return None };
        let lasting = lasting.saturating_sub(each);
        (!lasting.is_zero()).then_some(Fault::Slow(Slow { each, lasting }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(each: u64, lasting: u64) -> Fault {
        let [each, lasting] = [each, lasting].map(Duration::from_millis);
        Fault::Slow(Slow { each, lasting })
    }

    #[test]
    fn faults_are_written_as_people_write_them() {
        for (json, fault) in [
            (r#""crash""#, Fault::Crash),
            (r#"{"hang":"50ms"}"#, Fault::Hang(Duration::from_millis(50))),
            (r#"{"slow":{"each":"50ms","lasting":"10s"}}"#, slow(50, 10_000)),
        ] {
            assert_eq!(serde_json::from_str::<Fault>(json).expect(json), fault);
            assert_eq!(serde_json::to_string(&fault).expect(json), json);
        }
    }

    #[test]
    fn a_fault_has_an_end() {
        for json in [
            r#"{"hang":"61s"}"#,
            r#"{"hang":"0s"}"#,
            r#"{"slow":{"each":"0s","lasting":"1s"}}"#,
            r#"{"slow":{"each":"1s","lasting":"601s"}}"#,
        ] {
            let error = serde_json::from_str::<Fault>(json).expect_err(json).to_string();
            assert!(error.contains("a fault takes 1ms to"), "{error}");
        }
    }

    #[test]
    fn a_slow_service_is_slow_until_its_time_is_over() {
        let rests = std::iter::successors(Some(slow(40, 100)), |fault| fault.rest());
        assert_eq!(rests.collect::<Vec<_>>(), [slow(40, 100), slow(40, 60), slow(40, 20)]);
        assert_eq!(Fault::Hang(HANG_MAX).rest(), None);
    }
}
