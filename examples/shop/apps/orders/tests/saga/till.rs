//! A till in place of billing: a server that takes payments, and refuses, crashes, or lets others
//! crash when its script says so. Its books outlive it, as a file would.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use linden::{NoConfig, prelude::*};
use shop_orders::{Bill, Money, OrderId, PayError, Paying, PaymentRef, Payments, UserId};

/// What happens to one payment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    /// It is refused, for ever.
    Refuse,
    /// It is made, and nobody hears of it.
    LoseAnswer,
    /// It is not made, and nobody hears of it.
    LoseRequest,
    /// Somebody is killed before it is made.
    KillBefore(&'static str),
    /// Somebody is killed after it is made, before it is answered.
    KillAfter(&'static str),
}

/// What the till has taken and given back, and what is to happen next.
#[derive(Debug, Default)]
pub(crate) struct Books(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    script: VecDeque<Deed>,
    is_closed: bool,
    refunds_nothing: bool,
    payments: BTreeMap<OrderId, Money>,
    refunds: BTreeMap<OrderId, Money>,
    refused: BTreeSet<OrderId>,
}

impl Books {
    /// What happens to the next payments.
    pub(crate) fn script(&self, deeds: impl IntoIterator<Item = Deed>) {
        self.pages().script.extend(deeds);
    }

    /// From now on nobody is answered.
    pub(crate) fn close(&self) {
        self.pages().is_closed = true;
    }

    /// From now on refunds are refused, or no longer.
    pub(crate) fn refund_nothing(&self, refunds_nothing: bool) {
        self.pages().refunds_nothing = refunds_nothing;
    }

    pub(crate) fn open(&self) {
        self.pages().is_closed = false;
    }

    /// What was paid for the order, and what was given back.
    pub(crate) fn account(&self, order_id: OrderId) -> (Option<Money>, Option<Money>) {
        let pages = self.pages();
        (pages.payments.get(&order_id).copied(), pages.refunds.get(&order_id).copied())
    }

    pub(crate) fn payments(&self) -> usize {
        self.pages().payments.len()
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn pay(&self, order_id: OrderId, total: Money) -> Result<PaymentRef, PayError> {
        let mut pages = self.pages();
        if pages.refused.contains(&order_id) {
            return Err(PayError::Refused { reason: "no credit".to_owned() });
        }
        let paid = *pages.payments.entry(order_id).or_insert(total);
        assert_eq!(paid, total, "an order is paid at one price");
        Ok(PaymentRef(order_id.0))
    }

    fn refund(&self, order_id: OrderId, bill: Bill) -> Result<(), PayError> {
        let mut pages = self.pages();
        if pages.refunds_nothing {
            return Err(PayError::Refused { reason: "the ledger is closed".to_owned() });
        }
        assert_eq!(pages.payments.get(&order_id), Some(&bill.total), "it was paid");
        pages.refunds.insert(order_id, bill.total);
        Ok(())
    }
}

/// Takes payments as its books say.
struct Till(Arc<Books>);

#[gen_server(name = "till")]
impl Till {
    #[call]
    fn pay(
        &mut self,
        order_id: OrderId,
        total: Money,
        reply: Reply<Result<PaymentRef, PayError>>,
        cx: &mut Context<Self>,
    ) {
        if self.0.pages().is_closed {
            return;
        }
        let deed = self.0.pages().script.pop_front();
        match deed {
            Some(Deed::LoseRequest) => return,
            Some(Deed::Refuse) => {
                self.0.pages().refused.insert(order_id);
            }
            Some(Deed::KillBefore(victim)) => kill(victim, order_id, cx),
            _ => {}
        }
        let answer = self.0.pay(order_id, total);
        match deed {
            Some(Deed::LoseAnswer) => return,
            Some(Deed::KillAfter(victim)) => kill(victim, order_id, cx),
            _ => {}
        }
        reply.send(answer);
    }

    #[call]
    fn refund(&mut self, order_id: OrderId, bill: Bill) -> Result<(), PayError> {
        self.0.refund(order_id, bill)
    }
}

fn kill(victim: &str, order_id: OrderId, cx: &mut Context<Till>) {
    match victim {
        "till" => panic!("the till was dropped"),
        "the order" => kill(&format!("order_{order_id}"), order_id, cx),
        name => {
            if let Some(pid) = cx.node().whereis(name) {
                cx.exit(pid, Reason::Kill);
            }
        }
    }
}

/// Payments by the till of the current node.
pub(crate) struct TillPayments;

impl Payments for TillPayments {
    fn pay(&self, order_id: OrderId, _: UserId, total: Money) -> Paying<'_, PaymentRef> {
        Box::pin(async move {
            let paid = Till::named().pay(order_id, total).await;
            paid.unwrap_or_else(|error| Err(PayError::Unavailable { cause: error.to_string() }))
        })
    }

    fn refund(&self, order_id: OrderId, _: UserId, bill: Bill) -> Paying<'_, ()> {
        Box::pin(async move {
            let refunded = Till::named().refund(order_id, bill).await;
            refunded.unwrap_or_else(|error| Err(PayError::Unavailable { cause: error.to_string() }))
        })
    }
}

pub(crate) struct TillApp(pub(crate) Arc<Books>);

impl Application for TillApp {
    const NAME: &'static str = "till";
    type Config = NoConfig;

    fn start(&self, _: NoConfig) -> Result<Supervisor, BoxError> {
        let books = self.0.clone();
        let till = child("till", move || Till(books.clone()));
        Ok(Supervisor::one_for_one().intensity(100_000, 10.secs()).child(till))
    }
}
