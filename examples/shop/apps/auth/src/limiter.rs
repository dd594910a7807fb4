//! How many attempts are allowed, per key and over time: a token bucket for each key.
//!
//! Pure: the time is an argument, counted from any fixed moment. Usable from any thread.
//! A bucket is one number, the moment when it is full again (the *generic cell rate algorithm*), and
//! a bucket that is full is not kept at all.
//! Invariant: at most `keys_max` buckets. When there is no room, the bucket that is full soonest is
//! forgotten: whoever floods the table with keys of one attempt each forgets those, and not the key
//! that has used up its attempts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv6Addr},
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use serde::Deserialize;

/// So many attempts at once, and then one more each time that `every` has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Rate {
    /// Attempts that are possible at once.
    pub burst: NonZeroU32,
    /// The time in which one attempt comes back; `0s` for no limit.
    #[serde(with = "linden::config::duration")]
    pub every: Duration,
}

impl Rate {
    /// A rate of whole seconds.
    ///
    /// # Panics
    /// When `burst` is 0.
    pub const fn new(burst: u32, every_secs: u64) -> Rate {
        let burst = NonZeroU32::new(burst).expect("a burst is at least 1");
        Rate { burst, every: Duration::from_secs(every_secs) }
    }

    /// Nanoseconds in which an empty bucket fills. In 128 bits, no configured time overflows.
    fn span(&self) -> u128 {
        self.every.as_nanos() * u128::from(self.burst.get())
    }
}

/// Refused; possible again after so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wait(pub(crate) Duration);

/// The buckets of all keys of one kind.
pub(crate) struct Limiter<K> {
    rate: Rate,
    keys_max: NonZeroUsize,
    /// In nanoseconds of the clock that is passed in.
    full_at: BTreeMap<K, u128>,
    /// The same, by time.
    by_time: BTreeSet<(u128, K)>,
}

impl<K: Ord + Clone> Limiter<K> {
    pub(crate) fn new(rate: Rate, keys_max: NonZeroUsize) -> Limiter<K> {
        Limiter { rate, keys_max, full_at: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Says whether an attempt is possible now. Changes nothing.
    pub(crate) fn check(&self, key: &K, now: Duration) -> Result<(), Wait> {
        let now = now.as_nanos();
        let after = self.after_one_more(key, now) - now;
        match after.checked_sub(self.rate.span()) {
            None | Some(0) => Ok(()),
            Some(wait) => Err(Wait(Duration::from_nanos_u128(wait))),
        }
    }

    /// Takes an attempt. One that is not possible is not counted.
    pub(crate) fn take(&mut self, key: &K, now: Duration) -> Result<(), Wait> {
        self.check(key, now)?;
        let now = now.as_nanos();
        let full_at = self.after_one_more(key, now);
        self.forget_full(now);
        if full_at > now {
            if !self.full_at.contains_key(key) && self.full_at.len() >= self.keys_max.get() {
                self.forget_first();
            }
            self.set(key, full_at);
        }
        Ok(())
    }

    /// Gives an attempt back, as if it had not been taken.
    pub(crate) fn give_back(&mut self, key: &K) {
        if let Some(full_at) = self.full_at.get(key) {
            self.set(key, full_at.saturating_sub(self.rate.every.as_nanos()));
        }
    }

    /// When the bucket would be full, had it given one more attempt.
    fn after_one_more(&self, key: &K, now: u128) -> u128 {
        let full_at = self.full_at.get(key).map_or(now, |full_at| now.max(*full_at));
        full_at + self.rate.every.as_nanos()
    }

    fn set(&mut self, key: &K, full_at: u128) {
        if let Some(old) = self.full_at.insert(key.clone(), full_at) {
            self.by_time.remove(&(old, key.clone()));
        }
        self.by_time.insert((full_at, key.clone()));
    }

    fn forget_full(&mut self, now: u128) {
        while self.by_time.first().is_some_and(|(full_at, _)| *full_at <= now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, key)) = self.by_time.pop_first() {
            self.full_at.remove(&key);
        }
    }
}

impl<K> fmt::Debug for Limiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limiter({} keys)", self.full_at.len())
    }
}

/// Where attempts come from: an IPv4 address, or the /64 network of an IPv6 address, since whoever
/// has one of its addresses has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin(IpAddr);

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Origin {
        Origin(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        })
    }
}

#[cfg(test)]
mod tests;
