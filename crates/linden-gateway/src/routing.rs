//! From a request to its response: the router, called by hyper, with its panics and timeouts turned into responses.
//!
//! Everything runs in the process of the connection or, with HTTP/2, in that of the stream, but for the call of the router
//! itself. A handler's panic is caught around each poll, and its future dropped; what
//! the process itself holds is not touched by handlers, so it goes on unharmed.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::DefaultBodyLimit;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::service::Service as HyperService;
use pin_project_lite::pin_project;
use tower_service::Service as _;

use crate::connection::Line;
use crate::exchange::{Exchange, ExchangeHandle, Lane, Leftover};
use crate::head;
use crate::pace::WaitedFor;
use crate::refusal::{Refusal, close_after, closes};
use crate::request_body::RequestBody;
use crate::response_body::ResponseBody;
use crate::streams::Streams;
use crate::unread_body::{ReadTo, UnreadBody};

/// What hyper calls on one connection.
pub(crate) struct Routing {
    line: Arc<Line>,
    /// With HTTP/2.
    streams: Option<Streams>,
    /// The connection's own, called by its process alone: a copy for each request would be counted by every core in one place.
    router: RefCell<Router>,
}

impl HyperService<Request<Incoming>> for Routing {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Routed;

    fn call(&self, request: Request<Incoming>) -> Routed {
        let stream = self.streams.as_ref().map(Streams::expect);
        let exchange = Arc::new(Exchange::begin(self.line.clone(), stream, &request));
        self.route(request, exchange)
    }
}

impl Routing {
    pub(crate) fn new(line: Arc<Line>, streams: Option<Streams>) -> Self {
        let router = RefCell::new(line.shared.router.clone());
        Self { line, streams, router }
    }

    fn route(&self, request: Request<Incoming>, exchange: Arc<Exchange>) -> Routed {
        let mut request = request.map(|body| request_body(body, &exchange));
        if let Err(bad) = head::check(&mut request, self.line.shared.limits.headers_max) {
            drop(request);
            let answer = Some(Answer::new(bad.response(), &exchange));
            return Routed { route: None, answer, open: Open(Some(exchange)) };
        }
        if !request.body().is_end_stream() {
            // The gateway's own limit holds for what extractors collect too.
            DefaultBodyLimit::disable().apply(&mut request);
        }
        request.extensions_mut().insert(ExchangeHandle(exchange.clone()));
        let mut router = self.router.borrow_mut();
        let route = match catch_unwind(AssertUnwindSafe(|| router.call(request))) {
            Ok(route) => Some(route),
            Err(payload) => {
                exchange.handler_panicked(payload);
                None
            }
        };
        Routed { route, answer: None, open: Open(Some(exchange)) }
    }
}

/// The body as handlers get it. Most requests have none, and nothing of it is to be watched.
fn request_body(incoming: Incoming, exchange: &Arc<Exchange>) -> Body {
    if incoming.is_end_stream() {
        return Body::empty();
    }
    Body::new(RequestBody::new(incoming, exchange.clone()))
}

pin_project! {
    /// The response to come.
    pub(crate) struct Routed {
        // `None` when it panicked or was given up.
        #[pin]
        route: Option<RouteFuture<Infallible>>,
        // The handler's, or a refusal.
        answer: Option<Answer>,
        open: Open,
    }
}

/// A response that waits until the rest of the request's body is read.
struct Answer {
    response: Response,
    rest: Option<UnreadBody>,
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
        if this.answer.is_none() {
            let response = match exchange.given_up() {
                Some(WaitedFor::Handler) => Refusal::HandlerTimeout.response(),
                Some(WaitedFor::Body) => Refusal::BodyTimeout.response(),
                None => ready!(poll_route(this.route.as_mut(), exchange, cx)),
            };
            drop_route(this.route, exchange);
            *this.answer = Some(Answer::new(response, exchange));
        }
        let answer = this.answer.as_mut().expect("there is one now");
        ready!(answer.poll_rest(exchange, cx));
        let response = this.answer.take().expect("looked at above").response;
        let exchange = this.open.0.take().expect("looked at above");
        exchange.answered(response.status());
        Poll::Ready(Ok(response.map(|body| ResponseBody::new(body, exchange))))
    }
}

impl Answer {
    /// The last touches of the gateway.
    fn new(response: Response, exchange: &Exchange) -> Self {
        let mut response = match refusal_behind(&response, exchange) {
            Some(refusal) => refusal.response(),
            None => response,
        };
        let leftover = exchange.take_leftover();
        // A stream says by its own end what becomes of the body.
        if exchange.is_upgraded_by(response.status()) || exchange.lane() == Lane::Stream {
            return Self { response, rest: None };
        }
        if exchange.is_last() || matches!(leftover, Leftover::Unasked) {
            close_after(response.headers_mut());
        }
        let rest = match leftover {
            Leftover::Sent(rest) if !closes(response.headers()) => Some(rest),
            _ => None,
        };
        if rest.is_some() {
            exchange.skips_body();
        }
        Self { response, rest }
    }

    /// Reads the rest of the request's body, if there is one that can be read.
    fn poll_rest(&mut self, exchange: &Exchange, cx: &mut Context<'_>) -> Poll<()> {
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(());
        };
        let read_to = match exchange.given_up() {
            Some(_) => ReadTo::Middle,
            None => ready!(rest.poll_end(cx)),
        };
        self.rest = None;
        match read_to {
            ReadTo::End => exchange.body_ended(),
            ReadTo::Middle => close_after(self.response.headers_mut()),
        }
        Poll::Ready(())
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

/// What a handler makes of a body that is too large is its own affair if it is a success; else the client hears the cause.
fn refusal_behind(response: &Response, exchange: &Exchange) -> Option<Refusal> {
    let status: StatusCode = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    (failed && exchange.was_body_too_large()).then_some(Refusal::BodyTooLarge)
}
