//! Reading what an API answered: JSON, text, a stream. Refusals are `refusal`'s, files `file`'s.
//!
//! What becomes of it is `pipeline`'s. Nothing is passed on that was not understood.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::value::RawValue;

pub use super::file::{File, described};
use super::plan::Plan;
pub use super::refusal::AnswerError;
use super::{file, refusal, stream};
use crate::execute::outbound::Reply;

/// Deepest nesting of a JSON answer that is passed on.
const DEPTH: usize = 128;

/// A usable answer.
#[derive(Clone, Debug)]
pub enum Content {
    /// Compact JSON.
    Json(Box<RawValue>),
    Text(String),
    File(File),
}

impl Content {
    /// What the caller reads.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Json(json) => json.get(),
            Self::Text(text) => text,
            Self::File(file) => file.summary(),
        }
    }

    /// The JSON, if it is an object: the only kind `structuredContent` may hold up to MCP 2025-11-25.
    #[must_use]
    pub fn object(&self) -> Option<&RawValue> {
        match self {
            Self::Json(json) if json.get().starts_with('{') => Some(json),
            Self::Json(_) | Self::Text(_) | Self::File(_) => None,
        }
    }

    /// How much was answered.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::File(file) => file.bytes.len(),
            other => other.text().len(),
        }
    }
}

/// An answer that was read, before the plan's rules are applied.
#[derive(Clone, Debug)]
pub enum Body {
    /// Compact and valid.
    Json(String),
    Text(String),
    Empty(StatusCode),
    File(File),
}

/// Reads an answer. `scrub` takes secrets out of a text; `wants_html` says that the request asked for it.
///
/// # Errors
/// When the API said no, or its answer is of no use.
pub fn read(
    plan: &Plan,
    reply: &Reply,
    wants_html: bool,
    scrub: &dyn Fn(&mut String),
) -> Result<Body, AnswerError> {
    let not_yet = plan.answer.retry.as_ref().is_some_and(|retry| retry.names(reply.status));
    if !reply.status.is_success() || not_yet {
        return Err(refusal::of(plan, reply, scrub));
    }
    if plan.method == http::Method::HEAD {
        return Ok(Body::Json(super::head::json(reply, scrub)));
    }
    if reply.body.is_empty() {
        return Ok(Body::Empty(reply.status));
    }
    let kind = Kind::of(&reply.headers);
    if plan.answer.file
        && let Some(file) = file::read(plan, reply, &kind)
    {
        return Ok(Body::File(file));
    }
    let mut text = decode(&reply.body, &kind)?;
    scrub(&mut text);
    if plan.answer.streaming.is_some() {
        return Ok(Body::Json(stream::items(
            &text,
            kind.is_events(),
            plan.answer.streaming.map_or(0, |s| s.most),
        )));
    }
    if (kind.may_be_json() || plan.answer.file || begins_like_json(&text))
        && let Some(json) = json(text.clone())
    {
        return match refusal::within(plan, &json, scrub) {
            Some(refused) => Err(refused),
            None => Ok(Body::Json(json)),
        };
    }
    if let Some(path) = &plan.answer.result {
        return Err(AnswerError::NotUsable(format!("{}, which has no {}", kind.describe(), path.source())));
    }
    match kind {
        Kind::Json => Err(AnswerError::NotUsable("something that is not JSON, though it says so".to_owned())),
        Kind::Html if !wants_html && !plan.answer.file => {
            Err(AnswerError::NotUsable("a web page instead of data".to_owned()))
        }
        Kind::Html | Kind::Text { .. } | Kind::Missing => Ok(Body::Text(text)),
        Kind::Binary(ref media) if plan.answer.file || is_plain(media, &text) => Ok(Body::Text(text)),
        Kind::Binary(_) => Err(AnswerError::NotUsable(kind.describe())),
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

/// Old servers send JSON as a web page or as bytes. A web page is no JSON, so that nothing is mistaken for it.
fn begins_like_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// Whether something with a type of its own is a text all the same: a table, a script, a log.
fn is_plain(media: &str, text: &str) -> bool {
    media.starts_with("application/")
        && !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}'))
}

/// What the Content-Type header says of a body.
#[derive(Debug)]
pub(super) enum Kind {
    Json,
    Html,
    Text { latin1: bool, events: bool },
    Missing,
    Binary(String),
}

impl Kind {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(CONTENT_TYPE) else { return Self::Missing };
        let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
        let (media, rest) = value.split_once(';').unwrap_or((&value, ""));
        Self::named(media.trim(), rest)
    }

    /// A media type in lower case, and its parameters.
    pub(super) fn named(media: &str, rest: &str) -> Self {
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
            | "application/x-www-form-urlencoded" => Self::Text { latin1, events: false },
            _ if media.starts_with("text/") || media.ends_with("+xml") => {
                Self::Text { latin1, events: media == "text/event-stream" }
            }
            "" => Self::Missing,
            _ => Self::Binary(media.chars().take(60).collect()),
        }
    }

    const fn is_events(&self) -> bool {
        matches!(self, Self::Text { events: true, .. })
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
        (Err(_), Kind::Text { latin1: true, .. }) => Ok(body.iter().copied().map(char::from).collect()),
        (Err(_), Kind::Binary(_)) => Err(AnswerError::NotUsable(kind.describe())),
        (Err(_), _) => Err(AnswerError::NotUsable("bytes that are no text".to_owned())),
    }
}

