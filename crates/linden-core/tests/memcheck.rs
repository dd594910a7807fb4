//! The suite for AddressSanitizer and valgrind (`cargo xtask memcheck`): each way in which memory changes hands or dies.
//!
//! Small on purpose: every scenario runs under tools that slow it down 20 times. What it asserts is little; the tool
//! watches the rest.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use linden_core::{
    Address, CallError, Cx, Flush, Info, Mail, MailRef, MailboxLimit, MailboxPolicy, Message, Node,
    Reason, Reply, TraceContext,
};
use linden_core::{current_trace, reply_channel, set_trace, yield_now};
use puppet::Puppet;
use stage::{Running, inside, on_node, watch};

#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/stage.rs"]
mod stage;

/// Enough to see both orders of a race, few enough for valgrind.
const ROUNDS: usize = 50;

/// A message that owns memory.
enum Parcel {
    Text(String),
    Echo(String, Reply<String>),
    Keep(Reply<String>),
    Crash(Reply<String>),
    End,
}

impl Message for Parcel {}

async fn serve(mut cx: Cx<Parcel>) {
    let (mut texts, mut kept) = (Vec::new(), Vec::new());
    loop {
        match cx.recv().await {
            Mail::Msg(Parcel::Text(text)) => texts.push(text),
            Mail::Msg(Parcel::Echo(text, reply)) => drop(reply.send(text)),
            Mail::Msg(Parcel::Keep(reply)) => kept.push(reply),
            Mail::Msg(Parcel::Crash(_reply)) => panic!("{} texts are lost", texts.len()),
            Mail::Msg(Parcel::End) => return,
            Mail::Info(_) => {}
        }
    }
}

fn text() -> String {
    "owned ".repeat(20)
}

fn echo(reply: Reply<String>) -> Parcel {
    Parcel::Echo(text(), reply)
}

#[test]
fn memory_of_processes_that_end_in_any_way_is_freed_once() {
    on_node(2, |node| async move {
        for round in 0..ROUNDS {
            let quick = node.spawn(|_: Cx<String>| async {});
            let crashing = node.spawn(move |_: Cx<String>| async move {
                let owned = text();
                assert!(round > ROUNDS, "{owned}");
            });
            let waiting = node.spawn(serve);
            for _ in 0..3 {
                let _ = quick.send(text());
                let _ = crashing.send(text());
                let _ = waiting.send(Parcel::Text(text()));
            }
            let end = watch(&node, waiting.pid());
            node.exit(waiting.pid(), Reason::custom(text()));
            assert_eq!(end.await, Reason::custom(text()));
            // Killed in the middle of a sleep, of a call, of a selective receive.
            let server = node.spawn(serve);
            let sleeping = node.spawn(|_: Cx<()>| async {
                let _owned = text();
                tokio::time::sleep(Duration::from_secs(60)).await;
            });
            let at = server.clone();
            let calling =
                node.spawn(move |_: Cx<()>| async move { drop(at.call(Parcel::Keep).await) });
            let choosing = node.spawn(|mut cx: Cx<String>| async move {
                cx.recv_match(|mail| matches!(mail, MailRef::Msg(text) if text.is_empty())).await;
            });
            choosing.send(text()).unwrap();
            if round % 2 == 0 {
                yield_now().await;
            }
            for pid in [sleeping.pid(), calling.pid(), choosing.pid(), server.pid()] {
                node.exit(pid, Reason::Kill);
                node.wait_exit(pid).await;
            }
            node.wait_exit(quick.pid()).await;
            node.wait_exit(crashing.pid()).await;
        }
    });
}

