//! Accounts of processes and workers, and searches over processes.

use std::time::{Duration, Instant};

use linden_core::{
    Address, Cx, Mail, Message, Node, PROCESS_QUERY_MAX, Pid, ProcessOrder, ProcessPage,
    ProcessQuery, ProcessRow, QueryTooLarge, Reason, Reply, Status, WorkerStatus,
};
use stage::{SEEDS, check, on_node};

#[path = "support/stage.rs"]
mod stage;

enum Ask {
    Note,
    Answer(Reply<()>),
    /// Sends so many notes to another one.
    Send(u32, Address<Ask>, Reply<()>),
    Compute(Duration, Reply<()>),
    Sleep(Duration),
}

impl Message for Ask {}

async fn serve(mut cx: Cx<Ask>) {
    loop {
        match cx.recv().await {
            Mail::Msg(Ask::Note) | Mail::Info(_) => {}
            Mail::Msg(Ask::Answer(reply)) => drop(reply.send(())),
            Mail::Msg(Ask::Send(count, to, reply)) => {
                (0..count).for_each(|_| to.send(Ask::Note).expect("it lives"));
                reply.send(());
            }
            Mail::Msg(Ask::Compute(time, reply)) => {
                let begin = Instant::now();
                while begin.elapsed() < time {}
                reply.send(());
            }
            Mail::Msg(Ask::Sleep(time)) => tokio::time::sleep(time).await,
        }
    }
}

async fn row(node: &Node, process: &Address<Ask>) -> ProcessRow {
    // What it was told before is booked when it has answered twice.
    for _ in 0..2 {
        process.call(Ask::Answer).await.expect("it answers");
    }
    node.process(process.pid()).expect("it lives")
}

fn pids(page: &ProcessPage) -> Vec<Pid> {
    page.rows.iter().map(|row| row.pid).collect()
}

// proves: PROC-08
#[test]
fn messages_are_counted_on_both_sides_however_many_they_are() {
    check(SEEDS, |node| async move {
        let (from, to) = (node.spawn(serve), node.spawn(serve));
        for count in [0, 3, 1_000] {
            let before = (row(&node, &from).await, row(&node, &to).await);
            from.call(|reply| Ask::Send(count, to.clone(), reply)).await.expect("it answers");
            let after = (row(&node, &from).await, row(&node, &to).await);
            assert_eq!(after.0.sent - before.0.sent, u64::from(count));
            // The two calls of each look, and here the one that made it send.
            assert_eq!(after.0.received - before.0.received, 3);
            assert_eq!(after.1.received - before.1.received, u64::from(count) + 2);
            assert_eq!((after.1.unread, after.1.mailbox_len), (0, 0));
            assert!(after.1.reductions >= before.1.reductions + u64::from(count));
            assert!(after.1.activations > before.1.activations);
        }
    });
}

// proves: PROC-08
#[test]
fn what_piles_up_in_front_of_a_process_that_awaits_something_else_is_seen() {
    check(SEEDS, |node| async move {
        let process = node.spawn(serve);
        process.send(Ask::Sleep(Duration::from_secs(1))).expect("it lives");
        tokio::time::sleep(Duration::from_millis(1)).await;
        (0..70_000).for_each(|_| process.send(Ask::Note).expect("it lives"));
        let seen = node.process(process.pid()).expect("it lives");
        assert_eq!((seen.status, seen.unread, seen.mailbox_len), (Status::Suspended, 0, 65_535));
        let seen = node.process_info(process.pid()).await.expect("it lives").row;
        assert_eq!((seen.unread, seen.mailbox_len, seen.mailbox_peak), (70_000, 70_000, 70_000));
        let seen = row(&node, &process).await;
        // The asking came on top.
        assert_eq!((seen.mailbox_len, seen.mailbox_peak), (0, 70_001));
    });
}

// proves: PROC-08
#[test]
fn the_start_is_kept_and_restarts_are_what_was_noted() {
    check(SEEDS, |node| async move {
        let early = node.spawn(serve);
        tokio::time::sleep(Duration::from_secs(100)).await;
        let late = node.spawn(serve);
        let between = row(&node, &late).await.started - row(&node, &early).await.started;
        assert_eq!(between, Duration::from_secs(100));
        assert_eq!(row(&node, &late).await.restarts, 0);
        assert!(node.note_restarts(late.pid(), 3));
        for _ in 0..100 {
            assert_eq!(row(&node, &late).await.restarts, 3);
        }
        node.exit(late.pid(), Reason::Kill);
        node.wait_exit(late.pid()).await;
        assert!(!node.note_restarts(late.pid(), 3));
        assert_eq!(node.process(late.pid()), None);
    });
}

