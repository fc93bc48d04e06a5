//! Servers of the older revisions over streamable HTTP: a session that begins with `initialize`, and calls in it.
//!
//! A session is one caller's: servers keep state in it, which nobody else may meet. It is kept on this node while it is used,
//! and begun anew when the server has forgotten it, of which the caller learns nothing.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{Stream, stream};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::aside;
use super::converse::{self, Way};
use super::envelope::{Message, Outcome, RpcError};
use super::exchange::{Answering, Loss, Refusal, is_break, supported};
use super::server::{Era, LEGACY};
use super::sessions::{Key, Parting, SESSION, Session};
use super::{Answer, Call, Failure, Question, Refused, meta, result};

const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
/// Longest id of a session, and of an event.
const ID_BYTES: usize = 1024;

/// A stream that breaks is taken up so often in a row without anything new.
const TAKE_UPS: u32 = 20;
const LEAST_WAIT: Duration = Duration::from_millis(100);
const WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Asks in the caller's session, which begins with this revision.
pub(super) async fn ask(
    call: &Call<'_>,
    revision: &'static str,
    question: Question,
) -> Result<Answer, Refused> {
    let (key, sessions) = (Key::of(call, revision), &call.upstreams.sessions);
    let mut lost = Failure::broken("forgets its sessions as soon as they begin");
    for _ in 0..2 {
        let session = sessions.get(&key, begin(call, revision)).await?;
        attune(call, &session).await?;
        match once(call, &session, &question).await {
            Ok(outcome) => return Ok(result::answer(question.method, outcome, false)?),
            Err(Unasked::SessionLost(loss, failure)) => {
                sessions.forget(&key, &session, loss).await;
                lost = failure;
            }
            Err(Unasked::Failed(failure)) => return Err(failure.into()),
        }
    }
    Err(lost.into())
}

/// Why a request in a session has no answer.
pub(super) enum Unasked {
    /// The server does not know the session any more; what is said where it does not know the next either.
    SessionLost(Loss, Failure),
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
    let (way, lost) = (Way::Http(session), OnceLock::new());
    let answer = messages(call, session, body, &lost);
    let outcome = match said {
        Some(said) => converse::until_answered(call, way, id, aside::with(answer, said)).await,
        None => converse::until_answered(call, way, id, answer).await,
    };
    outcome.map_err(|failure| match lost.get() {
        Some(Loss::Certain) => {
            Unasked::SessionLost(Loss::Certain, Failure::broken("forgets its sessions as soon as they begin"))
        }
        Some(Loss::Likely) => Unasked::SessionLost(Loss::Likely, failure),
        None => failure.into(),
    })
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
    lost: &'a OnceLock<Loss>,
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
    lost: &OnceLock<Loss>,
) -> Result<Resuming<'a>, Failure> {
    let incoming = call.send(call.door().post(session.headers(), body)).await?;
    if !incoming.status.is_success() {
        let refusal = Refusal::of(incoming).await?;
        if let Some(loss) = refusal.session_lost(session.has_id()) {
            lost.get_or_init(|| loss);
        }
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
            tokio::time::sleep(wait.clamp(LEAST_WAIT, LONGEST_WAIT)).await;
            self.take_up(&last).await?;
        }
    }

    async fn take_up(&mut self, last: &str) -> Result<(), Failure> {
        let mut headers = self.session.headers();
        let last = HeaderValue::try_from(last).ok().filter(|last| last.len() <= ID_BYTES);
        let odd = || Failure::broken("numbers its events in a way that cannot be sent back");
        headers.insert(LAST_EVENT, last.ok_or_else(odd)?);
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
        return Err(Refused::by(refusal.failure(), speaks));
    }
    let id = incoming.headers.get(SESSION).cloned();
    let id = id.map(|mut id| {
        id.set_sensitive(true);
        let visible = id.as_bytes().iter().all(|b| (0x21..=0x7e).contains(b));
        if visible && (1..=ID_BYTES).contains(&id.len()) {
            Ok(id)
        } else {
            Err(Failure::broken("gave its session an id that cannot be sent back"))
        }
    });
    let id = id.transpose()?;
    // Should anything go wrong from here on, the server need not keep the session.
    let mut parting = Parting::new(call, id.as_ref(), asked);
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
            let speaks = Era::among(&supported(&error));
            let RpcError { code, message, data } = error;
            return Err(Refused::by(Failure::Rpc { code, message, data }, speaks));
        }
    };
    let (revision, logs) = agreed(&result)?;
    parting.agreed(call, id.as_ref(), revision);
    // Servers without sessions cannot tell whom such a stream belongs to.
    let asks = id.is_some() && meta::can_be_asked(call.line, asked);
    let session = Session::new(id, revision, logs, asks, parting);
    greet(call, &session).await?;
    call.proved(Era::Legacy(asked));
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
        Ok(_)
        | Err(Unasked::SessionLost(..) | Unasked::Failed(Failure::Rpc { .. } | Failure::Status { .. })) => {
            Ok(())
        }
        Err(Unasked::Failed(failure)) => Err(failure),
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
        self.call.upstreams.part(request);
    }
}
