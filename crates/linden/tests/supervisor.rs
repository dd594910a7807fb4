//! Supervisors: in which order children start and stop, which are restarted, and when a supervisor gives up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kid::{Begin, Cradle, How, Manners, kid, lone, pid, trapping};
use linden::prelude::*;
use linden::supervisor::decision::{
    AutoShutdown, ChildCounts, ChildKind, ChildState, Shutdown, SpecError, TermsError,
};
use linden::{Cx, Mail, SupervisorError};
use stage::{Journal, SEEDS, check_inside, on_node, settle, watch};

#[path = "support/kid.rs"]
mod kid;
#[path = "support/stage.rs"]
mod stage;

fn crash() -> How {
    How::Stop(Reason::custom("crash"))
}

/// Three kids a, b and c in this order, with their journal.
async fn family(supervisor: Supervisor) -> (SupervisorRef, Journal<String>) {
    let journal = Journal::new();
    let mut supervisor = supervisor.intensity(1_000, 5.secs());
    for id in ["a", "b", "c"] {
        supervisor = supervisor.child(Cradle::new(id, &journal).child());
    }
    let family = supervisor.start().await.expect("all start");
    assert_eq!(journal.take(), ["+a", "+b", "+c"]);
    (family, journal)
}

/// The ids of children without a process, last started first.
async fn undefined(supervisor: &SupervisorRef) -> Vec<String> {
    let rows = supervisor.which_children().await.expect("it lives");
    let undefined = rows.into_iter().filter(|row| row.state == ChildState::Undefined);
    undefined.map(|row| row.id.expect("a static child has an id").to_string()).collect()
}

// ---- Start and stop

// proves: SUP-01
#[test]
fn children_start_in_order_and_stop_in_reverse() {
    check_inside(SEEDS, |cx| async move {
        let (supervisor, journal) = family(Supervisor::one_for_one()).await;
        let end = watch(cx.node(), supervisor.pid().expect("it lives"));
        supervisor.stop(Reason::Shutdown).await.expect("it stops");
        assert_eq!(journal.entries(), ["-c", "-b", "-a"]);
        assert_eq!(end.await, Reason::Shutdown);
        assert_eq!(cx.node().process_count(), 1);
    });
}

// proves: SUP-01
#[test]
fn a_child_starts_when_the_init_of_the_one_before_is_through() {
    check_inside(SEEDS, |cx| async move {
        let journal = Journal::new();
        let (first, second) = (journal.clone(), journal.clone());
        let slow = move || {
            let journal = first.clone();
            async move {
                tokio::time::sleep(2.secs()).await;
                Ok::<_, Stop>(Cradle::new("slow", &journal).build()())
            }
        };
        let begin = cx.node().uptime();
        let supervisor = Supervisor::one_for_one()
            .child(child("slow", slow))
            .child(Cradle::new("next", &second).child());
        supervisor.start().await.expect("both start");
        assert!(cx.node().uptime() - begin >= 2.secs());
        assert_eq!(journal.entries(), ["+slow", "+next"]);
    });
}

// proves: SUP-02
#[test]
fn a_failed_start_stops_what_had_started_in_reverse_and_names_the_child() {
    let cases = [
        (Begin::Refused, "child c did not start: init failed: refused"),
        (Begin::Panics, "child c did not start: init failed: panicked: born to fail, at "),
    ];
    for (begin, expected) in cases {
        check_inside(SEEDS, move |cx| async move {
            let journal = Journal::new();
            let supervisor = Supervisor::one_for_all()
                .name("family")
                .child(Cradle::new("a", &journal).child())
                .child(Cradle::new("b", &journal).child())
                .child(Cradle::new("c", &journal).beginning([begin]).child())
                .child(Cradle::new("d", &journal).child());
            let error = supervisor.start().await.expect_err("c does not start");
            assert!(error.to_string().starts_with(expected), "{error}");
            assert_eq!(journal.entries(), ["+a", "+b", "-b", "-a"]);
            assert_eq!(cx.node().whereis("family"), None, "its name is free at once");
            supervisor.start().await.expect("the second time c starts");
        });
    }
}

// proves: SUP-02
#[test]
fn a_failure_deep_in_a_tree_names_each_child_on_the_way() {
    check_inside(SEEDS, |cx| async move {
        let cx = trapping(cx);
        let (cradle, journal) = lone("leaf");
        let cradle = cradle.beginning([Begin::Refused]);
        let inner = move || Supervisor::one_for_one().child(cradle.clone().child());
        let outer = Supervisor::one_for_one().child(supervisor_child("branch", inner));
        let error = outer.start_link().await.expect_err("the leaf does not start");
        let said = "child branch did not start: child leaf did not start: init failed: refused";
        assert_eq!(error.to_string(), said);
        assert_eq!(journal.entries(), [""; 0]);
        settle().await;
        assert_eq!(cx.node().process_count(), 1);
    });
}

