//! The shop's CSV aggregation: count, sum, min, max and mean of one column per value of another.
//!
//! Exact and order-independent: values are decimals in fixed point, so any number of workers may
//! take any blocks in any order and the merged result is the same to the last digit. Memory depends
//! on the number of distinct keys, never on the length of the file.
//!
//! [`DataProcessingApp`] is the application: a pool of workers, one process for each file on its way
//! ([`Upload`] is its client's end), and [`IngestService`], which knows them all. The other modules are
//! plain libraries: no process, no file, no clock. Alone:
//!
//! ```
//! use shop_data_processing::{CsvAggregator, Limits, Selection};
//!
//! let mut aggregator = CsvAggregator::new(Selection::new("region", "amount"), Limits::default());
//! for chunk in ["id,region,amount\n1,nor", "th,0.10\n2,south,7\n3,north,0.20\n4,north,lots\n"] {
//!     aggregator.feed(chunk.as_bytes()).unwrap();
//! }
//! let report = aggregator.finish().unwrap().into_report();
//! assert_eq!(report.keys[0].key, "north");
//! assert_eq!(report.keys[0].sum.to_string(), "0.3");
//! assert_eq!((report.rows, report.bad_lines, report.bad[0].line), (3, 1, 5));
//! ```
//!
//! With a pool, one process feeds a [`Splitter`], hands its [`Block`]s to workers that each own a
//! [`BlockAggregator`], and merges what they give back:
//!
//! ```
//! use shop_data_processing::{Aggregates, BlockAggregator, Limits, Selection, Splitter};
//!
//! let limits = Limits::default();
//! let mut splitter = Splitter::new(Selection::new("region", "amount"), limits);
//! let mut blocks = splitter.feed(b"id,region,amount\n1,north,0.10\n2,south,7\n").unwrap();
//! blocks.extend(splitter.finish().unwrap());
//!
//! let mut totals = Aggregates::new(limits);
//! for block in blocks {
//!     let part = BlockAggregator::new(limits).aggregate(&block).unwrap(); // in a worker
//!     totals.merge(part).unwrap();
//! }
//! assert_eq!(totals.rows(), 2);
//! ```
//!
//! Absent on purpose: floats, exponents, thousands separators, guessing of delimiters or encodings.

#![forbid(unsafe_code)]

pub mod aggregate;
mod app;
pub mod csv_stream;
pub mod decimal;
mod job;
mod pool;
pub mod sample;
mod service;
mod upload;

pub use aggregate::{Aggregate, Aggregates, BadLine, BadReason, KeyReport, Report};
pub use app::{DataProcessingApp, DataProcessingConfig};
pub use csv_stream::{
    Block, BlockAggregator, BlockEnd, CsvAggregator, CsvError, Delimiter, DelimiterError, Layout,
    Limits, Progress, Selection, Splitter,
};
pub use decimal::{Decimal, ParseDecimalError};
pub use service::{
    IngestService, IngestServiceClient, IngestServiceMsg, JobId, JobStatus, Outcome,
};
pub use upload::{IngestError, Upload};
