//! From an API's answer to what the caller reads.
//!
//! A rule that cannot be followed fails the call: what a connector meant to cut out is never passed on by accident.

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use serde_json::value::RawValue;

use super::plan::Plan;
use crate::execute::outbound::Reply;

/// Longest message of an API that is passed on, in characters.
const MESSAGE_CHARS: usize = 1024;
/// Deepest nesting of a JSON answer that is passed on.
const DEPTH: usize = 128;

/// A usable answer.
#[derive(Clone, Debug)]
pub enum Content {
    /// Compact JSON.
    Json(Box<RawValue>),
    Text(String),
}

impl Content {
    /// What the caller reads.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Json(json) => json.get(),
            Self::Text(text) => text,
        }
    }

    /// The JSON, if it is an object: the only kind `structuredContent` may hold up to MCP 2025-11-25.
    #[must_use]
    pub fn object(&self) -> Option<&RawValue> {
        match self {
            Self::Json(json) if json.get().starts_with('{') => Some(json),
            Self::Json(_) | Self::Text(_) => None,
        }
    }
}

/// An answer that cannot be passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The API said no. Its message, as far as one could be read.
    #[error("{status}: {message}")]
    Status { status: StatusCode, message: String, retry_after: Option<u64> },
    #[error("it answered with {0}")]
    NotUsable(String),
    #[error("its answer has nothing at {0}")]
    NothingAt(String),
}

/// Reads an answer by a plan's rules. `scrub` takes secrets out of a text; `wants_html` says that the request asked for it.
///
/// # Errors
/// When the API said no, or its answer is not what the plan needs.
pub fn read(
    plan: &Plan,
    reply: &Reply,
    wants_html: bool,
    scrub: &dyn Fn(&mut String),
) -> Result<Content, AnswerError> {
    if !reply.status.is_success() {
        return Err(refusal(plan, reply, scrub));
    }
    let kind = Kind::of(&reply.headers);
    if reply.body.is_empty() {
        return empty(plan, reply.status);
    }
    let mut text = decode(&reply.body, &kind)?;
    scrub(&mut text);
    if kind.may_be_json()
        && let Some(content) = json(plan, &text)
    {
        return content;
    }
    if let Some(path) = &plan.answer.result {
        return Err(AnswerError::NotUsable(format!("{}, which has no {}", kind.describe(), path.source())));
    }
    match kind {
        Kind::Json => Err(AnswerError::NotUsable("something that is not JSON, though it says so".to_owned())),
        Kind::Html if !wants_html => Err(AnswerError::NotUsable("a web page instead of data".to_owned())),
        Kind::Html | Kind::Text { .. } | Kind::Missing => Ok(Content::Text(text)),
        Kind::Binary(_) => Err(AnswerError::NotUsable(kind.describe())),
    }
}

fn empty(plan: &Plan, status: StatusCode) -> Result<Content, AnswerError> {
    match &plan.answer.result {
        Some(path) if status != StatusCode::NO_CONTENT => {
            Err(AnswerError::NothingAt(path.source().to_owned()))
        }
        _ => Ok(Content::Text(format!("Done ({}).", status_text(status)))),
    }
}

/// `404 Not Found`.
#[must_use]
pub fn status_text(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// What the Content-Type header says of a body.
#[derive(Debug)]
enum Kind {
    Json,
    Html,
    Text { latin1: bool },
    Missing,
    Binary(String),
}

impl Kind {
    fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(CONTENT_TYPE) else { return Self::Missing };
        let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
        let (media, rest) = value.split_once(';').unwrap_or((&value, ""));
        let media = media.trim();
        let latin1 = rest.contains("iso-8859-1") || rest.contains("windows-1252") || rest.contains("latin1");
        match media {
            "text/html" | "application/xhtml+xml" => Self::Html,
            _ if media.ends_with("/json") || media.ends_with("+json") => Self::Json,
            "application/xml"
            | "application/yaml"
            | "application/x-yaml"
            | "application/javascript"
            | "application/x-ndjson"
            | "application/jsonl"
            | "application/graphql"
            | "application/x-www-form-urlencoded" => Self::Text { latin1 },
            _ if media.starts_with("text/") || media.ends_with("+xml") => Self::Text { latin1 },
            "" => Self::Missing,
            _ => Self::Binary(media.chars().take(60).collect()),
        }
    }

    const fn may_be_json(&self) -> bool {
        !matches!(self, Self::Html | Self::Binary(_))
    }

    fn describe(&self) -> String {
        match self {
            Self::Json => "JSON".to_owned(),
            Self::Html => "a web page".to_owned(),
            Self::Text { .. } | Self::Missing => "plain text".to_owned(),
            Self::Binary(media) => format!("{media}, which is no text"),
        }
    }
}

