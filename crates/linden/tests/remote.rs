//! Servers that are called by method name with encoded arguments, here and on another node.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use linden::prelude::*;
use linden::{CallError, Cx, Info, Mail, NodeId};
use linden_core::{
    CodecError, Destination, Format, MethodInfo, MethodKind, Packet, Payload, Transport,
};
use serde::{Deserialize, Serialize};
use stage::{Running, SEEDS, begun, check, inside, on_node};

#[path = "support/stage.rs"]
mod stage;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
struct UserId(u32);

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Receipt {
    user: UserId,
    cents: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum PaymentError {
    TooMuch { most: u64 },
}

#[derive(Default, Debug)]
struct Billing {
    ledger: HashMap<UserId, u64>,
    notes: Vec<String>,
    waiting: Vec<Reply<String>>,
}

#[gen_server(name = "billing", remote)]
impl Billing {
    #[call]
    async fn pay(&mut self, user: UserId, cents: u64) -> Result<Receipt, PaymentError> {
        if cents > 100 {
            return Err(PaymentError::TooMuch { most: 100 });
        }
        let booked = self.ledger.entry(user).or_default();
        *booked += cents;
        Ok(Receipt { user, cents: *booked })
    }

    #[call]
    fn total(&self) -> u64 {
        self.ledger.values().sum()
    }

    #[call]
    fn next_note(&mut self, reply: Reply<String>) {
        self.waiting.push(reply);
    }

    #[cast]
    fn note(&mut self, line: String) {
        for reply in self.waiting.drain(..) {
            reply.send(line.clone());
        }
        self.notes.push(line);
    }

    #[call]
    fn crash(&mut self) -> u32 {
        panic!("crashed");
    }
}

fn named() -> Destination {
    Destination::Name("billing".to_owned())
}

fn json(text: &str) -> Payload {
    Payload { format: Format::Json, bytes: text.as_bytes().to_vec() }
}

fn compact<T: Serialize>(arguments: &T) -> Payload {
    let bytes = postcard::to_stdvec(arguments).expect("plain data");
    Payload { format: Format::Compact, bytes }
}

/// Calls by name with JSON; the answer as text.
async fn call(node: &Node, method: &str, arguments: &str) -> Result<String, CallError> {
    let answer = node.call_encoded(&named(), method, &json(arguments), 5.secs()).await?;
    assert_eq!(answer.format, Format::Json);
    Ok(String::from_utf8(answer.bytes).expect("JSON is text"))
}

/// Why a call by name is refused.
async fn refused(node: &Node, method: &str, arguments: &str) -> String {
    match call(node, method, arguments).await {
        Err(CallError::Codec(error)) => error.to_string(),
        other => panic!("{method}({arguments}) is refused, not {other:?}"),
    }
}

// ---- By name on one node

// proves: SRV-18
#[test]
fn a_method_is_called_by_name_with_json_as_an_array_or_an_object() {
    check(SEEDS, |node| async move {
        Billing::start(Billing::default).await.expect("it starts");
        let array = call(&node, "pay", "[7, 50]").await;
        assert_eq!(array.as_deref(), Ok(r#"{"Ok":{"user":7,"cents":50}}"#));
        let object = call(&node, "pay", r#"{"cents": 1, "user": 7}"#).await;
        assert_eq!(object.as_deref(), Ok(r#"{"Ok":{"user":7,"cents":51}}"#));
        let err = call(&node, "pay", "[7, 101]").await;
        assert_eq!(err.as_deref(), Ok(r#"{"Err":{"TooMuch":{"most":100}}}"#), "an Err is data");
        for none in ["", "[]", "{}"] {
            assert_eq!(call(&node, "total", none).await.as_deref(), Ok("51"));
        }
        node.cast_encoded(&named(), "note", &json(r#"["hello"]"#)).expect("it is delivered");
        assert_eq!(Billing::named().total().await, Ok(51), "the typed client sees the same server");
    });
}

// proves: SRV-18
#[test]
fn a_method_is_called_by_name_with_compact_arguments() {
    check(SEEDS, |node| async move {
        let billing = Billing::start(Billing::default).await.expect("it starts");
        let pid = Destination::Pid(billing.pid().expect("it lives"));
        let arguments = compact(&(UserId(1), 5_u64));
        let answer = node.call_encoded(&pid, "pay", &arguments, 5.secs()).await.expect("answered");
        assert_eq!(answer.format, Format::Compact);
        let receipt: Result<Receipt, PaymentError> =
            postcard::from_bytes(&answer.bytes).expect("its own type");
        assert_eq!(receipt, Ok(Receipt { user: UserId(1), cents: 5 }));
    });
}

// proves: SRV-18
#[test]
fn a_deferred_answer_is_encoded_too() {
    check(SEEDS, |node| async move {
        Billing::start(Billing::default).await.expect("it starts");
        let waits = begun(Box::pin(call(&node, "next_note", "")));
        Billing::named().note("later".to_owned());
        assert_eq!(waits.await.as_deref(), Ok(r#""later""#));
    });
}

// proves: SRV-18
#[test]
fn what_does_not_fit_is_refused_with_the_names_and_nothing_is_delivered() {
    check(0..4, |node| async move {
        Billing::start(Billing::default).await.expect("it starts");
        let unfit = |detail: &str| format!("the arguments or the answer do not fit: {detail}");
        let cases = [
            (
                "pya",
                "[7, 50]",
                "no method pya; there is pay, total, next_note, note, crash".to_owned(),
            ),
            ("pay", "[7]", unfit("1 arguments were given, 2 are taken: user, cents")),
            ("pay", "[7, 1, 1]", unfit("3 arguments were given, 2 are taken: user, cents")),
            ("pay", r#"{"user": 7}"#, unfit("the argument cents is missing")),
            (
                "pay",
                r#"{"user": 7, "cents": 1, "tip": 1}"#,
                unfit("there is no argument tip; there is user, cents"),
            ),
            ("pay", r#"[7, "much"]"#, unfit("invalid type: string \"much\", expected u64")),
            ("pay", "7", unfit("the arguments are an array, or an object by argument name")),
            ("total", "[1]", unfit("1 arguments were given, 0 are taken: ")),
            ("note", r#"["x"]"#, "a cast was sent as a call: it has no answer".to_owned()),
        ];
        for (method, arguments, expected) in cases {
            assert_eq!(refused(&node, method, arguments).await, expected);
        }
        assert!(refused(&node, "pay", "[7,").await.contains("EOF while parsing"));
        let call_as_cast = node.cast_encoded(&named(), "pay", &json("[7, 1]"));
        let Err(CallError::Codec(CodecError::WrongKind(detail))) = call_as_cast else {
            panic!("it is refused, not {call_as_cast:?}")
        };
        assert_eq!(detail, "a call was sent without a place for its answer");
        let torn = Payload { bytes: vec![0xff], ..compact(&()) };
        let torn = node.call_encoded(&named(), "pay", &torn, 5.secs()).await;
        assert!(matches!(torn, Err(CallError::Codec(CodecError::Arguments(_)))), "{torn:?}");
        assert_eq!(Billing::named().total().await, Ok(0), "nothing was delivered");
    });
}

// proves: SRV-18
#[test]
fn a_call_by_name_fails_as_a_typed_one_does() {
    check(SEEDS, |node| async move {
        assert_eq!(call(&node, "total", "").await, Err(CallError::NoProc));
        Billing::start(Billing::default).await.expect("it starts");
        let waits = node.call_encoded(&named(), "next_note", &json(""), 50.ms()).await;
        assert_eq!(waits, Err(CallError::Timeout));
        let crashed = call(&node, "crash", "").await;
        let Err(CallError::Exited(Reason::Panic(info))) = crashed else {
            panic!("the crash is heard, not {crashed:?}")
        };
        assert_eq!(info.message, "crashed");
    });
}

// proves: SRV-18
#[test]
fn a_server_without_a_codec_is_no_server_to_the_wire() {
    struct Local;
    #[gen_server(name = "local")]
    impl Local {
        #[call]
        fn get(&self) -> u32 {
            1
        }
    }
    check(0..2, |node| async move {
        Local::start(|| Local).await.expect("it starts");
        let to = Destination::Name("local".to_owned());
        assert_eq!(node.methods(&to), []);
        let refused = node.call_encoded(&to, "get", &json(""), 5.secs()).await;
        let Err(CallError::Codec(error @ CodecError::NoCodec(_))) = refused else {
            panic!("it is refused, not {refused:?}")
        };
        assert!(error.to_string().contains("#[gen_server(remote)]"), "{error}");
        assert!(ServerRef::<Local>::remote_name(&node, node.id(), "local").is_err());
        assert_eq!(Local::named().get().await, Ok(1));
    });
}

// proves: SRV-18
#[test]
fn methods_tell_what_can_be_called() {
    check(0..2, |node| async move {
        assert_eq!(node.methods(&named()), []);
        Billing::start(Billing::default).await.expect("it starts");
        let method = |name, kind, arguments| MethodInfo { name, kind, arguments };
        let expected = [
            method("pay", MethodKind::Call, &["user", "cents"] as &[_]),
            method("total", MethodKind::Call, &[]),
            method("next_note", MethodKind::Call, &[]),
            method("note", MethodKind::Cast, &["line"]),
            method("crash", MethodKind::Call, &[]),
        ];
        assert_eq!(node.methods(&named()), expected);
    });
}

// ---- Two nodes

/// Carries packets as bytes between nodes of this OS process.
#[derive(Default)]
struct Wire(Mutex<HashMap<NodeId, Node>>);

impl Transport for Wire {
    fn send(&self, to: NodeId, packet: Packet) -> Result<(), Packet> {
        let Some(node) = self.0.lock().expect("nobody panics with the lock").get(&to).cloned()
        else {
            return Err(packet);
        };
        let bytes = postcard::to_stdvec(&packet).expect("a packet is plain data");
        node.deliver(postcard::from_bytes(&bytes).expect("what was encoded"));
        Ok(())
    }
}

/// Two nodes that are connected.
fn two_nodes() -> (Running, Running, Arc<Wire>) {
    let start = |name: &str| {
        Running::with_options(linden::NodeOptions {
            name: format!("{name}@localhost"),
            workers: 2,
            ..stage::quiet()
        })
    };
    let (near, far) = (start("near"), start("far"));
    let wire = Arc::new(Wire::default());
    for node in [&near, &far] {
        wire.0.lock().expect("unshared yet").insert(node.id(), Node::clone(node));
        node.set_transport(wire.clone());
    }
    (near, far, wire)
}

/// A billing server on the far node, and the two ways to it from the near one.
fn far_billing(near: &Running, far: &Running) -> (Pid, [BillingClient; 2]) {
    let billing = far.run(Billing::start(Billing::default)).expect("it starts");
    let pid = billing.pid().expect("it lives");
    let by_pid = ServerRef::remote(near, pid).expect("it has a codec").into();
    let by_name = ServerRef::remote_name(near, far.id(), "billing").expect("it has a codec").into();
    (pid, [by_pid, by_name])
}

// proves: SRV-19
#[test]
fn the_same_typed_call_reaches_a_server_of_another_node() {
    let (near, far, _) = two_nodes();
    let (pid, clients) = far_billing(&near, &far);
    for (round, billing) in (1..).zip(clients) {
        let receipt = near.run(billing.pay(UserId(1), 10));
        assert_eq!(receipt, Ok(Ok(Receipt { user: UserId(1), cents: 10 * round })));
        let too_much = near.run(billing.pay(UserId(1), 1_000));
        assert_eq!(too_much, Ok(Err(PaymentError::TooMuch { most: 100 })));
        let note = near.run(inside(&near, move |_| async move {
            let waits = begun(billing.next_note());
            billing.note("over the wire".to_owned());
            waits.await
        }));
        assert_eq!(note.as_deref(), Ok("over the wire"));
    }
    let here = Billing::named_on(&far);
    assert_eq!((here.pid(), far.run(here.total())), (Some(pid), Ok(20)));
}

// proves: SRV-19
#[test]
fn a_monitor_and_an_exit_cross_the_wire() {
    let (near, far, _) = two_nodes();
    let (pid, [billing, _]) = far_billing(&near, &far);
    near.run(inside(&near, move |mut cx: Cx<()>| async move {
        let monitor = cx.monitor(pid);
        let waits = begun(billing.next_note());
        assert_eq!(billing.total().await, Ok(0), "the monitor is set up");
        cx.exit(pid, Reason::custom("from afar"));
        let Mail::Info(Info::Down { reference, pid: of, reason }) = cx.recv().await else {
            panic!("a down is heard")
        };
        assert_eq!((reference, of, reason), (monitor, pid, Reason::custom("from afar")));
        let heard = waits.await;
        assert_eq!(heard, Err(CallError::Exited(Reason::custom("from afar"))));
        assert_eq!(billing.total().await, Err(CallError::NoProc));
    }));
}

// proves: SRV-19
#[test]
fn a_crash_answers_callers_of_another_node_with_its_reason() {
    let (near, far, _) = two_nodes();
    let (_, [billing, _]) = far_billing(&near, &far);
    let heard = near.run(billing.crash());
    let Err(CallError::Exited(Reason::Panic(info))) = heard else {
        panic!("the crash is heard, not {heard:?}")
    };
    assert_eq!(info.message, "crashed");
}

// proves: SRV-19
#[test]
fn a_call_over_a_connection_that_is_lost_ends_at_once() {
    let (near, far, wire) = two_nodes();
    let (_, [billing, _]) = far_billing(&near, &far);
    let far_id = far.id();
    near.run(async {
        let waits = begun(billing.next_note());
        wire.0.lock().expect("nobody panics with the lock").remove(&far_id);
        near.node_down(far_id);
        let lost = Err(CallError::Exited(Reason::NoConnection));
        assert_eq!(waits.await.map(drop), lost);
        assert_eq!(billing.total().await.map(drop), lost, "nor is it connected again");
    });
}

// proves: SRV-20
#[test]
fn a_behaviours_own_requests_stay_on_the_node() {
    let (near, far, _) = two_nodes();
    let (pid, clients) = far_billing(&near, &far);
    for billing in clients {
        let said = CallError::Codec(CodecError::WrongKind(
            "system requests stay on their node".to_owned(),
        ));
        assert_eq!(near.run(billing.stop(Reason::Normal, 5.secs())), Err(said.clone()));
        assert_eq!(near.run(billing.state()), Err(said));
    }
    assert!(far.is_alive(pid));
}

#[test]
fn a_supervisor_does_not_take_a_process_of_another_node_for_its_child() {
    let (near, far, _) = two_nodes();
    let (pid, _) = far_billing(&near, &far);
    near.run(inside(&near, move |cx: Cx<()>| async move {
        let pool = DynamicSupervisor::<u32>::new(|_| Billing::default).start_link().await;
        let pool = pool.expect("it starts");
        // A child whose place in the table may be that of the far process.
        let child = pool.start_child(1).await.expect("it starts");
        let error = pool.terminate_child(pid).await.expect_err("it is no child");
        assert_eq!(
            error.to_string(),
            "there is no such child; which_children lists those there are"
        );
        assert!(cx.node().is_alive(child));
    }));
}

#[test]
fn a_server_on_real_threads_answers_calls_by_name() {
    on_node(2, |cx| async move {
        let node = cx.node().clone();
        Billing::start_link(Billing::default).await.expect("it starts");
        for round in 1..200_u64 {
            let answer = call(&node, "pay", "[1, 1]").await.expect("answered");
            assert_eq!(answer, format!(r#"{{"Ok":{{"user":1,"cents":{round}}}}}"#));
        }
    });
}