// proves: SUP-02
#[test]
fn a_child_that_chooses_not_to_run_is_kept_without_a_process_unless_it_is_temporary() {
    check_inside(SEEDS, |_| async move {
        let journal = Journal::new();
        let shy = |id| Cradle::new(id, &journal).beginning([Begin::Ignores]).child();
        let supervisor = Supervisor::one_for_one()
            .child(shy("shy"))
            .child(shy("gone").temporary())
            .child(Cradle::new("next", &journal).child());
        let supervisor = supervisor.start().await.expect("it is no failure");
        assert_eq!(journal.entries(), ["+next"]);
        assert_eq!(undefined(&supervisor).await, ["shy"]);
        let counts = supervisor.count_children().await;
        let expected = ChildCounts { specs: 2, active: 1, supervisors: 0, workers: 2 };
        assert_eq!(counts, Ok(expected));
        supervisor.restart_child("shy").await.expect("now it runs");
        let ignored = supervisor.start_child(shy("third")).await;
        assert_eq!(ignored, Err(SupervisorError::Start(StartError::Ignored)));
    });
}

#[test]
fn senseless_specifications_are_refused_before_anything_starts() {
    check_inside(0..2, |_| async move {
        let journal = Journal::new();
        let a = || Cradle::new("a", &journal).child();
        let twice = Supervisor::one_for_one().child(a()).child(a());
        let zero = Supervisor::one_for_one().intensity(1, Duration::ZERO).child(a());
        let permanent = Supervisor::one_for_one()
            .auto_shutdown(AutoShutdown::AnySignificant)
            .child(a().significant());
        let never = Supervisor::one_for_one().child(a().transient().significant());
        let terms = |cause| SpecError::Terms { id: "a".into(), cause };
        let cases = [
            (twice, SpecError::DuplicateId { id: "a".into() }),
            (zero, SpecError::PeriodZero),
            (permanent, terms(TermsError::SignificantPermanent)),
            (never, terms(TermsError::SignificantWithoutAutoShutdown)),
        ];
        for (supervisor, expected) in cases {
            let error = supervisor.name("s").start().await.expect_err("it makes no sense");
            assert_eq!(error, StartError::Spec(expected));
        }
        assert_eq!(journal.entries(), [""; 0]);
    });
}

#[test]
fn a_supervisor_has_a_name_and_its_reference_follows_it() {
    check_inside(0..4, |cx| async move {
        let node = cx.node();
        let by_name = SupervisorRef::by_name(node, "s");
        assert_eq!(by_name.pid(), None);
        assert!(by_name.count_children().await.is_err());
        let first = Supervisor::one_for_one().name("s").start().await.expect("it starts");
        assert_eq!(by_name.pid(), first.pid());
        let taken = Supervisor::one_for_one().name("s").start().await.expect_err("taken");
        let owner = first.pid().expect("it lives");
        assert_eq!(taken, StartError::NameTaken { name: "s".into(), owner });
        by_name.stop(Reason::Normal).await.expect("it stops");
        assert_eq!(by_name.pid(), None);
    });
}

// ---- Strategies

// proves: SUP-03, SUP-05
#[test]
fn each_strategy_restarts_whom_it_says_in_order() {
    type Make = fn() -> Supervisor;
    let one: Make = Supervisor::one_for_one;
    let all: Make = Supervisor::one_for_all;
    let rest: Make = Supervisor::rest_for_one;
    let cases: [(Make, &str, &[&str]); 9] = [
        (one, "a", &["-a", "+a"]),
        (one, "b", &["-b", "+b"]),
        (one, "c", &["-c", "+c"]),
        (all, "a", &["-a", "-c", "-b", "+a", "+b", "+c"]),
        (all, "b", &["-b", "-c", "-a", "+a", "+b", "+c"]),
        (all, "c", &["-c", "-b", "-a", "+a", "+b", "+c"]),
        (rest, "a", &["-a", "-c", "-b", "+a", "+b", "+c"]),
        (rest, "b", &["-b", "-c", "+b", "+c"]),
        (rest, "c", &["-c", "+c"]),
    ];
    for (make, who, expected) in cases {
        check_inside(SEEDS, move |cx| async move {
            let (_supervisor, journal) = family(make()).await;
            for how in [crash(), How::Panic, How::Stop(Reason::Normal)] {
                kid(cx.node(), who).end(how);
                settle().await;
                assert_eq!(journal.take(), expected, "{who} ends");
            }
            let dead = pid(cx.node(), who);
            cx.exit(dead, Reason::Kill);
            settle().await;
            assert_eq!(journal.take(), expected, "{who} is killed");
        });
    }
}

