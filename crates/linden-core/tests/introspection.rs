//! What can be seen of processes: rows, what they know of themselves, groups, and the ends that a listener is told of.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use linden_core::{
    CrashDetail, Cx, ExitEvent, ExitListener, ExitOrigin, Info, Mail, Message, Node, NodeOptions,
    Pid, Reason, Simulation, Status, current_process,
};
use puppet::{Puppet, obey};
use stage::{Journal, SEEDS, check, end_of, inside, on_node, quiet, watch};

#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/stage.rs"]
mod stage;

struct Number(#[expect(dead_code, reason = "only counted")] u32);

impl Message for Number {}

// proves: PROC-04
#[test]
fn a_row_shows_who_a_process_is() {
    check(SEEDS, |node| async move {
        let parent = Puppet::spawn(&node);
        let child = parent.run(|cx| cx.spawn(obey).pid()).await;
        node.register("child", child).expect("the name is free");
        parent.run(|cx| cx.set_label("the parent")).await;
        let rows = node.processes();
        assert_eq!(rows.len(), 2);
        let row = |pid| rows.iter().find(|row| row.pid == pid).expect("it lives");
        let (parent_row, child_row) = (row(parent.pid()), row(child));
        assert_eq!((parent_row.parent, child_row.parent), (None, Some(parent.pid())));
        assert_eq!(child_row.name.as_deref(), Some("child"));
        assert_eq!(
            (parent_row.name.as_deref(), parent_row.label.as_deref()),
            (None, Some("the parent"))
        );
        assert!(child_row.message_type.ends_with("Order"), "{}", child_row.message_type);
        assert!(child_row.cell_size > 88 && child_row.cell_size < 1_000);
    });
}

// proves: PROC-02, PROC-01
#[test]
fn a_process_is_known_when_its_spawn_returns_and_no_pid_is_given_twice() {
    check(SEEDS, |node| async move {
        let mut pids = std::collections::HashSet::new();
        inside(&node, move |mut cx: Cx<()>| async move {
            for _ in 0..200 {
                let child = cx.spawn(waits_in_turn);
                assert!(pids.insert(child.pid()), "{} again", child.pid());
                assert!(child.is_alive() && cx.node().is_alive(child.pid()));
                let row = cx.node().processes().into_iter().find(|row| row.pid == child.pid());
                assert_eq!(row.and_then(|row| row.parent), Some(cx.pid()));
                let monitor = cx.monitor(child.pid());
                child.send(Number(0)).expect("it takes messages");
                cx.exit(child.pid(), Reason::custom("over"));
                let (pid, reason) = (child.pid(), Reason::custom("over"));
                assert_eq!(
                    cx.recv().await,
                    Mail::Info(Info::Down { reference: monitor, pid, reason })
                );
            }
        })
        .await;
    });
}

// proves: PROC-01
#[test]
fn a_pid_that_a_body_saw_before_it_panicked_is_given_to_no_other_process() {
    /// As many as it takes that indices are used again.
    const ROUNDS: usize = 2_500;
    fn fail(node: &Node) -> Pid {
        let mut seen = None;
        let spawn = || {
            node.spawn(|cx: Cx<()>| -> std::future::Ready<()> {
                seen = Some(cx.pid());
                std::panic::resume_unwind(Box::new("no body"))
            })
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(spawn)).is_err());
        seen.expect("the body ran")
    }
    check(0..2, |node| async move {
        let mut pids = std::collections::HashSet::new();
        for _ in 0..ROUNDS {
            assert!(pids.insert(fail(&node)));
        }
        inside(&node, move |cx: Cx<()>| async move {
            for _ in 0..ROUNDS {
                assert!(pids.insert(fail(cx.node())));
                assert!(pids.insert(cx.spawn(|_: Cx<()>| async {}).pid()));
            }
        })
        .await;
    });
}

