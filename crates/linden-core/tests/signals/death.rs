//! A death: in which order what goes, and with which reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use linden_core::{Address, Cx, Info, IntoReason, Mail, Node, Pid, Reason};

use super::{Number, crash};
use crate::puppet::{Order, Puppet, obey};
use crate::stage::{Journal, SEEDS, check, end_of, inside, on_node};

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
                && info.location.contains("tests/signals/death.rs:"))
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
