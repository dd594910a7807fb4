//! Event streams (server-sent events): a response that goes on, whose events come from a process of its own, or from a
//! stream.
//!
//! The response's body is read by the connection, no faster than its client takes it, and holds the process: when the client
//! has left, the process is told to shut down. When the gateway drains, what has been said is sent and the stream ends, so that
//! the client comes again, to another node. axum writes the events.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::{FromRequestParts, MatchedPath};
use axum::response::sse::{Event, Sse as EventResponse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use http::HeaderName;
use http::request::Parts;
use linden::{Cx, Message, Node, Pid, Reason};
use pin_project_lite::pin_project;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, Sleep};

use crate::drain_signal::DrainHeard;
use crate::exchange::ExchangeHandle;
use crate::peer::PeerAddr;
use crate::refusal::Refusal;

/// What a client sends that lost a stream: the id of the last event that it got.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Events that wait for the client at most. A process with more to say waits.
const EVENTS_WAITING_MAX: usize = 16;
/// After so long without an event the client is sent a comment, so that nobody between takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A request for an event stream: an extractor.
///
/// # Examples
/// A process that passes on what other processes tell it:
/// ```
/// use linden::{Cx, Mail};
/// use linden_gateway::axum::response::{Response, sse::Event};
/// use linden_gateway::axum::{Router, routing::get};
/// use linden_gateway::Sse;
///
/// async fn news(sse: Sse) -> Response {
///     sse.from_process(|mut events, mut cx: Cx<String>| async move {
///         // Give `cx.address()` to those that have news.
///         loop {
///             if let Mail::Msg(news) = cx.recv().await
///                 && events.send(Event::default().data(news)).await.is_err()
///             {
///                 return;
///             }
///         }
///     })
/// }
///
/// let router: Router = Router::new().route("/news", get(news));
/// ```
#[must_use = "its methods make the response"]
pub struct Sse {
    draining: DrainHeard,
    last_event_id: Option<String>,
    label: String,
    keep_alive: Duration,
}

impl Sse {
    /// The id of the last event that the client got from an earlier stream: what it wants to go on behind.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    /// After so long without an event the client is sent a comment. Default 15 s.
    pub fn keep_alive(mut self, after: Duration) -> Self {
        self.keep_alive = after;
        self
    }

    /// A stream whose events come from a process that runs `body`. The process has a mailbox for messages of type `M`, is
    /// labelled `event stream PEER ROUTE`, and is linked to nobody; the stream ends when it ends.
    ///
    /// When the client leaves, or the gateway drains, the process gets an exit signal with [`Reason::Shutdown`], which ends it
    /// unless it traps exits; then [`Events::send`] says that nobody is there.
    ///
    /// # Panics
    /// Outside of a node.
    #[must_use = "the response is the stream"]
    pub fn from_process<M, F>(
        self,
        body: impl FnOnce(Events, Cx<M>) -> F + Send + 'static,
    ) -> Response
    where
        M: Message,
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
        let label = self.label.clone();
        let process = linden::spawn(move |cx: Cx<M>| {
            cx.set_label(label);
            body(Events { sender }, cx)
        });
        let node = Node::current().expect("a process was spawned on it");
        let told = ToldAtEnd { node, pid: process.pid() };
        self.response(FromProcess { receiver, _told: told })
    }

    /// A stream whose events come from `events`, which is polled by the connection's process.
    #[must_use = "the response is the stream"]
    pub fn from_stream(self, events: impl Stream<Item = Event> + Send + 'static) -> Response {
        self.response(FromStream { events })
    }

    fn response(self, source: impl Source + Send + 'static) -> Response {
        let stream = LiveEvents {
            source,
            draining: Some(self.draining),
            keep_alive: self.keep_alive,
            timer: Box::pin(tokio::time::sleep(self.keep_alive)),
        };
        EventResponse::new(stream).into_response()
    }
}

impl fmt::Debug for Sse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sse")
            .field("label", &self.label)
            .field("last_event_id", &self.last_event_id)
            .finish_non_exhaustive()
    }
}

