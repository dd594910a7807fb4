//! What pages tell browsers about themselves.
//!
//! Everything that a page loads comes from the shop itself, no script stands in a page, no other page may frame it, and
//! nothing of it is kept. So a text that got through the templates' escaping would still be no script.

use linden_gateway::axum::{
    http::{HeaderValue, header},
    response::Response,
};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

// GATE-71: pages say what they may load and do, and that nobody may frame or keep them.
pub(super) async fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not "no-referrer": with it, browsers hide the origin of forms, which `origin` looks at.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Pages show what is a user's own. Assets have said otherwise.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
