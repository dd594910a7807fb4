//! axum on tokio: `axum::serve` without TLS, and with TLS a task for each connection as in axum's own examples.
//!
//! A peer in `http` alone. It has none of the gateway's limits: no time limit for a head, a request or a client that takes
//! nothing, no most connections, no drain.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use super::runtimes::multi_thread;
use crate::hello::{self, ALPN, Certificate};
use crate::load::Load;
use crate::measure::Params;
use crate::outcome::{Metric, Unsupported};
use crate::scenario::{Cover, Scenario, Variant};

/// Serves while the load asks.
pub(crate) fn run(
    scenario: Scenario,
    variant: Variant,
    params: Params,
) -> Result<Vec<Metric>, Unsupported> {
    let (Scenario::Http, Some((connections, cover))) = (scenario, variant.connections()) else {
        return Err(Unsupported::takes_no_part());
    };
    let certificate = Certificate::issue().expect("a certificate can be made");
    let runtime = multi_thread(params.workers);
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = runtime.block_on(TcpListener::bind(addr)).expect("there is a free port");
    let server = listener.local_addr().expect("it is bound");
    match cover {
        Cover::Plain => {
            runtime.spawn(async { axum::serve(listener, hello::router()).await });
        }
        Cover::Tls => {
            runtime.spawn(serve_tls(listener, acceptor(&certificate)));
        }
    }
    let load = Load::of(server, connections, cover, &certificate, params);
    Ok(load.bear_apart().expect("the load is borne"))
}

fn acceptor(certificate: &Certificate) -> TlsAcceptor {
    let cert = CertificateDer::from_pem_file(certificate.cert()).expect("it was just written");
    let key = PrivateKeyDer::from_pem_file(certificate.key()).expect("it was just written");
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .expect("the key is that of the certificate");
    config.alpn_protocols = vec![ALPN.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn serve_tls(listener: TcpListener, acceptor: TlsAcceptor) {
    let router = hello::router();
    loop {
        let (stream, _) = listener.accept().await.expect("the load connects");
        tokio::spawn(serve_one(stream, acceptor.clone(), router.clone()));
    }
}

async fn serve_one(stream: TcpStream, acceptor: TlsAcceptor, router: Router) {
    stream.set_nodelay(true).expect("the connection is open");
    let stream = acceptor.accept(stream).await.expect("the load shakes hands");
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let answer = router.clone().call(request);
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    // How the connection ends is not looked at: the load closes it.
    let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}
