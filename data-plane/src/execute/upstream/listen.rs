//! Listening to a server for what changes there, on behalf of one client's stream.
//!
//! A server that cannot be listened to is silent, which is no failure. One that ends its stream is listened to again, less and
//! less often; nothing here counts towards how it fares with calls.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::BoxFuture;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use toolmesh_proto::claims::Subject;

use super::clock::Clock;
use super::envelope::{Message, Outcome};
use super::exchange::{Answering, Refusal};
use super::server::{Era, MODERN};
use super::sessions::Session;
use super::{Call, Failure, Refused, Upstreams, legacy, meta, modern, oldest};
use crate::call::line::Line;
use crate::catalog::Installation;
use crate::execute::credentials::Placement;
use crate::execute::outbound::Incoming;

/// Most streams that this node listens to at a time.
const STREAMS: usize = 2_000;
/// What waits to be taken by the client's stream.
const WAITING: usize = 32;
/// Waits between attempts.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(120);
/// How long a stream may bring nothing before it counts as dead.
const SILENT: Duration = Duration::from_secs(30 * 60);
/// For everything up to the open stream.
const OPEN_WITHIN: Duration = Duration::from_secs(30);

/// What to listen for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub tools: bool,
    pub prompts: bool,
    pub resources: bool,
    /// Single resources, by the server's own URIs.
    pub uris: Vec<String>,
}

/// What changed.
#[derive(Debug)]
pub enum Notice {
    /// The server is heard from here on, or it is known that it cannot be heard now.
    Open,
    Tools,
    Prompts,
    Resources,
    /// One of the resources that were wanted; the params of `notifications/resources/updated` as they came.
    Resource(Box<RawValue>),
}

/// Gets the credential that is good now; `None` where there is none.
pub type Show = Arc<dyn Fn() -> BoxFuture<'static, Option<Placement>> + Send + Sync>;

/// The streams of this node.
#[derive(Clone, Debug)]
pub(super) struct Listeners(Arc<Semaphore>);

impl Default for Listeners {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS)))
    }
}

/// Why a stream is over.
enum Over {
    /// It may be opened again.
    Ended,
    /// The server has no such stream.
    Never,
}

impl From<Failure> for Over {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Rpc { code: -32601, .. } => Self::Never,
            Failure::Status {
                status: StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED,
                ..
            } => Self::Never,
            _ => Self::Ended,
        }
    }
}

impl Upstreams {
    /// Listens to a server. The stream does not end by itself; dropping it ends the listening.
    pub fn listen(
        &self,
        installation: Arc<Installation>,
        subject: Subject,
        show: Show,
        wanted: Wanted,
    ) -> impl Stream<Item = Notice> + Send + use<> {
        let (notices, heard) = mpsc::channel(WAITING);
        let listener = Listener { upstreams: self.clone(), installation, subject, show, wanted };
        tokio::spawn(async move {
            tokio::select! {
                () = notices.closed() => return,
                () = listener.run(&notices) => {}
            }
            // Nothing more comes, and the stream stays open all the same.
            notices.closed().await;
        });
        ReceiverStream::new(heard)
    }
}

struct Listener {
    upstreams: Upstreams,
    installation: Arc<Installation>,
    subject: Subject,
    show: Show,
    wanted: Wanted,
}

impl Listener {
    async fn run(&self, notices: &mpsc::Sender<Notice>) {
        let Ok(_turn) = self.upstreams.listeners.0.try_acquire() else {
            tracing::warn!(installation = %self.installation.id, "too many streams to MCP servers are open");
            let _ = notices.send(Notice::Open).await;
            return;
        };
        let mut wait = FIRST;
        loop {
            let start = tokio::time::Instant::now();
            let over = match (self.show)().await {
                Some(placement) => self.once(&placement, notices).await,
                None => Over::Ended,
            };
            let _ = notices.send(Notice::Open).await;
            if matches!(over, Over::Never) {
                return;
            }
            // One that held for a while is opened again at once.
            wait = if start.elapsed() > LONGEST { FIRST } else { (wait * 2).min(LONGEST) };
            tokio::time::sleep(wait.mul_f64(rand::random_range(0.5..=1.0))).await;
        }
    }

