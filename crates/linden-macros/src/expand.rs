//! Writes the code of a [`Server`]: the message enum, `impl Message`, `impl GenServer`, the client,
//! and `named()`.
//!
//! Runs inside the compiler, on tokens alone. Invariants: every path is absolute (`::linden::..`,
//! `::std::..`), so that the user's names cannot change the meaning; local names cannot be seen by,
//! or clash with, the user's code; what carries a `cfg` in the block carries it wherever it
//! appears. The page of the macro (`docs/billing_expanded.rs`) is compared with this by a test.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Ident, ImplGenerics, Type, TypeGenerics, Visibility, WhereClause};

use crate::marks;
use crate::parse::{Answered, Method, MethodKind, Server, Slot, fresh};
use crate::signature;
use crate::wire;

/// `#[gen_server(options)] input`.
pub(crate) fn gen_server(options: TokenStream, input: TokenStream) -> TokenStream {
    let mut block = match marks::block(input.clone()) {
        Ok(block) => block,
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#input #error);
        }
    };
    let marks = marks::take_marks(&mut block);
    let server = Server::read(options, &block, &marks);
    let code =
        server.map_or_else(syn::Error::into_compile_error, |server| Expansion::of(&server).all());
    quote!(#block #code)
}

/// A server and the parts of its header that appear again and again.
pub(crate) struct Expansion<'a> {
    pub(crate) server: &'a Server,
    pub(crate) msg: &'a Ident,
    client: &'a Ident,
    self_ty: &'a Type,
    /// `<T: Send>`
    pub(crate) declared: ImplGenerics<'a>,
    /// `<T>`
    pub(crate) given: TypeGenerics<'a>,
    pub(crate) bounds: Option<&'a WhereClause>,
    /// Whether the enum has the variant that uses up its type parameters.
    has_phantom: bool,
}

impl<'a> Expansion<'a> {
    fn of(server: &'a Server) -> Self {
        let (declared, given, bounds) = server.generics.split_for_impl();
        let has_phantom = server.generics.type_params().next().is_some();
        let Server { msg, client, self_ty, .. } = server;
        Expansion { server, msg, client, self_ty, declared, given, bounds, has_phantom }
    }

