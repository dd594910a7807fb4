//! From the tree to a section's type.
//!
//! Lives here: a serde deserializer over [`Node`]s. Unlike toml's own, it knows of every value its path and place, in
//! file or environment; it notes the keys that the type passes over; and it keeps the values of secret keys out of
//! the messages. Used within one call of [`Section::read`].
//!
//! Invariants: a fault is placed where it arises, at the innermost value; outer ones leave it so.

mod access;

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor,
};

use super::error::{Problem, ProblemKind, is_secret};
use super::nearest::nearest;
use super::tree::{Node, Origin, Table, Value};
use access::{Array, Fields, Tagged};

/// One reading of one section.
pub(super) struct Section<'a> {
    name: &'a str,
    file: Option<&'a Arc<Path>>,
    unknown: RefCell<Vec<Problem>>,
}

impl<'a> Section<'a> {
    pub(super) fn new(name: &'a str, file: Option<&'a Arc<Path>>) -> Self {
        Self { name, file, unknown: RefCell::default() }
    }

    /// The typed section, or all that is wrong with it.
    pub(super) fn read<T: DeserializeOwned>(self, node: &Node) -> Result<T, Vec<Problem>> {
        let path = Trail { parent: None, part: Part::Key(self.name) };
        let result = T::deserialize(At { node, path: &path, section: &self });
        let mut problems = self.unknown.take();
        match result {
            Ok(section) if problems.is_empty() => Ok(section),
            Ok(_) => Err(problems),
            Err(fault) => {
                problems.push(fault.into_problem(&path, node, self.file));
                Err(problems)
            }
        }
    }

    /// Notes a key that the type does not have.
    fn note_unknown(&self, path: &Trail<'_>, origin: &Origin, known: &[&str]) {
        let problem = unknown_key(path, origin.place(self.file), known);
        self.unknown.borrow_mut().push(problem);
    }
}

fn unknown_key(path: &Trail<'_>, place: super::Place, known: &[&str]) -> Problem {
    let nearest = match path.part {
        Part::Key(key) => nearest(key, known),
        Part::Index(_) => None,
    };
    let known = known.iter().map(|&name| name.to_owned()).collect();
    Problem { place, key: path.to_string(), kind: ProblemKind::UnknownKey { nearest, known } }
}

/// The way from the section to a value, kept on the stack.
#[derive(Clone, Copy)]
struct Trail<'a> {
    parent: Option<&'a Trail<'a>>,
    part: Part<'a>,
}

#[derive(Clone, Copy)]
enum Part<'a> {
    Key(&'a str),
    Index(usize),
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match (self.part, self.parent) {
            (Part::Key(key), Some(_)) => write!(f, ".{key}"),
            (Part::Key(key), None) => f.write_str(key),
            (Part::Index(index), _) => write!(f, "[{index}]"),
        }
    }
}

/// A value, its path, and the reading it belongs to.
#[derive(Clone, Copy)]
struct At<'a> {
    node: &'a Node,
    path: &'a Trail<'a>,
    section: &'a Section<'a>,
}

impl At<'_> {
    /// Gives a fault this place, unless it has one from further inside.
    fn place(self, fault: Fault) -> Fault {
        match fault {
            Fault::Placed(_) => fault,
            _ => {
                Fault::Placed(Box::new(fault.into_problem(self.path, self.node, self.section.file)))
            }
        }
    }

    /// The text where a string is wanted: a variable's value is taken as it stands.
    fn text(&self) -> Option<&str> {
        match (&self.node.raw, &self.node.value) {
            (Some(raw), _) => Some(raw),
            (None, Value::Text(text)) => Some(text),
            (None, _) => None,
        }
    }

    fn visit_any<'de, V: Visitor<'de>>(
        self,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) => visitor.visit_str(text),
            Value::Integer(number) => visit_integer(*number, visitor),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Datetime(datetime) => visitor.visit_string(datetime.to_string()),
            Value::Array(items) => Array::visit(self, items, visitor),
            Value::Table(table) => Fields::visit(self, table, fields, visitor),
        }
    }

    fn visit_text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.text() {
            Some(text) => visitor.visit_str(text),
            None => self.visit_any(None, visitor),
        }
    }

    fn visit_nothing<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Value::Table(table) = &self.node.value else {
            return Err(de::Error::invalid_type(self.node.value.unexpected(), &"a table"));
        };
        self.note_all_unknown(table);
        visitor.visit_unit()
    }

    fn note_all_unknown(self, table: &Table) {
        for entry in &table.entries {
            let path = Trail { parent: Some(self.path), part: Part::Key(&entry.key) };
            self.section.note_unknown(&path, &entry.origin, &[]);
        }
    }

    fn visit_variant<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if let Some(text) = self.text() {
            let variant: StrDeserializer<'_, Fault> = text.into_deserializer();
            return visitor.visit_enum(variant);
        }
        match &self.node.value {
            Value::Table(table) => match table.entries.as_slice() {
                [entry] => visitor.visit_enum(Tagged { at: self, entry }),
                _ => Err(de::Error::custom("a table with exactly one key is wanted here")),
            },
            value => Err(de::Error::invalid_type(value.unexpected(), &"a string or a table")),
        }
    }
}

