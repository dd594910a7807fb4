//! The options of a server: what stands in the parentheses of `#[gen_server(..)]`.
//!
//! Runs inside the compiler, on tokens alone. Each option is given at most once; what an option
//! means is `expand`'s.

use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::{Ident, LitStr, Token};

/// The options, as they were written.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    pub(crate) remote: bool,
    pub(crate) msg: Option<Ident>,
    pub(crate) client: Option<Ident>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut options = Options::default();
        let mut seen: Vec<Ident> = Vec::new();
        while !input.is_empty() {
            let key = input.call(Ident::parse_any)?;
            if seen.contains(&key) {
                return Err(syn::Error::new_spanned(&key, format!("`{key}` is given twice")));
            }
            match key.to_string().as_str() {
                "name" => options.name = Some(read_name(input)?),
                "remote" => options.remote = true,
                "msg" => options.msg = Some(read_value(input)?),
                "client" => options.client = Some(read_value(input)?),
                _ => return Err(unknown_option(&key)),
            }
            seen.push(key);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

fn unknown_option(key: &Ident) -> syn::Error {
    let text = format!(
        "unknown option `{key}`: `gen_server` takes `name = \"..\"`, `remote`, `msg = TypeName` \
         and `client = TypeName`"
    );
    syn::Error::new_spanned(key, text)
}

fn read_value<T: Parse>(input: ParseStream<'_>) -> syn::Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

fn read_name(input: ParseStream<'_>) -> syn::Result<LitStr> {
    let name: LitStr = read_value(input)?;
    if name.value().is_empty() {
        return Err(syn::Error::new_spanned(&name, "a registered name cannot be empty"));
    }
    Ok(name)
}
