//! Starts, and what becomes of those that fail.

use linden::prelude::*;
use linden::{CallError, Cx, Mail};

use crate::probe::{Moment, Probe, ProbeClient, short};
use crate::stage::{Journal, SEEDS, begun, check, check_inside, settle, watch};

// proves: SRV-02
#[test]
fn a_start_returns_when_init_is_through_and_messages_wait_until_then() {
    check(SEEDS, |node| async move {
        let journal = Journal::new();
        let begin = node.uptime();
        let init = Probe::init_with(&journal, Moment::Last(2.secs()));
        let start = begun(Box::pin(Probe::start_as(Some("slow"), init)));
        settle().await;
        let named: ProbeClient = ServerRef::by_name(&node, "slow").into();
        assert!(named.pid().is_some(), "it has its name before its init runs");
        named.note("early".into());
        let probe = start.await.expect("it starts");
        assert!(node.uptime() - begin >= 2.secs());
        assert_eq!(probe.add(1).await, Ok(1));
        assert_eq!(journal.entries(), ["init", "early"]);
    });
}

// proves: SRV-03
#[test]
fn a_start_that_fails_says_why_and_its_name_is_free_at_once() {
    check_inside(SEEDS, |cx| async move {
        let node = cx.node().clone();
        let cases = [
            (Moment::Refuse, StartError::Init(Reason::custom("refused"))),
            (Moment::Ignore, StartError::Ignored),
        ];
        for (moment, expected) in cases {
            let journal = Journal::new();
            let start = Probe::start_as(Some("failing"), Probe::init_with(&journal, moment));
            assert_eq!(start.await.expect_err("init fails"), expected);
            assert_eq!(node.whereis("failing"), None);
            assert_eq!(journal.entries(), ["init", "dropped"], "no terminate, no state is left");
            let again = Probe::start_as(Some("failing"), Probe::init(&journal)).await;
            let again = again.expect("the name is free");
            again.stop(Reason::Normal, 5.secs()).await.expect("it stops");
        }
    });
}

// proves: SRV-03, SRV-08
#[test]
fn a_panic_in_init_is_a_failed_start_that_watchers_hear_of() {
    check_inside(SEEDS, |mut cx| async move {
        cx.trap_exit(true);
        let journal = Journal::new();
        let failed = Probe::start_link(Probe::init_with(&journal, Moment::Panic)).await;
        let Err(StartError::Init(Reason::Panic(info))) = failed else {
            panic!("a panic is the reason")
        };
        assert_eq!(info.message, "at its moment");
        assert!(info.location.contains("probe.rs:"), "{}", info.location);
        let Mail::Info(Info::Exit { reason, .. }) = cx.recv().await else {
            panic!("the link tells of it")
        };
        assert_eq!(short(&reason), "panic at its moment");
        assert_eq!(cx.node().process_count(), 1, "no zombie is left");
    });
}

// proves: SRV-03
#[test]
fn an_init_that_hangs_can_be_killed_and_the_start_says_so() {
    check(SEEDS, |node| async move {
        let journal = Journal::new();
        let init = Probe::init_with(&journal, Moment::Hang);
        let start = begun(Box::pin(Probe::start_as(Some("hanging"), init)));
        settle().await;
        let pid = node.whereis("hanging").expect("it has its name");
        node.exit(pid, Reason::Kill);
        assert_eq!(start.await.expect_err("it was killed"), StartError::Init(Reason::Killed));
        assert_eq!(node.whereis("hanging"), None);
    });
}

// proves: SRV-03
#[test]
fn a_taken_name_is_an_error_that_names_the_owner_who_lives_on() {
    check(SEEDS, |_| async {
        let journal = Journal::new();
        let owner = Probe::start_as(Some("taken"), Probe::init(&journal)).await;
        let owner = owner.expect("the name is free");
        let second = Probe::start_as(Some("taken"), Probe::init(&journal)).await;
        let expected = StartError::NameTaken { name: "taken".into(), owner: owner.id() };
        assert_eq!(second.expect_err("the name is taken"), expected);
        assert_eq!(owner.add(1).await, Ok(1));
        assert_eq!(journal.entries(), ["init"], "the second was not even built");
    });
}

#[test]
fn a_name_out_of_its_bounds_is_refused() {
    check(0..2, |_| async {
        let long = "n".repeat(256);
        for name in ["", &long] {
            let failed = Probe::start_as(Some(name), Probe::init(&Journal::new())).await;
            let Err(StartError::BadName(detail)) = failed else { panic!("a bad name") };
            assert!(detail.contains("1 to 255 bytes"), "{detail}");
        }
    });
}

