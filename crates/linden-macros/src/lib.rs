//! The macros of Linden: `#[gen_server]`, `#[linden::main]` and `#[linden::test]`.
//!
//! Use them through the crate `linden`, which exports them; the code that they write names nothing
//! but `::linden` and `::std`. Each only saves typing: its page shows the code that it writes, and
//! the same program can be written without it.
//!
//! Everything here runs inside the compiler, on tokens, and keeps no state between two uses.
//! `parse` (with `options`, `marks`, `signature`, `owned` and `hook`) reads and checks, `expand`
//! (with `wire`) writes and cannot fail, `entry` is the two entry points. Absent on purpose:
//! knowledge of types (only the compiler has it) and any behaviour (that is `linden`'s; here are
//! only calls of it).
//!
//! The listings of the pages are files in `docs/`: tests compare them with what is written, and
//! compile and run them (`tests/page.rs`).

#![forbid(unsafe_code)]

mod entry;
mod errors;
mod expand;
mod hook;
mod marks;
mod options;
mod owned;
mod parse;
mod signature;
mod wire;

use proc_macro::TokenStream;

/// Makes a server of a state: writes its message type, its `GenServer` and its typed client.
///
/// It goes on the inherent impl block of the state. The block's methods stay as they are; those
/// that carry a mark are also the server's:
///
/// | Mark | The method | Its parameters after `self` | It returns |
/// |---|---|---|---|
/// | `#[call]` | answers a message | the parts of the message | the answer, of any owned type |
/// | `#[call]` | answers it later | the parts and one `Reply<T>` | nothing; the answer is a `T` |
/// | `#[cast]` | handles a message that nobody waits for | the parts of the message | nothing |
/// | `#[init]` | runs first in the new process | none | `Result<(), Stop>` or nothing |
/// | `#[info]` | handles exits, downs, timers | `info: Info` | nothing |
/// | `#[continues]` | runs next, after `cx.continue_()` | none | nothing |
/// | `#[timeout]` | runs when no message came, after `cx.set_timeout(..)` | none | nothing |
/// | `#[terminate]` | runs last | `reason: &Reason`, if wanted | nothing |
///
/// Each of them may be async or not (a sync handler needs no future), takes `&mut self` or
/// `&self`, and may have `cx: &mut Context<Self>` anywhere among its parameters, which is no part
/// of the message. There is at most one of each kind of callback.
///
/// # Options
///
/// - `name = "billing_service"`: the name that the server is registered under when it is started.
///   The state also gets `named()` and `named_on(&node)`, which give the client of whatever process
///   has the name when it is called.
/// - `remote`: messages and answers must be serde's `Serialize` and `DeserializeOwned`; the message
///   type gets a codec, so that the server can be called by method name from another node, from
///   the command line, and survive an upgrade.
/// - `msg = Name`, `client = Name`: the names of the two types. Without them the server `Billing`
///   has a `BillingMsg` and a `BillingClient`.
///
/// # Examples
///
/// The options and marks in use:
///
/// ```rust,ignore
#[doc = include_str!("../docs/billing.rs")]
/// ```
///
/// Then, anywhere on the node:
///
/// ```rust,ignore
/// let balance = Billing::named().pay(user_id, amount).await??;
/// Billing::named().note("hello".into());
/// ```
///
/// # The code that it writes
///
/// For the block above, and nothing else:
///
/// ```rust,ignore
#[doc = include_str!("../docs/billing_expanded.rs")]
/// ```
///
/// - The client's type parameter lets it belong to a state that is not `pub`. Write
///   `BillingClient` and forget it.
/// - The type names are as visible as the widest of the calls and casts; the client's methods are
///   always `pub`. If none is `pub`, the items stand in a `const _: () = { .. }` under aliases,
///   as in the next listing: a `pub` state may not have a message type that is less visible.
/// - Doc comments are copied to the client, and their first paragraph to the message. `#[cfg]` is
///   copied wherever the method appears, `#[deprecated]` to the client. Other attributes stay on
///   the method.
/// - If an argument is called `reply`, the message's own part is `reply_`.
/// - `format_state` shows the state by its `Debug`, if it has one. In a generic block it has one
///   only if the block's bounds say so.
///
/// With `remote` the messages can also be read and written. This block:
///
/// ```rust,ignore
#[doc = include_str!("../docs/counter.rs")]
/// ```
///
/// becomes:
///
/// ```rust,ignore
#[doc = include_str!("../docs/counter_expanded.rs")]
/// ```
///
/// # Errors
///
/// A message outlives the caller's frame, so arguments and answers are owned: no references (a
/// local server takes `&'static` ones), no `impl Trait`, no generic methods. Generic blocks are
/// fine: `impl<T: Send + 'static> Store<T>`. Every mistake in a block is reported at once, where
/// it is, with the mend.
///
/// An async handler's future moves between threads. If it is refused for holding `&self` of a
/// state that is not `Sync`, let the handler take `&mut self`.
///
/// # When not to use it
///
/// When one message needs another shape than one variant a method (a protocol enum that is given,
/// say): implement `GenServer` by hand, as above, and use `ServerRef` as the client.
#[proc_macro_attribute]
pub fn gen_server(options: TokenStream, block: TokenStream) -> TokenStream {
    expand::gen_server(options.into(), block.into()).into()
}

/// Makes the program's `main` of an async function that is given the node to start.
///
/// The function takes a `NodeBuilder` and returns `Result<(), NodeError>` (or any other error, or an
/// `ExitCode` if it says itself what went wrong); the program's exit code tells how it ended. It
/// takes no arguments: a node is set up by its builder and `linden.toml`.
///
/// # Examples
///
/// ```rust,ignore
/// #[linden::main]
/// async fn main(node: NodeBuilder) -> Result<(), NodeError> {
///     node.application(AuthApp).application(BillingApp).run().await
/// }
/// ```
///
/// # The code that it writes
///
/// ```rust,ignore
/// fn main() -> ::std::process::ExitCode {
///     async fn main(node: NodeBuilder) -> Result<(), NodeError> {
///         node.application(AuthApp).application(BillingApp).run().await
///     }
///     ::linden::__private::main(main)
/// }
/// ```
///
/// # When not to use it
///
/// When Linden is one part of a program that has its own `main`: start a `Node` there.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, function: TokenStream) -> TokenStream {
    entry::main(arguments.into(), function.into()).into()
}

/// Makes a `#[test]` of an async function: each runs on a node of its own.
///
/// The function may take the `Node`, and may return a `Result`. Other attributes
/// (`#[should_panic]`) stay.
///
/// # Examples
///
/// ```rust,ignore
/// #[linden::test]
/// async fn a_payment_is_booked(node: Node) -> Result<(), CallError> {
///     assert_eq!(Billing::named_on(&node).balance(UserId(1)).await?, Cents(0));
///     Ok(())
/// }
/// ```
///
/// # The code that it writes
///
/// ```rust,ignore
/// #[::core::prelude::v1::test]
/// fn a_payment_is_booked() -> Result<(), CallError> {
///     async fn a_payment_is_booked(node: Node) -> Result<(), CallError> {
///         assert_eq!(Billing::named_on(&node).balance(UserId(1)).await?, Cents(0));
///         Ok(())
///     }
///     ::linden::__private::test(a_payment_is_booked)
/// }
/// ```
///
/// Without the parameter, the last line is `::linden::__private::test(|_: ::linden::Node|
/// a_payment_is_booked())`.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, function: TokenStream) -> TokenStream {
    entry::test(arguments.into(), function.into()).into()
}
