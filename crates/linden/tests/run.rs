//! A node as a program: signals, and what its end tells the shell.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use kid::{Begin, Cradle};
use linden::prelude::*;
use program::{again, role};
use stage::Journal;
use umbrella::{Outcome, Plan, application};

#[path = "support/kid.rs"]
mod kid;
#[path = "support/program.rs"]
mod program;
#[path = "support/stage.rs"]
mod stage;
#[path = "support/umbrella.rs"]
mod umbrella;

application!(Auth, "auth", [], Permanent);
application!(Billing, "billing", ["auth"], Permanent);

/// A builder of the program's node, whose log is off.
fn builder() -> NodeBuilder {
    NodeBuilder::new().set("log", "level", "off").set("node", "workers", 2)
}

/// Runs the node; says that it is ready, how its run ended, and what its applications did.
fn run(builder: NodeBuilder, journal: &Journal<String>) {
    let ran = linden_core::block_on(builder.on_ready(|_| println!("ready")).run());
    println!("{ran:?}");
    println!("{}", journal.entries().join(" "));
}

/// The program of an application with one child.
fn play(drain: Outcome) {
    let journal = Journal::new();
    let plan = Plan { drain, ..Plan::new(&journal).with_kid("a") };
    run(builder().application(Auth(plan)), &journal);
}

/// The program whose second application waits for its standard input while it starts.
fn play_slow_start() {
    let journal = Journal::new();
    let tree = || {
        println!("booting");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).expect("a line");
        Supervisor::one_for_one()
    };
    let builder = builder()
        .application(Auth(Plan::new(&journal).with_kid("a")))
        .application(Billing(Plan::new(&journal).with_tree(tree)));
    run(builder.set("log", "filter", "off,linden::application=info"), &journal);
}

/// The program whose second application has a child that never gets through its init.
fn play_hanging_init(grace: &str) {
    let journal = Journal::new();
    let hangs = || {
        process_child("says", |_| async {
            println!("booting");
            std::future::pending::<()>().await;
        })
    };
    let cradle = Cradle::new("b", &journal).beginning([Begin::Hangs]);
    let tree = move || Supervisor::one_for_one().child(hangs()).child(cradle.clone().child());
    let builder = builder()
        .application(Auth(Plan::new(&journal).with_kid("a")))
        .application(Billing(Plan::new(&journal).with_tree(tree)));
    run(builder.set("node", "shutdown_grace", grace), &journal);
}

/// The program whose workers are in endless loops, all of them.
fn play_stuck_workers(grace: &str) {
    let journal = Journal::new();
    let stuck = |id| {
        process_child(id, |_| async {
            linden_core::yield_now().await;
            println!("stuck");
            while std::hint::black_box(true) {
                std::hint::spin_loop();
            }
        })
    };
    let tree = move || Supervisor::one_for_one().child(stuck("one")).child(stuck("two"));
    let builder = builder().application(Auth(Plan::new(&journal).with_tree(tree)));
    run(builder.set("node", "shutdown_grace", grace), &journal);
}

/// Waits for a line of the program's that contains `what`.
fn wait_for(lines: &mut impl BufRead, what: &str) -> String {
    let mut line = String::new();
    while lines.read_line(&mut line).expect("it writes text") > 0 {
        if line.contains(what) {
            return line;
        }
        line.clear();
    }
    panic!("the program ended without {what:?}");
}

fn send(program: &Child, signal: &str) {
    let kill = Command::new("kill").args([signal, &program.id().to_string()]).status();
    assert!(kill.expect("there is a kill").success());
}

/// Sends signals until the program ends; the second may come when the first was not heard yet.
fn signal_until_it_ends(program: &mut Child) -> Option<i32> {
    send(program, "-TERM");
    loop {
        if let Some(status) = program.try_wait().expect("it can be waited for") {
            return status.code();
        }
        send(program, "-INT");
        std::thread::yield_now();
    }
}

/// The program of a test, and what it says.
fn start(test: &str, role: &str) -> (Child, impl BufRead + use<>) {
    let mut program = again(test, role).stdin(Stdio::piped()).spawn().expect("it runs");
    let lines = BufReader::new(program.stdout.take().expect("piped"));
    (program, lines)
}

