//! Scheduling on real threads: everybody runs, nobody starves, work spreads, and nothing is stranded behind a busy worker.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use futures_util::future::join_all;
use linden_core::{Address, CallError, Cx, Mail, Message, Node, Pid, Reason, yield_now};
use stage::{Journal, Running, end_of, eventually, inside, on_node, watch};
use teller::{Ask, teller};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[path = "support/stage.rs"]
mod stage;
#[path = "support/teller.rs"]
mod teller;

/// What a process reads in one activation at most, and how often the newest goes before the queue.
const MESSAGES_MAX: usize = 256;
const LIFO_STREAK_MAX: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Ball;

impl Message for Ball {}

// ---- Everybody runs

// proves: SCHED-01
#[test]
fn a_hundred_thousand_processes_all_run() {
    for workers in [1, 2, 8] {
        on_node(workers, |node| async move {
            let ran = Arc::new(AtomicUsize::new(0));
            let run = ran.clone();
            inside(&node, move |cx: Cx<()>| async move {
                for _ in 0..100_000 {
                    let ran = run.clone();
                    cx.spawn(move |_: Cx<()>| async move {
                        yield_now().await;
                        ran.fetch_add(1, Ordering::Relaxed);
                    });
                }
            })
            .await;
            stage::eventually(|| ran.load(Ordering::Relaxed) == 100_000).await;
        });
    }
}

/// Spawns two branches, or counts as a leaf. Boxed, for it spawns its like.
fn branch(cx: Cx<()>, depth: u32, leaves: Arc<AtomicUsize>) -> Branch {
    Box::pin(async move {
        if depth == 0 {
            leaves.fetch_add(1, Ordering::Relaxed);
            return;
        }
        for _ in 0..2 {
            let leaves = leaves.clone();
            cx.spawn(move |cx: Cx<()>| branch(cx, depth - 1, leaves));
        }
    })
}

type Branch = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

// proves: SCHED-01
#[test]
fn a_tree_of_processes_grows_to_its_last_leaf() {
    on_node(4, |node| async move {
        let leaves = Arc::new(AtomicUsize::new(0));
        let grown = leaves.clone();
        node.spawn(move |cx: Cx<()>| branch(cx, 14, leaves));
        stage::eventually(|| grown.load(Ordering::Relaxed) == 1 << 14).await;
    });
}

/// Outside code wakes a node that sleeps, again and again.
// proves: SCHED-03
#[test]
fn a_sleeping_node_wakes_for_each_message_from_outside() {
    for workers in [1, 2, 8] {
        on_node(workers, |node| async move {
            let server = teller(&node);
            for number in 0..2_000 {
                let answer = server.call(|reply| Ask::Echo(number, reply)).no_timeout();
                assert_eq!(answer.await, Ok(number));
            }
        });
    }
}

/// Two processes made runnable from outside, which only go on together: each must find a worker of its own, also when the
/// one that woke counted on the other.
// proves: SCHED-07
#[test]
fn two_processes_that_wait_for_each_other_find_two_workers() {
    on_node(2, |node| async move {
        let met = Arc::new(AtomicUsize::new(0));
        for round in 1..=20_000 {
            let ends = [0; 2].map(|_| {
                let met = met.clone();
                let process = node.spawn(move |_: Cx<()>| async move {
                    met.fetch_add(1, Ordering::AcqRel);
                    while met.load(Ordering::Acquire) < 2 * round {
                        std::thread::yield_now();
                    }
                });
                process.pid()
            });
            for end in ends {
                node.wait_exit(end).await;
            }
        }
    });
}

// ---- Nobody starves

/// Sends to itself for ever, and counts what it reads.
async fn chatter(mut cx: Cx<Ball>, read: Arc<AtomicUsize>) {
    let own = cx.address();
    loop {
        own.send(Ball).expect("it lives");
        cx.recv().await;
        read.fetch_add(1, Ordering::Relaxed);
    }
}

/// What others do in one turn of a process that yields again and again; the largest of many turns.
async fn longest_wait(node: &Node, done: Arc<AtomicUsize>) -> usize {
    inside(node, move |_: Cx<()>| async move {
        let mut longest = 0;
        for _ in 0..500 {
            let before = done.load(Ordering::Relaxed);
            yield_now().await;
            longest = longest.max(done.load(Ordering::Relaxed) - before);
        }
        longest
    })
    .await
}

// proves: SCHED-02
#[test]
fn a_process_that_always_has_mail_goes_to_the_back_after_its_budget() {
    on_node(1, |node| async move {
        let read = Arc::new(AtomicUsize::new(0));
        let counts = read.clone();
        node.spawn(move |cx| chatter(cx, counts));
        let longest = longest_wait(&node, read).await;
        assert!((1..=MESSAGES_MAX).contains(&longest), "{longest} messages in one turn");
    });
}