// proves: SUP-04, SUP-06
#[test]
fn a_temporary_sibling_is_stopped_and_not_started_again() {
    check_inside(SEEDS, |cx| async move {
        let journal = Journal::new();
        let supervisor = Supervisor::one_for_all()
            .child(Cradle::new("a", &journal).child())
            .child(Cradle::new("t", &journal).child().temporary())
            .child(Cradle::new("c", &journal).child());
        let supervisor = supervisor.start().await.expect("all start");
        journal.take();
        kid(cx.node(), "a").end(crash());
        settle().await;
        assert_eq!(journal.entries(), ["-a", "-c", "-t", "+a", "+c"]);
        assert_eq!(supervisor.which_children().await.expect("it lives").len(), 2);
    });
}

// proves: SUP-06
#[test]
fn restart_types_decide_for_each_kind_of_exit() {
    type Make = fn(ChildSpec) -> ChildSpec;
    let ends = || {
        vec![
            (Some(How::Stop(Reason::Normal)), true),
            (Some(How::Stop(Reason::Shutdown)), true),
            (Some(How::Stop(Reason::shutdown_with("drained"))), true),
            (Some(crash()), false),
            (Some(How::Panic), false),
            // Killed from outside.
            (None, false),
        ]
    };
    let types: [(Make, &str); 3] = [
        (ChildSpec::permanent, "permanent"),
        (ChildSpec::transient, "transient"),
        (ChildSpec::temporary, "temporary"),
    ];
    for (make, restart) in types {
        check_inside(SEEDS, move |cx| async move {
            for (how, orderly) in ends() {
                let (cradle, journal) = lone("a");
                let supervisor = Supervisor::one_for_one().child(make(cradle.child()));
                let supervisor = supervisor.start().await.expect("it starts");
                let first = pid(cx.node(), "a");
                match how.clone() {
                    Some(how) => kid(cx.node(), "a").end(how),
                    None => cx.exit(first, Reason::Kill),
                }
                settle().await;
                let rows = supervisor.which_children().await.expect("it lives");
                let case = format!("{restart} child, {how:?}");
                match restart {
                    "permanent" => assert_eq!(journal.entries().len(), 3, "{case}"),
                    "transient" if orderly => {
                        assert_eq!(rows[0].state, ChildState::Undefined, "{case}");
                    }
                    "transient" => assert_eq!(journal.entries().len(), 3, "{case}"),
                    _ => assert_eq!(rows.len(), 0, "{case}: forgotten"),
                }
                supervisor.stop(Reason::Shutdown).await.expect("it stops");
            }
        });
    }
}

// proves: SUP-17
#[test]
fn a_restarted_child_has_a_new_state_when_the_old_one_is_gone() {
    check_inside(SEEDS, |cx| async move {
        let (cradle, journal) = lone("a");
        let supervisor = Supervisor::one_for_one().child(cradle.child());
        let supervisor = supervisor.start().await.expect("it starts");
        let client = kid(cx.node(), "a");
        let first = pid(cx.node(), "a");
        assert_eq!(client.add(5).await, Ok(5));
        client.end(How::Panic);
        settle().await;
        assert_eq!(client.add(1).await, Ok(1), "the same client, a new state");
        assert_ne!(pid(cx.node(), "a"), first);
        assert_eq!(journal.entries(), ["+a", "-a", "+a"]);
        let rows = supervisor.which_children().await.expect("it lives");
        assert_eq!((rows[0].restarts, rows[0].kind), (1, ChildKind::Worker));
    });
}

// ---- Shutdown

// proves: SUP-07
#[test]
fn a_child_has_its_time_to_shut_down_and_is_killed_after_it() {
    let deaf = Manners::Deaf;
    let tidy = Manners::CleansUp(3.secs());
    let time = |secs| Shutdown::Timeout(Duration::from_secs(secs));
    let cases = [
        (Manners::Plain, Shutdown::WORKER_DEFAULT, 0),
        (Manners::Plain, Shutdown::Brutal, 0),
        (tidy, Shutdown::WORKER_DEFAULT, 3),
        (tidy, time(2), 2),
        (tidy, Shutdown::Brutal, 0),
        (tidy, Shutdown::Infinity, 3),
        (deaf, Shutdown::WORKER_DEFAULT, 5),
        (deaf, time(60), 60),
        (deaf, Shutdown::Brutal, 0),
        (Manners::CleansUp(Duration::from_secs(100_000)), Shutdown::Infinity, 100_000),
    ];
    for (manners, shutdown, seconds) in cases {
        check_inside(0..6, move |cx| async move {
            let (cradle, journal) = lone("a");
            let child = cradle.with(manners).child().shutdown(shutdown);
            let supervisor = Supervisor::one_for_one().child(child);
            let supervisor = supervisor.start().await.expect("it starts");
            let end = watch(cx.node(), pid(cx.node(), "a"));
            let begin = cx.node().uptime();
            supervisor.stop(Reason::Shutdown).await.expect("it stops");
            let took = cx.node().uptime() - begin;
            let case = format!("{manners:?}, {shutdown:?}: {took:?}");
            assert!((seconds.secs()..seconds.secs() + 20.ms()).contains(&took), "{case}");
            let killed = match (manners, shutdown) {
                (_, Shutdown::Brutal) | (Manners::Deaf, _) => true,
                (Manners::CleansUp(needs), Shutdown::Timeout(time)) => needs > time,
                _ => false,
            };
            let expected = if killed { Reason::Killed } else { Reason::Shutdown };
            assert_eq!(end.await, expected, "{case}");
            assert_eq!(journal.entries(), ["+a", "-a"]);
        });
    }
}

