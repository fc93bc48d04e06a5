//! The guarded client of this plane: every request that leaves it for an address that somebody else chose goes through here.
//!
//! Owns the rules of leaving, as the node's client does for calls: the URL is checked, every address of its name is checked,
//! and only a checked address is connected to; no redirects, proxies, cookies or referrers; time and size are bounded. Knows
//! nothing of what is fetched and why.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use toolmesh_proto::egress::{EgressError, EgressPolicy};
use url::Url;

use crate::error::{Error, Result};

/// Longest wait for a connection, TLS included.
const CONNECT: Duration = Duration::from_secs(3);

/// Names that are looked up at a time; a lookup holds a thread until the system gives up.
const LOOKUPS: usize = 16;

/// Requests under way at a time; more are refused, so that a slow stranger holds up nobody but themselves.
const REQUESTS: usize = 64;

/// A request that is ready to leave.
#[derive(Clone)]
pub struct Outgoing {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
    /// Most bytes of the answer; more is an error.
    pub answer_bytes: usize,
    /// Longest wait for the whole answer.
    pub within: Duration,
}

impl Outgoing {
    /// A GET of JSON.
    #[must_use]
    pub fn get(url: Url, answer_bytes: usize, within: Duration) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
        Self { method: Method::GET, url, headers, body: None, answer_bytes, within }
    }

    /// A POST of a form that is answered in JSON.
    #[must_use]
    pub fn form(url: Url, fields: &[(&str, &str)], answer_bytes: usize, within: Duration) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = Self::get(url, answer_bytes, within);
        request.method = Method::POST;
        let kind = header::HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers.insert(header::CONTENT_TYPE, kind);
        request.body = Some(body.into());
        request
    }
}

/// Headers, query and body may hold a secret.
impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.url.path())
    }
}

/// What came back, whole.
#[derive(Clone)]
pub struct Incoming {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What is coming back: status and headers are here, the body is read piece by piece. It holds a turn while it lives.
pub struct Opened {
    pub status: StatusCode,
    pub headers: HeaderMap,
    response: reqwest::Response,
    _turn: OwnedSemaphorePermit,
}

impl Opened {
    /// The next piece of the body; `None` at its end. The deadline is the reader's.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn chunk(&mut self) -> std::result::Result<Option<Bytes>, OutboundError> {
        self.response.chunk().await.map_err(|_| OutboundError::Broken)
    }
}

/// Why there is no usable answer. None of these holds a query, a header or a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    #[error("{0}")]
    Refused(#[from] EgressError),
    #[error("the name {0} has no address")]
    Name(String),
    #[error("no connection could be made")]
    Unreachable,
    #[error("the secure connection failed")]
    Tls,
    #[error("no answer came within {} seconds", .0.as_secs())]
    Timeout(Duration),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the connection broke before the answer was complete")]
    Broken,
    #[error("too many requests are under way; try again in a moment")]
    Busy,
}

/// Sends requests under the guard's rules. Cheap to clone; clones share connections and turns.
#[derive(Clone)]
pub struct Outbound {
    client: reqwest::Client,
    policy: EgressPolicy,
    turns: Arc<Semaphore>,
}

