//! Signals between processes: links, monitors, exits, their order, and what happens at a death.

mod death;
mod exits;
mod links;
mod monitors;
mod order;
#[path = "../support/puppet.rs"]
mod puppet;
#[path = "../support/stage.rs"]
mod stage;

use linden_core::{Info, Message, Node, Reason, Ref};
use puppet::Puppet;

/// A message that only a number tells from others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Number(usize);

impl Message for Number {}

fn crash() -> Reason {
    Reason::custom("crash")
}

fn exit_of(from: &Puppet, reason: Reason) -> Info {
    Info::Exit { from: from.pid(), reason }
}

async fn linked(node: &Node) -> (Puppet, Puppet) {
    let (a, b) = (Puppet::trapping(node).await, Puppet::trapping(node).await);
    let to = b.pid();
    a.run(move |cx| cx.link(to)).await;
    b.heard().await;
    (a, b)
}

async fn monitored(node: &Node) -> (Puppet, Puppet, Ref) {
    let (watch, target) = (Puppet::spawn(node), Puppet::spawn(node));
    let pid = target.pid();
    let reference = watch.run(move |cx| cx.monitor(pid)).await;
    (watch, target, reference)
}