fn decode(body: &[u8], kind: &Kind) -> Result<String, AnswerError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    match (std::str::from_utf8(body), kind) {
        (Ok(text), _) => Ok(text.to_owned()),
        (Err(_), Kind::Text { latin1: true }) => Ok(body.iter().copied().map(char::from).collect()),
        (Err(_), Kind::Binary(_)) => Err(AnswerError::NotUsable(kind.describe())),
        (Err(_), _) => Err(AnswerError::NotUsable("bytes that are no text".to_owned())),
    }
}

/// The part of a JSON answer that the plan asks for; `None` if it is no JSON.
fn json(plan: &Plan, text: &str) -> Option<Result<Content, AnswerError>> {
    if plan.answer.result.is_none() && plan.answer.max_items == 0 {
        // The usual case passes through as it was sent, numbers and order included; only white space goes.
        let whole = RawValue::from_string(text.to_owned()).ok()?;
        let compact = compact(whole.get())?;
        let unchanged = compact.len() == whole.get().len();
        let json = if unchanged { whole } else { RawValue::from_string(compact).ok()? };
        return Some(Ok(Content::Json(json)));
    }
    let mut value: Value = serde_json::from_str(text).ok()?;
    if let Some(path) = &plan.answer.result {
        match path.find(&value) {
            Some(found) => value = found,
            None => return Some(Err(AnswerError::NothingAt(path.source().to_owned()))),
        }
    }
    if let Value::Array(items) = &mut value
        && plan.answer.max_items > 0
    {
        items.truncate(plan.answer.max_items);
    }
    Some(Ok(Content::Json(serde_json::value::to_raw_value(&value).ok()?)))
}

