//! A limit on how many requests are handled at once: a few more wait their turn, the rest is shed at once.
//!
//! [`WaitingLine`] decides; here are the lock around it, the wakers of those who wait, and the layer. The lock is never held
//! across a poll or an `.await`.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::response::Response;
use http::Request;
use parking_lot::Mutex;
use serde::Deserialize;
use tower_layer::Layer;
use tower_service::Service;

use crate::refusal::Refusal;
use crate::waiting_line::{Arrival, GaveUp, Ticket, WaitingLine};

/// How many requests are handled at once, and what becomes of the others. In `linden.toml` a table of these keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConcurrencyConfig {
    /// Requests that are handled at once, each from its head to its response's head. Default 256; at least 1.
    pub running_max: usize,
    /// Requests that wait their turn, in the order of their arrival. Beyond them: 503 with `Retry-After`, at once. Default
    /// 256; 0 for none.
    pub waiting_max: usize,
    /// How long a request waits at most. Beyond it: 503 with `Retry-After`. Default 1 s.
    #[serde(with = "linden::config::duration")]
    pub wait_max: Duration,
}

impl Default for ConcurrencyConfig {
    fn default() -> Self {
        Self { running_max: 256, waiting_max: 256, wait_max: Duration::from_secs(1) }
    }
}

/// A limit on how many requests are handled at once: a layer. Its clones, and the routes that it is laid around, share the
/// limit.
///
/// A request counts from its head to its response's head; what its response's body goes on doing does not. A client that
/// leaves while it waits gives its place in the line back.
///
/// # Examples
/// ```
/// use linden_gateway::axum::{Router, routing::get};
/// use linden_gateway::{ConcurrencyConfig, ConcurrencyLimit};
///
/// let limit = ConcurrencyLimit::new(ConcurrencyConfig { running_max: 8, ..Default::default() });
/// let router: Router = Router::new().route("/", get(async || "hello")).layer(limit.clone());
/// assert_eq!((limit.running(), limit.waiting()), (0, 0));
/// ```
#[derive(Clone)]
pub struct ConcurrencyLimit {
    shared: Arc<Shared>,
}

struct Shared {
    line: Mutex<Line>,
    wait_max: Duration,
}

struct Line {
    line: WaitingLine,
    wakers: HashMap<Ticket, Waker>,
}

impl ConcurrencyLimit {
    /// A limit of its own. A `running_max` of 0 counts as 1.
    #[must_use]
    pub fn new(config: ConcurrencyConfig) -> Self {
        let line = WaitingLine::new(config.running_max.max(1), config.waiting_max);
        let line = Mutex::new(Line { line, wakers: HashMap::new() });
        Self { shared: Arc::new(Shared { line, wait_max: config.wait_max }) }
    }

    /// Requests that are handled now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared.line.lock().line.running()
    }

    /// Requests that wait now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.line.lock().line.waiting()
    }
}

impl fmt::Debug for ConcurrencyLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimit")
            .field("running", &self.running())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

/// The place of one that runs, given back when it is dropped.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// The place in the line of one that waits, given back when it is dropped.
struct Waiting {
    shared: Arc<Shared>,
    /// `None` when its turn was taken.
    ticket: Option<Ticket>,
}

impl Shared {
    /// `None` when there was no room, or not in time.
    async fn enter(self: Arc<Self>) -> Option<Place> {
        let arrival = self.line.lock().line.arrive();
        match arrival {
            Arrival::Runs => Some(Place(self)),
            Arrival::Refused => None,
            Arrival::Waits(ticket) => {
                let wait_max = self.wait_max;
                let mut waiting = Waiting { shared: self, ticket: Some(ticket) };
                let turn = poll_fn(|task| waiting.poll_turn(task));
                tokio::time::timeout(wait_max, turn).await.ok()
            }
        }
    }

    fn leave(&self) {
        let mut line = self.line.lock();
        let next = line.line.leave();
        let waker = next.and_then(|ticket| line.wakers.remove(&ticket));
        drop(line);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Waiting {
    fn poll_turn(&mut self, task: &mut Context<'_>) -> Poll<Place> {
        let ticket = self.ticket.expect("polled until its turn, not beyond");
        let mut line = self.shared.line.lock();
        if line.line.is_waiting(ticket) {
            line.wakers.insert(ticket, task.waker().clone());
            return Poll::Pending;
        }
        drop(line);
        self.ticket = None;
        Poll::Ready(Place(self.shared.clone()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut line = self.shared.line.lock();
        line.wakers.remove(&ticket);
        let gave_up = line.line.give_up(ticket);
        drop(line);
        if gave_up == GaveUp::Running {
            self.shared.leave();
        }
    }
}

impl<S> Layer<S> for ConcurrencyLimit {
    type Service = ConcurrencyLimited<S>;

    fn layer(&self, inner: S) -> ConcurrencyLimited<S> {
        ConcurrencyLimited { inner, shared: self.shared.clone() }
    }
}

/// The service that [`ConcurrencyLimit`] makes.
#[derive(Clone)]
pub struct ConcurrencyLimited<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S: fmt::Debug> fmt::Debug for ConcurrencyLimited<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimited").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B> Service<Request<B>> for ConcurrencyLimited<S>
where
    S: Service<Request<B>, Response = Response, Future: Send> + Clone + Send + 'static,
    B: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was asked whether it is ready is the one that is called.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let shared = self.shared.clone();
        Box::pin(async move {
            match shared.enter().await {
                Some(_place) => inner.call(request).await,
                None => Ok(Refusal::Overloaded.response()),
            }
        })
    }
}
