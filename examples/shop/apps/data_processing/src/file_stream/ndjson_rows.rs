//! The row on a line of NDJSON.
//!
//! Pure functions. Of a line only the members that were asked for are looked at closer, as the text
//! that stands there: a number never becomes a float on its way to a decimal.
//!
//! A member may be a text, a number or a truth value; of a number or a truth value its text counts,
//! as it is written. A member that is null counts as missing. Of members with one name the last one
//! counts.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    Limits, PATH_DEPTH_MAX,
    block::{check_value, parse_value},
    layout::NdjsonLayout,
};
use crate::{BadReason, Column, Decimal, ParseDecimalError, ParseTimeError, Timestamp};

/// What a line says.
pub(super) struct Fields<'l> {
    pub(super) key: Cow<'l, str>,
    pub(super) value: Decimal,
    pub(super) distinct: Option<Cow<'l, str>>,
    pub(super) time: Option<Timestamp>,
}

const COLUMNS: usize = 4;
/// For each column the rest of its path, or nothing when it is not looked for here.
type Paths<'p> = [Option<&'p str>; COLUMNS];
/// For each column the JSON that stands there.
type Found<'l> = [Option<&'l str>; COLUMNS];

/// Reads one line.
pub(super) fn read<'l>(
    line: &'l [u8],
    layout: &NdjsonLayout,
    limits: Limits,
) -> Result<Fields<'l>, BadReason> {
    let paths: Paths<'_> = [
        Some(&layout.key),
        Some(&layout.value),
        layout.time.as_deref(),
        layout.distinct.as_deref(),
    ];
    let mut found = Found::default();
    let mut reader = serde_json::Deserializer::from_slice(line);
    let object = Object { paths, depth: 0, found: &mut found };
    object.deserialize(&mut reader).map_err(|_| BadReason::NotAnObject)?;
    reader.end().map_err(|_| BadReason::NotAnObject)?;

    let [key, value, time, distinct] = found;
    let key = key_of(Scalar::of(key, Column::Key)?, limits)?;
    let value = value_of(Scalar::of(value, Column::Value)?).map_err(BadReason::Value)?;
    let time = match layout.time {
        Some(_) => Some(time_of(Scalar::of(time, Column::Time)?).map_err(BadReason::Time)?),
        None => None,
    };
    let distinct = match Scalar::of(distinct, Column::Distinct) {
        Ok(scalar) => scalar.into_text(),
        Err(BadReason::Missing { .. }) => None,
        Err(reason) => return Err(reason),
    };
    Ok(Fields { key, value, distinct, time })
}

fn key_of(key: Scalar<'_>, limits: Limits) -> Result<Cow<'_, str>, BadReason> {
    let key = key.into_text().ok_or(BadReason::KeyNotUtf8)?;
    if key.len() > limits.key_len_max {
        return Err(BadReason::KeyTooLong);
    }
    Ok(key)
}

fn value_of(value: Scalar<'_>) -> Result<Decimal, ParseDecimalError> {
    match value {
        Scalar::Bare(text) => check_value(Decimal::parse_scientific(text.as_bytes())?),
        Scalar::Quoted(_) => {
            let text = value.into_text().ok_or(ParseDecimalError::NotADecimal)?;
            parse_value(text.as_bytes())
        }
    }
}

fn time_of(time: Scalar<'_>) -> Result<Timestamp, ParseTimeError> {
    let text = time.into_text().ok_or(ParseTimeError::NotATime)?;
    Timestamp::parse(text.trim_ascii().as_bytes())
}

/// The JSON of a member that is neither null, array nor object.
#[derive(Clone, Copy)]
enum Scalar<'l> {
    /// A number or a truth value.
    Bare(&'l str),
    /// A text, still with its quotes and escapes.
    Quoted(&'l str),
}

impl<'l> Scalar<'l> {
    fn of(json: Option<&'l str>, column: Column) -> Result<Scalar<'l>, BadReason> {
        let json = json.filter(|json| *json != "null").ok_or(BadReason::Missing { column })?;
        match json.as_bytes() {
            [b'"', ..] => Ok(Scalar::Quoted(json)),
            [b'[' | b'{', ..] => Err(BadReason::NotAScalar { column }),
            _ => Ok(Scalar::Bare(json)),
        }
    }

    /// `None` for a text with half of a surrogate pair, which is no Unicode.
    fn into_text(self) -> Option<Cow<'l, str>> {
        match self {
            Scalar::Bare(text) => Some(Cow::Borrowed(text)),
            Scalar::Quoted(json) if json.contains('\\') => {
                serde_json::from_str(json).ok().map(Cow::Owned)
            }
            Scalar::Quoted(json) => Some(Cow::Borrowed(&json[1..json.len() - 1])),
        }
    }
}

/// Looks for the columns in one object.
struct Object<'p, 'f, 'l> {
    paths: Paths<'p>,
    depth: usize,
    found: &'f mut Found<'l>,
}

impl<'de> DeserializeSeed<'de> for Object<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key_seed(Name { paths: self.paths })? {
            if name.is_unknown() {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let json = members.next_value::<&RawValue>()?.get();
            for column in (0..COLUMNS).filter(|&column| name.here[column]) {
                self.found[column] = Some(json);
            }
            if name.below.iter().any(Option::is_some)
                && json.starts_with('{')
                && self.depth < PATH_DEPTH_MAX
            {
                let paths = name.below;
                let below = Object { paths, depth: self.depth + 1, found: self.found };
                let mut reader = serde_json::Deserializer::from_str(json);
                below.deserialize(&mut reader).map_err(serde::de::Error::custom)?;
            }
        }
        Ok(())
    }
}

/// Holds a member's name against the paths.
struct Name<'p> {
    paths: Paths<'p>,
}

/// What is to be found at, and below, a member.
#[derive(Default)]
struct Matches<'p> {
    here: [bool; COLUMNS],
    below: Paths<'p>,
}

impl Matches<'_> {
    fn is_unknown(&self) -> bool {
        !self.here.contains(&true) && self.below.iter().all(Option::is_none)
    }
}

impl<'de, 'p> DeserializeSeed<'de> for Name<'p> {
    type Value = Matches<'p>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Matches<'p>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for Name<'p> {
    type Value = Matches<'p>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Matches<'p>, E> {
        let mut matches = Matches::default();
        for (column, path) in self.paths.iter().enumerate() {
            let Some(rest) = path.and_then(|path| path.strip_prefix(name)) else { continue };
            matches.here[column] = rest.is_empty();
            matches.below[column] = rest.strip_prefix('.');
        }
        Ok(matches)
    }
}

#[cfg(test)]
mod tests;