// proves: PROC-04
#[test]
fn a_wait_for_an_exit_that_is_dropped_leaves_nothing_with_the_process() {
    check(SEEDS, |node| async move {
        let target = Puppet::spawn(&node);
        let watchers = async || node.process_info(target.pid()).await.map(|info| info.watchers);
        {
            let _wait = watch(&node, target.pid());
            assert_eq!(watchers().await, Some(1));
        }
        assert_eq!(watchers().await, Some(0));
        let timeout = Duration::from_millis(5);
        assert!(tokio::time::timeout(timeout, node.wait_exit(target.pid())).await.is_err());
        assert_eq!(watchers().await, Some(0));
        target.end(Reason::Normal);
        assert_eq!(node.wait_exit(target.pid()).await, Reason::Normal);
        assert_eq!(node.dead_letters().late_replies, 0, "nobody was told too late");
    });
}

/// Waits for `mail`, then for something else, then ends.
async fn waits_in_turn(mut cx: Cx<Number>) {
    cx.recv().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
}

// proves: PROC-04
#[test]
fn a_row_shows_what_a_process_waits_for() {
    check(SEEDS, |node| async move {
        let process = node.spawn(waits_in_turn);
        let status = |node: &Node| node.processes()[0].status;
        assert_eq!(status(&node), Status::Running, "it is in a run queue");
        node.process_info(process.pid()).await;
        assert_eq!(status(&node), Status::Waiting);
        process.send(Number(0)).expect("it lives");
        node.process_info(process.pid()).await;
        assert_eq!(status(&node), Status::Suspended);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(node.processes(), []);
    });
}

// proves: PROC-04
#[test]
fn a_row_shows_work_done_and_messages_unread() {
    check(SEEDS, |node| async move {
        let process = node.spawn(waits_in_turn);
        let before = node.process_info(process.pid()).await.expect("it lives").row.reductions;
        for number in 0..5 {
            process.send(Number(number)).expect("it lives");
        }
        let info = node.process_info(process.pid()).await.expect("it answers while it sleeps");
        assert_eq!((info.row.unread, info.mailbox_len), (5, 5));
        let info = node.process_info(process.pid()).await.expect("it has read one");
        assert_eq!((info.row.unread, info.mailbox_len), (4, 4));
        assert!(info.row.reductions > before);
    });
}

// proves: PROC-04
#[test]
fn a_process_tells_its_links_monitors_and_whether_it_traps() {
    check(SEEDS, |node| async move {
        let (a, b, c) = (Puppet::spawn(&node), Puppet::spawn(&node), Puppet::spawn(&node));
        let (to_b, to_c) = (b.pid(), c.pid());
        let monitor = a.run(move |cx| cx.monitor(to_c)).await;
        a.run(move |cx| cx.link(to_b)).await;
        a.run(|cx| cx.trap_exit(true)).await;
        let info = node.process_info(a.pid()).await.expect("it lives");
        assert_eq!((&info.links[..], &info.monitors[..]), (&[to_b][..], &[(monitor, to_c)][..]));
        assert!(info.trap_exit);
        let other = node.process_info(to_b).await.expect("it lives");
        assert_eq!((&other.links[..], other.trap_exit), (&[a.pid()][..], false));
        assert_eq!(node.process_info(to_c).await.expect("it lives").watchers, 1);
    });
}

// proves: PROC-04
#[test]
fn the_dead_and_the_foreign_have_no_info() {
    check(SEEDS, |node| async move {
        let puppet = Puppet::spawn(&node);
        let asked = node.process_info(puppet.pid());
        puppet.end(Reason::Normal);
        let _ = asked.await;
        node.wait_exit(puppet.pid()).await;
        assert_eq!(node.process_info(puppet.pid()).await, None);
        let foreign = Pid::outside(linden_core::NodeId::new("other@host", 1));
        assert_eq!(node.process_info(foreign).await, None);
        assert!(!node.is_alive(puppet.pid()) && !node.is_alive(foreign));
    });
}

// proves: PROC-04
#[test]
fn a_process_asks_about_itself_without_waiting_for_itself() {
    check(SEEDS, |node| async move {
        let asked = node.clone();
        let alike = inside(&node, |cx: Cx<()>| async move {
            let (by_node, by_itself) = (asked.process_info(cx.pid()).await, cx.info());
            by_node == Some(by_itself)
        });
        assert!(alike.await);
    });
}

