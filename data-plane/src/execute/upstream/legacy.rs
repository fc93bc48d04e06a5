//! Servers of the older revisions over streamable HTTP: a session that begins with `initialize`, and calls in it.
//!
//! A session is one caller's: servers keep state in it, which nobody else may meet. It is kept on this node while it is used,
//! and begun anew when the server has forgotten it, of which the caller learns nothing.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{Stream, stream};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use toolmesh_proto::claims::Subject;

use super::aside::{self, Aside};
use super::converse::{self, Way};
use super::envelope::{Message, Outcome};
use super::exchange::{Answering, Refusal, is_break, say_only, supported};
use super::modern::VERSION;
use super::server::{Era, LEGACY};
use super::{Answer, Call, Failure, Question, Refused, Upstreams, meta, result};
use crate::execute::outbound::OutboundRequest;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
/// The first revision whose requests name it in a header.
const NAMED_IN_HEADER: &str = "2025-06-18";
/// The one with batches.
const WITH_BATCHES: &str = "2025-03-26";

/// Most sessions that are kept, and for how long without a call.
const SESSIONS: u64 = 20_000;
const IDLE: Duration = Duration::from_secs(30 * 60);
const SESSION_ID_BYTES: usize = 1024;

/// A stream that breaks is taken up so often in a row without anything new.
const TAKE_UPS: u32 = 20;
const WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What the server and we have agreed on.
#[derive(Debug)]
pub(super) struct Session {
    /// Some servers give none.
    id: Option<HeaderValue>,
    pub(super) revision: &'static str,
    ids: AtomicU64,
    /// The server has log messages to set a level for.
    logs: bool,
    /// The lowest level that it was told; none yet is above all.
    level: AtomicUsize,
    /// The caller can be asked something.
    pub(super) asks: bool,
    pub(super) aside: Arc<Aside>,
}

/// Whose session it is, and what was said at its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    server: u64,
    subject: Subject,
    /// Another account means another session.
    account: u64,
    capabilities: String,
}

impl Key {
    pub(super) fn of(call: &Call<'_>, revision: &str) -> Self {
        let mut account = DefaultHasher::new();
        call.installation.grant_epoch.hash(&mut account);
        for credential in &call.installation.credentials {
            (&credential.name, credential.version).hash(&mut account);
        }
        Self {
            server: call.server.serial,
            subject: call.subject,
            account: account.finish(),
            capabilities: Value::from(meta::capabilities(call.line, revision)).to_string(),
        }
    }
}

/// The sessions of this node.
#[derive(Clone, Debug)]
pub(super) struct Sessions(moka::future::Cache<Key, Arc<Session>>);

impl Default for Sessions {
    fn default() -> Self {
        Self(moka::future::Cache::builder().max_capacity(SESSIONS).time_to_idle(IDLE).build())
    }
}

impl Sessions {
    /// The caller's session; begun once, however many wait for it.
    async fn get(&self, key: &Key, call: &Call<'_>, asked: &'static str) -> Result<Arc<Session>, Refused> {
        let begun = self.0.try_get_with_by_ref(key, begin(call, asked)).await;
        begun.map_err(|refused| Refused::clone(&refused))
    }

    /// Forgets a session, unless another has taken its place.
    async fn forget(&self, key: &Key, session: &Arc<Session>) {
        if self.0.get(key).await.is_some_and(|kept| Arc::ptr_eq(&kept, session)) {
            self.0.invalidate(key).await;
        }
    }
}

impl Session {
    /// What every request of the session carries.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(id) = &self.id {
            headers.insert(SESSION, id.clone());
        }
        if self.revision >= NAMED_IN_HEADER {
            headers.insert(VERSION, HeaderValue::from_static(self.revision));
        }
        headers
    }

    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    fn batches(&self) -> bool {
        self.revision == WITH_BATCHES
    }
}