impl<S: Sync> FromRequestParts<S> for Sse {
    /// 500: the request did not come through a gateway.
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let Some(ExchangeHandle(exchange)) = parts.extensions.get() else {
            return Err(Refusal::Internal.response());
        };
        let last_event_id = parts.headers.get(LAST_EVENT_ID);
        // Ids are UTF-8, which is more than header fields are made for.
        let last_event_id =
            last_event_id.and_then(|id| std::str::from_utf8(id.as_bytes()).ok().map(str::to_owned));
        Ok(Self {
            draining: exchange.shared().drain_signal.heard(),
            last_event_id,
            label: label(parts),
            keep_alive: KEEP_ALIVE,
        })
    }
}

fn label(parts: &Parts) -> String {
    let peer = PeerAddr::of(&parts.extensions);
    let peer = peer.map_or_else(|| "?".to_owned(), |PeerAddr(peer)| peer.to_string());
    let route = parts.extensions.get::<MatchedPath>();
    format!("event stream {peer} {}", route.map_or(parts.uri.path(), MatchedPath::as_str))
}

/// The events that a process has for its client.
#[derive(Debug)]
pub struct Events {
    sender: Sender<Event>,
}

/// The client is gone, or the gateway drains: nobody takes events any more. The event was not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NobodyListens;

impl fmt::Display for NobodyListens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody listens to the event stream any more")
    }
}

impl Error for NobodyListens {}

impl Events {
    /// Sends an event; waits while 16 others wait for the client.
    ///
    /// # Errors
    /// [`NobodyListens`].
    ///
    /// # Cancellation
    /// When the future is dropped the event was not sent.
    pub async fn send(&mut self, event: Event) -> Result<(), NobodyListens> {
        self.sender.send(event).await.map_err(|_| NobodyListens)
    }
}

/// Tells a process that nobody needs it any more, when it is dropped.
struct ToldAtEnd {
    node: Node,
    pid: Pid,
}

impl Drop for ToldAtEnd {
    fn drop(&mut self) {
        self.node.exit(self.pid, Reason::Shutdown);
    }
}

/// Where events come from.
trait Source {
    fn poll_event(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Event>>;

    /// The gateway drains: what is there is the rest.
    fn close(self: Pin<&mut Self>) -> AfterDrain;
}

/// What is left of a source when the gateway drains.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AfterDrain {
    /// What was said already.
    Rest,
    Nothing,
}

struct FromProcess {
    receiver: Receiver<Event>,
    _told: ToldAtEnd,
}

impl Source for FromProcess {
    fn poll_event(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Event>> {
        self.receiver.poll_recv(task)
    }

    fn close(mut self: Pin<&mut Self>) -> AfterDrain {
        self.receiver.close();
        AfterDrain::Rest
    }
}

pin_project! {
    struct FromStream<S> {
        #[pin]
        events: S,
    }
}

impl<S: Stream<Item = Event>> Source for FromStream<S> {
    fn poll_event(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Event>> {
        self.project().events.poll_next(task)
    }

    fn close(self: Pin<&mut Self>) -> AfterDrain {
        AfterDrain::Nothing
    }
}

pin_project! {
    /// The events of a source, with comments in between, until it ends or the gateway drains.
    struct LiveEvents<S> {
        #[pin]
        source: S,
        // `None` when it was heard.
        draining: Option<DrainHeard>,
        keep_alive: Duration,
        timer: Pin<Box<Sleep>>,
    }
}

impl<S: Source> Stream for LiveEvents<S> {
    type Item = Result<Event, Infallible>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        if let Some(draining) = this.draining
            && draining.as_mut().poll(task).is_ready()
        {
            *this.draining = None;
            if this.source.as_mut().close() == AfterDrain::Nothing {
                return Poll::Ready(None);
            }
        }
        let next = match this.source.poll_event(task) {
            Poll::Ready(event) => event,
            Poll::Pending => {
                ready!(this.timer.as_mut().poll(task));
                Some(Event::DEFAULT_KEEP_ALIVE)
            }
        };
        this.timer.as_mut().reset(Instant::now() + *this.keep_alive);
        Poll::Ready(next.map(Ok))
    }
}
