//! Answers that cannot be passed on; first of all an API's own words when it says no: its message, its code, and how long to
//! wait.

use http::StatusCode;
use serde_json::Value;

use super::jsonpath::ResultPath;
use super::plan::Plan;
use super::response::{Kind, json};
use super::retry::seconds_to_wait;
use crate::execute::outbound::Reply;

/// Longest message of an API that is passed on, in characters.
const MESSAGE_CHARS: usize = 1024;
/// Longest code of an API.
const CODE_BYTES: usize = 100;

/// An answer that cannot be passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The API said no. Its message and its own code, as far as they could be read; `kind` says the same for every API.
    #[error("{status}: {message}")]
    Status {
        status: StatusCode,
        message: String,
        retry_after: Option<u64>,
        kind: String,
        code: Option<String>,
    },
    /// The API said no in an answer of success.
    #[error("it answered with an error: {message}")]
    Refused { message: String, code: Option<String> },
    #[error("it answered with {0}")]
    NotUsable(String),
    #[error("its answer has nothing at {0}")]
    NothingAt(String),
    /// The connector's own program; says nothing of the answer, which it might have been meant to hide.
    #[error("the connector's jq program failed on its answer: {0}")]
    Transform(&'static str),
    #[error("too many jq programs run at the moment")]
    NoRoom,
    #[error("its file is larger than {} MiB", .0 >> 20)]
    LargeFile(usize),
    /// The caller's program, over what the caller may see.
    #[error("the program in /_jq failed: {0}")]
    Program(String),
}

/// What an API says with an error.
pub(super) fn of(plan: &Plan, reply: &Reply, scrub: &dyn Fn(&mut String)) -> AnswerError {
    let errors = &plan.answer.errors;
    let text = match Kind::of(&reply.headers) {
        Kind::Html | Kind::Binary(_) => String::new(),
        _ => String::from_utf8_lossy(&reply.body).into_owned(),
    };
    let json = json(text.clone()).filter(|_| !errors.is_plain());
    let found = |path: &Option<ResultPath>| words_at(path.as_ref()?, json.as_deref()?);
    let line = |mut text: String| {
        scrub(&mut text);
        clean(&text)
    };
    let message =
        found(&errors.message).unwrap_or_else(|| if errors.is_plain() { without_tags(&text) } else { text });
    AnswerError::Status {
        status: reply.status,
        message: line(message),
        retry_after: seconds_to_wait(&reply.headers),
        kind: errors.kind(reply.status.as_u16()),
        code: found(&errors.code).map(line).filter(|code| !code.is_empty() && code.len() <= CODE_BYTES),
    }
}

/// What an API says with an error in an answer of success; `None` where it has none.
pub(super) fn within(plan: &Plan, json: &str, scrub: &dyn Fn(&mut String)) -> Option<AnswerError> {
    let errors = &plan.answer.errors;
    let told = errors.refusal.as_ref()?.find_text(json)?;
    let is_error = match serde_json::from_str(&told).ok()? {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    };
    let found = |path: &Option<ResultPath>| {
        let mut words = words_at(path.as_ref()?, json)?;
        scrub(&mut words);
        Some(clean(&words)).filter(|words| !words.is_empty())
    };
    is_error.then(|| AnswerError::Refused {
        message: found(&errors.message).unwrap_or_default(),
        code: found(&errors.code).filter(|code| code.len() <= CODE_BYTES),
    })
}

/// A text in an answer, or what else stands there as JSON.
fn words_at(path: &ResultPath, json: &str) -> Option<String> {
    let found = path.find_text(json)?;
    match serde_json::from_str(&found).ok()? {
        Value::Null => None,
        Value::String(text) => Some(text),
        _ => Some(found),
    }
}

/// The text of markup.
fn without_tags(text: &str) -> String {
    let mut out = String::new();
    for part in text.split('<') {
        out.push_str(part.split_once('>').map_or(part, |(_, after)| after));
        out.push(' ');
    }
    out
}

/// One line without control and direction characters, cut to a readable length.
pub(super) fn clean(message: &str) -> String {
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
