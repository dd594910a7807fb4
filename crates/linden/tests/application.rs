//! Applications: boot in the order of dependencies, configuration, stop in reverse, and what an application's end means.

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kid::{Begin, Cradle, How, kid};
use linden::prelude::*;
use linden::{Booted, Ready};
use serde::Deserialize;
use stage::{HANGS_AFTER, Journal};
use umbrella::{Outcome, Plan, application};

#[path = "support/kid.rs"]
mod kid;
#[path = "support/stage.rs"]
mod stage;
#[path = "support/umbrella.rs"]
mod umbrella;

application!(Auth, "auth", [], Permanent);
application!(Billing, "billing", ["auth"], Permanent);
application!(Web, "web", ["billing", "auth"], Permanent);

/// A builder whose log is nobody's, as the tests make many nodes crash.
fn builder() -> NodeBuilder {
    NodeBuilder::new().foreign_logging().set("node", "workers", 2)
}

/// Waits for a future of the node on this thread; a hang is a failure.
fn run<F: Future>(future: F) -> F::Output {
    let stage = stage::Running::start(1);
    stage.run(future)
}

async fn boots(builder: NodeBuilder) -> Booted {
    builder.boot().await.expect("it boots")
}

async fn boot_fails(builder: NodeBuilder) -> NodeError {
    builder.boot().await.map(drop).expect_err("it does not boot")
}

/// An error with all its sources, one a line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push('\n');
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

/// Auth, billing and web, declared in the wrong order; each has a kid with its first letter.
fn umbrella(journal: &Journal<String>, change: impl Fn(&str, Plan) -> Plan) -> NodeBuilder {
    let plan = |name, id| change(name, Plan::new(journal).with_kid(id));
    builder()
        .application(Web(plan("web", "w")))
        .application(Billing(plan("billing", "b")))
        .application(Auth(plan("auth", "a")))
}

const UP: [&str; 6] = ["start auth", "+a", "start billing", "+b", "start web", "+w"];
const DOWN: [&str; 9] = [
    "drain web",
    "-w",
    "stop web",
    "drain billing",
    "-b",
    "stop billing",
    "drain auth",
    "-a",
    "stop auth",
];

// ---- Boot and stop

// proves: APP-01, APP-03
#[test]
fn applications_start_after_what_they_depend_on_and_stop_in_reverse() {
    run(async {
        let journal = Journal::new();
        let booted = boots(umbrella(&journal, |_, plan| plan)).await;
        assert_eq!(journal.take(), UP);
        assert_eq!(booted.ready.applications, ["auth", "billing", "web"]);
        // The controller, and for each application its supervisor and its kid.
        assert_eq!(booted.ready.processes, 7);
        let node = booted.node.clone();
        booted.stop().await.expect("it stops");
        assert_eq!(journal.take(), DOWN);
        assert_eq!(node.process_count(), 0);
    });
}

// proves: APP-01
#[test]
fn who_wants_to_know_is_told_once_when_all_applications_run() {
    run(async {
        static TOLD: AtomicUsize = AtomicUsize::new(0);
        let journal = Journal::new();
        let heard = journal.clone();
        let told = move |ready: &Ready| {
            TOLD.fetch_add(1, Ordering::Relaxed);
            heard.write(format!("ready {}", ready.node.name()));
        };
        let builder = umbrella(&journal, |_, plan| plan).name("shop").on_ready(told);
        let booted = boots(builder).await;
        assert_eq!(journal.entries().last().map(String::as_str), Some("ready shop@localhost"));
        assert_eq!(TOLD.load(Ordering::Relaxed), 1);
        assert_eq!(booted.node.workers(), 2);
        booted.stop().await.expect("it stops");
    });
}

