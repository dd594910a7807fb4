//! The edge of a program in one place: which layers stand around its routes, from configuration.
//!
//! Each layer is usable alone; here is only their order.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use axum::Router;
use serde::Deserialize;

use crate::access_log::AccessLog;
use crate::client_addr::{ProxyNet, TrustedProxies};
use crate::compression::CompressionConfig;
use crate::concurrency::{ConcurrencyConfig, ConcurrencyLimit};
use crate::cors::CorsConfig;
use crate::rate_limit::{RateConfig, RateLimit};
use crate::request_id::RequestIds;
use crate::static_files::StaticFiles;
use crate::traced::Traced;

/// What stands around a program's routes. In `linden.toml` a table of these keys, each of which may be left out.
///
/// From the outside in: request ids and trace context, which are always there; the trusted proxies; the access log; CORS; the rate limit; the
/// concurrency limit; compression; the static files beside the routes.
///
/// # Examples
/// ```
/// use linden_gateway::axum::{Router, routing::get};
/// use linden_gateway::{CompressionConfig, EdgeConfig};
///
/// let edge = EdgeConfig { compression: Some(CompressionConfig::default()), ..Default::default() };
/// let router = edge.wrap(Router::new().route("/", get(async || "hello")))?;
/// # let _: Router = router;
/// # Ok::<(), linden_gateway::EdgeError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeConfig {
    /// Proxies that say who their clients are ([`TrustedProxies`]), as networks such as `10.0.0.0/8`. Default: none.
    pub trusted_proxies: Vec<ProxyNet>,
    /// One event for each request ([`AccessLog`]). Default true.
    pub access_log: bool,
    /// Responses in zstd or gzip. Default: none.
    pub compression: Option<CompressionConfig>,
    /// Pages of other origins. Default: none may use the routes.
    pub cors: Option<CorsConfig>,
    /// Directories whose files are served. Default: none.
    pub static_files: Vec<StaticFiles>,
    /// How many requests are handled at once, over all routes. Default: no limit but that of the connections.
    pub concurrency: Option<ConcurrencyConfig>,
    /// How many requests one client may make, over all routes. Default: no limit.
    pub rate: Option<RateConfig>,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            access_log: true,
            compression: None,
            cors: None,
            static_files: Vec::new(),
            concurrency: None,
            rate: None,
        }
    }
}

impl EdgeConfig {
    /// Lays the layers around the routes.
    ///
    /// # Errors
    /// [`EdgeError`], which names the key and the mend.
    pub fn wrap(&self, router: Router) -> Result<Router, EdgeError> {
        self.check()?;
        let mut router = router;
        for files in &self.static_files {
            router = files.mount(router)?;
        }
        if let Some(compression) = &self.compression {
            router = router.layer(compression.layer());
        }
        if let Some(concurrency) = self.concurrency {
            router = router.layer(ConcurrencyLimit::new(concurrency));
        }
        if let Some(rate) = &self.rate {
            router = router.layer(RateLimit::new(rate));
        }
        if let Some(cors) = &self.cors {
            router = router.layer(cors.layer()?);
        }
        if self.access_log {
            router = router.layer(AccessLog);
        }
        if !self.trusted_proxies.is_empty() {
            router = router.layer(TrustedProxies::new(self.trusted_proxies.iter().copied()));
        }
        Ok(router.layer((RequestIds, Traced)))
    }

    fn check(&self) -> Result<(), EdgeError> {
        let refuse = |key, allowed| Err(EdgeError::Limit { key, allowed });
        if self.concurrency.is_some_and(|concurrency| concurrency.running_max == 0) {
            return refuse("concurrency.running_max", "at least 1");
        }
        let Some(rate) = &self.rate else { return Ok(()) };
        if rate.requests == 0 {
            return refuse("rate.requests", "at least 1");
        }
        if rate.burst == Some(0) {
            return refuse("rate.burst", "at least 1");
        }
        if rate.keys_max == 0 {
            return refuse("rate.keys_max", "at least 1");
        }
        if (rate.per / rate.requests).is_zero() {
            return refuse("rate.per", "longer than 0s, and a nanosecond or more for each request");
        }
        Ok(())
    }
}

