//! Dynamic supervisors: children that come and go at run time, with the arguments that they were started with.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kid::{Begin, Cradle, How, KidClient, Manners};
use linden::prelude::*;
use linden::supervisor::decision::{AutoShutdown, ChildCounts, ChildState, Shutdown};
use linden::{Cx, SupervisorError};
use stage::{Journal, SEEDS, check_inside, on_node, settle, watch};

#[path = "support/kid.rs"]
mod kid;
#[path = "support/stage.rs"]
mod stage;

/// A dynamic supervisor whose children are kids made from the cradles that they are given.
fn nursery() -> DynamicSupervisor<Cradle> {
    DynamicSupervisor::new(|cradle: &Cradle| cradle.clone().build())
}

fn client(cx: &Cx<()>, pid: Pid) -> KidClient {
    ServerRef::by_pid(cx.node(), pid).expect("it lives and is a kid").into()
}

/// The running children.
async fn running(nursery: &DynamicRef<Cradle>) -> Vec<Pid> {
    let rows = nursery.which_children().await.expect("it lives");
    let pids = rows.into_iter().filter_map(|row| match row.state {
        ChildState::Running(pid) => Some(pid),
        _ => None,
    });
    let mut pids: Vec<Pid> = pids.collect();
    pids.sort_unstable();
    pids
}

fn counts(active: usize) -> ChildCounts {
    ChildCounts { specs: 1, active, supervisors: 0, workers: active }
}

// proves: SUP-15
#[test]
fn children_are_started_with_their_arguments_and_keep_them_over_restarts() {
    check_inside(SEEDS, |cx| async move {
        let journal = Journal::new();
        let nursery = nursery().intensity(10, 5.secs()).start().await.expect("it starts");
        let mut pids = Vec::new();
        for id in ["a", "b"] {
            pids.push(nursery.start_child(Cradle::new(id, &journal)).await.expect("it starts"));
        }
        assert_eq!(running(&nursery).await, pids);
        journal.take();
        for round in 1..=3 {
            let old = running(&nursery).await;
            client(&cx, old[0]).end(How::Panic);
            cx.exit(old[1], Reason::Kill);
            settle().await;
            let mut entries = journal.take();
            entries.sort_unstable();
            assert_eq!(entries, ["+a", "+b", "-a", "-b"], "round {round}");
            assert_eq!(nursery.count_children().await, Ok(counts(2)));
        }
    });
}

// proves: SUP-15
#[test]
fn a_hundred_thousand_children_come_and_go() {
    const CHILDREN: usize = 100_000;
    #[derive(Debug)]
    struct Account(u32);
    #[gen_server]
    impl Account {
        #[call]
        fn number(&self) -> u32 {
            self.0
        }
    }
    on_node(2, |cx| async move {
        let node = cx.node().clone();
        let accounts = DynamicSupervisor::<u32>::new(|&number| move || Account(number));
        let accounts = accounts.start().await.expect("it starts");
        let mut pids = Vec::with_capacity(CHILDREN);
        for number in 0..u32::try_from(CHILDREN).expect("fits") {
            pids.push(accounts.start_child(number).await.expect("it starts"));
        }
        assert_eq!(accounts.count_children().await, Ok(counts(CHILDREN)));
        for number in (0..CHILDREN).step_by(9_973) {
            let account: ServerRef<Account> =
                ServerRef::by_pid(&node, pids[number]).expect("it lives");
            let account = AccountClient::from(account);
            assert_eq!(account.number().await, Ok(u32::try_from(number).expect("fits")));
        }
        for &pid in pids.iter().step_by(100) {
            accounts.terminate_child(pid).await.expect("it is a child");
        }
        assert_eq!(accounts.count_children().await, Ok(counts(CHILDREN - CHILDREN / 100)));
        accounts.stop(Reason::Shutdown).await.expect("it stops");
        assert_eq!(node.process_count(), 1);
    });
}

