//! Writes the entry points: `#[linden::main]` and `#[linden::test]`.
//!
//! Runs inside the compiler, on tokens alone. The user's async fn stays as it is, as a function
//! inside of the one that is written; that one hands it to `::linden::__private`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, ItemFn, Visibility};

use crate::errors::Errors;
use crate::signature;

/// `#[linden::main] async fn main(node: NodeBuilder) -> Result<(), NodeError>`.
pub(crate) fn main(arguments: TokenStream, input: TokenStream) -> TokenStream {
    let code = written(input.clone(), |entry, _| {
        check("main", &arguments, entry)?;
        let mut errors = Errors::default();
        if entry.sig.ident != "main" {
            errors.push(&entry.sig.ident, "`#[linden::main]` goes on the program's `main`");
        }
        if entry.sig.inputs.len() != 1 {
            errors.push(
                &entry.sig,
                "`#[linden::main]` takes one argument: `async fn main(node: NodeBuilder)`",
            );
        }
        if signature::returned(&entry.sig.output).is_none() {
            let text = "`#[linden::main]` returns how the node ended: `-> Result<(), NodeError>`";
            errors.push(&entry.sig, text);
        }
        errors.finish()?;
        let vis = &entry.vis;
        let entry = ItemFn { vis: Visibility::Inherited, ..entry.clone() };
        Ok(quote! {
            #vis fn main() -> ::std::process::ExitCode {
                #entry
                ::linden::__private::main(main)
            }
        })
    });
    code.unwrap_or_else(|error| {
        // Or the compiler would miss a `main` on top of what is wrong.
        let is_main = syn::parse2::<ItemFn>(input).is_ok_and(|entry| entry.sig.ident == "main");
        let instead = is_main.then(|| {
            quote!(
                fn main() {}
            )
        });
        quote!(#instead #error)
    })
}

/// `#[linden::test] async fn name(node: Node)`.
pub(crate) fn test(arguments: TokenStream, input: TokenStream) -> TokenStream {
    let code = written(input, |entry, attrs| {
        check("test", &arguments, entry)?;
        let mut errors = Errors::default();
        if entry.sig.inputs.len() > 1 {
            errors.push(
                &entry.sig.inputs,
                "`#[linden::test]` takes at most one argument: `node: Node`",
            );
        }
        for attribute in attrs {
            if signature::ends_with(attribute.path(), "test") {
                errors.push(attribute, "`#[linden::test]` makes it a test already: remove this");
            }
        }
        errors.finish()?;
        let (vis, ident, output) = (&entry.vis, &entry.sig.ident, &entry.sig.output);
        let body = if entry.sig.inputs.is_empty() {
            quote!(|_: ::linden::Node| #ident())
        } else {
            quote!(#ident)
        };
        let entry = ItemFn { vis: Visibility::Inherited, ..entry.clone() };
        Ok(quote! {
            #[::core::prelude::v1::test]
            #vis fn #ident() #output {
                #entry
                ::linden::__private::test(#body)
            }
        })
    });
    code.unwrap_or_else(|error| error)
}

/// What `write` makes of the function, under the function's own attributes; or the errors as code.
fn written(
    input: TokenStream,
    write: impl FnOnce(&ItemFn, &[Attribute]) -> syn::Result<TokenStream>,
) -> Result<TokenStream, TokenStream> {
    let code = syn::parse2::<ItemFn>(input).and_then(|mut entry| {
        let attrs = std::mem::take(&mut entry.attrs);
        let code = write(&entry, &attrs)?;
        Ok(quote!(#(#attrs)* #code))
    });
    code.map_err(syn::Error::into_compile_error)
}

fn check(word: &str, arguments: &TokenStream, entry: &ItemFn) -> syn::Result<()> {
    let mut errors = Errors::default();
    if !arguments.is_empty() {
        errors.push(arguments, format!("`#[linden::{word}]` takes no arguments"));
    }
    if entry.sig.asyncness.is_none() {
        errors.push(&entry.sig, format!("`#[linden::{word}]` goes on an `async fn`"));
    }
    if !entry.sig.generics.params.is_empty() {
        errors.push(
            &entry.sig.generics,
            format!("`#[linden::{word}]` goes on a function without generic parameters"),
        );
    }
    errors.finish()
}

#[cfg(test)]
mod tests;
