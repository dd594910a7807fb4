//! W3C Trace Context, level 1: which trace a request belongs to, read from its header fields and written to such.
//!
//! Pure: no clock, no randomness, no I/O. Strict: what is not well-formed is as if it had not been sent, for a guess would
//! join traces that have nothing to do with each other.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::str::FromStr;

use http::{HeaderMap, HeaderName};

/// The header field that names the trace.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header field that vendors of tracing add theirs to.
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Bytes of a `traceparent` of version 0, and of the part of later ones that we know.
const PARENT_LEN: usize = 55;
/// Members of a `tracestate`; one with more is dropped whole, as the standard says.
const STATE_MEMBERS_MAX: usize = 32;
/// Bytes of a member's value.
const STATE_VALUE_LEN_MAX: usize = 256;

/// The trace that a request belongs to, and who in it has sent it. An extractor behind [`crate::Traced`].
///
/// # Examples
/// ```
/// use linden_gateway::TraceContext;
///
/// let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let context: TraceContext = text.parse()?;
/// assert!(context.is_sampled());
/// assert_eq!(context.to_string(), text);
/// # Ok::<(), linden_gateway::TraceContextError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TraceContext {
    /// The trace; not all zero.
    pub trace_id: [u8; 16],
    /// The caller's span; not all zero. A trace that begins here has a random one.
    pub parent_id: [u8; 8],
    /// [`TraceContext::SAMPLED`] or nothing: bits that level 1 does not know are cleared.
    pub flags: u8,
}

/// Why a text is no `traceparent`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TraceContextError {
    /// Not four groups of lower-case hexadecimal digits of the right lengths.
    Malformed,
    /// Version `ff`, which is none.
    Version,
    /// The trace's id is all zero.
    ZeroTraceId,
    /// The parent's id is all zero.
    ZeroParentId,
}

impl fmt::Display for TraceContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => {
                "a traceparent is VERSION-TRACE-PARENT-FLAGS in lower-case hexadecimal digits"
            }
            Self::Version => "ff is no version of a traceparent",
            Self::ZeroTraceId => "the trace's id is all zero",
            Self::ZeroParentId => "the parent's id is all zero",
        })
    }
}

impl Error for TraceContextError {}

impl TraceContext {
    /// The flag of a caller that may have recorded its part of the trace.
    pub const SAMPLED: u8 = 1;

    /// A trace that begins here, not sampled, with ids of these random bytes.
    #[must_use]
    pub fn begin(trace_id: [u8; 16], parent_id: [u8; 8]) -> Self {
        let mut begun = Self { trace_id, parent_id, flags: 0 };
        // One in 2^128 and 2^64: zero is no id.
        if begun.trace_id == [0; 16] {
            begun.trace_id[15] = 1;
        }
        if begun.parent_id == [0; 8] {
            begun.parent_id[7] = 1;
        }
        begun
    }

    /// What the header fields say; `None` when they say nothing, or nothing that is well-formed.
    #[must_use]
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        value.to_str().ok()?.parse().ok()
    }

    /// Whether the caller may have recorded its part of the trace.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & Self::SAMPLED != 0
    }

    /// The trace's id as it stands in logs: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id_text(&self) -> impl fmt::Display + use<> {
        Hex(self.trace_id)
    }
}

impl FromStr for TraceContext {
    type Err = TraceContextError;

    fn from_str(text: &str) -> Result<Self, TraceContextError> {
        let bytes = text.as_bytes();
        let malformed = TraceContextError::Malformed;
        let known = bytes.get(..PARENT_LEN).ok_or(malformed)?;
        if [2, 35, 52].iter().any(|&at| known[at] != b'-') {
            return Err(malformed);
        }
        let [version] = digits(&known[..2]).ok_or(malformed)?;
        match version {
            0xff => return Err(TraceContextError::Version),
            0 if bytes.len() > PARENT_LEN => return Err(malformed),
            // Later versions may say more, behind another dash.
            _ if bytes.get(PARENT_LEN).is_some_and(|&next| next != b'-') => return Err(malformed),
            _ => {}
        }
        let trace_id = digits(&known[3..35]).ok_or(malformed)?;
        let parent_id = digits(&known[36..52]).ok_or(malformed)?;
        let [flags] = digits(&known[53..55]).ok_or(malformed)?;
        if trace_id == [0; 16] {
            return Err(TraceContextError::ZeroTraceId);
        }
        if parent_id == [0; 8] {
            return Err(TraceContextError::ZeroParentId);
        }
        Ok(Self { trace_id, parent_id, flags: flags & Self::SAMPLED })
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", Hex(self.trace_id), Hex(self.parent_id), self.flags)
    }
}

/// Bytes as hexadecimal digits.
struct Hex<const N: usize>([u8; N]);

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The bytes that twice as many lower-case digits stand for.
fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
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

    fn parse(text: &str) -> Result<TraceContext, TraceContextError> {
        text.parse()
    }

    // proves: GATE-48
    #[test]
    fn a_traceparent_survives_being_written() {
        let context = parse(GOOD).unwrap();
        assert_eq!(context.to_string(), GOOD);
        assert_eq!(context.trace_id_text().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((context.parent_id[0], context.parent_id[7], context.flags), (0xb7, 0x31, 1));
    }

    // proves: GATE-48
    #[test]
    fn what_is_no_traceparent_is_refused_with_the_reason() {
        use TraceContextError::{Malformed, Version, ZeroParentId, ZeroTraceId};
        let zero_trace = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
        let zero_parent = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", "0".repeat(16));
        let table = [
            (String::new(), Malformed),
            (GOOD[..54].to_owned(), Malformed),
            (format!("{GOOD}-more"), Malformed),
            (format!("{GOOD} "), Malformed),
            (GOOD.to_uppercase(), Malformed),
            (GOOD.replace('-', "_"), Malformed),
            (GOOD.replace("0af", "0ag"), Malformed),
            (GOOD.replacen("00", "0x", 1), Malformed),
            (GOOD.replacen("00", "ff", 1), Version),
            (format!("{}x", GOOD.replacen("00", "01", 1)), Malformed),
            (format!("é{}", &GOOD[1..]), Malformed),
            (zero_trace, ZeroTraceId),
            (zero_parent, ZeroParentId),
        ];
        for (text, error) in table {
            assert_eq!(parse(&text), Err(error), "{text}");
            assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = GOOD.replacen("00", "cc", 1);
        assert_eq!(parse(&later), parse(GOOD));
        assert_eq!(parse(&format!("{later}-what-the-future-holds")), parse(GOOD));
        assert_eq!(parse(&GOOD.replace("-01", "-ff")).map(|context| context.flags), Ok(1));
        assert_eq!(
            parse(&GOOD.replace("-01", "-02")).map(|context| context.is_sampled()),
            Ok(false)
        );
    }

    #[test]
    fn two_fields_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(TraceContext::of_headers(&headers), None);
        headers.append(TRACEPARENT, GOOD.parse().unwrap());
        assert_eq!(TraceContext::of_headers(&headers), parse(GOOD).ok());
        headers.append(TRACEPARENT, GOOD.parse().unwrap());
        assert_eq!(TraceContext::of_headers(&headers), None);
    }

    #[test]
    fn a_trace_that_begins_has_ids() {
        let begun = TraceContext::begin([0; 16], [0; 8]);
        assert_eq!(parse(&begun.to_string()), Ok(begun));
        assert!(!begun.is_sampled());
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
