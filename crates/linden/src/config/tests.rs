//! Tests of the configuration: what is read, what is refused and in which words, and what is never shown.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Debug;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::*;

/// A file that is gone with the value.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("linden-config-{}-{number}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn load(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let file = File::new(text);
    let env = env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Config::load(Some(&file.0), env).map_err(|error| words(&error, &file.0))
}

/// The error's text with the file called `F`, after making sure that `Debug` is no more talkative.
fn words(error: &ConfigError, file: &Path) -> String {
    let text = error.to_string();
    for secret in SECRETS {
        assert!(!text.contains(secret), "{text}");
        assert!(!format!("{error:?}").contains(secret), "{error:?}");
    }
    text.replace(&file.display().to_string(), "F")
}

/// Values that no error may show.
const SECRETS: [&str; 2] = ["hunter2", "48151623"];

#[track_caller]
fn read<T: serde::de::DeserializeOwned>(text: &str, env: &[(&str, &str)]) -> T {
    load(text, env).unwrap().section("app").unwrap_or_else(|error| panic!("{error}"))
}

/// Reads the section `app` as a `T` and compares the refusal.
#[track_caller]
fn refused<T: serde::de::DeserializeOwned + Debug>(
    text: &str,
    env: &[(&str, &str)],
    expected: &str,
) {
    let file = File::new(text);
    let env = env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::load(Some(&file.0), env).unwrap();
    let error = config.section::<T>("app").expect_err("refused");
    assert_eq!(words(&error, &file.0), expected);
}

