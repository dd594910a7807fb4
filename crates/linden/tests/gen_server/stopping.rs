//! Stops, and when `terminate` runs.

use linden::prelude::*;
use linden::{CallError, Cx};

use super::{crashed, probe};
use crate::probe::{Moment, Probe, ProbeClient, short};
use crate::stage::{
    HANGS_AFTER, Journal, Running, SEEDS, begun, check, check_inside, inside, settle, watch,
};

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