// proves: SRV-04
#[test]
fn a_linked_server_is_linked_before_it_runs_and_unlinked_ones_are_not() {
    check_inside(SEEDS, |cx| async move {
        let journal = Journal::new();
        let linked = Probe::start_link(Probe::init(&journal)).await.expect("it starts");
        let unlinked = Probe::start(Probe::init(&journal)).await.expect("it starts");
        assert_eq!(cx.info().links, [linked.id()]);
        linked.act(|_, cx| assert!(cx.parent().is_some())).await;
        unlinked.tell(|_, _| panic!("alone"));
        assert_eq!(short(&cx.node().wait_exit(unlinked.id()).await), "panic alone");
    });
}

// proves: SRV-04
#[test]
fn a_linked_start_that_fails_ends_a_starter_that_does_not_trap_exits() {
    check(SEEDS, |node| async move {
        let end = |moment| {
            let starter = node.spawn(move |_: Cx<()>| async move {
                let started = Probe::start_link(Probe::init_with(&Journal::new(), moment)).await;
                assert!(started.is_err());
                std::future::pending::<()>().await;
            });
            watch(&node, starter.pid())
        };
        assert_eq!(end(Moment::Refuse).await, Reason::custom("refused"));
        assert_eq!(short(&end(Moment::Panic).await), "panic at its moment");
        let ignored = end(Moment::Ignore);
        settle().await;
        assert_eq!(node.process_count(), 1, "one that chose not to run is no failure");
        drop(ignored);
    });
}

#[test]
fn a_server_is_built_by_a_value_a_result_or_a_future() {
    #[derive(Debug)]
    struct Number(u32);
    #[gen_server]
    impl Number {
        #[call]
        fn get(&self) -> u32 {
            self.0
        }
    }
    check(0..2, |_| async {
        let plain = Number::start(|| Number(1)).await.expect("it starts");
        let parsed = Number::start(|| "2".parse().map(Number)).await.expect("it starts");
        let later = Number::start(|| async {
            tokio::time::sleep(1.secs()).await;
            Ok::<_, Stop>(Number("3".parse()?))
        });
        let later = later.await.expect("it starts");
        let numbers = (plain.get().await, parsed.get().await, later.get().await);
        assert_eq!(numbers, (Ok(1), Ok(2), Ok(3)));
        let failed = Number::start(|| "x".parse().map(Number)).await;
        let Err(StartError::Init(Reason::Error(info))) = failed else { panic!("it is no number") };
        assert_eq!(info.message, "invalid digit found in string");
        let panicked = Number::start(|| -> Number { panic!("while it was built") }).await;
        let Err(StartError::Init(reason)) = panicked else { panic!("it panicked") };
        assert_eq!(short(&reason), "panic while it was built");
    });
}

#[test]
fn a_server_is_registered_under_its_own_name_another_or_none() {
    #[derive(Default)]
    struct Ledger;
    #[gen_server(name = "ledger")]
    impl Ledger {
        #[call]
        fn pid(&self, cx: &mut Context<Self>) -> Pid {
            cx.pid()
        }
    }
    check(0..2, |node| async move {
        let ledger = Ledger::start(Ledger::default).await.expect("it starts");
        let other = Ledger::start_as(Some("other"), Ledger::default).await.expect("it starts");
        let unnamed = Ledger::start_as(None, Ledger::default).await.expect("it starts");
        assert_eq!(Ledger::named().pid().await, ledger.pid().await);
        assert_eq!(Ledger::named_on(&node).pid().await, ledger.pid().await);
        assert_eq!(node.whereis("other"), other.pid().await.ok());
        let names: Vec<_> = node.processes().into_iter().map(|row| row.name).collect();
        assert_eq!(names.iter().flatten().count(), 2);
        assert!(unnamed.pid().await.is_ok());
    });
}

#[test]
fn a_client_by_name_follows_the_server_that_takes_the_name_next() {
    check(SEEDS, |node| async move {
        let journal = Journal::new();
        let client: ProbeClient = ServerRef::by_name(&node, "p").into();
        assert_eq!(client.add(1).await, Err(CallError::NoProc));
        for round in 0..3 {
            let probe = Probe::start_as(Some("p"), Probe::init(&journal)).await.expect("free");
            assert_eq!(client.add(round).await, Ok(round), "its own state");
            assert_eq!(client.pid(), probe.pid());
            client.stop(Reason::Normal, 5.secs()).await.expect("it stops");
        }
    });
}