    fn all(&self) -> TokenStream {
        let mut items = vec![
            self.message_enum(),
            self.message_impl(),
            self.server_impl(),
            self.client_struct(),
            self.client_methods(),
            self.client_traits(),
        ];
        items.extend(self.named());
        items.extend(self.server.remote.then(|| wire::codec_functions(self)));
        match &self.server.visibility {
            Visibility::Public(_) => quote!(#(#items)*),
            narrower => self.hidden(narrower, &items),
        }
    }

    /// The items with names that are seen less widely than `pub`. A `pub` state may not have a
    /// private message type (E0446), and the state's own visibility is not known here: so the items
    /// are `pub` where nobody can name them, and aliases give them the names.
    fn hidden(&self, visibility: &Visibility, items: &[TokenStream]) -> TokenStream {
        let Expansion { msg, client, self_ty, .. } = self;
        let mut parameters = self.server.generics.clone();
        for parameter in parameters.type_params_mut() {
            parameter.colon_token = None;
            parameter.bounds.clear();
        }
        let (parameters, ..) = parameters.split_for_impl();
        let (msg_doc, client_doc) = self.docs();
        quote! {
            #[doc = #msg_doc]
            #[allow(dead_code)]
            #visibility type #msg #parameters = <#self_ty as ::linden::GenServer>::Msg;
            #[doc = #client_doc]
            #[allow(dead_code)]
            #visibility type #client #parameters = <#self_ty as ::linden::GenServer>::Client;
            const _: () = { #(#items)* };
        }
    }

    fn docs(&self) -> (String, String) {
        let state = &self.server.state;
        (
            format!(" The messages of `{state}`."),
            format!(" The client of `{state}`: a method for each call and cast."),
        )
    }

    fn message_enum(&self) -> TokenStream {
        let Expansion { msg, declared, bounds, .. } = self;
        let doc = self.docs().0;
        let variants = self.server.methods.iter().map(|method| {
            let Method { variant, cfgs, arguments, kind, .. } = method;
            let docs = signature::summary(&method.docs);
            let parts = arguments.iter().map(|argument| {
                let (name, ty) = (&argument.ident, &argument.ty);
                quote!(#name: #ty)
            });
            let reply = match kind {
                MethodKind::Call { answer, reply, .. } => {
                    Some(quote!(#reply: ::linden::Reply<#answer>))
                }
                MethodKind::Cast => None,
            };
            let parts = braced(parts.chain(reply).collect());
            quote!(#(#docs)* #(#cfgs)* #variant #parts,)
        });
        let names = self.server.generics.type_params().map(|parameter| &parameter.ident);
        let phantom = self.has_phantom.then(|| {
            quote! {
                #[doc(hidden)]
                __Phantom(
                    ::std::convert::Infallible,
                    ::std::marker::PhantomData<fn() -> (#(#names,)*)>
                ),
            }
        });
        quote! {
            #[doc = #doc]
            #[allow(missing_docs, rustdoc::broken_intra_doc_links)]
            pub enum #msg #declared #bounds { #(#variants)* #phantom }
        }
    }

    fn message_impl(&self) -> TokenStream {
        let Expansion { msg, declared, given, bounds, .. } = self;
        let arms = self.server.methods.iter().map(|method| {
            let Method { variant, cfgs, .. } = method;
            let name = method.name();
            let parts = (!method.parts().is_empty()).then(|| quote!({ .. }));
            quote!(#(#cfgs)* #msg::#variant #parts => #name,)
        });
        let never = self.phantom_arm();
        let codec = self.server.remote.then(|| wire::codec(self));
        quote! {
            impl #declared ::linden::Message for #msg #given #bounds {
                fn name(&self) -> &'static str { match *self { #(#arms)* #never } }
                #codec
            }
        }
    }

    /// The arm for the variant that cannot exist.
    pub(crate) fn phantom_arm(&self) -> Option<TokenStream> {
        let msg = self.msg;
        let never = Ident::new("never", Span::mixed_site());
        self.has_phantom.then(|| quote!(#msg::__Phantom(#never, _) => match #never {},))
    }

    fn server_impl(&self) -> TokenStream {
        let Expansion { msg, client, self_ty, declared, given, bounds, .. } = self;
        let name = self.server.name.as_ref().map(|name| {
            quote! {
                const NAME: ::std::option::Option<&'static str> =
                    ::std::option::Option::Some(#name);
            }
        });
        let handle = self.handle();
        let hooks = self.server.hooks.iter().map(crate::hook::Hook::expand);
        quote! {
            impl #declared ::linden::GenServer for #self_ty #bounds {
                type Msg = #msg #given;
                type Client = #client #given;
                #name
                #handle
                #(#hooks)*
                fn format_state(&self) -> ::std::option::Option<::std::string::String> {
                    #[allow(unused_imports)]
                    use ::linden::__private::debug::{ShowDebug as _, ShowNothing as _};
                    (&::linden::__private::debug::State(self)).linden_show()
                }
            }
        }
    }

    fn handle(&self) -> TokenStream {
        let everyone = self.server.methods.iter().flat_map(|method| &method.arguments);
        let slots = || self.server.methods.iter().flat_map(|method| &method.slots);
        let cx = if slots().any(|slot| *slot == Slot::Context) { "cx" } else { "_cx" };
        let cx = fresh(cx, everyone.map(|argument| &argument.ident));
        let msg = Ident::new("msg", Span::mixed_site());
        let arms = self.server.methods.iter().map(|method| self.arm(method, &cx));
        let never = self.phantom_arm();
        let deprecated = self.server.methods.iter().any(|method| !method.deprecated.is_empty());
        let lint = deprecated.then(|| quote!(#[allow(deprecated)]));
        quote! {
            #lint
            fn handle<'a>(
                &'a mut self,
                #msg: Self::Msg,
                #cx: &'a mut ::linden::Context<Self>,
            ) -> ::linden::Handled<'a> {
                match #msg { #(#arms)* #never }
            }
        }
    }

    fn arm(&self, method: &Method, cx: &Ident) -> TokenStream {
        let Method { ident, variant, cfgs, kind, is_async, .. } = method;
        let msg = self.msg;
        let parts = braced(method.parts());
        let arguments = method.slots.iter().map(|slot| match (slot, kind) {
            (Slot::Argument(place), _) => &method.arguments[*place].ident,
            (Slot::Reply, MethodKind::Call { reply, .. }) => reply,
            (Slot::Context | Slot::Reply, _) => cx,
        });
        let run = quote!(Self::#ident(self #(, #arguments)*));
        // So that "future cannot be sent between threads safely" points at the method.
        let here = ident.span();
        let body = match (kind, is_async) {
            (MethodKind::Call { answered: Answered::ByReturn, reply, .. }, true) => {
                let answer =
                    fresh("answer", method.arguments.iter().map(|argument| &argument.ident));
                quote_spanned! {here=>
                    ::linden::Handled::future(async move {
                        let #answer = #run.await;
                        #reply.send(#answer);
                    })
                }
            }
            (MethodKind::Call { answered: Answered::ByReturn, reply, .. }, false) => {
                quote!(#reply.send(#run); ::linden::Handled::done())
            }
            (_, true) => {
                quote_spanned!(here=> ::linden::Handled::future(async move { #run.await; }))
            }
            (_, false) => quote!(#run; ::linden::Handled::done()),
        };
        quote!(#(#cfgs)* #msg::#variant #parts => { #body })
    }

    /// The parameter lets a `pub` client belong to a state that is not `pub`: `Deref::Target` would
    /// be "a private type in a public interface" (E0446) unless the client's own type names the
    /// state too.
    fn client_struct(&self) -> TokenStream {
        let Expansion { client, self_ty, declared, bounds, .. } = self;
        let doc = self.docs().1;
        let taken = words(quote!(#self_ty #declared #bounds));
        let server = fresh("Server", taken.iter());
        let names = self.server.generics.type_params().map(|parameter| &parameter.ident);
        let phantom =
            self.has_phantom.then(|| quote!(, ::std::marker::PhantomData<fn() -> (#(#names,)*)>));
        let parameters = self.server.generics.params.iter();
        quote! {
            #[doc = #doc]
            pub struct #client<#(#parameters,)* #server: ::linden::GenServer = #self_ty>(
                ::linden::ServerRef<#server> #phantom
            ) #bounds;
        }
    }

    fn client_methods(&self) -> TokenStream {
        let Expansion { client, declared, given, bounds, .. } = self;
        let methods = self.server.methods.iter().map(|method| self.client_method(method));
        quote! {
            #[allow(dead_code, missing_docs, rustdoc::broken_intra_doc_links)]
            impl #declared #client #given #bounds { #(#methods)* }
        }
    }

    fn client_method(&self, method: &Method) -> TokenStream {
        let Method { ident, variant, docs, cfgs, deprecated, arguments, .. } = method;
        let msg = self.msg;
        let parts = braced(method.parts());
        let parameters = arguments.iter().map(|argument| {
            let (name, ty) = (&argument.ident, &argument.ty);
            quote!(#name: #ty)
        });
        let head =
            quote!(#(#docs)* #(#cfgs)* #(#deprecated)* pub fn #ident(&self #(, #parameters)*));
        let here = ident.span();
        match &method.kind {
            MethodKind::Call { answer, reply, .. } => {
                let call = quote_spanned!(here=> self.0.call(move |#reply| #msg::#variant #parts));
                quote!(#head -> ::linden::Call<'_, #answer> { #call })
            }
            MethodKind::Cast => quote!(#head { self.0.cast(#msg::#variant #parts); }),
        }
    }

    fn client_traits(&self) -> TokenStream {
        let Expansion { client, self_ty, declared, given, bounds, .. } = self;
        let text = client.to_string();
        let phantom = self.has_phantom.then(|| quote!(, ::std::marker::PhantomData));
        quote! {
            impl #declared ::std::convert::From<::linden::ServerRef<#self_ty>>
                for #client #given #bounds
            {
                fn from(server: ::linden::ServerRef<#self_ty>) -> Self { Self(server #phantom) }
            }
            impl #declared ::std::ops::Deref for #client #given #bounds {
                type Target = ::linden::ServerRef<#self_ty>;
                fn deref(&self) -> &Self::Target { &self.0 }
            }
            impl #declared ::std::clone::Clone for #client #given #bounds {
                fn clone(&self) -> Self { Self(::std::clone::Clone::clone(&self.0) #phantom) }
            }
            impl #declared ::std::fmt::Debug for #client #given #bounds {
                fn fmt(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                    formatter.debug_tuple(#text).field(&self.0).finish()
                }
            }
        }
    }

    fn named(&self) -> Option<TokenStream> {
        let Expansion { client, self_ty, declared, given, bounds, .. } = self;
        let name = self.server.name.as_ref()?.value();
        let here = format!(" The server that is registered as `{name}` on the current node.");
        let there = format!(" The server that is registered as `{name}` on this node.");
        Some(quote! {
            #[allow(dead_code)]
            impl #declared #self_ty #bounds {
                #[doc = #here]
                pub fn named() -> #client #given {
                    ::std::convert::From::from(::linden::__private::named::<Self>())
                }
                #[doc = #there]
                pub fn named_on(node: &::linden::Node) -> #client #given {
                    ::std::convert::From::from(::linden::__private::named_on::<Self>(node))
                }
            }
        })
    }
}

/// The parts of a variant; one without any is a unit.
pub(crate) fn braced<T: ToTokens>(parts: Vec<T>) -> Option<TokenStream> {
    (!parts.is_empty()).then(|| quote!({ #(#parts),* }))
}

/// Every word in the tokens.
fn words(tokens: TokenStream) -> Vec<Ident> {
    let words = tokens.into_iter().map(|token| match token {
        TokenTree::Ident(word) => vec![word],
        TokenTree::Group(group) => words(group.stream()),
        _ => Vec::new(),
    });
    words.flatten().collect()
}

impl Method {
    /// The method's name as callers by name write it.
    pub(crate) fn name(&self) -> String {
        use syn::ext::IdentExt as _;
        self.ident.unraw().to_string()
    }

    /// The names of the message's parts.
    pub(crate) fn parts(&self) -> Vec<&Ident> {
        let reply = match &self.kind {
            MethodKind::Call { reply, .. } => Some(reply),
            MethodKind::Cast => None,
        };
        self.arguments.iter().map(|argument| &argument.ident).chain(reply).collect()
    }
}

#[cfg(test)]
mod tests;
