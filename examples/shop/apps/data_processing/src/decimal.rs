//! Decimals in fixed point: nine digits after the point, exact sums.
//!
//! A plain value. Invariant: no operation rounds but [`Decimal::mean`], and none wraps.

use std::{cmp::Ordering, error::Error, fmt, num::NonZeroU64, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Most digits after the point.
pub const FRACTION_DIGITS: usize = 9;
const ONE: u128 = 1_000_000_000;
/// No number with more of them fits, leading zeros aside.
const WHOLE_DIGITS_MAX: i64 = 30;

/// A decimal with at most nine digits after the point, as a number of billionths.
///
/// Serialized as text (`"12.5"`) where people read it, so that no reader turns it into a float.
///
/// # Examples
/// ```
/// use shop_data_processing::Decimal;
/// let [a, b] = ["0.1", "0.2"].map(|text| text.parse::<Decimal>().unwrap());
/// assert_eq!(a.checked_add(b).unwrap().to_string(), "0.3");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(i128);

impl Decimal {
    /// A number of billionths.
    #[must_use]
    pub fn from_billionths(billionths: i128) -> Decimal {
        Decimal(billionths)
    }

    /// The number of billionths.
    #[must_use]
    pub fn billionths(self) -> i128 {
        self.0
    }

    /// Reads `12`, `-12.5`, `+.5`, `12.` with up to nine digits after the point.
    ///
    /// # Errors
    /// [`ParseDecimalError`]; nothing else is accepted, above all no exponent and no blank.
    pub fn parse(text: &[u8]) -> Result<Decimal, ParseDecimalError> {
        let (negative, digits) = match text {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        let point = memchr::memchr(b'.', digits).unwrap_or(digits.len());
        let (whole, fraction) = (&digits[..point], digits.get(point + 1..).unwrap_or_default());
        if whole.is_empty() && fraction.is_empty() {
            return Err(ParseDecimalError::NotADecimal);
        }
        let (whole_value, fraction_value) = (parse_digits(whole)?, parse_digits(fraction)?);
        if fraction.len() > FRACTION_DIGITS {
            return Err(ParseDecimalError::TooPrecise);
        }
        let fraction_unit = ONE / 10_u128.pow(fraction.len() as u32);
        let magnitude = whole_value
            .checked_mul(ONE)
            .and_then(|whole| whole.checked_add(fraction_value * fraction_unit))
            .and_then(|magnitude| i128::try_from(magnitude).ok())
            .ok_or(ParseDecimalError::TooLarge)?;
        Ok(Decimal(if negative { -magnitude } else { magnitude }))
    }

    /// As [`Decimal::parse`], and numbers with an exponent as JSON and most languages write them:
    /// `1.5e3`, `1E-7`. No digit gets lost.
    ///
    /// # Errors
    /// [`ParseDecimalError`].
    pub fn parse_scientific(text: &[u8]) -> Result<Decimal, ParseDecimalError> {
        let Some(at) = memchr::memchr2(b'e', b'E', text) else { return Decimal::parse(text) };
        let exponent = str::from_utf8(&text[at + 1..]).ok().and_then(|text| text.parse().ok());
        let exponent: i32 = exponent.ok_or(ParseDecimalError::NotADecimal)?;
        Decimal::parse(&moved_point(&text[..at], exponent)?)
    }

    /// The sum, or `None` when it does not fit into 128 bits.
    #[must_use]
    pub fn checked_add(self, other: Decimal) -> Option<Decimal> {
        self.0.checked_add(other.0).map(Decimal)
    }

    /// This sum of `count` values, divided by them; rounded to nine digits, half to even.
    #[must_use]
    pub fn mean(self, count: NonZeroU64) -> Decimal {
        let count = i128::from(count.get());
        let (quotient, rest) = (self.0.div_euclid(count), self.0.rem_euclid(count));
        let up = match (2 * rest).cmp(&count) {
            Ordering::Less => false,
            Ordering::Equal => quotient % 2 != 0,
            Ordering::Greater => true,
        };
        Decimal(quotient + i128::from(up))
    }
}

/// The shortest form: `12.5`, `-3`, `0`.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let mut text = format!("{}.{:09}", magnitude / ONE, magnitude % ONE);
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        f.pad_integral(self.0 >= 0, "", &text)
    }
}

impl FromStr for Decimal {
    type Err = ParseDecimalError;

