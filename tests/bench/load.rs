//! The generator: so many connections, each with one request under way at a time (a closed loop), for so long.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use url::Url;

use crate::histogram::Histogram;

/// No answer for so long ends the measurement.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is sent, over and over.
#[derive(Debug, Clone)]
pub struct Target {
    url: Url,
    /// Where to connect; of a name, this machine's answer.
    address: Option<SocketAddr>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

/// What came of one row.
#[derive(Debug, Clone)]
pub struct Measured {
    pub latencies: Histogram,
    /// Of the measurement, without warming up.
    pub elapsed: Duration,
    /// With warming up; for what each call caused elsewhere.
    pub calls: u64,
}

impl Target {
    /// A tool call. `address` says where to connect instead of resolving the URL's host.
    ///
    /// # Errors
    /// When URL, arguments or token are none.
    pub fn tool_call(
        url: &str,
        address: Option<SocketAddr>,
        tool: &str,
        arguments: &str,
        token: Option<&str>,
    ) -> Result<Self> {
        let url = loadable(url)?;
        let arguments: serde_json::Value =
            serde_json::from_str(arguments).context("--arguments is no JSON")?;
        ensure!(arguments.is_object(), "--arguments is no JSON object");
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": tool, "arguments": arguments}});
        let mut headers = headers(&url, token)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert("mcp-protocol-version", HeaderValue::from_static("2025-11-25"));
        Ok(Self { url, address, method: Method::POST, headers, body: Bytes::from(call.to_string()) })
    }

    /// A request to a REST API; `body` is JSON, or empty for none.
    ///
    /// # Errors
    /// When URL or token are none.
    pub fn request(method: Method, url: &str, body: &str, token: &str) -> Result<Self> {
        let url = loadable(url)?;
        let mut headers = headers(&url, Some(token))?;
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(Self { url, address: None, method, headers, body: Bytes::from(body.to_owned()) })
    }

    /// The same call as a client of the stateless revision makes it.
    ///
    /// # Errors
    /// When its tool has a name that no header holds.
    pub fn stateless(mut self) -> Result<Self> {
        const NOW: &str = "2026-07-28";
        let mut call: serde_json::Value = serde_json::from_slice(&self.body)?;
        let tool = call["params"]["name"].as_str().context("no tool")?.to_owned();
        call["params"]["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": NOW,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        self.headers.insert("mcp-protocol-version", HeaderValue::from_static(NOW));
        self.headers.insert("mcp-method", HeaderValue::from_static("tools/call"));
        self.headers.insert("mcp-name", HeaderValue::try_from(tool)?);
        self.body = Bytes::from(call.to_string());
        Ok(self)
    }

    fn again(&self) -> Result<Request<Full<Bytes>>> {
        let path = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut request =
            Request::builder().method(self.method.clone()).uri(path).body(Full::new(self.body.clone()))?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }

    async fn connect(&self) -> Result<Connection> {
        if self.url.scheme() == "https" {
            let client = reqwest::Client::builder()
                .pool_max_idle_per_host(1)
                .http1_only()
                .timeout(PATIENCE)
                .build()?;
            return Ok(Connection::Tls(client));
        }
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or(80);
        let stream = match self.address {
            Some(address) => TcpStream::connect(address).await,
            None if host.ends_with(".localhost") => TcpStream::connect(("127.0.0.1", port)).await,
            None => TcpStream::connect((host.trim_matches(['[', ']']), port)).await,
        };
        let stream = stream.with_context(|| format!("cannot connect to {host}:{port}"))?;
        stream.set_nodelay(true)?;
        let (send, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let drive = tokio::spawn(async move {
            // What breaks here is seen by the sender, too.
            let _ = connection.await;
        });
        Ok(Connection::Plain { send, drive: Abort(drive) })
    }
}

fn loadable(url: &str) -> Result<Url> {
    let url = Url::parse(url).with_context(|| format!("{url:?} is no URL"))?;
    ensure!(matches!(url.scheme(), "http" | "https"), "{url}: only http and https can be loaded");
    Ok(url)
}

/// Who is asked, and who asks.
fn headers(url: &Url, token: Option<&str>) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let authority = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    headers.insert(HOST, HeaderValue::try_from(authority)?);
    if let Some(token) = token {
        let bearer = HeaderValue::try_from(format!("Bearer {token}")).context("a strange token")?;
        headers.insert(AUTHORIZATION, bearer);
    }
    Ok(headers)
}

/// One kept-alive connection.
enum Connection {
    Plain { send: SendRequest<Full<Bytes>>, drive: Abort },
    Tls(reqwest::Client),
}

struct Abort(JoinHandle<()>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    async fn call(&mut self, target: &Target) -> Result<(StatusCode, Bytes)> {
        match self {
            Self::Plain { send, drive } => {
                if send.ready().await.is_err() || drive.0.is_finished() {
                    // The server may close a connection after many requests; a client opens another.
                    let Self::Plain { send: fresh, drive: driven } = target.connect().await? else {
                        bail!("the scheme changed");
                    };
                    (*send, *drive) = (fresh, driven);
                    send.ready().await?;
                }
                let answer = send.send_request(target.again()?).await?;
                let status = answer.status();
                Ok((status, answer.into_body().collect().await?.to_bytes()))
            }
            Self::Tls(client) => {
                let request =
                    client.request(target.method.clone(), target.url.clone()).headers(target.headers.clone());
                let answer = request.body(target.body.clone()).send().await?;
                Ok((answer.status(), answer.bytes().await?))
            }
        }
    }
}

/// Fails unless the answer is a success in HTTP, JSON-RPC and of the tool.
fn check(status: StatusCode, body: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(body);
    let failed = text.contains("\"isError\":true") || text.contains("\"error\":{\"code\"");
    ensure!(status == StatusCode::OK && !failed, "the endpoint answered {status}: {text:.500}");
    Ok(())
}

/// Loads a target and measures.
///
/// # Errors
/// When a connection fails, or any answer is no success.
pub async fn run(
    target: &Target,
    connections: usize,
    warm_up: Duration,
    measure: Duration,
) -> Result<Measured> {
    let start = Instant::now();
    let (from, until) = (start + warm_up, start + warm_up + measure);
    let workers: Vec<_> =
        (0..connections.max(1)).map(|_| tokio::spawn(work(target.clone(), from, until))).collect();
    let mut all = Measured { latencies: Histogram::default(), elapsed: measure, calls: 0 };
    for worker in workers {
        let (latencies, calls) = worker.await??;
        all.latencies.merge(&latencies);
        all.calls += calls;
    }
    Ok(all)
}

async fn work(target: Target, from: Instant, until: Instant) -> Result<(Histogram, u64)> {
    let mut connection = target.connect().await?;
    let (mut latencies, mut calls) = (Histogram::default(), 0);
    loop {
        let sent = Instant::now();
        if sent >= until {
            return Ok((latencies, calls));
        }
        let answer = tokio::time::timeout(PATIENCE, connection.call(&target)).await;
        let (status, body) = answer.with_context(|| format!("no answer within {PATIENCE:?}"))??;
        let took = sent.elapsed();
        check(status, &body)?;
        calls += 1;
        if sent >= from {
            latencies.add(took);
        }
    }
}

/// What became of a flood.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Flooded {
    pub sent: u64,
    pub refused: u64,
    pub millis: u64,
}

impl Flooded {
    /// Takes another one in.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.refused += other.refused;
        self.millis += other.millis;
    }

    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.sent as f64 * 1000.0 / self.millis.max(1) as f64
    }
}