/// JSON text without the white space between its parts; `None` where it nests too deep to be meant.
fn compact(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let (mut depth, mut start, bytes) = (0_usize, 0, text.as_bytes());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH {
                    return None;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b' ' | b'\n' | b'\r' | b'\t' => {
                // ASCII, so both ends are between characters.
                out.push_str(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    out.push_str(text.get(start..).unwrap_or_default());
    Some(out)
}

/// The closing quote of the string that opens at `open`, or the end of the text.
fn string_end(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn refusal(plan: &Plan, reply: &Reply, scrub: &dyn Fn(&mut String)) -> AnswerError {
    let mut message = message(plan, reply);
    scrub(&mut message);
    let retry_after =
        reply.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    AnswerError::Status { status: reply.status, message: clean(&message), retry_after }
}

fn message(plan: &Plan, reply: &Reply) -> String {
    if matches!(Kind::of(&reply.headers), Kind::Html | Kind::Binary(_)) {
        return String::new();
    }
    let text = String::from_utf8_lossy(&reply.body);
    let found = serde_json::from_str::<Value>(&text).ok().and_then(|value| match &plan.answer.message {
        Some(path) => path.find(&value),
        None => None,
    });
    match found {
        Some(Value::String(message)) => message,
        Some(other) if !other.is_null() => other.to_string(),
        _ => text.into_owned(),
    }
}

/// One line without control and direction characters, cut to a readable length.
fn clean(message: &str) -> String {
    let hidden =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain: String =
        message.chars().map(|c| if c.is_control() { ' ' } else { c }).filter(|c| !hidden(*c)).collect();
    let mut line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(MESSAGE_CHARS) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;
    use toolmesh_proto::v1;

    use super::*;

    fn plan(result_path: &str, max_items: u32, message_path: &str) -> Plan {
        Plan::compile(&v1::RestCall {
            method: "GET".into(),
            path: "/x".into(),
            body: v1::BodyEncoding::None.into(),
            response: Some(v1::ResponseRule { result_path: result_path.into(), max_items }),
            errors: Some(v1::ErrorRule { message_path: message_path.into() }),
            ..Default::default()
        })
        .unwrap()
    }

    fn reply(status: u16, content_type: &'static str, body: &str) -> Reply {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: body.to_owned().into() }
    }

    fn read_it(plan: &Plan, reply: &Reply) -> Result<Content, AnswerError> {
        read(plan, reply, false, &|_| {})
    }

    #[test]
    fn json_passes_through_as_it_was_sent_without_white_space() {
        let body = "{ \"b\" : 123456789012345678901234567890,\n \"a\": \"x \\\" y\", \"b2\":[ 1.0 ] }";
        let content = read_it(&plan("", 0, ""), &reply(200, "application/json", body)).unwrap();
        assert_eq!(content.text(), r#"{"b":123456789012345678901234567890,"a":"x \" y","b2":[1.0]}"#);
        assert!(content.object().is_some());
        assert!(read_it(&plan("", 0, ""), &reply(200, "", "[1, 2]")).unwrap().object().is_none());
    }

    #[test]
    fn a_result_path_and_a_cut_give_the_part_that_matters() {
        let body = json!({"data": {"items": [1, 2, 3]}}).to_string();
        let content = read_it(&plan("$.data.items", 2, ""), &reply(200, "application/json", &body)).unwrap();
        assert_eq!(content.text(), "[1,2]");
    }

    #[test]
    fn a_result_path_that_fails_fails_the_call_and_shows_nothing_of_the_answer() {
        for reply in [
            reply(200, "application/json", r#"{"secret":"s"}"#),
            reply(200, "text/plain", "secret"),
            reply(200, "text/html", "<p>secret"),
        ] {
            let error = read_it(&plan("$.data", 0, ""), &reply).unwrap_err().to_string();
            assert!(error.contains("$.data") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn text_is_text_and_nothing_is_done() {
        assert_eq!(read_it(&plan("", 0, ""), &reply(200, "text/plain", "hello")).unwrap().text(), "hello");
        assert_eq!(read_it(&plan("", 0, ""), &reply(204, "", "")).unwrap().text(), "Done (204 No Content).");
        assert_eq!(
            read_it(&plan("$.a", 0, ""), &reply(204, "", "")).unwrap().text(),
            "Done (204 No Content)."
        );
    }

    #[test]
    fn a_web_page_broken_json_and_bytes_are_no_answers() {
        for (content_type, body) in
            [("text/html; charset=utf-8", "<h1>Log in"), ("application/json", "{\"a\":"), ("image/png", "x")]
        {
            let error = read_it(&plan("", 0, ""), &reply(200, content_type, body)).unwrap_err();
            assert!(matches!(error, AnswerError::NotUsable(_)), "{error}");
        }
        let page = reply(200, "text/html", "<h1>Readme");
        assert_eq!(read(&plan("", 0, ""), &page, true, &|_| {}).unwrap().text(), "<h1>Readme");
        let two = reply(200, "application/json", "1 2");
        assert!(read_it(&plan("", 0, ""), &two).is_err());
        let deep = reply(200, "application/json", &"[".repeat(10_000));
        assert!(read_it(&plan("", 0, ""), &deep).is_err());
    }

    #[test]
    fn the_apis_own_message_is_found_cleaned_and_cut() {
        let message = |plan: &Plan, reply: &Reply| match read_it(plan, reply) {
            Err(AnswerError::Status { message, .. }) => message,
            other => panic!("{other:?}"),
        };
        let body = json!({"error": {"message": "Locked\n by\u{202e} Ada."}, "trace": 1}).to_string();
        let found = reply(423, "application/json", &body);
        assert_eq!(message(&plan("", 0, "$.error.message"), &found), "Locked by Ada.");
        assert_eq!(message(&plan("", 0, "$.nothing"), &reply(500, "text/plain", "oh")), "oh");
        assert_eq!(message(&plan("", 0, ""), &reply(502, "text/html", "<html>")), "");
        let long = message(&plan("", 0, ""), &reply(500, "text/plain", &"é".repeat(5000)));
        assert_eq!(long.chars().count(), MESSAGE_CHARS + 1);
    }

    #[test]
    fn what_is_passed_on_is_scrubbed_first() {
        let scrub = |text: &mut String| *text = text.replace("s3cret", "[redacted]");
        let content =
            read(&plan("", 0, ""), &reply(200, "application/json", r#"{"t":"s3cret"}"#), false, &scrub);
        assert_eq!(content.unwrap().text(), r#"{"t":"[redacted]"}"#);
        let error = read(&plan("", 0, ""), &reply(400, "text/plain", "bad s3cret"), false, &scrub);
        assert!(!error.unwrap_err().to_string().contains("s3cret"));
    }
}
