//! The guarded client: every request that leaves the node for a tenant goes through here.
//!
//! Owns the rules of leaving: the URL is checked, every address of its name is checked, and only a checked address is
//! connected to; no redirects, proxies, cookies or referrers; time and size are bounded. It knows nothing of connectors,
//! credentials or tenants. `payload` is what a request carries, `file` what is fetched into it, `incoming` an answer
//! that is read while it comes, `packed` one that came packed.

mod file;
mod incoming;
mod packed;
mod payload;
#[cfg(test)]
mod tests_of_files;

use std::error::Error as StdError;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use toolmesh_proto::egress::{EgressError, EgressPolicy};
use url::Url;

pub use self::file::FileSource;
pub use self::incoming::Incoming;
pub use self::payload::{Field, FieldContent, Multipart, Payload};
use crate::config::Limits;

/// An error answer is read this far; no message is longer.
const ERROR_BYTES: usize = 64 << 10;

/// A request that is ready to leave.
#[derive(Clone)]
pub struct OutboundRequest {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Payload>,
}

/// Headers, query and body may hold a credential.
impl std::fmt::Debug for OutboundRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.url.path())
    }
}

/// What came back, whole.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why there is no usable answer. None of these holds the URL's query or a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    #[error("{0}")]
    Refused(EgressError),
    #[error("the name {0} has no address")]
    Name(String),
    #[error("the address of the name {0} was not found in time")]
    NameTimeout(String),
    #[error("the connection was refused")]
    ConnectionRefused,
    #[error("no connection could be made")]
    Unreachable,
    #[error("the secure connection failed: {0}")]
    Tls(String),
    #[error("no answer came within {} seconds", .0.as_secs())]
    Timeout(Duration),
    #[error("the answer is larger than {} MiB", .0 >> 20)]
    TooLarge(usize),
    #[error("the answer came packed ({0}), which was not asked for")]
    Packed(String),
    #[error("the connection broke before the answer was complete")]
    Broken,
    /// A file that belongs into the request; nothing of what its server said.
    #[error("the file of /{argument} {reason}")]
    File { argument: String, reason: String },
    #[error("the request would be larger than {}", size(*.0))]
    BodyTooLarge(u64),
}

/// The client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the outbound client cannot start: {0}")]
pub struct OutboundSetupError(#[from] reqwest::Error);

/// Sends requests under the guard's rules; clones share one pool of connections.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: reqwest::Client,
    policy: EgressPolicy,
    resolver: GuardedResolver,
    answer_bytes: usize,
    whole: Duration,
}

