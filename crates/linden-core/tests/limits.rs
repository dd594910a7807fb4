//! Bounded mailboxes: each policy, by each way of sending, and what is never refused.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use linden_core::{
    Address, CallError, Cx, DeadLetterReason, Info, Mail, MailboxLimit, MailboxPolicy, Message,
    Node, Reason, Reply, SendError, reply_channel, yield_now,
};
use puppet::Puppet;
use stage::{SEEDS, check, inside, simulated};

#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/stage.rs"]
mod stage;

enum Work {
    /// Adds a number to what was heard.
    Hear(u64),
    /// Answers with what was heard so far.
    Tell(Reply<Vec<u64>>),
}

impl Message for Work {}

/// Waits for the gate before it reads each message.
async fn work(mut cx: Cx<Work>, gate: Arc<tokio::sync::Semaphore>) {
    let mut heard = Vec::new();
    loop {
        gate.acquire().await.expect("nobody closes the gate").forget();
        match cx.recv().await {
            Mail::Msg(Work::Hear(number)) => heard.push(number),
            Mail::Msg(Work::Tell(reply)) => {
                reply.send(heard.clone());
            }
            Mail::Info(_) => {}
        }
    }
}

/// A server whose mailbox is limited, and the gate before each of its messages.
fn limited(
    node: &Node,
    messages_max: usize,
    policy: MailboxPolicy,
) -> (Address<Work>, Arc<tokio::sync::Semaphore>) {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let held = gate.clone();
    let server = node.spawn(move |cx| {
        cx.limit_mailbox(Some(MailboxLimit { messages_max, policy }));
        work(cx, held)
    });
    (server, gate)
}

/// Lets the server read all that comes, and asks what it heard.
async fn heard(server: &Address<Work>, gate: &tokio::sync::Semaphore) -> Vec<u64> {
    gate.add_permits(1_000);
    while let Err(error) = server.call(Work::Tell).await.as_ref() {
        assert_eq!(*error, CallError::Overloaded);
        yield_now().await;
    }
    server.call(Work::Tell).await.expect("it lives")
}

/// The number that came back, when the mailbox was full.
fn back(sent: Result<(), SendError<Work>>) -> Option<u64> {
    match sent {
        Err(SendError::Overloaded(Work::Hear(number))) => Some(number),
        _ => None,
    }
}

// proves: LIMIT-01
#[test]
fn at_the_limit_new_messages_go_back_to_senders_and_callers() {
    check(SEEDS, |node| async move {
        let (server, gate) = limited(&node, 3, MailboxPolicy::Reject);
        let sent: Vec<_> = (0..5).map(|number| back(server.send(Work::Hear(number)))).collect();
        assert_eq!(sent, [None, None, None, Some(3), Some(4)]);
        assert_eq!(server.call(Work::Tell).await, Err(CallError::Overloaded));
        assert_eq!(node.dead_letters().mailbox_full, 2, "the caller knows");
        // Each that is read makes room for one.
        gate.add_permits(1);
        while back(server.send(Work::Hear(9))).is_some() {
            yield_now().await;
        }
        assert_eq!(heard(&server, &gate).await, [0, 1, 2, 9]);
    });
}

// proves: LIMIT-02
#[test]
fn the_oldest_messages_are_dropped_by_their_owner_and_while_it_is_stopped_new_ones_go_back() {
    check(SEEDS, |node| async move {
        let (server, gate) = limited(&node, 3, MailboxPolicy::DropOldest);
        // It waits for its gate, not for mail, so it drops nothing yet.
        yield_now().await;
        let sent: Vec<_> = (0..8).map(|number| back(server.send(Work::Hear(number)))).collect();
        assert_eq!(sent[..3], [None; 3]);
        assert_eq!(sent[6..], [Some(6), Some(7)]);
        let told = heard(&server, &gate).await;
        assert!(told.ends_with(&[5]) || told.ends_with(&[4, 5]), "{told:?}");
        assert!(told.len() <= 3, "{told:?}");
        let report = node.dead_letter_report();
        assert!(report.newest.iter().all(|letter| letter.reason == DeadLetterReason::MailboxFull));
        assert!(node.dead_letters().mailbox_full >= 5);
    });
}

