//! What a node writes to standard error, for people and as JSON; and what other subscribers get.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use linden::config::LogFormat;
use linden::log::Lines;
use linden::prelude::*;
use linden::supervisor::decision::{AutoShutdown, Shutdown};
use linden::{
    CrashReporter, DeadLetterReporter, MailboxAlarm, MailboxListener, MailboxReporter, NodeOptions,
    TraceContext,
};
use linden_core::{ExitEvent, ExitListener, Simulation};
use program::{again, role};
use serde_json::Value;
use stage::{Journal, quiet, settle};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt};

#[path = "support/program.rs"]
mod program;
#[path = "support/stage.rs"]
mod stage;

/// Whose crash is reported.
#[derive(Debug, Default)]
struct Billing {
    cents: u64,
}

#[gen_server(name = "billing_service")]
impl Billing {
    #[call]
    fn pay(&mut self, cents: u64) -> u64 {
        self.cents += cents;
        tracing::info!(user = 7, "paid");
        self.cents
    }

    #[cast]
    fn book(&mut self) {
        panic!("no such account\n2026-11-23T00:00:00.000Z ERROR forged")
    }

    #[call]
    fn wait(&mut self, cx: &mut Context<Self>) {
        cx.client().book();
    }
}

/// A server that ends as it is told.
#[derive(Debug)]
struct Actor(&'static str);

#[gen_server]
impl Actor {
    #[init]
    fn begin(&mut self, cx: &mut Context<Self>) -> Result<(), Stop> {
        cx.trap_exit(self.0 == "deaf");
        if self.0 == "refuses" { Err(Stop::because("no disk")) } else { Ok(()) }
    }

    #[cast]
    fn end(&mut self, reason: Reason, cx: &mut Context<Self>) {
        cx.stop(reason);
    }

    #[terminate]
    async fn end_never(&mut self) {
        if self.0 == "deaf" {
            std::future::pending::<()>().await;
        }
    }
}

struct BillingApp;

impl Application for BillingApp {
    const NAME: &'static str = "billing";
    type Config = linden::NoConfig;

    fn start(&self, _: linden::NoConfig) -> Result<Supervisor, BoxError> {
        let supervisor = Supervisor::one_for_one().name("billing_sup").intensity(3, 5.secs());
        Ok(supervisor.child(child("ledger", Billing::default)))
    }
}

/// The program whose log is looked at: the server is called, crashes twice, and the node stops.
fn play(format: &str) {
    let run = async {
        let builder = NodeBuilder::new().application(BillingApp).set("log", "format", format);
        let booted = builder.set("node", "workers", 2).boot().await.expect("it boots");
        let billing = Billing::named_on(&booted.node);
        assert_eq!(billing.pay(5).await, Ok(5));
        for _ in 0..2 {
            let old = billing.pid().expect("it lives");
            billing.wait().await.expect("it lives");
            booted.node.wait_exit(old).await;
            while billing.pid().is_none() {
                tokio::task::yield_now().await;
            }
        }
        booted.stop().await.expect("it stops");
    };
    linden_core::block_on(run);
}

/// The lines of standard error of a program that `test` plays.
fn lines(test: &str, role: &str) -> Vec<String> {
    let output = again(test, role).output().expect("it runs");
    let text = String::from_utf8(output.stderr).expect("the log is text");
    assert!(output.status.success(), "{text}");
    text.lines().map(str::to_owned).collect()
}

/// The line that contains `what`, and the indented ones below it.
#[track_caller]
fn report<'a>(lines: &'a [String], what: &str) -> Vec<&'a str> {
    let at = lines.iter().position(|line| line.contains(what));
    let at = at.unwrap_or_else(|| panic!("{what:?} is nowhere in {lines:#?}"));
    let below = lines[at + 1..].iter().take_while(|line| line.starts_with("  "));
    std::iter::once(&lines[at]).chain(below).map(String::as_str).collect()
}

/// The text with each pid as `<>`.
fn without_pids(text: &str) -> String {
    let mut parts = text.split('<');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str("<>");
        plain.push_str(part.split_once('>').map_or("", |(_, rest)| rest));
    }
    plain
}

