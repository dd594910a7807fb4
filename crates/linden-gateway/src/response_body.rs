//! A response's body as hyper gets it: the handler's, whose end is told to the pace, and whose panic costs this response
//! alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::exchange::Exchange;

/// See the head of this file.
pub(crate) struct ResponseBody {
    body: axum::body::Body,
    exchange: Arc<Exchange>,
}

impl ResponseBody {
    pub(crate) fn new(body: axum::body::Body, exchange: Arc<Exchange>) -> Self {
        Self { body, exchange }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.exchange.part_taken();
        let body = Pin::new(&mut self.body);
        match catch_unwind(AssertUnwindSafe(|| body.poll_frame(cx))) {
            Ok(polled) => {
                if let Poll::Ready(Some(Ok(_))) = polled {
                    self.exchange.part_offered();
                }
                polled.map_err(Into::into)
            }
            Err(payload) => {
                self.exchange.handler_panicked(payload);
                // The head is out, so all that is left is to break the connection off.
                Poll::Ready(Some(Err("the response's body panicked".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.exchange.answer_ended();
    }
}
