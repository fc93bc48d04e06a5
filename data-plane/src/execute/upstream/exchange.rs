//! One HTTP request to a server, and the messages that its answer is made of, as they come.

use std::collections::VecDeque;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::envelope::{self, Message, Outcome, RpcError};
use super::sse::{Event, Parser};
use super::{Call, Failure};
use crate::catalog::Installation;
use crate::execute::credentials::Placement;
use crate::execute::outbound::{Incoming, Outbound, OutboundError, OutboundRequest};
use crate::execute::rest::response::status_text;

/// Most bytes of all events of one stream, and most events.
const STREAM_BYTES: usize = 64 << 20;
const STREAM_EVENTS: usize = 100_000;
/// What a server may still say after its answer, so that the connection can be used again.
const LEFTOVER_BYTES: usize = 16 << 10;
const LEFTOVER_TIME: Duration = Duration::from_millis(500);
/// Longest wait for a server to take a message that is no request.
pub(super) const SAY_WITHIN: Duration = Duration::from_secs(10);
/// Longest `WWW-Authenticate` that is kept.
const CHALLENGE_BYTES: usize = 4 << 10;

pub(super) const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
pub(super) const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Where requests of an installation go, and what each of them carries.
#[derive(Clone, Copy)]
pub(super) struct Door<'a> {
    pub base: &'a Url,
    pub defaults: &'a HeaderMap,
    pub placement: &'a Placement,
}

impl<'a> Door<'a> {
    pub(super) fn of(installation: &'a Installation, placement: &'a Placement) -> Self {
        Self { base: &installation.base, defaults: &installation.connector.default_headers, placement }
    }

    /// A message for the server.
    pub(super) fn post(self, headers: HeaderMap, body: Vec<u8>) -> OutboundRequest {
        self.request(Method::POST, BOTH, headers, Some(body))
    }

    /// Asks for a stream of events.
    pub(super) fn get(self, headers: HeaderMap) -> OutboundRequest {
        self.request(Method::GET, EVENTS, headers, None)
    }

    /// Ends a session.
    pub(super) fn delete(self, headers: HeaderMap) -> OutboundRequest {
        self.request(Method::DELETE, BOTH, headers, None)
    }

    fn request(
        self,
        method: Method,
        accept: HeaderValue,
        ours: HeaderMap,
        body: Option<Vec<u8>>,
    ) -> OutboundRequest {
        let mut headers = self.defaults.clone();
        headers.extend(ours);
        headers.insert(ACCEPT, accept);
        if body.is_some() {
            headers.insert(CONTENT_TYPE, JSON);
        }
        let mut url = self.base.clone();
        let mut query = url.query().unwrap_or_default().to_owned();
        self.placement.apply(&mut headers, &mut query);
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
        OutboundRequest { method, url, headers, body: body.map(Into::into) }
    }
}

impl Call<'_> {
    pub(super) fn door(&self) -> Door<'_> {
        Door::of(self.installation, self.placement)
    }

    /// Sends a request; its answer has begun, whatever its status.
    pub(super) async fn send(&self, request: OutboundRequest) -> Result<Incoming, Failure> {
        self.requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let incoming = self.upstreams.outbound.begin(request, self.clock.whole()).await?;
        self.placement.learn(incoming.status, &incoming.headers);
        Ok(incoming)
    }

    /// Sends a message that nothing is answered to.
    pub(super) async fn say(&self, request: OutboundRequest) -> Result<(), Failure> {
        let incoming = self.send(request).await?;
        if incoming.status.is_success() { Ok(()) } else { Err(Refusal::of(incoming).await?.failure()) }
    }
}

/// Sends a message with nobody waiting for what becomes of it.
pub(super) async fn say_only(outbound: &Outbound, request: OutboundRequest) {
    match outbound.begin(request, SAY_WITHIN).await {
        Ok(incoming) if incoming.status.is_success() => {}
        Ok(incoming) => tracing::debug!(status = %incoming.status, "an MCP server did not take a message"),
        Err(error) => tracing::debug!(%error, "an MCP server did not take a message"),
    }
}

