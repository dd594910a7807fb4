//! Registered names: who owns one, who is told that it is taken, when it is free, and handles that follow it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use linden_core::{
    CallError, Cx, Mail, NAME_LEN_MAX, Node, NodeOptions, Pid, Reason, RegisterError, SendError,
};
use puppet::Puppet;
use stage::{Running, SEEDS, check, end_of, inside, on_node, quiet};
use teller::{Ask, teller};

#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/stage.rs"]
mod stage;
#[path = "support/teller.rs"]
mod teller;

// proves: NAME-01
#[test]
fn a_name_leads_to_the_process_that_registered_it() {
    check(SEEDS, |node| async move {
        let (a, b) = (Puppet::spawn(&node), Puppet::spawn(&node));
        a.run(|cx| cx.register("a")).await.expect("the name is free");
        node.register("b", b.pid()).expect("the name is free");
        assert_eq!((node.whereis("a"), node.whereis("b")), (Some(a.pid()), Some(b.pid())));
        assert_eq!(node.whereis("c"), None);
        assert_eq!(a.run(|cx| cx.info().row.name).await.as_deref(), Some("a"));
    });
}

// proves: NAME-01
#[test]
fn a_taken_name_is_an_error_that_names_the_owner() {
    check(SEEDS, |node| async move {
        let (owner, late) = (Puppet::spawn(&node), Puppet::spawn(&node));
        node.register("name", owner.pid()).expect("the name is free");
        let refused = late.run(|cx| cx.register("name")).await;
        let taken = RegisterError::Taken { name: "name".to_owned(), owner: owner.pid() };
        assert_eq!(refused, Err(taken.clone()));
        assert!(taken.to_string().contains(&owner.pid().to_string()), "{taken}");
        assert_eq!(node.whereis("name"), Some(owner.pid()), "nothing changed");
    });
}

// proves: NAME-01
#[test]
fn a_process_has_one_name_at_most() {
    check(SEEDS, |node| async move {
        let puppet = Puppet::spawn(&node);
        let pid = puppet.pid();
        node.register("first", pid).expect("the name is free");
        for second in ["second", "first"] {
            let name = "first".to_owned();
            assert_eq!(node.register(second, pid), Err(RegisterError::AlreadyNamed { pid, name }));
        }
        assert_eq!(node.whereis("second"), None);
    });
}

// proves: NAME-05
#[test]
fn names_of_bad_length_and_names_for_the_dead_or_foreign_are_refused() {
    check(0..2, |node| async move {
        let (live, dead) = (Puppet::spawn(&node), Puppet::spawn(&node));
        dead.end(Reason::Normal);
        node.wait_exit(dead.pid()).await;
        let long = "x".repeat(NAME_LEN_MAX);
        for bad in [String::new(), format!("{long}x")] {
            assert_eq!(node.register(&bad, live.pid()), Err(RegisterError::BadName(bad)));
        }
        let foreign = Pid::outside(linden_core::NodeId::new("other@host", 1));
        for pid in [dead.pid(), foreign, Pid::outside(node.id())] {
            assert_eq!(node.register("name", pid), Err(RegisterError::NoProc(pid)));
        }
        assert_eq!(node.whereis("name"), None);
        node.register(&long, live.pid()).expect("as long as allowed");
    });
}

// proves: NAME-04
#[test]
fn an_unregistered_name_is_free_and_its_process_lives_on() {
    check(SEEDS, |node| async move {
        let (a, b) = (Puppet::spawn(&node), Puppet::spawn(&node));
        node.register("name", a.pid()).expect("the name is free");
        assert!(node.unregister("name"));
        assert!(!node.unregister("name"), "nobody has it any more");
        node.register("name", b.pid()).expect("the name is free");
        node.register("other", a.pid()).expect("a has no name any more");
        a.end(Reason::Normal);
        node.wait_exit(a.pid()).await;
        assert_eq!((node.whereis("name"), node.whereis("other")), (Some(b.pid()), None));
    });
}

