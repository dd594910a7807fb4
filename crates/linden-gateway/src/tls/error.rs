//! Why certificates were not taken: which file, what is wrong with it, and what mends it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use rustls::pki_types::pem;

/// Why certificates were not taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// There is none in the configuration.
    NoCertificates,
    /// A file cannot be read.
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// A file is no PEM.
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: pem::Error,
    },
    /// There is no certificate in the file.
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// What the file calls a certificate is none.
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A certificate that is not the first says no DNS name, so it would never be chosen.
    NoName {
        /// The file.
        path: PathBuf,
    },
    /// There is no private key in the file.
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The private key is of a kind that is not known, or broken.
    BadKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: rustls::Error,
    },
    /// The private key is not that of the certificate.
    KeyMismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The cryptography cannot be set up.
    Provider(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificates => f.write_str(
                "tls has no certificates: name at least one by its `cert` and `key`, or leave tls out",
            ),
            Self::File { path, cause } => {
                write!(f, "cannot read {}: {cause}; {}", path.display(), mend(cause.kind()))
            }
            Self::Pem { path, .. } => {
                write!(f, "{} is no PEM file: write it again from its source", path.display())
            }
            Self::NoCertificate { path } => {
                let path = path.display();
                write!(f, "{path} has no `BEGIN CERTIFICATE`: are `cert` and `key` exchanged?")
            }
            Self::BadCertificate { path, cause } => {
                let path = path.display();
                write!(f, "the certificate in {path} cannot be read ({cause}): have it issued again")
            }
            Self::NoName { path } => {
                let path = path.display();
                write!(
                    f,
                    "the certificate in {path} says no DNS name, so no client would get it: put it first, where it is the \
                     default, or have it issued with subject alternative names"
                )
            }
            Self::NoKey { path } => {
                let path = path.display();
                write!(f, "{path} has no `BEGIN ... PRIVATE KEY`: are `cert` and `key` exchanged?")
            }
            Self::BadKey { path, .. } => {
                let path = path.display();
                write!(f, "the private key in {path} cannot be used: take RSA, ECDSA or Ed25519")
            }
            Self::KeyMismatch { cert, key } => {
                let (cert, key) = (cert.display(), key.display());
                write!(
                    f,
                    "the private key in {key} is not that of the certificate in {cert}: the first \
                     certificate of the file must be the key's own, those of the authorities come after it"
                )
            }
            Self::Provider(_) => f.write_str("the cryptography of TLS cannot be set up"),
        }
    }
}

/// What the reader can do about a file.
fn mend(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => "is the path right, seen from where the program was started?",
        io::ErrorKind::PermissionDenied => "let the program's user read it",
        _ => "is it a file?",
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Pem { cause, .. } => Some(cause),
            Self::BadKey { cause, .. } | Self::Provider(cause) => Some(cause),
            // The texts of the others are part of the message.
            _ => None,
        }
    }
}
