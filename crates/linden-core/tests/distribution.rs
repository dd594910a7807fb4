//! Nodes that talk: calls, monitors, links and exits between nodes of one OS process, each packet encoded to bytes.
//!
//! The transport of this suite is one channel and one pump thread: it keeps the order, refuses where a test cut the
//! connection, and can be held, so that a test decides what is on its way.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;
use linden_core::{
    Address, AnswerError, Body, CallError, Codec, CodecError, Cx, Destination, EncodedMessage,
    ExitVia, Format, Info, Mail, Message, MethodInfo, MethodKind, Node, NodeId, NodeOptions,
    Packet, PanicInfo, Payload, Pid, Reason, Ref, Reply, ReplyPort, Simulation, TraceContext,
    Transport, current_trace, reply_channel, set_trace,
};
use puppet::{Puppet, obey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stage::{Journal, Running, at_rest, inside, quiet, reasons, watch};

#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/stage.rs"]
mod stage;

// ---- The wire

enum Parcel {
    Bytes(NodeId, Vec<u8>),
    /// Delivers nothing until the other end is dropped.
    Hold(Receiver<()>),
    /// Everything before was delivered.
    Mark(Sender<()>),
    End,
}

#[derive(Default)]
struct Map {
    nodes: Mutex<HashMap<NodeId, Node>>,
    /// Nodes that are out of reach.
    cut: Mutex<HashSet<NodeId>>,
}

struct Wire {
    map: Arc<Map>,
    pump: Sender<Parcel>,
}

impl Transport for Wire {
    fn send(&self, to: NodeId, packet: Packet) -> Result<(), Packet> {
        let is_known = self.map.nodes.lock().unwrap().contains_key(&to);
        if !is_known || self.map.cut.lock().unwrap().contains(&to) {
            return Err(packet);
        }
        let bytes = postcard::to_allocvec(&packet).unwrap();
        self.pump.send(Parcel::Bytes(to, bytes)).unwrap();
        Ok(())
    }
}

struct Network {
    map: Arc<Map>,
    pump: Sender<Parcel>,
    thread: Option<JoinHandle<()>>,
}

impl Network {
    fn of(nodes: &[&Running]) -> Self {
        let (pump, parcels) = mpsc::channel();
        let map = Arc::new(Map::default());
        let known = map.clone();
        let thread = std::thread::spawn(move || {
            loop {
                match parcels.recv().unwrap() {
                    Parcel::Bytes(to, bytes) => {
                        let node = known.nodes.lock().unwrap().get(&to).cloned().unwrap();
                        node.deliver(postcard::from_bytes(&bytes).unwrap());
                    }
                    Parcel::Hold(gate) => gate.recv().unwrap_or_default(),
                    Parcel::Mark(mark) => mark.send(()).unwrap(),
                    Parcel::End => return,
                }
            }
        });
        for node in nodes {
            map.nodes.lock().unwrap().insert(node.id(), (**node).clone());
            node.set_transport(Arc::new(Wire { map: map.clone(), pump: pump.clone() }));
        }
        Self { map, pump, thread: Some(thread) }
    }

    /// What is sent from now on stays on its way until the returned end is dropped.
    fn hold(&self) -> Sender<()> {
        let (gate, held) = mpsc::channel();
        self.pump.send(Parcel::Hold(held)).unwrap();
        gate
    }

    /// Waits until everything sent so far is delivered.
    fn flush(&self) {
        let (mark, seen) = mpsc::channel();
        self.pump.send(Parcel::Mark(mark)).unwrap();
        seen.recv().unwrap();
    }

    /// Takes the connection to `node` away: packets to it are refused.
    fn cut(&self, node: NodeId) {
        self.map.cut.lock().unwrap().insert(node);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.pump.send(Parcel::End);
        let pumped = self.thread.take().unwrap().join();
        self.map.nodes.lock().unwrap().clear();
        assert!(pumped.is_ok() || std::thread::panicking(), "the pump panicked");
    }
}

fn node(name: &str) -> Running {
    Running::with_options(NodeOptions { name: format!("{name}@test"), workers: 2, ..quiet() })
}

/// Runs a scenario with two connected nodes.
fn two<F: Future<Output = ()>>(scenario: impl FnOnce(Node, Node, Arc<Network>) -> F) {
    let (a, b) = (node("a"), node("b"));
    let network = Arc::new(Network::of(&[&a, &b]));
    a.run(scenario(a.clone(), b.clone(), network.clone()));
}

// ---- A server with a codec written by hand

enum Ask {
    Add(u64),
    Total(Reply<u64>),
    /// Answers with the flags of the trace that it is asked in.
    Trace(Reply<u64>),
    Keep(Reply<u64>),
    Release(u64),
    /// Drops the place for the answer and lives on.
    Forget(Reply<u64>),
    Crash(Reply<u64>),
    /// Is encoded as a method that no server has.
    Unknown(Reply<u64>),
    /// Is encoded with arguments that fit no method.
    Misfit(Reply<u64>),
    /// Cannot be encoded.
    Mute,
}

impl Message for Ask {
    fn codec() -> Option<&'static Codec<Self>> {
        Some(&Codec { decode, encode, methods: &METHODS })
    }
}

