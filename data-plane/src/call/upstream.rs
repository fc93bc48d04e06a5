//! A question passed on to another MCP server: its credential, its answer, and what the caller is told where there is none.
//!
//! A server's refusal of a credential is never our own: who has to connect again is told so in the result.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use toolmesh_proto::v1::{CredentialUse, Outcome};

use super::line::Answered;
use super::{Caller, InputRequired, RpcError, Said, uris};
use crate::catalog::Installation;
use crate::execute;
use crate::execute::code::Thrown;
use crate::execute::credentials::{CredentialError, Opened, Placement};
use crate::execute::rest::response::{Content, status_text};
use crate::execute::scrubber::Scrubber;
use crate::execute::upstream::{Answer, Asked, Asker, Failure, Question, Round};
use crate::members::{self, Members};
use crate::record::CallEvent;

/// Most rounds in which a server asks before it answers, most that it asks in one of them, and how long a person has for each.
const ROUNDS: usize = 10;
const ASKS: usize = 8;
const ASK_WITHIN: Duration = Duration::from_secs(10 * 60);

/// One question on its way.
struct Passing<'a> {
    caller: &'a Caller,
    installation: &'a Installation,
    opened: &'a Opened,
    placement: Placement,
}

/// Asks the server of an installation and records what became of it.
pub(super) async fn pass(
    caller: &Caller,
    installation: &Installation,
    opened: &Opened,
    question: Question,
    mut event: CallEvent,
) -> Said {
    let start = Instant::now();
    let placement =
        caller.app.executor.sign_in.placement(installation, opened, CredentialUse::Unspecified).await;
    let placement = match placement {
        Ok(placement) => {
            event.step("credential", true, start.elapsed(), "");
            placement
        }
        Err(error) => return without_credential(caller, installation, &error, start.elapsed(), event),
    };
    let mut passing = Passing { caller, installation, opened, placement };
    let method = question.method;
    let (asked, refused) = passing.answer(question).await;
    let said = match passing.told(asked.result, refused) {
        Said::Passed(result) => Said::Passed(uris::linked(caller, installation, method, result)),
        said => said,
    };
    passing.note(&mut event, &said, asked.requests, asked.took);
    passing.record(&said, event);
    said
}

/// Records a call whose caller is gone.
pub(super) fn hung_up(mut event: CallEvent, took: Duration, spoken: &str) -> Said {
    event.step("upstream", false, took, "the caller hung up");
    let told = format!("The call was cancelled. {spoken} may have been reached already.");
    event.finish(Outcome::Cancelled, &told);
    Said::Failed(Thrown::new("cancelled", told))
}

fn without_credential(
    caller: &Caller,
    installation: &Installation,
    error: &CredentialError,
    took: Duration,
    mut event: CallEvent,
) -> Said {
    event.step("credential", false, took, error.to_string());
    let failure = execute::Failure::Credential(error.clone());
    let told = failure.told(&named(installation), &caller.visit.tenant.name);
    event.finish(Outcome::UpstreamFailed, &told);
    let thrown = Thrown::new("credential", told);
    match error {
        CredentialError::Person(_) => Said::Reconnect(thrown),
        _ => Said::Failed(thrown),
    }
}

/// How a sentence names the server.
fn named(installation: &Installation) -> String {
    installation.connector.title.clone()
}

