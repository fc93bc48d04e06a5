//! MCP over Streamable HTTP, the server's side: one POST is one message (or, in one old revision, a batch).
//!
//! Owns the envelope and the dispatch between the eras of the protocol; each era has a file of its own. It is given a
//! principal and bytes; it knows nothing of hosts, tokens or how calls are carried out.

mod envelope;
#[doc(hidden)]
pub mod fuzzing;
mod heard;
pub mod http_sse;
mod legacy;
mod levels;
mod listen;
mod lists;
mod modern;
mod offered;
mod ongoing;
mod pass;
mod questions;
mod reply;
mod result;
mod revision;
mod rounds;
mod session;
mod unread;

use std::time::Duration;

use tokio::time::Instant;

use axum::response::Response;
use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};
use serde_json::Map;

use self::envelope::{INTERNAL_ERROR, INVALID_REQUEST, Id, Incoming, METHOD_NOT_FOUND, Message};
use self::legacy::{Answer, Talk};
use self::revision::Revision;
use self::session::Session;
pub use self::unread::{messages as messages_in, refuse as refuse_unread};
use crate::call::Caller;
use crate::ingress;

/// A header only the protocol's own.
const VERSION_HEADER: &str = "mcp-protocol-version";
/// The method whose answer ends with its client.
const LISTEN: &str = "subscriptions/listen";

/// Longest time a whole batch takes; what has not begun by then is not carried out.
const BATCH_WITHIN: Duration = Duration::from_secs(60);
const BATCH_TOO_LONG: &str = "The batch took more than 60 seconds, and this message was not carried out. Send it again, in a smaller batch.";
const CALL_TOO_LONG: &str = "The batch took more than 60 seconds. This call goes on and may take effect; call fewer tools in one batch.";
const NO_LONGER_ALLOWED: &str =
    "Access ended while the batch was on its way, and this message was not carried out. Log in again.";

/// The id of a request that would listen for ever.
fn listens(body: &[u8]) -> Option<Id> {
    match envelope::parse(body) {
        Ok(Incoming::Single(Message::Request { id, method, .. })) if method == LISTEN => Some(id),
        _ => None,
    }
}

/// What it is answered where nobody can listen.
fn no_listening(id: &Id) -> Bytes {
    reply::error(
        Some(id),
        METHOD_NOT_FOUND,
        "Nobody can listen on this stream. Use the address without stream=.",
    )
}

fn version(headers: &HeaderMap) -> Option<&str> {
    headers.get(VERSION_HEADER).map(|value| value.to_str().unwrap_or("(no text)"))
}

/// Answers one POST.
pub async fn answer(caller: Caller, headers: &HeaderMap, body: &Bytes) -> Response {
    let incoming = match envelope::parse(body) {
        Ok(incoming) => incoming,
        Err(fault) => return reply::fault(&fault),
    };
    let version = version(headers);
    match incoming {
        Incoming::Single(message) => single(caller, headers, version, message).await,
        Incoming::Batch(messages) => batch(caller, headers, version, messages).await,
    }
}

async fn single(caller: Caller, headers: &HeaderMap, version: Option<&str>, message: Message) -> Response {
    let takes_stream = takes_stream(headers);
    if modern::is_meant(version, &message) {
        return modern::answer(caller, headers, message, takes_stream).await;
    }
    // One that begins has no session yet, whatever its client still carries.
    let session = match session(&caller, headers.get(session::HEADER).filter(|_| !message.is_initialize())) {
        Ok(session) => session,
        Err(session::Gone) => return reply::no_session(message.id()),
    };
    let version = version.or_else(|| session.as_ref().map(|session| session.revision.as_str()));
    // `initialize` negotiates in its body; whatever a client put into the header beside it is no agreement yet.
    let revision = match Revision::of_header(version) {
        Ok(revision) => revision,
        Err(_) if message.is_initialize() => Revision::NEWEST,
        Err(version) => return reply::unsupported(message.id(), &version),
    };
    if let Message::Invalid { id, reason } = &message {
        return reply::invalid(id.as_ref(), reason);
    }
    let talk = Talk { caller: &caller, revision, session };
    match legacy::handle(&talk, message).await {
        Answer::None => reply::accepted(),
        Answer::Ready(body) => reply::json(body),
        Answer::Begun(body, session) => reply::begun(body, session.as_deref()),
        Answer::Pending(ongoing) => ongoing.response(takes_stream).await,
        Answer::Busy(body) => reply::busy(body),
        Answer::NeedsScope(body) => reply::step_up(body, &caller.visit.tenant.origin),
    }
}