/// A registration from the drop of a dying process would outlive it.
// proves: NAME-05, DEATH-02
#[test]
fn a_dying_process_takes_no_name() {
    struct State(Node, Pid);
    impl Drop for State {
        fn drop(&mut self) {
            assert_eq!(self.0.register("late", self.1), Err(RegisterError::NoProc(self.1)));
        }
    }
    check(SEEDS, |node| async move {
        let process = node.spawn(|mut cx: Cx<()>| async move {
            let _state = State(cx.node().clone(), cx.pid());
            cx.recv().await;
            std::future::pending::<()>().await;
        });
        node.process_info(process.pid()).await;
        let end = stage::watch(&node, process.pid());
        node.exit(process.pid(), Reason::Kill);
        assert_eq!(end.await, Reason::Killed);
        assert_eq!(node.whereis("late"), None);
    });
}

/// The body of a spawn runs before there is a process, and a name can be registered there.
// proves: NAME-06, PROC-03
#[test]
fn a_name_registered_in_the_body_of_a_spawn_is_free_when_the_body_panics() {
    check(SEEDS, |node| async move {
        let carried: Arc<Mutex<Option<Cx<()>>>> = Arc::default();
        for carries in [false, true] {
            let place = carried.clone();
            let body = move |cx: Cx<()>| -> std::future::Ready<()> {
                cx.register("unborn").expect("the name is free");
                assert_eq!(cx.node().whereis("unborn"), Some(cx.pid()));
                if carries {
                    *place.lock().expect("nobody panics with the lock") = Some(cx);
                }
                resume_unwind(Box::new("no body"))
            };
            assert!(catch_unwind(AssertUnwindSafe(|| node.spawn(body))).is_err());
            assert_eq!(node.whereis("unborn"), None);
        }
        let cx = carried.lock().expect("nobody panics with the lock").take();
        let cx = cx.expect("it was carried off");
        assert_eq!(cx.register("unborn"), Err(RegisterError::NoProc(cx.pid())));
        let born = Puppet::spawn(&node);
        born.run(|cx| cx.register("unborn")).await.expect("the name is free");
        assert_eq!(node.whereis("unborn"), Some(born.pid()));
    });
}

// proves: NAME-03
#[test]
fn a_handle_by_name_follows_the_next_owner() {
    check(SEEDS, |node| async move {
        let named = node.named::<Ask>("teller");
        assert_eq!((named.name(), named.pid()), ("teller", None));
        inside(&node, move |cx: Cx<()>| async move {
            for number in 0..5 {
                assert_eq!(named.call(Ask::Keep).await, Err(CallError::NoProc));
                let server = teller(cx.node());
                cx.node().register("teller", server.pid()).expect("the name is free");
                assert_eq!(named.pid(), Some(server.pid()));
                let answer = named.call(|reply| Ask::Echo(number, reply)).await;
                assert_eq!(answer, Ok(number));
                named.send(Ask::End(Reason::Normal)).expect("it lives");
                cx.node().wait_exit(server.pid()).await;
            }
        })
        .await;
    });
}

// proves: NAME-03, SIG-02
#[test]
fn a_message_by_name_comes_back_when_nobody_can_read_it_and_is_counted() {
    check(SEEDS, |node| async move {
        let named = node.named::<String>("teller");
        let text = || "hello".to_owned();
        assert_eq!(named.send(text()), Err(SendError::NoProc(text())));
        let server = teller(&node);
        node.register("teller", server.pid()).expect("the name is free");
        assert_eq!(named.clone().send(text()), Err(SendError::NoProc(text())), "it reads others");
        assert_eq!(node.dead_letters().no_process, 2);
    });
}

// proves: SIG-02
#[test]
fn a_message_to_the_dead_comes_back_and_is_counted() {
    check(SEEDS, |node| async move {
        let reader = node.spawn(|mut cx: Cx<String>| async move { drop(cx.recv().await) });
        reader.send("one".to_owned()).expect("it lives");
        node.wait_exit(reader.pid()).await;
        let two = "two".to_owned();
        assert_eq!(reader.send(two.clone()), Err(SendError::NoProc(two)));
        assert_eq!(node.dead_letters().no_process, 1);
    });
}

