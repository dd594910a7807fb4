//! Which pages may have a WebSocket. Pure.

use http::HeaderValue;

/// The origins whose pages may.
#[derive(Debug)]
pub(super) enum Origins {
    /// That of the request's host, and these.
    Listed(Vec<String>),
    Any,
}

impl Default for Origins {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl Origins {
    pub(super) fn allow(&mut self, origin: &str) {
        if let Self::Listed(origins) = self {
            origins.push(origin.to_ascii_lowercase());
        }
    }

    /// A request without an origin is no page's.
    pub(super) fn allows(&self, origin: Option<&HeaderValue>, host: Option<&HeaderValue>) -> bool {
        let (Self::Listed(origins), Some(origin)) = (self, origin) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        let origin = origin.to_ascii_lowercase();
        let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let own = authority.zip(host).is_some_and(|(authority, host)| {
            host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())
        });
        own || origins.contains(&origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: GATE-53
    #[test]
    fn pages_of_the_host_and_of_listed_origins_are_allowed() {
        let mut origins = Origins::default();
        origins.allow("https://App.example");
        let table = [
            (None, true),
            (Some("https://shop.example:4000"), true),
            (Some("http://SHOP.example:4000"), true),
            (Some("https://app.example"), true),
            (Some("https://shop.example"), false),
            (Some("https://app.example.evil"), false),
            (Some("http://app.example"), false),
            (Some("null"), false),
            (Some(""), false),
            (Some("shop.example:4000"), false),
            (Some("ftp://shop.example:4000"), false),
        ];
        let host = HeaderValue::from_static("shop.example:4000");
        for (origin, allowed) in table {
            let header = origin.map(HeaderValue::from_static);
            assert_eq!(origins.allows(header.as_ref(), Some(&host)), allowed, "{origin:?}");
            assert!(Origins::Any.allows(header.as_ref(), Some(&host)));
        }
        let binary = HeaderValue::from_bytes(b"https://\xff").expect("a value");
        assert!(!origins.allows(Some(&binary), Some(&host)));
        assert!(!origins.allows(Some(&HeaderValue::from_static("https://a")), None));
    }
}
