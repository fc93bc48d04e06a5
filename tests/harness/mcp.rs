//! Raw MCP over HTTP: every header and byte is the test's own.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::events::Events;
use crate::schema::Exchange;
use crate::wait::SOON;

/// The revision tests speak where they do not care.
pub const REVISION: &str = "2025-11-25";

/// A client of one endpoint.
#[derive(Debug, Clone)]
pub struct Mcp {
    http: reqwest::Client,
    url: String,
    headers: HeaderMap,
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// # Errors
    /// When the answer breaks off.
    pub async fn of(response: reqwest::Response) -> Result<Self> {
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Self { status, headers, body: response.text().await? })
    }

    /// A header as text; "" where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The JSON in it, plain or as the one event of a stream.
    ///
    /// # Errors
    /// When there is none.
    pub fn json(&self) -> Result<Value> {
        let text = if self.header("content-type").starts_with("text/event-stream") {
            self.body
                .lines()
                .filter_map(|line| line.strip_prefix("data:"))
                .map(str::trim)
                .rfind(|d| !d.is_empty())
        } else {
            Some(self.body.as_str())
        };
        let text = text.with_context(|| format!("no event in {}", self.body))?;
        serde_json::from_str(text).with_context(|| format!("{} is no JSON: {}", self.status, self.body))
    }

    /// The protocol's messages in it: of a stream all that came, of a batch all of it, of a refusal by HTTP none.
    #[must_use]
    pub fn messages(&self) -> Vec<Value> {
        let found = if self.header("content-type").starts_with("text/event-stream") {
            // The last event may end with the stream.
            Events::default().push(format!("{}\n\n", self.body).as_bytes())
        } else {
            crate::schema::messages(self.body.as_bytes())
        };
        found.into_iter().filter(|message| message.get("jsonrpc").is_some()).collect()
    }

    /// How it refuses: the JSON-RPC error's message, or the text of a result marked as an error. `None` for a success.
    ///
    /// # Errors
    /// When there is no JSON.
    pub fn refusal(&self) -> Result<Option<String>> {
        let json = self.json()?;
        if let Some(message) = json.pointer("/error/message").and_then(Value::as_str) {
            let data = json.pointer("/error/data").map(Value::to_string).unwrap_or_default();
            return Ok(Some(format!("{message} {data}")));
        }
        let failed = json.pointer("/result/isError").and_then(Value::as_bool).unwrap_or_default();
        Ok(failed.then(|| text_of(&json)))
    }

    /// The text of a result that is a success.
    ///
    /// # Errors
    /// When it is none.
    pub fn text(&self) -> Result<String> {
        ensure!(self.status == StatusCode::OK, "answered {}: {}", self.status, self.body);
        if let Some(refusal) = self.refusal()? {
            bail!("refused: {refusal}");
        }
        Ok(text_of(&self.json()?))
    }

    /// The JSON in the text of a result that is a success.
    ///
    /// # Errors
    /// When it is no success or no JSON.
    pub fn result_json(&self) -> Result<Value> {
        let text = self.text()?;
        serde_json::from_str(&text).with_context(|| format!("no JSON in the result: {text}"))
    }
}

/// An answer that comes message by message.
pub struct Stream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    exchange: Exchange,
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    events: Events,
    /// What has come of an answer that is no stream: one message.
    whole: Option<Vec<u8>>,
    /// What has come and was not asked for yet, last first.
    waiting: Vec<Value>,
}

impl Stream {
    /// What comes next, held to the protocol's schema.
    ///
    /// # Errors
    /// When the stream ends, nothing comes soon, or what comes breaks the protocol's rules.
    pub async fn next(&mut self) -> Result<Value> {
        self.within(SOON).await?.context("the stream ended")
    }

    /// The same; `None` when the stream ends in order.
    ///
    /// # Errors
    /// When nothing comes in time, or what comes breaks the protocol's rules.
    pub async fn within(&mut self, limit: Duration) -> Result<Option<Value>> {
        let wait = async {
            loop {
                if let Some(message) = self.waiting.pop() {
                    self.exchange.check(&message)?;
                    return Ok(Some(message));
                }
                match (self.body.next().await, &mut self.whole) {
                    (Some(chunk), Some(whole)) => whole.extend_from_slice(&chunk?),
                    (Some(chunk), None) => {
                        self.waiting = self.events.push(&chunk?);
                        self.waiting.reverse();
                    }
                    (None, whole) => {
                        let Some(whole) = whole.take() else { return Ok(None) };
                        self.waiting.push(serde_json::from_slice(&whole)?);
                    }
                }
            }
        };
        tokio::time::timeout(limit, wait).await.context("nothing came")?
    }
}

