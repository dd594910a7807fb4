//! `notifications_service` as others see it: by its name, on a node, over a real file.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

use std::error::Error;

use linden::{Cx, prelude::*};
use shop_notifications::{
    Ended, Kind, Notice, NotificationsApp, NotificationsConfig, NotificationsError,
    NotificationsService, NotificationsServiceClient, OrderId, Subscription, Told, Topic, Update,
    UserId, verify_file,
};
use tempfile::TempDir;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn config(directory: &TempDir) -> NotificationsConfig {
    NotificationsConfig {
        path: directory.path().join("notifications.redb"),
        ..NotificationsConfig::default()
    }
}

/// Starts the application on the test's node.
async fn start(config: NotificationsConfig) -> Result<NotificationsServiceClient, BoxError> {
    NotificationsApp.start(config)?.start().await?;
    Ok(NotificationsService::named())
}

fn notice(user: u64, order: u64, kind: Kind) -> Notice {
    let text = format!("order {order} is {kind:?}");
    Notice { user_id: UserId(user), order_id: OrderId(order), kind, text }
}

async fn subscribed(topic: Topic) -> Subscription {
    Subscription::open(topic).await.unwrap().unwrap()
}

async fn until_state(service: &NotificationsServiceClient, words: &str) {
    while !service.state().await.unwrap().unwrap().contains(words) {}
}

#[linden::test]
async fn what_is_told_is_in_the_inbox_once_also_after_a_crash(node: Node) -> Outcome {
    let directory = tempfile::tempdir()?;
    let service = start(config(&directory)).await?;
    let paid = notice(1, 7, Kind::Paid);
    assert_eq!(service.notify(paid.clone()).await??, Told::Now);
    let pid = service.pid().ok_or("it runs")?;
    node.exit(pid, Reason::Kill);
    node.wait_exit(pid).await;
    let again = loop {
        match service.notify(paid.clone()).await {
            Err(CallError::NoProc | CallError::Exited(_)) => {}
            answer => break answer??,
        }
    };
    assert_eq!(again, Told::Before);
    let page = service.inbox(UserId(1), None, 10).await??;
    assert_eq!((page.messages.len(), page.next), (1, None));
    assert_eq!((page.messages[0].number, &page.messages[0].notice), (1, &paid));
    Ok(())
}

#[linden::test]
async fn subscribers_hear_of_what_is_told_and_of_progress() -> Outcome {
    let directory = tempfile::tempdir()?;
    let service = start(config(&directory)).await?;
    let mut of_user = subscribed(Topic::User(UserId(1))).await;
    let mut of_order = subscribed(Topic::Order(OrderId(7))).await;

    service.progress(notice(1, 7, Kind::Reserved));
    service.notify(notice(1, 8, Kind::Paid)).await??;
    service.notify(notice(1, 8, Kind::Paid)).await??;
    service.notify(notice(1, 7, Kind::Completed)).await??;
    for (order, kind) in [(7, Kind::Reserved), (8, Kind::Paid), (7, Kind::Completed)] {
        assert_eq!(of_user.next().await?, Update::Notice(notice(1, order, kind)));
    }
    for kind in [Kind::Reserved, Kind::Completed] {
        assert_eq!(of_order.next().await?, Update::Notice(notice(1, 7, kind)));
    }
    Ok(())
}

#[linden::test]
async fn a_subscriber_that_waits_is_told_at_once() -> Outcome {
    let directory = tempfile::tempdir()?;
    let service = start(config(&directory)).await?;
    let waits = Task::spawn_unlinked(async move {
        let mut subscription = subscribed(Topic::User(UserId(1))).await;
        subscription.next().await
    });
    until_state(&service, "waiting: 1, watched").await;
    service.progress(notice(1, 7, Kind::Paid));
    assert_eq!(waits.await?, Ok(Update::Notice(notice(1, 7, Kind::Paid))));
    Ok(())
}

#[linden::test]
async fn a_slow_subscriber_is_told_how_much_it_missed_and_goes_on() -> Outcome {
    let directory = tempfile::tempdir()?;
    let service = start(NotificationsConfig { lag_max: 2, ..config(&directory) }).await?;
    let mut subscription = subscribed(Topic::User(UserId(1))).await;
    for order in 1..=5 {
        service.progress(notice(1, order, Kind::Paid));
    }
    assert_eq!(subscription.next().await?, Update::Lagged(3));
    assert_eq!(subscription.next().await?, Update::Notice(notice(1, 4, Kind::Paid)));
    assert_eq!(subscription.next().await?, Update::Notice(notice(1, 5, Kind::Paid)));
    service.progress(notice(1, 6, Kind::Paid));
    assert_eq!(subscription.next().await?, Update::Notice(notice(1, 6, Kind::Paid)));
    Ok(())
}