    async fn once(&self, placement: &Placement, notices: &mpsc::Sender<Notice>) -> Over {
        let server = self.upstreams.servers.of(&self.installation);
        let (clock, requests) = (Clock::new(OPEN_WITHIN), AtomicU32::new(0));
        let line = Line::silent(CancellationToken::new());
        let call = Call {
            upstreams: &self.upstreams,
            installation: &self.installation,
            server: &server,
            asker: self.subject.into(),
            placement,
            line: &line,
            clock: &clock,
            requests: &requests,
        };
        let over = match server.era() {
            Era::Modern => self.modern(&call, notices).await,
            Era::Legacy(revision) => self.legacy(&call, revision, notices).await,
            Era::Oldest => self.oldest(&call, notices).await,
        };
        over.unwrap_or_else(|over| over)
    }

    /// One request whose answer is the stream.
    async fn modern(&self, call: &Call<'_>, notices: &mpsc::Sender<Notice>) -> Result<Over, Over> {
        let method = "subscriptions/listen";
        let mut headers = HeaderMap::new();
        headers.insert(modern::VERSION, HeaderValue::from_static(MODERN));
        headers.insert(HeaderName::from_static("mcp-method"), HeaderValue::from_static(method));
        let mut wanted = Map::new();
        let kinds = [
            ("toolsListChanged", self.wanted.tools),
            ("promptsListChanged", self.wanted.prompts),
            ("resourcesListChanged", self.wanted.resources),
        ];
        wanted
            .extend(kinds.into_iter().filter(|kind| kind.1).map(|(name, _)| (name.to_owned(), true.into())));
        if !self.wanted.uris.is_empty() {
            wanted.insert("resourceSubscriptions".to_owned(), self.wanted.uris.clone().into());
        }
        let params = json!({"_meta": meta::modern(call.line), "notifications": wanted});
        let body = json!({"jsonrpc": "2.0", "id": call.server.next_id(), "method": method, "params": params});
        let incoming = call.send(call.door().post(headers, body.to_string().into_bytes())).await?;
        if !incoming.status.is_success() {
            return Err(Refusal::of(incoming).await?.failure().into());
        }
        let answering = self.stream(incoming).await?;
        self.hear(answering, notices, None).await
    }

    /// What a server answered to who wants to listen. One that is no stream is not waited for.
    async fn stream(&self, incoming: Incoming) -> Result<Answering, Over> {
        let most = self.upstreams.outbound.answer_bytes();
        let read = tokio::time::timeout(OPEN_WITHIN, Answering::read(incoming, most, false)).await;
        Ok(read.map_err(|_| Over::Ended)??)
    }

    /// A session of its own, since a server may allow one such stream in each.
    async fn legacy(
        &self,
        call: &Call<'_>,
        revision: &'static str,
        notices: &mpsc::Sender<Notice>,
    ) -> Result<Over, Over> {
        let begun = tokio::time::timeout(OPEN_WITHIN, legacy::begin(call, revision)).await;
        let session = match begun {
            Ok(Ok(session)) => Session::used(session),
            Ok(Err(Refused::Failed(failure))) => return Err(failure.into()),
            Ok(Err(Refused::OtherEra(..))) | Err(_) => return Err(Over::Ended),
        };
        // It is nobody else's, and ends with the listening.
        session.over();
        let incoming = call.send(call.door().get(session.headers())).await?;
        if !incoming.status.is_success() {
            return Err(Refusal::of(incoming).await?.failure().into());
        }
        let answering = self.stream(incoming).await?;
        for uri in &self.wanted.uris {
            let id = session.next_id();
            let subscribed = legacy::exchange(call, &session, id, subscribe(id, uri));
            // A resource that cannot be listened to is silent.
            let _ = tokio::time::timeout(OPEN_WITHIN, subscribed).await;
        }
        let _ = notices.send(Notice::Open).await;
        self.hear(answering, notices, Some((call, &**session))).await
    }

