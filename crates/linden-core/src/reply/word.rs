//! The word that caller and server of one call share: who waits, whether the answer is there, whether the caller left.
//!
//! Two parties, each of whom acts last exactly once: the server by [`ReplyWord::publish`], the caller by taking a published
//! answer or by [`ReplyWord::abandon`]. Whoever finds that the other was there first frees the slot, so no count is kept.
//! After its publish the server touches nothing of the slot but the waiter that it got out of it.

use std::ptr;

use crate::sync::{AtomicPtr, Ordering, order};

const EMPTY: usize = 0;
const READY: usize = 1;
const GONE: usize = 2;

/// See the head of this file. `W` is whatever a waiter is a pointer to; its alignment leaves the two low bits free.
#[derive(Debug)]
pub(crate) struct ReplyWord<W> {
    /// `EMPTY`, a waiter, `READY` or `GONE`. The publish releases the answer to the caller's poll; the registration
    /// releases the waiter to the publish.
    state: AtomicPtr<W>,
}

fn mark<W>(state: usize) -> *mut W {
    ptr::null_mut::<W>().map_addr(|_| state)
}

/// What the caller's side finds.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// The answer is there. The slot is the caller's alone.
    Ready,
    /// Nobody waits yet.
    Empty,
    /// The word the caller left there earlier.
    Waiting,
}

/// What the server's publish finds.
#[must_use]
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Published<W> {
    /// The caller will find the answer when it looks.
    Unwatched,
    /// This waiter is now the server's, who must wake it.
    Waiter(*mut W),
    /// The caller left. The slot, with the answer in it, is the server's alone.
    Gone,
}

/// What the caller's leaving finds.
#[must_use]
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Abandoned<W> {
    /// The answer was there already. The slot is the caller's alone.
    Ready,
    /// The server will free the slot. The waiter, if there is one, is the caller's again.
    Left(Option<*mut W>),
}

impl<W> ReplyWord<W> {
    pub(crate) fn new() -> Self {
        Self { state: AtomicPtr::new(mark(EMPTY)) }
    }

    /// Looks for the answer. Caller only.
    pub(crate) fn look(&self) -> Look {
        match self.state.load(order!("reply_look_acquire", Acquire)).addr() {
            READY => Look::Ready,
            EMPTY => Look::Empty,
            _ => Look::Waiting,
        }
    }

    /// Leaves a waiter before the other end knows of the slot: passing the reply on publishes it. Caller only, once, first.
    pub(crate) fn preset(&self, waiter: *mut W) {
        self.state.store(waiter, Ordering::Relaxed);
    }

    /// Leaves a waiter. Caller only, after [`Look::Empty`]. `false`: the answer came meanwhile, the waiter stays with the
    /// caller.
    #[must_use]
    pub(crate) fn register(&self, waiter: *mut W) -> bool {
        self.state
            .compare_exchange(
                mark(EMPTY),
                waiter,
                order!("reply_register_release", AcqRel),
                Ordering::Acquire,
            )
            .is_ok()
    }

    /// Takes the waiter back. Caller only, after [`Look::Waiting`]. `None`: the answer came meanwhile, and the waiter with
    /// it went to the server.
    #[must_use]
    pub(crate) fn unregister(&self) -> Option<*mut W> {
        let waiter = self.state.load(Ordering::Relaxed);
        if waiter.addr() == READY {
            // Pairs with the publish, as `look` does.
            crate::sync::fence(Ordering::Acquire);
            return None;
        }
        self.state
            .compare_exchange(waiter, mark(EMPTY), Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
            .then_some(waiter)
    }

    /// The waiter that stands in the word, to compare it with. Caller only, after [`Look::Waiting`].
    pub(crate) fn waiter(&self) -> *mut W {
        self.state.load(Ordering::Relaxed)
    }

    /// Says that the answer, written before, is there. Server only, once.
    pub(crate) fn publish(&self) -> Published<W> {
        let old = self.state.swap(mark(READY), order!("reply_publish_release", AcqRel));
        match old.addr() {
            EMPTY => Published::Unwatched,
            GONE => Published::Gone,
            _ => Published::Waiter(old),
        }
    }

    /// Leaves without waiting for the answer. Caller only, once.
    pub(crate) fn abandon(&self) -> Abandoned<W> {
        let old = self.state.swap(mark(GONE), Ordering::AcqRel);
        match old.addr() {
            READY => Abandoned::Ready,
            EMPTY => Abandoned::Left(None),
            _ => Abandoned::Left(Some(old)),
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    //! Caller against server: the answer arrives or is dropped once, the waiter is woken or given back, the slot is freed
    //! by exactly one of the two.

    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicUsize, Ordering as LoomOrdering};
    use loom::thread;

    use super::*;

    #[repr(align(8))]
    struct Waiter {
        note: UnsafeCell<usize>,
        wakes: AtomicUsize,
    }

    struct Shared {
        word: ReplyWord<Waiter>,
        answer: UnsafeCell<Option<u32>>,
        frees: AtomicUsize,
        waiter: Waiter,
    }

    impl Shared {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                word: ReplyWord::new(),
                answer: UnsafeCell::new(None),
                frees: AtomicUsize::new(0),
                waiter: Waiter { note: UnsafeCell::new(0), wakes: AtomicUsize::new(0) },
            })
        }

