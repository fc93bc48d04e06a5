//! Servers of revision 2024-11-05: one stream on which everything comes, and an address beside it to which everything goes.
//!
//! A stream is one caller's. A task reads it and hands each message to the call that it belongs to; it ends when nobody has
//! called for a while, or when the server ends it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::HeaderMap;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use super::converse::{self, Way};
use super::envelope::{self, Message, Outcome};
use super::exchange::{Door, Loss, Refusal, say_only};
use super::legacy::{Farewell, Unasked, agreed, initialize, request};
use super::server::LEGACY;
use super::sessions::{Key, forget};
use super::sse::{Event, Parser};
use super::{Answer, Call, Failure, Question, Refused, result};
use crate::execute::credentials::Placement;
use crate::execute::outbound::{Incoming, Outbound};

const REVISION: &str = LEGACY[3];
/// Most streams that are kept open, and for how long without a call.
const CONNECTIONS: u64 = 2_000;
const IDLE: Duration = Duration::from_secs(5 * 60);
/// What waits to be read by one call, and how long the others wait for it.
const WAITING: usize = 64;
const SLOW: Duration = Duration::from_secs(10);
/// What a server may say in a row while nobody waits for anything.
const UNASKED: usize = 1 << 20;

/// The streams of this node.
#[derive(Clone, Debug)]
pub(super) struct Connections(moka::future::Cache<Key, Arc<Connection>>);

impl Default for Connections {
    fn default() -> Self {
        Self(moka::future::Cache::builder().max_capacity(CONNECTIONS).time_to_idle(IDLE).build())
    }
}

/// One stream, and the calls that wait for something on it.
#[derive(Debug)]
pub(super) struct Connection {
    /// Where messages go.
    endpoint: Url,
    ids: AtomicU64,
    waiting: Arc<Waiting>,
    /// Ends the reader with the last who holds the connection.
    _reader: DropGuard,
}

#[derive(Debug)]
struct Waiting {
    calls: Mutex<BTreeMap<u64, mpsc::Sender<Message>>>,
    ended: AtomicBool,
    /// When a call last began to wait.
    used: Mutex<Instant>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { calls: Mutex::default(), ended: AtomicBool::new(false), used: Mutex::new(Instant::now()) }
    }
}

impl Waiting {
    /// Whether nobody has called for long.
    fn is_idle(&self) -> bool {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.elapsed() >= IDLE && self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, mpsc::Sender<Message>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing comes any more.
    fn end(&self) {
        let mut calls = self.lock();
        self.ended.store(true, Ordering::Release);
        calls.clear();
    }

    /// Where the answer to a request is waited for; `None` where the stream has ended.
    fn add(&self, id: u64) -> Option<mpsc::Receiver<Message>> {
        let (calls, heard) = mpsc::channel(WAITING);
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let mut waiting = self.lock();
        (!self.ended.load(Ordering::Acquire)).then(|| {
            waiting.insert(id, calls);
            heard
        })
    }

    /// Whom a message is for: the call that it answers, or else the call that began last.
    fn of(&self, message: &Message) -> Option<mpsc::Sender<Message>> {
        let mut waiting = self.lock();
        match message {
            Message::Answer { id, .. } => waiting.remove(&id.get().parse().ok()?),
            Message::Notification { params: Some(params), .. } => {
                #[derive(serde::Deserialize)]
                struct Progress {
                    #[serde(rename = "progressToken")]
                    token: u64,
                }
                let about = serde_json::from_str(params.get()).ok().map(|progress: Progress| progress.token);
                match about {
                    Some(token) => waiting.get(&token).cloned(),
                    None => waiting.last_key_value().map(|(_, call)| call.clone()),
                }
            }
            _ => waiting.last_key_value().map(|(_, call)| call.clone()),
        }
    }
}

/// Takes a call off the list when it ends, however it does.
struct Waits<'a>(&'a Waiting, u64);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

impl Connection {
    /// A message for the server.
    pub(super) fn post(&self, door: Door<'_>, body: Vec<u8>) -> crate::execute::outbound::OutboundRequest {
        Door { base: &self.endpoint, ..door }.post(HeaderMap::new(), body)
    }