impl Outbound {
    /// `roots` are certificate authorities (PEM) that are trusted besides the system's.
    ///
    /// # Errors
    /// When a root cannot be read or the system has none.
    pub fn new(policy: EgressPolicy, roots: &[u8]) -> Result<Self> {
        let resolver = GuardedResolver { policy, turns: Arc::new(Semaphore::new(LOOKUPS)) };
        let roots = reqwest::Certificate::from_pem_bundle(roots).map_err(Error::internal)?;
        let mut builder = reqwest::Client::builder();
        if !roots.is_empty() {
            builder = builder.tls_certs_merge(roots);
        }
        let client = builder
            .user_agent(concat!("ToolMesh/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(resolver)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .https_only(!policy.allow_private)
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT)
            .pool_idle_timeout(Duration::from_secs(30))
            .http1_max_headers(128)
            .http2_max_header_list_size(64 << 10)
            .build()
            .map_err(Error::internal)?;
        Ok(Self { client, policy, turns: Arc::new(Semaphore::new(REQUESTS)) })
    }

    /// What this plane may call.
    #[must_use]
    pub const fn policy(&self) -> EgressPolicy {
        self.policy
    }

    /// Sends one request and reads its answer, under one deadline. An error status is an answer.
    ///
    /// # Errors
    /// Says why there is no usable answer.
    pub async fn send(&self, request: Outgoing) -> std::result::Result<Incoming, OutboundError> {
        let within = request.within;
        tokio::time::timeout(within, self.exchange(request))
            .await
            .map_err(|_| OutboundError::Timeout(within))?
    }

    /// Sends one request and waits for the head of its answer, so that a stream can be read as it comes. How much is read is
    /// the reader's to bound: `answer_bytes` is not looked at.
    ///
    /// # Errors
    /// Says why there is no usable answer.
    pub async fn open(&self, request: Outgoing) -> std::result::Result<Opened, OutboundError> {
        let within = request.within;
        tokio::time::timeout(within, self.begin(request)).await.map_err(|_| OutboundError::Timeout(within))?
    }

    async fn exchange(&self, request: Outgoing) -> std::result::Result<Incoming, OutboundError> {
        let most = request.answer_bytes;
        let mut opened = self.begin(request).await?;
        let mut body = BytesMut::new();
        while let Some(chunk) = opened.chunk().await? {
            if chunk.len() > most - body.len() {
                return Err(OutboundError::TooLarge(most));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Incoming { status: opened.status, headers: opened.headers, body: body.freeze() })
    }

    async fn begin(&self, request: Outgoing) -> std::result::Result<Opened, OutboundError> {
        self.policy.check_url(&request.url)?;
        let turn = Arc::clone(&self.turns).try_acquire_owned().map_err(|_| OutboundError::Busy)?;
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let mut out = reqwest::Request::new(request.method, request.url);
        *out.headers_mut() = request.headers;
        *out.body_mut() = request.body.map(reqwest::Body::from);
        let response = self.client.execute(out).await.map_err(|error| classify(&error, &host))?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Opened { status, headers, response, _turn: turn })
    }
}

/// Tells failures apart by what lies at their bottom.
fn classify(error: &reqwest::Error, host: &str) -> OutboundError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(this) = cause {
        if let Some(ours) = this.downcast_ref::<OutboundError>() {
            return ours.clone();
        }
        if this.downcast_ref::<rustls::Error>().is_some() {
            return OutboundError::Tls;
        }
        // What an io::Error wraps is not its source, which is the source of what it wraps.
        let io = this.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = io.map(|wrapped| wrapped as &(dyn std::error::Error + 'static)).or_else(|| this.source());
    }
    match () {
        () if error.is_dns() => OutboundError::Name(host.to_owned()),
        () if error.is_connect() || error.is_timeout() => OutboundError::Unreachable,
        () => OutboundError::Broken,
    }
}

/// Resolves names and lets through only addresses that may be called.
#[derive(Clone)]
struct GuardedResolver {
    policy: EgressPolicy,
    turns: Arc<Semaphore>,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.addresses(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

impl GuardedResolver {
    async fn addresses(&self, name: &str) -> std::result::Result<Vec<SocketAddr>, OutboundError> {
        let unknown = || OutboundError::Name(name.to_owned());
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| unknown())?;
        let wanted = name.to_owned();
        let found = tokio::task::spawn_blocking(move || {
            // A lookup cannot be cancelled: the turn ends with it, not with whoever waits for it.
            let _turn = turn;
            // Port 0 stands for the scheme's own; a port in the URL replaces it.
            (wanted.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<_>>)
        });
        let found = found.await.map_err(|_| unknown())?.map_err(|_| unknown())?;
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in found {
            match self.policy.check_address(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(error) => refused = Some(error),
            }
        }
        match (allowed.is_empty(), refused) {
            (false, _) => Ok(allowed),
            (true, Some(error)) => Err(OutboundError::Refused(error)),
            (true, None) => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(2);

    fn get(url: &str) -> Outgoing {
        Outgoing::get(Url::parse(url).unwrap(), 32, WITHIN)
    }

    fn outbound(allow_private: bool) -> Outbound {
        Outbound::new(EgressPolicy { allow_private }, b"").unwrap()
    }

    async fn serve(answer: &'static str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        format!("http://{address}/")
    }

    #[tokio::test]
    async fn private_addresses_are_refused_by_number_and_by_name() {
        for url in ["https://127.0.0.1/", "https://[::ffff:169.254.169.254]/", "https://localhost/"] {
            let error = outbound(false).send(get(url)).await.err().unwrap();
            assert!(
                matches!(error, OutboundError::Refused(EgressError::PrivateAddress(_))),
                "{url}: {error:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_a_long_body_an_error() {
        let url =
            serve("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n")
                .await;
        assert_eq!(outbound(true).send(get(&url)).await.ok().unwrap().status, StatusCode::FOUND);
        let url =
            serve("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n0123456789012345678901234567890123456789")
                .await;
        assert_eq!(outbound(true).send(get(&url)).await.err(), Some(OutboundError::TooLarge(32)));
    }
}