/// Valid JSON without white space between its parts; `None` for anything else, and for what nests too deep to be meant.
pub(super) fn json(text: String) -> Option<String> {
    let whole = RawValue::from_string(text).ok()?;
    compact(whole.get())
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONTENT_DISPOSITION;
    use serde_json::json;
    use toolmesh_proto::v1;

    use super::super::pipeline;
    use super::*;

    fn plan(result_path: &str, max_items: u32, message_path: &str) -> Plan {
        Plan::compile(&v1::RestCall {
            method: "GET".into(),
            path: "/x".into(),
            body: v1::BodyEncoding::None.into(),
            response: Some(v1::ResponseRule {
                result_path: result_path.into(),
                max_items,
                ..Default::default()
            }),
            errors: Some(v1::ErrorRule { message_path: message_path.into(), ..Default::default() }),
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
        shaped(plan, read(plan, reply, false, &|_| {})?)
    }

    fn shaped(plan: &Plan, body: Body) -> Result<Content, AnswerError> {
        let body = match body {
            Body::Json(json) => Body::Json(pipeline::part(plan, &json)?),
            other => other,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let shaped = runtime.block_on(pipeline::shape(plan, body, None, &pipeline::Programs::default()));
        shaped.map(|shaped| shaped.content)
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
        let body = read(&plan("", 0, ""), &page, true, &|_| {}).unwrap();
        assert_eq!(shaped(&plan("", 0, ""), body).unwrap().text(), "<h1>Readme");
        let two = reply(200, "application/json", "1 2");
        assert!(read_it(&plan("", 0, ""), &two).is_err());
        let deep = reply(200, "application/json", &"[".repeat(10_000));
        assert!(read_it(&plan("", 0, ""), &deep).is_err());
    }

    #[test]
    fn json_and_text_are_read_under_a_wrong_name_too() {
        for content_type in ["text/html; charset=UTF-8", "application/octet-stream", "image/png"] {
            let content = read_it(&plan("$.a", 0, ""), &reply(200, content_type, "\n {\"a\": 1}")).unwrap();
            assert_eq!(content.text(), "1", "{content_type}");
        }
        for content_type in ["application/csv", "application/octet-stream", "application/vnd.apple.mpegurl"] {
            let content = read_it(&plan("", 0, ""), &reply(200, content_type, "a,b\n1,é\n")).unwrap();
            assert_eq!(content.text(), "a,b\n1,é\n", "{content_type}");
            assert!(read_it(&plan("", 0, ""), &reply(200, content_type, "a\0b")).is_err(), "{content_type}");
        }
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
        assert_eq!(long.chars().count(), 1025);
    }

    #[test]
    fn what_is_passed_on_is_scrubbed_first() {
        let scrub = |text: &mut String| *text = text.replace("s3cret", "[redacted]");
        let body =
            read(&plan("", 0, ""), &reply(200, "application/json", r#"{"t":"s3cret"}"#), false, &scrub);
        assert_eq!(shaped(&plan("", 0, ""), body.unwrap()).unwrap().text(), r#"{"t":"[redacted]"}"#);
        let error = read(&plan("", 0, ""), &reply(400, "text/plain", "bad s3cret"), false, &scrub);
        assert!(!error.unwrap_err().to_string().contains("s3cret"));
    }

    fn ruled(call: v1::RestCall) -> Plan {
        let body = v1::BodyEncoding::None.into();
        Plan::compile(&v1::RestCall { method: "GET".into(), path: "/x".into(), body, ..call }).unwrap()
    }

    #[test]
    fn a_file_comes_with_its_type_and_name_and_a_text_as_text() {
        let rule =
            v1::ResponseRule { file: true, media_type: "application/gzip".into(), ..Default::default() };
        let plan = ruled(v1::RestCall { response: Some(rule), ..Default::default() });
        let mut image = reply(200, "image/png", "png");
        let name = "attachment; filename=\"../../a b\\c.png\"";
        image.headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(name));
        match read_it(&plan, &image).unwrap() {
            Content::File(file) => {
                assert_eq!(
                    (file.media_type.as_str(), file.name.as_str(), &file.bytes[..]),
                    ("image/png", "c.png", &b"png"[..])
                );
            }
            other => panic!("{other:?}"),
        }
        for undeclared in ["", "application/octet-stream"] {
            let content = read_it(&plan, &reply(200, undeclared, "\u{1f}zip")).unwrap();
            assert!(content.text().contains("application/gzip"), "{}", content.text());
        }
        assert_eq!(read_it(&plan, &reply(200, "text/csv", "a,b")).unwrap().text(), "a,b");
        assert_eq!(
            read_it(&plan, &reply(200, "application/json", "{\"a\": 1}")).unwrap().text(),
            r#"{"a":1}"#
        );
    }

    #[test]
    fn an_error_in_an_answer_of_success_is_an_error() {
        let errors = Some(v1::ErrorRule {
            message_path: "$.errors[0].message".into(),
            code_path: "$.errors[0].extensions.code".into(),
            refusal_path: "$.errors".into(),
            ..Default::default()
        });
        let plan = ruled(v1::RestCall { errors, ..Default::default() });
        let read = |body: &str| read_it(&plan, &reply(200, "application/json", body));
        let refused = read(
            r#"{"data":null,"errors":[{"message":"No\n such issue","extensions":{"code":"NOT_FOUND"}}]}"#,
        );
        let AnswerError::Refused { message, code } = refused.unwrap_err() else { panic!("not refused") };
        assert_eq!((message.as_str(), code.as_deref()), ("No such issue", Some("NOT_FOUND")));
        for fine in [r#"{"data":1}"#, r#"{"data":1,"errors":[]}"#, r#"{"errors":null}"#, "[]", "7"] {
            assert!(read(fine).is_ok(), "{fine}");
        }
        let nameless = read(r#"{"errors":true}"#).unwrap_err();
        assert!(
            matches!(&nameless, AnswerError::Refused { message, .. } if message.is_empty()),
            "{nameless}"
        );
        let text = read_it(&plan, &reply(200, "text/plain", "errors"));
        assert_eq!(text.unwrap().text(), "errors");
    }

    #[test]
    fn a_status_of_success_that_means_not_yet_is_no_answer() {
        let retry = v1::Retry { statuses: vec![202], ..Default::default() };
        let plan = ruled(v1::RestCall { retry: Some(retry), ..Default::default() });
        let error = read_it(&plan, &reply(202, "application/json", "{}")).unwrap_err();
        assert!(matches!(error, AnswerError::Status { status: StatusCode::ACCEPTED, .. }), "{error}");
    }

    #[test]
    fn errors_are_sorted_by_kind_and_keep_the_apis_code() {
        let codes = vec![v1::StatusCode { status: 404, code: "no_such_widget".into() }];
        let rule = v1::ErrorRule {
            message_path: "$.m".into(),
            code_path: "$.c".into(),
            codes,
            ..Default::default()
        };
        let plan = ruled(v1::RestCall { errors: Some(rule), ..Default::default() });
        let kinds =
            |status: u16| match read_it(&plan, &reply(status, "application/json", r#"{"m":"no","c":7}"#)) {
                Err(AnswerError::Status { kind, code, message, .. }) => (kind, code, message),
                other => panic!("{other:?}"),
            };
        assert_eq!(kinds(404), ("no_such_widget".into(), Some("7".into()), "no".into()));
        assert_eq!(kinds(429).0, "rate_limited");
        assert_eq!(kinds(418).0, "client_error");
        assert_eq!(kinds(504).0, "unavailable");
        let plain = v1::ErrorRule { plain: true, message_path: "$.m".into(), ..Default::default() };
        let plan = ruled(v1::RestCall { errors: Some(plain), ..Default::default() });
        let error = read_it(&plan, &reply(400, "application/xml", "<e><m>Bad  tx</m></e>")).unwrap_err();
        assert_eq!(error.to_string(), "400 Bad Request: Bad tx");
    }
}
