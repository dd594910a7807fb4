//! What the code that the macros write refers to. No part of the API: it may change with the macros.

use std::process::ExitCode;

use linden_core::Node;

pub use crate::gen_server::{named, named_on};

pub mod debug {
    //! How `#[gen_server]` shows a state: by its `Debug` if it has one, without asking for one.
    //!
    //! Method look-up tries `State<S>: ShowDebug` (by reference) before `&State<S>: ShowNothing` (one reference more), and
    //! skips the first when `S: Debug` does not hold.

    use std::fmt::Debug;

    use crate::report::Limited;

    /// A shown state is cut after this many bytes, and says so then.
    pub const STATE_TEXT_BYTES_MAX: usize = 16 * 1024;

    /// A state to be shown.
    #[derive(Debug)]
    pub struct State<'a, S>(pub &'a S);

    /// Shows a state that has a `Debug`.
    pub trait ShowDebug {
        /// Its text.
        fn linden_show(&self) -> Option<String>;
    }

    impl<S: Debug> ShowDebug for State<'_, S> {
        fn linden_show(&self) -> Option<String> {
            let shown = format_args!("{:?}", self.0);
            Some(Limited::with_limit(shown, STATE_TEXT_BYTES_MAX).to_string())
        }
    }

    /// Shows nothing of a state that has none.
    pub trait ShowNothing {
        /// Nothing.
        fn linden_show(&self) -> Option<String>;
    }

    impl<S> ShowNothing for &State<'_, S> {
        fn linden_show(&self) -> Option<String> {
            None
        }
    }
}

pub mod wire {
    //! The formats between nodes: postcard, and JSON for people and tools.

    pub use linden_core::{
        Codec, CodecError, EncodedMessage, MethodInfo, MethodKind, Payload, ReplyPort,
    };

    use linden_core::{Format, Reply};
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    fn refused(error: impl std::fmt::Display) -> CodecError {
        CodecError::Arguments(error.to_string())
    }

    /// Reads the arguments of a method: a tuple. JSON may be an array, or an object by argument name.
    ///
    /// # Errors
    /// They do not fit.
    pub fn decode_args<A: DeserializeOwned>(
        payload: &Payload,
        names: &[&str],
    ) -> Result<A, CodecError> {
        match payload.format {
            Format::Compact => postcard::from_bytes(&payload.bytes).map_err(refused),
            Format::Json => decode_json(&payload.bytes, names),
            other => Err(refused(format!("the format {other:?} is not known here"))),
        }
    }

    fn decode_json<A: DeserializeOwned>(bytes: &[u8], names: &[&str]) -> Result<A, CodecError> {
        use serde_json::Value;
        let value = if bytes.is_empty() {
            Value::Array(Vec::new())
        } else {
            serde_json::from_slice(bytes).map_err(refused)?
        };
        let array = match value {
            Value::Array(array) => array,
            Value::Object(mut by_name) => {
                let array = names
                    .iter()
                    .map(|&name| {
                        by_name
                            .remove(name)
                            .ok_or_else(|| refused(format!("the argument {name} is missing")))
                    })
                    .collect::<Result<_, _>>()?;
                if let Some(unknown) = by_name.keys().next() {
                    let known = names.join(", ");
                    return Err(refused(format!(
                        "there is no argument {unknown}; there is {known}"
                    )));
                }
                array
            }
            _ => return Err(refused("the arguments are an array, or an object by argument name")),
        };
        if array.len() != names.len() {
            let known = names.join(", ");
            return Err(refused(format!(
                "{} arguments were given, {} are taken: {known}",
                array.len(),
                names.len()
            )));
        }
        let arguments = if array.is_empty() { Value::Null } else { Value::Array(array) };
        serde_json::from_value(arguments).map_err(refused)
    }

    /// Writes the arguments of a method.
    ///
    /// # Errors
    /// They cannot be encoded.
    pub fn encode_args<A: Serialize>(arguments: &A) -> Result<Payload, CodecError> {
        encode(arguments, Format::Compact)
    }

    fn encode<T: Serialize>(value: &T, format: Format) -> Result<Payload, CodecError> {
        let bytes = match format {
            Format::Compact => postcard::to_stdvec(value).map_err(refused)?,
            Format::Json => serde_json::to_vec(value).map_err(refused)?,
            other => return Err(refused(format!("the format {other:?} is not known here"))),
        };
        Ok(Payload { format, bytes })
    }

    fn decode<T: DeserializeOwned>(payload: &Payload) -> Result<T, CodecError> {
        match payload.format {
            Format::Compact => postcard::from_bytes(&payload.bytes).map_err(refused),
            Format::Json => serde_json::from_slice(&payload.bytes).map_err(refused),
            other => Err(refused(format!("the format {other:?} is not known here"))),
        }
    }

    /// The typed reply of a call whose answer goes through `port`, in the format of the request.
    ///
    /// # Errors
    /// There is no port: the method was cast.
    pub fn typed_reply<R>(port: Option<ReplyPort>) -> Result<Reply<R>, CodecError>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        let port = port.ok_or_else(|| {
            CodecError::WrongKind("a call was sent without a place for its answer".to_owned())
        })?;
        Ok(Reply::through(port, encode::<R>))
    }

    /// The port that decodes an answer and passes it to `reply`.
    pub fn reply_port<R>(reply: Reply<R>) -> ReplyPort
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        reply.into_port(decode::<R>)
    }

    /// A cast has no answer.
    ///
    /// # Errors
    /// There is a port: the method was called.
    pub fn no_reply(port: Option<ReplyPort>) -> Result<(), CodecError> {
        match port {
            None => Ok(()),
            Some(_) => {
                Err(CodecError::WrongKind("a cast was sent as a call: it has no answer".to_owned()))
            }
        }
    }

    /// There is no such method.
    #[must_use]
    pub fn unknown_method(method: &str) -> CodecError {
        CodecError::UnknownMethod { method: method.to_owned(), known: Vec::new() }
    }
}

/// What the body of `#[linden::main]` may give.
pub trait MainOutput {
    /// Writes the error, if it is one, and gives the exit code.
    fn report(self) -> ExitCode;
}

impl<E: Into<crate::BoxError>> MainOutput for Result<(), E> {
    fn report(self) -> ExitCode {
        match self.map_err(Into::into) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {}", crate::error::chain(&*error));
                ExitCode::FAILURE
            }
        }
    }
}

/// A program that says itself what went wrong.
impl MainOutput for ExitCode {
    fn report(self) -> ExitCode {
        self
    }
}

/// Runs the body of `#[linden::main]`.
pub fn main<F, U>(body: F) -> ExitCode
where
    F: FnOnce(crate::NodeBuilder) -> U,
    U: Future<Output: MainOutput>,
{
    let output = linden_core::block_on(body(crate::NodeBuilder::new()));
    crate::log::flush_at_end();
    output.report()
}

/// Runs the body of `#[linden::test]` on a node of its own, which is stopped afterwards.
pub fn test<F, U>(body: F) -> U::Output
where
    F: FnOnce(Node) -> U,
    U: Future,
{
    let options = linden_core::NodeOptions {
        workers: 2,
        panic_output: linden_core::PanicOutput::CrashReportOnly,
        ..Default::default()
    };
    let node = Node::start(options).expect("the operating system gives a node's threads");
    let output = node.block_on(body(node.clone()));
    node.stop(std::time::Duration::from_secs(5));
    output
}