    /// Everything that is for no call; `None` where the stream has ended.
    pub(super) fn listen(&self) -> Option<mpsc::Receiver<Message>> {
        self.waiting.add(u64::MAX)
    }

    fn ended(&self) -> bool {
        self.waiting.ended.load(Ordering::Acquire)
    }
}

/// Asks over the caller's stream; over a new one where the old has ended.
pub(super) async fn ask(call: &Call<'_>, question: Question) -> Result<Answer, Refused> {
    let (key, connections) = (Key::of(call, REVISION), &call.upstreams.connections);
    let mut lost = over();
    for _ in 0..2 {
        if let Some(kept) = connections.0.get(&key).await.filter(|kept| kept.ended()) {
            forget(&connections.0, &key, &kept).await;
        }
        let opened = connections.0.try_get_with_by_ref(&key, open(call)).await;
        let connection = opened.map_err(|failure| Refused::from(Failure::clone(&failure)))?;
        match once(call, &connection, &question).await {
            Ok(outcome) => return Ok(result::answer(question.method, outcome, false)?),
            Err(Unasked::SessionLost(_, failure)) => {
                forget(&connections.0, &key, &connection).await;
                lost = failure;
            }
            Err(Unasked::Failed(failure)) => return Err(failure.into()),
        }
    }
    Err(lost.into())
}

fn over() -> Failure {
    Failure::broken("ends its streams as soon as they begin")
}

async fn once(call: &Call<'_>, connection: &Connection, question: &Question) -> Result<Outcome, Unasked> {
    let id = connection.ids.fetch_add(1, Ordering::Relaxed);
    let mut farewell = Farewell { call, way: Way::Oldest(connection), id, due: true };
    let outcome = exchange(call, connection, id, request(call, question, id)).await;
    farewell.due = false;
    outcome
}

pub(super) async fn exchange(
    call: &Call<'_>,
    connection: &Connection,
    id: u64,
    body: Vec<u8>,
) -> Result<Outcome, Unasked> {
    let heard = connection.waiting.add(id).ok_or_else(|| Unasked::SessionLost(Loss::Certain, over()))?;
    let _waits = Waits(&connection.waiting, id);
    let incoming = call.send(connection.post(call.door(), body)).await?;
    if !incoming.status.is_success() {
        let refusal = Refusal::of(incoming).await?;
        return Err(match refusal.session_lost(true) {
            Some(Loss::Certain) => Unasked::SessionLost(Loss::Certain, over()),
            Some(Loss::Likely) => Unasked::SessionLost(Loss::Likely, refusal.failure()),
            None => refusal.failure().into(),
        });
    }
    drop(incoming);
    let broke = stream::once(async { Err(Failure::broken("ended its stream before the result")) });
    let messages = ReceiverStream::new(heard).map(Ok).chain(broke);
    Ok(converse::until_answered(call, Way::Oldest(connection), id, messages).await?)
}

/// Opens a stream and begins a session on it.
pub(super) async fn open(call: &Call<'_>) -> Result<Arc<Connection>, Failure> {
    let door = call.door();
    let mut incoming = call.send(door.get(HeaderMap::new())).await?;
    if !incoming.status.is_success() {
        return Err(Refusal::of(incoming).await?.failure());
    }
    let most = call.upstreams.outbound.answer_bytes();
    let (mut parser, mut events) = (Parser::new(most), Vec::new());
    while events.is_empty() {
        let Some(chunk) = incoming.chunk().await? else {
            return Err(Failure::broken("ended its stream before saying where messages go"));
        };
        let fed = parser.feed(&chunk, &mut events);
        fed.map_err(|_| Failure::broken("does not say where messages go"))?;
    }
    let endpoint = endpoint(door.base, &events.remove(0))?;
    let (stop, waiting) = (CancellationToken::new(), Arc::new(Waiting::default()));
    let reader = Reader {
        incoming,
        parser,
        events,
        waiting: Arc::clone(&waiting),
        outbound: call.upstreams.outbound.clone(),
        endpoint: endpoint.clone(),
        defaults: door.defaults.clone(),
        placement: door.placement.clone(),
    };
    tokio::spawn(stop.clone().run_until_cancelled_owned(reader.run()));
    let ids = AtomicU64::new(1);
    let connection = Connection { endpoint, ids, waiting, _reader: stop.drop_guard() };
    let hello = exchange(call, &connection, 0, initialize(call, 0, REVISION)).await;
    let result = match hello {
        Ok(Outcome::Result(result)) => result,
        Ok(Outcome::Error(error)) => {
            return Err(Failure::Rpc { code: error.code, message: error.message, data: error.data });
        }
        Err(Unasked::SessionLost(..)) => return Err(Failure::broken("ended its stream as soon as it began")),
        Err(Unasked::Failed(failure)) => return Err(failure),
    };
    agreed(&result)?;
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string().into_bytes();
    call.say(connection.post(call.door(), ready)).await?;
    Ok(Arc::new(connection))
}

