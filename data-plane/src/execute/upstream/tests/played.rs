//! A server in this process that says what a test wants.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// A request that came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    /// Null where there was no body.
    pub body: Value,
}

impl Seen {
    pub(super) fn rpc(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

pub(super) struct Played {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Played {
    /// Serves; `answer` is given each request and how many came before.
    pub(super) async fn start(answer: impl Fn(&Seen, usize) -> Response + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (all, answer) = (Arc::clone(&seen), Arc::new(answer));
        let handler = move |request: Request| {
            let (all, answer) = (Arc::clone(&all), Arc::clone(&answer));
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let path = parts.uri.path_and_query().unwrap().to_string();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let one = Seen { method: parts.method, path, headers: parts.headers, body };
                let before = {
                    let mut all = all.lock().unwrap();
                    all.push(one.clone());
                    all.len() - 1
                };
                answer(&one, before)
            }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
        Self { url, seen }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The methods that were asked for, in order.
    pub(super) fn methods(&self) -> Vec<String> {
        self.seen().iter().map(|seen| format!("{} {}", seen.method, seen.rpc()).trim().to_owned()).collect()
    }
}

pub(super) fn status(status: u16) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

pub(super) fn of_type(media: &str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert("content-type", media.parse().unwrap());
    response
}

pub(super) fn json_body(value: &Value) -> Response {
    of_type("application/json", value.to_string())
}

/// The answer to a request.
pub(super) fn result(seen: &Seen, result: &Value) -> Response {
    json_body(&json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": result}))
}

pub(super) fn event(value: &Value) -> String {
    format!("event: message\ndata: {value}\n\n")
}

/// A stream of these events that ends.
pub(super) fn events(events: &[Value]) -> Response {
    of_type("text/event-stream", events.iter().map(event).collect::<String>())
}

/// A stream that a test writes to, and that ends with the sender.
pub(super) fn open_stream() -> (mpsc::Sender<String>, Response) {
    let (write, read) = mpsc::channel::<String>(64);
    let read = tokio_stream::StreamExt::map(ReceiverStream::new(read), |text| {
        Ok::<_, std::convert::Infallible>(Bytes::from(text))
    });
    (write, of_type("text/event-stream", Body::from_stream(read)))
}

/// What an older server says when a session begins.
pub(super) fn initialized(seen: &Seen, session: Option<&str>) -> Response {
    let version = &seen.body["params"]["protocolVersion"];
    let info = json!({"name": "played", "version": "1"});
    let mut response = result(
        seen,
        &json!({"protocolVersion": version, "capabilities": {"tools": {}, "logging": {}}, "serverInfo": info}),
    );
    if let Some(session) = session {
        response.headers_mut().insert("mcp-session-id", session.parse().unwrap());
    }
    response
}
