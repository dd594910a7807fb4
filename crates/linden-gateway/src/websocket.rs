//! WebSockets: a request that asks for one becomes a process of its own, which has the socket.
//!
//! The handshake is here; the library tungstenite speaks the protocol. The process is a child of the keeper of the
//! connections, so that it is counted, seen and drained as these are, and is linked to nobody else: its end closes the
//! socket, and a crash costs nobody but its client.
//!
//! Absent on purpose: WebSockets over HTTP/2 (browsers take a connection of HTTP/1.1 for them when they are not offered),
//! and compression of messages.

mod origin;
mod process;
mod pulse;
mod socket;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath};
use axum::response::Response;
use http::header::{
    CONNECTION, HOST, HeaderName, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use linden::{Cx, Message};
use serde::Deserialize;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::connections::Newborn;
use crate::exchange::ExchangeHandle;
use crate::peer::PeerAddr;
use crate::refusal::Refusal;
use origin::Origins;
use process::Birth;
pub use socket::{WebSocket, WebSocketClosed, WebSocketEvent, WebSocketMessage};

/// Length of the key of a handshake: 16 bytes in base64.
const KEY_LEN: usize = 24;

/// The limits of a WebSocket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSocketLimits {
    /// Bytes of a message from the client. Beyond them the socket is closed with code 1009. Default 1 MiB.
    pub message_bytes_max: usize,
    /// Bytes of one frame, of which a message has one or more. Beyond them the socket is closed with code 1009. Default
    /// 1 MiB.
    pub frame_bytes_max: usize,
    /// After so long without a sign of the client's it is sent a ping. Default 30 s.
    #[serde(with = "linden::config::duration")]
    pub ping_after: Duration,
    /// After so long without an answer to it the socket is closed. Default 30 s.
    #[serde(with = "linden::config::duration")]
    pub pong_timeout: Duration,
    /// How long a message may take to be taken by the client. Beyond it the socket is closed. Default 30 s.
    #[serde(with = "linden::config::duration")]
    pub send_timeout: Duration,
}

impl Default for WebSocketLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: 1024 * 1024,
            frame_bytes_max: 1024 * 1024,
            ping_after: Duration::from_secs(30),
            pong_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(30),
        }
    }
}

/// A request that asks for a WebSocket: an extractor. One that asks for none, or not as one has to, gets a 426 or a 400.
///
/// A browser sends the page's origin with it, and cookies. A page of another host than the request's is refused with 403,
/// unless [`WebSocketUpgrade::allow_origin`] says otherwise: CORS does not hold for WebSockets.
///
/// # Examples
/// A process that passes on what other processes tell it, and echoes what the client says:
/// ```
/// use linden::{Cx, Mail};
/// use linden_gateway::axum::{Router, response::Response, routing::get};
/// use linden_gateway::{WebSocketEvent, WebSocketUpgrade};
///
/// async fn live(upgrade: WebSocketUpgrade) -> Response {
///     upgrade.on_upgrade(|mut socket, mut cx: Cx<String>| async move {
///         // Give `cx.address()` to those that have news.
///         while let Ok(event) = socket.next(&mut cx).await {
///             let sent = match event {
///                 WebSocketEvent::Message(message) => socket.send(message).await,
///                 WebSocketEvent::Mail(Mail::Msg(news)) => socket.send(news).await,
///                 WebSocketEvent::Mail(Mail::Info(_)) => Ok(()),
///             };
///             if sent.is_err() {
///                 break;
///             }
///         }
///     })
/// }
///
/// let router: Router = Router::new().route("/live", get(live));
/// ```
#[must_use = "the response of `on_upgrade` makes the WebSocket"]
pub struct WebSocketUpgrade {
    upgrade: OnUpgrade,
    exchange: ExchangeHandle,
    accept: HeaderValue,
    label: String,
    host: Option<HeaderValue>,
    origin: Option<HeaderValue>,
    origins: Origins,
    offered: Vec<HeaderValue>,
    chosen: Option<HeaderValue>,
    limits: WebSocketLimits,
}

impl WebSocketUpgrade {
    /// Other limits than the default ones.
    pub fn limits(mut self, limits: WebSocketLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Pages of this origin, such as `https://shop.example`, may have the socket too.
    pub fn allow_origin(mut self, origin: &str) -> Self {
        self.origins.allow(origin);
        self
    }

    /// Pages of every origin may have the socket. Only for sockets that show no more to a client with cookies than to one
    /// without.
    pub fn allow_any_origin(mut self) -> Self {
        self.origins = Origins::Any;
        self
    }

    /// The protocols that the program speaks, the best first: the first one that the client offers is chosen. What is no
    /// token is offered by nobody.
    pub fn protocols<'a>(mut self, known: impl IntoIterator<Item = &'a str>) -> Self {
        let is_offered = |name: &&str| self.offered.iter().any(|offer| offer == name);
        let chosen = known.into_iter().find(is_offered);
        self.chosen = chosen.and_then(|name| HeaderValue::from_str(name).ok());
        self
    }

