//! One JSON-RPC request to a server and its answer, by Streamable HTTP or HTTP+SSE, within bounds.
//!
//! Knows JSON-RPC and the two transports; what is asked and in which order stands in the module above.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use url::Url;

use super::events::Events;
use super::trouble::{Trouble, quoted};
use crate::outbound::{Opened, Outbound, Outgoing};

/// Longest wait for one answer.
const WITHIN: Duration = Duration::from_secs(10);
/// Longest wait for a goodbye that nobody needs.
const GOODBYE: Duration = Duration::from_secs(2);
/// All answers of one look together, in bytes.
const BUDGET: usize = 4 << 20;

pub(super) const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");

/// What a server answered to a method.
pub(super) enum Reply {
    Result(Box<RawValue>),
    Error { code: i64, message: String, data: Json },
}

impl Reply {
    /// The result, or the error as trouble.
    pub fn result(self, method: &'static str) -> Result<Box<RawValue>, Trouble> {
        match self {
            Self::Result(result) => Ok(result),
            Self::Error { message, .. } => Err(Trouble::Refused { method, message: quoted(&message) }),
        }
    }
}

/// A message of the protocol, as far as an answer is recognised by it.
#[derive(Deserialize)]
struct Message<'a> {
    id: Option<Json>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<Wrong>,
}

#[derive(Deserialize)]
struct Wrong {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Json,
}

/// How requests reach the server.
enum Way {
    Streamable,
    /// Answers come on a stream that stays open; requests go to another address, which it names first.
    Sse {
        stream: Box<Stream>,
        endpoint: Url,
    },
}

/// A conversation with a server. Cheap to give up: what it holds ends with it.
pub(super) struct Wire<'a> {
    outbound: &'a Outbound,
    url: Url,
    credentials: HeaderMap,
    way: Way,
    /// Sent with each request once it is agreed.
    pub revision: Option<HeaderValue>,
    /// Whether each request names its method in a header, as the stateless revisions want it.
    pub names_methods: bool,
    session: Option<HeaderValue>,
    next_id: u64,
    left: usize,
}

impl<'a> Wire<'a> {
    pub fn new(outbound: &'a Outbound, url: Url, credentials: HeaderMap) -> Self {
        Self {
            outbound,
            url,
            credentials,
            way: Way::Streamable,
            revision: None,
            names_methods: false,
            session: None,
            next_id: 1,
            left: BUDGET,
        }
    }

    pub const fn is_sse(&self) -> bool {
        matches!(self.way, Way::Sse { .. })
    }

    /// Opens the stream of the older transport; requests go where it says from then on.
    pub async fn listen(&mut self) -> Result<(), Trouble> {
        let mut headers = self.credentials.clone();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let request = self.outgoing(Method::GET, self.url.clone(), headers, None);
        let opened = self.outbound.open(request).await?;
        refuse(&opened)?;
        if !is_stream(&opened) {
            return Err(Trouble::NotMcp(
                "it answers neither a POST of JSON nor with a stream of events".to_owned(),
            ));
        }
        let mut stream = Stream { opened, events: Events::default() };
        let first = tokio::time::timeout(WITHIN, stream.next(&mut self.left)).await;
        let first = first.map_err(|_| Trouble::NotMcp("its stream of events stays silent".to_owned()))??;
        let endpoint = first.filter(|event| event.kind == "endpoint").map(|event| event.data);
        let endpoint = endpoint.and_then(|path| self.url.join(path.trim()).ok());
        let Some(endpoint) = endpoint else {
            return Err(Trouble::NotMcp("its stream of events does not begin with an endpoint".to_owned()));
        };
        if endpoint.origin() != self.url.origin() {
            let text =
                "its stream of events names an endpoint on another server, where the credential must not go";
            return Err(Trouble::NotMcp(text.to_owned()));
        }
        self.way = Way::Sse { stream: Box::new(stream), endpoint };
        Ok(())
    }

    /// Asks for something and waits for the answer.
    pub async fn ask(&mut self, method: &'static str, params: Json) -> Result<Reply, Trouble> {
        let id = self.next_id;
        self.next_id += 1;
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let asked = tokio::time::timeout(WITHIN, self.exchange(method, id, &body)).await;
        asked.unwrap_or(Err(Trouble::Outbound(crate::outbound::OutboundError::Timeout(WITHIN))))
    }

    /// Tells something that is not answered.
    pub async fn tell(&mut self, method: &'static str) -> Result<(), Trouble> {
        let body = json!({ "jsonrpc": "2.0", "method": method });
        refuse(&self.post(method, &body).await?)
    }

    /// Ends the session, if the server has one. Nothing depends on whether it listens.
    pub async fn goodbye(self) {
        let (Some(session), Way::Streamable) = (&self.session, &self.way) else { return };
        let mut headers = self.credentials.clone();
        headers.insert(SESSION, session.clone());
        headers.extend(self.revision.clone().map(|revision| (VERSION, revision)));
        let mut request = self.outgoing(Method::DELETE, self.url.clone(), headers, None);
        request.within = GOODBYE;
        drop(self.outbound.open(request).await);
    }

