//! The limits of a gateway: how much of everything one client, or all together, may take.
//!
//! Plain data, read from an application's table of `linden.toml` or written in code; checked once, when the gateway is
//! bound. What each limit does when it is hit stands at the limit.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// The limits of a gateway. In `linden.toml` the durations are texts such as `"30s"`; keys that are not listed here are
/// refused.
///
/// # Examples
/// ```
/// use linden_gateway::Limits;
///
/// let limits = Limits { body_bytes_max: 64 * 1024, ..Limits::default() };
/// assert_eq!(limits.connections_max, 10_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a request's body, whether it is collected or read as a stream. Beyond them: 413. Default 2 MiB; a route
    /// has its own by [`crate::RouteLimits`].
    pub body_bytes_max: u64,
    /// From a request's head to its response's head. Beyond it the handler is dropped: 504, or 408 if it was the client's
    /// body that was waited for. Default 30 s; a route has its own by [`crate::RouteLimits`].
    #[serde(with = "linden::config::duration")]
    pub request_timeout: Duration,
    /// From the first byte of a request's head to its last, and from a connection's beginning to the end of its first
    /// head, a TLS handshake included. Beyond it the connection is closed. Default 10 s.
    #[serde(with = "linden::config::duration")]
    pub header_timeout: Duration,
    /// How long a connection may rest between two requests, and how long a client may neither send the body nor take the
    /// response that it is waited for. Beyond it the connection is closed; a body that does not come is a 408. Default
    /// 60 s.
    #[serde(with = "linden::config::duration")]
    pub idle_timeout: Duration,
    /// Connections open at once. At the limit nothing more is accepted until one closes: newcomers wait in the operating
    /// system's backlog. Default 10,000; at least 1.
    pub connections_max: usize,
    /// Streams that are open at once on an HTTP/2 connection. A client is told of it; the streams beyond are refused.
    /// Default 100; at least 1.
    pub streams_max: u32,
    /// How long an HTTP/2 client may be silent before it is pinged. Default 20 s.
    #[serde(with = "linden::config::duration")]
    pub ping_interval: Duration,
    /// How long an HTTP/2 client may take to answer a ping. Beyond it the connection is closed. Default 10 s.
    #[serde(with = "linden::config::duration")]
    pub ping_timeout: Duration,
    /// Header fields of a request. Beyond them: 431. Default 100; at least 1, at most 10,000.
    pub headers_max: usize,
    /// Bytes of a request's head, and of each buffer of a connection. Beyond them: 431. Default 16 KiB; 8 KiB to 1 MiB.
    pub header_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 2 * 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            connections_max: 10_000,
            streams_max: 100,
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
            headers_max: 100,
            header_bytes_max: 16 * 1024,
        }
    }
}

impl Limits {
    /// Says whether a gateway can work with them.
    ///
    /// # Errors
    /// The first limit that is out of its bounds.
    pub fn check(&self) -> Result<(), LimitError> {
        let refuse = |limit, allowed| Err(LimitError { limit, allowed });
        let durations = [
            ("request_timeout", self.request_timeout),
            ("header_timeout", self.header_timeout),
            ("idle_timeout", self.idle_timeout),
            ("ping_interval", self.ping_interval),
            ("ping_timeout", self.ping_timeout),
        ];
        if let Some((limit, _)) = durations.iter().find(|(_, duration)| duration.is_zero()) {
            return refuse(limit, "longer than 0s");
        }
        if self.connections_max == 0 {
            return refuse("connections_max", "at least 1");
        }
        if self.streams_max == 0 {
            return refuse("streams_max", "at least 1");
        }
        if !(1..=10_000).contains(&self.headers_max) {
            return refuse("headers_max", "1 to 10,000");
        }
        if !(8 * 1024..=1024 * 1024).contains(&self.header_bytes_max) {
            return refuse("header_bytes_max", "8,192 to 1,048,576");
        }
        Ok(())
    }
}

/// A limit that is out of its bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitError {
    /// Which.
    pub limit: &'static str,
    /// What it may be.
    pub allowed: &'static str,
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the limit {} must be {}", self.limit, self.allowed)
    }
}

impl Error for LimitError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_bounds() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn each_limit_out_of_bounds_is_named() {
        let zero = Duration::ZERO;
        let table = [
            (Limits { request_timeout: zero, ..Limits::default() }, "request_timeout"),
            (Limits { header_timeout: zero, ..Limits::default() }, "header_timeout"),
            (Limits { idle_timeout: zero, ..Limits::default() }, "idle_timeout"),
            (Limits { ping_interval: zero, ..Limits::default() }, "ping_interval"),
            (Limits { ping_timeout: zero, ..Limits::default() }, "ping_timeout"),
            (Limits { connections_max: 0, ..Limits::default() }, "connections_max"),
            (Limits { streams_max: 0, ..Limits::default() }, "streams_max"),
            (Limits { headers_max: 0, ..Limits::default() }, "headers_max"),
            (Limits { headers_max: 10_001, ..Limits::default() }, "headers_max"),
            (Limits { header_bytes_max: 8191, ..Limits::default() }, "header_bytes_max"),
            (Limits { header_bytes_max: 1 << 21, ..Limits::default() }, "header_bytes_max"),
        ];
        for (limits, name) in table {
            let error = limits.check().expect_err(name);
            assert_eq!(error.limit, name);
            assert!(error.to_string().contains(error.allowed), "{error}");
        }
    }

    #[test]
    fn limits_are_read_from_configuration() {
        let env = [
            ("LINDEN__WEB__IDLE_TIMEOUT".to_owned(), "5s".to_owned()),
            ("LINDEN__WEB__BODY_BYTES_MAX".to_owned(), "1024".to_owned()),
        ];
        let config = linden::config::Config::load(None, env).expect("the overrides are read");
        let limits: Limits = config.section("web").expect("the keys are known");
        let expected = Limits {
            idle_timeout: Duration::from_secs(5),
            body_bytes_max: 1024,
            ..Limits::default()
        };
        assert_eq!(limits, expected);
        let env = [("LINDEN__WEB__BODY_MAX".to_owned(), "1024".to_owned())];
        let config = linden::config::Config::load(None, env).expect("the overrides are read");
        assert!(config.section::<Limits>("web").is_err(), "an unknown key is refused");
    }
}
