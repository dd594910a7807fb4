//! Where lines wait for whoever reads them: a bounded queue and a thread that empties it.
//!
//! Standard error may be a pipe that nobody empties or a terminal that is held. Who logs must not wait for that: it would
//! stop the process and the worker under it, and soon the node. So only the thread here waits. Beyond the bound lines are
//! dropped and counted, and the log says how many once it goes on.
//!
//! The locks are held for a copy only.

use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of lines that wait at most. A single longer line is taken when nothing waits.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// See the head of this file.
pub(super) struct Outlet {
    queue: Mutex<Queue>,
    /// There are lines to be written.
    filled: Condvar,
    /// All lines are written.
    emptied: Condvar,
}

#[derive(Debug, PartialEq, Eq)]
struct Queue {
    lines: String,
    /// Lines since the last one that was taken.
    dropped: u64,
    writer: Writer,
}

/// The thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    NotStarted,
    /// All is written.
    Idle,
    /// It has lines in hand.
    Writing,
    /// The system gave no thread: who logs writes, and waits.
    Impossible,
}

impl Outlet {
    pub(super) const fn new() -> Self {
        let queue = Queue { lines: String::new(), dropped: 0, writer: Writer::NotStarted };
        Self { queue: Mutex::new(queue), filled: Condvar::new(), emptied: Condvar::new() }
    }

    /// Hands a line over, never waiting for its reader. `notice` makes the line that tells of lines that were dropped.
    pub(super) fn write<W: Write + 'static>(
        &'static self,
        line: &str,
        notice: impl FnOnce(u64) -> String,
        sink: fn() -> W,
    ) {
        let mut queue = self.queue();
        if queue.writer == Writer::NotStarted {
            queue.writer = self.start(sink);
        }
        if queue.writer == Writer::Impossible {
            drop(queue);
            // A log that cannot be written must not stop the node.
            let _ = sink().write_all(line.as_bytes());
            return;
        }
        if !queue.lines.is_empty() && queue.lines.len() + line.len() > WAITING_BYTES_MAX {
            queue.dropped += 1;
            return;
        }
        if queue.dropped > 0 {
            let dropped = std::mem::take(&mut queue.dropped);
            queue.lines.push_str(&notice(dropped));
        }
        queue.lines.push_str(line);
        self.filled.notify_one();
    }

    /// Waits until all lines are written, or for this time.
    pub(super) fn flush(&self, patience: Duration) {
        let is_busy = |queue: &mut Queue| {
            queue.writer == Writer::Writing
                || queue.writer == Writer::Idle && !queue.lines.is_empty()
        };
        let waited = self.emptied.wait_timeout_while(self.queue(), patience, is_busy);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn start<W: Write + 'static>(&'static self, sink: fn() -> W) -> Writer {
        let thread = std::thread::Builder::new().name("linden-log".to_owned());
        match thread.spawn(move || self.write_for_ever(sink)) {
            Ok(_) => Writer::Idle,
            Err(_) => Writer::Impossible,
        }
    }

    fn write_for_ever<W: Write>(&self, sink: fn() -> W) {
        loop {
            let lines = self.take();
            let _ = sink().write_all(lines.as_bytes());
        }
    }

    /// All lines that wait, once there are some.
    fn take(&self) -> String {
        let mut queue = self.queue();
        queue.writer = Writer::Idle;
        if queue.lines.is_empty() {
            self.emptied.notify_all();
        }
        let nothing = |queue: &mut Queue| queue.lines.is_empty();
        let waited = self.filled.wait_while(queue, nothing);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
        queue.writer = Writer::Writing;
        std::mem::take(&mut queue.lines)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A reader that takes one piece whenever it is told to.
    struct Held {
        may_take: Receiver<()>,
        taken: Sender<String>,
    }

    static HELD: Mutex<Option<Held>> = Mutex::new(None);

    struct Sink;

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let held = HELD.lock().expect("nobody panics with it");
            let held = held.as_ref().expect("it is there");
            let gone = |_| io::Error::other("the test is over");
            held.may_take.recv().map_err(|error| gone(error.to_string()))?;
            let text = String::from_utf8(bytes.to_vec()).expect("text");
            held.taken.send(text).map_err(|error| gone(error.to_string()))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn notice(dropped: u64) -> String {
        format!("{dropped} dropped\n")
    }

    // proves: APP-13
    #[test]
    fn who_logs_does_not_wait_for_the_reader_and_what_is_dropped_is_told() {
        static OUTLET: Outlet = Outlet::new();
        let (take, may_take) = channel();
        let (taken, takes) = channel();
        *HELD.lock().expect("nobody panics with it") = Some(Held { may_take, taken });
        let write = |line: &str| OUTLET.write(line, notice, || Sink);
        write("first\n");
        // Until the thread has it in hand, and waits for the reader.
        while !OUTLET.queue().lines.is_empty() {
            std::thread::yield_now();
        }
        let half = "x".repeat(WAITING_BYTES_MAX / 2 - 1) + "\n";
        for line in [&half, &half, "lost\n", "lost too\n"] {
            write(line);
        }
        assert_eq!(OUTLET.queue().dropped, 2);
        // It gives up: the reader takes nothing.
        OUTLET.flush(Duration::from_millis(1));
        let next = || {
            take.send(()).expect("the thread waits");
            takes.recv().expect("the thread writes")
        };
        assert_eq!(next(), "first\n");
        assert_eq!(next(), half.repeat(2));
        write("last\n");
        assert_eq!(next(), "2 dropped\nlast\n");
        OUTLET.flush(Duration::MAX);
        assert_eq!(OUTLET.queue().writer, Writer::Idle);
    }
}