    async fn exchange(&mut self, method: &'static str, id: u64, body: &Json) -> Result<Reply, Trouble> {
        let opened = self.post(method, body).await?;
        if method == "initialize" {
            self.session = opened.headers.get(SESSION).cloned();
        }
        if let Way::Sse { stream, .. } = &mut self.way {
            refuse(&opened)?;
            return stream.answer(id, &mut self.left).await;
        }
        let status = opened.status;
        if status.is_success() && is_stream(&opened) {
            return Stream { opened, events: Events::default() }.answer(id, &mut self.left).await;
        }
        // An error status may carry an answer of the protocol, which says more.
        let challenge = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if challenge || status.is_redirection() {
            refuse(&opened)?;
        }
        let body = whole(opened, &mut self.left).await?;
        match (answer_in(&body, id), status.is_success()) {
            (Some(reply), _) => Ok(reply),
            (None, false) => Err(Trouble::Status(status.as_u16())),
            (None, true) => Err(Trouble::NotMcp("its answer is no answer to the question".to_owned())),
        }
    }

    async fn post(&self, method: &'static str, body: &Json) -> Result<Opened, Trouble> {
        let mut headers = self.credentials.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.extend(self.revision.clone().map(|revision| (VERSION, revision)));
        headers.extend(self.session.clone().map(|session| (SESSION, session)));
        if self.names_methods {
            headers.insert(METHOD, HeaderValue::from_static(method));
        }
        let url = match &self.way {
            Way::Streamable => self.url.clone(),
            Way::Sse { endpoint, .. } => endpoint.clone(),
        };
        let request = self.outgoing(Method::POST, url, headers, Some(body.to_string().into()));
        Ok(self.outbound.open(request).await?)
    }

    fn outgoing(&self, method: Method, url: Url, headers: HeaderMap, body: Option<Bytes>) -> Outgoing {
        Outgoing { method, url, headers, body, answer_bytes: self.left, within: WITHIN }
    }
}

/// A stream of events that is being read.
struct Stream {
    opened: Opened,
    events: Events,
}

impl Stream {
    async fn next(&mut self, left: &mut usize) -> Result<Option<super::events::Event>, Trouble> {
        loop {
            if let Some(event) = self.events.next() {
                return Ok(Some(event));
            }
            let Some(piece) = self.opened.chunk().await? else { return Ok(None) };
            *left = left.checked_sub(piece.len()).ok_or(Trouble::TooLarge)?;
            self.events.feed(&piece).map_err(|_| Trouble::TooLarge)?;
        }
    }

    /// Waits for the answer to one request. What else the server says meanwhile is for nobody here.
    async fn answer(&mut self, id: u64, left: &mut usize) -> Result<Reply, Trouble> {
        while let Some(event) = self.next(left).await? {
            if event.kind == "message"
                && let Some(reply) = answer_in(event.data.as_bytes(), id)
            {
                return Ok(reply);
            }
        }
        Err(Trouble::NotMcp("its stream of events ended before the answer".to_owned()))
    }
}

fn answer_in(message: &[u8], id: u64) -> Option<Reply> {
    let message: Message<'_> = serde_json::from_slice(message).ok()?;
    let ours = message.id.as_ref() == Some(&Json::from(id));
    match (message.result, message.error) {
        (Some(result), None) if ours => Some(Reply::Result(result.to_owned())),
        // A server that could not read the request cannot name it.
        (None, Some(Wrong { code, message: text, data }))
            if ours || message.id.is_none_or(|id| id.is_null()) =>
        {
            Some(Reply::Error { code, message: text, data })
        }
        _ => None,
    }
}

async fn whole(mut opened: Opened, left: &mut usize) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    while let Some(piece) = opened.chunk().await? {
        *left = left.checked_sub(piece.len()).ok_or(Trouble::TooLarge)?;
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

fn is_stream(opened: &Opened) -> bool {
    let kind = opened.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream")
}

/// What an error status means by itself.
fn refuse(opened: &Opened) -> Result<(), Trouble> {
    let header = |name| opened.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match opened.status {
        status if status.is_success() => Ok(()),
        StatusCode::UNAUTHORIZED => Err(Trouble::Unauthorized(challenge(&opened.headers))),
        StatusCode::FORBIDDEN => Err(Trouble::Forbidden(challenge(&opened.headers))),
        status if status.is_redirection() => {
            Err(Trouble::Redirect(quoted(header(LOCATION).unwrap_or("elsewhere"))))
        }
        status => Err(Trouble::Status(status.as_u16())),
    }
}

/// The challenges that came with a refusal, one after the other.
fn challenge(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<&str> = all.collect();
    (!all.is_empty()).then(|| all.join(", ").chars().take(2_000).collect())
}
