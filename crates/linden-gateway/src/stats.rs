//! Counts of a gateway: written by its processes, read by anybody.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What a gateway has done, and holds now. Each figure is right at some moment of the reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct GatewayStats {
    /// Connections that are open.
    pub connections_open: usize,
    /// Connections that were accepted, since the gateway was bound.
    pub connections_accepted: u64,
    /// Connections that were accepted and closed again without a request being read: nobody was there to serve them.
    pub connections_refused: u64,
    /// Times that the operating system did not give a connection: out of descriptors or memory.
    pub accept_errors: u64,
    /// Requests that got a response, whatever its status.
    pub requests_served: u64,
    /// Requests that got none: the client went away, or the connection's process was ended.
    pub requests_abandoned: u64,
    /// Panics of handlers and of the bodies that they gave.
    pub handler_panics: u64,
}

/// The counts themselves. Relaxed: they order nothing.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    open: AtomicUsize,
    accepted: AtomicU64,
    refused: AtomicU64,
    accept_errors: AtomicU64,
    served: Crowded,
    abandoned: AtomicU64,
    panics: AtomicU64,
}

/// A count that every request changes, with memory of its own: what stands beside it is read by every core.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Crowded(AtomicU64);

impl Counts {
    pub(crate) fn connection_accepted(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connection_closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn connection_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn accept_failed(&self) {
        self.accept_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn request_served(&self) {
        self.served.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn request_abandoned(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn handler_panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> GatewayStats {
        GatewayStats {
            connections_open: self.open.load(Ordering::Relaxed),
            connections_accepted: self.accepted.load(Ordering::Relaxed),
            connections_refused: self.refused.load(Ordering::Relaxed),
            accept_errors: self.accept_errors.load(Ordering::Relaxed),
            requests_served: self.served.0.load(Ordering::Relaxed),
            requests_abandoned: self.abandoned.load(Ordering::Relaxed),
            handler_panics: self.panics.load(Ordering::Relaxed),
        }
    }
}