// proves: APP-02
#[test]
fn dependencies_that_make_no_sense_are_errors_that_name_the_chain() {
    application!(Hen, "hen", ["egg"], Permanent);
    application!(Egg, "egg", ["hen"], Permanent);
    application!(Lost, "lost", ["found"], Permanent);
    let journal = Journal::new();
    let plan = || Plan::new(&journal);
    let cases = [
        (
            builder().application(Hen(plan())).application(Auth(plan())).application(Egg(plan())),
            "applications depend on each other in a circle: hen -> egg -> hen",
        ),
        (
            builder().application(Lost(plan())).application(Auth(plan())),
            "application `lost` depends on `found`, which this node does not have (it has: lost, auth)",
        ),
        (
            builder().application(Auth(plan())).application(Auth(plan())),
            "two applications have the name `auth`; add each once",
        ),
    ];
    for (builder, expected) in cases {
        let error = run(boot_fails(builder));
        assert!(matches!(error, NodeError::Order(_)));
        assert_eq!(chain(&error), format!("the applications cannot be put in order\n{expected}"));
    }
    assert_eq!(journal.entries(), [""; 0], "nothing has started");
}

// proves: APP-04
#[test]
fn an_application_that_does_not_start_stops_those_before_it_in_reverse_and_is_named() {
    let cases = [
        (Outcome::Fails, "the application web did not start\nweb has no disk"),
        (Outcome::Panics, "the application web did not start\npanicked: web panics"),
    ];
    for (outcome, expected) in cases {
        let journal = Journal::new();
        let error = run(boot_fails(umbrella(&journal, |name, plan| {
            if name == "web" { Plan { start: outcome, ..plan } } else { plan }
        })));
        assert!(chain(&error).starts_with(expected), "{}", chain(&error));
        let expected: Vec<&str> = UP[..5].iter().chain(&DOWN[3..]).copied().collect();
        assert_eq!(journal.entries(), expected);
    }
}

// proves: APP-04
#[test]
fn a_child_that_does_not_start_fails_the_boot_and_is_named_with_its_application() {
    let journal = Journal::new();
    let error = run(boot_fails(umbrella(&journal, |name, plan| {
        if name != "web" {
            return plan;
        }
        let cradle = Cradle::new("w", &plan.journal).beginning([Begin::Refused]);
        plan.with_tree(move || Supervisor::one_for_one().child(cradle.clone().child()))
    })));
    let expected = "the application web did not start\n\
                    child w did not start: init failed: refused\ninit failed: refused";
    assert_eq!(chain(&error), expected);
    assert_eq!(journal.entries().last().map(String::as_str), Some("stop auth"));
}

#[test]
fn two_nodes_with_the_same_applications_live_side_by_side() {
    run(async {
        let journals = [Journal::new(), Journal::new()];
        let [first, second] =
            [&journals[0], &journals[1]].map(|journal| umbrella(journal, |_, plan| plan));
        let (first, second) = (boots(first).await, boots(second).await);
        assert_eq!(kid(&first.node, "a").add(1).await, Ok(1));
        assert_eq!(kid(&second.node, "a").add(5).await, Ok(5));
        first.stop().await.expect("it stops");
        assert_eq!(kid(&second.node, "a").add(1).await, Ok(6));
        assert_eq!(journals[1].entries(), UP);
        second.stop().await.expect("it stops");
    });
}

// ---- Ends

/// Ends the kid `id` for good: more crashes than its supervisor allows.
async fn exhaust(node: &Node, id: &str) {
    for _ in 0..2 {
        let old = kid::pid(node, id);
        kid(node, id).end(How::Panic);
        node.wait_exit(old).await;
        while node.whereis(id).is_none() && node.whereis(&format!("{id}_sup")).is_some() {
            tokio::task::yield_now().await;
        }
    }
}

/// Runs a node on a thread of its own; what its run returned, and the node.
fn running(builder: NodeBuilder) -> (Node, std::thread::JoinHandle<Result<(), NodeError>>) {
    let (tell, told) = std::sync::mpsc::channel();
    let builder = builder.on_ready(move |ready| tell.send(ready.node.clone()).expect("waited for"));
    let run = std::thread::spawn(move || linden_core::block_on(builder.run()));
    (told.recv_timeout(HANGS_AFTER).expect("it boots"), run)
}

/// A plan whose supervisor is registered, as `t_sup`, and has the kid `t`.
fn mortal(journal: &Journal<String>) -> Plan {
    let cradle = Cradle::new("t", journal);
    Plan::new(journal)
        .with_tree(move || Supervisor::one_for_one().name("t_sup").child(cradle.clone().child()))
}

