//! A signed, expiring proof of who somebody is, checked without asking the store.
//!
//! Form: `base64url(payload) "." base64url(HMAC-SHA256(key, payload))`, both without padding. The
//! payload is 33 bytes: version 2, the user id (64 bits), the session id (128 bits), and the expiry
//! in seconds since the Unix epoch (64 bits), all big-endian.
//!
//! Pure: the time is an argument, so tests own the clock. Usable from any thread. Invariant: no byte
//! of the payload is believed before its signature is proved, in constant time.
//! Absent on purpose: a choice of algorithm inside the token, which is how such formats get broken.

use std::{error::Error, fmt};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{SessionId, TokenKey, UnixTime, UserId};

const VERSION: u8 = 2;
const PAYLOAD_LEN: usize = 1 + 8 + 16 + 8;
const SIGNATURE_LEN: usize = 32;
/// Characters of a token: 33 and 32 bytes in base64url, and the dot between them.
pub const TOKEN_LEN: usize = 44 + 1 + 43;

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

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Who asks.
    pub user_id: UserId,
    /// The log-in that the token comes from.
    pub session_id: SessionId,
    /// From then on the token is refused.
    pub expires_at: UnixTime,
}

/// Makes and checks tokens with one key.
///
/// # Examples
/// ```
/// use shop_auth::{Claims, SessionId, TokenError, TokenKey, TokenSigner, UnixTime, UserId};
///
/// let signer = TokenSigner::new(TokenKey::from_bytes([7; 32]));
/// let claims =
///     Claims { user_id: UserId(42), session_id: SessionId(1), expires_at: UnixTime(1_000) };
/// let token = signer.sign(&claims);
/// assert_eq!(signer.verify(token.as_str(), UnixTime(999)), Ok(claims));
/// assert_eq!(signer.verify(token.as_str(), UnixTime(1_000)), Err(TokenError::Expired));
/// ```
#[derive(Clone, Debug)]
pub struct TokenSigner {
    key: TokenKey,
}

impl TokenSigner {
    /// A signer with this key.
    pub fn new(key: TokenKey) -> TokenSigner {
        TokenSigner { key }
    }

    /// Makes a token for a user who has just proved who they are.
    pub fn sign(&self, claims: &Claims) -> Token {
        let payload = encode(claims);
        let signature = self.mac(&payload).finalize().into_bytes();
        Token(format!(
            "{}.{}",
            Base64UrlUnpadded::encode_string(&payload),
            Base64UrlUnpadded::encode_string(&signature)
        ))
    }

    /// Says what the token says, if it is ours and its time is not over. Whether its session was
    /// ended since then is not known here.
    ///
    /// # Errors
    /// [`TokenError::Malformed`], [`TokenError::BadSignature`] or [`TokenError::Expired`]; the first
    /// of them that holds.
    pub fn verify(&self, token: &str, now: UnixTime) -> Result<Claims, TokenError> {
        let (payload, signature) = split(token).ok_or(TokenError::Malformed)?;
        self.mac(&payload).verify_slice(&signature).map_err(|_| TokenError::BadSignature)?;
        let claims = decode(&payload).ok_or(TokenError::Malformed)?;
        if now >= claims.expires_at {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }

    fn mac(&self, payload: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(payload);
        mac
    }
}

/// Why a token proves nothing, be it an access token or a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TokenError {
    /// Not a text of a token's form, or of a version that we do not know.
    Malformed,
    /// Not signed with our key: forged, changed, or older than the key.
    BadSignature,
    /// It was ours, and its time is over. An access token: refresh it. A refresh token: log in.
    Expired,
    /// Its session was ended: by a log-out, by newer log-ins, or since a refresh token of it was
    /// used twice. Log in again.
    SessionEnded,
    /// A refresh token that was used before, so somebody else may have it. Its session has been
    /// ended. Log in again.
    Reused,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenError::Malformed => "the token is malformed",
            TokenError::BadSignature => "the token's signature is wrong",
            TokenError::Expired => "the token has expired",
            TokenError::SessionEnded => "the token's session has ended; log in again",
            TokenError::Reused => "the refresh token was used before; log in again",
        })
    }
}

impl Error for TokenError {}

