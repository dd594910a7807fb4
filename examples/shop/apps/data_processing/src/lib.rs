//! The shop's aggregation of files: count, sum, min, max, mean, standard deviation, quantiles and
//! distinct values of columns of CSV and NDJSON, per key and per window of time.
//!
//! Order-independent: sums are exact, of decimals in fixed point, and sketches are sets of counters,
//! so any number of workers may take any blocks in any order and the merged result is the same to the
//! last digit. Memory depends on the number of distinct keys and windows, never on the length of the
//! file, which may be compressed by gzip or zstd.
//!
//! [`DataProcessingApp`] is the application: a pool of workers, one process for each file on its way
//! ([`Upload`] is its client's end), and [`IngestService`], which knows them all. The other modules are
//! plain libraries: no process, no file, no clock. Alone:
//!
//! ```
//! use shop_data_processing::{FileAggregator, Limits, Selection};
//!
//! let mut aggregator = FileAggregator::new(Selection::new("region", "amount"), Limits::default());
//! for chunk in ["id,region,amount\n1,nor", "th,0.10\n2,south,7\n3,north,0.20\n4,north,lots\n"] {
//!     aggregator.feed(chunk.as_bytes()).unwrap();
//! }
//! let report = aggregator.finish().unwrap().into_report();
//! assert_eq!(report.keys[0].key, "north");
//! assert_eq!(report.keys[0].sum.to_string(), "0.3");
//! assert_eq!((report.rows, report.bad_lines, report.bad[0].line), (3, 1, 5));
//! ```
//!
//! Per hour, of NDJSON:
//!
//! ```
//! use std::time::Duration;
//! use shop_data_processing::{
//!     EventTime, FileAggregator, Format, Late, Limits, Selection, Windows,
//! };
//!
//! let selection = Selection {
//!     format: Format::Ndjson,
//!     time: Some(EventTime {
//!         column: "at".to_owned(),
//!         windows: Windows::tumbling(Duration::from_secs(3600)).unwrap(),
//!         late: Late::Drop { lateness: Duration::from_secs(300) },
//!     }),
//!     ..Selection::new("order.region", "order.amount")
//! };
//! let mut aggregator = FileAggregator::new(selection, Limits::default());
//! for (at, amount) in [("10:20", 1), ("11:01", 2), ("10:59", 4), ("10:30", 8)] {
//!     let order = format!(r#"{{"region": "north", "amount": {amount}}}"#);
//!     let line = format!("{{\"at\": \"2013-01-01T{at}Z\", \"order\": {order}}}\n");
//!     aggregator.feed(line.as_bytes()).unwrap();
//! }
//! let report = aggregator.finish().unwrap().into_report();
//! let sums: Vec<String> = report.keys.iter().map(|key| key.sum.to_string()).collect();
//! assert_eq!((sums, report.late_rows), (vec!["5".to_owned(), "2".to_owned()], 1));
//! ```
//!
//! With a pool, one process feeds a [`BlockReader`], hands its [`Block`]s to workers that each own a
//! [`BlockAggregator`], and merges what they give back, as [`FileOrder`] says:
//!
//! ```
//! use shop_data_processing::{
//!     Aggregates, BlockAggregator, BlockReader, Decision, FileOrder, Limits, Selection,
//! };
//!
//! let (selection, limits) = (Selection::new("region", "amount"), Limits::default());
//! let mut order = FileOrder::new(&selection);
//! let mut reader = BlockReader::new(selection, limits);
//! let mut chunk = &b"id,region,amount\n1,north,0.10\n2,south,7\n"[..];
//! let mut blocks = Vec::new();
//! loop {
//!     let read = reader.read(chunk).unwrap();
//!     blocks.extend(read.blocks);
//!     if !read.more {
//!         break;
//!     }
//!     chunk = &chunk[read.consumed..];
//! }
//! blocks.extend(reader.end().unwrap());
//!
//! let mut totals = Aggregates::new(limits);
//! for (number, block) in blocks.iter().enumerate() {
//!     let part = BlockAggregator::new(limits).aggregate(block).unwrap(); // in a worker
//!     for decision in order.came_back(number, part) {
//!         let Decision::Merge { part, .. } = decision else { unreachable!("no row has a time") };
//!         totals.merge(part).unwrap();
//!     }
//! }
//! assert_eq!(totals.rows(), 2);
//! ```
//!
//! Absent on purpose: floats in anything that is called exact, thousands separators, guessing of
//! delimiters or encodings.

#![forbid(unsafe_code)]

pub mod aggregate;
mod app;
pub mod compression;
pub mod decimal;
mod error;
pub mod event_time;
pub mod file_stream;
mod format;
mod job;
mod options;
mod pool;
pub mod report;
pub mod sample;
mod service;
mod upload;

pub use aggregate::{Aggregate, Aggregates, BadLine, BadReason, Column, Row, When};
pub use app::{DataProcessingApp, DataProcessingConfig};
pub use compression::Compression;
pub use decimal::{Decimal, ParseDecimalError};
pub use error::FileError;
pub use event_time::{EventTime, Late, ParseTimeError, Timestamp, Window, Windows, WindowsError};
pub use file_stream::{
    Block, BlockAggregator, BlockEnd, BlockReader, Decision, FileAggregator, FileOrder, Layout,
    Limits, Progress, Selection, Splitter,
};
pub use format::{Delimiter, DelimiterError, Format, FormatError};
pub use options::{LatePolicy, LatePolicyError, Options, OptionsError};
pub use report::{KeyReport, Measure, Report};
pub use service::{
    IngestService, IngestServiceClient, IngestServiceMsg, JobError, JobId, JobStatus, Outcome,
    Owner,
};
pub use upload::{IngestError, Upload};
