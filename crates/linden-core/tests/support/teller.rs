//! A server for the suites about calls: it answers, keeps, drops, crashes and dies on request.
#![allow(dead_code, reason = "each suite uses a part of it")]

use std::collections::VecDeque;

use linden_core::{Address, Cx, Mail, Message, Node, Reason, Reply};

pub(crate) enum Ask {
    /// Answers with the number.
    Echo(u64, Reply<u64>),
    /// Keeps the place for the answer.
    Keep(Reply<u64>),
    /// Answers the oldest that is kept.
    Release(u64),
    /// Drops the place for the answer.
    Refuse(Reply<u64>),
    /// Panics while it holds the place for the answer.
    Crash(Reply<u64>),
    /// Ends.
    End(Reason),
    /// How many requests were read.
    Count(Reply<u64>),
}

impl Message for Ask {}

/// What the server's process runs.
pub(crate) async fn serve(mut cx: Cx<Ask>) -> Reason {
    let mut kept: VecDeque<Reply<u64>> = VecDeque::new();
    let mut read = 0;
    loop {
        let Mail::Msg(ask) = cx.recv().await else { continue };
        read += 1;
        match ask {
            Ask::Echo(number, reply) => {
                reply.send(number);
            }
            Ask::Keep(reply) => kept.push_back(reply),
            Ask::Release(number) => {
                if let Some(reply) = kept.pop_front() {
                    reply.send(number);
                }
            }
            Ask::Refuse(reply) => drop(reply),
            Ask::Crash(_reply) => panic!("the handler crashed"),
            Ask::End(reason) => return reason,
            Ask::Count(reply) => {
                reply.send(read);
            }
        }
    }
}

pub(crate) fn teller(node: &Node) -> Address<Ask> {
    node.spawn(serve)
}