impl Passing<'_> {
    /// The answer, after as many rounds as the server and a client that is asked on the line need. Says too whether the
    /// credential was refused for good.
    async fn answer(&mut self, question: Question) -> (Asked, Option<CredentialError>) {
        let Question { method, params, mut round } = question;
        let (mut requests, mut took) = (0, Duration::ZERO);
        let mut refused = None;
        for _ in 0..ROUNDS {
            let question = Question { method, params: params.clone(), round: round.take() };
            let mut asked = self.ask(question, &mut refused).await;
            requests += asked.requests;
            took += asked.took;
            let on_line = !self.caller.line.client().rounds;
            if let Ok(Answer::InputRequired { requests: wanted, state }) = &mut asked.result
                && on_line
            {
                match self.ask_client(wanted).await {
                    Ok(responses) => {
                        round = Some(Round { responses, state: state.take() });
                        continue;
                    }
                    Err(failure) => asked.result = Err(failure),
                }
            }
            return (Asked { requests, took, ..asked }, refused);
        }
        let broken = Failure::Broken(format!("it asked more than {ROUNDS} times before it answered"));
        (Asked { result: Err(broken), requests, took }, refused)
    }

    /// Asks; where the credential is refused and another can be had, once more with that.
    async fn ask(&mut self, question: Question, refused: &mut Option<CredentialError>) -> Asked {
        let again = question
            .round
            .as_ref()
            .map(|round| Round { responses: round.responses.clone(), state: round.state.clone() });
        let (method, params) = (question.method, question.params.clone());
        let first = self.ask_once(question).await;
        let Err(Failure::Unauthorized { challenge }) = &first.result else { return first };
        let challenge = challenge.clone().unwrap_or_default();
        let sign_in = &self.caller.app.executor.sign_in;
        match sign_in.anew_told(self.installation, self.opened, &self.placement, &challenge).await {
            Ok(Some(placement)) => {
                self.placement = placement;
                let second = self.ask_once(Question { method, params, round: again }).await;
                Asked { requests: first.requests + second.requests, took: first.took + second.took, ..second }
            }
            Ok(None) => first,
            Err(error) => {
                *refused = Some(error);
                first
            }
        }
    }

    async fn ask_once(&self, question: Question) -> Asked {
        let account = self.opened.holder().map_or(0, |holder| holder.epoch);
        let asker = Asker { subject: self.caller.principal.subject, account };
        let upstreams = &self.caller.app.executor.upstreams;
        // What a server says on the way is cleaned like its answer.
        let line = self.caller.line.without(Scrubber::of(self.opened, &self.placement));
        upstreams.ask(self.installation, asker, &self.placement, question, &line).await
    }

    /// Asks the client on the line what the server wants to know.
    async fn ask_client(&self, requests: &Members) -> Result<Map<String, Value>, Failure> {
        let many = requests.iter().count();
        if many > ASKS {
            return Err(Failure::Broken(format!("it asks the client {many} questions at once")));
        }
        let line = self.caller.line.without(Scrubber::of(self.opened, &self.placement));
        let mut responses = Map::new();
        for (key, request) in requests.iter() {
            let request = Members::read(request.get()).unwrap_or_default();
            let method: String = request.read_as("method").unwrap_or_default();
            let needed = capability(&method).filter(|needed| line.can(needed));
            let Some(_) = needed else {
                return Err(Failure::Rpc {
                    code: -32603,
                    message: format!(
                        "{} asks the client for {}, which this client cannot be asked.",
                        named(self.installation),
                        cut(&method, 60)
                    ),
                    data: None,
                });
            };
            let params = request.get("params").map_or_else(members::empty, ToOwned::to_owned);
            let asking = tokio::time::timeout(ASK_WITHIN, line.ask(method, params)).await;
            let Ok(answered) = asking else {
                let message = format!("Nobody answered what {} asked.", named(self.installation));
                return Err(Failure::Rpc { code: -32603, message, data: None });
            };
            match answered {
                Ok(Answered::Result(result)) => {
                    responses.insert(key.to_owned(), serde_json::from_str(result.get()).unwrap_or_default());
                }
                Ok(Answered::Error(error)) => {
                    let said: Option<Members> = Members::read(error.get());
                    let message = said.and_then(|error| error.read_as::<String>("message"));
                    return Err(Failure::Rpc {
                        code: -32603,
                        message: format!(
                            "The client did not answer what {} asked: {}",
                            named(self.installation),
                            cut(&message.unwrap_or_default(), 300)
                        ),
                        data: None,
                    });
                }
                Err(_) => return Err(Failure::HungUp),
            }
        }
        Ok(responses)
    }

    fn told(&self, result: Result<Answer, Failure>, refused: Option<CredentialError>) -> Said {
        let (server, tenant) = (named(self.installation), &self.caller.visit.tenant);
        match result {
            Ok(Answer::Result(result)) => Said::Passed(self.scrubbed(result)),
            Ok(Answer::InputRequired { requests, state }) => {
                let requests = Members::read(self.scrubbed(requests.write()).get()).unwrap_or_default();
                Said::InputRequired(InputRequired { requests, state })
            }
            Err(Failure::Rpc { code, message, data }) => {
                let (message, data) = (self.scrubbed_text(message), data.map(|data| self.scrubbed(data)));
                Said::Rpc(RpcError { code, message, data })
            }
            Err(Failure::Unauthorized { challenge }) => {
                let told = match refused {
                    Some(error) => execute::Failure::Credential(error).told(&server, &tenant.name),
                    None if self.installation.personal => format!(
                        "{server} no longer takes your account's access. Reconnect your account on the page Connections of the \
                         console, then call again."
                    ),
                    None => format!(
                        "{server} refused the workspace's credential. You need not log in again; ask an owner or admin of {} to \
                         reconnect it.",
                        tenant.name
                    ),
                };
                let challenge = challenge.map(|text| self.scrubbed_text(text));
                Said::Reconnect(Thrown { api_message: challenge, ..Thrown::new("credential", told) })
            }
            Err(failure) => Said::Failed(self.thrown(&server, failure)),
        }
    }

    fn thrown(&self, server: &str, failure: Failure) -> Thrown {
        match failure {
            Failure::Open { again_in } => Thrown::new(
                "unavailable",
                format!(
                    "{server} failed several times in a row and is left alone for now. Try again in {} seconds; other tools \
                     work.",
                    again_in.as_secs().max(1)
                ),
            ),
            Failure::Busy => Thrown::new(
                "unavailable",
                format!(
                    "{server} has as many calls under way as one server may have here. Try again in a second."
                ),
            ),
            Failure::Status { status, again_in } => {
                let again = again_in.map_or_else(String::new, |wait| {
                    format!(" Try again in {} seconds.", wait.as_secs().max(1))
                });
                Thrown {
                    http_status: Some(status.as_u16()),
                    ..Thrown::new(
                        "upstream_error",
                        format!("{server} refused the call: {}.{again}", status_text(status)),
                    )
                }
            }
            Failure::HungUp => Thrown::new(
                "cancelled",
                format!("The call was cancelled. {server} was told, and may have acted already."),
            ),
            Failure::Timeout(within) => Thrown::new(
                "timeout",
                format!(
                    "{server} did not answer within {} seconds. The call may have taken effect.",
                    within.as_secs().max(1)
                ),
            ),
            Failure::Outbound(error) => {
                let failure = execute::Failure::Outbound(error);
                Thrown::new("unavailable", failure.told(server, &self.caller.visit.tenant.name))
            }
            Failure::Broken(what) => Thrown::new(
                "unusable_answer",
                format!("{server} answered, but not as the protocol asks: {}.", self.scrubbed_text(what)),
            ),
            // Told before it comes here.
            Failure::Rpc { message, .. } => Thrown::new("upstream_error", message),
            Failure::Unauthorized { .. } => {
                Thrown::new("credential", format!("{server} refused the credential."))
            }
        }
    }

    /// Writes down the step at the server.
    fn note(&self, event: &mut CallEvent, said: &Said, requests: u32, took: Duration) {
        let count = if requests == 1 { "1 request".to_owned() } else { format!("{requests} requests") };
        let (ok, detail) = match said {
            Said::Passed(_) => (true, count),
            Said::InputRequired(wanted) => {
                let asked = wanted.requests.iter();
                let asked =
                    asked.filter_map(|(_, one)| Members::read(one.get())?.read_as::<String>("method"));
                let asked: Vec<String> = asked.take(5).map(|method| cut(&method, 60)).collect();
                (true, format!("{count}; asks the client: {}", asked.join(", ")))
            }
            Said::Rpc(error) => (false, format!("{count}; error {}", error.code)),
            Said::Failed(thrown) | Said::Reconnect(thrown) => (false, format!("{count}; {}", thrown.code)),
            Said::Result(..) | Said::Unfit(_) | Said::Refused(_) => (false, count),
        };
        event.step("upstream", ok, took, detail);
        event.facts().upstream_millis = crate::record::event::millis(took);
        if matches!(said, Said::Reconnect(_)) {
            event.facts().upstream_status = u32::from(StatusCode::UNAUTHORIZED.as_u16());
        }
    }

    fn record(&self, said: &Said, mut event: CallEvent) {
        match said {
            Said::Passed(result) => {
                event.facts().result_bytes = result.get().len() as u64;
                match failed(result) {
                    Some(text) => event.finish(Outcome::UpstreamError, &text),
                    None => event.finish(Outcome::Ok, ""),
                }
            }
            Said::InputRequired(_) => event.finish(Outcome::Ok, ""),
            Said::Rpc(error) => event.finish(Outcome::UpstreamError, &error.message),
            Said::Failed(thrown) if thrown.code == "cancelled" => {
                event.finish(Outcome::Cancelled, &thrown.message);
            }
            Said::Failed(thrown) | Said::Reconnect(thrown) => {
                event.finish(Outcome::UpstreamFailed, &thrown.message);
            }
            Said::Result(..) | Said::Unfit(_) | Said::Refused(_) => event.finish(Outcome::Internal, ""),
        }
    }

    /// Without the credential, should the server repeat it; every other byte stays.
    fn scrubbed(&self, result: Box<RawValue>) -> Box<RawValue> {
        let mut text = result.get().to_owned();
        self.opened.scrub(&mut text);
        self.placement.scrub(&mut text);
        if text == result.get() {
            return result;
        }
        RawValue::from_string(text).unwrap_or_else(|_| members::empty())
    }

    fn scrubbed_text(&self, mut text: String) -> String {
        self.opened.scrub(&mut text);
        self.placement.scrub(&mut text);
        text
    }
}

