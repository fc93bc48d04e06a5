//! Sends a request to the first of several addresses that takes a connection, and streams the answer back.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, Uri, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::headers;
use crate::serve::Body;

/// The planes bound their own work; this bounds a plane that hangs.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// On one machine, a listener that lives answers at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why nothing came back.
#[derive(Debug)]
pub(super) enum Unreachable {
    /// The request cannot be passed on as it is.
    Request(&'static str),
    /// Nobody listens on any of the addresses.
    Refused,
    /// The connection broke before there was an answer.
    Broken,
    Late,
}

pub(super) struct Forwarder {
    client: Client<HttpConnector, Shared>,
}

impl Forwarder {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(256);
        Self { client: builder.build(connector) }
    }

    pub(super) async fn send(
        &self,
        request: Request<Incoming>,
        upstreams: &[SocketAddr],
    ) -> Result<Response<Body>, Unreachable> {
        if request.method() == Method::CONNECT {
            return Err(Unreachable::Request("This is no proxy for other hosts."));
        }
        let (mut head, body) = request.into_parts();
        head.version = Version::HTTP_11;
        let path = head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        let body = Shared::new(body);
        for upstream in upstreams {
            head.uri = Uri::builder()
                .scheme("http")
                .authority(upstream.to_string())
                .path_and_query(path.as_str())
                .build()
                .map_err(|_| Unreachable::Request("The request's path cannot be read."))?;
            let attempt = self.client.request(Request::from_parts(head.clone(), body.clone()));
            match tokio::time::timeout(HEAD_TIMEOUT, attempt).await {
                Ok(Ok(response)) => return Ok(stream_back(response)),
                // No connection, so that nothing of the body has been read: the next address may have it.
                Ok(Err(error)) if error.is_connect() => {
                    tracing::warn!(%upstream, "nobody listens on this address");
                }
                Ok(Err(error)) => {
                    tracing::warn!(%upstream, error = %chain(&error), "request broke off");
                    return Err(Unreachable::Broken);
                }
                Err(_) => return Err(Unreachable::Late),
            }
        }
        Err(Unreachable::Refused)
    }
}

fn stream_back(response: Response<Incoming>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    headers::strip_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    Response::from_parts(head, body.boxed())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A request's body that outlives an attempt which never got a connection. Attempts follow each other, so that the lock is
/// never waited for.
#[derive(Clone)]
struct Shared(Arc<Mutex<Incoming>>);

impl Shared {
    fn new(body: Incoming) -> Self {
        Self(Arc::new(Mutex::new(body)))
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}
