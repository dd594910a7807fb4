//! TLS: certificates from files, chosen by the name that a client asks for, and read again when they change or on demand.
//!
//! rustls does TLS 1.2 and 1.3, with `ring` for the mathematics: aws-lc-rs takes a C toolchain with CMake and several
//! times its time to build. A reload reads and checks everything before it swaps anything; handshakes that have begun and
//! connections that are open go on with what they have.

mod certificates;
mod error;
mod renewal;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::Deserialize;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::socket::Tcp;
use certificates::Certificates;
pub use error::TlsError;
use renewal::Stamps;
pub(crate) use renewal::renew;

/// What HTTP/2 and HTTP/1.1 are called in the handshake.
pub(crate) const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";
/// Default of [`TlsConfig::reload_every`].
const RELOAD_EVERY: Duration = Duration::from_secs(60);

/// The certificates of a gateway, as they stand in `linden.toml`:
///
/// ```toml
/// [[web.tls.certificates]]
/// cert = "certs/shop.example.pem"
/// key = "certs/shop.example.key"
/// ```
///
/// Each is for the DNS names that it says itself (its subject alternative names), `*.` standing for one label. Where two
/// say the same name the first has it. The first of all is also the default, for clients that ask for no name or an
/// unknown one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// At least one.
    pub certificates: Vec<CertificateFiles>,
    /// How often the gateway looks whether the files have changed, and reads them again if so; those that do not do are
    /// warned of, and the old ones served on. `0s`: never, only [`Tls::reload`]. Default: 1 min.
    #[serde(default = "reload_every", with = "linden::config::duration")]
    pub reload_every: Duration,
}

fn reload_every() -> Duration {
    RELOAD_EVERY
}

impl TlsConfig {
    /// These certificates, with defaults for the rest.
    #[must_use]
    pub fn new(certificates: impl IntoIterator<Item = CertificateFiles>) -> Self {
        Self { certificates: certificates.into_iter().collect(), reload_every: RELOAD_EVERY }
    }
}

/// The files of one certificate, in PEM.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// The certificate, and behind it those that lead to the authority, if there are any.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Certificates that were read: what a gateway is given by [`GatewayBuilder::tls`](crate::GatewayBuilder::tls). A cheap
/// clone; keep one for the reload.
///
/// # Examples
/// ```no_run
/// use linden_gateway::axum::Router;
/// use linden_gateway::{Gateway, Tls, TlsConfig};
///
/// fn bind(config: TlsConfig) -> Result<(Gateway, Tls), Box<dyn std::error::Error>> {
///     let tls = Tls::load(config)?;
///     let addr = "0.0.0.0:443".parse()?;
///     let gateway = Gateway::builder(addr, Router::new()).tls(tls.clone()).bind()?;
///     Ok((gateway, tls))
/// }
///
/// /// Without waiting for the gateway to look. What cannot be read leaves everything as it is.
/// fn renew(tls: &Tls) {
///     if let Err(error) = tls.reload() {
///         eprintln!("{error}");
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Tls {
    share: Arc<Share>,
}

struct Share {
    config: TlsConfig,
    /// Of the files when they were last read, with success or without.
    stamps: Mutex<Stamps>,
    present: Arc<Present>,
    acceptor: TlsAcceptor,
}

/// The certificates that new handshakes get. The lock is held for a look or a store only.
struct Present(RwLock<Arc<Certificates>>);

impl Tls {
    /// Reads and checks the files.
    ///
    /// A certificate that has expired, or is not valid yet, is taken all the same and warned of in the log.
    ///
    /// # Errors
    /// [`TlsError`], which names the file and the mend.
    pub fn load(config: TlsConfig) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        // Before the files: what changes meanwhile is seen as a change.
        let stamps = Mutex::new(Stamps::read(&config));
        let certificates = Certificates::read(&config, &provider)?;
        let present = Arc::new(Present(RwLock::new(Arc::new(certificates))));
        let acceptor = TlsAcceptor::from(Arc::new(server_config(provider, present.clone())?));
        Ok(Self { share: Arc::new(Share { config, stamps, present, acceptor }) })
    }

    /// Reads the files again. New handshakes get what is in them now, all of it at once; open connections go on with the
    /// old certificates.
    ///
    /// # Errors
    /// [`TlsError`]. Then nothing has changed.
    pub fn reload(&self) -> Result<(), TlsError> {
        let provider = self.share.acceptor.config().crypto_provider().clone();
        *self.share.stamps.lock() = Stamps::read(&self.share.config);
        let certificates = Certificates::read(&self.share.config, &provider)?;
        *self.share.present.0.write() = Arc::new(certificates);
        tracing::info!(target: "linden::gateway", "the certificates were read again");
        Ok(())
    }

    /// Whether a process is to look for changes.
    pub(crate) fn is_renewed(&self) -> bool {
        !self.share.config.reload_every.is_zero()
    }

    /// Shakes hands.
    pub(crate) fn accept(&self, tcp: Tcp) -> Accept<Tcp> {
        self.share.acceptor.accept(tcp)
    }
}

fn server_config(
    provider: Arc<CryptoProvider>,
    present: Arc<Present>,
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .map_err(TlsError::Provider)?
        .with_no_client_auth()
        .with_cert_resolver(present);
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
    // Clients that come again spare us the signature, and we keep nothing for them.
    config.ticketer = ring::Ticketer::new().map_err(TlsError::Provider)?;
    Ok(config)
}

impl ResolvesServerCert for Present {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().choose(hello.server_name()).clone())
    }
}

impl fmt::Debug for Present {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Present").finish_non_exhaustive()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("config", &self.share.config).finish_non_exhaustive()
    }
}
