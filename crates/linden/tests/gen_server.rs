//! Servers: their callbacks, when each runs, and what callers hear.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use linden::prelude::*;
use linden::{CallError, Cx, Flush, Mail, Message, named_on};
use probe::{Moment, Probe, ProbeClient, short};
use stage::{HANGS_AFTER, Journal, SEEDS, begun, check, check_inside, inside, on_node, settle, watch};

#[path = "support/probe.rs"]
mod probe;
#[path = "support/stage.rs"]
mod stage;

/// A plain probe, unlinked, with its journal.
async fn probe() -> (ProbeClient, Journal<String>) {
    let journal = Journal::new();
    let client = Probe::start(Probe::init(&journal)).await.expect("a probe starts");
    (client, journal)
}

fn crashed(error: CallError) -> String {
    match error {
        CallError::Exited(reason) => short(&reason),
        other => panic!("an exit is heard, not {other:?}"),
    }
}

// ---- Calls and casts

// proves: SRV-01
#[test]
fn calls_and_casts_of_one_sender_are_handled_in_the_order_sent() {
    check(SEEDS, |_| async {
        let (probe, journal) = probe().await;
        for n in 0..50 {
            probe.note(format!("{n}"));
        }
        assert_eq!(probe.add(1).await, Ok(1), "behind the casts");
        let expected: Vec<String> =
            ["init".to_owned()].into_iter().chain((0..50).map(|n| n.to_string())).collect();
        assert_eq!(journal.entries(), expected);
    });
}

// proves: SRV-01
#[test]
fn an_async_handler_ends_before_the_next_message_is_taken() {
    check_inside(SEEDS, |_| async {
        let (probe, journal) = probe().await;
        let slow = Task::spawn({
            let probe = probe.clone();
            async move { probe.slow(3.secs()).await }
        });
        settle().await;
        probe.note("next".into());
        assert_eq!(slow.await, Ok(Ok(0)));
        assert_eq!(probe.add(1).await, Ok(1));
        assert_eq!(journal.entries(), ["init", "slow begins", "slow ends", "next"]);
    });
}

// proves: SRV-01
#[test]
fn many_callers_at_once_are_served_one_at_a_time() {
    on_node(2, |_| async {
        let (probe, _) = probe().await;
        let callers = (0..8).map(|_| {
            let probe = probe.clone();
            Task::spawn(async move {
                for _ in 0..500 {
                    probe.add(1).await.expect("the probe lives");
                }
            })
        });
        for caller in Task::await_many(callers.collect::<Vec<_>>()).await {
            caller.expect("no caller crashes");
        }
        assert_eq!(probe.add(0).await, Ok(4_000));
    });
}

#[test]
fn a_client_works_on_threads_outside_of_the_node() {
    let node = stage::Running::start(2);
    let probe = node.run(Probe::start(Probe::init(&Journal::new()))).expect("it starts");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    linden_core::block_on(probe.add(1)).expect("the probe lives");
                }
            });
        }
    });
    assert_eq!(node.run(probe.add(0)), Ok(400));
}

// proves: SRV-05
#[test]
fn a_call_that_is_not_awaited_is_never_sent() {
    check(SEEDS, |_| async {
        let (probe, _) = probe().await;
        drop(probe.add(1));
        let late = probe.add(10);
        assert_eq!(probe.add(100).await, Ok(100), "the earlier calls were not sent yet");
        assert_eq!(late.await, Ok(110));
    });
}

// proves: SRV-05
#[test]
fn a_call_waits_five_seconds_unless_it_is_told_otherwise() {
    check(SEEDS, |node| async move {
        let (probe, _) = probe().await;
        let begin = node.uptime();
        assert_eq!(probe.slow(60.secs()).await, Err(CallError::Timeout));
        let waited = node.uptime() - begin;
        assert!((5.secs()..5.secs() + 10.ms()).contains(&waited), "{waited:?}");
        let begin = node.uptime();
        assert_eq!(probe.add(1).timeout(50.ms()).await, Err(CallError::Timeout));
        let waited = node.uptime() - begin;
        assert!((50.ms()..60.ms()).contains(&waited), "{waited:?}");
        assert_eq!(probe.add(1).no_timeout().await, Ok(2), "the one that timed out was handled");
        assert!(node.uptime() - begin > 50.secs());
    });
}

// proves: SRV-06
#[test]
fn the_late_answer_of_a_call_that_gave_up_reaches_no_other_call() {
    check(SEEDS, |node| async move {
        let (probe, _) = probe().await;
        assert_eq!(probe.slow(100.ms()).timeout(10.ms()).await, Err(CallError::Timeout));
        probe.note("between".into());
        assert_eq!(probe.add(7).await, Ok(7));
        assert_eq!(node.dead_letters().late_replies, 1);
    });
}

