//! Arguments that an admin has set: those that callers neither see nor set, and those that stand in for what is missing.

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use toolmesh_proto::v1;

/// What an admin has set of a tool's arguments.
#[derive(Debug, Default)]
pub struct Presets {
    fixed: Map<String, Value>,
    defaults: Map<String, Value>,
}

impl Presets {
    /// Reads them; `Err` names an argument whose value is no JSON.
    pub(super) fn compile(arguments: &[v1::ArgumentOverride]) -> Result<Self, String> {
        let mut presets = Self::default();
        for argument in arguments {
            let value = serde_json::from_str(&argument.value_json).map_err(|_| argument.name.clone())?;
            let kind = if argument.fixed { &mut presets.fixed } else { &mut presets.defaults };
            kind.insert(argument.name.clone(), value);
        }
        Ok(presets)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fixed.is_empty() && self.defaults.is_empty()
    }

    /// Adds them to the arguments of a call.
    ///
    /// # Errors
    /// Names an argument that is not the caller's to set.
    pub fn fill(&self, arguments: &mut Map<String, Value>) -> Result<(), String> {
        if let Some(name) = self.fixed.keys().find(|name| arguments.contains_key(*name)) {
            return Err(name.clone());
        }
        for (name, value) in &self.fixed {
            arguments.insert(name.clone(), value.clone());
        }
        for (name, value) in &self.defaults {
            if arguments.get(name).is_none_or(Value::is_null) {
                arguments.insert(name.clone(), value.clone());
            }
        }
        Ok(())
    }

    /// The schema as callers see it.
    pub(super) fn shown(&self, schema: &RawValue) -> Option<Value> {
        let mut schema: Value = serde_json::from_str(schema.get()).ok()?;
        let members = schema.as_object_mut()?;
        if let Some(Value::Object(properties)) = members.get_mut("properties") {
            for name in self.fixed.keys() {
                properties.shift_remove(name);
            }
            for (name, value) in &self.defaults {
                if let Some(Value::Object(property)) = properties.get_mut(name) {
                    property.insert("default".to_owned(), value.clone());
                }
            }
        }
        let set = |name: &Value| {
            name.as_str()
                .is_some_and(|name| self.fixed.contains_key(name) || self.defaults.contains_key(name))
        };
        if let Some(Value::Array(required)) = members.get_mut("required") {
            required.retain(|name| !set(name));
        }
        if members.get("required").and_then(Value::as_array).is_some_and(Vec::is_empty) {
            members.shift_remove("required");
        }
        Some(schema)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::to_raw_value;

    use super::*;

    fn presets() -> Presets {
        let argument = |name: &str, value: &str, fixed| v1::ArgumentOverride {
            name: name.into(),
            value_json: value.into(),
            fixed,
        };
        Presets::compile(&[argument("team", "\"core\"", true), argument("limit", "20", false)]).unwrap()
    }

    #[test]
    fn a_fixed_argument_is_always_sent_and_never_taken_and_a_default_fills_in() {
        let filled = |given: Value| {
            let Value::Object(mut arguments) = given else { panic!("no object") };
            presets().fill(&mut arguments).map(|()| Value::Object(arguments))
        };
        assert_eq!(filled(json!({"q": 1})), Ok(json!({"q": 1, "team": "core", "limit": 20})));
        assert_eq!(filled(json!({"limit": 5})), Ok(json!({"limit": 5, "team": "core"})));
        assert_eq!(filled(json!({"team": "other"})), Err("team".to_owned()));
        let bad = v1::ArgumentOverride { name: "x".into(), value_json: "{".into(), fixed: true };
        assert_eq!(Presets::compile(&[bad]).err(), Some("x".to_owned()));
    }

    #[test]
    fn callers_see_no_fixed_argument_and_need_not_give_a_default_one() {
        let schema = json!({
            "type": "object", "x-own": true,
            "properties": {"team": {"type": "string"}, "limit": {"type": "integer"}, "q": {}},
            "required": ["team", "limit", "q"]
        });
        let shown = presets().shown(&to_raw_value(&schema).unwrap()).unwrap();
        assert_eq!(
            shown,
            json!({
                "type": "object", "x-own": true,
                "properties": {"limit": {"type": "integer", "default": 20}, "q": {}},
                "required": ["q"]
            })
        );
    }
}