#[derive(Debug, PartialEq, Deserialize)]
struct App {
    listen: String,
    port: u16,
    #[serde(default, with = "duration")]
    timeout: Duration,
    #[serde(default)]
    tls: Option<Tls>,
    #[serde(default)]
    routes: Vec<Route>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    labels: HashMap<u8, String>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Tls {
    cert: PathBuf,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Route {
    path: String,
    weight: u8,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Plain,
    Limited {
        per_second: u32,
    },
    Named(String),
}

/// All keys optional, so that one may be tested at a time.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Loose {
    text: String,
    token: String,
    number: Option<i64>,
    big: u64,
    rate: f64,
    on: bool,
    list: Vec<String>,
    pair: (u8, u8),
    table: HashMap<String, u32>,
    at: Option<toml::value::Datetime>,
    #[serde(rename = "camelCase")]
    camel: u8,
    #[serde(rename = "with-dash")]
    dash: u8,
}

// --- reading

#[test]
fn section_is_read_with_all_its_shapes() {
    let text = r#"
        [app]
        listen = "0.0.0.0"
        port = 8080
        timeout = "1m30s"
        mode = { limited = { per_second = 10 } }
        labels = { 1 = "one" }
        [app.tls]
        cert = "/etc/cert"
        [[app.routes]]
        path = "/"
        weight = 1
        [[app.routes]]
        path = "/pay"
        weight = 2
    "#;
    let app: App = read(text, &[]);
    assert_eq!(app.timeout, Duration::from_secs(90));
    assert_eq!(app.tls, Some(Tls { cert: "/etc/cert".into() }));
    assert_eq!(app.routes[1], Route { path: "/pay".to_owned(), weight: 2 });
    assert_eq!(app.mode, Mode::Limited { per_second: 10 });
    assert_eq!(app.labels[&1], "one");
    let named: App = read("app = { listen = '', port = 1, mode = { named = 'x' } }", &[]);
    assert_eq!(named.mode, Mode::Named("x".to_owned()));
}

#[test]
fn absent_table_is_an_empty_table() {
    assert_eq!(read::<Loose>("", &[]), Loose::default());
    let config = Config::load(None, []).unwrap();
    assert_eq!(config.section::<Loose>("app").unwrap(), Loose::default());
    config.section::<()>("app").unwrap();
}

#[test]
fn section_can_be_read_again() {
    let config = load("[app]\nnumber = 1", &[]).unwrap();
    for _ in 0..2 {
        assert_eq!(config.section::<Loose>("app").unwrap().number, Some(1));
    }
}

#[test]
fn numbers_beyond_i64_and_dates_are_read() {
    let loose: Loose =
        read("[app]\nat = 2026-11-22", &[("LINDEN__APP__BIG", "18446744073709551615")]);
    assert_eq!(loose.big, u64::MAX);
    assert_eq!(loose.at.unwrap().to_string(), "2026-11-22");
    let loose: Loose = read("[app]\ntext = 2026-11-22", &[]);
    assert_eq!(loose.text, "2026-11-22");
}

// --- the environment

#[test]
fn variable_overrides_the_file() {
    let loose: Loose = read(
        "[app]\nnumber = 1\nrate = 1.5",
        &[("LINDEN__APP__NUMBER", "2"), ("OTHER__APP__RATE", "3"), ("LINDEN_APP_RATE", "4")],
    );
    assert_eq!((loose.number, loose.rate), (Some(2), 1.5));
}

#[test]
fn variable_needs_no_file() {
    let env = [("LINDEN__APP__ON".to_owned(), "true".to_owned())];
    assert!(Config::load(None, env).unwrap().section::<Loose>("app").unwrap().on);
}

#[test]
fn variable_is_read_as_toml_or_else_as_text() {
    let loose: Loose = read(
        "",
        &[
            ("LINDEN__APP__TEXT", "0.0.0.0:80"),
            ("LINDEN__APP__ON", "true"),
            ("LINDEN__APP__RATE", "2"),
            ("LINDEN__APP__LIST", r#"["a", "b"]"#),
            ("LINDEN__APP__TABLE", "{ x = 1 }"),
            ("LINDEN__APP__TABLE__Y", "2"),
        ],
    );
    assert_eq!((loose.text.as_str(), loose.on, loose.rate), ("0.0.0.0:80", true, 2.0));
    assert_eq!(loose.list, ["a", "b"]);
    assert_eq!((loose.table["x"], loose.table["y"]), (1, 2));
}

#[test]
fn text_is_taken_as_it_stands_where_text_is_wanted() {
    for value in ["12345678", "1e5", "true", "2026-11-22", "inf", "0x10", "", "a b", "[1"] {
        let loose: Loose = read("", &[("LINDEN__APP__TOKEN", value)]);
        assert_eq!(loose.token, value);
    }
    let quoted: Loose = read("", &[("LINDEN__APP__TOKEN", r#""a b""#)]);
    assert_eq!(quoted.token, "a b", "a TOML string is a TOML string");
}

#[test]
fn names_match_without_regard_to_case_and_dashes_stay() {
    let env = [("LINDEN__app__CAMELCASE", "1"), ("LINDEN__APP__WITH-DASH", "2")];
    let loose: Loose = read("", &env);
    assert_eq!((loose.camel, loose.dash), (1, 2));
    let loose: Loose = read("[app]\ncamelCase = 7\nwith-dash = 8", &env);
    assert_eq!((loose.camel, loose.dash), (1, 2));
    let config = load("", &[("LINDEN__MYAPP__NUMBER", "1")]).unwrap();
    config.check_tables(&["MyApp"]).unwrap();
    assert_eq!(config.section::<Loose>("MyApp").unwrap().number, Some(1));
}

#[test]
fn variable_that_names_no_key_is_refused() {
    for name in ["LINDEN__APP", "LINDEN__", "LINDEN__APP__", "LINDEN____X", "LINDEN__A____B"] {
        let error = load("", &[(name, "hunter2")]).unwrap_err();
        assert_eq!(
            error,
            format!("environment variable {name}: the name must be LINDEN__TABLE__KEY")
        );
    }
}

#[test]
fn two_variables_for_one_key_are_refused() {
    let error = load("", &[("LINDEN__APP__X", "1"), ("LINDEN__app__x", "2")]).unwrap_err();
    let expected = "environment variable LINDEN__app__x: sets the same key as LINDEN__APP__X";
    assert_eq!(error, expected);
}

#[test]
fn variable_below_a_value_is_refused() {
    let error = load("[app]\nx = 1", &[("LINDEN__APP__X__Y", "hunter2")]).unwrap_err();
    assert_eq!(error, "environment variable LINDEN__APP__X__Y: `app.x` is not a table");
}

// --- unknown names

#[test]
fn unknown_keys_are_all_listed_with_line_path_and_nearest() {
    let text = "\
[app]
listen = 'x'
prot = 80
port = 81
colour = 'red'

[app.tls]
cret = 'x'
cert = 'y'
";
    refused::<App>(
        text,
        &[("LINDEN__APP__TIMEOUTS", "hunter2")],
        "the configuration has 4 problems
  F:3: unknown key `app.prot`, did you mean `port`? (known: listen, port, timeout, tls, routes, mode, labels)
  F:5: unknown key `app.colour` (known: listen, port, timeout, tls, routes, mode, labels)
  F:8: unknown key `app.tls.cret`, did you mean `cert`? (known: cert)
  environment variable LINDEN__APP__TIMEOUTS: unknown key `app.timeouts`, did you mean `timeout`? (known: listen, port, timeout, tls, routes, mode, labels)",
    );
}

#[test]
fn unknown_keys_are_found_in_arrays_and_variants() {
    refused::<App>(
        "[app]\nlisten = 'x'\nport = 1\nroutes = [\n  { path = '/', weight = 1 },\n  { path = '/', weight = 1, wieght = 2 },\n]",
        &[],
        "F:6: unknown key `app.routes[1].wieght`, did you mean `weight`? (known: path, weight)",
    );
    refused::<App>(
        "[app]\nlisten = 'x'\nport = 1\nmode = { limited = { per_second = 1, x = 1 } }",
        &[],
        "F:4: unknown key `app.mode.limited.x` (known: per_second)",
    );
}

#[test]
fn misspelled_required_key_is_shown_beside_what_is_missing() {
    refused::<App>(
        "\n[app]\nlisten = 'x'\nprot = 80",
        &[],
        "the configuration has 2 problems
  F:4: unknown key `app.prot`, did you mean `port`? (known: listen, port, timeout, tls, routes, mode, labels)
  F:2: key `app.port` is missing",
    );
}

#[test]
fn section_without_keys_takes_none() {
    refused::<()>("[app]\nx = 1", &[], "F:2: unknown key `app.x` (there are no keys)");
}

#[test]
fn deny_unknown_fields_says_the_same() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        #[serde(rename = "port")]
        _port: Option<u16>,
    }
    let expected = "F:2: unknown key `app.prot`, did you mean `port`? (known: port)";
    refused::<Strict>("[app]\nprot = 1", &[], expected);
}

#[test]
fn unknown_tables_are_refused_naming_the_known() {
    let file = File::new("[node]\n[biling]\nx = 1\n[billing]\n[zzz]");
    let env = [("LINDEN__WEBB__PORT".to_owned(), "hunter2".to_owned())];
    let config = Config::load(Some(&file.0), env).unwrap();
    let error = config.check_tables(&["billing", "web"]).expect_err("unknown");
    assert_eq!(
        words(&error, &file.0),
        "the configuration has 3 problems
  F:2: unknown table `biling`, did you mean `billing`? (known: node, log, billing, web)
  F:5: unknown table `zzz` (known: node, log, billing, web)
  environment variable LINDEN__WEBB__PORT: unknown table `webb`, did you mean `web`? (known: node, log, billing, web)"
    );
    config.check_tables(&["billing", "web", "biling", "zzz", "webb"]).unwrap();
}

#[test]
fn keys_outside_of_tables_are_refused() {
    let error = load("port = 1\nnode = 'x'\n[app]", &[]).unwrap_err();
    assert_eq!(
        error,
        "the configuration has 2 problems\n  F:1: `port` is not a table\n  F:2: `node` is not a table"
    );
}

// --- wrong values

#[test]
fn wrong_types_name_file_line_key_and_what_was_expected() {
    for (text, expected) in [
        ("on = 1", "`app.on` must be a boolean, but it is integer `1`"),
        ("number = 'x'", "`app.number` must be i64, but it is string \"x\""),
        ("camelCase = 256", "`app.camelCase` must be u8, but it is integer `256`"),
        ("text = 5", "`app.text` must be a string, but it is integer `5`"),
        ("text = ['x']", "`app.text` must be a string, but it is an array"),
        ("list = 'x'", "`app.list` must be an array, but it is string \"x\""),
        ("list = ['a', 2]", "`app.list[1]` must be a string, but it is integer `2`"),
        ("pair = [1]", "`app.pair` is refused: invalid length 1, expected a tuple of size 2"),
        ("pair = [1, 2, 3]", "`app.pair` is refused: the array has 3 elements, 1 too many"),
        ("table = 1.5", "`app.table` must be a table, but it is floating point `1.5`"),
        ("table = { x = true }", "`app.table.x` must be u32, but it is boolean `true`"),
        ("text = {}", "`app.text` must be a string, but it is a table"),
    ] {
        refused::<Loose>(&format!("\n[app]\n{text}"), &[], &format!("F:3: {expected}"));
    }
}

#[test]
fn wrong_values_of_variables_name_the_variable() {
    refused::<Loose>(
        "[app]\non = true",
        &[("LINDEN__APP__ON", "maybe")],
        "environment variable LINDEN__APP__ON: `app.on` must be a boolean, but it is string \"maybe\"",
    );
}

#[test]
fn wrong_nested_values_say_where() {
    let app = |rest: &str| format!("[app]\nlisten = 'x'\nport = 1\n{rest}");
    for (rest, expected) in [
        (
            "timeout = '5'",
            "F:4: `app.timeout` is refused: the duration has no unit, write for example 5s or 250ms",
        ),
        (
            "timeout = 5",
            "F:4: `app.timeout` must be a duration such as \"5s\", \"250ms\" or \"1h30m\", but it is integer `5`",
        ),
        (
            "mode = 'fast'",
            "F:4: `app.mode` must be one of plain, limited, named, but it is \"fast\"",
        ),
        ("mode = 1", "F:4: `app.mode` must be a string or a table, but it is integer `1`"),
        (
            "mode = { fast = 1 }",
            "F:4: `app.mode` must be one of plain, limited, named, but it is \"fast\"",
        ),
        (
            "mode = { plain = {}, named = 'x' }",
            "F:4: `app.mode` is refused: a table with exactly one key is wanted here",
        ),
        (
            "mode = { limited = { per_second = 'x' } }",
            "F:4: `app.mode.limited.per_second` must be u32, but it is string \"x\"",
        ),
        ("tls = 1", "F:4: `app.tls` must be a table, but it is integer `1`"),
        ("[app.tls]", "F:4: key `app.tls.cert` is missing"),
        ("[[app.routes]]\npath = '/'", "F:4: key `app.routes[0].weight` is missing"),
        ("labels = { x = 'y' }", "F:4: `app.labels.x` must be u8, but it is string \"x\""),
        ("labels = { 300 = 'y' }", "F:4: `app.labels.300` must be u8, but it is string \"300\""),
    ] {
        refused::<App>(&app(rest), &[], expected);
    }
}

#[test]
fn missing_key_of_an_absent_table_has_no_line() {
    refused::<App>("", &[], "F: key `app.listen` is missing");
    refused::<App>("", &[("LINDEN__APP__PORT", "1")], "F: key `app.listen` is missing");
    let error = Config::load(None, []).unwrap().section::<App>("app").expect_err("missing");
    assert_eq!(error.to_string(), "configuration: key `app.listen` is missing");
}

#[test]
fn table_that_is_a_value_is_refused() {
    refused::<Loose>(
        "[app.list]\nx = 1",
        &[],
        "F:1: `app.list` must be an array, but it is a table",
    );
}

// --- secrets

#[test]
fn values_of_secret_keys_are_never_shown() {
    #[derive(Debug, Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Secrets {
        #[serde(rename = "db_password")]
        _a: u8,
        #[serde(rename = "apiToken")]
        _b: Vec<u8>,
        #[serde(rename = "signing-key", with = "duration")]
        _c: Duration,
        #[serde(rename = "secret")]
        _d: Mode,
        #[serde(rename = "secrets")]
        _e: HashMap<String, u8>,
        #[serde(rename = "tokens")]
        _f: Vec<u8>,
    }
    for (text, expected) in [
        ("db_password = 'hunter2'", "F:2: `app.db_password` must be u8, but it is a string"),
        ("db_password = 48151623", "F:2: `app.db_password` must be u8, but it is an integer"),
        ("apiToken = 'hunter2'", "F:2: `app.apiToken` must be an array, but it is a string"),
        (
            "signing-key = 'hunter2'",
            "F:2: `app.signing-key` is refused (its value is not shown, it may be secret)",
        ),
        (
            "secret = 'hunter2'",
            "F:2: `app.secret` must be one of plain, limited, named, but it is something else",
        ),
        ("secrets = { x = 'hunter2' }", "F:2: `app.secrets.x` must be u8, but it is a string"),
        ("tokens = [1, 'hunter2']", "F:2: `app.tokens[1]` must be u8, but it is a string"),
    ] {
        refused::<Secrets>(&format!("[app]\n{text}"), &[], expected);
    }
    refused::<Secrets>(
        "",
        &[("LINDEN__APP__DB_PASSWORD", "hunter2")],
        "environment variable LINDEN__APP__DB_PASSWORD: `app.db_password` must be u8, but it is a string",
    );
}

#[test]
fn values_in_buffered_content_are_not_shown_either() {
    #[derive(Debug, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        #[serde(rename = "basic")]
        Basic {
            #[serde(rename = "password")]
            _password: u8,
        },
    }
    refused::<Tagged>(
        "[app]\nkind = 'basic'\npassword = 'hunter2'",
        &[],
        "F:1: `app` must be u8, but it is a string",
    );
}

#[test]
fn own_validation_is_shown_unless_it_repeats_a_secret() {
    #[derive(Debug, Deserialize)]
    struct Raw {
        password: String,
    }
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "Raw")]
    struct Checked;
    impl TryFrom<Raw> for Checked {
        type Error = String;
        fn try_from(raw: Raw) -> Result<Self, String> {
            match raw.password.as_str() {
                "" => Err("an empty password will not do".to_owned()),
                other => Err(format!("{other:?} will not do")),
            }
        }
    }
    let hidden = "F:1: `app` is refused (its value is not shown, it may be secret)";
    refused::<Checked>("[app]\npassword = 'hunter2'", &[], hidden);
    refused::<Checked>("[app]\npassword = 'hunter2\"\\'", &[], hidden);
}