    fn from_str(text: &str) -> Result<Decimal, ParseDecimalError> {
        Decimal::parse(text.as_bytes())
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            i128::deserialize(deserializer).map(Decimal)
        }
    }
}

/// Why a text is not a decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ParseDecimalError {
    /// Not of the form `12.5`.
    NotADecimal,
    /// More than [`FRACTION_DIGITS`] digits after the point.
    TooPrecise,
    /// Does not fit.
    TooLarge,
}

impl fmt::Display for ParseDecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseDecimalError::NotADecimal => f.write_str("not a plain decimal like 12.5"),
            ParseDecimalError::TooPrecise => {
                write!(f, "more than {FRACTION_DIGITS} digits after the point")
            }
            ParseDecimalError::TooLarge => f.write_str("the number is too large"),
        }
    }
}

impl Error for ParseDecimalError {}

/// Writes a number of which the point is `exponent` digits further to the right, without an exponent.
fn moved_point(text: &[u8], exponent: i32) -> Result<Vec<u8>, ParseDecimalError> {
    let (sign, number) = match text {
        [sign @ (b'-' | b'+'), number @ ..] => (Some(*sign), number),
        number => (None, number),
    };
    let point = memchr::memchr(b'.', number).unwrap_or(number.len());
    let mut digits: Vec<u8> = number.iter().copied().filter(|&byte| byte != b'.').collect();
    if digits.is_empty()
        || number.len() > digits.len() + 1
        || !digits.iter().all(u8::is_ascii_digit)
    {
        return Err(ParseDecimalError::NotADecimal);
    }
    let last = digits.iter().rposition(|&digit| digit != b'0');
    let Some(last) = last else { return Ok(b"0".to_vec()) };
    digits.truncate(last + 1);
    let point = point as i64 + i64::from(exponent);
    if point > WHOLE_DIGITS_MAX + digits.len() as i64 {
        return Err(ParseDecimalError::TooLarge);
    }
    if point < -(FRACTION_DIGITS as i64) {
        return Err(ParseDecimalError::TooPrecise);
    }
    let zeros_before = (-point).max(0) as usize;
    digits.splice(0..0, std::iter::repeat_n(b'0', zeros_before));
    let point = point.max(0) as usize;
    digits.resize(digits.len().max(point), b'0');
    digits.insert(point, b'.');
    digits.splice(0..0, sign);
    Ok(digits)
}

