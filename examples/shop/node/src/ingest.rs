//! `shop ingest`: a node with nothing but `data_processing`, for as long as one file takes.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, IsTerminal as _, Read as _, Write as _},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use linden::prelude::*;
use shop_data_processing::{DataProcessingApp, KeyReport, Progress, Report, Upload};

use crate::cli::{IngestArgs, OutputArgs};

const CHUNK_LEN: usize = 256 * 1024;
/// Bad lines that are shown one by one.
const BAD_LINES_SHOWN_MAX: usize = 10;

/// Aggregates one file and prints the result.
pub(crate) async fn ingest(node: NodeBuilder, args: IngestArgs) -> Result<(), BoxError> {
    let file = File::open(&args.file)
        .map_err(|error| {
            let file = args.file.display();
            format!("cannot read {file}: {error}; check that the path is right and that this user may read the file")
        })?;
    let booted = node
        .name("shop-ingest@127.0.0.1")
        .other_tables(&["auth", "billing", "catalog", "notifications", "orders", "web"])
        .set("log", "level", "warn")
        .application(DataProcessingApp)
        .boot()
        .await?;
    let report = aggregate(&booted.node, file, &args).await;
    booted.stop().await?;
    show(&*report?, args.output)
}

/// Reads on this thread, which runs no process, while the node's workers aggregate.
async fn aggregate(
    node: &Node,
    mut file: File,
    args: &IngestArgs,
) -> Result<Arc<Report>, BoxError> {
    let bytes_total = file.metadata().map_or(0, |data| data.len());
    let mut upload = Upload::begin_sized(node, args.selection()?, Some(bytes_total)).await?;
    let mut progress = ProgressLine::new(&args.file, bytes_total);
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
        if report.late_rows > 0 {
            eprintln!("  {} rows came too late and were left out", report.late_rows);
        }
        for bad in report.bad.iter().take(BAD_LINES_SHOWN_MAX) {
            eprintln!("  line {}: {}", bad.line, bad.reason);
        }
        if report.bad_lines > BAD_LINES_SHOWN_MAX as u64 {
            eprintln!("  ... --json lists the first {}", report.bad.len());
        }
    }
}

fn show(report: &Report, output: OutputArgs) -> Result<(), BoxError> {
    let text = match output {
        OutputArgs { json: true, .. } => serde_json::to_string(report)? + "\n",
        OutputArgs { csv: true, .. } => report.to_csv(),
        OutputArgs { svg: Some(measure), .. } => report.to_svg(measure),
        _ => table(report),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Windows and keys to the left, numbers to the right. Columns without anything are left out.
fn table(report: &Report) -> String {
    let rows: Vec<[String; 12]> =
        std::iter::once(HEAD.map(str::to_owned)).chain(report.keys.iter().map(cells)).collect();
    let width = |column: usize| {
        let cells = || rows.iter().map(|row| &row[column]);
        let empty = cells().skip(1).all(String::is_empty);
        let width = cells().map(|cell| cell.chars().count()).max();
        if empty && column != KEY { None } else { width }
    };
    let widths: Vec<(usize, usize)> =
        (0..HEAD.len()).filter_map(|column| Some((column, width(column)?))).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for &(column, width) in &widths {
            let cell = &row[column];
            let _ = match column {
                ..=KEY => write!(line, "{cell:<width$}  "),
                _ => write!(line, "{cell:>width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

const HEAD: [&str; 12] = [
    "window", "key", "count", "sum", "min", "max", "mean", "stddev", "p50", "p90", "p99",
    "distinct",
];
/// The last column that is text.
const KEY: usize = 1;

fn cells(row: &KeyReport) -> [String; 12] {
    let [sum, min, max, mean] = [row.sum, row.min, row.max, row.mean].map(|n| n.to_string());
    let [p50, p90, p99] = [row.p50, row.p90, row.p99].map(|n| n.to_string());
    let or_nothing = |text: Option<String>| text.unwrap_or_default();
    [
        or_nothing(row.window.map(|window| window.start.to_string())),
        row.key.escape_debug().to_string(),
        row.count.to_string(),
        sum,
        min,
        max,
        mean,
        or_nothing(row.stddev.map(|stddev| stddev.to_string())),
        p50,
        p90,
        p99,
        or_nothing(row.distinct.map(|distinct| distinct.to_string())),
    ]
}
