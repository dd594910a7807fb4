//! Event time: when a row happened, which windows that is in, and whether the row comes too late.
//!
//! Plain values and pure functions; there is no clock here. Times have a resolution of a
//! millisecond. Windows begin at multiples of their step since the Unix epoch, so that the windows of
//! a day begin at midnight UTC.

use std::{error::Error, fmt, iter, time::Duration};

use linden::config::duration;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Decimal;

/// Bare numbers below it are seconds, from it on milliseconds: the year 5138, or March 1973.
const SECONDS_BELOW: i128 = 100_000_000_000;
/// The years 1 to 9997, so that windows around any event can be written, too.
const MILLIS_MIN: i64 = -62_135_596_800_000;
const MILLIS_MAX: i64 = 253_339_228_799_999;

/// A point in time, in milliseconds since the Unix epoch.
///
/// # Examples
/// ```
/// use shop_data_processing::Timestamp;
/// let time = Timestamp::parse(b"2013-01-01T05:30:00-05:00").unwrap();
/// assert_eq!(time.to_string(), "2013-01-01T10:30:00Z");
/// assert_eq!(Timestamp::parse(b"1357036200"), Ok(time));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Reads RFC 3339 (`2013-01-01T10:30:00Z`, `2013-01-01 05:30:00-05:00`), the same without an
    /// offset or without a time, which then is UTC and midnight, and bare numbers: seconds since the
    /// Unix epoch when less than 100,000,000,000, else milliseconds. Finer parts are cut off.
    ///
    /// # Errors
    /// [`ParseTimeError`].
    pub fn parse(text: &[u8]) -> Result<Timestamp, ParseTimeError> {
        let millis = match Decimal::parse(text) {
            Ok(number) => millis_of_number(number)?,
            Err(_) => millis_of_text(text).ok_or(ParseTimeError::NotATime)?,
        };
        if !(MILLIS_MIN..=MILLIS_MAX).contains(&millis) {
            return Err(ParseTimeError::OutOfRange);
        }
        Ok(Timestamp(millis))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0
    }
}

fn millis_of_number(number: Decimal) -> Result<i64, ParseTimeError> {
    const MILLION: i128 = 1_000_000;
    let billionths = number.billionths();
    let seconds = billionths.unsigned_abs() < SECONDS_BELOW.unsigned_abs() * 1_000_000_000;
    let millis = billionths.div_euclid(if seconds { MILLION } else { MILLION * 1_000 });
    i64::try_from(millis).map_err(|_| ParseTimeError::OutOfRange)
}

fn millis_of_text(text: &[u8]) -> Option<i64> {
    const DATE_LEN: usize = "2013-01-01".len();
    let text = str::from_utf8(text).ok()?;
    let clock = text.get(DATE_LEN..)?;
    let time = if clock.contains(['Z', 'z', '+', '-']) {
        text.parse::<jiff::Timestamp>().ok()?
    } else {
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        jiff::tz::Offset::UTC.to_timestamp(civil).ok()?
    };
    // Times before 1970 round down as well.
    i64::try_from(time.as_nanosecond().div_euclid(1_000_000)).ok()
}

/// RFC 3339, in UTC.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_millisecond(self.0).map_err(|_| fmt::Error)?;
        time.fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Windows may reach beyond the events.
        millis_of_text(text.as_bytes())
            .map(Timestamp)
            .ok_or_else(|| de::Error::custom(ParseTimeError::NotATime))
    }
}

/// Why a text is not a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ParseTimeError {
    /// None of the forms of [`Timestamp::parse`].
    NotATime,
    /// Before the year 1 or after the year 9997.
    OutOfRange,
}

impl fmt::Display for ParseTimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParseTimeError::NotATime => {
                "not a time like 2013-01-01T10:30:00Z, nor a number of seconds or milliseconds"
            }
            ParseTimeError::OutOfRange => "the time is not within the years 1 to 9997",
        })
    }
}

impl Error for ParseTimeError {}

/// Rows are grouped by window, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTime {
    /// The column that says when a row happened.
    pub column: String,
    /// The windows.
    pub windows: Windows,
    /// What becomes of late rows.
    pub late: Late,
}

/// What becomes of rows that come out of order.
///
/// A row is late when it happened before the watermark: the latest time of all rows before it *in the
/// file*, less the lateness. So it depends on the file alone, not on who aggregates what when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Late {
    /// They count like all others: no row is late.
    #[default]
    Include,
    /// They are left out of all windows, and counted apart.
    Drop {
        /// How far behind a row may be.
        #[serde(with = "duration")]
        lateness: Duration,
    },
}

impl Late {
    /// Whether a row is late, when `latest` is the latest time of the rows before it.
    #[must_use]
    pub fn is_late(self, time: Timestamp, latest: Option<Timestamp>) -> bool {
        match (self, latest) {
            (Late::Drop { lateness }, Some(Timestamp(latest))) => {
                i128::from(time.0) * 1_000_000 + (lateness.as_nanos() as i128)
                    < i128::from(latest) * 1_000_000
            }
            _ => false,
        }
    }
}

