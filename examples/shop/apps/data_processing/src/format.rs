//! What a file's bytes mean once they are expanded: [`Format`], and how it is told from outside.
//!
//! Plain values.

use std::{error::Error, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Format {
    /// A header, then records of fields between delimiters; RFC 4180.
    Csv {
        /// The byte between two fields.
        delimiter: Delimiter,
    },
    /// One JSON object a line.
    Ndjson,
}

impl Format {
    /// CSV with commas, which is the default.
    pub const CSV: Format = Format::Csv { delimiter: Delimiter::COMMA };
    /// CSV with tabs.
    pub const TSV: Format = Format::Csv { delimiter: Delimiter::TAB };

    /// The format that a `Content-Type` names; `None` for one that says nothing about rows.
    ///
    /// # Examples
    /// ```
    /// use shop_data_processing::Format;
    /// assert_eq!(Format::of_content_type("text/csv; charset=utf-8"), Some(Format::CSV));
    /// assert_eq!(Format::of_content_type("application/octet-stream"), None);
    /// ```
    #[must_use]
    pub fn of_content_type(text: &str) -> Option<Format> {
        let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "text/csv" | "application/csv" => Some(Format::CSV),
            "text/tab-separated-values" => Some(Format::TSV),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/json-lines"
            | "application/json" => Some(Format::Ndjson),
            _ => None,
        }
    }

    /// The format that a file's name ends in, with or without `.gz` or `.zst` behind it.
    ///
    /// # Examples
    /// ```
    /// use shop_data_processing::Format;
    /// assert_eq!(Format::of_file_name("logs/day.NDJSON.gz"), Some(Format::Ndjson));
    /// assert_eq!(Format::of_file_name("sales"), None);
    /// ```
    #[must_use]
    pub fn of_file_name(name: &str) -> Option<Format> {
        let name = name.to_ascii_lowercase();
        let stem = [".gz", ".zst"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        match stem.rsplit_once('.')?.1 {
            "csv" => Some(Format::CSV),
            "tsv" | "tab" => Some(Format::TSV),
            "ndjson" | "jsonl" => Some(Format::Ndjson),
            _ => None,
        }
    }

    /// This format with another delimiter.
    ///
    /// # Errors
    /// [`FormatError::DelimiterOfNdjson`].
    pub fn delimited(self, delimiter: Delimiter) -> Result<Format, FormatError> {
        match self {
            Format::Csv { .. } => Ok(Format::Csv { delimiter }),
            Format::Ndjson => Err(FormatError::DelimiterOfNdjson),
        }
    }
}

impl Default for Format {
    fn default() -> Format {
        Format::CSV
    }
}

/// Reads `csv`, `tsv` or `ndjson`.
impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Format, FormatError> {
        match text {
            "csv" => Ok(Format::CSV),
            "tsv" => Ok(Format::TSV),
            "ndjson" => Ok(Format::Ndjson),
            _ => Err(FormatError::Unknown),
        }
    }
}

/// Writes the name of the kind alone, without the delimiter.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Csv { .. } => "csv",
            Format::Ndjson => "ndjson",
        })
    }
}

/// Why there is no such format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// No format has this name.
    Unknown,
    /// NDJSON has no delimiter.
    DelimiterOfNdjson,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FormatError::Unknown => "a format is one of csv, tsv and ndjson",
            FormatError::DelimiterOfNdjson => "ndjson has no delimiter; leave one of the two out",
        })
    }
}

impl Error for FormatError {}

/// The byte between two fields: any ASCII character but `"`, CR and LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Delimiter(u8);

impl Delimiter {
    /// The comma, which is the default.
    pub const COMMA: Delimiter = Delimiter(b',');
    /// The tab.
    pub const TAB: Delimiter = Delimiter(b'\t');