application!(Mortal, "mortal", ["auth"], Permanent);
application!(MortalTransient, "mortal", ["auth"], Transient);
application!(MortalTemporary, "mortal", ["auth"], Temporary);

// proves: APP-05
#[test]
fn the_end_of_a_permanent_application_stops_the_node_in_order() {
    let journal = Journal::new();
    let builder = builder()
        .application(Auth(Plan::new(&journal).with_kid("a")))
        .application(Mortal(mortal(&journal)));
    let (node, run) = running(builder);
    journal.take();
    node.block_on(exhaust(&node, "t"));
    let error = run.join().expect("it does not panic").expect_err("the node ended by itself");
    let NodeError::ApplicationDown { name: "mortal", reason: Reason::Shutdown, gave_up, .. } =
        &error
    else {
        panic!("{error}");
    };
    let report = gave_up.as_ref().expect("its supervisor gave up");
    assert_eq!((&*report.child, report.restarts_in_period), ("t", 2));
    let entries = journal.entries();
    assert_eq!(entries[entries.len() - 4..], ["stop mortal", "drain auth", "-a", "stop auth"]);
}

// proves: APP-05
#[test]
fn after_boot_the_end_of_a_permanent_application_stops_the_others_and_is_told() {
    run(async {
        let journal = Journal::new();
        let builder = builder()
            .application(Auth(Plan::new(&journal).with_kid("a")))
            .application(Mortal(mortal(&journal)));
        let mut booted = boots(builder).await;
        exhaust(&booted.node, "t").await;
        for _ in 0..2 {
            let error = booted.down().await;
            assert!(matches!(error, NodeError::ApplicationDown { name: "mortal", .. }), "{error}");
        }
        // Nobody has stopped the node.
        while journal.entries().last().map(String::as_str) != Some("stop auth") {
            tokio::task::yield_now().await;
        }
        booted.stop().await.expect("it stops");
        let entries = journal.entries();
        assert_eq!(entries[entries.len() - 4..], ["stop mortal", "drain auth", "-a", "stop auth"]);
    });
}

// proves: SUP-20
#[test]
fn an_application_whose_supervisor_gave_up_says_so_with_the_last_end_and_the_mend() {
    let cases: [(&[Begin], bool, &str); 2] = [
        (&[], true, "panicked: told to panic, at "),
        (&[Begin::Well, Begin::Refused], false, "init failed: refused"),
    ];
    for (begins, panics, last) in cases {
        let journal = Journal::new();
        let cradle = Cradle::new("t", &journal).beginning(begins.iter().copied());
        let tree = move || Supervisor::one_for_one().name("t_sup").child(cradle.clone().child());
        let said = run(async {
            let plan = Plan::new(&journal).with_tree(tree);
            let builder = builder().application(Auth(Plan::new(&journal)));
            let mut booted = boots(builder.application(Mortal(plan))).await;
            if panics {
                exhaust(&booted.node, "t").await;
            } else {
                kid(&booted.node, "t").end(How::Stop(Reason::custom("crash")));
            }
            let error = booted.down().await;
            booted.stop().await.expect("it stops");
            error.to_string()
        });
        let begin = "the application mortal ended, and the node with it: its supervisor t_sup <";
        assert!(said.starts_with(begin), "{said}");
        let parts = [
            "> gave up restarting child t (2 restarts in 5s, 1 allowed)".to_owned(),
            format!("; the child ended last with: {last}"),
            "mend what crashes, or raise the supervisor's intensity".to_owned(),
        ];
        for part in parts {
            assert!(said.contains(&part), "{part:?}: {said}");
        }
    }
}

