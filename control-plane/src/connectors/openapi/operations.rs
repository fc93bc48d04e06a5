//! Operations of a document, each as the tool it becomes.

use std::collections::HashSet;

use serde_json::Value as Json;

use super::params::Param;
use super::schema::Schemas;
use super::{
    Document, MAX_OPERATIONS, Operation, Refused, access, body, names, one_line, params, refs, servers,
    swagger,
};
use crate::connectors::dadl;

const METHODS: &[&str] = &["get", "post", "put", "patch", "delete", "head"];
const MAX_DESCRIPTION: usize = 600;

/// An operation where it stands in the document.
pub(super) struct Place<'a> {
    /// In capitals.
    pub method: String,
    pub path: &'a str,
    item: &'a Json,
    pub operation: &'a Json,
}

/// What an operation becomes.
#[derive(Debug)]
pub(super) struct Tool {
    pub method: String,
    /// With the arguments' names in braces.
    pub path: String,
    pub description: String,
    pub tags: Vec<String>,
    pub deprecated: bool,
    pub params: Vec<Param>,
    pub content_type: String,
    /// The media type of an answer that is a file.
    pub file_answer: Option<String>,
    /// An answer comes item by item, and in no other way.
    pub stream_answer: bool,
}

impl Place<'_> {
    pub(super) fn key(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// All operations, in the order of the document.
pub(super) fn all(document: &Document) -> Vec<Place<'_>> {
    let paths = document.root.get("paths").and_then(Json::as_object);
    let mut places = Vec::new();
    for (path, item) in paths.into_iter().flatten().filter(|(path, _)| path.starts_with('/')) {
        let Ok(item) = refs::follow(&document.root, item) else { continue };
        for method in METHODS {
            if let Some(operation) = item.get(*method).filter(|operation| operation.is_object()) {
                places.push(Place { method: method.to_ascii_uppercase(), path, item, operation });
            }
        }
    }
    places
}

/// What all operations are called and whether they can be tools.
pub(super) fn outline(document: &Document) -> Result<Vec<Operation>, Refused> {
    let places = all(document);
    if places.is_empty() {
        return Err(Refused("The document describes no operation below `paths`.".to_owned()));
    }
    if places.len() > MAX_OPERATIONS {
        let message =
            format!("The document has {} operations; at most {MAX_OPERATIONS} are read.", places.len());
        return Err(Refused(message));
    }
    let mut taken = HashSet::new();
    let mut schemas = Schemas::new(&document.root);
    let one = |place: &Place<'_>| {
        let built = build(document, place, &mut schemas);
        let name = name(place, &mut taken);
        let summary = summary(place.operation);
        Operation {
            key: place.key(),
            access: access::guess(&place.method, &name, place.path).to_owned(),
            summary: if summary.is_empty() { place.key() } else { summary },
            name,
            tags: tags(place),
            deprecated: place.operation.get("deprecated") == Some(&Json::Bool(true)),
            problem: built.err(),
        }
    };
    Ok(places.iter().map(one).collect())
}

/// The name of an operation's tool; asked for in the order of the document, it is always the same.
pub(super) fn name(place: &Place<'_>, taken: &mut HashSet<String>) -> String {
    let id = place.operation.get("operationId").and_then(Json::as_str);
    names::unique(&names::tool(id, &place.method, place.path), taken)
}

fn summary(operation: &Json) -> String {
    let text = |key: &str| operation.get(key).and_then(Json::as_str).unwrap_or_default();
    one_line(if text("summary").is_empty() { text("description") } else { text("summary") }, 160)
}

/// The groups of an operation; without any, the first part of its path.
fn tags(place: &Place<'_>) -> Vec<String> {
    let said = place.operation.get("tags").and_then(Json::as_array);
    let said = said.into_iter().flatten().filter_map(Json::as_str).map(|tag| one_line(tag, 60));
    let mut tags: Vec<String> = said.filter(|tag| !tag.is_empty()).take(4).collect();
    if tags.is_empty() {
        let part = place.path.split('/').find(|part| !part.is_empty() && !part.starts_with('{'));
        tags.extend(part.map(|part| one_line(part, 60)));
    }
    tags
}

/// The tool, or why there is none; completes the sentence that begins with the operation.
pub(super) fn build(
    document: &Document,
    place: &Place<'_>,
    schemas: &mut Schemas<'_>,
) -> Result<Tool, String> {
    schemas.begin();
    let prefix = place_prefix(document, place)?;
    let shared = array(place.item, "parameters");
    let rewritten = document.swagger.then(|| swagger::operation(&document.root, place.operation, shared));
    let operation = rewritten.as_ref().unwrap_or(place.operation);
    let mut taken = HashSet::new();
    let shared: &[Json] = if document.swagger { &[] } else { shared };
    let own = array(operation, "parameters");
    let mut params = params::read(schemas, shared, own, &mut taken)?;
    let path = path(&format!("{prefix}{}", place.path), &mut params, schemas, &mut taken)?;
    let body = body::read(schemas, operation.get("requestBody"), &place.method, &mut taken)?;
    params.extend(body.params);
    if let Some(reason) = schemas.take_bad() {
        return Err(reason);
    }
    Ok(Tool {
        method: place.method.clone(),
        path,
        description: description(place),
        tags: tags(place),
        deprecated: operation.get("deprecated") == Some(&Json::Bool(true)),
        params,
        content_type: body.content_type,
        file_answer: file_answer(&document.root, operation),
        stream_answer: is_stream(&document.root, operation),
    })
}

