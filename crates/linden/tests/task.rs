//! Tasks: processes that compute one value, and who hears of their end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use linden::prelude::*;
use linden::{CallError, Cx, Mail, TaskError, TaskSupervisor};
use stage::{Journal, SEEDS, check, check_inside, inside, on_node, settle, watch};

#[path = "support/stage.rs"]
mod stage;

fn message(error: &TaskError) -> String {
    match &error.0 {
        Reason::Panic(info) => info.message.clone(),
        other => other.to_string(),
    }
}

// proves: SRV-21
#[test]
fn a_task_is_awaited_for_its_value() {
    check_inside(SEEDS, |cx| async move {
        let own = cx.pid();
        let task = Task::spawn(async move {
            tokio::time::sleep(1.secs()).await;
            6 * 7
        });
        assert_ne!(task.pid(), own, "it is a process of its own");
        assert_eq!(cx.info().links, [task.pid()]);
        assert_eq!(task.await, Ok(42));
    });
}

// proves: SRV-21
#[test]
fn many_tasks_run_side_by_side_and_their_values_come_in_order() {
    check_inside(SEEDS, |cx| async move {
        let begin = cx.node().uptime();
        let tasks = [3, 1, 2].map(|seconds: u64| {
            Task::spawn(async move {
                tokio::time::sleep(seconds.secs()).await;
                seconds
            })
        });
        assert_eq!(Task::await_many(tasks).await, [Ok(3), Ok(1), Ok(2)]);
        let took = cx.node().uptime() - begin;
        assert!((3.secs()..4.secs()).contains(&took), "{took:?}");
    });
}

// proves: SRV-22
#[test]
fn a_linked_task_and_its_owner_fall_together() {
    check(SEEDS, |node| async move {
        let owner = node.spawn(|_: Cx<()>| async {
            let task = Task::<()>::spawn(async { panic!("in the task") });
            let _ = task.await;
            std::future::pending::<()>().await;
        });
        let end = watch(&node, owner.pid());
        assert_eq!(message(&TaskError(end.await)), "in the task");

        let place = Journal::new();
        let told = place.clone();
        let owner = node.spawn(move |mut cx: Cx<()>| async move {
            told.write(Task::spawn(std::future::pending::<()>()).pid());
            cx.recv().await;
            Reason::custom("the owner ends")
        });
        settle().await;
        let end = watch(&node, place.take().remove(0));
        owner.send(()).expect("it lives");
        assert_eq!(end.await, Reason::custom("the owner ends"));
    });
}

// proves: SRV-22
#[test]
fn the_crash_of_an_unlinked_task_is_heard_by_who_awaits_it_alone() {
    check_inside(SEEDS, |cx| async move {
        let task = Task::<u32>::spawn_unlinked(async { panic!("alone") });
        let error = task.await.expect_err("it crashed");
        assert_eq!(message(&error), "alone");
        assert!(error.to_string().starts_with("the task ended without a value: panicked: alone"));
        let killed = Task::<u32>::spawn_unlinked(std::future::pending());
        cx.exit(killed.pid(), Reason::Kill);
        assert_eq!(killed.await, Err(TaskError(Reason::Killed)));
        assert_eq!(cx.info().links, []);
    });
}

#[test]
fn an_owner_that_traps_exits_hears_of_its_tasks() {
    check_inside(SEEDS, |mut cx| async move {
        cx.trap_exit(true);
        let task = Task::<u32>::spawn(async { panic!("in the task") });
        let pid = task.pid();
        assert_eq!(message(&task.await.expect_err("it crashed")), "in the task");
        let Mail::Info(Info::Exit { from, .. }) = cx.recv().await else { panic!("an exit") };
        assert_eq!(from, pid);
    });
}

