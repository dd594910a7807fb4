//! The block of a server and the marks on its methods: `#[call]`, `#[cast]`, `#[init]` and so on.
//!
//! Runs inside the compiler, on tokens alone. The marks are no attributes to the compiler, so they
//! are taken off the block before anything can go wrong: one mistake must not become ten.

use proc_macro2::TokenStream;
use syn::{Attribute, ImplItem, ItemImpl};

use crate::hook::HookKind;

/// An attribute that gives a method its part in the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mark {
    Call,
    Cast,
    Hook(HookKind),
}

impl Mark {
    fn of(attribute: &Attribute) -> Option<Mark> {
        let segments = &attribute.path().segments;
        let qualified = segments.len() == 2 && segments[0].ident == "linden";
        if segments.len() != 1 && !qualified {
            return None;
        }
        Some(match segments.last()?.ident.to_string().as_str() {
            "call" => Mark::Call,
            "cast" => Mark::Cast,
            "init" => Mark::Hook(HookKind::Init),
            "info" => Mark::Hook(HookKind::Info),
            "continues" => Mark::Hook(HookKind::Continues),
            "timeout" => Mark::Hook(HookKind::Timeout),
            "terminate" => Mark::Hook(HookKind::Terminate),
            _ => return None,
        })
    }
}

/// The marks of one block, taken off it: each with the place of its method in the block.
pub(crate) type Marks = Vec<(usize, Vec<(Mark, Attribute)>)>;

/// Reads an inherent impl block.
pub(crate) fn block(input: TokenStream) -> syn::Result<ItemImpl> {
    match syn::parse2::<syn::Item>(input)? {
        syn::Item::Impl(block) => Ok(block),
        other => Err(syn::Error::new_spanned(
            other,
            "`#[gen_server]` goes on the impl block of the state: `#[gen_server] impl Billing { \
             .. }`",
        )),
    }
}

/// Takes the marks off the methods, so that the block can be written back.
pub(crate) fn take_marks(block: &mut ItemImpl) -> Marks {
    let mut all = Marks::new();
    for (place, item) in block.items.iter_mut().enumerate() {
        let attrs = match item {
            ImplItem::Fn(method) => &mut method.attrs,
            ImplItem::Const(item) => &mut item.attrs,
            ImplItem::Type(item) => &mut item.attrs,
            _ => continue,
        };
        let mut marks = Vec::new();
        attrs.retain(|attribute| match Mark::of(attribute) {
            Some(mark) => {
                marks.push((mark, attribute.clone()));
                false
            }
            None => true,
        });
        if !marks.is_empty() {
            all.push((place, marks));
        }
    }
    all
}
