//! Lines one by one.

use super::*;
use crate::ParseDecimalError::{NotADecimal, TooLarge, TooPrecise};

fn layout(key: &str, value: &str) -> NdjsonLayout {
    NdjsonLayout { key: key.to_owned(), value: value.to_owned(), distinct: None, time: None }
}

fn key_and_value(line: &str, layout: &NdjsonLayout) -> Result<(String, String), BadReason> {
    let fields = read(line.as_bytes(), layout, Limits::default())?;
    Ok((fields.key.into_owned(), fields.value.to_string()))
}

/// The members `k` and `v` of a line.
fn k_v(line: &str) -> Result<(String, String), BadReason> {
    key_and_value(line, &layout("k", "v"))
}

fn ok(key: &str, value: &str) -> Result<(String, String), BadReason> {
    Ok((key.to_owned(), value.to_owned()))
}

#[test]
fn members_are_found_by_name() {
    for (line, expected) in [
        (r#"{"k":"a","v":1}"#, ok("a", "1")),
        (r#" { "x" : [1, {"k": "no"}], "v" : 1.50 , "k" : "a" } "#, ok("a", "1.5")),
        ("{\"k\":\"a\",\"v\":1}\r", ok("a", "1")),
        (r#"{"k":"a\n\"\u00e9\ud83d\ude00","v":1}"#, ok("a\n\"é😀", "1")),
        (r#"{"\u006b":"a","v":1}"#, ok("a", "1")),
        (r#"{"k":"","v":1}"#, ok("", "1")),
        (r#"{"k":17.0,"v":1}"#, ok("17.0", "1")),
        (r#"{"k":true,"v":1}"#, ok("true", "1")),
        (r#"{"k":"a","k":"b","v":1,"v":2}"#, ok("b", "2")),
    ] {
        assert_eq!(k_v(line), expected, "{line}");
    }
}

#[test]
fn values_are_exact() {
    for (json, expected) in [
        ("12.34", Ok("12.34")),
        ("0.1", Ok("0.1")),
        ("123456789012345678.123456789", Ok("123456789012345678.123456789")),
        ("1e-05", Ok("0.00001")),
        ("1.5E+3", Ok("1500")),
        ("\"12.34\"", Ok("12.34")),
        ("\" 12\\t\"", Ok("12")),
        ("0.30000000000000004", Err(TooPrecise)),
        ("1e18", Ok("1000000000000000000")),
        ("1e19", Err(TooLarge)),
        ("\"1e3\"", Err(NotADecimal)),
        ("\"\"", Err(NotADecimal)),
        ("\"\\ud800\"", Err(NotADecimal)),
        ("true", Err(NotADecimal)),
    ] {
        let line = format!(r#"{{"k":"a","v":{json}}}"#);
        let expected = expected.map(|value| ("a".to_owned(), value.to_owned()));
        assert_eq!(k_v(&line), expected.map_err(BadReason::Value), "{json}");
    }
}

#[test]
fn dots_lead_into_objects_or_are_a_part_of_a_name() {
    let nested = layout("user.name", "order.total.amount");
    for line in [
        r#"{"user":{"id":1,"name":"a"},"order":{"total":{"amount":2}}}"#,
        r#"{"user.name":"a","order.total":{"amount":2}}"#,
        r#"{"user":{"name":"a"},"order":{"total.amount":"2"}}"#,
        r#"{"user":5,"order":{},"user.name":"a","order.total.amount":2}"#,
    ] {
        assert_eq!(key_and_value(line, &nested), ok("a", "2"), "{line}");
    }
    // One member may be in the way of another.
    let both = layout("a.b", "a.b.c");
    assert_eq!(
        key_and_value(r#"{"a":{"b":{"c":1}}}"#, &both),
        Err(BadReason::NotAScalar { column: Column::Key })
    );
    assert_eq!(
        key_and_value(r#"{"a":{"b":1}}"#, &both),
        Err(BadReason::Missing { column: Column::Value })
    );
}

#[test]
fn members_below_the_deepest_level_are_missing() {
    for (depth, found) in [(PATH_DEPTH_MAX, true), (PATH_DEPTH_MAX + 1, false)] {
        let path = format!("{}v", "a.".repeat(depth));
        let inner = format!("{}{{\"v\":1}}{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let line = format!("{{\"k\":\"x\",{}", &inner[1..]);
        assert_eq!(key_and_value(&line, &layout("k", &path)).is_ok(), found, "{line}");
    }
}

#[test]
fn each_way_to_be_bad_is_named() {
    let missing = |column| BadReason::Missing { column };
    let long = format!(r#"{{"k":"{}","v":1}}"#, "x".repeat(Limits::default().key_len_max + 1));
    for (line, expected) in [
        ("[1]", BadReason::NotAnObject),
        ("1", BadReason::NotAnObject),
        ("{", BadReason::NotAnObject),
        (r#"{"k":"a","v":1}}"#, BadReason::NotAnObject),
        (r#"{"k":"a","v":1} {}"#, BadReason::NotAnObject),
        (r#"{"k":"a","v":01}"#, BadReason::NotAnObject),
        (r#"{"k":"a","v":NaN}"#, BadReason::NotAnObject),
        (r#"{"k":'a',"v":1}"#, BadReason::NotAnObject),
        (r#"{"v":1}"#, missing(Column::Key)),
        (r#"{"k":null,"v":1}"#, missing(Column::Key)),
        (r#"{"k":"a"}"#, missing(Column::Value)),
        (r#"{"k":"a","v":null}"#, missing(Column::Value)),
        (r#"{"k":["a"],"v":1}"#, BadReason::NotAScalar { column: Column::Key }),
        (r#"{"k":"a","v":{}}"#, BadReason::NotAScalar { column: Column::Value }),
        (r#"{"k":"\ud800","v":1}"#, BadReason::KeyNotUtf8),
        (&long, BadReason::KeyTooLong),
    ] {
        assert_eq!(k_v(line), Err(expected), "{line}");
        assert!(!expected.to_string().is_empty());
    }
    let not_utf8 = read(b"{\"k\":\"\xFF\",\"v\":1}", &layout("k", "v"), Limits::default());
    assert_eq!(not_utf8.err(), Some(BadReason::NotAnObject));
}

#[test]
fn times_and_distinct_values_are_read() {
    let layout = NdjsonLayout {
        distinct: Some("user".to_owned()),
        time: Some("at".to_owned()),
        ..layout("k", "v")
    };
    for (members, expected) in [
        (r#""at":"1970-01-01T00:00:01Z","user":"u""#, Ok((1_000, Some("u")))),
        (r#""at":1.5,"user":7"#, Ok((1_500, Some("7")))),
        (r#""at":"2","user":null"#, Ok((2_000, None))),
        (r#""at":3"#, Ok((3_000, None))),
        (r#""at":"soon""#, Err(BadReason::Time(ParseTimeError::NotATime))),
        (r#""at":null"#, Err(BadReason::Missing { column: Column::Time })),
        (r#""user":1"#, Err(BadReason::Missing { column: Column::Time })),
        (r#""at":3,"user":[]"#, Err(BadReason::NotAScalar { column: Column::Distinct })),
    ] {
        let line = format!(r#"{{"k":"a","v":1,{members}}}"#);
        let fields = read(line.as_bytes(), &layout, Limits::default());
        let found = fields
            .as_ref()
            .map_err(|reason| *reason)
            .map(|fields| (fields.time.unwrap().millis(), fields.distinct.as_deref()));
        assert_eq!(found, expected, "{line}");
    }
}
