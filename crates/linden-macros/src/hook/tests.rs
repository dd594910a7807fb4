//! What a callback may look like, and what each mistake is answered with.

use quote::quote;
use syn::parse_quote;

use super::*;
use crate::errors::Errors;

fn reader(self_ty: &Type) -> Reader<'_> {
    Reader { self_ty, remote: false, errors: Errors::default() }
}

fn check(kind: HookKind, method: ImplItemFn, expected: &str) {
    let state = parse_quote!(Billing);
    let mut reader = reader(&state);
    reader.hook(kind, &method, &[]);
    let found: Vec<String> =
        reader.errors.finish().err().into_iter().flatten().map(|error| error.to_string()).collect();
    assert_eq!(found, [expected]);
}

#[test]
fn callbacks_that_ask_for_too_much_are_refused() {
    let nothing = "takes `&mut self` and, if wanted, `cx: &mut Context<Self>`";
    let cases: [(HookKind, ImplItemFn, String); 8] = [
        (
            HookKind::Init,
            parse_quote!(
                fn a(&mut self, size: u8) {}
            ),
            format!("`#[init]` {nothing}"),
        ),
        (
            HookKind::Timeout,
            parse_quote!(
                fn a(&mut self, after: u8) {}
            ),
            format!("`#[timeout]` {nothing}"),
        ),
        (
            HookKind::Continues,
            parse_quote!(
                fn a(&mut self, a: &mut Context<Self>, b: &mut Context<Self>) {}
            ),
            format!("`#[continues]` {nothing}"),
        ),
        (
            HookKind::Info,
            parse_quote!(
                fn a(&mut self) {}
            ),
            "`#[info]` takes `&mut self`, `info: Info` and, if wanted, `cx: &mut Context<Self>`"
                .to_owned(),
        ),
        (
            HookKind::Terminate,
            parse_quote!(
                fn a(&mut self, reason: Reason) {}
            ),
            "`#[terminate]` takes `&mut self` and, if wanted, `reason: &Reason` and `cx: &mut \
             Context<Self>`"
                .to_owned(),
        ),
        (
            HookKind::Info,
            parse_quote!(
                fn a(&mut self, info: Info) -> u8 {}
            ),
            "`#[info]` returns nothing: to end the server, call `cx.stop(reason)`".to_owned(),
        ),
        (
            HookKind::Init,
            parse_quote!(
                fn a() {}
            ),
            "`#[init]` needs a method: add `&mut self` or `&self`".to_owned(),
        ),
        (
            HookKind::Init,
            parse_quote!(
                fn a(&mut self, size: &u8) {}
            ),
            format!("`#[init]` {nothing}"),
        ),
    ];
    for (kind, method, expected) in cases {
        check(kind, method, &expected);
    }
}

#[test]
fn a_second_callback_of_a_kind_is_refused() {
    let state = parse_quote!(Billing);
    for kind in [
        HookKind::Init,
        HookKind::Info,
        HookKind::Continues,
        HookKind::Timeout,
        HookKind::Terminate,
    ] {
        let info = (kind == HookKind::Info).then(|| quote!(, info: Info));
        let mut reader = reader(&state);
        let first = reader.hook(kind, &parse_quote!(fn one(&mut self #info) {}), &[]);
        let first = first.expect("the first of a kind is fine");
        assert!(reader.hook(kind, &parse_quote!(fn two(&mut self #info) {}), &[first]).is_none());
        let error = reader.errors.finish().expect_err("the second is not");
        let word = kind.word();
        assert_eq!(
            error.to_string(),
            format!("a server has one `#[{word}]`, and `one` is it already")
        );
    }
}

#[test]
fn a_callback_gets_its_parts_in_the_methods_order() {
    let state = parse_quote!(Billing);
    let method = parse_quote!(
        async fn end(&mut self, cx: &mut Context<Self>, why: &Reason) {}
    );
    let hook = reader(&state).hook(HookKind::Terminate, &method, &[]).expect("a correct callback");
    let expected = quote! {
        async fn terminate(&mut self, reason: &::linden::Reason, cx: &mut ::linden::Context<Self>) {
            Self::end(self, cx, reason).await;
        }
    };
    assert_eq!(hook.expand().to_string(), expected.to_string());
}
