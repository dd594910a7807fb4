//! The types of messages and answers: refuses what is not owned, and writes `Self` out.
//!
//! Runs inside the compiler, on tokens alone. A message outlives the caller's frame and may change
//! threads, so nothing in it may borrow (`'static` data excepted, which only a local server can
//! take). Absent on purpose: looking behind type aliases, macros and `fn` pointers; the compiler
//! judges those in the code written.

use proc_macro2::{Group, Spacing, TokenStream, TokenTree};
use quote::{ToTokens as _, quote};
use syn::{
    GenericArgument, Generics, Lifetime, Path, PathArguments, TraitBound, Type, TypeParamBound,
    TypeReference,
};

use crate::errors::Errors;

/// Where a type stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    State,
    Argument,
    Answer,
}

impl Part {
    fn rule(self) -> &'static str {
        match self {
            Part::State => "a server owns its state",
            Part::Argument => "a message owns its parts",
            Part::Answer => "an answer is sent to the caller, so it owns its parts",
        }
    }
}

/// Reports every borrowed or nameless type inside of `ty`.
pub(crate) fn check(ty: &Type, part: Part, remote: bool, errors: &mut Errors) {
    Check { part, remote, errors }.ty(ty);
}

struct Check<'a> {
    part: Part,
    remote: bool,
    errors: &'a mut Errors,
}

impl Check<'_> {
    fn ty(&mut self, ty: &Type) {
        match ty {
            Type::Reference(reference) => self.reference(reference),
            Type::ImplTrait(nameless) => {
                let text = "a message has one concrete type, so `impl Trait` cannot stand here: \
                    name the type, or box it (`Box<dyn Trait + Send>`)";
                let answer = "the client must name the answer's type, so `impl Trait` cannot \
                    stand here: name the type; a method that awaits is an `async fn`";
                self.errors.push(nameless, if self.part == Part::Answer { answer } else { text });
            }
            Type::Path(path) => {
                if let Some(qself) = &path.qself {
                    self.ty(&qself.ty);
                }
                self.path(&path.path);
            }
            Type::Tuple(tuple) => tuple.elems.iter().for_each(|elem| self.ty(elem)),
            Type::Array(array) => self.ty(&array.elem),
            Type::Slice(slice) => self.ty(&slice.elem),
            Type::Paren(paren) => self.ty(&paren.elem),
            Type::Group(group) => self.ty(&group.elem),
            Type::TraitObject(object) => object.bounds.iter().for_each(|bound| self.bound(bound)),
            _ => {}
        }
    }

    fn reference(&mut self, reference: &TypeReference) {
        let is_static =
            reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "static");
        if is_static && !self.remote {
            return self.ty(&reference.elem);
        }
        let rule = if is_static {
            "a remote message is read from bytes, so it owns its parts"
        } else {
            self.part.rule()
        };
        self.errors
            .push(reference, format!("{rule} and cannot borrow: {}", self.mend(&reference.elem)));
    }

    /// What to write instead of a reference to `elem`.
    fn mend(&self, elem: &Type) -> String {
        let verb = if self.part == Part::Answer { "return" } else { "take" };
        match elem {
            Type::Slice(_) => format!("{verb} a `Vec`"),
            Type::Path(path) => match path.path.get_ident().map(ToString::to_string).as_deref() {
                Some("str") => format!("{verb} a `String`"),
                Some("Path") => format!("{verb} a `PathBuf`"),
                Some(name) => format!("{verb} `{name}` by value"),
                None => format!("{verb} it by value"),
            },
            _ => format!("{verb} it by value"),
        }
    }

    fn path(&mut self, path: &Path) {
        for segment in &path.segments {
            let PathArguments::AngleBracketed(arguments) = &segment.arguments else { continue };
            for argument in &arguments.args {
                match argument {
                    GenericArgument::Lifetime(lifetime) => self.lifetime(lifetime),
                    GenericArgument::Type(ty) => self.ty(ty),
                    GenericArgument::AssocType(assoc) => self.ty(&assoc.ty),
                    _ => {}
                }
            }
        }
    }

    fn lifetime(&mut self, lifetime: &Lifetime) {
        if lifetime.ident != "static" {
            let rule = self.part.rule();
            self.errors.push(
                lifetime,
                format!(
                    "{rule} and cannot borrow for `{lifetime}`: use an owned type or `'static`"
                ),
            );
        }
    }

    fn bound(&mut self, bound: &TypeParamBound) {
        match bound {
            TypeParamBound::Lifetime(lifetime) => self.lifetime(lifetime),
            TypeParamBound::Trait(TraitBound { lifetimes: None, path, .. }) => self.path(path),
            _ => {}
        }
    }
}

