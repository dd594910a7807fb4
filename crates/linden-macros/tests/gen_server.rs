//! What `#[gen_server]` writes compiles and does what its page says, over a model of `linden`.
#![deny(warnings, missing_docs, clippy::all, clippy::pedantic)]
#![allow(
    unreachable_pub,
    clippy::needless_pass_by_value,
    clippy::unit_arg,
    clippy::unused_async,
    clippy::unused_self,
    clippy::unused_unit,
    reason = "the servers below are what the macro must take, not what one would write"
)]

extern crate self as linden;

#[path = "model/linden.rs"]
mod model;
pub use model::*;

use std::collections::HashMap;

use linden_macros::gen_server;

type Cents = u64;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct UserId(u32);

/// Takes money.
#[derive(Default, Debug)]
pub struct Billing {
    ledger: HashMap<UserId, Cents>,
    notes: Vec<String>,
    waiting: Vec<Reply<usize>>,
}

#[gen_server(name = "billing_service")]
impl Billing {
    const FEE: Cents = 1;

    /// Takes `amount` from the account.
    ///
    /// Text that only the client repeats.
    #[call]
    async fn process_payment(
        &mut self,
        user_id: UserId,
        mut amount: Cents,
    ) -> Result<Cents, String> {
        amount += Self::FEE;
        std::future::ready(()).await;
        let account = self.ledger.entry(user_id).or_default();
        *account += amount;
        if amount > 100 { Err(format!("{amount} is too much")) } else { Ok(*account) }
    }

    #[call]
    fn balance(&self, user_id: UserId) -> Cents {
        self.helper(user_id)
    }

    #[call]
    fn notes_written(&mut self, reply: Reply<usize>) {
        self.waiting.push(reply);
    }

    #[cast]
    fn note(&mut self, line: String) {
        self.notes.push(line);
        for reply in self.waiting.drain(..) {
            reply.send(self.notes.len());
        }
    }

    fn helper(&self, user_id: UserId) -> Cents {
        self.ledger.get(&user_id).copied().unwrap_or_default()
    }
}

#[test]
fn calls_and_casts_reach_their_methods() {
    let billing = start(Billing::default());
    let user = UserId(7);
    assert_eq!(block_on(billing.process_payment(user, 10)), Ok(Ok(11)));
    assert_eq!(block_on(billing.process_payment(user, 100)), Ok(Err("101 is too much".to_owned())));
    assert_eq!(block_on(billing.clone().balance(user)), Ok(112));
    let written = billing.notes_written();
    billing.note("hello".into());
    assert_eq!(block_on(written), Ok(1));
}

#[test]
fn a_named_server_is_found_by_its_name() {
    assert_eq!(Billing::NAME, Some("billing_service"));
    assert_eq!(Billing::named().name, Some("billing_service"));
    assert_eq!(Billing::named_on(&Node("shop")).node, Some("shop"));
}

#[test]
fn a_message_knows_its_methods_name() {
    let (reply, _) = reply();
    assert_eq!(
        BillingMsg::ProcessPayment { user_id: UserId(1), amount: 2, reply }.name(),
        "process_payment"
    );
    assert_eq!(BillingMsg::Note { line: String::new() }.name(), "note");
}

#[test]
fn a_state_is_shown_if_it_implements_debug() {
    struct Silent;
    #[gen_server]
    impl Silent {}
    assert_eq!(Silent.format_state(), None);
    assert!(Billing::default().format_state().unwrap().starts_with("Billing {"));
}

mod hygiene {
    //! Arguments may be called like anything that the macro uses itself.
    use super::*;

    pub struct Clash;

    #[gen_server(remote)]
    impl Clash {
        #[call]
        async fn cx(&mut self, reply: u8, answer: u8, cx: u8, msg: u8, reply_: u8) -> Vec<u8> {
            vec![reply, answer, cx, msg, reply_]
        }

        #[call]
        fn r#match(
            &self,
            r#type: u8,
            cx: &mut Context<Self>,
            method: u8,
            payload: u8,
            port: u8,
            message: u8,
        ) -> Vec<u8> {
            cx.handled += 1;
            vec![r#type, method, payload, port, message]
        }

        #[call]
        fn later(&mut self, answer: Reply<u8>, reply: u8, _unused: u8, self_: u8) {
            answer.send(reply + self_);
        }

        #[call]
        fn self_(&self) -> () {}

        #[cast]
        fn call(&self, server: u8) {
            assert_eq!(server, 1);
        }
    }

