//! The acceptor: a process that takes connections from the socket and hands them to their keeper.
//!
//! It holds a duplicate of the listening socket, so it can be killed and started again. It accepts only when there is room
//! for one connection more. An empty message tells it to look whether the gateway drains.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use linden::{Cx, Reason};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use crate::shared::Shared;

/// A connection that nobody serves yet. Dropped as such, it is closed and counted as refused.
pub(crate) struct Newcomer {
    shared: Arc<Shared>,
    parts: Option<Parts>,
}

/// What a connection is made of.
pub(crate) struct Parts {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) place: Arc<Place>,
}

/// A connection's place among those that may be open. It counts as open as long as this is there: held by its process, and
/// by its socket, which a handler may take over.
pub(crate) struct Place {
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.counts.connection_closed();
    }
}

impl Newcomer {
    fn new(
        shared: Arc<Shared>,
        stream: TcpStream,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        shared.counts.connection_accepted();
        let place = Arc::new(Place { shared: shared.clone(), _permit: permit });
        Self { shared, parts: Some(Parts { stream, peer, place }) }
    }

    /// Takes it on.
    pub(crate) fn serve(mut self) -> Parts {
        self.parts.take().expect("taken once")
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        if self.parts.is_some() {
            self.shared.counts.connection_refused();
        }
    }
}

/// What came first.
enum First<T> {
    /// Mail: look again whether the gateway drains.
    Mail,
    Done(T),
}

/// Awaits mail or `future`; mail goes first.
async fn first<T>(cx: &mut Cx<()>, future: impl Future<Output = T>) -> First<T> {
    let mut mail = pin!(cx.recv());
    let mut future = pin!(future);
    poll_fn(|task| {
        if mail.as_mut().poll(task).is_ready() {
            return Poll::Ready(First::Mail);
        }
        future.as_mut().poll(task).map(First::Done)
    })
    .await
}

/// Whether the acceptor goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    /// The gateway drains.
    Drain,
}

/// The acceptor's state.
struct Acceptor {
    cx: Cx<()>,
    shared: Arc<Shared>,
    backoff: Backoff,
}

/// A duplicate of the listening socket. A drain waits until there is none.
struct Door {
    listener: tokio::net::TcpListener,
    _permit: OwnedSemaphorePermit,
}

/// The future of the acceptor's process.
pub(crate) async fn accept(cx: Cx<()>, shared: Arc<Shared>) -> Reason {
    cx.set_label(format!("acceptor {}", shared.local_addr));
    *shared.acceptor.lock() = Some(cx.address());
    let mut acceptor = Acceptor { cx, shared, backoff: Backoff::default() };
    while acceptor.run().await == Next::GoOn {}
    // It stays, for its supervisor would start it again.
    loop {
        acceptor.cx.recv().await;
    }
}

impl Acceptor {
    async fn run(&mut self) -> Next {
        let door = match self.open_door().await {
            Some(Ok(door)) => door,
            Some(Err(error)) => return self.back_off(&error).await,
            None => return Next::Drain,
        };
        self.accept_at(&door).await;
        self.let_in_the_rest(door);
        Next::Drain
    }

    /// `None` when the gateway drains.
    async fn open_door(&mut self) -> Option<io::Result<Door>> {
        // There may be one of an acceptor that is just dying.
        let permit = self.shared.door.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let duplicate = self.shared.listener.lock().as_ref()?.try_clone();
        let listener = duplicate.and_then(tokio::net::TcpListener::from_std);
        Some(listener.map(|listener| Door { listener, _permit: permit }))
    }

    /// Accepts until the gateway drains.
    async fn accept_at(&mut self, door: &Door) {
        loop {
            let room = self.shared.room.clone();
            let permit = match first(&mut self.cx, room.acquire_owned()).await {
                First::Done(permit) => permit.expect("the semaphore is never closed"),
                First::Mail if self.shared.is_draining() => return,
                First::Mail => continue,
            };
            match first(&mut self.cx, door.listener.accept()).await {
                First::Done(Ok((stream, peer))) => {
                    self.backoff = Backoff::default();
                    self.hand_over(stream, peer, permit);
                }
                First::Done(Err(error)) if is_of_the_connection(&error) => {}
                First::Done(Err(error)) => {
                    drop(permit);
                    if self.back_off(&error).await == Next::Drain {
                        return;
                    }
                }
                First::Mail if self.shared.is_draining() => return,
                First::Mail => {}
            }
        }
    }

    fn hand_over(&self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let newcomer = Newcomer::new(self.shared.clone(), stream, peer, permit);
        let keeper = self.shared.connections.lock().clone();
        if let Some(keeper) = keeper {
            keeper.serve(newcomer);
        }
    }

    /// Those who already wait at the socket have sent their requests, as far as they know, to us.
    fn let_in_the_rest(&self, door: Door) {
        // The permit goes last.
        let Door { listener, _permit } = door;
        let Ok(listener) = listener.into_std() else { return };
        while let Ok(permit) = self.shared.room.clone().try_acquire_owned() {
            let Ok((stream, peer)) = accept_now(&listener) else { return };
            self.hand_over(stream, peer, permit);
        }
    }

    /// Waits before the next try, so that an operating system that is out of something is not asked without end.
    async fn back_off(&mut self, error: &io::Error) -> Next {
        self.shared.counts.accept_failed();
        let (pause, streak) = self.backoff.failed();
        if streak == Streak::Begins {
            tracing::warn!(
                target: "linden::gateway",
                addr = %self.shared.local_addr,
                %error,
                "connections cannot be accepted; trying again"
            );
        }
        let _ = self.cx.recv_timeout(pause).await;
        if self.shared.is_draining() { Next::Drain } else { Next::GoOn }
    }
}

/// Accepts without waiting.
fn accept_now(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                return Ok((TcpStream::from_std(stream)?, peer));
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the error is one of the connection that would have been accepted: the next one may be well.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// How long to wait after errors in a row.
#[derive(Debug, Default)]
struct Backoff {
    errors: u32,
}

/// Whether an error is the first in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Streak {
    Begins,
    GoesOn,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    fn failed(&mut self) -> (Duration, Streak) {
        let pause = Self::FIRST.saturating_mul(1 << self.errors.min(10)).min(Self::LONGEST);
        let streak = if self.errors == 0 { Streak::Begins } else { Streak::GoesOn };
        self.errors = self.errors.saturating_add(1);
        (pause, streak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second_and_the_first_error_is_told() {
        let mut backoff = Backoff::default();
        let failures: Vec<_> = (0..12).map(|_| backoff.failed()).collect();
        let pauses: Vec<_> = failures.iter().map(|(pause, _)| pause.as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000, 1000]);
        let begins = failures.iter().filter(|(_, streak)| *streak == Streak::Begins).count();
        assert_eq!((begins, failures[0].1), (1, Streak::Begins));
    }

    #[test]
    fn only_errors_of_one_connection_are_passed_over() {
        assert!(is_of_the_connection(&io::ErrorKind::ConnectionAborted.into()));
        assert!(!is_of_the_connection(&io::Error::from_raw_os_error(24)));
    }
}
