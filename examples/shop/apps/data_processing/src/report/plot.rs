//! A report as a picture: an SVG document that needs no script, font or style of its page.
//!
//! Without windows a bar for each key, with windows a line for each key over time. What does not fit
//! is named as left out: nothing is dropped in silence. A picture is for the eye, so it may compute in
//! floats; the figures of the report stay exact.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt::{self, Write as _},
    str::FromStr,
};

use super::{KeyReport, Report};
use crate::{Decimal, Timestamp};

/// Most bars of a plot; the first keys in the order of the report.
pub const BARS_MAX: usize = 40;
/// Most lines of a plot; the keys with the most rows.
pub const LINES_MAX: usize = 8;
/// Characters of a key that are shown.
const LABEL_LEN_MAX: usize = 24;

const WIDTH: f64 = 800.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 40.0;
const BAR_STEP: f64 = 22.0;
const LINES_HEIGHT: f64 = 320.0;
const LEGEND_STEP: f64 = 18.0;
/// Told apart also by those who see few colours (Okabe and Ito).
const COLOURS: [&str; LINES_MAX] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999933"];

/// Which figure is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Measure {
    /// The number of values.
    Count,
    /// Their sum.
    #[default]
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The mean.
    Mean,
    /// The standard deviation; 0 of one value.
    Stddev,
    /// The median.
    P50,
    /// The 90th percentile.
    P90,
    /// The 99th percentile.
    P99,
    /// The number of distinct values; 0 without a column for them.
    Distinct,
}