    #[test]
    fn names_do_not_clash() {
        let clash = start(Clash);
        assert_eq!(block_on(clash.cx(1, 2, 3, 4, 5)), Ok(vec![1, 2, 3, 4, 5]));
        assert_eq!(block_on(clash.r#match(1, 2, 3, 4, 5)), Ok(vec![1, 2, 3, 4, 5]));
        assert_eq!(block_on(clash.later(1, 2, 3)), Ok(4));
        assert_eq!(block_on(clash.self_()), Ok(()));
        clash.call(1);
        let (reply, _) = reply();
        assert_eq!(
            ClashMsg::Match { r#type: 1, method: 2, payload: 3, port: 4, message: 5, reply }.name(),
            "match"
        );
    }
}

mod generics {
    use super::*;
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use std::fmt::Display;

    pub trait Shelf {
        type Label: Send + Display + 'static;
    }

    #[derive(Debug)]
    pub struct Store<T, S: Shelf, const N: usize>
    where
        T: Send + Clone + 'static,
        S::Label: Clone,
    {
        items: Vec<(T, S::Label)>,
    }

    #[gen_server(name = "store")]
    impl<T, S, const N: usize> Store<T, S, N>
    where
        T: Send + Clone + 'static,
        S: Shelf + 'static,
        S::Label: Clone,
        Self: Sized,
    {
        const MORE: usize = N + 1;

        #[cast]
        pub(crate) fn put(&mut self, item: T, label: S::Label) {
            self.items.push((item, label));
        }

        #[call]
        async fn first(&mut self, _room: [u8; N]) -> Option<T> {
            self.items.first().map(|(item, _)| item.clone())
        }

        #[call]
        fn swap(&mut self, mut other: Self) -> Self {
            std::mem::swap(self, &mut other);
            other
        }

        #[call]
        fn sizes(&self) -> (usize, usize) {
            (N, Self::MORE)
        }
    }

    struct Top;
    impl Shelf for Top {
        type Label = &'static str;
    }

    #[test]
    fn a_generic_server_has_generic_messages() {
        let client: StoreClient<String, Top, 2> = start(Store { items: Vec::new() });
        client.put("bread".to_owned(), "fresh");
        assert_eq!(block_on(client.first([0, 0])), Ok(Some("bread".to_owned())));
        let old = block_on(client.swap(Store { items: Vec::new() })).unwrap();
        assert_eq!(old.items, [("bread".to_owned(), "fresh")]);
        assert_eq!(block_on(client.sizes()), Ok((2, 3)));
        let message: StoreMsg<String, Top, 2> = StoreMsg::Put { item: String::new(), label: "" };
        assert_eq!(message.name(), "put");
        assert!(old.format_state().is_none(), "the block does not say that `T: Debug`");
    }

    pub struct Server<T>(Option<T>);

    #[gen_server(remote)]
    impl<T: Send + Clone + Serialize + DeserializeOwned + 'static> Server<T> {
        #[call]
        fn swap(&mut self, item: Option<T>) -> Option<T> {
            std::mem::replace(&mut self.0, item)
        }
    }

    #[test]
    fn a_generic_server_can_be_remote() {
        let server = start(Server(Some(1_u8)));
        let codec = ServerMsg::<u8>::codec().unwrap();
        let (reply, answer) = reply();
        let sent = (codec.encode)(ServerMsg::Swap { item: Some(2), reply }).unwrap();
        server.cast((codec.decode)(sent.method, &sent.payload, sent.reply).unwrap());
        assert_eq!(*answer.lock().unwrap(), Some(Some(1)));
    }

    pub struct Only<T>(Option<T>);

    #[gen_server(msg = Ask, client = Asker)]
    impl Only<u8> {
        #[call]
        fn take(&mut self) -> Option<u8> {
            self.0.take()
        }
    }

    #[test]
    fn one_instance_of_a_generic_type_can_be_a_server() {
        let client: Asker = start(Only(Some(1)));
        assert_eq!(block_on(client.take()), Ok(Some(1)));
        let (reply, _) = reply();
        assert_eq!(Ask::Take { reply }.name(), "take");
    }
}

mod visibility {
    //! `outer` sees what the blocks show; each state is `pub` or private as the name says.
    use super::*;

    pub struct Secret(u8);

    pub struct PubWithPrivateMethods;
    #[gen_server]
    impl PubWithPrivateMethods {
        #[call]
        fn tell(&self) -> Secret {
            Secret(1)
        }
    }

    struct PrivateWithPubMethods;
    #[gen_server]
    impl PrivateWithPubMethods {
        #[call]
        pub fn tell(&self) -> u8 {
            2
        }
        #[call]
        fn more(&self, secret: Secret) -> u8 {
            secret.0
        }
    }

    pub mod inner {
        use super::super::*;
        pub struct Open;
        #[gen_server]
        impl Open {
            #[call]
            pub(super) fn tell(&self) -> u8 {
                3
            }
            #[cast]
            fn nothing(&self) {}
        }
    }

    #[test]
    fn every_combination_compiles() {
        let client: PubWithPrivateMethodsClient = start(PubWithPrivateMethods);
        assert_eq!(block_on(client.tell()).unwrap().0, 1);
        assert_eq!(block_on(start(PrivateWithPubMethods).tell()), Ok(2));
        assert_eq!(block_on(start(PrivateWithPubMethods).more(Secret(4))), Ok(4));
        let client: inner::OpenClient = start(inner::Open);
        assert_eq!(block_on(client.tell()), Ok(3));
        client.nothing();
        assert_eq!(inner::OpenMsg::Nothing {}.name(), "nothing");
    }

    #[test]
    fn a_server_can_be_written_inside_of_a_function() {
        struct Local(u8);
        #[gen_server(name = "local")]
        impl Local {
            #[call]
            fn get(&self) -> u8 {
                self.0
            }
        }
        let client: LocalClient = start(Local(5));
        assert_eq!(block_on(client.get()), Ok(5));
        assert_eq!(Local::named().name, Some("local"));
    }
}

mod attributes {
    use super::*;

    pub struct Marked;

    /// A server whose methods carry attributes.
    #[gen_server(remote)]
    impl Marked {
        #[cfg(any())]
        #[call]
        pub fn absent(&self, what: NoSuchType) -> NoSuchType {}

        #[cfg(not(any()))]
        #[linden::call]
        #[allow(clippy::unused_async)]
        pub async fn present(&self, #[allow(unused_variables)] unused: u8) -> u8 {
            1
        }

        #[cfg(any())]
        #[init]
        fn never(&mut self) {}

        /// Old.
        #[deprecated = "use `present`"]
        #[cast]
        pub fn old(&self) {}
    }

    #[test]
    fn cfg_and_deprecated_are_carried_over() {
        let client = start(Marked);
        assert_eq!(block_on(client.present(0)), Ok(1));
        #[expect(deprecated)]
        client.old();
        let codec = MarkedMsg::codec().unwrap();
        assert_eq!(
            codec.methods.iter().map(|method| method.name).collect::<Vec<_>>(),
            ["present", "old"]
        );
    }
}

mod hooks {
    use super::*;

    #[derive(Default)]
    pub struct Hooked {
        heard: Vec<String>,
    }

    #[gen_server]
    impl Hooked {
        #[init]
        async fn setup(&mut self, cx: &mut Context<Self>) -> Result<(), Stop> {
            if cx.handled > 0 { Err(Stop("used")) } else { Ok(std::future::ready(()).await) }
        }
        #[info]
        fn on_info(&mut self, cx: &mut Context<Self>, info: Info) {
            cx.handled += 1;
            self.heard.push(format!("{info:?}"));
        }
        #[continues]
        async fn next(&mut self) {
            self.heard.push("continue".into());
        }
        #[timeout]
        fn idle(&mut self, cx: &mut linden::Context<Self>) {
            cx.handled += 1;
            self.heard.push("timeout".into());
        }
        #[terminate]
        fn end(&mut self, reason: &Reason) {
            self.heard.push(format!("{reason:?}"));
        }
    }

    #[test]
    fn each_callback_is_the_methods() {
        let (mut state, mut cx) = (Hooked::default(), Context::new());
        assert_eq!(block_on(GenServer::init(&mut state, &mut cx)), Ok(()));
        block_on(state.handle_info(Info::Hello(1), &mut cx));
        block_on(state.handle_continue(&mut cx));
        block_on(state.handle_timeout(&mut cx));
        block_on(GenServer::terminate(&mut state, &Reason::Normal, &mut cx));
        assert_eq!(state.heard, ["Hello(1)", "continue", "timeout", "Normal"]);
        assert_eq!(cx.handled, 2);
        assert_eq!(block_on(GenServer::init(&mut state, &mut cx)), Err(Stop("used")));
    }

    #[test]
    fn an_init_that_cannot_fail_needs_no_result() {
        struct Calm(bool);
        #[gen_server]
        impl Calm {
            #[init]
            fn init(&mut self) {
                self.0 = true;
            }
        }
        let mut state = Calm(false);
        assert_eq!(block_on(GenServer::init(&mut state, &mut Context::new())), Ok(()));
        assert!(state.0);
    }
}
