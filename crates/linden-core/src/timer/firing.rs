//! What a node does when it arms a timer, and when one is due.

use crate::cell::Refused;
use crate::dead_letters::{DeadLetterReason, DeadLetterTarget};
use crate::envelope::Letter;
use crate::hook::wake_guarded;
use crate::id::{LocalPid, Pid};
use crate::node::NodeInner;
use crate::signal::Signal;
use crate::timer::{Armed, Interval, Receiver, TimerEntry};

impl NodeInner {
    /// Arms a timer, and wakes whoever sleeps beyond it.
    pub(crate) fn arm(&self, deadline: u64, entry: TimerEntry) -> Armed {
        let armed = self.timers.arm(deadline, entry);
        if let Armed::Earliest(_) = armed
            && let Some(worker) = self.driving.sleeper_beyond(deadline)
        {
            self.remotes[worker].unpark();
        }
        armed
    }

    /// Does what a timer was armed for.
    pub(crate) fn fire(&self, deadline: u64, entry: TimerEntry) {
        match entry {
            TimerEntry::WakeProcess(local) => {
                if let Some(cell) = self.table.get(local) {
                    cell.wake();
                }
            }
            TimerEntry::WakeTask(waker) => wake_guarded(waker),
            TimerEntry::Deliver { to, letter } => {
                self.post(&to, letter);
            }
            TimerEntry::DeliverEvery(interval) => self.fire_interval(deadline, interval),
            TimerEntry::Inform { to, info } => self.signal(to, Signal::Info(info)),
        }
    }

    /// One turn of an interval, and the next one armed. The copy, and the drop of one that nobody takes, are the user's code,
    /// which may cancel this very interval: its slot is not locked meanwhile.
    fn fire_interval(&self, deadline: u64, interval: Interval) {
        if interval.slot.lock().is_none() {
            return;
        }
        let is_taken = self.post(&interval.to, interval.letter.copy());
        let slot = interval.slot.clone();
        let mut key = slot.lock();
        // Cancelled meanwhile, or the receiver is gone: the interval ends.
        if key.is_none() || !is_taken {
            *key = None;
            return;
        }
        let next = deadline.saturating_add(interval.every).max(self.timers.now() + 1);
        *key = Some(self.arm(next, TimerEntry::DeliverEvery(interval)).key());
    }

    /// Posts a timer's message. Says whether anybody may read it.
    fn post(&self, to: &Receiver, letter: Letter) -> bool {
        match to {
            Receiver::Own(local) => self.post_here(*local, letter),
            Receiver::Neighbour(node, local) => node.inner().post_here(*local, letter),
            Receiver::Remote(remote) => remote.send(letter).is_ok(),
        }
    }

    /// Posts a message to a process of this node; notes it when there is none, or no room. Says whether the process lives.
    fn post_here(&self, to: LocalPid, letter: Letter) -> bool {
        let message = (letter.ops.type_name)();
        let refused = match self.table.get(to) {
            Some(cell) => cell.post(letter).err(),
            None => Some(Refused::Dead(letter)),
        };
        let reason = match refused {
            None => return true,
            Some(Refused::Full(_)) => DeadLetterReason::MailboxFull,
            Some(Refused::Dead(_)) => DeadLetterReason::NoProcess,
        };
        self.dead_letter(reason, DeadLetterTarget::Process(Pid::new(self.id, to)), message);
        reason == DeadLetterReason::MailboxFull
    }
}