/// Why an edge was not made.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EdgeError {
    /// A limit is out of its bounds.
    Limit {
        /// Which.
        key: &'static str,
        /// What it may be.
        allowed: &'static str,
    },
    /// A value of `cors` makes no sense.
    Cors {
        /// The value.
        value: String,
        /// What it should have been.
        expected: &'static str,
    },
    /// The directory of static files is not there.
    NoDirectory {
        /// Which.
        dir: PathBuf,
    },
    /// The path of static files is none that they can be put under.
    Path {
        /// Which.
        path: String,
    },
}

impl EdgeError {
    pub(crate) fn cors(value: &str, expected: &'static str) -> Self {
        Self::Cors { value: value.to_owned(), expected }
    }
}

impl fmt::Display for EdgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit { key, allowed } => write!(f, "{key} must be {allowed}"),
            Self::Cors { value, expected } => {
                write!(f, "{value:?} in cors makes no sense; expected: {expected}")
            }
            Self::NoDirectory { dir } => write!(
                f,
                "the static files' directory {} is not there: make it, or correct static_files.dir",
                dir.display()
            ),
            Self::Path { path } => write!(
                f,
                "static files cannot be put under {path:?}: write / or a path such as /assets"
            ),
        }
    }
}

impl Error for EdgeError {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rate(requests: u32, per: Duration) -> RateConfig {
        RateConfig { requests, per, burst: None, key: Default::default(), keys_max: 1 }
    }

    #[test]
    fn each_value_that_makes_no_sense_is_named() {
        let files =
            |path: &str, dir: &str| vec![StaticFiles { path: path.to_owned(), dir: dir.into() }];
        let second = Duration::from_secs(1);
        let concurrency = ConcurrencyConfig { running_max: 0, ..Default::default() };
        let cors = CorsConfig { origins: vec!["x".to_owned()], ..Default::default() };
        let with_rate = |rate| EdgeConfig { rate: Some(rate), ..Default::default() };
        let table = [
            (EdgeConfig { concurrency: Some(concurrency), ..Default::default() }, "running_max"),
            (with_rate(rate(0, second)), "rate.requests"),
            (with_rate(rate(1, Duration::ZERO)), "rate.per"),
            (with_rate(rate(2, Duration::from_nanos(1))), "rate.per"),
            (with_rate(RateConfig { burst: Some(0), ..rate(1, second) }), "rate.burst"),
            (with_rate(RateConfig { keys_max: 0, ..rate(1, second) }), "rate.keys_max"),
            (EdgeConfig { cors: Some(cors), ..Default::default() }, "\"x\" in cors"),
            (EdgeConfig { static_files: files("/a", "no/such"), ..Default::default() }, "no/such"),
            (EdgeConfig { static_files: files("a", "."), ..Default::default() }, "\"a\""),
        ];
        for (edge, named) in table {
            let error = edge.wrap(Router::new()).expect_err(named).to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    // proves: GATE-40
    #[test]
    fn an_edge_is_read_from_configuration() {
        let toml = r#"
            [web]
            trusted_proxies = ["10.0.0.0/8", "127.0.0.1"]
            access_log = false
            compression = { bytes_min = 10 }
            cors = { origins = ["https://shop.example"], credentials = true }
            static_files = [{ path = "/assets", dir = "." }]
            concurrency = { running_max = 4, wait_max = "250ms" }
            rate = { requests = 100, per = "1m", key = "header:x-api-key" }
        "#;
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        std::io::Write::write_all(&mut file, toml.as_bytes()).expect("it is written");
        let config = linden::config::Config::load(Some(file.path()), []).expect("it is read");
        let edge: EdgeConfig = config.section("web").expect("the keys are known");
        assert_eq!(edge.trusted_proxies.len(), 2);
        assert!(!edge.access_log);
        assert_eq!(edge.compression, Some(CompressionConfig { bytes_min: 10 }));
        assert!(edge.cors.as_ref().is_some_and(|cors| cors.credentials));
        let concurrency = edge.concurrency.expect("it is there");
        let expected = (4, 256, Duration::from_millis(250));
        assert_eq!(
            (concurrency.running_max, concurrency.waiting_max, concurrency.wait_max),
            expected
        );
        let rate = edge.rate.as_ref().expect("it is there");
        assert_eq!((rate.requests, rate.burst, rate.keys_max), (100, None, 100_000));
        assert!(edge.wrap(Router::new()).is_ok());
    }
}
