impl Counter {
    fn add(&mut self, step: u64) -> u64 {
        self.0 += step;
        self.0
    }

    fn reset(&mut self) {
        self.0 = 0;
    }
}

/// The messages of `Counter`.
#[allow(dead_code)]
type CounterMsg = <Counter as ::linden::GenServer>::Msg;

/// The client of `Counter`: a method for each call and cast.
#[allow(dead_code)]
type CounterClient = <Counter as ::linden::GenServer>::Client;

const _: () = {
    /// The messages of `Counter`.
    #[allow(missing_docs, rustdoc::broken_intra_doc_links)]
    pub enum CounterMsg {
        Add { step: u64, reply: ::linden::Reply<u64> },
        Reset,
    }

    impl ::linden::Message for CounterMsg {
        fn name(&self) -> &'static str {
            match *self {
                CounterMsg::Add { .. } => "add",
                CounterMsg::Reset => "reset",
            }
        }

        fn codec() -> ::std::option::Option<&'static ::linden::__private::wire::Codec<Self>> {
            ::std::option::Option::Some(
                const {
                    &::linden::__private::wire::Codec {
                        decode: Self::__decode,
                        encode: Self::__encode,
                        methods: &[
                            ::linden::__private::wire::MethodInfo {
                                name: "add",
                                kind: ::linden::__private::wire::MethodKind::Call,
                                arguments: &["step"],
                            },
                            ::linden::__private::wire::MethodInfo {
                                name: "reset",
                                kind: ::linden::__private::wire::MethodKind::Cast,
                                arguments: &[],
                            },
                        ],
                    }
                },
            )
        }
    }

    impl ::linden::GenServer for Counter {
        type Msg = CounterMsg;
        type Client = CounterClient;
        fn handle<'a>(
            &'a mut self,
            msg: Self::Msg,
            _cx: &'a mut ::linden::Context<Self>,
        ) -> ::linden::Handled<'a> {
            match msg {
                CounterMsg::Add { step, reply } => {
                    reply.send(Self::add(self, step));
                    ::linden::Handled::done()
                }
                CounterMsg::Reset => {
                    Self::reset(self);
                    ::linden::Handled::done()
                }
            }
        }

        fn format_state(&self) -> ::std::option::Option<::std::string::String> {
            #[allow(unused_imports)]
            use ::linden::__private::debug::{ShowDebug as _, ShowNothing as _};
            (&::linden::__private::debug::State(self)).linden_show()
        }
    }

    /// The client of `Counter`: a method for each call and cast.
    pub struct CounterClient<Server: ::linden::GenServer = Counter>(::linden::ServerRef<Server>);
    #[allow(dead_code, missing_docs, rustdoc::broken_intra_doc_links)]
    impl CounterClient {
        pub fn add(&self, step: u64) -> ::linden::Call<'_, u64> {
            self.0.call(move |reply| CounterMsg::Add { step, reply })
        }

        pub fn reset(&self) {
            self.0.cast(CounterMsg::Reset);
        }
    }

    impl ::std::convert::From<::linden::ServerRef<Counter>> for CounterClient {
        fn from(server: ::linden::ServerRef<Counter>) -> Self {
            Self(server)
        }
    }

    impl ::std::ops::Deref for CounterClient {
        type Target = ::linden::ServerRef<Counter>;
        fn deref(&self) -> &Self::Target {
            &self.0
        }
    }

    impl ::std::clone::Clone for CounterClient {
        fn clone(&self) -> Self {
            Self(::std::clone::Clone::clone(&self.0))
        }
    }

    impl ::std::fmt::Debug for CounterClient {
        fn fmt(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
            formatter.debug_tuple("CounterClient").field(&self.0).finish()
        }
    }

    impl CounterMsg {
        #[doc(hidden)]
        fn __decode(
            method: &str,
            payload: &::linden::__private::wire::Payload,
            port: ::std::option::Option<::linden::__private::wire::ReplyPort>,
        ) -> ::std::result::Result<Self, ::linden::__private::wire::CodecError> {
            match method {
                "add" => {
                    let (step,) =
                        ::linden::__private::wire::decode_args::<(u64,)>(payload, &["step"])?;
                    let reply = ::linden::__private::wire::typed_reply::<u64>(port)?;
                    ::std::result::Result::Ok(CounterMsg::Add { step, reply })
                }
                "reset" => {
                    ::linden::__private::wire::decode_args::<()>(payload, &[])?;
                    ::linden::__private::wire::no_reply(port)?;
                    ::std::result::Result::Ok(CounterMsg::Reset)
                }
                _ => ::std::result::Result::Err(::linden::__private::wire::unknown_method(method)),
            }
        }

        #[doc(hidden)]
        fn __encode(
            message: Self,
        ) -> ::std::result::Result<
            ::linden::__private::wire::EncodedMessage,
            ::linden::__private::wire::CodecError,
        > {
            match message {
                CounterMsg::Add { step, reply } => {
                    ::std::result::Result::Ok(::linden::__private::wire::EncodedMessage {
                        method: "add",
                        payload: ::linden::__private::wire::encode_args(&(step,))?,
                        reply: ::std::option::Option::Some(
                            ::linden::__private::wire::reply_port::<u64>(reply),
                        ),
                    })
                }
                CounterMsg::Reset => {
                    ::std::result::Result::Ok(::linden::__private::wire::EncodedMessage {
                        method: "reset",
                        payload: ::linden::__private::wire::encode_args(&())?,
                        reply: ::std::option::Option::None,
                    })
                }
            }
        }
    }
};
