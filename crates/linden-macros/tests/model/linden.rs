//! A model of the `linden` paths that the macros write, so that what they write is compiled and run
//! here, below the crate that exports them.
//!
//! One thread: a call runs its handler at once and gives the answer. The signatures are the
//! contract; the machinery behind them is not.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    reason = "a model, of which each test uses a part"
)]

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{self, Poll, Waker};
use std::time::Duration;

pub trait Message: Send + Sized + 'static {
    fn name(&self) -> &'static str;
    fn codec() -> Option<&'static __private::wire::Codec<Self>> {
        None
    }
}

pub trait GenServer: Sized + Send + 'static {
    type Msg: Message;
    type Client: From<ServerRef<Self>> + Clone + Send + Sync;
    const NAME: Option<&'static str> = None;
    fn init(&mut self, _cx: &mut Context<Self>) -> impl Future<Output = Result<(), Stop>> + Send {
        async { Ok(()) }
    }
    fn handle<'a>(&'a mut self, msg: Self::Msg, cx: &'a mut Context<Self>) -> Handled<'a>;
    fn handle_info(
        &mut self,
        _info: Info,
        _cx: &mut Context<Self>,
    ) -> impl Future<Output = ()> + Send {
        async {}
    }
    fn handle_continue(&mut self, _cx: &mut Context<Self>) -> impl Future<Output = ()> + Send {
        async {}
    }
    fn handle_timeout(&mut self, _cx: &mut Context<Self>) -> impl Future<Output = ()> + Send {
        async {}
    }
    fn terminate(
        &mut self,
        _reason: &Reason,
        _cx: &mut Context<Self>,
    ) -> impl Future<Output = ()> + Send {
        async {}
    }
    fn format_state(&self) -> Option<String> {
        None
    }
}

pub struct Context<S> {
    pub handled: u64,
    pub timeout: Option<Duration>,
    state: PhantomData<fn() -> S>,
}

impl<S> Context<S> {
    pub fn new() -> Self {
        Context { handled: 0, timeout: None, state: PhantomData }
    }

    pub fn set_timeout(&mut self, after: Duration) {
        self.timeout = Some(after);
    }
}

pub enum Handled<'a> {
    Done,
    Future(Pin<Box<dyn Future<Output = ()> + Send + 'a>>),
}

impl<'a> Handled<'a> {
    pub fn done() -> Self {
        Handled::Done
    }
    pub fn future(future: impl Future<Output = ()> + Send + 'a) -> Self {
        Handled::Future(Box::pin(future))
    }
}

#[derive(Debug, PartialEq)]
pub struct Stop(pub &'static str);

#[derive(Debug, PartialEq)]
pub enum Info {
    Hello(u8),
}

#[derive(Debug, PartialEq)]
pub enum Reason {
    Normal,
}

#[derive(Debug, PartialEq)]
pub struct CallError;

#[derive(Clone, Debug)]
pub struct Node(pub &'static str);

/// Where an answer goes.
pub struct Reply<T>(pub Box<dyn FnOnce(T) + Send>);

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "reply")
    }
}

impl<T> Reply<T> {
    pub fn send(self, answer: T) {
        (self.0)(answer);
    }
}

/// The answer of a call: the model handles it before the call is awaited.
pub struct Call<'a, R> {
    answer: Arc<Mutex<Option<R>>>,
    server: PhantomData<&'a ()>,
}

impl<R> Future for Call<'_, R> {
    type Output = Result<R, CallError>;
    fn poll(self: Pin<&mut Self>, _cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(self.answer.lock().unwrap().take().ok_or(CallError))
    }
}

pub struct ServerRef<S> {
    pub state: Arc<Mutex<Option<S>>>,
    pub name: Option<&'static str>,
    pub node: Option<&'static str>,
}

impl<S> Clone for ServerRef<S> {
    fn clone(&self) -> Self {
        ServerRef { state: self.state.clone(), name: self.name, node: self.node }
    }
}

impl<S> fmt::Debug for ServerRef<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "server")
    }
}

impl<S: GenServer> ServerRef<S> {
    pub fn call<'a, R: Send + 'static>(
        &'a self,
        make: impl FnOnce(Reply<R>) -> S::Msg + Send + 'a,
    ) -> Call<'a, R> {
        let (reply, answer) = reply();
        self.handle(make(reply));
        Call { answer, server: PhantomData }
    }

    pub fn cast(&self, message: S::Msg) {
        self.handle(message);
    }

    fn handle(&self, message: S::Msg) {
        let mut state = self.state.lock().unwrap();
        let mut cx = Context::new();
        match state
            .as_mut()
            .expect("the model's named servers answer nothing")
            .handle(message, &mut cx)
        {
            Handled::Done => {}
            Handled::Future(future) => block_on(future),
        }
    }
}

/// Starts `state` and gives its client.
pub fn start<S: GenServer>(state: S) -> S::Client {
    ServerRef { state: Arc::new(Mutex::new(Some(state))), name: None, node: None }.into()
}

/// A reply and where its answer will be.
pub fn reply<R: Send + 'static>() -> (Reply<R>, Arc<Mutex<Option<R>>>) {
    let answer = Arc::new(Mutex::new(None));
    let to = answer.clone();
    (Reply(Box::new(move |value| *to.lock().unwrap() = Some(value))), answer)
}

