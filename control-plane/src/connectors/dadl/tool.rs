//! One tool: from its entry in the file to the call a node makes.
//!
//! Owns the decision whether this version can execute a tool. What it cannot execute wholly is left out, never executed by
//! half: a transform that does not run might have been what hides a secret.

use std::collections::HashSet;

use toolmesh_proto::v1;

use super::auth::Auth;
use super::diagnostic::{Mark, Report, quote};
use super::fields::{Field, Fields, one_of};
use super::params::{self, Params};
use super::rules::Defaults;
use super::types::Types;
use super::{answer, body, extensions, text};

const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];
const MAX_NAME: usize = 96;
/// Longest description with what is added to it, in characters; what an author wrote is never cut.
const MAX_DESCRIPTION: usize = 1024;

/// What is the same for all tools of a document.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub auth: &'a Auth,
    pub defaults: &'a Defaults,
    /// Names of all tools.
    pub names: HashSet<&'a str>,
    pub types: &'a Types,
}

/// A tool that can be executed.
#[derive(Debug)]
pub(super) struct Ready {
    pub tool: v1::Tool,
    /// Name of the argument that limits a list, for a cheap test call.
    pub limit: Option<String>,
    /// Enabling the connector leaves it switched off.
    pub default_off: bool,
}

/// What became of a tool.
#[derive(Debug)]
pub(super) enum Outcome {
    Ready(Box<Ready>),
    /// Errors were reported.
    Broken,
}

pub(super) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

pub(super) fn read(
    name: &str,
    at: Mark,
    field: &Field<'_>,
    context: &Context<'_>,
    report: &mut Report,
) -> Outcome {
    let had = report.error_count();
    if !is_name(name) {
        let help = "use letters, digits, `_` and `-`, at most 96";
        report.error(at, &field.path, format!("{} is not a name of a tool", quote(name)), help);
    }
    let Some(mut fields) = field.fields(report) else { return Outcome::Broken };
    let method =
        fields.need("method", report, &one_of(METHODS)).and_then(|field| read_method(&field, report));
    let path =
        fields.need("path", report, "write the path below the base URL").and_then(|f| read_path(&f, report));
    let (path, placeholders) = path.unwrap_or_default();
    let params = fields.get("params");
    let mut params = params::read(params.as_ref(), &placeholders, context.auth, report);
    check_placeholders(&fields, &placeholders, &params, report);
    let description = describe(&mut fields, context, report);
    let access = read_access(&mut fields, report);
    let tags = extensions::read_tags(&mut fields, report);
    let default_off = fields.boolean("x-default-off", report).unwrap_or_default();
    let credential = extensions::read_credential_use(&mut fields, report);
    let body = body::read(&mut fields, &params, context, report);
    let answer = answer::read(&mut fields, method, context, report);
    let deprecated =
        fields.get("deprecated").is_some_and(|field| field.node.text().is_some_and(|t| t != "false"));
    fields.finish(report);
    if report.error_count() > had {
        return Outcome::Broken;
    }
    let limit =
        answer.paging.as_ref().map(|paging| paging.limit_param.clone()).filter(|name| !name.is_empty());
    if let Some(paging) = &answer.paging {
        params.add_paging(paging);
    }
    if answer.takes_program() {
        params.add_program();
    }
    let output_schema_json = answer.output_schema_json.clone();
    let input_schema_json = params.schema().to_string();
    let mut rest = v1::RestCall {
        method: method.unwrap_or_default().to_owned(),
        path,
        params: params.list,
        credential: credential.into(),
        ..Default::default()
    };
    body.write(&mut rest);
    answer.write(&mut rest);
    let tool = v1::Tool {
        name: name.to_owned(),
        title: text::title(name),
        description,
        access,
        input_schema_json,
        output_schema_json,
        call: Some(v1::tool::Call::Rest(rest)),
        tags,
        hidden: name.starts_with('_'),
        deprecated,
    };
    Outcome::Ready(Box::new(Ready { tool, limit, default_off }))
}

