//! What a server's process is really sent: its own calls and casts, and the system's requests, in one order.

use linden_core::{
    Codec, CodecError, EncodedMessage, Message, MethodInfo, Payload, Reason, Reply, ReplyPort,
};

/// A message of a server's process.
#[derive(Debug)]
pub(crate) enum ServerMsg<M> {
    User(M),
    System(Box<System>),
}

/// What every server answers, whatever its type. Ordered like any message.
#[derive(Debug)]
pub(crate) enum System {
    /// End in an orderly way, through `terminate`.
    Stop { reason: Reason, done: Reply<Reason> },
    /// Show the state.
    State(Reply<Option<String>>),
}

struct CodecOf<M>(std::marker::PhantomData<M>);

impl<M: Message> CodecOf<M> {
    const CODEC: Codec<ServerMsg<M>> =
        Codec { decode: decode::<M>, encode: encode::<M>, methods: &[] };
}

fn user_codec<M: Message>() -> Result<&'static Codec<M>, CodecError> {
    M::codec().ok_or(CodecError::NoCodec(std::any::type_name::<M>()))
}

fn decode<M: Message>(
    method: &str,
    payload: &Payload,
    reply: Option<ReplyPort>,
) -> Result<ServerMsg<M>, CodecError> {
    let codec = user_codec::<M>()?;
    if !codec.methods.iter().any(|known| known.name == method) {
        return Err(CodecError::UnknownMethod {
            method: method.to_owned(),
            known: codec.methods.iter().map(|known| known.name).collect(),
        });
    }
    (codec.decode)(method, payload, reply).map(ServerMsg::User)
}

fn encode<M: Message>(message: ServerMsg<M>) -> Result<EncodedMessage, CodecError> {
    match message {
        ServerMsg::User(message) => (user_codec::<M>()?.encode)(message),
        ServerMsg::System(_) => {
            Err(CodecError::WrongKind("system requests stay on their node".to_owned()))
        }
    }
}

impl<M: Message> Message for ServerMsg<M> {
    fn name(&self) -> &'static str {
        match self {
            Self::User(message) => message.name(),
            Self::System(system) => match **system {
                System::Stop { .. } => "(stop)",
                System::State(_) => "(state)",
            },
        }
    }

    fn codec() -> Option<&'static Codec<Self>> {
        M::codec().map(|_| &CodecOf::<M>::CODEC)
    }

    fn methods() -> &'static [MethodInfo] {
        M::codec().map_or(&[], |codec| codec.methods)
    }
}
