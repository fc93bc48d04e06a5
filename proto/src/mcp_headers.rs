//! Headers of the Model Context Protocol that repeat what stands in a body (revision 2026-07-28): which arguments of a tool go
//! into `Mcp-Param-*`, and how any text is written in a header.
//!
//! Both planes need it: one takes out annotations that nobody can follow, the other sends and checks the headers.

use std::borrow::Cow;
use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The keyword of a property's schema that asks for a header.
pub const ANNOTATION: &str = "x-mcp-header";

const PREFIX: &str = "mcp-param-";
const OPEN: &str = "=?base64?";
const CLOSE: &str = "?=";
/// Deeper schemas are not looked into.
const DEEPEST: usize = 64;

/// An argument that is sent as a header too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamHeader {
    /// The whole name, lower case: `mcp-param-region`.
    pub header: String,
    /// From the arguments down to the value.
    pub path: Vec<String>,
}

/// Why the annotations of a tool cannot be followed. Clients leave such a tool out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnnotation {
    #[error("the header's name of {0:?} is no text of letters, digits and hyphens")]
    Name(String),
    #[error("{0:?} is neither a text, an integer nor a boolean, so that it cannot be a header")]
    Kind(String),
    #[error("two arguments go into the header {0:?}")]
    Twice(String),
    #[error("{0:?} can stand in several places, so that it cannot be a header")]
    Place(String),
    #[error("the schema is nested too deeply")]
    Deep,
}

/// The headers that a tool's input schema asks for.
///
/// # Errors
/// Says which annotation is bad.
pub fn param_headers(schema: &Value) -> Result<Vec<ParamHeader>, BadAnnotation> {
    let mut walk = Walk::default();
    walk.properties(schema, true, 0)?;
    Ok(walk.found)
}

/// Takes out the annotations that nobody can follow, so that clients need not leave the whole tool out. Answers what was wrong
/// with the first.
pub fn drop_bad(schema: &mut Value) -> Option<BadAnnotation> {
    let (mut walk, mut first) = (Walk::default(), None);
    walk.mend(schema, true, 0, &mut first);
    first
}

#[derive(Default)]
struct Walk {
    path: Vec<String>,
    found: Vec<ParamHeader>,
    names: HashSet<String>,
}

/// Keywords that hold one schema, a list of them or a map of them.
const ELSEWHERE: [&str; 19] = [
    "items",
    "prefixItems",
    "contains",
    "additionalItems",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "dependentSchemas",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "$defs",
    "definitions",
];

impl Walk {
    /// `plain`: reached through `properties` alone.
    fn properties(&mut self, schema: &Value, plain: bool, depth: usize) -> Result<(), BadAnnotation> {
        if depth > DEEPEST {
            return Err(BadAnnotation::Deep);
        }
        let Value::Object(members) = schema else { return Ok(()) };
        if let Some(name) = members.get(ANNOTATION) {
            self.annotated(schema, name, plain && depth > 0)?;
        }
        if let Some(Value::Object(properties)) = members.get("properties") {
            for (name, property) in properties {
                self.path.push(name.clone());
                self.properties(property, plain, depth + 1)?;
                self.path.pop();
            }
        }
        for keyword in ELSEWHERE {
            match members.get(keyword) {
                Some(Value::Array(schemas)) => {
                    schemas.iter().try_for_each(|schema| self.properties(schema, false, depth + 1))?;
                }
                Some(Value::Object(map)) if is_map(keyword) => {
                    map.values().try_for_each(|schema| self.properties(schema, false, depth + 1))?;
                }
                Some(schema) => self.properties(schema, false, depth + 1)?,
                None => {}
            }
        }
        Ok(())
    }

    /// The same, without what is bad; deeper than is looked into, everything stays.
    fn mend(&mut self, schema: &mut Value, plain: bool, depth: usize, first: &mut Option<BadAnnotation>) {
        if depth > DEEPEST {
            return;
        }
        let annotation = schema.get(ANNOTATION).cloned();
        let bad = annotation.and_then(|name| self.annotated(schema, &name, plain && depth > 0).err());
        let Value::Object(members) = schema else { return };
        if let Some(bad) = bad {
            first.get_or_insert(bad);
            members.retain(|member, _| member != ANNOTATION);
        }
        if let Some(Value::Object(properties)) = members.get_mut("properties") {
            for (name, property) in properties {
                self.path.push(name.clone());
                self.mend(property, plain, depth + 1, first);
                self.path.pop();
            }
        }
        for keyword in ELSEWHERE {
            match members.get_mut(keyword) {
                Some(Value::Array(schemas)) => {
                    schemas.iter_mut().for_each(|schema| self.mend(schema, false, depth + 1, first));
                }
                Some(Value::Object(map)) if is_map(keyword) => {
                    map.values_mut().for_each(|schema| self.mend(schema, false, depth + 1, first));
                }
                Some(schema) => self.mend(schema, false, depth + 1, first),
                None => {}
            }
        }
    }

    fn annotated(&mut self, schema: &Value, name: &Value, plain: bool) -> Result<(), BadAnnotation> {
        let place = self.path.join(".");
        if !plain {
            return Err(BadAnnotation::Place(place));
        }
        let name = name.as_str().filter(|name| is_token(name));
        let name = name.ok_or_else(|| BadAnnotation::Name(place.clone()))?;
        let kind = schema.get("type").and_then(Value::as_str);
        if !matches!(kind, Some("string" | "integer" | "boolean")) {
            return Err(BadAnnotation::Kind(place));
        }
        let header = format!("{PREFIX}{}", name.to_ascii_lowercase());
        if !self.names.insert(header.clone()) {
            return Err(BadAnnotation::Twice(name.to_owned()));
        }
        self.found.push(ParamHeader { header, path: self.path.clone() });
        Ok(())
    }
}

