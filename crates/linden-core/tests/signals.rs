//! Signals between processes: links, monitors, exits, their order, and what happens at a death.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use linden_core::{
    Address, Cx, Flush, Info, IntoReason, Mail, Message, Node, Pid, Reason, Ref, spawn_link,
};
use puppet::{Order, Puppet, obey};
use stage::{Journal, SEEDS, check, end_of, inside, on_node, reasons, watch};

#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/stage.rs"]
mod stage;

/// A message that only a number tells from others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Number(usize);

impl Message for Number {}

fn crash() -> Reason {
    Reason::custom("crash")
}

fn exit_of(from: &Puppet, reason: Reason) -> Info {
    Info::Exit { from: from.pid(), reason }
}

async fn linked(node: &Node) -> (Puppet, Puppet) {
    let (a, b) = (Puppet::trapping(node).await, Puppet::trapping(node).await);
    let to = b.pid();
    a.run(move |cx| cx.link(to)).await;
    b.heard().await;
    (a, b)
}

// ---- Links

// proves: LINK-01
#[test]
fn either_end_of_a_link_hears_the_reason_of_the_other_once() {
    check(SEEDS, |node| async move {
        for reason in reasons() {
            for dier_linked in [false, true] {
                let (linker, other) = linked(&node).await;
                let (dier, heir) = if dier_linked { (linker, other) } else { (other, linker) };
                dier.end(reason.clone());
                assert_eq!(node.wait_exit(dier.pid()).await, reason);
                assert_eq!(heir.heard().await, [exit_of(&dier, reason.clone())]);
                assert_eq!(heir.links().await, [], "the link went with its other end");
            }
        }
    });
}

// proves: LINK-01, SIG-04
#[test]
fn a_linked_process_that_does_not_trap_ends_with_the_reason_unless_it_is_normal() {
    check(SEEDS, |node| async move {
        for reason in reasons() {
            let (dier, heir) = linked(&node).await;
            heir.run(|cx| cx.trap_exit(false)).await;
            let (first, second) = (watch(&node, dier.pid()), watch(&node, heir.pid()));
            dier.end(reason.clone());
            first.await;
            if reason == Reason::Normal {
                assert_eq!(heir.heard().await, []);
            } else {
                assert_eq!(second.await, reason);
            }
        }
    });
}

// proves: LINK-01
#[test]
fn a_crash_runs_along_a_chain_of_links() {
    check(SEEDS, |node| async move {
        let mut chain = vec![Puppet::spawn(&node)];
        for _ in 0..20 {
            let (next, last) = (Puppet::spawn(&node), chain.last().expect("one at least").pid());
            next.run(move |cx| cx.link(last)).await;
            chain.push(next);
        }
        let watch = Puppet::spawn(&node);
        let end = chain[20].pid();
        watch.run(move |cx| cx.monitor(end)).await;
        chain[0].end(crash());
        assert!(
            matches!(watch.hear().await, Info::Down { pid, reason, .. } if pid == end && reason == crash())
        );
        assert_eq!(node.process_count(), 1, "only the watch lives");
    });
}

// proves: LINK-02
#[test]
fn an_unlinked_process_hears_nothing_whichever_end_unlinks() {
    check(SEEDS, |node| async move {
        for unlinker_dies in [false, true] {
            let (linker, other) = linked(&node).await;
            let (unlinker, left) =
                if unlinker_dies { (&linker, &other) } else { (&other, &linker) };
            let to = left.pid();
            unlinker.run(move |cx| cx.unlink(to)).await;
            assert_eq!(left.links().await, [], "the other end follows");
            linker.end(crash());
            node.wait_exit(linker.pid()).await;
            assert_eq!(other.heard().await, []);
            assert_eq!(other.links().await, []);
        }
    });
}