async fn player(
    mut cx: Cx<Ball>,
    other: Arc<std::sync::OnceLock<Address<Ball>>>,
    hits: Arc<AtomicUsize>,
) {
    loop {
        cx.recv().await;
        hits.fetch_add(1, Ordering::Relaxed);
        let other = other.get().expect("both are known before the ball comes");
        if other.send(Ball).is_err() {
            return;
        }
    }
}

/// Two processes that wake each other for ever; what they did is counted.
fn play(node: &Node) -> Arc<AtomicUsize> {
    let hits = Arc::new(AtomicUsize::new(0));
    let places = [0; 2].map(|_| Arc::new(std::sync::OnceLock::new()));
    let players = [0, 1].map(|side| {
        let (other, hits) = (places[1 - side].clone(), hits.clone());
        node.spawn(move |cx| player(cx, other, hits))
    });
    for (place, player) in places.iter().zip(&players) {
        place.set(player.clone()).expect("set once");
    }
    players[0].send(Ball).expect("it lives");
    hits
}

// proves: SCHED-02
#[test]
fn two_processes_that_wake_each_other_do_not_starve_a_third() {
    on_node(1, |node| async move {
        let hits = play(&node);
        let longest = longest_wait(&node, hits).await;
        assert!((1..=2 * LIFO_STREAK_MAX).contains(&longest), "{longest} hits in one turn");
    });
}

/// The queue from outside, timers and sockets are served while a worker never runs out of work.
// proves: SCHED-03, SCHED-04
#[test]
fn a_worker_that_is_never_idle_serves_outsiders_timers_and_sockets() {
    on_node(1, |node| async move {
        let hits = play(&node);
        stage::eventually(|| hits.load(Ordering::Relaxed) > 0).await;
        let echoed = echo_through_a_socket(&node);
        let slept = end_of(&node, |mut cx: Cx<()>| async move {
            cx.start_timer(Duration::from_millis(5));
            cx.recv().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        });
        let (echoed, slept) = tokio::join!(echoed, slept);
        assert_eq!((echoed, slept), (7, Reason::Normal));
    });
}

/// A process accepts and answers, another one asks.
async fn echo_through_a_socket(node: &Node) -> u8 {
    inside(node, |cx: Cx<()>| async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        cx.spawn(move |_: Cx<()>| async move {
            let (mut stream, _) = listener.accept().await?;
            let byte = stream.read_u8().await?;
            stream.write_u8(byte).await
        });
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
        stream.write_u8(7).await.expect("it is open");
        stream.read_u8().await.expect("it answers")
    })
    .await
}

/// As many as workers block their workers until all of them have come: no two may be given to one worker.
// proves: SCHED-07
#[test]
fn work_that_one_process_makes_spreads_to_all_workers() {
    for workers in [2, 8] {
        on_node(workers, |node| async move {
            for _ in 0..50 {
                let barrier = Arc::new(Barrier::new(workers));
                inside(&node, move |mut cx: Cx<()>| async move {
                    cx.trap_exit(true);
                    for _ in 0..workers {
                        let barrier = barrier.clone();
                        cx.spawn_link(move |_: Cx<()>| async move { _ = barrier.wait() });
                    }
                    for _ in 0..workers {
                        cx.recv().await;
                    }
                })
                .await;
            }
        });
    }
}

// proves: SCHED-02
#[test]
fn a_process_whose_calls_all_fail_at_once_lets_others_run() {
    on_node(1, |node| async move {
        let dead = node.spawn(|_: Cx<Ask>| async {});
        eventually(|| !dead.is_alive()).await;
        let caller = node.spawn(move |_: Cx<()>| async move {
            while dead.call(|reply| Ask::Echo(1, reply)).await == Err(CallError::NoProc) {}
        });
        let ran = inside(&node, |_: Cx<()>| async { true });
        assert!(ran.await, "on the caller's own worker");
        node.exit(caller.pid(), Reason::Kill);
    });
}

// ---- A worker that is stuck strands nothing

/// Blocks its worker until it has been told; what it waits for was made runnable by itself.
// proves: SCHED-05
#[test]
fn what_a_blocked_process_woke_is_run_by_another_worker() {
    on_node(2, |node| async move {
        for _ in 0..10 {
            let reason = end_of(&node, |cx: Cx<()>| async move {
                let (tell, told) = mpsc::channel();
                for _ in 0..3 {
                    let tell = tell.clone();
                    cx.spawn(move |_: Cx<()>| async move { tell.send(()).expect("it waits") });
                }
                for _ in 0..3 {
                    told.recv().expect("all of them run");
                }
            });
            assert_eq!(reason.await, Reason::Normal);
        }
    });
}

