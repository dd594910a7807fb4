//! A signed, expiring proof of who somebody is, checked without asking the store.
//!
//! Form: `base64url(payload) "." base64url(HMAC-SHA256(key, payload))`, both without padding. The
//! payload is 17 bytes: version 1, then the user id and the expiry in seconds since the Unix epoch,
//! both 64 bits big-endian.
//!
//! Pure: the time is an argument, so tests own the clock. Usable from any thread. Invariant: no byte
//! of the payload is believed before its signature is proved, in constant time.
//! Absent on purpose: a choice of algorithm inside the token, which is how such formats get broken.

use std::{
    error::Error,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{TokenKey, UserId};

const VERSION: u8 = 1;
const PAYLOAD_LEN: usize = 1 + 8 + 8;
const SIGNATURE_LEN: usize = 32;
/// Characters of a token: 17 and 32 bytes in base64url, and the dot between them.
pub const TOKEN_LEN: usize = 23 + 1 + 43;

/// A token's text. It stands for a password until it expires, so its `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// The text to give to the user.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Makes and checks tokens with one key and one time to live.
///
/// # Examples
/// ```
/// use std::time::{Duration, SystemTime};
/// use shop_auth::{TokenError, TokenKey, TokenSigner, UserId};
///
/// let signer = TokenSigner::new(TokenKey::from_bytes([7; 32]), Duration::from_secs(3600));
/// let now = SystemTime::now();
/// let token = signer.issue(UserId(42), now);
/// assert_eq!(signer.verify(token.as_str(), now), Ok(UserId(42)));
/// let later = now + Duration::from_secs(3601);
/// assert_eq!(signer.verify(token.as_str(), later), Err(TokenError::Expired));
/// ```
#[derive(Clone, Debug)]
pub struct TokenSigner {
    key: TokenKey,
    ttl: Duration,
}

impl TokenSigner {
    /// Tokens of this signer live for `ttl`, counted in whole seconds.
    pub fn new(key: TokenKey, ttl: Duration) -> TokenSigner {
        TokenSigner { key, ttl }
    }

    /// Makes a token for a user who has just proved who they are.
    pub fn issue(&self, user_id: UserId, now: SystemTime) -> Token {
        let expires_at = unix_secs(now).saturating_add(self.ttl.as_secs());
        let payload = encode(user_id, expires_at);
        let signature = self.mac(&payload).finalize().into_bytes();
        Token(format!(
            "{}.{}",
            Base64UrlUnpadded::encode_string(&payload),
            Base64UrlUnpadded::encode_string(&signature)
        ))
    }

    /// Says whose token it is.
    ///
    /// # Errors
    /// [`TokenError`]; the first of its variants that holds, in their order.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<UserId, TokenError> {
        let (payload, signature) = split(token).ok_or(TokenError::Malformed)?;
        self.mac(&payload).verify_slice(&signature).map_err(|_| TokenError::BadSignature)?;
        let (user_id, expires_at) = decode(&payload).ok_or(TokenError::Malformed)?;
        if unix_secs(now) >= expires_at {
            return Err(TokenError::Expired);
        }
        Ok(user_id)
    }

    fn mac(&self, payload: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(payload);
        mac
    }
}

/// Why a token proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TokenError {
    /// Not a text of a token's form, or of a version that we do not know.
    Malformed,
    /// Not signed with our key: forged, changed, or older than the key.
    BadSignature,
    /// It was ours, and its time is over. Log in again.
    Expired,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenError::Malformed => "the token is malformed",
            TokenError::BadSignature => "the token's signature is wrong",
            TokenError::Expired => "the token has expired",
        })
    }
}

impl Error for TokenError {}

fn encode(user_id: UserId, expires_at: u64) -> [u8; PAYLOAD_LEN] {
    let mut payload = [VERSION; PAYLOAD_LEN];
    payload[1..9].copy_from_slice(&user_id.0.to_be_bytes());
    payload[9..].copy_from_slice(&expires_at.to_be_bytes());
    payload
}

fn decode(payload: &[u8; PAYLOAD_LEN]) -> Option<(UserId, u64)> {
    let (version, numbers) = payload.split_first()?;
    let (user_id, expires_at) = numbers.split_first_chunk::<8>()?;
    let user_id = UserId(u64::from_be_bytes(*user_id));
    let expires_at = u64::from_be_bytes(expires_at.try_into().ok()?);
    (*version == VERSION).then_some((user_id, expires_at))
}

