//! The callbacks of a server beside its messages: `#[init]`, `#[info]`, `#[continues]`,
//! `#[timeout]`, `#[terminate]`, each at most once.
//!
//! Runs inside the compiler, on tokens alone. Each becomes one method of `impl GenServer` that
//! calls the user's; a callback that is not given keeps the trait's default.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Attribute, Ident, ImplItemFn, PatType, Type};

use crate::parse::Reader;
use crate::signature;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HookKind {
    Init,
    Info,
    Continues,
    Timeout,
    Terminate,
}

/// One callback, read and checked.
pub(crate) struct Hook {
    kind: HookKind,
    ident: Ident,
    is_async: bool,
    slots: Vec<HookSlot>,
    /// Whether `#[init]` gives a result of its own.
    is_fallible: bool,
    cfgs: Vec<Attribute>,
    is_deprecated: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum HookSlot {
    Context,
    Info,
    Reason,
}

impl HookKind {
    fn word(self) -> &'static str {
        match self {
            HookKind::Init => "init",
            HookKind::Info => "info",
            HookKind::Continues => "continues",
            HookKind::Timeout => "timeout",
            HookKind::Terminate => "terminate",
        }
    }

    /// What the parameter, no `Context`, is filled with.
    fn slot(self, ty: &Type) -> Option<HookSlot> {
        match self {
            HookKind::Info if !matches!(ty, Type::Reference(_)) => Some(HookSlot::Info),
            HookKind::Terminate if signature::is_reason(ty) => Some(HookSlot::Reason),
            _ => None,
        }
    }

    fn takes(self) -> &'static str {
        match self {
            HookKind::Init | HookKind::Continues | HookKind::Timeout => {
                "`&mut self` and, if wanted, `cx: &mut Context<Self>`"
            }
            HookKind::Info => "`&mut self`, `info: Info` and, if wanted, `cx: &mut Context<Self>`",
            HookKind::Terminate => {
                "`&mut self` and, if wanted, `reason: &Reason` and `cx: &mut Context<Self>`"
            }
        }
    }
}

impl Reader<'_> {
    /// Reads one callback; `earlier` are the ones before it in the block.
    pub(crate) fn hook(
        &mut self,
        kind: HookKind,
        method: &ImplItemFn,
        earlier: &[Hook],
    ) -> Option<Hook> {
        let word = kind.word();
        signature::check_handler(word, method, &mut self.errors);
        if let Some(first) = earlier.iter().find(|hook| hook.kind == kind) {
            let text = format!("a server has one `#[{word}]`, and `{}` is it already", first.ident);
            self.errors.push(&method.sig.ident, text);
            return None;
        }
        let slots = self.hook_slots(kind, method);
        let returned = signature::returned(&method.sig.output);
        if let (Some(returned), false) = (returned, kind == HookKind::Init) {
            let text =
                format!("`#[{word}]` returns nothing: to end the server, call `cx.stop(reason)`");
            self.errors.push(returned, text);
        }
        Some(Hook {
            kind,
            ident: signature::outside(&method.sig.ident),
            is_async: method.sig.asyncness.is_some(),
            slots,
            is_fallible: returned.is_some(),
            cfgs: signature::attributes(&method.attrs, &["cfg"]),
            is_deprecated: !signature::attributes(&method.attrs, &["deprecated"]).is_empty(),
        })
    }

    fn hook_slots(&mut self, kind: HookKind, method: &ImplItemFn) -> Vec<HookSlot> {
        let mut slots = Vec::new();
        for input in signature::typed(&method.sig) {
            let slot = if signature::is_context(&input.ty) {
                Some(HookSlot::Context)
            } else {
                kind.slot(&input.ty)
            };
            match slot {
                Some(slot) if !slots.contains(&slot) => slots.push(slot),
                _ => self.misplaced(kind, input),
            }
        }
        if kind == HookKind::Info && !slots.contains(&HookSlot::Info) {
            self.errors.push(&method.sig.ident, format!("`#[info]` takes {}", kind.takes()));
        }
        slots
    }

    fn misplaced(&mut self, kind: HookKind, input: &PatType) {
        self.errors.push(input, format!("`#[{}]` takes {}", kind.word(), kind.takes()));
    }
}

impl Hook {
    /// The method of `impl GenServer`.
    pub(crate) fn expand(&self) -> TokenStream {
        let arguments = self.slots.iter().map(|slot| self.local(*slot));
        let ident = &self.ident;
        let wait = self.is_async.then(|| quote!(.await));
        // So that "mismatched types" points at the method.
        let here = ident.span();
        let call = quote_spanned!(here=> Self::#ident(self #(, #arguments)*) #wait);
        let cfgs = &self.cfgs;
        let lint = self.is_deprecated.then(|| quote!(#[allow(deprecated)]));
        let (cx, info, reason) = (
            self.local(HookSlot::Context),
            self.local(HookSlot::Info),
            self.local(HookSlot::Reason),
        );
        let context = quote!(#cx: &mut ::linden::Context<Self>);
        let body = match self.kind {
            HookKind::Init => {
                let body = if self.is_fallible {
                    call
                } else {
                    quote!(#call; ::std::result::Result::Ok(()))
                };
                let result = quote!(::std::result::Result<(), ::linden::Stop>);
                quote!(async fn init(&mut self, #context) -> #result { #body })
            }
            HookKind::Info => {
                quote!(async fn handle_info(&mut self, #info: ::linden::Info, #context) { #call; })
            }
            HookKind::Continues => quote!(async fn handle_continue(&mut self, #context) { #call; }),
            HookKind::Timeout => quote!(async fn handle_timeout(&mut self, #context) { #call; }),
            HookKind::Terminate => {
                let reason = quote!(#reason: &::linden::Reason);
                quote!(async fn terminate(&mut self, #reason, #context) { #call; })
            }
        };
        quote!(#(#cfgs)* #lint #body)
    }

    /// The name of a parameter, with an underscore before it when the user's method does not take
    /// it.
    fn local(&self, slot: HookSlot) -> Ident {
        let name = match slot {
            HookSlot::Context => "cx",
            HookSlot::Info => "info",
            HookSlot::Reason => "reason",
        };
        let underscore = if self.slots.contains(&slot) { "" } else { "_" };
        Ident::new(&format!("{underscore}{name}"), Span::mixed_site())
    }
}

#[cfg(test)]
mod tests;
