//! DADL text of the operations that were picked: laid out as a person would, one line per key.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

use super::operations::{self, Tool};
use super::params::Param;
use super::schema::Schemas;
use super::security::{self, Auth};
use super::{Document, Generated, Refused, one_line, servers};

pub(super) fn write(
    document: &Document,
    name: &str,
    picked: &HashMap<String, String>,
) -> Result<Generated, Refused> {
    let places = operations::all(document);
    let mut taken = HashSet::new();
    let mut schemas = Schemas::new(&document.root);
    let mut tools = Vec::new();
    let mut notes = Vec::new();
    let mut required = Vec::new();
    for place in &places {
        // Names are given in the order of the document, so that they are those of the outline.
        let tool_name = operations::name(place, &mut taken);
        let Some(access) = picked.get(&place.key()) else { continue };
        match operations::build(document, place, &mut schemas) {
            Ok(tool) => {
                tools.push((tool_name, access, tool));
                required.push(place.operation.get("security"));
            }
            Err(reason) => notes.push(format!("{} {reason}.", place.key())),
        }
    }
    if tools.is_empty() {
        let reason = notes.first().map(|note| format!(" {note}")).unwrap_or_default();
        return Err(Refused(format!("No operation was picked that can be a tool.{reason}")));
    }
    let auth = security::choose(document, &required);
    let server = servers::base_url(document);
    notes.extend(server.note);
    notes.extend(auth.notes.iter().cloned());
    let mut dadl = head(document, name, &server.url, &auth) + "\n  tools:\n";
    let uses = auth.uses.iter().copied().chain(std::iter::repeat(""));
    for ((name, access, tool), credential) in tools.iter().zip(uses) {
        write_tool(&mut dadl, name, access, credential, tool);
    }
    Ok(Generated { dadl, notes })
}

fn head(document: &Document, name: &str, base_url: &str, auth: &Auth) -> String {
    let text = |pointer: &str| document.root.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
    let title = one_line(text("/info/title"), 120);
    let described = one_line(text("/info/description"), 300);
    let described = match described.as_str() {
        "" if title.to_ascii_lowercase().ends_with(" api") => format!("{title}."),
        "" => format!("The API of {title}."),
        _ => described,
    };
    let mut out = String::from("spec: https://dadl.ai/spec/dadl-spec-v0.2.md\n");
    if !title.is_empty() {
        line(&mut out, 0, "source_name", &title);
    }
    if let Some(url) = &document.url {
        line(&mut out, 0, "source_url", url.as_str());
    }
    out.push_str("\nbackend:\n");
    line(&mut out, 2, "name", name);
    line(&mut out, 2, "type", "rest");
    if let Some(version) = version(text("/info/version")) {
        line(&mut out, 2, "version", &version);
    }
    if !base_url.is_empty() {
        line(&mut out, 2, "base_url", base_url);
    }
    line(&mut out, 2, "description", &described);
    out.push_str("  auth:\n");
    for (key, value) in &auth.lines {
        match value {
            Json::String(text) => line(&mut out, 4, key, text),
            other => drop(writeln!(out, "    {key}: {}", flow(other))),
        }
    }
    setup(&mut out, document, auth);
    out
}

/// What helps whoever enters the credentials: the document's words on them, and where more is said.
fn setup(out: &mut String, document: &Document, auth: &Auth) {
    let docs =
        ["/externalDocs/url", "/info/contact/url"].into_iter().find_map(|at| web_address(document, at));
    let notes = contact(document);
    let lists = [
        ("credential_steps", &auth.steps),
        ("required_scopes", &auth.required_scopes),
        ("optional_scopes", &auth.optional_scopes),
    ];
    if lists.iter().all(|(_, list)| list.is_empty()) && docs.is_none() && notes.is_empty() {
        return;
    }
    out.push_str("  setup:\n");
    for (key, list) in lists {
        if !list.is_empty() {
            let _ = writeln!(out, "    {key}:");
            for item in list {
                let _ = writeln!(out, "      - {}", scalar(item));
            }
        }
    }
    if let Some(docs) = docs {
        line(out, 4, "docs_url", &docs);
    }
    if !notes.is_empty() {
        line(out, 4, "notes", &notes);
    }
}

fn web_address(document: &Document, pointer: &str) -> Option<String> {
    let text = document.root.pointer(pointer)?.as_str()?;
    let url = url::Url::parse(text).ok()?;
    (matches!(url.scheme(), "https" | "http") && text.len() <= 1_000).then(|| url.to_string())
}

