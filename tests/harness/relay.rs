//! A proxy that goes between a client and nodes, or between a node and a server: it gives each request to the next of its
//! targets, may show a token for clients that cannot, and holds what passes to the protocol's schemas.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;

use crate::events::Events;
use crate::provider;
use crate::schema::{Exchange, Schemas, messages};

/// Longest request that is passed on.
const LONGEST: usize = 16 << 20;
/// How many broken rules are kept.
const KEPT: usize = 20;

/// What is held to the schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// What the server says: the client may be a judge that says wrong things on purpose.
    Answers,
    Everything,
}

/// How to pass on.
#[derive(Debug, Clone)]
pub struct Route {
    /// Origins, without a trailing slash; each request goes to the next.
    pub targets: Vec<String>,
    /// The `Host` that stands for the proxy's own name, in `Host` and `Origin` alike. Other names are passed on as they came.
    pub host: Option<String>,
    /// Shown where a request shows none.
    pub token: Option<String>,
    pub held: Held,
}

/// A running proxy. It lives as long as the test process.
#[derive(Debug, Clone)]
pub struct Relay {
    /// Its origin, without a trailing slash: `http://localhost:PORT`.
    pub url: String,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    route: Route,
    own: [String; 2],
    next: AtomicUsize,
    http: reqwest::Client,
    passed: Mutex<Passed>,
}

#[derive(Debug, Default)]
struct Passed {
    /// Methods of what was asked, in order.
    asked: Vec<String>,
    /// Rules that were broken.
    broken: Vec<String>,
    /// What the server asked the client, by session and id.
    questions: HashMap<(String, String), String>,
}

impl Relay {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub fn start(route: Route) -> Result<Self> {
        ensure!(!route.targets.is_empty(), "a proxy needs somewhere to pass requests on to");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        // No limit of time: streams stay open as long as their client wants.
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()?;
        let inner = Arc::new(Inner {
            route,
            own: [format!("localhost:{port}"), format!("127.0.0.1:{port}")],
            next: AtomicUsize::new(0),
            http,
            passed: Mutex::default(),
        });
        provider::serve(listener, Router::new().fallback(pass).with_state(Arc::clone(&inner)))?;
        Ok(Self { url: format!("http://localhost:{port}"), inner })
    }

    /// In front of one server, for a node: everything that passes is held to the schemas.
    ///
    /// # Errors
    /// When there is no free port, or the URL is none.
    pub fn before(url: &str) -> Result<Self> {
        let target = url::Url::parse(url)?.origin().ascii_serialization();
        Self::start(Route { targets: vec![target], host: None, token: None, held: Held::Everything })
    }

    /// How often a method was asked for.
    #[must_use]
    pub fn asked(&self, method: &str) -> usize {
        self.inner.passed().asked.iter().filter(|asked| *asked == method).count()
    }

    /// Holds what has passed to the rules.
    ///
    /// # Errors
    /// Names those that were broken.
    pub fn clean(&self) -> Result<()> {
        let passed = self.inner.passed();
        ensure!(
            passed.broken.is_empty(),
            "messages break the protocol's rules:\n{}",
            passed.broken.join("\n")
        );
        Ok(())
    }
}

impl Relay {
    /// The same for what clients said alone: a server that others wrote is not ours to judge.
    ///
    /// # Errors
    /// Names the rules that were broken.
    pub fn clients_clean(&self) -> Result<()> {
        let passed = self.inner.passed();
        let ours: Vec<_> = passed.broken.iter().filter(|broken| broken.starts_with("the client")).collect();
        ensure!(ours.is_empty(), "messages break the protocol's rules: {ours:?}");
        Ok(())
    }
}

impl Inner {
    fn passed(&self) -> std::sync::MutexGuard<'_, Passed> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, side: &str, found: Result<()>) {
        let Err(error) = found else { return };
        let mut passed = self.passed();
        if passed.broken.len() < KEPT {
            passed.broken.push(format!("{side}: {error:#}"));
        }
    }

    /// Headers as they are passed on.
    fn headers(&self, from: &HeaderMap) -> HeaderMap {
        let mut headers = from.clone();
        for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(name);
        }
        let target = &self.route.host;
        let text = |name| from.get(name).and_then(|value| value.to_str().ok());
        let is_own = |host: &str| self.own.iter().any(|own| own == host);
        if text(HOST).is_some_and(is_own) {
            match target.as_ref().and_then(|host| HeaderValue::from_str(host).ok()) {
                Some(host) => headers.insert(HOST, host),
                // The client writes the target's own.
                None => headers.remove(HOST),
            };
        }
        if text(ORIGIN).and_then(|origin| origin.strip_prefix("http://")).is_some_and(is_own)
            && let Some(origin) =
                target.as_ref().and_then(|host| HeaderValue::from_str(&format!("http://{host}")).ok())
        {
            headers.insert(ORIGIN, origin);
        }
        if let Some(token) = &self.route.token
            && !headers.contains_key(AUTHORIZATION)
            && let Ok(value) = HeaderValue::from_str(&format!("Bearer {token}"))
        {
            headers.insert(AUTHORIZATION, value);
        }
        headers
    }

    /// What the client sent.
    fn sent(&self, session: &str, exchange: &Exchange, body: &[u8]) {
        self.passed().asked.extend(exchange.methods().map(str::to_owned));
        if self.route.held == Held::Answers {
            return;
        }
        self.note("the client", exchange.check_sent(body));
        let Some(schemas) = Schemas::shared() else { return };
        for message in messages(body).iter().filter(|message| message.get("method").is_none()) {
            let id = message.get("id").map(Value::to_string).unwrap_or_default();
            let asked = self.passed().questions.remove(&(session.to_owned(), id));
            if let Some(method) = asked {
                self.note("the client", schemas.answered(exchange.revision(), Some(&method), message));
            }
        }
    }

    /// What the server said.
    fn told(&self, session: &str, exchange: &Exchange, message: &Value) {
        self.note("the server", exchange.check(message));
        if let (Some(id), Some(method)) = (message.get("id"), message.get("method").and_then(Value::as_str)) {
            self.passed().questions.insert((session.to_owned(), id.to_string()), method.to_owned());
        }
    }
}

async fn pass(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LONGEST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let exchange = Exchange::of(&parts.headers, &body);
    let session = parts.headers.get("mcp-session-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let session = session.to_owned();
    inner.sent(&session, &exchange, &body);
    let turn = inner.next.fetch_add(1, Ordering::Relaxed) % inner.route.targets.len();
    let target = &inner.route.targets[turn];
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let passed_on = inner.http.request(parts.method, format!("{target}{path}"));
    let answer = match passed_on.headers(inner.headers(&parts.headers)).body(body).send().await {
        Ok(answer) => answer,
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = if kind.starts_with("text/event-stream") {
        let mut events = Events::default();
        let watched = answer.bytes_stream().inspect(move |chunk| {
            let Ok(chunk) = chunk else { return };
            for message in events.push(chunk) {
                inner.told(&session, &exchange, &message);
            }
        });
        Body::from_stream(watched)
    } else {
        match answer.bytes().await {
            Ok(whole) => whole_body(&inner, &session, &exchange, whole),
            Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        }
    };
    (status, headers, body).into_response()
}

fn whole_body(inner: &Inner, session: &str, exchange: &Exchange, whole: Bytes) -> Body {
    for message in messages(&whole).iter().filter(|message| message.get("jsonrpc").is_some()) {
        inner.told(session, exchange, message);
    }
    Body::from(whole)
}
