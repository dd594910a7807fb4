//! Token buckets, one a key: whether one more request of a key is within its rate, decided from the time.
//!
//! Pure: no clock. A bucket is one moment, that at which it will be full again (the generic cell rate algorithm), so a
//! key costs some 24 bytes. Keys are kept in two generations of one full refill each: what was not touched for that long is
//! full, and forgotten with its generation, which costs nothing for each request.
//!
//! Invariant: at most `keys_max` keys are kept. Newcomers beyond share one bucket.

use std::collections::HashMap;
use std::time::Duration;

/// A moment, counted from wherever the caller counts from.
pub(crate) type Moment = Duration;

/// How much is within the rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Quota {
    /// In which one token comes.
    pub(crate) interval: Duration,
    /// Tokens of a full bucket.
    pub(crate) burst: u32,
}

impl Quota {
    /// How long an empty bucket takes to be full.
    fn refill(self) -> Duration {
        self.interval.saturating_mul(self.burst)
    }
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Buckets {
    quota: Quota,
    keys_max: usize,
    /// Touched in this generation: when each will be full.
    young: HashMap<u64, Moment>,
    /// Touched in the last one.
    old: HashMap<u64, Moment>,
    generation_began: Moment,
    /// When the bucket of those without one will be full.
    shared: Moment,
}

/// What one more request is told.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// It is within the rate.
    Yes,
    /// It is not; the next token comes after so long.
    No { wait: Duration },
}

impl Buckets {
    pub(crate) fn new(quota: Quota, keys_max: usize) -> Self {
        Self {
            quota,
            keys_max,
            young: HashMap::new(),
            old: HashMap::new(),
            generation_began: Duration::ZERO,
            shared: Duration::ZERO,
        }
    }

    /// Keys that are kept.
    pub(crate) fn keys(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Takes a token of the key's.
    pub(crate) fn take(&mut self, key: u64, now: Moment) -> Taken {
        self.turn_generation(now);
        let quota = self.quota;
        if let Some(full_at) = self.young.get_mut(&key) {
            return take(quota, full_at, now);
        }
        if let Some(mut full_at) = self.old.remove(&key) {
            let taken = take(quota, &mut full_at, now);
            self.young.insert(key, full_at);
            return taken;
        }
        if self.keys() >= self.keys_max {
            return take(quota, &mut self.shared, now);
        }
        let mut full_at = now;
        let taken = take(quota, &mut full_at, now);
        self.young.insert(key, full_at);
        taken
    }

    fn turn_generation(&mut self, now: Moment) {
        let (age, refill) = (now.saturating_sub(self.generation_began), self.quota.refill());
        if age < refill {
            return;
        }
        // The old ones were not touched for a whole refill: they are full.
        std::mem::swap(&mut self.old, &mut self.young);
        self.young.clear();
        if age >= refill.saturating_mul(2) {
            self.old.clear();
        }
        self.generation_began = now;
    }
}

fn take(quota: Quota, full_at: &mut Moment, now: Moment) -> Taken {
    let then = (*full_at).max(now).saturating_add(quota.interval);
    let latest = now.saturating_add(quota.refill());
    if then > latest {
        return Taken::No { wait: then.saturating_sub(latest) };
    }
    *full_at = then;
    Taken::Yes
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn buckets(burst: u32, keys_max: usize) -> Buckets {
        Buckets::new(Quota { interval: SECOND, burst }, keys_max)
    }

    fn taken(buckets: &mut Buckets, key: u64, now: Moment, tries: usize) -> usize {
        (0..tries).filter(|_| buckets.take(key, now) == Taken::Yes).count()
    }

    // proves: GATE-45
    #[test]
    fn a_burst_is_within_the_rate_and_then_one_token_an_interval() {
        let mut buckets = buckets(3, 10);
        let mut now = 100 * SECOND;
        assert_eq!(taken(&mut buckets, 1, now, 10), 3);
        assert_eq!(buckets.take(1, now), Taken::No { wait: SECOND });
        now += SECOND / 4;
        assert_eq!(buckets.take(1, now), Taken::No { wait: SECOND * 3 / 4 });
        for _ in 0..5 {
            now += SECOND;
            assert_eq!(taken(&mut buckets, 1, now, 10), 1);
        }
        now += 100 * SECOND;
        assert_eq!(taken(&mut buckets, 1, now, 10), 3);
    }

    // proves: GATE-45
    #[test]
    fn keys_have_buckets_of_their_own() {
        let mut buckets = buckets(2, 10);
        assert_eq!(taken(&mut buckets, 1, SECOND, 5), 2);
        assert_eq!(taken(&mut buckets, 2, SECOND, 5), 2);
    }

    #[test]
    fn full_buckets_are_forgotten_and_others_are_not() {
        let mut buckets = buckets(10, 100);
        for key in 0..50 {
            assert_eq!(buckets.take(key, SECOND), Taken::Yes);
        }
        // Key 7 stays busy: its bucket moves on from generation to generation.
        let mut now = SECOND;
        for _ in 0..4 {
            now += 6 * SECOND;
            taken(&mut buckets, 7, now, 100);
        }
        assert_eq!(buckets.keys(), 1);
        assert_eq!(buckets.take(7, now), Taken::No { wait: SECOND });
    }

    // proves: GATE-46
    #[test]
    fn beyond_the_keys_newcomers_share_a_bucket_and_known_keys_keep_theirs() {
        let mut buckets = buckets(2, 3);
        for key in 0..3 {
            assert_eq!(buckets.take(key, SECOND), Taken::Yes);
        }
        let newcomers = (100..200).filter(|&key| buckets.take(key, SECOND) == Taken::Yes).count();
        assert_eq!((newcomers, buckets.keys()), (2, 3));
        assert_eq!(taken(&mut buckets, 0, SECOND, 5), 1);
        // All of them are full after a while, and forgotten.
        assert_eq!(taken(&mut buckets, 300, 10 * SECOND, 5), 2);
        assert_eq!(taken(&mut buckets, 301, 10 * SECOND, 5), 2);
        assert_eq!(buckets.keys(), 2);
    }

    proptest::proptest! {
        #[test]
        fn no_key_gets_more_than_its_rate(steps in proptest::collection::vec((0_u64..4, 0_u64..3000), 1..300)) {
            let mut buckets = buckets(5, 2);
            let mut now = Duration::ZERO;
            let mut given: HashMap<u64, Vec<Moment>> = HashMap::new();
            for (key, millis) in steps {
                now += Duration::from_millis(millis);
                if buckets.take(key, now) == Taken::Yes {
                    given.entry(key).or_default().push(now);
                }
                assert!(buckets.keys() <= 2);
            }
            // Own and shared bucket: a key that was forgotten may have used both.
            for times in given.values() {
                for &from in times {
                    let within = times.iter().filter(|&&at| at >= from && at < from + SECOND);
                    assert!(within.count() <= 2 * (5 + 1), "{times:?}");
                }
            }
        }
    }
}
