//! The socket of a connection, as hyper reads and writes it: what comes is told to the connection's watch, and the end is
//! gentle to a client that is still sending.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::acceptor::Place;
use crate::connection::Line;
use crate::opening::PREFACE_BYTES;
use crate::pace::Closing;
use crate::socket::Socket;

/// Bytes of what a client sends after it was refused that are dropped between two looks at other processes.
const LINGER_READ_BYTES: usize = 4096;
/// Reads in a row while lingering before other processes get their turn.
const LINGER_READS_MAX: u32 = 16;

/// See the head of this file.
pub(crate) struct Wire {
    socket: Socket,
    early: Early,
    line: Arc<Line>,
    end: End,
    /// Goes last, when the socket is closed. It is here so that a connection which a handler took over counts as open.
    _place: Arc<Place>,
}

/// The first bytes of a connection, which were read to see what it is and are read again by hyper.
///
/// They are read apart from what follows also where it is clear what it is. hyper's buffer for HTTP/1.1 becomes twice what it
/// wants to read at once when its first read brings a part of a head, and then most requests need no new one; else each does.
#[derive(Default)]
pub(crate) struct Early {
    bytes: [u8; PREFACE_BYTES],
    /// How many came, and how many of them were read again.
    came: u8,
    read: u8,
}

/// How far the closing is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// Our side is shut; what the client sends is dropped until it ends too.
    Lingering,
}

impl Early {
    /// What came.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.came)]
    }

    /// Reads more by `read`, as far as there is room.
    pub(crate) fn fill(
        &mut self,
        read: impl FnOnce(&mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        let mut buf = ReadBuf::new(&mut self.bytes[usize::from(self.came)..]);
        let polled = read(&mut buf);
        let filled = u8::try_from(buf.filled().len()).expect("there is room for fewer than 256");
        self.came += filled;
        polled
    }

    /// Whether bytes were put into `buf`.
    fn read_again(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let rest = &self.bytes()[usize::from(self.read)..];
        let rest = &rest[..rest.len().min(buf.remaining())];
        buf.put_slice(rest);
        let count = u8::try_from(rest.len()).expect("there are fewer than 256");
        self.read += count;
        count > 0
    }
}

impl Wire {
    pub(crate) fn new(socket: Socket, early: Early, line: Arc<Line>, place: Arc<Place>) -> Self {
        Self { socket, early, line, end: End::Open, _place: place }
    }

    /// Ready when the client has ended too, whichever way.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut dropped = [0; LINGER_READ_BYTES];
        for _ in 0..LINGER_READS_MAX {
            let mut buf = ReadBuf::new(&mut dropped);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.early.bytes().is_empty() {
            ready!(this.early.fill(|buf| Pin::new(&mut this.socket).poll_read(cx, buf)))?;
        }
        if this.early.read_again(buf) {
            this.line.watch.read();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.socket).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.line.watch.read();
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.end == End::Open {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            if self.line.watch.closing() == Closing::AtOnce {
                return Poll::Ready(Ok(()));
            }
            self.end = End::Lingering;
        }
        self.poll_linger(cx).map(Ok)
    }
}
