//! What a worker counts while a process runs on it, until it is booked on the process's account.

use std::cell::Cell;

/// Of one activation. Touched by its worker only.
#[derive(Default, Debug)]
pub(crate) struct Tally {
    /// Messages sent and not booked.
    sent: Cell<u32>,
    /// News read, which count against the budget of messages and are none.
    news: Cell<u32>,
    /// Messages read that are booked.
    booked: Cell<u32>,
}

impl Tally {
    /// A new activation begins.
    pub(crate) fn begin(&self) {
        self.sent.set(0);
        self.news.set(0);
        self.booked.set(0);
    }

    #[inline]
    pub(crate) fn send(&self) {
        self.sent.set(self.sent.get() + 1);
    }

    pub(crate) fn read_news(&self) {
        self.news.set(self.news.get() + 1);
    }

    /// Messages sent since this was asked last.
    pub(crate) fn take_sent(&self) -> u32 {
        self.sent.take()
    }

    /// Messages read since this was asked last, when so much mail was read in the activation.
    pub(crate) fn newly_read(&self, mail: u32) -> u32 {
        let read = mail.saturating_sub(self.news.get());
        read.saturating_sub(self.booked.replace(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_counted_once_and_news_are_none() {
        let tally = Tally::default();
        tally.begin();
        assert_eq!((tally.newly_read(3), tally.newly_read(3)), (3, 0));
        tally.read_news();
        assert_eq!((tally.newly_read(5), tally.newly_read(6)), (1, 1));
        tally.send();
        tally.send();
        assert_eq!((tally.take_sent(), tally.take_sent()), (2, 0));
        tally.begin();
        assert_eq!(tally.newly_read(1), 1);
    }
}
