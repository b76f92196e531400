//! From the tree of positions to the Kubernetes types.
//!
//! A serde deserializer over [`Node`]. The generated Kubernetes types ignore unknown fields, so the check is here:
//! `deserialize_struct` is told the names a type has, and every other key is an error that names the nearest one.

use std::fmt;

use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::Problem;
use super::node::{Entry, Kind, Node};
use super::path::Path;
use super::scalar::Scalar;

/// Decodes a document, strictly.
pub(super) fn decode<T: DeserializeOwned>(document: &Node) -> Result<T, Problem> {
    T::deserialize(Decoder { node: document, path: &Path::root(), quantity: false })
}

/// A node and its path. `quantity`: hand numbers over as their text, so `0.1` stays exactly that.
#[derive(Clone, Copy)]
struct Decoder<'a> {
    node: &'a Node,
    path: &'a Path,
    quantity: bool,
}

impl Decoder<'_> {
    fn problem(&self, what: impl Into<String>) -> Problem {
        Problem::new(self.node.at, self.path, what)
    }

    /// Gives an error without a place the place of this node.
    fn placed<T>(&self, result: Result<T, Problem>) -> Result<T, Problem> {
        result.map_err(|mut problem| {
            if problem.at.is_none() {
                problem.at = Some(self.node.at);
                problem.path = self.path.to_string();
            }
            problem
        })
    }

    fn expected(&self, what: &str) -> Problem {
        self.problem(format!("expected {what}, found {}", self.node.kind))
    }
}

impl<'de> Deserializer<'de> for Decoder<'_> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let result = match &self.node.kind {
            Kind::Scalar(Scalar::Null) => visitor.visit_unit(),
            Kind::Scalar(Scalar::Bool { value, .. }) => visitor.visit_bool(*value),
            Kind::Scalar(Scalar::Int { text, .. } | Scalar::Float { text, .. }) if self.quantity => {
                visitor.visit_str(text)
            }
            Kind::Scalar(Scalar::Int { value, .. }) => visitor.visit_i64(*value),
            Kind::Scalar(Scalar::Float { value, .. }) => visitor.visit_f64(*value),
            Kind::Scalar(Scalar::String(text)) => visitor.visit_str(text),
            Kind::Sequence(items) => visitor.visit_seq(Items { items, next: 0, path: self.path }),
            Kind::Mapping(entries) => {
                visitor.visit_map(Fields { entries, next: 0, path: self.path, free: false })
            }
        };
        self.placed(result)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let Kind::Mapping(entries) = &self.node.kind else { return Err(self.expected("a mapping")) };
        for entry in entries {
            if !fields.contains(&entry.key.as_str()) {
                let problem = Problem::new(entry.at, &self.path.field(&entry.key), "unknown field");
                return Err(problem.with_nearest(&entry.key, fields.iter().copied()));
            }
        }
        self.placed(visitor.visit_map(Fields { entries, next: 0, path: self.path, free: false }))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let Kind::Mapping(entries) = &self.node.kind else { return Err(self.expected("a mapping")) };
        self.placed(visitor.visit_map(Fields { entries, next: 0, path: self.path, free: true }))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let Kind::Sequence(items) = &self.node.kind else { return Err(self.expected("a list")) };
        self.placed(visitor.visit_seq(Items { items, next: 0, path: self.path }))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.node.kind {
            Kind::Scalar(Scalar::String(text)) => self.placed(visitor.visit_str(text)),
            Kind::Scalar(
                Scalar::Bool { text, .. } | Scalar::Int { text, .. } | Scalar::Float { text, .. },
            ) => Err(self.problem(format!(
                "expected a string, found {}; write it in quotes: \"{text}\"",
                self.node.kind
            ))),
            _ => Err(self.expected("a string")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.node.kind {
            Kind::Scalar(Scalar::Bool { value, .. }) => self.placed(visitor.visit_bool(*value)),
            _ => Err(self.expected("true or false")),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let quantity = name == "Quantity";
        let inner = Decoder { quantity, ..self };
        if quantity
            && !matches!(
                self.node.kind,
                Kind::Scalar(Scalar::Int { .. } | Scalar::Float { .. } | Scalar::String(_))
            )
        {
            return Err(self.expected("a quantity such as \"500m\" or \"64Mi\""));
        }
        self.placed(visitor.visit_newtype_struct(inner))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct
        enum identifier
    }
}

struct Items<'a> {
    items: &'a [Node],
    next: usize,
    path: &'a Path,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        let Some(node) = self.items.get(self.next) else { return Ok(None) };
        let path = self.path.index(self.next);
        self.next += 1;
        seed.deserialize(Decoder { node, path: &path, quantity: false }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

struct Fields<'a> {
    entries: &'a [Entry],
    next: usize,
    path: &'a Path,
    /// A map with keys of the user's choice, whose paths are written with brackets.
    free: bool,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        seed.deserialize(StrDeserializer::<Problem>::new(&entry.key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let Some(entry) = self.entries.get(self.next) else {
            // serde's contract: a value is asked for only after its key.
            return seed.deserialize(StringDeserializer::new(String::new()));
        };
        self.next += 1;
        let path = if self.free { self.path.key(&entry.key) } else { self.path.field(&entry.key) };
        seed.deserialize(Decoder { node: &entry.value, path: &path, quantity: false })
    }
}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { at: None, path: String::new(), what: message.to_string(), nearest: None }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {}, found {}", plain(&expected.to_string()), found))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {}, found {}", plain(&expected.to_string()), found))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

impl std::error::Error for Problem {}

/// Rust's type names in serde's expectations, in words a person who writes YAML uses.
fn plain(expected: &str) -> &str {
    match expected {
        "i32" | "i64" | "u32" | "u64" | "i16" | "u16" => "a whole number in range",
        "IntOrString" => "a number or a string",
        other => other,
    }
}
