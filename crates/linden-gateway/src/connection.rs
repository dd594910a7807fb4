//! One connection: a process that serves HTTP/1.1 on a socket, keeps the client to its pace, and ends in good order when it
//! is told to.
//!
//! Handlers run inside of it. It traps no exits: whoever ends the process closes the socket. When a handler takes the
//! connection over (an upgrade), the process hands the socket out and ends.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use hyper::server::conn::http1::{Builder, UpgradeableConnection};
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use linden::{Cx, Mail, Message, Reason};

use crate::acceptor::Parts;
use crate::limits::Limits;
use crate::pace::{CloseCause, DrainNow, Due, Moment, Timeouts};
use crate::peer::PeerAddr;
use crate::response_body::ResponseBody;
use crate::routing::Routing;
use crate::shared::Shared;
use crate::watch::Watch;
use crate::wire::Wire;

/// Header fields for which hyper needs no memory of its own.
const HEADERS_CHEAP: usize = 100;

/// What a connection is told by its keeper.
#[derive(Debug)]
pub(crate) enum Told {
    /// End after the present request, or at once if there is none.
    Drain,
}

impl Message for Told {
    fn name(&self) -> &'static str {
        "drain"
    }
}

/// The future of a connection's process.
pub(crate) async fn serve(mut cx: Cx<Told>, parts: Parts, shared: Arc<Shared>) -> Reason {
    // The process's share of the place goes last, when all that the connection was doing is dropped.
    let Parts { stream, peer, place } = parts;
    cx.set_label(format!("http {peer}"));
    // Responses are written whole; waiting for more to send would only delay them. A socket that refuses is dead anyway.
    let _ = stream.set_nodelay(true);
    let limits = &shared.limits;
    let timeouts = Timeouts { header: limits.header_timeout, idle: limits.idle_timeout };
    let watch = Arc::new(Watch::new(cx.node().clone(), timeouts));
    let routing = Routing { shared: shared.clone(), watch: watch.clone(), peer: PeerAddr(peer) };
    let wire = TokioIo::new(Wire::new(stream, watch.clone(), place.clone()));
    let connection = pin!(builder(limits).serve_connection(wire, routing).with_upgrades());
    let end = run(&mut cx, connection, &watch).await;
    match end {
        End::Closed(Ok(())) => {}
        End::Closed(Err(error)) => {
            tracing::debug!(target: "linden::gateway", %peer, %error, "a connection broke off");
        }
        End::Late(cause) => {
            tracing::debug!(target: "linden::gateway", %peer, ?cause, "a connection was closed");
        }
    }
    Reason::Normal
}

fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        // The pace has timers of the node's own in place of hyper's.
        .header_read_timeout(None)
        .max_header_size(limits.header_bytes_max)
        .max_buf_size(limits.header_bytes_max);
    if limits.headers_max != HEADERS_CHEAP {
        builder.max_headers(limits.headers_max);
    }
    builder
}

/// How a connection ended.
enum End {
    Closed(hyper::Result<()>),
    Late(CloseCause),
}

/// What the process has to act on.
enum Event {
    Closed(hyper::Result<()>),
    Told(Told),
    /// The deadline may be another one now.
    PaceChanged,
    /// The deadline may have passed.
    Alarm,
}

async fn run<S>(
    cx: &mut Cx<Told>,
    mut connection: Pin<&mut UpgradeableConnection<TokioIo<Wire>, S>>,
    watch: &Watch,
) -> End
where
    S: Service<http::Request<hyper::body::Incoming>, Response = http::Response<ResponseBody>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut poll_first = PollFirst::Connection;
    loop {
        let deadline = watch.deadline();
        let event = next_event(cx, connection.as_mut(), watch, deadline, poll_first).await;
        poll_first = PollFirst::Connection;
        match event {
            Event::Closed(result) => return End::Closed(result),
            Event::Told(Told::Drain) => {
                if watch.drain() == DrainNow::Yes {
                    connection.as_mut().graceful_shutdown();
                }
            }
            Event::PaceChanged => poll_first = PollFirst::Mail,
            Event::Alarm => match watch.due() {
                Due::Close(cause) => return End::Late(cause),
                Due::GiveUp | Due::NotYet => {}
            },
        }
    }
}

/// What the next poll begins with: the connection is not polled again when it just was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PollFirst {
    Connection,
    Mail,
}

async fn next_event<S>(
    cx: &mut Cx<Told>,
    mut connection: Pin<&mut UpgradeableConnection<TokioIo<Wire>, S>>,
    watch: &Watch,
    deadline: Option<Moment>,
    mut poll_first: PollFirst,
) -> Event
where
    S: Service<http::Request<hyper::body::Incoming>, Response = http::Response<ResponseBody>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut mail = pin!(receive(cx, deadline.map(|at| at.saturating_sub(watch.now()))));
    poll_fn(|task| {
        if std::mem::replace(&mut poll_first, PollFirst::Connection) == PollFirst::Connection {
            if let Poll::Ready(result) = connection.as_mut().poll(task) {
                return Poll::Ready(Event::Closed(result));
            }
            if watch.deadline() != deadline {
                return Poll::Ready(Event::PaceChanged);
            }
        }
        mail.as_mut().poll(task)
    })
    .await
}

/// Mail for the process, or the alarm after `limit`. News of processes that a handler is linked to or monitors are dropped.
async fn receive(cx: &mut Cx<Told>, limit: Option<std::time::Duration>) -> Event {
    loop {
        let mail = match limit {
            Some(limit) => cx.recv_timeout(limit).await,
            None => Some(cx.recv().await),
        };
        match mail {
            Some(Mail::Msg(told)) => return Event::Told(told),
            Some(Mail::Info(_)) => {}
            None => return Event::Alarm,
        }
    }
}
