//! `shop` from outside: what it prints, serves and refuses, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

#[path = "support/http.rs"]
mod http;
#[path = "support/program.rs"]
mod program;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use http::Client;
use program::{Ended, Program, run, shop};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

const CREDENTIALS: &str = r#"{"name":"ada","password":"correct horse"}"#;

/// Starts `shop` on a free port, with its data below this directory.
fn serve(directory: &Path) -> Program {
    Program::start(&mut serve_command(directory))
}

fn serve_command(directory: &Path) -> Command {
    let mut command = shop(directory, &["--listen", "127.0.0.1:0"]);
    command.env("LINDEN__AUTH__HASH_COST", "{ memory_kib = 8, passes = 1, lanes = 1 }");
    command
}

/// Registers and logs in: the value of `Authorization`.
fn log_in(client: &mut Client) -> String {
    assert_eq!(client.post("/register", &[], CREDENTIALS).status, 201);
    let token = client.post("/login", &[], CREDENTIALS).json()["token"].clone();
    format!("Bearer {}", token.as_str().unwrap())
}

#[test]
fn it_says_once_what_runs_and_where() {
    let directory = tempfile::tempdir().unwrap();
    let shop = serve(directory.path());
    let said = shop.announced.join("\n");
    for words in [
        "shop@127.0.0.1 is ready after ",
        "workers       ",
        "applications  auth, billing, catalog, notifications, orders, data_processing, web",
        "processes     ",
        &format!("serving       http://{}/", shop.address),
    ] {
        assert!(said.contains(words), "{words:?} is not in:\n{said}");
    }
    shop.terminate();
    let ended = shop.ended();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{}", ended.stderr);
    let files: Vec<_> = fs::read_dir(directory.path().join("data")).unwrap().collect();
    assert_eq!(
        files.len(),
        6,
        "a file for each application that keeps something, and the key: {files:?}"
    );
}

