//! MCP over Streamable HTTP, the server's side: one POST is one message (or, in one old revision, a batch).
//!
//! Owns the envelope and the dispatch between the eras of the protocol; each era has a file of its own. It is given a
//! principal and bytes; it knows nothing of hosts, tokens or how calls are carried out.

mod envelope;
mod legacy;
mod reply;
mod revision;
mod stream;
mod tools;

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use http::header::ACCEPT;

use self::envelope::{Incoming, Message};
use self::legacy::Answer;
use self::revision::Revision;
use crate::identity::Principal;
use crate::ingress::Visit;
use crate::node::App;

/// A header only the protocol's own.
const VERSION_HEADER: &str = "mcp-protocol-version";

/// Everything that is known about a request beside its body.
#[derive(Clone)]
pub struct Context {
    pub app: Arc<App>,
    pub visit: Visit,
    pub principal: Principal,
    /// How long it took to find out who is calling.
    pub identified_in: Duration,
}

/// Answers one POST.
pub async fn answer(context: Context, headers: &HeaderMap, body: &Bytes) -> Response {
    let incoming = match envelope::parse(body) {
        Ok(incoming) => incoming,
        Err(fault) => return reply::fault(&fault),
    };
    let version = headers.get(VERSION_HEADER).map(|value| value.to_str().unwrap_or("(no text)"));
    match incoming {
        Incoming::Single(message) => single(context, version, message, takes_stream(headers)).await,
        Incoming::Batch(messages) => batch(context, version, messages).await,
    }
}

async fn single(context: Context, version: Option<&str>, message: Message, takes_stream: bool) -> Response {
    // `initialize` negotiates in its body; whatever a client put into the header beside it is no agreement yet.
    let revision = match Revision::of_header(version) {
        Ok(revision) => revision,
        Err(_) if message.is_initialize() => Revision::NEWEST,
        // Clients of the 2026 protocol ask with a header we do not speak. A 400 whose error is none of that protocol's own
        // codes is what sends them on to `initialize`; seen so in the TypeScript SDK, and written so in the specification.
        Err(version) => return reply::unsupported(message.id(), &version),
    };
    let limits = context.app.limits;
    match legacy::handle(&context, revision, message) {
        Answer::None => reply::accepted(),
        Answer::Ready(body) => reply::json(body),
        Answer::Pending(pending) if takes_stream => stream::answer(pending, &limits).await,
        Answer::Pending(pending) => reply::json(pending.wait().await),
    }
}

/// Batches are of revision 2025-03-26 alone, which is also what a request without the header is taken for.
async fn batch(context: Context, version: Option<&str>, messages: Vec<Message>) -> Response {
    let revision = match Revision::of_header(version) {
        Ok(Revision::V2025_03_26) => Revision::V2025_03_26,
        Ok(_) => return reply::fault(&envelope::Fault::Batch),
        Err(version) => return reply::unsupported(None, &version),
    };
    let mut answers = Vec::new();
    for message in messages {
        let answer = match &message {
            Message::Request { id, .. } if message.is_initialize() => Answer::Ready(reply::error(
                Some(id),
                envelope::INVALID_REQUEST,
                "initialize must not be in a batch",
            )),
            _ => legacy::handle(&context, revision, message),
        };
        match answer {
            Answer::None => {}
            Answer::Ready(body) => answers.push(body),
            Answer::Pending(pending) => answers.push(pending.wait().await),
        }
    }
    if answers.is_empty() { reply::accepted() } else { reply::json(reply::array(&answers)) }
}

fn takes_stream(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|media| media.trim().starts_with("text/event-stream"))
}
