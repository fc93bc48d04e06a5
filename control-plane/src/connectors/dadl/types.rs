//! `types` and `returns`: what a tool gives, for those who write code against it.
//!
//! The language is a part of JSON Schema in which a type's bare name may stand wherever a type does. Owns the resolution of
//! names; a schema that leaves here holds what it refers to and nothing else.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::diagnostic::{Report, quote};
use super::fields::Field;

/// JSON Schema's own words for types.
const PRIMITIVES: &[&str] = &["string", "integer", "number", "boolean", "array", "object", "null"];
/// How names may be written as references.
const PREFIXES: [&str; 3] = ["#/backend/types/", "#/types/", "#/$defs/"];
/// Longest schema with what it refers to, in bytes.
const MAX_SCHEMA: usize = 32 << 10;
const MAX_DEPTH: usize = 32;

/// The named types of a document.
#[derive(Debug, Default)]
pub(super) struct Types(BTreeMap<String, Json>);

pub(super) fn read(field: Option<&Field<'_>>, report: &mut Report) -> Types {
    let mut types = BTreeMap::new();
    for (key, field) in field.map(|field| field.children(report)).unwrap_or_default() {
        let fits = key.name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if fits {
            types.insert(key.name.clone(), field.node.to_json());
        } else {
            let help = "use letters, digits and `_`, and no digit first";
            report.error(key.at, &field.path, format!("{} is not a name of a type", quote(&key.name)), help);
        }
    }
    Types(types)
}

impl Types {
    /// All types, with names resolved; `None` where there are none.
    pub(super) fn all(&self) -> Option<Json> {
        let resolved =
            |(name, schema): (&String, &Json)| (name.clone(), self.resolve(schema, &mut Vec::new(), 0));
        let all: Map<String, Json> = self.0.iter().map(resolved).collect();
        (!all.is_empty()).then_some(Json::Object(all))
    }

    /// The schema that a `returns` means.
    pub(super) fn schema(&self, field: &Field<'_>, report: &mut Report) -> Option<Json> {
        let written = field.node.to_json();
        let mut wanted = Vec::new();
        let mut schema = self.resolve(&written, &mut wanted, 0);
        let mut definitions = Map::new();
        while let Some(name) = wanted.pop() {
            if definitions.contains_key(&name) {
                continue;
            }
            let Some(definition) = self.0.get(&name) else {
                field.warn(report, format!("names the type {}, which there is not", quote(&name)), "");
                definitions.insert(name, json!({}));
                continue;
            };
            let definition = self.resolve(definition, &mut wanted, 0);
            definitions.insert(name, definition);
        }
        if let (Json::Object(schema), false) = (&mut schema, definitions.is_empty()) {
            schema.insert("$defs".to_owned(), Json::Object(definitions));
        }
        if schema.to_string().len() > MAX_SCHEMA {
            field.warn(
                report,
                "is longer than what is kept of a type, and has no effect",
                "name fewer properties",
            );
            return None;
        }
        Some(schema)
    }

    /// A schema with names as references; the names are added to `wanted`.
    fn resolve(&self, schema: &Json, wanted: &mut Vec<String>, depth: usize) -> Json {
        if depth > MAX_DEPTH {
            return json!({});
        }
        match schema {
            Json::String(name) => named(name, wanted),
            Json::Object(members) => {
                let mut out = Map::new();
                for (key, value) in members {
                    if let Some((key, value)) = self.member(key, value, wanted, depth + 1) {
                        out.insert(key, value);
                    }
                }
                Json::Object(out)
            }
            _ => json!({}),
        }
    }

    fn member(
        &self,
        key: &str,
        value: &Json,
        wanted: &mut Vec<String>,
        depth: usize,
    ) -> Option<(String, Json)> {
        let kept = match (key, value) {
            // `type: Invoice` is a reference as well.
            ("type", Json::String(name)) if !PRIMITIVES.contains(&name.as_str()) => {
                let reference = named(name, wanted).get("$ref").cloned()?;
                return Some(("$ref".to_owned(), reference));
            }
            ("$ref", Json::String(name)) => named(name, wanted).get("$ref").cloned()?,
            ("properties", Json::Object(members)) => Json::Object(
                members
                    .iter()
                    .map(|(name, inner)| (name.clone(), self.resolve(inner, wanted, depth)))
                    .collect(),
            ),
            ("items" | "additionalProperties", Json::Object(_) | Json::String(_)) => {
                self.resolve(value, wanted, depth)
            }
            ("oneOf" | "anyOf" | "allOf", Json::Array(parts)) => {
                Json::Array(parts.iter().map(|part| self.resolve(part, wanted, depth)).collect())
            }
            (
                "type"
                | "required"
                | "enum"
                | "description"
                | "additionalProperties"
                | "format"
                | "title"
                | "const",
                _,
            ) => value.clone(),
            _ => return None,
        };
        Some((key.to_owned(), kept))
    }
}

/// `{"type": "string"}` for a word of JSON Schema, a reference for a name.
fn named(name: &str, wanted: &mut Vec<String>) -> Json {
    if PRIMITIVES.contains(&name) {
        return json!({ "type": name });
    }
    let name = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    wanted.push(name.to_owned());
    json!({ "$ref": format!("#/$defs/{name}") })
}