/// Runs on real threads: the end happens while the other process is busy.
// proves: LINK-02
#[test]
fn an_end_before_the_unlink_is_not_heard_after_it() {
    on_node(2, |node| async move {
        for trap in [true, false] {
            let dead = Arc::new(AtomicBool::new(false));
            let (says, watcher_node) = (dead.clone(), node.clone());
            let lived = inside(&node, move |mut cx: Cx<()>| async move {
                cx.trap_exit(trap);
                let other = cx.spawn_link(obey);
                let pid = other.pid();
                let ready: Address<()> = watcher_node.clone().spawn(move |_: Cx<()>| async move {
                    watcher_node.wait_exit(pid).await;
                    says.store(true, Ordering::Release);
                });
                drop(ready);
                other.send(Order::End(crash())).expect("it lives");
                // Not an await: the exit must find this process running.
                while !dead.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
                cx.unlink(pid);
                cx.recv_timeout(Duration::from_millis(5)).await.is_none()
            })
            .await;
            assert!(lived, "no exit is heard after the unlink");
        }
    });
}

// proves: LINK-03
#[test]
fn a_link_to_the_dead_is_an_exit_with_noproc() {
    check(SEEDS, |node| async move {
        let dead = Puppet::spawn(&node);
        dead.end(Reason::Normal);
        node.wait_exit(dead.pid()).await;
        let (hears, dies) = (Puppet::trapping(&node).await, Puppet::spawn(&node));
        let end = watch(&node, dies.pid());
        for puppet in [&hears, &dies] {
            let pid = dead.pid();
            puppet.cast(move |cx| cx.link(pid));
        }
        assert_eq!(hears.hear().await, exit_of(&dead, Reason::NoProc));
        assert_eq!(hears.links().await, []);
        assert_eq!(end.await, Reason::NoProc);
    });
}

// proves: LINK-01
#[test]
fn a_link_stands_once_however_often_it_is_made_and_not_to_itself() {
    check(SEEDS, |node| async move {
        let (a, b) = linked(&node).await;
        let (to_a, to_b) = (a.pid(), b.pid());
        a.run(move |cx| [to_b, to_a, to_b].map(|pid| cx.link(pid))).await;
        b.run(move |cx| cx.link(to_a)).await;
        assert_eq!((a.links().await, b.links().await), (vec![to_b], vec![to_a]));
        b.end(crash());
        node.wait_exit(to_b).await;
        assert_eq!(a.heard().await, [exit_of(&b, crash())]);
    });
}

#[derive(Clone, Copy)]
enum Step {
    Link,
    Unlink,
}

fn take(cx: &Cx<Order>, steps: &[Step], other: Pid) {
    for step in steps {
        match step {
            Step::Link => cx.link(other),
            Step::Unlink => cx.unlink(other),
        }
    }
}

/// Takes the steps once both puppets are at it: on two threads their signals cross.
fn take_steps(puppet: &Puppet, start: &Arc<AtomicUsize>, steps: &'static [Step], other: Pid) {
    let start = start.clone();
    puppet.cast(move |cx| {
        start.fetch_add(1, Ordering::AcqRel);
        while !start.load(Ordering::Acquire).is_multiple_of(2) {
            std::thread::yield_now();
        }
        take(cx, steps, other);
    });
}

/// What the one does first, and then the one and the other at the same time.
const CROSSINGS: &[(&[Step], &[Step], &[Step])] = {
    use Step::{Link, Unlink};
    &[
        (&[], &[Link, Unlink], &[Link]),
        (&[], &[Link, Unlink], &[Link, Unlink]),
        (&[], &[Link, Unlink, Link], &[Link]),
        (&[], &[Link, Unlink, Link, Unlink], &[Link, Unlink]),
        (&[], &[Unlink, Link], &[Unlink]),
        (&[], &[Link], &[Unlink]),
        (&[], &[Link, Unlink, Unlink], &[Link]),
        (&[Link], &[Unlink], &[Unlink, Link]),
        (&[Link], &[Unlink, Unlink], &[Unlink, Link]),
    ]
};