// proves: SUP-21
#[test]
fn a_child_that_took_its_link_down_is_stopped_all_the_same() {
    check_inside(SEEDS, |cx| async move {
        let (supervisor, journal) = family(Supervisor::one_for_one()).await;
        kid(cx.node(), "b").run_away().await.expect("it lives");
        supervisor.stop(Reason::Shutdown).await.expect("it stops");
        assert_eq!(journal.entries(), ["-c", "-b", "-a"]);
    });
}

// proves: SUP-21
#[test]
fn a_child_that_died_before_it_was_stopped_is_waited_for_by_nobody() {
    check_inside(SEEDS, |cx| async move {
        let (supervisor, journal) = family(Supervisor::one_for_one()).await;
        // The kill and the request may be seen in any order.
        cx.exit(pid(cx.node(), "b"), Reason::Kill);
        supervisor.terminate_child("b").await.expect("b is a child");
        settle().await;
        assert_eq!(undefined(&supervisor).await, ["b"], "it is not restarted");
        journal.take();
        cx.exit(pid(cx.node(), "a"), Reason::Kill);
        cx.exit(pid(cx.node(), "c"), Reason::Kill);
        supervisor.stop(Reason::Shutdown).await.expect("it stops");
        assert_eq!(cx.node().process_count(), 1);
    });
}

// proves: SUP-14
#[test]
fn children_end_with_a_supervisor_that_is_killed() {
    check_inside(SEEDS, |cx| async move {
        let (plain, journal) = lone("plain");
        let tidy = Cradle::new("tidy", &journal).with(Manners::CleansUp(1.secs()));
        let inner = move || Supervisor::one_for_one().child(tidy.clone().child());
        let supervisor =
            Supervisor::one_for_one().child(plain.child()).child(supervisor_child("inner", inner));
        let supervisor = supervisor.start().await.expect("all start");
        let ends = ["plain", "tidy"].map(|name| watch(cx.node(), pid(cx.node(), name)));
        cx.exit(supervisor.pid().expect("it lives"), Reason::Kill);
        let [plain, tidy] = ends;
        assert_eq!(plain.await, Reason::Killed);
        assert_eq!(tidy.await, Reason::Shutdown, "its own supervisor stops it");
        settle().await;
        assert_eq!(cx.node().process_count(), 1);
    });
}

// proves: SUP-14
#[test]
fn a_supervisor_ends_with_its_parent_and_stops_its_children_first() {
    check_inside(SEEDS, |mut cx| async move {
        let journal = Journal::new();
        let (own, place) = (journal.clone(), Journal::new());
        let told = place.clone();
        let (parent, _) = cx.spawn_monitor(move |mut cx: Cx<()>| async move {
            let mut supervisor = Supervisor::one_for_one();
            for id in ["a", "b"] {
                supervisor = supervisor.child(Cradle::new(id, &own).child());
            }
            let supervisor = supervisor.start_link().await.expect("all start");
            told.write(supervisor);
            cx.recv().await;
            Reason::custom("the parent ends")
        });
        settle().await;
        let supervisor = place.take().remove(0);
        let end = watch(cx.node(), supervisor.pid().expect("it lives"));
        parent.send(()).expect("it lives");
        assert_eq!(end.await, Reason::custom("the parent ends"));
        assert_eq!(journal.entries(), ["+a", "+b", "-b", "-a"]);
        assert!(matches!(cx.recv().await, Mail::Info(Info::Down { .. })));
    });
}

// ---- Intensity

