//! A CSV file as a stream of bytes in chunks of any size.
//!
//! [`Splitter`] cuts the stream into [`Block`]s of whole records, [`BlockAggregator`] aggregates one
//! block, [`CsvAggregator`] is both in one for those who need no pool. Each is owned by one process.
//!
//! The format is RFC 4180 as csv-core reads it: a header; records end in LF, CRLF or CR; a field may
//! stand in quotes and then hold delimiters, line ends and doubled quotes; empty lines do not count.
//! Fields are parsed by csv-core; only the search for the ends of records is our own, since it has
//! to run ahead of the workers. A test holds the two against each other on arbitrary bytes.
//!
//! Invariants: how the stream is cut into chunks does not change the result; memory is bounded by
//! [`Limits`], a block and a chunk.

use std::{error::Error, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Aggregates;

mod block;
mod layout;
mod splitter;

pub use block::BlockAggregator;
pub use layout::{Layout, Selection};
pub use splitter::{BLOCK_LEN, Block, BlockEnd, Splitter};

/// Aggregates a stream in the calling process.
///
/// # Examples
/// See the [crate's page](crate).
#[derive(Debug)]
pub struct CsvAggregator {
    splitter: Splitter,
    blocks: BlockAggregator,
    totals: Aggregates,
    bytes: u64,
}

impl CsvAggregator {
    /// Starts before the first byte of a file.
    #[must_use]
    pub fn new(selection: Selection, limits: Limits) -> CsvAggregator {
        CsvAggregator {
            splitter: Splitter::new(selection, limits),
            blocks: BlockAggregator::new(limits),
            totals: Aggregates::new(limits),
            bytes: 0,
        }
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// [`CsvError`]; the file as a whole is refused, and every later call says so again.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), CsvError> {
        let blocks = self.splitter.feed(chunk)?;
        self.bytes += chunk.len() as u64;
        self.take(blocks)
    }

    /// Takes the end of the file and gives the result.
    ///
    /// # Errors
    /// [`CsvError`].
    pub fn finish(mut self) -> Result<Aggregates, CsvError> {
        let last = self.splitter.end()?;
        self.take(last)?;
        Ok(self.totals)
    }

    /// How far it is. Rows are behind bytes by up to a block.
    pub fn progress(&self) -> Progress {
        Progress {
            bytes: self.bytes,
            rows: self.totals.rows(),
            bad_lines: self.totals.bad_lines(),
            keys: self.totals.keys(),
        }
    }

    fn take(&mut self, blocks: impl IntoIterator<Item = Block>) -> Result<(), CsvError> {
        for block in blocks {
            self.blocks
                .aggregate_into(&block, &mut self.totals)
                .inspect_err(|error| self.splitter.fail(error))?;
        }
        Ok(())
    }
}

/// How far an aggregation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes taken.
    pub bytes: u64,
    /// Rows taken in.
    pub rows: u64,
    /// Lines that were not rows.
    pub bad_lines: u64,
    /// Distinct keys.
    pub keys: usize,
}

/// What an aggregation may use. The default is good for files from strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of one record without its line end; 1 MiB. More: [`CsvError::LineTooLong`].
    pub line_len_max: usize,
    /// Distinct keys; 1,000,000. More: [`CsvError::TooManyKeys`].
    pub keys_max: usize,
    /// Bytes of one key; 1 KiB. More: the line is bad.
    pub key_len_max: usize,
    /// Bytes of all distinct keys together; 128 MiB. More: [`CsvError::KeysTooLarge`].
    pub key_bytes_max: usize,
    /// Bad lines whose numbers are kept; the first 1,000. All are counted.
    pub bad_lines_kept_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            line_len_max: 1024 * 1024,
            keys_max: 1_000_000,
            key_len_max: 1024,
            key_bytes_max: 128 * 1024 * 1024,
            bad_lines_kept_max: 1_000,
        }
    }
}

/// The byte between two fields: any ASCII character but `"`, CR and LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Delimiter(u8);

impl Delimiter {
    /// The comma, which is the default.
    pub const COMMA: Delimiter = Delimiter(b',');

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
            b"\\t" | b"tab" => Ok(Delimiter(b'\t')),
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

/// The file as a whole cannot be aggregated. What was aggregated before it is to be thrown away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CsvError {
    /// The file is empty.
    NoHeader,
    /// A quote in the header is never closed.
    OpenQuoteInHeader,
    /// The header does not name a column that was asked for.
    UnknownColumn {
        /// The column asked for.
        name: String,
        /// The columns there are; the first 50, each cut off after 50 characters.
        columns: Vec<String>,
    },
    /// The header names a column twice that was asked for.
    AmbiguousColumn {
        /// The column asked for.
        name: String,
    },
    /// A record is longer than [`Limits::line_len_max`]; most often a quote was left open.
    LineTooLong {
        /// Where the record begins.
        line: u64,
        /// The limit in bytes.
        len_max: usize,
    },
    /// More distinct keys than [`Limits::keys_max`].
    TooManyKeys {
        /// The limit.
        keys_max: usize,
    },
    /// The distinct keys together are longer than [`Limits::key_bytes_max`].
    KeysTooLarge {
        /// The limit in bytes.
        key_bytes_max: usize,
    },
    /// A sum does not fit into 128 bits.
    SumOverflow {
        /// Its key.
        key: String,
    },
}

impl fmt::Display for CsvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CsvError::NoHeader => f.write_str("the file is empty; it needs a header"),
            CsvError::OpenQuoteInHeader => f.write_str("a quote in the header is never closed"),
            CsvError::UnknownColumn { name, columns } => {
                write!(f, "the header has no column {name:?}; it has {columns:?}")
            }
            CsvError::AmbiguousColumn { name } => {
                write!(f, "the header has the column {name:?} more than once")
            }
            CsvError::LineTooLong { line, len_max } => write!(
                f,
                "the record that begins on line {line} is longer than {len_max} bytes; \
                 is a quote left open?"
            ),
            CsvError::TooManyKeys { keys_max } => {
                write!(f, "the key column has more than {keys_max} different values")
            }
            CsvError::KeysTooLarge { key_bytes_max } => write!(
                f,
                "the different values of the key column are longer than {key_bytes_max} bytes"
            ),
            CsvError::SumOverflow { key } => write!(f, "the sum of {key:?} is too large"),
        }
    }
}

impl Error for CsvError {}

/// Counts the line ends in whole records: LF, CRLF and CR are one each.
fn line_ends(bytes: &[u8]) -> u64 {
    let feeds = memchr::memchr_iter(b'\n', bytes).count();
    let lone_returns =
        memchr::memchr_iter(b'\r', bytes).filter(|&at| bytes.get(at + 1) != Some(&b'\n')).count();
    (feeds + lone_returns) as u64
}

#[cfg(test)]
mod tests;
