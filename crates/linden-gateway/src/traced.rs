//! The layer that gives each request its trace: the caller's, or a new one.

use std::task::{Context, Poll};

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{Request, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use crate::trace_context::{TraceContext, TraceState};

/// Puts a [`TraceContext`] among each request's extensions, for handlers and for the [access log](crate::AccessLog): that of
/// the request's `traceparent`, or a new one when there is none or it is not well-formed. A `tracestate` comes with a
/// caller's trace only. The response says nothing of it. A layer.
///
/// # Examples
/// ```
/// use linden_gateway::axum::{Router, routing::get};
/// use linden_gateway::{TraceContext, Traced};
///
/// let router: Router = Router::new()
///     .route("/", get(async |trace: TraceContext| trace.to_string()))
///     .layer(Traced);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Traced;

impl<S> Layer<S> for Traced {
    type Service = TracedRoute<S>;

    fn layer(&self, inner: S) -> TracedRoute<S> {
        TracedRoute { inner }
    }
}

/// The service that [`Traced`] makes.
#[derive(Clone, Debug)]
pub struct TracedRoute<S> {
    inner: S,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for TracedRoute<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let caller = TraceContext::of_headers(request.headers());
        if let Some(state) = caller.and_then(|_| TraceState::of_headers(request.headers())) {
            request.extensions_mut().insert(state);
        }
        let begin = || TraceContext::begin(rand::random(), rand::random());
        request.extensions_mut().insert(caller.unwrap_or_else(begin));
        self.inner.call(request)
    }
}

impl<S: Sync> FromRequestParts<S> for TraceContext {
    /// The route is not behind [`Traced`].
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.extensions.get().copied().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
