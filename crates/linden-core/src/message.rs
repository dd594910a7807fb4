//! What a process can be sent: its message type, and the optional codec that lets messages cross a wire.
//!
//! This crate knows no wire format. A codec is three functions of the message type; the bytes in a [`Payload`] are opaque
//! here.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::reply::ReplyPort;

/// The message type of a process.
///
/// Usually written by `#[gen_server]`; by hand, an empty `impl` is enough for a process that lives on one node.
pub trait Message: Send + Sized + 'static {
    /// What observers and crash reports call this message: for a call or cast, the method's name.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }

    /// How to encode and decode messages of this type; `None` when they never leave the node.
    fn codec() -> Option<&'static Codec<Self>> {
        None
    }

    /// What can be called and cast by name: the codec's methods.
    fn methods() -> &'static [MethodInfo] {
        Self::codec().map_or(&[], |codec| codec.methods)
    }
}

macro_rules! plain_messages {
    ($($type:ty),*) => { $(impl Message for $type {})* };
}

plain_messages!(
    (),
    bool,
    u8,
    u16,
    u32,
    u64,
    usize,
    i8,
    i16,
    i32,
    i64,
    isize,
    f64,
    char,
    String,
    Vec<u8>
);

/// How messages of type `M` cross a wire.
#[derive(Debug)]
pub struct Codec<M: 'static> {
    /// Makes the message that calls or casts `method` with the arguments in the payload. A call's answer goes to the port.
    pub decode: fn(&str, &Payload, Option<ReplyPort>) -> Result<M, CodecError>,
    /// Takes a message apart.
    pub encode: fn(M) -> Result<EncodedMessage, CodecError>,
    /// What can be called and cast.
    pub methods: &'static [MethodInfo],
}

/// One method of a server, for the command line and other callers by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MethodInfo {
    /// The method's name.
    pub name: &'static str,
    /// Whether it answers.
    pub kind: MethodKind,
    /// The arguments' names, in order.
    pub arguments: &'static [&'static str],
}

/// Whether a method answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MethodKind {
    /// It answers once.
    Call,
    /// It never answers.
    Cast,
}

/// Which of the node's formats the bytes are in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Format {
    /// The compact format between Linden nodes.
    Compact,
    /// JSON, for people and tools.
    Json,
}

/// Encoded arguments or an encoded answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Payload {
    /// What the bytes are.
    pub format: Format,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A message taken apart for the wire.
#[derive(Debug)]
pub struct EncodedMessage {
    /// The method's name.
    pub method: &'static str,
    /// Its arguments.
    pub payload: Payload,
    /// Where the answer goes, for a call.
    pub reply: Option<ReplyPort>,
}

/// Why a message could not be encoded or decoded. Nothing was delivered.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CodecError {
    /// The process's message type has no codec: declare the server with `#[gen_server(remote)]`.
    NoCodec(&'static str),
    /// The server has no such method.
    UnknownMethod {
        /// What was asked for.
        method: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// The arguments or the answer do not fit the method's types.
    Arguments(String),
    /// A call came without a place for its answer, or a cast with one.
    WrongKind(String),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCodec(message) => {
                write!(f, "{message} has no codec; declare its server with #[gen_server(remote)]")
            }
            Self::UnknownMethod { method, known } => {
                write!(f, "no method {method}; there is {}", known.join(", "))
            }
            Self::Arguments(detail) => {
                write!(f, "the arguments or the answer do not fit: {detail}")
            }
            Self::WrongKind(detail) => f.write_str(detail),
        }
    }
}

impl Error for CodecError {}