/// Who runs here is known inside of a process only, for logs.
// proves: PROC-04
#[test]
fn the_current_process_is_known_inside_of_it_and_nowhere_else() {
    check(SEEDS, |node| async move {
        assert_eq!(current_process(), None);
        inside(&node, |cx: Cx<()>| async move {
            cx.register("me").expect("the name is free");
            cx.set_label("myself");
            let own = current_process().expect("a process runs here");
            assert_eq!((own.pid, own.name.as_deref()), (cx.pid(), Some("me")));
            assert_eq!(own.label.as_deref(), Some("myself"));
            let task = tokio::spawn(async { current_process() }).await;
            assert_eq!(task.expect("the task ends well"), None);
        })
        .await;
    });
}

// proves: PROC-05
#[test]
fn a_child_is_born_into_the_group_of_its_parent() {
    check(SEEDS, |node| async move {
        let group_of = |pid: Pid| {
            let row = node.processes().into_iter().find(|row| row.pid == pid);
            row.expect("it lives").group.map(|group| group.to_string())
        };
        let parent = Puppet::spawn(&node);
        assert_eq!(group_of(parent.pid()), None);
        let group = node.group("billing");
        assert_eq!(node.group("billing"), group, "a name is one group");
        parent.run(move |cx| cx.set_group(group)).await;
        let child = Puppet(parent.run(|cx| cx.spawn(obey)).await);
        let grandchild = child.run(|cx| cx.spawn_link(obey).pid()).await;
        let other = node.group("auth");
        child.run(move |cx| cx.set_group(other)).await;
        parent.run(Cx::clear_group).await;
        let groups = [parent.pid(), child.pid(), grandchild].map(group_of);
        assert_eq!(groups, [None, Some("auth".to_owned()), Some("billing".to_owned())]);
    });
}

/// Lists processes, and asks each, while others come and go.
// proves: PROC-04
#[test]
fn processes_are_listed_while_they_come_and_go() {
    on_node(2, |node| async move {
        let stop = Arc::new(AtomicBool::new(false));
        let (lister, stopped) = (node.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut seen = 0;
            while !stopped.load(Ordering::Relaxed) {
                let rows = lister.processes();
                assert!(rows.is_sorted_by_key(|row| row.pid));
                seen += rows.len();
                for row in rows.iter().take(3) {
                    lister.block_on(lister.process_info(row.pid));
                }
            }
            seen
        });
        for _ in 0..200 {
            inside(&node, |mut cx: Cx<()>| async move {
                cx.trap_exit(true);
                for _ in 0..20 {
                    cx.spawn_link(|cx: Cx<()>| async move {
                        cx.register("contested").ok().map_or((), drop)
                    });
                }
                for _ in 0..20 {
                    assert!(matches!(cx.recv().await, Mail::Info(Info::Exit { .. })));
                }
            })
            .await;
        }
        stop.store(true, Ordering::Relaxed);
        assert!(thread.join().expect("listing never panics") > 0);
        assert_eq!(node.processes(), []);
    });
}

// ---- The exit listener

/// What a listener was told.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Told {
    name: Option<String>,
    label: Option<String>,
    group: Option<String>,
    has_parent: bool,
    unread: u32,
    reason: Reason,
    origin: ExitOrigin,
    detail: Option<CrashDetail>,
}

impl ExitListener for Journal<Told> {
    fn process_exited(&self, event: &ExitEvent<'_>) {
        self.write(Told {
            name: event.name.map(str::to_owned),
            label: event.label.map(str::to_owned),
            group: event.group.map(str::to_owned),
            has_parent: event.parent.is_some(),
            unread: event.unread,
            reason: event.reason.clone(),
            origin: event.origin,
            detail: event.detail.cloned(),
        });
    }
}

/// Runs a scenario on a simulated node whose listener writes to the journal.
fn heard<F: Future<Output = ()>>(scenario: impl FnOnce(Node, Journal<Told>) -> F) -> Vec<Told> {
    let journal = Journal::new();
    let options = NodeOptions { exit_listener: Some(Arc::new(journal.clone())), ..quiet() };
    let mut simulation = Simulation::with_options(1, options);
    let node = simulation.node().clone();
    simulation.run(scenario(node, journal.clone()));
    journal.entries()
}