    /// The protocol that was chosen.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.chosen.as_ref().and_then(|name| name.to_str().ok())
    }

    /// The response that makes the WebSocket: its process runs `body` and closes the socket when that ends, with code 1000
    /// unless it was closed already. The process has a mailbox for messages of type `M`, and is labelled
    /// `websocket PEER ROUTE`.
    ///
    /// While the gateway drains it is a 503. A socket that is open then is sent a close frame with code 1001, and `body`
    /// hears [`WebSocketClosed::Draining`]; what has not ended after the drain's grace is ended.
    #[must_use = "the response makes the WebSocket"]
    pub fn on_upgrade<M, F>(
        self,
        body: impl FnOnce(WebSocket, Cx<M>) -> F + Send + 'static,
    ) -> Response
    where
        M: Message,
        F: Future<Output = ()> + Send + 'static,
    {
        if !self.origins.allows(self.origin.as_ref(), self.host.as_ref()) {
            return Refusal::ForeignOrigin.response();
        }
        let ExchangeHandle(exchange) = &self.exchange;
        let shared = exchange.shared();
        let keeper = shared.connections.lock().clone();
        let Some(keeper) = keeper.filter(|_| !shared.is_draining()) else {
            return Refusal::Draining.response();
        };
        let birth = Birth {
            upgrade: self.upgrade,
            upgrade_wait: shared.limits.header_timeout,
            label: self.label,
            limits: self.limits,
            draining: shared.drain_signal.clone(),
        };
        keeper.adopt(Newborn::new(move |cx| process::live(cx, birth, body)));
        switching(self.accept, self.chosen)
    }
}

fn switching(accept: HeaderValue, protocol: Option<HeaderValue>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(protocol) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

impl fmt::Debug for WebSocketUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketUpgrade")
            .field("label", &self.label)
            .field("offered", &self.offered)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl<S: Sync> FromRequestParts<S> for WebSocketUpgrade {
    /// A 426 or a 400; 500 when the request did not come through a gateway.
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let accept = accept(parts).map_err(Refusal::response)?;
        let exchange = parts.extensions.get().cloned();
        let upgrade = parts.extensions.remove::<OnUpgrade>();
        let (Some(exchange), Some(upgrade)) = (exchange, upgrade) else {
            return Err(Refusal::Internal.response());
        };
        Ok(Self {
            upgrade,
            exchange,
            accept,
            label: label(parts),
            host: parts.headers.get(HOST).cloned(),
            origin: parts.headers.get(ORIGIN).cloned(),
            origins: Origins::default(),
            offered: offered(&parts.headers),
            chosen: None,
            limits: WebSocketLimits::default(),
        })
    }
}

/// The answer to the client's key (RFC 6455, 4.2.1).
fn accept(parts: &Parts) -> Result<HeaderValue, Refusal> {
    let headers = &parts.headers;
    let asks =
        has_token(headers, CONNECTION, "upgrade") && has_token(headers, UPGRADE, "websocket");
    if !asks || parts.version != Version::HTTP_11 {
        return Err(Refusal::UpgradeRequired);
    }
    if only(headers, SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Refusal::UpgradeRequired);
    }
    let key = only(headers, SEC_WEBSOCKET_KEY).filter(|key| is_key(key.as_bytes()));
    let key = key.filter(|_| parts.method == Method::GET).ok_or(Refusal::BadHandshake)?;
    let accept = derive_accept_key(key.as_bytes());
    Ok(HeaderValue::from_str(&accept).expect("base64 is visible ASCII"))
}

fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether a list of tokens has this one.
fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter();
    let mut tokens = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    tokens.any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    key.len() == KEY_LEN && key.ends_with(b"==") && key[..KEY_LEN - 2].iter().all(is_digit)
}

fn offered(headers: &HeaderMap) -> Vec<HeaderValue> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let offers = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    offers.filter_map(|offer| HeaderValue::from_bytes(offer.trim_ascii()).ok()).collect()
}

fn label(parts: &Parts) -> String {
    let peer = PeerAddr::of(&parts.extensions);
    let peer = peer.map_or_else(|| "?".to_owned(), |PeerAddr(peer)| peer.to_string());
    let route = parts.extensions.get::<MatchedPath>();
    format!("websocket {peer} {}", route.map_or(parts.uri.path(), MatchedPath::as_str))
}
