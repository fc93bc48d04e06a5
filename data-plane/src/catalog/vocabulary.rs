//! The words that a tool's arguments are found by: what they are called, and what is said of them.
//!
//! The schema may be another server's, so that no more is taken from it than a person would read.

use serde_json::Value;

/// Most arguments that are looked at, those within others included; how deep these may be.
const ARGUMENTS: usize = 60;
const DEPTH: usize = 3;
/// Most characters of a name and of what is said of one argument, and of what is said of all.
const NAME_CHARS: usize = 80;
const NOTE_CHARS: usize = 160;
const NOTES_CHARS: usize = 2000;

/// The names of a tool's arguments, the outer ones first, and the descriptions of those that have one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Vocabulary {
    pub names: Vec<String>,
    pub notes: Vec<String>,
}

impl Vocabulary {
    /// Reads a JSON Schema; one that cannot be read has no words.
    pub(super) fn of(schema: &str) -> Self {
        let root: Value = serde_json::from_str(schema).unwrap_or_default();
        let (mut found, mut left) = (Self::default(), NOTES_CHARS);
        let mut level = vec![target(&root, &root)];
        for _ in 0..DEPTH {
            let mut inner = Vec::new();
            for schema in level {
                let properties = schema.get("properties").and_then(Value::as_object);
                for (name, property) in properties.into_iter().flatten() {
                    if found.names.len() >= ARGUMENTS {
                        return found;
                    }
                    found.names.push(name.chars().take(NAME_CHARS).collect());
                    let note = property.get("description").and_then(Value::as_str).unwrap_or_default();
                    let note: String = note.chars().take(NOTE_CHARS.min(left)).collect();
                    if !note.is_empty() {
                        left -= note.chars().count();
                        found.notes.push(note);
                    }
                    inner.push(target(&root, property));
                    inner.extend(property.get("items").map(|items| target(&root, items)));
                }
            }
            level = inner;
        }
        found
    }
}

/// What a schema stands for: itself, or what it refers to.
fn target<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let pointer = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
    pointer.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn the_outer_arguments_come_before_those_within_them() {
        let schema = json!({
            "type": "object", "$defs": {"Line": {"properties": {"sku": {"description": "Article"}}}},
            "properties": {
                "order": {"properties": {"lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}}}},
                "invoice_no": {"type": "string", "description": "As printed on the invoice"}
            }
        });
        let found = Vocabulary::of(&schema.to_string());
        assert_eq!(found.names, ["order", "invoice_no", "lines", "sku"]);
        assert_eq!(found.notes, ["As printed on the invoice", "Article"]);
    }

    #[test]
    fn a_schema_of_any_size_or_none_takes_little() {
        let many: Map<String, Value> = (0..5000)
            .map(|n| {
                (format!("{}{n}", "p".repeat(500)), json!({"description": "é ".repeat(5000), "$ref": "#"}))
            })
            .collect();
        let found = Vocabulary::of(&json!({ "properties": many }).to_string());
        assert_eq!(found.names.len(), ARGUMENTS);
        assert!(found.names.iter().all(|name| name.chars().count() <= NAME_CHARS));
        assert_eq!(found.notes.iter().map(|note| note.chars().count()).sum::<usize>(), NOTES_CHARS);
        for nothing in ["", "{", "[]", "true", r#"{"properties":[1]}"#, r##"{"$ref":"#"}"##] {
            assert_eq!(Vocabulary::of(nothing), Vocabulary::default(), "{nothing}");
        }
        let circle = json!({"properties": {"next": {"$ref": "#"}}});
        assert_eq!(Vocabulary::of(&circle.to_string()).names.len(), DEPTH);
    }
}
