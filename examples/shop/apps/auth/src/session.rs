//! What a log-in opens: a session, and the rules by which it goes on and ends.
//!
//! Pure: time and randomness are arguments. Usable from any thread. A session has one id. Its access
//! tokens are signed and short-lived, and carry the id; its refresh token is random, and each use of
//! it gives the next one.
//!
//! Invariants: of refresh tokens only hashes are stored, and they are compared in constant time; one
//! that was used before ends its session, however many came after it, for one of the two who have
//! it is a thief. That is why a refresh token has a part that stays the same for the whole session
//! (its family): without the family's secret, whoever knows a session's id from an access token
//! cannot pose as an old refresh token and end the session.
//! Absent on purpose: a grace time for a token that was used twice. A client whose answer was lost
//! logs in again.

use std::{fmt, num::NonZeroUsize, time::Duration};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use ctutils::CtEq as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Token, TokenError, UnixTime, UserId};

const ID_LEN: usize = 16;
const FAMILY_LEN: usize = 16;
const SECRET_LEN: usize = 32;
const REFRESH_BYTES: usize = ID_LEN + FAMILY_LEN + SECRET_LEN;
/// Characters of a refresh token: 64 bytes in base64url.
pub const REFRESH_TOKEN_LEN: usize = 86;

/// A log-in as its user gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whose it is.
    pub user_id: UserId,
    /// Proves who asks; sent with each request.
    pub access: Token,
    /// From then on the access token is refused.
    pub access_expires_at: UnixTime,
    /// Good for one [`refresh`](crate::AuthServiceClient::refresh).
    pub refresh: RefreshToken,
    /// The session's end: from then on only a log-in helps.
    pub refresh_expires_at: UnixTime,
}

/// How long sessions and their access tokens live, and how many an account has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionPolicy {
    /// Of an access token.
    pub access_ttl: Duration,
    /// Of a session, counted from the log-in, however often it is refreshed.
    pub session_ttl: Duration,
    /// One more log-in ends the account's oldest session.
    pub per_account_max: NonZeroUsize,
}

/// Names a session. No secret: only a signed token that carries it proves anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u128);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({:032x})", self.0)
    }
}

/// A refresh token's text. It stands for a password until it is used, so its `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RefreshToken(String);

impl RefreshToken {
    /// Takes whatever somebody offers as one.
    pub fn offered(text: impl Into<String>) -> RefreshToken {
        RefreshToken(text.into())
    }

    /// The text to give to the user.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn parse(&self) -> Result<RefreshParts, TokenError> {
        let mut bytes = [0; REFRESH_BYTES];
        let decoded = Base64UrlUnpadded::decode(&self.0, &mut bytes);
        match decoded {
            Ok(decoded) if decoded.len() == REFRESH_BYTES => Ok(RefreshParts::new(bytes)),
            _ => Err(TokenError::Malformed),
        }
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(..)")
    }
}

/// A refresh token taken apart. Secret as a whole, so it has no `Debug`.
#[derive(Clone, Copy)]
pub(crate) struct RefreshParts {
    pub(crate) session_id: SessionId,
    family: [u8; FAMILY_LEN],
    secret: [u8; SECRET_LEN],
}

impl RefreshParts {
    /// The first token of a new session, of random bytes.
    pub(crate) fn new(bytes: [u8; REFRESH_BYTES]) -> RefreshParts {
        let (id, rest) = bytes.split_first_chunk().expect("it is longer");
        let (family, secret) = rest.split_first_chunk().expect("it is longer");
        RefreshParts {
            session_id: SessionId(u128::from_be_bytes(*id)),
            family: *family,
            secret: secret.try_into().expect("the rest is the secret"),
        }
    }

    /// The token after this one, of a random secret.
    pub(crate) fn next(&self, secret: [u8; SECRET_LEN]) -> RefreshParts {
        RefreshParts { secret, ..*self }
    }

