//! A tool as a TypeScript signature: what a model needs to call it from code, and no more.

use std::cell::Cell;

use serde_json::{Map, Value};

/// Most bytes of a signature with its comment; one that would be longer says less.
const SIGNATURE_BYTES: usize = 8_000;
/// Most members of a tool's arguments and of a type in them, and most parts, alternatives and values, that are spelled out.
const MEMBERS: usize = 60;
const INNER_MEMBERS: usize = 12;
const PARTS: usize = 150;
const ALTERNATIVES: usize = 12;
/// Most characters of one value, and most bytes of a member's name.
const VALUE_CHARS: usize = 60;
const NAME_BYTES: usize = 100;
/// Most characters of a parameter's description.
const PARAM_CHARS: usize = 160;

/// A tool as code sees it.
#[derive(Debug)]
pub struct Described<'a> {
    /// `tools.github.create_issue`.
    pub spelled: &'a str,
    pub description: &'a str,
    /// Most characters of the description.
    pub description_chars: usize,
    pub access: &'a str,
    pub schema: &'a Value,
    pub returns: Option<&'a Value>,
}

/// How much of a tool is said.
struct Detail {
    /// What each parameter is for.
    notes: bool,
    /// Deepest nesting of a type that is spelled out.
    depth: usize,
    /// What it gives.
    returns: bool,
}

/// The fullest first. The last is short whatever the schemas are.
const DETAILS: [Detail; 4] = [
    Detail { notes: true, depth: 4, returns: true },
    Detail { notes: false, depth: 4, returns: true },
    Detail { notes: false, depth: 1, returns: true },
    Detail { notes: false, depth: 0, returns: false },
];

/// The signature with its comment.
#[must_use]
pub fn signature(tool: &Described<'_>) -> String {
    let mut text = String::new();
    for detail in &DETAILS {
        text = written(tool, detail);
        if text.len() <= SIGNATURE_BYTES {
            break;
        }
    }
    text
}

fn written(tool: &Described<'_>, detail: &Detail) -> String {
    let mut out = String::from("/** ");
    out.push_str(&line(tool.description, tool.description_chars));
    out.push_str(" Access: ");
    out.push_str(tool.access);
    out.push('.');
    let properties = tool.schema.get("properties").and_then(Value::as_object);
    let noted = properties.filter(|_| detail.notes);
    for (name, property) in noted.into_iter().flatten().take(MEMBERS) {
        let note = note(property);
        if !note.is_empty() {
            out.push_str("\n * @param args.");
            out.push_str(&line(name, VALUE_CHARS));
            out.push(' ');
            out.push_str(&note);
        }
    }
    out.push_str(" */\n");
    out.push_str(tool.spelled);
    out.push('(');
    if takes_something(tool.schema) {
        let optional = if required(tool.schema).is_empty() { "?" } else { "" };
        let spell = Spell::new(tool.schema, detail.depth);
        out.push_str(&format!("args{optional}: {}", spell.of(tool.schema, 0)));
    }
    out.push_str("): Promise<");
    let returns = tool.returns.filter(|_| detail.returns);
    out.push_str(
        &returns.map_or_else(|| "any".to_owned(), |returns| Spell::new(returns, detail.depth).of(returns, 0)),
    );
    out.push('>');
    out
}

/// Whether there is anything to give: an object may also be described by what it is made of.
fn takes_something(schema: &Value) -> bool {
    let more = schema.get("additionalProperties");
    has_members(schema)
        || ["$ref", "anyOf", "oneOf", "allOf"].into_iter().any(|key| schema.get(key).is_some())
        || more.is_some_and(|more| more.is_object() || *more == Value::Bool(true))
}

fn has_members(schema: &Value) -> bool {
    schema.get("properties").and_then(Value::as_object).is_some_and(|properties| !properties.is_empty())
}

/// What a parameter is for, and what holds without it.
fn note(property: &Value) -> String {
    let text = property.get("description").and_then(Value::as_str).unwrap_or_default();
    let mut note = line(text, PARAM_CHARS);
    if let Some(default) = property.get("default").filter(|default| !default.is_null()) {
        if !note.is_empty() && !note.ends_with(['.', '!', '?', '…']) {
            note.push('.');
        }
        let gap = if note.is_empty() { "" } else { " " };
        note.push_str(&format!("{gap}Default {}.", line(&default.to_string(), VALUE_CHARS)));
    }
    note
}

/// A text on one line that cannot end the comment it stands in.
fn line(text: &str, most: usize) -> String {
    let mut out = String::new();
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().filter(|c| !c.is_control()));
    }
    let out = out.replace("*/", "* /");
    match out.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", out[..end].trim_end()),
        None => out,
    }
}

