//! How many passwords are hashed at once, and how many more may wait.
//!
//! A clone counts with the original: the bounds hold over restarts of the service, for a hash that
//! runs cannot be taken back when the service that began it crashes.

use std::{num::NonZeroUsize, sync::Arc};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, spawn_blocking},
};

/// The two bounds.
#[derive(Clone, Debug)]
pub(crate) struct Hashing {
    /// One permit for each hash that runs or waits.
    places: Arc<Semaphore>,
    /// One permit for each hash that runs.
    turns: Arc<Semaphore>,
}

impl Hashing {
    pub(crate) fn new(running_max: NonZeroUsize, waiting_max: usize) -> Hashing {
        let running_max = running_max.get();
        Hashing {
            places: Arc::new(Semaphore::new(running_max + waiting_max)),
            turns: Arc::new(Semaphore::new(running_max)),
        }
    }

    /// A place in the queue; `None` when it is full.
    pub(crate) fn admit(&self) -> Option<Place> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        Some(Place { place, turns: self.turns.clone() })
    }
}

/// A place in the queue.
pub(crate) struct Place {
    place: OwnedSemaphorePermit,
    turns: Arc<Semaphore>,
}

impl Place {
    /// Waits for a turn, then does the work on the blocking pool. The place is given back when the
    /// work is done, also when nobody waits for it any more.
    ///
    /// # Errors
    /// The work panicked.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let turn = self.turns.acquire_owned().await.expect("the semaphore is never closed");
        spawn_blocking(move || {
            let _held = (self.place, turn);
            work()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[linden::test]
    async fn places_are_bounded_and_come_back() {
        let hashing = Hashing::new(NonZeroUsize::MIN, 1);
        let (first, second) = (hashing.admit().unwrap(), hashing.admit().unwrap());
        assert!(hashing.clone().admit().is_none());
        assert_eq!(first.run(|| 1).await.unwrap(), 1);
        let third = hashing.admit().unwrap();
        assert!(second.run(|| panic!("on purpose")).await.is_err());
        drop(third);
        assert!(hashing.admit().is_some() && hashing.turns.available_permits() == 1);
    }
}
