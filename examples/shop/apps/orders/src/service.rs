//! The process `orders_service`: takes orders, knows what became of them, wakes those that sleep.
//!
//! The service itself never waits: what goes to the disk gathers while that is busy ([`Disk`]). It
//! holds nothing that a crash could lose. An order's process is found by its name, `order_7`; now and
//! then the service looks through the orders that are not finished and starts a process for each that
//! has none: after a crash of the process, of this service, or of the node.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use linden::{Cx, prelude::*};
use redb::Database;
use shop_billing::{IdempotencyKey, Timestamp, UserId};
use shop_catalog::{Lines, OrderId};
use shop_storage::{Disk, Fault, Returned};

use crate::{
    Order, OrderPage, OrdersError, Stage,
    journal::{self, NewOrder},
    process,
};

/// Most orders of one page.
pub const PAGE_LEN_MAX: usize = 100;
/// How often the process of an order that is to be given up is looked for.
const GIVE_UP_TRIES: usize = 3;

/// The name of the supervisor of the orders' processes.
pub(crate) const PROCESSES: &str = "order_processes";

/// The state of `orders_service`.
#[derive(Debug)]
pub struct OrdersService {
    disk: Disk,
    running_max: u64,
    revive_every: Duration,
}

impl OrdersService {
    /// A service on an open file.
    pub(crate) fn new(
        database: Arc<Database>,
        waiting_max: usize,
        running_max: u64,
        revive_every: Duration,
    ) -> OrdersService {
        OrdersService { disk: Disk::new(database, waiting_max), running_max, revive_every }
    }
}

#[gen_server(name = "orders_service")]
impl OrdersService {
    /// Takes an order. It is on disk when the answer comes, and goes on by itself from there. `key` is
    /// the user's name for it: repeated, also after a crash, this gives the same order again.
    #[call]
    pub fn place(
        &mut self,
        user_id: UserId,
        lines: Lines,
        key: IdempotencyKey,
        reply: Reply<Result<Order, OrdersError>>,
        cx: &mut Context<Self>,
    ) {
        let (own, now, running_max) = (cx.client(), now(), self.running_max);
        let new = NewOrder { user_id, lines, key };
        self.disk.write_then(
            reply,
            move |transaction| journal::place(transaction, new, now, running_max),
            move |placed| {
                if let Ok(order) = placed
                    && !order.stage.is_final()
                {
                    own.begin(order.id);
                }
            },
        );
        self.visit(cx);
    }

    /// An order of the user.
    #[call]
    pub fn order(
        &mut self,
        user_id: UserId,
        order_id: OrderId,
        reply: Reply<Result<Order, OrdersError>>,
        cx: &mut Context<Self>,
    ) {
        self.disk.read(reply, move |transaction| journal::order(transaction, user_id, order_id));
        self.visit(cx);
    }

    /// Up to `limit` orders of the user, at most [`PAGE_LEN_MAX`], newest first, of those older than
    /// `before`.
    #[call]
    pub fn orders_of(
        &mut self,
        user_id: UserId,
        before: Option<OrderId>,
        limit: usize,
        reply: Reply<Result<OrderPage, OrdersError>>,
        cx: &mut Context<Self>,
    ) {
        let limit = limit.clamp(1, PAGE_LEN_MAX);
        self.disk.read(reply, move |transaction| {
            journal::page(transaction, user_id, before, limit).map(Ok)
        });
        self.visit(cx);
    }

    /// Gives an order of the user up, if it is not sold yet. When the answer comes, that it is given
    /// up is on disk; what it did is undone from there.
    #[call]
    pub fn cancel(
        &mut self,
        user_id: UserId,
        order_id: OrderId,
        reply: Reply<Result<Order, OrdersError>>,
        cx: &mut Context<Self>,
    ) {
        let (own, node) = (cx.client(), cx.node().clone());
        linden::spawn(move |_: Cx<()>| async move {
            reply.send(give_up(&own, &node, user_id, order_id).await);
        });
    }

    /// Answers: the service lives.
    #[call]
    pub fn ping(&self) {}

    /// Suffers a fault, for tests and demonstrations.
    #[cast]
    pub async fn suffer(&mut self, fault: shop_chaos::Fault, cx: &mut Context<Self>) {
        if let Some(rest) = fault.strike().await {
            cx.client().suffer(rest);
        }
    }

    /// An order, for its process.
    #[call]
    pub(crate) fn load(
        &mut self,
        order_id: OrderId,
        reply: Reply<Result<Order, OrdersError>>,
        cx: &mut Context<Self>,
    ) {
        self.disk.read(reply, move |transaction| journal::load(transaction, order_id));
        self.visit(cx);
    }

    /// Writes down that an order came to `stage`, for its process, which knows it at `version`.
    #[call]
    pub(crate) fn record(
        &mut self,
        order_id: OrderId,
        version: u64,
        stage: Stage,
        reply: Reply<Result<Order, OrdersError>>,
        cx: &mut Context<Self>,
    ) {
        let now = now();
        self.disk.write(reply, move |transaction| {
            journal::record(transaction, order_id, version, stage, now)
        });
        self.visit(cx);
    }

    #[init]
    fn start(&mut self, cx: &mut Context<Self>) {
        cx.client().revive();
    }

    /// Begins every order that is on its way and has no process, now and then again.
    #[cast]
    fn revive(&mut self, cx: &mut Context<Self>) {
        let reply = Reply::<Result<(), OrdersError>>::unwanted();
        let own = cx.client();
        self.disk.read(reply, move |transaction| {
            journal::unfinished(transaction)?.into_iter().for_each(|id| own.begin(id));
            Ok(Ok(()))
        });
        self.visit(cx);
        cx.send_after(self.revive_every, OrdersServiceMsg::Revive {});
    }

    /// Starts the order's process, unless it runs. A start that fails is made up for when the service
    /// looks through the unfinished orders the next time.
    #[cast]
    fn begin(&mut self, order_id: OrderId, cx: &mut Context<Self>) {
        if cx.node().whereis(&process::name(order_id)).is_some() {
            return;
        }
        let processes = DynamicRef::<OrderId>::by_name(cx.node(), PROCESSES);
        linden::spawn(move |_: Cx<()>| async move {
            let _ = processes.start_child(order_id).await;
        });
    }

    /// A visit to the disk is through. Sent by the process that made it.
    #[cast]
    fn returned(&mut self, visit: Returned, cx: &mut Context<Self>) {
        self.disk.returned(visit);
        self.visit(cx);
    }

    fn visit(&mut self, cx: &mut Context<Self>) {
        while let Some(visit) = self.disk.depart() {
            let own = cx.client();
            cx.spawn_link(|_: Cx<()>| async move {
                own.returned(visit.run().await?);
                Ok::<(), Fault>(())
            });
        }
    }
}

/// Asks the order's process to give it up. One that has ended meanwhile had nothing left to do, mostly: then the order itself
/// says that it is too late.
async fn give_up(
    orders: &OrdersServiceClient,
    node: &Node,
    user_id: UserId,
    order_id: OrderId,
) -> Result<Order, OrdersError> {
    let unavailable = OrdersError::Unavailable { order_id };
    for _ in 0..GIVE_UP_TRIES {
        match orders.order(user_id, order_id).await {
            Ok(Ok(order)) if order.stage.is_final() => {
                return Err(OrdersError::TooLate { order_id });
            }
            Ok(Ok(_)) => {}
            Ok(refused) => return refused,
            Err(_) => return Err(unavailable),
        }
        if let Ok(answer) = process::client(node, order_id).cancel().await {
            return answer;
        }
    }
    Err(unavailable)
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