// proves: APP-10
#[test]
fn a_crash_is_reported_readably_over_several_lines() {
    if role().is_some() {
        return play("readable");
    }
    let lines = lines("a_crash_is_reported_readably_over_several_lines", "play");
    let crash = report(&lines, "crash report");
    let (time, rest) = crash[0].split_once(' ').expect("a time stamp");
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    let head = "ERROR linden::crash: crash report: billing_service <> of application billing ended";
    assert_eq!(without_pids(rest), head);
    assert_eq!(crash[1], "  reason: panicked: no such account");
    assert_eq!(crash[2], "    2026-11-23T00:00:00.000Z ERROR forged", "it can begin no line");
    assert!(crash[3].starts_with("  location: crates/linden/tests/log_output.rs:"), "{}", crash[3]);
    assert_eq!(
        crash[4..7],
        ["  last message: book", "  state: Billing { cents: 5 }", "  restarts so far: 0"]
    );
    assert_eq!(crash[7], "  unread messages: 0");
    assert_eq!(without_pids(crash[8]), "  ancestors: <>");

    let ended = report(&lines, "ended");
    assert_eq!(ended, crash, "the crash comes first");
    let ended = report(&lines, "supervisor report");
    let (_, rest) = ended[0].split_once(' ').expect("a time stamp");
    let head = "ERROR linden::supervisor: supervisor report: billing_sup <> of application billing: \
                child ledger <> ended";
    assert_eq!(without_pids(rest), head);
    assert_eq!(ended[1], "  reason: panicked: no such account");
    assert_eq!(ended.last(), Some(&"  restarts: 1 in the last 5s, 3 allowed"));
    let again = report(&lines, "restarted");
    assert!(again[0].contains(" INFO linden::supervisor"), "{}", again[0]);

    let text = lines.join("\n");
    assert!(text.contains("restarts so far: 1") && text.contains("2 in the last 5s"), "{text}");
    for line in &lines {
        assert!(line.starts_with("  ") || line.starts_with("20"), "{line}");
    }
    let paid =
        lines.iter().find(|line| line.ends_with("paid user=7")).expect("an event of the server");
    let (_, rest) = paid.split_once(' ').expect("a time stamp");
    assert_eq!(without_pids(rest), " INFO billing <> billing_service log_output: paid user=7");
}

// proves: APP-11
#[test]
fn the_log_is_one_json_object_a_line_with_the_reports_fields() {
    if role().is_some() {
        return play("json");
    }
    let lines = lines("the_log_is_one_json_object_a_line_with_the_reports_fields", "play");
    let events: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let of =
        |report: &str| events.iter().filter(|event| event["report"] == report).collect::<Vec<_>>();
    let crashes = of("crash");
    assert_eq!(crashes.len(), 2);
    let crash = crashes[1].as_object().expect("an object");
    let keys: Vec<&str> = crash.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "ancestors",
            "application",
            "last_message",
            "level",
            "location",
            "message",
            "name",
            "pid",
            "reason",
            "report",
            "restarts_so_far",
            "state",
            "target",
            "timestamp",
            "unread_messages"
        ]
    );
    assert_eq!(crash["name"], "billing_service");
    assert_eq!(crash["application"], "billing");
    assert_eq!(crash["restarts_so_far"], 1);
    assert_eq!(crash["state"], "Billing { cents: 0 }");
    assert_eq!(crash["reason"], "panicked: no such account\n2026-11-23T00:00:00.000Z ERROR forged");
    assert!(crash["ancestors"].as_array().is_some_and(|ancestors| ancestors.len() == 1));

    let supervisor = of("supervisor");
    let what: Vec<&str> = supervisor.iter().filter_map(|event| event["what"].as_str()).collect();
    assert_eq!(what, ["crashed", "restarted", "crashed", "restarted"]);
    let second = supervisor[2];
    assert_eq!((&second["restarts_in_period"], &second["restarts_max"]), (&2.into(), &3.into()));
    assert_eq!((&second["child"], &second["period"]), (&"ledger".into(), &"5s".into()));
    assert_eq!(second["name"], "billing_sup", "the process that wrote it");
    assert_eq!(second["application"], "billing");

    let paid =
        events.iter().find(|event| event["message"] == "paid").expect("an event of the server");
    assert_eq!((&paid["user"], &paid["level"]), (&7.into(), &"INFO".into()));
    assert_eq!(
        (&paid["name"], &paid["application"]),
        (&"billing_service".into(), &"billing".into())
    );
    assert!(paid["pid"].as_str().is_some_and(|pid| pid.starts_with('<')));
}