const METHODS: [MethodInfo; 7] = [
    MethodInfo { name: "add", kind: MethodKind::Cast, arguments: &["number"] },
    MethodInfo { name: "release", kind: MethodKind::Cast, arguments: &["number"] },
    MethodInfo { name: "total", kind: MethodKind::Call, arguments: &[] },
    MethodInfo { name: "trace", kind: MethodKind::Call, arguments: &[] },
    MethodInfo { name: "keep", kind: MethodKind::Call, arguments: &[] },
    MethodInfo { name: "forget", kind: MethodKind::Call, arguments: &[] },
    MethodInfo { name: "crash", kind: MethodKind::Call, arguments: &[] },
];

fn pack<T: Serialize>(value: &T) -> Payload {
    Payload { format: Format::Compact, bytes: postcard::to_allocvec(value).unwrap() }
}

fn unpack<T: DeserializeOwned>(payload: &Payload) -> Result<T, CodecError> {
    postcard::from_bytes(&payload.bytes).map_err(|error| CodecError::Arguments(error.to_string()))
}

fn decode(method: &str, payload: &Payload, port: Option<ReplyPort>) -> Result<Ask, CodecError> {
    let reply = port.map(|port| Reply::through(port, |total: &u64, _| Ok(pack(total))));
    match (method, reply) {
        ("add", None) => Ok(Ask::Add(unpack(payload)?)),
        ("release", None) => Ok(Ask::Release(unpack(payload)?)),
        ("total", Some(reply)) if payload.bytes.is_empty() => Ok(Ask::Total(reply)),
        ("total", Some(_)) => Err(CodecError::Arguments("total takes none".to_owned())),
        ("trace", Some(reply)) => Ok(Ask::Trace(reply)),
        ("keep", Some(reply)) => Ok(Ask::Keep(reply)),
        ("forget", Some(reply)) => Ok(Ask::Forget(reply)),
        ("crash", Some(reply)) => Ok(Ask::Crash(reply)),
        _ if METHODS.iter().any(|known| known.name == method) => {
            Err(CodecError::WrongKind(format!("{method} is of the other kind")))
        }
        _ => Err(CodecError::UnknownMethod {
            method: method.to_owned(),
            known: METHODS.iter().map(|known| known.name).collect(),
        }),
    }
}

fn encode(ask: Ask) -> Result<EncodedMessage, CodecError> {
    let cast = |method, number| EncodedMessage { method, payload: pack(&number), reply: None };
    let call = |method, reply: Reply<u64>| EncodedMessage {
        method,
        payload: pack(&()),
        reply: Some(reply.into_port(unpack)),
    };
    Ok(match ask {
        Ask::Add(number) => cast("add", number),
        Ask::Release(number) => cast("release", number),
        Ask::Total(reply) => call("total", reply),
        Ask::Trace(reply) => call("trace", reply),
        Ask::Keep(reply) => call("keep", reply),
        Ask::Forget(reply) => call("forget", reply),
        Ask::Crash(reply) => call("crash", reply),
        Ask::Unknown(reply) => call("unheard_of", reply),
        Ask::Misfit(reply) => EncodedMessage { payload: pack(&7_u64), ..call("total", reply) },
        Ask::Mute => return Err(CodecError::Arguments("mute".to_owned())),
    })
}

