//! One connection: a process that serves HTTP on a socket, keeps the client to its pace, and ends in good order when it is
//! told to.
//!
//! Whoever ends the process closes the socket. What is served on it, HTTP/1.1 or HTTP/2, is decided by its first bytes or,
//! under TLS, by what the client and we agreed on.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use linden::{Cx, Mail, Message, Reason};
use tokio::net::TcpStream;

use crate::acceptor::{Parts, Place};
use crate::opening::{Opened, open};
use crate::pace::{CloseCause, Due, Timeouts};
use crate::pacing::{Event, Pacing};
use crate::shared::Shared;
use crate::watch::Watch;
use crate::{http1, http2};

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

/// How a connection ended.
pub(crate) enum End {
    /// It was never one.
    NotOpened(io::Error),
    Closed(hyper::Result<()>),
    Late(CloseCause),
    /// Somebody ended the process.
    Told(Reason),
}

/// What all parts of a connection know of it. They share it by a count of the connection's own: one of the gateway's would be
/// wanted by every core for each request.
pub(crate) struct Line {
    pub(crate) shared: Arc<Shared>,
    pub(crate) watch: Watch,
    pub(crate) peer: SocketAddr,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Protocol {
    pub(crate) http: Http,
    pub(crate) cover: Cover,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Http {
    One,
    Two,
}

/// Whether others can read along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cover {
    Plain,
    Tls,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.http, self.cover) {
            (Http::One, Cover::Plain) => "http/1.1",
            (Http::One, Cover::Tls) => "http/1.1+tls",
            (Http::Two, Cover::Plain) => "h2",
            (Http::Two, Cover::Tls) => "h2+tls",
        })
    }
}

/// The future of a connection's process.
pub(crate) async fn serve(mut cx: Cx<Told>, parts: Parts, shared: Arc<Shared>) -> Reason {
    // The process's share of the place goes last, when all that the connection was doing is dropped.
    let Parts { stream, peer, place } = parts;
    cx.set_label(format!("opening {peer}"));
    // Responses are written whole; waiting for more to send would only delay them. A socket that refuses is dead anyway.
    let _ = stream.set_nodelay(true);
    let limits = &shared.limits;
    let timeouts = Timeouts { header: limits.header_timeout, idle: limits.idle_timeout };
    let watch = Watch::new(cx.node().clone(), timeouts);
    let line = Arc::new(Line { shared, watch, peer });
    let end = match opened(&mut cx, stream, &place, &line).await {
        Ok(opened) => serve_opened(&mut cx, opened, line).await,
        Err(end) => end,
    };
    report(end, peer)
}

/// Waits until it is clear what is spoken.
async fn opened(
    cx: &mut Cx<Told>,
    stream: TcpStream,
    place: &Arc<Place>,
    line: &Arc<Line>,
) -> Result<Opened, End> {
    let watch = &line.watch;
    let opening = pin!(open(stream, place.clone(), line.clone()));
    let mut pacing = Pacing::new(opening, watch);
    loop {
        match pacing.next(cx).await {
            Event::Done(opened) => return opened.map_err(End::NotOpened),
            // A client that has just connected is waited for a little.
            Event::Mail(Mail::Msg(Told::Drain)) => drop(watch.drain()),
            Event::Mail(Mail::Info(_)) | Event::PaceChanged => {}
            Event::Alarm => {
                if let Due::Close(cause) = watch.due() {
                    return Err(End::Late(cause));
                }
            }
        }
    }
}

async fn serve_opened(cx: &mut Cx<Told>, opened: Opened, line: Arc<Line>) -> End {
    let Opened { wire, protocol } = opened;
    let label = format!("{protocol} {}", line.peer);
    cx.set_label(label.clone());
    match protocol.http {
        Http::One => http1::serve(cx, wire, line, label).await,
        // In a box: it is larger, and most connections are not of this kind.
        Http::Two => Box::pin(http2::serve(cx, wire, line)).await,
    }
}

fn report(end: End, peer: SocketAddr) -> Reason {
    match end {
        End::Closed(Ok(())) => {}
        End::NotOpened(error) => {
            tracing::debug!(target: "linden::gateway", %peer, %error, "a connection did not begin");
        }
        End::Closed(Err(error)) => {
            tracing::debug!(target: "linden::gateway", %peer, %error, "a connection broke off");
        }
        End::Late(cause) => {
            tracing::debug!(target: "linden::gateway", %peer, ?cause, "a connection was closed");
        }
        End::Told(reason) => return reason,
    }
    Reason::Normal
}
