//! An API of our own, for what no API written by others does on demand: it shows exactly what reached it, and it fails in
//! every way an API can fail.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use futures_util::{StreamExt as _, stream};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{net, paths};

/// What reached the API; `/echo/…` answers with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seen {
    pub method: String,
    /// As on the wire, percent-encoding and all.
    pub path: String,
    /// As on the wire; "" without.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    /// A header; "" where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    }

    /// The query, decoded, in order.
    #[must_use]
    pub fn pairs(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }
}

pub(crate) type Log = Arc<Mutex<Vec<Seen>>>;

/// The running API.
#[derive(Debug)]
pub struct Upstream {
    pub address: SocketAddr,
    seen: Log,
    serve: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serve.abort();
    }
}

impl Upstream {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let seen = Log::default();
        let app = Router::new()
            .route("/echo/{*rest}", any(echo))
            .route("/list", any(list))
            .route("/empty", any(|| async { StatusCode::NO_CONTENT }))
            .route("/error/{status}", any(error))
            .route("/slow", any(slow))
            .route("/huge", any(huge))
            .route("/bomb", any(bomb))
            .route("/html", any(html))
            .route("/redirect", any(redirect))
            .route("/broken", any(broken))
            .merge(crate::answers::routes())
            .layer(axum::middleware::from_fn_with_state(seen.clone(), record))
            .with_state(seen.clone());
        let serve = tokio::spawn(async move {
            // Ends with the task; what remains of a test's connections ends with it.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { address, seen, serve })
    }

    /// Its origin, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> String {
        net::here(self.address.port())
    }

    /// Everything that has reached it, in order.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().map(|seen| seen.clone()).unwrap_or_default()
    }

    /// The one request that has reached it.
    ///
    /// # Errors
    /// When it was none or several.
    pub fn only(&self) -> Result<Seen> {
        let mut seen = self.seen();
        anyhow::ensure!(seen.len() == 1, "{} requests reached the API, not one", seen.len());
        seen.pop().context("no request")
    }
}

/// How the connector of `fixtures/echo.dadl` shows its credential.
#[derive(Debug, Clone, Copy)]
pub enum Auth {
    Bearer,
    Basic,
    KeyInHeader,
    KeyInQuery,
    None,
}

/// The connector for this API, with one kind of credential, as a file in `folder`.
///
/// # Errors
/// When the file cannot be written.
pub fn connector(folder: &std::path::Path, auth: Auth) -> Result<PathBuf> {
    let text = std::fs::read_to_string(paths::fixture("echo.dadl"))?;
    let block = match auth {
        Auth::Bearer => "auth: { type: bearer, credential: token }",
        Auth::Basic => "auth: { type: basic, username_credential: user, password_credential: password }",
        Auth::KeyInHeader => {
            "auth: { type: apikey, credential: token, inject_into: header, header_name: X-Token, prefix: \"key \" }"
        }
        Auth::KeyInQuery => {
            "auth: { type: apikey, credential: token, inject_into: query, query_param: api_key }"
        }
        Auth::None => "",
    };
    let original = "auth: { type: bearer, credential: token }";
    anyhow::ensure!(text.contains(original), "echo.dadl no longer holds `{original}`");
    let path = folder.join(format!("echo-{auth:?}.dadl").to_lowercase());
    std::fs::write(&path, text.replace(original, block))?;
    Ok(path)
}

async fn record(
    State(log): State<Log>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 16 << 20).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let seen = see(&parts.method, &parts.uri, &parts.headers, &body);
    if let Ok(mut log) = log.lock() {
        log.push(seen.clone());
    }
    let mut request = axum::extract::Request::from_parts(parts, Body::from(body));
    request.extensions_mut().insert(seen);
    next.run(request).await
}

fn see(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Seen {
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Seen {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers: headers.iter().map(header).collect(),
        body: String::from_utf8_lossy(body).into_owned(),
    }
}

async fn echo(axum::Extension(seen): axum::Extension<Seen>) -> Json<Seen> {
    Json(seen)
}

async fn list() -> Json<serde_json::Value> {
    Json(json!({"data": {"items": [{"id": 1}, {"id": 2}, {"id": 3}]}, "noise": "x".repeat(50)}))
}

async fn error(Path(status): Path<u16>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let body = json!({"error": {"message": "The widget is locked by Ada."}, "trace": "0xfeed"});
    (status, Json(body)).into_response()
}

/// Never answers; ends when the caller gives up.
async fn slow() -> StatusCode {
    tokio::time::sleep(Duration::from_secs(600)).await;
    StatusCode::OK
}

/// An array without an end.
async fn huge() -> Response {
    let chunk = Bytes::from(format!("\"{}\",", "x".repeat(64 * 1024)));
    let body = stream::repeat(chunk).map(Ok::<_, std::convert::Infallible>);
    let start = stream::once(async { Ok(Bytes::from_static(b"[")) });
    ([(CONTENT_TYPE, "application/json")], Body::from_stream(start.chain(body))).into_response()
}

/// A quarter of a megabyte that unpacks to 256.
async fn bomb() -> Response {
    let pack = || -> std::io::Result<Vec<u8>> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(b"\"")?;
        let megabyte = vec![b'x'; 1 << 20];
        for _ in 0..256 {
            gzip.write_all(&megabyte)?;
        }
        gzip.write_all(b"\"")?;
        gzip.finish()
    };
    match tokio::task::spawn_blocking(pack).await {
        Ok(Ok(body)) => {
            ([(CONTENT_TYPE, "application/json"), (CONTENT_ENCODING, "gzip")], body).into_response()
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn html() -> Response {
    let page = "<!doctype html><title>Log in</title><h1>Please log in to the proxy</h1>";
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

async fn redirect() -> Response {
    (StatusCode::FOUND, [(LOCATION, "http://169.254.169.254/latest/meta-data/")]).into_response()
}

/// Promises more than it sends.
async fn broken() -> Response {
    let body = stream::iter([Ok(Bytes::from_static(b"{\"half\":")), Err(std::io::Error::other("gone"))]);
    ([(CONTENT_TYPE, "application/json")], Body::from_stream(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_api_shows_what_reached_it() -> Result<()> {
        let upstream = Upstream::start().await?;
        let url = format!("{}/echo/a%2Fb?x=1&x=2", upstream.url());
        let seen: Seen = net::client()?.post(url).body("hi").send().await?.json().await?;
        assert_eq!(
            (seen.method.as_str(), seen.path.as_str(), seen.body.as_str()),
            ("POST", "/echo/a%2Fb", "hi")
        );
        assert_eq!(upstream.only()?.query, "x=1&x=2");
        Ok(())
    }

    #[tokio::test]
    async fn the_huge_answer_has_no_end_and_the_bomb_is_small() -> Result<()> {
        let upstream = Upstream::start().await?;
        let http = net::client()?;
        let mut huge = http.get(format!("{}/huge", upstream.url())).send().await?;
        let mut bytes = 0;
        while bytes < 20 << 20 {
            bytes += huge.chunk().await?.context("it ended")?.len();
        }
        let bomb = http.get(format!("{}/bomb", upstream.url())).send().await?.bytes().await?;
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        Ok(())
    }
}