fn split(token: &str) -> Option<([u8; PAYLOAD_LEN], [u8; SIGNATURE_LEN])> {
    let (payload, signature) = token.split_once('.')?;
    Some((decode_exactly(payload)?, decode_exactly(signature)?))
}

fn decode_exactly<const LEN: usize>(text: &str) -> Option<[u8; LEN]> {
    let mut bytes = [0; LEN];
    let decoded = Base64UrlUnpadded::decode(text, &mut bytes).ok()?.len();
    (decoded == LEN).then_some(bytes)
}

/// A clock before 1970 counts as 1970.
fn unix_secs(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    fn signer(key: u8) -> TokenSigner {
        TokenSigner::new(TokenKey::from_bytes([key; 32]), TTL)
    }

    fn at(secs: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn a_token_is_good_until_the_second_it_expires() {
        let token = signer(1).issue(UserId(u64::MAX), at(1_000));
        let verify = |now| signer(1).verify(token.as_str(), at(now));
        assert_eq!(token.as_str().len(), TOKEN_LEN);
        assert_eq!(verify(1_000), Ok(UserId(u64::MAX)));
        assert_eq!(verify(1_059), Ok(UserId(u64::MAX)));
        assert_eq!(verify(1_060), Err(TokenError::Expired));
        assert_eq!(verify(u64::from(u32::MAX)), Err(TokenError::Expired));
    }

    #[test]
    fn another_key_is_a_bad_signature_even_when_expired() {
        let token = signer(1).issue(UserId(7), at(1_000));
        for now in [1_000, 9_000] {
            assert_eq!(signer(2).verify(token.as_str(), at(now)), Err(TokenError::BadSignature));
        }
    }

    #[test]
    fn any_changed_character_is_refused() {
        let token = signer(1).issue(UserId(7), at(1_000)).as_str().to_owned();
        for index in 0..token.len() {
            for replacement in ['A', 'B', '_', '.', '=', ' '] {
                let mut changed: Vec<char> = token.chars().collect();
                if changed[index] == replacement {
                    continue;
                }
                changed[index] = replacement;
                let changed: String = changed.into_iter().collect();
                let error = signer(1).verify(&changed, at(1_000)).unwrap_err();
                assert_ne!(error, TokenError::Expired, "{changed}");
            }
        }
    }

    #[test]
    fn texts_of_another_form_are_malformed() {
        let good = signer(1).issue(UserId(7), at(1_000)).as_str().to_owned();
        let (payload, signature) = good.split_once('.').unwrap();
        for text in [
            "",
            ".",
            "x",
            "a.b.c",
            payload,
            &format!("{payload}."),
            &format!(".{signature}"),
            &format!("{payload}.{payload}"),
            &format!("{signature}.{signature}"),
            &format!("{good}="),
            &format!("{good}\n"),
            &format!(" {good}"),
            &"A".repeat(10_000),
            "ä.ö",
        ] {
            assert_eq!(signer(1).verify(text, at(1_000)), Err(TokenError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn an_unknown_version_is_malformed_though_signed() {
        let signer = signer(1);
        let mut payload = encode(UserId(7), 2_000);
        payload[0] = 2;
        let signature = signer.mac(&payload).finalize().into_bytes();
        let token = format!(
            "{}.{}",
            Base64UrlUnpadded::encode_string(&payload),
            Base64UrlUnpadded::encode_string(&signature)
        );
        assert_eq!(signer.verify(&token, at(1_000)), Err(TokenError::Malformed));
    }

    #[test]
    fn an_endless_time_to_live_does_not_overflow() {
        let signer = TokenSigner::new(TokenKey::from_bytes([1; 32]), Duration::MAX);
        let token = signer.issue(UserId(7), at(1_000));
        assert_eq!(signer.verify(token.as_str(), at(2_000)), Ok(UserId(7)));
    }

    #[test]
    fn the_signature_is_hmac_sha256_as_others_compute_it() {
        // python3: hmac.new(bytes([1])*32, bytes([1])+struct.pack(">QQ", 7, 1060), "sha256")
        let token = signer(1).issue(UserId(7), at(1_000));
        assert_eq!(
            token.as_str(),
            "AQAAAAAAAAAHAAAAAAAABCQ.HnKrDWcbfWhWAEAULbq2U-joxQHyUIC0MxJ7slaohNE"
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        let token = signer(1).issue(UserId(7), at(1_000));
        assert_eq!(format!("{token:?}"), "Token(..)");
        assert!(!format!("{:?}", signer(1)).contains("1, 1"));
    }
}
