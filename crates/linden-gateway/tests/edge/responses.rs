//! Responses that are compressed, and files.

use std::fs;

use linden_gateway::axum::Router;
use linden_gateway::axum::response::IntoResponse;
use linden_gateway::axum::routing::get;
use linden_gateway::{CompressionConfig, EdgeConfig, Limits, StaticFiles};
use tempfile::TempDir;

use crate::client::{Client, Response};
use crate::served::{Served, serve};

async fn ask(client: &mut Client, path: &str, fields: &str) -> Response {
    client.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n{fields}\r\n")).await;
    client.response().await
}

/// Two files, one of them also in gzip (or what a test takes for it), beside one that is nobody's business.
fn directory() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("a file");
    fs::create_dir_all(dir.path().join("web/.git")).expect("a directory");
    fs::create_dir_all(dir.path().join("web/.well-known")).expect("a directory");
    write("outside", "a secret");
    write("web/.env", "a secret");
    write("web/.git/config", "a secret");
    write("web/.well-known/security.txt", "contact");
    write("web/index.html", "<h1>index</h1>");
    write("web/app.js", "let a = 1;");
    write("web/app.js.gz", "not really gzip");
    dir
}

async fn serve_files(path: &str, dir: &TempDir) -> Served {
    let files = StaticFiles { path: path.to_owned(), dir: dir.path().join("web") };
    let edge = EdgeConfig {
        static_files: vec![files],
        compression: Some(CompressionConfig::default()),
        ..EdgeConfig::default()
    };
    let router = Router::new().route("/hello", get(async || "hello"));
    serve(edge.wrap(router).expect("the edge is sound"), Limits::default()).await
}

// proves: GATE-43
#[linden::test]
async fn files_are_served_with_their_type_tag_and_ranges() {
    let dir = directory();
    let served = serve_files("/assets", &dir).await;
    let mut client = Client::of(&served.gateway).await;
    let response = ask(&mut client, "/assets/app.js", "").await;
    assert_eq!((response.status, response.text()), (200, "let a = 1;"));
    assert!(response.header("content-type").is_some_and(|kind| kind.contains("javascript")));
    let tag = response.header("etag").expect("a tag").to_owned();
    let cached = ask(&mut client, "/assets/app.js", &format!("if-none-match: {tag}\r\n")).await;
    assert_eq!(cached.status, 304);
    let part = ask(&mut client, "/assets/app.js", "range: bytes=4-4\r\n").await;
    assert_eq!((part.status, part.text()), (206, "a"));
    let packed = ask(&mut client, "/assets/app.js", "accept-encoding: gzip\r\n").await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.text(), "not really gzip");
    assert_eq!(ask(&mut client, "/assets/", "").await.text(), "<h1>index</h1>");
    assert_eq!(ask(&mut client, "/hello", "").await.text(), "hello");
    assert_eq!(ask(&mut client, "/assets/.well-known/security.txt", "").await.text(), "contact");
}

// proves: GATE-43
#[linden::test]
async fn nothing_hidden_and_nothing_outside_of_the_directory_is_served() {
    let dir = directory();
    let served = serve_files("/", &dir).await;
    let mut client = Client::of(&served.gateway).await;
    assert_eq!(ask(&mut client, "/app.js", "").await.text(), "let a = 1;");
    assert_eq!(ask(&mut client, "/hello", "").await.text(), "hello");
    let paths = [
        "/../outside",
        "/%2e%2e/outside",
        "/..%2foutside",
        "/%2e%2e%2foutside",
        "/a/../../outside",
        "/..%5coutside",
        "//outside",
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/.git%2fconfig",
        "/x/..%2f.env",
        "/./.env",
        "/app.js/",
        "/nothing",
        "/outside%00",
        "/%ff",
    ];
    for path in paths {
        let response = ask(&mut client, path, "").await;
        assert!((300..500).contains(&response.status), "{path}: {}", response.status);
        assert!(!response.text().contains("secret"), "{path}");
    }
    client.send("POST /app.js HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(client.response().await.status, 405);
}

// proves: GATE-42
#[linden::test]
async fn large_texts_are_compressed_for_clients_that_take_it() {
    let text = "again and ".repeat(1000);
    let events = text.clone();
    let router = Router::new()
        .route("/large", get(async move || text.clone()))
        .route("/small", get(async || "small"))
        .route("/image", get(async || ([("content-type", "image/png")], vec![0; 5000])))
        .route(
            "/events",
            get(async move || {
                ([("content-type", "text/event-stream")], events.clone()).into_response()
            }),
        );
    let compression = Some(CompressionConfig::default());
    let edge = EdgeConfig { compression, ..EdgeConfig::default() };
    let served = serve(edge.wrap(router).expect("sound"), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    for (accepts, encoding, magic) in [
        ("gzip", "gzip", &[0x1f, 0x8b][..]),
        ("gzip, zstd", "zstd", &[0x28, 0xb5, 0x2f, 0xfd]),
        ("gzip;q=0.5, zstd;q=0.4, br", "gzip", &[0x1f, 0x8b]),
    ] {
        let field = format!("accept-encoding: {accepts}\r\n");
        let response = ask(&mut client, "/large", &field).await;
        assert_eq!(response.header("content-encoding"), Some(encoding), "{accepts}");
        assert!(response.body.starts_with(magic) && response.body.len() < 1000);
        assert!(
            response
                .header("vary")
                .is_some_and(|vary| vary.eq_ignore_ascii_case("accept-encoding"))
        );
    }
    assert_eq!(ask(&mut client, "/large", "").await.body.len(), 10_000);
    for path in ["/small", "/image", "/events"] {
        let response = ask(&mut client, path, "accept-encoding: gzip, zstd\r\n").await;
        assert_eq!(response.header("content-encoding"), None, "{path}");
    }
}