// proves: APP-05
#[test]
fn a_transient_application_stops_the_node_unless_it_ended_normally() {
    for normal in [false, true] {
        let journal = Journal::new();
        let builder = builder()
            .application(Auth(Plan::new(&journal).with_kid("a")))
            .application(MortalTransient(mortal(&journal)));
        let (node, run) = running(builder);
        if normal {
            let supervisor = SupervisorRef::by_name(&node, "t_sup");
            node.block_on(supervisor.stop(Reason::Normal)).expect("it stops");
            // The node lives on: it is the end of the other application that stops it.
            let supervisor = node.processes().into_iter().find(|row| {
                row.group.as_deref() == Some("auth") && row.label.as_deref() == Some("supervisor")
            });
            node.exit(supervisor.expect("auth runs").pid, Reason::Kill);
        } else {
            node.block_on(exhaust(&node, "t"));
        }
        let error = run.join().expect("it does not panic").expect_err("the node ended by itself");
        let NodeError::ApplicationDown { name, reason, .. } = error else { panic!("{error}") };
        let expected = if normal { ("auth", Reason::Killed) } else { ("mortal", Reason::Shutdown) };
        assert_eq!((name, reason), expected);
    }
}

// proves: APP-05
#[test]
fn the_end_of_a_temporary_application_is_no_more_than_a_report() {
    let journal = Journal::new();
    let builder = builder()
        .application(Auth(Plan::new(&journal).with_kid("a")))
        .application(MortalTemporary(mortal(&journal)));
    let (node, run) = running(builder);
    node.block_on(exhaust(&node, "t"));
    assert_eq!(node.block_on(kid(&node, "a").add(1)), Ok(1));
    let supervisor = node.processes().into_iter().find(|row| {
        row.group.as_deref() == Some("auth") && row.label.as_deref() == Some("supervisor")
    });
    node.exit(supervisor.expect("auth runs").pid, Reason::Kill);
    let error = run.join().expect("it does not panic").expect_err("auth ended");
    assert!(matches!(error, NodeError::ApplicationDown { name: "auth", .. }), "{error}");
    assert!(journal.entries().contains(&"stop mortal".to_owned()));
    assert!(!journal.entries().contains(&"drain mortal".to_owned()), "it had ended before");
}

// ---- Stop

// proves: APP-03
#[test]
fn a_drain_runs_while_everything_works_and_is_waited_for() {
    #[derive(Default)]
    struct Asker;
    impl Application for Asker {
        const NAME: &'static str = "asker";
        const DEPENDS_ON: &'static [&'static str] = &["auth"];
        type Config = linden::NoConfig;
        fn start(&self, _: linden::NoConfig) -> Result<Supervisor, BoxError> {
            Ok(Supervisor::one_for_one())
        }
        async fn prepare_stop(&self) {
            let node = Node::current().expect("it runs on the node");
            tokio::time::sleep(5.ms()).await;
            kid(&node, "a").add(41).await.expect("auth lives");
        }
    }
    run(async {
        let journal = Journal::new();
        let auth = Auth(Plan::new(&journal).with_tree({
            let journal = journal.clone();
            move || {
                let cradle = Cradle::new("a", &journal);
                Supervisor::one_for_one().child(cradle.child())
            }
        }));
        let booted = boots(builder().application(auth).application(Asker)).await;
        let counted = kid(&booted.node, "a");
        assert_eq!(counted.add(1).await, Ok(1));
        booted.stop().await.expect("it stops");
        assert_eq!(journal.entries(), ["start auth", "+a", "drain auth", "-a", "stop auth"]);
    });
}

// proves: APP-09
#[test]
fn a_drain_or_a_stop_that_panics_or_hangs_keeps_nothing_from_being_stopped() {
    for (drain, stop) in [
        (Outcome::Panics, Outcome::Panics),
        (Outcome::Hangs, Outcome::Well),
        (Outcome::Lasts(Duration::from_millis(5)), Outcome::Panics),
        (Outcome::Well, Outcome::Hangs),
    ] {
        run(async {
            let journal = Journal::new();
            let builder = umbrella(&journal, |_, plan| Plan { drain, stop, ..plan });
            let booted = boots(builder.set("node", "shutdown_grace", "500ms")).await;
            journal.take();
            booted.stop().await.expect("it stops");
            assert_eq!(journal.entries(), DOWN, "{drain:?}, {stop:?}");
        });
    }
}

