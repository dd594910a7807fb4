//! One request and its response: what its parts (handler, bodies, layers) share, and what it leaves in the counts.
//!
//! Made for each request; the layers of this crate find it among the request's extensions.

use std::any::Any;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::MatchedPath;
use http::header::EXPECT;
use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use parking_lot::Mutex;

use crate::connection::Line;
use crate::pace::{BodyAhead, WaitedFor};
use crate::shared::Shared;
use crate::unread_body::UnreadBody;
use crate::watch::Watch;

/// See the head of this file.
pub(crate) struct Exchange {
    line: Arc<Line>,
    /// The stream's own, with HTTP/2.
    stream: Option<Arc<Watch>>,
    /// The request's number on its connection.
    number: u64,
    method: Method,
    /// `None` when the target is a host alone.
    target: Option<PathAndQuery>,
    body_bytes_max: AtomicU64,
    body_is_too_large: AtomicBool,
    expects_continue: bool,
    may_upgrade: bool,
    leftover: Mutex<Leftover>,
}

/// What an exchange has to itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lane {
    /// A whole connection, until the next exchange.
    Connection,
    /// A stream of an HTTP/2 connection.
    Stream,
}

/// What became of the request's body when it was dropped before its end.
#[derive(Default)]
pub(crate) enum Leftover {
    /// It was not: it was read, or somebody has it.
    #[default]
    None,
    /// The client sends it in any case.
    Sent(UnreadBody),
    /// The client waits to be asked for it.
    Unasked,
    /// The response is out.
    TooLate,
}

/// How layers find the exchange.
#[derive(Clone)]
pub(crate) struct ExchangeHandle(pub(crate) Arc<Exchange>);

impl Exchange {
    pub(crate) fn begin<B: http_body::Body>(
        line: Arc<Line>,
        stream: Option<Arc<Watch>>,
        request: &http::Request<B>,
    ) -> Self {
        // The trace of the connection's last request is over.
        linden::set_trace(None);
        let ahead = if request.body().is_end_stream() { BodyAhead::No } else { BodyAhead::Yes };
        let watch = stream.as_deref().unwrap_or(&line.watch);
        let number = watch.request_began(line.shared.limits.request_timeout, ahead);
        Self {
            number,
            method: request.method().clone(),
            target: request.uri().path_and_query().cloned(),
            body_bytes_max: AtomicU64::new(line.shared.limits.body_bytes_max),
            body_is_too_large: AtomicBool::new(false),
            expects_continue: ahead == BodyAhead::Yes && request.headers().contains_key(EXPECT),
            may_upgrade: request.extensions().get::<OnUpgrade>().is_some(),
            leftover: Mutex::default(),
            line,
            stream,
        }
    }

    pub(crate) fn set_route(&self, route: &MatchedPath) {
        self.watch().take_route(self.number, &self.method, route);
    }

    /// Who is at the other end of the connection.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.line.peer
    }

    /// The gateway that serves the request.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.line.shared
    }

    /// The route's pattern, when a router has found one.
    pub(crate) fn route(&self) -> Option<MatchedPath> {
        self.watch().route_of(self.number)
    }

    /// That of the stream, or of the connection.
    fn watch(&self) -> &Watch {
        self.stream.as_deref().unwrap_or(&self.line.watch)
    }

    pub(crate) fn set_body_bytes_max(&self, bytes: u64) {
        self.body_bytes_max.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_request_timeout(&self, limit: Option<Duration>) {
        self.watch().set_request_timeout(self.number, limit);
    }

    pub(crate) fn body_bytes_max(&self) -> u64 {
        self.body_bytes_max.load(Ordering::Relaxed)
    }

    pub(crate) fn body_is_too_large(&self) {
        self.body_is_too_large.store(true, Ordering::Relaxed);
    }

    pub(crate) fn was_body_too_large(&self) -> bool {
        self.body_is_too_large.load(Ordering::Relaxed)
    }

    pub(crate) fn body_awaited(&self) {
        self.watch().body_awaited(self.number);
    }

    pub(crate) fn body_came(&self) {
        self.watch().body_came(self.number);
    }

    pub(crate) fn body_ended(&self) {
        self.watch().body_ended(self.number);
    }

    /// The body is dropped after so many bytes, before its end.
    pub(crate) fn body_left(&self, incoming: Incoming, bytes: u64) {
        let mut leftover = self.leftover.lock();
        *leftover = match *leftover {
            Leftover::TooLate => Leftover::TooLate,
            _ if self.expects_continue && bytes == 0 => Leftover::Unasked,
            _ => Leftover::Sent(UnreadBody::new(incoming)),
        };
    }

    /// What is left of the body when the handler has answered. What is left later is dropped.
    pub(crate) fn take_leftover(&self) -> Leftover {
        std::mem::replace(&mut self.leftover.lock(), Leftover::TooLate)
    }

    /// The rest of the body is read, to no use but the connection's.
    pub(crate) fn skips_body(&self) {
        self.watch().skips_body(self.number);
    }

    /// Why the handler is to be dropped, if it is.
    pub(crate) fn given_up(&self) -> Option<WaitedFor> {
        self.watch().given_up(self.number)
    }

    /// The response's head goes out.
    pub(crate) fn answered(&self, status: StatusCode) {
        self.line.shared.counts.request_served();
        if self.is_upgraded_by(status) {
            self.watch().upgraded(self.number);
        } else {
            self.watch().answered(self.number);
        }
    }

    /// Whether the connection is this exchange's.
    pub(crate) fn lane(&self) -> Lane {
        match self.stream {
            Some(_) => Lane::Stream,
            None => Lane::Connection,
        }
    }

    /// A part of the response's body is there to be taken. On a stream this is where a client shows that it takes nothing;
    /// on a connection the socket shows it.
    pub(crate) fn part_offered(&self) {
        if self.lane() == Lane::Stream {
            self.watch().write_blocked();
        }
    }

    /// The part before was taken.
    pub(crate) fn part_taken(&self) {
        if self.lane() == Lane::Stream {
            self.watch().wrote();
        }
    }

    /// Whether the connection passes to the handler with a response of this status.
    pub(crate) fn is_upgraded_by(&self, status: StatusCode) -> bool {
        let agreed = status == StatusCode::SWITCHING_PROTOCOLS
            || self.method == Method::CONNECT && status.is_success();
        self.may_upgrade && agreed
    }

    /// Whether the connection ends after this response.
    pub(crate) fn is_last(&self) -> bool {
        self.line.shared.is_draining()
    }

    /// The response's body is made to its end, or dropped.
    pub(crate) fn answer_ended(&self) {
        self.watch().answer_ended(self.number);
    }

    /// Nobody is left to answer: the client went away, or the connection's process was ended.
    pub(crate) fn abandoned(&self) {
        self.line.shared.counts.request_abandoned();
    }

    fn path(&self) -> &str {
        self.target.as_ref().map_or("", PathAndQuery::path)
    }

    /// The handler, or the body that it gave, panicked. The panic ends here.
    pub(crate) fn handler_panicked(&self, payload: Box<dyn Any + Send>) {
        self.line.shared.counts.handler_panicked();
        tracing::error!(
            target: "linden::gateway",
            method = %self.method,
            path = self.path(),
            route = self.route().as_ref().map(MatchedPath::as_str),
            panic = panic_text(&*payload),
            "a handler panicked"
        );
        // A payload whose own drop panics is leaked.
        if let Err(nested) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(nested);
        }
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        return text;
    }
    payload.downcast_ref::<String>().map_or("(the panic's payload is no text)", String::as_str)
}
