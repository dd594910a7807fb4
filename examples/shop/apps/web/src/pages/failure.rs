//! Errors as pages: whatever goes wrong behind a page, its reader gets words, a way out, and the status.
//!
//! The handlers here fail as those of the API do. What leaves them as an error and is no page becomes one here: the status
//! and `Retry-After` stay, and what the API would say to a program is said to a person, but for what is inside of the shop
//! only. Who is not logged in is sent to the log-in.

use askama::Template;
use linden_gateway::axum::{
    body::to_bytes,
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Redirect, Response},
};
use serde::Deserialize;

use super::{
    destination::Destination,
    frame::{Frame, Here},
    session::Visitor,
    with_status,
};

/// Bytes of an error that are read; ours are shorter.
const ERROR_BYTES_MAX: usize = 16 * 1024;

#[derive(Template)]
#[template(path = "failure.html")]
struct Failure {
    frame: Frame,
    title: &'static str,
    text: String,
    /// The page that failed, if it can be asked for again, and after how many seconds.
    again: Option<Again>,
}

struct Again {
    path: String,
    secs: u64,
}

// GATE-73: an error of a page is a page, with the status and `Retry-After` of the error.
pub(super) async fn for_people(request: Request, next: Next) -> Response {
    let path = match (request.method(), request.uri().path_and_query()) {
        (&Method::GET, Some(path)) => path.as_str().to_owned(),
        _ => String::new(),
    };
    let response = next.run(request).await;
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    if is_error && !is_page(&response) { page(&path, response).await } else { response }
}

/// The page that says what `response` does, of a request for this path.
pub(super) async fn page(path: &str, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let status = parts.status;
    if status == StatusCode::UNAUTHORIZED {
        let mut redirect = Redirect::to(&Destination::offered(path).log_in()).into_response();
        if let Some(cookie) = parts.headers.remove(header::SET_COOKIE) {
            redirect.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        return redirect;
    }
    let visitor = parts.extensions.remove().unwrap_or(Visitor::Guest);
    let retry_after = parts.headers.get(header::RETRY_AFTER).cloned();
    let told = to_bytes(body, ERROR_BYTES_MAX).await.unwrap_or_default();
    let failure = Failure {
        frame: Frame::new(&visitor, Here::Elsewhere),
        title: title(status),
        text: text(status, &told),
        again: again(path, retry_after.as_ref()),
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    let mut page = with_status(status, &failure);
    for (name, value) in &parts.headers {
        page.headers_mut().append(name, value.clone());
    }
    page
}

fn is_page(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => "There is nothing here",
        StatusCode::FORBIDDEN => "That was refused",
        StatusCode::TOO_MANY_REQUESTS => "Too many attempts",
        StatusCode::SERVICE_UNAVAILABLE => "The shop is busy",
        status if status.is_server_error() => "Something went wrong",
        _ => "That did not work",
    }
}

/// What went wrong inside is for the log.
fn text(status: StatusCode, told: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Told {
        error: String,
    }

    if status == StatusCode::SERVICE_UNAVAILABLE {
        return "A part of the shop does not answer just now. Nothing is lost: a form that you send \
                again counts once."
            .to_owned();
    }
    if status.is_server_error() {
        return "The mistake is ours. Try it again in a while.".to_owned();
    }
    if status == StatusCode::NOT_FOUND {
        return "The address may be mistyped, or what was here may be forgotten.".to_owned();
    }
    match serde_json::from_slice::<Told>(told) {
        Ok(Told { error }) => sentence(&error),
        Err(_) if told.is_empty() => sentence(&status.to_string()),
        Err(_) => sentence(&String::from_utf8_lossy(told)),
    }
}

/// Errors are written without a capital and a full stop.
pub(super) fn sentence(error: &str) -> String {
    let mut letters = error.trim().chars();
    let first = letters.next().map(char::to_uppercase);
    let mut sentence: String = first.into_iter().flatten().chain(letters).collect();
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

fn again(path: &str, retry_after: Option<&HeaderValue>) -> Option<Again> {
    let secs = retry_after?.to_str().ok()?.parse().ok()?;
    (!path.is_empty()).then(|| Again { path: path.to_owned(), secs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_become_sentences() {
        for (error, expected) in [
            ("the name ada is taken", "The name ada is taken."),
            ("No more!", "No more!"),
            ("", "."),
            ("éclair?", "Éclair?"),
        ] {
            assert_eq!(sentence(error), expected);
        }
    }

    #[test]
    fn what_is_inside_of_the_shop_is_not_told() {
        let told = br#"{"error":"the disk says: /var/lib"}"#;
        for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE] {
            assert!(!text(status, told).contains("disk"));
        }
        assert_eq!(text(StatusCode::CONFLICT, told), "The disk says: /var/lib.");
        assert_eq!(text(StatusCode::CONFLICT, b""), "409 Conflict.");
    }
}