/// An answer that is none of success.
#[derive(Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    challenge: Option<String>,
    again_in: Option<Duration>,
    /// An error of the protocol, where the body holds one.
    pub error: Option<RpcError>,
    about_session: bool,
}

/// How sure it is that a session is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// As the protocol says it.
    Certain,
    /// By the words of a refusal, which may also be about something else.
    Likely,
}

impl Refusal {
    pub(super) async fn of(incoming: Incoming) -> Result<Self, Failure> {
        let status = incoming.status;
        let text = |name| incoming.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let challenge: Option<String> =
            text(WWW_AUTHENTICATE).map(|text| text.chars().take(CHALLENGE_BYTES).collect());
        let again_in = text(RETRY_AFTER).and_then(|text| text.parse().ok()).map(Duration::from_secs);
        // A body that cannot be read says no less than none; nor does one that does not come.
        let whole = tokio::time::timeout(SAY_WITHIN, incoming.whole()).await;
        let body = whole.ok().and_then(Result::ok).map(|reply| reply.body).unwrap_or_default();
        let error = match envelope::read(&body) {
            Ok(Message::Answer { outcome: Outcome::Error(error), .. }) => Some(error),
            _ => None,
        };
        let said = String::from_utf8_lossy(&body).to_ascii_lowercase();
        let about_session = said.contains("session") || said.contains("not initialized");
        Ok(Self { status, challenge, again_in, error, about_session })
    }

    /// Whether the server does not know the session any more.
    pub(super) fn session_lost(&self, had_id: bool) -> Option<Loss> {
        match self.status {
            StatusCode::NOT_FOUND if had_id || self.about_session => Some(Loss::Certain),
            StatusCode::BAD_REQUEST if self.about_session => Some(Loss::Likely),
            _ => None,
        }
    }

    pub(super) fn failure(self) -> Failure {
        let status = self.status;
        let insufficient = status == StatusCode::FORBIDDEN && self.challenge.is_some();
        if status == StatusCode::UNAUTHORIZED || insufficient {
            return Failure::Unauthorized { challenge: self.challenge };
        }
        if status.is_redirection() {
            return Failure::Broken(format!(
                "answered {}: it has moved; an admin has to enter where it is now",
                status_text(status)
            ));
        }
        if status.is_server_error() {
            return Failure::Broken(format!("answered {}", status_text(status)));
        }
        match self.error {
            Some(RpcError { code, message, data }) => Failure::Rpc { code, message, data },
            None => Failure::Status { status, again_in: self.again_in },
        }
    }
}

/// The revisions that an error of the protocol names as those that the server speaks.
pub(super) fn supported(error: &RpcError) -> Vec<String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Data {
        supported: Vec<Value>,
    }
    let data = error.data.as_ref().and_then(|data| serde_json::from_str(data.get()).ok());
    let Data { supported } = data.unwrap_or_default();
    supported.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The messages of one answer, one after the other.
#[derive(Debug)]
pub(super) struct Answering {
    /// The stream, where it is one and has not ended.
    incoming: Option<Incoming>,
    parser: Parser,
    ready: VecDeque<Message>,
    /// Of all streams of the answer.
    bytes: usize,
    events: usize,
    /// How many of the events came in streams before this one.
    before: usize,
    answers: usize,
    /// The revision has batches.
    batches: bool,
}

impl Answering {
    /// Begins to read. An answer that is no stream is read whole.
    pub(super) async fn read(incoming: Incoming, most: usize, batches: bool) -> Result<Self, Failure> {
        Self::with(incoming, Parser::new(most), batches).await
    }

    /// Reads on in another stream what one left off.
    pub(super) async fn read_on(&self, incoming: Incoming) -> Result<Self, Failure> {
        let mut next = Self::with(incoming, self.parser.taken_up(), self.batches).await?;
        next.bytes += self.bytes;
        (next.events, next.before) = (self.events, self.events);
        Ok(next)
    }

