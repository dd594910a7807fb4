//! Request ids: one for each request, the client's own when it is sane, in the response and in the log.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

/// The header field, of requests and of responses.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of an id that is taken over from a client.
const LEN_MAX: usize = 128;

/// The id of a request, for people who compare a client's log with ours. An extractor behind [`RequestIds`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The id as it stands in the header field.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The client's: one field, 1 to 128 bytes of letters, digits and `-_.~:+/=@`.
    fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(X_REQUEST_ID).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let is_sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~:+/=@".contains(byte);
        let bytes = value.as_bytes();
        let sane = (1..=LEN_MAX).contains(&bytes.len()) && bytes.iter().all(is_sane);
        value.to_str().ok().filter(|_| sane).map(|text| Self(text.into()))
    }

    fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()).into())
    }

    fn header_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("an id has visible ASCII characters only")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    /// The route is not behind [`RequestIds`].
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.extensions.get().cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Gives each request a [`RequestId`] among its extensions and its response the same as `x-request-id`: the one that the
/// request's `x-request-id` says when that is sane, else a random one. A layer.
///
/// # Examples
/// ```
/// use linden_gateway::axum::{Router, routing::get};
/// use linden_gateway::{RequestId, RequestIds};
///
/// let router: Router = Router::new()
///     .route("/", get(async |id: RequestId| id.to_string()))
///     .layer(RequestIds);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestIds;

impl<S> Layer<S> for RequestIds {
    type Service = IdentifiedRoute<S>;

    fn layer(&self, inner: S) -> IdentifiedRoute<S> {
        IdentifiedRoute { inner }
    }
}

/// The service that [`RequestIds`] makes.
#[derive(Clone, Debug)]
pub struct IdentifiedRoute<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for IdentifiedRoute<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Identified<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let id = RequestId::of_headers(request.headers()).unwrap_or_else(RequestId::random);
        let header = Some(id.header_value());
        request.extensions_mut().insert(id);
        Identified { future: self.inner.call(request), header }
    }
}

pin_project! {
    /// The response of an [`IdentifiedRoute`] to come.
    #[derive(Debug)]
    pub struct Identified<F> {
        #[pin]
        future: F,
        // Until it stands in the response.
        header: Option<HeaderValue>,
    }
}

impl<F, R, E> Future for Identified<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.future.poll(cx))?;
        if let Some(header) = this.header.take() {
            response.headers_mut().insert(X_REQUEST_ID, header);
        }
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(X_REQUEST_ID, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        RequestId::of_headers(&headers).map(|id| id.to_string())
    }

    // proves: GATE-47
    #[test]
    fn only_sane_ids_are_taken_over() {
        let long = "x".repeat(LEN_MAX + 1);
        for id in ["a", "0b5c-9_.~:+/=@Z", &long[1..]] {
            assert_eq!(of(&[id]).as_deref(), Some(id));
        }
        for ids in [&[][..], &[""], &["a b"], &["a\"b"], &["é"], &["a", "a"], &[&long]] {
            assert_eq!(of(ids), None, "{ids:?}");
        }
    }

    #[test]
    fn made_ids_differ() {
        let (one, other) = (RequestId::random(), RequestId::random());
        assert_eq!(one.as_str().len(), 32);
        assert_ne!(one, other);
    }
}
