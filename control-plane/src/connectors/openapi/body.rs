//! Request bodies: an object's properties as arguments of their own, anything else as one argument.

use std::collections::HashSet;

use serde_json::{Map, Value as Json, json};

use super::params::{self, Param};
use super::refs;
use super::schema::Schemas;
use crate::connectors::dadl;

/// Most properties that become arguments of their own; a larger object is one argument.
const MAX_ARGUMENTS: usize = 80;

/// Keywords of a schema that a list of arguments cannot say.
const COMBINING: &[&str] = &[
    "oneOf",
    "anyOf",
    "not",
    "if",
    "patternProperties",
    "discriminator",
    "dependentSchemas",
    "minProperties",
];

/// What a body becomes.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub params: Vec<Param>,
    /// Empty for JSON, which is DADL's own.
    pub content_type: String,
}

/// Reads a request body. The reason, where it cannot be written.
pub(super) fn read(
    schemas: &mut Schemas<'_>,
    body: Option<&Json>,
    method: &str,
    taken: &mut HashSet<String>,
) -> Result<Body, String> {
    let root = schemas.root();
    let Some(body) = body else { return Ok(Body::default()) };
    let body = refs::follow(root, body).map_err(|refs::BadRef(reason)| reason)?;
    let Some(content) = body.get("content").and_then(Json::as_object) else { return Ok(Body::default()) };
    if content.is_empty() {
        return Ok(Body::default());
    }
    // Documents name what is no media type, too.
    let sendable = content.iter().filter(|(media, _)| dadl::is_media_type(media));
    let (media, content) = sendable
        .min_by_key(|(media, _)| preference(media))
        .ok_or("takes a body of no media type that can be sent")?;
    let required = body.get("required") == Some(&Json::Bool(true));
    let described = body.get("description").and_then(Json::as_str).unwrap_or_default();
    let empty = json!({});
    let schema = content.get("schema").unwrap_or(&empty);
    // A GET or DELETE with a body is unusual; its properties are asked for only if the body is.
    let strict = required || matches!(method, "POST" | "PUT" | "PATCH");
    let kind = preference(media);
    let shape = shape(root, schema);
    let one = |schemas: &mut Schemas<'_>, taken: &mut HashSet<String>| {
        let mut whole = params::described(schemas, "body", "body", Some(schema), taken);
        whole.required = required;
        whole.fixed = None;
        if !described.is_empty() {
            whole.description = super::one_line(described, 300);
        }
        whole
    };
    match (kind, shape) {
        (JSON, Some(shape)) => {
            Ok(Body { params: fields(schemas, &shape, strict, None, taken), content_type: json_type(media) })
        }
        (JSON, None) => {
            let mut whole = one(schemas, taken);
            whole.whole_body = true;
            Ok(Body { params: vec![whole], content_type: json_type(media) })
        }
        (FORM | MULTIPART, Some(shape)) => {
            let encoding = content.get("encoding").and_then(Json::as_object);
            let params = fields(schemas, &shape, strict, Some((kind, encoding)), taken);
            let essence = media.split(';').next().unwrap_or(media).trim().to_ascii_lowercase();
            Ok(Body { params, content_type: essence })
        }
        (FORM | MULTIPART, None) => Err("takes a form that is not described field by field".to_owned()),
        (TEXT, _) => {
            let mut whole = one(schemas, taken);
            (whole.kind, whole.schema) = ("string", None);
            Ok(Body { params: vec![whole], content_type: media.clone() })
        }
        _ => {
            let mut file = one(schemas, taken);
            (file.kind, file.schema) = ("file_url", None);
            let media = if media.contains('*') { "application/octet-stream" } else { media };
            Ok(Body { params: vec![file], content_type: media.to_owned() })
        }
    }
}

const JSON: u8 = 0;
const FORM: u8 = 2;
const MULTIPART: u8 = 3;
const TEXT: u8 = 4;
const BINARY: u8 = 5;

/// What kind of body a media type is; the lower is preferred.
fn preference(media: &str) -> u8 {
    let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/x-www-form-urlencoded" => FORM,
        "multipart/form-data" => MULTIPART,
        "*/*" => JSON,
        json if json.ends_with("/json") || json.ends_with("+json") => JSON,
        text if text.starts_with("text/")
            || text.ends_with("xml")
            || text.ends_with("graphql")
            || text.ends_with("yaml") =>
        {
            TEXT
        }
        _ => BINARY,
    }
}

/// JSON's own type is not written down; `application/merge-patch+json` is.
fn json_type(media: &str) -> String {
    let essence = media.split(';').next().unwrap_or_default().trim();
    if essence.contains('*') || essence.eq_ignore_ascii_case("application/json") {
        String::new()
    } else {
        essence.to_owned()
    }
}

/// The schema of what is not described.
static ANYTHING: Json = Json::Null;

