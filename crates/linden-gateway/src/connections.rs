//! The keeper of the connections: their parent, linked to each, which counts them in and out and tells them to drain. The
//! processes that take connections over (WebSockets) are its children too; they hear of the drain by the gateway's signal.
//!
//! It traps exits, so that a connection that crashes takes nobody with it. When the keeper itself ends, its links end the
//! connections.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use linden::prelude::*;
use linden::{Address, Context, Cx, Message, gen_server};

use crate::acceptor::Newcomer;
use crate::connection::{self, Told};
use crate::shared::Shared;

/// How long connections that were told to end may take. What takes longer is stuck in a handler that never awaits, and is
/// not waited for.
const CUT_WAIT: Duration = Duration::from_secs(1);

/// How a drain went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Drained {
    /// Connections that ended by themselves within the grace.
    pub ended: usize,
    /// Connections that were still open after it, and were closed.
    pub cut: usize,
}

/// See the head of this file.
pub(crate) struct Connections {
    shared: Arc<Shared>,
    open: HashMap<Pid, Open>,
    drain: Option<Drain>,
}

/// A process that has a connection.
enum Open {
    /// It speaks HTTP.
    Http(Address<Told>),
    /// It has taken the connection over.
    TakenOver,
}

/// A process to be, of whatever message type.
pub(crate) struct Newborn(Box<Spawn>);

/// Starts a process as the keeper's child.
type Spawn = dyn FnOnce(&mut Context<Connections>) -> Pid + Send;

impl Newborn {
    /// `body` makes the process's future.
    pub(crate) fn new<M, F>(body: impl FnOnce(Cx<M>) -> F + Send + 'static) -> Self
    where
        M: Message,
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Box::new(move |cx| cx.spawn_link(body).pid()))
    }
}

/// A drain on its way.
#[derive(Default)]
struct Drain {
    drained: Drained,
    replies: Vec<Reply<Drained>>,
    /// The grace is over.
    is_cut: bool,
}

impl Connections {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, open: HashMap::new(), drain: None }
    }

    fn answer_drain(&mut self) {
        if let Some(drain) = &mut self.drain {
            for reply in drain.replies.drain(..) {
                reply.send(drain.drained);
            }
        }
    }
}

#[gen_server]
impl Connections {
    #[init]
    fn begin(&mut self, cx: &mut Context<Self>) {
        cx.trap_exit(true);
        cx.set_label(format!("connections of {}", self.shared.local_addr));
        *self.shared.connections.lock() = Some(cx.client());
    }

    /// Serves a connection by a process of its own.
    #[cast]
    pub(crate) fn serve(&mut self, newcomer: Newcomer, cx: &mut Context<Self>) {
        let parts = newcomer.serve();
        let shared = self.shared.clone();
        let address = cx.spawn_link(|cx| connection::serve(cx, parts, shared));
        if self.drain.is_some() {
            let _ = address.send(Told::Drain);
        }
        self.open.insert(address.pid(), Open::Http(address));
    }

    /// Starts a process that takes a connection over.
    #[cast]
    pub(crate) fn adopt(&mut self, newborn: Newborn, cx: &mut Context<Self>) {
        let pid = newborn.0(cx);
        self.open.insert(pid, Open::TakenOver);
    }

    /// Ends all connections in good order; answered when the last one is gone.
    #[call]
    pub(crate) fn drain(&mut self, grace: Duration, reply: Reply<Drained>, cx: &mut Context<Self>) {
        if self.drain.is_none() {
            for open in self.open.values() {
                if let Open::Http(connection) = open {
                    let _ = connection.send(Told::Drain);
                }
            }
        }
        self.drain.get_or_insert_default().replies.push(reply);
        if self.open.is_empty() {
            return self.answer_drain();
        }
        cx.send_after(grace, ConnectionsMsg::Cut {});
    }

    /// The grace is over.
    #[cast]
    pub(crate) fn cut(&mut self, cx: &mut Context<Self>) {
        let Some(drain) = &mut self.drain else { return };
        if drain.is_cut {
            return;
        }
        drain.is_cut = true;
        drain.drained.cut = self.open.len();
        for &connection in self.open.keys() {
            cx.exit(connection, Reason::Shutdown);
        }
        cx.send_after(CUT_WAIT, ConnectionsMsg::WaitNoLonger {});
    }

    /// Connections that were told to end are stuck.
    #[cast]
    pub(crate) fn wait_no_longer(&mut self) {
        self.answer_drain();
    }

    #[info]
    fn connection_ended(&mut self, info: Info) {
        let Info::Exit { from, .. } = info else { return };
        if self.open.remove(&from).is_none() {
            return;
        }
        if let Some(drain) = &mut self.drain {
            if !drain.is_cut {
                drain.drained.ended += 1;
            }
            if self.open.is_empty() {
                self.answer_drain();
            }
        }
    }
}
