//! The shared eye on one connection, or on one stream of an HTTP/2 connection: its pace behind a lock, with the node's
//! clock, and the route that its label shows.
//!
//! Held by the parts of one connection (process, socket, handler, bodies), which its own process polls; so the lock is all
//! but never contended. It is never held across a poll or an `.await`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::MatchedPath;
use http::Method;
use linden::Node;
use parking_lot::Mutex;

use crate::pace::{BodyAhead, Closing, DrainNow, Due, Moment, Pace, Timeouts, WaitedFor};

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Watch {
    node: Node,
    pace: Mutex<Pace>,
    route: Mutex<Option<TakenRoute>>,
    /// Whether the label does not show it yet. Relaxed: written and read by the process that polls the connection.
    route_is_new: AtomicBool,
}

/// The route of the present or last request that had one.
#[derive(Debug)]
struct TakenRoute {
    /// The request's number.
    request: u64,
    method: Method,
    path: MatchedPath,
}

impl Watch {
    pub(crate) fn new(node: Node, timeouts: Timeouts) -> Self {
        let pace = Mutex::new(Pace::new(timeouts, node.uptime()));
        Self { node, pace, route: Mutex::default(), route_is_new: AtomicBool::new(false) }
    }

    /// The node's clock.
    pub(crate) fn now(&self) -> Moment {
        self.node.uptime()
    }

    pub(crate) fn read(&self) {
        self.pace.lock().read(self.now());
    }

    pub(crate) fn request_began(&self, timeout: Duration, body: BodyAhead) -> u64 {
        self.pace.lock().request_began(timeout, body)
    }

    pub(crate) fn set_request_timeout(&self, request: u64, limit: Option<Duration>) {
        self.pace.lock().set_request_timeout(request, limit);
    }

    pub(crate) fn body_awaited(&self, request: u64) {
        self.pace.lock().body_awaited(request, self.now());
    }

    pub(crate) fn body_came(&self, request: u64) {
        self.pace.lock().body_came(request);
    }

    pub(crate) fn body_ended(&self, request: u64) {
        self.pace.lock().body_ended(request);
    }

    pub(crate) fn skips_body(&self, request: u64) {
        self.pace.lock().skips_body(request, self.now());
    }

    pub(crate) fn given_up(&self, request: u64) -> Option<WaitedFor> {
        self.pace.lock().given_up(request)
    }

    pub(crate) fn answered(&self, request: u64) {
        self.pace.lock().answered(request);
    }

    pub(crate) fn upgraded(&self, request: u64) {
        self.pace.lock().upgraded(request);
    }

    pub(crate) fn streams_begin(&self) {
        self.pace.lock().streams_begin(self.now());
    }

    pub(crate) fn stream_began(&self) {
        self.pace.lock().stream_began();
    }

    pub(crate) fn stream_ended(&self) {
        self.pace.lock().stream_ended(self.now());
    }

    /// A request takes this route.
    pub(crate) fn take_route(&self, request: u64, method: &Method, path: &MatchedPath) {
        let mut present = self.route.lock();
        if let Some(route) = &mut *present
            && route.method == *method
            && is_same(route.path.as_str(), path.as_str())
        {
            route.request = request;
            return;
        }
        *present = Some(TakenRoute { request, method: method.clone(), path: path.clone() });
        self.route_is_new.store(true, Ordering::Relaxed);
    }

    /// The route that the request took, when it is the last one that took any.
    pub(crate) fn route_of(&self, request: u64) -> Option<MatchedPath> {
        let present = self.route.lock();
        present.as_ref().filter(|route| route.request == request).map(|route| route.path.clone())
    }

    /// Whether [`Watch::new_route`] has one.
    pub(crate) fn has_new_route(&self) -> bool {
        self.route_is_new.load(Ordering::Relaxed)
    }

    /// The route, when it is another one than the last time.
    pub(crate) fn new_route(&self) -> Option<String> {
        if !self.route_is_new.swap(false, Ordering::Relaxed) {
            return None;
        }
        let present = self.route.lock();
        present.as_ref().map(|route| format!("{} {}", route.method, route.path.as_str()))
    }

    pub(crate) fn answer_ended(&self, request: u64) {
        self.pace.lock().answer_ended(request);
    }

    pub(crate) fn write_blocked(&self) {
        self.pace.lock().write_blocked(self.now());
    }

    pub(crate) fn wrote(&self) {
        self.pace.lock().wrote(self.now());
    }

    pub(crate) fn drain(&self) -> DrainNow {
        self.pace.lock().drain(self.now())
    }

    pub(crate) fn closing(&self) -> Closing {
        self.pace.lock().closing(self.now())
    }

    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.pace.lock().deadline()
    }

    pub(crate) fn due(&self) -> Due {
        self.pace.lock().due(self.now())
    }
}

/// Whether two patterns are the same. Most are one in memory, which is not read then.
fn is_same(one: &str, other: &str) -> bool {
    std::ptr::eq(one, other) || one == other
}
