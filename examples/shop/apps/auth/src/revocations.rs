//! The sessions that were ended while access tokens of theirs are still good.
//!
//! Pure: the time is an argument; owned by the service's process. Small and bounded: an entry leaves
//! when its session's last access token expires, so there are never more of them than sessions that
//! were ended within one life of an access token.

use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use crate::{SessionId, UnixTime};

/// A session that was ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Revocation {
    /// From then on its access tokens have expired anyhow. First, for the order.
    pub until: UnixTime,
    /// Which.
    pub session_id: SessionId,
}

/// All that are still of importance.
#[derive(Clone, Default)]
pub(crate) struct Revocations {
    ids: HashSet<SessionId>,
    by_end: BTreeSet<Revocation>,
}

impl Revocations {
    /// Takes one in. A session ends once, so the first word counts.
    pub(crate) fn insert(&mut self, revocation: Revocation, now: UnixTime) {
        self.forget(now);
        if revocation.until > now && self.ids.insert(revocation.session_id) {
            self.by_end.insert(revocation);
        }
    }

    pub(crate) fn contains(&self, session_id: SessionId) -> bool {
        self.ids.contains(&session_id)
    }

    /// Lets go of those whose access tokens have expired.
    pub(crate) fn forget(&mut self, now: UnixTime) {
        while let Some(first) = self.by_end.first().filter(|first| first.until <= now).copied() {
            self.by_end.remove(&first);
            self.ids.remove(&first.session_id);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revocation(id: u128, until: u64) -> Revocation {
        Revocation { session_id: SessionId(id), until: UnixTime(until) }
    }

    #[test]
    fn an_entry_stays_until_its_access_tokens_expire() {
        let mut revoked = Revocations::default();
        revoked.insert(revocation(1, 200), UnixTime(100));
        revoked.insert(revocation(2, 150), UnixTime(100));
        revoked.insert(revocation(1, 900), UnixTime(100));
        for (now, expected) in [(149, [true, true]), (150, [true, false]), (200, [false, false])] {
            revoked.forget(UnixTime(now));
            assert_eq!([1, 2].map(|id| revoked.contains(SessionId(id))), expected, "{now}");
        }
        assert_eq!((revoked.len(), revoked.by_end.len()), (0, 0));
    }

    #[test]
    fn what_has_expired_is_not_taken_in_and_makes_room() {
        let mut revoked = Revocations::default();
        revoked.insert(revocation(1, 200), UnixTime(100));
        revoked.insert(revocation(2, 300), UnixTime(300));
        assert_eq!(revoked.len(), 0);
    }
}
