//! An idle node rests: the CPU time of the whole OS process is measured, so this file has one test and no other may join it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use linden_core::{Cx, Info, Mail, Node, NodeOptions, Reason};

/// Time spent by this OS process, user and system, in clock ticks of 10 ms.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name, which is in parentheses, comes the third field; the times are the fields 14 and 15.
    let (_, behind_name) = stat.rsplit_once(')').unwrap();
    let times = behind_name.split_whitespace().skip(14 - 3).take(2);
    times.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

// proves: NODE-30
#[test]
fn a_node_that_waits_for_a_timer_uses_no_cpu_time() {
    let node = Node::start(NodeOptions { workers: 2, ..NodeOptions::default() }).unwrap();
    let process = node.spawn(|mut cx: Cx<()>| async move {
        let timer = cx.start_timer(Duration::from_secs(1));
        let mail = cx.recv().await;
        assert!(matches!(mail, Mail::Info(Info::Timer(fired)) if fired == timer.reference()));
    });
    let before = cpu_ticks();
    let reason = node.block_on(node.wait_exit(process.pid()));
    let used = cpu_ticks() - before;
    assert_eq!(reason, Reason::Normal);
    assert!(used < 10, "{used} ticks");
    node.stop(Duration::from_secs(5));
}
