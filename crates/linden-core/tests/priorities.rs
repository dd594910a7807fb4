//! Priorities: who is begun first when several processes are ready.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use linden_core::{Cx, Mail, Message, Node, NodeOptions, Priority, ProcessQuery};

struct Go;

impl Message for Go {}

/// Keeps the one worker until all others are ready, so that nothing but their priorities orders them.
struct Gate {
    node: Node,
    open: Arc<AtomicBool>,
    began: Receiver<Priority>,
    tells: Arc<Mutex<Sender<Priority>>>,
}

impl Gate {
    fn build() -> Self {
        let node = Node::start(NodeOptions { workers: 1, ..NodeOptions::default() });
        let node = node.expect("the system gives threads");
        let (tells, began) = channel();
        Self { node, open: Arc::default(), began, tells: Arc::new(Mutex::new(tells)) }
    }

    fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
        let open = self.open.clone();
        let (closes, closed) = channel();
        self.node.spawn(move |_: Cx<()>| async move {
            let _ = closes.send(());
            while !open.load(Ordering::SeqCst) {
                std::hint::spin_loop();
            }
        });
        closed.recv().expect("it runs");
    }

    /// A process that says when it is begun, each time it is told to go.
    fn spawn(&self, priority: Priority) -> linden_core::Address<Go> {
        let tells = self.tells.clone();
        let process = self.node.spawn(move |mut cx: Cx<Go>| async move {
            assert_eq!(cx.set_priority(priority), Priority::Normal);
            while let Mail::Msg(Go) = cx.recv().await {
                let _ = tells.lock().expect("nobody panics with it").send(priority);
            }
        });
        while self.node.process(process.pid()).expect("it lives").priority != priority {
            std::thread::yield_now();
        }
        process
    }
}

// proves: SCHED-08
#[test]
fn of_the_ready_the_more_urgent_are_begun_first_and_low_ones_at_last() {
    use Priority::{High, Low, Max, Normal};
    let gate = Gate::build();
    let priorities = [Low, Normal, High, Max, Normal, Low, High, Max];
    let processes = priorities.map(|priority| gate.spawn(priority));
    for process in &processes {
        let pid = process.pid();
        gate.node.block_on(async { gate.node.process_info(pid).await.expect("it lives") });
    }
    let mut rounds = 0;
    while rounds < 20 {
        let retired = gate.node.fairness().retired;
        gate.close();
        processes.iter().for_each(|process| process.send(Go).expect("it lives"));
        gate.open.store(true, Ordering::SeqCst);
        let began: Vec<_> = (0..8).map(|_| gate.began.recv().expect("they run")).collect();
        if gate.node.fairness().retired != retired {
            // The gate was closed for so long that its worker was replaced: the others ran before all of them were ready.
            continue;
        }
        rounds += 1;
        assert_eq!(began[..4], [Max, Max, High, High]);
        // A low one has one turn in eight, which may be before a normal one's.
        assert_eq!(began[4..].iter().filter(|&&began| began == Normal).count(), 2, "{began:?}");
    }
    gate.node.stop(Duration::from_secs(1));
}

// proves: SCHED-08
#[test]
fn a_low_process_is_not_starved_by_normal_ones_that_are_always_ready() {
    let node = Node::start(NodeOptions { workers: 1, ..NodeOptions::default() });
    let node = node.expect("the system gives threads");
    let (turns, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    for _ in 0..3 {
        let (turns, over) = (turns.clone(), over.clone());
        node.spawn(move |_: Cx<()>| async move {
            while !over.load(Ordering::SeqCst) {
                turns.fetch_add(1, Ordering::SeqCst);
                linden_core::yield_now().await;
            }
        });
    }
    let (tells, told) = channel();
    let of_others = turns.clone();
    node.spawn(move |cx: Cx<()>| async move {
        cx.set_priority(Priority::Low);
        linden_core::yield_now().await;
        let before = of_others.load(Ordering::SeqCst);
        for _ in 0..100 {
            linden_core::yield_now().await;
        }
        let _ = tells.send(of_others.load(Ordering::SeqCst) - before);
    });
    let others = told.recv().expect("it had a hundred turns");
    over.store(true, Ordering::SeqCst);
    // One turn in eight, and what runs on the successor of a worker that stood still for a moment.
    assert!(others >= 400, "{others} turns of the others in a hundred of its own");
    node.stop(Duration::from_secs(1));
}

// proves: SCHED-08
#[test]
fn a_priority_is_seen_and_set_from_outside() {
    let node = Node::start(NodeOptions::default()).expect("the system gives threads");
    let process = node.spawn(|mut cx: Cx<Go>| async move { drop(cx.recv().await) });
    let pid = process.pid();
    for priority in [Priority::High, Priority::Low, Priority::Max, Priority::Normal] {
        assert!(node.set_priority(pid, priority));
        assert_eq!(node.process(pid).expect("it lives").priority, priority);
    }
    node.set_priority(pid, Priority::Low);
    process.send(Go).expect("it lives");
    node.block_on(node.wait_exit(pid));
    assert!(!node.set_priority(pid, Priority::High));
    let page = node.block_on(node.find_processes(&ProcessQuery::default()));
    assert_eq!(page.expect("it is small").matching, 0);
    node.stop(Duration::from_secs(1));
}