#[linden::test]
async fn a_subscription_ends_with_its_process_or_when_it_is_dropped(node: Node) -> Outcome {
    let directory = tempfile::tempdir()?;
    let service = start(NotificationsConfig { subscriptions_max: 2, ..config(&directory) }).await?;
    let dropped = subscribed(Topic::User(UserId(1))).await;
    // A process that is told of nothing but its monitor keeps its subscription for ever.
    let leaks = linden::spawn(|_: Cx<()>| async {
        std::mem::forget(subscribed(Topic::User(UserId(1))).await);
        std::future::pending::<()>().await;
    });
    until_state(&service, "watched: 1").await;
    let refused = Subscription::open(Topic::User(UserId(1))).await?;
    let expected = NotificationsError::TooManySubscriptions { subscriptions_max: 2 };
    assert_eq!(refused.unwrap_err(), expected);

    node.exit(leaks.pid(), Reason::Kill);
    until_state(&service, "watched: 0").await;
    drop(dropped);
    until_state(&service, "subscriptions: 0").await;
    subscribed(Topic::User(UserId(1))).await;
    Ok(())
}

#[linden::test]
async fn a_subscription_ends_when_the_service_is_restarted(node: Node) -> Outcome {
    let directory = tempfile::tempdir()?;
    let service = start(config(&directory)).await?;
    let mut old = subscribed(Topic::User(UserId(1))).await;
    let pid = service.pid().ok_or("it runs")?;
    node.exit(pid, Reason::Kill);
    node.wait_exit(pid).await;
    assert_eq!(old.next().await, Err(Ended));
    while service.ping().await.is_err() {}
    let mut new = subscribed(Topic::User(UserId(1))).await;
    assert_eq!(old.next().await, Err(Ended), "its number is not taken for the new one's");
    drop(old);
    service.progress(notice(1, 7, Kind::Paid));
    assert_eq!(new.next().await?, Update::Notice(notice(1, 7, Kind::Paid)));
    Ok(())
}

#[linden::test]
async fn a_service_that_may_not_wait_refuses_as_overload() -> Outcome {
    let directory = tempfile::tempdir()?;
    let service = start(NotificationsConfig { waiting_max: 0, ..config(&directory) }).await?;
    let refused = service.notify(notice(1, 7, Kind::Paid)).await?;
    assert!(matches!(refused, Err(NotificationsError::Overloaded(_))), "{refused:?}");
    let refused = service.inbox(UserId(1), None, 1).await?;
    assert!(matches!(refused, Err(NotificationsError::Overloaded(_))), "{refused:?}");
    Ok(())
}

#[test]
fn stopped_inboxes_are_verified_offline() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notifications.redb");
    let node = linden::NodeBuilder::new().application(NotificationsApp).foreign_logging().set(
        "notifications",
        "path",
        path.display(),
    );
    let booted = linden::block_on(node.boot()).unwrap();
    let service = NotificationsService::named_on(&booted.node);
    booted.node.block_on(service.notify(notice(1, 7, Kind::Completed))).unwrap().unwrap();
    linden::block_on(booted.stop()).unwrap();
    let report = verify_file(&path).unwrap();
    assert_eq!((report.users, report.messages), (1, 1));
    assert_eq!(report.last_news[&OrderId(7)], Kind::Completed);
}

#[test]
fn the_configuration_is_read_with_its_defaults() {
    let read = |env: &[(&str, &str)]| {
        let env = env
            .iter()
            .map(|(key, value)| (format!("LINDEN__NOTIFICATIONS__{key}"), (*value).into()));
        let config = linden::config::Config::load(None, env).unwrap();
        config.section::<NotificationsConfig>("notifications")
    };
    let plain = read(&[]).unwrap();
    assert_eq!(plain.path.to_str(), Some("data/notifications.redb"));
    assert_eq!((plain.kept_max, plain.lag_max, plain.subscriptions_max), (1_000, 64, 10_000));
    assert_eq!(read(&[("LAG_MAX", "5")]).unwrap().lag_max, 5);
    assert!(read(&[("LAGS_MAX", "5")]).is_err());
}
