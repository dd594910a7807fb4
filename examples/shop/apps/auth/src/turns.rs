//! How many slow jobs of one kind run at once, and how many more may wait.
//!
//! A clone counts with the original: the bounds hold over restarts of the service, for a hash that
//! runs cannot be taken back when the service that began it crashes.

use std::{fmt, num::NonZeroUsize, sync::Arc};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, spawn_blocking},
};

/// The two bounds.
#[derive(Clone)]
pub(crate) struct Turns {
    /// One permit for each job that runs or waits.
    places: Arc<Semaphore>,
    /// One permit for each job that runs.
    turns: Arc<Semaphore>,
}

impl Turns {
    pub(crate) fn new(running_max: NonZeroUsize, waiting_max: usize) -> Turns {
        let bound = |max: usize| Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        let running_max = running_max.get();
        Turns { places: bound(running_max.saturating_add(waiting_max)), turns: bound(running_max) }
    }

    /// A place in the queue; `None` when it is full.
    pub(crate) fn admit(&self) -> Option<Place> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        Some(Place { place, turns: self.turns.clone() })
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = (self.turns.available_permits(), self.places.available_permits());
        write!(f, "Turns({} free to run, {} places)", free.0, free.1)
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
        let jobs = Turns::new(NonZeroUsize::MIN, 1);
        let (first, second) = (jobs.admit().unwrap(), jobs.admit().unwrap());
        assert!(jobs.clone().admit().is_none());
        assert_eq!(first.run(|| 1).await.unwrap(), 1);
        let third = jobs.admit().unwrap();
        assert!(second.run(|| panic!("on purpose")).await.is_err());
        drop(third);
        assert!(jobs.admit().is_some() && jobs.turns.available_permits() == 1);
    }
    #[test]
    fn any_number_of_places_can_be_configured() {
        let jobs = Turns::new(NonZeroUsize::MAX, usize::MAX);
        assert_eq!(jobs.places.available_permits(), Semaphore::MAX_PERMITS);
    }
}
