//! The layer that gives each request its trace: the caller's, or a new one.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::Request;
use linden::TraceContext;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::trace_context::{TraceState, trace_of_headers};

/// Lets each request's handler work in a trace: that of the request's `traceparent`, or a new one when there is none or it is
/// not well-formed. It is the trace of the process that runs the handler ([`linden::current_trace`]), so it travels with every
/// call and cast from there, and stands in the log lines of all who work on the request; the [access log](crate::AccessLog) has
/// it, too. A [`TraceState`] comes with a caller's trace only, among the request's extensions. The response says nothing of
/// it. A layer.
///
/// # Examples
/// ```
/// use linden_gateway::axum::{Router, routing::get};
/// use linden_gateway::Traced;
///
/// let trace = async || linden::current_trace().map(|trace| trace.to_string()).unwrap_or_default();
/// let router: Router = Router::new().route("/", get(trace)).layer(Traced);
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
    type Future = TracedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> TracedFuture<S::Future> {
        let caller = trace_of_headers(request.headers());
        if let Some(state) = caller.and_then(|_| TraceState::of_headers(request.headers())) {
            request.extensions_mut().insert(state);
        }
        let begin = || TraceContext::begin(rand::random(), rand::random());
        let trace = caller.unwrap_or_else(begin);
        request.extensions_mut().insert(trace);
        linden::set_trace(Some(trace));
        TracedFuture { future: self.inner.call(request), trace }
    }
}

pin_project! {
    /// The future of a [`TracedRoute`].
    ///
    /// What it leaves the process in is the trace of the request: its response's body is still made in it.
    #[derive(Debug)]
    pub struct TracedFuture<F> {
        #[pin]
        future: F,
        trace: TraceContext,
    }
}

impl<F: Future> Future for TracedFuture<F> {
    type Output = F::Output;

    /// The process may have read mail, which has a trace of its own, since the last poll.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        linden::set_trace(Some(*this.trace));
        this.future.poll(cx)
    }
}