// proves: LIMIT-02
#[test]
fn a_call_that_is_dropped_as_the_oldest_has_an_answer() {
    simulated(1, |node| async move {
        let (server, gate) = limited(&node, 1, MailboxPolicy::DropOldest);
        let mut asked = std::pin::pin!(server.call(Work::Tell));
        assert!(asked.as_mut().now_or_never().is_none());
        server.send(Work::Hear(1)).expect("twice the limit fits");
        gate.add_permits(1);
        assert!(matches!(asked.await, Err(CallError::Exited(_))));
    });
}

// proves: LIMIT-03
#[test]
fn calls_and_waiting_sends_go_on_when_there_is_room_and_plain_sends_go_back() {
    check(SEEDS, |node| async move {
        let (server, gate) = limited(&node, 2, MailboxPolicy::Wait);
        server.send(Work::Hear(0)).expect("there is room");
        server.send(Work::Hear(1)).expect("there is room");
        assert_eq!(back(server.send(Work::Hear(2))), Some(2));
        let (done, ended) = reply_channel();
        let journal = Arc::new(Mutex::new(0));
        for number in 3..8 {
            let (server, journal) = (server.clone(), journal.clone());
            node.spawn(async move |_: Cx<()>| {
                server.send_wait(Work::Hear(number)).await.map_err(drop).expect("it lives");
                *journal.lock().expect("nobody panics") += 1;
            });
        }
        let asker = server.clone();
        node.spawn(async move |_: Cx<()>| {
            done.send(asker.call(Work::Tell).no_timeout().await.map(|heard| heard.len()));
        });
        for _ in 0..50 {
            yield_now().await;
        }
        assert_eq!(*journal.lock().expect("nobody panics"), 0, "nobody came in");
        gate.add_permits(8);
        assert!(ended.await.expect("it answers").expect("it lives") >= 2);
        while *journal.lock().expect("nobody panics") < 5 {
            yield_now().await;
        }
        let mut told = heard(&server, &gate).await;
        told.sort_unstable();
        assert_eq!(told, [0, 1, 3, 4, 5, 6, 7]);
    });
}

// proves: LIMIT-03
#[test]
fn a_call_that_waits_for_room_keeps_its_timeout_and_gives_its_place_up() {
    simulated(1, |node| async move {
        let (server, gate) = limited(&node, 1, MailboxPolicy::Wait);
        server.send(Work::Hear(0)).expect("there is room");
        let asked = server.call(Work::Tell).timeout(Duration::from_millis(20)).await;
        assert_eq!(asked, Err(CallError::Timeout));
        let mut dropped = Box::pin(server.send_wait(Work::Hear(1)));
        assert!(dropped.as_mut().now_or_never().is_none());
        let mut kept = Box::pin(server.send_wait(Work::Hear(2)));
        assert!(kept.as_mut().now_or_never().is_none());
        // Called, it leaves: the next is called in its place.
        gate.add_permits(1);
        for _ in 0..10 {
            yield_now().await;
        }
        drop(dropped);
        assert!(kept.await.is_ok());
        assert_eq!(heard(&server, &gate).await, [0, 2]);
    });
}

// proves: LIMIT-03
#[test]
fn who_waits_for_room_hears_of_the_end_and_of_a_limit_that_is_lifted() {
    check(SEEDS, |node| async move {
        let (server, _gate) = limited(&node, 0, MailboxPolicy::Wait);
        let mut waits = Box::pin(server.send_wait(Work::Hear(1)));
        let mut asks = Box::pin(server.call(Work::Tell));
        assert!(waits.as_mut().now_or_never().is_none());
        assert!(asks.as_mut().now_or_never().is_none());
        node.exit(server.pid(), Reason::Kill);
        assert!(matches!(waits.await, Err(SendError::NoProc(Work::Hear(1)))));
        assert_eq!(asks.await, Err(CallError::NoProc));

        let (server, gate) = limited(&node, 0, MailboxPolicy::Wait);
        let mut waits = Box::pin(server.send_wait(Work::Hear(1)));
        assert!(waits.as_mut().now_or_never().is_none());
        assert!(node.limit_mailbox(server.pid(), None));
        assert!(waits.await.is_ok());
        assert_eq!(heard(&server, &gate).await, [1]);
    });
}