// proves: NAME-01, NODE-35
#[test]
fn two_nodes_have_names_of_their_own() {
    let nodes = ["a@host", "b@host"].map(|name| {
        Running::with_options(NodeOptions { name: name.to_owned(), workers: 1, ..quiet() })
    });
    let pids: Vec<Pid> = nodes
        .iter()
        .map(|node| {
            let puppet = Puppet::spawn(node);
            node.register("name", puppet.pid()).expect("free on this node");
            puppet.pid()
        })
        .collect();
    assert_ne!(pids[0], pids[1]);
    for (node, pid) in nodes.iter().zip(&pids) {
        assert_eq!(node.whereis("name"), Some(*pid));
        assert_eq!(node.processes()[0].name.as_deref(), Some("name"));
    }
    assert_eq!(nodes[0].register("other", pids[1]), Err(RegisterError::NoProc(pids[1])));
}

/// Takes the crown if it can, checks that nobody else has it, and leaves it: by its death, or by hand before.
async fn fight(cx: Cx<()>, owners: Arc<AtomicUsize>, by_hand: bool) -> Reason {
    if cx.register("crown").is_err() {
        return Reason::Normal;
    }
    let others = owners.fetch_add(1, Ordering::SeqCst);
    linden_core::yield_now().await;
    let is_mine = cx.node().whereis("crown") == Some(cx.pid());
    owners.fetch_sub(1, Ordering::SeqCst);
    if by_hand {
        cx.node().unregister("crown");
    }
    if others == 0 && is_mine { Reason::custom("won") } else { Reason::custom("shared") }
}

// proves: NAME-01, NAME-02
#[test]
fn a_contested_name_has_one_owner_at_a_time() {
    on_node(4, |node| async move {
        let owners = Arc::new(AtomicUsize::new(0));
        let mut won = 0;
        for round in 0..100 {
            let fights = (0..16).map(|_| {
                let owners = owners.clone();
                end_of(&node, move |cx: Cx<()>| fight(cx, owners, round % 2 == 0))
            });
            for end in futures_util::future::join_all(fights).await {
                assert_ne!(end, Reason::custom("shared"));
                won += usize::from(end == Reason::custom("won"));
            }
        }
        assert!(won >= 100, "in each round somebody wins: {won}");
        assert_eq!(node.whereis("crown"), None);
    });
}

/// Look-ups of a name and of a pid race with the death of what they find: they find a live process or none.
// proves: NAME-03, PROC-01
#[test]
fn look_ups_that_race_with_death_find_a_process_or_none() {
    on_node(2, |node| async move {
        let stop = Arc::new(AtomicBool::new(false));
        let lookers: Vec<_> = (0..2)
            .map(|_| {
                let (node, stop) = (node.clone(), stop.clone());
                std::thread::spawn(move || {
                    let named = node.named::<String>("mayfly");
                    let (mut sent, mut refused) = (0_u64, 0_u64);
                    while !stop.load(Ordering::Relaxed) {
                        match named.send("hello".to_owned()) {
                            Ok(()) => sent += 1,
                            Err(_) => refused += 1,
                        }
                        if let Some(pid) = node.whereis("mayfly") {
                            let _ = node.is_alive(pid);
                            drop(node.address::<String>(pid));
                        }
                        drop(node.named::<String>("mayfly"));
                    }
                    (sent, refused)
                })
            })
            .collect();
        let mut read = 0;
        for _ in 0..3_000 {
            let (count, counted) = tokio::sync::oneshot::channel();
            let end = end_of(&node, move |mut cx: Cx<String>| async move {
                cx.register("mayfly").expect("the name is free");
                linden_core::yield_now().await;
                let mut read = 0_u64;
                while let Some(Mail::Msg(_)) = cx.recv_timeout(std::time::Duration::ZERO).await {
                    read += 1;
                }
                count.send(read).expect("the test waits");
            });
            assert_eq!(end.await, Reason::Normal);
            read += counted.await.expect("it ended well");
        }
        stop.store(true, Ordering::Relaxed);
        let (mut sent, mut refused) = (0, 0);
        for looker in lookers {
            let (s, r) = looker.join().expect("a look-up never panics");
            sent += s;
            refused += r;
        }
        let dead = node.dead_letters();
        assert_eq!((sent, refused), (read + dead.unread, dead.no_process), "none is lost");
    });
}