// proves: EXIT-05
#[test]
fn the_listener_is_told_of_each_end_that_is_not_orderly() {
    let told = heard(|node, _| async move {
        for reason in stage::reasons() {
            end_of(&node, move |_: Cx<()>| async move { reason }).await;
        }
        end_of(&node, |_: Cx<()>| async { stage::boom() }).await;
    });
    let reasons: Vec<bool> = told.iter().map(|told| told.reason.is_orderly()).collect();
    let unorderly = stage::reasons().into_iter().filter(|reason| !reason.is_orderly()).count() + 1;
    assert_eq!(reasons, vec![false; unorderly]);
}

// proves: EXIT-05
#[test]
fn the_listener_hears_all_that_is_known_before_others_hear_of_the_end() {
    let told = heard(|node, journal| async move {
        let group = node.group("billing");
        inside(&node, move |mut cx: Cx<()>| async move {
            cx.set_group(group);
            let (child, _) = cx.spawn_monitor(|mut cx: Cx<Number>| async move {
                cx.register("ledger").expect("the name is free");
                cx.set_label("the ledger");
                cx.recv().await;
                // These stay in the mailbox, not yet taken from it.
                for number in 0..3 {
                    cx.address().send(Number(number)).expect("it lives");
                }
                cx.set_crash_detail(CrashDetail {
                    last_message: Some("transfer"),
                    state: Some("Ledger".to_owned()),
                    restarts: 2,
                });
                stage::boom()
            });
            // The first is read, the second is not.
            child.send(Number(0)).expect("it lives");
            child.send(Number(1)).expect("it lives");
            assert!(matches!(cx.recv().await, Mail::Info(Info::Down { .. })));
            assert_eq!(journal.entries().len(), 1, "the listener heard first");
        })
        .await;
        assert_eq!(node.dead_letters().unread, 4);
    });
    let told = &told[0];
    assert_eq!(told.name.as_deref(), Some("ledger"));
    assert_eq!(told.label.as_deref(), Some("the ledger"));
    assert_eq!(told.group.as_deref(), Some("billing"));
    assert!(told.has_parent);
    assert_eq!((told.unread, told.origin), (4, ExitOrigin::Own));
    assert!(matches!(&told.reason, Reason::Panic(info) if info.message == "boom"));
    let detail = told.detail.as_ref().expect("it was left");
    assert_eq!((detail.last_message, detail.restarts), (Some("transfer"), 2));
}

// proves: EXIT-05
#[test]
fn the_listener_hears_whether_a_signal_ended_the_process() {
    let told = heard(|node, _| async move {
        for (reason, waits) in [(Reason::Kill, true), (Reason::custom("told"), false)] {
            let process = node.spawn(move |mut cx: Cx<()>| async move {
                if waits {
                    cx.recv().await;
                }
                std::future::pending::<()>().await;
            });
            let end = watch(&node, process.pid());
            node.exit(process.pid(), reason);
            end.await;
        }
        end_of(&node, |_: Cx<()>| async move { Reason::custom("own") }).await;
    });
    let origins: Vec<ExitOrigin> = told.iter().map(|told| told.origin).collect();
    assert_eq!(origins, [ExitOrigin::Signal, ExitOrigin::Signal, ExitOrigin::Own]);
}

/// A detail left by one process must not appear in the report of another.
// proves: EXIT-05
#[test]
fn a_crash_detail_is_for_the_process_that_left_it() {
    let told = heard(|node, _| async move {
        let leaves = node.spawn(|mut cx: Cx<()>| async move {
            cx.set_crash_detail(CrashDetail::default());
            cx.recv().await;
        });
        node.process_info(leaves.pid()).await;
        end_of(&node, |_: Cx<()>| async move { Reason::custom("another") }).await;
        leaves.send(()).expect("it lives");
        node.wait_exit(leaves.pid()).await;
        end_of(&node, |_: Cx<()>| async move { Reason::custom("a third") }).await;
    });
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|told| told.detail.is_none()), "{told:?}");
}

#[test]
fn uptime_follows_the_clock() {
    check(0..2, |node| async move {
        let before = node.uptime();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(node.uptime() - before >= Duration::from_secs(60));
    });
}
