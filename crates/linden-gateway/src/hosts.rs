//! Several routers behind one gateway, told apart by the host that a request is for.
//!
//! The host's text is read strictly: what is no host is refused before any router sees the request, for routers, caches and
//! proxies that read it each in their own way are how requests are smuggled past one of them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use futures_util::future::Either;
use http::header::HOST;
use http::{HeaderMap, Request, Uri};
use tower_service::Service;

use crate::refusal::Refusal;
use crate::route_limits::NoteRoute;

/// Bytes of a host's name, as in DNS.
const HOST_LEN_MAX: usize = 253;

/// Routers by host: for `shop.example`, for `*.shop.example`, for all others.
///
/// The host is that of the request's target, or of its `Host`; its port and a dot at its end do not count, nor does case. An
/// exact name goes before a wildcard, which stands for one part: `*.shop.example` is `eu.shop.example` and neither
/// `shop.example` nor `a.eu.shop.example`. A request without a host, or with one that is none, is a 400; one for a host that
/// nobody has is a 404.
///
/// # Examples
/// ```
/// use linden_gateway::Hosts;
/// use linden_gateway::axum::{Router, routing::get};
///
/// let shop = Router::new().route("/", get(async || "the shop"));
/// let tenants = Router::new().route("/", get(async || "a tenant's page"));
/// let router = Hosts::new().host("shop.example", shop)?.host("*.shop.example", tenants)?.into_router();
/// # let _: Router = router;
/// # Ok::<(), linden_gateway::RouteError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    exact: HashMap<Box<str>, Router>,
    /// By what stands behind the `*.`.
    wildcard: HashMap<Box<str>, Router>,
    default: Option<Router>,
}

/// Why routers were not put together.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RouteError {
    /// The text is no host's name.
    Host {
        /// Which.
        host: String,
    },
    /// The text is no path that a router can be put under.
    Path {
        /// Which.
        path: String,
    },
    /// Two routers are to be at the same place.
    Taken {
        /// The host, `*` for all.
        host: String,
        /// The path.
        path: String,
    },
    /// No router has this name.
    UnknownRouter {
        /// Which.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { host } => write!(
                f,
                "{host:?} is no host: write a name such as shop.example or *.shop.example, without a port"
            ),
            Self::Path { path } => {
                write!(f, "{path:?} is no path for a router: write / or a path such as /api")
            }
            Self::Taken { host, path } => {
                write!(f, "two routers are to be at {path} of the host {host}: take one out")
            }
            Self::UnknownRouter { name, known } => {
                write!(f, "the program has no router {name:?}; there is {}", known.join(", "))
            }
        }
    }
}

impl std::error::Error for RouteError {}

impl Hosts {
    /// No router yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A router for a host, `shop.example`, or for those that end so, `*.shop.example`.
    ///
    /// # Errors
    /// [`RouteError::Host`] and [`RouteError::Taken`].
    pub fn host(mut self, host: &str, router: Router) -> Result<Self, RouteError> {
        let refuse = || RouteError::Host { host: host.to_owned() };
        let (table, name) = match host.strip_prefix("*.") {
            Some(rest) => (&mut self.wildcard, rest),
            None => (&mut self.exact, host),
        };
        // A port in the table would never match.
        let name = host_name(name).filter(|_| port_of(name).is_none()).ok_or_else(refuse)?;
        match table.insert(name.into(), noted(router)) {
            None => Ok(self),
            Some(_) => Err(RouteError::Taken { host: host.to_owned(), path: "/".to_owned() }),
        }
    }

    /// A router for all hosts that have none of their own.
    #[must_use]
    pub fn default_host(mut self, router: Router) -> Self {
        self.default = Some(noted(router));
        self
    }

    /// The router that a gateway takes.
    pub fn into_router(self) -> Router {
        Router::new().fallback_service(ByHost { hosts: Arc::new(self) })
    }

    fn router(&self, host: &str) -> Option<&Router> {
        let wildcard = || host.split_once('.').and_then(|(_, rest)| self.wildcard.get(rest));
        self.exact.get(host).or_else(wildcard).or(self.default.as_ref())
    }
}