#[test]
fn own_validation_is_shown_when_nothing_is_secret() {
    #[derive(Debug, Deserialize)]
    struct Raw {
        low: u8,
        high: u8,
    }
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "Raw")]
    struct Range;
    impl TryFrom<Raw> for Range {
        type Error = String;
        fn try_from(raw: Raw) -> Result<Self, String> {
            Err(format!("{} is above {}", raw.low, raw.high))
        }
    }
    refused::<Range>("[app]\nlow = 2\nhigh = 1", &[], "F:1: `app` is refused: 2 is above 1");
}

#[test]
fn debug_of_a_configuration_shows_no_values() {
    let config = load("[app]\npassword = 'hunter2'", &[]).unwrap();
    let text = format!("{config:?}");
    assert!(text.contains("app") && !text.contains("hunter2"), "{text}");
}

// --- files

#[test]
fn syntax_error_names_line_and_column_but_shows_nothing() {
    for (text, place) in [
        ("[app]\ntoken = hunter2", "F:2:9: "),
        ("[app]\ntoken = 'hunter2", "F:2:"),
        ("[app]\nü = 'hunter2' hunter2", "F:2:15: "),
        ("[app]\n[app]", "F:2:"),
        ("x = ", "F:1:"),
    ] {
        let error = load(text, &[]).unwrap_err();
        assert!(error.starts_with(place), "{text:?}: {error}");
    }
}

