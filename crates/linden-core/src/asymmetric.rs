//! A pair of fences of which the frequent one is free, and the rare one pays for both.
//!
//! Two threads each write one place and then read the other's: at least one must see the other's write. With ordinary fences
//! both pay some 20 cycles each time. Here the frequent side only keeps the compiler from reordering, and the rare side makes
//! the kernel interrupt every running thread of the program with a full fence (`membarrier`, Linux 4.14 and newer), which
//! falls before or after each pair of accesses on the other side. Where the kernel cannot, both sides are ordinary fences.

#[cfg(not(loom))]
use std::sync::atomic::{Ordering, compiler_fence, fence};

/// One pair. Made before either side uses it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsymmetricFence {
    #[cfg(not(loom))]
    by_kernel: bool,
}

#[cfg(not(loom))]
impl AsymmetricFence {
    pub(crate) fn new() -> Self {
        Self { by_kernel: kernel::register() }
    }

    /// The frequent side's, between its write and its read.
    #[inline(always)]
    pub(crate) fn light(self) {
        if self.by_kernel {
            compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
    }

    /// The rare side's, between its write and its read. `false`: the kernel refused, and the pair gives no guarantee this time.
    #[must_use]
    pub(crate) fn heavy(self) -> bool {
        fence(Ordering::SeqCst);
        !self.by_kernel || kernel::interrupt_all()
    }
}

/// loom knows no `membarrier`: in a model both sides are full fences, which is what the pair promises.
#[cfg(loom)]
impl AsymmetricFence {
    pub(crate) fn new() -> Self {
        Self {}
    }

    pub(crate) fn light(self) {
        if !cfg!(linden_weaken = "lifo_light_fence") {
            crate::sync::fence(crate::sync::Ordering::SeqCst);
        }
    }

    #[must_use]
    pub(crate) fn heavy(self) -> bool {
        if !cfg!(linden_weaken = "lifo_heavy_fence") {
            crate::sync::fence(crate::sync::Ordering::SeqCst);
        }
        true
    }
}

#[cfg(all(not(loom), target_os = "linux"))]
mod kernel {
    use rustix::thread::{MembarrierCommand, membarrier};

    /// Asks for the right to interrupt; asking again does no harm.
    pub(super) fn register() -> bool {
        membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok()
    }

    pub(super) fn interrupt_all() -> bool {
        membarrier(MembarrierCommand::PrivateExpedited).is_ok()
    }
}

#[cfg(all(not(loom), not(target_os = "linux")))]
mod kernel {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn interrupt_all() -> bool {
        false
    }
}
