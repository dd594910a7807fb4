//! Who a user is: id, name with its rules, and what is stored.
//!
//! Plain values, usable from any thread. Invariant: a [`UserName`] obeys its rules from the moment it
//! exists, also when it comes out of a deserializer.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

use crate::{PasswordHash, UnixTime};

/// Fewest characters of a user name.
pub const NAME_LEN_MIN: usize = 3;
/// Most characters of a user name.
pub const NAME_LEN_MAX: usize = 32;

/// A user of the shop, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Given by the store.
    pub id: UserId,
    /// Unique in the store.
    pub name: UserName,
    /// Proves the password.
    pub password_hash: PasswordHash,
    /// When it was registered.
    pub created_at: UnixTime,
}

/// Identifies an account for ever: ids are given out once, from 1 upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub u64);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A person's name in the shop: 3 to 32 of `a-z`, `0-9`, `.`, `_`, `-`, the first one a letter.
///
/// Upper-case letters are folded to lower case, so that `Ada` and `ada` are one account.
///
/// # Examples
/// ```
/// use shop_auth::UserName;
/// assert_eq!(UserName::new("Ada.Lovelace").unwrap().as_str(), "ada.lovelace");
/// assert!(UserName::new("4da").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

impl UserName {
    /// Checks the rules and folds the case.
    ///
    /// # Errors
    /// The first rule that the name breaks.
    pub fn new(name: &str) -> Result<UserName, UserNameError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if let Some(character) = name.chars().find(|c| !allowed(*c)) {
            return Err(UserNameError::Character { character });
        }
        if !(NAME_LEN_MIN..=NAME_LEN_MAX).contains(&name.len()) {
            return Err(UserNameError::Length { len: name.len() });
        }
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(UserNameError::FirstCharacter);
        }
        Ok(UserName(name.to_ascii_lowercase()))
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for UserName {
    type Error = UserNameError;

    fn try_from(name: String) -> Result<UserName, UserNameError> {
        UserName::new(&name)
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> String {
        name.0
    }
}

/// Why a text cannot be a user name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum UserNameError {
    /// Shorter than [`NAME_LEN_MIN`] or longer than [`NAME_LEN_MAX`].
    Length {
        /// Its characters.
        len: usize,
    },
    /// A character that is not a letter, a digit, `.`, `_` or `-`.
    Character {
        /// The first such character.
        character: char,
    },
    /// It does not begin with a letter.
    FirstCharacter,
}

impl fmt::Display for UserNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserNameError::Length { len } => {
                write!(f, "a user name has {NAME_LEN_MIN} to {NAME_LEN_MAX} characters, not {len}")
            }
            UserNameError::Character { character } => write!(
                f,
                "a user name is made of letters, digits, '.', '_' and '-', not {character:?}"
            ),
            UserNameError::FirstCharacter => f.write_str("a user name begins with a letter"),
        }
    }
}

impl Error for UserNameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_are_checked_and_folded() {
        for (name, expected) in [
            ("ada", Ok("ada")),
            ("Ada.L_9-x", Ok("ada.l_9-x")),
            ("ab", Err(UserNameError::Length { len: 2 })),
            (&"a".repeat(32), Ok("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")),
            (&"a".repeat(33), Err(UserNameError::Length { len: 33 })),
            ("", Err(UserNameError::Length { len: 0 })),
            ("9ada", Err(UserNameError::FirstCharacter)),
            ("ada l", Err(UserNameError::Character { character: ' ' })),
            ("adä", Err(UserNameError::Character { character: 'ä' })),
        ] {
            let got = UserName::new(name);
            assert_eq!(got.as_ref().map(UserName::as_str), expected.as_ref().copied(), "{name:?}");
        }
    }

    #[test]
    fn rules_hold_for_deserialized_names() {
        assert!(serde_json::from_str::<UserName>("\"x\"").is_err());
        let name: UserName = serde_json::from_str("\"Ada\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"ada\"");
    }
}
