//! The transport of revision 2024-11-05, for clients that speak nothing later: a GET opens a stream whose first event names
//! the address for POSTs; these are answered 202, and what they are answered with comes on the stream.
//!
//! Only a way of travelling: what a POST holds is answered as everywhere, and the answer, or each event of it, is written to
//! the stream, on whichever node that is open. The stream has its client's session, so that later POSTs need not name it.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::ongoing::{comment, event, event_stream};
use super::reply;
use crate::call::Caller;
use crate::ingress::{ListenPermit, Standing};
use crate::peer::{OpenStream, Owner, Peers, Undeliverable};

/// Names the stream in the address for POSTs.
pub const STREAM: &str = "stream";
const SESSION_HEADER: &str = "mcp-session-id";
/// Longest that the end of a stream may wait for a change of access; tokens expire without one.
const LOOK: Duration = Duration::from_secs(30);

/// Opens a stream.
pub fn open(caller: &Caller) -> Response {
    let app = &caller.app;
    let owner = owner(caller);
    let permit = match app.capacity.listen(owner.tenant, owner.subject) {
        Ok(permit) => permit,
        Err(full) => return refused(StatusCode::TOO_MANY_REQUESTS, &full.to_string()),
    };
    let stream = match app.peers.open_stream(owner) {
        Ok(stream) => stream,
        Err(full) => return refused(StatusCode::TOO_MANY_REQUESTS, &full.to_string()),
    };
    let mut beat = tokio::time::interval_at(Instant::now() + app.limits.stream_beat, app.limits.stream_beat);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let open = Open {
        stream,
        standing: caller.standing.clone(),
        stop: app.stopping.clone(),
        beat,
        looked: Instant::now(),
        _permit: permit,
    };
    event_stream(Body::from_stream(stream::unfold((open, false), next)))
}

struct Open {
    stream: OpenStream,
    standing: Standing,
    stop: CancellationToken,
    beat: Interval,
    looked: Instant,
    _permit: ListenPermit,
}

async fn next((mut open, named): (Open, bool)) -> Option<(Result<Bytes, Infallible>, (Open, bool))> {
    if !named {
        // Below the address that was asked, so that the client finds it of the same origin.
        let place = format!("event: endpoint\ndata: /mcp?{STREAM}={}\n\n", open.stream.id);
        return Some((Ok(place.into()), (open, true)));
    }
    let said = tokio::select! {
        biased;
        () = open.stop.cancelled() => return None,
        () = open.standing.ended() => return None,
        message = open.stream.messages.recv() => event(&message?),
        _ = open.beat.tick() => {
            if open.looked.elapsed() >= LOOK {
                open.standing.principal()?;
                open.looked = Instant::now();
            }
            comment()
        }
    };
    Some((Ok(said), (open, true)))
}

/// Takes a POST to an open stream.
pub async fn post(caller: Caller, headers: &HeaderMap, body: Bytes, id: String) -> Response {
    let (owner, peers) = (owner(&caller), caller.app.peers.clone());
    let session = match peers.session_of(owner, &id).await {
        Ok(session) => session,
        Err(Undeliverable::Unknown | Undeliverable::Gone) => {
            return refused(
                StatusCode::NOT_FOUND,
                "This stream is not open any more. Open another with GET.",
            );
        }
        Err(Undeliverable::Busy | Undeliverable::Away) => {
            let text = "The node that holds this stream cannot be reached. Open another with GET.";
            return refused(StatusCode::SERVICE_UNAVAILABLE, text);
        }
    };
    let mut headers = headers.clone();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    if let Ok(session) = HeaderValue::try_from(session)
        && !session.is_empty()
    {
        headers.insert(SESSION_HEADER, session);
    }
    // What is answered goes on the stream, also when the POST's own connection is gone.
    let calls = caller.app.calls.clone();
    calls.spawn(async move {
        let response = match super::listens(&body) {
            // Nobody would notice that its client left.
            Some(id) => reply::json(super::no_listening(&id)),
            None => super::answer(caller, &headers, &body).await,
        };
        if let Err(error) = pass_on(&peers, owner, &id, response).await {
            tracing::debug!(tenant = %owner.tenant, %error, "an answer did not reach its stream");
        }
    });
    reply::accepted()
}

fn owner(caller: &Caller) -> Owner {
    Owner { tenant: caller.visit.tenant.id, subject: caller.principal.subject }
}

