//! From an answer that was read to what the caller is given: the result path, the connector's program, the masks, the
//! caller's program, the cut.
//!
//! A step that cannot be carried out fails the call: what a connector meant to cut out is never passed on by accident.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::{Semaphore, oneshot};
use toolmesh_proto::jq::{Program, RunError};

use super::plan::Plan;
use super::response::{AnswerError, Body, Content, status_text};
use super::{json, response};

/// Longest run of a program.
const WITHIN: Duration = Duration::from_secs(3);
/// Longest message of a caller's program that is passed on, in characters.
const MESSAGE_CHARS: usize = 300;
/// More than this beside an answer is the answer.
const METADATA_BYTES: usize = 8 << 10;

/// Longest wait for room to run one.
const WAIT: Duration = Duration::from_secs(10);

/// Room for programs that run at a time; each has a thread of its own. Callers' programs have room apart from connectors', so
/// that whoever plays with jq holds up others who do, and nobody else.
#[derive(Clone, Debug)]
pub struct Programs {
    connectors: Arc<Semaphore>,
    callers: Arc<Semaphore>,
}

impl Default for Programs {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let room = || Arc::new(Semaphore::new(cores.max(2)));
        Self { connectors: room(), callers: room() }
    }
}

impl Programs {
    /// Runs a program where there is room soon; `None` where there is none.
    async fn run(
        room: &Arc<Semaphore>,
        program: &Program,
        input: String,
    ) -> Option<Result<String, RunError>> {
        let turn = tokio::time::timeout(WAIT, Arc::clone(room).acquire_owned()).await.ok()?.ok()?;
        let (send, receive) = oneshot::channel();
        program.run(input, WITHIN, move |result| {
            // The turn ends with the run, not with whoever waits for it.
            drop(turn);
            // Nobody waits any more for a call that was left behind.
            let _ = send.send(result);
        });
        Some(receive.await.unwrap_or(Err(RunError::Fault)))
    }
}

/// What the caller is given.
#[derive(Clone, Debug)]
pub struct Shaped {
    pub content: Content,
    /// Items were cut off.
    pub cut: bool,
}

/// The part of a JSON answer that matters.
///
/// # Errors
/// When there is nothing at its place.
pub fn part(plan: &Plan, json: &str) -> Result<String, AnswerError> {
    match &plan.answer.result {
        None => Ok(json.to_owned()),
        Some(path) => path.find_text(json).ok_or_else(|| AnswerError::NothingAt(path.source().to_owned())),
    }
}

/// Applies the plan's rules to an answer whose result path was taken already, where it is JSON.
///
/// # Errors
/// When a rule cannot be followed.
pub async fn shape(
    plan: &Plan,
    body: Body,
    own: Option<&Program>,
    programs: &Programs,
) -> Result<Shaped, AnswerError> {
    let rules = &plan.answer;
    let mut json = match body {
        Body::Json(json) => json,
        Body::File(file) => return Ok(Shaped { content: Content::File(file), cut: false }),
        Body::Empty(status) => return empty(plan, status),
        Body::Text(text) => {
            refuse_text(plan)?;
            match own {
                None => return Ok(Shaped { content: Content::Text(text), cut: false }),
                Some(_) => json::string(&text),
            }
        }
    };
    if let Some(transform) = &rules.transform {
        json = Programs::run(&programs.connectors, transform, json)
            .await
            .ok_or(AnswerError::NoRoom)?
            .map_err(|error| AnswerError::Transform(plainly(&error)))?;
    }
    for mask in &rules.masks {
        json = mask.mask(&json);
    }
    if let Some(own) = own {
        json = Programs::run(&programs.callers, own, json)
            .await
            .ok_or(AnswerError::NoRoom)?
            .map_err(|error| AnswerError::Program(short(&error.to_string())))?;
    }
    let (json, cut) = cut(json, rules.max_items);
    // Valid by now whatever the programs gave; nothing else is passed on as JSON.
    let json = RawValue::from_string(json).map_err(|_| AnswerError::Transform("it gave no JSON"))?;
    Ok(Shaped { content: Content::Json(json), cut })
}

fn empty(plan: &Plan, status: http::StatusCode) -> Result<Shaped, AnswerError> {
    match &plan.answer.result {
        Some(path) if status != http::StatusCode::NO_CONTENT => {
            Err(AnswerError::NothingAt(path.source().to_owned()))
        }
        _ => Ok(Shaped { content: Content::Text(format!("Done ({}).", status_text(status))), cut: false }),
    }
}

/// A text has neither paths nor parts.
fn refuse_text(plan: &Plan) -> Result<(), AnswerError> {
    let rules = &plan.answer;
    let missing = match (&rules.result, &rules.transform) {
        (Some(path), _) => format!("plain text, which has no {}", path.source()),
        (None, Some(_)) => "plain text, which the connector's jq program cannot read".to_owned(),
        (None, None) if !rules.masks.is_empty() => "plain text, in which nothing can be masked".to_owned(),
        (None, None) => return Ok(()),
    };
    Err(AnswerError::NotUsable(missing))
}

/// Why a program gave nothing, without a word of what it read.
const fn plainly(error: &RunError) -> &'static str {
    match error {
        RunError::Failed(_) => "the answer is not what it expects",
        RunError::Time(_) => "it took too long",
        RunError::Steps => "it took too many steps",
        RunError::Memory => "it needed too much memory",
        RunError::Depth => "it nested too deep",
        RunError::Fault => "it could not be carried out",
    }
}

fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A list cut to its first items.
fn cut(json: String, most: usize) -> (String, bool) {
    if most == 0 {
        return (json, false);
    }
    match json::items(&json) {
        Some(items) if items.len() > most => {
            (json::array(items.iter().take(most).map(|item| item.get())), true)
        }
        _ => (json, false),
    }
}

