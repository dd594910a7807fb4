//! What the core does around a transport and codecs of the user: their panics, timers for processes of other nodes, and
//! calls whose callers leave.
//!
//! The transport of this suite delivers at once, on the sender's thread.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use linden_core::{
    Address, CallError, Codec, CodecError, Cx, Destination, EncodedMessage, Format, Info, Mail,
    Message, Node, NodeId, NodeOptions, Packet, Payload, Reason, Reply, ReplyPort, Transport,
    reply_channel,
};
use puppet::Puppet;
use stage::{Journal, Running, at_rest, eventually, inside, on_node, quiet, watch};

#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/stage.rs"]
mod stage;

const TICK: Duration = Duration::from_millis(1);

/// Delivers to the one other node.
struct Direct(Node);

impl Transport for Direct {
    fn send(&self, to: NodeId, packet: Packet) -> Result<(), Packet> {
        if to != self.0.id() {
            return Err(packet);
        }
        self.0.deliver(packet);
        Ok(())
    }
}

/// Panics instead.
struct Broken;

impl Transport for Broken {
    fn send(&self, _: NodeId, _: Packet) -> Result<(), Packet> {
        panic!("the transport is broken");
    }
}

/// A node with one worker, whose loss is noticed.
fn node(name: &str) -> Running {
    Running::with_options(NodeOptions { name: format!("{name}@test"), workers: 1, ..quiet() })
}

/// Runs a scenario with two nodes that reach each other.
fn two<F: Future<Output = ()>>(scenario: impl FnOnce(Node, Node) -> F) {
    let (a, b) = (node("a"), node("b"));
    a.set_transport(Arc::new(Direct((*b).clone())));
    b.set_transport(Arc::new(Direct((*a).clone())));
    a.run(scenario((*a).clone(), (*b).clone()));
    a.stop();
    b.stop();
}

/// A request whose answer is kept until the server ends.
enum Ask {
    Note(u8),
    Keep(Reply<Answer>),
    Answer(Reply<Answer>),
    /// Its answer cannot be decoded.
    Unreadable(Reply<Answer>),
}

/// Says when it is dropped, and panics then if it is told to.
#[derive(Debug)]
struct Answer(Option<&'static str>);

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(text) = self.0 {
            panic!("{text}");
        }
    }
}

fn bytes(byte: u8) -> Payload {
    Payload { format: Format::Compact, bytes: vec![byte] }
}

impl Message for Ask {
    fn codec() -> Option<&'static Codec<Self>> {
        Some(&Codec { decode, encode, methods: &[] })
    }
}

fn decode(method: &str, payload: &Payload, port: Option<ReplyPort>) -> Result<Ask, CodecError> {
    let reply = port.map(|port| Reply::through(port, |_: &Answer, _| Ok(bytes(0))));
    Ok(match (method, reply) {
        ("keep", Some(reply)) => Ask::Keep(reply),
        ("answer", Some(reply)) => Ask::Answer(reply),
        _ => Ask::Note(payload.bytes[0]),
    })
}

fn encode(ask: Ask) -> Result<EncodedMessage, CodecError> {
    let explosive = |_: &Payload| Ok(Answer(Some("the answer is dropped")));
    let (method, byte, reply) = match ask {
        Ask::Note(byte) => ("note", byte, None),
        Ask::Keep(reply) => ("keep", 0, Some(reply.into_port(|_| Ok(Answer(None))))),
        Ask::Answer(reply) => ("answer", 0, Some(reply.into_port(explosive))),
        Ask::Unreadable(reply) => ("answer", 0, Some(reply.into_port(|_| panic!("unreadable")))),
    };
    Ok(EncodedMessage { method, payload: bytes(byte), reply })
}

async fn serve(mut cx: Cx<Ask>, notes: Journal<u8>) {
    let mut kept = Vec::new();
    loop {
        match cx.recv().await {
            Mail::Msg(Ask::Note(byte)) => notes.write(byte),
            Mail::Msg(Ask::Keep(reply)) => kept.push(reply),
            Mail::Msg(Ask::Answer(reply) | Ask::Unreadable(reply)) => {
                reply.send(Answer(None));
            }
            Mail::Info(_) => {}
        }
    }
}