    pub(crate) fn token(&self) -> RefreshToken {
        let mut bytes = [0; REFRESH_BYTES];
        bytes[..ID_LEN].copy_from_slice(&self.session_id.0.to_be_bytes());
        bytes[ID_LEN..ID_LEN + FAMILY_LEN].copy_from_slice(&self.family);
        bytes[ID_LEN + FAMILY_LEN..].copy_from_slice(&self.secret);
        RefreshToken(Base64UrlUnpadded::encode_string(&bytes))
    }
}

/// What is kept of a secret: its SHA-256. The secrets are random, so no slower hash is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SecretHash(pub(crate) [u8; 32]);

impl SecretHash {
    fn of(secret: &[u8]) -> SecretHash {
        SecretHash(Sha256::digest(secret).into())
    }

    fn is_of(&self, secret: &[u8]) -> bool {
        self.0.ct_eq(&SecretHash::of(secret).0).to_bool()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

/// A session as it is stored, under its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredSession {
    pub(crate) user_id: UserId,
    pub(crate) family: SecretHash,
    /// Of the one refresh token that is good.
    pub(crate) refresh: SecretHash,
    pub(crate) created_at: UnixTime,
    pub(crate) expires_at: UnixTime,
    /// From then on all access tokens that were given out have expired.
    pub(crate) access_until: UnixTime,
}

/// What becomes of a session whose refresh token is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Offer {
    /// It goes on like this, with the new token.
    GoesOn(StoredSession),
    /// The token was used before: the session ends.
    Reused,
    /// Nothing changes.
    Refused(TokenError),
}

impl StoredSession {
    /// A session that begins now.
    pub(crate) fn begin(
        user_id: UserId,
        first: &RefreshParts,
        policy: &SessionPolicy,
        now: UnixTime,
    ) -> StoredSession {
        let expires_at = now.after(policy.session_ttl);
        StoredSession {
            user_id,
            family: SecretHash::of(&first.family),
            refresh: SecretHash::of(&first.secret),
            created_at: now,
            expires_at,
            access_until: now.after(policy.access_ttl).min(expires_at),
        }
    }

    /// Decides about the offer of `old`, to be replaced by `new`.
    pub(crate) fn offer(
        &self,
        old: &RefreshParts,
        new: &RefreshParts,
        policy: &SessionPolicy,
        now: UnixTime,
    ) -> Offer {
        if !self.family.is_of(&old.family) {
            return Offer::Refused(TokenError::SessionEnded);
        }
        if now >= self.expires_at {
            return Offer::Refused(TokenError::Expired);
        }
        if !self.refresh.is_of(&old.secret) {
            return Offer::Reused;
        }
        let access_until = self.access_expires_at(policy, now).max(self.access_until);
        Offer::GoesOn(StoredSession { refresh: SecretHash::of(&new.secret), access_until, ..*self })
    }