// proves: SRV-17
#[test]
fn a_server_that_calls_itself_gets_an_error_and_goes_on() {
    check(SEEDS, |_| async {
        let (probe, journal) = probe().await;
        let own = probe.clone();
        probe
            .act(|probe, cx| {
                let journal = probe.journal.clone();
                // The call is made by the server's own process, in a later handler.
                cx.client().tell(move |_, _| {
                    let called = begun_error(own);
                    journal.write(called);
                });
            })
            .await;
        assert_eq!(probe.add(1).await, Ok(1));
        let said = CallError::SelfCall.to_string();
        assert_eq!(journal.entries(), ["init".to_owned(), said]);
    });

    fn begun_error(own: ProbeClient) -> String {
        let mut call = Box::pin(own.add(1));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match call.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(answer) => answer.expect_err("it cannot answer").to_string(),
            std::task::Poll::Pending => "it waits for itself".to_owned(),
        }
    }
}

#[test]
fn an_err_that_a_call_returns_is_data_for_the_caller() {
    struct Refuser;
    #[gen_server]
    impl Refuser {
        #[call]
        fn ask(&mut self) -> Result<(), String> {
            Err("no".to_owned())
        }
    }
    check(0..2, |_| async {
        let refuser = Refuser::start(|| Refuser).await.expect("it starts");
        assert_eq!(refuser.ask().await, Ok(Err("no".to_owned())));
        assert_eq!(refuser.ask().await, Ok(Err("no".to_owned())), "it lives");
    });
}

#[test]
fn a_message_to_nobody_is_counted_and_a_call_says_so() {
    check(0..2, |node| async move {
        let (probe, _) = probe().await;
        probe.stop(Reason::Normal, 5.secs()).await.expect("it stops");
        let before = node.dead_letters().no_process;
        probe.note("to nobody".into());
        assert_eq!(node.dead_letters().no_process, before + 1);
        assert_eq!(probe.add(1).await, Err(CallError::NoProc));
        let nobody = ServerRef::<Probe>::by_name(&node, "nobody");
        assert_eq!(nobody.pid(), None);
        assert_eq!(nobody.state().await, Err(CallError::NoProc));
        assert!(ServerRef::<Probe>::by_pid(&node, probe.id()).is_none());
    });
}

#[test]
fn a_server_of_another_type_under_the_name_is_an_error() {
    struct Other;
    #[gen_server(name = "other")]
    impl Other {}
    check(0..2, |node| async move {
        let journal = Journal::new();
        Probe::start_as(Some("other"), Probe::init(&journal)).await.expect("it starts");
        let call = named_on::<Other>(&node);
        assert!(matches!(call.state().await, Err(CallError::WrongType { .. })));
    });
}

// ---- Starting

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

// ---- Continue, timeout, info

// proves: SRV-14
#[test]
fn continue_runs_before_messages_that_came_meanwhile() {
    check(SEEDS, |node| async move {
        let journal = Journal::new();
        let init = Probe::init_with(&journal, Moment::Continue);
        let start = begun(Box::pin(Probe::start_as(Some("p"), init)));
        let probe = start.await.expect("it starts");
        probe.note("first".into());
        probe.tell(|probe, cx| {
            probe.journal.write("deed".into());
            cx.client().note("second".into());
            cx.continue_();
        });
        assert_eq!(probe.add(1).await, Ok(1));
        settle().await;
        let expected = ["init", "continue", "first", "deed", "continue", "second"];
        assert_eq!(journal.entries(), expected);
        drop(node);
    });
}

// proves: SRV-15
#[test]
fn a_timeout_comes_after_silence_and_again_until_it_is_cleared() {
    check(SEEDS, |_| async {
        let (probe, journal) = probe().await;
        probe.act(|_, cx| cx.set_timeout(100.ms())).await;
        journal.take();
        for _ in 0..5 {
            tokio::time::sleep(60.ms()).await;
            probe.note("m".into());
        }
        assert_eq!(journal.take(), ["m"; 5], "each message starts the time anew");
        tokio::time::sleep(250.ms()).await;
        assert_eq!(journal.take(), ["timeout", "timeout"]);
        probe.act(|_, cx| cx.clear_timeout()).await;
        tokio::time::sleep(10.secs()).await;
        assert_eq!(journal.entries(), [""; 0]);
    });
}

