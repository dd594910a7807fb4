//! What is asked for in flags and in queries: [`Options`], from which a [`Selection`] is made.
//!
//! Plain values. Everything but two columns may be left out; what is given has to fit together.

use std::{error::Error, fmt, str::FromStr, time::Duration};

use linden::config::duration;
use serde::{Deserialize, Deserializer, de};

use crate::{Delimiter, EventTime, Format, FormatError, Late, Selection, Windows, WindowsError};

/// The options of an aggregation by their names. As a query an empty one counts as left out, which is
/// what a form sends.
///
/// # Examples
/// ```
/// use shop_data_processing::{Format, Options};
/// let options = Options { distinct: Some("user".into()), ..Options::new("region", "amount") };
/// let selection = options.selection(Format::of_file_name("sales.ndjson.gz")).unwrap();
/// assert_eq!(selection.format, Format::Ndjson);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Options {
    /// The column to group by.
    pub key: String,
    /// The column to sum up.
    pub value: String,
    /// `csv`, `tsv` or `ndjson`; by default what the file's name or type tells, else CSV.
    #[serde(default, deserialize_with = "parsed")]
    pub format: Option<Format>,
    /// The character between two fields of CSV.
    #[serde(default, deserialize_with = "parsed")]
    pub delimiter: Option<Delimiter>,
    /// The column whose different values are counted.
    #[serde(default, deserialize_with = "parsed")]
    pub distinct: Option<String>,
    /// The column that says when a row happened.
    #[serde(default, deserialize_with = "parsed")]
    pub time: Option<String>,
    /// The length of the windows.
    #[serde(default, deserialize_with = "parsed_duration")]
    pub window: Option<Duration>,
    /// The step from window to window; by default their length.
    #[serde(default, deserialize_with = "parsed_duration")]
    pub every: Option<Duration>,
    /// What becomes of late rows; by default they are included.
    #[serde(default, deserialize_with = "parsed")]
    pub late: Option<LatePolicy>,
    /// How far behind a row may be that is not dropped; by default not at all.
    #[serde(default, deserialize_with = "parsed_duration")]
    pub lateness: Option<Duration>,
}

impl Options {
    /// Two columns.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Options {
        Options {
            key: key.into(),
            value: value.into(),
            format: None,
            delimiter: None,
            distinct: None,
            time: None,
            window: None,
            every: None,
            late: None,
            lateness: None,
        }
    }

    /// What is meant for a file of which `told` is known from its name or type.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn selection(self, told: Option<Format>) -> Result<Selection, OptionsError> {
        let format = self.format.or(told).unwrap_or_default();
        let format = match self.delimiter {
            Some(delimiter) => format.delimited(delimiter).map_err(OptionsError::Format)?,
            None => format,
        };
        let time = self.event_time()?;
        Ok(Selection {
            format,
            distinct: self.distinct,
            time,
            ..Selection::new(self.key, self.value)
        })
    }

    fn event_time(&self) -> Result<Option<EventTime>, OptionsError> {
        let late = self.late()?;
        match (&self.time, self.window) {
            (Some(column), Some(window)) => {
                let windows = Windows::sliding(window, self.every.unwrap_or(window));
                let windows = windows.map_err(OptionsError::Windows)?;
                Ok(Some(EventTime { column: column.clone(), windows, late }))
            }
            (Some(_), None) => Err(OptionsError::TimeWithoutWindow),
            (None, None) if self.every.is_none() && self.late.is_none() => Ok(None),
            (None, _) => Err(OptionsError::WindowWithoutTime),
        }
    }

    fn late(&self) -> Result<Late, OptionsError> {
        match (self.late, self.lateness) {
            (Some(LatePolicy::Drop), lateness) => {
                Ok(Late::Drop { lateness: lateness.unwrap_or_default() })
            }
            (_, Some(_)) => Err(OptionsError::LatenessWithoutDrop),
            (_, None) => Ok(Late::Include),
        }
    }
}

/// The names of what becomes of late rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatePolicy {
    /// They are left out and counted.
    Drop,
    /// They count like all others.
    Include,
}

/// Reads `drop` or `include`.
impl FromStr for LatePolicy {
    type Err = LatePolicyError;

    fn from_str(text: &str) -> Result<LatePolicy, LatePolicyError> {
        match text {
            "drop" => Ok(LatePolicy::Drop),
            "include" => Ok(LatePolicy::Include),
            _ => Err(LatePolicyError),
        }
    }
}

/// A text is no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatePolicyError;

impl fmt::Display for LatePolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("late rows are one of drop and include")
    }
}

impl Error for LatePolicyError {}

