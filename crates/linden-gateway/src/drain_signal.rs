//! The signal that a gateway drains, for what would go on for ever: WebSockets and event streams.
//!
//! Given once, by the drain; heard by whoever asks, before or after.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// See the head of this file. A cheap clone.
#[derive(Clone)]
pub(crate) struct DrainSignal(Arc<Semaphore>);

/// Ready when the gateway drains; not polled beyond.
pub(crate) type DrainHeard = Pin<Box<dyn Future<Output = ()> + Send>>;

impl DrainSignal {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(crate) fn give(&self) {
        self.0.close();
    }

    pub(crate) fn heard(&self) -> DrainHeard {
        let semaphore = self.0.clone();
        Box::pin(async move {
            // There is never a permit: it ends when the semaphore is closed.
            let _ = semaphore.acquire_owned().await;
        })
    }
}

impl fmt::Debug for DrainSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DrainSignal").field(&self.0.is_closed()).finish()
    }
}