// proves: APP-09
#[test]
fn a_drain_that_blocks_its_worker_keeps_nothing_from_being_stopped() {
    let journal = Journal::new();
    let blocks = Plan { drain: Outcome::Blocks, ..Plan::new(&journal) };
    let release = blocks.clone();
    let error = run(async {
        let builder = builder()
            .application(Auth(Plan::new(&journal).with_kid("a")))
            .application(Billing(blocks));
        let booted = boots(builder.set("node", "shutdown_grace", "500ms")).await;
        booted.stop().await.expect_err("the drain is stuck")
    });
    release.release();
    assert!(matches!(&error, NodeError::Zombies(pids) if pids.len() == 1), "{error}");
    let entries = journal.entries();
    let end = ["drain billing", "stop billing", "drain auth", "-a", "stop auth"];
    assert_eq!(entries[entries.len() - 5..], end);
}

// proves: APP-09
#[test]
fn a_supervisor_that_is_stuck_in_a_factory_keeps_nothing_else_from_being_stopped() {
    let journal = Journal::new();
    let blocks = Plan { stop: Outcome::Blocks, ..Plan::new(&journal) };
    let release = blocks.clone();
    let (stuck, is_stuck) = std::sync::mpsc::channel();
    let factory = {
        let blocks = blocks.clone();
        let starts = AtomicUsize::new(0);
        move || {
            // Its restart never gives the specification.
            if starts.fetch_add(1, Ordering::Relaxed) > 0 {
                stuck.send(()).expect("the test waits");
                blocks.end("factory");
            }
            Supervisor::one_for_one().name("inner")
        }
    };
    let factory = std::sync::Arc::new(factory);
    let tree = move || {
        let factory = factory.clone();
        Supervisor::one_for_one().child(supervisor_child("inner", move || factory()))
    };
    let error = run(async {
        let builder = builder()
            .application(Auth(Plan::new(&journal).with_kid("a")))
            .application(Billing(Plan::new(&journal).with_tree(tree)));
        let booted = boots(builder.set("node", "shutdown_grace", "500ms")).await;
        let inner = booted.node.whereis("inner").expect("it runs");
        booted.node.exit(inner, Reason::Kill);
        is_stuck.recv().expect("the factory runs again");
        booted.stop().await.expect_err("the supervisor is stuck")
    });
    release.release();
    let NodeError::Zombies(pids) = &error else { panic!("{error}") };
    let said = format!(
        "1 processes did not end: they are stuck in code that never awaits ({}); move such code to \
         tokio::task::spawn_blocking, or let it await now and then",
        pids[0]
    );
    assert_eq!(error.to_string(), said);
    let mut entries = journal.entries();
    // The factory itself, which writes when it may.
    entries.retain(|entry| entry != "stop factory");
    let end = ["drain billing", "stop billing", "drain auth", "-a", "stop auth"];
    assert_eq!(entries[entries.len() - 5..], end);
}

// proves: APP-09
#[test]
fn a_tree_that_does_not_stop_within_the_grace_is_killed() {
    run(async {
        let journal = Journal::new();
        let deaf = Cradle::new("t", &journal).with(kid::Manners::Deaf);
        let tree = move || {
            let child = deaf.clone().child();
            let child = child.shutdown(linden::supervisor::decision::Shutdown::Infinity);
            Supervisor::one_for_one().child(child)
        };
        let builder = builder().application(Auth(Plan::new(&journal).with_tree(tree)));
        let booted = boots(builder.set("node", "shutdown_grace", "30ms")).await;
        booted.stop().await.expect("it stops");
        assert_eq!(journal.entries()[2..], ["drain auth", "stop auth", "-t"]);
    });
}

#[test]
fn processes_stuck_in_code_that_never_awaits_are_named_as_zombies() {
    static STUCK: AtomicBool = AtomicBool::new(false);
    static RELEASED: AtomicBool = AtomicBool::new(false);
    let journal = Journal::new();
    let stuck = || {
        process_child("stuck", |cx| async move {
            cx.set_label("stuck");
            linden_core::yield_now().await;
            STUCK.store(true, Ordering::Relaxed);
            while !RELEASED.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        })
    };
    let tree = move || Supervisor::one_for_one().child(stuck().shutdown_after(1.ms()));
    let error = run(async {
        let builder = builder().application(Auth(Plan::new(&journal).with_tree(tree)));
        let booted = boots(builder.set("node", "shutdown_grace", "20ms")).await;
        while !STUCK.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        booted.stop().await.expect_err("it is stuck")
    });
    RELEASED.store(true, Ordering::Relaxed);
    assert!(matches!(&error, NodeError::Zombies(pids) if pids.len() == 1), "{error}");
}