/// A server on `at`, and what it is told.
fn server(at: &Node) -> (Address<Ask>, Journal<u8>) {
    let notes: Journal<u8> = Journal::new();
    let journal = notes.clone();
    (at.spawn(|cx| serve(cx, journal)), notes)
}

// ---- Panics of the user's code

// proves: EXIT-03, DIST-09
#[test]
fn a_transport_that_panics_is_no_connection() {
    let (a, b) = (node("a"), node("b"));
    a.set_transport(Arc::new(Broken));
    let pid = server(&b).0.pid();
    let address: Address<Ask> = a.remote_address(pid).unwrap();
    a.run(async {
        let puppet = Puppet::trapping(&a).await;
        puppet.run(move |cx| cx.link(pid)).await;
        let reference = puppet.run(move |cx| cx.monitor(pid)).await;
        let reason = Reason::NoConnection;
        assert_eq!(puppet.hear().await, Info::Exit { from: pid, reason: reason.clone() });
        assert_eq!(puppet.hear().await, Info::Down { reference, pid, reason: reason.clone() });
        let call = address.call(Ask::Keep).await.map(std::mem::forget);
        assert_eq!(call, Err(CallError::Exited(reason)));
        address.send(Ask::Note(1)).unwrap();
        assert_eq!(a.dead_letters().no_process, 1, "the cast is counted");
    });
}

// proves: EXIT-03
#[test]
fn a_transport_that_panics_while_a_process_ends_does_not_hurt_the_worker() {
    two(|a, b| async move {
        let (server, _) = server(&a);
        let pid = server.pid();
        let far = Puppet::spawn(&b);
        far.run(move |cx| {
            cx.monitor(pid);
            cx.link(pid);
        })
        .await;
        let from_far: Address<Ask> = b.remote_address(pid).unwrap();
        let mut kept = pin!(from_far.call(Ask::Keep).no_timeout());
        assert!((&mut kept).now_or_never().is_none());
        at_rest(&a, pid).await;
        // Links, monitors and a caller are to be told of this end; what the drop of its mail answers too.
        a.set_transport(Arc::new(Broken));
        let end = watch(&a, pid);
        a.exit(pid, Reason::Kill);
        assert_eq!(end.await, Reason::Killed);
        inside(&a, |_: Cx<()>| async {}).await;
    });
}

// proves: DIST-02, DIST-11
#[test]
fn an_answer_whose_decoding_panics_is_an_error_of_that_call() {
    two(|a, b| async move {
        let (server, notes) = server(&b);
        let address: Address<Ask> = a.remote_address(server.pid()).unwrap();
        let answer = address.call(Ask::Unreadable).await.map(std::mem::forget);
        let error = format!("{:?}", answer.unwrap_err());
        assert!(error.contains("unreadable"), "{error}");
        address.send(Ask::Note(1)).unwrap();
        eventually(|| notes.entries() == [1]).await;
    });
}

// proves: DIST-03, DIST-11
#[test]
fn a_late_answer_whose_drop_panics_hurts_nobody_and_is_counted() {
    two(|a, b| async move {
        let (server, notes) = server(&b);
        let address: Address<Ask> = a.remote_address(server.pid()).unwrap();
        // Passed on by hand, so that the node does not know that its caller leaves.
        let (reply, call) = reply_channel();
        drop(call);
        address.send(Ask::Answer(reply)).unwrap();
        eventually(|| a.dead_letters().late_replies == 1).await;
        address.send(Ask::Note(1)).unwrap();
        eventually(|| notes.entries() == [1]).await;
    });
}

