//! Timeouts of a second and more are measured from the node's coarse clock, which nobody moves while a node sleeps or a
//! process computes: they are not early for that.
//!
//! On real nodes, and for once with real waits: it is the clock that is tested.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, Instant};

use linden_core::{
    Address, CallError, Codec, Cx, Destination, EncodedMessage, Format, Mail, MailRef, Message,
    Node, Payload, Reply, ReplyPort,
};
use stage::{Running, inside, on_node};

#[path = "support/stage.rs"]
mod stage;

/// From here on a timeout is measured from the coarse clock.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Longer than the timeout.
const STALE: Duration = Duration::from_millis(1_200);
/// What a server takes for its answer: far less than the timeout.
const WORK: Duration = Duration::from_millis(50);

/// Is answered after a while.
struct Slow(Reply<()>);

impl Message for Slow {
    fn codec() -> Option<&'static Codec<Self>> {
        Some(&Codec {
            decode: |_, _, port: Option<ReplyPort>| {
                Ok(Slow(Reply::through(port.unwrap(), |(), _| Ok(nothing()))))
            },
            encode: |Slow(reply)| {
                let reply = Some(reply.into_port(|_| Ok(())));
                Ok(EncodedMessage { method: "slow", payload: nothing(), reply })
            },
            methods: &[],
        })
    }
}

fn nothing() -> Payload {
    Payload { format: Format::Compact, bytes: Vec::new() }
}

fn slow_server(node: &Node) -> Address<Slow> {
    node.spawn(|mut cx: Cx<Slow>| async move {
        while let Mail::Msg(Slow(reply)) = cx.recv().await {
            tokio::time::sleep(WORK).await;
            reply.send(());
        }
    })
}

/// Computes, as far as the node can tell.
fn compute() {
    let start = Instant::now();
    while start.elapsed() < STALE {
        std::hint::black_box(start);
    }
}

// proves: CALL-03, TIME-01
#[test]
fn a_call_from_outside_to_a_node_that_slept_for_longer_than_its_timeout_is_answered() {
    let nodes: Vec<_> = (0..3).map(|_| Running::start(1)).collect();
    let servers: Vec<_> = nodes.iter().map(|node| slow_server(node)).collect();
    // All is done that wakes a node.
    std::thread::sleep(STALE);
    let by_thread = linden_core::block_on(servers[0].call(Slow).timeout(TIMEOUT));
    let server = servers[1].clone();
    let task = nodes[1].runtime().spawn(async move { server.call(Slow).timeout(TIMEOUT).await });
    let by_task = linden_core::block_on(task).unwrap();
    let at = Destination::Pid(servers[2].pid());
    let encoded = linden_core::block_on(nodes[2].call_encoded(&at, "slow", &nothing(), TIMEOUT));
    assert_eq!((by_thread, by_task, encoded), (Ok(()), Ok(()), Ok(nothing())));
}

// proves: CALL-03, TIME-01
#[test]
fn a_call_of_a_process_that_wakes_a_node_that_slept_for_longer_than_its_timeout_is_answered() {
    let node = Running::start(1);
    let server = slow_server(&node);
    let (tell, answer) = std::sync::mpsc::channel();
    let caller = node.spawn(move |mut cx: Cx<()>| async move {
        cx.recv().await;
        tell.send(server.call(Slow).timeout(TIMEOUT).await).unwrap();
    });
    std::thread::sleep(STALE);
    caller.send(()).unwrap();
    assert_eq!(answer.recv().unwrap(), Ok(()));
}

// proves: CALL-03, TIME-01
#[test]
fn a_call_of_a_process_that_computed_for_longer_than_its_timeout_is_answered() {
    let answer = on_node(1, |node| async move {
        let server = slow_server(&node);
        inside(&node, |_: Cx<()>| async move {
            compute();
            server.call(Slow).timeout(TIMEOUT).await
        })
        .await
    });
    assert_eq!(answer, Ok(()));
}

/// Computes, and then asks a server and waits for the message that its answer is.
async fn receive_late<F>(receive: impl FnOnce(Cx<u8>) -> F + Send + 'static) -> Option<Mail<u8>>
where
    F: Future<Output = Option<Mail<u8>>> + Send + 'static,
{
    let node = Running::start(1);
    let server = slow_server(&node);
    inside(&node, move |cx: Cx<u8>| async move {
        let own = cx.address();
        compute();
        cx.spawn(move |_: Cx<()>| async move {
            server.call(Slow).await.unwrap();
            own.send(7).unwrap();
        });
        receive(cx).await
    })
    .await
}

// proves: RCV-03, TIME-01
#[test]
fn a_receive_of_a_process_that_computed_for_longer_than_its_timeout_waits() {
    let received = receive_late(|mut cx| async move { cx.recv_timeout(TIMEOUT).await });
    assert_eq!(linden_core::block_on(received), Some(Mail::Msg(7)));
    let matched = receive_late(|mut cx| async move {
        cx.recv_match_timeout(TIMEOUT, |mail| matches!(mail, MailRef::Msg(7))).await
    });
    assert_eq!(linden_core::block_on(matched), Some(Mail::Msg(7)));
}

// proves: CALL-03, TIME-01
#[test]
fn a_long_timeout_that_begins_in_the_middle_of_a_computation_is_not_early() {
    let took = on_node(2, |node| async move {
        let server = node.spawn(|mut cx: Cx<Slow>| async move {
            let _kept = cx.recv().await;
            cx.recv().await;
        });
        inside(&node, |_: Cx<()>| async move {
            compute();
            let start = Instant::now();
            let call = server.call(Slow).timeout(TIMEOUT);
            assert_eq!(call.await, Err(CallError::Timeout));
            start.elapsed()
        })
        .await
    });
    assert!(took >= TIMEOUT, "{took:?}");
}