fn read_method(field: &Field<'_>, report: &mut Report) -> Option<&'static str> {
    let word = field.text(report)?;
    if let Some(method) = METHODS.iter().find(|method| method.eq_ignore_ascii_case(&word)) {
        if **method != word {
            field.warn(report, format!("{} is read as {method}", quote(&word)), "write it in capitals");
        }
        return Some(method);
    }
    field.error(report, format!("{} is not a method", quote(&word)), one_of(METHODS));
    None
}

/// The path with a leading slash, and the names in braces.
pub(super) fn read_path(field: &Field<'_>, report: &mut Report) -> Option<(String, Vec<String>)> {
    let path = field.text(report)?;
    let problem = if path.contains("://") || path.starts_with("//") || path.contains('\\') {
        Some(("leads to another host", "write the path below the base URL; the host belongs into base_url"))
    } else if path.contains(['?', '#']) {
        Some((
            "holds a query or a fragment",
            "declare query parameters under params, with a default if fixed",
        ))
    } else if path.chars().any(|c| c.is_control() || c == ' ') {
        Some(("holds a space or control character", "write %20 for a space"))
    } else if path.split('/').any(is_dots) {
        Some(("holds a `.` or `..` segment", "write the path as it is after they are resolved"))
    } else {
        None
    };
    if let Some((message, help)) = problem {
        field.error(report, message, help);
        return None;
    }
    let Some(placeholders) = placeholders(&path) else {
        field.error(report, "has a brace without its counterpart", "write parameters as {name}");
        return None;
    };
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    Some((path, placeholders))
}

fn is_dots(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}

/// The names in braces, each once; `None` where braces do not pair.
fn placeholders(path: &str) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    let mut rest = path;
    while let Some(open) = rest.find(['{', '}']) {
        let after = rest.get(open..)?.strip_prefix('{')?;
        let (name, next) = after.split_once('}')?;
        if name.is_empty() || name.contains(['{', '/']) {
            return None;
        }
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
        rest = next;
    }
    Some(names)
}

fn check_placeholders(fields: &Fields<'_>, names: &[String], params: &Params, report: &mut Report) {
    for name in names.iter().filter(|name| !params.declares(name)) {
        let help = format!("declare `{name}` under params with `in: path`");
        let message = format!("`{{{name}}}` is not declared");
        report.error(fields.at, &format!("{}.path", fields.path), message, help);
    }
}

pub(super) fn read_access(fields: &mut Fields<'_>, report: &mut Report) -> String {
    let Some(field) = fields.get("access") else {
        let help = "write read, write, admin or dangerous";
        report.warn(
            fields.at,
            &format!("{}.access", fields.path),
            "is missing; the tool counts as write",
            help,
        );
        return String::new();
    };
    let Some(word) = field.text(report) else { return String::new() };
    let fits = (1..=32).contains(&word.len())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !fits {
        let help = "write read, write, admin or dangerous, or one word of your own";
        field.error(report, format!("{} is not an access class", quote(&word)), help);
    }
    word
}

/// The description as a model reads it, with a note on deprecation and on what to call first.
fn describe(fields: &mut Fields<'_>, context: &Context<'_>, report: &mut Report) -> String {
    let help = "say in one or two sentences what the tool does and what it returns";
    let field = fields.need("description", report, help);
    let written = field.as_ref().and_then(|field| field.text(report)).map(|text| text::clean(&text));
    let mut description = written.unwrap_or_default();
    if let Some(field) = field.filter(|_| description.is_empty()) {
        field.error(report, "is empty", help);
    }
    let successor = fields.text("replaced_by", report).map(|name| text::clean(&name)).unwrap_or_default();
    if let Some(note) = fields.get("deprecated").and_then(|field| deprecation(&field, &successor)) {
        description = format!("{note} {description}");
    }
    let mut first: Vec<String> = Vec::new();
    for item in fields.get("depends_on").map(|field| field.items(report)).unwrap_or_default() {
        let Some(name) = item.text(report) else { continue };
        if context.names.contains(name.as_str()) {
            first.push(name);
        } else {
            item.warn(report, format!("there is no tool {}", quote(&name)), "");
        }
    }
    if !first.is_empty() {
        append(&mut description, &format!("Usually called after: {}.", first.join(", ")));
    }
    description
}

fn deprecation(field: &Field<'_>, successor: &str) -> Option<String> {
    let reason = field.node.text().filter(|text| text != "false")?;
    let reason = if reason == "true" { String::new() } else { text::clean(&reason) };
    let mut note = "Deprecated".to_owned();
    if !reason.is_empty() {
        note.push_str(": ");
        note.push_str(reason.trim_end_matches('.'));
    }
    note.push('.');
    if !successor.is_empty() {
        note.push_str(" Use ");
        note.push_str(successor);
        note.push_str(" instead.");
    }
    Some(note)
}

/// Adds a note on its own line where it still fits.
pub(super) fn append(description: &mut String, note: &str) {
    if description.chars().count() + 1 + note.chars().count() <= MAX_DESCRIPTION {
        description.push('\n');
        description.push_str(note);
    }
}
