//! Servers whose callbacks never give their worker back, or block it: others are served meanwhile.
//!
//! The proof is never a time: what computes or blocks ends only when the test lets it, and that is after others were served.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use linden::prelude::*;
use linden::{ExitEvent, ExitListener, NodeOptions};

const WORKERS: usize = 2;

/// What holds a worker, until the test lets it go.
#[derive(Clone, Default)]
struct Leash {
    is_off: Arc<AtomicBool>,
    /// Held by the test while it is on.
    lock: Arc<Mutex<()>>,
    /// Callbacks that have begun.
    begun: Arc<AtomicUsize>,
}

impl Leash {
    fn compute(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        while !self.is_off.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    }

    fn sleep(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        while !self.is_off.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn lock(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        drop(self.lock.lock());
    }

    fn read_a_pipe(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let (mut reader, writer) = std::io::pipe().expect("the system gives a pipe");
        let lock = self.lock.clone();
        let writes = std::thread::spawn(move || {
            drop(lock.lock());
            drop(writer);
        });
        let read = std::io::Read::read(&mut reader, &mut [0]);
        assert_eq!(read.expect("a pipe can be read"), 0);
        writes.join().expect("it does not panic");
    }
}

/// Has the states of servers that crash shown.
struct WantsDetail;

impl ExitListener for WantsDetail {
    fn process_exited(&self, _: &ExitEvent<'_>) {}
}

/// Where a server holds its worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Init,
    Call,
    AsyncHandler,
    Info,
    Continue,
    Timeout,
    Terminate,
    StateShown,
}

struct Holder {
    place: Place,
    hold: fn(&Leash),
    leash: Leash,
}

/// For the report of its crash.
impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at(Place::StateShown);
        f.write_str("Holder")
    }
}

impl Holder {
    fn at(&self, place: Place) {
        if self.place == place {
            (self.hold)(&self.leash);
        }
    }
}

#[gen_server]
impl Holder {
    #[init]
    async fn begin(&mut self, cx: &mut Context<Self>) -> Result<(), Stop> {
        self.at(Place::Init);
        match self.place {
            Place::Info => drop(cx.start_timer(Duration::ZERO)),
            Place::Continue => cx.continue_(),
            Place::Timeout => cx.set_timeout(Duration::ZERO),
            _ => {}
        }
        Ok(())
    }

    #[call]
    fn poke(&mut self, cx: &mut Context<Self>) {
        self.at(Place::Call);
        match self.place {
            Place::Terminate => cx.stop(Reason::Normal),
            Place::StateShown => panic!("its state is shown"),
            _ => {}
        }
    }

    #[cast]
    async fn poke_later(&mut self) {
        tokio::task::yield_now().await;
        self.at(Place::AsyncHandler);
    }

    #[info]
    async fn hear(&mut self, _: Info) {
        self.at(Place::Info);
    }

    #[continues]
    async fn go_on(&mut self) {
        self.at(Place::Continue);
    }

    #[timeout]
    async fn wait_no_longer(&mut self) {
        self.at(Place::Timeout);
    }

    #[terminate]
    async fn end(&mut self, _: &Reason) {
        self.at(Place::Terminate);
    }
}

#[derive(Default, Debug)]
struct Counter(u32);

#[gen_server]
impl Counter {
    #[call]
    fn count(&mut self) -> u32 {
        self.0 += 1;
        self.0
    }
}

