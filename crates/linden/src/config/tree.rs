//! The configuration as a tree of values, each with the place it comes from.
//!
//! Lives here: [`Node`], [`Table`], [`Origin`], and how a file's text becomes them. Plain data.
//!
//! Invariants: a table's entries keep the order of the file, and no two have the same key.

use std::path::Path;
use std::sync::Arc;

use serde::de::Unexpected;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

use super::error::is_secret;
use super::{ConfigError, Place};

/// A value and its origin.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
    /// For a variable's scalar that was read as TOML: its text, should a string be wanted.
    pub(super) raw: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Datetime(Datetime),
    Array(Vec<Node>),
    Table(Table),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    /// The key's origin, which may be another than the value's.
    pub(super) origin: Origin,
    pub(super) node: Node,
}

/// Where a key or a value was written.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// In the file, on this line, counted from 1.
    File { line: usize },
    /// In this environment variable.
    Env { variable: Arc<str> },
    /// Nowhere: the empty table that stands for an absent one.
    Absent,
}

impl Entry {
    /// Whether a name given by the program means this entry. A variable's name has no case of its own.
    pub(super) fn is_called(&self, name: &str) -> bool {
        match self.origin {
            Origin::Env { .. } => self.key.eq_ignore_ascii_case(name),
            Origin::File { .. } | Origin::Absent => self.key == name,
        }
    }
}

impl Origin {
    pub(super) fn place(&self, file: Option<&Arc<Path>>) -> Place {
        match (self, file) {
            (Self::Env { variable }, _) => Place::Env { variable: Arc::clone(variable) },
            (Self::File { line }, Some(file)) => {
                Place::File { path: Arc::clone(file), line: Some(*line) }
            }
            (Self::Absent, Some(file)) => Place::File { path: Arc::clone(file), line: None },
            (Self::File { .. } | Self::Absent, None) => Place::Nowhere,
        }
    }
}

impl Value {
    /// For the message that something else was expected.
    pub(super) fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Self::Text(text) => Unexpected::Str(text),
            Self::Integer(number) => match i64::try_from(*number) {
                Ok(number) => Unexpected::Signed(number),
                Err(_) => Unexpected::Other("a large integer"),
            },
            Self::Float(number) => Unexpected::Float(*number),
            Self::Boolean(value) => Unexpected::Bool(*value),
            Self::Datetime(_) => Unexpected::Other("a date or time"),
            Self::Array(_) => Unexpected::Seq,
            Self::Table(_) => Unexpected::Map,
        }
    }
}

impl Node {
    /// Whether a key below looks secret.
    pub(super) fn holds_secrets(&self) -> bool {
        self.any_secret(Hidden::No, &mut |_| true)
    }

    /// Whether this text shows the value of a key below that looks secret.
    pub(super) fn secrets_in(&self, text: &str) -> bool {
        self.any_secret(Hidden::No, &mut |secret| {
            let escaped = format!("{secret:?}");
            text.contains(secret) || text.contains(escaped.trim_matches('"'))
        })
    }

    fn any_secret(&self, hidden: Hidden, found: &mut impl FnMut(&str) -> bool) -> bool {
        let scalar = match &self.value {
            Value::Table(table) => {
                return table.entries.iter().any(|entry| {
                    let hidden = if is_secret(&entry.key) { Hidden::Yes } else { hidden };
                    entry.node.any_secret(hidden, found)
                });
            }
            Value::Array(items) => return items.iter().any(|item| item.any_secret(hidden, found)),
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Boolean(value) => value.to_string(),
            Value::Datetime(datetime) => datetime.to_string(),
        };
        let raw = self.raw.as_deref();
        hidden == Hidden::Yes && (found(&scalar) || raw.is_some_and(found))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hidden {
    Yes,
    No,
}

/// Reads and parses a file.
pub(super) fn read(file: &Arc<Path>) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| ConfigError::Read { path: Arc::clone(file), source })?;
    parse(&text, file)
}

/// Parses a file's text.
pub(super) fn parse(text: &str, file: &Arc<Path>) -> Result<Table, ConfigError> {
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|error| {
        let (line, column) = lines.position(error.span().map_or(text.len(), |span| span.start));
        let message = error.message().to_owned();
        ConfigError::Syntax { path: Arc::clone(file), line, column, message }
    })?;
    let origin = |offset: usize| Origin::File { line: lines.position(offset).0 };
    Ok(Table::of(table.get_ref(), &origin))
}

/// Reads a variable's value: as TOML if it is that, as a string otherwise.
pub(super) fn parse_variable(text: &str, variable: &Arc<str>) -> Node {
    let origin = |_| Origin::Env { variable: Arc::clone(variable) };
    match DeValue::parse(text) {
        Ok(value) => {
            let raw = match value.get_ref() {
                DeValue::String(_) | DeValue::Array(_) | DeValue::Table(_) => None,
                _ => Some(text.to_owned()),
            };
            Node { raw, ..Node::of(&value, &origin) }
        }
        Err(_) => Node { value: Value::Text(text.to_owned()), origin: origin(0), raw: None },
    }
}

impl Table {
    fn of(table: &DeTable<'_>, origin: &impl Fn(usize) -> Origin) -> Self {
        let mut entries: Vec<(usize, Entry)> = table
            .iter()
            .map(|(key, value)| {
                let at = key.span().start;
                let node = Node::of(value, origin);
                (at, Entry { key: key.get_ref().to_string(), origin: origin(at), node })
            })
            .collect();
        entries.sort_by_key(|(at, _)| *at);
        Self { entries: entries.into_iter().map(|(_, entry)| entry).collect() }
    }
}

impl Node {
    fn of(value: &Spanned<DeValue<'_>>, origin: &impl Fn(usize) -> Origin) -> Self {
        let at = value.span().start;
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                match i128::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Value::Integer(number),
                    // Not a number any type of ours holds: as text it fails with a message that shows it.
                    Err(_) => Value::Text(number.to_string()),
                }
            }
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => Value::Float(number),
                Err(_) => Value::Text(number.to_string()),
            },
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Datetime(datetime) => Value::Datetime(*datetime),
            DeValue::Array(items) => {
                Value::Array(items.iter().map(|item| Self::of(item, origin)).collect())
            }
            DeValue::Table(table) => Value::Table(Table::of(table, origin)),
        };
        Self { value, origin: origin(at), raw: None }
    }
}

/// From offsets in a text to lines and columns.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let after_breaks =
            text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(after_breaks).collect();
        Self { text, starts }
    }

    /// Line and column, both from 1; the column counts characters.
    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|&start| start <= offset).max(1);
        let start = self.starts[line - 1];
        let before = self.text.get(start..offset).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}