/// Asks in the caller's session.
pub(super) async fn ask(call: &Call<'_>, question: Question) -> Result<Answer, Refused> {
    let asked = match call.server.era() {
        Era::Legacy(revision) => revision,
        Era::Modern | Era::Oldest => LEGACY[0],
    };
    let (key, sessions) = (Key::of(call, asked), &call.upstreams.sessions);
    for _ in 0..2 {
        let session = sessions.get(&key, call, asked).await?;
        attune(call, &session).await?;
        match once(call, &session, &question).await {
            Ok(outcome) => return Ok(result::answer(question.method, outcome, false)?),
            Err(Unasked::SessionLost) => sessions.forget(&key, &session).await,
            Err(Unasked::Failed(failure)) => return Err(failure.into()),
        }
    }
    Err(Failure::broken("forgets its sessions as soon as they begin").into())
}

/// Why a request in a session has no outcome.
pub(super) enum Unasked {
    /// The server has not looked at the request.
    SessionLost,
    Failed(Failure),
}

impl From<Failure> for Unasked {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

async fn once(call: &Call<'_>, session: &Session, question: &Question) -> Result<Outcome, Unasked> {
    let id = session.next_id();
    let body = request(call, question, id);
    let mut farewell = Farewell { call, way: Way::Http(session), id, due: true };
    let (_place, said) = aside::hear(call, session).await.unzip();
    let outcome = beside(call, session, id, body, said).await;
    // A server that answered, whatever it answered, has nothing left to stop.
    farewell.due = false;
    outcome
}

/// The body of a request in a session.
pub(super) fn request(call: &Call<'_>, question: &Question, id: u64) -> Vec<u8> {
    let mut params = question.params.clone();
    let meta = meta::legacy(call.line, id);
    if !meta.is_empty() {
        params.insert("_meta".to_owned(), meta.into());
    }
    json!({"jsonrpc": "2.0", "id": id, "method": question.method, "params": params}).to_string().into_bytes()
}

pub(super) async fn exchange(
    call: &Call<'_>,
    session: &Session,
    id: u64,
    body: Vec<u8>,
) -> Result<Outcome, Unasked> {
    beside(call, session, id, body, None).await
}

/// The same, where something may be said beside the answer.
async fn beside(
    call: &Call<'_>,
    session: &Session,
    id: u64,
    body: Vec<u8>,
    said: Option<mpsc::Receiver<Message>>,
) -> Result<Outcome, Unasked> {
    let (way, lost) = (Way::Http(session), AtomicBool::new(false));
    let answer = messages(call, session, body, &lost);
    let outcome = match said {
        Some(said) => converse::until_answered(call, way, id, aside::with(answer, said)).await,
        None => converse::until_answered(call, way, id, answer).await,
    };
    outcome.map_err(
        |failure| {
            if lost.load(Ordering::Relaxed) { Unasked::SessionLost } else { failure.into() }
        },
    )
}

/// How far the answer to a request has come.
enum Step<'a> {
    Unsent(Vec<u8>),
    Answering(Box<Resuming<'a>>),
    Over,
}

/// Sends a request, and gives the messages of its answer. `lost` is set where the server does not know the session.
fn messages<'a>(
    call: &'a Call<'a>,
    session: &'a Session,
    body: Vec<u8>,
    lost: &'a AtomicBool,
) -> impl Stream<Item = Result<Message, Failure>> + 'a {
    stream::unfold(Step::Unsent(body), move |step| async move {
        let mut resuming = match step {
            Step::Unsent(body) => match begun(call, session, body, lost).await {
                Ok(resuming) => Box::new(resuming),
                Err(failure) => return Some((Err(failure), Step::Over)),
            },
            Step::Answering(resuming) => resuming,
            Step::Over => return None,
        };
        match resuming.next().await {
            Ok(Some(message)) => Some((Ok(message), Step::Answering(resuming))),
            Ok(None) => None,
            Err(failure) => Some((Err(failure), Step::Over)),
        }
    })
}

