//! The code that is written is that of the macro's page. That it compiles and runs is shown by the
//! tests in `tests/`, where the model of `linden` is.

use super::*;
use proc_macro2::Delimiter;

/// Expands a file that is one impl block under `#[gen_server(..)]`.
fn expand(file: &str) -> TokenStream {
    let mut block: syn::ItemImpl = syn::parse_str(file).expect("the file is an impl block");
    let attribute = block.attrs.remove(0);
    let options = match &attribute.meta {
        syn::Meta::List(list) => list.tokens.clone(),
        _ => TokenStream::new(),
    };
    gen_server(options, quote!(#block))
}

/// The tokens one by one; without the commas before a closing bracket, which rustfmt adds.
fn flat(tokens: TokenStream) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for token in tokens {
        if let TokenTree::Group(group) = token {
            let (open, close) = match group.delimiter() {
                Delimiter::Parenthesis => ("(", ")"),
                Delimiter::Bracket => ("[", "]"),
                Delimiter::Brace => ("{", "}"),
                Delimiter::None => ("", ""),
            };
            all.push(open.to_owned());
            all.extend(flat(group.stream()));
            all.push(close.to_owned());
        } else {
            if token.to_string() == ">" {
                all.pop_if(|last| last == ",");
            }
            all.push(token.to_string());
        }
    }
    all.pop_if(|last| last == ",");
    all
}

fn check(block: &str, page: &str) {
    let written = expand(block);
    let shown: TokenStream = page.parse().expect("the page is Rust");
    let (found, expected) = (flat(written.clone()), flat(shown));
    if let Some(place) =
        (0..found.len().max(expected.len())).find(|place| found.get(*place) != expected.get(*place))
    {
        let around =
            |all: &[String]| all[place.saturating_sub(10)..all.len().min(place + 10)].join(" ");
        panic!(
            "the page differs\nshown:   {}\nwritten: {}\nall: {written}",
            around(&expected),
            around(&found)
        );
    }
}

#[test]
fn the_page_shows_the_code_that_is_written() {
    check(include_str!("../../docs/billing.rs"), include_str!("../../docs/billing_expanded.rs"));
}

#[test]
fn the_page_shows_the_code_that_is_written_for_a_remote_server() {
    check(include_str!("../../docs/counter.rs"), include_str!("../../docs/counter_expanded.rs"));
}

#[test]
fn a_mistake_leaves_the_block_in_place() {
    let code =
        gen_server(quote!(), quote!(impl Billing { #[call] fn a(self) -> u8 { 1 } })).to_string();
    assert!(
        code.starts_with("impl Billing { fn a (self) -> u8 { 1 } } :: core :: compile_error !"),
        "{code}"
    );
    let code = gen_server(
        quote!(),
        quote!(
            struct Billing;
        ),
    )
    .to_string();
    assert!(code.starts_with("struct Billing ; :: core :: compile_error !"), "{code}");
}

#[test]
fn a_variant_has_the_first_paragraph_and_the_client_all() {
    let code = gen_server(
        quote!(),
        quote! {
            impl A {
                #[doc = " One."]
                #[doc = ""]
                #[doc = " Two."]
                #[doc(hidden)]
                #[call]
                #[inline]
                fn a(&self) {}
            }
        },
    );
    let code = code.to_string();
    let variant = "# [doc = \" One.\"] # [doc (hidden)] A";
    let client = "# [doc = \" One.\"] # [doc = \"\"] # [doc = \" Two.\"] # [doc (hidden)] pub fn a";
    assert!(code.contains(variant) && code.contains(client), "{code}");
    assert_eq!(code.matches("inline").count(), 1, "other attributes stay on the method alone");
}

#[test]
fn words_are_found_in_groups_too() {
    let words: Vec<String> =
        words(quote!(Store<(Server, [u8; 4])>)).iter().map(Ident::to_string).collect();
    assert_eq!(words, ["Store", "Server", "u8"]);
}
