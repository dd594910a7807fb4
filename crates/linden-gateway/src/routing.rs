//! From a request to its response: the router, called by hyper, with its panics and timeouts turned into responses.
//!
//! Everything runs in the connection's process. A handler's panic is caught around each poll, and its future dropped; what
//! the process itself holds is not touched by handlers, so it goes on unharmed.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::extract::DefaultBodyLimit;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::service::Service as HyperService;
use pin_project_lite::pin_project;
use tower_service::Service as _;

use crate::exchange::{Exchange, ExchangeHandle};
use crate::pace::WaitedFor;
use crate::peer::PeerAddr;
use crate::refusal::{Refusal, close_after};
use crate::request_body::RequestBody;
use crate::response_body::ResponseBody;
use crate::shared::Shared;
use crate::watch::Watch;

/// What hyper calls on one connection.
pub(crate) struct Routing {
    pub(crate) shared: Arc<Shared>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) peer: PeerAddr,
}

impl HyperService<Request<Incoming>> for Routing {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Routed;

    fn call(&self, request: Request<Incoming>) -> Routed {
        let exchange = Exchange::begin(self.shared.clone(), self.watch.clone(), &request);
        let exchange = Arc::new(exchange);
        let mut request = request.map(|body| RequestBody::new(body, exchange.clone()));
        // The gateway's own limit holds for what extractors collect too.
        DefaultBodyLimit::disable().apply(&mut request);
        request.extensions_mut().insert(ExchangeHandle(exchange.clone()));
        request.extensions_mut().insert(self.peer);
        let mut router = self.shared.router.clone();
        let route = match catch_unwind(AssertUnwindSafe(|| router.call(request))) {
            Ok(route) => Some(route),
            Err(payload) => {
                exchange.handler_panicked(payload);
                None
            }
        };
        Routed { route, open: Open(Some(exchange)) }
    }
}

pin_project! {
    /// The response to come.
    pub(crate) struct Routed {
        // `None` when it panicked or was given up.
        #[pin]
        route: Option<RouteFuture<Infallible>>,
        open: Open,
    }
}

/// An exchange without a response yet.
struct Open(Option<Arc<Exchange>>);

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(exchange) = self.0.take() {
            exchange.abandoned();
        }
    }
}

impl Future for Routed {
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let exchange = this.open.0.as_ref().expect("polled until its response, not beyond");
        let response = match exchange.given_up() {
            Some(WaitedFor::Handler) => Refusal::HandlerTimeout.response(),
            Some(WaitedFor::Body) => Refusal::BodyTimeout.response(),
            None => ready!(poll_route(this.route.as_mut(), exchange, cx)),
        };
        drop_route(this.route, exchange);
        let exchange = this.open.0.take().expect("looked at above");
        Poll::Ready(Ok(send_off(response, exchange)))
    }
}

/// Polls the handler; a panic is an internal error.
fn poll_route(
    route: Pin<&mut Option<RouteFuture<Infallible>>>,
    exchange: &Exchange,
    cx: &mut Context<'_>,
) -> Poll<Response> {
    let Some(route) = route.as_pin_mut() else {
        return Poll::Ready(Refusal::Internal.response());
    };
    match catch_unwind(AssertUnwindSafe(|| route.poll(cx))) {
        Ok(polled) => polled.map(|Ok(response)| response),
        Err(payload) => {
            exchange.handler_panicked(payload);
            Poll::Ready(Refusal::Internal.response())
        }
    }
}

fn drop_route(mut route: Pin<&mut Option<RouteFuture<Infallible>>>, exchange: &Exchange) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| route.set(None))) {
        exchange.handler_panicked(payload);
    }
}

/// The last touches of the gateway.
fn send_off(response: Response, exchange: Arc<Exchange>) -> Response<ResponseBody> {
    let mut response = match refusal_behind(&response, &exchange) {
        Some(refusal) => refusal.response(),
        None => response,
    };
    exchange.answered(response.status());
    if exchange.is_last() {
        close_after(response.headers_mut());
    }
    response.map(|body| ResponseBody::new(body, exchange))
}

/// What a handler makes of a body that is too large is its own affair if it is a success; else the client hears the cause.
fn refusal_behind(response: &Response, exchange: &Exchange) -> Option<Refusal> {
    let status: StatusCode = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    (failed && exchange.was_body_too_large()).then_some(Refusal::BodyTooLarge)
}
