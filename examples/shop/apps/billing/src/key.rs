//! Idempotency keys: how a client names a movement of money, so that it is made once.
//!
//! A plain value that travels in messages and as JSON. Invariant: an [`IdempotencyKey`] obeys its
//! rules from the moment it exists.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

/// Most characters of an idempotency key.
pub const IDEMPOTENCY_KEY_LEN_MAX: usize = 128;

/// A user's own name for one payment or refund: within the key's life span the same key is the same
/// movement of money, however often it is sent. 1 to 128 visible ASCII characters.
///
/// Keys belong to their user: two users may use the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Checks the rules.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn new(key: &str) -> Result<IdempotencyKey, IdempotencyKeyError> {
        if key.is_empty() || key.len() > IDEMPOTENCY_KEY_LEN_MAX {
            return Err(IdempotencyKeyError::Length);
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(IdempotencyKeyError::Character);
        }
        Ok(IdempotencyKey(key.to_owned()))
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = IdempotencyKeyError;

    fn try_from(key: String) -> Result<IdempotencyKey, IdempotencyKeyError> {
        IdempotencyKey::new(&key)
    }
}

impl From<IdempotencyKey> for String {
    fn from(key: IdempotencyKey) -> String {
        key.0
    }
}

/// Why a text cannot be an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum IdempotencyKeyError {
    /// Empty, or longer than [`IDEMPOTENCY_KEY_LEN_MAX`].
    Length,
    /// A blank, a control character or a character outside of ASCII.
    Character,
}

impl fmt::Display for IdempotencyKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdempotencyKeyError::Length => {
                write!(f, "an idempotency key has 1 to {IDEMPOTENCY_KEY_LEN_MAX} characters")
            }
            IdempotencyKeyError::Character => {
                f.write_str("an idempotency key is made of visible ASCII characters")
            }
        }
    }
}

impl Error for IdempotencyKeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idempotency_keys_are_checked_also_when_deserialized() {
        use IdempotencyKeyError::{Character, Length};
        for (key, expected) in [
            ("order-77", Ok(())),
            (&"k".repeat(128), Ok(())),
            (&"k".repeat(129), Err(Length)),
            ("", Err(Length)),
            ("a b", Err(Character)),
            ("a\n", Err(Character)),
            ("ä", Err(Character)),
        ] {
            assert_eq!(IdempotencyKey::new(key).map(|_| ()), expected, "{key:?}");
            let json = serde_json::to_string(key).unwrap();
            let read = serde_json::from_str::<IdempotencyKey>(&json);
            assert_eq!(read.is_ok(), expected.is_ok(), "{key:?}");
        }
    }
}
