//! What a server says before it answers: notifications for the client, and requests to it whose answers go back.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::envelope::{Message, Outcome};
use super::oldest::Connection;
use super::sessions::Session;
use super::{Call, Failure};
use crate::call::line::Answered;
use crate::members::Members;

/// Most questions to the client that are open at a time in one call.
const ASKS: usize = 8;
/// How long a person has for an answer.
const ASK_WITHIN: Duration = Duration::from_secs(10 * 60);
/// Severities, least first (RFC 5424).
const LEVELS: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// How the client's answers travel to the server.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    Http(&'a Session),
    Oldest(&'a Connection),
}

/// A token that stands for the client's own in one session.
pub(super) type Token = u64;

#[derive(Serialize)]
struct Reply<'a> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RawValue>,
}

/// Listens to the server until it has answered the request with this id (and this progress token).
pub(super) async fn until_answered(
    call: &Call<'_>,
    way: Way<'_>,
    id: u64,
    messages: impl Stream<Item = Result<Message, Failure>>,
) -> Result<Outcome, Failure> {
    let mut messages = pin!(messages);
    let mut asks = FuturesUnordered::new();
    let mut withdrawn: HashMap<String, CancellationToken> = HashMap::new();
    loop {
        let message = tokio::select! {
            biased;
            Some(asked) = asks.next(), if !asks.is_empty() => {
                let (id, replied): (Box<RawValue>, Result<(), Failure>) = asked;
                withdrawn.remove(id.get());
                replied?;
                continue;
            }
            message = messages.next() => message,
        };
        match message {
            None => return Err(Failure::broken("ended its answer before the result")),
            Some(message) => match message? {
                Message::Answer { id: theirs, outcome } => return ours(&theirs, id, outcome),
                Message::Notification { method, params } if method == "notifications/cancelled" => {
                    let about = params.and_then(|params| cancelled(&params));
                    if let Some(ask) = about.and_then(|about| withdrawn.remove(&about)) {
                        ask.cancel();
                    }
                }
                Message::Notification { method, params } => {
                    told(call, &method, params, Some(id)).await;
                }
                Message::Request { id, method, params } => {
                    let open = asks.len();
                    if open >= 4 * ASKS {
                        return Err(Failure::broken("asks for more at once than can be answered"));
                    }
                    let given_up = CancellationToken::new();
                    withdrawn.insert(id.get().to_owned(), given_up.clone());
                    asks.push(async move {
                        let answered = answered(call, &method, params, open);
                        let replied = match given_up.run_until_cancelled(answered).await {
                            Some(answered) => reply(call, way, &id, &answered).await,
                            None => Ok(()),
                        };
                        (id, replied)
                    });
                }
            },
        }
    }
}

/// The outcome, if the answer is to this request. A server that could not read the request says so without its id.
pub(super) fn ours(theirs: &RawValue, id: u64, outcome: Outcome) -> Result<Outcome, Failure> {
    let unread = matches!(outcome, Outcome::Error(_)) && theirs.get() == "null";
    if unread || theirs.get() == id.to_string() {
        Ok(outcome)
    } else {
        Err(Failure::broken("answered a request that nobody made"))
    }
}

fn cancelled(params: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Cancelled<'a> {
        #[serde(rename = "requestId", borrow)]
        id: &'a RawValue,
    }
    let cancelled: Cancelled<'_> = serde_json::from_str(params.get()).ok()?;
    Some(cancelled.id.get().to_owned())
}

fn error(code: i64, message: &str) -> Answered {
    let error = json!({"code": code, "message": message});
    Answered::Error(to_raw_value(&error).unwrap_or_else(|_| RawValue::NULL.to_owned()))
}

/// What the client says to a request of the server's.
async fn answered(call: &Call<'_>, method: &str, params: Option<Box<RawValue>>, open: usize) -> Answered {
    let capability = match method {
        "ping" => return Answered::Result(empty()),
        "elicitation/create" => "elicitation",
        "sampling/createMessage" => "sampling",
        "roots/list" => "roots",
        _ => return error(-32601, "Method not found"),
    };
    if !call.line.can(capability) {
        return error(-32601, "The client cannot be asked this.");
    }
    if open >= ASKS {
        return error(-32603, "Too many questions are open already.");
    }
    let _hold = call.clock.hold();
    let asking = call.line.ask(method, params.unwrap_or_else(empty));
    match tokio::time::timeout(ASK_WITHIN, asking).await {
        Ok(Ok(answered)) => answered,
        Ok(Err(_)) => error(-32603, "The client is gone."),
        Err(_) => error(-32603, "The client did not answer in time."),
    }
}