/// Windows of one length, a step apart.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use shop_data_processing::{Timestamp, Windows};
///
/// let [hour, minutes] = [3600, 600].map(Duration::from_secs);
/// let windows = Windows::sliding(hour, minutes).unwrap();
/// let time = Timestamp::parse(b"2013-01-01T10:30:00Z").unwrap();
/// assert_eq!(windows.of(time).count(), 6);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Steps", into = "Steps")]
pub struct Windows {
    /// At least one step, at most [`Windows::LENGTH_MAX`].
    length_millis: i64,
    /// At least 1.
    step_millis: i64,
}

impl Windows {
    /// The longest window: 366 days.
    pub const LENGTH_MAX: Duration = Duration::from_secs(366 * 86_400);
    /// Windows that one row may be in; 1,000.
    pub const PER_ROW_MAX: i64 = 1_000;

    /// Windows that follow one another: each row is in one.
    ///
    /// # Errors
    /// [`WindowsError`].
    pub fn tumbling(length: Duration) -> Result<Windows, WindowsError> {
        Windows::sliding(length, length)
    }

    /// Windows of which one begins at every step: they overlap.
    ///
    /// # Errors
    /// [`WindowsError`].
    pub fn sliding(length: Duration, step: Duration) -> Result<Windows, WindowsError> {
        let (length_millis, step_millis) = (whole_millis(length)?, whole_millis(step)?);
        if step > length {
            return Err(WindowsError::StepTooLong);
        }
        if (length_millis - 1) / step_millis >= Windows::PER_ROW_MAX {
            return Err(WindowsError::TooManyPerRow);
        }
        Ok(Windows { length_millis, step_millis })
    }

    /// The windows that a time is in, the last one first.
    pub fn of(self, time: Timestamp) -> impl Iterator<Item = Window> {
        let Windows { length_millis, step_millis } = self;
        let last = time.0.div_euclid(step_millis) * step_millis;
        iter::successors(Some(last), move |start| Some(start - step_millis))
            .take_while(move |start| start + length_millis > time.0)
            .map(move |start| Window {
                start: Timestamp(start),
                end: Timestamp(start + length_millis),
            })
    }
}

fn whole_millis(duration: Duration) -> Result<i64, WindowsError> {
    if duration.is_zero() || !duration.subsec_nanos().is_multiple_of(1_000_000) {
        return Err(WindowsError::NotWholeMillis);
    }
    if duration > Windows::LENGTH_MAX {
        return Err(WindowsError::TooLong);
    }
    Ok(i64::try_from(duration.as_millis()).expect("a year of milliseconds fits"))
}

/// How [`Windows`] are written.
#[derive(Serialize, Deserialize)]
struct Steps {
    #[serde(with = "duration")]
    length: Duration,
    #[serde(with = "duration")]
    every: Duration,
}

impl From<Windows> for Steps {
    fn from(windows: Windows) -> Steps {
        let millis = |millis: i64| Duration::from_millis(millis.unsigned_abs());
        Steps { length: millis(windows.length_millis), every: millis(windows.step_millis) }
    }
}

impl TryFrom<Steps> for Windows {
    type Error = WindowsError;

    fn try_from(steps: Steps) -> Result<Windows, WindowsError> {
        Windows::sliding(steps.length, steps.every)
    }
}

/// From its start up to, not including, its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

/// Why there are no such windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowsError {
    /// A length or step is 0, or finer than a millisecond.
    NotWholeMillis,
    /// Longer than [`Windows::LENGTH_MAX`].
    TooLong,
    /// The step is longer than the window: some rows would be in none.
    StepTooLong,
    /// A row would be in more than [`Windows::PER_ROW_MAX`].
    TooManyPerRow,
}

impl fmt::Display for WindowsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WindowsError::NotWholeMillis => {
                f.write_str("windows and their steps are whole milliseconds, at least one")
            }
            WindowsError::TooLong => f.write_str("a window is at most 366 days long"),
            WindowsError::StepTooLong => {
                f.write_str("the step is longer than the window; rows between would be lost")
            }
            WindowsError::TooManyPerRow => write!(
                f,
                "each row would be in more than {} windows; choose a longer step",
                Windows::PER_ROW_MAX
            ),
        }
    }
}

