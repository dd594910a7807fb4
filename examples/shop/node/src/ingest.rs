//! `shop ingest`: a node with nothing but `data_processing`, for as long as one file takes.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, IsTerminal as _, Read as _, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use linden::prelude::*;
use shop_data_processing::{DataProcessingApp, Progress, Report, Upload};

use crate::cli::IngestArgs;

const CHUNK_LEN: usize = 256 * 1024;
/// Bad lines that are shown one by one.
const BAD_LINES_SHOWN_MAX: usize = 10;

/// Aggregates one file and prints the result.
pub(crate) async fn ingest(node: NodeBuilder, args: IngestArgs) -> Result<(), BoxError> {
    let file = File::open(&args.file)
        .map_err(|error| format!("cannot read {}: {error}", args.file.display()))?;
    let booted = node
        .name("shop-ingest@127.0.0.1")
        .other_tables(&["auth", "billing", "web"])
        .set("log", "level", "warn")
        .application(DataProcessingApp)
        .boot()
        .await?;
    let report = aggregate(&booted.node, file, &args).await;
    booted.stop().await?;
    show(&report?, args.json)
}

/// Reads on this thread, which runs no process, while the node's workers aggregate.
async fn aggregate(node: &Node, mut file: File, args: &IngestArgs) -> Result<Report, BoxError> {
    let mut upload = Upload::begin(node, args.selection()).await?;
    let mut progress = ProgressLine::new(&args.file, file.metadata().map_or(0, |data| data.len()));
    loop {
        let mut chunk = vec![0; CHUNK_LEN];
        let len = file.read(&mut chunk)?;
        if len == 0 {
            break;
        }
        chunk.truncate(len);
        progress.show(&upload.feed(chunk).await?);
    }
    let report = upload.finish().await?;
    progress.end(&report);
    Ok(report)
}

/// One line on standard error; on a terminal it is written over, elsewhere written again.
struct ProgressLine {
    file: String,
    bytes_total: u64,
    began: Instant,
    last_shown: Instant,
}

impl ProgressLine {
    fn new(file: &Path, bytes_total: u64) -> ProgressLine {
        let now = Instant::now();
        ProgressLine { file: file.display().to_string(), bytes_total, began: now, last_shown: now }
    }

    fn show(&mut self, progress: &Progress) {
        let is_terminal = io::stderr().is_terminal();
        let period = Duration::from_millis(if is_terminal { 100 } else { 1_000 });
        if self.last_shown.elapsed() < period {
            return;
        }
        self.last_shown = Instant::now();
        let end = if is_terminal { "\r" } else { "\n" };
        eprint!(
            "{}: {} of {} MB, {} rows, {} bad lines, {} keys{end}",
            self.file,
            progress.bytes / 1_000_000,
            self.bytes_total / 1_000_000,
            progress.rows,
            progress.bad_lines,
            progress.keys,
        );
    }

    fn end(&self, report: &Report) {
        eprintln!(
            "{}: {} rows, {} bad lines, {} keys in {:.1?}",
            self.file,
            report.rows,
            report.bad_lines,
            report.keys.len(),
            self.began.elapsed(),
        );
        for bad in report.bad.iter().take(BAD_LINES_SHOWN_MAX) {
            eprintln!("  line {}: {}", bad.line, bad.reason);
        }
        if report.bad_lines > BAD_LINES_SHOWN_MAX as u64 {
            eprintln!("  ... --json lists the first {}", report.bad.len());
        }
    }
}

fn show(report: &Report, json: bool) -> Result<(), BoxError> {
    let text = if json { serde_json::to_string(report)? + "\n" } else { table(report) };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Keys to the left, numbers to the right.
fn table(report: &Report) -> String {
    let head = ["key", "count", "sum", "min", "max", "mean"].map(str::to_owned);
    let rows = report.keys.iter().map(|row| {
        let key = row.key.escape_debug().to_string();
        let numbers = [row.sum, row.min, row.max, row.mean].map(|number| number.to_string());
        let [sum, min, max, mean] = numbers;
        [key, row.count.to_string(), sum, min, max, mean]
    });
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; 6] = std::array::from_fn(|column| width(column).unwrap_or_default());
    let mut text = String::new();
    for row in &rows {
        let _ = write!(text, "{:<1$}", row[0], widths[0]);
        for column in 1..row.len() {
            let _ = write!(text, "  {:>1$}", row[column], widths[column]);
        }
        text.push('\n');
    }
    text
}
