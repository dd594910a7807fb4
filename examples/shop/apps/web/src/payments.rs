//! `POST /payments`, `POST /payments/{sequence}/refunds`, `GET /balance` and `GET /statement`.

use std::time::Duration;

use linden::{Call, CallError};
use linden_gateway::axum::{
    Json,
    extract::{
        FromRequestParts, Path, Query,
        rejection::{PathRejection, QueryRejection},
    },
    http::{StatusCode, request::Parts},
};
use serde::{Deserialize, Serialize};
use shop_billing::{
    Balances, BillingService, Cents, Currency, IdempotencyKey, Overload, Page, Receipt, Sequence,
    Statement, UserId,
};

use crate::{accounts::User, error::ApiError, json::Body};

/// A service that crashed is asked again after each of these: mostly it is back at the first.
const REPEAT_PAUSES: [Duration; 3] =
    [Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(80)];

/// `{"amount": 1234}` are cents of euros; `"currency"` names another one.
#[derive(Deserialize)]
pub(crate) struct Amount {
    amount: Cents,
    #[serde(default = "euros")]
    currency: Currency,
}

fn euros() -> Currency {
    Currency::EUR
}

pub(crate) async fn pay(
    User(user_id): User,
    Key(key): Key,
    Body(Amount { amount, currency }): Body<Amount>,
) -> Result<Json<Receipt>, ApiError> {
    let (billing, amount) = (BillingService::named(), amount.of(currency));
    let receipt = repeated(|| billing.process_payment(user_id, amount, key.clone())).await??;
    Ok(Json(receipt))
}

/// Gives a payment back, or a part of it: it is named by the sequence of its receipt.
pub(crate) async fn refund(
    User(user_id): User,
    Key(key): Key,
    payment: Result<Path<Sequence>, PathRejection>,
    Body(Amount { amount, currency }): Body<Amount>,
) -> Result<Json<Receipt>, ApiError> {
    let Path(payment) = payment.map_err(ApiError::bad_request)?;
    let (billing, amount) = (BillingService::named(), amount.of(currency));
    let receipt = repeated(|| billing.refund(user_id, payment, amount, key.clone())).await??;
    Ok(Json(receipt))
}

/// `?limit=50&after=SEQUENCE`; `next` of one page is `after` of the next one.
pub(crate) async fn statement(
    User(user_id): User,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Statement>, ApiError> {
    let Query(page) = page.map_err(ApiError::bad_request)?;
    let billing = BillingService::named();
    Ok(Json(repeated(|| billing.statement(user_id, page)).await??))
}

#[derive(Serialize)]
pub(crate) struct Balance {
    user_id: UserId,
    balances: Balances,
}

pub(crate) async fn balance(User(user_id): User) -> Result<Json<Balance>, ApiError> {
    let billing = BillingService::named();
    let balances = repeated(|| billing.balance(user_id)).await?;
    let balances = balances.map_err(|_: Overload| ApiError::from(CallError::Overloaded))?;
    Ok(Json(Balance { user_id, balances }))
}

/// Calls, and when the service crashed meanwhile, calls its successor, a few times at most.
///
/// Only for calls that do no harm when they are made twice. A payment is one by its idempotency key:
/// if the crash came after the commit, the second call gets the receipt of the first.
pub(crate) async fn repeated<'c, R>(call: impl Fn() -> Call<'c, R>) -> Result<R, CallError> {
    for pause in REPEAT_PAUSES {
        match call().await {
            Err(CallError::Exited(_) | CallError::NoProc) => tokio::time::sleep(pause).await,
            answer => return answer,
        }
    }
    call().await
}

/// The request's `Idempotency-Key`.
pub(crate) struct Key(pub(crate) IdempotencyKey);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Key, ApiError> {
        let refused = |error: String| ApiError::refused(StatusCode::BAD_REQUEST, error);
        let value = parts.headers.get("idempotency-key").ok_or_else(|| {
            refused("send Idempotency-Key: a name of your own for this payment".to_owned())
        })?;
        let text = value.to_str().unwrap_or_default();
        IdempotencyKey::new(text).map(Key).map_err(|error| refused(error.to_string()))
    }
}