/// Whom to ask, and on which terms the API is used.
fn contact(document: &Document) -> String {
    let text = |pointer: &str| document.root.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
    let who = [text("/info/contact/name"), text("/info/contact/email")];
    let who: Vec<String> =
        who.iter().map(|text| one_line(text, 100)).filter(|text| !text.is_empty()).collect();
    let mut notes = Vec::new();
    if !who.is_empty() {
        notes.push(format!("Contact: {}.", who.join(", ")));
    }
    notes.extend(web_address(document, "/info/termsOfService").map(|url| format!("Terms of service: {url}")));
    notes.join(" ")
}

/// The version where it is one that DADL knows.
fn version(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches('v');
    let parts: Vec<&str> = text.split('.').collect();
    let number = |part: &&str| (1..=6).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    ((2..=3).contains(&parts.len()) && parts.iter().all(number)).then(|| text.to_owned())
}

fn write_tool(out: &mut String, name: &str, access: &str, credential: &str, tool: &Tool) {
    let _ = writeln!(out, "    {name}:");
    line(out, 6, "method", &tool.method);
    line(out, 6, "path", &tool.path);
    line(out, 6, "access", access);
    if !credential.is_empty() {
        line(out, 6, "x-credential", credential);
    }
    line(out, 6, "description", &tool.description);
    if tool.deprecated {
        out.push_str("      deprecated: true\n");
    }
    if !tool.tags.is_empty() {
        let tags: Vec<String> = tool.tags.iter().map(|tag| scalar(tag)).collect();
        let _ = writeln!(out, "      x-tags: [{}]", tags.join(", "));
    }
    if !tool.content_type.is_empty() {
        line(out, 6, "content_type", &tool.content_type);
    }
    if !tool.params.is_empty() {
        out.push_str("      params:\n");
        tool.params.iter().for_each(|param| write_param(out, param));
    }
    if tool.stream_answer {
        out.push_str("      response:\n        streaming: true\n");
    }
    if let Some(media) = &tool.file_answer {
        let _ =
            writeln!(out, "      response:\n        binary: true\n        content_type: {}", scalar(media));
    }
}

fn write_param(out: &mut String, param: &Param) {
    let _ = writeln!(out, "        {}:", scalar(&param.argument));
    line(out, 10, "type", param.kind);
    line(out, 10, "in", if param.place == "cookie" { "header" } else { param.place });
    if param.place == "cookie" {
        out.push_str("          x-cookie: true\n");
    }
    if param.required {
        out.push_str("          required: true\n");
    }
    if let Some(value) = &param.fixed {
        let _ = writeln!(out, "          default: {}", flow(value));
    }
    if !param.description.is_empty() {
        line(out, 10, "description", &param.description);
    }
    if param.wire != param.argument && !param.whole_body && !(param.place == "path" && param.style.is_none())
    {
        line(out, 10, "x-name", &param.wire);
    }
    if let Some((style, explode)) = param.style {
        line(out, 10, "x-style", style);
        if explode != (style == "form") && !matches!(style, "json" | "deepObject") {
            let _ = writeln!(out, "          x-explode: {explode}");
        }
    }
    if param.whole_body {
        out.push_str("          x-whole-body: true\n");
    }
    if let Some(schema) = &param.schema {
        let _ = writeln!(out, "          x-schema: {}", object(schema));
    }
}

fn line(out: &mut String, indent: usize, key: &str, value: &str) {
    let _ = writeln!(out, "{:indent$}{key}: {}", "", scalar(value));
}

/// A text as YAML: plain where it is a plain word, else quoted as JSON, which YAML reads alike.
fn scalar(text: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.' | '+');
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let special = ["true", "false", "null"].iter().any(|special| special.eq_ignore_ascii_case(text));
    if begins && !special && text.len() <= 100 && text.chars().all(word) {
        return text.to_owned();
    }
    quoted(text)
}

/// As JSON, with every character escaped that YAML does not print.
fn quoted(text: &str) -> String {
    let json = Json::String(text.to_owned()).to_string();
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// A JSON value on one line, spaced for reading.
fn flow(value: &Json) -> String {
    match value {
        Json::Object(members) => object(members),
        Json::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Json::String(text) => quoted(text),
        other => other.to_string(),
    }
}

fn object(members: &Map<String, Json>) -> String {
    let member = |(key, value): (&String, &Json)| format!("{}: {}", quoted(key), flow(value));
    format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
}
