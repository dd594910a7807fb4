//! `POST /chaos/billing`, for tests and demonstrations: a part of billing crashes, hangs or is slow. There only when
//! `web.chaos` is set, and billing obeys only when `billing.chaos` is.

use linden::CallError;
use linden_gateway::axum::http::StatusCode;
use serde::Deserialize;
use shop_billing::{BillingService, Fault, Part};

use crate::{error::ApiError, json::Body};

/// `{"part": "writer", "fault": {"slow": "50ms"}}`
#[derive(Deserialize)]
pub(crate) struct Order {
    part: Part,
    fault: Fault,
}

/// Whoever lets the service itself crash hears no answer of it: that is the answer.
pub(crate) async fn billing(
    Body(Order { part, fault }): Body<Order>,
) -> Result<StatusCode, ApiError> {
    match BillingService::named().inflict(part, fault).await {
        Ok(done) => done?,
        Err(CallError::Exited(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(StatusCode::NO_CONTENT)
}
