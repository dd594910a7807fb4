//! Aggregates one block: a worker's whole job.
//!
//! Owned by one process; keeps nothing from block to block but its buffers, so a worker may crash
//! and its successor may take the block again.

use std::{fmt, ops::Range};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::{Block, BlockEnd, CsvError, Delimiter, Layout, Limits, line_ends};
use crate::{Aggregates, BadLine, BadReason, Decimal, ParseDecimalError};

/// Values beyond it are bad, so that the sum of a hundred thousand million rows still fits and
/// no order of rows can make the difference between a sum and an overflow.
const VALUE_BILLIONTHS_MAX: u128 = 1_000_000_000_000_000_000 * 1_000_000_000;

/// Aggregates blocks, one after another.
pub struct BlockAggregator {
    limits: Limits,
    delimiter: Delimiter,
    reader: Reader,
    fields: Vec<u8>,
    ends: Vec<usize>,
}

impl BlockAggregator {
    /// Makes one; it is good for the blocks of any file.
    #[must_use]
    pub fn new(limits: Limits) -> BlockAggregator {
        BlockAggregator {
            limits,
            delimiter: Delimiter::COMMA,
            reader: reader(Delimiter::COMMA),
            fields: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Aggregates one block.
    ///
    /// # Errors
    /// [`CsvError::TooManyKeys`], [`CsvError::KeysTooLarge`], [`CsvError::SumOverflow`].
    pub fn aggregate(&mut self, block: &Block) -> Result<Aggregates, CsvError> {
        let mut totals = Aggregates::new(self.limits);
        self.aggregate_into(block, &mut totals)?;
        Ok(totals)
    }

    /// Aggregates one block on top of others, which saves the merging.
    ///
    /// # Errors
    /// As [`BlockAggregator::aggregate`]; `totals` then holds a part of the block: throw it away.
    pub fn aggregate_into(
        &mut self,
        block: &Block,
        totals: &mut Aggregates,
    ) -> Result<(), CsvError> {
        self.prepare(block);
        let bytes = &block.bytes;
        let mut lines = Lines { bytes, line: block.first_line, at: 0 };
        let mut at = skip_line_ends(bytes, 0);
        while at < bytes.len() {
            let start = at;
            let fields_found = self.read_record(bytes, &mut at);
            let open = at == bytes.len() && block.end == BlockEnd::OpenQuote;
            match self.row(block.layout, fields_found, open) {
                Ok((key, value)) => totals.add(key, value)?,
                Err(reason) => totals.add_bad(BadLine { line: lines.number_at(start), reason }),
            }
            at = skip_line_ends(bytes, at);
        }
        Ok(())
    }

    fn prepare(&mut self, block: &Block) {
        let Layout { delimiter, fields, .. } = block.layout;
        if delimiter != self.delimiter {
            (self.delimiter, self.reader) = (delimiter, reader(delimiter));
        }
        self.reader.reset();
        // A first empty line, lest the reader takes the start of this block for the start of a file
        // and removes a byte order mark from it.
        let _ = self.reader.read_record(b"\n", &mut [0], &mut [0]);
        self.ends.resize(fields + 1, 0);
        if self.fields.len() <= block.bytes.len() {
            self.fields.resize(block.bytes.len() + 1, 0);
        }
    }

    /// Reads the record at `at` into `fields` and `ends`, and returns how many fields it has.
    fn read_record(&mut self, bytes: &[u8], at: &mut usize) -> usize {
        let (mut written, mut kept, mut found) = (0, 0, 0);
        loop {
            let (result, bytes_read, bytes_written, ends_written) = self.reader.read_record(
                &bytes[*at..],
                &mut self.fields[written..],
                &mut self.ends[kept..],
            );
            *at += bytes_read;
            written += bytes_written;
            kept += ends_written;
            found += ends_written;
            match result {
                ReadRecordResult::Record => return found,
                // At the end of the block the next call gets no bytes, which ends the record.
                ReadRecordResult::InputEmpty => {}
                // More fields than the header has: the record is bad, only their number matters.
                ReadRecordResult::OutputEndsFull => kept = 0,
                ReadRecordResult::OutputFull => unreachable!("fields are no longer than the block"),
                ReadRecordResult::End => unreachable!("a record starts at a byte of its own"),
            }
        }
    }

    fn row(&self, layout: Layout, found: usize, open: bool) -> Result<(&str, Decimal), BadReason> {
        if open {
            return Err(BadReason::OpenQuote);
        }
        if found != layout.fields {
            return Err(BadReason::FieldCount { found, expected: layout.fields });
        }
        let key = str::from_utf8(self.field(layout.key)).map_err(|_| BadReason::KeyNotUtf8)?;
        if key.len() > self.limits.key_len_max {
            return Err(BadReason::KeyTooLong);
        }
        let value = parse_value(self.field(layout.value)).map_err(BadReason::Value)?;
        Ok((key, value))
    }

    fn field(&self, place: usize) -> &[u8] {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.fields[Range { start, end: self.ends[place] }]
    }
}

impl fmt::Debug for BlockAggregator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockAggregator").field("limits", &self.limits).finish_non_exhaustive()
    }
}

fn reader(delimiter: Delimiter) -> Reader {
    ReaderBuilder::new().delimiter(delimiter.byte()).build()
}

/// Blanks around a number are no part of it.
fn parse_value(field: &[u8]) -> Result<Decimal, ParseDecimalError> {
    let value = Decimal::parse(field.trim_ascii())?;
    if value.billionths().unsigned_abs() > VALUE_BILLIONTHS_MAX {
        return Err(ParseDecimalError::TooLarge);
    }
    Ok(value)
}

fn skip_line_ends(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    at + ends
}

/// Line numbers, counted only up to the lines that are asked for.
struct Lines<'b> {
    bytes: &'b [u8],
    line: u64,
    at: usize,
}

impl Lines<'_> {
    /// The number of the line on which the record at `at` begins; asked in rising order.
    fn number_at(&mut self, at: usize) -> u64 {
        self.line += line_ends(&self.bytes[self.at..at]);
        self.at = at;
        self.line
    }
}