/// The facts beside an answer, from the whole of it. Nothing where something is hidden: masks are for the result alone.
#[must_use]
pub fn metadata(plan: &Plan, json: &str) -> Option<Box<RawValue>> {
    let rules = &plan.answer;
    if !rules.masks.is_empty() || rules.transform.is_some() {
        return None;
    }
    let found = rules.metadata.as_ref()?.find_text(json)?;
    let facts = if found.len() > METADATA_BYTES || found == json { scalars(&found) } else { found };
    response::json(facts)
        .filter(|facts| facts.len() <= METADATA_BYTES)
        .and_then(|facts| RawValue::from_string(facts).ok())
}

/// The members of an object that hold nothing themselves.
fn scalars(json: &str) -> String {
    let members = json::members(json).unwrap_or_default();
    let plain = members.iter().filter(|(_, value)| !value.get().starts_with(['{', '[']));
    let written: Vec<String> =
        plain.map(|(name, value)| format!("{}:{}", json::string(name), value.get())).collect();
    format!("{{{}}}", written.join(","))
}

#[cfg(test)]
mod tests {
    use toolmesh_proto::v1;

    use super::*;

    fn plan(response: v1::ResponseRule) -> Plan {
        Plan::compile(&v1::RestCall {
            method: "GET".into(),
            path: "/x".into(),
            body: v1::BodyEncoding::None.into(),
            response: Some(response),
            ..Default::default()
        })
        .unwrap()
    }

    async fn shaped(rule: v1::ResponseRule, json: &str, own: Option<&str>) -> Result<Shaped, AnswerError> {
        let plan = plan(rule);
        let own = own.map(|text| Program::compile(text).unwrap());
        let part = part(&plan, json)?;
        shape(&plan, Body::Json(part), own.as_ref(), &Programs::default()).await
    }

    #[tokio::test]
    async fn the_steps_follow_one_another_in_their_order() {
        let rule = v1::ResponseRule {
            result_path: "$.data".into(),
            transform: "map({id, token, n: .name})".into(),
            redact: vec!["$[*].token".into()],
            allow_jq: true,
            max_items: 2,
            ..Default::default()
        };
        let json = r#"{"data":[{"id":9007199254740993,"token":"t1","name":"a"},{"id":2,"token":"t2"},{"id":3,"token":"t3"}]}"#;
        let whole = shaped(rule.clone(), json, None).await.unwrap();
        let first = r#"{"id":9007199254740993,"token":"[REDACTED]","n":"a"}"#;
        assert_eq!(whole.content.text(), format!(r#"[{first},{{"id":2,"token":"[REDACTED]","n":null}}]"#));
        assert!(whole.cut);
        let own = shaped(rule, json, Some("[.[].token] | unique")).await.unwrap();
        assert_eq!(
            (own.content.text(), own.cut),
            (r#"["[REDACTED]"]"#, false),
            "a program sees what is masked masked"
        );
    }

    #[tokio::test]
    async fn what_nobody_transforms_keeps_every_digit() {
        let rule = v1::ResponseRule { result_path: "$.a[*]".into(), max_items: 1, ..Default::default() };
        let json = r#"{"a":[{"id":12345678901234567890123,"p":1.10},2]}"#;
        assert_eq!(
            shaped(rule, json, None).await.unwrap().content.text(),
            r#"[{"id":12345678901234567890123,"p":1.10}]"#
        );
    }

    #[tokio::test]
    async fn a_program_that_fails_fails_the_call_and_shows_nothing_of_the_answer() {
        for transform in [".secret.x", "error(.)", "def f: f; f", "[repeat(.)]"] {
            let rule = v1::ResponseRule { transform: transform.into(), ..Default::default() };
            let error = shaped(rule, r#"{"secret":"s3cret"}"#, None).await.unwrap_err();
            assert!(matches!(error, AnswerError::Transform(_)), "{transform}: {error}");
            assert!(!error.to_string().contains("s3cret"), "{transform}: {error}");
        }
        let own = shaped(v1::ResponseRule::default(), r#"{"a":1}"#, Some(".a.b")).await.unwrap_err();
        assert!(matches!(&own, AnswerError::Program(message) if message.contains("index")), "{own}");
    }

    #[tokio::test]
    async fn a_text_passes_only_where_nothing_is_to_be_cut_or_hidden() {
        let shape =
            async |rule| shape(&plan(rule), Body::Text("secret".into()), None, &Programs::default()).await;
        assert_eq!(shape(v1::ResponseRule::default()).await.unwrap().content.text(), "secret");
        for rule in [
            v1::ResponseRule { transform: ".".into(), ..Default::default() },
            v1::ResponseRule { redact: vec!["$.a".into()], ..Default::default() },
            v1::ResponseRule { result_path: "$.a".into(), ..Default::default() },
        ] {
            let error = shape(rule).await.unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn facts_beside_an_answer_are_few_and_hide_with_it() {
        let rule = |metadata: &str| v1::ResponseRule { metadata_path: metadata.into(), ..Default::default() };
        let json = r#"{"data":[1,2],"page":1,"pages":7,"meta":{"next":2}}"#;
        let facts = |rule| metadata(&plan(rule), json).map(|facts| facts.get().to_owned());
        assert_eq!(facts(rule("$.meta")).as_deref(), Some(r#"{"next":2}"#));
        assert_eq!(facts(rule("$")).as_deref(), Some(r#"{"page":1,"pages":7}"#));
        assert_eq!(facts(rule("")), None);
        assert_eq!(facts(v1::ResponseRule { redact: vec!["$.x".into()], ..rule("$") }), None);
    }
}
