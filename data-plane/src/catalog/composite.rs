//! Tools that are small programs over other tools of their connector.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Map, Value};
use toolmesh_proto::v1;

use crate::execute::rest::plan::{Param, PlanError, taken};

/// Longest time that a composite may ask for.
const MOST: Duration = Duration::from_secs(120);
/// Longest code, in bytes.
const SOURCE_BYTES: usize = 256 << 10;

/// A composite, ready to be run.
#[derive(Debug)]
pub struct Composite {
    /// Body of an async function of `params` and `api`.
    pub source: String,
    pub params: Vec<Param>,
    /// The tools that `api` has, by the connector's own names.
    pub calls: Vec<String>,
    /// Longest run, calls included.
    pub within: Duration,
}

/// Why a composite cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum CompositeError {
    #[error(transparent)]
    Param(#[from] PlanError),
    #[error("it calls {0:?}, which is no tool of the connector that makes one call")]
    Calls(String),
    #[error("its time of {0} ms is not between 1 ms and 120 s")]
    Time(u32),
    #[error("its code has more than 256 KiB")]
    TooLong,
}

impl Composite {
    /// Reads a definition; `tools` are the names of the connector's tools that are no composites.
    ///
    /// # Errors
    /// When anything in it is malformed.
    pub fn compile(composite: &v1::Composite, tools: &HashSet<&str>) -> Result<Self, CompositeError> {
        if let Some(unknown) = composite.calls.iter().find(|name| !tools.contains(name.as_str())) {
            return Err(CompositeError::Calls(unknown.clone()));
        }
        let within = Duration::from_millis(composite.timeout_millis.into());
        if within.is_zero() || within > MOST {
            return Err(CompositeError::Time(composite.timeout_millis));
        }
        if composite.code.len() > SOURCE_BYTES {
            return Err(CompositeError::TooLong);
        }
        Ok(Self {
            source: composite.code.clone(),
            params: composite.params.iter().map(taken).collect::<Result<_, _>>()?,
            calls: composite.calls.clone(),
            within,
        })
    }

    /// The arguments as JSON, with the defaults of those that are missing and of those that no caller may set.
    #[must_use]
    pub fn params_with_defaults(&self, arguments: &Map<String, Value>) -> String {
        let mut params = arguments.clone();
        for param in &self.params {
            if let Some(default) = &param.default
                && (param.fixed || !params.contains_key(&param.name))
            {
                params.insert(param.name.clone(), default.clone());
            }
        }
        Value::Object(params).to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn composite() -> v1::Composite {
        let param = |name: &str, default: &str| v1::Param {
            name: name.into(),
            default_json: default.into(),
            ..Default::default()
        };
        v1::Composite {
            code: "return 1".into(),
            params: vec![param("limit", "10"), param("query", "")],
            calls: vec!["list".into()],
            timeout_millis: 30_000,
        }
    }

    fn compile(composite: &v1::Composite) -> Result<Composite, CompositeError> {
        Composite::compile(composite, &HashSet::from(["list"]))
    }

    #[test]
    fn defaults_stand_in_for_what_is_missing_alone() {
        let composite = compile(&composite()).unwrap();
        let with = |arguments: Value| composite.params_with_defaults(arguments.as_object().unwrap());
        assert_eq!(with(json!({"query": "x"})), r#"{"query":"x","limit":10}"#);
        assert_eq!(with(json!({"limit": null})), r#"{"limit":null}"#);
    }

    #[test]
    fn what_is_fixed_is_what_its_author_wrote_whatever_a_caller_sends() {
        let mut definition = composite();
        definition.params[0].fixed = true;
        let composite = compile(&definition).unwrap();
        let given = json!({"limit": 500});
        assert_eq!(composite.params_with_defaults(given.as_object().unwrap()), r#"{"limit":10}"#);
    }

    #[test]
    fn a_composite_of_unknown_tools_or_without_a_bound_is_refused() {
        for change in [
            (|c| c.calls = vec!["other".into()]) as fn(&mut v1::Composite),
            |c| c.timeout_millis = 0,
            |c| c.timeout_millis = 120_001,
            |c| c.params[0].default_json = "{".into(),
            |c| c.code = "x".repeat(SOURCE_BYTES + 1),
        ] {
            let mut definition = composite();
            change(&mut definition);
            assert!(compile(&definition).is_err());
        }
    }
}
