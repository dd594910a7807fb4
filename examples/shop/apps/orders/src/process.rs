//! The process of one order: does what its [`Saga`] says, step by step.
//!
//! It may wait, since nobody but its order waits for it. It holds nothing that is not on disk: when it
//! crashes, or when it does not know whether a stage was written, the order is read again and its
//! step repeated. The name `order_7` is the lock: an order has one process at most.

use std::{fmt, sync::Arc, time::Duration};

use linden::prelude::*;
use shop_catalog::{CatalogError, CatalogService, OrderId};
use shop_notifications::{Kind, Notice, NotificationsService};

use crate::{
    Action, Begun, Cause, Event, Next, Order, OrdersError, OrdersService, PayError, Payments,
    RetryPolicy, Saga, Stage,
};

/// The name of an order's process.
pub(crate) fn name(order_id: OrderId) -> String {
    format!("order_{order_id}")
}

/// The order's process, if it runs.
pub(crate) fn client(node: &Node, order_id: OrderId) -> OrderProcessClient {
    ServerRef::by_name(node, &name(order_id)).into()
}

/// What every order's process needs.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) payments: Arc<dyn Payments>,
    pub(crate) retry: RetryPolicy,
    /// How long a step may take.
    pub(crate) step_timeout: Duration,
}

/// The state of an order's process.
pub(crate) struct OrderProcess {
    order_id: OrderId,
    plan: Plan,
    /// The order as it is on disk; `None` until it was read, and when that is in doubt.
    run: Option<Run>,
    /// The turn that counts: what was meant for an earlier one comes too late.
    turn: u64,
    /// Failures to reach `orders_service` in a row.
    failed: u32,
    /// The log has it that the refund is refused.
    is_refusal_told: bool,
}

struct Run {
    order: Order,
    saga: Saga,
}

impl OrderProcess {
    pub(crate) fn new(order_id: OrderId, plan: Plan) -> OrderProcess {
        OrderProcess { order_id, plan, run: None, turn: 0, failed: 0, is_refusal_told: false }
    }
}

/// For observers and crash reports: how far the order is.
impl fmt::Debug for OrderProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = self.run.as_ref().map(|run| run.order.stage.name());
        f.debug_struct("OrderProcess")
            .field("order_id", &self.order_id)
            .field("stage", &stage)
            .field("turn", &self.turn)
            .finish_non_exhaustive()
    }
}

#[gen_server]
impl OrderProcess {
    #[init]
    fn begin(&mut self, cx: &mut Context<Self>) -> Result<(), Stop> {
        // Another process of this order was faster.
        cx.register(&name(self.order_id)).map_err(|_| Stop::Ignore)?;
        self.go_on(cx);
        Ok(())
    }

    /// Gives the order up, if it is not too late.
    #[call]
    async fn cancel(&mut self, cx: &mut Context<Self>) -> Result<Order, OrdersError> {
        let order_id = self.order_id;
        if self.run.is_none() {
            self.read().await.map_err(|_| OrdersError::Unavailable { order_id })?;
        }
        let run = self.run.as_mut().expect("it was read");
        let Next::Record(stage) = run.saga.on(Event::Cancelled) else {
            return Err(OrdersError::TooLate { order_id });
        };
        self.write(stage, cx).await;
        match &self.run {
            Some(run) => Ok(run.order.clone()),
            None => Err(OrdersError::Unavailable { order_id }),
        }
    }

    /// Takes one step.
    #[cast]
    async fn step(&mut self, turn: u64, cx: &mut Context<Self>) {
        if turn != self.turn {
            return;
        }
        if self.run.is_none() && self.read().await.is_err() {
            return self.try_later(cx);
        }
        let run = self.run.as_ref().expect("it was read");
        let Some(action) = run.saga.action() else {
            cx.stop(Reason::Normal);
            return;
        };
        let event = self.plan.perform(&run.order, action).await;
        if let Event::NotRefunded { reason } = &event {
            self.tell_refusal(reason);
        }
        let run = self.run.as_mut().expect("it was read");
        match run.saga.on(event) {
            Next::Record(stage) => self.write(stage, cx).await,
            Next::Again(pause) => self.go_on_after(pause, cx),
            Next::Ignore => self.go_on(cx),
        }
    }

    async fn read(&mut self) -> Result<(), OrdersError> {
        let order_id = self.order_id;
        let order = OrdersService::named().load(order_id).await;
        let order = order.unwrap_or(Err(OrdersError::Unavailable { order_id }))?;
        let saga = Saga::new(order.stage.clone(), Begun::Perhaps, self.plan.retry);
        self.failed = 0;
        self.run = Some(Run { order, saga });
        Ok(())
    }

