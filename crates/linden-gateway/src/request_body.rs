//! A request's body as handlers get it: hyper's, with the byte limit, and with the pace told of each wait.
//!
//! Back-pressure is hyper's: a part is read from the socket when it is asked for.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::exchange::Exchange;

/// See the head of this file.
pub(crate) struct RequestBody {
    /// `None` at its end.
    incoming: Option<Incoming>,
    exchange: Arc<Exchange>,
    /// Bytes that came.
    bytes: u64,
}

/// Why a request's body has no more parts. Found as the source of the error that axum gives.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// It is longer than the limit. The client gets a 413, unless the handler answers with success.
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// The connection failed, or what came is no HTTP.
    Broken(hyper::Error),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes_max } => {
                write!(f, "the request's body is longer than {bytes_max} bytes")
            }
            Self::Broken(_) => f.write_str("the request's body broke off"),
        }
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::TooLarge { .. } => None,
            Self::Broken(error) => Some(error),
        }
    }
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, exchange: Arc<Exchange>) -> Self {
        Self { incoming: Some(incoming), exchange, bytes: 0 }
    }
}

fn check(exchange: &Exchange, bytes: u64) -> Result<(), BodyError> {
    let bytes_max = exchange.body_bytes_max();
    if bytes <= bytes_max {
        return Ok(());
    }
    exchange.body_is_too_large();
    Err(BodyError::TooLarge { bytes_max })
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        // A length that is announced is refused before the first byte of it is read.
        let announced = this.bytes.saturating_add(incoming.size_hint().lower());
        if let Err(error) = check(&this.exchange, announced) {
            return Poll::Ready(Some(Err(error)));
        }
        let polled = Pin::new(&mut *incoming).poll_frame(cx);
        if polled.is_pending() {
            this.exchange.body_awaited();
        }
        let frame = match ready!(polled) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(BodyError::Broken(error)))),
            None => {
                this.incoming = None;
                this.exchange.body_ended();
                return Poll::Ready(None);
            }
        };
        this.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        if incoming.is_end_stream() {
            this.exchange.body_ended();
        } else {
            this.exchange.body_came();
        }
        Poll::Ready(Some(check(&this.exchange, this.bytes).map(|()| frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.exchange.body_came();
        if let Some(incoming) = self.incoming.take()
            && !incoming.is_end_stream()
        {
            self.exchange.body_left(incoming, self.bytes);
        }
    }
}
