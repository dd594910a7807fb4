//! What is served where.

use linden_gateway::{
    RouteLimits,
    axum::{
        Router,
        http::StatusCode,
        response::Html,
        routing::{get, post},
    },
};

use crate::{accounts, error::ApiError, files, health, payments};

/// Every route of the shop; `index.html` lists them for people.
pub(crate) fn router() -> Router {
    // A file may be of any length: it is read as a stream, and its client is waited for as long as it sends.
    let of_files = RouteLimits::new().unlimited_body().no_request_timeout();
    Router::new()
        .route("/", get(Html(include_str!("index.html"))))
        .route("/register", post(accounts::register))
        .route("/login", post(accounts::log_in))
        .route("/token/refresh", post(accounts::refresh))
        .route("/logout", post(accounts::log_out))
        .route("/logout/everywhere", post(accounts::log_out_everywhere))
        .route("/payments", post(payments::pay))
        .route("/balance", get(payments::balance))
        .route("/ingest", post(files::ingest).layer(of_files))
        .route("/jobs", get(files::jobs))
        .route("/jobs/{id}", get(files::job).delete(files::cancel))
        .route("/jobs/{id}/report", get(files::report))
        .route("/jobs/{id}/report.csv", get(files::report_csv))
        .route("/jobs/{id}/report.svg", get(files::report_svg))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(|| async { ApiError::refused(StatusCode::NOT_FOUND, "no such route; see /") })
        .method_not_allowed_fallback(|| async {
            ApiError::refused(StatusCode::METHOD_NOT_ALLOWED, "no such method here; see /")
        })
}
