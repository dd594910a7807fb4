//! Servers: their callbacks, when each runs, and what callers hear.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use linden::prelude::*;
use linden::{CallError, Cx, Mail, Message, named_on};
use probe::{Moment, Probe, ProbeClient, short};
use stage::{
    HANGS_AFTER, Journal, Running, SEEDS, begun, check, check_inside, inside, on_node, settle,
    watch,
};

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

/// Something for a server to do.
type Way<S> = fn(&mut Context<S>);

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
        settle().await;
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
        assert_eq!(
            crashed(waits.await.expect_err("dropped")),
            "the reply was dropped without an answer"
        );
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
        let init = Probe::init_by(&journal, |probe| probe.in_terminate = Moment::Last(2.secs()));
        let probe = Probe::start_as(Some("p"), init).await.expect("it starts");
        probe.note("before".into());
        let begin = cx.node().uptime();
        probe.stop(Reason::Shutdown, 5.secs()).await.expect("it stops");
        assert!(cx.node().uptime() - begin >= 2.secs(), "terminate was waited for");
        assert_eq!(cx.node().whereis("p"), None);
        let entries = ["init", "before", "terminate shutdown", "dropped"];
        assert_eq!(journal.entries(), entries);
        assert_eq!(probe.stop(Reason::Normal, 5.secs()).await, Err(CallError::NoProc));
    });
}

// proves: SRV-13
#[test]
fn a_stop_of_a_server_that_is_killed_in_terminate_returns_when_it_has_ended() {
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Says that it terminates and that it is dropped, and waits each time.
    struct Slow {
        says: Sender<&'static str>,
        released: Receiver<()>,
    }
    #[gen_server]
    impl Slow {
        #[terminate]
        async fn end(&mut self) {
            self.says.send("terminates").expect("the test listens");
            std::future::pending::<()>().await;
        }
    }
    impl Drop for Slow {
        fn drop(&mut self) {
            self.says.send("drops").expect("the test listens");
            let _ = self.released.recv();
        }
    }

    let node = Running::start(2);
    let (says, said) = channel();
    let (release, released) = channel();
    let slow = node.run(Slow::start_on(&node, || Slow { says, released })).expect("it starts");
    let pid = slow.pid().expect("it lives");
    let stop = begun(Box::pin(slow.stop(Reason::Shutdown, HANGS_AFTER)));
    assert_eq!(said.recv_timeout(HANGS_AFTER), Ok("terminates"));
    node.exit(pid, Reason::Kill);
    assert_eq!(said.recv_timeout(HANGS_AFTER), Ok("drops"));
    let stop = begun(stop);
    release.send(()).expect("it waits");
    assert_eq!(node.run(stop), Ok(()));
    assert!(!node.is_alive(pid));
}

// proves: SRV-13
#[test]
fn a_stop_that_takes_too_long_is_an_error_and_leaves_the_server_to_its_end() {
    check_inside(SEEDS, |cx| async move {
        let journal = Journal::new();
        let init = Probe::init_by(&journal, |probe| probe.in_terminate = Moment::Last(9.secs()));
        let probe = Probe::start(init).await.expect("it starts");
        let end = watch(cx.node(), probe.id());
        assert_eq!(probe.stop(Reason::Normal, 1.secs()).await, Err(CallError::Timeout));
        assert_eq!(end.await, Reason::Normal);
        assert_eq!(journal.entries(), ["init", "terminate normal", "dropped"]);
    });
}

// proves: SRV-09, SRV-10
#[test]
fn terminate_runs_in_the_cases_of_otp_and_in_no_other() {
    type Way = fn(&Node, &ProbeClient);
    let cases: [(&str, Moment, Way, &str, bool); 7] = [
        (
            "stopped",
            Moment::Pass,
            |_, probe| probe.tell(|_, cx| cx.stop(Reason::Normal)),
            "normal",
            true,
        ),
        ("crashed", Moment::Pass, |_, probe| probe.tell(|_, _| panic!("c")), "panic c", true),
        (
            "told, trapping",
            Moment::Trap,
            |node, probe| node.exit(probe.id(), Reason::Shutdown),
            "shutdown",
            true,
        ),
        (
            "told",
            Moment::Pass,
            |node, probe| node.exit(probe.id(), Reason::Shutdown),
            "shutdown",
            false,
        ),
        (
            "killed",
            Moment::Pass,
            |node, probe| node.exit(probe.id(), Reason::Kill),
            "killed",
            false,
        ),
        (
            "killed, trapping",
            Moment::Trap,
            |node, probe| node.exit(probe.id(), Reason::Kill),
            "killed",
            false,
        ),
        (
            "by itself",
            Moment::Pass,
            |_, probe| probe.tell(|_, cx| cx.exit(cx.pid(), Reason::custom("own"))),
            "own",
            false,
        ),
    ];
    for (case, moment, way, reason, terminates) in cases {
        check(SEEDS, |node| async move {
            let journal = Journal::new();
            let probe = Probe::start(Probe::init_with(&journal, moment)).await.expect("it starts");
            let end = watch(&node, probe.id());
            way(&node, &probe);
            assert_eq!(short(&end.await), reason, "{case}");
            let terminate = format!("terminate {reason}");
            assert_eq!(journal.entries().contains(&terminate), terminates, "{case}");
            assert_eq!(journal.entries().last().expect("entries"), "dropped", "{case}");
        });
    }
}