// ---- Configuration

#[derive(Deserialize, Debug, PartialEq)]
#[serde(default)]
struct StoreConfig {
    path: PathBuf,
    retries: u32,
    #[serde(with = "linden::config::duration")]
    patience: Duration,
    limits: Limits,
}

#[derive(Deserialize, Debug, PartialEq, Default)]
#[serde(default)]
struct Limits {
    most: u32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { path: "store".into(), retries: 3, patience: 1.secs(), limits: Limits::default() }
    }
}

#[derive(Deserialize, Debug)]
struct MailConfig {
    relay: String,
    password: String,
}

struct Store(Journal<String>);

impl Application for Store {
    const NAME: &'static str = "store";
    type Config = StoreConfig;

    fn start(&self, config: StoreConfig) -> Result<Supervisor, BoxError> {
        self.0.write(format!("{config:?}"));
        Ok(Supervisor::one_for_one())
    }
}

struct MailApp(Journal<String>);

impl Application for MailApp {
    const NAME: &'static str = "mail";
    type Config = MailConfig;

    fn start(&self, config: MailConfig) -> Result<Supervisor, BoxError> {
        self.0.write(format!("{} {}", config.relay, config.password.len()));
        Ok(Supervisor::one_for_one())
    }
}

/// A configuration file that goes with the value.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("linden-test-{}-{count}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("the directory for temporary files can be written");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What an application was started with, or why the boot was refused.
fn configured(
    text: &str,
    change: impl FnOnce(NodeBuilder) -> NodeBuilder,
) -> Result<Vec<String>, String> {
    let file = File::new(text);
    let journal = Journal::new();
    let builder = builder().config_file(&file.0).application(Store(journal.clone()));
    let booted = run(async {
        let booted = change(builder).boot().await?;
        booted.stop().await.map(|()| journal.entries())
    });
    booted.map_err(|error| {
        assert!(matches!(error, NodeError::Config(_)), "{error}");
        chain(&error).replace(&file.0.display().to_string(), "FILE")
    })
}

// proves: APP-06
#[test]
fn each_application_has_its_table_typed_and_an_absent_one_is_empty() {
    let default = format!("{:?}", StoreConfig::default());
    assert_eq!(configured("", |builder| builder), Ok(vec![default]));
    let text = "[store]\npath = \"/var/store\"\npatience = \"250ms\"\n[store.limits]\nmost = 9\n";
    let expected = StoreConfig {
        path: "/var/store".into(),
        patience: 250.ms(),
        limits: Limits { most: 9 },
        ..StoreConfig::default()
    };
    assert_eq!(configured(text, |builder| builder), Ok(vec![format!("{expected:?}")]));
}

// proves: APP-06
#[test]
fn what_the_configuration_must_not_say_is_refused_with_its_place_before_anything_starts() {
    let refused = |line: &str| format!("the configuration is refused\n{line}");
    let cases = [
        (
            "[store]\nretrys = 1\n",
            "FILE:2: unknown key `store.retrys`, did you mean `retries`? (known: path, retries, patience, limits)",
        ),
        (
            "[stroe]\n",
            "FILE:1: unknown table `stroe`, did you mean `store`? (known: node, log, store)",
        ),
        (
            "[store]\nretries = \"many\"\n",
            "FILE:2: `store.retries` must be u32, but it is string \"many\"",
        ),
        ("[node]\nworkrs = 1\n", "FILE:2: unknown key `node.workrs`"),
        ("retries = 1\n", "FILE:1: `retries` is not a table"),
        ("[store\n", "FILE:1:"),
    ];
    for (text, expected) in cases {
        let said = configured(text, |builder| builder).expect_err(text);
        assert!(said.starts_with(&refused(expected)), "{text:?}: {said}");
    }
}