async fn serve(mut cx: Cx<Ask>) {
    let (mut total, mut kept) = (0, Vec::new());
    loop {
        match cx.recv().await {
            Mail::Msg(Ask::Add(number)) => total += number,
            Mail::Msg(Ask::Total(reply)) => drop(reply.send(total)),
            Mail::Msg(Ask::Trace(reply)) => {
                let flags = current_trace().map_or(u64::MAX, |trace| trace.flags.into());
                reply.send(flags);
            }
            Mail::Msg(Ask::Keep(reply)) => kept.push(reply),
            Mail::Msg(Ask::Release(number)) => kept.drain(..).for_each(|reply| {
                reply.send(number);
            }),
            Mail::Msg(Ask::Forget(reply)) => drop(reply),
            Mail::Msg(Ask::Crash(_reply)) => panic!("the handler crashed"),
            other => drop(other),
        }
    }
}

/// A server on `at`, and its address for `from`.
fn server(at: &Node, from: &Node) -> (Pid, Address<Ask>) {
    let pid = at.spawn(serve).pid();
    (pid, from.remote_address(pid).unwrap())
}

fn down_of(info: Info) -> (Ref, Pid, Reason) {
    let Info::Down { reference, pid, reason } = info else { panic!("a down, not {info:?}") };
    (reference, pid, reason)
}

fn exit_of(info: Info) -> (Pid, Reason) {
    let Info::Exit { from, reason } = info else { panic!("an exit, not {info:?}") };
    (from, reason)
}

// ---- Messages and calls

// proves: TRACE-01
#[test]
fn a_trace_crosses_to_another_node() {
    two(|a, b, _network| async move {
        let (_, server) = server(&b, &a);
        let (reply, heard) = reply_channel();
        a.spawn(async move |_: Cx<()>| {
            let without = server.call(Ask::Trace).await.unwrap();
            set_trace(Some(TraceContext { flags: 1, ..TraceContext::begin([1; 16], [2; 8]) }));
            reply.send([without, server.call(Ask::Trace).await.unwrap()]);
        });
        assert_eq!(heard.await, Ok([u64::MAX, 1]));
    });
}

// proves: DIST-01
#[test]
fn casts_and_calls_reach_a_server_of_another_node_by_pid_and_by_name() {
    two(|a, b, _network| async move {
        let (pid, by_pid) = server(&b, &a);
        b.register("counter", pid).unwrap();
        let by_name: Address<Ask> = a.remote_name(b.id(), "counter").unwrap();
        assert_eq!((by_pid.try_pid(), by_name.try_pid()), (Some(pid), None));
        by_pid.send(Ask::Add(2)).unwrap();
        by_name.send(Ask::Add(3)).unwrap();
        // From outside of processes, and from a process.
        assert_eq!(by_pid.call(Ask::Total).await, Ok(5));
        let total = inside(&a, |_: Cx<()>| async move { by_name.call(Ask::Total).await }).await;
        assert_eq!(total, Ok(5));
    });
}

// proves: DIST-02
#[test]
fn a_call_to_nobody_of_another_node_is_noproc() {
    two(|a, b, _network| async move {
        let (pid, dead) = server(&b, &a);
        b.exit(pid, Reason::Kill);
        b.wait_exit(pid).await;
        let nobody: Address<Ask> = a.remote_name(b.id(), "nobody").unwrap();
        assert_eq!(dead.call(Ask::Total).await, Err(CallError::NoProc));
        assert_eq!(nobody.call(Ask::Total).await, Err(CallError::NoProc));
    });
}

// proves: DIST-02
#[test]
fn a_remote_caller_hears_why_the_server_ended_or_that_it_dropped_the_reply() {
    two(|a, b, _network| async move {
        let (_, forgetful) = server(&b, &a);
        let Err(CallError::Exited(Reason::Custom(note))) = forgetful.call(Ask::Forget).await else {
            panic!("the reply was dropped");
        };
        assert!(note.contains("dropped"), "{note}");
        assert_eq!(forgetful.call(Ask::Total).await, Ok(0), "it lives on");

        let crashed = forgetful.call(Ask::Crash).await;
        let Err(CallError::Exited(Reason::Panic(info))) = crashed else {
            panic!("the caller hears of the panic, not {crashed:?}");
        };
        assert_eq!(info.message, "the handler crashed");
        assert!(info.location.contains("distribution.rs"), "{}", info.location);
        assert_eq!(forgetful.call(Ask::Total).await, Err(CallError::NoProc));

        // A reply that the server keeps goes with its state.
        let (pid, keeper) = server(&b, &a);
        let mut kept = pin!(keeper.call(Ask::Keep).no_timeout());
        assert_eq!((&mut kept).now_or_never(), None);
        assert_eq!(keeper.call(Ask::Total).await, Ok(0), "it read the request");
        b.exit(pid, Reason::custom("disk full"));
        assert_eq!(kept.await, Err(CallError::Exited(Reason::custom("disk full"))));
    });
}

