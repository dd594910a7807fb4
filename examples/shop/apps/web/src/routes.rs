//! What is served where.

use linden_gateway::{
    NamedRouters, RouteConfig, RouteError, RouteLimits,
    axum::{
        Router,
        http::StatusCode,
        routing::{get, post},
    },
};

use crate::{accounts, chaos, error::ApiError, files, health, openapi, orders, pages, payments};

/// Whether services may be made to suffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chaos {
    On,
    Off,
}

/// What is served: the whole shop, or its parts where the configuration wants them, `shop`, `api` and `pages`.
pub(crate) fn router(chaos: Chaos, places: &[RouteConfig]) -> Result<Router, RouteError> {
    let shop = whole(api(chaos).merge(pages::router()));
    if places.is_empty() {
        return Ok(shop);
    }
    NamedRouters::new()
        .add("shop", shop)
        .add("api", whole(api(chaos)))
        .add("pages", whole(pages::router()))
        .place(places)
}

/// With an answer to requests for what is not there.
fn whole(routes: Router) -> Router {
    routes.fallback(pages::no_route)
}

/// Every route for programs; the first page lists them for people. Those of `chaos` are there on demand.
fn api(chaos: Chaos) -> Router {
    // A file may be of any length: it is read as a stream, and its client is waited for as long as it sends.
    let of_files = RouteLimits::new().unlimited_body().no_request_timeout();
    // An event stream goes on until its client leaves.
    let of_streams = RouteLimits::new().no_request_timeout();
    let router = Router::new()
        .route("/register", post(accounts::register))
        .route("/login", post(accounts::log_in))
        .route("/token/refresh", post(accounts::refresh))
        .route("/logout", post(accounts::log_out))
        .route("/logout/everywhere", post(accounts::log_out_everywhere))
        .route("/payments", post(payments::pay))
        .route("/payments/{sequence}/refunds", post(payments::refund))
        .route("/balance", get(payments::balance))
        .route("/statement", get(payments::statement))
        .route("/items", get(orders::items))
        .route("/items/{sku}", get(orders::item))
        .route("/orders", get(orders::orders).post(orders::place))
        .route("/orders/updates", get(orders::updates).layer(of_streams))
        .route("/orders/{id}", get(orders::order).delete(orders::cancel))
        .route("/inbox", get(orders::inbox))
        .route("/ingest", post(files::ingest).layer(of_files))
        .route("/jobs", get(files::jobs))
        .route("/jobs/{id}", get(files::job).delete(files::cancel))
        .route("/jobs/{id}/report", get(files::report))
        .route("/jobs/{id}/report.csv", get(files::report_csv))
        .route("/jobs/{id}/report.svg", get(files::report_svg))
        .route("/openapi.json", get(openapi::document))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready));
    let router = match chaos {
        Chaos::On => router
            .route("/chaos/billing", post(chaos::billing))
            .route("/chaos/{service}", post(chaos::service)),
        Chaos::Off => router,
    };
    router.method_not_allowed_fallback(|| async {
        ApiError::refused(StatusCode::METHOD_NOT_ALLOWED, "no such method here; see /")
    })
}