#[test]
fn the_filter_decides_what_is_written() {
    if let Some(role) = role() {
        let builder = NodeBuilder::new().application(BillingApp);
        let builder = match role.as_str() {
            "off" => builder.set("log", "level", "off"),
            _ => builder.set("log", "filter", "off,linden::supervisor=debug"),
        };
        let run = async { builder.boot().await.expect("it boots").stop().await };
        return linden_core::block_on(run).expect("it stops");
    }
    let name = "the_filter_decides_what_is_written";
    assert_eq!(lines(name, "off"), [""; 0]);
    let lines = lines(name, "supervisors");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("DEBUG linden::supervisor: supervisor report"), "{}", lines[0]);
    assert!(lines[0].ends_with("started"), "{}", lines[0]);
}

// ---- Other subscribers

/// Fields of an event, as texts.
type Fields = BTreeMap<&'static str, String>;

/// Keeps the events of Linden's own targets.
struct Keep(Journal<Fields>);

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        struct Read(Fields);
        impl Visit for Read {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                self.0.insert(field.name(), format!("{value:?}"));
            }
            fn record_str(&mut self, field: &Field, value: &str) {
                self.0.insert(field.name(), value.to_owned());
            }
        }
        let mut read = Read(Fields::new());
        read.0.insert("level", event.metadata().level().to_string());
        event.record(&mut read);
        self.0.write(read.0);
    }
}

/// The events of a scenario on a simulated node that reports its crashes.
fn events<F: Future<Output = ()>>(scenario: impl FnOnce(Node) -> F) -> Vec<Fields> {
    events_of(NodeOptions { exit_listener: Some(Arc::new(CrashReporter)), ..quiet() }, scenario)
}

fn events_of<F: Future<Output = ()>>(
    options: NodeOptions,
    scenario: impl FnOnce(Node) -> F,
) -> Vec<Fields> {
    let journal = Journal::new();
    let subscriber = tracing_subscriber::registry().with(Keep(journal.clone()));
    tracing::subscriber::with_default(subscriber, || {
        let mut simulation = Simulation::with_options(1, options);
        let node = simulation.node().clone();
        simulation.run(scenario(node));
    });
    journal.entries()
}

fn values(events: &[Fields], field: &str) -> Vec<String> {
    events.iter().filter_map(|event| event.get(field).cloned()).collect()
}

// proves: APP-11
#[test]
fn any_subscriber_gets_the_fields_of_a_report() {
    let events = events(|_| async {
        let supervisor = Supervisor::one_for_one().child(child("ledger", Billing::default));
        let _supervisor = supervisor.start().await.expect("it starts");
        Billing::named().book();
        settle().await;
    });
    let crash = events.iter().find(|event| event["message"] == "process crashed");
    let crash = crash.expect("a crash report");
    let fields: BTreeSet<&str> = crash.keys().copied().collect();
    let expected = BTreeSet::from([
        "ancestors",
        "last_message",
        "level",
        "location",
        "message",
        "name",
        "pid",
        "reason",
        "report",
        "restarts_so_far",
        "state",
        "unread_messages",
    ]);
    assert_eq!(fields, expected, "what is not known is left out");
    assert_eq!(crash["report"], "crash");
    assert_eq!(crash["state"], "Billing { cents: 0 }");
    assert_eq!(values(&events, "what"), ["started", "crashed", "restarted"]);
    assert_eq!(values(&events, "level"), ["DEBUG", "ERROR", "ERROR", "INFO"]);
}

// proves: DEAD-04
#[test]
fn dead_letters_are_logged_with_target_type_and_trace_and_a_storm_in_part() {
    let options =
        NodeOptions { dead_letter_listener: Some(Arc::new(DeadLetterReporter)), ..quiet() };
    let events = events_of(options, |node| async move {
        let ghost = node.named::<u64>("ghost");
        for number in 0..15 {
            ghost.send(number).expect_err("nobody has the name");
        }
        let waits = node.spawn(async |mut cx: linden::Cx<()>| {
            cx.recv_timeout(1.secs()).await;
            linden::set_trace(Some(TraceContext::begin([0x1f; 16], [2; 8])));
            let node = cx.node().clone();
            node.named::<u64>("ghost").send(0).expect_err("nobody has the name");
        });
        node.wait_exit(waits.pid()).await;
    });
    assert_eq!(values(&events, "message"), ["message dropped"; 11]);
    assert_eq!(values(&events, "to"), ["ghost"; 11]);
    assert_eq!(values(&events, "dropped"), ["u64"; 11]);
    assert_eq!(values(&events, "reason"), ["no_process"; 11]);
    assert_eq!(values(&events, "untold"), ["5"]);
    assert_eq!(values(&events, "trace_id"), ["1f".repeat(16)]);
    assert_eq!(values(&events, "found_by").len(), 1);
}

