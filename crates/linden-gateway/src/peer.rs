//! Who is at the other end of a connection, for handlers.

use std::net::SocketAddr;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{Extensions, StatusCode};

use crate::exchange::ExchangeHandle;

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

impl PeerAddr {
    /// `None`: the request did not come through a gateway.
    pub(crate) fn of(extensions: &Extensions) -> Option<Self> {
        let ExchangeHandle(exchange) = extensions.get()?;
        Some(Self(exchange.peer()))
    }
}

impl<S: Sync> FromRequestParts<S> for PeerAddr {
    /// The request did not come through a gateway.
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        Self::of(&parts.extensions).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