// proves: SRV-16
#[test]
fn news_of_links_monitors_and_timers_reach_handle_info() {
    check_inside(SEEDS, |_| async {
        let (probe, journal) = probe().await;
        let (linked, _) = self::probe().await;
        let (monitored, _) = self::probe().await;
        let (link_to, monitor) = (linked.id(), monitored.id());
        probe
            .act(move |_, cx| {
                cx.trap_exit(true);
                cx.link(link_to);
                cx.monitor(monitor);
                cx.start_timer(1.secs());
            })
            .await;
        linked.stop(Reason::custom("l"), 5.secs()).await.expect("it stops");
        monitored.stop(Reason::custom("m"), 5.secs()).await.expect("it stops");
        tokio::time::sleep(2.secs()).await;
        assert_eq!(probe.add(1).await, Ok(1));
        assert_eq!(journal.entries(), ["init", "exit l", "down m", "timer"]);
    });
}

#[test]
fn timers_can_be_cancelled_and_monitors_taken_down() {
    check(SEEDS, |_| async {
        let (probe, journal) = probe().await;
        let (other, _) = self::probe().await;
        let watched = other.id();
        probe
            .act(move |_, cx| {
                let note = |line: &str| probe::ProbeMsg::Note { line: line.into() };
                let cancelled = cx.send_after(1.secs(), note("never"));
                cx.send_after(2.secs(), note("later"));
                let left = cx.cancel(&cancelled).expect("it is armed");
                assert!(left <= 1.secs() + 2.ms() && left > 900.ms(), "{left:?}");
                assert_eq!(cx.cancel(&cancelled), None);
                let reference = cx.monitor(watched);
                cx.demonitor(reference);
            })
            .await;
        other.stop(Reason::Normal, 5.secs()).await.expect("it stops");
        tokio::time::sleep(3.secs()).await;
        assert_eq!(journal.entries(), ["init", "later"]);
    });
}

// ---- Replies

// proves: SRV-06
#[test]
fn a_kept_reply_is_answered_later_by_the_server_or_by_another_process() {
    check_inside(SEEDS, |_| async {
        let (probe, _) = probe().await;
        let (first, second) = (begun(probe.keep()), begun(probe.keep()));
        probe
            .act(|probe, cx| {
                probe.kept.remove(0).send(1);
                let reply = probe.kept.remove(0);
                cx.spawn_link(|_: Cx<()>| async move {
                    tokio::time::sleep(2.secs()).await;
                    reply.send(2);
                });
            })
            .await;
        assert_eq!((second.await, first.await), (Ok(2), Ok(1)));
    });
}

// proves: SRV-06
#[test]
fn a_reply_that_is_dropped_answers_the_caller_at_once() {
    check_inside(SEEDS, |cx| async move {
        let (probe, _) = probe().await;
        let begin = cx.node().uptime();
        let waits = begun(probe.keep());
        probe.act(|probe, _| probe.kept.clear()).await;
        assert_eq!(crashed(waits.await.expect_err("dropped")), "the reply was dropped without an answer");
        assert!(cx.node().uptime() - begin < 1.secs());
        assert_eq!(probe.add(1).await, Ok(1), "the server lives");
    });
}

// proves: SRV-06
#[test]
fn an_answer_to_a_caller_that_left_is_told_to_the_server() {
    check_inside(SEEDS, |_| async {
        let (probe, _) = probe().await;
        drop(begun(probe.keep()));
        probe
            .act(|probe, _| {
                let reply = probe.kept.pop().expect("the call was sent");
                assert_eq!(reply.send(1), linden_core::Delivered::CallerGone);
            })
            .await;
    });
}

// ---- Stopping

// proves: SRV-09, SRV-07
#[test]
fn a_stop_from_a_handler_answers_it_runs_terminate_and_ends_with_the_reason() {
    check_inside(SEEDS, |cx| async move {
        let (probe, journal) = probe().await;
        let end = watch(cx.node(), probe.id());
        let kept = begun(probe.keep());
        probe.tell(|_, cx| {
            cx.client().note("unheard".into());
            cx.stop(Reason::custom("done"));
            cx.stop(Reason::Normal);
        });
        assert_eq!(end.await, Reason::custom("done"), "the first counts");
        assert_eq!(crashed(kept.await.expect_err("it ended")), "done");
        assert_eq!(journal.entries(), ["init", "terminate done", "dropped"]);
    });
}

// proves: SRV-13, SRV-09
#[test]
fn a_stop_from_outside_comes_behind_what_was_sent_before_and_returns_at_the_end() {
    check_inside(SEEDS, |cx| async move {
        let journal = Journal::new();
        let init = || Probe { in_terminate: Moment::Last(2.secs()), ..Probe::new(&journal) };
        let init = { let probe = Journal::clone(&journal); move || Probe { in_terminate: Moment::Last(2.secs()), ..Probe::new(&probe) } ; };
        let _ = (init, cx);
    });
}
