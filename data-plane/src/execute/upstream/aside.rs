//! What a server of the older revisions says beside its answers: on the stream of a session that belongs to no request. Some
//! servers ask their client there, in the middle of a call.
//!
//! The stream is open while callers who can be asked something use the session. What comes is for the call that began last; a
//! session is one caller's, so it is their client in any case.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use toolmesh_proto::ids::{InstallationId, TenantId};

use super::envelope::Message;
use super::exchange::{Answering, say_only};
use super::sessions::Session;
use super::{Call, Failure};
use crate::execute::outbound::{Outbound, OutboundRequest};
use crate::sync::reports::Reporter;

/// Most such streams that this node reads at a time.
const STREAMS: usize = 2_000;
/// What waits to be taken by one call, and how long it may wait there.
const WAITING: usize = 32;
const SLOW: Duration = Duration::from_secs(10);
/// How long a call waits for the stream to open, and how long a server has for it.
const OPEN_WITHIN: Duration = Duration::from_secs(1);
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// How long a stream is kept without a call, and how often that is looked at.
const IDLE: Duration = Duration::from_secs(2 * 60);
const LOOK: Duration = Duration::from_secs(15);
/// A stream that ends sooner without a word is a failed one; after so many the server counts as having none.
const SHORT: Duration = Duration::from_secs(10);
const FAILED: u32 = 3;

type Said = Result<Message, Failure>;

/// The streams of this node.
#[derive(Clone, Debug)]
pub(super) struct Asides(Arc<Semaphore>);

impl Default for Asides {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS)))
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Opening(Instant),
    Open,
    /// The server has no such stream.
    Never,
}

/// The stream of one session, and the calls that hear it.
#[derive(Debug)]
pub(super) struct Aside {
    calls: Mutex<Calls>,
    phase: watch::Sender<Phase>,
    /// How many of its streams failed.
    failed: AtomicU32,
}

#[derive(Debug)]
struct Calls {
    /// Those under way, the latest last.
    hearing: Vec<(u64, mpsc::Sender<Message>)>,
    next: u64,
    /// When a call last began or ended.
    used: Instant,
}

impl Default for Aside {
    fn default() -> Self {
        let calls = Calls { hearing: Vec::new(), next: 0, used: Instant::now() };
        let phase = watch::Sender::new(Phase::Closed);
        Self { calls: Mutex::new(calls), phase, failed: AtomicU32::new(0) }
    }
}

/// A call's place among those that hear the stream; it is left when it is dropped.
pub(super) struct Place {
    aside: Arc<Aside>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut calls = self.aside.lock();
        calls.hearing.retain(|(number, _)| *number != self.number);
        calls.used = Instant::now();
    }
}

impl Aside {
    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>) -> (Place, mpsc::Receiver<Message>) {
        let (heard, said) = mpsc::channel(WAITING);
        let mut calls = self.lock();
        let number = calls.next;
        calls.next += 1;
        calls.used = Instant::now();
        calls.hearing.push((number, heard));
        (Place { aside: Arc::clone(self), number }, said)
    }

    fn latest(&self) -> Option<mpsc::Sender<Message>> {
        self.lock().hearing.last().map(|(_, heard)| heard.clone())
    }

    /// Whether nobody needs the stream any more. Its reader is the last to hold it once the session is forgotten.
    fn is_idle(self: &Arc<Self>) -> bool {
        let calls = self.lock();
        calls.hearing.is_empty() && (calls.used.elapsed() >= IDLE || Arc::strong_count(self) == 1)
    }

    /// Whether it is for this call to open the stream.
    fn begins(&self) -> bool {
        self.phase.send_if_modified(|phase| {
            let begins = matches!(phase, Phase::Closed);
            if begins {
                *phase = Phase::Opening(Instant::now());
            }
            begins
        })
    }

    /// Waits until it is known whether anything can be heard, but not for long.
    async fn opened(&self) -> bool {
        let now = *self.phase.borrow();
        if let Phase::Opening(since) = now {
            let mut phase = self.phase.subscribe();
            let wait = async {
                // The sender is here: this does not fail.
                let _ = phase.wait_for(|phase| !matches!(phase, Phase::Opening(_))).await;
            };
            let _ = tokio::time::timeout_at(since + OPEN_WITHIN, wait).await;
        }
        let now = *self.phase.borrow();
        matches!(now, Phase::Open | Phase::Opening(_))
    }
}