    async fn oldest(&self, call: &Call<'_>, notices: &mpsc::Sender<Notice>) -> Result<Over, Over> {
        let opened = tokio::time::timeout(OPEN_WITHIN, oldest::open(call)).await;
        let connection = opened.map_err(|_| Over::Ended)??;
        for (id, uri) in (1..).zip(&self.wanted.uris) {
            let subscribed = oldest::exchange(call, &connection, id, subscribe(id, uri));
            let _ = tokio::time::timeout(OPEN_WITHIN, subscribed).await;
        }
        let mut heard = connection.listen().ok_or(Over::Ended)?;
        let _ = notices.send(Notice::Open).await;
        while let Ok(Some(message)) = tokio::time::timeout(SILENT, heard.recv()).await {
            self.tell(message, notices).await;
        }
        Ok(Over::Ended)
    }

    async fn hear(
        &self,
        mut answering: Answering,
        notices: &mpsc::Sender<Notice>,
        asked: Option<(&Call<'_>, &Session)>,
    ) -> Result<Over, Over> {
        loop {
            let next = tokio::time::timeout(SILENT, answering.next()).await.map_err(|_| Over::Ended)?;
            match next? {
                None => return Ok(Over::Ended),
                Some(Message::Answer { outcome: Outcome::Error(error), .. }) if error.code == -32601 => {
                    return Ok(Over::Never);
                }
                Some(Message::Answer { .. }) => return Ok(Over::Ended),
                Some(Message::Request { id, method, .. }) => {
                    let Some((call, session)) = asked else { return Ok(Over::Ended) };
                    let body = if method == "ping" {
                        json!({"jsonrpc": "2.0", "id": id, "result": {}})
                    } else {
                        let error = json!({"code": -32601, "message": "Nobody is there to be asked."});
                        json!({"jsonrpc": "2.0", "id": id, "error": error})
                    };
                    let body = body.to_string().into_bytes();
                    let _ = call.say(call.door().post(session.headers(), body)).await;
                }
                Some(message) => self.tell(message, notices).await,
            }
        }
    }

    /// Passes on what was wanted, and has the control plane look at definitions that changed.
    async fn tell(&self, message: Message, notices: &mpsc::Sender<Notice>) {
        let Message::Notification { method, params } = message else { return };
        let (notice, wanted) = match method.as_str() {
            // The first word of the newest revision.
            "notifications/subscriptions/acknowledged" => {
                let _ = notices.send(Notice::Open).await;
                return;
            }
            "notifications/tools/list_changed" => (Notice::Tools, self.wanted.tools),
            "notifications/prompts/list_changed" => (Notice::Prompts, self.wanted.prompts),
            "notifications/resources/list_changed" => (Notice::Resources, self.wanted.resources),
            "notifications/resources/updated" => {
                if let Some(params) = params.filter(|params| self.is_wanted(params)) {
                    let _ = notices.send(Notice::Resource(params)).await;
                }
                return;
            }
            _ => return,
        };
        self.upstreams.reporter.changed(self.installation.tenant, self.installation.id);
        if wanted {
            let _ = notices.send(notice).await;
        }
    }

    fn is_wanted(&self, params: &RawValue) -> bool {
        let params: Value = serde_json::from_str(params.get()).unwrap_or_default();
        // A server may name a part of what was subscribed to.
        params["uri"]
            .as_str()
            .is_some_and(|uri| self.wanted.uris.iter().any(|wanted| uri.starts_with(wanted.as_str())))
    }
}

fn subscribe(id: u64, uri: &str) -> Vec<u8> {
    let params = json!({"uri": uri});
    json!({"jsonrpc": "2.0", "id": id, "method": "resources/subscribe", "params": params})
        .to_string()
        .into_bytes()
}
