//! The process `catalog_service`: shows items, holds and sells stock.
//!
//! The service itself never waits. Requests that change something gather while the disk is busy and
//! share its next sync ([`Disk`]); an answer comes when its change is on disk. When the service
//! crashes, whoever waits hears `Exited` and does not know whether it was done, and simply asks
//! again: every request may be repeated.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use linden::{Cx, prelude::*};
use redb::Database;
use serde::{Deserialize, Serialize};
use shop_billing::{IdempotencyKey, Timestamp};
use shop_storage::{Disk, Fault, Overload, Returned};

use crate::{
    CatalogError, Item, Lines, OrderId, Reservation, Sku,
    stock::{self, Outcome, Shelves},
};

/// Most items of one page.
pub const PAGE_LEN_MAX: usize = 100;

/// Items in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemPage {
    /// The items.
    pub items: Vec<Item>,
    /// What to ask for to get the next page; `None` after the last one.
    pub next: Option<Sku>,
}

/// The state of `catalog_service`.
#[derive(Debug)]
pub struct CatalogService {
    disk: Disk,
    reservation_ttl: Duration,
    sweep_every: Duration,
}

impl CatalogService {
    /// A service on an open catalog.
    pub(crate) fn new(
        database: Arc<Database>,
        waiting_max: usize,
        reservation_ttl: Duration,
        sweep_every: Duration,
    ) -> CatalogService {
        CatalogService { disk: Disk::new(database, waiting_max), reservation_ttl, sweep_every }
    }
}

#[gen_server(name = "catalog_service")]
impl CatalogService {
    /// Up to `limit` items, at most [`PAGE_LEN_MAX`], whose numbers come after `after`.
    #[call]
    pub fn items(
        &mut self,
        after: Option<Sku>,
        limit: usize,
        reply: Reply<Result<ItemPage, CatalogError>>,
        cx: &mut Context<Self>,
    ) {
        let limit = limit.clamp(1, PAGE_LEN_MAX);
        self.disk.read(reply, move |transaction| {
            let mut items = stock::items(transaction, after.as_ref(), limit + 1)?;
            let more = items.len() > limit;
            items.truncate(limit);
            let next = items.last().filter(|_| more).map(|item| item.sku.clone());
            Ok(Ok(ItemPage { items, next }))
        });
        self.visit(cx);
    }

    /// One item.
    #[call]
    pub fn item(
        &mut self,
        sku: Sku,
        reply: Reply<Result<Item, CatalogError>>,
        cx: &mut Context<Self>,
    ) {
        self.disk.read(reply, move |transaction| stock::item(transaction, &sku));
        self.visit(cx);
    }

    /// Holds all that the order wants, or nothing, until it is confirmed, released, or expires.
    /// Repeated, it gives the first reservation again.
    #[call]
    pub fn reserve(
        &mut self,
        order_id: OrderId,
        lines: Lines,
        reply: Reply<Result<Reservation, CatalogError>>,
        cx: &mut Context<Self>,
    ) {
        let (now, ttl) = (now(), self.reservation_ttl);
        self.change(reply, cx, move |shelves| shelves.reserve(order_id, &lines, now, ttl));
    }

    /// Sells what the order holds. Repeated, it does nothing.
    #[call]
    pub fn confirm(
        &mut self,
        order_id: OrderId,
        reply: Reply<Result<(), CatalogError>>,
        cx: &mut Context<Self>,
    ) {
        let now = now();
        self.change(reply, cx, move |shelves| shelves.confirm(order_id, now));
    }

    /// Gives back what the order holds or has bought; from then on it reserves nothing. Repeated, it
    /// does nothing.
    #[call]
    pub fn release(
        &mut self,
        order_id: OrderId,
        reply: Reply<Result<(), CatalogError>>,
        cx: &mut Context<Self>,
    ) {
        self.change(reply, cx, move |shelves| shelves.release(order_id));
    }

    /// Takes a delivery in. `delivery` is its name: repeated, it is not taken in again.
    #[call]
    pub fn restock(
        &mut self,
        delivery: IdempotencyKey,
        sku: Sku,
        quantity: u32,
        reply: Reply<Result<Item, CatalogError>>,
        cx: &mut Context<Self>,
    ) {
        self.change(reply, cx, move |shelves| shelves.restock(&delivery, &sku, quantity));
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

    #[init]
    fn begin(&mut self, cx: &mut Context<Self>) {
        cx.client().sweep();
    }

    /// Brings back what has expired, now and then again. Nothing is written when there is nothing.
    #[cast]
    fn sweep(&mut self, cx: &mut Context<Self>) {
        let reply = Reply::unwanted();
        let now = now();
        self.disk.write(reply, move |transaction| {
            let expired = Shelves::open(transaction)?.sweep(now)?;
            Ok(if expired == 0 { Err(NothingDue) } else { Ok(()) })
        });
        self.visit(cx);
        cx.send_after(self.sweep_every, CatalogServiceMsg::Sweep {});
    }

    /// A visit to the disk is through. Sent by the process that made it.
    #[cast]
    fn returned(&mut self, visit: Returned, cx: &mut Context<Self>) {
        self.disk.returned(visit);
        self.visit(cx);
    }

    fn change<T: Send + 'static>(
        &mut self,
        reply: Reply<Result<T, CatalogError>>,
        cx: &mut Context<Self>,
        change: impl FnOnce(&mut Shelves<'_>) -> Outcome<T> + Send + 'static,
    ) {
        self.disk.write(reply, |transaction| change(&mut Shelves::open(transaction)?));
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

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// No reservation has expired, or the disk is so busy that the next sweep has to do.
struct NothingDue;

impl From<Overload> for NothingDue {
    fn from(_: Overload) -> NothingDue {
        NothingDue
    }
}