/// An object that can be told as a list of arguments.
struct Shape<'a> {
    properties: Vec<(&'a str, &'a Json)>,
    required: HashSet<&'a str>,
}

/// The properties of an object, those of its `allOf` included; `None` for what is no plain object.
fn shape<'a>(root: &'a Json, schema: &'a Json) -> Option<Shape<'a>> {
    let mut shape = Shape { properties: Vec::new(), required: HashSet::new() };
    collect(root, schema, &mut shape, 0)?;
    // What must be there need not be described; then it may be anything.
    let described: HashSet<&str> = shape.properties.iter().map(|(name, _)| *name).collect();
    let mut others: Vec<&str> =
        shape.required.iter().copied().filter(|name| !described.contains(name)).collect();
    others.sort_unstable();
    if !others.iter().all(|name| super::params::is_sendable(name)) {
        return None;
    }
    shape.properties.extend(others.into_iter().map(|name| (name, &ANYTHING)));
    let fits = (1..=MAX_ARGUMENTS).contains(&shape.properties.len());
    fits.then_some(shape)
}

fn collect<'a>(root: &'a Json, schema: &'a Json, shape: &mut Shape<'a>, depth: usize) -> Option<()> {
    if depth > 6 {
        return None;
    }
    let schema = refs::follow(root, schema).ok()?.as_object()?;
    let object = match schema.get("type") {
        None => true,
        Some(Json::String(word)) => word == "object",
        Some(Json::Array(words)) => words.iter().any(|word| word == "object"),
        Some(_) => false,
    };
    let open = schema.get("additionalProperties").is_some_and(Json::is_object);
    if !object || open || COMBINING.iter().any(|word| schema.contains_key(*word)) {
        return None;
    }
    for part in schema.get("allOf").and_then(Json::as_array).into_iter().flatten() {
        collect(root, part, shape, depth + 1)?;
    }
    for (name, property) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
        match shape.properties.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1 = property,
            None => shape.properties.push((name, property)),
        }
        if shape.properties.len() > MAX_ARGUMENTS || !super::params::is_sendable(name) {
            return None;
        }
    }
    let required = schema.get("required").and_then(Json::as_array);
    shape.required.extend(required.into_iter().flatten().filter_map(Json::as_str));
    Some(())
}

/// What a form says of how its fields are written.
type Encoding<'a> = Option<(u8, Option<&'a Map<String, Json>>)>;

fn fields(
    schemas: &mut Schemas<'_>,
    shape: &Shape<'_>,
    strict: bool,
    encoding: Encoding<'_>,
    taken: &mut HashSet<String>,
) -> Vec<Param> {
    let root = schemas.root();
    let mut params = Vec::new();
    for (name, property) in &shape.properties {
        let plain = refs::follow(root, property).unwrap_or(property);
        if plain.get("readOnly") == Some(&Json::Bool(true)) {
            continue;
        }
        let mut param = params::described(schemas, name, "body", Some(property), taken);
        param.required = strict && shape.required.contains(name);
        if !param.required {
            param.fixed = None;
        }
        if let Some((kind, encoding)) = encoding {
            form_field(root, &mut param, plain, kind, encoding.and_then(|encoding| encoding.get(*name)));
        }
        params.push(param);
    }
    params
}

/// Whether a schema is that of a file in a form.
fn is_file(schema: &Json) -> bool {
    let text = |key: &str| schema.get(key).and_then(Json::as_str).unwrap_or_default();
    text("format") == "binary" || text("contentMediaType").contains("octet-stream")
}

/// A field of a form: a file, or a value in the style that the document names.
fn form_field(root: &Json, param: &mut Param, schema: &Json, kind: u8, encoding: Option<&Json>) {
    let items = schema.get("items").map(|items| refs::follow(root, items).unwrap_or(items));
    if kind == MULTIPART && is_file(schema) {
        (param.kind, param.schema, param.fixed) = ("file_url", None, None);
        return;
    }
    if kind == MULTIPART && items.is_some_and(is_file) {
        let urls = json!({ "type": "array", "items": { "type": "string" } });
        (param.kind, param.schema, param.fixed) = ("file_url", urls.as_object().cloned(), None);
        return;
    }
    if kind == MULTIPART && param.kind == "array" {
        // A part of its own for each item.
        param.style = Some(("form", true));
    }
    if kind == FORM {
        let style = encoding.and_then(|encoding| encoding.get("style")).and_then(Json::as_str);
        let explode = encoding.and_then(|encoding| encoding.get("explode")).and_then(Json::as_bool);
        param.style = match (style, param.kind) {
            // Without a word on it, an object stands in brackets, which is the gateway's own way.
            (Some("deepObject"), _) | (None, "object") => None,
            // A repeated key has to be asked for in a body.
            (_, "array") => params::style_of("body", "array", style, explode).or(Some(("form", true))),
            (style, kind) => params::style_of("body", kind, style, explode),
        };
    }
}
