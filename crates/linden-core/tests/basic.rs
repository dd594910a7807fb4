//! Smoke.
use linden_core::*;
use std::time::Duration;
enum Count {
    Add(u64),
    Total(Reply<u64>),
    Crash,
}
impl Message for Count {}
async fn counter(mut cx: Cx<Count>) {
    let mut total = 0;
    loop {
        match cx.recv().await {
            Mail::Msg(Count::Add(n)) => total += n,
            Mail::Msg(Count::Total(reply)) => {
                reply.send(total);
            }
            Mail::Msg(Count::Crash) => panic!("boom"),
            Mail::Info(_) => {}
        }
    }
}
#[test]
fn smoke() {
    let node = Node::start(NodeOptions {
        panic_output: PanicOutput::CrashReportOnly,
        ..Default::default()
    })
    .unwrap();
    let c = node.spawn(counter);
    for _ in 0..1000 {
        c.send(Count::Add(1)).unwrap();
    }
    assert_eq!(node.block_on(c.call(Count::Total)), Ok(1000));
    let t = std::time::Instant::now();
    let c2 = c.clone();
    let node2 = node.clone();
    let p: Address<()> = node.spawn(move |_cx: Cx<()>| async move {
        let n = 1_000_000;
        let t = std::time::Instant::now();
        for _ in 0..n {
            c2.call(Count::Total).await.unwrap();
        }
        println!("call {} ns", t.elapsed().as_nanos() / n);
        drop(node2);
    });
    let r = node.block_on(node.wait_exit(p.pid()));
    assert_eq!(r, Reason::Normal);
    println!("{:?}", t.elapsed());
    c.send(Count::Crash).unwrap();
    println!("{:?}", node.block_on(c.call(Count::Total)));
    println!("{:?}", node.block_on(c.call(Count::Total)));
    println!("{:?}", node.stop(Duration::from_secs(1)));
    println!("size {}", process_size::<Count, ()>());
}