// proves: CALL-05
#[test]
fn a_process_that_calls_itself_by_encoded_arguments_gets_an_error_and_nothing_is_sent() {
    on_node(1, |node| async move {
        inside(&node, |mut cx: Cx<Ask>| async move {
            cx.register("itself").unwrap();
            for to in [Destination::Pid(cx.pid()), Destination::Name("itself".to_owned())] {
                let answer = cx.node().call_encoded(&to, "keep", &bytes(0), 10 * TICK).await;
                assert_eq!(answer, Err(CallError::SelfCall));
            }
            assert!(cx.recv_timeout(Duration::ZERO).await.is_none(), "nothing was sent");
        })
        .await;
    });
}

// ---- Timers for processes of other nodes

// proves: TIME-09
#[test]
fn timers_reach_processes_of_other_nodes_by_whatever_address() {
    two(|a, b| async move {
        let (near, notes) = server(&b);
        b.register("server", near.pid()).unwrap();
        let by_pid: Address<Ask> = a.remote_address(near.pid()).unwrap();
        let by_name: Address<Ask> = a.remote_name(b.id(), "server").unwrap();
        inside(&a, |cx: Cx<()>| async move {
            // A node of the same OS process, without a transport in between.
            cx.send_after(&near, TICK, Ask::Note(1));
            cx.send_after(&by_pid, 20 * TICK, Ask::Note(2));
            cx.send_after(&by_name, 40 * TICK, Ask::Note(3));
        })
        .await;
        eventually(|| notes.entries() == [1, 2, 3]).await;
        assert_eq!((a.timer_count(), a.dead_letters().no_process), (0, 0));
    });
}

/// A message that can be sent again.
#[derive(Clone)]
struct Beat;

impl Message for Beat {
    fn codec() -> Option<&'static Codec<Self>> {
        Some(&Codec {
            decode: |_, _, _| Ok(Beat),
            encode: |Beat| Ok(EncodedMessage { method: "beat", payload: bytes(0), reply: None }),
            methods: &[],
        })
    }
}

// proves: TIME-09, TIME-05
#[test]
fn intervals_reach_other_nodes_and_end_when_the_receiver_is_known_to_be_dead() {
    two(|a, b| async move {
        let beats: Journal<()> = Journal::new();
        let heard = beats.clone();
        let receiver = b.spawn(move |mut cx: Cx<Beat>| async move {
            for _ in 0..6 {
                cx.recv().await;
                heard.write(());
            }
        });
        let far: Address<Beat> = a.remote_address(receiver.pid()).unwrap();
        let pid = receiver.pid();
        inside(&a, move |mut cx: Cx<()>| async move {
            cx.send_interval(&receiver, TICK, Beat);
            let across = cx.send_interval(&far, TICK, Beat);
            while beats.entries().len() < 6 {
                cx.recv_timeout(TICK).await;
            }
            assert!(cx.cancel(&across).is_some(), "a far receiver's death is not seen");
        })
        .await;
        b.wait_exit(pid).await;
        eventually(|| a.timer_count() == 0).await;
    });
}

// ---- Callers that leave

// proves: CALL-08, DIST-03
#[test]
fn a_call_to_another_node_that_timed_out_or_was_dropped_leaves_nothing_behind() {
    two(|a, b| async move {
        let (server, _) = server(&b);
        let address: Address<Ask> = a.remote_address(server.pid()).unwrap();
        let outside = address.call(Ask::Keep).timeout(TICK).await.map(std::mem::forget);
        assert_eq!(outside, Err(CallError::Timeout));
        assert_eq!(a.remote_call_count(), 0);
        inside(&a, move |cx: Cx<()>| async move {
            let node = cx.node();
            // Kept after its time is over.
            let mut timed_out = pin!(address.call(Ask::Keep).timeout(TICK));
            assert!((&mut timed_out).await.is_err());
            assert_eq!(node.remote_call_count(), 0);
            {
                let mut dropped = pin!(address.call(Ask::Keep));
                assert!((&mut dropped).now_or_never().is_none());
                assert_eq!(node.remote_call_count(), 1);
            }
            assert_eq!(node.remote_call_count(), 0);
        })
        .await;
        // The late answers are counted as before.
        b.exit(server.pid(), Reason::Kill);
        eventually(|| a.dead_letters().late_replies == 3).await;
    });
}