#[test]
fn missing_file_is_an_error_with_its_source() {
    let path = Path::new("/nowhere/linden.toml");
    let error = Config::load(Some(path), []).expect_err("missing");
    let text = error.to_string();
    assert!(text.starts_with("cannot read /nowhere/linden.toml; check that the path"), "{text}");
    assert!(error.source().is_some());
}

#[test]
fn table_names_come_in_the_order_of_the_file() {
    let config = load("[web]\n[app]\n[billing.x]", &[("LINDEN__AUTH__X", "1")]).unwrap();
    assert_eq!(config.table_names().collect::<Vec<_>>(), ["web", "app", "billing", "auth"]);
}

#[test]
fn windows_line_ends_and_multibyte_text_keep_the_lines() {
    let text = "[app]\r\ntext = 'ünï'\r\non = 5\r\n";
    refused::<Loose>(text, &[], "F:3: `app.on` must be a boolean, but it is integer `5`");
}

// --- the node's own sections

#[test]
fn node_and_log_have_defaults() {
    let config = Config::load(None, []).unwrap();
    let node: NodeConfig = config.section("node").unwrap();
    assert_eq!(node, NodeConfig::default());
    assert_eq!((node.name, node.shutdown_grace), (None, Duration::from_secs(30)));
    let log: LogConfig = config.section("log").unwrap();
    assert_eq!((log.directives(), log.format), ("info", LogFormat::Readable));
}

