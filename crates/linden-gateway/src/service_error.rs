//! What a failed call to a service says to the HTTP client that waits behind it.

use std::error::Error;
use std::fmt;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use linden::CallError;

use crate::refusal::{Refusal, Unavailable};

/// A call to a service that has no answer, as a response.
///
/// | The call says | The client gets |
/// |---|---|
/// | no such process, ended, overloaded, timed out | 503, `Retry-After: 1`, `{"error":"service_unavailable","cause":"..."}` |
/// | anything else: a mistake in the program | 500, `{"error":"internal_error"}`, and an error in the log |
///
/// The causes are `not_running`, `ended`, `overloaded` and `timeout`. Exit reasons and texts of panics stay inside. Whether the
/// service has acted on a request that `ended` or `timeout` answers is unknown: let clients repeat such requests under one
/// idempotency key.
///
/// # Examples
/// ```
/// use linden_gateway::{ServiceError, axum::Json};
/// # use linden::prelude::*;
/// # #[derive(Default)]
/// # struct Counter { total: u64 }
/// # #[gen_server(name = "counter")]
/// # impl Counter {
/// #     #[call]
/// #     fn add(&mut self, n: u64) -> u64 { self.total += n; self.total }
/// # }
///
/// async fn add(Json(n): Json<u64>) -> Result<Json<u64>, ServiceError> {
///     Ok(Json(Counter::named().add(n).await?))
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceError(CallError);

impl ServiceError {
    /// What the call said.
    #[must_use]
    pub fn call_error(&self) -> &CallError {
        &self.0
    }

    /// The status of its response: 503, or 500 for a mistake in the program.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.refusal().status()
    }

    fn refusal(&self) -> Refusal {
        match self.0 {
            CallError::NoProc => Refusal::Unavailable(Unavailable::NotRunning),
            CallError::Exited(_) => Refusal::Unavailable(Unavailable::Ended),
            CallError::Overloaded => Refusal::Unavailable(Unavailable::Overloaded),
            CallError::Timeout => Refusal::Unavailable(Unavailable::Timeout),
            _ => Refusal::Internal,
        }
    }
}

impl From<CallError> for ServiceError {
    fn from(error: CallError) -> Self {
        Self(error)
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a service did not answer")
    }
}

impl Error for ServiceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

impl IntoResponse for ServiceError {
    fn into_response(self) -> Response {
        let refusal = self.refusal();
        match refusal {
            // The crash itself is reported by the service's node; in a storm of them each caller would repeat it.
            Refusal::Unavailable(_) => {
                tracing::debug!(target: "linden::gateway", error = %self.0, "a service did not answer");
            }
            _ => {
                tracing::error!(target: "linden::gateway", error = %self.0, "a call could not be made")
            }
        }
        refusal.response()
    }
}
