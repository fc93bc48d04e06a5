//! Values that fit a JSON Schema: whole ones without references, as tools have them. The same schema always gives the same.

use serde_json::{Map, Value, json};

/// What is deeper is left out where it may be.
const DEEP: usize = 5;

/// A value that fits. `full` gives what is optional too.
#[must_use]
pub fn example(schema: &Value, full: bool) -> Value {
    at(schema, full, 0)
}

fn at(schema: &Value, full: bool, depth: usize) -> Value {
    let Some(object) = schema.as_object() else { return json!("x") };
    for given in ["const", "default", "example"] {
        if let Some(value) = object.get(given) {
            return value.clone();
        }
    }
    if let Some(value) = object.get("enum").and_then(|values| values.as_array()?.first()) {
        return value.clone();
    }
    for word in ["oneOf", "anyOf"] {
        if let Some(branch) =
            branches(schema, word).iter().find(|branch| branch.get("type") != Some(&json!("null")))
        {
            return at(&merged(object, std::slice::from_ref(branch)), full, depth);
        }
    }
    let parts = branches(schema, "allOf");
    if !parts.is_empty() {
        return at(&merged(object, parts), full, depth);
    }
    match kind(object) {
        "object" => members(object, full, depth),
        "array" => items(object, full, depth),
        "integer" | "number" => number(object),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => json!(text(object)),
    }
}

fn branches<'a>(schema: &'a Value, word: &str) -> &'a [Value] {
    schema.get(word).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A schema with what its parts add; properties and what is required come together.
fn merged(object: &Map<String, Value>, parts: &[Value]) -> Value {
    let mut whole = object.clone();
    whole.retain(|word, _| !matches!(word.as_str(), "allOf" | "anyOf" | "oneOf"));
    for (word, value) in parts.iter().filter_map(Value::as_object).flatten() {
        match (whole.get_mut(word), value) {
            (Some(Value::Object(known)), Value::Object(more)) => {
                more.iter().for_each(|(name, schema)| drop(known.insert(name.clone(), schema.clone())));
            }
            (Some(Value::Array(known)), Value::Array(more)) if word == "required" || word == "allOf" => {
                known.extend(more.iter().cloned());
            }
            (Some(_), _) => {}
            (None, value) => drop(whole.insert(word.clone(), value.clone())),
        }
    }
    Value::Object(whole)
}

fn kind(object: &Map<String, Value>) -> &str {
    let words = match object.get("type") {
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).find(|word| *word != "null"),
        Some(word) => word.as_str(),
        None => None,
    };
    words.unwrap_or_else(|| {
        let says = |word: &str| object.contains_key(word);
        if says("properties") || says("additionalProperties") {
            "object"
        } else if says("items") {
            "array"
        } else {
            "string"
        }
    })
}

fn count(object: &Map<String, Value>, word: &str) -> Option<usize> {
    object.get(word).and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok())
}

fn members(object: &Map<String, Value>, full: bool, depth: usize) -> Value {
    let required: Vec<&str> = object
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = object.get("properties").and_then(Value::as_object);
    let least = count(object, "minProperties").unwrap_or(0);
    let mut members = Map::new();
    for (name, schema) in properties.into_iter().flatten() {
        if required.contains(&name.as_str()) || (full && depth < DEEP) {
            members.insert(name.clone(), at(schema, full, depth + 1));
        }
    }
    // As many more as there must be: named ones first, then any.
    for (name, schema) in properties.into_iter().flatten() {
        if members.len() < least && !members.contains_key(name) {
            members.insert(name.clone(), at(schema, full, depth + 1));
        }
    }
    let other = object.get("additionalProperties").filter(|schema| schema.is_object());
    let wanted = if full && other.is_some() { least.max(1) } else { least };
    for number in members.len()..wanted {
        let value = other.map_or_else(|| json!("x"), |schema| at(schema, full, depth + 1));
        members.insert(format!("key{number}"), value);
    }
    Value::Object(members)
}

fn items(object: &Map<String, Value>, full: bool, depth: usize) -> Value {
    let least = count(object, "minItems").unwrap_or_else(|| usize::from(full && depth < DEEP));
    let item = object.get("items").map_or_else(|| json!("x"), |schema| at(schema, full, depth + 1));
    Value::Array((0..least).map(|_| item.clone()).collect())
}

fn number(object: &Map<String, Value>) -> Value {
    let bound = |word: &str| object.get(word).and_then(Value::as_f64);
    let low = bound("minimum").or_else(|| bound("exclusiveMinimum").map(|least| least + 1.0));
    let high = bound("maximum").or_else(|| bound("exclusiveMaximum").map(|most| most - 1.0));
    let value = low.unwrap_or_else(|| high.map_or(1.0, |high| high.min(1.0)));
    if kind(object) == "integer" { json!(value.ceil() as i64) } else { json!(value) }
}

fn text(object: &Map<String, Value>) -> String {
    let described = object.get("description").and_then(Value::as_str).unwrap_or_default();
    let known = match object.get("format").and_then(Value::as_str) {
        // What is a file is said in words, and takes a small one as it is.
        _ if described.contains("data: URL") => "data:text/plain;base64,SGVsbG8=",
        Some("date-time") => "2026-01-02T03:04:05Z",
        Some("date") => "2026-01-02",
        Some("uuid") => "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        Some("email") => "ada@example.com",
        Some("uri" | "url") => "https://example.com/a",
        Some("ipv4") => "192.0.2.1",
        _ => match object.get("pattern").and_then(Value::as_str) {
            Some(pattern) if pattern.contains("[0-9]") || pattern.contains("\\d") => "1",
            _ => "text",
        },
    };
    let least = count(object, "minLength").unwrap_or(0);
    let most = count(object, "maxLength").unwrap_or(usize::MAX);
    let mut text = known.to_owned();
    while text.len() < least {
        text.push('x');
    }
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_fits_the_schema_with_and_without_what_is_optional() -> anyhow::Result<()> {
        for schema in [
            json!({"type": "object", "required": ["a"], "minProperties": 2, "properties": {"a": {"type": "integer", "minimum": 3}, "b": {"enum": ["x", "y"]}}}),
            json!({"type": ["string", "null"], "minLength": 9, "maxLength": 12}),
            json!({"allOf": [{"type": "object", "required": ["a"], "properties": {"a": {"type": "boolean"}}}, {"required": ["b"], "properties": {"b": {"format": "uuid"}}}]}),
            json!({"oneOf": [{"type": "null"}, {"type": "array", "minItems": 2, "items": {"type": "number", "exclusiveMinimum": 0}}]}),
            json!({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1}),
        ] {
            let validator = jsonschema::validator_for(&schema)?;
            for full in [true, false] {
                let value = example(&schema, full);
                anyhow::ensure!(validator.is_valid(&value), "{schema}: {value}");
            }
        }
        Ok(())
    }
}
