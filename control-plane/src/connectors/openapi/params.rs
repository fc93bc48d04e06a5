//! Parameters of an operation as arguments of a tool.

use std::collections::HashSet;

use serde_json::{Map, Value as Json, json};

use super::schema::Schemas;
use super::{names, one_line, refs};
use crate::connectors::dadl;

const MAX_DESCRIPTION: usize = 400;

/// An argument of a tool.
#[derive(Debug)]
pub(super) struct Param {
    pub argument: String,
    /// Its name in the request.
    pub wire: String,
    /// `path`, `query`, `header`, `cookie` or `body`.
    pub place: &'static str,
    /// DADL's word for its type.
    pub kind: &'static str,
    pub required: bool,
    /// The one value that it can have.
    pub fixed: Option<Json>,
    pub description: String,
    /// What its type alone does not say.
    pub schema: Option<Map<String, Json>>,
    /// With `explode`.
    pub style: Option<(&'static str, bool)>,
    pub whole_body: bool,
}

/// Reads the parameters that are not in the body; `shared` are those of the path. The reason, where one cannot be sent.
pub(super) fn read(
    schemas: &mut Schemas<'_>,
    shared: &[Json],
    own: &[Json],
    taken: &mut HashSet<String>,
) -> Result<Vec<Param>, String> {
    let root = schemas.root();
    let mut chosen: Vec<(&str, &str, &Json)> = Vec::new();
    for parameter in shared.iter().chain(own) {
        let parameter = refs::follow(root, parameter).map_err(|refs::BadRef(reason)| reason)?;
        let text = |key: &str| parameter.get(key).and_then(Json::as_str);
        let (Some(name), Some(place)) = (text("name"), text("in")) else { continue };
        // The operation's own stands for the path's.
        match chosen.iter_mut().find(|(n, p, _)| *n == name && *p == place) {
            Some(known) => known.2 = parameter,
            None => chosen.push((name, place, parameter)),
        }
    }
    let mut params = Vec::new();
    for (name, place, parameter) in chosen {
        let required = parameter.get("required") == Some(&Json::Bool(true));
        if !is_sendable(name) || (place == "header" && http::HeaderName::try_from(name).is_err()) {
            return Err("has a parameter whose name cannot be sent".to_owned());
        }
        let place = match place {
            "path" => "path",
            "query" => "query",
            // OpenAPI says that these three are described elsewhere.
            "header" if is_described_elsewhere(name) => continue,
            "header" => "header",
            "cookie" if is_cookie_name(name) => "cookie",
            "cookie" if required => return Err("has a cookie whose name cannot be sent".to_owned()),
            _ => continue,
        };
        params.push(one(schemas, name, place, required, parameter, taken));
    }
    Ok(params)
}

/// Whether a name can stand in a request.
pub(super) fn is_sendable(name: &str) -> bool {
    (1..=200).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Whether a cookie can have this name.
pub(super) fn is_cookie_name(name: &str) -> bool {
    dadl::is_cookie_name(name)
}

fn is_described_elsewhere(name: &str) -> bool {
    ["accept", "content-type", "authorization"].iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn one(
    schemas: &mut Schemas<'_>,
    name: &str,
    place: &'static str,
    required: bool,
    parameter: &Json,
    taken: &mut HashSet<String>,
) -> Param {
    let content =
        parameter.get("content").and_then(Json::as_object).and_then(|content| content.values().next());
    let schema = content.map_or_else(|| parameter.get("schema"), |content| content.get("schema"));
    let mut param = described(schemas, name, place, schema, taken);
    if let Some(own) = parameter.get("description").and_then(Json::as_str) {
        param.description = one_line(own, MAX_DESCRIPTION);
    }
    param.required = required || place == "path";
    if content.is_some() {
        param.style = Some(("json", false));
    } else {
        let style = parameter.get("style").and_then(Json::as_str);
        let explode = parameter.get("explode").and_then(Json::as_bool);
        param.style = style_of(place, param.kind, style, explode);
    }
    if !param.required {
        param.fixed = None;
    }
    param
}

/// A parameter as its schema describes it.
pub(super) fn described(
    schemas: &mut Schemas<'_>,
    name: &str,
    place: &'static str,
    schema: Option<&Json>,
    taken: &mut HashSet<String>,
) -> Param {
    let mut schema = schema.map(|schema| schemas.write(schema)).unwrap_or_default();
    let description = match schema.remove("description") {
        Some(Json::String(text)) => one_line(&text, MAX_DESCRIPTION),
        _ => String::new(),
    };
    let fixed = match schema.get("enum").and_then(Json::as_array).map(Vec::as_slice) {
        Some([only]) if !only.is_null() => Some(only.clone()),
        _ => schema.get("const").cloned(),
    };
    let kind = kind(&schema, place);
    Param {
        argument: names::unique(&names::argument(name), taken),
        wire: name.to_owned(),
        place,
        kind,
        required: false,
        fixed,
        description,
        schema: says_more(&schema, kind).then_some(schema),
        style: None,
        whole_body: false,
    }
}

/// DADL's word for a schema's type; for several types, the one that holds the others' text.
fn kind(schema: &Map<String, Json>, place: &str) -> &'static str {
    let words: Vec<&str> = match schema.get("type") {
        Some(Json::String(word)) => vec![word.as_str()],
        Some(Json::Array(words)) => {
            words.iter().filter_map(Json::as_str).filter(|word| *word != "null").collect()
        }
        _ => Vec::new(),
    };
    match words.as_slice() {
        ["integer"] => "integer",
        ["number"] => "number",
        ["boolean"] => "boolean",
        ["array"] => "array",
        ["object"] => "object",
        [] if schema.contains_key("properties") => "object",
        [] if schema.contains_key("items") => "array",
        [] if place == "body"
            && (schema.contains_key("allOf")
                || schema.contains_key("oneOf")
                || schema.contains_key("anyOf")) =>
        {
            "object"
        }
        _ => "string",
    }
}

/// Whether a schema says more than DADL's type does.
fn says_more(schema: &Map<String, Json>, kind: &str) -> bool {
    schema.get("type") != Some(&json!(kind))
        || schema.iter().any(|(key, value)| match key.as_str() {
            "type" => false,
            "items" => value.as_object().is_none_or(|items| !items.is_empty()),
            _ => true,
        })
}

/// The style to write down: none where the gateway's own way is the same.
pub(super) fn style_of(
    place: &str,
    kind: &str,
    style: Option<&str>,
    explode: Option<bool>,
) -> Option<(&'static str, bool)> {
    const KNOWN: &[&str] = &[
        "form",
        "spaceDelimited",
        "pipeDelimited",
        "tabDelimited",
        "deepObject",
        "simple",
        "label",
        "matrix",
    ];
    let usual = if matches!(place, "path" | "header") { "simple" } else { "form" };
    let style = KNOWN.iter().find(|known| Some(**known) == style).copied().unwrap_or(usual);
    let style = match place {
        "path" if !matches!(style, "simple" | "label" | "matrix") => "simple",
        "header" => "simple",
        "cookie" => "form",
        "query" | "body" if matches!(style, "simple" | "label" | "matrix") => "form",
        _ => style,
    };
    let explode = explode.unwrap_or(style == "form");
    let several = matches!(kind, "array" | "object");
    match style {
        "label" | "matrix" => Some((style, explode)),
        _ if !several => None,
        // Repeated keys are the gateway's own way.
        "form" if explode && kind == "array" => None,
        _ => Some((style, explode)),
    }
}
