//! Whether arguments fit a tool, decided before anything leaves the node.
//!
//! Owns the wording of what does not fit: the field by its JSON pointer, and what was expected.

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

use super::rest::plan::Param;
use crate::catalog::Call;

/// Most faults that are listed at once.
const LISTED: usize = 5;
/// Longest wording of one fault, in characters.
const FAULT_CHARS: usize = 300;

/// A schema that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the input schema is unusable: {0}")]
pub struct SchemaError(String);

/// What does not fit, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// For the caller: may quote what they sent.
    pub told: String,
    /// For the log: names fields, quotes nothing.
    pub logged: String,
}

/// Compiles a schema once, to check with many times. References are never fetched.
///
/// # Errors
/// When it is no usable JSON Schema.
pub fn compile(schema: &Value) -> Result<Validator, SchemaError> {
    let options = || {
        jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .offline()
            .should_validate_formats(false)
    };
    // Patterns run in linear time; one that needs look-around runs under a small limit instead.
    let linear = options().with_pattern_options(PatternOptions::regex().size_limit(1 << 20)).build(schema);
    linear
        .or_else(|_| {
            let limited = PatternOptions::fancy_regex().backtrack_limit(10_000).size_limit(1 << 20);
            options().with_pattern_options(limited).build(schema)
        })
        .map_err(|error| SchemaError(cut(&error.to_string())))
}

/// Checks arguments against a tool's schema and its parameters.
///
/// # Errors
/// Names every field that does not fit, up to a few.
pub fn check(tool: &str, validator: &Validator, call: &Call, arguments: &Value) -> Result<(), Unfit> {
    let unknown = unknown(call, arguments);
    if unknown.is_empty() && validator.is_valid(arguments) {
        return Ok(());
    }
    let mut told: Vec<String> =
        unknown.iter().map(|name| format!("/{name}: there is no such argument")).collect();
    let mut logged = told.clone();
    for error in validator.iter_errors(arguments).take(LISTED) {
        let extra =
            matches!(error.kind(), jsonschema::error::ValidationErrorKind::AdditionalProperties { .. });
        // Named above already.
        if extra && !unknown.is_empty() && error.instance_path().as_str().is_empty() {
            continue;
        }
        let field = field(&error);
        let masked = error.masked_with("the value").to_string();
        told.push(cut(&format!("{field}: {}", wording(&error, &error.to_string()))));
        logged.push(cut(&format!("{field}: {}", wording(&error, &masked))));
    }
    told.truncate(LISTED);
    logged.truncate(LISTED);
    let told = format!("The arguments do not fit {tool}. {}. {}", told.join("; "), takes(call.params()));
    Err(Unfit { told, logged: format!("The arguments do not fit: {}.", logged.join("; ")) })
}

fn unknown(call: &Call, arguments: &Value) -> Vec<String> {
    let names = arguments.as_object().into_iter().flat_map(Map::keys);
    let known = |name: &str| call.params().iter().any(|param| !param.fixed && param.name == name);
    let program = |name: &str| call.takes_program() && name == super::call::PROGRAM;
    let unknown = names.filter(|name| !known(name) && !program(name));
    unknown.take(LISTED).map(|name| cut(name)).collect()
}

fn field(error: &jsonschema::ValidationError<'_>) -> String {
    let path = error.instance_path().as_str();
    match error.kind() {
        jsonschema::error::ValidationErrorKind::Required { property } => {
            format!("{path}/{}", property.as_str().unwrap_or_default())
        }
        _ if path.is_empty() => "/".to_owned(),
        _ => path.to_owned(),
    }
}

fn wording(error: &jsonschema::ValidationError<'_>, text: &str) -> String {
    match error.kind() {
        jsonschema::error::ValidationErrorKind::Required { .. } => "is required".to_owned(),
        _ => text.to_owned(),
    }
}

/// `It takes owner (required), repo (required), state.`
fn takes(params: &[Param]) -> String {
    let mut params = params.iter().filter(|param| !param.fixed).peekable();
    if params.peek().is_none() {
        return "It takes no arguments.".to_owned();
    }
    let name = |param: &Param| {
        let required = param.required && param.default.is_none();
        format!("{}{}", param.name, if required { " (required)" } else { "" })
    };
    let names: Vec<String> = params.take(40).map(name).collect();
    format!("It takes {}.", names.join(", "))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(FAULT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use toolmesh_proto::v1;
    use toolmesh_proto::v1::param::Place;

    use super::*;
    use crate::execute::rest::Plan;

    fn call() -> Call {
        let param = |name: &str, required| v1::Param {
            name: name.into(),
            place: Place::Query.into(),
            required,
            ..Default::default()
        };
        let plan = Plan::compile(&v1::RestCall {
            method: "GET".into(),
            path: "/x".into(),
            params: vec![param("owner", true), param("labels", false)],
            body: v1::BodyEncoding::None.into(),
            ..Default::default()
        })
        .unwrap();
        Call::Rest(plan)
    }

    fn validator() -> Validator {
        compile(&json!({
            "type": "object",
            "properties": {
                "owner": {"type": "string", "pattern": "^[a-z]+$"},
                "labels": {"type": "array", "items": {"type": "string"}}
            },
            "required": ["owner"],
            "additionalProperties": false
        }))
        .unwrap()
    }

    fn unfit(arguments: Value) -> Unfit {
        check("github_x", &validator(), &call(), &arguments).unwrap_err()
    }

    #[test]
    fn arguments_that_fit_pass() {
        assert_eq!(check("x", &validator(), &call(), &json!({"owner": "ada", "labels": ["a"]})), Ok(()));
    }

    #[test]
    fn a_field_that_does_not_fit_is_named_with_what_is_expected() {
        let told = unfit(json!({"owner": "ada", "labels": [5]})).told;
        assert!(told.contains(r#"/labels/0: 5 is not of type "string""#), "{told}");
        let told = unfit(json!({})).told;
        assert!(told.contains("/owner: is required"), "{told}");
        assert!(told.contains("It takes owner (required), labels."), "{told}");
        let told = unfit(json!({"owner": "ada", "colour": 1})).told;
        assert!(told.contains("/colour: there is no such argument"), "{told}");
        assert_eq!(told.matches("colour").count(), 1, "{told}");
    }

    #[test]
    fn the_log_names_the_field_and_quotes_nothing() {
        let logged = unfit(json!({"owner": "S3CRET"})).logged;
        assert!(logged.contains("/owner") && !logged.contains("S3CRET"), "{logged}");
    }

    #[test]
    fn a_schema_that_points_elsewhere_is_refused_without_a_look() {
        assert!(compile(&json!({"$ref": "http://127.0.0.1:1/schema.json"})).is_err());
        assert!(compile(&json!({"type": "objekt"})).is_err());
        assert!(compile(&json!({"properties": {"a": {"pattern": "(?=x)y"}}})).is_ok());
    }
}
