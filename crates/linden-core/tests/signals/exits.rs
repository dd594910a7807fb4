//! Exit signals, by OTP's table.

use linden_core::{Cx, Flush, Info, Mail, Node, Reason};

use super::{Number, crash, exit_of, linked, monitored};
use crate::puppet::{Puppet, obey};
use crate::stage::{Journal, SEEDS, check, reasons, watch};

/// What an exit signal did to a process.
#[derive(PartialEq, Eq, Debug)]
enum Effect {
    Nothing,
    Heard(Reason),
    Ended(Reason),
}

async fn effect_on(puppet: &Puppet) -> Effect {
    match puppet.heard().await.pop() {
        None => Effect::Nothing,
        Some(Info::Exit { reason, .. }) => Effect::Heard(reason),
        Some(other) => panic!("{other:?}"),
    }
}

/// Sends the exit signal from another process, and looks what it did. A witness is linked to the receiver.
async fn effect_of(node: &Node, reason: Reason, trap: bool) -> Effect {
    let witness = Puppet::trapping(node).await;
    let receiver = Puppet(witness.run(|cx| cx.spawn_link(obey)).await);
    receiver.run(move |cx| cx.trap_exit(trap)).await;
    let sender = Puppet::spawn(node);
    let pid = receiver.pid();
    sender.run(move |cx| cx.exit(pid, reason)).await;
    node.process_info(pid).await;
    match witness.heard().await.pop() {
        Some(Info::Exit { reason, .. }) => Effect::Ended(reason),
        Some(other) => panic!("{other:?}"),
        None => effect_on(&receiver).await,
    }
}

// proves: SIG-03, SIG-04, SIG-05
#[test]
fn an_exit_signal_ends_is_heard_or_is_dropped_by_otps_table() {
    check(0..6, |node| async move {
        for reason in reasons() {
            let ended = match reason {
                Reason::Normal => Effect::Nothing,
                _ => Effect::Ended(reason.clone()),
            };
            assert_eq!(effect_of(&node, reason.clone(), false).await, ended);
            assert_eq!(effect_of(&node, reason.clone(), true).await, Effect::Heard(reason));
        }
        for trap in [true, false] {
            let killed = Effect::Ended(Reason::Killed);
            assert_eq!(effect_of(&node, Reason::Kill, trap).await, killed);
        }
    });
}

// proves: SIG-03
#[test]
fn a_kill_passes_a_link_as_killed() {
    check(SEEDS, |node| async move {
        let (killed, traps) = linked(&node).await;
        let follows = Puppet::spawn(&node);
        let pid = killed.pid();
        follows.run(move |cx| cx.link(pid)).await;
        let ends = [watch(&node, pid), watch(&node, follows.pid())];
        node.exit(pid, Reason::Kill);
        assert_eq!(traps.hear().await, exit_of(&killed, Reason::Killed));
        for end in ends {
            assert_eq!(end.await, Reason::Killed);
        }
    });
}

/// A reason that is merely called `kill` does not kill: it went through a link.
// proves: SIG-03
#[test]
fn an_end_with_the_reason_kill_is_trapped_like_any_other() {
    check(SEEDS, |node| async move {
        let (ends, traps) = linked(&node).await;
        ends.end(Reason::Kill);
        assert_eq!(traps.hear().await, exit_of(&ends, Reason::Kill));
    });
}

// proves: SIG-07
#[test]
fn an_exit_signal_to_itself_takes_effect_at_the_next_await() {
    for (reason, trap, expected) in [
        (Reason::Normal, false, Some(Reason::Normal)),
        (crash(), false, Some(crash())),
        (Reason::Kill, true, Some(Reason::Killed)),
        (Reason::Normal, true, None),
    ] {
        check(0..6, |node| {
            let (reason, expected, went_on) = (reason.clone(), expected.clone(), Journal::new());
            async move {
                let journal = went_on.clone();
                let process = node.spawn(move |mut cx: Cx<()>| async move {
                    cx.trap_exit(trap);
                    cx.exit(cx.pid(), reason);
                    journal.write("before the await");
                    let mail = cx.recv().await;
                    assert!(
                        matches!(mail, Mail::Info(Info::Exit { from, .. }) if from == cx.pid())
                    );
                    Reason::custom("heard")
                });
                let end = node.wait_exit(process.pid()).await;
                assert_eq!(end, expected.unwrap_or(Reason::custom("heard")));
                assert_eq!(went_on.entries(), ["before the await"]);
            }
        });
    }
}

// proves: SIG-08
#[test]
fn a_process_that_waits_for_something_else_is_ended_by_exit_and_kill() {
    for (reason, expected) in [(crash(), crash()), (Reason::Kill, Reason::Killed)] {
        check(SEEDS, |node| {
            let (reason, expected) = (reason.clone(), expected.clone());
            async move {
                let stuck = node.spawn(|_: Cx<Number>| std::future::pending::<()>());
                stuck.send(Number(1)).expect("it lives");
                let end = watch(&node, stuck.pid());
                node.exit(stuck.pid(), reason);
                assert_eq!(end.await, expected);
                assert_eq!(node.dead_letters().unread, 1);
            }
        });
    }
}

// proves: SIG-06
#[test]
fn a_signal_to_the_dead_disturbs_nobody() {
    check(SEEDS, |node| async move {
        let (sender, dead, reference) = monitored(&node).await;
        dead.end(Reason::Normal);
        sender.hear().await;
        let pid = dead.pid();
        sender
            .run(move |cx| {
                cx.exit(pid, crash());
                cx.exit(pid, Reason::Kill);
                cx.unlink(pid);
                cx.demonitor(reference, Flush::Yes);
            })
            .await;
        assert_eq!(sender.heard().await, []);
    });
}
