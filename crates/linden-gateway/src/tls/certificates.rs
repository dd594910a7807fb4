//! Certificates that were read from files, and which of them a client gets.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_cert::Certificate;
use x509_cert::der::{DateTime, Decode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::error::TlsError;
use super::{CertificateFiles, TlsConfig};

/// See the head of this file.
pub(crate) struct Certificates {
    /// By the whole name.
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what comes behind `*.`.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
}

/// What a certificate says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Facts {
    /// In lower case.
    names: Vec<String>,
    not_before: DateTime,
    not_after: DateTime,
}

/// Whether a certificate is valid at some time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Validity {
    Valid,
    NotYet,
    Expired,
}

impl Certificates {
    /// Reads all files and checks them.
    pub(crate) fn read(config: &TlsConfig, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let mut read = Vec::new();
        for files in &config.certificates {
            read.push(read_one(files, provider)?);
        }
        let (_, default) = read.first().ok_or(TlsError::NoCertificates)?;
        let (exact, wildcard) = (HashMap::new(), HashMap::new());
        let mut certificates = Self { exact, wildcard, default: default.clone() };
        for (index, ((facts, key), files)) in read.iter().zip(&config.certificates).enumerate() {
            if facts.names.is_empty() && index > 0 {
                return Err(TlsError::NoName { path: files.cert.clone() });
            }
            certificates.add(&facts.names, key);
            warn(facts, &files.cert);
        }
        Ok(certificates)
    }

    /// The first that says a name has it.
    fn add(&mut self, names: &[String], key: &Arc<CertifiedKey>) {
        for name in names {
            let (table, name) = match name.strip_prefix("*.") {
                Some(rest) => (&mut self.wildcard, rest),
                None => (&mut self.exact, name.as_str()),
            };
            table.entry(name.to_owned()).or_insert_with(|| key.clone());
        }
    }

    /// The certificate for a name, or the default.
    pub(crate) fn choose(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let Some(name) = name else { return &self.default };
        let name = name.to_ascii_lowercase();
        let wildcard = || name.split_once('.').and_then(|(_, rest)| self.wildcard.get(rest));
        self.exact.get(&name).or_else(wildcard).unwrap_or(&self.default)
    }
}

fn read_one(
    files: &CertificateFiles,
    provider: &CryptoProvider,
) -> Result<(Facts, Arc<CertifiedKey>), TlsError> {
    let chain = read_chain(&files.cert)?;
    let own = chain.first().ok_or_else(|| TlsError::NoCertificate { path: files.cert.clone() })?;
    let bad = |cause| TlsError::BadCertificate { path: files.cert.clone(), cause };
    let facts = facts(own).map_err(|cause| bad(cause.to_string()))?;
    let key = read_key(&files.key)?;
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::KeyMismatch { cert: files.cert.clone(), key: files.key.clone() }
        }
        Error::InvalidCertificate(cause) => bad(format!("{cause:?}")),
        cause => TlsError::BadKey { path: files.key.clone(), cause },
    })?;
    Ok((facts, Arc::new(certified)))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read_file(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    chain.map_err(|cause| TlsError::Pem { path: path.to_owned(), cause })
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read_file(path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|cause| match cause {
        pem::Error::NoItemsFound => TlsError::NoKey { path: path.to_owned() },
        cause => TlsError::Pem { path: path.to_owned(), cause },
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|cause| TlsError::File { path: path.to_owned(), cause })
}

fn facts(certificate: &[u8]) -> Result<Facts, x509_cert::der::Error> {
    let certificate = Certificate::from_der(certificate)?;
    let certificate = certificate.tbs_certificate();
    let names = certificate.get_extension::<SubjectAltName>()?;
    let names = names.into_iter().flat_map(|(_, names)| names.0);
    let names = names.filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        _ => None,
    });
    let validity = certificate.validity();
    Ok(Facts {
        names: names.collect(),
        not_before: validity.not_before.to_date_time(),
        not_after: validity.not_after.to_date_time(),
    })
}

impl Facts {
    /// `now` counts from the Unix epoch.
    fn validity(&self, now: Duration) -> Validity {
        if now > self.not_after.unix_duration() {
            Validity::Expired
        } else if now < self.not_before.unix_duration() {
            Validity::NotYet
        } else {
            Validity::Valid
        }
    }
}

/// Clients will refuse it, but others are not to suffer from one late renewal.
fn warn(facts: &Facts, path: &Path) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let path = path.display();
    match facts.validity(now) {
        Validity::Valid => {}
        Validity::Expired => tracing::warn!(
            target: "linden::gateway",
            cert = %path,
            not_after = %facts.not_after,
            "a certificate has expired: renew it and reload"
        ),
        Validity::NotYet => tracing::warn!(
            target: "linden::gateway",
            cert = %path,
            not_before = %facts.not_before,
            "a certificate is not valid yet: is the clock right?"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let at = |seconds| {
            DateTime::from_unix_duration(Duration::from_secs(seconds)).expect("it is in range")
        };
        Facts { names: Vec::new(), not_before: at(1000), not_after: at(2000) }
    }

    #[test]
    fn a_certificate_is_valid_from_its_first_second_to_its_last() {
        let table = [
            (999, Validity::NotYet),
            (1000, Validity::Valid),
            (2000, Validity::Valid),
            (2001, Validity::Expired),
        ];
        for (now, expected) in table {
            assert_eq!(facts().validity(Duration::from_secs(now)), expected, "{now}");
        }
    }
}
