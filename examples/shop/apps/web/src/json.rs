//! Request bodies as JSON, whatever content type they claim to be: curl's default is a form.

use linden_gateway::axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::StatusCode,
};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::error::ApiError;

/// A body that was read as a `T`.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, ApiError> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| ApiError::refused(rejection.status(), rejection.body_text()))?;
        // Serde would take an array for an object whose fields it lists in their order.
        if bytes.trim_ascii_start().starts_with(b"[") {
            let words = "an object is expected, not an array";
            return Err(ApiError::refused(StatusCode::UNPROCESSABLE_ENTITY, words));
        }
        serde_json::from_slice(&bytes).map(Body).map_err(|error| {
            // JSON that breaks a rule of ours is understood and refused.
            let status = match error.classify() {
                Category::Data => StatusCode::UNPROCESSABLE_ENTITY,
                _ => StatusCode::BAD_REQUEST,
            };
            ApiError::refused(status, error.to_string())
        })
    }
}
