//! Reads `#[gen_server(..)] impl Billing { .. }` into a [`Server`]: what the expansion needs,
//! already checked, so that `expand` and `wire` cannot fail.
//!
//! Runs inside the compiler, on tokens alone: it sees no types, so `Reply<T>` and `Context<Self>`
//! are recognised by the last word of their path. Invariants: the marks (`#[call]` ...) are taken
//! off the block whatever else is wrong, so that one mistake does not become ten; every mistake of
//! a block is reported, at the tokens to change, with the mend in the text. Absent on purpose:
//! judging whether a type is `Send` or serialisable (the compiler does, in the code written).

use std::collections::HashMap;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt as _;
use syn::{
    Attribute, GenericArgument, Generics, Ident, ImplItem, ImplItemFn, ItemImpl, LitStr, Pat,
    PatType, PathArguments, Type, Visibility,
};

use crate::errors::Errors;
use crate::hook::Hook;
use crate::marks::{Mark, Marks};
use crate::options::Options;
use crate::owned::{self, Part};
use crate::signature;

/// A server's block, read and checked.
pub(crate) struct Server {
    /// The state's name, for texts.
    pub(crate) state: Ident,
    pub(crate) self_ty: Type,
    /// The block's generics, with `Self` written out.
    pub(crate) generics: Generics,
    pub(crate) msg: Ident,
    pub(crate) client: Ident,
    pub(crate) name: Option<LitStr>,
    pub(crate) remote: bool,
    /// The widest among the calls and casts.
    pub(crate) visibility: Visibility,
    pub(crate) methods: Vec<Method>,
    pub(crate) hooks: Vec<Hook>,
}

/// One `#[call]` or `#[cast]`.
pub(crate) struct Method {
    pub(crate) ident: Ident,
    pub(crate) variant: Ident,
    pub(crate) kind: MethodKind,
    pub(crate) is_async: bool,
    /// The parts of the message, in order.
    pub(crate) arguments: Vec<Argument>,
    /// What the method takes after `self`, in order.
    pub(crate) slots: Vec<Slot>,
    pub(crate) visibility: Visibility,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) deprecated: Vec<Attribute>,
}

/// What a message asks for.
pub(crate) enum MethodKind {
    Call { answer: TokenStream, answered: Answered, reply: Ident },
    Cast,
}

/// Who answers a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answered {
    /// The value that the method returns.
    ByReturn,
    /// Whoever holds the `Reply` that the method was given.
    ByReply,
}

/// One part of a message, with `Self` written out.
pub(crate) struct Argument {
    pub(crate) ident: Ident,
    pub(crate) ty: TokenStream,
}

/// What a handler's parameter is filled with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Slot {
    Argument(usize),
    Context,
    Reply,
}

impl Server {
    /// Reads the block whose marks were taken off before.
    pub(crate) fn read(
        options: TokenStream,
        block: &ItemImpl,
        marks: &Marks,
    ) -> syn::Result<Server> {
        let mut errors = Errors::default();
        let options: Options = syn::parse2(options).unwrap_or_else(|error| {
            errors.add(error);
            Options::default()
        });
        let base = state_name(block)?;
        check_block(block, &mut errors);
        let mut reader = Reader { self_ty: &block.self_ty, remote: options.remote, errors };
        let mut methods = Vec::new();
        let mut hooks: Vec<Hook> = Vec::new();
        for (place, marks) in marks {
            match reader.marked(&block.items[*place], marks) {
                Some((Mark::Hook(kind), method)) => hooks.extend(reader.hook(kind, method, &hooks)),
                Some((mark, method)) => methods.push(reader.method(mark, method)),
                None => {}
            }
        }
        let mut errors = reader.errors;
        check_variants(&methods, &mut errors);
        if options.name.is_some() {
            check_reserved(block, &mut errors);
        }
        errors.finish()?;
        Ok(Server {
            self_ty: (*block.self_ty).clone(),
            generics: owned::generics_without_self(&block.generics, &block.self_ty)?,
            msg: options
                .msg
                .unwrap_or_else(|| Ident::new(&format!("{base}Msg"), Span::call_site())),
            client: options
                .client
                .unwrap_or_else(|| Ident::new(&format!("{base}Client"), Span::call_site())),
            state: base,
            name: options.name,
            remote: options.remote,
            visibility: widest(methods.iter().map(|method| &method.visibility)),
            methods,
            hooks,
        })
    }
}

/// Reads the handlers of one block.
pub(crate) struct Reader<'a> {
    pub(crate) self_ty: &'a Type,
    pub(crate) remote: bool,
    pub(crate) errors: Errors,
}

