//! Who is at the other end of a connection, for handlers.

use std::net::SocketAddr;

use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;

/// The address of the client, or of the proxy in front of it. An extractor. [`crate::ClientAddr`] is the client's own.
///
/// # Examples
/// ```
/// use linden_gateway::PeerAddr;
///
/// async fn whoami(PeerAddr(peer): PeerAddr) -> String {
///     peer.ip().to_string()
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PeerAddr(pub SocketAddr);

impl<S: Sync> FromRequestParts<S> for PeerAddr {
    /// The request did not come through a gateway.
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.extensions.get().copied().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
