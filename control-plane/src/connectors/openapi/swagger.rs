//! Swagger 2.0 rewritten as OpenAPI 3, one operation at a time: parameters with schemas, a request body, response contents.

use serde_json::{Map, Value as Json, json};

use super::refs;

/// Keywords that a Swagger parameter holds itself and that belong into its schema.
const OF_SCHEMA: &[&str] = &[
    "type",
    "format",
    "items",
    "default",
    "enum",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "multipleOf",
];

/// The operation as OpenAPI 3 would say it. `shared` are the parameters of its path.
pub(super) fn operation(root: &Json, operation: &Json, shared: &[Json]) -> Json {
    let mut written = operation.as_object().cloned().unwrap_or_default();
    let own = operation.get("parameters").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let consumes = media_types(root, operation, "consumes");
    let mut parameters = Vec::new();
    let mut fields = Map::new();
    let mut required = Vec::new();
    let mut encoding = Map::new();
    let mut body = None;
    // An operation's own parameter replaces the path's of the same name and place.
    for parameter in shared.iter().chain(own) {
        let parameter = refs::follow(root, parameter).unwrap_or(parameter);
        let name = parameter.get("name").and_then(Json::as_str).unwrap_or_default();
        match parameter.get("in").and_then(Json::as_str) {
            Some("body") => body = Some(parameter),
            Some("formData") => {
                let (schema, style) = schema(parameter);
                if parameter.get("required") == Some(&Json::Bool(true)) {
                    required.push(json!(name));
                }
                if let Some((style, explode)) = style {
                    encoding.insert(name.to_owned(), json!({"style": style, "explode": explode}));
                }
                fields.insert(name.to_owned(), schema);
            }
            _ => parameters.push(self::parameter(parameter)),
        }
    }
    written.insert("parameters".to_owned(), Json::Array(parameters));
    if let Some(body) = body {
        let schema = body.get("schema").cloned().unwrap_or_else(|| json!({}));
        let media = consumes.first().map_or("application/json", String::as_str);
        let required = body.get("required").cloned().unwrap_or(Json::Bool(false));
        let content = Map::from_iter([(media.to_owned(), json!({ "schema": schema }))]);
        let description = body.get("description").cloned().unwrap_or_default();
        written.insert(
            "requestBody".to_owned(),
            json!({"content": content, "required": required, "description": description}),
        );
    } else if !fields.is_empty() {
        let has_file = fields.values().any(|field| field.get("format") == Some(&json!("binary")));
        let multipart = has_file || consumes.iter().any(|media| media == "multipart/form-data");
        let media = if multipart { "multipart/form-data" } else { "application/x-www-form-urlencoded" };
        let schema = json!({"type": "object", "properties": fields, "required": required});
        let content = Map::from_iter([(media.to_owned(), json!({"schema": schema, "encoding": encoding}))]);
        written
            .insert("requestBody".to_owned(), json!({"content": content, "required": !required.is_empty()}));
    }
    written.insert("responses".to_owned(), responses(root, operation));
    Json::Object(written)
}

fn media_types(root: &Json, operation: &Json, key: &str) -> Vec<String> {
    let list = operation.get(key).or_else(|| root.get(key)).and_then(Json::as_array);
    let texts = list.map(|list| list.iter().filter_map(Json::as_str).map(str::to_owned).collect::<Vec<_>>());
    let mut texts = texts.unwrap_or_default();
    // JSON first, where there is a choice.
    texts.sort_by_key(|media| !media.contains("json"));
    texts
}

fn parameter(parameter: &Json) -> Json {
    let (schema, style) = schema(parameter);
    let mut written = Map::new();
    for key in ["name", "in", "description", "required"] {
        if let Some(value) = parameter.get(key) {
            written.insert(key.to_owned(), value.clone());
        }
    }
    if let Some((style, explode)) = style {
        written.insert("style".to_owned(), json!(style));
        written.insert("explode".to_owned(), json!(explode));
    }
    written.insert("schema".to_owned(), schema);
    Json::Object(written)
}

/// The schema of a parameter, and how a list of it is written.
fn schema(parameter: &Json) -> (Json, Option<(&'static str, bool)>) {
    let mut schema = Map::new();
    for key in OF_SCHEMA {
        if let Some(value) = parameter.get(*key) {
            schema.insert((*key).to_owned(), value.clone());
        }
    }
    if schema.get("type") == Some(&json!("file")) {
        schema.insert("type".to_owned(), json!("string"));
        schema.insert("format".to_owned(), json!("binary"));
    }
    let list = schema.get("type") == Some(&json!("array"));
    let place = parameter.get("in").and_then(Json::as_str).unwrap_or_default();
    let plain = if matches!(place, "path" | "header") { "simple" } else { "form" };
    let style = list.then(|| match parameter.get("collectionFormat").and_then(Json::as_str) {
        Some("multi") => (plain, true),
        Some("ssv") => ("spaceDelimited", false),
        Some("tsv") => ("tabDelimited", false),
        Some("pipes") => ("pipeDelimited", false),
        _ => (plain, false),
    });
    (Json::Object(schema), style)
}

/// Responses with their media types, which is all that is asked of them.
fn responses(root: &Json, operation: &Json) -> Json {
    let produces = media_types(root, operation, "produces");
    let responses = operation.get("responses").and_then(Json::as_object);
    let with_content = |(status, response): (&String, &Json)| {
        let content: Map<String, Json> = match response.get("schema") {
            Some(_) => produces.iter().map(|media| (media.clone(), json!({}))).collect(),
            None => Map::new(),
        };
        (status.clone(), json!({ "content": content }))
    };
    Json::Object(responses.into_iter().flatten().map(with_content).collect())
}
