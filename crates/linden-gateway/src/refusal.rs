//! The responses that the gateway itself gives: small JSON bodies that say what went wrong and nothing of the inside.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::header::{
    CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, StatusCode};

/// Seconds after which a client may try again.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What the gateway refuses or fails to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// A handler panicked.
    Internal,
    /// The body is above the limit.
    BodyTooLarge,
    /// The client's body did not come in time.
    BodyTimeout,
    /// The handler did not answer in time.
    HandlerTimeout,
    /// A service cannot answer now.
    Unavailable(Unavailable),
    /// Too many requests are being handled.
    Overloaded,
    /// The client makes too many requests; it may make the next one after so long.
    AboveRate { wait: Duration },
    /// The request does not say which host it is for, or not so that it can be understood.
    BadHost,
    /// No router is behind this host and path.
    NotFound,
    /// The route is a WebSocket's, and the request asks for none.
    UpgradeRequired,
    /// The request asks for a WebSocket, but not as one has to.
    BadHandshake,
    /// The request asks for a WebSocket for a page that may not have it.
    ForeignOrigin,
    /// The gateway drains, and begins nothing that would have to end soon.
    Draining,
}

/// Why a service cannot answer now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unavailable {
    NotRunning,
    Ended,
    Overloaded,
    Timeout,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::HandlerTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Unavailable(_) | Self::Overloaded | Self::Draining => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::AboveRate { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::BadHost | Self::BadHandshake => StatusCode::BAD_REQUEST,
            Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
        }
    }

    fn body(self) -> &'static str {
        match self {
            Self::Internal => r#"{"error":"internal_error"}"#,
            Self::BodyTooLarge => r#"{"error":"body_too_large"}"#,
            Self::BodyTimeout => r#"{"error":"request_timeout"}"#,
            Self::HandlerTimeout => r#"{"error":"timeout"}"#,
            Self::Unavailable(Unavailable::NotRunning) => {
                r#"{"error":"service_unavailable","cause":"not_running"}"#
            }
            Self::Unavailable(Unavailable::Ended) => {
                r#"{"error":"service_unavailable","cause":"ended"}"#
            }
            Self::Unavailable(Unavailable::Overloaded) => {
                r#"{"error":"service_unavailable","cause":"overloaded"}"#
            }
            Self::Unavailable(Unavailable::Timeout) => {
                r#"{"error":"service_unavailable","cause":"timeout"}"#
            }
            Self::Overloaded => r#"{"error":"overloaded"}"#,
            Self::AboveRate { .. } => r#"{"error":"rate_limited"}"#,
            Self::BadHost => r#"{"error":"bad_host"}"#,
            Self::NotFound => r#"{"error":"not_found"}"#,
            Self::UpgradeRequired => r#"{"error":"upgrade_required"}"#,
            Self::BadHandshake => r#"{"error":"bad_handshake"}"#,
            Self::ForeignOrigin => r#"{"error":"foreign_origin"}"#,
            Self::Draining => r#"{"error":"draining"}"#,
        }
    }

    fn add_headers(self, headers: &mut HeaderMap) {
        headers.insert(CONTENT_TYPE, JSON);
        match self {
            Self::Internal
            | Self::HandlerTimeout
            | Self::BadHost
            | Self::NotFound
            | Self::ForeignOrigin => {}
            Self::BodyTooLarge | Self::BodyTimeout => close_after(headers),
            Self::Unavailable(_) | Self::Overloaded | Self::Draining => {
                headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
            }
            Self::AboveRate { wait } => {
                headers.insert(RETRY_AFTER, whole_seconds(wait).into());
            }
            Self::UpgradeRequired | Self::BadHandshake => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
        }
    }

    pub(crate) fn response(self) -> Response {
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = self.status();
        self.add_headers(response.headers_mut());
        response
    }
}

/// Seconds that are not less than the time, at least one.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// Says in a response that the connection closes after it.
pub(crate) fn close_after(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}

/// Whether a response says so.
pub(crate) fn closes(headers: &HeaderMap) -> bool {
    headers.get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}