impl Reader<'_> {
    /// The one mark of a method, or an error.
    fn marked<'i>(
        &mut self,
        item: &'i ImplItem,
        marks: &[(Mark, Attribute)],
    ) -> Option<(Mark, &'i ImplItemFn)> {
        let (mark, attribute) = &marks[0];
        for (_, attribute) in marks {
            if let Err(error) = attribute.meta.require_path_only() {
                let word = signature::path_text(attribute.path());
                self.errors
                    .add(syn::Error::new(error.span(), format!("`#[{word}]` takes no arguments")));
            }
        }
        if let Some((_, second)) = marks.get(1) {
            let (one, two) =
                (signature::path_text(attribute.path()), signature::path_text(second.path()));
            let text = if one == two {
                format!("`#[{one}]` is given twice")
            } else {
                format!("a method is either `#[{one}]` or `#[{two}]`, not both: remove one")
            };
            self.errors.push(second, text);
            return None;
        }
        let ImplItem::Fn(method) = item else {
            self.errors.push(attribute, "only a method can be a handler");
            return None;
        };
        Some((*mark, method))
    }

    fn method(&mut self, mark: Mark, method: &ImplItemFn) -> Method {
        let word = if mark == Mark::Call { "call" } else { "cast" };
        signature::check_handler(word, method, &mut self.errors);
        let Parameters { arguments, slots, deferred } = self.parameters(mark, method);
        let kind = match mark {
            Mark::Call => self.call_kind(method, deferred, &arguments),
            _ => self.cast_kind(method),
        };
        Method {
            ident: signature::outside(&method.sig.ident),
            variant: variant_of(&method.sig.ident),
            kind,
            is_async: method.sig.asyncness.is_some(),
            arguments,
            slots,
            visibility: method.vis.clone(),
            docs: signature::attributes(&method.attrs, &["doc"]),
            cfgs: signature::attributes(&method.attrs, &["cfg"]),
            deprecated: signature::attributes(&method.attrs, &["deprecated"]),
        }
    }

    fn parameters<'m>(&mut self, mark: Mark, method: &'m ImplItemFn) -> Parameters<'m> {
        let mut all = Parameters::default();
        for input in signature::typed(&method.sig) {
            let slot = if signature::is_context(&input.ty) {
                Slot::Context
            } else if let (Mark::Call, Some(answer)) = (mark, reply_of(&input.ty)) {
                all.deferred = Some(answer);
                Slot::Reply
            } else {
                all.arguments.extend(self.argument(input));
                Slot::Argument(all.arguments.len().saturating_sub(1))
            };
            if slot == Slot::Reply && all.slots.contains(&slot) {
                self.errors.push(input, "a call has one answer, so its method takes one `Reply`");
            }
            if slot == Slot::Context && all.slots.contains(&slot) {
                self.errors.push(input, "a handler takes the context once");
            }
            all.slots.push(slot);
        }
        if self.remote && all.arguments.len() > ARGUMENTS_MAX {
            let text = format!(
                "a remote message has at most {ARGUMENTS_MAX} parts: put some of them into a struct"
            );
            self.errors.push(&method.sig.inputs, text);
        }
        all
    }

    fn argument(&mut self, input: &PatType) -> Option<Argument> {
        if signature::is_context_by_value(&input.ty) {
            self.errors.push(input, "the context is borrowed: write `cx: &mut Context<Self>`");
            return None;
        }
        self.owned(&input.ty, Part::Argument);
        let ident = match &*input.pat {
            Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() => &name.ident,
            Pat::Wild(wild) => {
                self.errors.push(
                    wild,
                    "an argument is a part of the message and needs a name: write `_name`",
                );
                return None;
            }
            other => {
                let text = "an argument needs a plain name here, not a pattern: take it apart \
                    inside the method";
                self.errors.push(other, text);
                return None;
            }
        };
        Some(Argument {
            ident: signature::inside(ident),
            ty: owned::without_self(&input.ty, self.self_ty),
        })
    }

    fn owned(&mut self, ty: &Type, part: Part) {
        owned::check(ty, part, self.remote, &mut self.errors);
    }

    fn call_kind(
        &mut self,
        method: &ImplItemFn,
        deferred: Option<&Type>,
        arguments: &[Argument],
    ) -> MethodKind {
        let returned = signature::returned(&method.sig.output);
        let (answer, answered) = match (deferred, returned) {
            (Some(answer), None) => (Some(answer), Answered::ByReply),
            (Some(answer), Some(returned)) => {
                let text = "a call that takes a `Reply` answers through it and returns nothing: \
                    remove the return type or the `Reply`";
                self.errors.push(returned, text);
                (Some(answer), Answered::ByReply)
            }
            (None, returned) => (returned, Answered::ByReturn),
        };
        if let Some(answer) = answer {
            self.owned(answer, Part::Answer);
        }
        let answer =
            answer.map_or_else(|| quote!(()), |answer| owned::without_self(answer, self.self_ty));
        let reply = fresh("reply", arguments.iter().map(|argument| &argument.ident));
        MethodKind::Call { answer, answered, reply }
    }

    fn cast_kind(&mut self, method: &ImplItemFn) -> MethodKind {
        if let Some(returned) = signature::returned(&method.sig.output) {
            let text = "nobody waits for a cast, so it returns nothing: remove the return type or \
                make it a `#[call]`";
            self.errors.push(returned, text);
        }
        MethodKind::Cast
    }
}

