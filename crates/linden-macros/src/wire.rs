//! Writes the codec of a remote server: its messages by method name and encoded arguments.
//!
//! Runs inside the compiler, on tokens alone. The formats themselves are the core's
//! (`::linden::__private::wire`): here a method's arguments are one tuple, which that module reads
//! and writes, and an answer is whatever serde makes of it. Absent on purpose: versions of messages
//! (hand-over and distribution add theirs around this).

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Ident;
use syn::ext::IdentExt as _;

use crate::expand::{Expansion, braced};
use crate::parse::{Method, MethodKind, fresh};

/// `Message::codec`.
pub(crate) fn codec(expansion: &Expansion<'_>) -> TokenStream {
    let methods = expansion.server.methods.iter().map(|method| {
        let (name, names, cfgs) = (method.name(), method.argument_names(), &method.cfgs);
        let kind = match method.kind {
            MethodKind::Call { .. } => quote!(Call),
            MethodKind::Cast => quote!(Cast),
        };
        quote! {
            #(#cfgs)*
            ::linden::__private::wire::MethodInfo {
                name: #name,
                kind: ::linden::__private::wire::MethodKind::#kind,
                arguments: &[#(#names),*],
            },
        }
    });
    quote! {
        fn codec() -> ::std::option::Option<&'static ::linden::__private::wire::Codec<Self>> {
            ::std::option::Option::Some(const {
                &::linden::__private::wire::Codec {
                    decode: Self::__decode,
                    encode: Self::__encode,
                    methods: &[#(#methods)*],
                }
            })
        }
    }
}

/// The two functions that the codec points to.
pub(crate) fn codec_functions(expansion: &Expansion<'_>) -> TokenStream {
    let Expansion { msg, declared, given, bounds, .. } = expansion;
    let (decode, encode) = (decode(expansion), encode(expansion));
    quote!(impl #declared #msg #given #bounds { #decode #encode })
}

fn decode(expansion: &Expansion<'_>) -> TokenStream {
    let everyone = || {
        expansion
            .server
            .methods
            .iter()
            .flat_map(|method| &method.arguments)
            .map(|argument| &argument.ident)
    };
    let (method, payload, port) =
        (fresh("method", everyone()), fresh("payload", everyone()), fresh("port", everyone()));
    let arms =
        expansion.server.methods.iter().map(|one| decode_arm(expansion, one, &payload, &port));
    quote! {
        #[doc(hidden)]
        fn __decode(
            #method: &str,
            #payload: &::linden::__private::wire::Payload,
            #port: ::std::option::Option<::linden::__private::wire::ReplyPort>,
        ) -> ::std::result::Result<Self, ::linden::__private::wire::CodecError> {
            match #method {
                #(#arms)*
                _ => ::std::result::Result::Err(::linden::__private::wire::unknown_method(#method)),
            }
        }
    }
}

fn decode_arm(
    expansion: &Expansion<'_>,
    method: &Method,
    payload: &Ident,
    port: &Ident,
) -> TokenStream {
    let Method { variant, cfgs, .. } = method;
    let (msg, name, names) = (expansion.msg, method.name(), method.argument_names());
    let parts = braced(method.parts());
    let idents: Vec<_> = method.arguments.iter().map(|argument| &argument.ident).collect();
    let types = method.arguments.iter().map(|argument| &argument.ty);
    // So that "the trait bound `Card: Deserialize` is not satisfied" points at the method.
    let here = method.ident.span();
    let tuple = quote_spanned!(here=> (#(#types,)*));
    let read = quote!(::linden::__private::wire::decode_args::<#tuple>(#payload, &[#(#names),*])?;);
    let read = if idents.is_empty() { read } else { quote!(let (#(#idents,)*) = #read) };
    let reply = match &method.kind {
        MethodKind::Call { answer, reply, .. } => {
            let read = quote_spanned!(here=> ::linden::__private::wire::typed_reply::<#answer>);
            quote!(let #reply = #read(#port)?;)
        }
        MethodKind::Cast => quote!(::linden::__private::wire::no_reply(#port)?;),
    };
    quote! {
        #(#cfgs)*
        #name => {
            #read
            #reply
            ::std::result::Result::Ok(#msg::#variant #parts)
        }
    }
}

fn encode(expansion: &Expansion<'_>) -> TokenStream {
    let message = Ident::new("message", Span::mixed_site());
    let arms = expansion.server.methods.iter().map(|method| {
        let Method { variant, cfgs, .. } = method;
        let (msg, name, parts) = (expansion.msg, method.name(), braced(method.parts()));
        let idents = method.arguments.iter().map(|argument| &argument.ident);
        let reply = match &method.kind {
            MethodKind::Call { answer, reply, .. } => quote! {
                ::std::option::Option::Some(
                    ::linden::__private::wire::reply_port::<#answer>(#reply)
                )
            },
            MethodKind::Cast => quote!(::std::option::Option::None),
        };
        let here = method.ident.span();
        let payload = quote_spanned! {here=>
            ::linden::__private::wire::encode_args(&(#(#idents,)*))?
        };
        quote! {
            #(#cfgs)*
            #msg::#variant #parts => {
                ::std::result::Result::Ok(::linden::__private::wire::EncodedMessage {
                    method: #name,
                    payload: #payload,
                    reply: #reply,
                })
            }
        }
    });
    let never = expansion.phantom_arm();
    quote! {
        #[doc(hidden)]
        fn __encode(
            #message: Self,
        ) -> ::std::result::Result<
            ::linden::__private::wire::EncodedMessage,
            ::linden::__private::wire::CodecError,
        > {
            match #message { #(#arms)* #never }
        }
    }
}

impl Method {
    /// The arguments' names as callers by name write them.
    fn argument_names(&self) -> Vec<String> {
        self.arguments.iter().map(|argument| argument.ident.unraw().to_string()).collect()
    }
}
