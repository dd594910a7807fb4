//! What a request's head must be beyond what hyper and h2 check: one host, whole codings, not too many fields.
//!
//! Pure. It runs before the router, so that no handler and no server behind it can read such a head in another way than its
//! neighbour does (request smuggling).

use axum::body::Body;
use axum::response::Response;
use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version};

use crate::refusal::{Refusal, close_after};

/// Why a head is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadHead {
    /// No host, several, or what is none.
    Host,
    /// A coding of the body that is not undone here.
    Coding,
    /// Too many fields. hyper counts those of HTTP/1.1 itself.
    TooManyFields,
}

/// Checks a head; a target in absolute form takes the place of the `Host` (RFC 9112, 3.2.2).
pub(crate) fn check<B>(request: &mut Request<B>, headers_max: usize) -> Result<(), BadHead> {
    if request.headers().len() > headers_max {
        return Err(BadHead::TooManyFields);
    }
    if !is_chunked_alone(request.headers()) {
        return Err(BadHead::Coding);
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() || host.is_some_and(|host| !is_host(host)) {
        return Err(BadHead::Host);
    }
    match (request.version(), request.uri().authority(), host) {
        // RFC 9113, 8.3.1: both may be there when they say the same.
        (Version::HTTP_2, Some(authority), Some(host)) if !is_same(authority, host) => {
            Err(BadHead::Host)
        }
        (Version::HTTP_2, None, None) | (Version::HTTP_11, _, None) => Err(BadHead::Host),
        (Version::HTTP_10 | Version::HTTP_11, Some(authority), _) => {
            let host = HeaderValue::try_from(authority.as_str()).map_err(|_| BadHead::Host)?;
            request.headers_mut().insert(HOST, host);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// An empty one is that of a target without a host (RFC 9112, 3.2).
fn is_host(host: &HeaderValue) -> bool {
    let is_host = |authority: Authority| !authority.as_str().contains('@');
    is_plain_host(host.as_bytes())
        || host.is_empty()
        || Authority::try_from(host.as_bytes()).is_ok_and(is_host)
}

/// Whether it is a host as nearly all are: letters, digits, dots and hyphens, with a port or without. To read it as an
/// authority would copy it.
fn is_plain_host(host: &[u8]) -> bool {
    let colon = host.iter().position(|&byte| byte == b':');
    let (name, port) = host.split_at(colon.unwrap_or(host.len()));
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b".-".contains(byte);
    let is_port = port.is_empty()
        || (2..=6).contains(&port.len()) && port[1..].iter().all(u8::is_ascii_digit);
    !name.is_empty() && name.iter().all(is_of_name) && is_port
}

fn is_same(authority: &Authority, host: &HeaderValue) -> bool {
    host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
}

/// Whether the body has no coding but `chunked`, once.
fn is_chunked_alone(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

impl BadHead {
    /// The refusal, after which a connection closes: what follows on it is not to be trusted.
    pub(crate) fn response(self) -> Response {
        let mut response = match self {
            Self::Host => Refusal::BadHost.response(),
            Self::Coding => empty(StatusCode::NOT_IMPLEMENTED),
            Self::TooManyFields => empty(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        };
        close_after(response.headers_mut());
        response
    }
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, target: &str, fields: &[(&str, &str)]) -> Request<()> {
        let request = Request::builder().version(version).uri(target);
        let request =
            fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).expect("the head is sound")
    }

    #[test]
    fn a_head_has_one_host_and_no_strange_coding() {
        use Version as V;
        let host = ("host", "a.example");
        type Row<'a> = (V, &'a str, &'a [(&'a str, &'a str)], Result<(), BadHead>);
        let table: &[Row<'_>] = &[
            (V::HTTP_11, "/", &[host], Ok(())),
            (V::HTTP_11, "/", &[("host", "")], Ok(())),
            (V::HTTP_11, "/", &[("host", "[::1]:80")], Ok(())),
            (V::HTTP_11, "/", &[], Err(BadHead::Host)),
            (V::HTTP_11, "http://a.example/", &[], Err(BadHead::Host)),
            (V::HTTP_11, "/", &[host, host], Err(BadHead::Host)),
            (V::HTTP_11, "/", &[("host", "a.example/b")], Err(BadHead::Host)),
            (V::HTTP_11, "/", &[("host", "user@a.example")], Err(BadHead::Host)),
            (V::HTTP_11, "/", &[("host", "a b")], Err(BadHead::Host)),
            (V::HTTP_10, "/", &[], Ok(())),
            (V::HTTP_10, "/", &[host, host], Err(BadHead::Host)),
            (V::HTTP_2, "http://a.example/", &[], Ok(())),
            (V::HTTP_2, "http://a.example/", &[("host", "A.example")], Ok(())),
            (V::HTTP_2, "http://a.example/", &[("host", "b.example")], Err(BadHead::Host)),
            (V::HTTP_2, "/", &[host], Ok(())),
            (V::HTTP_2, "/", &[], Err(BadHead::Host)),
            (V::HTTP_11, "/", &[host, ("transfer-encoding", "Chunked")], Ok(())),
            (
                V::HTTP_11,
                "/",
                &[host, ("transfer-encoding", "gzip, chunked")],
                Err(BadHead::Coding),
            ),
            (
                V::HTTP_11,
                "/",
                &[host, ("x", "1"), ("y", "2"), ("z", "3")],
                Err(BadHead::TooManyFields),
            ),
        ];
        for (version, target, fields, expected) in table {
            let mut request = request(*version, target, fields);
            assert_eq!(check(&mut request, 3), *expected, "{version:?} {target} {fields:?}");
        }
    }

    #[test]
    fn a_plain_host_is_one_for_the_careful_reader_too() {
        for host in ["a", "a.example", "A-1.example.", "127.0.0.1", "a:8", "a.example:65535"] {
            assert!(is_plain_host(host.as_bytes()), "{host}");
            let read = Authority::try_from(host).expect("it is one");
            assert_eq!(read.host(), host.split(':').next().expect("there is a first"));
        }
        for other in
            ["", ":80", "a:", "a:123456", "a:8x", "a:8:8", "u@a", "[::1]", "a/b", "a_b", "a b"]
        {
            assert!(!is_plain_host(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn two_codings_in_two_fields_are_refused() {
        let chunked = ("transfer-encoding", "chunked");
        let mut request = request(Version::HTTP_11, "/", &[("host", "a"), chunked, chunked]);
        assert_eq!(check(&mut request, 10), Err(BadHead::Coding));
    }

    #[test]
    fn a_target_in_absolute_form_is_the_host() {
        let mut request =
            request(Version::HTTP_11, "http://a.example:80/", &[("host", "b.example")]);
        assert_eq!(check(&mut request, 10), Ok(()));
        assert_eq!(request.headers()[HOST], "a.example:80");
    }
}