/// As above, beside a worker that never comes to steal, for it is never idle. The newest of the woken is left out: it is in
/// its worker's slot and not in the queue.
// proves: SCHED-05
#[test]
fn what_waits_behind_a_blocked_worker_is_run_by_one_that_is_never_idle() {
    on_node(2, |node| async move {
        let hits = play(&node);
        stage::eventually(|| hits.load(Ordering::Relaxed) > 0).await;
        for _ in 0..10 {
            let reason = end_of(&node, |cx: Cx<()>| async move {
                let (tell, told) = mpsc::channel();
                for _ in 0..8 {
                    let tell = tell.clone();
                    // Once this one has ended, nobody hears the newest.
                    cx.spawn(move |_: Cx<()>| async move { _ = tell.send(()) });
                }
                for _ in 0..7 {
                    told.recv().expect("all of them run");
                }
            });
            assert_eq!(reason.await, Reason::Normal);
        }
    });
}

/// A server that blocks its worker in each request until it is told to go on, and says when it is in one.
fn blocker(node: &Node) -> (Address<Ask>, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let ((enters, entered), (go, goes)) = (mpsc::channel(), mpsc::channel());
    let server = node.spawn(move |mut cx: Cx<Ask>| async move {
        while let Mail::Msg(Ask::Echo(number, reply)) = cx.recv().await {
            enters.send(()).expect("the test waits");
            let _: Result<(), _> = goes.recv();
            reply.send(number);
        }
    });
    (server, entered, go)
}

// proves: SCHED-05
#[test]
fn a_caller_can_be_killed_and_its_time_ends_while_its_server_blocks_their_worker() {
    on_node(2, |node| async move {
        let (server, entered, go) = blocker(&node);
        for _ in 0..5 {
            let at = server.clone();
            let caller = node.spawn(move |_: Cx<()>| async move {
                let _ = at.call(|reply| Ask::Echo(1, reply)).no_timeout().await;
            });
            entered.recv().expect("the server has the request");
            let end = watch(&node, caller.pid());
            node.exit(caller.pid(), Reason::Kill);
            assert_eq!(end.await, Reason::Killed);
            go.send(()).expect("the server waits");

            let at = server.clone();
            let answer = inside(&node, move |_: Cx<()>| async move {
                at.call(|reply| Ask::Echo(2, reply)).timeout(Duration::from_millis(5)).await
            });
            assert_eq!(answer.await, Err(CallError::Timeout));
            entered.recv().expect("the server has the request");
            go.send(()).expect("the server waits");

            let at = server.clone();
            let caller = inside(&node, move |_: Cx<()>| async move {
                at.call(|reply| Ask::Echo(3, reply)).await
            });
            go.send(()).expect("the server lives");
            assert_eq!(caller.await, Ok(3));
            entered.recv().expect("the server had the request");
        }
        node.exit(server.pid(), Reason::Shutdown);
    });
}

// proves: SCHED-05
#[test]
fn sockets_and_timers_are_served_while_a_worker_is_blocked() {
    on_node(2, |node| async move {
        let (address, bound) = tokio::sync::oneshot::channel();
        node.spawn(move |_: Cx<()>| async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            address.send(listener.local_addr()?).expect("the test waits");
            loop {
                let (mut stream, _) = listener.accept().await?;
                let byte = stream.read_u8().await?;
                tokio::time::sleep(Duration::from_millis(2)).await;
                stream.write_u8(byte).await?;
            }
            #[expect(unreachable_code, reason = "tells the type")]
            Ok::<(), std::io::Error>(())
        });
        let address = bound.await.expect("it listens");
        for _ in 0..10 {
            let reason = end_of(&node, move |_: Cx<()>| async move {
                // Sockets of the standard library: they block the worker.
                let mut stream = std::net::TcpStream::connect(address)?;
                stream.write_all(&[7])?;
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                assert_eq!(byte, [7]);
                Ok::<(), std::io::Error>(())
            });
            assert_eq!(reason.await, Reason::Normal);
        }
    });
}

// ---- Yielding

// proves: SCHED-06
#[test]
fn yield_now_lets_every_other_ready_process_run_first() {
    on_node(1, |node| async move {
        let journal: Journal<(usize, usize)> = Journal::new();
        let entries = journal.clone();
        inside(&node, move |mut cx: Cx<()>| async move {
            cx.trap_exit(true);
            for process in 0..4 {
                let journal = entries.clone();
                cx.spawn_link(move |_: Cx<()>| async move {
                    for round in 0..50 {
                        journal.write((round, process));
                        yield_now().await;
                    }
                });
            }
            for _ in 0..4 {
                cx.recv().await;
            }
        })
        .await;
        let entries = journal.entries();
        let rounds: Vec<usize> = entries.iter().map(|&(round, _)| round).collect();
        assert!(
            rounds.is_sorted(),
            "nobody has a second turn before all had the first: {rounds:?}"
        );
    });
}