/// Passes on what the watch's thread tells a reporter, under a subscriber of the test's.
struct OnWatch(Journal<Fields>);

impl OnWatch {
    fn under<R>(&self, tell: impl FnOnce() -> R) -> R {
        let subscriber = tracing_subscriber::registry().with(Keep(self.0.clone()));
        tracing::subscriber::with_default(subscriber, tell)
    }
}

impl ExitListener for OnWatch {
    fn process_exited(&self, event: &ExitEvent<'_>) {
        self.under(|| CrashReporter.process_exited(event));
    }
}

impl MailboxListener for OnWatch {
    fn above_watermark(&self, alarm: &MailboxAlarm) {
        self.under(|| MailboxReporter.above_watermark(alarm));
    }
}

// proves: FAIR-07, LIMIT-08
#[test]
fn zombies_and_mailboxes_that_are_too_long_are_logged_with_who_it_is() {
    let journal = Journal::new();
    let node = Node::start(NodeOptions {
        workers: 2,
        exit_listener: Some(Arc::new(OnWatch(journal.clone()))),
        mailbox_listener: Some(Arc::new(OnWatch(journal.clone()))),
        mailbox_watermark: Some(10),
        ..quiet()
    })
    .expect("the system gives threads");
    let (lets_end, ends) = std::sync::mpsc::channel::<()>();
    let (begins, begun) = std::sync::mpsc::channel();
    let stuck = node.spawn(|cx: linden::Cx<u64>| async move {
        cx.register("the stuck one").expect("the name is free");
        begins.send(()).expect("the test waits");
        // Keeps its worker, which no process should.
        let _ = ends.recv();
    });
    begun.recv().expect("it runs");
    (0..20).for_each(|number| stuck.send(number).expect("it lives"));
    let said = |message: &str| {
        let is_it = |event: &Fields| event["message"].starts_with(message);
        journal.entries().into_iter().find(is_it)
    };
    let until_said = |message: &str| loop {
        match said(message) {
            Some(event) => break event,
            None => std::thread::yield_now(),
        }
    };
    let alarm = until_said("more messages wait on this node");
    assert_eq!((&*alarm["level"], &*alarm["watermark"]), ("WARN", "10"));
    assert!(alarm["longest"].starts_with(&format!("the stuck one {} (", stuck.pid())), "{alarm:?}");
    node.exit(stuck.pid(), Reason::Kill);
    let zombie = until_said("killed while its code did not give its worker back");
    assert_eq!((&*zombie["level"], &*zombie["name"]), ("WARN", "the stuck one"));
    assert_eq!(zombie["pid"], stuck.pid().to_string());
    assert!(said("process crashed").is_none(), "it was ended, and has not crashed");
    lets_end.send(()).expect("it waits");
    node.stop(1.secs());
}

/// What a node logs whose server is asked for a payment and to crash, in a trace.
fn traced_log(format: LogFormat) -> Vec<String> {
    let journal = Journal::new();
    let kept = journal.clone();
    let lines = Lines::new(format).write_to(move |line| kept.write(line.to_owned()));
    let subscriber = tracing_subscriber::registry().with(lines);
    tracing::subscriber::with_default(subscriber, || {
        let options = NodeOptions { exit_listener: Some(Arc::new(CrashReporter)), ..quiet() };
        Simulation::with_options(1, options).run(async {
            let billing = Billing::start(Billing::default).await.expect("it starts");
            linden::spawn(async move |_: linden::Cx<()>| {
                linden::set_trace(Some(TraceContext::begin([0x1f; 16], [2; 8])));
                billing.pay(5).await.expect("it lives");
                tracing::info!(trace_id = "own", "said by the event itself");
                linden::set_trace(None);
                billing.pay(6).await.expect("it lives");
                linden::set_trace(Some(TraceContext::begin([0x2f; 16], [2; 8])));
                billing.book();
            });
            settle().await;
        });
    });
    journal.entries()
}