    async fn with(incoming: Incoming, parser: Parser, batches: bool) -> Result<Self, Failure> {
        let media = incoming.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media = media.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let media = media.to_ascii_lowercase();
        let (ready, bytes, events, before) = (VecDeque::new(), 0, 0, 0);
        let mut answering =
            Self { incoming: None, parser, ready, bytes, events, before, answers: 0, batches };
        match media.as_str() {
            "text/event-stream" => answering.incoming = Some(incoming),
            "application/json" => {
                let body = incoming.whole().await?.body;
                answering.message(&body)?;
            }
            "" => return Err(Failure::broken("answered without saying what its answer is")),
            other => {
                let other: String = other.chars().take(60).collect();
                return Err(Failure::Broken(format!("answered {other}, neither JSON nor an event stream")));
            }
        }
        Ok(answering)
    }

    /// The next message; `None` at the end. May be given up while it waits, without losing anything.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, Failure> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some(message));
            }
            let Some(incoming) = &mut self.incoming else { return Ok(None) };
            let chunk = match incoming.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => {
                    self.incoming = None;
                    return Ok(None);
                }
                Err(error) => {
                    self.incoming = None;
                    return Err(error.into());
                }
            };
            let mut events = Vec::new();
            let fed = self.feed(&chunk, &mut events);
            if fed.is_err() {
                self.incoming = None;
            }
            fed?;
        }
    }

    fn feed(&mut self, chunk: &[u8], events: &mut Vec<Event>) -> Result<(), Failure> {
        self.bytes = self.bytes.saturating_add(chunk.len());
        if self.bytes > STREAM_BYTES {
            return Err(Failure::Broken(format!(
                "sent more than {} MiB without coming to an end",
                STREAM_BYTES >> 20
            )));
        }
        let fed = self.parser.feed(chunk, events);
        fed.map_err(|error| Failure::Broken(format!("sent an event of more than {} MiB", error.0 >> 20)))?;
        for event in events.drain(..) {
            self.events += 1;
            if self.events > STREAM_EVENTS {
                return Err(Failure::Broken(format!(
                    "sent more than {STREAM_EVENTS} events without coming to an end"
                )));
            }
            // Other kinds, and events without data, are for keeping connections open.
            if event.kind == "message" && !event.data.is_empty() {
                self.message(event.data.as_bytes())?;
            }
        }
        Ok(())
    }

    fn message(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let messages = envelope::read_all(bytes, self.batches)
            .map_err(|why| Failure::Broken(format!("sent what {why}")))?;
        for message in messages {
            if matches!(message, Message::Answer { .. }) {
                self.answers += 1;
                if self.answers > 1 {
                    return Err(Failure::broken("answered one request twice"));
                }
            }
            self.ready.push_back(message);
        }
        Ok(())
    }

    /// How to take up the stream again: after which event, and how long to wait before.
    pub(super) fn resumption(&self) -> Option<(String, Option<u64>)> {
        self.parser.last_id().map(|id| (id.to_owned(), self.parser.retry()))
    }

    /// Whether anything has come of this stream.
    pub(super) const fn began(&self) -> bool {
        self.events > self.before
    }
}

/// After its answer a stream is about to end; whoever reads its end can use the connection again.
impl Drop for Answering {
    fn drop(&mut self) {
        let (Some(mut incoming), 1..) = (self.incoming.take(), self.answers) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(tokio::time::timeout(LEFTOVER_TIME, async move {
            let mut left = LEFTOVER_BYTES;
            while let Ok(Some(chunk)) = incoming.chunk().await {
                match left.checked_sub(chunk.len()) {
                    Some(less) => left = less,
                    None => return,
                }
            }
        }));
    }
}

/// Whether a stream that broke may be taken up again: not where what it said was at fault.
pub(super) const fn is_break(failure: &Failure) -> bool {
    matches!(failure, Failure::Outbound(OutboundError::Broken))
}