// proves: APP-06
#[test]
fn what_is_wrong_with_all_applications_is_said_at_once_without_secrets() {
    let journal = Journal::new();
    let file = File::new("[store]\nretrys = 1\n[mail]\npassword = 12345\n");
    let builder = builder()
        .config_file(&file.0)
        .application(Store(journal.clone()))
        .application(MailApp(journal.clone()));
    let said = chain(&run(boot_fails(builder)));
    assert!(said.contains("unknown key `store.retrys`"), "{said}");
    assert!(said.contains("mail."), "{said}");
    assert!(!said.contains("12345"), "{said}");
    assert_eq!(journal.entries(), [""; 0]);
}

// proves: APP-06
#[test]
fn a_key_that_must_be_there_and_is_not_is_named() {
    let journal = Journal::new();
    let builder = builder().application(MailApp(journal)).set("mail", "relay", "mx.example");
    let said = chain(&run(boot_fails(builder)));
    assert_eq!(said, "the configuration is refused\nconfiguration: key `mail.password` is missing");
}

#[test]
fn a_file_that_was_named_must_exist() {
    let missing = std::env::temp_dir().join("linden-test-no-such-file.toml");
    let said = chain(&run(boot_fails(builder().config_file(&missing))));
    let expected =
        format!("the configuration is refused\ncannot read {}; check", missing.display());
    assert!(said.starts_with(&expected), "{said}");
}

#[test]
fn an_option_out_of_its_bounds_does_not_start_the_node() {
    let error = run(boot_fails(builder().set("node", "workers", 100_000)));
    assert_eq!(chain(&error), "the node did not start\nthe node option workers must be 1 to 1024");
}

#[test]
fn tables_of_applications_that_other_nodes_run_may_be_there() {
    let text = "[billing]\ncurrency = \"EUR\"\n";
    assert!(configured(text, |builder| builder).is_err());
    assert!(configured(text, |builder| builder.other_tables(&["billing"])).is_ok());
}

// proves: APP-07
#[test]
fn what_the_program_sets_wins_over_the_environment_and_that_over_the_file() {
    let text = "[store]\nretries = 1\npath = \"file\"\n[store.limits]\nmost = 1\n";
    let said = configured(text, |builder| builder.set("store", "retries", 3)).expect("it fits");
    assert!(said[0].contains("retries: 3") && said[0].contains("\"file\""), "{said:?}");

    // The environment is read when the builder is made: in a program of its own.
    if std::env::var("LINDEN__STORE__RETRIES").is_ok() {
        let said = configured(text, |builder| builder).expect("it fits");
        assert!(said[0].contains("retries: 2") && said[0].contains("most: 7"), "{said:?}");
        return;
    }
    let own = std::env::current_exe().expect("a test has a file");
    let ran = std::process::Command::new(own)
        .args(["--exact", "what_the_program_sets_wins_over_the_environment_and_that_over_the_file"])
        .env("LINDEN__STORE__RETRIES", "2")
        .env("LINDEN__STORE__LIMITS__MOST", "7")
        .output()
        .expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}

// ---- Who belongs to whom

// proves: APP-08
#[test]
fn every_process_shows_its_application() {
    run(async {
        let journal = Journal::new();
        let booted = boots(umbrella(&journal, |_, plan| plan)).await;
        let rows = booted.node.processes();
        let of = |name: &str| rows.iter().filter(|row| row.group.as_deref() == Some(name)).count();
        assert_eq!((of("auth"), of("billing"), of("web")), (2, 2, 2));
        let alone = rows.iter().find(|row| row.group.is_none()).expect("the controller");
        assert_eq!(alone.name.as_deref(), Some("application_controller"));
        let old = kid::pid(&booted.node, "b");
        booted.node.exit(old, Reason::Kill);
        booted.node.wait_exit(old).await;
        while booted.node.whereis("b").is_none() {
            tokio::task::yield_now().await;
        }
        let again = kid::pid(&booted.node, "b");
        let row = booted.node.processes().into_iter().find(|row| row.pid == again);
        let group = row.expect("it runs").group;
        assert_eq!(group.as_deref(), Some("billing"), "after a restart too");
        booted.stop().await.expect("it stops");
    });
}
