//! Static files: tower-http's directory service, laid under a router, without what begins with a dot.
//!
//! Reading a file is blocking work, which tokio's pool does.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::path::PathBuf;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::future::{Either, MapOk, TryFutureExt};
use http::{Request, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use tower_http::services::ServeDir;
use tower_http::services::fs::ServeFileSystemResponseBody;
use tower_service::Service;

use crate::edge::EdgeError;

/// A directory whose files are served: a table of `static_files` in `linden.toml`.
///
/// `GET` and `HEAD`, with `ETag`, `Last-Modified` and ranges; of `x.js` a `x.js.zst` or `x.js.gz` beside it is sent to clients that
/// accept it; of a directory its `index.html`. What has a part that begins with a dot is not there (`.well-known` is),
/// nor is anything outside of the directory; symbolic links are followed.
///
/// # Examples
/// ```
/// use linden_gateway::StaticFiles;
/// use linden_gateway::axum::Router;
///
/// let files = StaticFiles { path: "/assets".to_owned(), dir: ".".into() };
/// let router = files.mount(Router::new())?;
/// # let _: Router = router;
/// # Ok::<(), linden_gateway::EdgeError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticFiles {
    /// Where they are: `/assets`, or `/` for all that no route has.
    pub path: String,
    /// The directory; a relative one is looked for in the working directory.
    pub dir: PathBuf,
}

impl StaticFiles {
    /// Puts the files among the router's routes; under `/`, in the place of its fallback.
    ///
    /// # Errors
    /// [`EdgeError::NoDirectory`] and [`EdgeError::Path`].
    ///
    /// # Panics
    /// When the router has a route at the path already, as axum does.
    pub fn mount(&self, router: Router) -> Result<Router, EdgeError> {
        if !self.dir.is_dir() {
            return Err(EdgeError::NoDirectory { dir: self.dir.clone() });
        }
        let files = ServeDir::new(&self.dir).precompressed_zstd().precompressed_gzip();
        let files = VisibleFiles { files };
        match self.path.as_str() {
            "/" => Ok(router.fallback_service(files)),
            path if is_plain_path(path) => Ok(router.nest_service(path, files)),
            path => Err(EdgeError::Path { path: path.to_owned() }),
        }
    }
}

/// `/a` or `/a/b`: parts that match themselves only.
pub(crate) fn is_plain_path(path: &str) -> bool {
    let is_plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
    };
    path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_plain))
}

/// The directory without what begins with a dot.
#[derive(Clone)]
struct VisibleFiles {
    files: ServeDir,
}

impl Service<Request<Body>> for VisibleFiles {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<
        Ready<Result<Response, Infallible>>,
        MapOk<
            <ServeDir as Service<Request<Body>>>::Future,
            fn(http::Response<ServeFileSystemResponseBody>) -> Response,
        >,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.files, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if is_hidden(request.uri().path()) {
            return Either::Left(ready(Ok(StatusCode::NOT_FOUND.into_response())));
        }
        let to_response: fn(_) -> Response = IntoResponse::into_response;
        Either::Right(self.files.call(request).map_ok(to_response))
    }
}

/// Whether a part of the path, read as the directory service reads it, begins with a dot.
fn is_hidden(path: &str) -> bool {
    let path = percent_decode_str(path).decode_utf8_lossy();
    path.split(['/', '\\']).any(|part| part.starts_with('.') && part != ".well-known")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_seen_however_they_are_written() {
        for path in [
            "/.git/config",
            "/a/.env",
            "/%2egit",
            "/a%2f.env",
            "/..",
            "/a/../b",
            "/.",
            "/a\\.b",
            "/.well-known/.x",
        ] {
            assert!(is_hidden(path), "{path}");
        }
        for path in ["/", "/a.b", "/a/b.c", "/.well-known/acme-challenge/x", "/%252egit"] {
            assert!(!is_hidden(path), "{path}");
        }
    }

    #[test]
    fn plain_paths_match_themselves_only() {
        for path in ["/a", "/a/b-c_d.e~f"] {
            assert!(is_plain_path(path), "{path}");
        }
        for path in ["", "/", "a", "/a/", "//a", "/{x}", "/*", "/a b", "/é", "/a?b"] {
            assert!(!is_plain_path(path), "{path}");
        }
    }
}