// proves: SUP-15
#[test]
fn restart_types_hold_for_all_children() {
    check_inside(SEEDS, |cx| async move {
        type Make = fn(DynamicSupervisor<Cradle>) -> DynamicSupervisor<Cradle>;
        let permanent: Make = |spec| spec;
        let cases: [(Make, How, bool); 5] = [
            (permanent, How::Stop(Reason::Normal), true),
            (DynamicSupervisor::transient, How::Stop(Reason::Shutdown), false),
            (DynamicSupervisor::transient, How::Panic, true),
            (DynamicSupervisor::temporary, How::Panic, false),
            (DynamicSupervisor::temporary, How::Stop(Reason::Normal), false),
        ];
        for (make, how, restarted) in cases {
            let journal = Journal::new();
            let nursery = make(nursery()).start().await.expect("it starts");
            let pid = nursery.start_child(Cradle::new("a", &journal)).await.expect("it starts");
            client(&cx, pid).end(how.clone());
            settle().await;
            let expected: &[&str] = if restarted { &["+a", "-a", "+a"] } else { &["+a", "-a"] };
            assert_eq!(journal.entries(), expected, "{how:?}");
            assert_eq!(nursery.count_children().await, Ok(counts(usize::from(restarted))));
        }
    });
}

// proves: SUP-15
#[test]
fn the_arguments_of_temporary_children_are_given_back() {
    struct Holder(#[expect(dead_code, reason = "held only")] Arc<()>);
    #[gen_server]
    impl Holder {}
    check_inside(0..4, |cx| async move {
        let held = Arc::new(());
        let holders = DynamicSupervisor::<Arc<()>>::new(|held| {
            let held = held.clone();
            move || Holder(held)
        });
        let holders = holders.temporary().start().await.expect("it starts");
        let pid = holders.start_child(held.clone()).await.expect("it starts");
        assert_eq!(Arc::strong_count(&held), 2, "the child's alone");
        cx.exit(pid, Reason::Kill);
        cx.node().wait_exit(pid).await;
        assert_eq!(Arc::strong_count(&held), 1);
    });
}

// proves: SUP-15
#[test]
fn a_child_is_terminated_by_its_pid_and_forgotten() {
    check_inside(SEEDS, |cx| async move {
        let journal = Journal::new();
        let nursery = nursery().start().await.expect("it starts");
        let a = nursery.start_child(Cradle::new("a", &journal)).await.expect("it starts");
        let b = nursery.start_child(Cradle::new("b", &journal)).await.expect("it starts");
        nursery.terminate_child(a).await.expect("it is a child");
        assert!(!cx.node().is_alive(a));
        assert_eq!(journal.entries(), ["+a", "+b", "-a"]);
        nursery.terminate_child(a).await.expect("a dead process is no error, as in OTP");
        assert_eq!(nursery.terminate_child(cx.pid()).await, Err(SupervisorError::NotFound));
        assert_eq!(running(&nursery).await, [b]);
    });
}

// proves: SUP-15, SUP-18
#[test]
fn a_start_that_fails_leaves_no_child_and_no_harm() {
    check_inside(SEEDS, |_| async move {
        let journal = Journal::new();
        let spec = DynamicSupervisor::<Option<Cradle>>::new(|cradle: &Option<Cradle>| {
            cradle.clone().expect("a template that panics").build()
        });
        let nursery = spec.start().await.expect("it starts");
        for begin in [Begin::Refused, Begin::Panics, Begin::Ignores] {
            let cradle = Cradle::new("a", &journal).beginning([begin]);
            let failed = nursery.start_child(Some(cradle)).await;
            assert!(matches!(failed, Err(SupervisorError::Start(_))), "{failed:?}");
        }
        let Err(SupervisorError::Start(StartError::Init(Reason::Panic(info)))) =
            nursery.start_child(None).await
        else {
            panic!("the template's panic is the reason")
        };
        assert_eq!(info.message, "a template that panics");
        assert_eq!(nursery.count_children().await, Ok(counts(0)));
        let well = Cradle::new("a", &journal);
        nursery.start_child(Some(well)).await.expect("the supervisor lives");
    });
}

// proves: SUP-09, SUP-15
#[test]
fn a_restart_that_fails_is_tried_again_and_each_try_counts() {
    check_inside(SEEDS, |cx| async move {
        for restarts_max in [3, 2] {
            let journal = Journal::new();
            let spec = nursery().intensity(restarts_max, 5.secs());
            let nursery = spec.start().await.expect("it starts");
            let end = watch(cx.node(), nursery.pid().expect("it lives"));
            let begins = [Begin::Well, Begin::Refused, Begin::Panics];
            let cradle = Cradle::new("a", &journal).beginning(begins);
            let pid = nursery.start_child(cradle).await.expect("it starts");
            client(&cx, pid).end(How::Panic);
            settle().await;
            if restarts_max == 3 {
                assert_eq!(journal.entries(), ["+a", "-a", "+a"]);
                assert_eq!(nursery.count_children().await, Ok(counts(1)));
            } else {
                assert_eq!(end.await, Reason::Shutdown);
            }
        }
    });
}

// proves: SUP-08, SUP-15
#[test]
fn one_restart_more_than_allowed_stops_all_children_and_the_supervisor() {
    check_inside(SEEDS, |cx| async move {
        let journal = Journal::new();
        let nursery = nursery().intensity(2, 5.secs()).start().await.expect("it starts");
        let end = watch(cx.node(), nursery.pid().expect("it lives"));
        for id in ["a", "b"] {
            nursery.start_child(Cradle::new(id, &journal)).await.expect("it starts");
        }
        for _ in 0..3 {
            client(&cx, running(&nursery).await[0]).end(How::Panic);
            settle().await;
        }
        assert_eq!(end.await, Reason::Shutdown);
        assert_eq!(cx.node().process_count(), 1);
    });
}

// proves: SUP-10, SUP-15
#[test]
fn significant_children_end_a_dynamic_supervisor_too() {
    check_inside(SEEDS, |cx| async move {
        let journal = Journal::new();
        let spec = nursery().transient().significant().auto_shutdown(AutoShutdown::AllSignificant);
        let nursery = spec.start().await.expect("it starts");
        let end = watch(cx.node(), nursery.pid().expect("it lives"));
        for id in ["a", "b"] {
            nursery.start_child(Cradle::new(id, &journal)).await.expect("it starts");
        }
        for left in [1, 0] {
            let pid = running(&nursery).await[0];
            client(&cx, pid).end(How::Stop(Reason::Normal));
            settle().await;
            if left == 1 {
                assert_eq!(nursery.count_children().await, Ok(counts(1)));
            }
        }
        assert_eq!(end.await, Reason::Shutdown);
    });
}

// proves: SUP-16
#[test]
fn all_children_are_stopped_at_once_and_have_one_time_limit_together() {
    let cases = [
        (Manners::Plain, Shutdown::WORKER_DEFAULT, 0, Reason::Shutdown),
        (Manners::CleansUp(3.secs()), Shutdown::WORKER_DEFAULT, 3, Reason::Shutdown),
        (Manners::CleansUp(3.secs()), Shutdown::Timeout(Duration::MAX), 3, Reason::Shutdown),
        (Manners::Deaf, Shutdown::WORKER_DEFAULT, 5, Reason::Killed),
        (Manners::Deaf, Shutdown::Brutal, 0, Reason::Killed),
        (
            Manners::CleansUp(Duration::from_secs(9_999)),
            Shutdown::Infinity,
            9_999,
            Reason::Shutdown,
        ),
    ];
    for (manners, shutdown, seconds, expected) in cases {
        check_inside(0..6, move |cx| {
            let expected = expected.clone();
            async move {
                let journal = Journal::new();
                let nursery = nursery().shutdown(shutdown).start().await.expect("it starts");
                let mut ends = Vec::new();
                for id in ["a", "b", "c", "d"] {
                    let cradle = Cradle::new(id, &journal).with(manners);
                    let pid = nursery.start_child(cradle).await.expect("it starts");
                    ends.push(watch(cx.node(), pid));
                }
                // The clock has gone on: to the longest time nothing can be added.
                settle().await;
                let begin = cx.node().uptime();
                nursery.stop(Reason::Shutdown).await.expect("it stops");
                let took = cx.node().uptime() - begin;
                let case = format!("{manners:?}, {shutdown:?}: {took:?}");
                assert!((seconds.secs()..seconds.secs() + 50.ms()).contains(&took), "{case}");
                for end in ends {
                    assert_eq!(end.await, expected, "{case}");
                }
            }
        });
    }
}

// proves: CALL-01
#[test]
fn requests_to_a_supervisor_that_stops_its_children_hear_its_reason_when_it_has_ended() {
    check_inside(SEEDS, |cx| async move {
        let journal = Journal::new();
        let nursery = nursery().start().await.expect("it starts");
        let slow = Cradle::new("a", &journal).with(Manners::CleansUp(3.secs()));
        nursery.start_child(slow).await.expect("it starts");
        let reason = Reason::custom("closed for today");
        let stopper = cx.node().spawn({
            let (nursery, reason) = (nursery.clone(), reason.clone());
            |_: Cx<()>| async move { nursery.stop(reason).await.expect("it stops") }
        });
        let end = watch(cx.node(), stopper.pid());
        settle().await;
        let begin = cx.node().uptime();
        assert_eq!(nursery.count_children().await, Err(CallError::Exited(reason)));
        assert!(cx.node().uptime() - begin > 2.secs(), "it has ended");
        assert_eq!(end.await, Reason::Normal);
    });
}

// proves: SUP-16, SUP-21
#[test]
fn a_child_that_took_its_link_down_is_stopped_all_the_same() {
    check_inside(SEEDS, |cx| async move {
        let journal = Journal::new();
        let nursery = nursery().shutdown(Shutdown::Infinity).start().await.expect("it starts");
        for id in ["a", "b"] {
            nursery.start_child(Cradle::new(id, &journal)).await.expect("it starts");
        }
        client(&cx, running(&nursery).await[0]).run_away().await.expect("it lives");
        cx.exit(running(&nursery).await[1], Reason::Kill);
        nursery.stop(Reason::Shutdown).await.expect("it stops");
        assert_eq!(cx.node().process_count(), 1);
    });
}

// proves: SUP-19
#[test]
fn exit_signals_sent_by_hand_are_no_ends_of_children() {
    check_inside(SEEDS, |cx| async move {
        let journal = Journal::new();
        let nursery = nursery().start().await.expect("it starts");
        let pid = nursery.start_child(Cradle::new("a", &journal)).await.expect("it starts");
        client(&cx, pid).rebel().await.expect("it lives");
        settle().await;
        assert_eq!(running(&nursery).await, [pid]);
        assert_eq!(journal.entries(), ["+a"]);
    });
}

#[test]
fn a_dynamic_supervisor_is_a_child_with_a_name_and_starts_empty_again() {
    check_inside(SEEDS, |cx| async move {
        let starts = Arc::new(AtomicUsize::new(0));
        let spec = {
            let starts = starts.clone();
            move || {
                starts.fetch_add(1, Ordering::Relaxed);
                nursery()
            }
        };
        let supervisor = Supervisor::one_for_one().child(dynamic_child("kids", spec).name("kids"));
        let _supervisor = supervisor.start().await.expect("it starts");
        let kids = DynamicRef::<Cradle>::by_name(cx.node(), "kids");
        let journal = Journal::new();
        kids.start_child(Cradle::new("a", &journal)).await.expect("it starts");
        let end = watch(cx.node(), running(&kids).await[0]);
        cx.exit(kids.pid().expect("it lives"), Reason::Kill);
        assert_eq!(end.await, Reason::Killed);
        settle().await;
        assert_eq!(kids.count_children().await, Ok(counts(0)));
        assert_eq!(starts.load(Ordering::Relaxed), 2);
    });
}
