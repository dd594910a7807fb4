//! The socket of a connection, as hyper reads and writes it: each read and write is told to the connection's watch, and the
//! end is gentle to a client that is still sending.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::acceptor::Place;
use crate::pace::Closing;
use crate::watch::Watch;

/// Bytes of what a client sends after it was refused that are dropped between two looks at other processes.
const LINGER_READ_BYTES: usize = 4096;
/// Reads in a row while lingering before other processes get their turn.
const LINGER_READS_MAX: u32 = 16;

/// See the head of this file.
pub(crate) struct Wire {
    stream: TcpStream,
    watch: Arc<Watch>,
    end: End,
    /// Goes last, when the socket is closed. It is here so that a connection which a handler took over counts as open.
    _place: Arc<Place>,
}

/// How far the closing is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// Our side is shut; what the client sends is dropped until it ends too.
    Lingering,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, watch: Arc<Watch>, place: Arc<Place>) -> Self {
        Self { stream, watch, end: End::Open, _place: place }
    }

    fn written(&self, polled: &Poll<io::Result<usize>>) {
        match polled {
            Poll::Pending => self.watch.write_blocked(),
            Poll::Ready(Ok(bytes)) if *bytes > 0 => self.watch.wrote(),
            Poll::Ready(_) => {}
        }
    }

    /// Ready when the client has ended too, whichever way.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut dropped = [0; LINGER_READ_BYTES];
        for _ in 0..LINGER_READS_MAX {
            let mut buf = ReadBuf::new(&mut dropped);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
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
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watch.read();
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
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.end == End::Open {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            if self.watch.closing() == Closing::AtOnce {
                return Poll::Ready(Ok(()));
            }
            self.end = End::Lingering;
        }
        self.poll_linger(cx).map(Ok)
    }
}
