//! What is drawn, and what is not.

use std::time::Duration;

use super::*;
use crate::{Aggregates, Late, Limits, Row, When, Windows};

fn row<'r>(key: &'r str, value: &str) -> Row<'r> {
    Row { key, value: value.parse().unwrap(), distinct: None, when: When::Whenever }
}

fn report(rows: &[(&str, &str)]) -> Report {
    let mut totals = Aggregates::new(Limits::default());
    rows.iter().for_each(|(key, value)| totals.add(row(key, value)).unwrap());
    totals.into_report()
}

/// Rows of `keys` keys in `hours` windows of an hour; the first key has the fewest rows.
fn windowed(keys: u32, hours: u32) -> Report {
    let windows = Windows::tumbling(Duration::from_secs(3_600)).unwrap();
    let mut totals = Aggregates::new(Limits::default());
    for key in 0..keys {
        for hour in 0..hours {
            let time = Timestamp::parse((hour * 3_600).to_string().as_bytes()).unwrap();
            let when = When::At { time, windows, late: Late::Include };
            let name = format!("key-{key}");
            for _ in 0..=key {
                totals.add(Row { when, ..row(&name, "1") }).unwrap();
            }
        }
    }
    totals.into_report()
}

fn count(svg: &str, words: &str) -> usize {
    svg.matches(words).count()
}

/// Tags are closed in the order in which they were opened, and no bare `&` or `<` is left.
fn check_xml(svg: &str) {
    let mut open = Vec::new();
    for part in svg.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("a tag ends");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
        for entity in text.split('&').skip(1) {
            let known = ["amp;", "lt;", "gt;", "quot;", "#39;"];
            assert!(known.iter().any(|known| entity.starts_with(known)), "{entity}");
        }
    }
    assert!(open.is_empty(), "{open:?} is not closed");
}

#[test]
fn each_key_has_a_bar_as_long_as_its_figure() {
    let svg = report(&[("a", "10"), ("b", "5"), ("c", "-10")]).to_svg(Measure::Sum);
    check_xml(&svg);
    // Half of the width is for what is below zero.
    for (x, width) in [(440.0, 250.0), (440.0, 125.0), (190.0, 250.0)] {
        assert!(svg.contains(&format!("<rect x=\"{x:.1}\" y=")), "{svg}");
        assert!(svg.contains(&format!("width=\"{width:.1}\"")), "{svg}");
    }
    assert!(svg.contains(">-10</text>"), "{svg}");
}

#[test]
fn a_plot_says_what_it_shows_to_those_who_do_not_see_it() {
    let svg = report(&[("a", "1")]).to_svg(Measure::Mean);
    assert!(svg.contains("role=\"img\" aria-labelledby=\"plot-title plot-desc\""));
    assert!(svg.contains("<title id=\"plot-title\">mean by key</title>"));
    assert!(svg.contains("A bar chart of the mean of each key. 1 keys are shown.</desc>"));
    assert_eq!(count(&svg, "not shown"), 0);
}

#[test]
fn more_keys_than_fit_are_named_as_left_out() {
    let keys: Vec<String> = (0..BARS_MAX + 2).map(|key| format!("{key:03}")).collect();
    let rows: Vec<_> = keys.iter().map(|key| (key.as_str(), "1")).collect();
    let svg = report(&rows).to_svg(Measure::Count);
    assert_eq!(count(&svg, "fill=\"#0072b2\""), BARS_MAX);
    assert!(svg.contains("2 more keys are not shown."), "{svg}");
}

#[test]
fn with_windows_each_key_has_a_line() {
    let svg = windowed(3, 5).to_svg(Measure::Count);
    check_xml(&svg);
    assert_eq!(count(&svg, "<polyline"), 3);
    assert!(svg.contains("1970-01-01T00:00:00Z") && svg.contains("1970-01-01T04:00:00Z"));
    let points = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(points.split(' ').count(), 5);
}

#[test]
fn the_largest_keys_have_the_lines() {
    let svg = windowed(LINES_MAX as u32 + 2, 2).to_svg(Measure::Sum);
    assert_eq!(count(&svg, "<polyline"), LINES_MAX);
    assert!(svg.contains(">key-9<") && !svg.contains(">key-0<") && !svg.contains(">key-1<"));
    assert!(svg.contains("2 more keys are not shown."));
}

#[test]
fn a_single_window_is_drawn_as_dots() {
    let svg = windowed(2, 1).to_svg(Measure::Sum);
    assert_eq!((count(&svg, "<circle"), count(&svg, "<polyline")), (2, 0));
    assert!(!svg.contains("NaN"), "{svg}");
}

#[test]
fn keys_are_texts_and_no_markup() {
    let key = "<script>alert('1')</script> & \u{1}\"";
    let long = "é".repeat(100);
    let svg = report(&[(key, "1"), (&long, "1")]).to_svg(Measure::Sum);
    check_xml(&svg);
    assert!(!svg.contains("<script") && !svg.contains('\u{1}'), "{svg}");
    assert!(svg.contains("&lt;script&gt;alert(&#39;1"), "{svg}");
    assert!(svg.contains(&format!(">{}…<", "é".repeat(LABEL_LEN_MAX))), "{svg}");
}

#[test]
fn nothing_at_all_can_be_drawn() {
    let svg = report(&[]).to_svg(Measure::Sum);
    check_xml(&svg);
    assert!(svg.contains("0 keys are shown") && !svg.contains("NaN") && !svg.contains("inf"));
}

#[test]
fn measures_are_read_by_the_names_of_the_report() {
    for (name, measure) in Measure::NAMES {
        assert_eq!(name.parse(), Ok(measure));
        assert_eq!(measure.to_string(), name);
    }
    let error = "median".parse::<Measure>().unwrap_err();
    assert!(error.to_string().contains("count, sum, min"), "{error}");
}

#[test]
fn each_measure_is_its_figure() {
    let rows: Vec<_> = ["1", "2", "6"].map(|value| ("a", value)).to_vec();
    let report = report(&rows);
    for (measure, expected) in [
        ("count", "3"),
        ("sum", "9"),
        ("min", "1"),
        ("max", "6"),
        ("mean", "3"),
        ("stddev", "2.645751311"),
        ("p50", "2"),
        ("p90", "2"),
        ("p99", "2"),
        ("distinct", "0"),
    ] {
        let svg = report.to_svg(measure.parse().unwrap());
        assert!(svg.contains(&format!(">{expected}</text>")), "{measure}: {svg}");
    }
}