fn text_of(answer: &Value) -> String {
    let parts = answer.pointer("/result/content").and_then(Value::as_array);
    let texts = parts.into_iter().flatten().filter_map(|part| part.get("text")?.as_str());
    texts.collect::<Vec<_>>().join("\n")
}

impl Mcp {
    /// A client without a token.
    #[must_use]
    pub fn new(http: reqwest::Client, url: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert("mcp-protocol-version", HeaderValue::from_static(REVISION));
        Self { http, url: url.to_owned(), headers }
    }

    /// With a header; an empty value takes it away.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            if value.is_empty() {
                self.headers.remove(name);
            } else {
                self.headers.insert(name, value);
            }
        }
        self
    }

    /// With a bearer token.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    /// With a `Host` of its own.
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        self.header(HOST.as_str(), host)
    }

    /// Sends a body as it is. Whatever it is: what comes back is held to the protocol's schema.
    ///
    /// # Errors
    /// When there is no answer, or one that breaks the protocol's rules.
    pub async fn post(&self, body: impl Into<Bytes>) -> Result<Answer> {
        let body = body.into();
        let exchange = Exchange::of(&self.headers, &body);
        let request = self.http.post(&self.url).headers(self.headers.clone()).body(body);
        let answer = Answer::of(request.send().await?).await?;
        for message in answer.messages() {
            exchange.check(&message)?;
        }
        Ok(answer)
    }

    /// Sends a body, and gives the answer as soon as it begins.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn open(&self, body: impl Into<Bytes>) -> Result<Stream> {
        let body = body.into();
        let exchange = Exchange::of(&self.headers, &body);
        let request = self.http.post(&self.url).headers(self.headers.clone()).body(body);
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let whole = media.starts_with("application/json").then(Vec::new);
        let (body, events) = (response.bytes_stream().boxed(), Events::default());
        Ok(Stream { status, headers, exchange, body, events, whole, waiting: Vec::new() })
    }

    /// Sends any other HTTP method, without a body.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn method(&self, method: http::Method) -> Result<Answer> {
        Answer::of(self.http.request(method, &self.url).headers(self.headers.clone()).send().await?).await
    }

    /// Sends one JSON-RPC request with id 1.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn request(&self, method: &str, params: Value) -> Result<Answer> {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.post(message.to_string()).await
    }

    /// `initialize` with a revision.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn initialize(&self, revision: &str) -> Result<Answer> {
        let info = json!({"name": "raw-test-client", "version": "1.0"});
        let params = json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": info});
        self.request("initialize", params).await
    }

    /// Calls a tool.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Answer> {
        self.request("tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// All tools, through all pages.
    ///
    /// # Errors
    /// When the list is refused.
    pub async fn tools(&self) -> Result<Vec<Value>> {
        let mut tools = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..100 {
            let params = cursor.as_ref().map_or_else(|| json!({}), |cursor| json!({"cursor": cursor}));
            let answer = self.request("tools/list", params).await?;
            ensure!(
                answer.status == StatusCode::OK,
                "tools/list answered {}: {}",
                answer.status,
                answer.body
            );
            let json = answer.json()?;
            let page = json.pointer("/result/tools").and_then(Value::as_array);
            tools.extend(page.with_context(|| format!("no tools in {json}"))?.iter().cloned());
            cursor = json.pointer("/result/nextCursor").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() {
                return Ok(tools);
            }
        }
        bail!("no end of pages")
    }

    /// The names of all tools.
    ///
    /// # Errors
    /// When the list is refused.
    pub async fn names(&self) -> Result<Vec<String>> {
        let tools = self.tools().await?;
        Ok(tools.iter().filter_map(|tool| tool.get("name")?.as_str().map(str::to_owned)).collect())
    }
}
