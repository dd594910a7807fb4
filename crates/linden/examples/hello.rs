//! A first service: a supervised counter that is called, crashes, and is called again.

use linden::prelude::*;

#[derive(Default, Debug)]
struct Counter {
    total: u64,
}

#[gen_server(name = "counter")]
impl Counter {
    #[call]
    fn add(&mut self, n: u64) -> u64 {
        self.total += n;
        self.total
    }

    #[cast]
    fn crash(&mut self) {
        panic!("let it crash");
    }
}

struct Counting;

impl Application for Counting {
    const NAME: &'static str = "counting";
    type Config = linden::NoConfig;

    fn start(&self, _: Self::Config) -> Result<Supervisor, BoxError> {
        Ok(Supervisor::one_for_one().child(child("counter", Counter::default)))
    }
}

#[linden::main]
async fn main(node: NodeBuilder) -> Result<(), NodeError> {
    let booted = node.application(Counting).boot().await?;
    let counter = Counter::named_on(&booted.node);
    println!("{:?}, then {:?}", counter.add(2).await, counter.add(3).await);

    counter.crash();
    while counter.add(0).await.is_err() {}
    println!("after the crash: {:?}", counter.add(7).await);
    booted.stop().await
}