    /// Checks the rule.
    ///
    /// # Errors
    /// [`DelimiterError`].
    pub fn new(byte: u8) -> Result<Delimiter, DelimiterError> {
        if !byte.is_ascii() || matches!(byte, b'"' | b'\r' | b'\n') {
            return Err(DelimiterError);
        }
        Ok(Delimiter(byte))
    }

    /// The byte.
    #[must_use]
    pub fn byte(self) -> u8 {
        self.0
    }
}

impl Default for Delimiter {
    fn default() -> Delimiter {
        Delimiter::COMMA
    }
}

/// Reads one character, or `\t` or `tab`, which are hard to type on a command line.
impl FromStr for Delimiter {
    type Err = DelimiterError;

    fn from_str(text: &str) -> Result<Delimiter, DelimiterError> {
        match text.as_bytes() {
            b"\\t" | b"tab" => Ok(Delimiter::TAB),
            [byte] => Delimiter::new(*byte),
            _ => Err(DelimiterError),
        }
    }
}

impl TryFrom<u8> for Delimiter {
    type Error = DelimiterError;

    fn try_from(byte: u8) -> Result<Delimiter, DelimiterError> {
        Delimiter::new(byte)
    }
}

impl From<Delimiter> for u8 {
    fn from(delimiter: Delimiter) -> u8 {
        delimiter.0
    }
}

/// A text cannot be a delimiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelimiterError;

impl fmt::Display for DelimiterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a delimiter is one ASCII character other than a quote or a line end, or \\t")
    }
}

impl Error for DelimiterError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_and_file_names_tell_the_format() {
        for (content_type, expected) in [
            ("text/csv", Some(Format::CSV)),
            ("TEXT/CSV ; header=present", Some(Format::CSV)),
            ("text/tab-separated-values", Some(Format::TSV)),
            ("application/x-ndjson", Some(Format::Ndjson)),
            ("application/jsonl; charset=utf-8", Some(Format::Ndjson)),
            ("application/x-www-form-urlencoded", None),
            ("", None),
        ] {
            assert_eq!(Format::of_content_type(content_type), expected, "{content_type:?}");
        }
        for (name, expected) in [
            ("sales.csv", Some(Format::CSV)),
            ("sales.csv.gz", Some(Format::CSV)),
            ("a.b/sales.tsv.zst", Some(Format::TSV)),
            ("day.jsonl", Some(Format::Ndjson)),
            ("day.gz", None),
            ("csv", None),
        ] {
            assert_eq!(Format::of_file_name(name), expected, "{name:?}");
        }
    }

    #[test]
    fn formats_are_read_by_name() {
        assert_eq!("csv".parse(), Ok(Format::CSV));
        assert_eq!("tsv".parse(), Ok(Format::TSV));
        assert_eq!("ndjson".parse(), Ok(Format::Ndjson));
        assert_eq!("xlsx".parse::<Format>(), Err(FormatError::Unknown));
    }

    #[test]
    fn only_csv_takes_a_delimiter() {
        let semicolon = Delimiter::new(b';').unwrap();
        assert_eq!(Format::TSV.delimited(semicolon), Ok(Format::Csv { delimiter: semicolon }));
        assert_eq!(Format::Ndjson.delimited(semicolon), Err(FormatError::DelimiterOfNdjson));
    }

    #[test]
    fn delimiters_are_checked() {
        for (text, expected) in [
            (",", Ok(b',')),
            (";", Ok(b';')),
            ("\t", Ok(b'\t')),
            ("\\t", Ok(b'\t')),
            ("tab", Ok(b'\t')),
            ("", Err(DelimiterError)),
            ("ab", Err(DelimiterError)),
            ("\"", Err(DelimiterError)),
            ("\n", Err(DelimiterError)),
            ("\r", Err(DelimiterError)),
            ("é", Err(DelimiterError)),
        ] {
            assert_eq!(text.parse().map(Delimiter::byte), expected, "{text:?}");
        }
        assert!(serde_json::from_str::<Delimiter>("34").is_err());
    }
}
