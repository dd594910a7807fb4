//! What the entry points become, and what each mistake is answered with.

use super::*;

fn same(found: TokenStream, expected: TokenStream) {
    assert_eq!(found.to_string(), expected.to_string());
}

/// Asserts that this text is among the compile errors in `code`.
fn refused(code: TokenStream, expected: &str) {
    let code = code.to_string();
    assert!(code.contains("compile_error") && code.contains(&format!("{expected:?}")), "{code}");
}

#[test]
fn main_hands_the_function_to_linden() {
    same(
        main(
            quote!(),
            quote! {
                /// The node.
                #[allow(dead_code)]
                async fn main(node: NodeBuilder) -> Result<(), NodeError> { node.run().await }
            },
        ),
        quote! {
            /// The node.
            #[allow(dead_code)]
            fn main() -> ::std::process::ExitCode {
                async fn main(node: NodeBuilder) -> Result<(), NodeError> { node.run().await }
                ::linden::__private::main(main)
            }
        },
    );
}

#[test]
fn a_test_gets_the_node_if_it_asks_for_it() {
    same(
        test(
            quote!(),
            quote!(
                #[should_panic]
                pub async fn it_works(mut node: Node) -> Result<(), E> {
                    go(node).await
                }
            ),
        ),
        quote! {
            #[should_panic]
            #[::core::prelude::v1::test]
            pub fn it_works() -> Result<(), E> {
                async fn it_works(mut node: Node) -> Result<(), E> { go(node).await }
                ::linden::__private::test(it_works)
            }
        },
    );
    same(
        test(
            quote!(),
            quote!(
                async fn it_works() {
                    go().await
                }
            ),
        ),
        quote! {
            #[::core::prelude::v1::test]
            fn it_works() {
                async fn it_works() { go().await }
                ::linden::__private::test(|_: ::linden::Node| it_works())
            }
        },
    );
}

#[test]
fn a_wrong_main_is_refused_and_replaced_by_an_empty_one() {
    let right = quote!(
        async fn main(node: NodeBuilder) -> Result<(), NodeError> {}
    );
    refused(main(quote!(workers = 2), right), "`#[linden::main]` takes no arguments");
    let cases = [
        (
            quote!(
                fn main(node: NodeBuilder) -> R {}
            ),
            "`#[linden::main]` goes on an `async fn`",
        ),
        (
            quote!(
                async fn main<T>(node: NodeBuilder) -> R {}
            ),
            "`#[linden::main]` goes on a function without generic parameters",
        ),
        (
            quote!(
                async fn start(node: NodeBuilder) -> R {}
            ),
            "`#[linden::main]` goes on the program's `main`",
        ),
        (
            quote!(
                async fn main() -> R {}
            ),
            "`#[linden::main]` takes one argument: `async fn main(node: NodeBuilder)`",
        ),
        (
            quote!(
                async fn main(node: NodeBuilder) {}
            ),
            "`#[linden::main]` returns how the node ended: `-> Result<(), NodeError>`",
        ),
        (
            quote!(
                struct Main;
            ),
            "expected `fn`",
        ),
    ];
    for (function, expected) in cases {
        let is_main = function.to_string().contains("fn main");
        let code = main(quote!(), function);
        assert_eq!(code.to_string().starts_with("fn main () { }"), is_main, "{code}");
        refused(code, expected);
    }
}

#[test]
fn a_wrong_test_is_refused() {
    let cases = [
        (
            quote!(),
            quote!(
                fn a() {}
            ),
            "`#[linden::test]` goes on an `async fn`",
        ),
        (
            quote!(workers = 2),
            quote!(
                async fn a() {}
            ),
            "`#[linden::test]` takes no arguments",
        ),
        (
            quote!(),
            quote!(
                async fn a(a: Node, b: Node) {}
            ),
            "`#[linden::test]` takes at most one argument: `node: Node`",
        ),
        (
            quote!(),
            quote!(
                #[test]
                async fn a() {}
            ),
            "`#[linden::test]` makes it a test already: remove this",
        ),
    ];
    for (arguments, function, expected) in cases {
        refused(test(arguments, function), expected);
    }
}
