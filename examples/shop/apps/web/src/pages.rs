//! The pages for people: what the JSON API does for programs, as HTML that needs no script.
//!
//! A page is a file here and a template of the same name. Its handler does what one of the API does: it calls services by
//! their names and holds nothing. Around all pages lie, from the outside in: [`headers`], which tells browsers what a page
//! may do; [`failure`], which makes a page of every error; [`origin`], which refuses what another site sends; and
//! [`session`], which knows the visitor by a cookie.
//!
//! Invariants: templates escape every text; a form that changes something carries an idempotency key made here, so that it
//! counts once however often it is sent; a redirect leads to a page of this shop ([`Destination`]). Scripts only enhance.
//!
//! [`Destination`]: destination::Destination

use askama::Template;
use linden_gateway::{
    RouteLimits,
    axum::{
        Router,
        http::{HeaderMap, StatusCode, Uri, header},
        middleware::{from_fn, map_response},
        response::{Html, IntoResponse as _, Response},
        routing::{get, post},
    },
};

use crate::error::ApiError;

mod accounts;
mod assets;
mod clock;
mod destination;
mod failure;
mod files;
mod form_key;
mod frame;
mod headers;
mod home;
mod inbox;
mod items;
mod job;
mod options_form;
mod order;
mod orders;
mod origin;
mod pay;
mod renewals;
mod session;
mod statement;

pub(crate) use renewals::SessionRenewals;

/// Lines of a page of a list.
const PAGE_LEN: usize = 20;

/// Every page. All but the first one lie below `/shop`, where the API has nothing.
pub(crate) fn router() -> Router {
    let of_files = RouteLimits::new().unlimited_body().no_request_timeout();
    let of_streams = RouteLimits::new().no_request_timeout();
    Router::new()
        .route("/", get(home::show))
        .route("/shop", get(items::show).post(items::order))
        .route("/shop/register", get(accounts::registration).post(accounts::register))
        .route("/shop/login", get(accounts::log_in_form).post(accounts::log_in))
        .route("/shop/logout", post(accounts::log_out))
        .route("/shop/orders", get(orders::show))
        .route("/shop/orders/updates", get(orders::updates).layer(of_streams))
        .route("/shop/orders/{id}", get(order::show))
        .route("/shop/orders/{id}/cancel", post(order::cancel))
        .route("/shop/pay", get(pay::show).post(pay::pay))
        .route("/shop/statement", get(statement::show))
        .route("/shop/inbox", get(inbox::show))
        .route("/shop/files", get(files::show).post(files::upload).layer(of_files))
        .route("/shop/files/{id}", get(job::show))
        .route("/shop/files/{id}/cancel", post(job::cancel))
        .route("/shop/files/{id}/plot.svg", get(job::plot))
        .route("/shop/files/{id}/report.csv", get(job::csv))
        .route("/shop/{*nothing}", get(no_such_page))
        .layer(from_fn(session::recognise))
        .layer(from_fn(origin::check))
        .route("/shop/assets/{name}", get(assets::serve))
        .layer(from_fn(failure::for_people))
        .layer(map_response(headers::secure))
}

/// What the shop says to a request for nothing that it knows.
pub(crate) async fn no_route(uri: Uri, headers: HeaderMap) -> Response {
    let refusal = ApiError::refused(StatusCode::NOT_FOUND, "no such route; see /").into_response();
    if is_for_people(&headers) {
        return headers::secure(failure::page(uri.path(), refusal).await).await;
    }
    refusal
}

async fn no_such_page() -> StatusCode {
    StatusCode::NOT_FOUND
}

/// Browsers ask for HTML, programs for anything.
fn is_for_people(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|kinds| kinds.contains("text/html"))
}

fn html(page: &impl Template) -> Response {
    with_status(StatusCode::OK, page)
}

/// A template fails only when a value that it shows does.
fn with_status(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