async fn begun<'a>(
    call: &'a Call<'a>,
    session: &'a Session,
    body: Vec<u8>,
    lost: &AtomicBool,
) -> Result<Resuming<'a>, Failure> {
    let incoming = call.send(call.door().post(session.headers(), body)).await?;
    if !incoming.status.is_success() {
        let refusal = Refusal::of(incoming).await?;
        lost.store(refusal.session_lost(session.id.is_some()), Ordering::Relaxed);
        return Err(refusal.failure());
    }
    let most = call.upstreams.outbound.answer_bytes();
    let answering = Answering::read(incoming, most, session.batches()).await?;
    Ok(Resuming { call, session, answering, idle: 0 })
}

/// A stream that is taken up again where it breaks, if the server numbers its events.
struct Resuming<'a> {
    call: &'a Call<'a>,
    session: &'a Session,
    answering: Answering,
    /// Streams in a row that brought nothing.
    idle: u32,
}

impl Resuming<'_> {
    async fn next(&mut self) -> Result<Option<Message>, Failure> {
        loop {
            let ended = match self.answering.next().await {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => Ok(None),
                Err(failure) if is_break(&failure) => Err(failure),
                Err(failure) => return Err(failure),
            };
            let Some((last, retry)) = self.answering.resumption() else { return ended };
            self.idle = if self.answering.began() { 0 } else { self.idle + 1 };
            if self.idle > TAKE_UPS {
                return Err(Failure::broken("breaks off its answer over and over"));
            }
            let wait = retry.map_or(WAIT, Duration::from_millis);
            tokio::time::sleep(wait.min(LONGEST_WAIT)).await;
            self.take_up(&last).await?;
        }
    }

    async fn take_up(&mut self, last: &str) -> Result<(), Failure> {
        let mut headers = self.session.headers();
        let last = HeaderValue::try_from(last)
            .map_err(|_| Failure::broken("numbers its events in a way that cannot be sent back"))?;
        headers.insert(LAST_EVENT, last);
        let incoming = self.call.send(self.call.door().get(headers)).await?;
        if !incoming.status.is_success() {
            return Err(Failure::broken("broke off its answer and does not take it up again"));
        }
        self.answering = self.answering.read_on(incoming).await?;
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Initialized {
    protocol_version: String,
    #[serde(default)]
    capabilities: Map<String, Value>,
}

/// What `initialize` says.
pub(super) fn initialize(call: &Call<'_>, id: u64, revision: &str) -> Vec<u8> {
    let params = json!({
        "protocolVersion": revision,
        "capabilities": meta::capabilities(call.line, revision),
        "clientInfo": meta::client_info(),
    });
    json!({"jsonrpc": "2.0", "id": id, "method": "initialize", "params": params}).to_string().into_bytes()
}

/// The revision that the server chose, and whether it has log messages to set a level for.
pub(super) fn agreed(result: &RawValue) -> Result<(&'static str, bool), Failure> {
    let initialized: Initialized = serde_json::from_str(result.get())
        .map_err(|_| Failure::broken("answered initialize with what cannot be read"))?;
    let chosen = initialized.protocol_version.as_str();
    let revision = LEGACY.into_iter().find(|known| *known == chosen);
    let revision = revision.ok_or_else(|| {
        let chosen: String = chosen.chars().take(40).collect();
        Failure::Broken(format!("chose the revision {chosen:?} of the protocol, which we do not know"))
    })?;
    Ok((revision, initialized.capabilities.contains_key("logging")))
}

/// Begins a session.
pub(super) async fn begin(call: &Call<'_>, asked: &'static str) -> Result<Arc<Session>, Refused> {
    let body = initialize(call, 0, asked);
    let incoming = call.send(call.door().post(HeaderMap::new(), body)).await?;
    if !incoming.status.is_success() {
        let refusal = Refusal::of(incoming).await?;
        let speaks = refusal.error.as_ref().and_then(|error| Era::among(&supported(error)));
        return Err(speaks.map_or_else(|| refusal.failure().into(), Refused::OtherEra));
    }
    let id = incoming.headers.get(SESSION).cloned();
    let id = id.map(|mut id| {
        id.set_sensitive(true);
        let visible = id.as_bytes().iter().all(|b| (0x21..=0x7e).contains(b));
        if visible && (1..=SESSION_ID_BYTES).contains(&id.len()) {
            Ok(id)
        } else {
            Err(Failure::broken("gave its session an id that cannot be sent back"))
        }
    });
    let id = id.transpose()?;
    let mut answering = Answering::read(incoming, call.upstreams.outbound.answer_bytes(), false).await?;
    let outcome = loop {
        match answering.next().await? {
            Some(Message::Answer { id: theirs, outcome }) => break converse::ours(&theirs, 0, outcome)?,
            Some(_) => {}
            None => return Err(Failure::broken("ended its answer to initialize before the result").into()),
        }
    };
    let result = match outcome {
        Outcome::Result(result) => result,
        Outcome::Error(error) => {
            if let Some(speaks) = Era::among(&supported(&error)) {
                return Err(Refused::OtherEra(speaks));
            }
            return Err(Failure::Rpc { code: error.code, message: error.message, data: error.data }.into());
        }
    };
    let (revision, logs) = agreed(&result)?;
    let level = AtomicUsize::new(usize::MAX);
    // Servers without sessions cannot tell whom such a stream belongs to.
    let asks = id.is_some() && !meta::capabilities(call.line, asked).is_empty();
    let (ids, aside) = (AtomicU64::new(1), Arc::default());
    let session = Session { id, revision, ids, logs, level, asks, aside };
    greet(call, &session).await?;
    Ok(Arc::new(session))
}

/// What follows `initialize`.
async fn greet(call: &Call<'_>, session: &Session) -> Result<(), Failure> {
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string().into_bytes();
    match call.say(call.door().post(session.headers(), ready)).await {
        // Some servers without sessions do not know the notification.
        Ok(()) | Err(Failure::Rpc { .. } | Failure::Status { .. }) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Has the server send what the caller wants of its log. A session that sends more already stays as it is: what a client does
/// not want is left out here too.
async fn attune(call: &Call<'_>, session: &Session) -> Result<(), Failure> {
    let Some(level) = call.line.client().log_level.as_deref().filter(|_| session.logs) else {
        return Ok(());
    };
    let Some(rank) = converse::rank(level) else { return Ok(()) };
    if session.level.fetch_min(rank, Ordering::Relaxed) <= rank {
        return Ok(());
    }
    let id = session.next_id();
    let body = json!({"jsonrpc": "2.0", "id": id, "method": "logging/setLevel", "params": {"level": level}});
    match exchange(call, session, id, body.to_string().into_bytes()).await {
        // A session that is lost is found to be so by what is asked next.
        Ok(_) | Err(Unasked::SessionLost | Unasked::Failed(Failure::Rpc { .. } | Failure::Status { .. })) => {
            Ok(())
        }
        Err(Unasked::Failed(failure)) => Err(failure),
    }
}

/// Ends a session that nobody else uses, when it is dropped.
pub(super) struct Ending<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) session: &'a Session,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if self.session.id.is_some() {
            part(self.call.upstreams, self.call.door().delete(self.session.headers()));
        }
    }
}

/// Sends a last message, unless too many are on their way.
fn part(upstreams: &Upstreams, request: OutboundRequest) {
    let turn = Arc::clone(&upstreams.farewells).try_acquire_owned();
    if let (Ok(runtime), Ok(turn)) = (tokio::runtime::Handle::try_current(), turn) {
        let outbound = upstreams.outbound.clone();
        runtime.spawn(async move {
            let _turn = turn;
            say_only(&outbound, request).await;
        });
    }
}

/// Tells the server that nobody waits for an answer any more, if that is so when it is dropped.
pub(super) struct Farewell<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) way: Way<'a>,
    pub(super) id: u64,
    pub(super) due: bool,
}

impl Drop for Farewell<'_> {
    fn drop(&mut self) {
        if !self.due {
            return;
        }
        let params = json!({"requestId": self.id, "reason": "Nobody waits for the answer any more."});
        let body = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
        let (door, body) = (self.call.door(), body.to_string().into_bytes());
        let request = match self.way {
            Way::Http(session) => door.post(session.headers(), body),
            Way::Oldest(connection) => connection.post(door, body),
        };
        part(self.call.upstreams, request);
    }
}