// proves: DIST-02
#[test]
fn a_request_that_the_server_cannot_read_is_refused_and_says_why() {
    two(|a, b, _network| async move {
        let (pid, server) = server(&b, &a);
        for (answer, part) in [
            (server.call(Ask::Unknown).await, "no method unheard_of; there is add"),
            (server.call(Ask::Misfit).await, "do not fit: total takes none"),
            // The process reads messages that have no codec.
            (
                a.remote_address(Puppet::spawn(&b).pid()).unwrap().call(Ask::Total).await,
                "has no codec",
            ),
            (server.call(|_: Reply<u64>| Ask::Mute).await, "mute"),
        ] {
            let error = format!("{:?}", answer.unwrap_err());
            assert!(error.contains(part), "{error}");
        }
        // Here: a message type without a codec has no remote address.
        let refused = a.remote_address::<()>(pid).map(drop);
        assert_eq!(refused, Err(CodecError::NoCodec("()")));
        assert!(matches!(a.remote_name::<()>(b.id(), "x"), Err(CodecError::NoCodec("()"))));
        // A cast that cannot be encoded is counted where it was sent.
        let before = a.dead_letters().no_process;
        server.send(Ask::Mute).unwrap();
        assert_eq!(a.dead_letters().no_process, before + 1);
        assert_eq!(server.call(Ask::Total).await, Ok(0), "the server lives on");
    });
}

// proves: DIST-03
#[test]
fn an_answer_whose_caller_left_or_died_is_dropped_and_counted_where_the_caller_was() {
    two(|a, b, network| async move {
        let (_, server) = server(&b, &a);
        let timed_out = server.call(Ask::Keep).timeout(Duration::from_millis(1)).await;
        assert_eq!(timed_out, Err(CallError::Timeout));

        let (asked, has_asked) = reply_channel();
        let keeper = server.clone();
        let caller = a.spawn(move |_: Cx<()>| async move {
            let mut call = pin!(keeper.call(Ask::Keep).no_timeout());
            assert_eq!((&mut call).now_or_never(), None);
            asked.send(());
            drop(call.await);
        });
        has_asked.await.unwrap();
        let end = watch(&a, caller.pid());
        a.exit(caller.pid(), Reason::Kill);
        assert_eq!(end.await, Reason::Killed);

        server.send(Ask::Release(7)).unwrap();
        assert_eq!(server.call(Ask::Total).await, Ok(0), "the server gets on");
        network.flush();
        assert_eq!(a.dead_letters().late_replies, 2);
        // An answer of no call at all.
        let reference = Puppet::spawn(&a).run(|cx| cx.monitor(cx.pid())).await;
        a.deliver(Packet { to: None, body: Body::Answer { reference, answer: Ok(pack(&1_u64)) } });
        assert_eq!(a.dead_letters().late_replies, 3);
    });
}

// ---- Monitors and links

// proves: DIST-04
#[test]
fn a_monitor_across_nodes_hears_each_reason_once_and_noproc_of_the_dead() {
    two(|a, b, network| async move {
        let watcher = Puppet::spawn(&a);
        for reason in reasons() {
            let watched = Puppet::spawn(&b);
            let pid = watched.pid();
            let monitor = watcher.run(move |cx| cx.monitor(pid)).await;
            network.flush();
            watched.end(reason.clone());
            assert_eq!(down_of(watcher.hear().await), (monitor, pid, reason));
            let late = watcher.run(move |cx| cx.monitor(pid)).await;
            assert_eq!(down_of(watcher.hear().await), (late, pid, Reason::NoProc));
        }
        // A monitor that was taken down hears nothing.
        let watched = Puppet::spawn(&b);
        let pid = watched.pid();
        let held = network.hold();
        watcher
            .run(move |cx| {
                let monitor = cx.monitor(pid);
                cx.demonitor(monitor, linden_core::Flush::Yes);
            })
            .await;
        drop(held);
        network.flush();
        let end = watch(&b, pid);
        watched.end(Reason::Normal);
        end.await;
        network.flush();
        assert_eq!(watcher.heard().await, []);
    });
}

