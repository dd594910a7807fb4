//! The access log: one event for each request, when its response is out or nobody is left to take it.
//!
//! A [`Record`] goes with the request, from its handler into its response's body; it is written when it is dropped, so also
//! when the client has left, a handler panicked, or the gateway gave a handler up. When nobody wants the events there is no
//! record, and the layer passes everything on as it is.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Request, StatusCode, Uri, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use linden::TraceContext;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::client_addr::ClientAddr;
use crate::exchange::ExchangeHandle;
use crate::pace::WaitedFor;
use crate::peer::PeerAddr;
use crate::request_id::RequestId;

/// Writes an event for each request: target `linden::access`, level info. A layer, to be laid around
/// [`crate::RequestIds`], [`crate::Traced`] and all that answers requests.
///
/// | Field | Is |
/// |---|---|
/// | `method`, `path`, `protocol` | of the request; the path without its query, which may hold secrets |
/// | `route` | the route's pattern, if there is one |
/// | `status` | of the response; 0: nobody was left to get one |
/// | `bytes_in`, `bytes_out` | of the bodies, as far as they were read and taken |
/// | `micros` | from the request's head to the end of the response's body |
/// | `peer`, `request_id`, `trace_id` | who, and by which names |
/// | `client` | its address, where [`crate::TrustedProxies`] say who it is |
/// | `aborted` | whether the response did not get to its end: the client left, its time was up, or the body failed |
///
/// Without a listener at this level it costs one look.
///
/// # Examples
/// ```
/// use linden_gateway::axum::{Router, routing::get};
/// use linden_gateway::{AccessLog, RequestIds, Traced};
///
/// // The last layer is the outermost.
/// let router: Router = Router::new()
///     .route("/", get(async || "hello"))
///     .layer(AccessLog)
///     .layer(Traced)
///     .layer(RequestIds);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessLog;

impl<S> Layer<S> for AccessLog {
    type Service = LoggedRoute<S>;

    fn layer(&self, inner: S) -> LoggedRoute<S> {
        LoggedRoute { inner }
    }
}

/// The service that [`AccessLog`] makes.
#[derive(Clone, Debug)]
pub struct LoggedRoute<S> {
    inner: S,
}

fn is_wanted() -> bool {
    tracing::enabled!(target: "linden::access", tracing::Level::INFO)
}

impl<S> Service<Request<Body>> for LoggedRoute<S>
where
    S: Service<Request<Body>, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Logged<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if !is_wanted() {
            return Logged { future: self.inner.call(request), record: None };
        }
        let mut record = Record::begin(&request);
        let bytes = record.bytes_in.clone();
        let request = request.map(|body| Body::new(CountedBody { body, bytes }));
        let future = record.watch(|| self.inner.call(request));
        Logged { future, record: Some(record) }
    }
}

pin_project! {
    /// The response of a [`LoggedRoute`] to come.
    pub struct Logged<F> {
        #[pin]
        future: F,
        // `None` when nobody wants it, and when the response has it.
        record: Option<Record>,
    }
}

impl<F: fmt::Debug> fmt::Debug for Logged<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logged").field("future", &self.future).finish_non_exhaustive()
    }
}

impl<F, E> Future for Logged<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(record) = this.record else { return this.future.poll(cx) };
        let response = ready!(record.watch(|| this.future.poll(cx)))?;
        let mut record = this.record.take().expect("looked at above");
        record.answered(&response);
        Poll::Ready(Ok(response.map(|body| Body::new(LoggedBody { body, record }))))
    }
}

/// What is known of a request so far.
struct Record {
    began: Instant,
    method: Method,
    uri: Uri,
    version: Version,
    route: Option<MatchedPath>,
    peer: Option<SocketAddr>,
    client: Option<ClientAddr>,
    request_id: Option<RequestId>,
    trace: Option<TraceContext>,
    exchange: Option<ExchangeHandle>,
    bytes_in: Arc<AtomicU64>,
    bytes_out: u64,
    status: Option<StatusCode>,
    /// Bytes of the response's body, if they are known.
    length: Option<u64>,
    end: End,
}

/// How far the response's body is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    /// All of it was taken.
    Reached,
    /// The code that makes it is at work; a record that is dropped so was dropped by a panic, or after one.
    AtWork,
    /// It broke off.
    Failed,
}

