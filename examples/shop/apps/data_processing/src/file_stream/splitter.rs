//! Cuts a stream of bytes into blocks of whole records.
//!
//! Owned by one process, which feeds it. Invariants: the blocks, put together, are the file without
//! its byte order mark and header; a block ends where a record ends; the cuts depend on the file
//! alone, not on the chunks.
//! Absent on purpose: parsing of fields (see `csv_rows.rs` and `ndjson_rows.rs`). This part looks for quotes and line ends
//! only, so it outruns any number of workers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Layout, Limits, Selection, line_ends};
use crate::{FileError, Format, Timestamp};

/// A block is cut at the first end of a record after so many bytes.
pub const BLOCK_LEN: usize = 256 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Whole records of one file, to be aggregated by anybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Where the columns are.
    pub layout: Arc<Layout>,
    /// The number of the block's first line in the file.
    pub first_line: u64,
    /// The records with their line ends.
    pub bytes: Vec<u8>,
    /// How the last record ends.
    pub end: BlockEnd,
    /// The latest time in all rows before the block, as far as it is known.
    pub latest: Option<Timestamp>,
}

/// How the last record of a block ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlockEnd {
    /// As it should.
    Closed,
    /// The file ended within quotes. Only the last block of a file ends so.
    OpenQuote,
}

/// Takes chunks of any size and gives blocks of whole records.
#[derive(Debug)]
pub struct Splitter {
    selection: Selection,
    limits: Limits,
    block_len: usize,
    /// Everything since the last cut.
    buffer: Vec<u8>,
    /// The line on which the buffer begins.
    line: u64,
    scan: Scan,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Nothing is known; there may be a byte order mark.
    Start,
    Header,
    Records(Arc<Layout>),
    Failed(FileError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    GoesOn,
    Ended,
}

impl Splitter {
    /// Starts before the first byte of a file.
    #[must_use]
    pub fn new(selection: Selection, limits: Limits) -> Splitter {
        Splitter::with_block_len(selection, limits, BLOCK_LEN)
    }

    /// As [`Splitter::new`], with blocks of another length than [`BLOCK_LEN`].
    #[must_use]
    pub fn with_block_len(selection: Selection, limits: Limits, block_len: usize) -> Splitter {
        Splitter {
            scan: Scan::new(selection.format),
            selection,
            limits,
            block_len: block_len.max(1),
            buffer: Vec::new(),
            line: 1,
            stage: Stage::Start,
        }
    }

    /// Takes the next bytes and gives the blocks that they complete, in the order of the file.
    ///
    /// # Errors
    /// [`FileError`] of the header or [`FileError::LineTooLong`]; every later call says so again.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<Vec<Block>, FileError> {
        let mut blocks = Vec::new();
        // In pieces, so that the buffer stays small whatever the chunk.
        for piece in chunk.chunks(self.block_len) {
            self.buffer.extend_from_slice(piece);
            self.cut(Input::GoesOn, &mut blocks)?;
        }
        Ok(blocks)
    }

    /// Takes the end of the file and gives the last block, unless there is nothing left.
    ///
    /// # Errors
    /// As [`Splitter::feed`], and [`FileError::NoHeader`].
    pub fn finish(mut self) -> Result<Option<Block>, FileError> {
        self.end()
    }

    pub(super) fn end(&mut self) -> Result<Option<Block>, FileError> {
        let mut blocks = Vec::new();
        self.cut(Input::Ended, &mut blocks)?;
        debug_assert!(blocks.is_empty(), "the end completes no block but the last");
        match &self.stage {
            Stage::Records(_) if self.buffer.is_empty() => Ok(None),
            Stage::Records(layout) => {
                let layout = layout.clone();
                Ok(Some(self.take_block(layout, self.buffer.len())))
            }
            _ => Err(FileError::NoHeader),
        }
    }

    fn cut(&mut self, input: Input, blocks: &mut Vec<Block>) -> Result<(), FileError> {
        let result = self.try_cut(input, blocks);
        if let Err(error) = &result {
            self.stage = Stage::Failed(error.clone());
            self.buffer = Vec::new();
        }
        result
    }

    fn try_cut(&mut self, input: Input, blocks: &mut Vec<Block>) -> Result<(), FileError> {
        match &self.stage {
            Stage::Failed(error) => return Err(error.clone()),
            Stage::Start => self.skip_byte_order_mark(input),
            Stage::Header | Stage::Records(_) => {}
        }
        if matches!(self.stage, Stage::Start) {
            return Ok(());
        }
        while let Some(record) = self.scan.next_record(&self.buffer, input) {
            self.check_len(record.start, record.end)?;
            match &self.stage {
                Stage::Records(layout)
                    if input == Input::GoesOn && record.next >= self.block_len =>
                {
                    let layout = layout.clone();
                    blocks.push(self.take_block(layout, record.next));
                }
                Stage::Records(_) => {}
                _ => self.take_header(record)?,
            }
        }
        self.check_len(self.scan.record_start, self.scan.at)?;
        if matches!(self.stage, Stage::Header) {
            self.remove(self.scan.record_start);
        }
        Ok(())
    }