#[test]
fn it_takes_a_payment_once_and_remembers_it() {
    let directory = tempfile::tempdir().unwrap();
    let shop = serve(directory.path());
    let mut client = Client::connect(shop.address);
    let bearer = log_in(&mut client);
    let payment = [("authorization", bearer.as_str()), ("idempotency-key", "order-77")];
    let first = client.post("/payments", &payment, r#"{"amount":1234}"#);
    assert_eq!((first.status, &first.json()["amount"]["cents"]), (200, &json!(1234)));
    let again = client.post("/payments", &payment, r#"{"amount":1234}"#);
    assert_eq!(again.body, first.body);
    shop.terminate();
    assert_eq!(shop.ended().code, Some(0));

    // Accounts, tokens and payments are there again after a restart.
    let shop = serve(directory.path());
    let mut client = Client::connect(shop.address);
    let balance = client.get("/balance", &[("authorization", &bearer)]);
    assert_eq!(balance.json(), json!({ "user_id": 1, "balances": { "EUR": 1234 } }));
    assert_eq!(client.post("/payments", &payment, r#"{"amount":1234}"#).body, first.body);
}

#[test]
fn a_request_that_was_begun_is_answered_before_a_signal_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut shop = serve(directory.path());
    let (begin, end) = ("day,amount\nmon,1\n", "mon,2\n");
    let mut begun = Client::connect(shop.address);
    let len = begin.len() + end.len();
    let bearer = log_in(&mut begun);
    let me = [("authorization", bearer.as_str())];
    begun.send_head("POST", "/ingest?key=day&value=amount", &me, len).unwrap();
    begun.send(begin.as_bytes()).unwrap();
    // The request is being served when its job is there.
    let mut other = Client::connect(shop.address);
    while other.get("/jobs", &me).json() == json!([]) {}

    shop.terminate();
    shop.wait_for_log("draining");
    // Newcomers are not let in any more; who is in gets an answer.
    while TcpStream::connect(shop.address).is_ok() {}
    begun.send(end.as_bytes()).unwrap();
    let response = begun.receive().unwrap();
    assert_eq!((response.status, &response.json()["keys"][0]["sum"]), (200, &json!("3")));
    assert_eq!(shop.ended().code, Some(0));
}

#[test]
fn the_example_configuration_is_accepted_with_all_its_keys() {
    let directory = tempfile::tempdir().unwrap();
    let example = include_str!("../../linden.toml");
    // TLS has a test of its own, with a client that speaks it.
    let is_key = |line: &str| {
        let key = line.split_once(" = ").map_or("", |(key, _)| key);
        !key.is_empty()
            && key != "tls"
            && key.chars().all(|c| c.is_ascii_lowercase() || "_.".contains(c))
    };
    let with_keys = |prefixes: &[&str]| {
        let key_of = |line: &'static str| {
            prefixes.iter().filter_map(|prefix| line.strip_prefix(prefix)).find(|key| is_key(key))
        };
        example.lines().map(|line| key_of(line).unwrap_or(line)).collect::<Vec<_>>().join("\n")
    };
    let (defaults, all_keys) = (with_keys(&["# "]), with_keys(&["# ", "#   "]));
    assert!(defaults.contains("\nchaos = false") && defaults.contains("\nworkers = 4"));
    assert!(all_keys.contains("\nroutes = ") && all_keys.contains("\nedge.rate = "));
    fs::create_dir(directory.path().join("assets")).unwrap();
    let texts = [("example.toml", example), ("defaults.toml", &defaults), ("all.toml", &all_keys)];
    for (name, text) in texts {
        fs::write(directory.path().join(name), text).unwrap();
        let args =
            ["--config", name, "--listen", "127.0.0.1:0", "--data", name.trim_end_matches(".toml")];
        let shop = Program::start(&mut shop(directory.path(), &args));
        assert_eq!(Client::connect(shop.address).get("/readyz", &[]).status, 200);
    }
    assert!(directory.path().join("all/billing.redb").exists());
}

/// A program that is gone when the test is over.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// proves: APP-13
#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let child = shop(directory.path(), &["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let Killed(child) = &mut Killed(child);
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let address = stdout.lines().find_map(|line| -> Option<SocketAddr> {
        line.unwrap().split_once("http://")?.1.trim_end_matches('/').parse().ok()
    });
    // More than a pipe and the queue hold: each request is a line of some 200 bytes.
    let mut client = Client::connect(address.unwrap());
    let id = "x".repeat(128);
    for _ in 0..8000 {
        assert_eq!(client.get("/healthz", &[("x-request-id", &id)]).status, 200);
    }
    // What was dropped is told once it is read on.
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (told, hears) = mpsc::channel();
    thread::spawn(move || {
        for line in stderr.lines() {
            let _ = told.send(line.unwrap());
        }
    });
    let notice = std::iter::from_fn(|| {
        assert_eq!(client.get("/healthz", &[]).status, 200);
        Some(hears.try_iter().find(|line| line.contains("linden::log")))
    });
    let notice = notice.flatten().next().unwrap();
    assert!(notice.contains("dropped="), "{notice}");
}

/// The program ends with this code and says this on one line.
#[track_caller]
fn check_refusal(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    let errors: Vec<_> = ended.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    let [error] = errors[..] else { panic!("not one error line: {ended:?}") };
    for word in words {
        assert!(error.contains(word) || ended.stderr.contains(word), "{word:?}: {ended:?}");
    }
    assert_eq!(ended.stdout, "");
}

#[test]
fn wrong_usage_and_configuration_end_with_2_and_the_mend() {
    let directory = tempfile::tempdir().unwrap();
    let config = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    config("key.toml", "[web]\nlissten = \"127.0.0.1:0\"\n");
    config("table.toml", "[biling]\n");
    config("value.toml", "[billing]\nwaiting_max = \"many\"\n");
    config("syntax.toml", "[web\n");
    for (args, words) in [
        (&["--lisen", "x"][..], &["unexpected argument '--lisen'", "--listen"][..]),
        (&["--listen", "8080"], &["invalid value '8080'", "such as 127.0.0.1:8080"]),
        (&["serve"], &["unrecognized subcommand 'serve'"]),
        (&["--config", "none.toml"], &["cannot read none.toml", "No such file"]),
        (&["--config", "key.toml"], &["key.toml:2", "`web.lissten`", "did you mean `listen`"]),
        (&["--config", "table.toml"], &["table.toml:1", "`biling`", "did you mean `billing`"]),
        (&["--config", "value.toml"], &["value.toml:2", "`billing.waiting_max`"]),
        (&["--config", "syntax.toml"], &["syntax.toml:1"]),
    ] {
        check_refusal(&run(&mut shop(directory.path(), args)), 2, words);
    }
    let mut by_environment = shop(directory.path(), &["--listen", "127.0.0.1:0"]);
    let ended = run(by_environment.env("LINDEN__WEB__DRAIN_GRACE", "soon"));
    check_refusal(&ended, 2, &["LINDEN__WEB__DRAIN_GRACE", "web.drain_grace"]);
}

#[test]
fn a_taken_port_ends_it_with_1_and_the_mend() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = run(&mut shop(directory.path(), &["--listen", &address]));
    check_refusal(&ended, 1, &["application web", &address, "in use", "stop it", "--listen"]);
}

