//! What a server costs while it waits: the bytes of its cell, state included.

use std::time::Duration;

use linden::prelude::*;
use stage::check;

#[path = "support/stage.rs"]
mod stage;

/// The most bytes that the cell of a server with a state of 8 bytes takes: header, state and future. Its slot in the node's
/// table is 8 bytes more.
const CELL_BYTES_MAX: usize = 160;

#[derive(Default)]
struct Counter {
    count: u64,
}

#[gen_server]
impl Counter {
    #[call]
    fn add(&mut self, n: u64) -> u64 {
        self.count += n;
        self.count
    }

    #[call]
    async fn add_later(&mut self, n: u64) -> u64 {
        tokio::time::sleep(Duration::from_millis(n)).await;
        self.count += n;
        self.count
    }

    #[info]
    async fn hear(&mut self, _info: Info) {}

    #[terminate]
    async fn end(&mut self) {}
}

// proves: SRV-24
#[test]
fn an_idle_server_of_eight_bytes_is_a_cell_of_160() {
    check(0..1, |node| async move {
        let supervisor =
            Supervisor::one_for_one().child(child("counter", Counter::default).name("c"));
        let _supervisor = supervisor.start().await.expect("it starts");
        let counter: CounterClient = ServerRef::by_name(&node, "c").into();
        assert_eq!((counter.add(1).await, counter.add_later(1).await), (Ok(1), Ok(2)));
        let row = node.processes().into_iter().find(|row| row.name.is_some());
        let bytes = row.expect("it lives").cell_size;
        assert!(bytes <= CELL_BYTES_MAX, "{bytes} bytes");
        let slot = linden_core::process_size::<(), ()>() - plain_cell(&node);
        assert!(slot <= 8, "{slot} bytes in the table");
    });
}

/// The cell of a process without a state.
fn plain_cell(node: &Node) -> usize {
    let plain = node.spawn(|_: linden::Cx<()>| std::future::ready(()));
    let row = node.processes().into_iter().find(|row| row.pid == plain.pid());
    row.expect("it has not run yet").cell_size
}

// proves: SRV-24
#[test]
fn the_size_of_a_handlers_future_does_not_count_while_the_server_waits() {
    struct Heavy;
    #[gen_server]
    impl Heavy {
        #[call]
        async fn work(&mut self) -> u64 {
            let room = [1_u64; 512];
            tokio::time::sleep(Duration::from_millis(1)).await;
            room.iter().sum()
        }
    }
    check(0..1, |node| async move {
        let heavy = Heavy::start(|| Heavy).await.expect("it starts");
        assert_eq!(heavy.work().await, Ok(512));
        let bytes = node.processes()[0].cell_size;
        assert!(bytes <= CELL_BYTES_MAX, "{bytes} bytes");
    });
}
