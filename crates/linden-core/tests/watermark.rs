//! The alarm about all mailboxes of a node together.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use linden_core::{
    Address, Cx, Mail, MailboxAlarm, MailboxListener, Message, Node, NodeOptions, Reply,
};

enum Order {
    Note,
    /// Suspends the process until the test answers.
    Wait(std::sync::mpsc::Sender<Reply<()>>),
    Answer(Reply<()>),
}

impl Message for Order {}

async fn obey(mut cx: Cx<Order>) {
    loop {
        match cx.recv().await {
            Mail::Msg(Order::Note) => {}
            Mail::Msg(Order::Wait(hands_out)) => {
                let (reply, answered) = linden_core::reply_channel();
                let _ = hands_out.send(reply);
                let _ = answered.await;
            }
            Mail::Msg(Order::Answer(reply)) => drop(reply.send(())),
            Mail::Info(_) => return,
        }
    }
}

struct Told(Mutex<Sender<MailboxAlarm>>);

impl MailboxListener for Told {
    fn above_watermark(&self, alarm: &MailboxAlarm) {
        let _ = self.0.lock().expect("nobody panics with it").send(alarm.clone());
    }
}

/// Keeps a worker awake, so that the watch looks, until `is_so`.
fn until(node: &Node, other: &Address<Order>, mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        node.block_on(async { other.call(Order::Answer).await.expect("it answers") });
    }
}

fn suspend(process: &Address<Order>) -> Reply<()> {
    let (hands_out, replies) = channel();
    process.send(Order::Wait(hands_out)).expect("it lives");
    replies.recv().expect("it waits")
}

// proves: LIMIT-08
#[test]
fn more_messages_than_the_watermark_are_told_once_with_the_longest_mailboxes() {
    let (tells, told) = channel();
    let node = Node::start(NodeOptions {
        workers: 2,
        mailbox_watermark: Some(100),
        mailbox_listener: Some(Arc::new(Told(Mutex::new(tells)))),
        ..NodeOptions::default()
    })
    .expect("the system gives threads");
    let (long, short, other) = (node.spawn(obey), node.spawn(obey), node.spawn(obey));
    node.register("the long one", long.pid()).expect("the name is free");
    for _ in 0..2 {
        let (release_long, release_short) = (suspend(&long), suspend(&short));
        (0..90).for_each(|_| long.send(Order::Note).expect("it lives"));
        until(&node, &other, || node.mailboxes().waiting >= 90);
        assert!(!node.mailboxes().is_above);
        (0..20).for_each(|_| short.send(Order::Note).expect("it lives"));
        until(&node, &other, || node.mailboxes().is_above);
        let alarm = told.recv().expect("the node lives");
        assert_eq!(alarm.watermark, 100);
        assert!((101..=112).contains(&alarm.waiting), "{alarm:?}");
        let longest: Vec<_> = alarm.longest.iter().map(|row| row.pid).collect();
        assert_eq!(longest[..2], [long.pid(), short.pid()]);
        assert_eq!(alarm.longest[0].name.as_deref(), Some("the long one"));
        // Fewer than the watermark, and more than half of it: the alarm stands.
        release_short.send(());
        until(&node, &other, || node.mailboxes().waiting <= 92);
        assert!(node.mailboxes().is_above);
        (0..20).for_each(|_| long.send(Order::Note).expect("it lives"));
        until(&node, &other, || node.mailboxes().waiting >= 110);
        release_long.send(());
        until(&node, &other, || !node.mailboxes().is_above);
        assert!(told.try_recv().is_err(), "it is told once");
    }
    node.stop(Duration::from_secs(1));
}
