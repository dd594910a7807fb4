//! Which pages of other origins may use the routes in a browser: tower-http's layer, made of configuration.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Uri};
use serde::Deserialize;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use crate::edge::EdgeError;

/// Which pages of other origins may use the routes in a browser (CORS). In `linden.toml` a table of these keys:
/// `cors = { origins = ["https://shop.example"], credentials = true }`.
///
/// What is left out is not allowed. Preflight requests are answered by the gateway.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorsConfig {
    /// Origins, such as `https://shop.example` or `http://localhost:3000`; `*`, alone, for all. Default: none.
    pub origins: Vec<String>,
    /// Methods besides those that browsers always allow. Default: GET, HEAD, POST, PUT, PATCH, DELETE.
    pub methods: Vec<String>,
    /// Request header fields besides those that browsers always allow. Default: `content-type`, `authorization`.
    pub headers: Vec<String>,
    /// Response header fields that the page may read. Default: `x-request-id`.
    pub exposed_headers: Vec<String>,
    /// Whether the browser sends cookies; not together with the origin `*`. Default false.
    pub credentials: bool,
    /// How long a browser may keep the answer to a preflight request. Default 1 h.
    #[serde(with = "linden::config::duration")]
    pub max_age: Duration,
}

impl Default for CorsConfig {
    fn default() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Self {
            origins: Vec::new(),
            methods: texts(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
            headers: texts(&["content-type", "authorization"]),
            exposed_headers: texts(&["x-request-id"]),
            credentials: false,
            max_age: Duration::from_secs(3600),
        }
    }
}

impl CorsConfig {
    /// The layer.
    ///
    /// # Errors
    /// [`EdgeError::Cors`], which names what is wrong.
    pub fn layer(&self) -> Result<CorsLayer, EdgeError> {
        let methods = read(&self.methods, "a method", |text| text.parse::<Method>().ok())?;
        let headers =
            read(&self.headers, "a header field", |text| text.parse::<HeaderName>().ok())?;
        let exposed = read(&self.exposed_headers, "a header field", |text| text.parse().ok())?;
        let layer = CorsLayer::new()
            .allow_methods(methods)
            .allow_headers(headers)
            .expose_headers(exposed.into_iter().collect::<Vec<HeaderName>>())
            .max_age(self.max_age);
        if self.origins == ["*"] {
            return match self.credentials {
                true => Err(EdgeError::cors(
                    "credentials",
                    "the origin * excludes them: list the origins",
                )),
                false => Ok(layer.allow_origin(Any)),
            };
        }
        let origins = read(&self.origins, "an origin, such as https://shop.example", origin)?;
        Ok(layer.allow_origin(AllowOrigin::list(origins)).allow_credentials(self.credentials))
    }
}

fn read<T>(
    texts: &[String],
    what: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, EdgeError> {
    let read = |text: &String| parse(text).ok_or_else(|| EdgeError::cors(text, what));
    texts.iter().map(read).collect()
}

/// As a browser writes it: scheme, host and port, in lower case, with nothing behind.
fn origin(text: &str) -> Option<HeaderValue> {
    let uri: Uri = text.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
    let plain = format!("{scheme}://{authority}") == text && !authority.contains('@');
    (plain && text == text.to_ascii_lowercase()).then(|| HeaderValue::from_str(text).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_those_that_browsers_send() {
        for text in ["https://shop.example", "http://localhost:3000", "http://[::1]:80"] {
            assert!(origin(text).is_some(), "{text}");
        }
        for text in [
            "*",
            "",
            "shop.example",
            "https://shop.example/",
            "https://a/b",
            "https://A.b",
            "https://u@a",
        ] {
            assert!(origin(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let of = |config: CorsConfig| config.layer().expect_err("it is wrong").to_string();
        let texts = |text: &str| vec![text.to_owned()];
        let default = CorsConfig::default;
        let table = [
            (CorsConfig { origins: texts("shop.example"), ..default() }, "shop.example"),
            (CorsConfig { origins: vec!["*".into(), "http://a".into()], ..default() }, "*"),
            (CorsConfig { methods: texts("G ET"), ..default() }, "G ET"),
            (CorsConfig { headers: texts("a b"), ..default() }, "a b"),
            (CorsConfig { exposed_headers: texts("é"), ..default() }, "é"),
            (CorsConfig { origins: texts("*"), credentials: true, ..default() }, "credentials"),
        ];
        for (config, named) in table {
            let error = of(config);
            assert!(error.contains(named), "{error}");
        }
        assert!(default().layer().is_ok());
        assert!(CorsConfig { origins: texts("*"), ..default() }.layer().is_ok());
    }
}