    /// Stays in [`Stage::Start`] as long as there are too few bytes to tell.
    fn skip_byte_order_mark(&mut self, input: Input) {
        let undecided =
            BYTE_ORDER_MARK.starts_with(&self.buffer) && self.buffer.len() < BYTE_ORDER_MARK.len();
        if undecided && input == Input::GoesOn {
            return;
        }
        if self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.buffer.drain(..BYTE_ORDER_MARK.len());
        }
        self.stage = match self.selection.format {
            Format::Csv { .. } => Stage::Header,
            Format::Ndjson => Stage::Records(Arc::new(Layout::of_ndjson(&self.selection))),
        };
    }

    /// Empty lines before the header are none.
    fn take_header(&mut self, record: Record) -> Result<(), FileError> {
        let header = &self.buffer[record.start..record.end];
        let Format::Csv { delimiter } = self.selection.format else { return Ok(()) };
        if header.is_empty() {
            return Ok(());
        }
        if self.scan.quoted {
            return Err(FileError::OpenQuoteInHeader);
        }
        let layout = Layout::of_header(&self.selection, delimiter, header)?;
        self.stage = Stage::Records(Arc::new(layout));
        self.remove(record.next);
        Ok(())
    }

    fn take_block(&mut self, layout: Arc<Layout>, len: usize) -> Block {
        let end = if self.scan.quoted { BlockEnd::OpenQuote } else { BlockEnd::Closed };
        let (first_line, bytes) = (self.line, self.buffer[..len].to_vec());
        self.remove(len);
        Block { layout, first_line, bytes, end, latest: None }
    }

    fn remove(&mut self, len: usize) {
        self.line += line_ends(self.selection.format, &self.buffer[..len]);
        self.buffer.drain(..len);
        self.scan.rebase(len);
    }

    fn check_len(&self, start: usize, end: usize) -> Result<(), FileError> {
        let len_max = self.limits.line_len_max;
        if end.saturating_sub(start) > len_max {
            let line = self.line + line_ends(self.selection.format, &self.buffer[..start]);
            return Err(FileError::LineTooLong { line, len_max });
        }
        Ok(())
    }
}

/// Finds the ends of records: in NDJSON the line feeds, in CSV by csv-core's rules: a quote opens a quoted field only as the field's
/// first byte; within quotes a doubled quote stands for one; after the closing quote anything may
/// follow up to the delimiter.
#[derive(Debug)]
struct Scan {
    format: Format,
    /// Where the record that is being read begins.
    record_start: usize,
    /// Everything before has been looked at.
    at: usize,
    quoted: bool,
}

/// A record, or an empty line, within the buffer.
#[derive(Clone, Copy, Debug)]
struct Record {
    start: usize,
    /// Past its last byte.
    end: usize,
    /// Past its line end.
    next: usize,
}

impl Scan {
    fn new(format: Format) -> Scan {
        Scan { format, record_start: 0, at: 0, quoted: false }
    }

    /// The next record that is wholly in the buffer. `None` stops before a byte whose meaning
    /// depends on the one after it, if that one has not come yet.
    fn next_record(&mut self, buffer: &[u8], input: Input) -> Option<Record> {
        loop {
            let rest = &buffer[self.at..];
            let found = match self.format {
                Format::Ndjson => memchr::memchr(b'\n', rest),
                Format::Csv { .. } if self.quoted => memchr::memchr(b'"', rest),
                Format::Csv { .. } => memchr::memchr3(b'\n', b'\r', b'"', rest),
            };
            let Some(found) = found else {
                self.at = buffer.len();
                return self.last_record(buffer, input);
            };
            self.at += found;
            let next = buffer.get(self.at + 1);
            let unknown = next.is_none() && input == Input::GoesOn;
            match buffer[self.at] {
                b'"' if !self.quoted => {
                    self.quoted = self.opens_field(buffer);
                    self.at += 1;
                }
                b'"' if next == Some(&b'"') => self.at += 2,
                b'"' if unknown => return None,
                b'"' => {
                    self.quoted = false;
                    self.at += 1;
                }
                b'\r' if next == Some(&b'\n') => return Some(self.end_record(2)),
                b'\r' if unknown => return None,
                _ => return Some(self.end_record(1)),
            }
        }
    }

    fn opens_field(&self, buffer: &[u8]) -> bool {
        let Format::Csv { delimiter } = self.format else { return false };
        self.at == self.record_start || buffer[self.at - 1] == delimiter.byte()
    }

    fn end_record(&mut self, line_end_len: usize) -> Record {
        let (start, end) = (self.record_start, self.at);
        self.at += line_end_len;
        self.record_start = self.at;
        Record { start, end, next: self.at }
    }

    /// The file's last record needs no line end.
    fn last_record(&mut self, buffer: &[u8], input: Input) -> Option<Record> {
        let is_last = input == Input::Ended && self.record_start < buffer.len();
        is_last.then(|| self.end_record(0))
    }

    /// The first `len` bytes have left the buffer; they were whole records.
    fn rebase(&mut self, len: usize) {
        self.record_start -= len;
        self.at -= len;
    }
}

#[cfg(test)]
mod tests;
