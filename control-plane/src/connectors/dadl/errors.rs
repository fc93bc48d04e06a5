//! `errors`: where an API's own words are, and which calls are worth a second try.

use std::time::Duration;

use toolmesh_proto::v1::{self, retry::Backoff};

use super::diagnostic::Report;
use super::fields::{Field, Fields};
use super::{duration, extensions, headers, response};

/// More retries than this are no second try.
const MAX_RETRIES: u32 = 10;
/// Wait before the first retry, where the file does not say.
const INITIAL_DELAY: Duration = Duration::from_secs(1);

/// What a tool's or a file's `errors` says.
#[derive(Clone, Debug, Default)]
pub(super) struct Errors {
    pub rule: v1::ErrorRule,
    /// Only with a `retry_strategy`; whether a second request does harm is the tool's to say.
    pub retry: Option<v1::Retry>,
}

pub(super) fn read(field: &Field<'_>, report: &mut Report) -> Errors {
    let mut errors = Errors::default();
    let Some(mut fields) = field.fields(report) else { return errors };
    let format = fields.word("format", &["json", "text", "xml"], report);
    errors.rule.plain = matches!(format, Some("text" | "xml"));
    errors.rule.message_path = response::path(&mut fields, "message_path", report).unwrap_or_default();
    errors.rule.code_path = response::path(&mut fields, "code_path", report).unwrap_or_default();
    errors.rule.refusal_path = extensions::refusal_path(&mut fields, report);
    let statuses = read_statuses(&mut fields, report);
    let strategy = fields.get("retry_strategy").and_then(|field| read_strategy(&field, report));
    let (remaining_header, retry_after_header) = read_limits(&mut fields, report);
    errors.rule.codes = fields.get("map").map(|field| read_codes(&field, report)).unwrap_or_default();
    fields.finish(report);
    errors.retry =
        strategy.map(|retry| v1::Retry { statuses, remaining_header, retry_after_header, ..retry });
    errors
}

/// `retry_on`, without what is also `terminal`: a file that says both means what does no harm.
fn read_statuses(fields: &mut Fields<'_>, report: &mut Report) -> Vec<u32> {
    let retried = statuses(fields, "retry_on", report);
    let last = fields.get("terminal");
    let terminal = statuses(fields, "terminal", report);
    if let (Some(both), Some(last)) = (terminal.iter().find(|status| retried.contains(status)), last) {
        last.warn(
            report,
            format!("{both} is also in `retry_on`; it is not retried"),
            "keep it in one of the two",
        );
    }
    retried.into_iter().filter(|status| !terminal.contains(status)).collect()
}

fn statuses(fields: &mut Fields<'_>, key: &'static str, report: &mut Report) -> Vec<u32> {
    let mut statuses = Vec::new();
    for item in fields.get(key).map(|field| field.items(report)).unwrap_or_default() {
        let status = item.node.text().and_then(|text| text.parse::<u32>().ok());
        match status.filter(|status| (200..600).contains(status)) {
            Some(status) => statuses.push(status),
            None => {
                let help = "write each from 200 to 599 by itself, such as [500, 502, 503]";
                item.error(report, "is not an HTTP status", help);
            }
        }
    }
    statuses
}

fn read_strategy(field: &Field<'_>, report: &mut Report) -> Option<v1::Retry> {
    let mut fields = field.fields(report)?;
    let mut max_retries = fields.count("max_retries", report).unwrap_or(3);
    if max_retries > MAX_RETRIES {
        field.warn(report, format!("asks for more than {MAX_RETRIES} retries; {MAX_RETRIES} are made"), "");
        max_retries = MAX_RETRIES;
    }
    let backoff = match fields.word("backoff", &["exponential", "linear", "fixed"], report) {
        Some("linear") => Backoff::Linear,
        Some("fixed") => Backoff::Fixed,
        _ => Backoff::Exponential,
    };
    let initial = fields.get("initial_delay").and_then(|field| duration::read(&field, report));
    let initial_millis = duration::millis(initial.unwrap_or(INITIAL_DELAY));
    fields.finish(report);
    Some(v1::Retry { max_retries, backoff: backoff.into(), initial_millis, ..Default::default() })
}

/// The names of the headers that count down and that say how long to wait.
fn read_limits(fields: &mut Fields<'_>, report: &mut Report) -> (String, String) {
    let mut names = [String::new(), String::new()];
    let Some(mut limit) = fields.get("rate_limit").and_then(|field| field.fields(report)) else {
        return names.into();
    };
    for (slot, key) in names.iter_mut().zip(["header", "retry_after_header"]) {
        let Some(field) = limit.get(key) else { continue };
        let name = field.text(report).unwrap_or_default();
        if headers::is_name(&name) {
            *slot = name;
        } else {
            field.error(report, "is not a header name", "");
        }
    }
    limit.finish(report);
    names.into()
}

fn read_codes(field: &Field<'_>, report: &mut Report) -> Vec<v1::StatusCode> {
    let mut codes = Vec::new();
    for (key, field) in field.children(report) {
        let status = key.name.parse::<u32>().ok().filter(|status| (400..600).contains(status));
        let Some(status) = status else {
            let help = "write one line for each status, such as `404: not_found`";
            report.error(key.at, &field.path, "is not an HTTP status from 400 to 599", help);
            continue;
        };
        let Some(code) = field.text(report) else { continue };
        if (1..=64).contains(&code.len())
            && code.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        {
            codes.push(v1::StatusCode { status, code });
        } else {
            field.error(report, "is not a code", "use letters, digits, `_`, `.` and `-`, at most 64");
        }
    }
    codes
}
