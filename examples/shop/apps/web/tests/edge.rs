//! What `[web]` says of TLS, of places, and of what stands around the routes.

#[path = "../../../node/tests/support/http.rs"]
mod http;
#[path = "../../../node/tests/support/shop.rs"]
#[expect(dead_code, reason = "nobody logs in here")]
mod shop;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use http::Client;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use shop::Shop;

/// Writes a certificate for `shop.example` and its key; the store trusts it.
fn certificate(cert: &Path, key_file: &Path) -> RootCertStore {
    let params = CertificateParams::new(["shop.example".to_owned()]).expect("a name");
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    std::fs::write(cert, certificate.pem()).expect("it is written");
    std::fs::write(key_file, key.serialize_pem()).expect("it is written");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("it is one");
    roots
}

#[test]
fn the_shop_is_served_under_tls_with_the_certificate_of_the_configuration() {
    let directory = tempfile::tempdir().expect("a directory");
    let [cert, key] = ["shop.pem", "shop.key"].map(|name| directory.path().join(name));
    let roots = certificate(&cert, &key);
    let files = format!(
        "{{ certificates = [{{ cert = {cert:?}, key = {key:?} }}] }}",
        cert = cert,
        key = key
    );
    let shop = Shop::boot(&[("web", "tls", &files)]);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the versions are known")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("shop.example").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let socket = TcpStream::connect(shop.address).expect("the shop listens");
    let mut client = StreamOwned::new(connection, socket);
    client
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n")
        .expect("the shop reads");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("the shop answers and closes");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with(r#"{"status":"alive"}"#),
        "{answer}"
    );
    shop.stop();
}

#[test]
fn parts_of_the_shop_are_where_the_configuration_puts_them() {
    let places = r#"[{ host = "api.example", to = "api" }, { host = "www.example", to = "pages" },
        { path = "/v1", to = "api" }]"#;
    let shop = Shop::boot(&[("web", "routes", &places.replace('\n', " "))]);
    let mut client = Client::connect(shop.address);
    for (host, path, status) in [
        ("api.example", "/items", 200),
        ("api.example", "/shop/login", 404),
        ("www.example", "/shop/login", 200),
        ("www.example", "/items", 404),
        ("else.example", "/v1/items", 200),
        ("else.example", "/items", 404),
    ] {
        let answer = client.get(path, &[("host", host)]);
        assert_eq!(answer.status, status, "{host}{path}: {answer:?}");
    }
    let answer = client.post("/items", &[("host", "api.example")], "");
    assert_eq!(answer.status, 405, "{answer:?}");
    shop.stop();
}

#[test]
fn clients_behind_a_trusted_proxy_have_their_attempts_each_for_itself() {
    let attempts = "{ registrations_per_address = { burst = 1, every = \"1h\" } }";
    let shop = Shop::boot(&[
        ("web", "edge", "{ trusted_proxies = [\"127.0.0.1\"] }"),
        ("auth", "attempts", attempts),
    ]);
    let mut proxy = Client::connect(shop.address);
    let mut register = |name: &str, client: &str| {
        let body = format!("{{\"name\":\"{name}\",\"password\":\"correct horse\"}}");
        proxy.post("/register", &[("x-forwarded-for", client)], &body)
    };
    assert_eq!(register("ada", "198.51.100.1").status, 201);
    assert_eq!(register("bob", "198.51.100.2").status, 201);
    let refused = register("eve", "198.51.100.1");
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.header("x-request-id").is_some(), "{refused:?}");
    shop.stop();
}

#[test]
fn what_makes_no_sense_stops_the_boot_with_its_name() {
    for (key, value, words) in [
        ("routes", "[{ to = \"apo\" }]", "no router \"apo\"; there is api, pages, shop"),
        (
            "tls",
            "{ certificates = [{ cert = \"no-such.pem\", key = \"no-such.key\" }] }",
            "no-such.pem",
        ),
        ("edge", "{ concurrency = { running_max = 0 } }", "concurrency.running_max"),
        ("edge", "{ trusted_proxies = [\"proxy\"] }", "10.0.0.0/8"),
        ("edge", "{ acces_log = false }", "acces_log"),
    ] {
        let error = shop::refused(&[("web", key, value)]);
        assert!(error.contains(words), "{key} = {value}: {error}");
    }
}
