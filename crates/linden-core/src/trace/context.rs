//! W3C Trace Context, level 1: what names a trace, read from a `traceparent` and written as one. Pure.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes of a `traceparent` of version 0, and of the part of later ones that we know.
const PARENT_LEN: usize = 55;

/// The trace that some work belongs to, and which part of it has asked for the work.
///
/// Read from and written as a `traceparent` of W3C Trace Context, level 1. Strict: what is not well-formed is an error, for a
/// guess would join traces that have nothing to do with each other.
///
/// # Examples
/// ```
/// use linden_core::TraceContext;
///
/// let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let context: TraceContext = text.parse()?;
/// assert!(context.is_sampled());
/// assert_eq!(context.to_string(), text);
/// # Ok::<(), linden_core::TraceContextError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
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
    fn a_trace_that_begins_has_ids() {
        let begun = TraceContext::begin([0; 16], [0; 8]);
        assert_eq!(parse(&begun.to_string()), Ok(begun));
        assert!(!begun.is_sampled());
    }
}