/// Lets as many servers as there are workers hold theirs at this place, and asks another one.
fn check(place: Place, hold: fn(&Leash)) {
    let options = NodeOptions {
        workers: WORKERS,
        // A state is shown to it.
        exit_listener: Some(Arc::new(WantsDetail)),
        ..NodeOptions::default()
    };
    let node = Node::start(options).expect("the system gives threads");
    let counter = node.block_on(Counter::start_on(&node, Counter::default)).expect("it starts");
    let leash = Leash::default();
    let held = leash.lock.lock().expect("nobody panics with it");
    {
        let _inside = node.enter();
        for _ in 0..WORKERS {
            let leash = leash.clone();
            drop(Task::spawn_unlinked(async move {
                let make = move || Holder { place, hold, leash: leash.clone() };
                let holder = Holder::start(make).await.expect("it starts");
                // A message that comes sooner is no timeout.
                if place != Place::Timeout {
                    holder.poke_later();
                    let _ = holder.poke().await;
                }
            }));
        }
    }
    while leash.begun.load(Ordering::SeqCst) < WORKERS {
        std::thread::yield_now();
    }
    for count in 1..=3 {
        assert_eq!(node.block_on(async { counter.count().await }), Ok(count), "{place:?}");
    }
    leash.is_off.store(true, Ordering::Relaxed);
    drop(held);
    node.stop(Duration::from_secs(5));
}

// proves: FAIR-01
#[test]
fn a_callback_that_computes_without_end_hinders_nobody() {
    use Place::{AsyncHandler, Call, Continue, Info, Init, StateShown, Terminate, Timeout};
    for place in [Init, Call, AsyncHandler, Info, Continue, Timeout, Terminate, StateShown] {
        check(place, Leash::compute);
    }
}

// proves: FAIR-03
#[test]
fn a_callback_that_blocks_its_thread_hinders_nobody() {
    for hold in [Leash::sleep, Leash::lock, Leash::read_a_pipe] {
        for place in [Place::Init, Place::Call, Place::AsyncHandler, Place::Terminate] {
            check(place, hold);
        }
    }
}

/// Computes when it is told to, for ever or until the test lets it go.
struct Worker {
    leash: Leash,
}

#[gen_server(name = "worker")]
impl Worker {
    #[cast]
    fn compute(&mut self) {
        self.leash.compute();
    }

    #[call]
    fn answer(&mut self) {}
}

// proves: FAIR-07
#[test]
fn a_supervisor_replaces_or_stops_a_child_that_computes_without_end() {
    let options = NodeOptions { workers: WORKERS, ..NodeOptions::default() };
    let node = Node::start(options).expect("the system gives threads");
    let leash = Leash::default();
    let make = {
        let leash = leash.clone();
        move || Worker { leash: leash.clone() }
    };
    let spec = child("worker", make)
        .shutdown(linden::supervisor::decision::Shutdown::Timeout(Duration::from_millis(20)));
    let supervisor = Supervisor::one_for_one().intensity(10, Duration::from_secs(1)).child(spec);
    let supervisor = node.block_on(async {
        let _inside = node.enter();
        supervisor.start().await.expect("it starts")
    });
    let worker = WorkerClient::from(linden::named_on::<Worker>(&node));
    node.block_on(async { worker.answer().await }).expect("it answers");
    let first = node.whereis("worker").expect("it lives");
    // Killed by somebody, it is restarted under its name.
    worker.compute();
    while leash.begun.load(Ordering::SeqCst) < 1 {
        std::thread::yield_now();
    }
    node.exit(first, Reason::Kill);
    while node.whereis("worker").is_none_or(|pid| pid == first)
        || node.block_on(async { worker.answer().await }).is_err()
    {
        std::thread::yield_now();
    }
    let second = node.whereis("worker").expect("it lives");
    assert_ne!(first, second);
    // Its supervisor notes it when it has heard that the start is through.
    while node.process(second).expect("it lives").restarts != 1 {
        std::thread::yield_now();
    }
    assert_eq!(node.fairness().zombies, 1);
    // Told to stop, it does not; its supervisor kills it when its time is up.
    worker.compute();
    while leash.begun.load(Ordering::SeqCst) < 2 {
        std::thread::yield_now();
    }
    node.block_on(async { supervisor.terminate_child("worker").await }).expect("it is stopped");
    assert!(!node.is_alive(second));
    assert_eq!(node.fairness().zombies, 2);
    leash.is_off.store(true, Ordering::Relaxed);
    let report = node.stop(Duration::from_secs(5));
    assert!(report.zombies.is_empty(), "{report:?}");
}
