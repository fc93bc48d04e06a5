//! An API's own words when it says no: its message, its code, and how long to wait.

use serde_json::Value;

use super::jsonpath::ResultPath;
use super::plan::Plan;
use super::response::{AnswerError, Kind, json};
use super::retry::seconds_to_wait;
use crate::execute::outbound::Reply;

/// Longest message of an API that is passed on, in characters.
const MESSAGE_CHARS: usize = 1024;
/// Longest code of an API.
const CODE_BYTES: usize = 100;

/// What an API says with an error.
pub(super) fn refusal(plan: &Plan, reply: &Reply, scrub: &dyn Fn(&mut String)) -> AnswerError {
    let errors = &plan.answer.errors;
    let text = match Kind::of(&reply.headers) {
        Kind::Html | Kind::Binary(_) => String::new(),
        _ => String::from_utf8_lossy(&reply.body).into_owned(),
    };
    let json = json(text.clone()).filter(|_| !errors.is_plain());
    let found = |path: &Option<ResultPath>| {
        let found = path.as_ref()?.find_text(json.as_deref()?)?;
        match serde_json::from_str(&found).ok()? {
            Value::Null => None,
            Value::String(text) => Some(text),
            _ => Some(found),
        }
    };
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
