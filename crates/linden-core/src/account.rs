//! The account of one process: what it has done, as observers read it at any time without asking it.
//!
//! Most processes of a large node have done next to nothing, so the account of a new one is packed into the word that leads to
//! it: small figures, and when it was started. When one of them outgrows its bits the account moves into a box of 64 bytes, for
//! good. While it is packed the owner and the watch change it by compare-and-swap; in the box each figure has one writer.
//! Readers hold a count of the cell, which frees the box. Figures of one reading may be of different moments.

use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::counts::{add, nanos};

/// What counts as one unit of [`Figures::started`].
pub(crate) const START_UNIT: Duration = Duration::from_millis(100);

/// The figures of one account.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Figures {
    /// When the process was spawned, since the node's start, in units of [`START_UNIT`]. 31 bits: 6.8 years.
    pub(crate) started: u32,
    pub(crate) activations: u64,
    pub(crate) reductions: u64,
    /// Messages taken from the mailbox.
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// Messages taken and not yet read.
    pub(crate) unread: u32,
    /// The most that ever were.
    pub(crate) peak: u32,
    pub(crate) restarts: u32,
    pub(crate) processor_time: Duration,
    /// Bytes allocated while it ran, less bytes freed.
    pub(crate) memory: i64,
}

/// See the head of this file. Figures with bit 0 set, or a box.
#[derive(Debug)]
pub(crate) struct Account(AtomicPtr<Large>);

/// An account that has outgrown the word.
#[derive(Debug)]
struct Large {
    started: u32,
    /// By whoever starts the process.
    restarts: AtomicU32,
    // By the owner.
    activations: AtomicU64,
    reductions: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    unread: AtomicU32,
    peak: AtomicU32,
    memory: AtomicI64,
    /// By the watch.
    processor_nanos: AtomicU64,
}

/// Bit 0 of a word with figures in it; the address of a box is even.
const PACKED: u64 = 1;
/// The figures of a packed account and their bits, from bit 1 on.
const STARTED_BITS: u32 = 31;
const ACTIVATIONS_BITS: u32 = 5;
const REDUCTIONS_BITS: u32 = 8;
const RECEIVED_BITS: u32 = 5;
const SENT_BITS: u32 = 5;
const UNREAD_BITS: u32 = 5;
const PEAK_BITS: u32 = 4;

impl Figures {
    /// As a word; `None` when a figure is too large.
    fn pack(&self) -> Option<u64> {
        let fields = [
            (u64::from(self.started), STARTED_BITS),
            (self.activations, ACTIVATIONS_BITS),
            (self.reductions, REDUCTIONS_BITS),
            (self.received, RECEIVED_BITS),
            (self.sent, SENT_BITS),
            (u64::from(self.unread), UNREAD_BITS),
            (u64::from(self.peak), PEAK_BITS),
        ];
        let mut word = PACKED;
        let mut shift = 1;
        for (value, bits) in fields {
            if value >> bits != 0 {
                return None;
            }
            word |= value << shift;
            shift += bits;
        }
        let is_small = self.restarts == 0 && self.processor_time.is_zero() && self.memory == 0;
        is_small.then_some(word)
    }

    fn unpack(word: u64) -> Self {
        let mut rest = word >> 1;
        let mut next = |bits: u32| {
            let value = rest & ((1 << bits) - 1);
            rest >>= bits;
            value
        };
        Self {
            started: next(STARTED_BITS) as u32,
            activations: next(ACTIVATIONS_BITS),
            reductions: next(REDUCTIONS_BITS),
            received: next(RECEIVED_BITS),
            sent: next(SENT_BITS),
            unread: next(UNREAD_BITS) as u32,
            peak: next(PEAK_BITS) as u32,
            ..Self::default()
        }
    }

    fn took(&mut self, messages: u32, read: u32) {
        self.received += u64::from(messages);
        self.unread = self.unread.saturating_sub(read).saturating_add(messages);
        self.peak = self.peak.max(self.unread);
    }

