//! TLS: who is served which certificate, by which HTTP, and what a reload changes.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use linden::{Supervisor, SupervisorRef, Task};
use linden_gateway::axum::Router;
use linden_gateway::axum::routing::get;
use linden_gateway::{CertificateFiles, Gateway, Limits, PeerAddr, Tls, TlsConfig, TlsError};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::Client;
use crate::log;
use crate::served::{short, turn, until, until_true};

/// A directory of certificates that sign themselves, and those that a client trusts.
struct Authority {
    dir: TempDir,
    roots: RootCertStore,
}

impl Authority {
    fn new() -> Self {
        Self { dir: TempDir::new().expect("a directory"), roots: RootCertStore::empty() }
    }

    /// Writes a certificate for these names as `NAME.pem` and `NAME.key`.
    fn issue(&mut self, name: &str, names: &[&str]) -> CertificateFiles {
        self.issue_with(name, names, |_| {})
    }

    fn issue_with(
        &mut self,
        name: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateFiles {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("the names are sound");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        self.roots.add(certificate.der().clone()).expect("it is one");
        let files = CertificateFiles { cert: self.path(name, "pem"), key: self.path(name, "key") };
        std::fs::write(&files.cert, certificate.pem()).expect("it is written");
        std::fs::write(&files.key, key.serialize_pem()).expect("it is written");
        files
    }

    fn path(&self, name: &str, end: &str) -> std::path::PathBuf {
        self.dir.path().join(format!("{name}.{end}"))
    }

    fn connector(
        &self,
        alpn: &[&[u8]],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> TlsConnector {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("the versions are known")
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    async fn connect(
        &self,
        gateway: &Gateway,
        name: &str,
        alpn: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        connect(&self.connector(alpn, rustls::DEFAULT_VERSIONS), gateway.local_addr(), name).await
    }
}

async fn connect(
    connector: &TlsConnector,
    addr: SocketAddr,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    connector.connect(name, stream).await
}

async fn serve(tls: &Tls, limits: Limits) -> (Gateway, SupervisorRef) {
    let addr = "127.0.0.1:0".parse().expect("an address");
    let router = Router::new()
        .route("/hello", get(async || "hello"))
        .route("/peer", get(|PeerAddr(peer): PeerAddr| async move { peer.to_string() }));
    let gateway = Gateway::builder(addr, router).limits(limits).tls(tls.clone()).bind();
    let gateway = gateway.expect("a free port");
    let supervisor = Supervisor::one_for_one().child(gateway.child()).start().await;
    (gateway, supervisor.expect("the gateway starts"))
}

fn load(certificates: &[CertificateFiles]) -> Result<Tls, TlsError> {
    Tls::load(TlsConfig::new(certificates.iter().cloned()))
}

/// One request for the last response of an HTTP/1.1 connection.
async fn hello(stream: &mut TlsStream<TcpStream>) -> String {
    let request = b"GET /hello HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.expect("the gateway reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("the end is told");
    response
}

// proves: GATE-21, GATE-27
#[linden::test]
async fn both_versions_of_tls_and_of_http_are_served() {
    let mut authority = Authority::new();
    let tls = load(&[authority.issue("a", &["a.example"])]).expect("it is sound");
    let (gateway, _supervisor) = serve(&tls, Limits::default()).await;
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        let connector = authority.connector(&[], versions);
        let stream = connect(&connector, gateway.local_addr(), "a.example").await;
        let response = hello(&mut stream.expect("hands are shaken")).await;
        assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("hello"), "{response}");
    }
    let stream = authority.connect(&gateway, "a.example", &[b"h2", b"http/1.1"]).await;
    let stream = stream.expect("hands are shaken");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut send, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
    let _driver = Task::spawn_unlinked(connection);
    let request = linden_gateway::axum::http::Request::get("https://a.example/hello");
    let (response, _) = send.send_request(request.body(()).expect("sound"), true).expect("sound");
    assert_eq!(response.await.expect("there is a response").status(), 200);
    let stream = authority.connect(&gateway, "a.example", &[b"http/1.1"]).await;
    assert!(hello(&mut stream.expect("hands are shaken")).await.ends_with("hello"));
}

// proves: GATE-27
#[linden::test]
async fn a_client_gets_the_certificate_of_the_name_it_asks_for() {
    let mut authority = Authority::new();
    let tls = load(&[
        authority.issue("default", &["default.example"]),
        authority.issue("wild", &["*.b.example", "b.example"]),
        authority.issue("exact", &["x.b.example"]),
    ]);
    let (gateway, _supervisor) = serve(&tls.expect("they are sound"), Limits::default()).await;
    for (asked, is_served) in [
        ("default.example", true),
        ("b.example", true),
        ("B.Example", true),
        ("y.b.example", true),
        ("x.b.example", true),
        // The default does not say these names.
        ("y.y.b.example", false),
        ("other.example", false),
    ] {
        let connected = authority.connect(&gateway, asked, &[]).await;
        assert_eq!(connected.is_ok(), is_served, "{asked}");
    }
    // The exact one goes before the wildcard.
    let stream = authority.connect(&gateway, "x.b.example", &[]).await.expect("hands are shaken");
    let served = stream.get_ref().1.peer_certificates().expect("there is one")[0].to_vec();
    let stream = authority.connect(&gateway, "y.b.example", &[]).await.expect("hands are shaken");
    let wild = stream.get_ref().1.peer_certificates().expect("there is one")[0].to_vec();
    assert_ne!(served, wild);
}

// proves: GATE-28
#[linden::test]
async fn a_reload_is_for_new_handshakes_and_changes_nothing_when_it_fails() {
    let mut authority = Authority::new();
    let files = authority.issue("a", &["a.example"]);
    let tls = load(std::slice::from_ref(&files)).expect("it is sound");
    let (gateway, _supervisor) = serve(&tls, Limits::default()).await;
    let mut old = authority.connect(&gateway, "a.example", &[]).await.expect("hands are shaken");
    let mut renewed = Authority::new();
    let new = renewed.issue("b", &["b.example"]);
    std::fs::copy(&new.cert, &files.cert).expect("it is copied");
    // The key is not the new one's yet.
    let error = tls.reload().expect_err("it does not fit");
    assert!(matches!(&error, TlsError::KeyMismatch { .. }), "{error}");
    authority.connect(&gateway, "a.example", &[]).await.expect("nothing has changed");
    std::fs::copy(&new.key, &files.key).expect("it is copied");
    tls.reload().expect("both fit");
    authority.connect(&gateway, "a.example", &[]).await.expect_err("it is gone");
    renewed.connect(&gateway, "b.example", &[]).await.expect("it is there");
    assert!(hello(&mut old).await.ends_with("hello"));
}

// proves: GATE-61
#[linden::test]
async fn renewed_certificates_are_served_without_a_call() {
    log::keep();
    let mut authority = Authority::new();
    let files = authority.issue("a", &["a.example"]);
    let config =
        TlsConfig { reload_every: Duration::from_millis(5), ..TlsConfig::new([files.clone()]) };
    let tls = Tls::load(config).expect("it is sound");
    let (gateway, _supervisor) = serve(&tls, Limits::default()).await;
    let mut renewed = Authority::new();
    let new = renewed.issue("b", &["renewed.example"]);
    // The key is not the new one's yet: that is warned of once, and the old pair is served on.
    std::fs::rename(&new.cert, &files.cert).expect("it is moved");
    let warnings = || log::lines_with(&files.key.display().to_string()).len();
    until_true(|| warnings() == 1).await;
    authority.connect(&gateway, "a.example", &[]).await.expect("nothing has changed");
    std::fs::rename(&new.key, &files.key).expect("it is moved");
    while renewed.connect(&gateway, "renewed.example", &[]).await.is_err() {
        turn().await;
    }
    assert_eq!(warnings(), 1);
}

// proves: GATE-29
#[linden::test]
async fn a_handshake_that_does_not_come_is_cut_and_others_are_served() {
    let mut authority = Authority::new();
    let tls = load(&[authority.issue("a", &["a.example"])]).expect("it is sound");
    let (gateway, _supervisor) = serve(&tls, short()).await;
    let mut silent = Client::of(&gateway).await;
    let mut slow = Client::of(&gateway).await;
    slow.send(b"\x16\x03\x01\x02\x00\x01").await;
    let mut plain = Client::of(&gateway).await;
    plain.send("GET /hello HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let mut other = authority.connect(&gateway, "a.example", &[]).await.expect("hands are shaken");
    assert!(hello(&mut other).await.ends_with("hello"));
    silent.closed().await;
    slow.closed().await;
    until(&gateway, |stats| stats.connections_open == 0).await;
    assert_eq!(gateway.stats().requests_served, 1);
}

#[linden::test]
async fn a_drain_ends_connections_under_tls() {
    let mut authority = Authority::new();
    let tls = load(&[authority.issue("a", &["a.example"])]).expect("it is sound");
    let (gateway, _supervisor) = serve(&tls, Limits::default()).await;
    let mut idle = authority.connect(&gateway, "a.example", &[]).await.expect("hands are shaken");
    idle.write_all(b"GET /hello HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("it reads");
    let mut byte = [0];
    idle.read_exact(&mut byte).await.expect("it answers");
    assert_eq!(gateway.drain(Duration::from_secs(3600)).await.cut, 0);
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.expect("the end is told");
}

/// What the error says, for files in `dir`.
fn text(error: &TlsError, dir: &Path) -> String {
    error.to_string().replace(&format!("{}/", dir.display()), "")
}

#[linden::test]
async fn files_that_do_not_do_are_named_with_the_mend() {
    let mut authority = Authority::new();
    let good = authority.issue("good", &["a.example"]);
    let other = authority.issue("other", &["b.example"]);
    let nameless = authority.issue("nameless", &[]);
    let write = |name: &str, text: &str| {
        let path = authority.dir.path().join(name);
        std::fs::write(&path, text).expect("it is written");
        path
    };
    let pem = |kind: &str| format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
    let files =
        |cert: &Path, key: &Path| CertificateFiles { cert: cert.to_owned(), key: key.to_owned() };
    let missing = authority.dir.path().join("missing");
    let table = [
        (vec![], "no certificates"),
        (vec![files(&missing, &good.key)], "cannot read missing"),
        (vec![files(&good.key, &good.key)], "good.key has no `BEGIN CERTIFICATE`"),
        (vec![files(&good.cert, &good.cert)], "good.pem has no `BEGIN ... PRIVATE KEY`"),
        (
            vec![files(&write("bad.pem", &pem("CERTIFICATE")), &good.key)],
            "in bad.pem cannot be read",
        ),
        (
            vec![files(&good.cert, &write("bad.key", &pem("PRIVATE KEY")))],
            "in bad.key cannot be used",
        ),
        (
            vec![files(&write("half.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n"), &good.key)],
            "half.pem is no PEM",
        ),
        (
            vec![files(&good.cert, &other.key)],
            "other.key is not that of the certificate in good.pem",
        ),
        (vec![good.clone(), nameless.clone()], "in nameless.pem says no DNS name"),
    ];
    for (certificates, expected) in table {
        let error = load(&certificates).expect_err(expected);
        let text = text(&error, authority.dir.path());
        assert!(text.contains(expected), "{text}");
    }
    load(&[nameless]).expect("it is the default");
}

#[linden::test]
async fn an_expired_certificate_is_warned_of_with_its_date() {
    log::keep();
    let mut authority = Authority::new();
    let files = authority.issue_with("late", &["a.example"], |params| {
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 2, 3);
    });
    load(&[files]).expect("it is taken all the same");
    let lines = log::lines_with("late.pem");
    assert!(
        lines.iter().any(|line| line.starts_with("WARN") && line.contains("2020-02-03")),
        "{lines:?}"
    );
}

#[test]
fn certificates_are_read_from_configuration() {
    let env = [(
        "LINDEN__WEB__CERTIFICATES".to_owned(),
        "[{ cert = \"a.pem\", key = \"a.key\" }]".to_owned(),
    )];
    let config = linden::config::Config::load(None, env).expect("the override is read");
    let tls: TlsConfig = config.section("web").expect("the keys are known");
    assert_eq!(tls.certificates, [CertificateFiles { cert: "a.pem".into(), key: "a.key".into() }]);
}
