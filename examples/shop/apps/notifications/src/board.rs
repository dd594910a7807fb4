//! Who hears of what: the open subscriptions and what they have not taken yet.
//!
//! A plain struct: no process, no clock; `W` is whoever waits for a notice. Invariants: a subscription
//! keeps its last `lag_max` notices until they were taken; notices are numbered from 1 for each
//! subscription, so that whoever takes them sees how many it has missed.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::{Notice, Topic};

/// The open subscriptions.
pub(crate) struct Board<W> {
    subscriptions: HashMap<u64, Open<W>>,
    by_topic: HashMap<Topic, HashSet<u64>>,
    last_id: u64,
    lag_max: usize,
}

struct Open<W> {
    topic: Topic,
    /// Not taken yet, the last one has number `last`.
    kept: VecDeque<Notice>,
    last: u64,
    waiting: Option<W>,
}

/// A notice with its number, for somebody who waits for it.
pub(crate) type Delivery<W> = (W, u64, Notice);

impl<W> Board<W> {
    pub(crate) fn new(lag_max: usize) -> Board<W> {
        Board { subscriptions: HashMap::new(), by_topic: HashMap::new(), last_id: 0, lag_max }
    }

    pub(crate) fn len(&self) -> usize {
        self.subscriptions.len()
    }

    /// How many subscribers wait for a notice.
    pub(crate) fn waiting(&self) -> usize {
        self.subscriptions.values().filter(|open| open.waiting.is_some()).count()
    }

    /// Opens a subscription.
    pub(crate) fn open(&mut self, topic: Topic) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        let open = Open { topic, kept: VecDeque::new(), last: 0, waiting: None };
        self.subscriptions.insert(id, open);
        self.by_topic.entry(topic).or_default().insert(id);
        id
    }

    /// Closes it. Whoever waits hears nothing more.
    pub(crate) fn close(&mut self, id: u64) {
        let Some(closed) = self.subscriptions.remove(&id) else { return };
        if let Some(ids) = self.by_topic.get_mut(&closed.topic) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_topic.remove(&closed.topic);
            }
        }
    }

    /// Keeps the notice for all who hear of it; gives it to those who wait.
    pub(crate) fn publish(&mut self, notice: &Notice) -> Vec<Delivery<W>> {
        let topics = [Topic::User(notice.user_id), Topic::Order(notice.order_id)];
        let ids = topics.iter().filter_map(|topic| self.by_topic.get(topic)).flatten();
        let mut deliveries = Vec::new();
        for id in ids {
            let open = self.subscriptions.get_mut(id).expect("a topic lists open subscriptions");
            open.kept.push_back(notice.clone());
            open.last += 1;
            if open.kept.len() > self.lag_max {
                open.kept.pop_front();
            }
            if let Some(waiting) = open.waiting.take() {
                deliveries.push((waiting, open.last, notice.clone()));
            }
        }
        deliveries
    }

    /// The first notice after number `seen`, now, or when there is one. `Err` when there is no such
    /// subscription.
    pub(crate) fn next(
        &mut self,
        id: u64,
        seen: u64,
        waiting: W,
    ) -> Result<Option<Delivery<W>>, W> {
        let Some(open) = self.subscriptions.get_mut(&id) else {
            return Err(waiting);
        };
        while open.first() <= seen && open.kept.pop_front().is_some() {}
        let first = open.first();
        match open.kept.front() {
            Some(notice) => Ok(Some((waiting, first, notice.clone()))),
            None => {
                open.waiting = Some(waiting);
                Ok(None)
            }
        }
    }
}

impl<W> Open<W> {
    /// The number of the first notice that is kept.
    fn first(&self) -> u64 {
        self.last + 1 - self.kept.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use shop_billing::UserId;
    use shop_catalog::OrderId;

    use super::*;
    use crate::Kind;

    fn notice(user: u64, order: u64) -> Notice {
        let (user_id, order_id) = (UserId(user), OrderId(order));
        Notice { user_id, order_id, kind: Kind::Paid, text: String::new() }
    }

    /// The number and the order of what comes next at once.
    fn next(board: &mut Board<&'static str>, id: u64, seen: u64) -> Option<(u64, u64)> {
        let delivery = board.next(id, seen, "me").unwrap();
        delivery.map(|(_, number, notice)| (number, notice.order_id.0))
    }

    #[test]
    fn who_subscribes_hears_of_its_topic_alone() {
        let mut board = Board::new(10);
        let (user, order) =
            (board.open(Topic::User(UserId(1))), board.open(Topic::Order(OrderId(7))));
        assert!(board.publish(&notice(1, 7)).is_empty());
        board.publish(&notice(1, 8));
        board.publish(&notice(2, 9));
        assert_eq!(next(&mut board, user, 0), Some((1, 7)));
        assert_eq!(next(&mut board, user, 1), Some((2, 8)));
        assert_eq!(next(&mut board, user, 2), None);
        assert_eq!(next(&mut board, order, 0), Some((1, 7)));
        assert_eq!(next(&mut board, order, 1), None);
    }

    #[test]
    fn who_waits_is_told_at_once_and_again_until_it_was_seen() {
        let mut board = Board::new(10);
        let id = board.open(Topic::User(UserId(1)));
        assert_eq!(next(&mut board, id, 0), None);
        let told = board.publish(&notice(1, 7));
        assert!(matches!(told[..], [("me", 1, _)]), "{told:?}");
        assert_eq!(next(&mut board, id, 0), Some((1, 7)));
        assert_eq!(next(&mut board, id, 1), None);
    }

    #[test]
    fn who_lags_loses_the_oldest_and_sees_that_by_the_numbers() {
        let mut board = Board::new(2);
        let id = board.open(Topic::User(UserId(1)));
        for order in 1..=5 {
            board.publish(&notice(1, order));
        }
        assert_eq!(next(&mut board, id, 0), Some((4, 4)));
        assert_eq!(next(&mut board, id, 4), Some((5, 5)));
        assert_eq!(next(&mut board, id, 5), None);
    }

    #[test]
    fn what_is_closed_is_forgotten() {
        let mut board = Board::new(2);
        let id = board.open(Topic::User(UserId(1)));
        board.close(id);
        board.close(id);
        assert!(board.publish(&notice(1, 1)).is_empty());
        assert_eq!(board.next(id, 0, "me").unwrap_err(), "me");
        assert_eq!((board.len(), board.by_topic.len()), (0, 0));
    }
}
