//! `POST /chaos/...`, for tests and demonstrations: a service crashes, hangs or is slow. There only when `web.chaos` is set.
//!
//! Billing has parts that can suffer alone, and obeys only when `billing.chaos` is set, too.

use linden::CallError;
use linden_gateway::axum::{
    extract::{Path, rejection::PathRejection},
    http::StatusCode,
};
use serde::Deserialize;
use shop_auth::AuthService;
use shop_billing::{BillingService, Part};
use shop_catalog::CatalogService;
use shop_chaos::Fault;
use shop_data_processing::IngestService;
use shop_notifications::NotificationsService;
use shop_orders::OrdersService;

use crate::{error::ApiError, json::Body};

/// `{"fault": {"slow": {"each": "50ms", "lasting": "10s"}}}`
#[derive(Deserialize)]
pub(crate) struct Order {
    fault: Fault,
}

/// The service takes the fault behind what it was asked before; nobody waits for it.
pub(crate) async fn service(
    name: Result<Path<String>, PathRejection>,
    Body(Order { fault }): Body<Order>,
) -> Result<StatusCode, ApiError> {
    let Path(name) = name.map_err(ApiError::bad_request)?;
    match name.as_str() {
        "auth" => AuthService::named().suffer(fault),
        "catalog" => CatalogService::named().suffer(fault),
        "data_processing" => IngestService::named().suffer(fault),
        "notifications" => NotificationsService::named().suffer(fault),
        "orders" => OrdersService::named().suffer(fault),
        _ => {
            return Err(ApiError::refused(
                StatusCode::NOT_FOUND,
                "no such service; see GET /readyz",
            ));
        }
    }
    Ok(StatusCode::ACCEPTED)
}

/// `{"part": "writer", "fault": {"slow": "50ms"}}`
#[derive(Deserialize)]
pub(crate) struct BillingOrder {
    part: Part,
    fault: shop_billing::Fault,
}

/// Whoever lets the service itself crash hears no answer of it: that is the answer.
pub(crate) async fn billing(
    Body(BillingOrder { part, fault }): Body<BillingOrder>,
) -> Result<StatusCode, ApiError> {
    match BillingService::named().inflict(part, fault).await {
        Ok(done) => done?,
        Err(CallError::Exited(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(StatusCode::NO_CONTENT)
}