// proves: APP-12
#[test]
fn sigterm_and_sigint_drain_the_node_and_the_program_ends_well() {
    let name = "sigterm_and_sigint_drain_the_node_and_the_program_ends_well";
    if role().is_some() {
        return play(Outcome::Lasts(5.ms()));
    }
    for signal in ["-TERM", "-INT"] {
        let (mut program, mut lines) = start(name, "drain");
        wait_for(&mut lines, "ready");
        send(&program, signal);
        wait_for(&mut lines, "Ok(())");
        wait_for(&mut lines, "start auth +a drain auth -a stop auth");
        assert!(program.wait().expect("it ends").success());
    }
}

// proves: APP-12
#[test]
fn a_second_signal_ends_the_program_at_once() {
    let name = "a_second_signal_ends_the_program_at_once";
    if role().is_some() {
        return play(Outcome::Hangs);
    }
    let (mut program, mut lines) = start(name, "hang");
    wait_for(&mut lines, "ready");
    assert_eq!(signal_until_it_ends(&mut program), Some(130));
}

// proves: APP-12
#[test]
fn a_second_signal_ends_the_program_while_every_worker_is_stuck() {
    let name = "a_second_signal_ends_the_program_while_every_worker_is_stuck";
    if role().is_some() {
        return play_stuck_workers("1h");
    }
    let (mut program, mut lines) = start(name, "stuck");
    wait_for(&mut lines, "stuck");
    wait_for(&mut lines, "stuck");
    assert_eq!(signal_until_it_ends(&mut program), Some(130));
}

// proves: APP-09, APP-12
#[test]
fn one_signal_ends_the_program_in_the_end_while_every_worker_is_stuck() {
    let name = "one_signal_ends_the_program_in_the_end_while_every_worker_is_stuck";
    if role().is_some() {
        return play_stuck_workers("1ms");
    }
    let (mut program, mut lines) = start(name, "stuck");
    wait_for(&mut lines, "stuck");
    wait_for(&mut lines, "stuck");
    send(&program, "-TERM");
    wait_for(&mut lines, "Err(Zombies(");
    program.wait().expect("it ends");
}

// proves: APP-12
#[test]
fn a_signal_while_an_application_starts_stops_those_that_run() {
    let name = "a_signal_while_an_application_starts_stops_those_that_run";
    if role().is_some() {
        return play_slow_start();
    }
    let (mut program, mut lines) = start(name, "boot");
    wait_for(&mut lines, "booting");
    send(&program, "-TERM");
    let mut log = BufReader::new(program.stderr.take().expect("piped"));
    wait_for(&mut log, "application stopped");
    // The others have not waited for its start, but the node waits for its thread: let it go.
    drop(program.stdin.take());
    wait_for(&mut lines, "Ok(())");
    wait_for(&mut lines, "start auth +a start billing drain auth -a stop auth");
    assert!(program.wait().expect("it ends").success());
}

// proves: APP-12
#[test]
fn a_signal_ends_a_node_whose_boot_hangs_in_an_init() {
    let name = "a_signal_ends_a_node_whose_boot_hangs_in_an_init";
    if role().is_some() {
        return play_hanging_init("500ms");
    }
    let (mut program, mut lines) = start(name, "boot");
    wait_for(&mut lines, "booting");
    send(&program, "-TERM");
    wait_for(&mut lines, "Ok(())");
    wait_for(&mut lines, "start auth +a start billing drain auth -a stop auth");
    assert!(program.wait().expect("it ends").success());
}

// proves: APP-12
#[test]
fn a_second_signal_ends_a_boot_that_hangs_at_once() {
    let name = "a_second_signal_ends_a_boot_that_hangs_at_once";
    if role().is_some() {
        return play_hanging_init("1h");
    }
    let (mut program, mut lines) = start(name, "boot");
    wait_for(&mut lines, "booting");
    assert_eq!(signal_until_it_ends(&mut program), Some(130));
}
