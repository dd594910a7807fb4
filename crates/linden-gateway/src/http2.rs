//! HTTP/2 on a connection: hyper in the connection's process, and a process for each stream.
//!
//! The connection's process traps exits: a stream that is ended or crashes is reset and hinders no other, and any other
//! exit signal ends the connection. The streams are linked to it, so they fall with it.

use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use linden::{Cx, Info, Mail, Reason};

use crate::connection::{End, Line, Told};
use crate::limits::Limits;
use crate::pace::{DrainNow, Due};
use crate::pacing::{Event, Pacing};
use crate::routing::Routing;
use crate::streams::Streams;
use crate::wire::Wire;

/// Bytes of one stream's body that are taken from the client before its handler reads them.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// The same for all streams of a connection together: what a client can make us hold.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes of one stream's response that are made before the client takes them.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// Streams that a client has opened and reset again before they were looked at. With more the connection ends
/// (CVE-2023-44487, "rapid reset").
const RESETS_PENDING_MAX: usize = 20;
/// Streams that we have reset for a client's errors. With more the connection ends (RUSTSEC-2024-0003).
const ERROR_RESETS_MAX: usize = 256;

/// Serves until either side ends it.
pub(crate) async fn serve(cx: &mut Cx<Told>, wire: Wire, line: Arc<Line>) -> End {
    cx.trap_exit(true);
    let streams = Streams::new(cx.node().clone(), line.clone());
    let builder = builder(&line.shared.limits, streams.clone());
    let is_draining = line.shared.is_draining();
    let routing = Routing::new(line.clone(), Some(streams.clone()));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(wire), routing));
    let watch = &line.watch;
    watch.streams_begin();
    if is_draining {
        connection.as_mut().graceful_shutdown();
    }
    let mut pacing = Pacing::new(connection, watch);
    let end = loop {
        match pacing.next(cx).await {
            Event::Done(result) => break End::Closed(result),
            Event::Mail(Mail::Msg(Told::Drain)) => {
                if watch.drain() == DrainNow::Yes {
                    pacing.future().graceful_shutdown();
                }
            }
            Event::Mail(Mail::Info(info)) => {
                if let Some(reason) = ends_the_connection(info, &streams) {
                    break End::Told(reason);
                }
            }
            Event::PaceChanged => {}
            Event::Alarm => match watch.due() {
                Due::Close(cause) => break End::Late(cause),
                Due::GoAway => pacing.future().graceful_shutdown(),
                Due::GiveUp | Due::NotYet => {}
            },
        }
    };
    // A normal end goes through no link.
    for stream in streams.open() {
        cx.exit(stream, Reason::Shutdown);
    }
    end
}

/// Why the connection ends, if the news is that it is to.
fn ends_the_connection(info: Info, streams: &Streams) -> Option<Reason> {
    match info {
        Info::Exit { from, .. } if streams.ended(from) => None,
        Info::Exit { reason: Reason::Normal, .. } => None,
        Info::Exit { reason, .. } => Some(reason),
        _ => None,
    }
}

fn builder(limits: &Limits, streams: Streams) -> Builder<Streams> {
    let mut builder = Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout);
    builder
}
