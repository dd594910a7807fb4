//! Passwords: the rules for setting one, its argon2id hash, the check at log-in.
//!
//! Usable from any thread; hashing and checking are slow on purpose, so a process does them on the
//! blocking pool. Invariants: a [`Password`] obeys its rules and a [`PasswordHash`] is a well-formed
//! argon2id string from the moment they exist, also when they come out of a deserializer; neither
//! shows itself in `Debug`.
//!
//! The rules are those of NIST SP 800-63B: a least length, any characters, none of the passwords that
//! everybody tries first (`password/common.txt`), not the user's own name; Unicode is brought to one
//! form (NFKC), so that the same keys on another keyboard give the same password.
//! Absent on purpose: composition rules ("one digit, one symbol"), which make passwords worse (the
//! same source), and any way to get a password back out of a hash.

use std::{cmp::Ordering, collections::BTreeSet, error::Error, fmt};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc},
};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

use crate::UserName;

/// Fewest characters of a password.
pub const PASSWORD_LEN_MIN: usize = 8;
/// Most bytes of a password. Long enough for any passphrase, short enough to be read from a form.
pub const PASSWORD_BYTES_MAX: usize = 256;

/// Fewest characters that differ from each other.
pub const PASSWORD_DISTINCT_MIN: usize = 4;
/// Fewest characters of a password beside the user's name in it.
pub const PASSWORD_BESIDE_NAME_MIN: usize = 4;

/// Common passwords of at least [`PASSWORD_LEN_MIN`] characters, one a line, in lower case, sorted.
/// From the list of 20,000 that Royce Williams made and Django ships (`common.txt.license`).
const COMMON: &str = include_str!("password/common.txt");

/// A password that may be set: at least 8 characters, at most 256 bytes, of any characters, four of
/// them different, and not a common one.
///
/// Only *setting* a password needs this type; a log-in attempt is plain text, since the rules may
/// have been looser when the account was made.
///
/// # Examples
/// ```
/// use shop_auth::{Password, PasswordError};
/// assert!(Password::new("correct horse").is_ok());
/// assert_eq!(Password::new("Password123").unwrap_err(), PasswordError::Common);
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Password(String);

impl Password {
    /// Checks the rules and brings the text to its one form.
    ///
    /// # Errors
    /// The first rule that the password breaks.
    pub fn new(password: &str) -> Result<Password, PasswordError> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(PasswordError::TooLong);
        }
        let password = normal_form(password);
        if password.chars().count() < PASSWORD_LEN_MIN {
            return Err(PasswordError::TooShort);
        }
        let folded = password.to_lowercase();
        if folded.chars().collect::<BTreeSet<_>>().len() < PASSWORD_DISTINCT_MIN {
            return Err(PasswordError::Monotonous);
        }
        if is_common(&folded) {
            return Err(PasswordError::Common);
        }
        Ok(Password(password))
    }

    /// Refuses the user's own name as the password, in any case, repeated, or with a few characters
    /// more.
    ///
    /// # Errors
    /// [`PasswordError::SameAsName`].
    pub fn check_against(&self, name: &UserName) -> Result<(), PasswordError> {
        let rest = self.0.to_lowercase().replace(name.as_str(), "");
        if rest.chars().count() < PASSWORD_BESIDE_NAME_MIN {
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
    /// Fewer than [`PASSWORD_DISTINCT_MIN`] different characters.
    Monotonous,
    /// One of those that everybody tries first.
    Common,
    /// The user's own name, and fewer than [`PASSWORD_BESIDE_NAME_MIN`] characters beside it.
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
            PasswordError::Monotonous => {
                write!(f, "a password has at least {PASSWORD_DISTINCT_MIN} different characters")
            }
            PasswordError::Common => f.write_str("the password is one of the most common ones"),
            PasswordError::SameAsName => {
                f.write_str("the password is the user name, or hardly more")
            }
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
    /// Hashes are compared in constant time. The work is that of the hash's cost: after a change of
    /// the configured one, older accounts take as long as before, and can so be told from the decoy.
    /// A text that is longer than any password is wrong, and costs no more than others.
    pub fn verify_password(&self, password: &str, hash: Option<&PasswordHash>) -> bool {
        let PasswordHash(text) = hash.unwrap_or(&self.decoy);
        let parsed = phc::PasswordHash::new(text)
            .expect("a PasswordHash is parsed when it is made, and never changes");
        let is_possible = password.len() <= PASSWORD_BYTES_MAX;
        let password = normal_form(if is_possible { password } else { "" });
        let matches = self.argon2.verify_password(password.as_bytes(), &parsed).is_ok();
        matches && is_possible && hash.is_some()
    }
}

impl fmt::Debug for PasswordHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHasher")
            .field("params", self.argon2.params())
            .finish_non_exhaustive()
    }
}

