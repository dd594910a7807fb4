//! The programs of the macro's page do the same with the macro and written by hand.

#![allow(missing_docs, unreachable_pub, reason = "a program in one file")]
extern crate self as linden;

#[path = "model/linden.rs"]
mod model;
pub use model::*;

use std::collections::HashMap;
use std::time::Duration;

use linden_macros::gen_server;

type Cents = u64;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UserId(u32);

#[derive(Debug, PartialEq)]
pub struct Empty;

/// Writes the state, includes the two files of the page, and runs the same scenario on both.
macro_rules! both_ways {
    ($state:item, $with:literal, $by_hand:literal, $scenario:item) => {
        mod with_the_macro {
            use super::*;
            $state
            include!($with);
            #[test]
            $scenario
        }
        #[allow(clippy::needless_borrow, reason = "that is how `Debug` is found, or not")]
        mod by_hand {
            use super::*;
            $state
            include!($by_hand);
            #[test]
            $scenario
        }
    };
}

mod billing {
    use super::*;

    both_ways! {
        #[derive(Default, Debug)]
        pub struct Billing {
            ledger: HashMap<UserId, Cents>,
            waiting: Vec<Reply<String>>,
        },
        "../docs/billing.rs",
        "../docs/billing_expanded.rs",
        fn messages_reach_the_state() {
            let state = Billing { ledger: [(UserId(1), 30)].into(), waiting: Vec::new() };
            let billing: BillingClient = start(state);
            assert_eq!(block_on(billing.pay(UserId(1), 20)), Ok(Ok(10)));
            assert_eq!(block_on(billing.pay(UserId(1), 20)), Ok(Err(Empty)));
            let note = billing.next_note();
            billing.note("hello".into());
            assert_eq!(block_on(note), Ok("hello".into()));
            assert_eq!(block_on(billing.balance(UserId(1))), Ok(10));
            assert_eq!(Billing::named().name, Some("billing_service"));
            let shown = Billing::default().format_state().unwrap();
            assert_eq!(shown, "Billing { ledger: {}, waiting: [] }");
        }
    }
}

mod counter {
    use super::*;
    use crate::__private::wire::{CodecError, MethodInfo, MethodKind, Payload, ReplyPort};
    use serde_json::{Value, json};
    use std::sync::{Arc, Mutex};

    /// A port and what was sent to it.
    fn port() -> (ReplyPort, Arc<Mutex<Option<Value>>>) {
        let (reply, answer) = reply::<Value>();
        (ReplyPort(reply.0), answer)
    }

    both_ways! {
        pub struct Counter(u64);,
        "../docs/counter.rs",
        "../docs/counter_expanded.rs",
        fn messages_travel_by_name() {
            let counter = start(Counter(1));
            let codec = CounterMsg::codec().unwrap();
            for (arguments, expected) in [(json!([4]), 5), (json!({ "step": 4 }), 4)] {
                let (port, answer) = port();
                let message = (codec.decode)("add", &Payload(arguments), Some(port)).unwrap();
                counter.cast(message);
                counter.reset();
                assert_eq!(*answer.lock().unwrap(), Some(json!(expected)));
            }
            let reset = (codec.decode)("reset", &Payload(json!([])), None).unwrap();
            assert_eq!(reset.name(), "reset");

            let (reply, answer) = reply();
            let sent = (codec.encode)(CounterMsg::Add { step: 2, reply }).ok().unwrap();
            assert_eq!((sent.method, sent.payload.0), ("add", json!([2])));
            (sent.reply.unwrap().0)(json!(7));
            assert_eq!(*answer.lock().unwrap(), Some(7));
            let sent = (codec.encode)(CounterMsg::Reset).ok().unwrap();
            assert_eq!((sent.method, sent.payload.0), ("reset", json!([])));
            assert!(sent.reply.is_none());

            let refused = |method, arguments, port| {
                (codec.decode)(method, &Payload(arguments), port).err().unwrap()
            };
            assert_eq!(refused("sub", json!([1]), None), CodecError("no method `sub`".into()));
            assert_eq!(refused("add", json!([1]), None), CodecError("a call needs a reply".into()));
            let error = refused("reset", json!([]), Some(port().0));
            assert_eq!(error, CodecError("a cast has no reply".into()));
            assert!(refused("add", json!(["one"]), Some(port().0)).0.contains("invalid type"));
            let add = MethodInfo { name: "add", kind: MethodKind::Call, arguments: &["step"] };
            let reset = MethodInfo { name: "reset", kind: MethodKind::Cast, arguments: &[] };
            assert_eq!(codec.methods, [add, reset]);
        }
    }
}
