//! `pagination`: how a list is gone through, by the node or by the caller.

use toolmesh_proto::v1::{self, condition::Comparison, paging::Strategy};

use super::diagnostic::Report;
use super::fields::{Field, Fields};
use super::{headers, jsonpath, response};

/// What a tool's `pagination` says; `None` for the word `none`.
pub(super) fn read_tool(field: &Field<'_>, report: &mut Report) -> Option<v1::Paging> {
    if let Some(word) = field.node.text() {
        if word != "none" {
            field.error(report, format!("{word:?} is not known"), "write none, or a mapping with a strategy");
        }
        return None;
    }
    read(field, report)
}

pub(super) fn read(field: &Field<'_>, report: &mut Report) -> Option<v1::Paging> {
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
    let auto = fields.word("behavior", &["auto", "expose"], report) == Some("auto");
    let max_pages = fields.count("max_pages", report).unwrap_or_default();
    let strategy = strategy.map(|word| match word {
        "cursor" => Strategy::Cursor,
        "offset" => Strategy::Offset,
        "page" => Strategy::Page,
        _ => Strategy::LinkHeader,
    });
    let mut paging =
        v1::Paging { strategy: strategy.unwrap_or_default().into(), auto, max_pages, ..Default::default() };
    if let Some(mut request) = fields.get("request").and_then(|field| field.fields(report)) {
        read_request(&mut request, &mut paging, report);
        request.finish(report);
    }
    if let Some(mut answer) = fields.get("response").and_then(|field| field.fields(report)) {
        read_answer(&mut answer, &mut paging, report);
        answer.finish(report);
    }
    fields.finish(report);
    if auto && strategy.is_some_and(|s| s != Strategy::LinkHeader) && paging.position_param.is_empty() {
        field.warn(report, "names no parameter for the position; only the first page is fetched", "");
    }
    strategy.map(|_| paging)
}

fn read_request(fields: &mut Fields<'_>, paging: &mut v1::Paging, report: &mut Report) {
    let cursor = fields.text("cursor_param", report);
    let page = fields.text("page_param", report);
    let offset = fields.text("offset_param", report);
    paging.limit_param = fields.text("limit_param", report).unwrap_or_default();
    paging.limit_default = fields.count("limit_default", report).unwrap_or_default();
    let own = match paging.strategy() {
        Strategy::Page => page,
        Strategy::Offset => offset,
        Strategy::LinkHeader => page.or(offset),
        Strategy::Cursor | Strategy::Unspecified => None,
    };
    paging.position_param = own.or(cursor).unwrap_or_default();
}

fn read_answer(fields: &mut Fields<'_>, paging: &mut v1::Paging, report: &mut Report) {
    paging.next_cursor = response::path(fields, "next_cursor", report).unwrap_or_default();
    if let Some(field) = fields.get("has_more") {
        match field.text(report).as_deref().map(condition) {
            Some(Ok(condition)) => paging.has_more = Some(condition),
            Some(Err(problem)) => {
                field.error(report, problem, "write one such as $.has_more or $.page < $.pages")
            }
            None => {}
        }
    }
    for key in ["total_pages_header", "total_count_header"] {
        let Some(field) = fields.get(key) else { continue };
        let name = field.text(report).unwrap_or_default();
        if !headers::is_name(&name) {
            field.error(report, "is not a header name", "");
        } else if key == "total_pages_header" {
            paging.total_pages_header = name;
        } else {
            paging.total_count_header = name;
        }
    }
}

const OPERATORS: [(&str, Comparison); 8] = [
    ("===", Comparison::Equal),
    ("!==", Comparison::NotEqual),
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

/// A path, or one comparison of a path with another or with a plain value.
fn condition(text: &str) -> Result<v1::Condition, String> {
    let text = text.trim();
    let (negated, text) = match text.strip_prefix("not ").or_else(|| text.strip_prefix('!')) {
        Some(rest) => (true, rest.trim()),
        None => (false, text),
    };
    let Some((at, sign, comparison)) = operator(text) else {
        return Ok(v1::Condition { path: jsonpath::normalise(text)?, negated, ..Default::default() });
    };
    let (left, right) = (text[..at].trim(), text[at + sign.len()..].trim());
    let mut condition = v1::Condition {
        path: jsonpath::normalise(left)?,
        comparison: comparison.into(),
        negated,
        ..Default::default()
    };
    if right.starts_with('$') {
        let path = jsonpath::normalise(right)?;
        condition.other_path = if path.is_empty() { "$".to_owned() } else { path };
    } else {
        condition.other_json =
            literal(right).ok_or("compares with what is neither a path nor a plain value")?;
    }
    Ok(condition)
}

/// The first operator outside of quotes and brackets.
fn operator(text: &str) -> Option<(usize, &'static str, Comparison)> {
    let (mut quote, mut depth) = (None, 0_u32);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => depth = depth.saturating_sub(1),
            (None, _) if depth == 0 => {
                let rest = text.get(at..)?;
                let found = OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign));
                if let Some((sign, comparison)) = found {
                    return Some((at, sign, *comparison));
                }
            }
            (None, _) => {}
        }
    }
    None
}

fn literal(text: &str) -> Option<String> {
    let quoted = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(inner) = quoted('\'') {
        return Some(serde_json::Value::from(inner).to_string());
    }
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    (!value.is_array() && !value.is_object()).then(|| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_as_files_write_them() {
        let plain = condition("$.meta.has_next").unwrap();
        assert_eq!(
            (plain.path.as_str(), plain.comparison(), plain.negated),
            ("$.meta.has_next", Comparison::None, false)
        );
        let both = condition("$.page < $.pages").unwrap();
        assert_eq!(
            (both.path.as_str(), both.comparison(), both.other_path.as_str()),
            ("$.page", Comparison::Less, "$.pages")
        );
        let empty = condition("$.result_info.cursor != ''").unwrap();
        assert_eq!((empty.comparison(), empty.other_json.as_str()), (Comparison::NotEqual, "\"\""));
        assert_eq!(condition("$.next != null").unwrap().other_json, "null");
        assert_eq!(condition("$['a<b'] == 3").unwrap().path, "$['a<b']");
        assert!(condition("!$.done").unwrap().negated);
        for bad in ["", "page < 3", "$.a < [1]", "$.a <", "$.a < b", "$.a && $.b"] {
            assert!(condition(bad).is_err(), "{bad}");
        }
    }
}
