//! The parts of the outside that must be https: a certificate authority of the tests' own, which the system under test is
//! told to trust, and sites with certificates of it that answer what a test puts there.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::paths;

/// The certificate authority of this test run.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate in PEM, for `TOOLMESH_CA_FILE`.
    pub file: PathBuf,
}

static AUTHORITY: OnceLock<Authority> = OnceLock::new();

impl Authority {
    /// The one of this process.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn shared() -> Result<&'static Self> {
        if let Some(made) = AUTHORITY.get() {
            return Ok(made);
        }
        let made = Self::new()?;
        // Two at once: the first stays, for both.
        Ok(AUTHORITY.get_or_init(|| made))
    }

    fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "ToolMesh tests");
        let certificate = params.self_signed(&key)?;
        let name = format!("ca-{}-{}.pem", std::process::id(), crate::workspace::unique());
        let file = paths::output("tls")?.join(name);
        std::fs::write(&file, certificate.pem())?;
        Ok(Self { issuer: Issuer::new(params, key), file })
    }

    /// The setting that makes a system trust it.
    #[must_use]
    pub fn env(&self) -> (String, String) {
        ("TOOLMESH_CA_FILE".to_owned(), self.file.display().to_string())
    }

    fn acceptor(&self) -> Result<TlsAcceptor> {
        let key = KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// What a site answers at a path.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Passes before the answer begins.
    pub delay: Duration,
}

impl Reply {
    /// A JSON document.
    #[must_use]
    pub fn json(document: &Value) -> Self {
        Self::of("application/json", document.to_string())
    }

    /// A document of some type.
    #[must_use]
    pub fn of(kind: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![(header::CONTENT_TYPE.to_string(), kind.to_owned())];
        Self { status: StatusCode::OK, headers, body: body.into(), delay: Duration::ZERO }
    }

    /// The same with another status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, later.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

#[derive(Debug, Default)]
struct Shelf {
    replies: HashMap<String, Reply>,
    hits: HashMap<String, usize>,
}

type Shared = Arc<Mutex<Shelf>>;

/// An https site on this machine. What is not there is 404.
#[derive(Debug)]
pub struct TlsSite {
    pub address: SocketAddr,
    shelf: Shared,
    serve: JoinHandle<()>,
}

impl Drop for TlsSite {
    fn drop(&mut self) {
        self.serve.abort();
    }
}

impl TlsSite {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> Result<Self> {
        let acceptor = Authority::shared()?.acceptor()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shelf = Shared::default();
        let app = Router::new().fallback(answer).with_state(shelf.clone());
        let serve = tokio::spawn(accept(listener, acceptor, app));
        Ok(Self { address, shelf, serve })
    }

    /// `localhost:PORT`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// The address of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.host())
    }

    /// Puts an answer at a path (with its query, if it has one), in place of what was there.
    pub fn put(&self, path: &str, reply: Reply) {
        if let Ok(mut shelf) = self.shelf.lock() {
            shelf.replies.insert(path.to_owned(), reply);
        }
    }

    /// Takes away what is at a path.
    pub fn take(&self, path: &str) {
        if let Ok(mut shelf) = self.shelf.lock() {
            shelf.replies.remove(path);
        }
    }

    /// How often a path was asked for.
    #[must_use]
    pub fn hits(&self, path: &str) -> usize {
        self.shelf.lock().ok().and_then(|shelf| shelf.hits.get(path).copied()).unwrap_or_default()
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, app: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, app) = (acceptor.clone(), app.clone());
        // Ends with the connection, or with the test.
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = TowerToHyperService::new(app);
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(State(shelf): State<Shared>, request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let reply = shelf.lock().ok().and_then(|mut shelf| {
        *shelf.hits.entry(path.clone()).or_default() += 1;
        shelf.replies.get(&path).cloned()
    });
    let Some(reply) = reply else { return StatusCode::NOT_FOUND.into_response() };
    tokio::time::sleep(reply.delay).await;
    match response(reply) {
        Ok(response) => response,
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn response(reply: Reply) -> Result<Response> {
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).context("the reply is no answer")
}
