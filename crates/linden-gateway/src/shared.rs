//! What a gateway's handles and processes share.
//!
//! The listening socket is kept here and the processes work on duplicates, so that a restarted acceptor goes on with the
//! same queue of newcomers. The locks are held for a look or a store only.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use linden::Address;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::connections::ConnectionsClient;
use crate::drain_signal::DrainSignal;
use crate::limits::Limits;
use crate::stats::Counts;
use crate::tls::Tls;

/// See the head of this file.
pub(crate) struct Shared {
    pub(crate) local_addr: SocketAddr,
    pub(crate) limits: Limits,
    /// `None`: what is spoken is not covered.
    pub(crate) tls: Option<Tls>,
    /// With the layers of this crate around it.
    pub(crate) router: Router,
    pub(crate) counts: Counts,
    /// A permit for each connection that may be open.
    pub(crate) room: Arc<Semaphore>,
    /// Set for good by a drain: written by it, read by everybody. The lock of `listener` orders it for the acceptor; what
    /// else sees it late is told by a message.
    pub(crate) draining: AtomicBool,
    /// Given by the drain, for what hears no message of the keeper's.
    pub(crate) drain_signal: DrainSignal,
    /// `None` from the drain on.
    pub(crate) listener: Mutex<Option<TcpListener>>,
    /// One permit, for the duplicate of the socket that the acceptor has.
    pub(crate) door: Arc<Semaphore>,
    /// The newest acceptor. It is told of a drain by an empty message.
    pub(crate) acceptor: Mutex<Option<Address<()>>>,
    /// The newest keeper of connections.
    pub(crate) connections: Mutex<Option<ConnectionsClient>>,
}

impl Shared {
    /// Begins the drain: nobody is let in by the socket itself, and each response from now on says that it is the last.
    pub(crate) fn begin_drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.drain_signal.give();
        drop(self.listener.lock().take());
    }

    /// Whether the gateway drains.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}
