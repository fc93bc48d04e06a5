//! Sessions with servers of the older revisions, as this node keeps them: whose they are, how many, and that a server is told
//! when one is over. It knows nothing of how a session begins or of what is asked in it.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use moka::future::Cache;
use moka::ops::compute::Op;
use tokio::sync::Semaphore;
use toolmesh_proto::claims::Subject;

use super::aside::Aside;
use super::exchange::{Loss, say_only};
use super::modern::VERSION;
use super::{Call, Refused, Upstreams, meta};
use crate::execute::outbound::{Outbound, OutboundRequest};

pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// The first revision whose requests name it in a header.
const NAMED_IN_HEADER: &str = "2025-06-18";
/// The one with batches.
const WITH_BATCHES: &str = "2025-03-26";

/// Most sessions that are kept, and for how long without a call.
const SESSIONS: u64 = 20_000;
const IDLE: Duration = Duration::from_secs(30 * 60);
/// Most of one caller with one server: their clients differ in what they can be asked.
const OF_ONE: usize = 8;

/// Whose session it is, and what was said at its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    server: u64,
    subject: Subject,
    /// Another account means another session.
    account: u64,
    /// A mark of them: clients may say as much as they like.
    capabilities: u64,
}

impl Key {
    pub(super) fn of(call: &Call<'_>, revision: &str) -> Self {
        let mut account = DefaultHasher::new();
        (call.installation.grant_epoch, call.asker.account).hash(&mut account);
        for credential in &call.installation.credentials {
            (&credential.name, credential.version).hash(&mut account);
        }
        let mut capabilities = DefaultHasher::new();
        serde_json::Value::from(meta::capabilities(call.line, revision)).to_string().hash(&mut capabilities);
        Self {
            server: call.server.serial,
            subject: call.asker.subject,
            account: account.finish(),
            capabilities: capabilities.finish(),
        }
    }
}

/// Forgets what is kept under a key, unless another has taken its place.
pub(super) async fn forget<T: Send + Sync + 'static>(kept: &Cache<Key, Arc<T>>, key: &Key, one: &Arc<T>) {
    let remove = kept.entry_by_ref(key).and_compute_with(|entry| {
        let same = entry.is_some_and(|entry| Arc::ptr_eq(entry.value(), one));
        std::future::ready(if same { Op::Remove } else { Op::Nop })
    });
    remove.await;
}

/// The sessions of this node.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    kept: Cache<Key, Arc<Session>>,
    /// The keys of each caller with each server, the one used last at the end.
    of_one: moka::sync::Cache<(u64, Subject), Arc<Mutex<VecDeque<Key>>>>,
}

impl Default for Sessions {
    fn default() -> Self {
        let kept = Cache::builder().max_capacity(SESSIONS).time_to_idle(IDLE);
        let kept = kept.eviction_listener(|_, session: Arc<Session>, _| session.over()).build();
        Self { kept, of_one: moka::sync::Cache::builder().max_capacity(SESSIONS).time_to_idle(IDLE).build() }
    }
}

impl Sessions {
    /// The caller's session; begun once, however many wait for it.
    pub(super) async fn get(
        &self,
        key: &Key,
        begin: impl Future<Output = Result<Arc<Session>, Refused>>,
    ) -> Result<Use, Refused> {
        let begun = self.kept.try_get_with_by_ref(key, begin).await;
        let session = begun.map_err(|refused| Refused::clone(&refused))?;
        let session = Session::used(session);
        if let Some(oldest) = self.note(key) {
            self.kept.invalidate(&oldest).await;
        }
        Ok(session)
    }

    /// Notes that a session is used; the one that is too many, if one is.
    fn note(&self, key: &Key) -> Option<Key> {
        let keys = self.of_one.get_with((key.server, key.subject), Arc::default);
        let mut keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = keys.iter().position(|known| known == key) {
            keys.remove(at);
        }
        keys.push_back(key.clone());
        if keys.len() > OF_ONE { keys.pop_front() } else { None }
    }

    /// Forgets a session that the server does not know any more. It is ended where that is not sure.
    pub(super) async fn forget(&self, key: &Key, session: &Arc<Session>, loss: Loss) {
        if loss == Loss::Certain {
            session.parting().request = None;
        }
        forget(&self.kept, key, session).await;
    }
}

