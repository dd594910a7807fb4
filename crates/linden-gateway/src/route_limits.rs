//! The layers of this crate: limits of single routes, and the note of which route a request took.
//!
//! Both find the exchange among the request's extensions and are without effect on a request that came another way.

use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::MatchedPath;
use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use crate::exchange::ExchangeHandle;

/// Limits of a route in place of the gateway's: a layer for it.
///
/// # Examples
/// ```
/// use linden_gateway::RouteLimits;
/// use linden_gateway::axum::{Router, body::Body, routing::post};
///
/// async fn upload(_body: Body) { /* reads it as a stream */ }
///
/// let limits = RouteLimits::new().unlimited_body().no_request_timeout();
/// let router: Router = Router::new().route("/upload", post(upload).layer(limits));
/// ```
///
/// A route without a request timeout still ends when its client stalls: when it neither sends nor takes anything that it is
/// waited for during the idle timeout.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RouteLimits {
    body_bytes_max: Option<u64>,
    /// `Some(None)`: there is none.
    request_timeout: Option<Option<Duration>>,
}

impl RouteLimits {
    /// The gateway's limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of the request's body. The limit of axum's extractors, which it gives by `DefaultBodyLimit`, is off inside a
    /// gateway: this one holds for them too.
    #[must_use]
    pub fn body_bytes_max(mut self, bytes: u64) -> Self {
        self.body_bytes_max = Some(bytes);
        self
    }

    /// A body of any length: for handlers that read it as a stream.
    #[must_use]
    pub fn unlimited_body(self) -> Self {
        self.body_bytes_max(u64::MAX)
    }

    /// The time from the request's head to the response's.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(Some(timeout));
        self
    }

    /// A handler that may take any time.
    #[must_use]
    pub fn no_request_timeout(mut self) -> Self {
        self.request_timeout = Some(None);
        self
    }

    fn apply(&self, ExchangeHandle(exchange): &ExchangeHandle) {
        if let Some(bytes) = self.body_bytes_max {
            exchange.set_body_bytes_max(bytes);
        }
        if let Some(timeout) = self.request_timeout {
            exchange.set_request_timeout(timeout);
        }
    }
}

impl<S> Layer<S> for RouteLimits {
    type Service = LimitedRoute<S>;

    fn layer(&self, inner: S) -> LimitedRoute<S> {
        LimitedRoute { inner, limits: *self }
    }
}

/// The service that [`RouteLimits`] makes.
#[derive(Clone, Debug)]
pub struct LimitedRoute<S> {
    inner: S,
    limits: RouteLimits,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for LimitedRoute<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        if let Some(exchange) = request.extensions().get::<ExchangeHandle>() {
            self.limits.apply(exchange);
        }
        self.inner.call(request)
    }
}

/// Notes the route, for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoteRoute;

impl<S> Layer<S> for NoteRoute {
    type Service = NotedRoute<S>;

    fn layer(&self, inner: S) -> NotedRoute<S> {
        NotedRoute { inner }
    }
}

/// The service that [`NoteRoute`] makes.
#[derive(Clone, Debug)]
pub(crate) struct NotedRoute<S> {
    inner: S,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for NotedRoute<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        let extensions = request.extensions();
        if let (Some(ExchangeHandle(exchange)), Some(route)) =
            (extensions.get(), extensions.get::<MatchedPath>())
        {
            exchange.set_route(route);
        }
        self.inner.call(request)
    }
}