    /// When an access token that is given out now expires: never later than the session.
    pub(crate) fn access_expires_at(&self, policy: &SessionPolicy, now: UnixTime) -> UnixTime {
        now.after(policy.access_ttl).min(self.expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: SessionPolicy = SessionPolicy {
        access_ttl: Duration::from_secs(100),
        session_ttl: Duration::from_secs(1_000),
        per_account_max: NonZeroUsize::MIN,
    };

    fn first() -> RefreshParts {
        let mut bytes = [1; REFRESH_BYTES];
        bytes[ID_LEN..ID_LEN + FAMILY_LEN].fill(2);
        bytes[ID_LEN + FAMILY_LEN..].fill(3);
        RefreshParts::new(bytes)
    }

    fn begun() -> StoredSession {
        StoredSession::begin(UserId(7), &first(), &POLICY, UnixTime(5_000))
    }

    #[track_caller]
    fn rotated(session: &StoredSession, old: &RefreshParts, new: &RefreshParts) -> StoredSession {
        match session.offer(old, new, &POLICY, UnixTime(5_010)) {
            Offer::GoesOn(session) => session,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refresh_token_is_read_as_it_was_written() {
        let token = first().token();
        assert_eq!(token.as_str().len(), REFRESH_TOKEN_LEN);
        let parts = token.parse().unwrap();
        assert_eq!(parts.session_id, SessionId(u128::from_be_bytes([1; 16])));
        assert_eq!((parts.family, parts.secret), ([2; 16], [3; 32]));
        assert_eq!(parts.token(), token);
    }

    #[test]
    fn texts_of_another_form_are_malformed() {
        let good = first().token();
        let good = good.as_str();
        let (cut, longer, padded) = (&good[1..], format!("{good}AAAA"), format!("{good}=="));
        for text in ["", "x", cut, &longer, &padded, &good.replace('A', "+"), &"ä".repeat(43)] {
            let parsed = RefreshToken::offered(text).parse().map(|parts| parts.token());
            assert_eq!(parsed, Err(TokenError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn each_token_is_good_once_and_an_older_one_is_reused_for_ever() {
        let old: Vec<RefreshParts> = (10..20).map(|secret| first().next([secret; 32])).collect();
        let mut session = begun();
        let mut current = first();
        for next in &old {
            session = rotated(&session, &current, next);
            current = *next;
        }
        let new = first().next([99; 32]);
        for used in old[..9].iter().chain([&first()]) {
            assert_eq!(session.offer(used, &new, &POLICY, UnixTime(5_020)), Offer::Reused);
        }
        assert!(matches!(
            session.offer(&current, &new, &POLICY, UnixTime(5_020)),
            Offer::GoesOn(_)
        ));
    }

    #[test]
    fn whoever_does_not_know_the_family_changes_nothing() {
        let guess = RefreshParts { family: [9; 16], secret: [9; 32], ..first() };
        let stolen_secret = RefreshParts { family: [9; 16], ..first() };
        for offered in [guess, stolen_secret] {
            let offer = begun().offer(&offered, &first().next([4; 32]), &POLICY, UnixTime(5_000));
            assert_eq!(offer, Offer::Refused(TokenError::SessionEnded));
        }
    }

    #[test]
    fn a_session_ends_on_time_however_often_it_is_refreshed() {
        let second = first().next([4; 32]);
        let session = rotated(&begun(), &first(), &second);
        assert_eq!(session.expires_at, UnixTime(6_000));
        let third = first().next([5; 32]);
        let late = session.offer(&second, &third, &POLICY, UnixTime(6_000));
        assert_eq!(late, Offer::Refused(TokenError::Expired));
        let in_time = session.offer(&second, &third, &POLICY, UnixTime(5_999));
        assert!(matches!(in_time, Offer::GoesOn(_)));
    }

    #[test]
    fn an_access_token_outlives_neither_its_time_nor_its_session() {
        let session = begun();
        assert_eq!(session.access_expires_at(&POLICY, UnixTime(5_500)), UnixTime(5_600));
        assert_eq!(session.access_expires_at(&POLICY, UnixTime(5_950)), UnixTime(6_000));
        let endless = SessionPolicy { access_ttl: Duration::MAX, ..POLICY };
        assert_eq!(session.access_expires_at(&endless, UnixTime(5_000)), UnixTime(6_000));
    }

    #[test]
    fn the_end_of_all_access_tokens_is_kept_when_the_policy_becomes_shorter() {
        let long = SessionPolicy { access_ttl: Duration::from_secs(500), ..POLICY };
        let session = StoredSession::begin(UserId(7), &first(), &long, UnixTime(5_000));
        let session = rotated(&session, &first(), &first().next([4; 32]));
        assert_eq!(session.access_until, UnixTime(5_500));
    }

    #[test]
    fn debug_shows_no_secret() {
        let token = first().token();
        let shown = format!("{token:?} {:?}", begun());
        assert!(!shown.contains(token.as_str()) && shown.contains("SecretHash(..)"), "{shown}");
        assert_eq!(format!("{:?}", SessionId(0xab)), format!("SessionId({}ab)", "0".repeat(30)));
    }

    #[test]
    fn what_is_stored_is_sha_256_as_others_compute_it() {
        let hash = SecretHash::of(b"abc").0;
        assert_eq!(hash[..4], [0xba, 0x78, 0x16, 0xbf], "FIPS 180-2, appendix B.1");
        assert!(SecretHash(hash).is_of(b"abc") && !SecretHash(hash).is_of(b"abd"));
    }
}
