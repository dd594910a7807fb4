//! HTTP/1.1 on a connection: one exchange after the other, in the connection's own process.
//!
//! Handlers run inside of it. It traps no exits, so a handler's links are the connection's. When a handler takes the
//! connection over (an upgrade), the process hands the socket out and ends.

use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use linden::{Cx, Mail};

use crate::connection::{End, Line, Told};
use crate::limits::Limits;
use crate::pace::{DrainNow, Due};
use crate::pacing::{Event, Pacing};
use crate::routing::Routing;
use crate::wire::Wire;

/// Header fields for which hyper needs no memory of its own.
const HEADERS_CHEAP: usize = 100;

/// Serves until either side ends it. `label` is what people call the connection.
pub(crate) async fn serve(cx: &mut Cx<Told>, wire: Wire, line: Arc<Line>, label: String) -> End {
    let builder = builder(&line.shared.limits);
    let routing = Routing::new(line.clone(), None);
    let connection = builder.serve_connection(TokioIo::new(wire), routing).with_upgrades();
    let connection = pin!(connection);
    let watch = &line.watch;
    let mut pacing = Pacing::new(connection, watch);
    loop {
        match pacing.next(cx).await {
            Event::Done(result) => return End::Closed(result),
            Event::Mail(Mail::Msg(Told::Drain)) => {
                if watch.drain() == DrainNow::Yes {
                    pacing.future().graceful_shutdown();
                }
            }
            // News of processes that a handler is linked to or monitors.
            Event::Mail(Mail::Info(_)) => {}
            Event::PaceChanged => {
                if let Some(route) = watch.new_route() {
                    cx.set_label(format!("{label} {route}"));
                }
            }
            Event::Alarm => match watch.due() {
                Due::Close(cause) => return End::Late(cause),
                Due::GiveUp | Due::GoAway | Due::NotYet => {}
            },
        }
    }
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