impl Record {
    fn begin(request: &Request<Body>) -> Self {
        let extensions = request.extensions();
        Self {
            began: Instant::now(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            route: extensions.get().cloned(),
            peer: PeerAddr::of(extensions).map(|PeerAddr(peer)| peer),
            client: extensions.get().copied(),
            request_id: extensions.get().cloned(),
            trace: extensions.get().copied(),
            exchange: extensions.get().cloned(),
            bytes_in: Arc::default(),
            bytes_out: 0,
            status: None,
            length: None,
            end: End::NotYet,
        }
    }

    /// Runs code that may panic.
    fn watch<R>(&mut self, at_work: impl FnOnce() -> R) -> R {
        self.end = End::AtWork;
        let result = at_work();
        self.end = End::NotYet;
        result
    }

    fn answered(&mut self, response: &Response) {
        let status = response.status();
        let gateway_status = self.gateway_status(status);
        self.status = Some(gateway_status.unwrap_or(status));
        let announced = response.headers().get(CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
        self.length = announced.or_else(|| response.body().size_hint().exact());
        if self.method == Method::HEAD || has_no_body(status) || gateway_status.is_some() {
            // Nobody takes what there is.
            self.length = Some(0);
        }
    }

    /// What the gateway makes of a response that fails because the request's body is too large.
    fn gateway_status(&self, status: StatusCode) -> Option<StatusCode> {
        let ExchangeHandle(exchange) = self.exchange.as_ref()?;
        let failed = status.is_client_error() || status.is_server_error();
        (failed && exchange.was_body_too_large()).then_some(StatusCode::PAYLOAD_TOO_LARGE)
    }

    /// The status of a response that the gateway gives in place of the handler's.
    fn status_without_answer(&self) -> Option<StatusCode> {
        if self.end == End::AtWork {
            return Some(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let ExchangeHandle(exchange) = self.exchange.as_ref()?;
        exchange.given_up().map(|waited_for| match waited_for {
            WaitedFor::Handler => StatusCode::GATEWAY_TIMEOUT,
            WaitedFor::Body => StatusCode::REQUEST_TIMEOUT,
        })
    }

    fn is_aborted(&self) -> bool {
        match (self.status, self.end) {
            (None, _) => self.status_without_answer().is_none(),
            (Some(_), End::Reached) => false,
            (Some(_), End::AtWork | End::Failed) => true,
            (Some(_), End::NotYet) => self.length.is_none_or(|length| self.bytes_out < length),
        }
    }

    fn write(&self) {
        let status = self.status.or_else(|| self.status_without_answer());
        let route = self.route.as_ref().map(MatchedPath::as_str);
        let inner_route =
            self.exchange.as_ref().and_then(|ExchangeHandle(exchange)| exchange.route());
        let inner_route = inner_route.as_ref().map(MatchedPath::as_str);
        tracing::info!(
            target: "linden::access",
            method = %self.method,
            path = self.uri.path(),
            route = route.or(inner_route),
            status = status.map_or(0, |status| status.as_u16()),
            bytes_in = self.bytes_in.load(Ordering::Relaxed),
            bytes_out = self.bytes_out,
            micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            peer = self.peer.map(tracing::field::display),
            client = self.client.map(|ClientAddr(client)| tracing::field::display(client)),
            request_id = self.request_id.as_ref().map(RequestId::as_str),
            trace_id = self.trace.map(|trace| tracing::field::display(trace.trace_id_text())),
            protocol = ?self.version,
            aborted = self.is_aborted(),
            "request"
        );
    }
}

/// Whether a response of this status never has a body.
fn has_no_body(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

impl Drop for Record {
    fn drop(&mut self) {
        self.write();
    }
}

/// The response's body, with the record of its request.
struct LoggedBody {
    body: Body,
    record: Record,
}

impl HttpBody for LoggedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, record } = &mut *self;
        let polled = ready!(record.watch(|| Pin::new(&mut *body).poll_frame(cx)));
        match &polled {
            Some(Ok(frame)) => {
                record.bytes_out += frame.data_ref().map_or(0, |data| data.len() as u64);
                if body.is_end_stream() {
                    record.end = End::Reached;
                }
            }
            Some(Err(_)) => record.end = End::Failed,
            None => record.end = End::Reached,
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The request's body, counted as it is read.
struct CountedBody {
    body: Body,
    /// Relaxed: it orders nothing.
    bytes: Arc<AtomicU64>,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
