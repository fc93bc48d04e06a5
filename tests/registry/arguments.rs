//! Arguments for a tool: values that would go wrong if anything were left unencoded, rounded or lost.

use serde_json::{Map, Value, json};

use crate::document::{Document, Operation, Param};

/// Which arguments are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Every one.
    All,
    /// Those without which there is no call; the rest is left to defaults.
    Required,
    /// Every one, and null for what is optional in the body.
    Nulls,
}

impl Choice {
    pub(crate) const ALL: [Self; 3] = [Self::All, Self::Required, Self::Nulls];
}

pub(crate) const FILE: &str = "https://files.example.com/a/report%20one.pdf?signature=x";

/// Under the names that the file uses.
pub(crate) fn generate(document: &Document, operation: &Operation, choice: Choice) -> Map<String, Value> {
    let mut arguments = Map::new();
    for (index, param) in operation.params.iter().enumerate() {
        if !param.is_callers(document) || (choice == Choice::Required && !param.is_needed(document)) {
            continue;
        }
        let null = choice == Choice::Nulls && param.place == "body" && !param.required;
        let value = if null { Value::Null } else { value(param, index) };
        arguments.insert(param.name.clone(), value);
    }
    arguments
}

fn value(param: &Param, index: usize) -> Value {
    let plain = param.place == "header";
    match param.kind.as_str() {
        "integer" => json!(1_234_567_890_123_u64 + index as u64),
        "number" => json!(0.1),
        "boolean" => json!(index.is_multiple_of(2)),
        "array" if plain => json!(["a", "b"]),
        "array" => json!(["x, y&z", 9_007_199_254_740_993_u64, {"deep": [null, true]}]),
        "object" => json!({"k": "a=b", "list": [1, "ü"], "in": {"ner": false, "none": null}}),
        "file_url" => json!(FILE),
        _ if plain => json!(format!("value-{index}")),
        _ => json!(format!("v{index} /?&=#%+[]\"ü€😀")),
    }
}