        fn waiter(&self) -> *mut Waiter {
            ptr::from_ref(&self.waiter).cast_mut()
        }

        fn serve(&self) {
            // SAFETY: the server alone writes the answer before the publish; loom checks.
            self.answer.with_mut(|answer| unsafe { *answer = Some(7) });
            match self.word.publish() {
                Published::Unwatched => {}
                Published::Waiter(waiter) => {
                    // SAFETY: the waiter outlives the threads.
                    let waiter = unsafe { &*waiter };
                    // SAFETY: written by the caller before it registered; loom checks.
                    assert_eq!(waiter.note.with(|note| unsafe { *note }), 1);
                    waiter.wakes.fetch_add(1, LoomOrdering::AcqRel);
                }
                Published::Gone => self.free(),
            }
        }

        fn free(&self) {
            // SAFETY: only one party frees; loom checks.
            assert_eq!(self.answer.with_mut(|answer| unsafe { (*answer).take() }), Some(7));
            self.frees.fetch_add(1, LoomOrdering::AcqRel);
        }

        fn write_note(&self) {
            // SAFETY: not registered yet, so it is the caller's; loom checks.
            self.waiter.note.with_mut(|note| unsafe { *note = 1 });
        }
    }

    #[test]
    fn loom_an_answer_is_received_once_and_its_waiter_woken() {
        loom::model(|| {
            let shared = Shared::new();
            let server = {
                let shared = shared.clone();
                thread::spawn(move || shared.serve())
            };
            let mut woken_by = 0;
            match shared.word.look() {
                Look::Ready => {}
                Look::Waiting => panic!("nobody registered"),
                Look::Empty => {
                    shared.write_note();
                    if shared.word.register(shared.waiter()) {
                        while shared.waiter.wakes.load(LoomOrdering::Acquire) == 0 {
                            thread::yield_now();
                        }
                        woken_by = 1;
                        assert_eq!(shared.word.look(), Look::Ready);
                    }
                }
            }
            shared.free();
            server.join().unwrap();
            assert_eq!(shared.waiter.wakes.load(LoomOrdering::Relaxed), woken_by);
            assert_eq!(shared.frees.load(LoomOrdering::Relaxed), 1);
        });
    }

    #[test]
    fn loom_a_caller_that_leaves_never_frees_under_the_server() {
        loom::model(|| {
            let shared = Shared::new();
            let server = {
                let shared = shared.clone();
                thread::spawn(move || shared.serve())
            };
            shared.write_note();
            let registered =
                shared.word.look() == Look::Empty && shared.word.register(shared.waiter());
            match shared.word.abandon() {
                Abandoned::Ready => shared.free(),
                Abandoned::Left(waiter) => assert_eq!(waiter.is_some(), registered),
            }
            server.join().unwrap();
            assert_eq!(
                shared.frees.load(LoomOrdering::Relaxed),
                1,
                "freed once, by one of the two"
            );
        });
    }

    #[test]
    fn loom_a_waiter_is_replaced_or_woken_never_both() {
        loom::model(|| {
            let shared = Shared::new();
            shared.write_note();
            assert!(shared.word.register(shared.waiter()));
            let server = {
                let shared = shared.clone();
                thread::spawn(move || shared.serve())
            };
            let given_back = shared.word.unregister().is_some();
            server.join().unwrap();
            let woken = shared.waiter.wakes.load(LoomOrdering::Relaxed) == 1;
            assert_ne!(given_back, woken);
            assert_eq!(shared.word.look(), Look::Ready);
            shared.free();
        });
    }
}
