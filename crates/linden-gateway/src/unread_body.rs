//! What a handler has left of a request's body when it answers: a little is read and dropped, so that the connection can go
//! on to the next request. Otherwise the response says that the connection closes, so that no client sends a second request
//! in vain.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::Body;
use hyper::body::Incoming;

/// The most bytes that are read to keep a connection. As in Go's `net/http`.
const BYTES_MAX: u64 = 256 << 10;

/// See the head of this file.
pub(crate) struct UnreadBody {
    incoming: Incoming,
    /// Bytes that were read and dropped.
    bytes: u64,
}

/// How far the client's body was read.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReadTo {
    /// The next request can be read.
    End,
    /// The connection cannot be used again.
    Middle,
}

impl UnreadBody {
    pub(crate) fn new(incoming: Incoming) -> Self {
        Self { incoming, bytes: 0 }
    }

    /// Reads on, unless it is too much.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<ReadTo> {
        loop {
            if self.bytes.saturating_add(self.incoming.size_hint().lower()) > BYTES_MAX {
                return Poll::Ready(ReadTo::Middle);
            }
            match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                Some(Err(_broken)) => return Poll::Ready(ReadTo::Middle),
                None => return Poll::Ready(ReadTo::End),
            }
        }
    }
}
