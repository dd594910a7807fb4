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
use shop_data_processing::IngestService;

/// The node lives: it has just answered.
pub(crate) async fn alive() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

/// Every service answers.
pub(crate) async fn ready() -> Response {
    let (auth, billing, ingest) =
        (AuthService::named(), BillingService::named(), IngestService::named());
    let answers = [
        ("auth_service", auth.ping().timeout(1.secs()).await),
        ("billing_service", billing.ping().timeout(1.secs()).await),
        ("ingest_service", ingest.ping().timeout(1.secs()).await),
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