/// The type as it reads outside of the impl block.
pub(crate) fn without_self(ty: &Type, self_ty: &Type) -> TokenStream {
    write_out(ty.to_token_stream(), self_ty)
}

/// The block's generics as they read outside of it.
pub(crate) fn generics_without_self(generics: &Generics, self_ty: &Type) -> syn::Result<Generics> {
    let mut written: Generics = syn::parse2(write_out(generics.to_token_stream(), self_ty))?;
    if let Some(bounds) = &generics.where_clause {
        written.where_clause = Some(syn::parse2(write_out(bounds.to_token_stream(), self_ty))?);
    }
    Ok(written)
}

/// `Self` becomes the type, `Self::Item` becomes `<Type>::Item`.
fn write_out(tokens: TokenStream, self_ty: &Type) -> TokenStream {
    let mut rest = tokens.into_iter().peekable();
    let mut written = TokenStream::new();
    while let Some(token) = rest.next() {
        match token {
            TokenTree::Ident(word) if word == "Self" => {
                written.extend(if rest.peek().is_some_and(begins_colons) {
                    quote!(<#self_ty>)
                } else {
                    quote!(#self_ty)
                });
            }
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), write_out(group.stream(), self_ty));
                inner.set_span(group.span());
                written.extend([TokenTree::Group(inner)]);
            }
            other => written.extend([other]),
        }
    }
    written
}

/// `::` and not `:`.
fn begins_colons(token: &TokenTree) -> bool {
    let TokenTree::Punct(one) = token else { return false };
    one.as_char() == ':' && one.spacing() == Spacing::Joint
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn mistakes(ty: Type, part: Part, remote: bool) -> Vec<String> {
        let mut errors = Errors::default();
        check(&ty, part, remote, &mut errors);
        errors.finish().err().into_iter().flatten().map(|error| error.to_string()).collect()
    }

    #[test]
    fn owned_types_pass() {
        let types: [Type; 8] = [
            parse_quote!(u64),
            parse_quote!(Vec<Option<String>>),
            parse_quote!((u8, [u16; 4])),
            parse_quote!(&'static str),
            parse_quote!(std::borrow::Cow<'static, str>),
            parse_quote!(Box<dyn Fn(&str) -> usize + Send + 'static>),
            parse_quote!(fn(&str) -> &str),
            parse_quote!(Box<dyn for<'a> Visitor<'a> + Send>),
        ];
        for ty in types {
            assert_eq!(mistakes(ty, Part::Argument, false), Vec::<String>::new());
        }
    }

    #[test]
    fn a_reference_is_refused_with_the_type_to_take() {
        let cases: [(Type, &str); 6] = [
            (parse_quote!(&str), "a message owns its parts and cannot borrow: take a `String`"),
            (parse_quote!(&[u8]), "a message owns its parts and cannot borrow: take a `Vec`"),
            (
                parse_quote!(&mut Path),
                "a message owns its parts and cannot borrow: take a `PathBuf`",
            ),
            (
                parse_quote!(&UserId),
                "a message owns its parts and cannot borrow: take `UserId` by value",
            ),
            (
                parse_quote!(Option<&a::B>),
                "a message owns its parts and cannot borrow: take it by value",
            ),
            (
                parse_quote!(Vec<(u8, &(u8, u8))>),
                "a message owns its parts and cannot borrow: take it by value",
            ),
        ];
        for (ty, expected) in cases {
            assert_eq!(mistakes(ty, Part::Argument, false), [expected]);
        }
    }

    #[test]
    fn a_lifetime_is_refused() {
        let expected = "an answer is sent to the caller, so it owns its parts and cannot borrow \
            for `'_`: use an owned type or `'static`";
        assert_eq!(mistakes(parse_quote!(Cow<'_, str>), Part::Answer, false), [expected]);
        assert_eq!(mistakes(parse_quote!(Box<dyn Shape + '_>), Part::Answer, false), [expected]);
    }

    #[test]
    fn static_data_cannot_be_read_from_bytes() {
        let expected = "a remote message is read from bytes, so it owns its parts and cannot \
            borrow: take a `String`";
        assert_eq!(mistakes(parse_quote!(&'static str), Part::Argument, true), [expected]);
    }

    #[test]
    fn self_is_written_out() {
        let written =
            |ty: Type| without_self(&ty, &parse_quote!(Store<T>)).to_string().replace(' ', "");
        assert_eq!(written(parse_quote!(Option<(Self, u8)>)), "Option<(Store<T>,u8)>");
        assert_eq!(written(parse_quote!(<Self as Map>::Key)), "<Store<T>asMap>::Key");
        assert_eq!(written(parse_quote!([u8; Self::SIZE])), "[u8;<Store<T>>::SIZE]");
    }
}
