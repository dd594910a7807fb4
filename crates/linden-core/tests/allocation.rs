//! What processes cost in memory: bytes of a cell, and allocations of a spawn, a message and a call, counted exactly.
//!
//! On simulated nodes, which run on the test's own thread; counts are by thread.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use allocations::{Counted, Counting};
use linden_core::{Address, Cx, Info, Mail, Message, Node, Reason, Reply, process_size};
use stage::{inside, simulated};

#[path = "support/allocations.rs"]
mod allocations;
#[path = "support/stage.rs"]
mod stage;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

enum Count {
    Add(u64),
    Total(Reply<u64>),
}

impl Message for Count {}

/// A server written out: its future is its state and nothing else.
struct Counter {
    cx: Cx<Count>,
    total: u64,
}

impl Future for Counter {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match pin!(self.cx.recv()).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Mail::Msg(Count::Add(number))) => self.total += number,
                Poll::Ready(Mail::Msg(Count::Total(reply))) => {
                    reply.send(self.total);
                }
                Poll::Ready(Mail::Info(_)) => return Poll::Ready(()),
            }
        }
    }
}

fn counter(node: &Node) -> Address<Count> {
    node.spawn(|cx| Counter { cx, total: 0 })
}

/// Counts what `deed` allocates on average over many rounds, inside of a process, after a warm-up.
async fn per_round<F: Future<Output = ()>>(rounds: i64, mut deed: impl FnMut() -> F) -> i64 {
    for _ in 0..300 {
        deed().await;
    }
    let before = Counted::now();
    for _ in 0..rounds {
        deed().await;
    }
    // Rounded down: the simulator polls the reactor every 64 activations, for an allocation of tokio's.
    Counted::since(before).allocations / rounds
}

// proves: PROC-07
#[test]
fn a_small_server_costs_at_most_128_bytes() {
    let size = process_size::<Count, Counter>();
    assert!(size <= 128, "{size} bytes");
    simulated(1, |node| async move {
        // Room in tables and queues is made before.
        let warm: Vec<_> = (0..2_000).map(|_| counter(&node)).collect();
        for process in &warm {
            assert_eq!(process.call(Count::Total).await, Ok(0));
        }
        let mut rest = Vec::with_capacity(1_000);
        let before = Counted::now();
        for _ in 0..1_000 {
            rest.push(counter(&node));
        }
        let held = Counted::since(before);
        let each = held.live_bytes as f64 / 1_000.0;
        assert!(each <= 128.0, "{each} bytes a process");
        assert_eq!(held.live, 1_000, "one allocation a process");
    });
}

// proves: PROC-07
#[test]
fn a_spawn_costs_one_allocation_and_a_death_gives_it_back() {
    simulated(1, |node| async move {
        inside(&node, |mut cx: Cx<()>| async move {
            let context = &mut cx;
            let spawn = per_round(500, || {
                let child = context.spawn(|_: Cx<()>| std::future::ready(()));
                async move {
                    while child.is_alive() {
                        linden_core::yield_now().await;
                    }
                }
            });
            assert_eq!(spawn.await, 1);
            let before = Counted::now();
            for _ in 0..500 {
                let child = cx.spawn(|_: Cx<()>| std::future::ready(()));
                while child.is_alive() {
                    linden_core::yield_now().await;
                }
            }
            assert_eq!((Counted::since(before).live, cx.info().mailbox_len), (0, 0));
        })
        .await;
    });
}

/// Does so much that the process's account is as large as it ever gets.
async fn outgrow(cx: &mut Cx<Count>) {
    for number in 0..100 {
        cx.address().send(Count::Add(number)).expect("it lives");
        linden_core::yield_now().await;
        cx.recv().await;
    }
}

// proves: SIG-09
#[test]
fn a_message_costs_one_allocation_that_its_reading_gives_back() {
    simulated(1, |node| async move {
        inside(&node, |mut cx: Cx<Count>| async move {
            let own = cx.address();
            outgrow(&mut cx).await;
            let before = Counted::now();
            for number in 0..200 {
                own.send(Count::Add(number)).expect("it lives");
                cx.recv().await;
            }
            let counted = Counted::since(before);
            assert_eq!((counted.allocations, counted.live), (200, 0));
        })
        .await;
    });
}

/// The message and the place for the answer; nothing for the deadline, the waker or the node.
// proves: CALL-12
#[test]
fn a_call_costs_two_allocations() {
    simulated(1, |node| async move {
        let server = counter(&node);
        let named = node.named::<Count>("counter");
        node.register("counter", server.pid()).expect("the name is free");
        inside(&node, |_: Cx<()>| async move {
            let by_handle = per_round(1_000, || async {
                server.call(Count::Total).await.expect("it lives");
            });
            assert_eq!(by_handle.await, 2);
            let by_name = per_round(1_000, || async {
                named.call(Count::Total).await.expect("it lives");
            });
            assert_eq!(by_name.await, 2);
        })
        .await;
    });
}

/// Receives with a timeout arm no timer of their own.
// proves: TIME-06
#[test]
fn a_receive_with_a_timeout_costs_no_allocation() {
    simulated(1, |node| async move {
        inside(&node, |mut cx: Cx<Count>| async move {
            let own = cx.address();
            outgrow(&mut cx).await;
            own.send(Count::Add(0)).expect("it lives");
            cx.recv_timeout(Duration::from_secs(5)).await;
            let before = Counted::now();
            for number in 0..200 {
                own.send(Count::Add(number)).expect("it lives");
                assert!(cx.recv_timeout(Duration::from_secs(5)).await.is_some());
                assert!(cx.recv_match_timeout(Duration::ZERO, |_| true).await.is_none());
            }
            assert_eq!(Counted::since(before).allocations, 200, "the messages' own");
            assert!(cx.node().timer_count() <= 1);
        })
        .await;
    });
}

/// Ergo's defect: 218 bytes leak per restarted child.
// proves: DEATH-04
#[test]
fn a_restarted_child_leaves_not_one_byte_behind() {
    simulated(1, |node| async move {
        inside(&node, |mut cx: Cx<()>| async move {
            cx.trap_exit(true);
            let restart = async |cx: &mut Cx<()>| {
                let child = cx.spawn_link(|mut cx: Cx<Count>| async move {
                    cx.register("child").expect("the name is free");
                    cx.set_label("a child");
                    let parent = cx.parent().expect("it was spawned by a process");
                    cx.monitor(parent);
                    while let Mail::Msg(_) = cx.recv().await {}
                    Reason::Normal
                });
                cx.monitor(child.pid());
                let named = cx.node().named::<Count>("child");
                child.send(Count::Add(1)).expect("it lives");
                linden_core::yield_now().await;
                cx.exit(child.pid(), Reason::custom("restart"));
                for _ in 0..2 {
                    assert!(matches!(
                        cx.recv().await,
                        Mail::Info(Info::Exit { .. } | Info::Down { .. })
                    ));
                }
                assert!(named.pid().is_none());
            };
            for _ in 0..3_000 {
                restart(&mut cx).await;
            }
            let before = Counted::now();
            for _ in 0..1_000 {
                restart(&mut cx).await;
            }
            let left = Counted::since(before);
            assert_eq!((left.live, left.live_bytes), (0, 0));
        })
        .await;
    });
}
