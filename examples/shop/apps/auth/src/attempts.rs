//! The process `auth_attempts`: who may try to log in or to register now.
//!
//! A process of its own, so that a crash of `auth_service` gives nobody new attempts; its own crash,
//! or a restart of the node, does. It keeps buckets (see `limiter`) by the name that is tried,
//! whether or not there is such an account, and by where the attempt comes from.
//!
//! An attempt to log in is taken before the password is looked at and given back when the password
//! was right, so that many guesses at once are no way around the limit. Others who guess can so
//! keep a user from logging in; sessions that are open go on, and are refreshed.

use std::{
    net::IpAddr,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use linden::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    UserName,
    limiter::{Limiter, Origin, Rate, Wait},
};

/// Limits of attempts; part of `[auth]` in `linden.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AttemptLimits {
    /// Failed log-ins under one name; 10, and one more a minute.
    pub log_ins_per_account: Rate,
    /// Failed log-ins from one IPv4 address or IPv6 /64 network; 100, and one more each 10 s.
    pub log_ins_per_address: Rate,
    /// Registrations from there, failed or not; 100, and one more each 10 s.
    pub registrations_per_address: Rate,
    /// Names, and addresses, that are remembered at most, of each kind; 100,000. Beyond that those
    /// that have tried least and longest ago are forgotten.
    pub tracked_max: NonZeroUsize,
}

impl Default for AttemptLimits {
    fn default() -> AttemptLimits {
        AttemptLimits {
            log_ins_per_account: Rate::new(10, 60),
            log_ins_per_address: Rate::new(100, 10),
            registrations_per_address: Rate::new(100, 10),
            tracked_max: NonZeroUsize::new(100_000).expect("it is not 0"),
        }
    }
}

/// Too many attempts were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TooMany {
    /// The next one is possible after this time.
    pub retry_after: Duration,
}

/// The state of `auth_attempts`.
#[derive(Debug)]
pub struct AuthAttempts {
    started: Instant,
    names: Limiter<UserName>,
    addresses: Limiter<Origin>,
    registrations: Limiter<Origin>,
}

impl AuthAttempts {
    /// Nobody has tried anything yet.
    pub fn new(limits: &AttemptLimits) -> AuthAttempts {
        let max = limits.tracked_max;
        AuthAttempts {
            started: Instant::now(),
            names: Limiter::new(limits.log_ins_per_account, max),
            addresses: Limiter::new(limits.log_ins_per_address, max),
            registrations: Limiter::new(limits.registrations_per_address, max),
        }
    }
}

#[gen_server(name = "auth_attempts")]
impl AuthAttempts {
    /// Takes an attempt to log in. When the account or the address has none left, nothing is taken.
    #[call]
    pub fn log_in(&mut self, name: UserName, from: IpAddr) -> Result<(), TooMany> {
        let (now, origin) = (self.started.elapsed(), Origin::from(from));
        let checks = [self.names.check(&name, now), self.addresses.check(&origin, now)];
        if let Some(Wait(retry_after)) = checks.iter().filter_map(|check| check.err()).max() {
            return Err(TooMany { retry_after });
        }
        let taken = self.names.take(&name, now).and(self.addresses.take(&origin, now));
        taken.expect("both were asked before");
        Ok(())
    }

    /// Gives the attempt back: the password was right.
    #[cast]
    pub fn logged_in(&mut self, name: UserName, from: IpAddr) {
        self.names.give_back(&name);
        self.addresses.give_back(&Origin::from(from));
    }

    /// Takes an attempt to register.
    #[call]
    pub fn register(&mut self, from: IpAddr) -> Result<(), TooMany> {
        let taken = self.registrations.take(&Origin::from(from), self.started.elapsed());
        taken.map_err(|Wait(retry_after)| TooMany { retry_after })
    }
}
