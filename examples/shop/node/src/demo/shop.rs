//! The shop that visitors use: where it is, what it is called, and whether it is spoken to under TLS.

use std::{error::Error, io, net::SocketAddr, path::Path, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use linden::Cx;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::DemoArgs;

/// See the head of this file.
#[derive(Clone)]
pub(super) struct Shop {
    address: SocketAddr,
    /// The `Host` of requests.
    pub(super) host: Arc<str>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Shop {
    /// # Errors
    /// The certificates cannot be read, or the name is none.
    pub(super) fn new(args: &DemoArgs) -> Result<Shop, Box<dyn Error + Send + Sync>> {
        let address = args.shop;
        let Some(trust) = &args.trust else {
            let host = args.host.clone().unwrap_or_else(|| address.to_string());
            return Ok(Shop { address, host: host.into(), tls: None });
        };
        let name = args.host.clone().unwrap_or_else(|| address.ip().to_string());
        let server = ServerName::try_from(name.clone()).map_err(|_| {
            format!("{name:?} is no name of a shop: --host takes one such as shop.example")
        })?;
        let connector = connector(trust).map_err(|error| {
            format!(
                "{} holds no certificates to trust: {error}; --trust takes a file of PEM",
                trust.display()
            )
        })?;
        Ok(Shop { address, host: name.into(), tls: Some((connector, server)) })
    }

    /// Whether somebody answers there.
    pub(super) async fn reach(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| {
            format!(
                "no shop answers at {}: {error}; start one by `shop run`, or name another by --shop",
                self.address
            )
        })?;
        if let Some((connector, server)) = &self.tls {
            connector.connect(server.clone(), stream).await.map_err(|error| {
                format!(
                    "the shop at {} speaks no TLS that is trusted: {error}; --trust takes its certificate and --host its name",
                    self.address
                )
            })?;
        }
        Ok(())
    }

    /// A connection, served by a process of its own.
    pub(super) async fn connect(
        &self,
    ) -> Result<SendRequest<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => serve(stream).await,
            Some((connector, server)) => {
                serve(connector.connect(server.clone(), stream).await?).await
            }
        }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
    let (send, connection) = http1::handshake(TokioIo::new(stream)).await?;
    linden::spawn(|_: Cx<()>| async {
        // A connection that breaks is told to who sends on it.
        let _ = connection.await;
    });
    Ok(send)
}

fn connector(trust: &Path) -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(trust).map_err(io::Error::other)? {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    if roots.is_empty() {
        return Err(io::Error::other("there is none in it"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
