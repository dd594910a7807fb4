//! A limit on how many requests one client makes in a time: the layer around the buckets, and what a client is told by.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, Request};
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use serde::{Deserialize, Deserializer, de};
use tower_layer::Layer;
use tower_service::Service;

use crate::buckets::{Buckets, Quota, Taken};
use crate::client_addr::ClientAddr;
use crate::refusal::Refusal;

/// Default of [`RateConfig::keys_max`].
const KEYS_MAX: usize = 100_000;

/// How many requests one client may make, and what a client is told by. In `linden.toml` a table of these keys:
/// `rate = { requests = 100, per = "1m", burst = 20, key = "header:x-api-key" }`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateConfig {
    /// Requests in `per`, on average. At least 1.
    pub requests: u32,
    /// The time. Longer than zero, and so long that a request has at least a nanosecond.
    #[serde(with = "linden::config::duration")]
    pub per: Duration,
    /// Requests that a client that has rested may make at once. Beyond them: 429, with `Retry-After` for the next one.
    /// Default: `requests`. At least 1.
    #[serde(default)]
    pub burst: Option<u32>,
    /// What a client is told by. Default: its address.
    #[serde(default)]
    pub key: RateKey,
    /// Clients that are told apart at once. A client is forgotten when it has rested; newcomers beyond share one rate.
    /// Default 100,000, some 5 MB.
    #[serde(default = "keys_max")]
    pub keys_max: usize,
}

fn keys_max() -> usize {
    KEYS_MAX
}

/// What a client is told by.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum RateKey {
    /// `"client"`: its address ([`ClientAddr`]); of IPv6 the network of 64 bits. Behind a proxy that is not
    /// [trusted](crate::TrustedProxies) that is the proxy's.
    #[default]
    Client,
    /// `"header:NAME"`: the field's value, and the address when there is none. A client that may choose the value
    /// escapes its limit: only for fields that a proxy sets or checks.
    Header(HeaderName),
}

impl<'de> Deserialize<'de> for RateKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || de::Error::custom("the key of a rate is \"client\" or \"header:NAME\"");
        match text.split_once(':') {
            None if text == "client" => Ok(Self::Client),
            Some(("header", name)) => name.parse().map(Self::Header).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

/// A limit on how many requests one client makes in a time: a layer. Its clones, and the routes that it is laid around,
/// share the limit.
///
/// # Examples
/// ```
/// use linden_gateway::axum::{Router, routing::post};
/// use linden_gateway::{RateConfig, RateKey, RateLimit};
/// use std::time::Duration;
///
/// let rate = RateConfig {
///     requests: 5,
///     per: Duration::from_secs(60),
///     burst: None,
///     key: RateKey::Client,
///     keys_max: 10_000,
/// };
/// let router: Router =
///     Router::new().route("/login", post(async || "welcome")).layer(RateLimit::new(&rate));
/// ```
#[derive(Clone)]
pub struct RateLimit {
    shared: Arc<Shared>,
}

type KeyOf = Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>;

struct Shared {
    buckets: Mutex<Buckets>,
    key: Key,
    hasher: RandomState,
    began: Instant,
}

enum Key {
    Config(RateKey),
    Function(KeyOf),
}

impl RateLimit {
    /// A limit of its own. A rate of no requests counts as one of one.
    #[must_use]
    pub fn new(config: &RateConfig) -> Self {
        Self::of(config, Key::Config(config.key.clone()))
    }

    /// As [`RateLimit::new`], with clients told by what `key_of` says of the request, and by their address when it says
    /// nothing.
    #[must_use]
    pub fn by(
        config: &RateConfig,
        key_of: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self::of(config, Key::Function(Arc::new(key_of)))
    }

    fn of(config: &RateConfig, key: Key) -> Self {
        let interval = config.per / config.requests.max(1);
        let burst = config.burst.unwrap_or(config.requests).max(1);
        let buckets = Buckets::new(Quota { interval, burst }, config.keys_max);
        Self {
            shared: Arc::new(Shared {
                buckets: Mutex::new(buckets),
                key,
                hasher: RandomState::new(),
                began: Instant::now(),
            }),
        }
    }

    /// Clients that are told apart now.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.shared.buckets.lock().keys()
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("keys", &self.keys()).finish_non_exhaustive()
    }
}

/// The network that a client's address stands for.
fn network(client: IpAddr) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits() >> 64 << 64,
    }
}

impl Shared {
    /// Keys are kept as their hash under a secret of this limit's own: of one size, and no client can choose one.
    fn key(&self, parts: &Parts) -> u64 {
        let told = match &self.key {
            Key::Config(RateKey::Client) => None,
            Key::Config(RateKey::Header(name)) => {
                parts.headers.get(name).map(|value| self.hasher.hash_one(value.as_bytes()))
            }
            Key::Function(key_of) => key_of(parts).map(|key| self.hasher.hash_one(key)),
        };
        told.unwrap_or_else(|| {
            let client = ClientAddr::of(&parts.extensions);
            self.hasher.hash_one(client.map(|ClientAddr(client)| network(client)))
        })
    }

    fn take(&self, parts: &Parts) -> Taken {
        let key = self.key(parts);
        self.buckets.lock().take(key, self.began.elapsed())
    }
}

impl<S> Layer<S> for RateLimit {
    type Service = RateLimited<S>;

    fn layer(&self, inner: S) -> RateLimited<S> {
        RateLimited { inner, shared: self.shared.clone() }
    }
}

/// The service that [`RateLimit`] makes.
#[derive(Clone)]
pub struct RateLimited<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S: fmt::Debug> fmt::Debug for RateLimited<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimited").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B> Service<Request<B>> for RateLimited<S>
where
    S: Service<Request<B>, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = WithinRate<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        match self.shared.take(&parts) {
            Taken::Yes => {
                let future = self.inner.call(Request::from_parts(parts, body));
                WithinRate { future: Some(future), wait: Duration::ZERO }
            }
            Taken::No { wait } => WithinRate { future: None, wait },
        }
    }
}

pin_project! {
    /// The response of a [`RateLimited`] to come.
    #[derive(Debug)]
    pub struct WithinRate<F> {
        // `None` when the request is above the rate.
        #[pin]
        future: Option<F>,
        wait: Duration,
    }
}

impl<F, E> Future for WithinRate<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.future.as_pin_mut() {
            Some(future) => future.poll(cx),
            None => Poll::Ready(Ok(Refusal::AboveRate { wait: *this.wait }.response())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_client_is_its_network_and_a_mapped_one_its_ipv4_address() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn a_key_is_the_client_or_a_header() {
        let key = |text: &str| serde_json::from_str::<RateKey>(&format!("\"{text}\""));
        assert_eq!(key("client").ok(), Some(RateKey::Client));
        let header = HeaderName::from_static("x-api-key");
        assert_eq!(key("header:X-Api-Key").ok(), Some(RateKey::Header(header)));
        for text in ["", "peer", "header", "header:", "header:a b", "cookie:x"] {
            let error = key(text).expect_err(text).to_string();
            assert!(error.contains("\"header:NAME\""), "{error}");
        }
    }
}