#[test]
fn memory_of_calls_is_freed_whoever_leaves_first() {
    on_node(2, |node| async move {
        for _ in 0..ROUNDS {
            let server = node.spawn(serve);
            assert_eq!(server.call(echo).await, Ok(text()));
            inside(&node, move |_: Cx<()>| async move {
                assert_eq!(server.call(echo).await, Ok(text()));
                let call = server.call(Parcel::Keep).timeout(Duration::from_millis(1));
                assert_eq!(call.await, Err(CallError::Timeout));
                // Answered while the request was made.
                let early = server.call(|reply| {
                    reply.send(text());
                    Parcel::Text(text())
                });
                assert_eq!(early.await, Ok(text()));
                // Never sent; sent and dropped while it waits; dropped when the answer is there.
                drop(server.call(echo));
                assert!(server.call(Parcel::Keep).now_or_never().is_none());
                let mut answered = server.call(echo);
                assert!((&mut answered).now_or_never().is_none());
                assert_eq!(server.call(echo).await, Ok(text()));
                drop(answered);
                // Two in flight, polled by wakers that are not the process's own.
                let (one, two) =
                    futures_util::future::join(server.call(echo), server.call(echo)).await;
                assert_eq!((one, two), (Ok(text()), Ok(text())));
                let crash = server.call(Parcel::Crash).await;
                assert!(matches!(crash, Err(CallError::Exited(Reason::Panic(_)))), "{crash:?}");
                assert_eq!(server.call(echo).await, Err(CallError::NoProc));
            })
            .await;
            // A reply that leaves the process, answered from a plain thread or dropped there.
            let (reply, call) = reply_channel::<String>();
            let (dropped, none) = reply_channel::<String>();
            let thread = std::thread::spawn(move || {
                reply.send(text());
                drop(dropped);
            });
            assert_eq!(call.await, Ok(text()));
            assert!(matches!(none.await, Err(CallError::Exited(_))));
            thread.join().unwrap();
        }
    });
}

#[test]
fn memory_of_requests_that_die_with_their_server_is_freed_and_each_caller_answered() {
    on_node(2, |node| async move {
        for round in 0..ROUNDS {
            let server = node.spawn(serve);
            let callers: Vec<_> = (0..4)
                .map(|_| {
                    let (server, (done, is_done)) = (server.clone(), reply_channel());
                    node.spawn(move |_: Cx<()>| async move {
                        done.send(server.call(Parcel::Keep).no_timeout().await);
                    });
                    is_done
                })
                .collect();
            if round % 2 == 0 {
                drop(server.call(Parcel::Crash).await);
            } else {
                node.exit(server.pid(), Reason::Kill);
            }
            for caller in callers {
                assert!(caller.await.unwrap().is_err());
            }
        }
    });
}

#[test]
fn memory_of_links_monitors_and_labels_goes_with_either_end() {
    on_node(2, |node| async move {
        for round in 0..ROUNDS {
            let (left, right) = (Puppet::trapping(&node).await, Puppet::spawn(&node));
            let pid = right.pid();
            left.run(move |cx| {
                cx.set_label(text());
                cx.link(pid);
                let (kept, removed) = (cx.monitor(pid), cx.monitor(pid));
                cx.demonitor(removed, Flush::Yes);
                cx.demonitor(kept, if round % 2 == 0 { Flush::Yes } else { Flush::No });
                cx.monitor(pid);
                if round % 3 == 0 {
                    cx.unlink(pid);
                }
            })
            .await;
            if round % 2 == 0 {
                right.end(Reason::custom(text()));
                assert!(matches!(left.hear().await, Info::Exit { .. } | Info::Down { .. }));
                left.end(Reason::Normal);
            } else {
                let end = watch(&node, right.pid());
                left.end(Reason::custom(text()));
                if round % 3 == 0 {
                    right.end(Reason::Normal);
                }
                end.await;
            }
        }
    });
}

#[test]
fn memory_found_by_name_and_pid_lives_while_its_process_dies() {
    on_node(2, |node| async move {
        for _ in 0..ROUNDS {
            let stop = Arc::new(AtomicBool::new(false));
            let server = node.spawn(serve);
            let pid = server.pid();
            node.register("server", pid).unwrap();
            let named = node.named::<Parcel>("server");
            let lookers: Vec<_> = (0..2)
                .map(|_| {
                    let (node, named, stop) = (node.clone(), named.clone(), stop.clone());
                    std::thread::spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            let _ = named.send(Parcel::Text(text()));
                            let address: Option<Address<Parcel>> = node.address(pid);
                            drop((address, node.whereis("server"), node.processes()));
                            std::thread::yield_now();
                        }
                    })
                })
                .collect();
            drop(server);
            assert_eq!(named.call(echo).await, Ok(text()));
            let _ = named.send(Parcel::End);
            node.wait_exit(pid).await;
            stop.store(true, Ordering::Relaxed);
            for looker in lookers {
                looker.join().unwrap();
            }
            assert_eq!(node.whereis("server"), None);
        }
    });
}

