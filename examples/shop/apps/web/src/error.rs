//! Every answer that is no success: a status and `{"error": ...}`.
//!
//! The one place where the services' errors become statuses.

use std::{error::Error, fmt::Display, time::Duration};

use linden::CallError;
use linden_gateway::{
    ServiceError,
    axum::{
        Json,
        http::{StatusCode, header},
        response::{IntoResponse, Response},
    },
};
use serde_json::json;
use shop_auth::{AuthError, TokenError};
use shop_billing::{ChaosIsOff, PaymentError, StatementError};
use shop_catalog::CatalogError;
use shop_data_processing::IngestError;
use shop_notifications::NotificationsError;
use shop_orders::OrdersError;

/// Why a request has no success to show.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The request's own fault, or nobody's that is to try again.
    Refused { status: StatusCode, error: String },
    /// Asked too often: 429 with `Retry-After`.
    TooMany { retry_after: Duration, error: String },
    /// A service is dead or overloaded: 503 with `Retry-After`.
    Service(ServiceError),
}

impl ApiError {
    pub(crate) fn refused(status: StatusCode, error: impl Into<String>) -> ApiError {
        ApiError::Refused { status, error: error.into() }
    }

    /// What axum says of a path or a query that does not fit.
    pub(crate) fn bad_request(rejection: impl Display) -> ApiError {
        ApiError::refused(StatusCode::BAD_REQUEST, rejection.to_string())
    }

    fn of(status: StatusCode, error: &dyn Error) -> ApiError {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        ApiError::refused(status, format!("{error}{cause}"))
    }

    fn overloaded() -> ApiError {
        CallError::Overloaded.into()
    }
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> ApiError {
        ApiError::Service(error.into())
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> ApiError {
        let status = match &error {
            AuthError::Overloaded => return ApiError::overloaded(),
            AuthError::TooManyAttempts { retry_after } => {
                return ApiError::TooMany { retry_after: *retry_after, error: error.to_string() };
            }
            AuthError::Token(token) => return (*token).into(),
            AuthError::WrongCredentials => StatusCode::UNAUTHORIZED,
            AuthError::NameTaken { .. } => StatusCode::CONFLICT,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        ApiError::of(status, &error)
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> ApiError {
        ApiError::of(StatusCode::UNAUTHORIZED, &error)
    }
}

impl From<PaymentError> for ApiError {
    fn from(error: PaymentError) -> ApiError {
        let status = match &error {
            PaymentError::Overloaded { .. } => return ApiError::overloaded(),
            PaymentError::BalanceOverflow { .. } => StatusCode::CONFLICT,
            // A key that is used again for something else: 422, as the IETF's draft of the header has it.
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        ApiError::of(status, &error)
    }
}

impl From<StatementError> for ApiError {
    fn from(error: StatementError) -> ApiError {
        match error {
            StatementError::Overloaded(_) => ApiError::overloaded(),
            _ => ApiError::of(StatusCode::BAD_REQUEST, &error),
        }
    }
}

impl From<ChaosIsOff> for ApiError {
    fn from(error: ChaosIsOff) -> ApiError {
        ApiError::of(StatusCode::FORBIDDEN, &error)
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> ApiError {
        let status = match error {
            CatalogError::Overloaded(_) => return ApiError::overloaded(),
            CatalogError::UnknownItem { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::CONFLICT,
        };
        ApiError::of(status, &error)
    }
}

impl From<OrdersError> for ApiError {
    fn from(error: OrdersError) -> ApiError {
        let status = match error {
            OrdersError::Overloaded(_)
            | OrdersError::TooManyRunning { .. }
            | OrdersError::Unavailable { .. } => return ApiError::overloaded(),
            OrdersError::NoSuchOrder { .. } => StatusCode::NOT_FOUND,
            OrdersError::KeyReuse { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::CONFLICT,
        };
        ApiError::of(status, &error)
    }
}

impl From<NotificationsError> for ApiError {
    /// Whatever is wrong, it is too much at the moment.
    fn from(_: NotificationsError) -> ApiError {
        ApiError::overloaded()
    }
}

impl From<IngestError> for ApiError {
    fn from(error: IngestError) -> ApiError {
        let status = match error {
            IngestError::Overloaded { .. } => return ApiError::overloaded(),
            IngestError::Service(cause) => return cause.into(),
            IngestError::File(_) => StatusCode::UNPROCESSABLE_ENTITY,
            IngestError::Cancelled => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        ApiError::of(status, &error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            ApiError::Service(error) => return error.into_response(),
            ApiError::TooMany { retry_after, error } => {
                // In whole seconds, and none too early.
                let secs = retry_after.as_secs().saturating_add(1).to_string();
                let headers = [(header::RETRY_AFTER, secs)];
                let body = Json(json!({ "error": error }));
                return (StatusCode::TOO_MANY_REQUESTS, headers, body).into_response();
            }
            ApiError::Refused { status, error } => (status, error),
        };
        let mut response = (status, Json(json!({ "error": error }))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