    fn ran(&mut self, reductions: u32, read: u32, sent: u32) {
        self.activations += 1;
        self.reductions += u64::from(reductions);
        self.unread = self.unread.saturating_sub(read);
        self.sent += u64::from(sent);
    }
}

impl Account {
    /// Of a process that is started now.
    pub(crate) fn new(started: u32) -> Self {
        let started = started & ((1 << STARTED_BITS) - 1);
        let word = Figures { started, ..Figures::default() }.pack();
        Self(AtomicPtr::new(pointer(word.expect("a fresh account is small"))))
    }

    /// The owner has taken messages from the mailbox, and read some since it said so last.
    #[inline]
    pub(crate) fn took(&self, messages: u32, read: u32) {
        match self.large() {
            Some(large) => large.took(messages, read),
            None => self
                .change(|figures| figures.took(messages, read), |large| large.took(messages, read)),
        }
    }

    /// The owner's activation is over, or goes on as another one.
    #[inline]
    pub(crate) fn ran(&self, reductions: u32, read: u32, sent: u32) {
        match self.large() {
            Some(large) => large.ran(reductions, read, sent),
            None => self.change(
                |figures| figures.ran(reductions, read, sent),
                |large| large.ran(reductions, read, sent),
            ),
        }
    }

    /// The owner has run the process's code, which has allocated so many bytes more than it freed.
    pub(crate) fn allocated(&self, bytes: i64) {
        self.change(|figures| figures.memory += bytes, |large| large.allocated(bytes));
    }

    /// The process has used so much of a processor. The watch's.
    pub(crate) fn add_processor_time(&self, time: Duration) {
        self.change(
            |figures| figures.processor_time += time,
            |large| large.add_processor_time(time),
        );
    }

    /// How often the process's supervisor had restarted it before it started this one.
    pub(crate) fn set_restarts(&self, restarts: u32) {
        self.change(
            |figures| figures.restarts = restarts,
            |large| large.restarts.store(restarts, Ordering::Relaxed),
        );
    }

    pub(crate) fn read(&self) -> Figures {
        let word = self.0.load(Ordering::Acquire);
        match Self::large_of(word) {
            Some(large) => large.read(),
            None => Figures::unpack(number(word)),
        }
    }

    fn large(&self) -> Option<&Large> {
        Self::large_of(self.0.load(Ordering::Acquire))
    }

    fn large_of<'a>(word: *mut Large) -> Option<&'a Large> {
        if number(word) & PACKED != 0 {
            return None;
        }
        // SAFETY: a word without the bit is a box that `change` has put there; it is freed with the account alone, which the
        // callers outlive no reference of.
        Some(unsafe { &*word })
    }

    /// Changes the account where it is, and gives it a box when it outgrows the word.
    #[cold]
    #[inline(never)]
    fn change(&self, packed: impl Fn(&mut Figures), large: impl Fn(&Large)) {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            if let Some(boxed) = Self::large_of(word) {
                return large(boxed);
            }
            let mut figures = Figures::unpack(number(word));
            packed(&mut figures);
            let next = match figures.pack() {
                Some(next) => pointer(next),
                None => Box::into_raw(Box::new(Large::of(&figures))),
            };
            match self.0.compare_exchange(word, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => {
                    if number(next) & PACKED == 0 {
                        // SAFETY: made above, and seen by nobody.
                        drop(unsafe { Box::from_raw(next) });
                    }
                    word = now;
                }
            }
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let word = *self.0.get_mut();
        if number(word) & PACKED == 0 {
            // SAFETY: put there by `change` from a `Box`; nobody else has the account any more.
            drop(unsafe { Box::from_raw(word) });
        }
    }
}

