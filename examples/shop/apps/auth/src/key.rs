//! The secret that signs tokens, and the file that keeps it.
//!
//! Usable from any thread. Invariant: a key is 32 bytes of randomness, and its `Debug` hides it.
//! Whoever holds the key can log in as anybody, so its file is readable by its owner alone.
//! Load it once when the application starts, not in a process that may be restarted with another
//! key: that would end everybody's session.
//! Absent on purpose: rotation.

use std::{
    error::Error,
    fmt, fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

/// Bytes of a key.
pub const KEY_LEN: usize = 32;

/// The secret key of a [`TokenSigner`](crate::TokenSigner).
#[derive(Clone)]
pub struct TokenKey([u8; KEY_LEN]);

impl TokenKey {
    /// Takes 32 bytes, which must come from a random source.
    pub fn from_bytes(bytes: [u8; KEY_LEN]) -> TokenKey {
        TokenKey(bytes)
    }

    /// Makes a new key from the system's randomness.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn generate() -> Result<TokenKey, KeyError> {
        let mut bytes = [0; KEY_LEN];
        getrandom::fill(&mut bytes).map_err(|error| KeyError::NoRandomness(error.into()))?;
        Ok(TokenKey(bytes))
    }

    /// Reads a key file: 64 hexadecimal digits, as `openssl rand -hex 32` writes them.
    ///
    /// # Errors
    /// [`KeyError::Io`] when the file cannot be read, [`KeyError::Malformed`] when it holds
    /// anything else.
    pub fn read(path: &Path) -> Result<TokenKey, KeyError> {
        let text = fs::read_to_string(path).map_err(|error| KeyError::io(path, error))?;
        parse_hex(text.trim())
            .map(TokenKey)
            .ok_or_else(|| KeyError::Malformed { path: path.to_owned() })
    }

    /// Reads the key file; when there is none, makes a key and writes it first.
    ///
    /// # Errors
    /// As [`TokenKey::read`] and [`TokenKey::generate`]. A broken file is never overwritten.
    pub fn read_or_create(path: &Path) -> Result<TokenKey, KeyError> {
        match TokenKey::read(path) {
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let key = TokenKey::generate()?;
                key.write_new(path).map_err(|error| KeyError::io(path, error))?;
                Ok(key)
            }
            result => result,
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// Writes beside the file and renames, so that a crash leaves the whole file or none; its name is on
    /// disk when this returns, for a key that is lost ends all sessions.
    fn write_new(&self, path: &Path) -> io::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        let mut file = owner_only().open(&temporary)?;
        for byte in self.0 {
            write!(file, "{byte:02x}")?;
        }
        writeln!(file)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        shop_storage::sync_name(path)
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// Why there is no key. Nothing was changed on disk.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyError {
    /// The operating system has no randomness to give.
    NoRandomness(io::Error),
    /// The file could not be read or written.
    Io {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not 64 hexadecimal digits.
    Malformed {
        /// The key file.
        path: PathBuf,
    },
}

impl KeyError {
    fn io(path: &Path, source: io::Error) -> KeyError {
        KeyError::Io { path: path.to_owned(), source }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::NoRandomness(_) => f.write_str("the system has no randomness for a key"),
            KeyError::Io { path, .. } => {
                write!(
                    f,
                    "cannot read or write the key file {}; check its rights and those of its directory",
                    path.display()
                )
            }
            KeyError::Malformed { path } => write!(
                f,
                "the key file {} is not {} hexadecimal digits; make one with `openssl rand -hex {KEY_LEN}`",
                path.display(),
                2 * KEY_LEN
            ),
        }
    }
}

impl Error for KeyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            KeyError::NoRandomness(source) | KeyError::Io { source, .. } => Some(source),
            KeyError::Malformed { .. } => None,
        }
    }
}

fn owner_only() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn parse_hex(text: &str) -> Option<[u8; KEY_LEN]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * KEY_LEN {
        return None;
    }
    let mut bytes = [0; KEY_LEN];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_made_once_and_read_from_then_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets/token.key");
        let made = TokenKey::read_or_create(&path).unwrap();
        let read = TokenKey::read_or_create(&path).unwrap();
        assert_eq!(made.as_bytes(), read.as_bytes());
        assert_eq!(fs::read_to_string(&path).unwrap().len(), 65);
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "no temporary file stays"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token.key");
        TokenKey::read_or_create(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_broken_key_file_is_an_error_and_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token.key");
        for text in ["", "abc", &"g".repeat(64), &"é".repeat(32)] {
            fs::write(&path, text).unwrap();
            let error = TokenKey::read_or_create(&path).unwrap_err();
            assert!(matches!(error, KeyError::Malformed { .. }), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn an_unreadable_key_file_names_its_path_and_cause() {
        let directory = tempfile::tempdir().unwrap();
        let error = TokenKey::read_or_create(directory.path()).unwrap_err();
        assert!(matches!(error, KeyError::Io { .. }), "{error}");
        assert!(error.source().is_some());
        assert!(error.to_string().contains(directory.path().to_str().unwrap()));
    }

    #[test]
    fn hex_is_read_in_both_cases() {
        let text = "00ffAbcdef".repeat(6) + "0123";
        let bytes = parse_hex(&text).unwrap();
        assert_eq!(bytes[..4], [0x00, 0xff, 0xab, 0xcd]);
        assert_eq!(bytes[30..], [0x01, 0x23]);
    }

    #[test]
    fn generated_keys_differ_and_debug_hides_them() {
        let key = TokenKey::generate().unwrap();
        assert_ne!(key.as_bytes(), TokenKey::generate().unwrap().as_bytes());
        assert_eq!(format!("{key:?}"), "TokenKey(..)");
    }
}