// proves: LINK-05
#[test]
fn both_ends_agree_on_a_link_whatever_crosses() {
    on_node(2, |node| async move {
        let start = Arc::new(AtomicUsize::new(0));
        for &(before, first, second) in CROSSINGS {
            for _ in 0..100 {
                let (a, b) = (Puppet::trapping(&node).await, Puppet::trapping(&node).await);
                let other = b.pid();
                a.run(move |cx| take(cx, before, other)).await;
                assert_eq!(b.links().await.len(), before.len());
                take_steps(&a, &start, first, b.pid());
                take_steps(&b, &start, second, a.pid());
                for puppet in [&a, &b, &a, &b] {
                    puppet.heard().await;
                }
                let stands = (a.links().await == [b.pid()], b.links().await == [a.pid()]);
                assert_eq!(stands.0, stands.1, "the ends disagree");
                a.run(move |cx| cx.link(other)).await;
                b.end(crash());
                assert_eq!(a.hear().await, exit_of(&b, crash()), "the link made last stands");
            }
        }
    });
}

// proves: LINK-04, LINK-02
#[test]
fn parent_and_child_unlink_and_link_again_as_strangers_do() {
    for unlinker_is_child in [true, false] {
        for relink in [true, false] {
            check(SEEDS, |node| async move {
                let parent = Puppet::trapping(&node).await;
                let child = Puppet(parent.run(|cx| cx.spawn_link(obey)).await);
                child.run(|cx| cx.trap_exit(true)).await;
                assert_eq!(parent.links().await, [child.pid()]);
                let (near, far) =
                    if unlinker_is_child { (&child, parent.pid()) } else { (&parent, child.pid()) };
                near.run(move |cx| cx.unlink(far)).await;
                if relink {
                    near.run(move |cx| cx.link(far)).await;
                }
                child.heard().await;
                assert_eq!(parent.links().await.len(), usize::from(relink));
                assert_eq!(child.links().await.len(), usize::from(relink));
                child.end(crash());
                node.wait_exit(child.pid()).await;
                let expected = if relink { vec![exit_of(&child, crash())] } else { vec![] };
                assert_eq!(parent.heard().await, expected);
            });
        }
    }
}

async fn spawn_linked_children_that_die_at_once(node: &Node, count: usize) {
    let heard = inside(node, move |mut cx: Cx<()>| async move {
        cx.trap_exit(true);
        let mut heard = 0;
        for _ in 0..count {
            let child = cx.spawn_link(|_: Cx<()>| async { crash() });
            let mail = cx.recv().await;
            let expected = Info::Exit { from: child.pid(), reason: crash() };
            heard += usize::from(mail == Mail::Info(expected));
        }
        heard
    })
    .await;
    assert_eq!(heard, count);
}

/// Ergo's defect: the link is made after the child already runs.
// proves: LINK-04
#[test]
fn a_linked_child_that_dies_at_once_is_heard_with_its_reason() {
    check(SEEDS, |node| async move { spawn_linked_children_that_die_at_once(&node, 3).await });
    on_node(2, |node| async move { spawn_linked_children_that_die_at_once(&node, 5_000).await });
}

// proves: LINK-04
#[test]
fn the_free_function_links_a_child_as_the_context_does() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<()>| async move {
            cx.trap_exit(true);
            let child = spawn_link(|_: Cx<()>| async { crash() });
            let expected = Info::Exit { from: child.pid(), reason: crash() };
            assert_eq!(cx.recv().await, Mail::Info(expected));
        })
        .await;
    });
}

// ---- Monitors

async fn monitored(node: &Node) -> (Puppet, Puppet, Ref) {
    let (watch, target) = (Puppet::spawn(node), Puppet::spawn(node));
    let pid = target.pid();
    let reference = watch.run(move |cx| cx.monitor(pid)).await;
    (watch, target, reference)
}

fn down_of(target: &Puppet, reference: Ref, reason: Reason) -> Info {
    Info::Down { reference, pid: target.pid(), reason }
}