/// Why options do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionsError {
    /// The format does not go with the delimiter.
    Format(FormatError),
    /// There are no such windows.
    Windows(WindowsError),
    /// A time, but no window.
    TimeWithoutWindow,
    /// Windows or a policy, but no time.
    WindowWithoutTime,
    /// A lateness, but late rows are not dropped.
    LatenessWithoutDrop,
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionsError::Format(error) => error.fmt(f),
            OptionsError::Windows(error) => error.fmt(f),
            OptionsError::TimeWithoutWindow => {
                f.write_str("a time column needs a window as well, such as 1h")
            }
            OptionsError::WindowWithoutTime => {
                f.write_str("windows and late rows need the time column as well")
            }
            OptionsError::LatenessWithoutDrop => {
                f.write_str("a lateness is for late rows that are dropped; add late = drop")
            }
        }
    }
}

impl Error for OptionsError {}

fn parsed<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T::Err: fmt::Display,
{
    match String::deserialize(deserializer)?.as_str() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(de::Error::custom),
    }
}

fn parsed_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "" => Ok(None),
        text => duration::parse(text).map(Some).map_err(de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn options() -> Options {
        Options::new("k", "v")
    }

    #[test]
    fn two_columns_are_enough() {
        assert_eq!(options().selection(None), Ok(Selection::new("k", "v")));
    }

    #[test]
    fn an_option_wins_over_what_the_name_tells() {
        let format = |options: Options, told| options.selection(told).map(|found| found.format);
        let semicolon = Delimiter::new(b';').unwrap();
        assert_eq!(format(options(), Some(Format::Ndjson)), Ok(Format::Ndjson));
        let csv = Options { format: Some(Format::CSV), ..options() };
        assert_eq!(format(csv, Some(Format::Ndjson)), Ok(Format::CSV));
        let delimited = Options { delimiter: Some(semicolon), ..options() };
        let csv = Format::Csv { delimiter: semicolon };
        assert_eq!(format(delimited.clone(), Some(Format::TSV)), Ok(csv));
        let error = OptionsError::Format(FormatError::DelimiterOfNdjson);
        assert_eq!(format(delimited, Some(Format::Ndjson)), Err(error));
    }

    #[test]
    fn windows_are_made_of_their_options() {
        let timed = Options { time: Some("t".into()), window: Some(HOUR), ..options() };
        let minutes = Duration::from_secs(600);
        for (every, late, lateness, expected) in [
            (None, None, None, (HOUR, Late::Include)),
            (Some(minutes), Some(LatePolicy::Include), None, (minutes, Late::Include)),
            (None, Some(LatePolicy::Drop), None, (HOUR, Late::Drop { lateness: Duration::ZERO })),
            (None, Some(LatePolicy::Drop), Some(minutes), (HOUR, Late::Drop { lateness: minutes })),
        ] {
            let options = Options { every, late, lateness, ..timed.clone() };
            let windows = Windows::sliding(HOUR, expected.0).unwrap();
            let expected = EventTime { column: "t".into(), windows, late: expected.1 };
            assert_eq!(options.selection(None).unwrap().time, Some(expected));
        }
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let time = || Some("t".to_owned());
        let window = Some(HOUR);
        for (options, expected) in [
            (Options { time: time(), ..options() }, OptionsError::TimeWithoutWindow),
            (Options { window, ..options() }, OptionsError::WindowWithoutTime),
            (Options { every: window, ..options() }, OptionsError::WindowWithoutTime),
            (
                Options { late: Some(LatePolicy::Drop), ..options() },
                OptionsError::WindowWithoutTime,
            ),
            (
                Options { time: time(), window, lateness: window, ..options() },
                OptionsError::LatenessWithoutDrop,
            ),
            (
                Options { time: time(), window, every: Some(HOUR * 2), ..options() },
                OptionsError::Windows(WindowsError::StepTooLong),
            ),
        ] {
            assert_eq!(options.selection(None), Err(expected));
            assert!(!expected.to_string().is_empty());
        }
    }

    #[test]
    fn empty_options_of_a_form_are_left_out() {
        let read = |json: &str| serde_json::from_str::<Options>(json);
        let empty = r#"{"key":"k","value":"v","format":"","delimiter":"","time":"","window":"",
            "every":"","late":"","lateness":"","distinct":""}"#;
        assert_eq!(read(empty).unwrap(), options());
        let full = r#"{"key":"k","value":"v","format":"ndjson","time":"t","window":"1h",
            "late":"drop","lateness":"0s"}"#;
        let expected = Options {
            format: Some(Format::Ndjson),
            time: Some("t".into()),
            window: Some(HOUR),
            late: Some(LatePolicy::Drop),
            lateness: Some(Duration::ZERO),
            ..options()
        };
        assert_eq!(read(full).unwrap(), expected);
        for (bad, words) in [
            (r#"{"key":"k","value":"v","format":"xml"}"#, "csv, tsv and ndjson"),
            (r#"{"key":"k","value":"v","late":"never"}"#, "drop and include"),
            (r#"{"key":"k","value":"v","window":"5"}"#, "has no unit"),
            (r#"{"key":"k"}"#, "missing field `value`"),
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
