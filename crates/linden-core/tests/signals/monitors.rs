//! Monitors: one word for each, and silence when they are taken down.

use std::time::Duration;

use linden_core::{Cx, Flush, Info, Mail, Node, Pid, Reason, Ref};

use super::{Number, crash, monitored};
use crate::puppet::Puppet;
use crate::stage::{SEEDS, check, inside, on_node, reasons};

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
