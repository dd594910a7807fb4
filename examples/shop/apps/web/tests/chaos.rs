//! Services that are made to suffer: who allows it, and who else notices.

#[path = "../../../node/tests/support/http.rs"]
mod http;
#[path = "../../../node/tests/support/shop.rs"]
mod shop;

use http::{Client, Response};
use linden::{Pid, Reason};
use serde_json::{Value, json};
use shop::Shop;

/// The services by their names in the path, and those of their processes.
const SERVICES: [(&str, &str); 5] = [
    ("auth", "auth_service"),
    ("catalog", "catalog_service"),
    ("data_processing", "ingest_service"),
    ("notifications", "notifications_service"),
    ("orders", "orders_service"),
];

#[track_caller]
fn check_refusal(response: &Response, status: u16, words: &str) {
    assert_eq!(response.status, status, "{response:?}");
    let error = response.json()["error"].as_str().unwrap_or_default().to_owned();
    assert!(error.contains(words), "{words:?} is not in {response:?}");
}

fn payment<'h>(bearer: &'h str, key: &'h str) -> [(&'h str, &'h str); 2] {
    [("authorization", bearer), ("idempotency-key", key)]
}

fn inflict(client: &mut Client, service: &str, fault: &Value) -> Response {
    client.post(&format!("/chaos/{service}"), &[], &json!({ "fault": fault }).to_string())
}

/// The process of the service after the one that was there before.
fn successor(shop: &Shop, name: &str, before: Pid) -> Pid {
    let successors = std::iter::repeat_with(|| {
        std::thread::yield_now();
        shop.node.whereis(name).filter(|&pid| pid != before)
    });
    successors.flatten().next().expect("it goes on until there is one")
}

/// Waits until all services answer.
fn until_ready(client: &mut Client) {
    while client.get("/readyz", &[]).status != 200 {
        std::thread::yield_now();
    }
}

#[test]
fn each_service_that_is_let_crash_is_back_with_all_that_was_acknowledged() {
    let shop = Shop::boot(&[("web", "chaos", "true")]);
    let mut client = Client::connect(shop.address);
    let (_, bearer) = shop::log_in(&mut client, "ada");
    let me = [("authorization", &*bearer)];
    let lines = r#"{"lines":[{"sku":"tea-linden","quantity":2}]}"#;
    let placed = client.post("/orders", &payment(&bearer, "o"), lines);
    assert_eq!(placed.status, 201, "{placed:?}");
    let completed = |client: &mut Client| {
        let order = client.get("/orders/1", &me);
        order.status == 200 && order.json()["stage"].get("Completed").is_some()
    };
    while !completed(&mut client) {
        std::thread::yield_now();
    }
    for (service, name) in SERVICES {
        let before = shop.node.whereis(name).expect("it runs");
        assert_eq!(inflict(&mut client, service, &json!("crash")).status, 202, "{service}");
        successor(&shop, name, before);
        until_ready(&mut client);
        assert!(completed(&mut client), "{service}");
        assert_eq!(client.get("/inbox", &me).json()["messages"][0]["notice"]["kind"], "completed");
        let stock = client.get("/items/tea-linden", &[]).json()["stock"]["sold"].as_u64();
        assert_eq!(stock, Some(2), "{service}");
    }
    shop.stop();
}

#[test]
fn a_service_that_hangs_hinders_no_other_and_one_that_is_slow_comes_to_an_end() {
    let shop = Shop::boot(&[("web", "chaos", "true")]);
    let mut client = Client::connect(shop.address);
    let before = shop.node.whereis("notifications_service").expect("it runs");
    assert_eq!(inflict(&mut client, "notifications", &json!({ "hang": "60s" })).status, 202);
    // Log-in, payment and order know nothing of it, and it is seen which one does not answer.
    let (_, bearer) = shop::log_in(&mut client, "ada");
    let paid = client.post("/payments", &payment(&bearer, "p"), r#"{"amount":5}"#);
    assert_eq!(paid.status, 200, "{paid:?}");
    let ready = client.get("/readyz", &[]);
    assert_eq!(ready.status, 503, "{ready:?}");
    for (name, answer) in ready.json()["services"].as_object().expect("all services") {
        assert_eq!(answer == "ok", name != "notifications_service", "{ready:?}");
    }
    // Nobody waits for its minute to be over.
    shop.node.exit(before, Reason::Kill);
    successor(&shop, "notifications_service", before);
    until_ready(&mut client);
    let slow = json!({ "slow": { "each": "5ms", "lasting": "50ms" } });
    assert_eq!(inflict(&mut client, "catalog", &slow).status, 202);
    assert_eq!(client.get("/items", &[]).status, 200);
    until_ready(&mut client);
    shop.stop();
}

#[test]
fn faults_that_are_none_and_services_that_are_not_there_are_refused() {
    let shop = Shop::boot(&[("web", "chaos", "true")]);
    let mut client = Client::connect(shop.address);
    check_refusal(&inflict(&mut client, "mailer", &json!("crash")), 404, "no such service");
    check_refusal(&inflict(&mut client, "auth", &json!("explode")), 422, "explode");
    check_refusal(&inflict(&mut client, "auth", &json!({ "hang": "2h" })), 422, "1ms to 60s");
    shop.stop();
}

#[test]
fn chaos_is_there_when_web_allows_it_and_billing_obeys_when_it_does_itself() {
    let shop = Shop::boot(&[]);
    let crash = r#"{"part":"service","fault":"crash"}"#;
    let mut client = Client::connect(shop.address);
    check_refusal(&client.post("/chaos/billing", &[], crash), 404, "no such route");
    for (service, _) in SERVICES {
        check_refusal(&inflict(&mut client, service, &json!("crash")), 404, "no such route");
    }
    shop.stop();
    let shop = Shop::boot(&[("web", "chaos", "true")]);
    let answer = Client::connect(shop.address).post("/chaos/billing", &[], crash);
    check_refusal(&answer, 403, "billing.chaos");
    shop.stop();
    let shop = Shop::boot(&[("web", "chaos", "true"), ("billing", "chaos", "true")]);
    let mut client = Client::connect(shop.address);
    assert_eq!(client.post("/chaos/billing", &[], crash).status, 204);
    let (_, bearer) = shop::log_in(&mut client, "ada");
    let paid = client.post("/payments", &payment(&bearer, "p"), r#"{"amount":5}"#);
    assert_eq!(paid.status, 200, "it is back: {paid:?}");
    shop.stop();
}