// proves: TRACE-03
#[test]
fn lines_and_crash_reports_name_the_trace_of_the_process() {
    let lines = traced_log(LogFormat::Readable);
    let [paid, own, untraced, crash] = &lines[..] else { panic!("{lines:?}") };
    assert!(paid.ends_with(&format!("paid user=7 trace_id={}\n", "1f".repeat(16))), "{paid}");
    assert!(own.ends_with("said by the event itself trace_id=own\n"), "{own}");
    assert!(untraced.ends_with("paid user=7\n"), "{untraced}");
    assert!(crash.contains(&format!("\n  trace: {}\n", "2f".repeat(16))), "{crash}");

    let lines = traced_log(LogFormat::Json);
    let parse = |line: &String| serde_json::from_str::<Value>(line).expect("it is JSON");
    let traces: Vec<Value> = lines.iter().map(|line| parse(line)["trace_id"].clone()).collect();
    let expected = ["1f".repeat(16).into(), "own".into(), Value::Null, "2f".repeat(16).into()];
    assert_eq!(traces, expected);
}

// proves: APP-11
#[test]
fn a_programs_own_subscriber_writes_the_nodes_lines_by_its_layer() {
    for format in [LogFormat::Readable, LogFormat::Json] {
        let journal = Journal::new();
        let kept = journal.clone();
        let lines = Lines::new(format).write_to(move |line| kept.write(line.to_owned()));
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || {
            let options = NodeOptions { exit_listener: Some(Arc::new(CrashReporter)), ..quiet() };
            Simulation::with_options(1, options).run(async {
                let billing = Billing::start(Billing::default).await.expect("it starts");
                assert_eq!(billing.pay(5).await, Ok(5));
                billing.book();
                settle().await;
            });
        });
        let [paid, crashed] = &journal.entries()[..] else { panic!("{:?}", journal.entries()) };
        match format {
            LogFormat::Readable => {
                let (_, rest) = paid.split_once(' ').expect("a time stamp");
                let said = " INFO <> billing_service log_output: paid user=7\n";
                assert_eq!(without_pids(rest), said);
                assert!(crashed.contains("crash report: billing_service <"), "{crashed}");
            }
            LogFormat::Json => {
                let paid: Value = serde_json::from_str(paid).expect("it is JSON");
                assert_eq!(paid["name"], "billing_service");
                assert!(paid["pid"].as_str().is_some_and(|pid| pid.starts_with('<')), "{paid}");
                assert!(crashed.contains(r#""report":"crash""#), "{crashed}");
            }
        }
    }
}

// proves: SUP-20
#[test]
fn a_supervisor_reports_what_it_does() {
    let reported = events(|node| async move {
        let orderly = child("orderly", || Actor("orderly")).transient().significant().name("o");
        let supervisor = Supervisor::one_for_one()
            .auto_shutdown(AutoShutdown::AnySignificant)
            .child(child("deaf", || Actor("deaf")).shutdown(Shutdown::Timeout(1.secs())))
            .child(orderly);
        let supervisor = supervisor.start().await.expect("both start");
        let refused = supervisor.start_child(child("refuses", || Actor("refuses"))).await;
        refused.expect_err("it refuses");
        ActorClient::from(ServerRef::by_name(&node, "o")).end(Reason::Normal);
        tokio::time::sleep(5.secs()).await;
    });
    let what = ["started", "started", "start_failed", "auto_shutdown", "stop_failed"];
    assert_eq!(values(&reported, "what"), what);
    let reasons = ["no disk", "init failed: no disk", "normal", "killed"];
    assert_eq!(values(&reported, "reason"), reasons, "the first is the server's own report");

    let reported = events(|node| async move {
        let fragile = child("fragile", || Actor("fragile")).name("f");
        let supervisor = Supervisor::one_for_one().name("sup").child(fragile);
        let _supervisor = supervisor.start().await.expect("it starts");
        for _ in 0..2 {
            ActorClient::from(ServerRef::by_name(&node, "f")).end(Reason::custom("crash"));
            settle().await;
        }
    });
    let what = ["started", "crashed", "restarted", "crashed", "gave_up"];
    assert_eq!(values(&reported, "what"), what);
    assert_eq!(reported.last().expect("it gave up")["reason"], "crash", "the child's last end");
    assert_eq!(values(&reported, "restarts_in_period"), ["0", "1", "1", "2", "2"]);
    assert_eq!(values(&reported, "restarts_so_far"), ["0", "1"], "of the crash reports");
    assert!(values(&reported, "supervisor").iter().all(|text| text.starts_with("sup <")));
}

// proves: SUP-20
#[test]
fn a_dynamic_supervisor_counts_each_childs_restarts_for_its_crash_reports() {
    let reported = events(|node| async move {
        let spec = DynamicSupervisor::<&'static str>::new(|&name| move || Actor(name));
        let actors = spec.intensity(9, 5.secs()).start().await.expect("it starts");
        let mut pid = actors.start_child("first").await.expect("it starts");
        let second = actors.start_child("second").await.expect("it starts");
        for _ in 0..3 {
            let actor = ServerRef::<Actor>::by_pid(&node, pid).expect("it lives");
            ActorClient::from(actor).end(Reason::custom("crash"));
            settle().await;
            let rows = node.processes().into_iter();
            let others = rows.filter(|row| row.pid != second && row.label.is_none());
            pid = others.last().expect("it was restarted").pid;
        }
        let second = ServerRef::<Actor>::by_pid(&node, second).expect("it lives");
        ActorClient::from(second).end(Reason::custom("crash"));
        settle().await;
    });
    assert_eq!(values(&reported, "restarts_so_far"), ["0", "1", "2", "0"]);
}

// proves: APP-10
#[test]
fn only_a_process_that_ends_by_itself_has_crashed() {
    let reported = events(|node| async move {
        let killed = Actor::start(|| Actor("killed")).await.expect("it starts");
        node.exit(killed.pid().expect("it lives"), Reason::Kill);
        let linked = node.spawn(|_: linden::Cx<()>| async {
            let task = Task::<()>::spawn(async { panic!("the task's own") });
            let _ = task.await;
        });
        node.wait_exit(linked.pid()).await;
        let orderly = Actor::start(|| Actor("orderly")).await.expect("it starts");
        orderly.end(Reason::shutdown_with("drained"));
        settle().await;
    });
    assert_eq!(values(&reported, "message"), ["process crashed"], "the task alone");
    assert_eq!(values(&reported, "reason"), ["panicked: the task's own"]);
    let task = &reported[0];
    let unknown = ["state", "last_message", "restarts_so_far", "name"];
    assert!(unknown.iter().all(|field| !task.contains_key(field)), "{task:?}");
}

// proves: APP-10
#[test]
fn a_crash_in_init_and_one_of_a_plain_process_say_what_is_known() {
    struct Born;
    #[gen_server]
    impl Born {
        #[init]
        fn begin(&mut self) {
            panic!("not today");
        }
    }
    let reported = events(|node| async move {
        Born::start(|| Born).await.map(drop).expect_err("it panics");
        let plain = node.spawn(|cx: linden::Cx<()>| async move {
            cx.set_label("reader");
            Reason::custom("disk full")
        });
        node.wait_exit(plain.pid()).await;
    });
    assert_eq!(values(&reported, "last_message"), ["init"]);
    assert_eq!(values(&reported, "name"), ["reader"]);
    let reasons = ["panicked: not today", "disk full"];
    assert_eq!(values(&reported, "reason"), reasons);
}

// ---- While nobody listens

// proves: SUP-22
#[test]
fn a_crash_costs_no_formatting_while_nobody_listens() {
    if role().is_none() {
        // Alone in its OS process: other tests listen.
        let name = "a_crash_costs_no_formatting_while_nobody_listens";
        assert_eq!(lines(name, "alone"), [""; 0]);
        return;
    }
    struct Costly(Journal<u8>);
    impl fmt::Debug for Costly {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.write(1);
            f.write_str("Costly")
        }
    }
    #[gen_server(name = "costly")]
    impl Costly {
        #[cast]
        fn crash(&mut self) {
            panic!("crash");
        }
    }
    struct Deaf;
    impl ExitListener for Deaf {
        fn process_exited(&self, event: &ExitEvent<'_>) {
            assert!(event.detail.is_none_or(|detail| detail.state.is_none()));
        }
        fn wants_detail(&self) -> bool {
            false
        }
    }
    let listeners: [(Option<Arc<dyn ExitListener>>, usize); 3] =
        [(None, 0), (Some(Arc::new(Deaf)), 0), (Some(Arc::new(CrashReporter)), 0)];
    for (exit_listener, expected) in listeners {
        let journal = Journal::new();
        let mut simulation = Simulation::with_options(1, NodeOptions { exit_listener, ..quiet() });
        let shown = journal.clone();
        simulation.run(async move {
            let init = move || Costly(shown.clone());
            let supervisor = Supervisor::one_for_one().child(child("costly", init));
            let _supervisor = supervisor.start().await.expect("it starts");
            Costly::named().crash();
            settle().await;
            assert!(Costly::named().pid().is_some(), "it was restarted");
        });
        assert_eq!(journal.entries().len(), expected);
    }
}
