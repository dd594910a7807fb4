//! The gateway as its users hold it: bind, start, look at, drain.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use linden::{ChildSpec, Supervisor, child, process_child, supervisor_child};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::Semaphore;

use crate::acceptor;
use crate::connections::{Connections, Drained};
use crate::drain_signal::DrainSignal;
use crate::limits::{LimitError, Limits};
use crate::route_limits::NoteRoute;
use crate::shared::Shared;
use crate::stats::{Counts, GatewayStats};
use crate::tls::{self, Tls};

/// Connections that the operating system keeps for us until they are accepted; it may have a lower limit of its own.
const BACKLOG: i32 = 1024;
/// Restarts of the gateway's own processes before its supervisor gives up, and within which time.
const RESTARTS_MAX: u32 = 5;
const RESTARTS_PERIOD: Duration = Duration::from_secs(10);

/// A bound socket, the routes behind it, and the limits: what a supervisor starts by [`Gateway::child`]. A cheap clone.
///
/// See the [crate's page](crate) for an example.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

/// Why a gateway was not bound.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// The address cannot be listened at.
    Address {
        /// The address.
        addr: SocketAddr,
        /// What the operating system says.
        cause: io::Error,
    },
    /// A limit is out of its bounds.
    Limit(LimitError),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { addr, cause } => {
                write!(f, "cannot listen at {addr}: {cause}; {}", mend(cause.kind()))
            }
            Self::Limit(_) => f.write_str("the gateway's limits make no sense"),
        }
    }
}

/// What the reader of a bind error can do.
fn mend(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => {
            "another program has the port: stop it, or listen at another address"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 take a privilege: listen at a higher one"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: try 127.0.0.1 or 0.0.0.0"
        }
        _ => "try another address",
    }
}

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // Its text is part of the message.
            Self::Address { .. } => None,
            Self::Limit(error) => Some(error),
        }
    }
}

impl Gateway {
    /// Listens at `addr`, port 0 for any. Connections are accepted once the [child](Gateway::child) runs; until then they
    /// wait in the operating system's backlog.
    ///
    /// # Errors
    /// [`BindError`], which names the address and the mend.
    pub fn bind(addr: SocketAddr, router: Router, limits: Limits) -> Result<Self, BindError> {
        Self::builder(addr, router).limits(limits).bind()
    }

    /// A gateway that has more than limits: see [`GatewayBuilder`].
    pub fn builder(addr: SocketAddr, router: Router) -> GatewayBuilder {
        GatewayBuilder { addr, router, limits: Limits::default(), tls: None }
    }

    fn of(builder: GatewayBuilder) -> Result<Self, BindError> {
        let GatewayBuilder { addr, router, limits, tls } = builder;
        limits.check().map_err(BindError::Limit)?;
        let refuse = |cause| BindError::Address { addr, cause };
        let listener = listen(addr).map_err(refuse)?;
        let local_addr = listener.local_addr().map_err(refuse)?;
        let permits = limits.connections_max.min(Semaphore::MAX_PERMITS);
        let shared = Shared {
            local_addr,
            limits,
            tls,
            // The state makes services of the handlers now, and not of each anew for each request.
            router: router.layer(NoteRoute).with_state(()),
            counts: Counts::default(),
            room: Arc::new(Semaphore::new(permits)),
            draining: AtomicBool::new(false),
            drain_signal: DrainSignal::new(),
            listener: Mutex::new(Some(listener)),
            door: Arc::new(Semaphore::new(1)),
            acceptor: Mutex::new(None),
            connections: Mutex::new(None),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The address that is listened at, with the port that was given for port 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local_addr
    }

    /// The gateway's processes as a child of a supervisor: an acceptor, the keeper of the connections and, with TLS, one that
    /// looks for renewed certificates. They may be restarted, each for itself or all, and go on with the same socket; a restart of the acceptor leaves open
    /// connections alone.
    ///
    /// One child of a gateway runs at a time.
    #[must_use]
    pub fn child(&self) -> ChildSpec {
        let shared = self.shared.clone();
        supervisor_child(&format!("gateway {}", shared.local_addr), move || {
            let (keeper, acceptor) = (shared.clone(), shared.clone());
            let supervisor = Supervisor::one_for_one()
                .intensity(RESTARTS_MAX, RESTARTS_PERIOD)
                .child(child("connections", move || Connections::new(keeper.clone())))
                .child(process_child("acceptor", move |cx| acceptor::accept(cx, acceptor.clone())));
            match shared.tls.clone().filter(Tls::is_renewed) {
                Some(tls) => supervisor
                    .child(process_child("certificates", move |cx| tls::renew(cx, tls.clone()))),
                None => supervisor,
            }
        })
    }

    /// Ends the gateway in good order; call it before its child is stopped, as in `Application::prepare_stop`.
    ///
    /// The socket is closed, after those who already wait at it are let in as far as there is room; requests that are being served end, and their
    /// responses say `connection: close`; idle connections are closed at once, those that have not sent anything yet after
    /// one second. WebSockets get a close frame with code 1001, and have 5 s to answer it; event streams end. What is left
    /// after `grace` is ended, and the log says how many connections that were. Afterwards the address is free and the gateway cannot be started
    /// again. A second drain waits for the same end; a handler of this gateway that drains it waits for itself until the
    /// grace is over.
    pub async fn drain(&self, grace: Duration) -> Drained {
        self.shared.begin_drain();
        let acceptor = self.shared.acceptor.lock().clone();
        if let Some(acceptor) = acceptor {
            // One that does not live has no socket, and one that is restarted gets none.
            let _ = acceptor.send(());
        }
        drop(self.shared.door.acquire().await);
        let connections = self.shared.connections.lock().clone();
        let drained = match connections {
            Some(connections) => connections.drain(grace).no_timeout().await.unwrap_or_default(),
            None => Drained::default(),
        };
        if drained.cut > 0 {
            tracing::warn!(
                target: "linden::gateway",
                listen = %self.local_addr(),
                cut = drained.cut,
                "the drain's grace was over: connections were cut off"
            );
        }
        drained
    }

    /// What the gateway has done, and holds now.
    #[must_use]
    pub fn stats(&self) -> GatewayStats {
        self.shared.counts.read()
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted program takes its port although old connections are still dying there.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A gateway that is being put together: [`Gateway::builder`].
#[must_use = "it does nothing until it is bound"]
#[derive(Debug)]
pub struct GatewayBuilder {
    addr: SocketAddr,
    router: Router,
    limits: Limits,
    tls: Option<Tls>,
}

impl GatewayBuilder {
    /// Other limits than [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// TLS for all that is spoken at the address.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Listens, as [`Gateway::bind`] does.
    ///
    /// # Errors
    /// [`BindError`], which names the address and the mend.
    pub fn bind(self) -> Result<Gateway, BindError> {
        Gateway::of(self)
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("local_addr", &self.shared.local_addr)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
