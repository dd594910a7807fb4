//! The order of signals and messages of one sender.

use linden_core::{Address, Cx, Info, Mail, Node, Reason};

use super::{Number, crash};
use crate::stage::{Journal, SEEDS, check, inside, on_node};

/// What the receiver of `signals_and_messages_arrive_in_the_order_sent` saw.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    Number(usize),
    Exit(Reason),
    Down,
}

fn seen(mail: Mail<Number>) -> Seen {
    match mail {
        Mail::Msg(Number(number)) => Seen::Number(number),
        Mail::Info(Info::Exit { reason, .. }) => Seen::Exit(reason),
        Mail::Info(_) => Seen::Down,
    }
}

/// Sends numbers and exit signals by turns, then ends; gives what must be seen.
async fn send_by_turns(cx: Cx<()>, to: Address<Number>, count: usize) -> Reason {
    cx.link(to.pid());
    for number in 0..count {
        to.send(Number(number)).expect("it lives");
        cx.exit(to.pid(), Reason::custom(number.to_string()));
    }
    crash()
}

fn expected_by_turns(count: usize) -> Vec<Seen> {
    let mut expected: Vec<Seen> = (0..count)
        .flat_map(|number| [Seen::Number(number), Seen::Exit(Reason::custom(number.to_string()))])
        .collect();
    expected.extend([Seen::Exit(crash()), Seen::Down]);
    expected
}

/// The receiver monitors and is linked: it hears of the end last, by the link before the monitor.
// proves: SIG-01, DEATH-03
#[test]
fn signals_and_messages_of_one_sender_arrive_in_the_order_sent() {
    let scenario = |count: usize| {
        move |node: Node| async move {
            let seen = inside(&node, move |mut cx: Cx<Number>| async move {
                cx.trap_exit(true);
                let own = cx.address();
                let sender = cx.spawn(move |cx| send_by_turns(cx, own, count));
                cx.monitor(sender.pid());
                let mut journal = Vec::new();
                for _ in 0..2 * count + 2 {
                    journal.push(seen(cx.recv().await));
                }
                journal
            })
            .await;
            assert_eq!(seen, expected_by_turns(count));
        }
    };
    check(SEEDS, scenario(5));
    on_node(2, scenario(20_000));
}

// proves: SIG-01, SIG-05
#[test]
fn a_message_behind_the_exit_that_ends_its_receiver_is_not_handled() {
    check(SEEDS, |node| async move {
        let journal = Journal::new();
        let reads = journal.clone();
        let receiver = node.spawn(move |mut cx: Cx<Number>| async move {
            while let Mail::Msg(number) = cx.recv().await {
                reads.write(number);
            }
        });
        let to = receiver.clone();
        inside(&node, move |cx: Cx<()>| async move {
            to.send(Number(1)).expect("it lives");
            cx.exit(to.pid(), crash());
            let _ = to.send(Number(2));
        })
        .await;
        node.wait_exit(receiver.pid()).await;
        assert!(!journal.entries().contains(&Number(2)));
    });
}
