//! Passwords: the rules for setting one, its argon2id hash, the check at log-in.
//!
//! Usable from any thread; hashing and checking are slow on purpose, so a process does them on the
//! blocking pool. Invariants: a [`Password`] obeys its rules and a [`PasswordHash`] is a well-formed
//! argon2id string from the moment they exist, also when they come out of a deserializer; neither
//! shows itself in `Debug`.
//! Absent on purpose: composition rules ("one digit, one symbol"), which make passwords worse
//! (NIST SP 800-63B), and any way to get a password back out of a hash.

use std::{error::Error, fmt};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc},
};
use serde::{Deserialize, Serialize};

use crate::UserName;

/// Fewest characters of a password.
pub const PASSWORD_LEN_MIN: usize = 8;
/// Most bytes of a password. Long enough for any passphrase, short enough to be read from a form.
pub const PASSWORD_BYTES_MAX: usize = 256;

/// A password that may be set: at least 8 characters, at most 256 bytes, any characters.
///
/// Only *setting* a password needs this type; a log-in attempt is plain text, since the rules may
/// have been looser when the account was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Password(String);

impl Password {
    /// Checks the rules.
    ///
    /// # Errors
    /// The first rule that the password breaks.
    pub fn new(password: &str) -> Result<Password, PasswordError> {
        if password.chars().count() < PASSWORD_LEN_MIN {
            return Err(PasswordError::TooShort);
        }
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(PasswordError::TooLong);
        }
        Ok(Password(password.to_owned()))
    }

    /// Refuses the user's own name as the password, in any case.
    ///
    /// # Errors
    /// [`PasswordError::SameAsName`].
    pub fn check_against(&self, name: &UserName) -> Result<(), PasswordError> {
        if self.0.eq_ignore_ascii_case(name.as_str()) {
            return Err(PasswordError::SameAsName);
        }
        Ok(())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl TryFrom<String> for Password {
    type Error = PasswordError;

    fn try_from(password: String) -> Result<Password, PasswordError> {
        Password::new(&password)
    }
}

impl From<Password> for String {
    fn from(password: Password) -> String {
        password.0
    }
}

/// Why a text cannot be a password. Never contains the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PasswordError {
    /// Fewer than [`PASSWORD_LEN_MIN`] characters.
    TooShort,
    /// More than [`PASSWORD_BYTES_MAX`] bytes.
    TooLong,
    /// The user's own name.
    SameAsName,
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PasswordError::TooShort => {
                write!(f, "a password has at least {PASSWORD_LEN_MIN} characters")
            }
            PasswordError::TooLong => {
                write!(f, "a password has at most {PASSWORD_BYTES_MAX} bytes")
            }
            PasswordError::SameAsName => f.write_str("the password is the user name"),
        }
    }
}

impl Error for PasswordError {}

/// An argon2id hash in the PHC form `$argon2id$v=19$m=..,t=..,p=..$salt$hash`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The PHC text, for storing it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

impl TryFrom<String> for PasswordHash {
    type Error = PasswordHashError;

    fn try_from(text: String) -> Result<PasswordHash, PasswordHashError> {
        let parsed = phc::PasswordHash::new(&text).map_err(|_| PasswordHashError::Malformed)?;
        let complete = parsed.salt.is_some() && parsed.hash.is_some();
        if parsed.algorithm != Algorithm::Argon2id.ident() || !complete {
            return Err(PasswordHashError::Malformed);
        }
        Ok(PasswordHash(text))
    }
}

impl From<PasswordHash> for String {
    fn from(hash: PasswordHash) -> String {
        hash.0
    }
}

/// Why there is no password hash. Never contains the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PasswordHashError {
    /// The text is not a complete argon2id PHC string.
    Malformed,
    /// The cost is outside of what argon2 allows.
    Cost,
    /// The operating system gave no randomness for the salt, or no memory was to be had.
    Failed(String),
}

impl fmt::Display for PasswordHashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PasswordHashError::Malformed => f.write_str("not an argon2id hash"),
            PasswordHashError::Cost => f.write_str("the hash cost is outside of argon2's limits"),
            PasswordHashError::Failed(why) => write!(f, "the password could not be hashed: {why}"),
        }
    }
}

impl Error for PasswordHashError {}

/// How much work one guess costs an attacker, and one log-in costs us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HashCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for HashCost {
    /// OWASP's advice for argon2id: 19 MiB, 2 passes, 1 lane.
    fn default() -> HashCost {
        HashCost { memory_kib: 19 * 1024, passes: 2, lanes: 1 }
    }
}

impl HashCost {
    /// The least that argon2 allows. For tests alone.
    pub const CHEAPEST: HashCost = HashCost { memory_kib: 8, passes: 1, lanes: 1 };
}

/// Hashes passwords and checks them, at one cost.
///
/// Cheap to clone and to share; each call takes [`HashCost::memory_kib`] for its duration, so the
/// number of calls at a time is the memory limit.
///
/// # Examples
/// ```
/// use shop_auth::{HashCost, Password, PasswordHasher};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hasher = PasswordHasher::new(HashCost::CHEAPEST)?;
/// let hash = hasher.hash_password(&Password::new("correct horse")?)?;
/// assert!(hasher.verify_password("correct horse", Some(&hash)));
/// assert!(!hasher.verify_password("wrong horse", Some(&hash)));
/// assert!(!hasher.verify_password("correct horse", None)); // no such user; takes as long
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PasswordHasher {
    argon2: Argon2<'static>,
    decoy: PasswordHash,
}

