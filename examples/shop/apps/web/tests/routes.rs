//! Every route, its successes and its refusals, over a real socket.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

#[path = "support/events.rs"]
mod events;
#[path = "../../../node/tests/support/http.rs"]
mod http;
#[path = "../../../node/tests/support/shop.rs"]
mod shop;

use events::Events;
use http::{Client, Response};
use linden::{Reason, SupervisorRef};
use serde_json::{Value, json};
use shop::Shop;

/// A refusal has the status, and says why as JSON.
#[track_caller]
fn check_refusal(response: &Response, status: u16, words: &str) {
    assert_eq!(response.status, status, "{response:?}");
    let error = response.json()["error"].as_str().unwrap_or_default().to_owned();
    assert!(error.contains(words), "{words:?} is not in {response:?}");
}

fn payment<'h>(bearer: &'h str, key: &'h str) -> [(&'h str, &'h str); 2] {
    [("authorization", bearer), ("idempotency-key", key)]
}

#[test]
fn users_register_and_log_in() {
    let shop = Shop::boot(&[]);
    let mut client = Client::connect(shop.address);
    let ada = r#"{"name":"Ada","password":"correct horse"}"#;
    let registered = client.post("/register", &[], ada);
    assert_eq!((registered.status, registered.json()), (201, json!({ "user_id": 1 })));
    let logged_in = client.post("/login", &[], ada);
    assert_eq!(logged_in.status, 200);
    assert_eq!(logged_in.json()["token"].as_str().unwrap().len(), shop_auth::token::TOKEN_LEN);

    for (path, body, status, words) in [
        ("/register", ada, 409, "the name ada is taken"),
        ("/register", r#"{"name":"a b","password":"correct horse"}"#, 422, "' '"),
        ("/register", r#"{"name":"bob","password":"short"}"#, 422, "at least 8 characters"),
        ("/register", r#"{"name":"lovelace","password":"Lovelace"}"#, 422, "is the user name"),
        ("/register", r#"{"name":"bob"}"#, 422, "missing field `password`"),
        ("/register", r#"{"name":"bob","#, 400, "EOF"),
        ("/register", "", 400, "EOF"),
        ("/login", r#"{"name":"ada","password":"wrong horse"}"#, 401, "name or the password"),
        ("/login", r#"{"name":"eve","password":"correct horse"}"#, 401, "name or the password"),
        ("/login", r#" ["ada","correct horse"]"#, 422, "an object is expected"),
        ("/register", r#"{"name":"bob","password":"Password1"}"#, 422, "most common"),
        ("/token/refresh", r#"{"refresh_token":"x"}"#, 401, "malformed"),
        ("/token/refresh", "{}", 422, "missing field `refresh_token`"),
    ] {
        check_refusal(&client.post(path, &[], body), status, words);
    }
    shop.stop();
}

#[test]
fn a_session_is_refreshed_until_it_is_logged_out() {
    let shop = Shop::boot(&[]);
    let mut client = Client::connect(shop.address);
    let ada = r#"{"name":"ada","password":"correct horse"}"#;
    assert_eq!(client.post("/register", &[], ada).status, 201);
    let bearer = |session: &Value| format!("Bearer {}", session["token"].as_str().unwrap());
    let refresh = |client: &mut Client, session: &Value| {
        let body = json!({ "refresh_token": session["refresh_token"] });
        client.post("/token/refresh", &[], &body.to_string())
    };
    let balance = |client: &mut Client, session: &Value| {
        client.get("/balance", &[("authorization", &bearer(session))])
    };

    let first = client.post("/login", &[], ada).json();
    assert_eq!(first["user_id"], json!(1));
    assert!(first["token_expires_at"].as_u64() < first["refresh_token_expires_at"].as_u64());
    let second = refresh(&mut client, &first);
    assert_eq!(second.status, 200, "{second:?}");
    let second = second.json();
    assert_eq!(balance(&mut client, &second).status, 200);
    let out = client.post("/logout", &[("authorization", &bearer(&second))], "");
    assert_eq!((out.status, out.body.as_str()), (204, ""));
    check_refusal(&balance(&mut client, &second), 401, "session has ended");
    check_refusal(&refresh(&mut client, &second), 401, "session has ended");
    check_refusal(&client.post("/logout", &[], ""), 401, "Authorization: Bearer");

    let stolen = client.post("/login", &[], ada).json();
    let thief = refresh(&mut client, &stolen).json();
    check_refusal(&refresh(&mut client, &stolen), 401, "used before");
    check_refusal(&balance(&mut client, &thief), 401, "session has ended");

    let sessions = [client.post("/login", &[], ada).json(), client.post("/login", &[], ada).json()];
    let everywhere =
        client.post("/logout/everywhere", &[("authorization", &bearer(&sessions[0]))], "");
    assert_eq!((everywhere.status, everywhere.json()), (200, json!({ "sessions": 2 })));
    check_refusal(&balance(&mut client, &sessions[1]), 401, "session has ended");
    shop.stop();
}

#[test]
fn too_many_guesses_are_a_429_that_says_when_to_try_again() {
    let limits = "{ log_ins_per_account = { burst = 2, every = '1h' } }";
    let shop = Shop::boot(&[("auth", "attempts", limits)]);
    let mut client = Client::connect(shop.address);
    let right = r#"{"name":"ada","password":"correct horse"}"#;
    assert_eq!(client.post("/register", &[], right).status, 201);
    for _ in 0..2 {
        let wrong = client.post("/login", &[], &right.replace("horse", "mouse"));
        check_refusal(&wrong, 401, "name or the password");
    }
    let locked = client.post("/login", &[], right);
    check_refusal(&locked, 429, "too many attempts");
    let secs: u64 = locked.header("retry-after").unwrap().parse().unwrap();
    assert!((3_500..=3_600).contains(&secs), "{secs}");
    shop.stop();
}

#[test]
fn payments_take_a_token_and_a_key() {
    let shop = Shop::boot(&[]);
    let mut client = Client::connect(shop.address);
    let (user_id, bearer) = shop::log_in(&mut client, "ada");
    let paid = client.post("/payments", &payment(&bearer, "a"), r#"{"amount":1234}"#);
    assert_eq!(paid.status, 200, "{paid:?}");
    let receipt = paid.json();
    assert_eq!((&receipt["sequence"], &receipt["key"]), (&json!(1), &json!("a")));
    let again = client.post("/payments", &payment(&bearer, "a"), r#"{"amount":1234}"#);
    assert_eq!(again, Response { headers: again.headers.clone(), ..paid });
    let balance = client.get("/balance", &[("authorization", &bearer)]);
    assert_eq!(balance.json(), json!({ "user_id": user_id.0, "balances": { "EUR": 1234 } }));

    for (key, body, status, words) in [
        ("a", r#"{"amount":1}"#, 422, "belongs to another payment"),
        ("b", r#"{"amount":0}"#, 422, "must be positive"),
        ("b", r#"{"amount":-5}"#, 422, "must be positive"),
        ("b", r#"{"amount":12.34}"#, 422, "floating point"),
        ("b", r#"{"amount":9223372036854775807}"#, 409, "cannot hold so much more"),
        ("b", r#"{"amount":1,"currency":"JPY"}"#, 422, "is no currency of the ledger"),
        ("b", "12", 422, ""),
        ("b c", r#"{"amount":1}"#, 400, "visible ASCII"),
        (&"k".repeat(129), r#"{"amount":1}"#, 400, "1 to 128 characters"),
    ] {
        check_refusal(&client.post("/payments", &payment(&bearer, key), body), status, words);
    }
    let no_key = client.post("/payments", &[("authorization", &bearer)], r#"{"amount":1}"#);
    check_refusal(&no_key, 400, "Idempotency-Key");
    for authorization in ["", "Bearer", "Bearer x", "Basic YTpi", &bearer[..bearer.len() - 1]] {
        let pay = client.post("/payments", &payment(authorization, "c"), r#"{"amount":1}"#);
        check_refusal(&pay, 401, "");
        assert_eq!(pay.header("www-authenticate"), Some("Bearer"));
        check_refusal(&client.get("/balance", &[("authorization", authorization)]), 401, "");
    }
    let balance = client.get("/balance", &[("authorization", &bearer)]);
    assert_eq!(balance.json()["balances"], json!({ "EUR": 1234 }));
    shop.stop();
}

#[test]
fn files_are_aggregated_and_listed() {
    let shop = Shop::boot(&[]);
    let mut client = Client::connect(shop.address);
    let (_, bearer) = shop::log_in(&mut client, "ada");
    let me = [("authorization", &*bearer)];
    let csv = "region;amount\nnorth;0.10\nnorth;0.20\nsouth;x\n";
    let response = client.post("/ingest?key=region&value=amount&delimiter=;", &me, csv);
    assert_eq!(response.status, 200, "{response:?}");
    let report = response.json();
    assert_eq!((&report["rows"], &report["bad"][0]["line"]), (&json!(2), &json!(4)));
    let north = json!({
        "key": "north", "count": 2, "sum": "0.3", "min": "0.1", "max": "0.2", "mean": "0.15",
        "stddev": "0.070710678", "p50": "0.1", "p90": "0.1", "p99": "0.1"
    });
    assert_eq!(report["keys"], json!([north]));

    for (query, status, words) in [
        ("?key=region", 400, "missing field `value`"),
        ("", 400, "missing field `key`"),
        ("?key=region&value=amount&delimiter=ab", 400, "delimiter"),
        ("?key=region&value=amount&time=day", 400, "a time column needs a window"),
        ("?key=region&value=price&delimiter=;", 422, r#"has no column "price""#),
    ] {
        // The gateway may close the connection of a body that nobody read.
        let mut client = Client::connect(shop.address);
        check_refusal(&client.post(&format!("/ingest{query}"), &me, csv), status, words);
    }
    let jobs = client.get("/jobs", &me).json();
    let states: Vec<&Value> = jobs.as_array().unwrap().iter().map(|job| &job["state"]).collect();
    assert_eq!(states, ["done", "failed"]);
    assert_eq!((&jobs[0]["rows"], &jobs[0]["bytes"]), (&json!(2), &json!(csv.len())));
    shop.stop();
}

#[test]
fn a_report_can_be_had_in_other_shapes_and_later() {
    let shop = Shop::boot(&[]);
    let mut client = Client::connect(shop.address);
    let (_, bearer) = shop::log_in(&mut client, "ada");
    let me = [("authorization", &*bearer)];
    let rows = "{\"day\":\"mon\",\"n\":{\"v\":1}}\n{\"day\":\"mon\",\"n\":{\"v\":2}}\n";
    let headers =
        [me[0], ("content-type", "application/x-ndjson"), ("accept", "text/csv, */*;q=0.1")];
    let response = client.post("/ingest?key=day&value=n.v&format=", &headers, rows);
    let csv = "key,count,sum,min,max,mean,stddev,p50,p90,p99\nmon,2,3,1,2,1.5,0.707106781,1,1,1\n";
    assert_eq!((response.status, response.body.as_str()), (200, csv));

    assert_eq!(client.get("/jobs/1", &me).json()["percent"], json!(100));
    assert_eq!(client.get("/jobs/1/report", &me).json()["keys"][0]["sum"], json!("3"));
    assert_eq!(client.get("/jobs/1/report.csv", &me).body, csv);
    let svg = client.get("/jobs/1/report.svg?measure=mean", &me);
    assert!(svg.status == 200 && svg.body.contains(">mean by key</title>"), "{svg:?}");
    check_refusal(&client.get("/jobs/1/report.svg?measure=mode", &me), 400, "a measure is one of");
    check_refusal(&client.get("/jobs/2/report", &me), 404, "there is no job 2");
    check_refusal(&client.get("/jobs/two", &me), 400, "");
    let again = client.request("DELETE", "/jobs/1", &me, b"").unwrap();
    check_refusal(&again, 409, "job 1 has ended already");
    shop.stop();
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_file_ends_its_job() {
    let shop = Shop::boot(&[]);
    let mut leaving = Client::connect(shop.address);
    let (_, bearer) = shop::log_in(&mut leaving, "ada");
    let me = [("authorization", &*bearer)];
    leaving.send_head("POST", "/ingest?key=day&value=amount", &me, 1_000_000).unwrap();
    leaving.send(b"day,amount\nmon,1\n").unwrap();
    let mut client = Client::connect(shop.address);
    let state = |client: &mut Client| client.get("/jobs", &me).json()[0]["state"].clone();
    while state(&mut client) != json!("running") {}
    drop(leaving);
    while state(&mut client) == json!("running") {}
    assert_eq!(state(&mut client), json!("abandoned"));
    shop.stop();
}

#[test]
fn bodies_are_limited_but_for_files() {
    let shop = Shop::boot(&[("web", "limits", "{ body_bytes_max = 1000 }")]);
    let mut client = Client::connect(shop.address);
    let (_, bearer) = shop::log_in(&mut client, "ada");
    let me = [("authorization", &*bearer)];
    let long = format!("day,amount\n{}", "mon,1\n".repeat(1_000));
    let response = client.post("/ingest?key=day&value=amount", &me, &long);
    assert_eq!((response.status, &response.json()["rows"]), (200, &json!(1_000)));
    let response = client.post("/register", &[], &format!("\"{}\"", "x".repeat(2_000)));
    check_refusal(&response, 413, "");
    shop.stop();
}

#[test]
fn a_job_is_seen_and_ended_by_its_user_alone() {
    let shop = Shop::boot(&[]);
    let mut client = Client::connect(shop.address);
    let (_, bearer) = shop::log_in(&mut client, "ada");
    let (_, stranger) = shop::log_in(&mut client, "bob");
    let (me, strangers) = ([("authorization", &*bearer)], [("authorization", &*stranger)]);
    let upload = client.post("/ingest?key=day&value=n", &me, "day,n\nmon,1\n");
    assert_eq!(upload.header("content-location"), Some("/jobs/1/report"), "{upload:?}");
    assert_eq!(client.get("/jobs", &me).json()[0]["owner"], json!(1));
    assert_eq!(client.get("/jobs", &strangers).json(), json!([]));
    for path in ["/jobs/1", "/jobs/1/report", "/jobs/1/report.csv", "/jobs/1/report.svg"] {
        assert_eq!(client.get(path, &me).status, 200, "{path}");
        check_refusal(&client.get(path, &strangers), 404, "there is no job 1");
        check_refusal(&client.get(path, &[]), 401, "log in");
    }
    let cancel = client.request("DELETE", "/jobs/1", &strangers, b"").unwrap();
    check_refusal(&cancel, 404, "there is no job 1");
    for path in ["/jobs", "/balance"] {
        check_refusal(&client.get(path, &[]), 401, "log in");
    }
    check_refusal(&client.post("/ingest?key=day&value=n", &[], ""), 401, "log in");
    shop.stop();
}

#[test]
fn a_dead_service_is_a_503_and_not_ready_while_the_node_is_healthy() {
    let shop = Shop::boot(&[]);
    let mut client = Client::connect(shop.address);
    let (_, bearer) = shop::log_in(&mut client, "ada");
    let ready = client.get("/readyz", &[]);
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("ready")));

    // Its supervisor is stopped, as an operator would, so nobody starts it again.
    let supervisor = SupervisorRef::by_name(&shop.node, "billing_front_sup");
    shop.node.block_on(supervisor.terminate_child("billing_service")).unwrap();

    let pay = client.post("/payments", &payment(&bearer, "a"), r#"{"amount":1}"#);
    check_refusal(&pay, 503, "service_unavailable");
    assert_eq!(pay.header("retry-after"), Some("1"));
    let ready = client.get("/readyz", &[]);
    assert_eq!((ready.status, &ready.json()["status"]), (503, &json!("not ready")));
    assert_eq!(ready.json()["services"]["billing_service"], json!("no such process"));
    assert_eq!(ready.json()["services"]["auth_service"], json!("ok"));
    assert_eq!(client.get("/healthz", &[]).status, 200);

    shop.node.block_on(supervisor.restart_child("billing_service")).unwrap();
    assert_eq!(client.get("/readyz", &[]).status, 200);
    assert_eq!(client.post("/payments", &payment(&bearer, "a"), r#"{"amount":1}"#).status, 200);
    shop.stop();
}

#[test]
fn an_overloaded_service_is_a_503() {
    let shop = Shop::boot(&[("billing", "waiting_max", "0"), ("data_processing", "jobs_max", "0")]);
    let mut client = Client::connect(shop.address);
    let (_, bearer) = shop::log_in(&mut client, "ada");
    let pay = client.post("/payments", &payment(&bearer, "a"), r#"{"amount":1}"#);
    check_refusal(&pay, 503, "service_unavailable");
    assert_eq!(pay.json()["cause"], json!("overloaded"));
    let me = [("authorization", &*bearer)];
    let ingest = client.post("/ingest?key=day&value=amount", &me, "day,amount\n");
    check_refusal(&ingest, 503, "service_unavailable");
    shop.stop();
}

#[test]
fn a_crash_between_two_requests_is_not_noticed() {
    let shop = Shop::boot(&[("billing", "restarts_max", "100")]);
    let mut client = Client::connect(shop.address);
    let (_, bearer) = shop::log_in(&mut client, "ada");
    for round in 0..20 {
        let pid = shop.node.whereis("billing_service");
        pid.into_iter().for_each(|pid| shop.node.exit(pid, Reason::Kill));
        let key = format!("round-{round}");
        let paid = client.post("/payments", &payment(&bearer, &key), r#"{"amount":1}"#);
        assert_eq!(paid.status, 200, "{paid:?}");
    }
    shop.stop();
}

#[test]
fn the_page_lists_the_routes_and_others_are_refused() {
    let shop = Shop::boot(&[]);
    let mut client = Client::connect(shop.address);
    let page = client.get("/", &[]);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    for route in [
        "POST /register",
        "POST /login",
        "POST /token/refresh",
        "POST /logout",
        "POST /logout/everywhere",
        "POST /payments",
        "GET /balance",
        "POST /ingest",
        "GET /jobs",
        "GET /healthz",
        "GET /readyz",
    ] {
        assert!(page.body.contains(route), "{route}");
    }
    assert_eq!(client.get("/healthz", &[]).json(), json!({ "status": "alive" }));
    check_refusal(&client.get("/nothing", &[]), 404, "no such route");
    check_refusal(&client.get("/payments", &[]), 405, "no such method");
    shop.stop();
}

#[test]
fn a_payment_is_given_back_in_parts_and_the_statement_has_both() {
    let shop = Shop::boot(&[]);
    let mut client = Client::connect(shop.address);
    let (_, bearer) = shop::log_in(&mut client, "ada");
    let paid = client.post("/payments", &payment(&bearer, "p"), r#"{"amount":1000}"#);
    let sequence = paid.json()["sequence"].as_u64().unwrap();
    let refunds = format!("/payments/{sequence}/refunds");
    let refund = client.post(&refunds, &payment(&bearer, "r"), r#"{"amount":400}"#);
    assert_eq!((refund.status, refund.json()["of"].as_u64()), (200, Some(sequence)));
    let again = client.post(&refunds, &payment(&bearer, "r"), r#"{"amount":400}"#);
    assert_eq!(again.json(), refund.json(), "it is not given back twice");

    let me = [("authorization", &*bearer)];
    let balance = client.get("/balance", &me).json();
    assert_eq!(balance["balances"], json!({ "EUR": 600 }));
    let newest = client.get("/statement?limit=1", &me).json();
    assert_eq!(newest["lines"], json!([refund.json()]));
    let older = client.get(&format!("/statement?after={}", newest["next"]), &me).json();
    assert_eq!((&older["lines"], &older["next"]), (&json!([paid.json()]), &Value::Null));

    let above = client.post(&refunds, &payment(&bearer, "s"), r#"{"amount":601}"#);
    check_refusal(&above, 422, "6.00 EUR");
    let nobodys = client.post("/payments/99/refunds", &payment(&bearer, "t"), r#"{"amount":1}"#);
    check_refusal(&nobodys, 422, "no payment 99");
    check_refusal(
        &client.post("/payments/x/refunds", &payment(&bearer, "t"), r#"{"amount":1}"#),
        400,
        "",
    );
    check_refusal(&client.get("/statement?limit=201", &me), 400, "1 to 200");
    check_refusal(&client.get("/statement?limit=x", &me), 400, "");
    check_refusal(&client.get("/statement", &[]), 401, "");
    shop.stop();
}

#[test]
fn an_order_is_paid_and_told_live_and_in_the_inbox() {
    let shop = Shop::boot(&[]);
    let mut client = Client::connect(shop.address);
    let (_, bearer) = shop::log_in(&mut client, "ada");
    let me = [("authorization", &*bearer)];
    let items = client.get("/items?limit=2", &[]).json();
    assert_eq!(items["items"].as_array().unwrap().len(), 2);
    let tea = client.get("/items/tea-linden", &[]).json();
    let price = tea["price"]["cents"].as_i64().unwrap();

    let mut updates = Events::open(shop.address, "/orders/updates", &bearer);
    assert_eq!(updates.next(), ("open".to_owned(), "from now on".to_owned()));
    let lines = r#"{"lines":[{"sku":"tea-linden","quantity":2}]}"#;
    let placed = client.post("/orders", &payment(&bearer, "o"), lines);
    assert_eq!(placed.status, 201, "{placed:?}");
    let id = placed.json()["id"].as_u64().unwrap();
    let kinds: Vec<String> = std::iter::repeat_with(|| {
        let (event, data) = updates.next();
        assert_eq!(event, "order");
        let notice: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(notice["order_id"].as_u64(), Some(id));
        notice["kind"].as_str().unwrap().to_owned()
    })
    .take(3)
    .collect();
    assert_eq!(kinds, ["reserved", "paid", "completed"]);

    // The user is told before it is written down that this was the last step.
    let order = std::iter::repeat_with(|| client.get(&format!("/orders/{id}"), &me).json())
        .find(|order| order["stage"].get("Completed").is_some())
        .unwrap();
    assert_eq!(order["stage"]["Completed"]["total"]["cents"].as_i64(), Some(2 * price));
    assert_eq!(client.get("/orders", &me).json()["orders"], json!([order]));
    let balance = client.get("/balance", &me).json();
    assert_eq!(balance["balances"]["EUR"].as_i64(), Some(2 * price), "{balance}");
    let inbox = client.get("/inbox", &me).json();
    let last = &inbox["messages"][0]["notice"];
    assert_eq!((&last["kind"], &last["order_id"]), (&json!("completed"), &json!(id)));
    let again = client.post("/orders", &payment(&bearer, "o"), lines);
    assert_eq!(again.json()["id"].as_u64(), Some(id), "it is not placed twice");

    let (_, stranger) = shop::log_in(&mut client, "bob");
    let strangers = [("authorization", &*stranger)];
    check_refusal(&client.get(&format!("/orders/{id}"), &strangers), 404, "no order");
    let cancel = client.request("DELETE", &format!("/orders/{id}"), &me, b"").unwrap();
    check_refusal(&cancel, 409, "cannot be cancelled");
    check_refusal(&client.get("/items/no-such-thing", &[]), 404, "no-such-thing");
    let nothing = client.post("/orders", &payment(&bearer, "x"), r#"{"lines":[]}"#);
    check_refusal(&nothing, 422, "1 to 50 lines");
    shop.stop();
}