/// Polls until it is ready; nothing in the model waits for anything.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = task::Context::from_waker(Waker::noop());
    for _ in 0..POLLS_MAX {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
    panic!("a future of the model waits for something");
}

const POLLS_MAX: usize = 8;

pub struct NodeBuilder;

#[derive(Debug, PartialEq)]
pub struct NodeError;

thread_local! {
    /// How many bodies `__private::test` has run on this thread.
    pub static TESTS_RUN: Cell<u32> = const { Cell::new(0) };
}

pub mod __private {
    use super::*;
    use std::process::ExitCode;

    pub fn named<S: GenServer>() -> ServerRef<S> {
        ServerRef { state: Arc::default(), name: S::NAME, node: None }
    }

    pub fn named_on<S: GenServer>(node: &Node) -> ServerRef<S> {
        ServerRef { state: Arc::default(), name: S::NAME, node: Some(node.0) }
    }

    pub fn main<F, Fut>(body: F) -> ExitCode
    where
        F: FnOnce(NodeBuilder) -> Fut,
        Fut: Future<Output = Result<(), NodeError>>,
    {
        block_on(body(NodeBuilder)).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
    }

    pub fn test<F, Fut>(body: F) -> Fut::Output
    where
        F: FnOnce(Node) -> Fut,
        Fut: Future,
    {
        TESTS_RUN.set(TESTS_RUN.get() + 1);
        block_on(body(Node("test")))
    }

    pub mod debug {
        use std::fmt::{Debug, Write as _};

        pub struct State<'a, S>(pub &'a S);

        pub trait ShowDebug {
            fn linden_show(&self) -> Option<String>;
        }

        impl<S: Debug> ShowDebug for State<'_, S> {
            fn linden_show(&self) -> Option<String> {
                let mut text = String::new();
                write!(text, "{:?}", self.0).ok()?;
                Some(text)
            }
        }

        pub trait ShowNothing {
            fn linden_show(&self) -> Option<String>;
        }

        impl<S> ShowNothing for &State<'_, S> {
            fn linden_show(&self) -> Option<String> {
                None
            }
        }
    }

    pub mod wire {
        use super::super::Reply;
        use serde::Serialize;
        use serde::de::DeserializeOwned;
        use serde_json::Value;

        #[derive(Debug, PartialEq)]
        pub struct CodecError(pub String);

        /// The model's only format: a JSON array, or an object by argument name.
        pub struct Payload(pub Value);

        pub struct ReplyPort(pub Box<dyn FnOnce(Value) + Send>);

        pub struct Codec<M> {
            pub decode: fn(
                method: &str,
                payload: &Payload,
                reply: Option<ReplyPort>,
            ) -> Result<M, CodecError>,
            pub encode: fn(M) -> Result<EncodedMessage, CodecError>,
            pub methods: &'static [MethodInfo],
        }

        #[derive(Debug, PartialEq)]
        pub struct MethodInfo {
            pub name: &'static str,
            pub kind: MethodKind,
            pub arguments: &'static [&'static str],
        }

        #[derive(Debug, PartialEq)]
        pub enum MethodKind {
            Call,
            Cast,
        }

        pub struct EncodedMessage {
            pub method: &'static str,
            pub payload: Payload,
            pub reply: Option<ReplyPort>,
        }

        pub fn decode_args<A: DeserializeOwned>(
            payload: &Payload,
            names: &[&str],
        ) -> Result<A, CodecError> {
            let array = match &payload.0 {
                Value::Object(by_name) => names
                    .iter()
                    .map(|name| by_name.get(*name).cloned().unwrap_or_default())
                    .collect(),
                Value::Array(array) => array.clone(),
                _ => return Err(CodecError("neither array nor object".to_owned())),
            };
            let array = if array.is_empty() { Value::Null } else { Value::Array(array) };
            serde_json::from_value(array).map_err(|error| CodecError(error.to_string()))
        }

        pub fn encode_args<A: Serialize>(arguments: &A) -> Result<Payload, CodecError> {
            let value =
                serde_json::to_value(arguments).map_err(|error| CodecError(error.to_string()))?;
            Ok(Payload(if value.is_null() { Value::Array(Vec::new()) } else { value }))
        }

        pub fn typed_reply<R>(port: Option<ReplyPort>) -> Result<Reply<R>, CodecError>
        where
            R: Serialize + DeserializeOwned + Send + 'static,
        {
            let port = port.ok_or_else(|| CodecError("a call needs a reply".to_owned()))?;
            Ok(Reply(Box::new(move |answer| (port.0)(serde_json::to_value(answer).unwrap()))))
        }

        pub fn no_reply(port: Option<ReplyPort>) -> Result<(), CodecError> {
            port.map_or(Ok(()), |_| Err(CodecError("a cast has no reply".to_owned())))
        }

        pub fn reply_port<R>(reply: Reply<R>) -> ReplyPort
        where
            R: Serialize + DeserializeOwned + Send + 'static,
        {
            ReplyPort(Box::new(move |answer| reply.send(serde_json::from_value(answer).unwrap())))
        }

        pub fn unknown_method(method: &str) -> CodecError {
            CodecError(format!("no method `{method}`"))
        }
    }
}
