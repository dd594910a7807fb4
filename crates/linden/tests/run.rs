//! A node as a program: signals, and what its end tells the shell.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command};

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

/// The program: says that it is ready and how its run ended.
fn play(drain: Outcome, slow_boot: bool) {
    let journal = Journal::new();
    let plan = Plan { drain, ..Plan::new(&journal).with_kid("a") };
    let plan = Plan {
        tree: {
            let tree = plan.tree.clone();
            std::sync::Arc::new(move || {
                if slow_boot {
                    println!("booting");
                    let mut line = String::new();
                    std::io::stdin().read_line(&mut line).expect("a line");
                }
                tree()
            })
        },
        ..plan
    };
    let builder = NodeBuilder::new().application(Auth(plan)).set("log", "level", "off");
    let ran = linden_core::block_on(builder.on_ready(|_| println!("ready")).run());
    println!("{ran:?}");
    println!("{}", journal.entries().join(" "));
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

// proves: APP-12
#[test]
fn sigterm_and_sigint_drain_the_node_and_the_program_ends_well() {
    let name = "sigterm_and_sigint_drain_the_node_and_the_program_ends_well";
    if role().is_some() {
        return play(Outcome::Lasts(5.ms()), false);
    }
    for signal in ["-TERM", "-INT"] {
        let mut program = again(name, "drain").spawn().expect("it runs");
        let mut lines = BufReader::new(program.stdout.take().expect("piped"));
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
        return play(Outcome::Hangs, false);
    }
    let mut program = again(name, "hang").spawn().expect("it runs");
    let mut lines = BufReader::new(program.stdout.take().expect("piped"));
    wait_for(&mut lines, "ready");
    send(&program, "-TERM");
    // The drain never ends; the second signal may come when the first was not heard yet.
    let status = loop {
        match program.try_wait().expect("it can be waited for") {
            Some(status) => break status,
            None => {
                send(&program, "-INT");
                std::thread::yield_now();
            }
        }
    };
    assert_eq!(status.code(), Some(130));
}

// proves: APP-12
#[test]
fn a_signal_while_the_applications_boot_is_not_lost() {
    let name = "a_signal_while_the_applications_boot_is_not_lost";
    if role().is_some() {
        return play(Outcome::Well, true);
    }
    let mut program = again(name, "boot");
    let mut program = program.stdin(std::process::Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(program.stdout.take().expect("piped"));
    wait_for(&mut lines, "booting");
    send(&program, "-TERM");
    drop(program.stdin.take());
    wait_for(&mut lines, "Ok(())");
    assert!(program.wait().expect("it ends").success());
}