fn visit_integer<'de, V: Visitor<'de>>(number: i128, visitor: V) -> Result<V::Value, Fault> {
    if let Ok(number) = i64::try_from(number) {
        visitor.visit_i64(number)
    } else if let Ok(number) = u64::try_from(number) {
        visitor.visit_u64(number)
    } else {
        visitor.visit_i128(number)
    }
}

impl<'de> Deserializer<'de> for At<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.visit_any(None, visitor).map_err(|fault| self.place(fault))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.visit_text(visitor).map_err(|fault| self.place(fault))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self).map_err(|fault| self.place(fault))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self).map_err(|fault| self.place(fault))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let value = match &self.node.value {
            // toml's own date types ask for a struct of a private name.
            Value::Datetime(datetime) => toml::Value::Datetime(*datetime)
                .deserialize_struct(name, fields, visitor)
                .map_err(|error| Fault::Custom(error.message().to_owned())),
            _ => self.visit_any(Some(fields), visitor),
        };
        value.map_err(|fault| self.place(fault))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.visit_nothing(visitor).map_err(|fault| self.place(fault))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.visit_variant(visitor).map_err(|fault| self.place(fault))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 bytes byte_buf seq tuple tuple_struct map
    }
}

/// Why a value does not fit its type. The values in it are shown only once the path is known not to be secret.
#[derive(Debug)]
enum Fault {
    WrongType {
        expected: String,
        found: String,
        found_type: &'static str,
    },
    Missing(&'static str),
    UnknownField {
        field: String,
        known: &'static [&'static str],
    },
    /// May show a value.
    Custom(String),
    Placed(Box<Problem>),
}

impl Fault {
    fn wrong_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = match expected.to_string().as_str() {
            "a map" => "a table".to_owned(),
            "a sequence" => "an array".to_owned(),
            text if text.starts_with("struct ") => "a table".to_owned(),
            text => text.to_owned(),
        };
        let found_type = type_of(found);
        let found = match found {
            Unexpected::Seq | Unexpected::Map => found_type.to_owned(),
            _ => found.to_string(),
        };
        Self::WrongType { expected, found, found_type }
    }

    fn into_problem(self, path: &Trail<'_>, node: &Node, file: Option<&Arc<Path>>) -> Problem {
        let inner = |key| Trail { parent: Some(path), part: Part::Key(key) };
        let place = node.origin.place(file);
        let key = path.to_string();
        // Texts that arose inside of buffered content, such as a tagged enum's, do not know their own key.
        let secret = is_secret(&key) || node.holds_secrets();
        let kind = match self {
            Self::Placed(problem) => return *problem,
            Self::UnknownField { field, known } => {
                return unknown_key(&inner(&field), place, known);
            }
            Self::Missing(field) => {
                let place = match node.origin {
                    Origin::Env { .. } => Origin::Absent.place(file),
                    Origin::File { .. } | Origin::Absent => place,
                };
                return Problem {
                    place,
                    key: inner(field).to_string(),
                    kind: ProblemKind::Missing,
                };
            }
            Self::WrongType { expected, found, found_type } => ProblemKind::WrongType {
                expected,
                found: if secret { found_type.to_owned() } else { found },
            },
            Self::Custom(why) => {
                let shows = is_secret(&key) || node.secrets_in(&why);
                ProblemKind::Refused { why: (!shows).then_some(why) }
            }
        };
        Problem { place, key, kind }
    }
}

/// The type's name without the value.
fn type_of(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a float",
        Unexpected::Char(_) | Unexpected::Str(_) => "a string",
        Unexpected::Seq => "an array",
        Unexpected::Map => "a table",
        _ => "something else",
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value does not fit its type")
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::wrong_type(found, expected)
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::wrong_type(found, expected)
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownField { field: field.to_owned(), known }
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        let expected = format!("one of {}", known.join(", "));
        Self::WrongType { expected, found: format!("{variant:?}"), found_type: "something else" }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }
}
