//! Links: who hears of whose end, and what crosses on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use linden_core::{Address, Cx, Info, Mail, Node, Pid, Reason, spawn_link};

use super::{crash, exit_of, linked};
use crate::puppet::{Order, Puppet, obey};
use crate::stage::{SEEDS, check, inside, on_node, reasons, watch};

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
