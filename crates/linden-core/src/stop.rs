//! Stopping a node: every process ends with a reason, then the threads end, then the runtime.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::hook::drop_guarded;
use crate::id::{LocalPid, Pid};
use crate::links::IdSet;
use crate::node::Node;
use crate::reason::Reason;
use crate::worker;

/// How long killed processes, and the code of zombies, may take to end. Those that do not are stuck in code that never awaits.
const KILL_WAIT: Duration = Duration::from_secs(5);
/// How long blocking work (`spawn_blocking`) may take to end.
const BLOCKING_WAIT: Duration = Duration::from_secs(5);

/// How a stop went.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct StopReport {
    /// Processes that were killed because they did not end within the grace.
    pub killed: Vec<Pid>,
    /// Processes that did not end even so: their threads are stuck and left behind.
    pub zombies: Vec<Pid>,
}

/// Takes one of the threads out, without holding the lock while it is waited for.
fn last_of(threads: &Mutex<Vec<JoinHandle<()>>>) -> Option<JoinHandle<()>> {
    threads.lock().pop()
}

impl Node {
    /// Stops the node: tells its processes to shut down, parents before the children that they do not stop themselves; kills
    /// what is left after `grace`; ends its threads and its runtime. Blocks. A second stop waits for the first.
    ///
    /// # Panics
    /// Inside a process of any node: it would wait for itself. Let code outside of processes stop the node.
    pub fn stop(&self, grace: Duration) -> StopReport {
        assert!(
            worker::current_process().is_none(),
            "a process cannot stop its node: it would wait for itself; stop it from outside of processes"
        );
        // On a thread of its own: a runtime may not be dropped inside another one's async code.
        let node = self.clone();
        std::thread::scope(|scope| {
            let stopping = scope.spawn(move || node.stop_here(grace));
            stopping.join().expect("stopping a node does not panic")
        })
    }

    fn stop_here(&self, grace: Duration) -> StopReport {
        let inner = self.inner();
        let _one_at_a_time = inner.life.stop_lock.lock();
        if inner.has_quit() {
            return StopReport::default();
        }
        let mut report = StopReport::default();
        self.shut_down(grace);
        inner.life.closed.store(true, Ordering::SeqCst);
        let end = Instant::now() + KILL_WAIT;
        if !self.all_ended() {
            report.killed = self.kill_all(end);
        }
        self.wait_for_zombies(end);
        report.zombies = inner.table.iter().map(|cell| cell.pid()).collect();
        report.zombies.extend(self.zombies());
        inner.quit();
        if report.zombies.is_empty() {
            // The watch may just have started one more; it is joined before those.
            while let Some(thread) = last_of(&inner.life.threads) {
                let _ = thread.join();
            }
        }
        inner.timers.clear();
        let pending = std::mem::take(&mut *inner.pending.lock());
        drop(pending);
        let transport = inner.transport.write().take();
        drop_guarded(transport);
        let runtime = inner.life.runtime.lock().take();
        if let Some(runtime) = runtime.and_then(Arc::into_inner) {
            runtime.shutdown_timeout(BLOCKING_WAIT);
        }
        report
    }

    fn all_ended(&self) -> bool {
        self.inner().live() == 0 && self.inner().table.iter().next().is_none()
    }

    /// Tells every process without a living parent to shut down, and waits; children whose parents ended are told next. A
    /// grace that goes beyond what the clock can say has no end.
    fn shut_down(&self, grace: Duration) {
        let end = Instant::now().checked_add(grace);
        let mut told: IdSet<LocalPid> = IdSet::default();
        let mut pause = Duration::from_micros(50);
        while !self.all_ended() && end.is_none_or(|end| Instant::now() < end) {
            for cell in self.inner().table.iter() {
                let parent_lives = self.inner().table.get(cell.parent).is_some();
                if !parent_lives && told.insert(cell.local) {
                    self.exit(cell.pid(), Reason::Shutdown);
                    pause = Duration::from_micros(50);
                }
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Waits for the code of processes that have ended without it.
    fn wait_for_zombies(&self, end: Instant) {
        while !self.zombies().is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn kill_all(&self, end: Instant) -> Vec<Pid> {
        let mut killed: IdSet<LocalPid> = IdSet::default();
        let mut pause = Duration::from_micros(50);
        while !self.all_ended() && Instant::now() < end {
            for cell in self.inner().table.iter() {
                if killed.insert(cell.local) {
                    self.exit(cell.pid(), Reason::Kill);
                }
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        killed.into_iter().map(|local| Pid::new(self.id(), local)).collect()
    }
}
