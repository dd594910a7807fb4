//! Aggregates one block: a worker's whole job.
//!
//! Owned by one process; keeps nothing from block to block but its buffers, so a worker may crash
//! and its successor may take the block again.

use std::fmt;

use super::{
    Block, Limits,
    csv_rows::CsvRows,
    layout::{NdjsonLayout, RowLayout},
    line_ends, ndjson_rows,
};
use crate::{Aggregates, BadLine, Decimal, FileError, Format, ParseDecimalError, Row};

/// Values beyond it are bad, so that the sum of a hundred thousand million rows still fits and
/// no order of rows can make the difference between a sum and an overflow.
const VALUE_BILLIONTHS_MAX: u128 = 1_000_000_000_000_000_000 * 1_000_000_000;

/// Aggregates blocks, one after another.
pub struct BlockAggregator {
    limits: Limits,
    csv: CsvRows,
}

impl BlockAggregator {
    /// Makes one; it is good for the blocks of any file.
    #[must_use]
    pub fn new(limits: Limits) -> BlockAggregator {
        BlockAggregator { limits, csv: CsvRows::new(limits) }
    }

    /// Aggregates one block.
    ///
    /// # Errors
    /// As [`Aggregates::add`].
    pub fn aggregate(&mut self, block: &Block) -> Result<Aggregates, FileError> {
        let mut totals = Aggregates::after(self.limits, block.latest);
        self.aggregate_into(block, &mut totals)?;
        Ok(totals)
    }

    /// Aggregates one block on top of all that are before it in the file, which saves the merging.
    ///
    /// # Errors
    /// As [`Aggregates::add`]; `totals` then holds a part of the block: throw it away.
    pub fn aggregate_into(
        &mut self,
        block: &Block,
        totals: &mut Aggregates,
    ) -> Result<(), FileError> {
        match &block.layout.rows {
            RowLayout::Csv(layout) => self.csv.aggregate_into(block, layout, totals),
            RowLayout::Ndjson(layout) => self.ndjson_into(block, layout, totals),
        }
    }

    fn ndjson_into(
        &self,
        block: &Block,
        layout: &NdjsonLayout,
        totals: &mut Aggregates,
    ) -> Result<(), FileError> {
        for (line, text) in (block.first_line..).zip(block.bytes.split(|&byte| byte == b'\n')) {
            if text.trim_ascii().is_empty() {
                continue;
            }
            match ndjson_rows::read(text, layout, self.limits) {
                Ok(fields) => totals.add(Row {
                    key: &fields.key,
                    value: fields.value,
                    distinct: fields.distinct.as_deref().map(str::as_bytes),
                    when: block.layout.when(fields.time),
                })?,
                Err(reason) => totals.add_bad(BadLine { line, reason }),
            }
        }
        Ok(())
    }
}

impl fmt::Debug for BlockAggregator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockAggregator").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Blanks around a number are no part of it.
pub(super) fn parse_value(field: &[u8]) -> Result<Decimal, ParseDecimalError> {
    check_value(Decimal::parse(field.trim_ascii())?)
}

pub(super) fn check_value(value: Decimal) -> Result<Decimal, ParseDecimalError> {
    if value.billionths().unsigned_abs() > VALUE_BILLIONTHS_MAX {
        return Err(ParseDecimalError::TooLarge);
    }
    Ok(value)
}

/// Line numbers, counted only up to the lines that are asked for.
pub(super) struct Lines<'b> {
    format: Format,
    bytes: &'b [u8],
    line: u64,
    at: usize,
}

impl Lines<'_> {
    pub(super) fn of(block: &Block) -> Lines<'_> {
        let format = block.layout.format();
        Lines { format, bytes: &block.bytes, line: block.first_line, at: 0 }
    }

    /// The number of the line on which the record at `at` begins; asked in rising order.
    pub(super) fn number_at(&mut self, at: usize) -> u64 {
        self.line += line_ends(self.format, &self.bytes[self.at..at]);
        self.at = at;
        self.line
    }
}
