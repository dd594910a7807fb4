//! Crashes in callbacks, and who hears of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use linden::prelude::*;
use linden::{CallError, Cx, Mail};

use super::{Way, crashed, probe};
use crate::probe::{Moment, Probe, ProbeClient, short};
use crate::stage::{
    HANGS_AFTER, Journal, SEEDS, begun, check, check_inside, on_node, settle, watch,
};

// proves: SRV-08, SRV-07
#[test]
fn a_panic_in_a_handler_ends_the_server_and_its_callers_hear_it() {
    check_inside(SEEDS, |cx| async move {
        for later in [false, true] {
            let (probe, journal) = probe().await;
            let end = watch(cx.node(), probe.id());
            let kept = begun(probe.keep());
            let call = if later { probe.crash_later() } else { probe.crash() };
            let call = begun(call);
            let queued = begun(probe.add(1));
            let said = if later { "panic crashed later" } else { "panic crashed" };
            for call in [kept, call, queued] {
                assert_eq!(crashed(call.await.expect_err("it crashed")), said);
            }
            let Reason::Panic(info) = end.await else { panic!("the reason is the panic") };
            assert!(info.location.contains("probe.rs:"), "{}", info.location);
            assert_eq!(journal.entries(), ["init", &format!("terminate {said}"), "dropped"]);
        }
    });
}

// proves: SRV-07
#[test]
fn callers_of_a_server_that_is_killed_in_a_handler_hear_it() {
    check_inside(SEEDS, |cx| async move {
        let (probe, _) = probe().await;
        let kept = begun(probe.keep());
        let handled = begun(probe.slow(60.secs()));
        let queued = begun(probe.add(1));
        settle().await;
        let begin = cx.node().uptime();
        cx.exit(probe.id(), Reason::Kill);
        for call in [kept, handled, queued] {
            assert_eq!(crashed(call.await.expect_err("it was killed")), "killed");
        }
        assert!(cx.node().uptime() - begin < 1.secs(), "nobody waits for a dead server");
    });
}

// proves: SRV-07
#[test]
fn no_caller_waits_for_a_server_that_crashes_under_load() {
    on_node(2, |cx| async move {
        let node = cx.node().clone();
        let journal = Journal::new();
        let client: ProbeClient = ServerRef::by_name(&node, "p").into();
        let done = Arc::new(AtomicUsize::new(0));
        let callers = (0..4).map(|_| {
            let (client, done) = (client.clone(), done.clone());
            Task::spawn(async move {
                while done.load(Ordering::Relaxed) < 200 {
                    match client.add(1).timeout(HANGS_AFTER).await {
                        Ok(_) | Err(CallError::NoProc | CallError::Exited(_)) => {}
                        Err(error) => panic!("a dead server is told at once, not {error}"),
                    }
                    linden_core::yield_now().await;
                }
            })
        });
        let callers: Vec<_> = callers.collect();
        for _ in 0..200 {
            let probe = Probe::start_as(Some("p"), Probe::init(&journal)).await;
            let probe = probe.expect("the name is free when the end is known");
            let end = watch(&node, probe.id());
            let heard = probe.crash().timeout(HANGS_AFTER).await;
            assert_eq!(crashed(heard.expect_err("it crashes")), "panic crashed");
            end.await;
            done.fetch_add(1, Ordering::Relaxed);
        }
        for caller in Task::await_many(callers).await {
            caller.expect("no caller crashes");
        }
    });
}

// proves: SRV-08
#[test]
fn a_crash_in_a_callback_is_that_of_the_server_alone() {
    #[derive(Debug)]
    struct Fragile;
    #[gen_server]
    impl Fragile {
        #[cast]
        fn start_way(&mut self, way: fn(&mut Context<Self>), cx: &mut Context<Self>) {
            way(cx);
        }
        #[continues]
        fn go_on(&mut self) {
            panic!("in continue");
        }
        #[timeout]
        async fn idle(&mut self) {
            panic!("in timeout");
        }
        #[info]
        async fn hear(&mut self, _info: Info) {
            panic!("in info");
        }
    }
    check_inside(SEEDS, |cx| async move {
        let ways: [(Way<Fragile>, &str); 3] = [
            (|cx| cx.continue_(), "panic in continue"),
            (|cx| cx.set_timeout(1.ms()), "panic in timeout"),
            (|cx| drop(cx.start_timer(1.ms())), "panic in info"),
        ];
        for (way, expected) in ways {
            let fragile = Fragile::start(|| Fragile).await.expect("it starts");
            let end = watch(cx.node(), fragile.pid().expect("it lives"));
            fragile.start_way(way);
            assert_eq!(short(&end.await), expected);
        }
    });
}

// proves: SRV-11
#[test]
fn a_panic_in_terminate_is_the_exit_reason() {
    check_inside(SEEDS, |cx| async move {
        let journal = Journal::new();
        let init = Probe::init_by(&journal, |probe| probe.in_terminate = Moment::Panic);
        let probe = Probe::start(init).await.expect("it starts");
        let end = watch(cx.node(), probe.id());
        probe.stop(Reason::Normal, 5.secs()).await.expect("it ends");
        assert_eq!(short(&end.await), "panic at its moment");
        assert_eq!(journal.entries(), ["init", "terminate normal", "dropped"]);
    });
}

