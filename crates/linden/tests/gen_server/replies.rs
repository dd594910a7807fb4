//! Replies that are kept, dropped, or come too late.

use linden::Cx;
use linden::prelude::*;

use super::{crashed, probe};
use crate::stage::{SEEDS, begun, check_inside};

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
