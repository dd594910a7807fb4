//! `GET /healthz` and `GET /readyz`, for whoever decides to restart the node or to send it requests.

use linden::{CallError, DurationExt as _};
use linden_gateway::axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use shop_auth::AuthService;
use shop_billing::BillingService;
use shop_catalog::CatalogService;
use shop_data_processing::IngestService;
use shop_notifications::NotificationsService;
use shop_orders::OrdersService;

/// The node lives: it has just answered.
pub(crate) async fn alive() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

/// Every service answers.
pub(crate) async fn ready() -> Response {
    let (auth, billing, ingest) =
        (AuthService::named(), BillingService::named(), IngestService::named());
    let (catalog, notifications, orders) =
        (CatalogService::named(), NotificationsService::named(), OrdersService::named());
    // Side by side: one that hangs costs one second, not one for each behind it.
    let answers = tokio::join!(
        auth.ping().timeout(1.secs()),
        billing.ping().timeout(1.secs()),
        catalog.ping().timeout(1.secs()),
        ingest.ping().timeout(1.secs()),
        notifications.ping().timeout(1.secs()),
        orders.ping().timeout(1.secs()),
    );
    let answers = [
        ("auth_service", answers.0),
        ("billing_service", answers.1),
        ("catalog_service", answers.2),
        ("ingest_service", answers.3),
        ("notifications_service", answers.4),
        ("orders_service", answers.5),
    ];
    let is_ready = answers.iter().all(|(_, answer)| answer.is_ok());
    let services: Value =
        answers.into_iter().map(|(name, answer)| (name.to_owned(), shown(answer))).collect();
    if is_ready {
        return Json(json!({ "status": "ready", "services": services })).into_response();
    }
    let body = Json(json!({ "status": "not ready", "services": services }));
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, body).into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn shown(answer: Result<(), CallError>) -> Value {
    match answer {
        Ok(()) => "ok".into(),
        Err(error) => error.to_string().into(),
    }
}