#[test]
fn data_that_cannot_be_written_end_it_with_1_and_the_mend() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    let args = ["--listen", "127.0.0.1:0", "--data", "file/data"];
    let ended = run(&mut shop(directory.path(), &args));
    check_refusal(&ended, 1, &["application auth", "file/data", "Not a directory", "--data"]);

    let running = serve(directory.path());
    let ended = run(&mut shop(directory.path(), &["--listen", "127.0.0.1:0"]));
    check_refusal(
        &ended,
        1,
        &["application auth", "data/auth.redb is in use", "stop the other program", "--data"],
    );
    drop(running);
}

#[test]
fn visitors_find_their_money_and_the_files_agree_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let shop = serve(directory.path());
    let address = shop.address.to_string();
    let args = ["demo", "--shop", &address, "--visitors", "4", "--seconds", "2"];
    let demo = run(&mut self::shop(directory.path(), &args));
    assert_eq!(demo.code, Some(0), "{}", demo.stderr);
    for words in [
        "route  ",
        "POST /payments",
        "POST /orders",
        "GET /orders/ID",
        " orders were completed",
        "4 visitors hold",
        "balances agree",
    ] {
        assert!(demo.stdout.contains(words), "{words:?} is not in:\n{}", demo.stdout);
    }
    assert!(demo.stderr.contains("requests/s"), "{}", demo.stderr);
    shop.terminate();
    assert_eq!(shop.ended().code, Some(0));

    let verified = run(&mut self::shop(directory.path(), &["verify"]));
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""), "{}", verified.stdout);
    assert_eq!(verified.stdout.lines().filter(|line| line.starts_with("  ok  ")).count(), 7);
    fs::remove_file(directory.path().join("data/orders.redb")).unwrap();
    let verified = run(&mut self::shop(directory.path(), &["verify"]));
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(1), "error: 1 checks failed\n"));
    assert!(verified.stdout.contains("FAIL  orders: "), "{}", verified.stdout);
}

#[test]
fn visitors_use_a_shop_under_tls_and_refuse_one_that_they_do_not_trust() {
    let directory = tempfile::tempdir().unwrap();
    let [cert, key] = ["shop.pem", "shop.key"].map(|name| directory.path().join(name));
    let pair = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["shop.example".to_owned()]).unwrap();
    fs::write(&cert, params.self_signed(&pair).unwrap().pem()).unwrap();
    fs::write(&key, pair.serialize_pem()).unwrap();
    let files = format!("{{ certificates = [{{ cert = {cert:?}, key = {key:?} }}] }}");
    let shop = Program::start(serve_command(directory.path()).env("LINDEN__WEB__TLS", files));
    assert!(shop.announced.iter().any(|line| line.contains(" https://")), "{:?}", shop.announced);
    let address = shop.address.to_string();
    let demo = |args: &[&str]| {
        let few = ["demo", "--shop", &address, "--visitors", "2", "--seconds", "1"];
        run(&mut self::shop(directory.path(), &[&few, args].concat()))
    };
    let done = demo(&["--trust", "shop.pem", "--host", "shop.example"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.contains("balances agree"), "{}", done.stdout);
    for (args, words) in [
        (&["--trust", "shop.pem"][..], "--host its name"),
        (&["--trust", "shop.key", "--host", "shop.example"], "--trust takes a file of PEM"),
        (&["--trust", "none.pem", "--host", "shop.example"], "none.pem holds no certificates"),
        (&["--trust", "shop.pem", "--host", "a b"], "--host takes one such as"),
    ] {
        let refused = demo(args);
        assert_eq!(refused.code, Some(1), "{args:?}");
        assert!(refused.stderr.contains(words), "{args:?}: {}", refused.stderr);
    }
    shop.terminate();
    assert_eq!(shop.ended().code, Some(0));
}

#[test]
fn a_demo_without_a_shop_says_how_to_start_one() {
    let directory = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let demo = run(&mut shop(directory.path(), &["demo", "--shop", &nobody]));
    assert_eq!(demo.code, Some(1));
    assert!(demo.stderr.contains("`shop run`"), "{}", demo.stderr);
}