impl Error for WindowsError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text.as_bytes()).unwrap()
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn times_are_parsed_or_refused() {
        use ParseTimeError::{NotATime, OutOfRange};
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Ok(0)),
            ("1970-01-01t00:00:01z", Ok(1_000)),
            ("1970-01-01 00:00:01", Ok(1_000)),
            ("1970-01-01T00:00:01.5", Ok(1_500)),
            ("1970-01-01T01:00:00.0019+01:00", Ok(1)),
            ("1969-12-31T23:59:59.9999Z", Ok(-1)),
            ("1970-01-02", Ok(86_400_000)),
            ("2013-01-01T05:00:00-05:00", Ok(1_357_034_400_000)),
            ("0", Ok(0)),
            ("-1.5", Ok(-1_500)),
            ("-0.0001", Ok(-1)),
            ("99999999999", Ok(99_999_999_999_000)),
            ("100000000000", Ok(100_000_000_000)),
            ("-100000000000", Ok(-100_000_000_000)),
            ("1357034400000", Ok(1_357_034_400_000)),
            ("9997-12-31T23:59:59.999Z", Ok(MILLIS_MAX)),
            ("9998-01-01T00:00:00Z", Err(OutOfRange)),
            ("0001-01-01", Ok(MILLIS_MIN)),
            ("0000-12-31", Err(OutOfRange)),
            ("99999999999999999999", Err(OutOfRange)),
            ("1970-01-01T", Err(NotATime)),
            ("1970-02-30", Err(NotATime)),
            ("yesterday", Err(NotATime)),
            ("10:30", Err(NotATime)),
            ("1970-01-01T00:00:00ZZ", Err(NotATime)),
            ("", Err(NotATime)),
            ("é1970-01-01", Err(NotATime)),
        ] {
            assert_eq!(Timestamp::parse(text.as_bytes()), expected.map(Timestamp), "{text:?}");
        }
        assert_eq!(Timestamp::parse(b"1970-01-01T\xFF"), Err(NotATime));
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for millis in [0, 1, -1, 1_357_034_400_123, MILLIS_MIN, MILLIS_MAX] {
            let text = Timestamp(millis).to_string();
            assert_eq!(time(&text), Timestamp(millis), "{text}");
            let json = serde_json::to_string(&Timestamp(millis)).unwrap();
            assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), Timestamp(millis));
        }
        assert_eq!(Timestamp(1_500).to_string(), "1970-01-01T00:00:01.5Z");
    }

    #[test]
    fn tumbling_windows_hold_each_moment_once() {
        let windows = Windows::tumbling(secs(3_600)).unwrap();
        for (at, start) in [
            ("2013-01-01T10:00:00Z", "2013-01-01T10:00:00Z"),
            ("2013-01-01T10:59:59.999Z", "2013-01-01T10:00:00Z"),
            ("1969-12-31T23:30:00Z", "1969-12-31T23:00:00Z"),
        ] {
            let found: Vec<_> = windows.of(time(at)).collect();
            let end = Timestamp(time(start).0 + 3_600_000);
            assert_eq!(found, [Window { start: time(start), end }], "{at}");
        }
    }

    #[test]
    fn sliding_windows_overlap() {
        let windows = Windows::sliding(secs(10), secs(4)).unwrap();
        let starts = |millis| -> Vec<i64> {
            windows.of(Timestamp(millis)).map(|window| window.start.0 / 1_000).collect()
        };
        assert_eq!(starts(8_000), [8, 4, 0]);
        assert_eq!(starts(10_000), [8, 4]);
        assert_eq!(starts(-1), [-4, -8]);
    }

    #[test]
    fn windows_at_the_ends_of_time_can_be_written() {
        let windows = Windows::sliding(Windows::LENGTH_MAX, secs(86_400)).unwrap();
        for millis in [MILLIS_MIN, MILLIS_MAX] {
            for window in windows.of(Timestamp(millis)) {
                let json = serde_json::to_string(&window).unwrap();
                assert_eq!(serde_json::from_str::<Window>(&json).unwrap(), window);
            }
        }
    }

    #[test]
    fn senseless_windows_are_refused() {
        for (length, step, expected) in [
            (secs(0), secs(0), WindowsError::NotWholeMillis),
            (Duration::from_micros(1_500), Duration::from_millis(1), WindowsError::NotWholeMillis),
            (secs(367 * 86_400), secs(1), WindowsError::TooLong),
            (secs(1), secs(2), WindowsError::StepTooLong),
            (secs(1_001), secs(1), WindowsError::TooManyPerRow),
        ] {
            assert_eq!(Windows::sliding(length, step), Err(expected));
        }
        let most = Windows::sliding(secs(1_000), secs(1)).unwrap();
        assert_eq!(most.of(Timestamp(0)).count() as i64, Windows::PER_ROW_MAX);
    }

    #[test]
    fn a_row_is_late_when_it_is_further_behind_than_allowed() {
        let late = Late::Drop { lateness: secs(5) };
        let latest = Some(Timestamp(10_000));
        assert!(!late.is_late(Timestamp(5_000), latest));
        assert!(late.is_late(Timestamp(4_999), latest));
        assert!(!late.is_late(Timestamp(0), None));
        assert!(!Late::Include.is_late(Timestamp(0), latest));
        assert!(!Late::Drop { lateness: Duration::MAX }.is_late(Timestamp(MILLIS_MIN), latest));
    }
}