fn required(schema: &Value) -> Vec<&str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Spells one type, as far as it goes.
struct Spell<'a> {
    /// Where references point into.
    root: &'a Value,
    /// Deepest nesting that is spelled out.
    depth: usize,
    /// How many more parts are spelled out: references can make a small schema huge.
    left: Cell<usize>,
}

impl<'a> Spell<'a> {
    const fn new(root: &'a Value, depth: usize) -> Self {
        Self { root, depth, left: Cell::new(PARTS) }
    }

    fn of(&self, schema: &Value, depth: usize) -> String {
        let left = self.left.get();
        if depth > self.depth || left == 0 {
            return "any".to_owned();
        }
        self.left.set(left - 1);
        let described = has_members(schema);
        let Value::Object(schema) = schema else { return "any".to_owned() };
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let found = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return found.map_or_else(|| "any".to_owned(), |found| self.of(found, depth + 1));
        }
        if let Some(value) = schema.get("const") {
            return literal(value);
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array)
            && values.len() <= ALTERNATIVES
        {
            return union(values.iter().map(literal));
        }
        for (key, joint) in [("anyOf", " | "), ("oneOf", " | "), ("allOf", " & ")] {
            // Beside members of its own they mostly say which of these go together.
            if let Some(parts) = schema.get(key).and_then(Value::as_array).filter(|_| !described) {
                let parts = parts.iter().take(ALTERNATIVES).map(|part| self.of(part, depth + 1));
                return joined(parts, joint);
            }
        }
        match schema.get("type") {
            Some(Value::String(name)) => self.named(name, schema, depth),
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                union(names.map(|name| self.named(name, schema, depth)))
            }
            _ if schema.contains_key("properties") => self.object(schema, depth),
            _ => "any".to_owned(),
        }
    }

    fn named(&self, name: &str, schema: &Map<String, Value>, depth: usize) -> String {
        match name {
            "string" | "boolean" | "null" => name.to_owned(),
            "integer" | "number" => "number".to_owned(),
            "array" => {
                let item =
                    schema.get("items").map_or_else(|| "any".to_owned(), |items| self.of(items, depth + 1));
                if item.contains([' ', '|', '&']) && !item.starts_with('{') {
                    format!("({item})[]")
                } else {
                    format!("{item}[]")
                }
            }
            "object" => self.object(schema, depth),
            _ => "any".to_owned(),
        }
    }

    fn object(&self, schema: &Map<String, Value>, depth: usize) -> String {
        let Some(properties) = schema.get("properties").and_then(Value::as_object).filter(|p| !p.is_empty())
        else {
            let value = schema.get("additionalProperties").filter(|value| value.is_object());
            return format!(
                "Record<string, {}>",
                value.map_or_else(|| "any".to_owned(), |v| self.of(v, depth + 1))
            );
        };
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let member = |(name, property): (&String, &Value)| {
            let optional = if required.contains(&name.as_str()) { "" } else { "?" };
            let key = Some(key(name)).filter(|key| key.len() <= NAME_BYTES)?;
            Some(format!("{key}{optional}: {}", self.of(property, depth + 1)))
        };
        let most = if depth == 0 { MEMBERS } else { INNER_MEMBERS };
        let mut members: Vec<String> = properties.iter().take(most).filter_map(member).collect();
        if properties.len() > members.len() {
            members.push("[more: string]: any".to_owned());
        }
        format!("{{ {} }}", members.join("; "))
    }
}

fn literal(value: &Value) -> String {
    let text = value.to_string();
    match value {
        Value::Object(_) | Value::Array(_) => "any".to_owned(),
        _ if text.chars().count() > VALUE_CHARS => "string".to_owned(),
        _ => text.replace("*/", "* /"),
    }
}

fn union(parts: impl Iterator<Item = String>) -> String {
    joined(parts, " | ")
}

fn joined(parts: impl Iterator<Item = String>, joint: &str) -> String {
    let mut kept: Vec<String> = Vec::new();
    for part in parts {
        if !kept.contains(&part) {
            kept.push(part);
        }
    }
    if kept.is_empty() || kept.iter().any(|part| part == "any") {
        return "any".to_owned();
    }
    kept.join(joint)
}

/// A name as a member of a type.
fn key(name: &str) -> String {
    if is_identifier(name) { name.to_owned() } else { Value::from(name).to_string() }
}