fn refused(status: StatusCode, message: &str) -> Response {
    let body = axum::Json(serde_json::json!({ "error": "stream", "message": message }));
    (status, body).into_response()
}

/// Writes what a POST is answered with to the stream, each message by itself.
async fn pass_on(peers: &Peers, owner: Owner, id: &str, response: Response) -> Result<(), Undeliverable> {
    let (parts, body) = response.into_parts();
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let session = text(SESSION_HEADER);
    let is_stream = text(CONTENT_TYPE.as_str()).starts_with("text/event-stream");
    let mut messages = Messages { body: body.into_data_stream(), held: BytesMut::new(), seen: 0, is_stream };
    while let Some(message) = messages.next().await {
        for message in single(&message) {
            peers.push(owner, id, message, session).await?;
        }
    }
    Ok(())
}

/// A response's messages.
struct Messages {
    body: BodyDataStream,
    held: BytesMut,
    /// So much of it holds no end of an event.
    seen: usize,
    is_stream: bool,
}

impl Messages {
    /// The next whole event that is here already.
    fn event(&mut self) -> Option<BytesMut> {
        if !self.is_stream {
            return None;
        }
        let unseen = self.held.get(self.seen..).unwrap_or_default();
        match unseen.windows(2).position(|two| two == b"\n\n") {
            Some(end) => {
                let event = self.held.split_to(self.seen + end + 2);
                self.seen = 0;
                Some(event)
            }
            None => {
                self.seen = self.held.len().saturating_sub(1);
                None
            }
        }
    }

    /// The data of the next event, or the whole body.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            while let Some(event) = self.event() {
                if let Some(data) = data(&event) {
                    return Some(data);
                }
            }
            match self.body.next().await {
                Some(Ok(more)) => self.held.extend_from_slice(&more),
                Some(Err(_)) | None => {
                    let rest = self.held.split().freeze();
                    return (!self.is_stream && !rest.is_empty()).then_some(rest);
                }
            }
        }
    }
}

/// What an event of ours says, if it says something.
fn data(event: &[u8]) -> Option<Bytes> {
    let lines: Vec<&[u8]> =
        event.split(|b| *b == b'\n').filter_map(|line| line.strip_prefix(b"data: ")).collect();
    Some(Bytes::from(lines.join(&b'\n'))).filter(|data| !data.is_empty())
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "jsonrpc")]
    _jsonrpc: String,
}

/// The messages in one text: itself, or those of a batch; nothing of what is no message.
fn single(text: &[u8]) -> Vec<Bytes> {
    if serde_json::from_slice::<Message>(text).is_ok() {
        return vec![Bytes::copy_from_slice(text)];
    }
    let batch: Vec<Box<RawValue>> = serde_json::from_slice(text).unwrap_or_default();
    let messages = batch.iter().filter(|raw| serde_json::from_str::<Message>(raw.get()).is_ok());
    messages.map(|raw| Bytes::copy_from_slice(raw.get().as_bytes())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn messages(content_type: &str, body: &'static str) -> Vec<String> {
        // In pieces of three bytes, as a network might.
        let pieces = body.as_bytes().chunks(3).map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece)));
        let body = Body::from_stream(stream::iter(pieces.collect::<Vec<_>>()));
        let is_stream = content_type == "text/event-stream";
        let mut messages =
            Messages { body: body.into_data_stream(), held: BytesMut::new(), seen: 0, is_stream };
        let mut found = Vec::new();
        while let Some(message) = messages.next().await {
            found.extend(single(&message).iter().map(|one| String::from_utf8(one.to_vec()).unwrap()));
        }
        found
    }

    #[tokio::test]
    async fn each_message_of_an_answer_is_found_whatever_its_form() {
        let (one, two) = (r#"{"jsonrpc":"2.0","id":1}"#, r#"{"jsonrpc":"2.0","id":2}"#);
        assert_eq!(messages("application/json", r#"{"jsonrpc":"2.0","id":1}"#).await, [one]);
        assert_eq!(
            messages("application/json", r#"[{"jsonrpc":"2.0","id":1},{"jsonrpc":"2.0","id":2}]"#).await,
            [one, two]
        );
        let stream = ": still working\n\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1}\n\nid: 7\ndata: \n\n\
                      event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":2}\n\n: cut off";
        assert_eq!(messages("text/event-stream", stream).await, [one, two]);
        assert!(messages("application/json", "").await.is_empty());
        assert!(messages("application/json", r#"{"error":"busy"}"#).await.is_empty());
    }
}
