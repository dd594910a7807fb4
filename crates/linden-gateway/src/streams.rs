//! The streams of an HTTP/2 connection: hyper's executor, which makes each of them a process.
//!
//! hyper calls the service for a request and gives the stream's future to the executor right after, in one poll of the
//! connection; so the watch that the service has made last is that stream's. A stream has a pace of its own, which
//! its process keeps: the one of the connection only counts them.

use std::collections::HashSet;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use hyper::rt::Executor;
use linden::{Cx, Node, Pid};
use parking_lot::Mutex;

use crate::connection::Line;
use crate::pace::{Due, Timeouts};
use crate::pacing::{Event, Pacing};
use crate::watch::Watch;

/// See the head of this file. A cheap clone. The lock is held for a look or a store only.
#[derive(Clone)]
pub(crate) struct Streams {
    share: Arc<Share>,
}

struct Share {
    node: Node,
    timeouts: Timeouts,
    line: Arc<Line>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The watch of the stream that is given to the executor next.
    next: Option<Arc<Watch>>,
    /// The processes whose end is not known yet.
    open: HashSet<Pid>,
}

impl Streams {
    pub(crate) fn new(node: Node, line: Arc<Line>) -> Self {
        let limits = &line.shared.limits;
        let timeouts = Timeouts { header: limits.header_timeout, idle: limits.idle_timeout };
        let state = Mutex::default();
        Self { share: Arc::new(Share { node, timeouts, line, state }) }
    }

    /// The watch of the stream that is given to the executor next.
    pub(crate) fn expect(&self) -> Arc<Watch> {
        let watch = Arc::new(Watch::new(self.share.node.clone(), self.share.timeouts));
        self.share.state.lock().next = Some(watch.clone());
        watch
    }

    /// Whether the process is a stream of this connection; its end is noted.
    pub(crate) fn ended(&self, process: Pid) -> bool {
        let is_stream = self.share.state.lock().open.remove(&process);
        if is_stream {
            self.share.line.watch.stream_ended();
        }
        is_stream
    }

    /// The streams whose end is not known.
    pub(crate) fn open(&self) -> Vec<Pid> {
        self.share.state.lock().open.iter().copied().collect()
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, future: F) {
        let next = self.share.state.lock().next.take();
        match next {
            Some(watch) => {
                let peer = self.share.line.peer;
                let stream = linden::spawn_link(|cx| serve(cx, future, watch, peer)).pid();
                self.share.state.lock().open.insert(stream);
                self.share.line.watch.stream_began();
            }
            // What hyper runs for a stream that a handler took over. It ends with the stream.
            None => drop(linden::spawn(|_: Cx<()>| future)),
        }
    }
}

/// The future of a stream's process. Ended early, it resets the stream.
async fn serve<F>(mut cx: Cx<()>, stream: F, watch: Arc<Watch>, peer: SocketAddr)
where
    F: Future<Output = ()>,
{
    let stream = pin!(stream);
    let mut pacing = Pacing::new(stream, &watch);
    loop {
        match pacing.next(&mut cx).await {
            Event::Done(()) => return,
            // News of processes that a handler is linked to or monitors.
            Event::Mail(_) => {}
            Event::PaceChanged => {
                if let Some(route) = watch.new_route() {
                    cx.set_label(format!("{route} {peer}"));
                }
            }
            Event::Alarm => {
                if let Due::Close(cause) = watch.due() {
                    tracing::debug!(target: "linden::gateway", ?cause, "a stream was reset");
                    return;
                }
            }
        }
    }
}
