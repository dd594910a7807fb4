//! Dead letters: each reason, who is named, what a listener hears.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use linden_core::{
    CallError, Cx, DEAD_LETTERS_KEPT_MAX, DeadLetter, DeadLetterCounts, DeadLetterListener,
    DeadLetterReason, DeadLetterTarget, Delivered, Mail, Message, Node, NodeOptions, Reason, Reply,
    Simulation, TraceContext, reply_channel, set_trace,
};
use puppet::Puppet;
use stage::{quiet, simulated};

#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/stage.rs"]
mod stage;

struct Ask(Reply<u64>);

impl Message for Ask {}

/// The newest dead letter, as reason, target and message.
fn newest(node: &Node) -> (DeadLetterReason, DeadLetterTarget, String) {
    let letter = node.dead_letter_report().newest.pop().expect("there is one");
    (letter.reason, letter.target, letter.message.into_owned())
}

/// How many a target has lost for a reason.
fn lost(node: &Node, target: &DeadLetterTarget, reason: DeadLetterReason) -> u64 {
    let report = node.dead_letter_report();
    let of = report.targets.iter().find(|(lost, _)| lost == target);
    of.map_or(0, |(_, counts)| counts.of(reason))
}

// proves: DEAD-01
#[test]
fn a_message_to_the_dead_is_noted_with_its_sender_and_trace() {
    simulated(1, |node| async move {
        let dead = node.spawn(async |_: Cx<u64>| {});
        let pid = dead.pid();
        let _ = node.wait_exit(pid).await;
        let puppet = Puppet::spawn(&node);
        let trace = TraceContext::begin([1; 16], [2; 8]);
        let sent = puppet.run(move |_| {
            set_trace(Some(trace));
            dead.send(7)
        });
        assert!(sent.await.is_err());
        let letter = node.dead_letter_report().newest.pop().expect("there is one");
        assert_eq!((letter.reason, letter.message.as_ref()), (DeadLetterReason::NoProcess, "u64"));
        assert_eq!((letter.found_by, letter.trace), (Some(puppet.pid()), Some(trace)));
        let target = DeadLetterTarget::Process(pid);
        assert_eq!((lost(&node, &target, DeadLetterReason::NoProcess), letter.target), (1, target));
    });
}

// proves: DEAD-01
#[test]
fn a_message_to_a_name_that_nobody_has_is_noted_under_the_name() {
    simulated(1, |node| async move {
        let ghost = node.named::<String>("ghost");
        for _ in 0..3 {
            assert!(ghost.send("boo".to_owned()).is_err());
        }
        let target = DeadLetterTarget::Name("ghost".into());
        assert_eq!(lost(&node, &target, DeadLetterReason::NoProcess), 3);
        assert_eq!(
            newest(&node),
            (DeadLetterReason::NoProcess, target, "alloc::string::String".to_owned())
        );
    });
}

// proves: DEAD-01
#[test]
fn a_timers_message_to_the_dead_is_noted() {
    simulated(1, |node| async move {
        let dead = node.spawn(async |_: Cx<u64>| {});
        let pid = dead.pid();
        let _ = node.wait_exit(pid).await;
        let (told, heard) = reply_channel();
        node.spawn(async move |mut cx: Cx<()>| {
            cx.send_after(&dead, Duration::from_secs(1), 7);
            cx.recv_timeout(Duration::from_secs(2)).await;
            told.send(());
        });
        assert_eq!(heard.await, Ok(()));
        assert_eq!(
            newest(&node),
            (DeadLetterReason::NoProcess, DeadLetterTarget::Process(pid), "u64".to_owned())
        );
    });
}

