//! The subscriber's end of a subscription.
//!
//! It asks for one notice after the other, so a slow subscriber fills no mailbox: the service keeps
//! the last few for it and lets the oldest go.

use std::{error::Error, fmt};

use linden::{current_process, prelude::*};
use serde::{Deserialize, Serialize};

use crate::{Notice, NotificationsError, NotificationsService, NotificationsServiceClient, Topic};

/// News of a topic, one after the other, from the moment it was opened.
///
/// It ends with the process that opened it, when it is dropped, or when the service is restarted:
/// then open another one, and read what may have been missed.
///
/// # Examples
/// ```
/// use linden::prelude::*;
/// use shop_notifications::{
///     Kind, Notice, NotificationsApp, NotificationsConfig, NotificationsService, OrderId,
///     Subscription, Topic, Update, UserId,
/// };
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("notifications.redb");
/// # let node = Node::start(linden::NodeOptions::default())?;
/// # node.block_on(async {
/// let config = NotificationsConfig { path, ..NotificationsConfig::default() };
/// NotificationsApp.start(config)?.start().await?;
///
/// let mut news = Subscription::open(Topic::Order(OrderId(7))).await??;
/// let text = "order 7 is paid".to_owned();
/// let paid = Notice { user_id: UserId(1), order_id: OrderId(7), kind: Kind::Paid, text };
/// NotificationsService::named().progress(paid);
/// match news.next().await? {
///     Update::Notice(notice) => assert_eq!(notice.text, "order 7 is paid"),
///     Update::Lagged(missed) => println!("{missed} notices were missed"),
/// }
/// # Ok::<(), linden::BoxError>(())
/// # })?;
/// # node.stop(5.secs());
/// # Ok::<(), linden::BoxError>(())
/// ```
///
/// # Cancellation
/// [`Subscription::next`] may be dropped while it waits; nothing is lost.
#[derive(Debug)]
pub struct Subscription {
    service: NotificationsServiceClient,
    id: SubscriptionId,
    /// The number of the last notice that was given out.
    seen: u64,
    /// It comes after a gap that is told first.
    pending: Option<Notice>,
}

/// One subscription of one life of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionId {
    /// The service's process.
    pub service: Pid,
    /// Counted by it.
    pub number: u64,
}

/// What a subscriber gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Update {
    /// News.
    Notice(Notice),
    /// The subscriber was too slow: so many notices are lost to it. It goes on after them.
    Lagged(u64),
}

impl Subscription {
    /// Subscribes to the topic at the service of the current node.
    ///
    /// # Errors
    /// [`NotificationsError::TooManySubscriptions`]; the outer one as a call.
    pub async fn open(topic: Topic) -> Result<Result<Subscription, NotificationsError>, CallError> {
        let service = NotificationsService::named();
        let subscriber = current_process().map(|process| process.pid);
        let id = service.subscribe(topic, subscriber).await?;
        Ok(id.map(|id| Subscription { service, id, seen: 0, pending: None }))
    }

    /// The next news, as soon as there is some.
    ///
    /// # Errors
    /// [`Ended`].
    pub async fn next(&mut self) -> Result<Update, Ended> {
        if let Some(notice) = self.pending.take() {
            return Ok(Update::Notice(notice));
        }
        let next = self.service.next(self.id, self.seen).no_timeout().await;
        let (number, notice) = next.map_err(|_| Ended)??;
        let missed = number - self.seen - 1;
        self.seen = number;
        if missed == 0 {
            return Ok(Update::Notice(notice));
        }
        self.pending = Some(notice);
        Ok(Update::Lagged(missed))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.service.unsubscribe(self.id);
    }
}

/// The service was restarted. Open another subscription, and read what may have been missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the subscription has ended; open another one")
    }
}

impl Error for Ended {}