/// The session that a request names.
fn session(caller: &Caller, named: Option<&HeaderValue>) -> Result<Option<Session>, session::Gone> {
    let Some(id) = named else { return Ok(None) };
    let id = id.to_str().map_err(|_| session::Gone)?;
    let (tenant, subject) = (caller.visit.tenant.id, caller.principal.subject);
    let session = Session::open(&caller.app.seals, tenant, subject, id)?;
    caller.app.peers.learn(&session.home);
    Ok(Some(session))
}

/// Batches are of revision 2025-03-26, which is also what a request without the header is taken for, and of the one before,
/// whose transport leaves JSON-RPC as it is.
async fn batch(
    mut caller: Caller,
    headers: &HeaderMap,
    version: Option<&str>,
    messages: Vec<Message>,
) -> Response {
    let session = match session(&caller, headers.get(session::HEADER)) {
        Ok(session) => session,
        Err(session::Gone) => return reply::no_session(None),
    };
    let version = version.or_else(|| session.as_ref().map(|session| session.revision.as_str()));
    let revision = match Revision::of_header(version) {
        Ok(revision) if revision <= Revision::V2025_03_26 => revision,
        Err(version) if version != Revision::MODERN.as_str() => return reply::unsupported(None, &version),
        Ok(_) | Err(_) => return reply::fault(&envelope::Fault::Batch),
    };
    let deadline = Instant::now() + BATCH_WITHIN;
    let mut answers = Vec::new();
    for message in messages {
        // A batch can be long on its way; each of its messages counts as a request of its own.
        let refused = if Instant::now() >= deadline {
            Some((INTERNAL_ERROR, BATCH_TOO_LONG))
        } else if !refresh(&mut caller, headers) {
            Some((INVALID_REQUEST, NO_LONGER_ALLOWED))
        } else {
            None
        };
        match refused {
            None => answers.extend(part(&caller, revision, session.clone(), message, deadline).await),
            Some((code, reason)) => answers.extend(refuse(&message, code, reason)),
        }
    }
    if answers.is_empty() { reply::accepted() } else { reply::json(reply::array(&answers)) }
}

/// Answers one message of a batch.
async fn part(
    caller: &Caller,
    revision: Revision,
    session: Option<Session>,
    message: Message,
    deadline: Instant,
) -> Option<Bytes> {
    if message.is_initialize() {
        return refuse(&message, INVALID_REQUEST, "initialize must not be in a batch");
    }
    let id = message.id().cloned();
    // Nobody answers questions while a batch is carried out.
    let session = session.map(|session| Session { capabilities: Map::new(), ..session });
    let talk = Talk { caller, revision, session };
    match legacy::handle(&talk, message).await {
        Answer::None => None,
        Answer::Ready(body) | Answer::Begun(body, _) | Answer::Busy(body) | Answer::NeedsScope(body) => {
            Some(body)
        }
        Answer::Pending(ongoing) => {
            let answer = tokio::time::timeout_at(deadline, ongoing.reply()).await;
            Some(answer.unwrap_or_else(|_| reply::error(id.as_ref(), INTERNAL_ERROR, CALL_TOO_LONG)))
        }
    }
}

/// An error for a message that is not carried out; a notification gets no answer.
fn refuse(message: &Message, code: i64, reason: &str) -> Option<Bytes> {
    match message {
        Message::Notification { .. } | Message::Response { .. } => None,
        Message::Request { .. } | Message::Invalid { .. } => Some(reply::error(message.id(), code, reason)),
    }
}

/// Looks again who is calling and what is in force; false for a caller who is nobody any more.
fn refresh(caller: &mut Caller, headers: &HeaderMap) -> bool {
    match ingress::refresh(&caller.app, &mut caller.visit, headers) {
        Ok(principal) => {
            caller.principal = principal;
            true
        }
        Err(_) => false,
    }
}

fn takes_stream(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(is_stream)
}

/// Whether a part of `Accept` takes event streams: by that name, and not with the weight of nothing (RFC 9110, section 12.5.1).
fn is_stream(media: &str) -> bool {
    let mut parts = media.split(';').map(str::trim);
    let named = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("text/event-stream"));
    let weights = |part: &str| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")).map(str::to_owned);
    named && !parts.filter_map(weights).any(|weight| weight.trim_matches(['0', '.']).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_for_clients_that_say_they_take_one() {
        for (accept, takes) in [
            ("application/json, text/event-stream", true),
            ("Text/Event-Stream;q=0.5", true),
            ("text/event-stream; q=0", false),
            ("application/json;q=1, text/event-stream;Q=0.000", false),
            ("text/event-streams", false),
            ("*/*", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(takes_stream(&headers), takes, "{accept}");
        }
    }
}
