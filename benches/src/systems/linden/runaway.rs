//! Linden in `runaway`: a process that serves a socket, asks a gen_server for each tick, and lets others run beside.

use std::convert::Infallible;
use std::hint::{black_box, spin_loop};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use linden::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{CounterClient, ask, drive, start, start_counter};
use crate::measure::{self, Params};
use crate::outcome::{Metric, Unsupported};
use crate::scenario::{Beside, Variant};
use crate::ticker::{TICK_BYTES, Ticker};

/// Serves while the ticker ticks; the loops end with this OS process.
pub(super) fn run(variant: Variant, params: Params) -> Result<Vec<Metric>, Unsupported> {
    let beside = variant.beside().ok_or_else(Unsupported::takes_no_part)?;
    let node = start(params.workers);
    let counter = start_counter(&node);
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = drive(&node, TcpListener::bind(addr)).expect("there is a free port");
    let server = listener.local_addr().expect("it is bound");
    {
        let _inside = node.enter();
        drop(Task::spawn_unlinked(serve(listener, counter, beside)));
    }
    let metrics = Ticker::of(server, params).tick_apart().expect("each tick is answered");
    // A node's end waits for its processes.
    std::mem::forget(node);
    Ok(metrics)
}

/// Serves one connection, until it ends.
async fn serve(
    listener: TcpListener,
    counter: CounterClient,
    beside: Beside,
) -> io::Result<Infallible> {
    let (mut stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let mut tick = [0; TICK_BYTES];
    loop {
        stream.read_exact(&mut tick).await?;
        if ask(&counter).await == measure::TICKS_ALONE {
            begin(beside).await;
        }
        stream.write_all(&tick).await?;
    }
}

/// Lets others run beside from now on.
async fn begin(beside: Beside) {
    let (runaways, work) = match beside {
        Beside::Loops(loops) => (loops, None),
        Beside::Repeats(processes) => (processes, Some(measure::REPEATED_WORK)),
    };
    for _ in 0..runaways {
        let runaway = Runaway::start(move || Runaway { work }).await.expect("it starts");
        runaway.compute();
    }
}

/// Computes without giving its worker back.
#[derive(Debug)]
struct Runaway {
    /// How long at a time; `None`: without end.
    work: Option<Duration>,
}

#[gen_server]
impl Runaway {
    #[cast]
    fn compute(&mut self, cx: &mut Context<Self>) {
        let begin = Instant::now();
        while self.work.is_none_or(|work| begin.elapsed() < work) {
            black_box(begin);
            spin_loop();
        }
        cx.client().compute();
    }
}
