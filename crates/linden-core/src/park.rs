//! How one worker sleeps and is woken: on its thread, or inside the reactor.
//!
//! The word tells the waker where the sleeper is; a notice that comes before the sleep makes it return at once. The blocking
//! itself is the caller's ([`crate::worker`]).

use crate::sync::{AtomicUsize, Ordering, order};

const EMPTY: usize = 0;
const NOTIFIED: usize = 1;
const ON_THREAD: usize = 2;
const IN_REACTOR: usize = 3;

/// Where a worker sleeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bed {
    /// In `std::thread::park`.
    Thread,
    /// In the reactor, which it drives.
    Reactor,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct ParkWord {
    /// Written by the sleeper as it lies down and gets up, by wakers as they notify. The notice releases what the waker
    /// wrote before to the worker that gets up.
    state: AtomicUsize,
}

impl ParkWord {
    pub(crate) fn new() -> Self {
        Self { state: AtomicUsize::new(EMPTY) }
    }

    /// Says where the worker will sleep. `false`: a notice came before, and is used up. Sleeper only.
    #[must_use]
    pub(crate) fn lie_down(&self, bed: Bed) -> bool {
        let bed = match bed {
            Bed::Thread => ON_THREAD,
            Bed::Reactor => IN_REACTOR,
        };
        let lay =
            self.state.compare_exchange(EMPTY, bed, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !lay {
            self.state.store(EMPTY, Ordering::Release);
        }
        lay
    }

    /// Whether a notice came. Sleeper only.
    pub(crate) fn is_notified(&self) -> bool {
        // No weakening is planted here: whoever sees the notice gets up next, and `get_up` acquires it as well.
        self.state.load(Ordering::Acquire) == NOTIFIED
    }

    /// Uses up a notice, or takes back the announcement of the sleep. Sleeper only.
    pub(crate) fn get_up(&self) {
        self.state.swap(EMPTY, Ordering::AcqRel);
    }

    /// Leaves a notice, and says where the sleeper is to be woken.
    #[must_use]
    pub(crate) fn notify(&self) -> Option<Bed> {
        match self.state.swap(NOTIFIED, order!("park_unpark_release", AcqRel)) {
            ON_THREAD => Some(Bed::Thread),
            IN_REACTOR => Some(Bed::Reactor),
            _ => None,
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    //! Sleeper against waker: no lost notice, and what was written before the notice is seen after it.

    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize as LoomUsize;
    use loom::thread;

    use super::*;

    struct Shared {
        word: ParkWord,
        work: LoomUsize,
        thread_wakes: LoomUsize,
    }

    #[test]
    fn loom_what_was_written_before_an_unpark_is_seen_after_the_park() {
        loom::model(|| {
            let shared = Arc::new(Shared {
                word: ParkWord::new(),
                work: LoomUsize::new(0),
                thread_wakes: LoomUsize::new(0),
            });
            let waker = {
                let shared = shared.clone();
                thread::spawn(move || {
                    shared.work.store(1, Ordering::Relaxed);
                    if shared.word.notify() == Some(Bed::Thread) {
                        shared.thread_wakes.store(1, Ordering::Relaxed);
                    }
                })
            };
            let mut slept = false;
            if shared.word.lie_down(Bed::Thread) {
                slept = true;
                while !shared.word.is_notified() {
                    thread::yield_now();
                }
                shared.word.get_up();
            }
            assert_eq!(shared.work.load(Ordering::Relaxed), 1);
            waker.join().unwrap();
            assert_eq!(shared.thread_wakes.load(Ordering::Relaxed), usize::from(slept));
        });
    }
}
