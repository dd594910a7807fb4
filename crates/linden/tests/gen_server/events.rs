//! What comes besides calls and casts: continue, timeout, info.

use linden::prelude::*;

use super::probe;
use crate::probe::{Moment, Probe};
use crate::stage::{Journal, SEEDS, begun, check, check_inside, settle};

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