// proves: LIMIT-03
#[test]
fn a_process_does_not_wait_for_itself() {
    simulated(1, |node| async move {
        let (told, heard) = reply_channel();
        node.spawn(async move |cx: Cx<u64>| {
            cx.limit_mailbox(Some(MailboxLimit { messages_max: 0, policy: MailboxPolicy::Wait }));
            told.send(cx.address().send_wait(7).await);
        });
        assert_eq!(heard.await, Ok(Err(SendError::Overloaded(7))));
    });
}

// proves: LIMIT-04
#[test]
fn links_monitors_exits_and_timers_news_pass_a_full_mailbox() {
    check(SEEDS, |node| async move {
        inside(&node, |mut cx: Cx<()>| async move {
            let node = cx.node().clone();
            let puppet = Puppet::trapping(&node).await;
            assert!(node.limit_mailbox(
                puppet.pid(),
                Some(MailboxLimit { messages_max: 0, policy: MailboxPolicy::Reject })
            ));
            let refused = puppet.0.send(puppet::Order::End(Reason::Normal));
            assert!(matches!(refused, Err(SendError::Overloaded(_))));
            // News come, and can be asked for when the limit is lifted.
            node.exit(puppet.pid(), Reason::custom("told"));
            node.limit_mailbox(puppet.pid(), None);
            assert!(matches!(puppet.hear().await, Info::Exit { .. }));
            node.limit_mailbox(
                puppet.pid(),
                Some(MailboxLimit { messages_max: 0, policy: MailboxPolicy::DropOldest }),
            );
            let info = node.process_info(puppet.pid()).await.expect("it answers");
            let limit = info.mailbox_limit.expect("it has one");
            assert_eq!((limit.messages_max, limit.policy), (0, MailboxPolicy::DropOldest));
            let monitor = cx.monitor(puppet.pid());
            node.exit(puppet.pid(), Reason::Kill);
            let heard = cx.recv().await;
            assert!(
                matches!(heard, Mail::Info(Info::Down { reference, .. }) if reference == monitor)
            );
        })
        .await;
        let dead = node.spawn(async |_: Cx<()>| {}).pid();
        let _ = node.wait_exit(dead).await;
        assert!(!node.limit_mailbox(dead, None));
    });
}

// proves: LIMIT-01
#[test]
fn an_interval_goes_on_beside_a_full_mailbox() {
    simulated(1, |node| async move {
        let full = node.spawn(async |cx: Cx<u64>| {
            cx.limit_mailbox(Some(MailboxLimit { messages_max: 2, policy: MailboxPolicy::Reject }));
            std::future::pending::<()>().await;
        });
        let pid = full.pid();
        let (told, heard) = reply_channel();
        node.spawn(async move |mut cx: Cx<()>| {
            cx.send_interval(&full, Duration::from_millis(10), 7);
            cx.recv_timeout(Duration::from_millis(105)).await;
            told.send(());
        });
        assert_eq!(heard.await, Ok(()));
        assert_eq!(node.dead_letters().mailbox_full, 8);
        node.exit(pid, Reason::Kill);
    });
}

#[test]
fn a_message_of_before_the_limit_does_not_count() {
    simulated(1, |node| async move {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let held = gate.clone();
        let server = node.spawn(move |cx| work(cx, held));
        (0..10).for_each(|number| drop(server.send(Work::Hear(number))));
        node.limit_mailbox(
            server.pid(),
            Some(MailboxLimit { messages_max: 1, policy: MailboxPolicy::Reject }),
        );
        assert!(server.send(Work::Hear(10)).is_ok());
        assert_eq!(back(server.send(Work::Hear(11))), Some(11));
        assert_eq!(heard(&server, &gate).await, (0..=10).collect::<Vec<_>>());
    });
}
