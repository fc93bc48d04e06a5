//! Arguments that clients repeat in a header (`x-mcp-header`, revision 2026-07-28).
//!
//! An annotation that breaks a rule makes clients drop the tool, so that it is taken out of what they are shown.

use std::collections::HashSet;

use serde_json::{Map, Value};

const ANNOTATION: &str = "x-mcp-header";

/// An argument that is repeated in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// Of `Mcp-Param-NAME`.
    pub header: String,
    /// Where the argument is.
    pub path: Vec<String>,
}

/// Takes bad annotations out of a schema and gives the good ones; says whether anything was taken out.
pub(super) fn clean(schema: &mut Value) -> (Vec<Mirrored>, bool) {
    let mut walk = Walk { good: Vec::new(), names: HashSet::new(), changed: false };
    walk.node(schema, Some(&[]));
    (walk.good, walk.changed)
}

struct Walk {
    good: Vec<Mirrored>,
    names: HashSet<String>,
    changed: bool,
}

impl Walk {
    /// `path` is where the node is, if it is reached by `properties` alone.
    fn node(&mut self, node: &mut Value, path: Option<&[String]>) {
        match node {
            Value::Object(members) => {
                if members.contains_key(ANNOTATION) && !self.keep(members, path) {
                    members.shift_remove(ANNOTATION);
                    self.changed = true;
                }
                for (name, value) in members.iter_mut() {
                    match value {
                        Value::Object(properties) if name == "properties" => {
                            self.properties(properties, path)
                        }
                        // Data, not schema.
                        _ if matches!(name.as_str(), "const" | "enum" | "default" | "examples") => {}
                        value => self.node(value, None),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.node(item, None)),
            _ => {}
        }
    }

    fn properties(&mut self, properties: &mut Map<String, Value>, path: Option<&[String]>) {
        for (name, property) in properties.iter_mut() {
            let path = path.map(|path| [path, std::slice::from_ref(name)].concat());
            self.node(property, path.as_deref());
        }
    }

    fn keep(&mut self, members: &Map<String, Value>, path: Option<&[String]>) -> bool {
        let Some(path) = path.filter(|path| !path.is_empty()) else { return false };
        let Some(name) = members.get(ANNOTATION).and_then(Value::as_str) else { return false };
        let plain = members.get("type").and_then(Value::as_str);
        let good = is_token(name)
            && matches!(plain, Some("string" | "integer" | "boolean"))
            && self.names.insert(name.to_ascii_lowercase());
        if good {
            self.good.push(Mirrored { header: name.to_owned(), path: path.to_vec() });
        }
        good
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(sound)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_annotation_stays_only_where_the_rules_let_it() {
        let mut schema = json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "again": {"type": "string", "x-mcp-header": "region"},
            "list": {"type": "array", "items": {"type": "string", "x-mcp-header": "Item"}},
            "size": {"type": "number", "x-mcp-header": "Size"},
            "bad": {"type": "string", "x-mcp-header": "a b"},
            "inner": {"type": "object", "properties": {"deep": {"type": "integer", "x-mcp-header": "Deep"}}},
            "data": {"type": "object", "default": {"x-mcp-header": "kept"}}
        }});
        let (good, changed) = clean(&mut schema);
        let names: Vec<&str> = good.iter().map(|one| one.header.as_str()).collect();
        assert_eq!((names, changed), (vec!["Region", "Deep"], true));
        assert_eq!(good[1].path, ["inner", "deep"]);
        assert_eq!(schema.to_string().matches(ANNOTATION).count(), 3);
        assert!(!clean(&mut schema).1, "what is clean stays");
    }
}