/// A handler's parameters after `self`.
#[derive(Default)]
struct Parameters<'m> {
    arguments: Vec<Argument>,
    slots: Vec<Slot>,
    /// The answer's type, if the method takes a `Reply`.
    deferred: Option<&'m Type>,
}

/// The widest tuple that serde reads and writes.
const ARGUMENTS_MAX: usize = 16;

fn check_block(block: &ItemImpl, errors: &mut Errors) {
    if let Some((path, _)) = &block.trait_ {
        let text = "`#[gen_server]` goes on the state's own impl block, not on an impl of a \
            trait: it writes `impl GenServer` itself";
        errors.push(path, text);
    }
    if let Some(unsafety) = &block.unsafety {
        errors.push(unsafety, "a server's impl block is not `unsafe`");
    }
    for lifetime in block.generics.lifetimes() {
        let text = "a server owns its state, so its impl block has no lifetime parameters: hold \
            owned data (`String`, `Arc<..>`) instead";
        errors.push(lifetime, text);
    }
    if block.generics.lifetimes().next().is_none() {
        owned::check(&block.self_ty, Part::State, false, errors);
    }
    for cfg in signature::attributes(&block.attrs, &["cfg", "cfg_attr"]) {
        errors.push(
            cfg,
            "put this above `#[gen_server]`, so that it decides about all that is written",
        );
    }
}

/// `Billing` of `impl billing::Billing<T>`.
fn state_name(block: &ItemImpl) -> syn::Result<Ident> {
    if let Type::Path(path) = &*block.self_ty
        && path.qself.is_none()
        && let Some(last) = path.path.segments.last()
    {
        return Ok(last.ident.unraw());
    }
    let text = "`#[gen_server]` goes on the impl block of a named type: `impl Billing { .. }`";
    Err(syn::Error::new_spanned(&block.self_ty, text))
}

/// The `T` of `Reply<T>`.
fn reply_of(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match (last.ident == "Reply", arguments.args.len(), arguments.args.first()) {
        (true, 1, Some(GenericArgument::Type(answer))) => Some(answer),
        _ => None,
    }
}

/// `ProcessPayment` of `process_payment`.
fn variant_of(method: &Ident) -> Ident {
    let mut name = String::new();
    for word in method.unraw().to_string().split('_') {
        let mut letters = word.chars();
        name.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        name.push_str(letters.as_str());
    }
    // `self_` and `_1` would be no names for a variant.
    if name == "Self" || !name.starts_with(char::is_alphabetic) {
        name.insert(0, '_');
    }
    Ident::new(&name, signature::outside(method).span())
}

/// Two methods whose names differ by underscores only would share a variant.
fn check_variants(methods: &[Method], errors: &mut Errors) {
    let mut seen: HashMap<String, &Ident> = HashMap::new();
    for method in methods {
        match seen.insert(method.variant.to_string(), &method.ident) {
            // The same name twice is either excluded by `cfg` or the compiler's own error.
            Some(other) if *other != method.ident => {
                let (one, two, variant) = (other, &method.ident, &method.variant);
                let text = format!(
                    "`{one}` and `{two}` would both be the message `{variant}`: rename one"
                );
                errors.push(two, text);
            }
            _ => {}
        }
    }
}

/// A server with a name gets these two functions.
fn check_reserved(block: &ItemImpl, errors: &mut Errors) {
    for item in &block.items {
        let ImplItem::Fn(method) = item else { continue };
        let ident = &method.sig.ident;
        if ident == "named" || ident == "named_on" {
            errors.push(
                ident,
                format!("`#[gen_server(name = ..)]` writes `{ident}` itself: rename this one"),
            );
        }
    }
}

/// `base`, with underscores behind it until it is none of `taken`.
pub(crate) fn fresh<'a>(base: &str, taken: impl Iterator<Item = &'a Ident>) -> Ident {
    let taken: Vec<String> = taken.map(Ident::to_string).collect();
    let mut name = base.to_owned();
    while taken.contains(&name) {
        name.push('_');
    }
    Ident::new(&name, Span::mixed_site())
}

fn widest<'a>(all: impl Iterator<Item = &'a Visibility>) -> Visibility {
    let width = |visibility: &Visibility| match visibility {
        Visibility::Public(_) => 4,
        Visibility::Restricted(inside) if inside.path.is_ident("crate") => 3,
        Visibility::Restricted(inside) if inside.path.is_ident("self") => 1,
        Visibility::Restricted(_) => 2,
        Visibility::Inherited => 0,
    };
    all.max_by_key(|visibility| width(visibility)).cloned().unwrap_or(Visibility::Inherited)
}

#[cfg(test)]
mod tests;