impl Outbound {
    /// # Errors
    /// When the system has no certificate authorities to trust.
    pub fn new(policy: EgressPolicy, limits: &Limits) -> Result<Self, OutboundSetupError> {
        let resolver = GuardedResolver {
            policy,
            turns: Arc::new(Semaphore::new(limits.lookups)),
            within: limits.lookup,
        };
        let client = reqwest::Client::builder()
            .user_agent(concat!("ToolMesh/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(resolver.clone())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .https_only(!policy.allow_private)
            .retry(reqwest::retry::never())
            .connect_timeout(limits.connect)
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(64)
            .http1_max_headers(128)
            .http2_max_header_list_size(64 << 10)
            .build()?;
        Ok(Self { client, policy, resolver, answer_bytes: limits.answer_bytes, whole: limits.call })
    }

    /// Sends one request and reads its answer, under one deadline.
    ///
    /// # Errors
    /// Says why there is no usable answer; an error status is an answer.
    pub async fn send(&self, request: OutboundRequest) -> Result<Reply, OutboundError> {
        self.send_within(request, self.whole).await
    }

    /// As [`Self::send`], with a deadline of its own.
    ///
    /// # Errors
    /// Says why there is no usable answer.
    pub async fn send_within(
        &self,
        request: OutboundRequest,
        whole: Duration,
    ) -> Result<Reply, OutboundError> {
        self.policy.check_url(&request.url).map_err(OutboundError::Refused)?;
        let exchange = self.exchange(request);
        tokio::time::timeout(whole, exchange).await.map_err(|_| OutboundError::Timeout(whole))?
    }

    /// Longest that one call may take.
    #[must_use]
    pub const fn longest(&self) -> Duration {
        self.whole
    }

    /// As [`Self::send_within`], for an answer that need not end: reading stops after `reading`, or where `enough` says so of
    /// what has come, or at the cap. What has come by then is the answer.
    ///
    /// # Errors
    /// Says why there is no usable answer; an answer that began is one.
    pub async fn collect(
        &self,
        request: OutboundRequest,
        whole: Duration,
        reading: Duration,
        enough: impl Fn(&[u8]) -> bool,
    ) -> Result<Reply, OutboundError> {
        self.policy.check_url(&request.url).map_err(OutboundError::Refused)?;
        let head = tokio::time::timeout(whole, self.open(request)).await;
        let mut response = head.map_err(|_| OutboundError::Timeout(whole))??;
        if !response.status().is_success() {
            let rest = tokio::time::timeout(whole, self.read(response)).await;
            return rest.map_err(|_| OutboundError::Timeout(whole))?;
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let (until, mut body) = (tokio::time::Instant::now() + reading, BytesMut::new());
        while !enough(&body) && body.len() < self.answer_bytes {
            match tokio::time::timeout_at(until, response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    let room = self.answer_bytes - body.len();
                    body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                }
                Ok(Err(_)) if body.is_empty() => return Err(OutboundError::Broken),
                // The end, a break after something came, or the end of the time.
                Ok(Ok(None) | Err(_)) | Err(_) => break,
            }
        }
        Ok(Reply { status, headers, body: body.freeze() })
    }

    async fn exchange(&self, request: OutboundRequest) -> Result<Reply, OutboundError> {
        let response = self.start(request).await?;
        match packed::packing(response.headers()).as_deref() {
            None => self.read(response).await,
            Some("gzip" | "x-gzip") => packed::unpack(self.read(response).await?, self.answer_bytes),
            Some(other) => Err(OutboundError::Packed(other.to_owned())),
        }
    }

    /// Sends a request; the answer has begun, and can be read as it comes.
    async fn open(&self, request: OutboundRequest) -> Result<reqwest::Response, OutboundError> {
        let response = self.start(request).await?;
        packed::packing(response.headers()).map_or(Ok(response), |packed| Err(OutboundError::Packed(packed)))
    }

    /// Sends a request; the answer has begun.
    async fn start(&self, request: OutboundRequest) -> Result<reqwest::Response, OutboundError> {
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let mut out = reqwest::Request::new(request.method, request.url);
        *out.headers_mut() = request.headers;
        out.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(payload) = request.body {
            let sending = payload.send(self).await?;
            // A stream has no length of its own.
            if let Some(length) = sending.length {
                out.headers_mut().insert(CONTENT_LENGTH, length.into());
            }
            *out.body_mut() = Some(sending.body);
        }
        self.client.execute(out).await.map_err(|error| classify(&error, &host))
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<Reply, OutboundError> {
        let (status, headers) = (response.status(), response.headers().clone());
        // A long error page is cut, not refused: its status says enough.
        let failed = !status.is_success();
        let most = if failed { ERROR_BYTES } else { self.answer_bytes };
        let announced = response.content_length().unwrap_or_default();
        if !failed && announced > most as u64 {
            return Err(OutboundError::TooLarge(most));
        }
        let mut body = BytesMut::with_capacity(usize::try_from(announced).unwrap_or_default().min(most));
        while let Some(chunk) = response.chunk().await.map_err(|_| OutboundError::Broken)? {
            let room = most - body.len();
            if chunk.len() > room && !failed {
                return Err(OutboundError::TooLarge(most));
            }
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == most && failed {
                break;
            }
        }
        Ok(Reply { status, headers, body: body.freeze() })
    }

    /// Asks for a file, with nothing that says who asks. The answer's body is read by the caller.
    async fn fetch(&self, url: Url) -> Result<reqwest::Response, OutboundError> {
        self.policy.check_url(&url).map_err(OutboundError::Refused)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut out = reqwest::Request::new(Method::GET, url);
        out.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        self.client.execute(out).await.map_err(|error| classify(&error, &host))
    }

    /// Every address of a URL's host, each checked; the first of them is what a connection would use.
    ///
    /// # Errors
    /// When the URL, its name or its addresses are refused.
    pub async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, OutboundError> {
        self.policy.check_url(url).map_err(OutboundError::Refused)?;
        let port = url.port_or_known_default().unwrap_or(443);
        match url.host() {
            Some(url::Host::Ipv4(ip)) => Ok(vec![(ip, port).into()]),
            Some(url::Host::Ipv6(ip)) => Ok(vec![(ip, port).into()]),
            Some(url::Host::Domain(name)) => self.resolver.addresses(name, port).await,
            None => Err(OutboundError::Refused(EgressError::NotAUrl(String::new()))),
        }
    }
}

/// A size in words.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// Tells failures apart by what lies at their bottom.
fn classify(error: &reqwest::Error, host: &str) -> OutboundError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    let mut refused = false;
    while let Some(this) = cause {
        if let Some(ours) = this.downcast_ref::<OutboundError>() {
            return ours.clone();
        }
        if let Some(tls) = this.downcast_ref::<rustls::Error>() {
            return OutboundError::Tls(tls.to_string());
        }
        let io = this.downcast_ref::<std::io::Error>();
        refused |= io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused);
        // What an io::Error wraps is not its source, which is the source of what it wraps.
        let wrapped =
            io.and_then(std::io::Error::get_ref).map(|wrapped| wrapped as &(dyn StdError + 'static));
        cause = wrapped.or_else(|| this.source());
    }
    match () {
        () if refused => OutboundError::ConnectionRefused,
        () if error.is_dns() => OutboundError::Name(host.to_owned()),
        () if error.is_timeout() => OutboundError::Unreachable,
        () if error.is_connect() => OutboundError::Unreachable,
        () => OutboundError::Broken,
    }
}

/// Resolves names and lets through only addresses that may be called. Clones share their turns.
#[derive(Clone, Debug)]
struct GuardedResolver {
    policy: EgressPolicy,
    /// Each lookup holds a thread until the system gives up, so dead name servers could take all that the node has.
    turns: Arc<Semaphore>,
    /// Longest wait, a turn included.
    within: Duration,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            // Port 0 stands for the scheme's own; a port in the URL replaces it.
            let addresses = resolver.addresses(name.as_str(), 0).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

impl GuardedResolver {
    /// The addresses of a name, those that may be called.
    async fn addresses(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, OutboundError> {
        let looked_up = tokio::time::timeout(self.within, self.look_up(name, port)).await;
        let found = looked_up.map_err(|_| OutboundError::NameTimeout(name.to_owned()))?;
        let found = found.ok_or_else(|| OutboundError::Name(name.to_owned()))?;
        let (mut allowed, mut refused) = (Vec::new(), None);
        for address in found {
            match self.policy.check_address(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(error) => refused = Some(error),
            }
        }
        match (allowed.is_empty(), refused) {
            (false, _) => Ok(allowed),
            (true, Some(error)) => Err(OutboundError::Refused(error)),
            (true, None) => Err(OutboundError::Name(name.to_owned())),
        }
    }

    async fn look_up(&self, name: &str, port: u16) -> Option<Vec<SocketAddr>> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        let name = name.to_owned();
        let found = tokio::task::spawn_blocking(move || {
            // A lookup cannot be cancelled: the turn ends with it, not with whoever waits for it.
            let _turn = turn;
            (name.as_str(), port).to_socket_addrs().map(Iterator::collect)
        });
        found.await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str) -> OutboundRequest {
        OutboundRequest {
            method: Method::GET,
            url: Url::parse(url).unwrap(),
            headers: HeaderMap::new(),
            body: None,
        }
    }

    fn outbound(allow_private: bool, limits: &Limits) -> Outbound {
        Outbound::new(EgressPolicy { allow_private }, limits).unwrap()
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
        format!("http://{address}")
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_before_a_connection() {
        let error =
            outbound(false, &Limits::default()).send(request("https://localhost/")).await.unwrap_err();
        assert!(matches!(error, OutboundError::Refused(EgressError::PrivateAddress(_))), "{error:?}");
    }

    #[tokio::test]
    async fn a_name_waits_for_its_turn_and_not_for_ever() {
        let client = outbound(true, &Limits { lookup: Duration::from_millis(20), ..Limits::default() });
        let url = Url::parse("http://localhost/").unwrap();
        let all = u32::try_from(Limits::default().lookups).unwrap();
        let turns = Arc::clone(&client.resolver.turns).acquire_many_owned(all).await.unwrap();
        let error = client.addresses(&url).await.unwrap_err();
        assert_eq!(error, OutboundError::NameTimeout("localhost".into()));
        drop(turns);
        assert_ne!(client.addresses(&url).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn a_private_address_in_the_url_is_refused() {
        let error =
            outbound(false, &Limits::default()).send(request("https://127.0.0.1/")).await.unwrap_err();
        assert!(matches!(error, OutboundError::Refused(EgressError::PrivateAddress(_))), "{error:?}");
    }

    #[tokio::test]
    async fn a_redirect_comes_back_as_an_answer_and_is_not_followed() {
        let url =
            serve("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n")
                .await;
        let reply = outbound(true, &Limits::default()).send(request(&url)).await.unwrap();
        assert_eq!(reply.status, StatusCode::FOUND);
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let client = outbound(true, &Limits { call: Duration::from_millis(200), ..Limits::default() });
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = client.send(request(&format!("http://{closed}/"))).await.unwrap_err();
        assert_eq!(error, OutboundError::ConnectionRefused);

        let error = client.send(request(&format!("https://{}/", "no-such-name.invalid"))).await.unwrap_err();
        assert_eq!(error, OutboundError::Name("no-such-name.invalid".to_owned()));

        let broken = serve("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await;
        assert_eq!(client.send(request(&broken)).await.unwrap_err(), OutboundError::Broken);

        let plain = serve("this is no TLS").await.replace("http:", "https:");
        let error = client.send(request(&plain)).await.unwrap_err();
        assert!(matches!(error, OutboundError::Tls(_)), "{error:?}");

        let packed = serve("HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 1\r\n\r\nx").await;
        assert_eq!(client.send(request(&packed)).await.unwrap_err(), OutboundError::Packed("br".into()));
    }

    #[tokio::test]
    async fn an_answer_over_the_cap_is_refused_even_without_a_length() {
        let url =
            serve("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n0123456789012345678901234567890123").await;
        let client = outbound(true, &Limits { answer_bytes: 16, ..Limits::default() });
        assert_eq!(client.send(request(&url)).await.unwrap_err(), OutboundError::TooLarge(16));
    }

    #[tokio::test]
    async fn silence_ends_at_the_deadline() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let client = outbound(true, &Limits { call: Duration::from_millis(50), ..Limits::default() });
        let error = client.send(request(&url)).await.unwrap_err();
        assert_eq!(error, OutboundError::Timeout(Duration::from_millis(50)));
    }
}
