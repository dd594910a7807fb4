//! Reads the signature of one handler: its receiver, parameters, return type and attributes.
//!
//! Runs inside the compiler, on tokens alone. Knows nothing of messages: `parse` and `hook` decide
//! what a parameter means. Spans: [`outside`] gives names that the user's code can use too,
//! [`inside`] gives names that it cannot see; both point at the user's tokens but count as written
//! by the macro, so that the user's lints stay silent about them.

use proc_macro2::Span;
use quote::ToTokens as _;
use syn::{
    Attribute, Expr, ExprLit, FnArg, GenericArgument, Ident, ImplItemFn, Lit, Meta, MetaNameValue,
    PatType, Path, PathArguments, Receiver, ReceiverKind, ReturnType, Safety, Signature, Type,
    parse_quote,
};

use crate::errors::Errors;

/// What every handler must be: a plain, safe method on `&self` or `&mut self`.
pub(crate) fn check_handler(word: &str, method: &ImplItemFn, errors: &mut Errors) {
    let signature = &method.sig;
    match signature.receiver() {
        None => errors.push(
            &signature.ident,
            format!("`#[{word}]` needs a method: add `&mut self` or `&self`"),
        ),
        Some(receiver) if !is_borrowed(receiver) => {
            errors.push(receiver, "the server keeps its state: take `&mut self` or `&self`");
        }
        Some(_) => {}
    }
    if !signature.generics.params.is_empty() {
        let text = "a message has one concrete type, so a handler has no generic parameters: put \
            them on the impl block";
        errors.push(&signature.generics, text);
    }
    if let Some(bounds) = &signature.generics.where_clause {
        errors.push(bounds, "a handler has no bounds of its own: put them on the impl block");
    }
    if let Safety::Unsafe(keyword) = &signature.safety {
        errors.push(keyword, "a handler is called by the server and cannot be `unsafe`");
    }
    if let Some(abi) = &signature.abi {
        errors.push(abi, "a handler is a Rust function: remove the `extern`");
    }
    for input in typed(signature) {
        for cfg in attributes(&input.attrs, &["cfg", "cfg_attr"]) {
            errors.push(
                cfg,
                "a message has the same parts in every build: put the `cfg` on the method",
            );
        }
    }
}

fn is_borrowed(receiver: &Receiver) -> bool {
    match &receiver.kind {
        ReceiverKind::Reference(..) => true,
        ReceiverKind::Typed(_, ty) => borrowed_path(ty).is_some_and(|path| path.is_ident("Self")),
        _ => false,
    }
}

/// The parameters after `self`.
pub(crate) fn typed(signature: &Signature) -> impl Iterator<Item = &PatType> {
    signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(input) => Some(input),
        FnArg::Receiver(_) => None,
    })
}

/// The return type, unless it is `()`.
pub(crate) fn returned(output: &ReturnType) -> Option<&Type> {
    match output {
        ReturnType::Type(_, ty) => match &**ty {
            Type::Tuple(tuple) if tuple.elems.is_empty() => None,
            ty => Some(ty),
        },
        ReturnType::Default => None,
    }
}

/// `&mut Context<..>` or `&Context<..>`.
pub(crate) fn is_context(ty: &Type) -> bool {
    borrowed_path(ty).is_some_and(|path| ends_with(path, "Context"))
}

/// `Context<Self>`, forgotten to borrow.
pub(crate) fn is_context_by_value(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    let Some(last) = path.path.segments.last() else { return false };
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return false };
    let Some(GenericArgument::Type(Type::Path(state))) = arguments.args.first() else {
        return false;
    };
    last.ident == "Context" && state.path.is_ident("Self")
}

/// `&Reason`.
pub(crate) fn is_reason(ty: &Type) -> bool {
    borrowed_path(ty).is_some_and(|path| ends_with(path, "Reason"))
}

fn borrowed_path(ty: &Type) -> Option<&Path> {
    match ty {
        Type::Reference(reference) => match &*reference.elem {
            Type::Path(path) => Some(&path.path),
            _ => None,
        },
        _ => None,
    }
}

pub(crate) fn ends_with(path: &Path, word: &str) -> bool {
    path.segments.last().is_some_and(|last| last.ident == word)
}

/// The attributes with one of these names.
pub(crate) fn attributes(all: &[Attribute], names: &[&str]) -> Vec<Attribute> {
    all.iter()
        .filter(|attribute| names.iter().any(|name| attribute.path().is_ident(name)))
        .cloned()
        .collect()
}

/// The first paragraph of a doc comment. Whole copies would run their examples as tests again.
pub(crate) fn summary(docs: &[Attribute]) -> Vec<Attribute> {
    let (mut kept, mut begun, mut ended) = (Vec::new(), false, false);
    for attribute in docs {
        // `#[doc(hidden)]` and the like hold for all.
        let Some(text) = doc_text(attribute) else {
            kept.push(attribute.clone());
            continue;
        };
        let first = text.split("\n\n").next().unwrap_or_default();
        let is_blank = text.trim().is_empty();
        ended |= begun && is_blank;
        if !ended && !is_blank {
            kept.push(parse_quote!(#[doc = #first]));
            (begun, ended) = (true, first.len() < text.len());
        }
    }
    kept
}

fn doc_text(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        Meta::NameValue(MetaNameValue {
            value: Expr::Lit(ExprLit { lit: Lit::Str(text), .. }),
            ..
        }) => Some(text.value()),
        _ => None,
    }
}

/// A path as it was written.
pub(crate) fn path_text(path: &Path) -> String {
    path.to_token_stream().to_string().replace(' ', "")
}

/// The name as a name of an item or a field.
pub(crate) fn outside(name: &Ident) -> Ident {
    at(name, Span::call_site())
}

/// The name as a name of a local variable.
pub(crate) fn inside(name: &Ident) -> Ident {
    at(name, Span::mixed_site())
}

fn at(name: &Ident, hygiene: Span) -> Ident {
    let mut name = name.clone();
    name.set_span(name.span().resolved_at(hygiene));
    name
}
