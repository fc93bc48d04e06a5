//! Whether arguments fit a tool, decided before anything leaves the node.
//!
//! Owns the wording of what does not fit: the field by its JSON pointer, and what was expected.

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

use super::rest::plan::{Param, ParamPlace, named};
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

/// Checks arguments against a tool's schema and its known parameters. An argument may come under another of its names, and
/// null stands for leaving it out, or in a body for null itself. What has no validator is checked by whoever it is sent to.
///
/// # Errors
/// Names every field that does not fit, up to a few.
pub fn check<'v>(
    tool: &str,
    validator: impl Into<Option<&'v Validator>>,
    call: &Call,
    arguments: &Value,
) -> Result<(), Unfit> {
    let Some(validator) = validator.into() else { return Ok(()) };
    let renamed = renamed(call.params(), arguments);
    let arguments = renamed.as_ref().unwrap_or(arguments);
    let unknown = unknown(call, arguments);
    if unknown.is_empty() && validator.is_valid(arguments) {
        return Ok(());
    }
    let mut told: Vec<String> =
        unknown.iter().map(|name| format!("/{name}: there is no such argument")).collect();
    let mut logged = told.clone();
    let errors = validator.iter_errors(arguments).filter(|error| !is_meant_null(call.params(), error));
    for error in errors.take(LISTED) {
        let extra =
            matches!(error.kind(), jsonschema::error::ValidationErrorKind::AdditionalProperties { .. });
        // Named above already.
        if extra && error.instance_path().as_str().is_empty() && !unknown.is_empty() {
            continue;
        }
        let field = field(&error);
        let masked = error.masked_with("the value").to_string();
        told.push(cut(&format!("{field}: {}", wording(&error, &error.to_string()))));
        logged.push(cut(&format!("{field}: {}", wording(&error, &masked))));
    }
    if told.is_empty() {
        return Ok(());
    }
    told.truncate(LISTED);
    logged.truncate(LISTED);
    let told = format!("The arguments do not fit {tool}. {}. {}", told.join("; "), takes(call.params()));
    Err(Unfit { told, logged: format!("The arguments do not fit: {}.", logged.join("; ")) })
}

/// The arguments under their own names; `None` where none has another. Of one that came twice the second name stays, and
/// is then unknown.
fn renamed(params: &[Param], arguments: &Value) -> Option<Value> {
    let given = arguments.as_object()?;
    if params.iter().all(|param| param.aliases.iter().all(|alias| !given.contains_key(alias))) {
        return None;
    }
    let own = |name: &String| match named(params, name) {
        Some(param) if param.name != *name && !given.contains_key(&param.name) => param.name.clone(),
        _ => name.clone(),
    };
    Some(Value::Object(given.iter().map(|(name, value)| (own(name), value.clone())).collect()))
}

/// Whether the fault is that a null is of no type: it is a value in a body, and elsewhere the same as nothing.
fn is_meant_null(params: &[Param], error: &jsonschema::ValidationError<'_>) -> bool {
    let path = error.instance_path().as_str();
    let Some(name) = path.strip_prefix('/').filter(|_| error.instance().is_null()) else { return false };
    let name = name.replace("~1", "/").replace("~0", "~");
    let param = params.iter().find(|param| param.name == name);
    param.is_some_and(|param| {
        param.place == ParamPlace::Body && !param.file || !param.required || param.default.is_some()
    })
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
        Call::Rest(Box::new(plan()))
    }

    fn plan() -> Plan {
        let param = |name: &str, required| v1::Param {
            name: name.into(),
            place: Place::Query.into(),
            required,
            ..Default::default()
        };
        Plan::compile(&v1::RestCall {
            method: "GET".into(),
            path: "/x".into(),
            params: vec![param("owner", true), param("labels", false)],
            body: v1::BodyEncoding::None.into(),
            ..Default::default()
        })
        .unwrap()
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
    fn an_argument_is_taken_under_its_other_name_but_not_twice() {
        let mut plan = plan();
        plan.params[1].aliases = vec!["labels[]".into()];
        let call = Call::Rest(Box::new(plan));
        let check = |arguments: Value| check("x", &validator(), &call, &arguments);
        assert_eq!(check(json!({"owner": "ada", "labels[]": ["a"]})), Ok(()));
        let told = check(json!({"owner": "ada", "labels[]": [5]})).unwrap_err().told;
        assert!(told.contains("/labels/0: 5 is not of type"), "{told}");
        let told = check(json!({"owner": "ada", "labels": [], "labels[]": []})).unwrap_err().told;
        assert!(told.contains("/labels[]: there is no such argument"), "{told}");
    }

    #[test]
    fn null_is_nothing_where_nothing_is_allowed_and_a_value_in_a_body() {
        let mut plan = plan();
        let fits = |plan: &Plan, arguments: Value| {
            check("x", &validator(), &Call::Rest(Box::new(plan.clone())), &arguments).is_ok()
        };
        assert!(fits(&plan, json!({"owner": "ada", "labels": null})));
        assert!(!fits(&plan, json!({"owner": null})), "what is required must be there");
        assert!(
            !fits(&plan, json!({"owner": "ada", "labels": [null]})),
            "nulls inside are not ours to judge"
        );
        plan.params[0].place = ParamPlace::Body;
        assert!(fits(&plan, json!({"owner": null})));
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
