//! What processes and the program have allocated, counted by an allocator that the program has asked for.

use std::alloc::System;

use linden_core::{
    Address, CountingAllocator, Cx, Mail, Message, Node, ProcessOrder, ProcessQuery, Reply,
    live_bytes,
};
use stage::on_node;

#[path = "support/stage.rs"]
mod stage;

#[global_allocator]
static ALLOCATOR: CountingAllocator<System> = CountingAllocator::per_process(System);

enum Order {
    Hold(usize, Reply<()>),
    Free(Reply<()>),
    Answer(Reply<()>),
}

impl Message for Order {}

async fn hold(mut cx: Cx<Order>) {
    let mut held: Vec<Vec<u8>> = Vec::new();
    loop {
        match cx.recv().await {
            Mail::Msg(Order::Hold(bytes, reply)) => {
                held.push(vec![1; bytes]);
                reply.send(());
            }
            Mail::Msg(Order::Free(reply)) => {
                held = Vec::new();
                reply.send(());
            }
            Mail::Msg(Order::Answer(reply)) => drop(reply.send(())),
            Mail::Info(_) if held.len() > 1_000 => return,
            Mail::Info(_) => {}
        }
    }
}

/// Lets the process run until its figure is as expected: it is booked when an activation is over, which may take messages that
/// are sent meanwhile.
async fn until(node: &Node, process: &Address<Order>, is_so: impl Fn(i64) -> bool) {
    loop {
        process.call(Order::Answer).await.expect("it answers");
        let row = node.process(process.pid()).expect("it lives");
        if is_so(row.memory.expect("it is counted")) {
            return;
        }
    }
}

// proves: PROC-09
#[test]
fn what_a_process_holds_is_seen_while_it_holds_it() {
    const BYTES: i64 = 3 << 20;
    // Each message is freed by who reads it, and was allocated by who sent it.
    const DRIFT: i64 = 500_000;
    on_node(2, |node| async move {
        let (small, large) = (node.spawn(hold), node.spawn(hold));
        small.call(|reply| Order::Hold(10, reply)).await.expect("it answers");
        until(&node, &large, |bytes| bytes.abs() < DRIFT).await;
        let live_before = live_bytes().expect("it is counted");
        large.call(|reply| Order::Hold(BYTES as usize, reply)).await.expect("it answers");
        until(&node, &large, |bytes| (BYTES - DRIFT..BYTES + DRIFT).contains(&bytes)).await;
        let live = live_bytes().expect("it is counted") - live_before;
        assert!((BYTES as u64 - 10_000..BYTES as u64 + 100_000).contains(&live), "{live}");
        until(&node, &small, |bytes| bytes.abs() < DRIFT).await;
        let query = ProcessQuery { order: ProcessOrder::Memory, limit: 1, ..Default::default() };
        let page = node.find_processes(&query).await.expect("it is small");
        assert_eq!(page.rows[0].pid, large.pid());
        large.call(Order::Free).await.expect("it answers");
        until(&node, &large, |bytes| bytes.abs() < DRIFT).await;
    });
}
