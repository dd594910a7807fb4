//! What a block may say, and what each mistake is answered with.

use quote::{ToTokens as _, quote};
use syn::parse_quote;

use super::*;
use crate::marks::{block, take_marks};

fn read(options: TokenStream, input: TokenStream) -> syn::Result<Server> {
    let mut block = block(input)?;
    let marks = take_marks(&mut block);
    Server::read(options, &block, &marks)
}

/// Asserts that the block is refused with these texts, in any order.
fn check(options: TokenStream, input: TokenStream, mut expected: Vec<&str>) {
    let error = read(options, input).err().expect("the block has a mistake");
    let mut found: Vec<String> = error.into_iter().map(|error| error.to_string()).collect();
    found.sort();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// Asserts that a block of these methods is refused with this one text.
fn check_methods(methods: TokenStream, expected: &str) {
    check(quote!(), quote!(impl Billing { #methods }), vec![expected]);
}

#[test]
fn a_block_is_read_whole() {
    let server = read(
        quote!(name = "billing", remote, msg = Ask, client = Asker,),
        quote! {
            impl shop::Billing {
                #[call]
                pub async fn pay(
                    &mut self, cx: &mut Context<Self>, mut user: u32, amount: u64,
                ) -> Result<u8, Error> {}
                #[call] pub(crate) fn later(&self, what: u8, reply: linden::Reply<Vec<Self>>) {}
                #[cast] fn note(self: &mut Self, reply: Reply<u8>) -> () {}
                #[init] fn init(&mut self) {}
                const MAX: u8 = 1;
                fn helper() {}
            }
        },
    )
    .unwrap();
    assert_eq!(server.name.unwrap().value(), "billing");
    assert_eq!((server.msg.to_string(), server.client.to_string()), ("Ask".into(), "Asker".into()));
    assert!(server.remote);
    assert!(matches!(server.visibility, Visibility::Public(_)));
    assert_eq!(server.hooks.len(), 1);
    let [pay, later, note] = &server.methods[..] else { panic!("three messages") };
    assert_eq!(pay.slots, [Slot::Context, Slot::Argument(0), Slot::Argument(1)]);
    assert_eq!(pay.arguments[0].ident, "user");
    assert!(pay.is_async && !later.is_async);
    let MethodKind::Call { answer, answered: Answered::ByReply, reply } = &later.kind else {
        panic!("deferred")
    };
    assert_eq!(answer.to_string(), "Vec < shop :: Billing >");
    assert_eq!(reply, "reply");
    assert_eq!(later.slots, [Slot::Argument(0), Slot::Reply]);
    assert!(matches!(note.kind, MethodKind::Cast));
    assert_eq!(note.slots, [Slot::Argument(0)], "a cast hands a reply on like any argument");
}

#[test]
fn names_come_from_the_state() {
    let server = read(
        quote!(),
        quote!(
            impl<T: Send> a::Store<T> {}
        ),
    )
    .unwrap();
    assert_eq!(
        (server.msg.to_string(), server.client.to_string()),
        ("StoreMsg".into(), "StoreClient".into())
    );
    assert!(matches!(server.visibility, Visibility::Inherited));
}

#[test]
fn a_variant_is_the_methods_name_in_camel_case() {
    let cases = [
        ("pay", "Pay"),
        ("process_payment", "ProcessPayment"),
        ("v2_get", "V2Get"),
        ("_odd__one", "OddOne"),
    ];
    for (method, variant) in cases {
        assert_eq!(variant_of(&Ident::new(method, Span::call_site())), variant);
    }
    assert_eq!(variant_of(&parse_quote!(r#match)), "Match");
    assert_eq!(variant_of(&parse_quote!(self_)), "_Self");
    assert_eq!(variant_of(&parse_quote!(_1)), "_1");
}

#[test]
fn the_widest_visibility_wins() {
    let wide = |all: &[&str]| {
        let all: Vec<Visibility> = all.iter().map(|text| syn::parse_str(text).unwrap()).collect();
        widest(all.iter()).to_token_stream().to_string().replace(' ', "")
    };
    assert_eq!(wide(&["", "pub(self)", "pub(super)"]), "pub(super)");
    assert_eq!(wide(&["pub(crate)", "pub(in super::shop)"]), "pub(crate)");
    assert_eq!(wide(&["", "pub", "pub(crate)"]), "pub");
}

#[test]
fn a_fresh_name_is_none_of_the_taken() {
    let taken: [Ident; 2] = [parse_quote!(reply), parse_quote!(reply_)];
    assert_eq!(fresh("reply", taken.iter()), "reply__");
    assert_eq!(fresh("answer", taken.iter()), "answer");
}

#[test]
fn marks_are_taken_off_whatever_else_is_wrong() {
    let mut block = block(
        quote!(impl A { #[call] #[inline] #[linden::cast] fn a(self) {} #[init] const B: u8 = 1; }),
    )
    .unwrap();
    let marks = take_marks(&mut block);
    assert_eq!(marks.len(), 2);
    assert_eq!(
        block.to_token_stream().to_string(),
        "impl A { # [inline] fn a (self) { } const B : u8 = 1 ; }"
    );
}

#[test]
fn options_that_do_not_exist_are_refused() {
    let cases = [
        (
            quote!(named = "x"),
            "unknown option `named`: `gen_server` takes `name = \"..\"`, `remote`, `msg = \
             TypeName` and `client = TypeName`",
        ),
        (quote!(remote, remote), "`remote` is given twice"),
        (quote!(name = ""), "a registered name cannot be empty"),
        (quote!(name = 5), "expected string literal"),
        (quote!(name "x"), "expected `=`"),
        (quote!(remote name = "x"), "expected `,`"),
    ];
    for (options, expected) in cases {
        check(options, quote!(impl Billing {}), vec![expected]);
    }
}

#[test]
fn blocks_that_are_no_server_are_refused() {
    let cases = [
        (
            quote!(
                struct Billing;
            ),
            "`#[gen_server]` goes on the impl block of the state: `#[gen_server] impl Billing { \
             .. }`",
        ),
        (
            quote!(impl Clone for Billing {}),
            "`#[gen_server]` goes on the state's own impl block, not on an impl of a trait: it \
             writes `impl GenServer` itself",
        ),
        (
            quote!(
                impl (u8, u8) {}
            ),
            "`#[gen_server]` goes on the impl block of a named type: `impl Billing { .. }`",
        ),
        (
            quote!(
                impl<'a> Billing<'a> {}
            ),
            "a server owns its state, so its impl block has no lifetime parameters: hold owned \
             data (`String`, `Arc<..>`) instead",
        ),
        (
            quote!(impl Billing<'_> {}),
            "a server owns its state and cannot borrow for `'_`: use an owned type or `'static`",
        ),
        (
            concat!("un", "safe impl Billing {}").parse().expect("tokens"),
            "a server's impl block is not `unsafe`",
        ),
        (
            quote!(
                #[cfg(unix)]
                impl Billing {}
            ),
            "put this above `#[gen_server]`, so that it decides about all that is written",
        ),
    ];
    for (input, expected) in cases {
        check(quote!(), input, vec![expected]);
    }
}

#[test]
fn signatures_that_no_handler_can_have_are_refused() {
    let cases = [
        (
            quote!(
                #[call]
                fn a() {}
            ),
            "`#[call]` needs a method: add `&mut self` or `&self`",
        ),
        (
            quote!(
                #[cast]
                fn a(self) {}
            ),
            "the server keeps its state: take `&mut self` or `&self`",
        ),
        (
            quote!(
                #[call]
                fn a(self: Box<Self>) {}
            ),
            "the server keeps its state: take `&mut self` or `&self`",
        ),
        (
            quote!(
                #[call]
                fn a<T: Send>(&self, x: T) {}
            ),
            "a message has one concrete type, so a handler has no generic parameters: put them on \
             the impl block",
        ),
        (
            quote!(
                #[call]
                fn a(&self)
                where
                    u8: Copy,
                {
                }
            ),
            "a handler has no bounds of its own: put them on the impl block",
        ),
        (
            concat!("#[call] un", "safe fn a(&self) {}").parse().expect("tokens"),
            "a handler is called by the server and cannot be `unsafe`",
        ),
        (
            quote!(
                #[call]
                extern "C" fn a(&self) {}
            ),
            "a handler is a Rust function: remove the `extern`",
        ),
        (
            quote!(
                #[call]
                fn a(&self, #[cfg(unix)] x: u8) {}
            ),
            "a message has the same parts in every build: put the `cfg` on the method",
        ),
    ];
    for (methods, expected) in cases {
        check_methods(methods, expected);
    }
}

#[test]
fn arguments_that_are_no_part_of_a_message_are_refused() {
    let pattern =
        "an argument needs a plain name here, not a pattern: take it apart inside the method";
    let cases = [
        (
            quote!(
                #[call]
                fn a(&self, (x, y): (u8, u8)) {}
            ),
            pattern,
        ),
        (
            quote!(
                #[call]
                fn a(&self, ref x: u8) {}
            ),
            pattern,
        ),
        (
            quote!(
                #[call]
                fn a(&self, x @ _: u8) {}
            ),
            pattern,
        ),
        (
            quote!(
                #[call]
                fn a(&self, _: u8) {}
            ),
            "an argument is a part of the message and needs a name: write `_name`",
        ),
        (
            quote!(
                #[call]
                fn a(&self, x: &str) {}
            ),
            "a message owns its parts and cannot borrow: take a `String`",
        ),
        (
            quote!(
                #[cast]
                fn a(&self, x: Vec<impl Read>) {}
            ),
            "a message has one concrete type, so `impl Trait` cannot stand here: name the type, \
             or box it (`Box<dyn Trait + Send>`)",
        ),
        (
            quote!(
                #[call]
                fn a(&self, cx: Context<Self>) {}
            ),
            "the context is borrowed: write `cx: &mut Context<Self>`",
        ),
        (
            quote!(
                #[call]
                fn a(&self, a: &mut Context<Self>, b: &Context<Self>) {}
            ),
            "a handler takes the context once",
        ),
    ];
    for (methods, expected) in cases {
        check_methods(methods, expected);
    }
}

#[test]
fn answers_that_cannot_be_sent_are_refused() {
    let cases = [
        (
            quote!(
                #[call]
                fn a(&self) -> &str {}
            ),
            "an answer is sent to the caller, so it owns its parts and cannot borrow: return a \
             `String`",
        ),
        (
            quote!(
                #[call]
                fn a(&self) -> impl Future<Output = u8> {}
            ),
            "the client must name the answer's type, so `impl Trait` cannot stand here: name the \
             type; a method that awaits is an `async fn`",
        ),
        (
            quote!(
                #[call]
                fn a(&self, reply: Reply<&'a u8>) {}
            ),
            "an answer is sent to the caller, so it owns its parts and cannot borrow: return `u8` \
             by value",
        ),
        (
            quote!(
                #[call]
                fn a(&self, reply: Reply<u8>) -> u8 {}
            ),
            "a call that takes a `Reply` answers through it and returns nothing: remove the \
             return type or the `Reply`",
        ),
        (
            quote!(
                #[call]
                fn a(&self, one: Reply<u8>, two: Reply<u8>) {}
            ),
            "a call has one answer, so its method takes one `Reply`",
        ),
        (
            quote!(
                #[cast]
                fn a(&self) -> u8 {}
            ),
            "nobody waits for a cast, so it returns nothing: remove the return type or make it a \
             `#[call]`",
        ),
    ];
    for (methods, expected) in cases {
        check_methods(methods, expected);
    }
}

#[test]
fn marks_that_contradict_are_refused() {
    let cases = [
        (
            quote!(
                #[call]
                #[cast]
                fn a(&self) {}
            ),
            "a method is either `#[call]` or `#[cast]`, not both: remove one",
        ),
        (
            quote!(
                #[info]
                #[call]
                fn a(&self) {}
            ),
            "a method is either `#[info]` or `#[call]`, not both: remove one",
        ),
        (
            quote!(
                #[call]
                #[call]
                fn a(&self) {}
            ),
            "`#[call]` is given twice",
        ),
        (
            quote!(
                #[call(fast)]
                fn a(&self) {}
            ),
            "`#[call]` takes no arguments",
        ),
        (
            quote!(
                #[timeout = 5]
                fn a(&self) {}
            ),
            "`#[timeout]` takes no arguments",
        ),
        (
            quote!(
                #[call]
                const A: u8 = 1;
            ),
            "only a method can be a handler",
        ),
        (
            quote!(
                #[call]
                fn get_2(&self) {}
                #[cast]
                fn get2(&self) {}
            ),
            "`get_2` and `get2` would both be the message `Get2`: rename one",
        ),
    ];
    for (methods, expected) in cases {
        check_methods(methods, expected);
    }
}

#[test]
fn a_named_server_keeps_its_two_functions() {
    let expected = "`#[gen_server(name = ..)]` writes `named` itself: rename this one";
    check(quote!(name = "x"), quote!(impl A { #[call] fn named(&self) {} }), vec![expected]);
    assert!(read(quote!(), quote!(impl A { #[call] fn named(&self) {} })).is_ok());
}

#[test]
fn a_remote_message_has_parts_that_bytes_can_give() {
    let many = (0..17).map(|number| quote::format_ident!("a{number}"));
    check(
        quote!(remote),
        quote! {
            impl A {
                #[call] fn a(&self #(, #many: u8)*) {}
                #[cast] fn b(&self, x: &'static str) {}
            }
        },
        vec![
            "a remote message has at most 16 parts: put some of them into a struct",
            "a remote message is read from bytes, so it owns its parts and cannot borrow: take a \
             `String`",
        ],
    );
}

#[test]
fn all_mistakes_are_reported_at_once() {
    check(
        quote!(fast),
        quote!(impl A { #[call] fn a(self, x: &u8) {} #[cast] fn b() {} }),
        vec![
            "unknown option `fast`: `gen_server` takes `name = \"..\"`, `remote`, `msg = \
             TypeName` and `client = TypeName`",
            "the server keeps its state: take `&mut self` or `&self`",
            "a message owns its parts and cannot borrow: take `u8` by value",
            "`#[cast]` needs a method: add `&mut self` or `&self`",
        ],
    );
}