/// What the server and we have agreed on.
#[derive(Debug)]
pub(super) struct Session {
    /// Some servers give none.
    id: Option<HeaderValue>,
    pub(super) revision: &'static str,
    ids: AtomicU64,
    /// The server has log messages to set a level for.
    pub(super) logs: bool,
    /// The lowest level that it was told; none yet is above all.
    pub(super) level: AtomicUsize,
    /// The caller can be asked something.
    pub(super) asks: bool,
    pub(super) aside: Arc<Aside>,
    life: Mutex<Life>,
    parting: Mutex<Parting>,
}

#[derive(Debug, Default)]
struct Life {
    uses: usize,
    over: bool,
}

impl Session {
    /// One that has begun: `parting` ends it.
    pub(super) fn new(
        id: Option<HeaderValue>,
        revision: &'static str,
        logs: bool,
        asks: bool,
        parting: Parting,
    ) -> Self {
        Self {
            id,
            revision,
            ids: AtomicU64::new(1),
            logs,
            level: AtomicUsize::new(usize::MAX),
            asks,
            aside: Arc::default(),
            life: Mutex::default(),
            parting: Mutex::new(parting),
        }
    }

    /// What every request of the session carries.
    pub(super) fn headers(&self) -> HeaderMap {
        headers(self.id.as_ref(), self.revision)
    }

    pub(super) const fn has_id(&self) -> bool {
        self.id.is_some()
    }

    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn batches(&self) -> bool {
        self.revision == WITH_BATCHES
    }

    /// Keeps the session from ending for as long as what is answered lives.
    pub(super) fn used(session: Arc<Self>) -> Use {
        session.life().uses += 1;
        Use(session)
    }

    /// Nobody will begin to use it any more: it ends with its last use.
    pub(super) fn over(&self) {
        let mut life = self.life();
        life.over = true;
        if life.uses == 0 {
            drop(life);
            self.parting().say();
        }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parting(&self) -> MutexGuard<'_, Parting> {
        self.parting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn headers(id: Option<&HeaderValue>, revision: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(id) = id {
        headers.insert(SESSION, id.clone());
    }
    if revision >= NAMED_IN_HEADER {
        headers.insert(VERSION, HeaderValue::from_static(revision));
    }
    headers
}

/// A session in use.
#[derive(Debug)]
pub(super) struct Use(Arc<Session>);

impl std::ops::Deref for Use {
    type Target = Arc<Session>;

    fn deref(&self) -> &Arc<Session> {
        &self.0
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut life = self.0.life();
        life.uses -= 1;
        if life.over && life.uses == 0 {
            drop(life);
            self.0.parting().say();
        }
    }
}

/// Tells a server that a session is over: once, and when it is dropped at the latest.
#[derive(Debug)]
pub(super) struct Parting {
    outbound: Outbound,
    farewells: Arc<Semaphore>,
    /// `None` where there is nothing to say, or nothing any more.
    request: Option<OutboundRequest>,
}

impl Parting {
    pub(super) fn new(call: &Call<'_>, id: Option<&HeaderValue>, revision: &'static str) -> Self {
        Self {
            outbound: call.upstreams.outbound.clone(),
            farewells: Arc::clone(&call.upstreams.farewells),
            request: Self::request(call, id, revision),
        }
    }

    /// The revision is another than was asked for.
    pub(super) fn agreed(&mut self, call: &Call<'_>, id: Option<&HeaderValue>, revision: &'static str) {
        self.request = Self::request(call, id, revision);
    }

    fn request(call: &Call<'_>, id: Option<&HeaderValue>, revision: &'static str) -> Option<OutboundRequest> {
        id.map(|id| call.door().delete(headers(Some(id), revision)))
    }

    fn say(&mut self) {
        if let Some(request) = self.request.take() {
            part(&self.outbound, &self.farewells, request);
        }
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        self.say();
    }
}

impl Upstreams {
    /// Sends a last message, unless too many are on their way.
    pub(super) fn part(&self, request: OutboundRequest) {
        part(&self.outbound, &self.farewells, request);
    }
}

fn part(outbound: &Outbound, farewells: &Arc<Semaphore>, request: OutboundRequest) {
    let turn = Arc::clone(farewells).try_acquire_owned();
    if let (Ok(runtime), Ok(turn)) = (tokio::runtime::Handle::try_current(), turn) {
        let outbound = outbound.clone();
        runtime.spawn(async move {
            let _turn = turn;
            say_only(&outbound, request).await;
        });
    }
}
