//! What happens around a call: how the answer is cut, where errors hide their message, how lists are paged.
//!
//! Owns the inheritance between `backend.defaults` and a tool, and the verdict on what this version does not execute.

use toolmesh_proto::v1;

use super::auth::Auth;
use super::diagnostic::Report;
use super::fields::{Field, Fields};
use super::{headers, jsonpath};

/// `backend.defaults`.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    pub headers: Vec<v1::Header>,
    pub content_type: Option<String>,
    pub nest_body_keys: bool,
    pub paging: Option<Paging>,
    pub response: Response,
    pub errors: v1::ErrorRule,
}

/// How an answer is treated, and why it cannot be, if so.
#[derive(Clone, Debug, Default)]
pub(super) struct Response {
    pub rule: v1::ResponseRule,
    /// What this version does not execute.
    pub blocked: Vec<&'static str>,
    /// Paths are masked; defaults and tool add up.
    pub redacts: bool,
}

/// How a list is paged.
#[derive(Clone, Debug)]
pub(super) struct Paging {
    pub strategy: &'static str,
    /// The caller pages by arguments; otherwise the gateway would have to.
    pub exposed: bool,
    /// Cursor, offset or number of the page.
    pub position_param: Option<String>,
    pub limit_param: Option<String>,
    pub limit_default: Option<u32>,
}

pub(super) fn read_defaults(field: Option<Field<'_>>, auth: &Auth, report: &mut Report) -> Defaults {
    let mut defaults = Defaults::default();
    let Some(mut fields) = field.and_then(|field| field.fields(report)) else { return defaults };
    if let Some(field) = fields.get("headers") {
        let (mut all, content_type) = headers::read_defaults(&field, report);
        all.retain(|header| !auth.owns_header(&header.name));
        defaults.headers = all;
        defaults.content_type = content_type;
    }
    if let Some(field) = fields.get("content_type") {
        defaults.content_type = media_type(&field, report);
    }
    defaults.nest_body_keys = fields.boolean("nest_body_keys", report).unwrap_or_default();
    defaults.paging = fields.get("pagination").and_then(|field| read_paging(&field, report));
    defaults.response = fields.get("response").map(|field| read_response(&field, report)).unwrap_or_default();
    defaults.errors = fields.get("errors").map(|field| read_errors(&field, report)).unwrap_or_default();
    fields.finish(report);
    defaults
}

/// A content type as it is sent.
pub(super) fn media_type(field: &Field<'_>, report: &mut Report) -> Option<String> {
    let text = field.text(report)?;
    let essence = text.split(';').next().unwrap_or_default().trim();
    if !headers::is_value(&text) || essence.split('/').filter(|part| !part.is_empty()).count() != 2 {
        field.error(report, "is not a media type", "write one such as application/json");
        return None;
    }
    Some(text)
}

pub(super) fn read_response(field: &Field<'_>, report: &mut Report) -> Response {
    let mut response = Response::default();
    let Some(mut fields) = field.fields(report) else { return response };
    if let Some(field) = fields.get("result_path") {
        response.rule.result_path = path(&field, report);
    }
    if let Some(field) = fields.get("metadata_path") {
        path(&field, report);
    }
    response.rule.max_items = fields.count("max_items", report).unwrap_or_default();
    if fields.get("transform").and_then(|field| field.text(report)).is_some() {
        response.blocked.push("a jq transform of the answer");
    }
    if !fields.texts("redact", report).is_empty() {
        response.redacts = true;
    }
    if fields.boolean("binary", report) == Some(true) {
        response.blocked.push("binary answers");
    }
    if fields.boolean("streaming", report) == Some(true) {
        response.blocked.push("streamed answers");
    }
    fields.word("stream_handling", &["collect", "skip"], report);
    match fields.text("type", report).as_deref() {
        None | Some("json" | "text" | "") => {}
        Some("file_url" | "file") => response.blocked.push("answers that are files"),
        Some(_) => response.blocked.push("this type of answer"),
    }
    fields.boolean("allow_jq_override", report);
    fields.skip(&["ttl", "content_type", "max_duration"]);
    fields.finish(report);
    response
}