// proves: DIST-05
#[test]
fn a_link_across_nodes_tells_either_end_of_the_others_end() {
    two(|a, b, network| async move {
        // Both directions, trapping and not.
        for (from, to) in [(&a, &b), (&b, &a)] {
            let left = Puppet::trapping(from).await;
            let right = Puppet::trapping(to).await;
            let pid = right.pid();
            left.run(move |cx| cx.link(pid)).await;
            network.flush();
            assert_eq!((left.links().await, right.links().await), (vec![pid], vec![left.pid()]));
            left.end(Reason::custom("disk full"));
            assert_eq!(exit_of(right.hear().await), (left.pid(), Reason::custom("disk full")));
            assert_eq!(right.links().await, []);

            let mortal = Puppet::spawn(to);
            let end = watch(to, mortal.pid());
            let pid = mortal.pid();
            let linker = Puppet::spawn(from);
            linker.run(move |cx| cx.link(pid)).await;
            linker.end(Reason::custom("oh no"));
            assert_eq!(end.await, Reason::custom("oh no"));

            // A link with the dead.
            let trapping = Puppet::trapping(from).await;
            trapping.run(move |cx| cx.link(pid)).await;
            assert_eq!(exit_of(trapping.hear().await), (pid, Reason::NoProc));
        }
    });
}

// proves: DIST-05
#[test]
fn an_unlink_across_nodes_silences_an_exit_that_is_on_its_way() {
    two(|a, b, network| async move {
        let left = Puppet::trapping(&a).await;
        let right = Puppet::spawn(&b);
        let pid = right.pid();
        left.run(move |cx| cx.link(pid)).await;
        network.flush();
        let held = network.hold();
        let end = watch(&b, pid);
        right.end(Reason::custom("unheard"));
        end.await;
        // The exit is on its way, and crosses the unlink.
        left.run(move |cx| cx.unlink(pid)).await;
        drop(held);
        network.flush();
        network.flush();
        assert_eq!((left.heard().await, left.links().await), (vec![], vec![]));
        // Linked again after an unlink that was acknowledged, it is heard again.
        let right = Puppet::spawn(&b);
        let pid = right.pid();
        left.run(move |cx| {
            cx.link(pid);
            cx.unlink(pid);
        })
        .await;
        network.flush();
        assert_eq!(right.links().await, []);
        network.flush();
        left.run(move |cx| cx.link(pid)).await;
        network.flush();
        right.end(Reason::Shutdown);
        assert_eq!(exit_of(left.hear().await), (pid, Reason::Shutdown));
    });
}

// proves: DIST-06
#[test]
fn exit_signals_and_kill_cross_nodes() {
    two(|a, b, _network| async move {
        let sender = Puppet::spawn(&a);
        let trapping = Puppet::trapping(&b).await;
        let pid = trapping.pid();
        sender.run(move |cx| cx.exit(pid, Reason::custom("hint"))).await;
        assert_eq!(exit_of(trapping.hear().await), (sender.pid(), Reason::custom("hint")));
        let monitor = sender.run(move |cx| cx.monitor(pid)).await;
        sender.run(move |cx| cx.exit(pid, Reason::Kill)).await;
        assert_eq!(down_of(sender.hear().await), (monitor, pid, Reason::Killed));
        // Code outside of processes can do it too.
        let mortal = Puppet::spawn(&b);
        let end = watch(&b, mortal.pid());
        a.exit(mortal.pid(), Reason::Shutdown);
        assert_eq!(end.await, Reason::Shutdown);
    });
}

// proves: DIST-07
#[test]
fn messages_exits_and_the_down_of_one_process_arrive_in_the_order_sent() {
    const ROUNDS: u64 = 200;
    two(|a, b, _network| async move {
        let journal = Journal::new();
        let seen = journal.clone();
        let sender = Puppet::spawn(&a);
        let watched = sender.pid();
        let receiver = b.spawn(move |mut cx: Cx<Ask>| async move {
            cx.trap_exit(true);
            cx.monitor(watched);
            loop {
                match cx.recv().await {
                    Mail::Msg(Ask::Add(number)) => seen.write(number),
                    Mail::Info(Info::Exit { reason: Reason::Custom(text), .. }) => {
                        seen.write(text.parse().unwrap());
                    }
                    Mail::Info(Info::Down { .. }) => return,
                    _ => {}
                }
            }
        });
        let pid = receiver.pid();
        let end = watch(&b, pid);
        let at: Address<Ask> = a.remote_address(pid).unwrap();
        // It traps exits and monitors by now.
        at_rest(&b, pid).await;
        sender
            .run(move |cx| {
                for round in 0..ROUNDS {
                    if round % 3 == 0 {
                        cx.exit(pid, Reason::custom(round.to_string()));
                    } else {
                        at.send(Ask::Add(round)).unwrap();
                    }
                }
            })
            .await;
        sender.end(Reason::Normal);
        assert_eq!(end.await, Reason::Normal);
        assert_eq!(journal.entries(), (0..ROUNDS).collect::<Vec<_>>());
    });
}