#[test]
fn node_and_log_are_read() {
    let text = "
        [node]
        name = 'shop@host'
        workers = 2
        shutdown_grace = '250ms'
        [log]
        level = 'debug'
        format = 'json'
    ";
    let config = load(text, &[("LINDEN__NODE__BLOCKING_THREADS_MAX", "64")]).unwrap();
    let node: NodeConfig = config.section("node").unwrap();
    assert_eq!(node.name.as_deref(), Some("shop@host"));
    assert_eq!(node.workers, NonZeroUsize::new(2));
    assert_eq!(node.blocking_threads_max, NonZeroUsize::new(64));
    assert_eq!(node.shutdown_grace, Duration::from_millis(250));
    let log: LogConfig = config.section("log").unwrap();
    assert_eq!((log.directives(), log.format), ("debug", LogFormat::Json));
    let config = load(text, &[("LINDEN__LOG__FILTER", "warn,linden=trace")]).unwrap();
    let log: LogConfig = config.section("log").unwrap();
    assert_eq!(log.directives(), "warn,linden=trace");
}

#[test]
fn level_names_are_what_is_read() {
    for name in ["off", "error", "warn", "info", "debug", "trace"] {
        let config = load(&format!("[log]\nlevel = '{name}'"), &[]).unwrap();
        assert_eq!(config.section::<LogConfig>("log").unwrap().directives(), name);
    }
}

#[test]
fn node_without_workers_is_refused() {
    let file = File::new("[node]\nworkers = 0");
    let error = Config::load(Some(&file.0), []).unwrap().section::<NodeConfig>("node");
    let text = words(&error.expect_err("zero"), &file.0);
    assert_eq!(text, "F:2: `node.workers` must be a nonzero usize, but it is integer `0`");
}
