//! Fetching the memory of a large future while its first lines are looked at.
//!
//! A process that waited its turn behind many others has left the cache. Its future is read here and there, one miss after
//! the other; asked for at once, the lines come together. Small futures, and those that are in the cache, gain nothing.

/// Bytes from which on a future is fetched ahead.
const LARGE: usize = 512;
/// Bytes that are fetched ahead at most: a core has only so many requests under way.
const AHEAD_MAX: usize = 4096;
/// Bytes of a cache line, on nearly all machines.
const LINE: usize = 64;

/// Asks for the memory behind `future`, if it is large. A hint: it reads nothing, and does nothing where there is none.
#[inline(always)]
pub(crate) fn fetch_ahead<F>(future: *const F) {
    if const { size_of::<F>() < LARGE } {
        return;
    }
    let first = future.cast::<i8>();
    for line in (0..const { if size_of::<F>() < AHEAD_MAX { size_of::<F>() } else { AHEAD_MAX } })
        .step_by(LINE)
    {
        hint(first.wrapping_add(line));
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
fn hint(place: *const i8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch reads nothing that the program could see and faults for no address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(place) };
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[inline(always)]
fn hint(_place: *const i8) {}
