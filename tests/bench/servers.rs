//! The two ends of the comparison: an API that answers at once, and a reverse proxy that only forwards.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// What the API answers: a small issue list, as a real one would be.
const ANSWER: &str = r#"{"items":[{"id":1,"title":"Invoice totals are off by one cent","state":"open"},{"id":2,"title":"Dark mode flickers on load","state":"open"}]}"#;

/// An API without latency.
#[derive(Debug)]
pub struct Upstream {
    pub address: SocketAddr,
    requests: Arc<AtomicU64>,
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
        Self::answering(ANSWER).await
    }

    /// The same, with an answer of the caller's.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn answering(answer: &'static str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let requests = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&requests);
        let serve = tokio::spawn(accept(listener, move |request: Request<Incoming>| {
            let count = Arc::clone(&count);
            async move {
                // The whole request, as any API reads it.
                let _ = request.into_body().collect().await;
                count.fetch_add(1, Ordering::Relaxed);
                let mut response = Response::new(Full::new(Bytes::from_static(answer.as_bytes())).boxed());
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response
            }
        }));
        Ok(Self { address, requests, serve })
    }

    /// How many requests it has answered.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

pub type Body = BoxBody<Bytes, Infallible>;

/// Serves each connection in a task that ends with this one.
pub async fn accept<S, F>(listener: TcpListener, answer: S)
where
    S: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                let answer = answer.clone();
                let service = service_fn(move |request| {
                    let answered = answer(request);
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                connections.spawn(async move {
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A reverse proxy: pooled connections, headers passed on, nothing read or decided.
///
/// # Errors
/// When there is no free port.
pub async fn proxy(upstream: SocketAddr) -> Result<(SocketAddr, JoinHandle<()>)> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let serve = tokio::spawn(accept(listener, move |request| forward(client.clone(), upstream, request)));
    Ok((address, serve))
}

async fn forward(
    client: Client<HttpConnector, Incoming>,
    upstream: SocketAddr,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let failed = |what: String| {
        let mut response = Response::new(Full::new(Bytes::from(what)).boxed());
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    };
    match Uri::try_from(format!("http://{upstream}{path}")) {
        Ok(uri) => *request.uri_mut() = uri,
        Err(error) => return failed(error.to_string()),
    }
    request.headers_mut().remove(HOST);
    match client.request(request).await {
        Err(error) => failed(error.to_string()),
        Ok(answer) => {
            let (parts, body) = answer.into_parts();
            match body.collect().await {
                Ok(body) => Response::from_parts(parts, Full::new(body.to_bytes()).boxed()),
                Err(error) => failed(error.to_string()),
            }
        }
    }
}

/// The proxy as a process of its own, so that its memory and its share of the processors can be seen, like a node's.
///
/// # Errors
/// When there is no free port.
pub async fn run_proxy(upstream: SocketAddr) -> Result<()> {
    let (address, serve) = proxy(upstream).await?;
    println!("ready {address} {}", std::process::id());
    serve.await?;
    Ok(())
}