// ---- Lost connections and earlier incarnations

// proves: DIST-08
#[test]
fn a_lost_connection_is_heard_by_links_monitors_and_calls_to_that_node_alone() {
    let (a, b, c) = (node("a"), node("b"), node("c"));
    let network = Network::of(&[&a, &b, &c]);
    a.run(async {
        let here = Puppet::trapping(&a).await;
        let (on_b, on_c) = (Puppet::trapping(&b).await, Puppet::trapping(&c).await);
        let (b_pid, c_pid) = (on_b.pid(), on_c.pid());
        let monitors = here
            .run(move |cx| {
                cx.link(b_pid);
                cx.link(c_pid);
                (cx.monitor(b_pid), cx.monitor(c_pid))
            })
            .await;
        let mortal = Puppet::spawn(&a);
        let mortal_end = watch(&a, mortal.pid());
        mortal.run(move |cx| cx.link(b_pid)).await;
        let (_, server) = server(&b, &a);
        let asked = inside(&a, |_: Cx<()>| {
            let network = &network;
            let (a, lost) = (a.clone(), b.id());
            network.flush();
            async move {
                let mut call = pin!(server.call(Ask::Keep).no_timeout());
                assert_eq!((&mut call).now_or_never(), None);
                a.node_down(lost);
                call.await
            }
        })
        .await;
        assert_eq!(asked, Err(CallError::Exited(Reason::NoConnection)));
        assert_eq!(mortal_end.await, Reason::NoConnection);
        assert_eq!(exit_of(here.hear().await), (b_pid, Reason::NoConnection));
        assert_eq!(down_of(here.hear().await), (monitors.0, b_pid, Reason::NoConnection));
        // What B says later of the lost bonds is not heard; C is still there.
        on_b.end(Reason::custom("unheard"));
        b.wait_exit(b_pid).await;
        network.flush();
        on_c.end(Reason::Shutdown);
        assert_eq!(exit_of(here.hear().await), (c_pid, Reason::Shutdown));
        assert_eq!(down_of(here.hear().await), (monitors.1, c_pid, Reason::Shutdown));
        assert_eq!(here.heard().await, []);
    });
}

// proves: DIST-08
#[test]
fn a_link_that_came_just_before_the_connection_was_lost_exits_with_it() {
    let remote = NodeId::new("lost@test", 7);
    stage::check(stage::SEEDS, |node| async move {
        // A pid of the other node, as data.
        let from = Pid::outside(node.id()).local().on(remote);
        let puppet = Puppet::trapping(&node).await;
        let to = Some(Destination::Pid(puppet.pid()));
        node.deliver(Packet { to, body: Body::Link { from } });
        node.node_down(remote);
        assert_eq!(exit_of(puppet.hear().await), (from, Reason::NoConnection));
        assert_eq!(puppet.links().await, []);
    });
}

// proves: DIST-09
#[test]
fn without_a_connection_links_monitors_and_calls_end_at_once() {
    let (a, b) = (node("a"), node("b"));
    let network = Network::of(&[&a, &b]);
    network.cut(b.id());
    // No transport at all, and one that refuses.
    let lonely = node("lonely");
    for from in [&lonely, &a] {
        from.run(async {
            let puppet = Puppet::trapping(from).await;
            let (pid, server) = server(&b, from);
            let monitor = puppet
                .run(move |cx| {
                    cx.link(pid);
                    cx.monitor(pid)
                })
                .await;
            assert_eq!(exit_of(puppet.hear().await), (pid, Reason::NoConnection));
            assert_eq!(down_of(puppet.hear().await), (monitor, pid, Reason::NoConnection));
            let lost = Err(CallError::Exited(Reason::NoConnection));
            assert_eq!(server.call(Ask::Total).await, lost);
            let call = inside(from, |_: Cx<()>| async move {
                server.send(Ask::Add(1)).unwrap();
                server.call(Ask::Total).await
            });
            assert_eq!(call.await, lost);
            assert_eq!(from.dead_letters().no_process, 1, "the cast is counted");
            assert_eq!(from.wait_exit(pid).await, Reason::NoConnection);
            assert_eq!(puppet.links().await, []);
            assert!(b.is_alive(pid), "which says nothing of the process");
        });
    }
}