/// Where messages go: at the same origin, or credentials would travel to a stranger.
fn endpoint(base: &Url, event: &Event) -> Result<Url, Failure> {
    if event.kind != "endpoint" {
        return Err(Failure::broken("does not say where messages go"));
    }
    let endpoint = base.join(event.data.trim());
    let endpoint = endpoint.map_err(|_| Failure::broken("says that messages go to what is no URL"))?;
    if endpoint.origin() != base.origin() {
        return Err(Failure::broken("wants messages to be sent to another server"));
    }
    Ok(endpoint)
}

/// Reads the stream.
struct Reader {
    incoming: Incoming,
    parser: Parser,
    events: Vec<Event>,
    waiting: Arc<Waiting>,
    outbound: Outbound,
    endpoint: Url,
    defaults: HeaderMap,
    placement: Placement,
}

/// Whoever waits is told that nothing comes any more, also where the reader is cut off.
impl Drop for Reader {
    fn drop(&mut self) {
        self.waiting.end();
    }
}

impl Reader {
    async fn run(mut self) {
        let mut unasked: usize = 0;
        loop {
            for event in std::mem::take(&mut self.events) {
                if event.kind != "message" || event.data.is_empty() {
                    continue;
                }
                let Ok(message) = envelope::read(event.data.as_bytes()) else {
                    tracing::debug!("an MCP server sent what is no message; its stream is given up");
                    return;
                };
                self.hand_over(message).await;
            }
            match tokio::time::timeout(IDLE, self.incoming.chunk()).await {
                Ok(Ok(Some(chunk))) if self.parser.feed(&chunk, &mut self.events).is_ok() => {
                    let awaited = !self.waiting.lock().is_empty();
                    unasked = if awaited { 0 } else { unasked.saturating_add(chunk.len()) };
                }
                Err(_) => {}
                Ok(_) => return,
            }
            if self.waiting.is_idle() || unasked > UNASKED {
                return;
            }
        }
    }

    async fn hand_over(&self, message: Message) {
        match (self.waiting.of(&message), message) {
            (Some(call), message) => {
                // A call that does not listen loses the message, and with it itself.
                let _ = call.send_timeout(message, SLOW).await;
            }
            (None, Message::Request { id, method, .. }) => {
                let body = if method == "ping" {
                    json!({"jsonrpc": "2.0", "id": id, "result": {}})
                } else {
                    let error = json!({"code": -32601, "message": "Nobody is there to be asked."});
                    json!({"jsonrpc": "2.0", "id": id, "error": error})
                };
                let door =
                    Door { base: &self.endpoint, defaults: &self.defaults, placement: &self.placement };
                let request = door.post(HeaderMap::new(), body.to_string().into_bytes());
                say_only(&self.outbound, request).await;
            }
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_only_to_the_servers_own_origin() {
        let base = Url::parse("https://mcp.example.com/sse?x=1").unwrap();
        let event = |data: &str| Event { kind: "endpoint".into(), data: data.into() };
        let at = |data: &str| endpoint(&base, &event(data)).map(|url| url.to_string());
        assert_eq!(at("/messages?session=1").unwrap(), "https://mcp.example.com/messages?session=1");
        assert_eq!(at("https://mcp.example.com:443/m").unwrap(), "https://mcp.example.com/m");
        for bad in
            ["https://other.example.com/m", "//other.example.com/m", "http://mcp.example.com/m", "https://"]
        {
            assert!(at(bad).is_err(), "{bad}");
        }
        let other = Event { kind: "message".into(), data: "/messages".into() };
        assert!(endpoint(&base, &other).is_err());
    }
}