impl PasswordHasher {
    /// Makes a hasher of one cost.
    ///
    /// # Errors
    /// [`PasswordHashError::Cost`].
    pub fn new(cost: HashCost) -> Result<PasswordHasher, PasswordHashError> {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None)
            .map_err(|_| PasswordHashError::Cost)?;
        Ok(PasswordHasher {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            decoy: decoy(cost)?,
        })
    }

    /// Hashes with a fresh random salt. Slow; call it on the blocking pool.
    ///
    /// # Errors
    /// [`PasswordHashError::Failed`] when the system has no randomness.
    pub fn hash_password(&self, password: &Password) -> Result<PasswordHash, PasswordHashError> {
        let hash: phc::PasswordHash = self
            .argon2
            .hash_password(password.0.as_bytes())
            .map_err(|error| PasswordHashError::Failed(error.to_string()))?;
        Ok(PasswordHash(hash.to_string()))
    }

    /// Says whether the password belongs to the hash. Slow; call it on the blocking pool.
    ///
    /// Pass `None` for a user who does not exist: the same work is done against a decoy and the
    /// answer is `false`, so the time of an answer does not tell which names have accounts.
    /// Hashes are compared in constant time.
    pub fn verify_password(&self, password: &str, hash: Option<&PasswordHash>) -> bool {
        let PasswordHash(text) = hash.unwrap_or(&self.decoy);
        let parsed = phc::PasswordHash::new(text)
            .expect("a PasswordHash is parsed when it is made, and never changes");
        let matches = self.argon2.verify_password(password.as_bytes(), &parsed).is_ok();
        matches && hash.is_some()
    }
}

impl fmt::Debug for PasswordHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHasher")
            .field("params", self.argon2.params())
            .finish_non_exhaustive()
    }
}

/// A hash that costs as much as a real one and that nobody knows a password for.
fn decoy(cost: HashCost) -> Result<PasswordHash, PasswordHashError> {
    let HashCost { memory_kib, passes, lanes } = cost;
    let salt = "c2hvcC1kZWNveS1zYWx0IQ"; // a decoy's salt is no secret
    let hash = "A".repeat(43); // 32 zero bytes
    PasswordHash::try_from(format!(
        "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher() -> PasswordHasher {
        PasswordHasher::new(HashCost::CHEAPEST).unwrap()
    }

    #[test]
    fn passwords_are_checked() {
        for (password, expected) in [
            ("1234567", Err(PasswordError::TooShort)),
            ("12345678", Ok(())),
            ("ääääääää", Ok(())), // characters count, not bytes
            (&"x".repeat(256), Ok(())),
            (&"x".repeat(257), Err(PasswordError::TooLong)),
        ] {
            assert_eq!(Password::new(password).map(|_| ()), expected);
        }
        let name = UserName::new("ada.lovelace").unwrap();
        let same = Password::new("Ada.Lovelace").unwrap();
        assert_eq!(same.check_against(&name), Err(PasswordError::SameAsName));
    }

    #[test]
    fn a_password_is_verified_against_its_hash_alone() {
        let hasher = hasher();
        let first = Password::new("correct horse").unwrap();
        let hash = hasher.hash_password(&first).unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
        assert!(hasher.verify_password("correct horse", Some(&hash)));
        for wrong in ["", "correct hors", "Correct horse", "correct horse "] {
            assert!(!hasher.verify_password(wrong, Some(&hash)), "{wrong:?}");
        }
        let again = hasher.hash_password(&first).unwrap();
        assert_ne!(hash, again, "each hash has its own salt");
    }

    #[test]
    fn an_unknown_user_is_refused_by_the_same_work() {
        let hasher = hasher();
        assert!(!hasher.verify_password("correct horse", None));
        // The work is set by the parameters in the PHC text: they are those of a real hash.
        let real = hasher.hash_password(&Password::new("correct horse").unwrap()).unwrap();
        let cost = |hash: &PasswordHash| hash.0.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(cost(&real), cost(&hasher.decoy));
        assert_eq!(real.0.len(), hasher.decoy.0.len());
    }

    #[test]
    fn an_older_cost_still_verifies() {
        let old = PasswordHasher::new(HashCost { passes: 2, ..HashCost::CHEAPEST }).unwrap();
        let hash = old.hash_password(&Password::new("correct horse").unwrap()).unwrap();
        assert!(hasher().verify_password("correct horse", Some(&hash)));
    }

    #[test]
    fn an_impossible_cost_is_an_error() {
        let cost = HashCost { memory_kib: 1, ..HashCost::default() };
        assert_eq!(PasswordHasher::new(cost).unwrap_err(), PasswordHashError::Cost);
    }

    #[test]
    fn incomplete_or_foreign_hashes_are_malformed() {
        for text in [
            "",
            "$argon2id$v=19$m=8,t=1,p=1",
            "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(
                PasswordHash::try_from(text.to_owned()).unwrap_err(),
                PasswordHashError::Malformed
            );
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let hasher = hasher();
        let password = Password::new("correct horse").unwrap();
        let hash = hasher.hash_password(&password).unwrap();
        let shown = format!("{password:?} {hash:?} {hasher:?}");
        assert!(!shown.contains("correct") && !shown.contains("$argon2id"));
    }

    #[test]
    fn rules_hold_for_deserialized_values() {
        assert!(serde_json::from_str::<Password>("\"short\"").is_err());
        assert!(serde_json::from_str::<PasswordHash>("\"plain\"").is_err());
    }
}
