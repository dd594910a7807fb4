//! Calls and casts.

use linden::prelude::*;
use linden::{CallError, named_on};

use super::probe;
use crate::probe::{Probe, ProbeClient};
use crate::stage::{Journal, Running, SEEDS, check, check_inside, on_node, settle};

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
    let node = Running::start(2);
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