// proves: MON-01
#[test]
fn a_monitor_tells_of_the_end_once_with_its_reason() {
    check(SEEDS, |node| async move {
        for reason in reasons() {
            let (watch, target, reference) = monitored(&node).await;
            target.end(reason.clone());
            node.wait_exit(target.pid()).await;
            assert_eq!(watch.heard().await, [down_of(&target, reference, reason)]);
            assert_eq!(watch.run(|cx| cx.info().monitors).await, []);
        }
    });
}

// proves: MON-03
#[test]
fn a_monitor_of_the_dead_tells_noproc_at_once() {
    check(SEEDS, |node| async move {
        let (watch, target, _) = monitored(&node).await;
        target.end(crash());
        watch.hear().await;
        let pid = target.pid();
        let again = watch.run(move |cx| cx.monitor(pid)).await;
        assert_eq!(watch.hear().await, down_of(&target, again, Reason::NoProc));
    });
}

// proves: MON-02
#[test]
fn a_monitor_taken_down_is_silent_and_forgotten_at_both_ends() {
    check(SEEDS, |node| async move {
        let (watch, target, reference) = monitored(&node).await;
        assert_eq!(target.run(|cx| cx.info().watchers).await, 1);
        watch.run(move |cx| cx.demonitor(reference, Flush::No)).await;
        assert_eq!(target.run(|cx| cx.info().watchers).await, 0);
        target.end(crash());
        node.wait_exit(target.pid()).await;
        assert_eq!(watch.heard().await, []);
    });
}

// proves: MON-02
#[test]
fn a_flush_removes_the_down_that_is_there_and_nothing_else() {
    for flush in [Flush::Yes, Flush::No] {
        check(SEEDS, |node| async move {
            let (first, second) = (Puppet::spawn(&node), Puppet::spawn(&node));
            let reader = node.clone();
            let left = inside(&node, move |mut cx: Cx<Number>| async move {
                let references = [cx.monitor(first.pid()), cx.monitor(second.pid())];
                first.end(crash());
                second.end(crash());
                cx.address().send(Number(1)).expect("it lives");
                reader.wait_exit(first.pid()).await;
                reader.wait_exit(second.pid()).await;
                // Reads past both, so that they are in the inbox.
                cx.recv_match(|mail| matches!(mail, linden_core::MailRef::Msg(_))).await;
                cx.demonitor(references[0], flush);
                let mut left = Vec::new();
                while let Some(mail) = cx.recv_timeout(Duration::from_millis(1)).await {
                    match mail {
                        Mail::Info(Info::Down { reference, .. }) => left.push(reference),
                        other => panic!("only the downs are left, not {other:?}"),
                    }
                }
                (references, left)
            })
            .await;
            let (references, mut heard) = left;
            heard.sort_unstable();
            let expected = if flush == Flush::Yes { &references[1..] } else { &references[..] };
            assert_eq!(heard, expected);
        });
    }
}

// proves: MON-04
#[test]
fn several_monitors_of_one_process_tell_each_in_the_order_of_asking() {
    check(SEEDS, |node| async move {
        let (watch, target) = (Puppet::spawn(&node), Puppet::spawn(&node));
        let pid = target.pid();
        let references = watch.run(move |cx| [(); 5].map(|()| cx.monitor(pid))).await;
        target.end(crash());
        node.wait_exit(pid).await;
        let expected = references.map(|reference| down_of(&target, reference, crash()));
        assert_eq!(watch.heard().await, expected);
    });
}

// proves: MON-05
#[test]
fn a_monitored_child_that_dies_at_once_is_heard_with_its_own_reason() {
    let scenario = |count: usize| {
        move |node: Node| async move {
            inside(&node, move |mut cx: Cx<()>| async move {
                for _ in 0..count {
                    let (child, reference) = cx.spawn_monitor(|_: Cx<()>| async { crash() });
                    let expected = Info::Down { reference, pid: child.pid(), reason: crash() };
                    assert_eq!(cx.recv().await, Mail::Info(expected));
                }
            })
            .await;
        }
    };
    check(SEEDS, scenario(3));
    on_node(2, scenario(5_000));
}