/// Has a call hear what is said beside its answer; `None` where nothing is.
pub(super) async fn hear(call: &Call<'_>, session: &Session) -> Option<(Place, mpsc::Receiver<Message>)> {
    if !session.asks {
        return None;
    }
    let aside = &session.aside;
    let place = aside.enter();
    if aside.begins() {
        match Arc::clone(&call.upstreams.asides.0).try_acquire_owned() {
            Ok(turn) => {
                call.requests.fetch_add(1, Ordering::Relaxed);
                let reader = Reader {
                    aside: Arc::clone(aside),
                    outbound: call.upstreams.outbound.clone(),
                    get: call.door().get(session.headers()),
                    post: call.door().post(session.headers(), Vec::new()),
                    reporter: call.upstreams.reporter.clone(),
                    server: (call.installation.tenant, call.installation.id),
                    _turn: turn,
                };
                tokio::spawn(reader.run());
            }
            Err(_) => {
                aside.phase.send_replace(Phase::Closed);
            }
        }
    }
    aside.opened().await.then_some(place)
}

/// The messages of an answer, and beside them what is said meanwhile; at an end with the answer.
pub(super) fn with(
    answer: impl Stream<Item = Said>,
    said: mpsc::Receiver<Message>,
) -> impl Stream<Item = Said> {
    let answer = answer.map(Some).chain(stream::once(std::future::ready(None)));
    let beside = ReceiverStream::new(said).map(|message| Some(Ok(message)));
    stream::select(answer, beside)
        .take_while(|one| std::future::ready(one.is_some()))
        .filter_map(std::future::ready)
}

/// Reads the stream and hands on what comes.
struct Reader {
    aside: Arc<Aside>,
    outbound: Outbound,
    get: OutboundRequest,
    /// What every message to the server is made of.
    post: OutboundRequest,
    reporter: Reporter,
    server: (TenantId, InstallationId),
    _turn: OwnedSemaphorePermit,
}

impl Reader {
    async fn run(self) {
        let phase = self.read().await;
        self.aside.phase.send_replace(phase);
    }

    /// Reads to the end. Says whether the stream may be opened again.
    async fn read(&self) -> Phase {
        let incoming = match self.outbound.begin(self.get.clone(), HEAD_WITHIN).await {
            Ok(incoming) if incoming.status.is_success() => incoming,
            Ok(_) | Err(_) => return Phase::Never,
        };
        let most = self.outbound.answer_bytes();
        let read = tokio::time::timeout(HEAD_WITHIN, Answering::read(incoming, most, false)).await;
        let Ok(Ok(mut answering)) = read else { return Phase::Never };
        self.aside.phase.send_replace(Phase::Open);
        let (start, mut heard) = (Instant::now(), false);
        loop {
            match tokio::time::timeout(LOOK, answering.next()).await {
                Ok(Ok(Some(message))) => {
                    heard = true;
                    self.hand_on(message).await;
                }
                Ok(Ok(None) | Err(_)) if heard || start.elapsed() >= SHORT => return Phase::Closed,
                Ok(Ok(None) | Err(_)) => {
                    let failed = self.aside.failed.fetch_add(1, Ordering::Relaxed) + 1;
                    return if failed < FAILED { Phase::Closed } else { Phase::Never };
                }
                Err(_) => {}
            }
            if self.aside.is_idle() {
                return Phase::Closed;
            }
        }
    }

    async fn hand_on(&self, message: Message) {
        match (message, self.aside.latest()) {
            (Message::Answer { .. }, _) => {}
            (message, Some(call)) => {
                // A call that takes nothing any more does not hold the others up for long.
                let _ = tokio::time::timeout(SLOW, call.send(message)).await;
            }
            (Message::Request { id, method, .. }, None) => self.refuse(&id, &method).await,
            (Message::Notification { method, .. }, None) if method.ends_with("/list_changed") => {
                self.reporter.changed(self.server.0, self.server.1);
            }
            (Message::Notification { .. }, None) => {}
        }
    }

    /// Answers a question that comes while there is no call.
    async fn refuse(&self, id: &RawValue, method: &str) {
        let body = if method == "ping" {
            json!({"jsonrpc": "2.0", "id": id, "result": {}})
        } else {
            let error = json!({"code": -32601, "message": "Nobody is there to be asked."});
            json!({"jsonrpc": "2.0", "id": id, "error": error})
        };
        let body = body.to_string().into_bytes();
        let request = OutboundRequest { body: Some(body.into()), ..self.post.clone() };
        say_only(&self.outbound, request).await;
    }
}