/// Outside of a process, and under a combinator's own waker, `yield_now` is an ordinary yield.
// proves: SCHED-06
#[test]
fn yield_now_works_in_any_async_code() {
    let node = Running::start(1);
    node.run(yield_now());
    futures_executor::block_on(yield_now());
    node.run(inside(&node, |_: Cx<()>| async {
        join_all((0..10).map(|_| yield_now())).await;
        let mut unordered: futures_util::stream::FuturesUnordered<_> =
            (0..10).map(|_| yield_now()).collect();
        while futures_util::StreamExt::next(&mut unordered).await.is_some() {}
    }));
}

// ---- Stress

#[derive(Clone, Copy, Debug)]
struct Stamp {
    sender: usize,
    number: usize,
}

impl Message for Stamp {}

async fn collect(mut cx: Cx<Stamp>, senders: usize, each: usize) -> Reason {
    let mut next = vec![0; senders];
    for _ in 0..senders * each {
        let Mail::Msg(stamp) = cx.recv().await else { continue };
        if stamp.number != next[stamp.sender] {
            return Reason::custom(format!("{stamp:?} instead of {}", next[stamp.sender]));
        }
        next[stamp.sender] += 1;
    }
    match cx.recv_timeout(Duration::from_millis(1)).await {
        None => Reason::custom("all, in order"),
        Some(more) => Reason::custom(format!("one too many: {more:?}")),
    }
}

// proves: SIG-01, SCHED-01
#[test]
fn many_senders_reach_one_receiver_each_in_its_order_and_none_is_lost() {
    for (workers, senders, each) in [(2, 8, 20_000), (8, 64, 2_000)] {
        on_node(workers, |node| async move {
            let (to, ready) = tokio::sync::oneshot::channel();
            let collector = end_of(&node, move |cx: Cx<Stamp>| {
                to.send(cx.address()).expect("the test waits");
                collect(cx, senders, each)
            });
            let send = async {
                let to = ready.await.expect("the collector has begun");
                for sender in 0..senders {
                    let to = to.clone();
                    node.spawn(move |_: Cx<()>| async move {
                        for number in 0..each {
                            to.send(Stamp { sender, number }).expect("the collector reads");
                            if number % 97 == sender {
                                yield_now().await;
                            }
                        }
                    });
                }
            };
            let (end, ()) = tokio::join!(collector, send);
            assert_eq!(end, Reason::custom("all, in order"));
        });
    }
}

/// Threads outside of every node send as well.
// proves: SIG-01, SCHED-03
#[test]
fn threads_outside_send_in_order_too() {
    on_node(2, |node| async move {
        let (to, ready) = tokio::sync::oneshot::channel();
        let collector = end_of(&node, move |cx: Cx<Stamp>| {
            to.send(cx.address()).expect("the test waits");
            collect(cx, 4, 10_000)
        });
        let threads = async {
            let to = ready.await.expect("the collector has begun");
            [0, 1, 2, 3].map(|sender| {
                let to = to.clone();
                std::thread::spawn(move || {
                    for number in 0..10_000 {
                        to.send(Stamp { sender, number }).expect("the collector reads");
                    }
                })
            })
        };
        let (end, threads) = tokio::join!(collector, threads);
        assert_eq!(end, Reason::custom("all, in order"));
        for thread in threads {
            thread.join().expect("it sent everything");
        }
    });
}

/// A ring of processes passes a token while others spawn and die: no wake-up is lost in hours of wakes a second.
// proves: SCHED-01
#[test]
fn a_token_goes_round_while_others_come_and_go() {
    on_node(4, |node| async move {
        let stop = Arc::new(AtomicBool::new(false));
        let noise = stop.clone();
        node.spawn(move |cx: Cx<()>| async move {
            while !noise.load(Ordering::Relaxed) {
                let children: Vec<Pid> =
                    (0..10).map(|_| cx.spawn(|_: Cx<()>| yield_now()).pid()).collect();
                for child in children {
                    cx.node().wait_exit(child).await;
                }
            }
        });
        let passes = inside(&node, |mut cx: Cx<Ball>| async move {
            let mut next = cx.address();
            for _ in 0..50 {
                let to = next.clone();
                next = cx.spawn(move |mut cx: Cx<Ball>| async move {
                    while let Mail::Msg(ball) = cx.recv().await {
                        if to.send(ball).is_err() {
                            return;
                        }
                    }
                });
            }
            for round in 0..1_000 {
                next.send(Ball).expect("the ring lives");
                if cx.recv_timeout(stage::HANGS_AFTER).await.is_none() {
                    return round;
                }
            }
            1_000
        })
        .await;
        stop.store(true, Ordering::Relaxed);
        assert_eq!(passes, 1_000, "the token got lost");
    });
}
