//! `backend.health`: the call that tells whether the API is well, as a tool of its own.
//!
//! It takes no arguments, and of the answer nothing leaves but the verdict; so it is evaluated on the answer as it came,
//! without the rules that a tool has for its result.

use std::time::Duration;

use serde_json::json;
use toolmesh_proto::v1;

use super::diagnostic::{Report, quote};
use super::fields::{Field, Fields};
use super::rules::Defaults;
use super::tool::{self, Ready};
use super::{duration, probe, response};

const NAME: &str = "health";
const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
const USUAL: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(30);
const DESCRIPTION: &str = "Whether the API is up and takes the credential. Answers with ok, the status, how long it took, and when the credential expires if the API says so; it never fails.";

/// The block as it is written.
#[derive(Debug)]
pub(super) struct Health<'a> {
    form: Form<'a>,
    rule: v1::HealthRule,
    /// Callers may make the call.
    pub exposed: bool,
}

#[derive(Debug)]
enum Form<'a> {
    Tool(Field<'a>, String),
    Endpoint { method: &'static str, path: String },
}

/// Reads the block; `None` only after errors.
pub(super) fn read<'a>(field: &Field<'a>, report: &mut Report) -> Option<Health<'a>> {
    let mut fields = field.fields(report)?;
    let (named, path) = (fields.get("tool"), fields.get("path"));
    let method = fields.word("method", METHODS, report);
    let rule = read_rule(&mut fields, report);
    let exposed = fields.boolean("expose", report).unwrap_or(true);
    fields.finish(report);
    let form = match (named, path) {
        (Some(named), None) => {
            let name = named.text(report)?;
            Form::Tool(named, name)
        }
        (None, Some(path)) => {
            let (path, placeholders) = tool::read_path(&path, report)?;
            if !placeholders.is_empty() {
                field.error(
                    report,
                    "has a path with a placeholder, which nothing fills in",
                    "write a fixed path",
                );
                return None;
            }
            Form::Endpoint { method: method.unwrap_or("GET"), path }
        }
        (Some(_), Some(path)) => {
            path.error(report, "stands beside `tool`", "keep one of the two");
            return None;
        }
        (None, None) => {
            field.error(
                report,
                "names neither a tool nor a path",
                "write `tool:` with a read tool, or `path:`",
            );
            return None;
        }
    };
    Some(Health { form, rule, exposed })
}

fn read_rule(fields: &mut Fields<'_>, report: &mut Report) -> v1::HealthRule {
    let status = fields.get("expect_status");
    let expect_status = status.as_ref().and_then(|field| field.count(report)).unwrap_or_default();
    if let Some(status) = status.filter(|_| !(100..600).contains(&expect_status)) {
        status.error(report, "is not an HTTP status", "write one such as 200");
    }
    let timeout = fields.get("timeout").and_then(|field| duration::read(&field, report)).unwrap_or(USUAL);
    v1::HealthRule {
        expect_status,
        expect_path: response::path(fields, "expect_path", report).unwrap_or_default(),
        auth_expires_path: response::path(fields, "auth_expires_path", report).unwrap_or_default(),
        timeout_ms: duration::millis(timeout.min(LONGEST)),
    }
}

impl Health<'_> {
    /// The tool that makes the call; `None` where the one that is named cannot serve.
    pub(super) fn tool(&self, tools: &[Ready], defaults: &Defaults, report: &mut Report) -> Option<v1::Tool> {
        let mut call = match &self.form {
            Form::Endpoint { method, path } => v1::RestCall {
                method: (*method).to_owned(),
                path: path.clone(),
                body: v1::BodyEncoding::None.into(),
                errors: Some(defaults.errors.rule.clone()),
                ..Default::default()
            },
            Form::Tool(field, name) => {
                let named = tools.iter().find(|ready| ready.tool.name == *name);
                let Some(ready) = named.filter(|ready| probe::is_harmless(&ready.tool)) else {
                    let message = format!("{} is not a read tool that works without arguments", quote(name));
                    let help = "name a tool with `access: read` and no required parameter";
                    field.warn(report, message, help);
                    return None;
                };
                let Some(v1::tool::Call::Rest(call)) = &ready.tool.call else { return None };
                let mut call = call.clone();
                // There are no arguments; what has a default is sent as always.
                call.params.retain(|param| !param.default_json.is_empty());
                call.params.iter_mut().for_each(|param| param.fixed = true);
                call.response = None;
                call.retry = None;
                call.paging = None;
                call
            }
        };
        call.health = Some(self.rule.clone());
        let schema = json!({ "type": "object", "properties": {}, "additionalProperties": false });
        Some(v1::Tool {
            name: NAME.to_owned(),
            title: "Health".to_owned(),
            description: DESCRIPTION.to_owned(),
            access: "read".to_owned(),
            input_schema_json: schema.to_string(),
            call: Some(v1::tool::Call::Rest(call)),
            ..Default::default()
        })
    }
}
