//! `/items`, `/orders` and `/inbox`: what there is, what was ordered, what became of it.

use linden::Cx;
use linden_gateway::{
    Events, Sse,
    axum::{
        Json,
        extract::{
            Path, Query,
            rejection::{PathRejection, QueryRejection},
        },
        http::StatusCode,
        response::{Response, sse::Event},
    },
};
use serde::Deserialize;
use shop_catalog::{CatalogService, Item, ItemPage, Lines, OrderId, Sku};
use shop_notifications::{InboxPage, NotificationsService, Subscription, Topic, Update};
use shop_orders::{Order, OrderPage, OrdersService};

use crate::{
    accounts::User,
    error::ApiError,
    json::Body,
    payments::{Key, repeated},
};

/// `?limit=50&after=...`: what comes after the last one of the page before.
#[derive(Deserialize)]
pub(crate) struct Listing<T> {
    after: Option<T>,
    #[serde(default = "fifty")]
    limit: usize,
}

fn fifty() -> usize {
    50
}

type Asked<T> = Result<Query<Listing<T>>, QueryRejection>;

pub(crate) async fn items(listing: Asked<Sku>) -> Result<Json<ItemPage>, ApiError> {
    let Query(Listing { after, limit }) = listing.map_err(ApiError::bad_request)?;
    let catalog = CatalogService::named();
    Ok(Json(repeated(|| catalog.items(after.clone(), limit)).await??))
}

pub(crate) async fn item(sku: Result<Path<Sku>, PathRejection>) -> Result<Json<Item>, ApiError> {
    let Path(sku) = sku.map_err(ApiError::bad_request)?;
    let catalog = CatalogService::named();
    Ok(Json(repeated(|| catalog.item(sku.clone())).await??))
}

#[derive(Deserialize)]
pub(crate) struct NewOrder {
    lines: Lines,
}

/// The order is taken when this answers, and goes on by itself.
pub(crate) async fn place(
    User(user_id): User,
    Key(key): Key,
    Body(NewOrder { lines }): Body<NewOrder>,
) -> Result<(StatusCode, Json<Order>), ApiError> {
    let orders = OrdersService::named();
    let order = repeated(|| orders.place(user_id, lines.clone(), key.clone())).await??;
    Ok((StatusCode::CREATED, Json(order)))
}

/// Newest first; `after` is the last order of the page before.
pub(crate) async fn orders(
    User(user_id): User,
    listing: Asked<OrderId>,
) -> Result<Json<OrderPage>, ApiError> {
    let Query(Listing { after, limit }) = listing.map_err(ApiError::bad_request)?;
    let orders = OrdersService::named();
    Ok(Json(repeated(|| orders.orders_of(user_id, after, limit)).await??))
}

pub(crate) async fn order(
    User(user_id): User,
    id: Result<Path<OrderId>, PathRejection>,
) -> Result<Json<Order>, ApiError> {
    let Path(id) = id.map_err(ApiError::bad_request)?;
    let orders = OrdersService::named();
    Ok(Json(repeated(|| orders.order(user_id, id)).await??))
}

pub(crate) async fn cancel(
    User(user_id): User,
    id: Result<Path<OrderId>, PathRejection>,
) -> Result<Json<Order>, ApiError> {
    let Path(id) = id.map_err(ApiError::bad_request)?;
    Ok(Json(OrdersService::named().cancel(user_id, id).await??))
}

pub(crate) async fn inbox(
    User(user_id): User,
    listing: Asked<u64>,
) -> Result<Json<InboxPage>, ApiError> {
    let Query(Listing { after, limit }) = listing.map_err(ApiError::bad_request)?;
    let notifications = NotificationsService::named();
    Ok(Json(repeated(|| notifications.inbox(user_id, after, limit)).await??))
}

/// Live updates of all orders of the user, as server-sent events: `order` with a notice, and `lagged`
/// with a number when so many were lost to a client that is too slow. Ended by the server, it is to be
/// opened again, and what may have been missed is in the inbox.
pub(crate) async fn updates(User(user_id): User, sse: Sse) -> Result<Response, ApiError> {
    // Asked here as well, so that a service that is not there is a 503 and not an empty stream.
    NotificationsService::named().ping().await?;
    Ok(sse.from_process(move |events, _: Cx<()>| tell(events, Topic::User(user_id))))
}

pub(crate) async fn tell(mut events: Events, topic: Topic) {
    let Ok(Ok(mut subscription)) = Subscription::open(topic).await else { return };
    // The client knows that from now on nothing is missed.
    if events.send(Event::default().event("open").data("from now on")).await.is_err() {
        return;
    }
    while let Ok(update) = subscription.next().await {
        let event = match update {
            Update::Notice(notice) => Event::default().event("order").json_data(notice),
            Update::Lagged(lost) => Ok(Event::default().event("lagged").data(lost.to_string())),
        };
        let Ok(event) = event else { return };
        if events.send(event).await.is_err() {
            return;
        }
    }
}