fn path(field: &Field<'_>, report: &mut Report) -> String {
    let text = field.text(report).filter(|text| !text.trim().is_empty());
    match text.as_deref().map(jsonpath::normalise) {
        None => String::new(),
        Some(Ok(path)) => path,
        Some(Err(problem)) => {
            field.error(report, problem, "");
            String::new()
        }
    }
}

pub(super) fn read_errors(field: &Field<'_>, report: &mut Report) -> v1::ErrorRule {
    let mut rule = v1::ErrorRule::default();
    let Some(mut fields) = field.fields(report) else { return rule };
    fields.word("format", &["json", "text", "xml"], report);
    if let Some(field) = fields.get("message_path") {
        rule.message_path = path(&field, report);
    }
    if let Some(field) = fields.get("code_path") {
        path(&field, report);
    }
    let retried = statuses(&mut fields, "retry_on", report);
    let last = fields.get("terminal");
    if let Some(both) = statuses(&mut fields, "terminal", report).iter().find(|s| retried.contains(s))
        && let Some(last) = last
    {
        last.warn(report, format!("{both} is also in `retry_on`"), "keep it in one of the two");
    }
    if let Some(mut strategy) = fields.get("retry_strategy").and_then(|field| field.fields(report)) {
        strategy.count("max_retries", report);
        strategy.word("backoff", &["exponential", "linear", "fixed"], report);
        strategy.text("initial_delay", report);
        strategy.finish(report);
    }
    if let Some(mut limit) = fields.get("rate_limit").and_then(|field| field.fields(report)) {
        limit.text("header", report);
        limit.text("retry_after_header", report);
        limit.finish(report);
    }
    for (key, field) in fields.get("map").map(|field| field.children(report)).unwrap_or_default() {
        let known = key.name.parse::<u16>().is_ok_and(|status| (400..600).contains(&status));
        if !known {
            report.error(key.at, &field.path, "is not an HTTP status from 400 to 599", "");
        }
        field.text(report);
    }
    fields.finish(report);
    rule
}

fn statuses(fields: &mut Fields<'_>, key: &'static str, report: &mut Report) -> Vec<u32> {
    let items = fields.get(key).map(|field| field.items(report)).unwrap_or_default();
    items.iter().filter_map(|item| item.count(report)).collect()
}

/// What a tool's `pagination` says: `Some(None)` for the word `none`.
pub(super) fn read_tool_paging(field: &Field<'_>, report: &mut Report) -> Option<Paging> {
    if let Some(word) = field.node.text() {
        if word != "none" {
            field.error(report, format!("{word:?} is not known"), "write none, or a mapping with a strategy");
        }
        return None;
    }
    read_paging(field, report)
}

fn read_paging(field: &Field<'_>, report: &mut Report) -> Option<Paging> {
    if field.node.text().is_some_and(|word| word == "none") {
        return None;
    }
    let mut fields = field.fields(report)?;
    let had = report.error_count();
    let strategy = fields.word("strategy", &["cursor", "offset", "page", "link_header"], report);
    if strategy.is_none() && report.error_count() == had {
        field.warn(
            report,
            "names no strategy and has no effect",
            "write cursor, offset, page or link_header",
        );
    }
    // Without a word the caller pages: nothing is hidden and nothing is fetched that nobody asked for.
    let exposed = fields.word("behavior", &["auto", "expose"], report) != Some("auto");
    fields.count("max_pages", report);
    let mut paging = Paging {
        strategy: strategy.unwrap_or_default(),
        exposed,
        position_param: None,
        limit_param: None,
        limit_default: None,
    };
    if let Some(mut request) = fields.get("request").and_then(|field| field.fields(report)) {
        let cursor = request.text("cursor_param", report);
        let page = request.text("page_param", report);
        let offset = request.text("offset_param", report);
        paging.limit_param = request.text("limit_param", report).filter(|name| !name.is_empty());
        paging.limit_default = request.count("limit_default", report);
        let own = match paging.strategy {
            "page" => page,
            "offset" => offset,
            "link_header" => page.or(offset),
            _ => None,
        };
        paging.position_param = own.or(cursor).filter(|name| !name.is_empty());
        request.finish(report);
    }
    if let Some(mut response) = fields.get("response").and_then(|field| field.fields(report)) {
        response.skip(&["next_cursor", "has_more", "total_pages_header", "total_count_header"]);
        response.finish(report);
    }
    fields.finish(report);
    strategy.map(|_| paging)
}