// proves: MON-03
#[test]
fn a_name_is_monitored_through_its_owner() {
    check(SEEDS, |node| async move {
        let (watch, target) = (Puppet::spawn(&node), Puppet::spawn(&node));
        node.register("target", target.pid()).expect("the name is free");
        let named = watch.run(|cx| cx.monitor_name("target")).await;
        let nobody = watch.run(|cx| cx.monitor_name("nobody")).await;
        let pid = Pid::outside(node.id());
        assert_eq!(
            watch.hear().await,
            Info::Down { reference: nobody, pid, reason: Reason::NoProc }
        );
        target.end(crash());
        assert_eq!(watch.hear().await, down_of(&target, named, crash()));
    });
}

/// Ergo's defect: what a dead process had set up stays with others for ever.
// proves: MON-01, DEATH-04
#[test]
fn a_dead_process_leaves_no_link_or_monitor_with_others() {
    check(SEEDS, |node| async move {
        let target = Puppet::trapping(&node).await;
        for _ in 0..10 {
            let passer_by = Puppet::spawn(&node);
            let pid = target.pid();
            passer_by.cast(move |cx| {
                cx.link(pid);
                cx.monitor(pid);
            });
            passer_by.end(crash());
            node.wait_exit(passer_by.pid()).await;
            target.hear().await;
        }
        let info = target.run(|cx| cx.info()).await;
        assert_eq!((info.links, info.watchers, info.monitors), (vec![], 0, vec![]));
    });
}

// ---- Exit signals

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

// ---- Order

/// What the receiver of `signals_and_messages_arrive_in_the_order_sent` saw.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    Number(usize),
    Exit(Reason),
    Down,
}

fn seen(mail: Mail<Number>) -> Seen {
    match mail {
        Mail::Msg(Number(number)) => Seen::Number(number),
        Mail::Info(Info::Exit { reason, .. }) => Seen::Exit(reason),
        Mail::Info(_) => Seen::Down,
    }
}

/// Sends numbers and exit signals by turns, then ends; gives what must be seen.
async fn send_by_turns(cx: Cx<()>, to: Address<Number>, count: usize) -> Reason {
    cx.link(to.pid());
    for number in 0..count {
        to.send(Number(number)).expect("it lives");
        cx.exit(to.pid(), Reason::custom(number.to_string()));
    }
    crash()
}

fn expected_by_turns(count: usize) -> Vec<Seen> {
    let mut expected: Vec<Seen> = (0..count)
        .flat_map(|number| [Seen::Number(number), Seen::Exit(Reason::custom(number.to_string()))])
        .collect();
    expected.extend([Seen::Exit(crash()), Seen::Down]);
    expected
}

/// The receiver monitors and is linked: it hears of the end last, by the link before the monitor.
// proves: SIG-01, DEATH-03
#[test]
fn signals_and_messages_of_one_sender_arrive_in_the_order_sent() {
    let scenario = |count: usize| {
        move |node: Node| async move {
            let seen = inside(&node, move |mut cx: Cx<Number>| async move {
                cx.trap_exit(true);
                let own = cx.address();
                let sender = cx.spawn(move |cx| send_by_turns(cx, own, count));
                cx.monitor(sender.pid());
                let mut journal = Vec::new();
                for _ in 0..2 * count + 2 {
                    journal.push(seen(cx.recv().await));
                }
                journal
            })
            .await;
            assert_eq!(seen, expected_by_turns(count));
        }
    };
    check(SEEDS, scenario(5));
    on_node(2, scenario(20_000));
}

// proves: SIG-01, SIG-05
#[test]
fn a_message_behind_the_exit_that_ends_its_receiver_is_not_handled() {
    check(SEEDS, |node| async move {
        let journal = Journal::new();
        let reads = journal.clone();
        let receiver = node.spawn(move |mut cx: Cx<Number>| async move {
            while let Mail::Msg(number) = cx.recv().await {
                reads.write(number);
            }
        });
        let to = receiver.clone();
        inside(&node, move |cx: Cx<()>| async move {
            to.send(Number(1)).expect("it lives");
            cx.exit(to.pid(), crash());
            let _ = to.send(Number(2));
        })
        .await;
        node.wait_exit(receiver.pid()).await;
        assert!(!journal.entries().contains(&Number(2)));
    });
}

