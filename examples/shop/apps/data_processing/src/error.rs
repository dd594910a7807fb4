//! Why a file as a whole cannot be aggregated.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

use crate::Compression;

/// The file as a whole cannot be aggregated. What was aggregated before it is to be thrown away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileError {
    /// The CSV file is empty.
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
    /// A record is longer than [`Limits::line_len_max`](crate::Limits::line_len_max).
    LineTooLong {
        /// Where the record begins.
        line: u64,
        /// The limit in bytes.
        len_max: usize,
    },
    /// More groups than [`Limits::keys_max`](crate::Limits::keys_max).
    TooManyKeys {
        /// The limit.
        keys_max: usize,
    },
    /// More windows than [`Limits::windows_max`](crate::Limits::windows_max).
    TooManyWindows {
        /// The limit.
        windows_max: usize,
    },
    /// The keys together are longer than [`Limits::key_bytes_max`](crate::Limits::key_bytes_max).
    KeysTooLarge {
        /// The limit in bytes.
        key_bytes_max: usize,
    },
    /// The sketches take more than [`Limits::sketch_bytes_max`](crate::Limits::sketch_bytes_max).
    SketchesTooLarge {
        /// The limit in bytes.
        sketch_bytes_max: usize,
    },
    /// A sum does not fit into 128 bits, or the sum of the squares not into 256.
    SumOverflow {
        /// Its key.
        key: String,
    },
    /// The compressed bytes are damaged, or need more memory than is allowed.
    Corrupt {
        /// How they are compressed.
        compression: Compression,
        /// The compressed byte from which on they could not be read, counted from 0.
        at: u64,
        /// What the decoder says.
        reason: String,
    },
    /// The compressed bytes end in the middle.
    Truncated {
        /// How they are compressed.
        compression: Compression,
        /// The number of compressed bytes there were.
        at: u64,
    },
    /// A few bytes expand to so many that it must be a trap.
    ExpandsTooMuch {
        /// The limit, [`Limits::expansion_max`](crate::Limits::expansion_max).
        expansion_max: u64,
        /// The number of compressed bytes taken until then.
        at: u64,
    },
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::NoHeader => f.write_str("the file is empty; it needs a header"),
            FileError::OpenQuoteInHeader => f.write_str("a quote in the header is never closed"),
            FileError::UnknownColumn { name, columns } => {
                write!(f, "the header has no column {name:?}; it has {columns:?}")
            }
            FileError::AmbiguousColumn { name } => {
                write!(f, "the header has the column {name:?} more than once")
            }
            FileError::LineTooLong { line, len_max } => write!(
                f,
                "the record that begins on line {line} is longer than {len_max} bytes; \
                 is a quote left open, or is it no text?"
            ),
            FileError::TooManyKeys { keys_max } => write!(
                f,
                "there are more than {keys_max} different keys, counted in each window; \
                 choose a coarser key or longer windows"
            ),
            FileError::TooManyWindows { windows_max } => write!(
                f,
                "the rows are spread over more than {windows_max} windows; choose longer ones"
            ),
            FileError::KeysTooLarge { key_bytes_max } => write!(
                f,
                "the different values of the key column are longer than {key_bytes_max} bytes"
            ),
            FileError::SketchesTooLarge { sketch_bytes_max } => write!(
                f,
                "quantiles and distinct counts would take more than {sketch_bytes_max} bytes; \
                 choose a coarser key, longer windows, or no column to count distinct values of"
            ),
            FileError::SumOverflow { key } => write!(f, "the sum of {key:?} is too large"),
            FileError::Corrupt { compression, at, reason } => {
                write!(f, "the {compression} data cannot be read from byte {at} on: {reason}")
            }
            FileError::Truncated { compression, at } => {
                write!(f, "the {compression} data end in the middle, after {at} bytes")
            }
            FileError::ExpandsTooMuch { expansion_max, at } => write!(
                f,
                "the first {at} bytes expand to more than {expansion_max} times as many; \
                 send the file with less compression"
            ),
        }
    }
}

impl Error for FileError {}
