//! Routers by host and path.

use linden_gateway::axum::Router;
use linden_gateway::axum::routing::get;
use linden_gateway::{EdgeConfig, Hosts, Limits, NamedRouters, RouteConfig};

use crate::client::{Client, Response};
use crate::log;
use crate::served::serve;

async fn ask(client: &mut Client, path: &str, fields: &str) -> Response {
    client.send(format!("GET {path} HTTP/1.1\r\n{fields}\r\n")).await;
    client.response().await
}

fn named(name: &'static str) -> Router {
    Router::new().route("/", get(async move || name))
}

// proves: GATE-50
#[linden::test]
async fn a_request_goes_to_the_router_of_its_host() {
    let hosts = Hosts::new().host("shop.example", named("shop")).expect("a host");
    let hosts = hosts.host("*.shop.example", named("tenant")).expect("a host");
    let served = serve(hosts.clone().into_router(), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    let found =
        [("shop.example", "shop"), ("SHOP.example.:8080", "shop"), ("eu.shop.example", "tenant")];
    for (host, router) in found {
        assert_eq!(ask(&mut client, "/", &format!("host: {host}\r\n")).await.text(), router);
    }
    for host in ["other.example", "a.eu.shop.example", "127.0.0.1"] {
        let response = ask(&mut client, "/", &format!("host: {host}\r\n")).await;
        assert_eq!((response.status, response.text()), (404, r#"{"error":"not_found"}"#));
    }
    let response = ask(&mut client, "http://eu.shop.example/", "host: shop.example\r\n").await;
    assert_eq!(response.text(), "tenant");
    let served = serve(hosts.default_host(named("any")).into_router(), Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    assert_eq!(ask(&mut client, "/", "host: other.example\r\n").await.text(), "any");
}

// proves: GATE-50
#[linden::test]
async fn a_request_without_a_host_that_can_be_read_is_a_400() {
    let served =
        serve(Hosts::new().default_host(named("any")).into_router(), Limits::default()).await;
    let table = [
        "",
        "host: a b\r\n",
        "host: a@b\r\n",
        "host:\r\n",
        "host: a\r\nhost: b\r\n",
        "host: a:b\r\n",
    ];
    for fields in table {
        let mut client = Client::of(&served.gateway).await;
        assert_eq!(ask(&mut client, "/", fields).await.status, 400, "{fields}");
    }
    let mut client = Client::of(&served.gateway).await;
    let response = ask(&mut client, "/", "host: a b\r\n").await;
    assert_eq!(response.text(), r#"{"error":"bad_host"}"#);
}

// proves: GATE-50
#[linden::test]
async fn configuration_puts_the_programs_routers_in_their_places() {
    log::keep();
    let api = Router::new().route("/items/{id}", get(async || "items"));
    let deep = Router::new().route("/items/{id}", get(async || "second items"));
    let pages = Router::new().route("/", get(async || "page")).fallback(async || "no such page");
    let routers = NamedRouters::new().add("api", api).add("deep", deep).add("pages", pages);
    let route = |host: Option<&str>, path: &str, to: &str| RouteConfig {
        host: host.map(str::to_owned),
        path: path.to_owned(),
        to: to.to_owned(),
    };
    let shop = Some("shop.example");
    let routes = [
        route(shop, "/", "pages"),
        route(shop, "/api", "api"),
        route(shop, "/api/v2", "deep"),
        route(None, "/api", "api"),
    ];
    let router = routers.place(&routes).expect("the entries are sound");
    let router = EdgeConfig::default().wrap(router).expect("the edge is sound");
    let served = serve(router, Limits::default()).await;
    let mut client = Client::of(&served.gateway).await;
    let shop = "host: shop.example\r\nx-request-id: place-test\r\n";
    assert_eq!(ask(&mut client, "/", shop).await.text(), "page");
    assert_eq!(ask(&mut client, "/x", shop).await.text(), "no such page");
    assert_eq!(ask(&mut client, "/api/v2/items/7", shop).await.text(), "second items");
    assert_eq!(ask(&mut client, "/api/items/7", shop).await.text(), "items");
    assert_eq!(ask(&mut client, "/api/items/7", "host: x\r\n").await.text(), "items");
    assert_eq!(ask(&mut client, "/", "host: x\r\n").await.status, 404);
    // The log knows the route inside of the host's router.
    let lines = log::lines_with("place-test");
    assert!(lines.iter().any(|line| line.contains(r#"route="/api/items/{id}""#)), "{lines:?}");
}
