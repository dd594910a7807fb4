//! Whose request it is, behind proxies: the client's address by the word of the proxies that are trusted.
//!
//! `X-Forwarded-For` is a list to which each proxy adds whom it got the request from, and the client may have written any
//! beginning of it. So it is read from its end, and only as far as one trusted proxy vouches for the next entry. RFC 7239's
//! `Forwarded` is not read: a proxy that passes on one field and writes the other would let clients choose.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, Request, StatusCode};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};
use tower_layer::Layer;
use tower_service::Service;

use crate::peer::PeerAddr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the client: the peer's or, behind [`TrustedProxies`], the one that they name. An extractor.
///
/// # Examples
/// ```
/// use linden_gateway::ClientAddr;
///
/// async fn whoami(ClientAddr(client): ClientAddr) -> String {
///     client.to_string()
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClientAddr(pub IpAddr);

impl ClientAddr {
    /// `None`: the request did not come through a gateway.
    pub(crate) fn of(extensions: &Extensions) -> Option<Self> {
        let named = extensions.get().copied();
        named.or_else(|| {
            PeerAddr::of(extensions).map(|PeerAddr(peer)| Self(peer.ip().to_canonical()))
        })
    }
}

impl<S: Sync> FromRequestParts<S> for ClientAddr {
    /// The request did not come through a gateway.
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        Self::of(&parts.extensions).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Addresses of proxies: a network such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProxyNet(IpNet);

impl ProxyNet {
    fn contains(self, ip: IpAddr) -> bool {
        self.0.contains(&ip)
    }
}

impl FromStr for ProxyNet {
    type Err = ProxyNetError;

    fn from_str(text: &str) -> Result<Self, ProxyNetError> {
        let one = || text.parse().map(|ip: IpAddr| IpNet::from(ip.to_canonical()));
        match text.parse() {
            Ok(net) => Ok(Self(net)),
            Err(_) => one().map(Self).map_err(|_| ProxyNetError { text: text.to_owned() }),
        }
    }
}

impl<'de> Deserialize<'de> for ProxyNet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A text that names no network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyNetError {
    text: String,
}

impl fmt::Display for ProxyNetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no network of proxies: write an address such as 10.0.0.1, or a network such as 10.0.0.0/8",
            self.text
        )
    }
}

impl std::error::Error for ProxyNetError {}

/// The proxies that say who their clients are, by `X-Forwarded-For`: a layer, to be laid around all that asks for the
/// [`ClientAddr`], such as the rate limit and the access log.
///
/// The client is the last address in the field that is no trusted proxy's; what comes from another peer, and what stands
/// before that address, counts for nothing. Where an entry is no address, it is the proxy before it.
///
/// # Examples
/// ```
/// use linden_gateway::axum::{Router, routing::get};
/// use linden_gateway::{ClientAddr, TrustedProxies};
///
/// let proxies = TrustedProxies::new(["10.0.0.0/8".parse()?]);
/// let router: Router = Router::new()
///     .route("/", get(async |ClientAddr(client): ClientAddr| client.to_string()))
///     .layer(proxies);
/// # Ok::<(), linden_gateway::ProxyNetError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    nets: Arc<[ProxyNet]>,
}

impl TrustedProxies {
    /// Those of these networks. Make sure that the proxies add to the field, and that nobody else has such an address.
    #[must_use]
    pub fn new(nets: impl IntoIterator<Item = ProxyNet>) -> Self {
        Self { nets: nets.into_iter().collect() }
    }

    fn trust(&self, ip: IpAddr) -> bool {
        self.nets.iter().any(|net| net.contains(ip))
    }

    // GATE-60: who is not trusted says nothing.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let fields = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let mut entries = fields.flat_map(|field| field.to_str().unwrap_or_default().rsplit(','));
        while self.trust(client) {
            match entries.next().and_then(address) {
                Some(said) => client = said,
                None => break,
            }
        }
        client
    }
}

/// An entry of the field: an address, which some proxies write with its port.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry);
    let with_port = || entry.parse().map(|address: SocketAddr| address.ip());
    bare.parse().or_else(|_| with_port()).ok().map(|ip: IpAddr| ip.to_canonical())
}

impl<S> Layer<S> for TrustedProxies {
    type Service = ProxiedRoute<S>;

    fn layer(&self, inner: S) -> ProxiedRoute<S> {
        ProxiedRoute { inner, proxies: self.clone() }
    }
}

/// The service that [`TrustedProxies`] makes.
#[derive(Clone, Debug)]
pub struct ProxiedRoute<S> {
    inner: S,
    proxies: TrustedProxies,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for ProxiedRoute<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if let Some(PeerAddr(peer)) = PeerAddr::of(request.extensions()) {
            let client = ClientAddr(self.proxies.client(peer.ip(), request.headers()));
            request.extensions_mut().insert(client);
        }
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> TrustedProxies {
        let nets = ["10.0.0.0/8", "127.0.0.1", "2001:db8:1::/48"];
        TrustedProxies::new(nets.map(|net| net.parse().expect("a network")))
    }

    fn client(peer: &str, fields: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for field in fields {
            let value = http::HeaderValue::from_bytes(field.as_bytes()).expect("a value");
            headers.append(X_FORWARDED_FOR, value);
        }
        proxies().client(peer.parse().expect("an address"), &headers).to_string()
    }

    // proves: GATE-60
    #[test]
    fn the_client_is_the_last_address_that_is_no_trusted_proxys() {
        let table: &[(&str, &[&str], &str)] = &[
            // Nobody is in between, or says so.
            ("192.0.2.7", &[], "192.0.2.7"),
            ("10.0.0.1", &[], "10.0.0.1"),
            // A client that says whatever it likes.
            ("192.0.2.7", &["198.51.100.1"], "192.0.2.7"),
            ("10.0.0.1", &["198.51.100.1, 192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["10.0.0.9, 192.0.2.7"], "192.0.2.7"),
            // Proxies behind each other, in one field or in several.
            ("10.0.0.1", &["192.0.2.7, 10.0.0.2,10.0.0.3"], "192.0.2.7"),
            ("127.0.0.1", &["192.0.2.7", "10.0.0.2"], "192.0.2.7"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // As some write it.
            ("10.0.0.1", &["192.0.2.7:4711"], "192.0.2.7"),
            ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("2001:db8:1::1", &["2001:db8::7"], "2001:db8::7"),
            ("::ffff:10.0.0.1", &["::ffff:192.0.2.7"], "192.0.2.7"),
            // What is no address is not passed over.
            ("10.0.0.1", &["192.0.2.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.7, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["192.0.2.7, "], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.7", "é"], "10.0.0.1"),
        ];
        for (peer, fields, expected) in table {
            assert_eq!(client(peer, fields), *expected, "{peer} {fields:?}");
        }
    }

    #[test]
    fn what_is_no_network_is_named_with_the_mend() {
        for text in ["", "10.0.0.0/33", "proxy.example", "10.0.0", "10.0.0.1:80"] {
            let error = text.parse::<ProxyNet>().expect_err(text).to_string();
            assert!(error.contains("10.0.0.0/8") && error.contains(text), "{error}");
        }
    }
}