// proves: PROC-08
#[test]
fn a_search_sorts_filters_and_pages_at_the_source() {
    check(SEEDS, |node| async move {
        let busy: Vec<_> = (0..10_u32).map(|_| node.spawn(serve)).collect();
        let sink = node.spawn(serve);
        for (count, process) in busy.iter().enumerate() {
            let count = 100 * count as u32;
            process.call(|reply| Ask::Send(count, sink.clone(), reply)).await.expect("it answers");
        }
        node.register("the sink", sink.pid()).expect("the name is free");
        row(&node, &sink).await;
        let find =
            async |query: ProcessQuery| node.find_processes(&query).await.expect("it is small");
        let most =
            find(ProcessQuery { order: ProcessOrder::Sent, limit: 3, ..Default::default() }).await;
        let expected: Vec<_> = busy.iter().rev().map(Address::pid).collect();
        assert_eq!(pids(&most), expected[..3]);
        let by = |offset| ProcessQuery {
            order: ProcessOrder::Sent,
            offset,
            limit: 4,
            ..Default::default()
        };
        assert_eq!(pids(&find(by(3)).await), expected[3..7]);
        let all = find(ProcessQuery::default()).await;
        let in_order = busy.iter().map(Address::pid).chain([sink.pid()]).collect::<Vec<_>>();
        let ours: Vec<_> = pids(&all).into_iter().filter(|pid| in_order.contains(pid)).collect();
        assert_eq!(ours, in_order);
        assert_eq!(all.matching, node.process_count());
        let named =
            find(ProcessQuery { text: Some("The SINK".to_owned()), ..Default::default() }).await;
        assert_eq!((pids(&named), named.matching), (vec![sink.pid()], 1));
        let received =
            ProcessQuery { order: ProcessOrder::Received, limit: 1, ..Default::default() };
        assert_eq!(pids(&find(received).await), [sink.pid()]);
        let none = ProcessQuery { limit: 0, ..Default::default() };
        assert_eq!(find(none).await.rows, []);
        let other = ProcessQuery { group: Some("no such".into()), ..Default::default() };
        assert_eq!(find(other).await.matching, 0);
        let large = ProcessQuery { offset: PROCESS_QUERY_MAX, limit: 1, ..Default::default() };
        assert_eq!(node.find_processes(&large).await, Err(QueryTooLarge));
    });
}

// proves: PROC-08
#[test]
fn a_search_over_many_processes_lets_others_run() {
    check(0..1, |node| async move {
        let many: Vec<_> = (0..20_000).map(|_| node.spawn(serve)).collect();
        let asked = node.clone();
        let other = node.spawn(serve);
        let (reply, done) = linden_core::reply_channel();
        node.spawn(|_: Cx<()>| async move {
            let page = asked.find_processes(&ProcessQuery::default()).await.expect("it is small");
            reply.send(page.matching);
        });
        let mut answered = 0_u32;
        let mut done = std::pin::pin!(done);
        let matching = loop {
            tokio::select! {
                biased;
                matching = &mut done => break matching.expect("it is found"),
                answer = other.call(Ask::Answer) => {
                    answer.expect("it answers");
                    answered += 1;
                }
            }
        };
        assert!(matching >= many.len(), "{matching}");
        assert!(answered > 5, "{answered} answers during the search");
    });
}

// proves: PROC-08
#[test]
fn processor_time_is_charged_to_who_computes() {
    on_node(1, |node| async move {
        let (busy, idle) = (node.spawn(serve), node.spawn(serve));
        let computed = Duration::from_millis(6);
        let mut asked = Duration::ZERO;
        while node.process(busy.pid()).expect("it lives").processor_time < 5 * computed {
            busy.call(|reply| Ask::Compute(computed, reply)).await.expect("it answers");
            asked += computed;
            assert!(asked < Duration::from_secs(60), "none of it was charged");
        }
        let rows = (row(&node, &busy).await, row(&node, &idle).await);
        assert!(rows.0.processor_time > rows.1.processor_time, "{rows:?}");
        let query =
            ProcessQuery { order: ProcessOrder::ProcessorTime, limit: 1, ..Default::default() };
        let page = node.find_processes(&query).await.expect("it is small");
        assert_eq!(pids(&page), [busy.pid()]);
    });
}

// proves: PROC-08
#[test]
fn workers_show_what_they_did_and_when_they_had_nothing_to_do() {
    on_node(2, |node| async move {
        let process = node.spawn(serve);
        for _ in 0..100 {
            process.call(Ask::Answer).await.expect("it answers");
        }
        // The test's own thread is none of the workers.
        let idle = || node.worker_rows().iter().map(|row| row.idle).sum::<Duration>();
        while idle() < Duration::from_millis(30) {
            std::thread::yield_now();
        }
        process.call(Ask::Answer).await.expect("it answers");
        let rows = node.worker_rows();
        assert_eq!(rows.len(), 2);
        let sum = |figure: fn(&linden_core::WorkerRow) -> u64| rows.iter().map(figure).sum::<u64>();
        assert!(sum(|row| row.received) >= 100, "{rows:?}");
        assert!(sum(|row| row.activations) > 0 && sum(|row| row.parks) > 0, "{rows:?}");
        for row in &rows {
            assert!(row.idle <= node.uptime() && row.status != WorkerStatus::Vacant, "{row:?}");
        }
        assert!(idle() >= Duration::from_millis(30), "{rows:?}");
    });
}