/// Whether a name may stand behind a dot.
#[must_use]
pub fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == '$');
    first && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spelled(schema: &Value) -> String {
        Spell::new(schema, 4).of(schema, 0)
    }

    #[test]
    fn a_signature_says_what_a_tool_takes_and_what_for() {
        let schema = json!({
            "type": "object", "required": ["owner"],
            "properties": {
                "owner": {"type": "string", "description": "Who owns\n it */"},
                "state": {"enum": ["open", "closed"], "default": "open"},
                "labels[]": {"type": "array", "items": {"type": "string"}}
            }
        });
        let tool = Described {
            spelled: "tools.github.list_issues",
            description: "Lists issues. */ alert(1)",
            description_chars: 300,
            access: "read",
            schema: &schema,
            returns: None,
        };
        assert_eq!(
            signature(&tool),
            "/** Lists issues. * / alert(1) Access: read.\n * @param args.owner Who owns it * /\n * @param args.state Default \
             \"open\". */\ntools.github.list_issues(args: { owner: string; state?: \"open\" | \"closed\"; \"labels[]\"?: \
             string[] }): Promise<any>"
        );
    }

    #[test]
    fn types_are_spelled_as_people_write_them() {
        for (schema, expected) in [
            (json!({"type": "integer"}), "number"),
            (json!({"type": ["string", "null"]}), "string | null"),
            (
                json!({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}}),
                "(string | number)[]",
            ),
            (json!({"type": "object"}), "Record<string, any>"),
            (json!({"type": "object", "additionalProperties": {"type": "number"}}), "Record<string, number>"),
            (json!({"const": 1}), "1"),
            (json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "boolean"}}}), "boolean"),
            (json!({"$ref": "http://elsewhere/"}), "any"),
            (json!(true), "any"),
            (json!({}), "any"),
        ] {
            assert_eq!(spelled(&schema), expected, "{schema}");
        }
    }

    fn told(schema: &Value, returns: Option<&Value>) -> String {
        let description = &"é".repeat(5000);
        signature(&Described {
            spelled: "tools.orders.find",
            description,
            description_chars: 1000,
            access: "read",
            schema,
            returns,
        })
    }

    #[test]
    fn a_signature_stays_short_whatever_another_server_says_of_its_tool() {
        let values: Vec<String> = (0..12).map(|n| format!("{n}{}", "v".repeat(50))).collect();
        let property = json!({"enum": values, "description": "d".repeat(5000), "default": "x".repeat(5000)});
        let many = |name: &str| -> Map<String, Value> {
            (0..80).map(|n| (format!("{name}{n}"), property.clone())).collect()
        };
        for name in ["p", &"long".repeat(30), "\u{1}\u{2}é", &"\u{1}".repeat(16)] {
            let schema = json!({ "type": "object", "properties": many(name) });
            let text = told(&schema, Some(&schema));
            assert!(text.len() < 2 * SIGNATURE_BYTES, "{} bytes for {name:?}", text.len());
            assert!(text.contains("[more: string]: any"), "{text}");
        }
        let few =
            json!({"type": "object", "properties": {"q": {"type": "string", "description": "What for"}}});
        let text = told(&few, Some(&few));
        assert!(text.ends_with("(args?: { q?: string }): Promise<{ q?: string }>"), "{text}");
        assert!(text.contains("@param args.q What for"), "{text}");
    }

    #[test]
    fn an_object_is_spelled_by_its_members_or_by_what_it_is_made_of() {
        let either = json!({
            "type": "object", "properties": {"id": {"type": "string"}, "name": {"type": "string"}},
            "anyOf": [{"required": ["id"]}, {"required": ["name"]}]
        });
        assert!(told(&either, None).ends_with("(args?: { id?: string; name?: string }): Promise<any>"));
        let referred =
            json!({"$ref": "#/$defs/A", "$defs": {"A": {"properties": {"id": {"type": "string"}}}}});
        assert!(told(&referred, None).ends_with("(args?: { id?: string }): Promise<any>"));
        let open = json!({"type": "object", "additionalProperties": true});
        assert!(told(&open, None).ends_with("(args?: Record<string, any>): Promise<any>"));
        for nothing in [json!({"type": "object"}), json!({"type": "object", "properties": {}}), json!(null)] {
            assert!(told(&nothing, None).ends_with("find(): Promise<any>"), "{nothing}");
        }
    }

    #[test]
    fn a_schema_that_turns_in_circles_ends() {
        let schema = json!({"type": "object", "properties": {"next": {"$ref": "#"}}});
        assert!(spelled(&schema).contains("any"));
        let wide = json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"$ref": "#"}, {"$ref": "#"}]});
        assert_eq!(spelled(&wide), "any");
        let properties: Map<String, Value> =
            (0..60).map(|n| (format!("p{n}"), json!({"$ref": "#"}))).collect();
        assert!(spelled(&json!({"type": "object", "properties": properties})).len() < 20_000);
    }
}