fn empty() -> Box<RawValue> {
    to_raw_value(&json!({})).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

async fn reply(call: &Call<'_>, way: Way<'_>, id: &RawValue, answered: &Answered) -> Result<(), Failure> {
    let (result, error) = match answered {
        Answered::Result(result) => (Some(result.as_ref()), None),
        Answered::Error(error) => (None, Some(error.as_ref())),
    };
    let body = serde_json::to_vec(&Reply { jsonrpc: "2.0", id, result, error })
        .map_err(|_| Failure::broken("asked what cannot be answered"))?;
    let request = match way {
        Way::Http(session) => call.door().post(session.headers(), body),
        Way::Oldest(connection) => connection.post(call.door(), body),
    };
    match call.say(request).await {
        Ok(()) => Ok(()),
        Err(Failure::Rpc { message, .. }) => {
            let message: String = message.chars().take(200).collect();
            Err(Failure::Broken(format!("did not take the client's answer: {message}")))
        }
        Err(Failure::Status { status, .. }) => {
            Err(Failure::Broken(format!("did not take the client's answer ({status})")))
        }
        Err(failure) => Err(failure),
    }
}

/// Passes on what a server tells. `token` is ours, where it stands for the client's.
pub(super) async fn told(call: &Call<'_>, method: &str, params: Option<Box<RawValue>>, token: Option<Token>) {
    let line = call.line;
    let params = params.unwrap_or_else(empty);
    match method {
        "notifications/progress" => {
            let Some(theirs) = line.client().meta.get("progressToken") else { return };
            let params = match token {
                Some(ours) => renamed(&params, ours, theirs),
                None => Some(params),
            };
            if let Some(params) = params {
                line.tell(method, params).await;
            }
        }
        "notifications/message" if wanted(line.client().log_level.as_deref(), &params) => {
            line.tell(method, params).await;
        }
        "notifications/elicitation/complete" => line.tell(method, params).await,
        "notifications/tools/list_changed"
        | "notifications/prompts/list_changed"
        | "notifications/resources/list_changed" => {
            call.upstreams.reporter.changed(call.installation.tenant, call.installation.id);
        }
        _ => tracing::debug!(method, "a notification of an MCP server is for nobody"),
    }
}

/// Progress under the client's own token; `None` where it is about something else.
fn renamed(params: &RawValue, ours: Token, theirs: &Value) -> Option<Box<RawValue>> {
    let mut members = Members::read(params.get())?;
    if members.read_as::<Token>("progressToken") != Some(ours) {
        return None;
    }
    members.set_value("progressToken", theirs);
    Some(members.write())
}

/// How severe a level is, if it is one.
pub(super) fn rank(level: &str) -> Option<usize> {
    LEVELS.iter().position(|known| *known == level)
}

/// Whether a log message is as severe as the client wants.
fn wanted(least: Option<&str>, params: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Logged<'a> {
        #[serde(borrow)]
        level: std::borrow::Cow<'a, str>,
    }
    let Some(least) = least.and_then(rank) else { return false };
    let level = serde_json::from_str(params.get()).ok().and_then(|logged: Logged<'_>| rank(&logged.level));
    level.is_some_and(|level| level >= least)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(value: &Value) -> Box<RawValue> {
        to_raw_value(value).unwrap()
    }

    #[test]
    fn progress_goes_under_the_clients_own_token() {
        let params = raw(&json!({"progressToken": 7, "progress": 1, "vendor": [2]}));
        let passed = renamed(&params, 7, &json!("p")).unwrap();
        assert_eq!(passed.get(), r#"{"progressToken":"p","progress":1,"vendor":[2]}"#);
        assert!(renamed(&params, 8, &json!("p")).is_none(), "of another call");
        let sent = RawValue::from_string(r#"{"total":3.00,"progressToken":7,"progress":1e400}"#.to_owned());
        let passed = renamed(&sent.unwrap(), 7, &json!("p")).unwrap();
        assert_eq!(passed.get(), r#"{"total":3.00,"progressToken":"p","progress":1e400}"#);
    }

    #[test]
    fn log_messages_are_passed_on_from_the_level_that_the_client_wants() {
        let warning = raw(&json!({"level": "warning", "data": "x"}));
        assert!(wanted(Some("info"), &warning) && wanted(Some("warning"), &warning));
        assert!(!wanted(Some("error"), &warning) && !wanted(None, &warning));
        assert!(!wanted(Some("debug"), &raw(&json!({"level": 7}))));
    }
}
