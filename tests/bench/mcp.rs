//! An MCP server without latency, by hand: an SDK's own work would hide what a node adds to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::Era;
use crate::servers::{Body, accept};

/// Answers the methods that a node and a control plane ask for, in one era.
#[derive(Debug)]
pub struct Server {
    pub address: SocketAddr,
    calls: Arc<AtomicU64>,
    others: Arc<AtomicU64>,
    serve: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serve.abort();
    }
}

impl Server {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start(era: Era) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (calls, others) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let count = (Arc::clone(&calls), Arc::clone(&others));
        let serve = tokio::spawn(accept(listener, move |request: Request<Incoming>| {
            let (calls, others) = count.clone();
            async move {
                let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
                let message: Value =
                    body.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
                let counted = if message["method"] == "tools/call" { calls } else { others };
                counted.fetch_add(1, Ordering::Relaxed);
                answer(era, &message)
            }
        }));
        Ok(Self { address, calls, others, serve })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// How many requests it has had, of every kind.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.calls.load(Ordering::Relaxed) + self.others.load(Ordering::Relaxed)
    }
}

fn answer(era: Era, message: &Value) -> Response<Body> {
    let method = message["method"].as_str().unwrap_or_default();
    let tool = json!({"name": "search", "description": "Searches issues.",
        "inputSchema": {"type": "object", "properties": {"q": {"type": "string"}, "limit": {"type": "integer"}}},
        "annotations": {"readOnlyHint": true}});
    let text = r#"{"items":[{"id":1,"title":"Invoice totals are off by one cent","state":"open"}]}"#;
    let mut result = match (era, method) {
        (_, "tools/call") => json!({"content": [{"type": "text", "text": text}]}),
        (_, "tools/list") => json!({"tools": [tool]}),
        (Era::Legacy, "initialize") => json!({"protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {"tools": {}}, "serverInfo": {"name": "bench", "version": "1"}}),
        (Era::Modern, "server/discover") => json!({"supportedVersions": ["2026-07-28"],
            "capabilities": {"tools": {}}, "ttlMs": 60_000, "cacheScope": "private",
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "bench", "version": "1"}}}),
        _ if message.get("id").is_none() => return plain(StatusCode::ACCEPTED, Bytes::new()),
        _ => {
            let error = json!({"code": -32601, "message": "Method not found"});
            let body = json!({"jsonrpc": "2.0", "id": message["id"], "error": error}).to_string();
            let status = if era == Era::Modern { StatusCode::NOT_FOUND } else { StatusCode::OK };
            return plain(status, body.into());
        }
    };
    if era == Era::Modern {
        result["resultType"] = "complete".into();
        if method == "tools/list" {
            result["ttlMs"] = 60_000.into();
            result["cacheScope"] = "private".into();
        }
    }
    plain(StatusCode::OK, json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string().into())
}

fn plain(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
