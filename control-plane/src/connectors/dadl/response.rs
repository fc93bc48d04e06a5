//! `response`: what becomes of an answer before the caller reads it.

use std::time::Duration;

use toolmesh_proto::jq::Program;
use toolmesh_proto::v1;

use super::diagnostic::{Report, quote};
use super::fields::{Field, Fields, one_of};
use super::{duration, jsonpath, rules};

/// Most masks of one tool.
const MAX_MASKS: usize = 100;
/// A link opens without logging in, so it is not good for long.
const LONGEST_LINK: Duration = Duration::from_secs(3600);

pub(super) fn read(field: &Field<'_>, report: &mut Report) -> v1::ResponseRule {
    let mut rule = v1::ResponseRule::default();
    let Some(mut fields) = field.fields(report) else { return rule };
    rule.result_path = path(&mut fields, "result_path", report).unwrap_or_default();
    rule.metadata_path = match path(&mut fields, "metadata_path", report) {
        // The whole answer, which is not the same as no path here.
        Some(whole) if whole.is_empty() => "$".to_owned(),
        path => path.unwrap_or_default(),
    };
    rule.max_items = fields.count("max_items", report).unwrap_or_default();
    rule.transform = fields.get("transform").and_then(|field| program(&field, report)).unwrap_or_default();
    rule.redact = fields.get("redact").map(|field| masks(&field, report)).unwrap_or_default();
    rule.allow_jq = fields.boolean("allow_jq_override", report).unwrap_or_default();
    read_file(&mut fields, &mut rule, report);
    rule.streaming = read_streaming(&mut fields, rule.max_items, report);
    fields.finish(report);
    if rule.file && !(rule.transform.is_empty() && rule.result_path.is_empty()) {
        field.error(
            report,
            "is a file and is cut or transformed",
            "leave out `binary`, or result_path and transform",
        );
    }
    rule
}

/// A tool's own rule with the inherited masks: they add up, so that no tool shows by accident what the file hides.
pub(super) fn with_inherited(mut own: v1::ResponseRule, inherited: &v1::ResponseRule) -> v1::ResponseRule {
    for mask in &inherited.redact {
        if !own.redact.contains(mask) {
            own.redact.push(mask.clone());
        }
    }
    own
}

/// A JSONPath in strict form; empty for the whole answer.
pub(super) fn path(fields: &mut Fields<'_>, key: &'static str, report: &mut Report) -> Option<String> {
    let field = fields.get(key)?;
    let text = field.text(report).filter(|text| !text.trim().is_empty())?;
    match jsonpath::normalise(&text) {
        Ok(path) => Some(path),
        Err(problem) => {
            field.error(report, problem, "");
            None
        }
    }
}

fn program(field: &Field<'_>, report: &mut Report) -> Option<String> {
    let text = field.text(report).filter(|text| !text.trim().is_empty())?;
    match Program::compile(&text) {
        Ok(_) => Some(text),
        Err(error) => {
            let help = format!("see line {}, column {} of the program", error.line, error.column);
            field.error(report, format!("is not a jq program: {}", error.message), help);
            None
        }
    }
}

fn masks(field: &Field<'_>, report: &mut Report) -> Vec<String> {
    let items = field.items(report);
    if items.len() > MAX_MASKS {
        field.error(report, format!("has more than {MAX_MASKS} paths"), "use wildcards");
    }
    let mut masks = Vec::new();
    for item in items {
        let Some(text) = item.text(report) else { continue };
        match jsonpath::normalise(&text) {
            Ok(path) if path.is_empty() => {
                item.error(report, "masks the whole answer", "name what is to be hidden")
            }
            Ok(path) => masks.push(path),
            Err(problem) => item.error(report, problem, ""),
        }
    }
    masks
}

fn read_file(fields: &mut Fields<'_>, rule: &mut v1::ResponseRule, report: &mut Report) {
    rule.file = fields.boolean("binary", report).unwrap_or_default();
    if let Some(field) = fields.get("type") {
        match field.text(report).as_deref() {
            None | Some("json" | "text" | "") => {}
            Some("file_url" | "file" | "binary") => rule.file = true,
            Some(word) => {
                field.error(
                    report,
                    format!("{} is not known", quote(word)),
                    one_of(&["json", "text", "file_url"]),
                );
            }
        }
    }
    rule.media_type =
        fields.get("content_type").and_then(|f| rules::media_type(&f, report)).unwrap_or_default();
    if let Some(field) = fields.get("ttl") {
        rule.link_seconds = read_ttl(&field, rule.file, report);
    }
}

/// How long a link to the file is good. Small files come with the answer, without a link.
fn read_ttl(field: &Field<'_>, file: bool, report: &mut Report) -> u32 {
    let Some(ttl) = duration::read(field, report) else { return 0 };
    if !file {
        field.warn(report, "has no effect: the answer is no file", "leave it out, or write type: file_url");
        return 0;
    }
    if ttl > LONGEST_LINK {
        field.warn(report, "is longer than an hour; links to files are good for an hour at most", "");
    }
    u32::try_from(ttl.min(LONGEST_LINK).as_secs()).unwrap_or_default().max(1)
}

fn read_streaming(fields: &mut Fields<'_>, max_items: u32, report: &mut Report) -> Option<v1::Streaming> {
    let on = fields.boolean("streaming", report) == Some(true);
    let handling = fields.word("stream_handling", &["collect", "skip"], report);
    let longest = fields.get("max_duration").and_then(|field| duration::read(&field, report));
    on.then(|| v1::Streaming {
        skip: handling == Some("skip"),
        max_millis: longest.map(duration::millis).unwrap_or_default(),
        max_items,
    })
}