// proves: SRV-22
#[test]
fn shutting_a_task_down_ends_it_and_not_its_owner() {
    check_inside(SEEDS, |cx| async move {
        let dropped = Arc::new(AtomicBool::new(false));
        struct OnDrop(Arc<AtomicBool>);
        impl Drop for OnDrop {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let held = OnDrop(dropped.clone());
        let task = Task::<u32>::spawn(async move {
            let _held = held;
            std::future::pending().await
        });
        settle().await;
        let pid = task.pid();
        assert_eq!(task.shutdown(5.secs()).await, None);
        assert!(dropped.load(Ordering::Relaxed), "what it held is given back");
        assert!(!cx.node().is_alive(pid));

        let done = Task::spawn(async { 7 });
        settle().await;
        assert_eq!(done.shutdown(5.secs()).await, Some(7), "the value was there already");
    });
}

#[test]
fn a_task_that_never_awaits_is_killed_when_its_time_is_up() {
    on_node(2, |cx| async move {
        let released = Arc::new(AtomicBool::new(false));
        let running = Arc::new(AtomicBool::new(false));
        let (go, runs) = (released.clone(), running.clone());
        let task = Task::<u32>::spawn(async move {
            runs.store(true, Ordering::Relaxed);
            while !go.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            std::future::pending().await
        });
        while !running.load(Ordering::Relaxed) {
            linden_core::yield_now().await;
        }
        let end = watch(cx.node(), task.pid());
        let shutdown = Box::pin(task.shutdown(20.ms()));
        let release = async {
            tokio::time::sleep(40.ms()).await;
            released.store(true, Ordering::Relaxed);
        };
        let (value, ()) = futures_join(shutdown, Box::pin(release)).await;
        assert_eq!(value, None);
        // Told to shut down first; by the time that it can hear it, it was killed as well.
        assert!([Reason::Shutdown, Reason::Killed].contains(&end.await));
    });
}

/// Awaits two futures side by side.
async fn futures_join<A: Unpin + Future, B: Unpin + Future>(
    mut a: A,
    mut b: B,
) -> (A::Output, B::Output) {
    use std::task::Poll;
    let (mut first, mut second) = (None, None);
    std::future::poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(value) = std::pin::Pin::new(&mut a).poll(cx)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = std::pin::Pin::new(&mut b).poll(cx)
        {
            second = Some(value);
        }
        if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (first.expect("through"), second.expect("through"))
}

#[test]
fn a_task_that_is_dropped_goes_on() {
    check_inside(SEEDS, |cx| async move {
        let journal = Journal::new();
        let own = journal.clone();
        let pid = {
            let task = Task::spawn(async move {
                tokio::time::sleep(1.secs()).await;
                own.write(1);
            });
            task.pid()
        };
        cx.node().wait_exit(pid).await;
        assert_eq!(journal.entries(), [1]);
    });
}

#[test]
fn a_task_is_started_from_outside_of_processes_unlinked() {
    check(0..4, |_| async {
        assert_eq!(Task::spawn_unlinked(async { 1 }).await, Ok(1));
        let linked = std::panic::catch_unwind(|| drop(Task::spawn(async {})));
        let payload = linked.expect_err("there is nobody to link to");
        let said = payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        assert!(said.expect("a text").contains("spawn_link is called inside a process"));
    });
}

// ---- Supervised

fn supervised() -> Supervisor {
    Supervisor::one_for_one().intensity(0, 5.secs()).child(TaskSupervisor::child("tasks"))
}

// proves: SRV-23
#[test]
fn a_supervised_task_is_awaited_by_anybody_and_its_crash_hurts_nobody() {
    check_inside(SEEDS, |cx| async move {
        let _supervisor = supervised().start().await.expect("it starts");
        let tasks = TaskSupervisor::by_name(cx.node(), "tasks");
        let well = tasks.spawn(async { 1 }).await.expect("it starts");
        let bad = tasks.spawn(async { panic!("supervised") }).await.expect("it starts");
        assert_eq!(well.await, Ok(1));
        let error: Result<(), _> = bad.await;
        assert_eq!(message(&error.expect_err("it crashed")), "supervised");
        let after = tasks.spawn(async { 2 }).await.expect("the supervisor lives");
        assert_eq!(after.await, Ok(2));
        assert_eq!(cx.info().links, [], "linked to the task supervisor alone");
    });
}

// proves: SRV-23
#[test]
fn supervised_tasks_end_with_their_supervisor_and_without_their_starter_go_on() {
    check(SEEDS, |node| async move {
        let supervisor = supervised().start().await.expect("it starts");
        let tasks = TaskSupervisor::by_name(&node, "tasks");
        let pid = inside(&node, {
            let tasks = tasks.clone();
            move |_| async move {
                tasks.spawn(std::future::pending::<()>()).await.expect("it starts").pid()
            }
        })
        .await;
        settle().await;
        assert!(node.is_alive(pid), "its starter has ended");
        let waiting = tasks.spawn(std::future::pending::<u32>()).await.expect("it starts");
        let end = watch(&node, pid);
        supervisor.stop(Reason::Shutdown).await.expect("it stops");
        assert_eq!(end.await, Reason::Shutdown);
        assert_eq!(waiting.await, Err(TaskError(Reason::Shutdown)));
        assert_eq!(tasks.spawn(async {}).await.map(drop), Err(CallError::NoProc));
        assert_eq!(node.process_count(), 0);
    });
}

// proves: SRV-23
#[test]
fn a_task_that_keeps_its_worker_ends_for_its_supervisor_when_it_is_killed() {
    on_node(2, |cx| async move {
        let supervisor = supervised().start().await.expect("it starts");
        let tasks = TaskSupervisor::by_name(cx.node(), "tasks");
        let (begun, has_begun) = linden::reply_channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let stuck = tasks.spawn(async move {
            begun.send(());
            // Keeps its worker: told to shut down it does not end.
            released.recv().expect("the test releases it");
        });
        let pid = stuck.await.expect("it starts").pid();
        has_begun.await.expect("it runs");
        let mut stop = Box::pin(supervisor.stop(Reason::Shutdown));
        // It is killed after 5 s.
        tokio::time::timeout(1.secs(), &mut stop).await.expect_err("it has not been killed yet");
        stop.await.expect("it stops");
        assert!(!cx.node().is_alive(pid));
        assert_eq!(cx.node().fairness().zombies, 1);
        release.send(()).expect("it waits");
    });
}

#[test]
fn a_server_awaits_a_task_in_its_handler() {
    #[derive(Default)]
    struct Asker;
    #[gen_server]
    impl Asker {
        #[call]
        async fn squares(&mut self, upto: u64) -> u64 {
            let tasks = (0..upto).map(|n| Task::spawn(async move { n * n }));
            let values = Task::await_many(tasks.collect::<Vec<_>>()).await;
            values.into_iter().map(|value| value.expect("it does not crash")).sum()
        }
    }
    on_node(2, |_| async {
        let asker = Asker::start(Asker::default).await.expect("it starts");
        assert_eq!(asker.squares(100).await, Ok(328_350));
    });
}
