//! What is served and asked for in `http`: one route, one small body, and the certificate of the variants with TLS.
//!
//! The servers share the router and the load knows what it must answer, so no system is measured with another task.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::routing::get;
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

/// The name that the certificate is for, and the host of each request.
pub(crate) const HOST: &str = "localhost";
/// Where it is.
pub(crate) const PATH: &str = "/hello";
/// What is answered, with status 200.
pub(crate) const BODY: &str = "Hello, World!";
/// What is spoken under TLS.
pub(crate) const ALPN: &[u8] = b"http/1.1";

/// The routes of every server.
pub(crate) fn router() -> Router {
    Router::new().route(PATH, get(async || BODY))
}

/// A certificate that signs itself, and its key, in files of their own; they go with the value.
#[derive(Debug)]
pub(crate) struct Certificate {
    directory: TempDir,
}

impl Certificate {
    /// Makes a new one.
    pub(crate) fn issue() -> io::Result<Certificate> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let params = CertificateParams::new([HOST.to_owned()]).map_err(io::Error::other)?;
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        let issued = Certificate { directory: TempDir::new()? };
        fs::write(issued.cert(), certificate.pem())?;
        fs::write(issued.key(), key.serialize_pem())?;
        Ok(issued)
    }

    /// The certificate, in PEM.
    pub(crate) fn cert(&self) -> PathBuf {
        self.path("cert.pem")
    }

    /// Its private key, in PEM.
    pub(crate) fn key(&self) -> PathBuf {
        self.path("key.pem")
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }
}