/// The capability that a client declares to be asked this.
#[must_use]
pub fn capability(method: &str) -> Option<&'static str> {
    match method {
        "elicitation/create" => Some("elicitation"),
        "sampling/createMessage" => Some("sampling"),
        "roots/list" => Some("roots"),
        _ => None,
    }
}

/// What a tool's result says, if it is an error.
fn failed(result: &RawValue) -> Option<String> {
    let members = Members::read(result.get())?;
    if members.get("isError").is_none_or(|value| value.get() != "true") {
        return None;
    }
    Some(text(&members))
        .filter(|text| !text.is_empty())
        .or_else(|| Some("The server answered with an error.".to_owned()))
}

/// The text of a result's content.
fn text(result: &Members) -> String {
    let blocks: Vec<Members> = result.read_as("content").unwrap_or_default();
    let texts: Vec<String> = blocks.iter().filter_map(|block| block.read_as("text")).collect();
    texts.join("\n")
}

/// A tool's result as code gets it: what is structured, or the text, as JSON if it is.
pub(super) fn content(result: &RawValue) -> Result<Content, Thrown> {
    if let Some(text) = failed(result) {
        return Err(Thrown::new("tool_error", text));
    }
    let members = Members::read(result.get()).unwrap_or_default();
    if let Some(structured) = members.get("structuredContent").filter(|value| value.get() != "null") {
        return Ok(Content::Json(structured.to_owned()));
    }
    let blocks: Vec<Members> = members.read_as("content").unwrap_or_default();
    if blocks.iter().any(|block| block.read_as::<String>("type").as_deref() != Some("text")) {
        // Code makes of pictures and links what it can.
        return Ok(members
            .get("content")
            .map_or_else(|| Content::Text(String::new()), |content| Content::Json(content.to_owned())));
    }
    let text = text(&members);
    match RawValue::from_string(text.clone()) {
        Ok(json) => Ok(Content::Json(json)),
        Err(_) => Ok(Content::Text(text)),
    }
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn code_gets_what_is_structured_or_the_text() {
        for (result, expected) in [
            (r#"{"content":[],"structuredContent":{"a":1}}"#, r#"{"a":1}"#),
            (r#"{"content":[{"type":"text","text":"{\"a\": 2}"}]}"#, r#"{"a": 2}"#),
            (
                r#"{"content":[{"type":"text","text":"plain"},{"type":"text","text":"words"}]}"#,
                "plain\nwords",
            ),
            (
                r#"{"content":[{"type":"image","data":"","mimeType":"image/png"}]}"#,
                r#"[{"type":"image","data":"","mimeType":"image/png"}]"#,
            ),
            (r#"{"content":[]}"#, ""),
        ] {
            assert_eq!(content(&raw(result)).unwrap().text(), expected);
        }
        let error = content(&raw(r#"{"isError":true,"content":[{"type":"text","text":"no such file"}]}"#));
        assert_eq!(error.unwrap_err().message, "no such file");
    }
}