// ---- Death

/// Tells a journal when it is dropped.
struct State {
    journal: Journal<&'static str>,
    node: Node,
    own: Pid,
    address: Address<Number>,
}

impl Drop for State {
    fn drop(&mut self) {
        let named = self.node.whereis("stateful") == Some(self.own);
        self.journal.write(if named { "dropped while named" } else { "dropped without name" });
        let closed = self.address.send(Number(0)).is_err();
        self.journal.write(if closed { "mailbox closed" } else { "mailbox open" });
    }
}

fn stateful(journal: Journal<&'static str>) -> impl FnOnce(Cx<Number>) -> Stateful {
    |mut cx| {
        Box::pin(async move {
            cx.register("stateful").expect("the name is free");
            let _state =
                State { journal, node: cx.node().clone(), own: cx.pid(), address: cx.address() };
            loop {
                cx.recv().await;
            }
        })
    }
}

type Stateful = std::pin::Pin<Box<dyn Future<Output = Reason> + Send>>;

// proves: DEATH-01, DEATH-02, DEATH-06
#[test]
fn the_mailbox_closes_then_the_state_goes_then_the_name_then_others_hear() {
    check(SEEDS, |node| async move {
        let journal = Journal::new();
        let watch = Puppet::trapping(&node).await;
        let body = stateful(journal.clone());
        let pid = watch.run(move |cx| cx.spawn_link(body).pid()).await;
        watch.run(move |cx| cx.monitor(pid)).await;
        node.process_info(pid).await;
        node.exit(pid, Reason::Kill);
        for _ in 0..2 {
            let info = watch.hear().await;
            assert_eq!(journal.entries(), ["dropped while named", "mailbox closed"]);
            assert_eq!((node.whereis("stateful"), node.is_alive(pid)), (None, false));
            let heard = matches!(
                info,
                Info::Exit { reason: Reason::Killed, .. }
                    | Info::Down { reason: Reason::Killed, .. }
            );
            assert!(heard, "{info:?}");
        }
    });
}

/// Restarts a named child again and again, as soon as its end is heard.
async fn restart_under_one_name(node: &Node, restarts: usize, by_link: bool) {
    let named = inside(node, move |mut cx: Cx<()>| async move {
        cx.trap_exit(true);
        for _ in 0..restarts {
            let child = |cx: Cx<()>| async move {
                match cx.register("the child") {
                    Ok(()) => crash(),
                    Err(error) => Reason::error(&error),
                }
            };
            if by_link {
                cx.spawn_link(child);
            } else {
                cx.spawn_monitor(child);
            }
            match cx.recv().await {
                Mail::Info(Info::Exit { reason, .. } | Info::Down { reason, .. })
                    if reason == crash() => {}
                other => return format!("{other:?}"),
            }
        }
        String::new()
    })
    .await;
    assert_eq!(named, "", "the name was free each time");
}

/// Ergo's defect: the name is freed after the exit signal goes out, and a restart collides some day.
// proves: DEATH-02, NAME-02
#[test]
fn a_name_is_free_when_the_end_is_heard_in_2400_restarts() {
    for by_link in [true, false] {
        check(SEEDS, move |node| async move { restart_under_one_name(&node, 20, by_link).await });
        on_node(2, move |node| async move { restart_under_one_name(&node, 2_400, by_link).await });
    }
}

// proves: DEATH-02, NAME-02
#[test]
fn a_name_is_free_when_code_outside_hears_of_the_end() {
    on_node(2, |node| async move {
        for _ in 0..2_400 {
            let child = node.spawn(|mut cx: Cx<()>| async move {
                cx.recv().await;
                crash()
            });
            node.register("the child", child.pid()).expect("the name is free");
            child.send(()).expect("it lives");
            node.wait_exit(child.pid()).await;
        }
    });
}

