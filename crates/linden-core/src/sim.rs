//! The simulator: the shipping scheduler on one thread, with a virtual clock and a seeded choice of what runs next.
//!
//! Everything but the choice is the code that ships: cells, mailboxes, activations, timers, the reactor. Time is tokio's
//! paused clock, which jumps to the next deadline when nothing can run.
#![cfg_attr(not(feature = "sim"), expect(dead_code, reason = "used by the simulator alone"))]

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

use crate::cell::Header;
use crate::queue::Task;

/// What is due in a simulated node, in no order.
#[derive(Debug)]
pub(crate) struct ReadySet {
    tasks: RefCell<Vec<Task>>,
    random: Cell<u64>,
}

impl ReadySet {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            tasks: RefCell::new(Vec::new()),
            // An xorshift must not start at 0.
            random: Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d),
        }
    }

    pub(crate) fn push(&self, task: Task) {
        self.tasks.borrow_mut().push(task);
    }

    /// Takes one by the seed's choice.
    pub(crate) fn pick(&self) -> Option<NonNull<Header>> {
        let mut tasks = self.tasks.borrow_mut();
        if tasks.is_empty() {
            return None;
        }
        let choice = self.next_random() as usize % tasks.len();
        Some(tasks.swap_remove(choice).0)
    }

    fn next_random(&self) -> u64 {
        let mut state = self.random.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.random.set(state);
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

#[cfg(feature = "sim")]
pub use simulation::Simulation;

#[cfg(feature = "sim")]
mod simulation {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Poll, Wake, Waker};
    use std::time::Duration;

    use super::ReadySet;
    use crate::duty::Duty;
    use crate::hook;
    use crate::node::{Clock, Node};
    use crate::options::NodeOptions;
    use crate::reactor::Reactor;
    use crate::reason::Reason;
    use crate::remote::Remote;
    use crate::timer::TimerEntry;
    use crate::worker::{Queue, Worker};

    /// Virtual time without anything to run after which a simulation is taken for dead.
    const HORIZON: Duration = Duration::from_secs(30 * 24 * 3600);

    /// A node on one thread, whose interleaving and time follow from a seed.
    pub struct Simulation {
        worker: Worker,
        node: Node,
        seed: u64,
        steps: u64,
    }

    struct RootWaker {
        woken: AtomicBool,
        node: Node,
    }

    impl Wake for RootWaker {
        fn wake(self: Arc<Self>) {
            self.woken.store(true, Ordering::Release);
            self.node.inner().wake_sleeper();
        }
    }

    impl Simulation {
        /// A simulated node. The same seed and program give the same run, as long as the program takes nothing from outside:
        /// no sockets, threads, wall clock or random source of its own.
        ///
        /// # Panics
        /// When the operating system refuses the reactor.
        #[must_use]
        pub fn new(seed: u64) -> Self {
            let options = NodeOptions {
                name: "simulation@localhost".to_owned(),
                creation: Some(1),
                ..NodeOptions::default()
            };
            Self::with_options(seed, options)
        }

        /// As [`Simulation::new`]; the options' `workers` does not count.
        ///
        /// # Panics
        /// When the operating system refuses the reactor.
        #[must_use]
        pub fn with_options(seed: u64, mut options: NodeOptions) -> Self {
            hook::install();
            options.workers = 1;
            options.creation = options.creation.or(Some(1));
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .max_blocking_threads(options.blocking_threads_max)
                .build()
                .expect("the operating system gives a reactor");
            let runtime = Arc::new(runtime);
            let start = {
                let _inside = runtime.enter();
                tokio::time::Instant::now()
            };
            let node = Node::assemble(
                NodeOptions { workers: 1, ..options },
                &runtime,
                vec![Remote::new(None, Duty::on_duty())],
                Clock::Virtual(start),
                true,
            );
            let reactor = Reactor { runtime, start };
            let queue = Queue::Simulated(ReadySet::new(seed));
            let worker = Worker::new(node.own_share(), 0, queue, reactor);
            Self { worker, node, seed, steps: 0 }
        }

        /// The simulated node.
        #[must_use]
        pub fn node(&self) -> &Node {
            &self.node
        }

        /// The seed that the run follows from.
        #[must_use]
        pub fn seed(&self) -> u64 {
            self.seed
        }

        /// Activations so far: two runs of one seed take the same number.
        #[must_use]
        pub fn steps(&self) -> u64 {
            self.steps
        }

        /// Runs the node until the future ends.
        ///
        /// # Panics
        /// When nothing can run any more and no timer is armed: a deadlock. The message names the processes and the seed.
        pub fn run<F: Future>(&mut self, future: F) -> F::Output {
            let _inside = self.node.clone();
            let _inside = _inside.enter();
            let root =
                Arc::new(RootWaker { woken: AtomicBool::new(true), node: self.node.clone() });
            let waker = Waker::from(root.clone());
            let mut future = pin!(future);
            loop {
                if root.woken.swap(false, Ordering::Acquire)
                    && let Poll::Ready(output) =
                        future.as_mut().poll(&mut Context::from_waker(&waker))
                {
                    return output;
                }
                if !self.step() && !root.woken.load(Ordering::Acquire) {
                    self.advance(&waker);
                }
            }
        }

        /// Runs one process that is due, if one is.
        fn step(&mut self) -> bool {
            let Queue::Simulated(ready) = &self.worker.queue else {
                unreachable!("a simulation has a ready set");
            };
            while let Some(task) = self.node.inner().injector.pop() {
                ready.push(crate::queue::Task(task));
            }
            let Some(task) = ready.pick() else {
                return false;
            };
            self.steps += 1;
            self.worker.enter(|| self.worker.activate(task));
            if self.steps.is_multiple_of(64) {
                self.worker.enter(|| self.worker.reactor().poll_now(&self.worker));
            }
            true
        }

        /// Nothing can run: time goes on. `root` wakes whoever sleeps at the end of all time.
        fn advance(&self, root: &Waker) {
            let inner = self.node.inner();
            inner.update_clock();
            self.worker.enter(|| self.worker.fire_due_timers());
            let horizon = inner.timers.now() + HORIZON.as_millis() as u64;
            let alarm = inner.arm(horizon, TimerEntry::WakeTask(root.clone())).key();
            self.worker.enter(|| {
                self.worker.sleep();
                inner.update_clock();
                self.worker.fire_due_timers();
            });
            inner.timers.cancel(alarm);
            assert!(
                inner.timers.now() < horizon,
                "nothing can run any more (seed {}): a deadlock among {:#?}",
                self.seed,
                self.node.processes()
            );
        }
    }

    impl Drop for Simulation {
        /// Kills what still lives, so that every process ends with a reason.
        fn drop(&mut self) {
            let node = self.node.clone();
            let _inside = node.enter();
            // What is spawned from outside from now on never lives: nobody would run it.
            node.inner().life.closed.store(true, Ordering::SeqCst);
            while node.process_count() > 0 {
                for row in node.processes() {
                    node.exit(row.pid, Reason::Kill);
                }
                if !self.step() {
                    break;
                }
                while self.step() {}
            }
            node.inner().quit();
            node.inner().timers.clear();
            *node.inner().life.runtime.lock() = None;
        }
    }
}
