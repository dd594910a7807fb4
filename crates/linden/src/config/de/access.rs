//! Arrays, tables, keys and tagged variants for the section deserializer.
//!
//! Lives here: serde's access traits over the tree. Used within one reading of a section.
//!
//! Invariants: a key that a struct passes over is noted as unknown, exactly once.

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::{At, Fault, Part, Trail};
use crate::config::tree::{Entry, Node, Origin, Table};

/// The elements of an array.
pub(super) struct Array<'a> {
    at: At<'a>,
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'a> Array<'a> {
    /// Offers all elements; what the visitor leaves is an error.
    pub(super) fn visit<'de, V: Visitor<'de>>(
        at: At<'a>,
        items: &'a [Node],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let mut array = Self { at, items: items.iter().enumerate() };
        let value = visitor.visit_seq(&mut array)?;
        match array.items.len() {
            0 => Ok(value),
            left => Err(de::Error::custom(format_args!(
                "the array has {} elements, {left} too many",
                items.len()
            ))),
        }
    }
}

impl<'de> SeqAccess<'de> for Array<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some((index, node)) = self.items.next() else {
            return Ok(None);
        };
        let path = Trail { parent: Some(self.at.path), part: Part::Index(index) };
        seed.deserialize(At { node, path: &path, section: self.at.section }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The entries of a table, for a struct with these fields or for a map.
pub(super) struct Fields<'a> {
    at: At<'a>,
    fields: Option<&'static [&'static str]>,
    entries: std::slice::Iter<'a, Entry>,
    current: Option<(&'a str, &'a Entry)>,
}

impl<'a> Fields<'a> {
    pub(super) fn visit<'de, V: Visitor<'de>>(
        at: At<'a>,
        table: &'a Table,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_map(Self { at, fields, entries: table.entries.iter(), current: None })
    }

    /// The key as the type spells it: a variable's name has no case of its own.
    fn spelled(&self, entry: &'a Entry) -> &'a str {
        let fields = match entry.origin {
            Origin::Env { .. } => self.fields.unwrap_or_default(),
            Origin::File { .. } | Origin::Absent => &[],
        };
        fields.iter().find(|field| entry.is_called(field)).copied().unwrap_or(&entry.key)
    }
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some(entry) = self.entries.next() else {
            return Ok(None);
        };
        let key = self.spelled(entry);
        self.current = Some((key, entry));
        let path = Trail { parent: Some(self.at.path), part: Part::Key(key) };
        seed.deserialize(Key(key)).map(Some).map_err(|fault| match fault {
            // The table's own words for a key it does not have.
            Fault::UnknownField { known, .. } => Fault::Placed(Box::new(super::unknown_key(
                &path,
                entry.origin.place(self.at.section.file),
                known,
            ))),
            other => At { node: &entry.node, path: &path, section: self.at.section }.place(other),
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (key, entry) = self.current.take().expect("serde asks for a key before its value");
        let path = Trail { parent: Some(self.at.path), part: Part::Key(key) };
        if let Some(fields) = self.fields
            && !fields.contains(&key)
        {
            self.at.section.note_unknown(&path, &entry.origin, fields);
        }
        seed.deserialize(At { node: &entry.node, path: &path, section: self.at.section })
    }
}

/// A table's key, which may be wanted as a number or a boolean in a map.
struct Key<'a>(&'a str);

macro_rules! parse_key {
    ($($deserialize:ident $visit:ident),* $(,)?) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => visitor.visit_str(self.0),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(de::value::StrDeserializer::<Fault>::new(self.0))
    }

    parse_key! {
        deserialize_bool visit_bool,
        deserialize_i8 visit_i8, deserialize_i16 visit_i16, deserialize_i32 visit_i32,
        deserialize_i64 visit_i64, deserialize_i128 visit_i128,
        deserialize_u8 visit_u8, deserialize_u16 visit_u16, deserialize_u32 visit_u32,
        deserialize_u64 visit_u64, deserialize_u128 visit_u128,
    }

    serde::forward_to_deserialize_any! {
        f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// A variant with content: a table whose one key is its name.
pub(super) struct Tagged<'a> {
    pub(super) at: At<'a>,
    pub(super) entry: &'a Entry,
}

impl<'de, 'a> EnumAccess<'de> for Tagged<'a> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let variant = seed.deserialize(Key(&self.entry.key))?;
        Ok((variant, self))
    }
}

impl Tagged<'_> {
    /// Goes on with the content, under the variant's name.
    fn with<T>(self, then: impl FnOnce(At<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let path = Trail { parent: Some(self.at.path), part: Part::Key(&self.entry.key) };
        then(At { node: &self.entry.node, path: &path, section: self.at.section })
    }
}

impl<'de> VariantAccess<'de> for Tagged<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        self.with(|at| de::Deserialize::deserialize(at))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        self.with(|at| seed.deserialize(at))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.with(|at| at.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.with(|at| at.deserialize_struct("", fields, visitor))
    }
}