fn array<'a>(value: &'a Json, key: &str) -> &'a [Json] {
    value.get(key).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// What stands before the path because the operation or its path names a server of its own.
fn place_prefix(document: &Document, place: &Place<'_>) -> Result<String, String> {
    let own = place.operation.get("servers").or_else(|| place.item.get("servers"));
    if document.swagger { Ok(String::new()) } else { servers::prefix(document, own) }
}

fn description(place: &Place<'_>) -> String {
    let text = |key: &str| place.operation.get(key).and_then(Json::as_str).unwrap_or_default();
    let (summary, more) = (one_line(text("summary"), 200), one_line(text("description"), MAX_DESCRIPTION));
    match (summary.as_str(), more.as_str()) {
        ("", "") => format!("Calls {}.", place.key()),
        (one, "") | ("", one) => one.to_owned(),
        (summary, more) if more.starts_with(summary.trim_end_matches('.')) => more.to_owned(),
        (summary, more) => super::cut(&format!("{}. {more}", summary.trim_end_matches('.')), MAX_DESCRIPTION),
    }
}

/// The path with the arguments' names, which may not be those of the document; every name is declared.
fn path(
    template: &str,
    params: &mut Vec<Param>,
    schemas: &mut Schemas<'_>,
    taken: &mut HashSet<String>,
) -> Result<String, String> {
    let mut path = String::new();
    let mut used: Vec<String> = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, next)) = after.split_once('}') else {
            return Err("has a brace too many in its path".to_owned());
        };
        path.push_str(&literal(before)?);
        if !params.iter().any(|param| param.place == "path" && param.wire == name) {
            let mut param = params::described(schemas, name, "path", None, taken);
            param.required = true;
            params.push(param);
        }
        let known = params.iter().find(|param| param.place == "path" && param.wire == name);
        path.push_str(&format!("{{{}}}", known.map_or("", |param| param.argument.as_str())));
        used.push(name.to_owned());
        rest = next;
    }
    path.push_str(&literal(rest)?);
    params.retain(|param| param.place != "path" || used.contains(&param.wire));
    let climbs = path
        .split('/')
        .any(|part| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | ".."));
    if climbs || path.contains("//") {
        return Err("has a path with empty or dotted parts".to_owned());
    }
    Ok(path)
}

/// A fixed part of a path.
fn literal(text: &str) -> Result<String, String> {
    if text.contains(['?', '#']) {
        return Err("has a path with a query or a fragment in it".to_owned());
    }
    if text.contains(['}', '\\']) || text.chars().any(char::is_control) {
        return Err("has a path that cannot be read".to_owned());
    }
    Ok(text.replace(' ', "%20"))
}

/// The media types of successful answers.
fn answers<'a>(root: &'a Json, operation: &'a Json) -> Vec<&'a String> {
    let responses = operation.get("responses").and_then(Json::as_object).into_iter().flatten();
    let good = responses.filter(|(status, _)| status.starts_with('2'));
    let content =
        good.filter_map(|(_, response)| refs::follow(root, response).ok()?.get("content")?.as_object());
    // What is no media type says nothing of the answer.
    let media = content.flat_map(|content| content.keys());
    media.filter(|media| media.contains('*') || dadl::is_media_type(media)).collect()
}

/// Whether a successful answer comes item by item, and in no other way.
fn is_stream(root: &Json, operation: &Json) -> bool {
    const STREAMS: &[&str] = &["text/event-stream", "application/x-ndjson", "application/jsonl"];
    let media = answers(root, operation);
    let is_one = |media: &&String| {
        let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        STREAMS.contains(&essence.as_str())
    };
    !media.is_empty() && media.iter().all(is_one)
}

/// The media type of a successful answer that is neither JSON nor text.
fn file_answer(root: &Json, operation: &Json) -> Option<String> {
    let media = answers(root, operation);
    let readable = |media: &&String| {
        let media = media.to_ascii_lowercase();
        ["json", "text", "xml", "yaml", "javascript", "*/*", "csv", "form"]
            .iter()
            .any(|word| media.contains(word))
    };
    if media.iter().any(readable) {
        return None;
    }
    let first = media.first()?;
    Some(if first.contains('*') { "application/octet-stream".to_owned() } else { (*first).clone() })
}