// proves: DEAD-01
#[test]
fn what_a_process_had_not_read_is_counted_whole_and_kept_in_part() {
    simulated(1, |node| async move {
        let busy = node.spawn(async |mut cx: Cx<u64>| {
            cx.recv_match(|mail| matches!(mail, linden_core::MailRef::Msg(0))).await;
        });
        for number in (1..=1_000).chain([0]) {
            busy.send(number).expect("it lives");
        }
        let pid = busy.pid();
        assert_eq!(node.wait_exit(pid).await, Reason::Normal);
        let target = DeadLetterTarget::Process(pid);
        stage::eventually(|| lost(&node, &target, DeadLetterReason::Unread) == 1_000).await;
        assert_eq!(node.dead_letters().unread, 1_000);
        let kept = node.dead_letter_report().newest;
        assert_eq!(kept.len(), 16);
        assert!(kept.iter().all(|letter| letter.found_by == Some(pid)));
    });
}

// proves: DEAD-01
#[test]
fn an_answer_that_comes_too_late_is_noted_with_the_server() {
    simulated(1, |node| async move {
        let server = node.spawn(async |mut cx: Cx<Ask>| {
            let Mail::Msg(Ask(reply)) = cx.recv().await else { return };
            // The second request says that the first has been given up.
            cx.recv().await;
            reply.send(7);
        });
        let asked = server.call(Ask).timeout(Duration::from_millis(1)).await;
        assert_eq!(asked, Err(CallError::Timeout));
        let pid = server.pid();
        let _ = server.call(Ask).await;
        let letters = node.dead_letter_report().newest;
        let late: Vec<_> =
            letters.iter().filter(|letter| letter.reason == DeadLetterReason::LateReply).collect();
        assert_eq!(late.len(), 1);
        assert_eq!((&late[0].target, late[0].message.as_ref()), (&DeadLetterTarget::Caller, "u64"));
        assert_eq!(late[0].found_by, Some(pid));
    });
}

// proves: DEAD-02
#[test]
fn a_storm_is_counted_and_kept_in_part() {
    simulated(1, |node| async move {
        let ghost = node.named::<u64>("ghost");
        for number in 0..10_000 {
            assert!(ghost.send(number).is_err());
        }
        let report = node.dead_letter_report();
        assert_eq!(report.newest.len(), DEAD_LETTERS_KEPT_MAX);
        assert_eq!(report.targets[0].1.total(), 10_000);
        assert_eq!(node.dead_letters().no_process, 10_000);
    });
}

/// What a listener heard: the reason, and how many were not told before.
#[derive(Default)]
struct Heard(Mutex<Vec<(DeadLetterReason, u64)>>);

impl DeadLetterListener for Heard {
    fn dead_letter(&self, letter: &DeadLetter, untold: u64) {
        self.0.lock().expect("nobody panics").push((letter.reason, untold));
        // Caught, and no harm to whoever found the letter.
        panic!("a listener's own");
    }
}

// proves: DEAD-04
#[test]
fn a_listener_is_told_of_a_storm_at_a_bounded_rate_and_may_panic() {
    let heard = Arc::new(Heard::default());
    let options = NodeOptions { dead_letter_listener: Some(heard.clone()), ..quiet() };
    let mut simulation = Simulation::with_options(1, options);
    let node = simulation.node().clone();
    simulation.run(async move {
        let ghost = node.named::<u64>("ghost");
        for number in 0..1_000 {
            assert!(ghost.send(number).is_err());
        }
        let waits = node.spawn(async |mut cx: Cx<()>| {
            cx.recv_timeout(Duration::from_secs(2)).await;
        });
        let _ = node.wait_exit(waits.pid()).await;
        assert!(ghost.send(0).is_err());
    });
    let heard = heard.0.lock().expect("nobody panics");
    let expected: Vec<_> = (0..10).map(|_| 0).chain([990]).collect();
    assert_eq!(heard.iter().map(|(_, untold)| *untold).collect::<Vec<_>>(), expected);
    assert!(heard.iter().all(|(reason, _)| *reason == DeadLetterReason::NoProcess));
}

#[test]
fn an_answer_that_nobody_wants_is_no_dead_letter() {
    simulated(1, |node| async move {
        let puppet = Puppet::spawn(&node);
        let answered = puppet.run(|_| {
            drop(Reply::<u64>::unwanted());
            Reply::unwanted().send("dropped".to_owned())
        });
        assert_eq!(answered.await, Delivered::Yes);
        assert_eq!(node.dead_letters(), DeadLetterCounts::default());
    });
}
