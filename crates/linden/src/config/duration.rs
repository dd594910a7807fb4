//! Durations as people write them: `"5s"`, `"250ms"`, `"1h30m"`.
//!
//! Lives here: [`parse`], [`format`](fn@format), and the serde functions for `#[serde(with = "linden::config::duration")]`.
//! Pure functions, usable anywhere.
//!
//! The grammar: one or more whole numbers, each followed at once by its unit (`ns`, `us`, `ms`, `s`, `m`, `h`, `d`),
//! larger units first, nothing else. A bare number has no meaning, and fractions do not exist: `1500ms`, not `1.5s`.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::{Deserializer, Serializer, de};

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// The units, largest first, in nanoseconds.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400 * NANOS_PER_SECOND),
    ("h", 3_600 * NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("s", NANOS_PER_SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a duration.
///
/// # Errors
/// See [`DurationError`].
///
/// # Examples
/// ```
/// use linden::config::duration::parse;
/// use std::time::Duration;
///
/// assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
/// assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5400)));
/// assert!(parse("5").is_err());
/// ```
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(DurationError::Empty);
    }
    let mut total: u128 = 0;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let (number, unit, tail) = split_part(rest);
        if number.is_empty() {
            return Err(DurationError::NoNumber);
        }
        if unit.is_empty() {
            return Err(DurationError::NoUnit);
        }
        let known = UNITS.iter().any(|(name, _)| *name == unit);
        let (_, nanos) = units.find(|(name, _)| *name == unit).ok_or(if known {
            DurationError::UnitsOutOfOrder
        } else {
            DurationError::UnknownUnit
        })?;
        let part = number.parse::<u128>().ok().and_then(|number| number.checked_mul(*nanos));
        total = part.and_then(|part| total.checked_add(part)).ok_or(DurationError::TooLong)?;
        rest = tail;
    }
    let seconds = u64::try_from(total / NANOS_PER_SECOND).map_err(|_| DurationError::TooLong)?;
    let nanos = u32::try_from(total % NANOS_PER_SECOND).expect("less than a second");
    Ok(Duration::new(seconds, nanos))
}

/// Writes a duration so that [`parse`] reads the same one: `1h30m`, `250ms`, `0s`.
pub fn format(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, nanos) in UNITS {
        if rest >= nanos {
            text.push_str(&(rest / nanos).to_string());
            text.push_str(unit);
            rest %= nanos;
        }
    }
    text
}

/// Why a text is no duration. The text itself is not repeated.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// Nothing there.
    Empty,
    /// A part does not begin with a whole number.
    NoNumber,
    /// A number without a unit.
    NoUnit,
    /// Not one of the units.
    UnknownUnit,
    /// A unit after a smaller one, or the same twice.
    UnitsOutOfOrder,
    /// More than 2^64 seconds.
    TooLong,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the duration is empty",
            Self::NoNumber => "a duration is whole numbers with units, such as 250ms or 1h30m",
            Self::NoUnit => "the duration has no unit, write for example 5s or 250ms",
            Self::UnknownUnit => "the unit of the duration is none of ns, us, ms, s, m, h, d",
            Self::UnitsOutOfOrder => "the units of a duration go from large to small, each once",
            Self::TooLong => "the duration is too long",
        })
    }
}

impl Error for DurationError {}

/// For `#[serde(with = ...)]`: reads the text form.
///
/// # Errors
/// When the value is no text, or no duration.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_str(DurationText)
}

/// For `#[serde(with = ...)]`: writes the text form.
///
/// # Errors
/// When the serializer fails.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

struct DurationText;

impl de::Visitor<'_> for DurationText {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"5s\", \"250ms\" or \"1h30m\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }
}

/// The leading digits, the letters behind them, and the rest.
fn split_part(text: &str) -> (&str, &str, &str) {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    (number, unit, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_understood() {
        for (text, nanos) in [
            ("1ns", 1),
            ("2us", 2_000),
            ("250ms", 250_000_000),
            ("5s", 5_000_000_000),
            ("2m", 120_000_000_000),
            ("1h", 3_600_000_000_000),
            ("1d", 86_400_000_000_000),
            ("0s", 0),
            (" 5s ", 5_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1s500ms", 1_500_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_reason() {
        for (text, error) in [
            ("", DurationError::Empty),
            ("  ", DurationError::Empty),
            ("5", DurationError::NoUnit),
            ("1h30", DurationError::NoUnit),
            ("s", DurationError::NoNumber),
            ("-5s", DurationError::NoNumber),
            ("5x", DurationError::UnknownUnit),
            ("5S", DurationError::UnknownUnit),
            ("5 s", DurationError::UnknownUnit),
            ("1.5s", DurationError::UnknownUnit),
            ("5é", DurationError::UnknownUnit),
            ("1s1m", DurationError::UnitsOutOfOrder),
            ("1s1s", DurationError::UnitsOutOfOrder),
            ("99999999999999999999s", DurationError::TooLong),
            ("999999999999999999999999999999999999999999d", DurationError::TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn longest_duration_is_read_back() {
        assert_eq!(parse(&format(Duration::MAX)), Ok(Duration::MAX));
    }

    #[test]
    fn formatted_form_is_short() {
        assert_eq!(format(Duration::ZERO), "0s");
        assert_eq!(format(Duration::from_millis(1500)), "1s500ms");
        assert_eq!(format(Duration::from_secs(90)), "1m30s");
    }

    #[test]
    fn serde_uses_the_text_form() {
        #[derive(serde::Deserialize, serde::Serialize)]
        struct Has {
            #[serde(with = "super")]
            grace: Duration,
        }
        let has: Has = serde_json::from_str(r#"{"grace": "2m"}"#).unwrap();
        assert_eq!(has.grace, Duration::from_secs(120));
        assert_eq!(serde_json::to_string(&has).unwrap(), r#"{"grace":"2m"}"#);
        let error = serde_json::from_str::<Has>(r#"{"grace": 5}"#).err().unwrap().to_string();
        assert!(error.contains("expected a duration such as \"5s\""), "{error}");
    }

    proptest! {
        #[test]
        fn every_duration_survives_being_written(seconds: u64, nanos in 0_u32..1_000_000_000) {
            let duration = Duration::new(seconds, nanos);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".{0,20}") {
            let _ = parse(&text);
        }
    }
}
