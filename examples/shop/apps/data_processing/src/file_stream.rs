//! A file as a stream of bytes in chunks of any size.
//!
//! [`BlockReader`] expands the stream and cuts it into [`Block`]s of whole records,
//! [`BlockAggregator`] aggregates one block, [`FileOrder`] says which results count as they are, and
//! [`FileAggregator`] is all in one for those who need no pool. Each is owned by one process.
//!
//! CSV is RFC 4180 as csv-core reads it: a header; records end in LF, CRLF or CR; a field may stand
//! in quotes and then hold delimiters, line ends and doubled quotes; empty lines do not count.
//! Fields are parsed by csv-core; only the search for the ends of records is our own, since it has
//! to run ahead of the workers. A test holds the two against each other on arbitrary bytes.
//! NDJSON is one JSON object a line, as serde_json reads it; lines end in LF, and blank ones do not
//! count.
//!
//! Invariants: how the stream is cut into chunks does not change the result; memory is bounded by
//! [`Limits`], a block, a piece and a chunk.

use serde::{Deserialize, Serialize};

use crate::{Aggregates, FileError, Format};

mod block;
mod csv_rows;
mod file_order;
mod layout;
mod ndjson_rows;
mod reader;
mod splitter;

pub use block::BlockAggregator;
pub use file_order::{Decision, FileOrder};
pub use layout::{Layout, PATH_DEPTH_MAX, Selection};
pub use reader::{BlockReader, Read};
pub use splitter::{BLOCK_LEN, Block, BlockEnd, Splitter};

/// Aggregates a stream in the calling process.
///
/// # Examples
/// See the [crate's page](crate).
#[derive(Debug)]
pub struct FileAggregator {
    reader: BlockReader,
    blocks: BlockAggregator,
    totals: Aggregates,
    bytes: u64,
    failed: Option<FileError>,
}

impl FileAggregator {
    /// Starts before the first byte of a file.
    #[must_use]
    pub fn new(selection: Selection, limits: Limits) -> FileAggregator {
        FileAggregator {
            reader: BlockReader::new(selection, limits),
            blocks: BlockAggregator::new(limits),
            totals: Aggregates::new(limits),
            bytes: 0,
            failed: None,
        }
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// [`FileError`]; the file as a whole is refused, and every later call says so again.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), FileError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.take(chunk).inspect_err(|error| self.failed = Some(error.clone()))?;
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    /// Takes the end of the file and gives the result.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn finish(mut self) -> Result<Aggregates, FileError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        for block in self.reader.end()? {
            self.blocks.aggregate_into(&block, &mut self.totals)?;
        }
        Ok(self.totals)
    }

    /// How far it is. Rows are behind bytes by up to a block.
    pub fn progress(&self) -> Progress {
        Progress::of(self.bytes, &self.totals)
    }

    fn take(&mut self, mut chunk: &[u8]) -> Result<(), FileError> {
        loop {
            let read = self.reader.read(chunk)?;
            for block in read.blocks {
                self.blocks.aggregate_into(&block, &mut self.totals)?;
            }
            if !read.more {
                return Ok(());
            }
            chunk = &chunk[read.consumed..];
        }
    }
}

/// How far an aggregation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes taken, as they were sent: compressed ones if the file is compressed.
    pub bytes: u64,
    /// Rows taken in.
    pub rows: u64,
    /// Rows left out because they came too late.
    pub late_rows: u64,
    /// Lines that were not rows.
    pub bad_lines: u64,
    /// Distinct keys, counted in each window.
    pub keys: usize,
}

impl Progress {
    pub(crate) fn of(bytes: u64, totals: &Aggregates) -> Progress {
        Progress {
            bytes,
            rows: totals.rows(),
            late_rows: totals.late_rows(),
            bad_lines: totals.bad_lines(),
            keys: totals.keys(),
        }
    }
}

/// What an aggregation may use. The default is good for files from strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of one record without its line end; 1 MiB. More: [`FileError::LineTooLong`].
    pub line_len_max: usize,
    /// Distinct keys, counted in each window; 1,000,000. More: [`FileError::TooManyKeys`].
    pub keys_max: usize,
    /// Bytes of one key; 1 KiB. More: the line is bad.
    pub key_len_max: usize,
    /// Bytes of all distinct keys together; 128 MiB. More: [`FileError::KeysTooLarge`].
    pub key_bytes_max: usize,
    /// Windows; 10,000. More: [`FileError::TooManyWindows`].
    pub windows_max: usize,
    /// Bytes of all quantiles and distinct counts together; 512 MiB. More:
    /// [`FileError::SketchesTooLarge`].
    pub sketch_bytes_max: usize,
    /// Bad lines whose numbers are kept; the first 1,000. All are counted.
    pub bad_lines_kept_max: usize,
    /// How many times its own size a compressed file may expand to; 200. More, beyond the first
    /// 16 MiB: [`FileError::ExpandsTooMuch`].
    pub expansion_max: u64,
    /// The binary logarithm of the window that a zstd file may ask for; 23, which is 8 MiB. More:
    /// [`FileError::Corrupt`].
    pub zstd_window_log_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            line_len_max: 1024 * 1024,
            keys_max: 1_000_000,
            key_len_max: 1024,
            key_bytes_max: 128 * 1024 * 1024,
            windows_max: 10_000,
            sketch_bytes_max: 512 * 1024 * 1024,
            bad_lines_kept_max: 1_000,
            expansion_max: 200,
            zstd_window_log_max: 23,
        }
    }
}

/// Counts the line ends in whole records: LF, and in CSV CRLF and CR as well, are one each.
fn line_ends(format: Format, bytes: &[u8]) -> u64 {
    let feeds = memchr::memchr_iter(b'\n', bytes).count();
    let lone_returns = match format {
        Format::Ndjson => 0,
        Format::Csv { .. } => memchr::memchr_iter(b'\r', bytes)
            .filter(|&at| bytes.get(at + 1) != Some(&b'\n'))
            .count(),
    };
    (feeds + lone_returns) as u64
}

#[cfg(test)]
mod tests;
