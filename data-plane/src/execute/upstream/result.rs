//! Results, looked at as little as possible: whether they are what was asked for, and whether they ask for more.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::envelope::{Outcome, RpcError};
use super::{Answer, Failure};
use crate::members;

/// The members by which a result is told.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Members<'a> {
    #[serde(rename = "resultType", borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    contents: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    completion: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wanted {
    input_requests: members::Members,
    request_state: Option<String>,
}

/// What a server's answer to a method is; `modern` where results say of what kind they are.
pub(super) fn answer(method: &str, outcome: Outcome, modern: bool) -> Result<Answer, Failure> {
    let result = match outcome {
        Outcome::Result(result) => result,
        Outcome::Error(RpcError { code, message, data }) => return Err(Failure::Rpc { code, message, data }),
    };
    if !result.get().starts_with('{') {
        return Err(Failure::broken("answered with a result that is no object"));
    }
    let members: Members<'_> = serde_json::from_str(result.get())
        .map_err(|_| Failure::broken("answered with a result that cannot be read"))?;
    let kind = members.kind.filter(|_| modern).map_or(r#""complete""#, RawValue::get);
    match kind {
        r#""complete""# => {}
        r#""input_required""# => return wanted(&result),
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(Failure::Broken(format!("answered with a result of the unknown kind {other}")));
        }
    }
    let list = |member: Option<&RawValue>| member.is_some_and(|value| value.get().starts_with('['));
    let fits = match method {
        // Some servers send structured content alone.
        "tools/call" => members.content.is_none() || list(members.content),
        "resources/read" => list(members.contents),
        "prompts/get" => list(members.messages),
        "completion/complete" => members.completion.is_some_and(|value| value.get().starts_with('{')),
        _ => true,
    };
    if fits {
        Ok(Answer::Result(result))
    } else {
        Err(Failure::Broken(format!("answered {method} with a result of another type")))
    }
}

fn wanted(result: &RawValue) -> Result<Answer, Failure> {
    let wanted: Wanted = serde_json::from_str(result.get())
        .map_err(|_| Failure::broken("asks for input in a form that cannot be read"))?;
    if wanted.input_requests.is_empty() && wanted.request_state.is_none() {
        return Err(Failure::broken("asks for input without saying which"));
    }
    Ok(Answer::InputRequired { requests: wanted.input_requests, state: wanted.request_state })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, text: &str, modern: bool) -> Result<Answer, Failure> {
        answer(method, Outcome::Result(RawValue::from_string(text.to_owned()).unwrap()), modern)
    }

    #[test]
    fn a_result_passes_as_it_came() {
        let text = r#"{"resultType":"complete","content":[],"vendor":1.50,"structuredContent":{"a":[]}}"#;
        assert!(matches!(read("tools/call", text, true), Ok(Answer::Result(raw)) if raw.get() == text));
        let legacy = r#"{"contents":[],"resultType":"mine"}"#;
        assert!(read("resources/read", legacy, false).is_ok(), "older revisions have no kinds");
    }

    #[test]
    fn a_result_of_another_type_or_kind_is_refused() {
        for (method, text) in [
            ("tools/call", "[]"),
            ("tools/call", r#"{"content":"text"}"#),
            ("resources/read", r#"{"content":[]}"#),
            ("prompts/get", r#"{"messages":{}}"#),
            ("completion/complete", r#"{"completion":[]}"#),
            ("tools/call", r#"{"resultType":"task","taskId":"1"}"#),
            ("tools/call", r#"{"resultType":7}"#),
            ("tools/call", r#"{"resultType":"input_required"}"#),
            ("tools/call", r#"{"resultType":"input_required","inputRequests":[]}"#),
        ] {
            assert!(matches!(read(method, text, true), Err(Failure::Broken(_))), "{method} {text}");
        }
    }

    #[test]
    fn a_result_that_asks_for_input_is_no_result() {
        let text = r#"{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"}},"requestState":"s"}"#;
        let answer = read("tools/call", text, true).unwrap();
        assert!(matches!(answer, Answer::InputRequired { requests, state: Some(state) }
            if requests.has("a") && state == "s"));
    }
}