fn is_map(keyword: &str) -> bool {
    matches!(keyword, "patternProperties" | "dependentSchemas" | "$defs" | "definitions")
}

/// A token of RFC 9110.
fn is_token(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token)
}

impl ParamHeader {
    /// What the header holds for these arguments; `None` where there is no header.
    #[must_use]
    pub fn text(&self, arguments: &serde_json::Map<String, Value>) -> Option<String> {
        let (first, rest) = self.path.split_first()?;
        let value = rest.iter().try_fold(arguments.get(first)?, |value, name| value.get(name))?;
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(bool) => Some(bool.to_string()),
            Value::Number(number) => Some(match number.as_f64() {
                // `5.0` is the integer 5.
                Some(float) if !number.is_i64() && !number.is_u64() && float.fract() == 0.0 => {
                    format!("{float:.0}")
                }
                _ => number.to_string(),
            }),
            _ => None,
        }
    }
}

/// A text as a header may hold it: as it is, or in Base64 between markers.
#[must_use]
pub fn encode(text: &str) -> Cow<'_, str> {
    let marked = text.starts_with(OPEN) && text.ends_with(CLOSE);
    let sendable = text.bytes().all(|b| (0x20..0x7f).contains(&b)) && text.trim_matches(' ') == text;
    if sendable && !marked {
        return Cow::Borrowed(text);
    }
    format!("{OPEN}{}{CLOSE}", STANDARD.encode(text)).into()
}

/// The text that a header holds; `None` where what is between the markers is no Base64 of a text.
#[must_use]
pub fn decode(header: &str) -> Option<Cow<'_, str>> {
    let Some(encoded) = header.strip_prefix(OPEN).and_then(|rest| rest.strip_suffix(CLOSE)) else {
        return Some(Cow::Borrowed(header));
    };
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn headers(properties: &Value) -> Result<Vec<ParamHeader>, BadAnnotation> {
        param_headers(&json!({"type": "object", "properties": properties}))
    }

    #[test]
    fn annotated_arguments_become_headers_wherever_properties_alone_lead_to_them() {
        let found = headers(&json!({
            "region": {"type": "string", "x-mcp-header": "Region"},
            "page": {"type": "object", "properties": {"size": {"type": "integer", "x-mcp-header": "Size"}}},
            "x-mcp-header": {"type": "number"},
        }))
        .unwrap();
        let names: Vec<_> = found.iter().map(|one| one.header.as_str()).collect();
        assert_eq!(names, ["mcp-param-region", "mcp-param-size"]);
        let arguments = json!({"region": "eu", "page": {"size": 5.0}});
        let texts: Vec<_> = found.iter().map(|one| one.text(arguments.as_object().unwrap())).collect();
        assert_eq!(texts, [Some("eu".to_owned()), Some("5".to_owned())]);
        let nothing = json!({"region": null});
        assert!(found.iter().all(|one| one.text(nothing.as_object().unwrap()).is_none()));
    }

    #[test]
    fn a_bad_annotation_is_named() {
        let text = |name: Value| json!({"type": "string", "x-mcp-header": name});
        for bad in [
            json!({"a": text(json!(""))}),
            json!({"a": text(json!(7))}),
            json!({"a": text(json!("My Region"))}),
            json!({"a": text(json!("Region:1"))}),
            json!({"a": {"type": "number", "x-mcp-header": "A"}}),
            json!({"a": {"type": "object", "x-mcp-header": "A"}}),
            json!({"a": {"x-mcp-header": "A"}}),
            json!({"a": text(json!("Region")), "b": text(json!("REGION"))}),
            json!({"a": {"type": "array", "items": text(json!("A"))}}),
            json!({"a": {"anyOf": [text(json!("A"))]}}),
        ] {
            assert!(headers(&bad).is_err(), "{bad}");
        }
        assert!(param_headers(&json!({"$defs": {"a": text(json!("A"))}})).is_err());
    }

    #[test]
    fn what_nobody_can_follow_is_taken_out_and_the_rest_stays_as_it_is() {
        let good = json!({"type": "string", "x-mcp-header": "Region"});
        let bad = json!({"description": "One.", "x-mcp-header": "My Region", "type": "string"});
        let mut schema = json!({"type": "object", "properties": {
            "region": good, "other": bad, "again": good, "x-mcp-header": {"type": "number"},
            "list": {"type": "array", "items": good},
        }});
        assert_eq!(drop_bad(&mut schema), Some(BadAnnotation::Name("other".to_owned())));
        let plain = json!({"type": "string"});
        let left = json!({"type": "object", "properties": {
            "region": good, "other": {"description": "One.", "type": "string"}, "again": plain,
            "x-mcp-header": {"type": "number"}, "list": {"type": "array", "items": plain},
        }});
        assert_eq!(schema.to_string(), left.to_string());
        assert_eq!(param_headers(&schema).unwrap().len(), 1);
        assert_eq!(drop_bad(&mut schema), None);
    }

    #[test]
    fn texts_that_headers_cannot_hold_are_written_in_base64() {
        assert_eq!(encode("us-west 1"), "us-west 1");
        for text in [" a", "a ", "Grüße", "a\nb", "=?base64?YQ==?="] {
            assert!(encode(text).starts_with(OPEN), "{text:?}");
        }
        assert_eq!(decode("=?base64?%%?="), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in any::<String>()) {
            let encoded = encode(&text).into_owned();
            prop_assert!(encoded.bytes().all(|b| (0x20..0x7f).contains(&b)));
            let decoded = decode(&encoded).map(Cow::into_owned);
            prop_assert_eq!(decoded, Some(text));
        }
    }
}