// proves: SRV-16
#[test]
fn a_server_that_traps_exits_ends_through_terminate_with_its_parent_and_hears_of_others() {
    check(SEEDS, |node| async move {
        let (journal, silent) = (Journal::new(), Journal::new());
        let place = Journal::new();
        let (trapping, plain) = (Probe::init_with(&journal, Moment::Trap), Probe::init(&silent));
        let told = place.clone();
        let parent = node.spawn(|mut cx: Cx<()>| async move {
            let trapping = Probe::start_link(trapping).await.expect("it starts");
            let plain = Probe::start_link(plain).await.expect("it starts");
            told.write((trapping, plain));
            cx.recv().await;
            Reason::custom("end of the family")
        });
        settle().await;
        let (trapping, plain) = place.take().remove(0);
        let stranger = trapping.id();
        inside(&node, move |cx| async move { cx.exit(stranger, Reason::Shutdown) }).await;
        assert_eq!(trapping.add(1).await, Ok(1), "only a parent tells it to end");
        assert_eq!(journal.entries(), ["init", "exit shutdown"]);
        let ends = (watch(&node, trapping.id()), watch(&node, plain.id()));
        parent.send(()).expect("the parent lives");
        assert_eq!(ends.0.await, Reason::custom("end of the family"));
        assert_eq!(ends.1.await, Reason::custom("end of the family"));
        let entries = ["init", "exit shutdown", "terminate end of the family", "dropped"];
        assert_eq!(journal.entries(), entries);
        assert_eq!(silent.entries(), ["init", "dropped"]);
    });
}

// proves: SRV-11
#[test]
fn terminate_runs_while_the_name_stands_and_what_comes_then_is_not_handled() {
    check_inside(SEEDS, |cx| async move {
        let journal = Journal::new();
        let init = Probe::init_by(&journal, |probe| probe.in_terminate = Moment::Last(2.secs()));
        let probe = Probe::start_as(Some("p"), init).await.expect("it starts");
        probe.tell(|_, cx| cx.stop(Reason::custom("end")));
        tokio::time::sleep(1.secs()).await;
        assert_eq!(cx.node().whereis("p"), probe.pid(), "terminate runs");
        let late = probe.add(1).await;
        assert_eq!(crashed(late.expect_err("it ends")), "end");
        assert_eq!(cx.node().whereis("p"), None);
        assert_eq!(journal.entries(), ["init", "terminate end", "dropped"]);
    });
}

// ---- Crashes

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

// ---- By hand, and generic

enum ByHandMsg {
    Get(Reply<u32>),
    Set(u32),
}

impl Message for ByHandMsg {
    fn name(&self) -> &'static str {
        match self {
            Self::Get(_) => "get",
            Self::Set(_) => "set",
        }
    }
}

struct ByHand(u32);

impl GenServer for ByHand {
    type Msg = ByHandMsg;
    type Client = ServerRef<Self>;
    const NAME: Option<&'static str> = Some("by_hand");

    fn handle<'a>(&'a mut self, msg: ByHandMsg, _: &'a mut Context<Self>) -> Handled<'a> {
        match msg {
            ByHandMsg::Get(reply) => {
                reply.send(self.0);
                Handled::done()
            }
            ByHandMsg::Set(value) => Handled::future(async move {
                tokio::time::sleep(1.ms()).await;
                self.0 = value;
            }),
        }
    }
}

#[test]
fn a_server_is_written_without_the_macro() {
    check(SEEDS, |_| async {
        let server = ByHand::start(|| ByHand(1)).await.expect("it starts");
        server.cast(ByHandMsg::Set(2));
        assert_eq!(server.call(ByHandMsg::Get).await, Ok(2));
        assert_eq!(linden::named::<ByHand>().call(ByHandMsg::Get).await, Ok(2));
        server.stop(Reason::Normal, 1.secs()).await.expect("it stops");
    });
}

#[test]
fn a_server_may_be_generic() {
    struct Store<T>(Vec<T>);
    #[gen_server]
    impl<T: Clone + Send + Sync + 'static> Store<T> {
        #[call]
        fn push(&mut self, value: T) -> usize {
            self.0.push(value);
            self.0.len()
        }
        #[call]
        async fn get(&mut self, at: usize) -> Option<T> {
            self.0.get(at).cloned()
        }
    }
    check(0..4, |_| async {
        let texts = Store::start(|| Store(vec!["a".to_owned()])).await.expect("it starts");
        let numbers = Store::start(|| Store(Vec::<u8>::new())).await.expect("it starts");
        assert_eq!(texts.push("b".to_owned()).await, Ok(2));
        assert_eq!(numbers.push(7).await, Ok(1));
        assert_eq!(texts.get(1).await, Ok(Some("b".to_owned())));
        assert_eq!(numbers.get(1).await, Ok(None));
    });
}
