//! Where a visitor is sent after logging in: a page of the shop, whatever the address says.
//!
//! A plain value. Invariant: a [`Destination`] is a path below `/shop` of harmless characters, so it names no other host
//! and breaks no header.

use std::fmt;

use linden_gateway::axum::response::{IntoResponse, Redirect, Response};

const LEN_MAX: usize = 200;

/// A page of the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination(String);

impl Destination {
    /// What somebody offers as one; the shop's first page if it is none.
    pub(super) fn offered(text: &str) -> Destination {
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"/?=&._-".contains(&byte);
        let is_own = text.strip_prefix("/shop").is_some_and(|rest| {
            let is_below = rest.is_empty() || rest.starts_with(['/', '?']);
            is_below && !rest.contains("//") && !rest.contains("..")
        });
        if is_own && text.len() <= LEN_MAX && text.bytes().all(harmless) {
            return Destination(text.to_owned());
        }
        Destination::default()
    }

    /// The log-in from which a visitor comes back to here, as a `next` of its query.
    pub(super) fn log_in(&self) -> String {
        if *self == Destination::default() {
            return "/shop/login".to_owned();
        }
        let escaped: String = self.0.chars().map(escape).collect();
        format!("/shop/login?next={escaped}")
    }
}

/// Of the characters that a destination has.
fn escape(letter: char) -> String {
    match letter {
        '?' => "%3F".to_owned(),
        '=' => "%3D".to_owned(),
        '&' => "%26".to_owned(),
        letter => letter.to_string(),
    }
}

impl Default for Destination {
    fn default() -> Destination {
        Destination("/shop".to_owned())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl IntoResponse for Destination {
    fn into_response(self) -> Response {
        Redirect::to(&self.0).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: GATE-72
    #[test]
    fn only_pages_of_the_shop_are_destinations() {
        for (text, is_one) in [
            ("/shop", true),
            ("/shop?after=tea-linden", true),
            ("/shop/orders/7", true),
            ("/shop/statement?after=7&limit=5", true),
            ("", false),
            ("/", false),
            ("/orders", false),
            ("/shopping", false),
            ("//evil.example", false),
            ("/shop//evil.example", false),
            ("/shop/../evil", false),
            ("/shop\\evil.example", false),
            ("/shop@evil.example", false),
            ("https://evil.example/shop", false),
            ("/shop/x\r\nset-cookie: a=b", false),
            ("/shop/x y", false),
            (&format!("/shop/{}", "x".repeat(200)), false),
        ] {
            let expected = if is_one { text } else { "/shop" };
            assert_eq!(Destination::offered(text).to_string(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_log_in_knows_where_to_go_on() {
        assert_eq!(Destination::default().log_in(), "/shop/login");
        let statement = Destination::offered("/shop/statement?after=7&limit=5");
        assert_eq!(statement.log_in(), "/shop/login?next=/shop/statement%3Fafter%3D7%26limit%3D5");
    }
}