/// Sends so many requests a second, whatever the answers are.
///
/// # Errors
/// When a connection fails.
pub async fn flood(target: &Target, per_second: f64, connections: usize, lasts: Duration) -> Result<Flooded> {
    let start = Instant::now();
    let connections = connections.max(1);
    let pause = Duration::from_secs_f64(connections as f64 / per_second.max(1.0));
    let workers: Vec<_> = (0..connections)
        .map(|worker| {
            let target = target.clone();
            // Evenly, not all connections at once.
            let first = tokio::time::Instant::now() + pause.mul_f64(worker as f64 / connections as f64);
            tokio::spawn(async move {
                let (mut connection, mut found) = (target.connect().await?, Flooded::default());
                let mut beat = tokio::time::interval_at(first, pause);
                while start.elapsed() < lasts {
                    beat.tick().await;
                    let (status, _) = tokio::time::timeout(PATIENCE, connection.call(&target)).await??;
                    found.sent += 1;
                    found.refused += u64::from(status == StatusCode::TOO_MANY_REQUESTS);
                }
                anyhow::Ok(found)
            })
        })
        .collect();
    let mut all = Flooded::default();
    for worker in workers {
        all.add(&worker.await??);
    }
    all.millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::{Upstream, proxy};

    #[tokio::test]
    async fn a_load_through_the_proxy_reaches_the_upstream_once_per_call() -> Result<()> {
        let upstream = Upstream::start().await?;
        let (address, serve) = proxy(upstream.address).await?;
        let target = Target::tool_call(&format!("http://{address}/mcp"), None, "x", "{}", Some("t"))?;
        let measured = run(&target, 4, Duration::from_millis(50), Duration::from_millis(200)).await?;
        assert!(measured.latencies.total() > 10);
        assert_eq!(measured.calls, upstream.requests());
        serve.abort();
        Ok(())
    }

    #[tokio::test]
    async fn an_endpoint_that_refuses_ends_the_measurement() -> Result<()> {
        let upstream =
            Upstream::answering(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":true}}"#).await?;
        let target = Target::tool_call(&format!("http://{}/mcp", upstream.address), None, "x", "{}", None)?;
        let measured = run(&target, 1, Duration::ZERO, Duration::from_millis(100)).await;
        assert!(measured.is_err());
        assert!(Target::tool_call("http://x/", None, "x", "[]", None).is_err());
        Ok(())
    }
}