/// What a body did with its `Cx` before it panicked must not lead to the cell any more.
#[test]
fn memory_of_a_process_whose_body_panicked_is_not_found_by_its_name() {
    fn fail(node: &Node, carried: &Arc<Mutex<Vec<Cx<Parcel>>>>) {
        let spawn = || {
            node.spawn(|cx: Cx<Parcel>| -> std::future::Ready<()> {
                cx.register("unborn").unwrap();
                cx.set_label(text());
                cx.address().send(Parcel::Text(text())).unwrap();
                carried.lock().unwrap().push(cx);
                std::panic::resume_unwind(Box::new(text()))
            })
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(spawn)).is_err());
    }
    on_node(2, |node| async move {
        for _ in 0..ROUNDS {
            let carried: Arc<Mutex<Vec<Cx<Parcel>>>> = Arc::default();
            fail(&node, &carried);
            assert_eq!(node.whereis("unborn"), None);
            let (at, place) = (node.clone(), carried.clone());
            inside(&node, move |_: Cx<()>| async move { fail(&at, &place) }).await;
            assert_eq!(node.whereis("unborn"), None);
            let left = std::mem::take(&mut *carried.lock().unwrap());
            assert!(left.iter().all(|cx| cx.register("unborn").is_err()));
            drop(left);
            assert!(node.named::<Parcel>("unborn").send(Parcel::End).is_err());
        }
    });
}

/// The drop of a message may use the process that did not read it, while its inbox is emptied.
#[test]
fn memory_of_calls_made_in_the_drops_of_unread_mail_is_freed() {
    struct Caller(Address<Parcel>);
    impl Message for Caller {}
    impl Drop for Caller {
        fn drop(&mut self) {
            drop(self.0.call(echo));
            drop(self.0.call(Parcel::Keep).now_or_never());
        }
    }
    on_node(2, |node| async move {
        let server = node.spawn(serve);
        for _ in 0..ROUNDS {
            let dying = node.spawn(|_: Cx<Caller>| std::future::pending::<()>());
            for _ in 0..3 {
                assert!(dying.send(Caller(server.clone())).is_ok());
            }
            let end = watch(&node, dying.pid());
            node.exit(dying.pid(), Reason::Kill);
            assert_eq!(end.await, Reason::Killed);
        }
        assert_eq!(server.call(echo).await, Ok(text()));
    });
}

