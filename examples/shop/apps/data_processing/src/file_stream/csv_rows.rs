//! The rows of a block of CSV.
//!
//! Owned by one process; only its buffers are kept from block to block.

use std::ops::Range;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::{
    Block, BlockEnd, Limits,
    block::{Lines, parse_value},
    layout::{CsvLayout, Layout},
};
use crate::{Aggregates, BadLine, BadReason, Delimiter, FileError, Row, Timestamp};

/// Reads the records of blocks.
pub(super) struct CsvRows {
    limits: Limits,
    delimiter: Delimiter,
    reader: Reader,
    fields: Vec<u8>,
    ends: Vec<usize>,
}

impl CsvRows {
    pub(super) fn new(limits: Limits) -> CsvRows {
        CsvRows {
            limits,
            delimiter: Delimiter::COMMA,
            reader: reader(Delimiter::COMMA),
            fields: Vec::new(),
            ends: Vec::new(),
        }
    }

    pub(super) fn aggregate_into(
        &mut self,
        block: &Block,
        layout: &CsvLayout,
        totals: &mut Aggregates,
    ) -> Result<(), FileError> {
        self.prepare(block, layout);
        let bytes = &block.bytes;
        let mut lines = Lines::of(block);
        let mut at = skip_line_ends(bytes, 0);
        while at < bytes.len() {
            let start = at;
            let fields_found = self.read_record(bytes, &mut at);
            let open = at == bytes.len() && block.end == BlockEnd::OpenQuote;
            match self.row(&block.layout, layout, fields_found, open) {
                Ok(row) => totals.add(row)?,
                Err(reason) => totals.add_bad(BadLine { line: lines.number_at(start), reason }),
            }
            at = skip_line_ends(bytes, at);
        }
        Ok(())
    }

    fn prepare(&mut self, block: &Block, layout: &CsvLayout) {
        let CsvLayout { delimiter, fields, .. } = *layout;
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

    fn row(
        &self,
        layout: &Layout,
        csv: &CsvLayout,
        found: usize,
        open: bool,
    ) -> Result<Row<'_>, BadReason> {
        if open {
            return Err(BadReason::OpenQuote);
        }
        if found != csv.fields {
            return Err(BadReason::FieldCount { found, expected: csv.fields });
        }
        let key = str::from_utf8(self.field(csv.key)).map_err(|_| BadReason::KeyNotUtf8)?;
        if key.len() > self.limits.key_len_max {
            return Err(BadReason::KeyTooLong);
        }
        let value = parse_value(self.field(csv.value)).map_err(BadReason::Value)?;
        let time =
            |place| Timestamp::parse(self.field(place).trim_ascii()).map_err(BadReason::Time);
        let time = csv.time.map(time).transpose()?;
        // An empty field is no value.
        let distinct =
            csv.distinct.map(|place| self.field(place)).filter(|field| !field.is_empty());
        Ok(Row { key, value, distinct, when: layout.when(time) })
    }

    fn field(&self, place: usize) -> &[u8] {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.fields[Range { start, end: self.ends[place] }]
    }
}

fn reader(delimiter: Delimiter) -> Reader {
    ReaderBuilder::new().delimiter(delimiter.byte()).build()
}

fn skip_line_ends(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    at + ends
}