impl Large {
    fn of(figures: &Figures) -> Self {
        Self {
            started: figures.started,
            restarts: AtomicU32::new(figures.restarts),
            activations: AtomicU64::new(figures.activations),
            reductions: AtomicU64::new(figures.reductions),
            received: AtomicU64::new(figures.received),
            sent: AtomicU64::new(figures.sent),
            unread: AtomicU32::new(figures.unread),
            peak: AtomicU32::new(figures.peak),
            memory: AtomicI64::new(figures.memory),
            processor_nanos: AtomicU64::new(nanos(figures.processor_time)),
        }
    }

    fn took(&self, messages: u32, read: u32) {
        add(&self.received, u64::from(messages));
        let unread = self.unread.load(Ordering::Relaxed);
        let unread = unread.saturating_sub(read).saturating_add(messages);
        self.unread.store(unread, Ordering::Relaxed);
        if unread > self.peak.load(Ordering::Relaxed) {
            self.peak.store(unread, Ordering::Relaxed);
        }
    }

    fn ran(&self, reductions: u32, read: u32, sent: u32) {
        add(&self.activations, 1);
        add(&self.reductions, u64::from(reductions));
        if read > 0 {
            let unread = self.unread.load(Ordering::Relaxed);
            self.unread.store(unread.saturating_sub(read), Ordering::Relaxed);
        }
        if sent > 0 {
            add(&self.sent, u64::from(sent));
        }
    }

    fn allocated(&self, bytes: i64) {
        self.memory.store(self.memory.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    }

    fn add_processor_time(&self, time: Duration) {
        self.processor_nanos.fetch_add(nanos(time), Ordering::Relaxed);
    }

    fn read(&self) -> Figures {
        Figures {
            started: self.started,
            activations: self.activations.load(Ordering::Relaxed),
            reductions: self.reductions.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            unread: self.unread.load(Ordering::Relaxed),
            peak: self.peak.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            processor_time: Duration::from_nanos(self.processor_nanos.load(Ordering::Relaxed)),
            memory: self.memory.load(Ordering::Relaxed),
        }
    }
}

fn pointer(packed: u64) -> *mut Large {
    ptr::without_provenance_mut(packed as usize)
}

fn number(word: *mut Large) -> u64 {
    word.addr() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_counts_the_same_in_the_word_and_in_the_box() {
        let account = Account::new(7);
        let mut expected = Figures { started: 7, ..Figures::default() };
        for round in 0..200_u32 {
            account.took(round % 7, round % 3);
            expected.took(round % 7, round % 3);
            account.ran(round, 1, 2);
            expected.ran(round, 1, 2);
            assert_eq!(account.read(), expected, "round {round}");
        }
        assert!(account.large().is_some(), "it has outgrown the word");
    }

    #[test]
    fn a_process_that_has_done_little_needs_no_box() {
        let account = Account::new(u32::MAX);
        for _ in 0..10 {
            account.took(1, 0);
            account.ran(3, 1, 1);
        }
        assert!(account.large().is_none());
        assert_eq!((account.read().received, account.read().peak), (10, 1));
        assert_eq!(account.read().started, u32::MAX >> 1);
    }

    #[test]
    fn what_the_watch_and_the_supervisor_say_is_kept() {
        for counted in [0, 100] {
            let account = Account::new(1);
            (0..counted).for_each(|_| account.ran(1, 0, 0));
            account.add_processor_time(Duration::from_millis(3));
            account.add_processor_time(Duration::from_millis(4));
            account.set_restarts(2);
            let read = account.read();
            assert_eq!(read.processor_time, Duration::from_millis(7));
            assert_eq!((read.restarts, read.activations), (2, counted));
        }
    }

    #[test]
    fn two_writers_lose_nothing_of_each_other() {
        for _ in 0..200 {
            let account = Account::new(1);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    (0..100).for_each(|_| account.add_processor_time(Duration::from_nanos(1)))
                });
                (0..100).for_each(|_| account.ran(1, 0, 0));
            });
            let read = account.read();
            assert_eq!(read.processor_time, Duration::from_nanos(100));
            assert_eq!((read.activations, read.reductions), (100, 100));
        }
    }
}