/// Takes the digits in groups that fit a machine word: wide arithmetic once per group, not per digit.
fn parse_digits(digits: &[u8]) -> Result<u128, ParseDecimalError> {
    const GROUP_LEN: usize = 18;
    let mut value = 0_u128;
    let mut overflow = false;
    for group in digits.chunks(GROUP_LEN) {
        let mut part = 0_u64;
        for byte in group {
            if !byte.is_ascii_digit() {
                return Err(ParseDecimalError::NotADecimal);
            }
            part = part * 10 + u64::from(byte - b'0');
        }
        let shifted = value.checked_mul(u128::from(10_u64.pow(group.len() as u32)));
        match shifted.and_then(|shifted| shifted.checked_add(u128::from(part))) {
            Some(next) => value = next,
            // Go on: a letter further on makes it no number at all.
            None => overflow = true,
        }
    }
    if overflow { Err(ParseDecimalError::TooLarge) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_parsed_or_refused() {
        use ParseDecimalError::{NotADecimal, TooLarge, TooPrecise};
        for (text, expected) in [
            ("0", Ok(0)),
            ("12.34", Ok(12_340_000_000)),
            ("-12.34", Ok(-12_340_000_000)),
            ("+7", Ok(7_000_000_000)),
            (".5", Ok(500_000_000)),
            ("5.", Ok(5_000_000_000)),
            ("-0", Ok(0)),
            ("0.000000001", Ok(1)),
            ("000000000000000000000000000000000000000000000001", Ok(1_000_000_000)),
            ("170141183460469231731687303715.884105727", Ok(i128::MAX)),
            ("170141183460469231731687303715.884105728", Err(TooLarge)),
            (&"9".repeat(100), Err(TooLarge)),
            (&("9".repeat(100) + "x"), Err(NotADecimal)),
            ("0.0000000001", Err(TooPrecise)),
            ("1.2345678901x", Err(NotADecimal)),
            ("", Err(NotADecimal)),
            (".", Err(NotADecimal)),
            ("-", Err(NotADecimal)),
            ("-.", Err(NotADecimal)),
            ("--1", Err(NotADecimal)),
            ("+-1", Err(NotADecimal)),
            ("1.2.3", Err(NotADecimal)),
            ("1,000", Err(NotADecimal)),
            ("1e3", Err(NotADecimal)),
            ("NaN", Err(NotADecimal)),
            ("inf", Err(NotADecimal)),
            ("0x10", Err(NotADecimal)),
            ("1_000", Err(NotADecimal)),
            (" 1", Err(NotADecimal)),
            ("1 ", Err(NotADecimal)),
            ("١٢", Err(NotADecimal)),
        ] {
            assert_eq!(text.parse(), expected.map(Decimal), "{text:?}");
        }
    }

    #[test]
    fn exponents_move_the_point_and_lose_no_digit() {
        use ParseDecimalError::{NotADecimal, TooLarge, TooPrecise};
        for (text, expected) in [
            ("12.5", Ok("12.5")),
            ("1e3", Ok("1000")),
            ("1.5E+3", Ok("1500")),
            ("-1.25e1", Ok("-12.5")),
            ("1e-05", Ok("0.00001")),
            ("123.456e-6", Ok("0.000123456")),
            ("1.23456789012345e8", Ok("123456789.012345")),
            ("5e-9", Ok("0.000000005")),
            ("50e-10", Ok("0.000000005")),
            ("0e99", Ok("0")),
            ("0.000e-99", Ok("0")),
            ("000001e1", Ok("10")),
            ("1e29", Ok("100000000000000000000000000000")),
            ("5e-10", Err(TooPrecise)),
            ("1e-2147483648", Err(TooPrecise)),
            ("1e30", Err(TooLarge)),
            ("1e2147483647", Err(TooLarge)),
            ("1e99999999999", Err(NotADecimal)),
            ("1e", Err(NotADecimal)),
            ("e5", Err(NotADecimal)),
            (".e5", Err(NotADecimal)),
            ("1.2.3e5", Err(NotADecimal)),
            ("--1e5", Err(NotADecimal)),
            ("1e5e5", Err(NotADecimal)),
            ("1e5.0", Err(NotADecimal)),
        ] {
            let expected = expected.map(|text| text.parse::<Decimal>().unwrap());
            assert_eq!(Decimal::parse_scientific(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn decimals_show_their_shortest_form() {
        for (billionths, expected) in [
            (0, "0"),
            (1, "0.000000001"),
            (-500_000_000, "-0.5"),
            (10_000_000_000, "10"),
            (12_340_000_000, "12.34"),
            (i128::MIN, "-170141183460469231731687303715.884105728"),
        ] {
            assert_eq!(Decimal(billionths).to_string(), expected);
        }
    }

    #[test]
    fn a_mean_is_rounded_half_to_even() {
        for (sum, count, expected) in [
            (10, 4, 2), // 2.5
            (14, 4, 4), // 3.5
            (-10, 4, -2),
            (-14, 4, -4),
            (11, 4, 3),
            (-11, 4, -3),
            (9, 4, 2),
            (7, 1, 7),
            (i128::MAX, 1, i128::MAX),
            (i128::MIN, 1, i128::MIN),
            (1, u64::MAX, 0),
        ] {
            let mean = Decimal(sum).mean(NonZeroU64::new(count).unwrap());
            assert_eq!(mean, Decimal(expected), "{sum}/{count}");
        }
    }

    #[test]
    fn json_is_text() {
        let value = Decimal(12_500_000_000);
        assert_eq!(serde_json::to_string(&value).unwrap(), "\"12.5\"");
        assert_eq!(serde_json::from_str::<Decimal>("\"12.50\"").unwrap(), value);
        assert!(serde_json::from_str::<Decimal>("12.5").is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(billionths in -i128::MAX..=i128::MAX) {
            let value = Decimal(billionths);
            prop_assert_eq!(value.to_string().parse(), Ok(value));
        }

        #[test]
        fn the_value_is_that_of_the_text(whole: i64, fraction in "[0-9]{0,9}") {
            // Independently: write the digits in a row and shift the point in text.
            let digits = format!("{}{fraction:0<9}", whole.unsigned_abs());
            let magnitude: i128 = digits.parse().unwrap();
            let expected = if whole < 0 { -magnitude } else { magnitude };
            let text = format!("{whole}.{fraction}");
            prop_assert_eq!(text.parse(), Ok(Decimal(expected)));
        }

        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Decimal::parse(&text);
            let _ = Decimal::parse_scientific(&text);
        }
    }
}