    /// Writes the stage down and goes on from it. When it is not known whether it was written, the
    /// order is read again.
    async fn write(&mut self, stage: Stage, cx: &mut Context<Self>) {
        let Some(Run { order, mut saga }) = self.run.take() else { return };
        let written = OrdersService::named().record(order.id, order.version, stage).await;
        let Ok(Ok(order)) = written else {
            return self.try_later(cx);
        };
        saga.recorded(order.stage.clone());
        if let Some(notice) = progress(&order) {
            NotificationsService::named().progress(notice);
        }
        self.run = Some(Run { order, saga });
        self.go_on(cx);
    }

    /// A refund that is refused is tried again until somebody has looked at it: one line asks for that.
    fn tell_refusal(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.is_refusal_told, true) {
            let order_id = self.order_id;
            tracing::error!(%order_id, reason, "a refund is refused; mend the account, it is tried again");
        }
    }

    fn try_later(&mut self, cx: &mut Context<Self>) {
        self.failed = self.failed.saturating_add(1);
        self.go_on_after(self.plan.retry.pause(self.failed), cx);
    }

    /// The next step, after what has come meanwhile.
    fn go_on(&mut self, cx: &mut Context<Self>) {
        self.turn += 1;
        cx.client().step(self.turn);
    }

    fn go_on_after(&mut self, pause: Duration, cx: &mut Context<Self>) {
        self.turn += 1;
        cx.send_after(pause, OrderProcessMsg::Step { turn: self.turn });
    }
}

impl Plan {
    /// Does it, and says what came of it.
    async fn perform(&self, order: &Order, action: Action) -> Event {
        let (order_id, user_id) = (order.id, order.user_id);
        match action {
            Action::Reserve => self.reserve(order).await,
            Action::Pay { total } => match self.payments.pay(order_id, user_id, total).await {
                Ok(payment) => Event::Paid(payment),
                Err(PayError::Refused { reason }) => Event::NotPaid { reason },
                Err(PayError::Unavailable { .. }) => failed("take the payment"),
            },
            Action::Confirm => self.confirm(order_id).await,
            Action::Refund(bill) => match self.payments.refund(order_id, user_id, bill).await {
                Ok(()) => Event::Refunded,
                Err(PayError::Refused { reason }) => Event::NotRefunded { reason },
                Err(PayError::Unavailable { .. }) => failed("give the payment back"),
            },
            Action::Release => {
                let release =
                    CatalogService::named().release(order_id).timeout(self.step_timeout).await;
                if matches!(release, Ok(Ok(()))) {
                    Event::Released
                } else {
                    failed("release the reservation")
                }
            }
            Action::TellCompleted(bill) => {
                let text = format!("order {order_id} is paid, {}, and on its way", bill.total);
                self.tell(Notice { user_id, order_id, kind: Kind::Completed, text }).await
            }
            Action::TellRejected(cause) => {
                let text = format!("order {order_id} came to nothing: {cause}");
                self.tell(Notice { user_id, order_id, kind: Kind::Rejected, text }).await
            }
        }
    }

    async fn reserve(&self, order: &Order) -> Event {
        let catalog = CatalogService::named();
        let reserve = catalog.reserve(order.id, order.lines.clone());
        match reserve.timeout(self.step_timeout).await {
            Ok(Ok(reservation)) => Event::Reserved { total: reservation.total },
            Err(_) | Ok(Err(CatalogError::Overloaded(_))) => failed("reserve what was ordered"),
            Ok(Err(CatalogError::OutOfStock { sku, .. })) => {
                Event::NotReserved(Cause::OutOfStock { sku })
            }
            Ok(Err(refusal)) => Event::NotReserved(Cause::NotSold { reason: refusal.to_string() }),
        }
    }

    async fn confirm(&self, order_id: OrderId) -> Event {
        let confirm = CatalogService::named().confirm(order_id).timeout(self.step_timeout).await;
        match confirm {
            Ok(Ok(())) => Event::Confirmed,
            Err(_) | Ok(Err(CatalogError::Overloaded(_))) => failed("sell what was ordered"),
            Ok(Err(_)) => Event::Lost,
        }
    }

    async fn tell(&self, notice: Notice) -> Event {
        let notify = NotificationsService::named().notify(notice).timeout(self.step_timeout).await;
        if matches!(notify, Ok(Ok(_))) { Event::Told } else { failed("tell the user") }
    }
}

fn failed(step: &str) -> Event {
    Event::Failed { step: step.to_owned() }
}

/// What those who look on are told of the order's new stage. The ends are told as messages.
fn progress(order: &Order) -> Option<Notice> {
    let (order_id, user_id) = (order.id, order.user_id);
    let (kind, text) = match &order.stage {
        Stage::Reserved { total } => {
            (Kind::Reserved, format!("what order {order_id} wants is held; it costs {total}"))
        }
        Stage::Paid(bill) => (Kind::Paid, format!("order {order_id} is paid: {}", bill.total)),
        Stage::Settling { cause, .. }
        | Stage::Refunding { cause, .. }
        | Stage::Releasing { cause, .. } => {
            (Kind::Undoing, format!("order {order_id} is given up: {cause}"))
        }
        _ => return None,
    };
    Some(Notice { user_id, order_id, kind, text })
}