// proves: SRV-12
#[test]
fn a_panic_in_the_drop_of_the_state_is_a_crash_unless_there_is_one_already() {
    check_inside(SEEDS, |cx| async move {
        let cases: [(Way<Probe>, &str); 2] = [
            (|cx| cx.stop(Reason::Normal), "panic in its drop"),
            (|_| panic!("before"), "panic before"),
        ];
        for (way, expected) in cases {
            let journal = Journal::new();
            let init = Probe::init_by(&journal, |probe| probe.in_drop = Moment::Panic);
            let probe = Probe::start(init).await.expect("it starts");
            let end = watch(cx.node(), probe.id());
            let kept = begun(probe.keep());
            probe.tell(move |_, cx| way(cx));
            assert_eq!(short(&end.await), expected);
            assert!(kept.await.is_err(), "its caller is answered");
        }
        let journal = Journal::new();
        let init = Probe::init_by(&journal, |probe| probe.in_drop = Moment::Panic);
        let probe = Probe::start(init).await.expect("it starts");
        let end = watch(cx.node(), probe.id());
        cx.exit(probe.id(), Reason::Kill);
        assert_eq!(end.await, Reason::Killed);
    });
}

// proves: SRV-12
#[test]
fn the_state_is_dropped_before_anybody_hears_of_the_end() {
    check(SEEDS, |node| async move {
        let ways: [fn(&Node, &ProbeClient); 3] = [
            |_, probe| probe.tell(|_, _| panic!("crash")),
            |_, probe| probe.tell(|_, cx| cx.stop(Reason::custom("stop"))),
            |node, probe| node.exit(probe.id(), Reason::Kill),
        ];
        for way in ways {
            let journal = Journal::new();
            let heard = journal.clone();
            let init = Probe::init(&journal);
            let (own, probe) = (node.clone(), Journal::new());
            let place = probe.clone();
            let heir = node.spawn(move |mut cx: Cx<()>| async move {
                cx.trap_exit(true);
                let probe = Probe::start_link(init).await.expect("it starts");
                cx.monitor(probe.id());
                place.write(probe);
                for _ in 0..2 {
                    match cx.recv().await {
                        Mail::Info(Info::Exit { .. }) => heard.write("link".into()),
                        Mail::Info(Info::Down { .. }) => heard.write("monitor".into()),
                        other => panic!("{other:?} is not expected"),
                    }
                }
            });
            let end = watch(&node, heir.pid());
            settle().await;
            way(&own, &probe.take().remove(0));
            assert_eq!(end.await, Reason::Normal);
            let entries: Vec<String> =
                journal.entries().into_iter().filter(|entry| !entry.contains(' ')).collect();
            assert_eq!(entries, ["init", "dropped", "link", "monitor"]);
        }
    });
}

// proves: SRV-12, DEATH-02
#[test]
fn a_monitor_that_is_set_up_while_a_server_dies_speaks_when_its_state_and_name_are_gone() {
    type Waits = std::pin::Pin<Box<dyn Future<Output = Reason> + Send>>;
    struct Dying {
        node: Node,
        own: Pid,
        waits: Arc<std::sync::Mutex<Option<Waits>>>,
    }
    impl Drop for Dying {
        fn drop(&mut self) {
            let (node, own) = (self.node.clone(), self.own);
            let waits: Waits = Box::pin(async move {
                let reason = node.wait_exit(own).await;
                assert_eq!(node.whereis("dying"), None, "its name is free");
                reason
            });
            *self.waits.lock().expect("nobody panics with the lock") = Some(begun(waits));
        }
    }
    check(SEEDS, |node| async move {
        let waits = Arc::default();
        let place = Arc::clone(&waits);
        let dying = node.spawn(move |cx: Cx<()>| async move {
            cx.register("dying").expect("the name is free");
            let _state = Dying { node: cx.node().clone(), own: cx.pid(), waits: place };
            std::future::pending::<()>().await;
        });
        settle().await;
        node.exit(dying.pid(), Reason::Kill);
        settle().await;
        let waits = waits.lock().expect("nobody panics with the lock").take();
        assert_eq!(waits.expect("the state was dropped").await, Reason::NoProc);
    });
}

// proves: SRV-08
#[test]
fn a_debug_of_the_state_that_panics_hurts_nobody() {
    #[derive(Default)]
    struct Sullen;
    impl std::fmt::Debug for Sullen {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("not to be seen")
        }
    }
    #[gen_server]
    impl Sullen {
        #[cast]
        fn crash(&mut self) {
            panic!("crash")
        }
    }
    check_inside(SEEDS, |cx| async move {
        let sullen = Sullen::start(Sullen::default).await.expect("it starts");
        let end = watch(cx.node(), sullen.pid().expect("it lives"));
        let shown = sullen.state().await.expect("it lives").expect("it has a Debug");
        assert!(shown.starts_with("(Debug of the state panicked: not to be seen"), "{shown}");
        sullen.crash();
        assert_eq!(short(&end.await), "panic crash", "its own reason");
    });
}

#[test]
fn the_state_is_shown_by_its_debug_and_cut_when_it_is_long() {
    #[derive(Debug)]
    struct Long(#[expect(dead_code, reason = "shown by Debug")] String);
    #[gen_server]
    impl Long {}
    struct Hidden;
    #[gen_server]
    impl Hidden {}
    check(0..2, |_| async {
        let long = Long::start(|| Long("x".repeat(100_000))).await.expect("it starts");
        let shown = long.state().await.expect("it lives").expect("it has a Debug");
        assert!(shown.starts_with("Long(\"xxx") && shown.len() < 17_000, "{}", shown.len());
        assert!(shown.ends_with("... (cut at 16384 bytes)"));
        let hidden = Hidden::start(|| Hidden).await.expect("it starts");
        assert_eq!(hidden.state().await, Ok(None));
    });
}
