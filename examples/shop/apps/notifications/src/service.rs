//! The process `notifications_service`: keeps inboxes, tells subscribers.
//!
//! The service itself never waits: what goes to the disk gathers while that is busy ([`Disk`]), and a
//! subscriber's question is kept until there is news. Subscriptions are in memory and end with the
//! service; a subscriber that ends is forgotten.

use std::{collections::HashMap, fmt, sync::Arc, time::SystemTime};

use linden::{Cx, Ref, prelude::*};
use redb::Database;
use shop_billing::{Timestamp, UserId};
use shop_storage::{Disk, Fault, Returned};

use crate::{
    Ended, InboxPage, Notice, NotificationsError, SubscriptionId, Told, Topic, board::Board, inbox,
};

/// Most messages of one page.
pub const PAGE_LEN_MAX: usize = 100;

/// A question for the next notice after the ones that were seen.
type Waiting = Reply<Result<(u64, Notice), Ended>>;

/// The state of `notifications_service`.
pub struct NotificationsService {
    disk: Disk,
    kept_max: u64,
    board: Board<Waiting>,
    subscriptions_max: usize,
    /// The subscribers that are processes, both ways.
    watched: HashMap<Ref, u64>,
    watches: HashMap<u64, Ref>,
}

impl NotificationsService {
    /// A service on an open file.
    pub(crate) fn new(
        database: Arc<Database>,
        waiting_max: usize,
        kept_max: u64,
        subscriptions_max: usize,
        lag_max: usize,
    ) -> NotificationsService {
        NotificationsService {
            disk: Disk::new(database, waiting_max),
            kept_max,
            board: Board::new(lag_max),
            subscriptions_max,
            watched: HashMap::new(),
            watches: HashMap::new(),
        }
    }
}

#[gen_server(name = "notifications_service")]
impl NotificationsService {
    /// Puts the notice into the user's inbox, once for each order and kind, and tells who has
    /// subscribed. It is on disk when the answer comes.
    #[call]
    pub fn notify(
        &mut self,
        notice: Notice,
        reply: Reply<Result<Told, NotificationsError>>,
        cx: &mut Context<Self>,
    ) {
        let (own, kept_max) = (cx.client(), self.kept_max);
        let now = Timestamp::from(SystemTime::now());
        let news = notice.clone();
        self.disk.write_then(
            reply,
            move |transaction| inbox::tell(transaction, &notice, now, kept_max).map(Ok),
            move |told| {
                if matches!(told, Ok(Told::Now)) {
                    own.progress(news);
                }
            },
        );
        self.visit(cx);
    }

    /// Tells who has subscribed; nothing is kept for the others.
    #[cast]
    pub fn progress(&mut self, notice: Notice) {
        for (waiting, number, notice) in self.board.publish(&notice) {
            waiting.send(Ok((number, notice)));
        }
    }

    /// Up to `limit` messages of the user, at most [`PAGE_LEN_MAX`], newest first, of those older
    /// than number `before`.
    #[call]
    pub fn inbox(
        &mut self,
        user_id: UserId,
        before: Option<u64>,
        limit: usize,
        reply: Reply<Result<InboxPage, NotificationsError>>,
        cx: &mut Context<Self>,
    ) {
        let limit = limit.clamp(1, PAGE_LEN_MAX);
        self.disk.read(reply, move |transaction| {
            inbox::page(transaction, user_id, before, limit).map(Ok)
        });
        self.visit(cx);
    }

    /// Opens a subscription, which ends with the process `subscriber`, if it names one. Subscribers
    /// use [`Subscription`](crate::Subscription).
    #[call]
    pub fn subscribe(
        &mut self,
        topic: Topic,
        subscriber: Option<Pid>,
        cx: &mut Context<Self>,
    ) -> Result<SubscriptionId, NotificationsError> {
        let subscriptions_max = self.subscriptions_max;
        if self.board.len() >= subscriptions_max {
            return Err(NotificationsError::TooManySubscriptions { subscriptions_max });
        }
        let number = self.board.open(topic);
        if let Some(subscriber) = subscriber {
            let watch = cx.monitor(subscriber);
            self.watched.insert(watch, number);
            self.watches.insert(number, watch);
        }
        Ok(SubscriptionId { service: cx.pid(), number })
    }

    /// Closes a subscription.
    #[cast]
    pub fn unsubscribe(&mut self, id: SubscriptionId, cx: &mut Context<Self>) {
        if id.service != cx.pid() {
            return;
        }
        self.board.close(id.number);
        if let Some(watch) = self.watches.remove(&id.number) {
            self.watched.remove(&watch);
            cx.demonitor(watch);
        }
    }

    /// Answers with the first notice after number `seen`, as soon as there is one. Asked twice, the
    /// second question counts.
    #[call]
    pub fn next(
        &mut self,
        id: SubscriptionId,
        seen: u64,
        reply: Reply<Result<(u64, Notice), Ended>>,
        cx: &mut Context<Self>,
    ) {
        if id.service != cx.pid() {
            reply.send(Err(Ended));
            return;
        }
        match self.board.next(id.number, seen, reply) {
            Ok(Some((waiting, number, notice))) => {
                waiting.send(Ok((number, notice)));
            }
            Ok(None) => {}
            Err(waiting) => {
                waiting.send(Err(Ended));
            }
        }
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

    #[info]
    fn subscriber_is_gone(&mut self, info: Info) {
        let Info::Down { reference, .. } = info else { return };
        if let Some(number) = self.watched.remove(&reference) {
            self.watches.remove(&number);
            self.board.close(number);
        }
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

/// For crash reports: how much there is, not what.
impl fmt::Debug for NotificationsService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotificationsService")
            .field("disk", &self.disk)
            .field("subscriptions", &self.board.len())
            .field("waiting", &self.board.waiting())
            .field("watched", &self.watched.len())
            .finish_non_exhaustive()
    }
}