#[test]
fn memory_of_messages_sent_by_threads_to_a_dying_process_is_freed() {
    on_node(2, |node| async move {
        for _ in 0..ROUNDS {
            let server = node.spawn(serve);
            let refused = Arc::new(AtomicUsize::new(0));
            let senders: Vec<_> = (0..3)
                .map(|_| {
                    let (server, refused) = (server.clone(), refused.clone());
                    std::thread::spawn(move || {
                        for _ in 0..20 {
                            if server.send(Parcel::Text(text())).is_err() {
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    })
                })
                .collect();
            std::thread::yield_now();
            let end = watch(&node, server.pid());
            node.exit(server.pid(), Reason::Kill);
            end.await;
            for sender in senders {
                sender.join().unwrap();
            }
            assert!(refused.load(Ordering::Relaxed) <= 60);
        }
    });
}

#[test]
fn memory_of_messages_in_a_trace_is_freed_read_or_unread_or_refused() {
    on_node(2, |node| async move {
        let trace = TraceContext::begin([1; 16], [2; 8]);
        for _ in 0..ROUNDS {
            let server = node.spawn(serve);
            let (told, heard) = reply_channel();
            node.spawn(async move |_: Cx<()>| {
                set_trace(Some(trace));
                let answer = server.call(echo).await;
                server.send(Parcel::Text(text())).unwrap();
                server.send(Parcel::End).unwrap();
                // Unread, refused, or back: whatever the end of the server makes of them.
                while server.send(Parcel::Text(text())).is_ok() {
                    yield_now().await;
                }
                told.send((answer, current_trace()));
            });
            assert_eq!(heard.await, Ok((Ok(text()), Some(trace))));
        }
    });
}

#[test]
fn memory_of_messages_refused_dropped_and_waiting_at_a_limit_is_freed() {
    for policy in [MailboxPolicy::Reject, MailboxPolicy::DropOldest, MailboxPolicy::Wait] {
        on_node(2, |node| async move {
            for round in 0..ROUNDS {
                let server = node.spawn(move |cx| {
                    cx.limit_mailbox(Some(MailboxLimit { messages_max: round % 3, policy }));
                    serve(cx)
                });
                let senders: Vec<_> = (0..3)
                    .map(|_| {
                        let server = server.clone();
                        let sender = node.spawn(async move |_: Cx<()>| {
                            let _ = server.send(Parcel::Text(text()));
                            let _ = server.send_wait(Parcel::Text(text())).now_or_never();
                            let _ = server.send_wait(Parcel::Text(text())).await;
                            let _ = server.call(echo).timeout(Duration::from_millis(1)).await;
                        });
                        watch(&node, sender.pid())
                    })
                    .collect();
                yield_now().await;
                node.exit(server.pid(), Reason::Kill);
                for sender in senders {
                    sender.await;
                }
            }
        });
    }
}

#[test]
fn memory_of_timers_is_freed_when_they_fire_are_cancelled_or_outlive_their_receiver() {
    on_node(2, |node| async move {
        for _ in 0..ROUNDS / 5 {
            inside(&node, |mut cx: Cx<String>| async move {
                let millis = Duration::from_millis;
                let own = cx.address();
                cx.send_after(&own, millis(1), text());
                let cancelled = cx.send_after(&own, millis(60_000), text());
                cx.cancel(&cancelled);
                // Left behind: the first fires into nothing, the second is dropped with the node.
                cx.send_after(&own, millis(2), text());
                cx.send_after(&own, millis(60_000), text());
                let interval = cx.send_interval(&own, millis(1), text());
                cx.start_timer(millis(1));
                for _ in 0..4 {
                    cx.recv().await;
                }
                cx.cancel(&interval);
                drop(cx.recv_timeout(millis(1)).await);
            })
            .await;
        }
        let began = node.uptime();
        while node.uptime() < began + Duration::from_millis(5) {
            yield_now().await;
        }
    });
}

#[test]
fn memory_reached_by_addresses_and_names_outlives_the_node() {
    let mut left: Vec<(Node, Address<Parcel>, linden_core::Named<Parcel>)> = Vec::new();
    for round in 0..5 {
        let node = Running::start(2);
        let server = node.spawn(serve);
        node.register("server", server.pid()).unwrap();
        server.send(Parcel::Text(text())).unwrap();
        let named = node.named("server");
        if round % 2 == 0 {
            node.run(async { assert_eq!(server.call(echo).await, Ok(text())) });
        }
        left.push(((*node).clone(), server, named));
    }
    for (node, address, named) in left {
        assert!(address.send(Parcel::Text(text())).is_err());
        assert!(named.send(Parcel::End).is_err());
        assert_eq!(linden_core::block_on(address.call(echo)), Err(CallError::NoProc));
        // Spawned too late: it never lives.
        assert!(!node.spawn(serve).is_alive());
        drop(node);
        drop(address.clone());
    }
}

#[test]
fn memory_of_a_stopped_node_is_freed_with_whatever_was_under_way() {
    for round in 0..5 {
        let node = Running::start(2);
        for number in 0..20 {
            let server = node.spawn(serve);
            let at = server.clone();
            node.spawn(
                move |_: Cx<()>| async move { drop(at.call(Parcel::Keep).no_timeout().await) },
            );
            node.spawn(move |cx: Cx<String>| async move {
                cx.trap_exit(number % 2 == 0);
                cx.send_interval(&cx.address(), Duration::from_millis(1), text());
                tokio::time::sleep(Duration::from_secs(60)).await;
            });
            drop(node.runtime().spawn_blocking(text));
        }
        let report = (*node).stop(Duration::from_millis(20));
        assert!(report.zombies.is_empty(), "round {round}: {report:?}");
        assert_eq!(node.process_count(), 0);
    }
}