// proves: DIST-10
#[test]
fn a_pid_of_an_earlier_incarnation_of_a_node_is_dead() {
    let a = node("a");
    let incarnation = |creation| {
        let name = "b@test".to_owned();
        Running::with_options(NodeOptions { name, creation: Some(creation), workers: 2, ..quiet() })
    };
    let first = incarnation(8);
    let network = Network::of(&[&a, &first]);
    let (pid, address) = server(&first, &a);
    first.stop();
    let second = incarnation(9);
    assert_ne!(first.id(), second.id());
    let twin = Puppet::spawn(&second);
    assert_eq!(pid.local(), twin.pid().local(), "the same place in the table");
    // What is for the first reaches the second, as after a restart behind the same socket.
    network.map.nodes.lock().unwrap().insert(first.id(), (*second).clone());
    network.map.nodes.lock().unwrap().insert(second.id(), (*second).clone());
    let pump = network.pump.clone();
    second.set_transport(Arc::new(Wire { map: network.map.clone(), pump }));
    a.run(async {
        assert_eq!(address.call(Ask::Total).await, Err(CallError::NoProc));
        let puppet = Puppet::trapping(&a).await;
        let monitor = puppet
            .run(move |cx| {
                cx.link(pid);
                cx.exit(pid, Reason::Kill);
                cx.monitor(pid)
            })
            .await;
        assert_eq!(exit_of(puppet.hear().await), (pid, Reason::NoProc));
        assert_eq!(down_of(puppet.hear().await), (monitor, pid, Reason::NoProc));
    });
    assert!(second.is_alive(twin.pid()) && !second.is_alive(pid));
}

// ---- Data

// proves: DIST-11
#[test]
fn pids_references_reasons_and_packets_survive_the_wire() {
    let mut simulation = Simulation::new(1);
    let node = simulation.node().clone();
    let (from, reference) = simulation.run(async {
        let puppet = Puppet(node.spawn(obey));
        (puppet.pid(), puppet.run(|cx| cx.monitor(cx.pid())).await)
    });
    let panic = PanicInfo { message: "no".to_owned(), location: "a.rs:1:2".to_owned() };
    let mut reasons = reasons();
    reasons.extend([Reason::Kill, Reason::Panic(Arc::new(panic))]);
    let id = u64::MAX;
    let mut bodies = vec![
        Body::Link { from },
        Body::Unlink { from, id },
        Body::UnlinkAck { from, id },
        Body::Monitor { reference, watcher: from },
        Body::Demonitor { reference },
        Body::Message {
            method: "add".to_owned(),
            payload: pack(&1_u64),
            reply: Some(reference),
            trace: Some(Box::new(TraceContext::begin([1; 16], [2; 8]))),
        },
        Body::Message {
            method: String::new(),
            payload: Payload { format: Format::Json, bytes: b"[1]".to_vec() },
            reply: None,
            trace: None,
        },
        Body::Answer { reference, answer: Ok(pack(&"done")) },
        Body::Answer { reference, answer: Err(AnswerError::NoProc) },
        Body::Answer { reference, answer: Err(AnswerError::Refused("why".to_owned())) },
    ];
    for reason in reasons {
        let via = ExitVia::Link;
        bodies.push(Body::Answer { reference, answer: Err(AnswerError::Exited(reason.clone())) });
        bodies.push(Body::Exit { from, reason: reason.clone(), via });
        bodies.push(Body::Exit { from, reason: reason.clone(), via: ExitVia::Direct });
        bodies.push(Body::Down { reference, pid: from, reason });
    }
    let name = Destination::Name("counter".to_owned());
    for to in [None, Some(Destination::Pid(from)), Some(name)] {
        for body in &bodies {
            let packet = Packet { to: to.clone(), body: body.clone() };
            let bytes = postcard::to_allocvec(&packet).unwrap();
            assert_eq!(postcard::from_bytes::<Packet>(&bytes).unwrap(), packet);
            // Whatever arrives, wherever it is said to go: nothing panics.
            node.deliver(packet);
        }
    }
}