// proves: SUP-08
#[test]
fn one_restart_more_than_allowed_stops_all_children_in_reverse_and_the_supervisor() {
    check_inside(SEEDS, |cx| async move {
        let journal = Journal::new();
        let mut supervisor = Supervisor::one_for_one().intensity(3, 10.secs());
        for id in ["a", "b", "c"] {
            supervisor = supervisor.child(Cradle::new(id, &journal).child());
        }
        let supervisor = supervisor.start().await.expect("all start");
        let end = watch(cx.node(), supervisor.pid().expect("it lives"));
        for _ in 0..3 {
            tokio::time::sleep(3.secs()).await;
            kid(cx.node(), "b").end(crash());
            settle().await;
        }
        journal.take();
        kid(cx.node(), "b").end(crash());
        assert_eq!(end.await, Reason::Shutdown);
        assert_eq!(journal.entries(), ["-b", "-c", "-a"]);
    });
}

// proves: SUP-08
#[test]
fn restarts_that_are_further_apart_than_the_period_go_on_for_ever() {
    check_inside(0..4, |cx| async move {
        let (cradle, journal) = lone("a");
        let supervisor = Supervisor::one_for_one().intensity(1, 5.secs()).child(cradle.child());
        let _supervisor = supervisor.start().await.expect("it starts");
        for _ in 0..20 {
            kid(cx.node(), "a").end(How::Panic);
            tokio::time::sleep(6.secs()).await;
        }
        assert_eq!(journal.entries().len(), 41);
    });
}

// proves: SUP-08
#[test]
fn a_supervisor_that_gives_up_is_restarted_by_its_own_until_that_gives_up_too() {
    check_inside(SEEDS, |cx| async move {
        let (cradle, journal) = lone("leaf");
        let inner =
            move || Supervisor::one_for_one().intensity(1, 5.secs()).child(cradle.clone().child());
        let outer = Supervisor::one_for_one()
            .intensity(2, 5.secs())
            .child(supervisor_child("inner", inner).name("inner"));
        let outer = outer.start().await.expect("all start");
        let end = watch(cx.node(), outer.pid().expect("it lives"));
        let mut inners = vec![pid(cx.node(), "inner")];
        // Each inner supervisor allows one restart, the outer two: 3 inners, 6 leaves.
        for crashes in 1..=6 {
            kid(cx.node(), "leaf").end(crash());
            settle().await;
            assert_eq!(journal.entries().iter().filter(|entry| *entry == "-leaf").count(), crashes);
            inners.extend(cx.node().whereis("inner"));
        }
        inners.dedup();
        assert_eq!(inners.len(), 3);
        assert_eq!(end.await, Reason::Shutdown);
        assert_eq!(cx.node().process_count(), 1);
    });
}

