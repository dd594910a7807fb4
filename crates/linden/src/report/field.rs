//! The fields of a report: one list of names and values, from which lines and JSON are made.
//!
//! Lives here: [`FieldValue`] and the helpers that both reports share. Pure.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Limited;

/// The value of one field of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValue<'a> {
    /// A text.
    Text(&'a str),
    /// A text that may have been cut, which its `Display` says.
    Limited(&'a Limited),
    /// A count.
    Number(u64),
    /// Several texts.
    List(&'a [String]),
}

impl fmt::Display for FieldValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Limited(text) => text.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::List(texts) => f.write_str(&texts.join(", ")),
        }
    }
}

/// Texts as strings, counts as numbers, lists as arrays.
impl Serialize for FieldValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Limited(text) => serializer.collect_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::List(texts) => serializer.collect_seq(texts.iter()),
        }
    }
}

/// Something made of fields.
pub(super) trait Fields {
    /// Calls `write` for each field that has a value, in a fixed order.
    fn each(&self, write: &mut dyn FnMut(&'static str, FieldValue<'_>));
}

/// The fields as one map.
pub(super) fn serialize<S: Serializer>(
    fields: &impl Fields,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    let mut result = Ok(());
    fields.each(&mut |name, value| {
        if result.is_ok() {
            result = map.serialize_entry(name, &value);
        }
    });
    result?;
    map.end()
}

/// One indented line, and further lines of the value indented below it.
pub(super) fn line(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    value: impl fmt::Display,
) -> fmt::Result {
    use fmt::Write;
    write!(f, "\n  {name}: ")?;
    write!(Indented(f), "{value}")
}

/// Indents what follows a line break.
struct Indented<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for Indented<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut lines = text.split('\n');
        self.0.write_str(lines.next().unwrap_or_default())?;
        lines.try_for_each(|line| write!(self.0, "\n    {line}"))
    }
}
