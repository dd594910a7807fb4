//! The door to atomics, cells and threads: std in the shipping build, loom's under `--cfg loom`.
//!
//! Every protocol of this crate takes its atomics from here, so that loom explores the very code that ships.
//! [`order!`] names an ordering that a protocol relies on; `--cfg linden_weaken="NAME"` relaxes just that one, and the
//! loom test listed beside the name in `loom-weakenings.txt` must then fail (`cargo xtask test` checks it).

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};

#[cfg(not(loom))]
pub(crate) use parking_lot::Mutex;

#[cfg(loom)]
pub(crate) use self::loom_mutex::Mutex;

/// An ordering with a name by which a test build can weaken it to `Relaxed`.
macro_rules! order {
    ($name:literal, $ordering:ident) => {
        if cfg!(linden_weaken = $name) {
            $crate::sync::Ordering::Relaxed
        } else {
            $crate::sync::Ordering::$ordering
        }
    };
}
pub(crate) use order;

#[cfg(loom)]
mod loom_mutex {
    //! loom's mutex with `parking_lot`'s signature.

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().expect("no thread of a model panics while it holds the lock")
        }
    }
}

/// Tells the processor, or loom's scheduler, that this thread waits for another one.
pub(crate) fn spin_hint() {
    #[cfg(not(loom))]
    std::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}
