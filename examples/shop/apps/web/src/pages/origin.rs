//! Forms count only when a page of the shop sends them.
//!
//! A browser says where a request comes from, in headers that no page can change: `Sec-Fetch-Site`, or by its absence
//! (an old browser, or no TLS) `Origin`. Who says neither is no browser that fills in our forms; programs have the API.
//! Pure but for [`check`].

use linden_gateway::axum::{
    extract::Request,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::error::ApiError;

const SEC_FETCH_SITE: &str = "sec-fetch-site";

// GATE-70: what another site sends changes nothing.
pub(super) async fn check(request: Request, next: Next) -> Response {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if is_safe || is_own(request.headers(), request.uri()) {
        return next.run(request).await;
    }
    let words =
        "this form was not sent by a page of the shop; open the page here and send it again";
    ApiError::refused(StatusCode::FORBIDDEN, words).into_response()
}

/// Whether one of our pages sends the request, or the user themselves does.
fn is_own(headers: &HeaderMap, uri: &Uri) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site == "same-origin" || site == "none";
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.authority().map(|authority| authority.as_str()));
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    match (origin.and_then(Origin::read), host) {
        (Some(origin), Some(host)) => origin.authority.eq_ignore_ascii_case(host),
        _ => false,
    }
}

/// An `Origin` header taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin<'h> {
    pub(super) cover: Cover,
    authority: &'h str,
}

/// How the browser reaches the shop, be it by a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cover {
    Plain,
    Tls,
}

impl<'h> Origin<'h> {
    fn read(text: &'h str) -> Option<Origin<'h>> {
        let (scheme, authority) = text.split_once("://")?;
        let cover = match scheme {
            "http" => Cover::Plain,
            "https" => Cover::Tls,
            _ => return None,
        };
        Some(Origin { cover, authority })
    }

    /// That of a request's headers.
    pub(super) fn of(headers: &'h HeaderMap) -> Option<Origin<'h>> {
        Origin::read(headers.get(header::ORIGIN)?.to_str().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use linden_gateway::axum::http::{HeaderName, HeaderValue};

    use super::*;

    // proves: GATE-70
    #[test]
    fn only_pages_of_the_shop_and_the_user_may_send() {
        for (fields, is_right) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://shop.example:4000")], false),
            (&[("origin", "http://shop.example:4000")], true),
            (&[("origin", "https://SHOP.example:4000")], true),
            (&[("origin", "http://shop.example")], false),
            (&[("origin", "http://shop.example:4000.evil")], false),
            (&[("origin", "ftp://shop.example:4000")], false),
            (&[("origin", "null")], false),
            (&[("origin", "")], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("shop.example:4000"));
            for (name, value) in fields {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(is_own(&headers, &Uri::from_static("/shop")), is_right, "{fields:?}");
        }
    }

    #[test]
    fn http_2_names_the_host_in_the_address() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_static("https://shop.example"));
        assert!(is_own(&headers, &Uri::from_static("https://shop.example/shop")));
        assert!(!is_own(&headers, &Uri::from_static("https://other.example/shop")));
        assert!(!is_own(&headers, &Uri::from_static("/shop")));
    }
}
