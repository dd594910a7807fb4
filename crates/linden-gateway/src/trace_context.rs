//! W3C Trace Context, level 1, in header fields: which trace a request belongs to, and what vendors of tracing say of it.
//!
//! Pure: no clock, no randomness, no I/O. Strict: what is not well-formed is as if it had not been sent, for a guess would
//! join traces that have nothing to do with each other.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName};
use linden::TraceContext;

/// The header field that names the trace.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header field that vendors of tracing add theirs to.
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Members of a `tracestate`; one with more is dropped whole, as the standard says.
const STATE_MEMBERS_MAX: usize = 32;
/// Bytes of a member's value.
const STATE_VALUE_LEN_MAX: usize = 256;

/// The trace that a request belongs to; `None` when its header fields say nothing, or nothing that is well-formed.
pub(crate) fn trace_of_headers(headers: &HeaderMap) -> Option<TraceContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    value.to_str().ok()?.parse().ok()
}

/// What vendors of tracing have added to the trace: passed on as it came, or dropped when it is not well-formed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TraceState(Box<str>);

impl TraceState {
    /// What the header fields say; `None` when they say nothing, or nothing that is well-formed.
    #[must_use]
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let mut parts = Vec::new();
        for value in headers.get_all(TRACESTATE) {
            parts.push(value.to_str().ok()?);
        }
        Self::parse(&parts.join(","))
    }

    /// Reads the field's value; several fields are one, joined by commas.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let members = || text.split(',').map(trim).filter(|member| !member.is_empty());
        let mut keys = HashSet::new();
        let fits = members().all(|member| {
            member.split_once('=').is_some_and(|(key, value)| {
                is_state_key(key) && is_state_value(value) && keys.insert(key)
            })
        });
        let count = members().count();
        (fits && (1..=STATE_MEMBERS_MAX).contains(&count)).then(|| Self(text.into()))
    }

    /// The field's value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn trim(member: &str) -> &str {
    member.trim_matches([' ', '\t'])
}

/// `vendor`, or `tenant@system`.
fn is_state_key(key: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase();
    let first_of_tenant = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match key.split_once('@') {
        None => is_name(key, 256, letter),
        Some((tenant, system)) => {
            is_name(tenant, 241, first_of_tenant) && is_name(system, 14, letter)
        }
    }
}

fn is_name(name: &str, len_max: usize, is_first: impl Fn(u8) -> bool) -> bool {
    let is_rest = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
    let bytes = name.as_bytes();
    bytes.first().is_some_and(|&first| is_first(first))
        && bytes.len() <= len_max
        && bytes.iter().all(is_rest)
}

fn is_state_value(value: &str) -> bool {
    let is_value = |byte: &u8| matches!(byte, 0x20..=0x2b | 0x2d..=0x3c | 0x3e..=0x7e);
    let bytes = value.as_bytes();
    let ends = bytes.last().is_some_and(|&last| last != b' ');
    ends && bytes.len() <= STATE_VALUE_LEN_MAX && bytes.iter().all(is_value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn two_fields_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(trace_of_headers(&headers), None);
        headers.append(TRACEPARENT, GOOD.parse().unwrap());
        assert_eq!(trace_of_headers(&headers), GOOD.parse().ok());
        headers.append(TRACEPARENT, GOOD.parse().unwrap());
        assert_eq!(trace_of_headers(&headers), None);
    }

    #[test]
    fn tracestates_are_taken_whole_or_not_at_all() {
        let many =
            |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        let long = format!("a={}", "x".repeat(257));
        let good = [
            "a=1",
            "rojo=00f067aa0ba902b7, congo=t61rcWkgMzE",
            "t1@sys=x y",
            "a=1,,b=2",
            &many(32),
        ];
        for text in good {
            assert_eq!(
                TraceState::parse(text).map(|state| state.as_str().to_owned()),
                Some(text.into())
            );
        }
        let bad = [
            "",
            ",",
            "a",
            "=1",
            "a=",
            "A=1",
            "a=1,a=2",
            "1a=1",
            "a=1,b",
            "a=x\u{e9}",
            "a=b=c",
            "t@1=x",
            "a@b@c=1",
            &many(33),
            &long,
        ];
        for text in bad {
            assert_eq!(TraceState::parse(text), None, "{text}");
        }
    }

    #[test]
    fn several_tracestate_fields_are_one() {
        let mut headers = HeaderMap::new();
        assert_eq!(TraceState::of_headers(&headers), None);
        headers.append(TRACESTATE, "a=1".parse().unwrap());
        headers.append(TRACESTATE, "b=2".parse().unwrap());
        assert_eq!(TraceState::of_headers(&headers).unwrap().as_str(), "a=1,b=2");
    }
}