/// Processes linked and monitored by many die in every way at once; each bond speaks once.
// proves: DEATH-04
#[test]
fn each_link_and_monitor_speaks_exactly_once_when_many_ends_race() {
    let scenario = |targets: usize| {
        move |node: Node| async move {
            let heard = Arc::new(AtomicUsize::new(0));
            let counts = heard.clone();
            inside(&node, move |mut cx: Cx<()>| async move {
                cx.trap_exit(true);
                let children: Vec<Pid> = (0..targets)
                    .map(|_| {
                        let (child, _) = cx.spawn_monitor(obey);
                        cx.link(child.pid());
                        let killer = child.clone();
                        cx.spawn(move |cx: Cx<()>| async move {
                            cx.exit(killer.pid(), crash());
                            cx.exit(killer.pid(), Reason::Kill);
                        });
                        let _ = child.send(Order::End(Reason::Shutdown));
                        child.pid()
                    })
                    .collect();
                let mut exits = vec![0; targets];
                let mut downs = vec![0; targets];
                while let Some(mail) = cx.recv_timeout(Duration::from_millis(300)).await {
                    let (pid, list) = match mail.into_info() {
                        Some(Info::Exit { from, .. }) => (from, &mut exits),
                        Some(Info::Down { pid, .. }) => (pid, &mut downs),
                        other => panic!("{other:?}"),
                    };
                    let place = children.iter().position(|&child| child == pid);
                    list[place.expect("a child")] += 1;
                    counts.fetch_add(1, Ordering::Relaxed);
                }
                assert!(exits.iter().chain(&downs).all(|&count| count == 1), "{exits:?} {downs:?}");
            })
            .await;
            assert_eq!(heard.load(Ordering::Relaxed), 2 * targets);
        }
    };
    check(SEEDS, scenario(4));
    on_node(4, scenario(500));
}

#[derive(Debug)]
struct BadBook(std::num::ParseIntError);

impl std::fmt::Display for BadBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the book cannot be read")
    }
}

impl std::error::Error for BadBook {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

fn read_book() -> Result<(), BadBook> {
    "x".parse::<i32>().map(drop).map_err(BadBook)
}

/// A process's future, by name, and whether a reason is the one that it must end with.
type Ending = (&'static str, Stateful, fn(&Reason) -> bool);

// proves: EXIT-01, EXIT-02
#[test]
fn each_kind_of_end_gives_its_reason() {
    let table: Vec<Ending> = vec![
        ("return", Box::pin(async { Reason::Normal }), |reason| *reason == Reason::Normal),
        (
            "detail",
            Box::pin(async { Reason::shutdown_with("drained") }),
            |reason| matches!(reason, Reason::ShutdownWith(detail) if &**detail == "drained"),
        ),
        ("custom", Box::pin(async { crash() }), |reason| *reason == crash()),
        ("ok", Box::pin(async { Ok::<(), BadBook>(()).into_reason() }), |reason| {
            *reason == Reason::Normal
        }),
        ("error", Box::pin(async { read_book().into_reason() }), |reason| {
            matches!(reason, Reason::Error(info) if info.message == "the book cannot be read"
                && info.sources == ["invalid digit found in string"])
        }),
        ("panic", Box::pin(async { panic!("at {}", 7) }), |reason| {
            matches!(reason, Reason::Panic(info) if info.message == "at 7"
                && info.location.contains("tests/signals.rs:"))
        }),
        (
            "static panic",
            Box::pin(async { panic!("boom") }),
            |reason| matches!(reason, Reason::Panic(info) if info.message == "boom"),
        ),
        (
            "odd panic",
            Box::pin(async { std::panic::panic_any(7_u8) }),
            |reason| matches!(reason, Reason::Panic(info) if info.message.contains("no text")),
        ),
    ];
    on_node(2, |node| async move {
        for (name, body, is_right) in table {
            let reason = end_of(&node, |_: Cx<()>| body).await;
            assert!(is_right(&reason), "{name}: {reason:?}");
        }
    });
}