/// The gateway's note of the route is taken outside of here, where no route is known.
fn noted(router: Router) -> Router {
    router.layer(NoteRoute)
}

/// The service that looks the router up.
#[derive(Clone)]
struct ByHost {
    hosts: Arc<Hosts>,
}

impl Service<Request<Body>> for ByHost {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, RouteFuture<Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let refuse = |refusal: Refusal| Either::Left(ready(Ok(refusal.response())));
        let Some(host) = host_of(request.uri(), request.headers()) else {
            return refuse(Refusal::BadHost);
        };
        match self.hosts.router(&host) {
            Some(router) => Either::Right(router.clone().call(request)),
            None => refuse(Refusal::NotFound),
        }
    }
}

/// The host that a request is for: that of its target, which goes before its one `Host` (RFC 9112, 3.2.2).
fn host_of(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    if let Some(authority) = uri.authority() {
        return host_name(authority.as_str());
    }
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host_name(host.to_str().ok()?),
        _ => None,
    }
}

/// The name in `name:port`, in lower case and without a dot at its end; `None` for what is no host.
fn host_name(text: &str) -> Option<String> {
    let name = match port_of(text) {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) => return None,
        None => text,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_address = || {
        let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
    };
    let fits = (1..=HOST_LEN_MAX).contains(&name.len()) && (is_name(name) || is_address());
    fits.then(|| name.to_ascii_lowercase())
}

/// The text before and behind the colon of a port.
fn port_of(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once(':').filter(|(_, port)| !port.contains(']'))
}

/// Parts of letters, digits, `-` and `_`, with dots between them.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_without_port_case_and_last_dot() {
        let table = [
            ("shop.example", "shop.example"),
            ("Shop.EXAMPLE:8080", "shop.example"),
            ("shop.example.", "shop.example"),
            ("shop.example.:80", "shop.example"),
            ("shop.example:", "shop.example"),
            ("127.0.0.1:4000", "127.0.0.1"),
            ("[::1]:4000", "[::1]"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
            ("my_host-1", "my_host-1"),
        ];
        for (text, name) in table {
            assert_eq!(host_name(text).as_deref(), Some(name), "{text}");
        }
    }

    // proves: GATE-50
    #[test]
    fn what_is_no_host_is_refused() {
        let long = "a.".repeat(127) + "a";
        let table = [
            "",
            ".",
            ":80",
            "a..b",
            ".a",
            "a b",
            "a/b",
            "a@b",
            "a,b",
            "a:b",
            "a:80:80",
            "a:-1",
            "::1",
            "[::1",
            "[::1]x",
            "[x]",
            "a%2e",
            "a\\b",
            "é.example",
            "a..",
            &long,
        ];
        for text in table {
            assert_eq!(host_name(text), None, "{text}");
        }
    }

    #[test]
    fn the_target_goes_before_the_field_and_two_fields_are_none() {
        let mut headers = HeaderMap::new();
        let of = |uri: &str, headers: &HeaderMap| host_of(&uri.parse().unwrap(), headers);
        assert_eq!(of("/", &headers), None);
        assert_eq!(of("http://A.example/", &headers).as_deref(), Some("a.example"));
        headers.append(HOST, "b.example".parse().unwrap());
        assert_eq!(of("/", &headers).as_deref(), Some("b.example"));
        assert_eq!(of("http://a.example/", &headers).as_deref(), Some("a.example"));
        headers.append(HOST, "b.example".parse().unwrap());
        assert_eq!(of("/", &headers), None);
    }

    #[test]
    fn hosts_of_the_table_are_names_without_a_port_each_once() {
        for host in ["", "*", "*.", "a:80", "a b", "*.*.a", "a.*"] {
            let error = Hosts::new().host(host, Router::new()).expect_err(host);
            assert_eq!(error, RouteError::Host { host: host.to_owned() });
        }
        let once = Hosts::new().host("a.example", Router::new()).unwrap();
        let twice = once.host("A.example.", Router::new()).expect_err("it is taken");
        assert!(twice.to_string().contains("A.example."), "{twice}");
    }
}