impl Measure {
    const NAMES: [(&'static str, Measure); 10] = [
        ("count", Measure::Count),
        ("sum", Measure::Sum),
        ("min", Measure::Min),
        ("max", Measure::Max),
        ("mean", Measure::Mean),
        ("stddev", Measure::Stddev),
        ("p50", Measure::P50),
        ("p90", Measure::P90),
        ("p99", Measure::P99),
        ("distinct", Measure::Distinct),
    ];

    fn of(self, key: &KeyReport) -> Decimal {
        let whole = |count: u64| Decimal::from_billionths(i128::from(count) * 1_000_000_000);
        match self {
            Measure::Count => whole(key.count),
            Measure::Sum => key.sum,
            Measure::Min => key.min,
            Measure::Max => key.max,
            Measure::Mean => key.mean,
            Measure::Stddev => key.stddev.unwrap_or_default(),
            Measure::P50 => key.p50,
            Measure::P90 => key.p90,
            Measure::P99 => key.p99,
            Measure::Distinct => whole(key.distinct.unwrap_or_default()),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Measure::NAMES.iter().find(|(_, measure)| measure == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

/// Reads the name of a figure as the report has it.
impl FromStr for Measure {
    type Err = UnknownMeasure;

    fn from_str(text: &str) -> Result<Measure, UnknownMeasure> {
        let named = Measure::NAMES.iter().find(|(name, _)| *name == text);
        named.map(|(_, measure)| *measure).ok_or(UnknownMeasure)
    }
}

/// No figure has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownMeasure;

impl fmt::Display for UnknownMeasure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Measure::NAMES.iter().map(|(name, _)| *name).collect();
        write!(f, "a measure is one of {}", names.join(", "))
    }
}

impl Error for UnknownMeasure {}

impl Report {
    /// Draws one figure: bars for up to [`BARS_MAX`] keys, or lines over time for up to
    /// [`LINES_MAX`] keys when there are windows.
    #[must_use]
    pub fn to_svg(&self, measure: Measure) -> String {
        if self.keys.iter().any(|key| key.window.is_some()) {
            lines(self, measure)
        } else {
            bars(self, measure)
        }
    }
}

fn bars(report: &Report, measure: Measure) -> String {
    let shown = &report.keys[..report.keys.len().min(BARS_MAX)];
    let scale = Scale::of(shown.iter().map(|key| float(measure.of(key))));
    let height = TOP + BAR_STEP * shown.len() as f64 + 30.0;
    let description = format!(
        "A bar chart of the {measure} of each key. {} keys are shown. {}",
        shown.len(),
        left_out(report.keys.len() - shown.len(), "keys"),
    );
    let mut svg = Svg::new(height, &format!("{measure} by key"), &description);
    let x = |value: f64| LEFT + scale.part(value) * (WIDTH - LEFT - RIGHT);
    for (row, key) in shown.iter().enumerate() {
        let top = TOP + BAR_STEP * row as f64;
        let (exact, zero) = (measure.of(key), x(0.0));
        let end = x(float(exact));
        svg.bar(zero.min(end), top + 3.0, (end - zero).abs(), BAR_STEP - 6.0);
        svg.text(LEFT - 8.0, top + 15.0, Anchor::End, &label(&key.key));
        svg.text(zero.max(end) + 6.0, top + 15.0, Anchor::Start, &exact.to_string());
    }
    svg.line(x(0.0), TOP, x(0.0), height - 30.0);
    svg.end(left_out(report.keys.len() - shown.len(), "keys"))
}

fn lines(report: &Report, measure: Measure) -> String {
    let mut by_key: BTreeMap<&str, Vec<&KeyReport>> = BTreeMap::new();
    for key in &report.keys {
        by_key.entry(&key.key).or_default().push(key);
    }
    let keys = by_key.len();
    let mut series: Vec<(&str, Vec<&KeyReport>)> = by_key.into_iter().collect();
    series.sort_by_key(|(_, points)| {
        std::cmp::Reverse(points.iter().map(|key| u128::from(key.count)).sum::<u128>())
    });
    series.truncate(LINES_MAX);
    let points = || series.iter().flat_map(|(_, points)| points);
    let scale = Scale::of(points().map(|key| float(measure.of(key))));
    let times = Scale::spanning(points().filter_map(|key| start(key)).map(millis));

    let legend = TOP + LINES_HEIGHT + 40.0;
    let height = legend + LEGEND_STEP * series.len() as f64 + 30.0;
    let description = format!(
        "A line chart of the {measure} over time, a line for each of {} keys. {}",
        series.len(),
        left_out(keys - series.len(), "keys"),
    );
    let mut svg = Svg::new(height, &format!("{measure} by window and key"), &description);
    let x = |time: f64| LEFT + times.part(time) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| TOP + (1.0 - scale.part(value)) * LINES_HEIGHT;
    svg.line(LEFT, TOP, LEFT, TOP + LINES_HEIGHT);
    svg.line(LEFT, y(0.0), WIDTH - RIGHT, y(0.0));
    for value in [scale.low, scale.high] {
        svg.text(LEFT - 8.0, y(value) + 4.0, Anchor::End, &short(value));
    }
    let starts = || report.keys.iter().filter_map(start);
    for (time, anchor) in [(starts().min(), Anchor::Start), (starts().max(), Anchor::End)] {
        if let Some(time) = time {
            svg.text(x(millis(time)), TOP + LINES_HEIGHT + 20.0, anchor, &time.to_string());
        }
    }
    for (number, (key, points)) in series.iter().enumerate() {
        let place = |key: &&KeyReport| Some((x(millis(start(key)?)), y(float(measure.of(key)))));
        let places: Vec<(f64, f64)> = points.iter().filter_map(place).collect();
        svg.polyline(&places, COLOURS[number]);
        svg.legend(legend + LEGEND_STEP * number as f64, COLOURS[number], &label(key));
    }
    svg.end(left_out(keys - series.len(), "keys"))
}

fn start(key: &KeyReport) -> Option<Timestamp> {
    key.window.map(|window| window.start)
}

fn millis(time: Timestamp) -> f64 {
    time.millis() as f64
}

fn float(value: Decimal) -> f64 {
    value.billionths() as f64 / 1e9
}

fn short(value: f64) -> String {
    if value == 0.0 || (1e-3..1e9).contains(&value.abs()) {
        format!("{}", (value * 1e3).round() / 1e3)
    } else {
        format!("{value:.3e}")
    }
}

fn label(key: &str) -> String {
    let mut label: String = key.chars().take(LABEL_LEN_MAX).collect();
    if label.len() < key.len() {
        label.push('…');
    }
    label
}

fn left_out(count: usize, what: &str) -> String {
    if count == 0 { String::new() } else { format!("{count} more {what} are not shown.") }
}

/// From values to parts of a length.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// Zero is on it.
    fn of(values: impl Iterator<Item = f64>) -> Scale {
        Scale::spanning(values.chain([0.0]))
    }

    fn spanning(values: impl Iterator<Item = f64>) -> Scale {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        Scale { low, high }
    }

    fn part(&self, value: f64) -> f64 {
        let length = self.high - self.low;
        if length > 0.0 { (value - self.low) / length } else { 0.0 }
    }
}

#[derive(Clone, Copy)]
enum Anchor {
    Start,
    End,
}

/// A document that is being written.
struct Svg {
    text: String,
    height: f64,
}

impl Svg {
    fn new(height: f64, title: &str, description: &str) -> Svg {
        let mut svg = Svg { text: String::new(), height };
        svg.write(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             role=\"img\" aria-labelledby=\"plot-title plot-desc\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <title id=\"plot-title\">{}</title>\n<desc id=\"plot-desc\">{}</desc>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
            Escaped(title),
            Escaped(description.trim_end()),
        ));
        svg.text(LEFT, 22.0, Anchor::Start, title);
        svg
    }

    fn bar(&mut self, x: f64, y: f64, width: f64, height: f64) {
        let colour = COLOURS[0];
        self.write(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             fill=\"{colour}\"/>\n"
        ));
    }

    fn line(&mut self, x1: f64, y1: f64, x2: f64, y2: f64) {
        self.write(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#555555\"/>\n"
        ));
    }

    /// A lone point is drawn as a dot.
    fn polyline(&mut self, places: &[(f64, f64)], colour: &str) {
        if let [(x, y)] = places {
            self.write(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>\n"
            ));
            return;
        }
        let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.write(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
            points.join(" ")
        ));
    }

    fn legend(&mut self, y: f64, colour: &str, label: &str) {
        self.write(format_args!(
            "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\n"
        ));
        self.text(LEFT + 18.0, y + 11.0, Anchor::Start, label);
    }

    fn text(&mut self, x: f64, y: f64, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::End => "end",
        };
        self.write(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>\n",
            Escaped(text)
        ));
    }

    fn end(mut self, note: String) -> String {
        if !note.is_empty() {
            self.text(LEFT, self.height - 10.0, Anchor::Start, &note);
        }
        self.text.push_str("</svg>\n");
        self.text
    }

    fn write(&mut self, text: fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("a string takes everything");
    }
}

/// A text in a document: neither markup nor what XML forbids.
struct Escaped<'t>(&'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            letter if letter.is_control() || matches!(letter, '\u{FFFE}' | '\u{FFFF}') => {
                f.write_char('\u{FFFD}')
            }
            letter => f.write_char(letter),
        })
    }
}

#[cfg(test)]
mod tests;