fn normal_form(password: &str) -> String {
    password.nfkc().collect()
}

/// Looks a password in lower case up in the list, whose lines are sorted.
fn is_common(password: &str) -> bool {
    let (mut from, mut to) = (0, COMMON.len());
    while from < to {
        let middle = from + (to - from) / 2;
        let line_from = COMMON[..middle].rfind('\n').map_or(0, |end| end + 1);
        let line_to = COMMON[middle..].find('\n').map_or(COMMON.len(), |end| middle + end);
        match COMMON[line_from..line_to].cmp(password) {
            Ordering::Equal => return true,
            Ordering::Less => from = line_to + 1,
            Ordering::Greater => to = line_from,
        }
    }
    false
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
            ("horse12", Err(PasswordError::TooShort)),
            ("horse 12", Ok(())),
            ("äöüßäöüß", Ok(())), // characters count, not bytes
            (&"correct horse ".repeat(18), Ok(())),
            (&"x".repeat(257), Err(PasswordError::TooLong)),
            (&"x".repeat(256), Err(PasswordError::Monotonous)),
            ("ababABAB", Err(PasswordError::Monotonous)),
            ("abcabcabc", Err(PasswordError::Monotonous)),
            ("abcdabcdab", Ok(())),
            ("12345678", Err(PasswordError::Common)),
            ("PassWord", Err(PasswordError::Common)),
            ("ｐａｓｓｗｏｒｄ", Err(PasswordError::Common)), // full-width letters
        ] {
            assert_eq!(Password::new(password).map(|_| ()), expected, "{password}");
        }
    }

    #[test]
    fn the_users_name_is_no_password() {
        for (name, password, expected) in [
            ("ada.lovelace", "Ada.Lovelace", Err(PasswordError::SameAsName)),
            ("lovelace", "lovelace123", Err(PasswordError::SameAsName)),
            ("lovelace", "LoveLaceLovelace!", Err(PasswordError::SameAsName)),
            ("lovelace", "lovelace and babbage", Ok(())),
            ("ada", "canadian goose", Ok(())),
        ] {
            let name = UserName::new(name).unwrap();
            assert_eq!(
                Password::new(password).unwrap().check_against(&name),
                expected,
                "{password}"
            );
        }
    }

    #[test]
    fn every_line_of_the_list_of_common_passwords_is_found_and_nothing_else() {
        assert!(COMMON.lines().is_sorted() && COMMON.lines().count() > 8_000);
        for line in COMMON.lines() {
            assert!(line.len() >= PASSWORD_LEN_MIN && line == line.to_lowercase(), "{line}");
            assert!(is_common(line), "{line}");
            assert!(!is_common(&format!("{line} ")) && !is_common(&line[1..].repeat(3)), "{line}");
        }
        for other in ["", "\n", "!", "~~~~~~~~", "correct horse", "zzzzzzzzzzzz~"] {
            assert!(!is_common(other), "{other:?}");
        }
    }

    #[test]
    fn the_same_keys_on_another_keyboard_are_the_same_password() {
        let hasher = hasher();
        let composed = Password::new("m\u{fc}nchen 72").unwrap();
        let hash = hasher.hash_password(&composed).unwrap();
        assert!(hasher.verify_password("mu\u{308}nchen 72", Some(&hash)));
    }

    #[test]
    fn a_text_longer_than_any_password_is_wrong() {
        let hasher = hasher();
        let hash = hasher.hash_password(&Password::new("correct horse").unwrap()).unwrap();
        let empty = PasswordHash(hasher.argon2.hash_password(b"").unwrap().to_string());
        for hash in [&hash, &empty] {
            assert!(!hasher.verify_password(&"x".repeat(PASSWORD_BYTES_MAX + 1), Some(hash)));
        }
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
