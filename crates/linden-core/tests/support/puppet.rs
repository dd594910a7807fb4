//! A process that does what a test tells it, and keeps the news that it hears.
#![allow(dead_code, reason = "each suite uses a part of it")]

use std::collections::VecDeque;

use linden_core::{Address, Cx, Info, Mail, Message, Node, Pid, Reason, Reply};

type Deed = Box<dyn FnOnce(&Cx<Order>) + Send>;

pub(crate) enum Order {
    Do(Deed),
    /// Asks for the next news, now or later.
    Hear(Reply<Info>),
    /// Asks for the news so far that nobody asked for.
    Heard(Reply<Vec<Info>>),
    End(Reason),
}

impl Message for Order {}

/// The handle of a puppet.
#[derive(Clone, Debug)]
pub(crate) struct Puppet(pub(crate) Address<Order>);

/// What a puppet's process runs.
pub(crate) async fn obey(mut cx: Cx<Order>) -> Reason {
    let mut news: VecDeque<Info> = VecDeque::new();
    let mut asking: VecDeque<Reply<Info>> = VecDeque::new();
    loop {
        match cx.recv().await {
            // The node stops.
            Mail::Info(Info::Exit { from, reason: Reason::Shutdown })
                if from == Pid::outside(cx.pid().node()) =>
            {
                return Reason::Shutdown;
            }
            Mail::Info(info) => news.push_back(info),
            Mail::Msg(Order::Do(deed)) => deed(&cx),
            Mail::Msg(Order::Hear(reply)) => asking.push_back(reply),
            Mail::Msg(Order::Heard(reply)) => {
                reply.send(news.drain(..).collect());
            }
            Mail::Msg(Order::End(reason)) => return reason,
        }
        while !news.is_empty() && !asking.is_empty() {
            if let (Some(info), Some(reply)) = (news.pop_front(), asking.pop_front()) {
                reply.send(info);
            }
        }
    }
}

impl Puppet {
    pub(crate) fn spawn(node: &Node) -> Self {
        Self(node.spawn(obey))
    }

    /// A puppet that traps exits.
    pub(crate) async fn trapping(node: &Node) -> Self {
        let puppet = Self::spawn(node);
        puppet.run(|cx| cx.trap_exit(true)).await;
        puppet
    }

    pub(crate) fn pid(&self) -> Pid {
        self.0.pid()
    }

    /// Runs `deed` as the puppet, and waits for what it returns.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        deed: impl FnOnce(&Cx<Order>) -> T + Send + 'static,
    ) -> T {
        let run = self.0.call(|reply| {
            Order::Do(Box::new(move |cx| {
                reply.send(deed(cx));
            }))
        });
        run.await.expect("the puppet lives")
    }

    /// Tells the puppet to run `deed`, and does not wait.
    pub(crate) fn cast(&self, deed: impl FnOnce(&Cx<Order>) + Send + 'static) {
        self.0.send(Order::Do(Box::new(deed))).expect("the puppet lives");
    }

    pub(crate) fn end(&self, reason: Reason) {
        self.0.send(Order::End(reason)).expect("the puppet lives");
    }

    /// The next news.
    pub(crate) async fn hear(&self) -> Info {
        self.0.call(Order::Hear).await.expect("the puppet lives")
    }

    /// The news so far.
    pub(crate) async fn heard(&self) -> Vec<Info> {
        self.0.call(Order::Heard).await.expect("the puppet lives")
    }

    pub(crate) async fn links(&self) -> Vec<Pid> {
        self.run(|cx| cx.info().links).await
    }
}