fn encode(claims: &Claims) -> [u8; PAYLOAD_LEN] {
    let mut payload = [VERSION; PAYLOAD_LEN];
    payload[1..9].copy_from_slice(&claims.user_id.0.to_be_bytes());
    payload[9..25].copy_from_slice(&claims.session_id.0.to_be_bytes());
    payload[25..].copy_from_slice(&claims.expires_at.0.to_be_bytes());
    payload
}

fn decode(payload: &[u8; PAYLOAD_LEN]) -> Option<Claims> {
    let (version, rest) = payload.split_first()?;
    let (user_id, rest) = rest.split_first_chunk()?;
    let (session_id, expires_at) = rest.split_first_chunk()?;
    let claims = Claims {
        user_id: UserId(u64::from_be_bytes(*user_id)),
        session_id: SessionId(u128::from_be_bytes(*session_id)),
        expires_at: UnixTime(u64::from_be_bytes(expires_at.try_into().ok()?)),
    };
    (*version == VERSION).then_some(claims)
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

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIMS: Claims =
        Claims { user_id: UserId(7), session_id: SessionId(9), expires_at: UnixTime(1_060) };
    const NOW: UnixTime = UnixTime(1_000);

    fn signer(key: u8) -> TokenSigner {
        TokenSigner::new(TokenKey::from_bytes([key; 32]))
    }

    #[test]
    fn a_token_is_good_until_the_second_it_expires() {
        let claims =
            Claims { user_id: UserId(u64::MAX), session_id: SessionId(u128::MAX), ..CLAIMS };
        let token = signer(1).sign(&claims);
        let verify = |now| signer(1).verify(token.as_str(), UnixTime(now));
        assert_eq!(token.as_str().len(), TOKEN_LEN);
        assert_eq!(verify(1_000), Ok(claims));
        assert_eq!(verify(1_059), Ok(claims));
        assert_eq!(verify(1_060), Err(TokenError::Expired));
        assert_eq!(verify(u64::MAX), Err(TokenError::Expired));
    }

    #[test]
    fn another_key_is_a_bad_signature_even_when_expired() {
        let token = signer(1).sign(&CLAIMS);
        for now in [NOW, UnixTime(9_000)] {
            assert_eq!(signer(2).verify(token.as_str(), now), Err(TokenError::BadSignature));
        }
    }

    #[test]
    fn any_changed_character_is_refused() {
        let token = signer(1).sign(&CLAIMS).as_str().to_owned();
        for index in 0..token.len() {
            for replacement in ['A', 'B', '_', '.', '=', ' '] {
                let mut changed: Vec<char> = token.chars().collect();
                if changed[index] == replacement {
                    continue;
                }
                changed[index] = replacement;
                let changed: String = changed.into_iter().collect();
                let error = signer(1).verify(&changed, NOW).unwrap_err();
                assert_ne!(error, TokenError::Expired, "{changed}");
            }
        }
    }

    #[test]
    fn texts_of_another_form_are_malformed() {
        let good = signer(1).sign(&CLAIMS).as_str().to_owned();
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
            assert_eq!(signer(1).verify(text, NOW), Err(TokenError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn an_unknown_version_is_malformed_though_signed() {
        let signer = signer(1);
        let mut payload = encode(&CLAIMS);
        payload[0] = 1;
        let signature = signer.mac(&payload).finalize().into_bytes();
        let token = format!(
            "{}.{}",
            Base64UrlUnpadded::encode_string(&payload),
            Base64UrlUnpadded::encode_string(&signature)
        );
        assert_eq!(signer.verify(&token, NOW), Err(TokenError::Malformed));
    }

    #[test]
    fn the_signature_is_hmac_sha256_as_others_compute_it() {
        // python3: hmac.new(bytes([1])*32, bytes([2])+struct.pack(">QQQQ", 7, 0, 9, 1060), "sha256")
        let token = signer(1).sign(&CLAIMS);
        assert_eq!(
            token.as_str(),
            "AgAAAAAAAAAHAAAAAAAAAAAAAAAAAAAACQAAAAAAAAQk.LyT_cTXwtlLst-3Q9UImYVPtQ4rDRst-2_ayrgGbJVg"
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        let token = signer(1).sign(&CLAIMS);
        assert_eq!(format!("{token:?}"), "Token(..)");
        assert!(!format!("{:?}", signer(1)).contains("1, 1"));
    }
}