// proves: SUP-13
#[test]
fn a_child_that_dies_at_once_is_restarted_until_the_intensity_ends_it() {
    for name in [None, Some("short")] {
        check_inside(SEEDS, move |cx| async move {
            let runs = Arc::new(AtomicUsize::new(0));
            let count = runs.clone();
            let mut child = process_child("short", move |_| {
                let count = count.clone();
                async move {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
            if let Some(name) = name {
                child = child.name(name);
            }
            let supervisor = Supervisor::one_for_one().intensity(7, 5.secs()).child(child);
            let supervisor = supervisor.start().await.expect("a process counts as started");
            let end = watch(cx.node(), supervisor.pid().expect("it lives or gave up"));
            assert!([Reason::Shutdown, Reason::NoProc].contains(&end.await));
            assert_eq!(runs.load(Ordering::Relaxed), 8, "once and seven restarts");
        });
    }
}

// proves: SUP-13
#[test]
fn a_server_that_crashes_right_after_its_init_is_restarted() {
    check_inside(SEEDS, |cx| async move {
        let (cradle, journal) = lone("a");
        let cradle = cradle.beginning([Begin::Stillborn; 5]);
        let supervisor = Supervisor::one_for_one().intensity(5, 5.secs()).child(cradle.child());
        let _supervisor = supervisor.start().await.expect("its init went well");
        settle().await;
        assert_eq!(kid(cx.node(), "a").add(1).await, Ok(1));
        assert_eq!(journal.entries().len(), 11);
    });
}

// proves: SUP-12
#[test]
fn a_named_child_is_restarted_thousands_of_times_without_a_collision() {
    on_node(2, |cx| async move {
        let (cradle, _) = lone("a");
        let supervisor =
            Supervisor::one_for_one().intensity(u32::MAX, 1.secs()).child(cradle.child());
        let supervisor = supervisor.start().await.expect("it starts");
        for round in 0..2_400 {
            let old = pid(cx.node(), "a");
            let end = watch(cx.node(), old);
            match round % 3 {
                0 => kid(cx.node(), "a").end(crash()),
                1 => kid(cx.node(), "a").end(How::Panic),
                _ => cx.exit(old, Reason::Kill),
            }
            end.await;
            while cx.node().whereis("a").is_none() {
                linden_core::yield_now().await;
            }
        }
        let rows = supervisor.which_children().await.expect("it lives");
        assert_eq!(rows[0].restarts, 2_400, "no restart had to be tried again");
    });
}

// proves: SUP-12
#[test]
fn siblings_that_crash_while_they_are_stopped_are_restarted_without_a_collision() {
    const ROUNDS: u32 = 600;
    on_node(2, |cx| async move {
        let journal = Journal::new();
        // Not one restart may be tried twice.
        let mut supervisor = Supervisor::one_for_all().intensity(ROUNDS, 3_600.secs());
        for id in ["a", "b", "c"] {
            supervisor = supervisor.child(Cradle::new(id, &journal).child());
        }
        let supervisor = supervisor.start().await.expect("all start");
        for _ in 0..ROUNDS {
            let rows = supervisor.which_children().await.expect("no name was taken");
            let pids = rows.iter().filter_map(|row| match row.state {
                ChildState::Running(pid) => Some(pid),
                _ => None,
            });
            let ends: Vec<_> = pids.map(|pid| (pid, watch(cx.node(), pid))).collect();
            assert_eq!(ends.len(), 3);
            for (pid, end) in ends {
                if let Some(kid) = ServerRef::<kid::Kid>::by_pid(cx.node(), pid) {
                    kid::KidClient::from(kid).end(How::Panic);
                }
                drop(end);
            }
            while ["a", "b", "c"].iter().any(|&name| {
                cx.node()
                    .whereis(name)
                    .is_none_or(|pid| rows.iter().any(|row| row.state == ChildState::Running(pid)))
            }) {
                linden_core::yield_now().await;
            }
        }
        assert!(supervisor.pid().is_some_and(|pid| cx.node().is_alive(pid)));
    });
}

// ---- Failed restarts

// proves: SUP-09
#[test]
fn a_restart_that_fails_is_tried_again_and_each_try_counts() {
    check_inside(SEEDS, |cx| async move {
        let failing = [Begin::Well, Begin::Refused, Begin::Panics, Begin::Refused];
        for restarts_max in [4, 3] {
            let (cradle, journal) = lone("a");
            let cradle = cradle.beginning(failing);
            let supervisor =
                Supervisor::one_for_one().intensity(restarts_max, 5.secs()).child(cradle.child());
            let supervisor = supervisor.start().await.expect("it starts");
            let end = watch(cx.node(), supervisor.pid().expect("it lives"));
            kid(cx.node(), "a").end(crash());
            settle().await;
            if restarts_max == 4 {
                assert_eq!(kid(cx.node(), "a").add(1).await, Ok(1), "the fourth try");
                assert_eq!(journal.entries(), ["+a", "-a", "+a"]);
                supervisor.stop(Reason::Shutdown).await.expect("it stops");
            } else {
                assert_eq!(end.await, Reason::Shutdown);
                assert_eq!(journal.entries(), ["+a", "-a"]);
            }
        }
    });
}

// proves: SUP-09
#[test]
fn requests_come_through_while_a_restart_is_tried_again() {
    check_inside(SEEDS, |cx| async move {
        let (cradle, _) = lone("a");
        let begins = [Begin::Well].into_iter().chain([Begin::Refused; 100_000]);
        let child = cradle.beginning(begins).child();
        let supervisor = Supervisor::one_for_one().intensity(u32::MAX, 5.secs()).child(child);
        let supervisor = supervisor.start().await.expect("it starts");
        kid(cx.node(), "a").end(crash());
        let row = loop {
            let rows = supervisor.which_children().await.expect("it answers");
            if rows[0].state == ChildState::Restarting {
                break rows[0].clone();
            }
        };
        assert_eq!(row.restarts, 0, "none has succeeded");
        let refused = supervisor.restart_child("a").await;
        assert_eq!(refused, Err(SupervisorError::Restarting));
        assert_eq!(supervisor.delete_child("a").await, Err(SupervisorError::Restarting));
        supervisor.terminate_child("a").await.expect("it ends the tries");
        assert_eq!(undefined(&supervisor).await, ["a"]);
    });
}

// proves: SUP-09
#[test]
fn a_restart_that_hangs_holds_the_supervisor_until_it_is_killed() {
    check_inside(SEEDS, |cx| async move {
        let (cradle, _) = lone("a");
        let cradle = cradle.beginning([Begin::Well, Begin::Hangs]);
        let supervisor = Supervisor::one_for_one().intensity(2, 5.secs()).child(cradle.child());
        let _supervisor = supervisor.start().await.expect("it starts");
        kid(cx.node(), "a").end(crash());
        settle().await;
        cx.exit(pid(cx.node(), "a"), Reason::Kill);
        settle().await;
        assert_eq!(kid(cx.node(), "a").add(1).await, Ok(1), "the next try");
    });
}

// proves: SUP-18
#[test]
fn a_factory_that_panics_is_a_failed_start_and_no_crash_of_the_supervisor() {
    check_inside(SEEDS, |cx| async move {
        let fails = |child: ChildSpec| async move {
            let error = Supervisor::one_for_one().child(child).start().await;
            error.expect_err("it panics").to_string()
        };
        let process = process_child("p", |_| -> std::future::Ready<()> { panic!("no process") });
        let said = "child p did not start: init failed: panicked: no process, at ";
        assert!(fails(process).await.starts_with(said));
        let inner = supervisor_child("s", || panic!("no supervisor"));
        let said = "child s did not start: init failed: panicked: no supervisor, at ";
        assert!(fails(inner).await.starts_with(said));

        let runs = Arc::new(AtomicUsize::new(0));
        let child = process_child("p", {
            let runs = runs.clone();
            move |_| {
                let run = runs.fetch_add(1, Ordering::Relaxed);
                assert!(run == 0 || run == 3, "only the first and the fourth go well");
                async move {
                    if run > 0 {
                        std::future::pending::<()>().await;
                    }
                }
            }
        });
        let supervisor = Supervisor::one_for_one().intensity(3, 5.secs()).child(child);
        let supervisor = supervisor.start().await.expect("the first goes well");
        settle().await;
        assert_eq!(runs.load(Ordering::Relaxed), 4);
        let counts = supervisor.count_children().await.expect("it lives");
        assert_eq!(counts.active, 1);
        drop(cx);
    });
}

// ---- Signals by hand

// proves: SUP-19
#[test]
fn exit_signals_sent_by_hand_are_no_ends_of_children() {
    check_inside(SEEDS, |cx| async move {
        let (supervisor, journal) = family(Supervisor::one_for_one()).await;
        let own = supervisor.pid().expect("it lives");
        let rebel = pid(cx.node(), "b");
        kid(cx.node(), "b").rebel().await.expect("it lives");
        settle().await;
        assert_eq!(pid(cx.node(), "b"), rebel);
        assert_eq!(journal.entries(), [""; 0], "no second b beside the first");
        let stranger = cx.spawn(|cx: Cx<()>| async move { cx.exit(own, Reason::Shutdown) });
        cx.node().wait_exit(stranger.pid()).await;
        settle().await;
        assert_eq!(supervisor.count_children().await.expect("it lives").active, 3);
    });
}

// ---- Significant children

// proves: SUP-10
#[test]
fn the_end_of_significant_children_ends_the_supervisor_as_it_was_told() {
    let orderly = || How::Stop(Reason::Normal);
    check_inside(SEEDS, move |cx| async move {
        for auto in [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant] {
            let journal = Journal::new();
            let significant = |id| Cradle::new(id, &journal).child().transient().significant();
            let supervisor = Supervisor::one_for_one()
                .intensity(9, 5.secs())
                .auto_shutdown(auto)
                .child(Cradle::new("worker", &journal).child())
                .child(significant("s"))
                .child(significant("t"));
            let supervisor = supervisor.start().await.expect("all start");
            let end = watch(cx.node(), supervisor.pid().expect("it lives"));
            journal.take();
            kid(cx.node(), "s").end(crash());
            settle().await;
            assert_eq!(journal.take(), ["-s", "+s"], "a restart is no end");
            supervisor.terminate_child("t").await.expect("it is a child");
            supervisor.restart_child("t").await.expect("it has ended");
            journal.take();
            kid(cx.node(), "s").end(orderly());
            settle().await;
            if auto == AutoShutdown::AllSignificant {
                assert_eq!(journal.take(), ["-s"], "one is left");
                kid(cx.node(), "t").end(orderly());
                settle().await;
                assert_eq!(journal.entries(), ["-t", "-worker"]);
            } else {
                assert_eq!(journal.entries(), ["-s", "-t", "-worker"]);
            }
            assert_eq!(end.await, Reason::Shutdown);
        }
    });
}

// ---- Requests

// proves: SUP-11
#[test]
fn children_are_started_terminated_restarted_and_deleted_on_request() {
    check_inside(SEEDS, |cx| async move {
        let (supervisor, journal) = family(Supervisor::one_for_one()).await;
        let new = || Cradle::new("d", &journal).child();
        let started = supervisor.start_child(new()).await.expect("it starts");
        assert_eq!(cx.node().whereis("d"), Some(started));
        let again = supervisor.start_child(new()).await;
        assert_eq!(again, Err(SupervisorError::AlreadyStarted(started)));
        assert_eq!(supervisor.restart_child("d").await, Err(SupervisorError::Running));
        assert_eq!(supervisor.delete_child("d").await, Err(SupervisorError::Running));

        supervisor.terminate_child("d").await.expect("it is a child");
        supervisor.terminate_child("d").await.expect("a second time is no error");
        assert_eq!(undefined(&supervisor).await, ["d"], "its spec stays");
        let present = supervisor.start_child(new()).await;
        assert_eq!(present, Err(SupervisorError::AlreadyPresent));
        let second = supervisor.restart_child("d").await.expect("it starts");
        assert_ne!(second, started);
        supervisor.terminate_child("d").await.expect("it is a child");
        supervisor.delete_child("d").await.expect("it has ended");
        for error in [
            supervisor.terminate_child("d").await.err(),
            supervisor.delete_child("d").await.err(),
            supervisor.restart_child("d").await.err(),
        ] {
            assert_eq!(error, Some(SupervisorError::NotFound));
        }
        supervisor.start_child(new()).await.expect("it is new again");
        journal.take();
        supervisor.stop(Reason::Shutdown).await.expect("it stops");
        assert_eq!(journal.entries(), ["-d", "-c", "-b", "-a"], "started last, stopped first");
    });
}

// proves: SUP-11
#[test]
fn a_start_on_request_that_fails_leaves_nothing_behind() {
    check_inside(SEEDS, |_| async move {
        let (supervisor, journal) = family(Supervisor::one_for_one()).await;
        let bad = Cradle::new("d", &journal).beginning([Begin::Refused]);
        let refused = supervisor.start_child(bad.clone().child()).await;
        let cause = StartError::Init(Reason::custom("refused"));
        assert_eq!(refused, Err(SupervisorError::Start(cause)));
        assert_eq!(supervisor.count_children().await.expect("it lives").specs, 3);
        let senseless = supervisor.start_child(bad.clone().child().significant()).await;
        let Err(SupervisorError::Spec(detail)) = senseless else { panic!("it is refused") };
        assert!(detail.contains("a significant child needs a supervisor"), "{detail}");
        supervisor.start_child(bad.child()).await.expect("the second time it starts");
    });
}

// proves: SUP-11
#[test]
fn children_are_listed_last_started_first_and_counted() {
    check_inside(0..4, |_| async move {
        let (cradle, _) = lone("worker");
        let supervisor = Supervisor::one_for_one()
            .child(cradle.child())
            .child(supervisor_child("inner", Supervisor::one_for_all))
            .child(process_child("plain", |_| std::future::pending::<()>()));
        let supervisor = supervisor.start().await.expect("all start");
        let rows = supervisor.which_children().await.expect("it lives");
        let ids: Vec<_> = rows.iter().map(|row| row.id.as_deref().expect("an id")).collect();
        assert_eq!(ids, ["plain", "inner", "worker"]);
        assert_eq!(rows[1].kind, ChildKind::Supervisor);
        assert!(rows.iter().all(|row| matches!(row.state, ChildState::Running(_))));
        let expected = ChildCounts { specs: 3, active: 3, supervisors: 1, workers: 2 };
        assert_eq!(supervisor.count_children().await, Ok(expected));
    });
}

#[test]
fn a_request_to_a_supervisor_that_ended_says_so() {
    check_inside(0..4, |_| async move {
        let (supervisor, journal) = family(Supervisor::one_for_one()).await;
        supervisor.stop(Reason::Normal).await.expect("it stops");
        let no_proc = SupervisorError::Call(CallError::NoProc);
        let child = Cradle::new("d", &journal).child();
        assert_eq!(supervisor.start_child(child).await, Err(no_proc.clone()));
        assert_eq!(supervisor.terminate_child("a").await, Err(no_proc));
        assert_eq!(supervisor.stop(Reason::Normal).await, Err(CallError::NoProc));
    });
}

// ---- Trees

// proves: SUP-01, SUP-03
#[test]
fn a_tree_stops_depth_first_in_reverse_and_a_crash_stays_in_its_branch() {
    check_inside(SEEDS, |cx| async move {
        let journal = Journal::new();
        let branch = |ids: [&'static str; 2]| {
            let journal = journal.clone();
            move || {
                let mut branch = Supervisor::one_for_all();
                for id in ids {
                    branch = branch.child(Cradle::new(id, &journal).child());
                }
                branch
            }
        };
        let tree = Supervisor::one_for_one()
            .child(supervisor_child("left", branch(["a", "b"])))
            .child(supervisor_child("right", branch(["c", "d"])));
        let tree = tree.start().await.expect("all start");
        assert_eq!(journal.take(), ["+a", "+b", "+c", "+d"]);
        kid(cx.node(), "a").end(How::Panic);
        settle().await;
        assert_eq!(journal.take(), ["-a", "-b", "+a", "+b"]);
        tree.stop(Reason::Shutdown).await.expect("it stops");
        assert_eq!(journal.entries(), ["-d", "-c", "-b", "-a"]);
    });
}
