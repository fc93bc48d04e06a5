//! What is open on one node and reached from every other: questions that wait for a client's answer, calls that wait for the
//! client's next request, event streams, and calls that a client may cancel.
//!
//! Everything that waits does so in this node's memory, bounded per caller, tenant and node, for ten minutes at most, and ends
//! when its caller loses access or the node stops. What a client carries names the node it waits on, sealed; the nodes send each
//! other sealed letters (`peer.proto` says how). This room knows nothing of JSON-RPC or of how calls are carried out.
//!
//! Cancellation is the exception: a client names its own id of the request and nothing else, so there is no place in it. A
//! call is looked for here, then on every node that is known and on the one where the client's session began, which passes it on
//! to those that it knows; each node greets the one that a session names when it first sees it. Without a session it is found
//! unless the nodes have never met. What a client wants of its requests, such as fewer log messages, is told the nodes the same
//! way.

mod client;
mod letter;
mod parked;
mod place;
pub mod server;
mod shelf;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use moka::sync::Cache;
use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use toolmesh_proto::claims::Subject;
use toolmesh_proto::ids::TenantId;
use toolmesh_proto::v1::contents::Contents;
use toolmesh_proto::v1::{self, receipt};

use self::client::{Away, PeerClient};
pub use self::parked::{Frame, Frames, ParkedCall};
use self::parked::{Parked, drive};
use self::place::{Kind, Place};
use self::shelf::{Key, Shelf};
use crate::call::line::Answered;
use crate::config::Limits;
use crate::sealed::Seals;
use crate::sync::Table;

/// Longest wait for a person's answer.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(600);
/// Longest that an event stream is reached by its id.
const STREAM_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// How often what is over is thrown away.
const SWEEP: Duration = Duration::from_secs(5);
/// Most clients whose wishes are kept, and for how long without a request of theirs.
const WISHES: u64 = 50_000;
const WISHED_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// Messages that an event stream has not taken yet.
const UNTAKEN: usize = 64;
/// Longest wait for room in an event stream.
const PUSH_WITHIN: Duration = Duration::from_secs(3);

/// Whose something is: nobody else answers, resumes, cancels or writes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    pub tenant: TenantId,
    pub subject: Subject,
}

/// There are as many waiting already as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Too much waits for an answer already. Answer some of it, and try again.")]
pub struct NoRoom;

/// Why something did not reach what it was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undeliverable {
    /// The id is not one of this caller's, or has expired.
    #[error("the id is unknown or has expired")]
    Unknown,
    #[error("nobody waits for it any more")]
    Gone,
    #[error("there is no room for it now")]
    Busy,
    #[error("the node that waits for it cannot be reached")]
    Away,
}

/// A question to a client: its id, for as long as this is held.
#[derive(Debug)]
#[must_use]
pub struct Expected {
    pub id: String,
    _waiting: shelf::Held<oneshot::Sender<Answered>>,
}

/// A call that its client may cancel, for as long as this is held.
#[derive(Debug)]
#[must_use]
pub struct Cancellable {
    peers: Arc<Inner>,
    key: CallKey,
    serial: u64,
}

/// An event stream of the oldest transport, open on this node.
#[derive(Debug)]
pub struct OpenStream {
    pub id: String,
    pub messages: mpsc::Receiver<Bytes>,
    _reached: shelf::Held<StreamEnd>,
}

/// Where messages for an event stream are put.
#[derive(Debug)]
struct StreamEnd {
    messages: mpsc::Sender<Bytes>,
    session: String,
}

type CallKey = (Owner, String, String);

/// What waits on this node, and the way to the others. Clones are the same.
#[derive(Clone, Debug)]
pub struct Peers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    seals: Seals,
    /// Where the others reach this node; empty for a node that is alone.
    address: String,
    questions: Shelf<oneshot::Sender<Answered>>,
    parked: Shelf<Parked>,
    streams: Shelf<StreamEnd>,
    calls: Mutex<HashMap<CallKey, Vec<(u64, CancellationToken)>>>,
    serial: AtomicU64,
    wishes: Cache<(Owner, String), String>,
    client: PeerClient,
}

impl Peers {
    /// # Errors
    /// When the join secret cannot be used.
    pub fn new(
        seals: Seals,
        join_secret: &SecretString,
        address: Option<String>,
        limits: &Limits,
    ) -> Result<Self, toolmesh_proto::seal::SealError> {
        let address = address.unwrap_or_default();
        Ok(Self(Arc::new(Inner {
            client: PeerClient::new(seals.clone(), join_secret, address.clone())?,
            seals,
            address,
            questions: Shelf::new(limits.waiting, ANSWER_WITHIN),
            parked: Shelf::new(limits.waiting, ANSWER_WITHIN),
            streams: Shelf::new(limits.waiting, STREAM_FOR),
            calls: Mutex::default(),
            serial: AtomicU64::new(0),
            wishes: Cache::builder().max_capacity(WISHES).time_to_idle(WISHED_FOR).build(),
        })))
    }

    /// Where the others reach this node, to be sealed into what a client carries; empty for a node that is alone.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// Keeps a place for a client's answer. The id goes to the client; the answer may come to any node.
    ///
    /// # Errors
    /// When there is no room.
    pub fn expect(&self, owner: Owner, answer: oneshot::Sender<Answered>) -> Result<Expected, NoRoom> {
        let (key, waiting) = self.0.questions.hold(owner, answer)?;
        Ok(Expected { id: self.id(Kind::Question, owner, key)?, _waiting: waiting })
    }

    /// Hands a client's answer to whoever asked, on this node or another.
    ///
    /// # Errors
    /// When nobody waits for it, or the node that does cannot be reached.
    pub async fn deliver(&self, owner: Owner, id: &str, answer: Answered) -> Result<(), Undeliverable> {
        let place = self.place(Kind::Question, owner, id)?;
        if place.address == self.0.address {
            return self.deliver_here(owner, place.key, answer);
        }
        let delivery = v1::AnswerDelivery {
            owner: Some(letter::owner(owner)),
            key: place.key.to_vec(),
            answer: Some(letter::answer(&answer)),
        };
        done(self.0.client.post(&place.address, Contents::Answer(delivery)).await).map(drop)
    }

    fn deliver_here(&self, owner: Owner, key: Key, answer: Answered) -> Result<(), Undeliverable> {
        let waiting = self.0.questions.take(owner, key).ok_or(Undeliverable::Gone)?;
        waiting.send(answer).map_err(|_| Undeliverable::Gone)
    }

    /// Follows a call for a client of the era without handshake: what it says comes as frames; where it asks, it waits here
    /// under an id until [`Self::resume`], and the frames end.
    #[must_use]
    pub fn lead(&self, owner: Owner, call: ParkedCall) -> Frames {
        drive(self.clone(), owner, Parked { call, asks: BTreeMap::new() })
    }

    /// Goes on with a call that waits, with the client's answers by the keys of its questions. What was asked and is not
    /// answered is asked again.
    ///
    /// # Errors
    /// When no such call waits, or the node that holds it cannot be reached.
    pub async fn resume(
        &self,
        owner: Owner,
        id: &str,
        answers: BTreeMap<String, Answered>,
    ) -> Result<Frames, Undeliverable> {
        let place = self.place(Kind::Parked, owner, id)?;
        if place.address == self.0.address {
            return self.resume_here(owner, place.key, answers);
        }
        let resumption = v1::Resumption {
            owner: Some(letter::owner(owner)),
            key: place.key.to_vec(),
            answers: answers.iter().map(|(key, answer)| (key.clone(), letter::answer(answer))).collect(),
        };
        self.0.client.resume(&place.address, resumption).await
    }

    fn resume_here(
        &self,
        owner: Owner,
        key: Key,
        answers: BTreeMap<String, Answered>,
    ) -> Result<Frames, Undeliverable> {
        let mut parked = self.0.parked.take(owner, key).ok_or(Undeliverable::Gone)?;
        parked.answer(answers);
        Ok(drive(self.clone(), owner, parked))
    }

    /// Keeps a call that waits; answers the id for the client to carry.
    fn park(&self, owner: Owner, parked: Parked) -> Result<String, NoRoom> {
        let key = self.0.parked.put(owner, parked)?;
        self.id(Kind::Parked, owner, key)
    }

    /// Lets a client cancel a call until what is answered is dropped. `scope` tells the caller's clients apart: the session,
    /// or what it was authenticated by.
    pub fn cancellable(
        &self,
        owner: Owner,
        scope: &str,
        request_id: &str,
        call: CancellationToken,
    ) -> Cancellable {
        let key = (owner, scope.to_owned(), request_id.to_owned());
        let serial = self.0.serial.fetch_add(1, Ordering::Relaxed);
        self.0.calls().entry(key.clone()).or_default().push((serial, call));
        Cancellable { peers: Arc::clone(&self.0), key, serial }
    }

    /// Cancels a call, wherever it is carried out. `home` is where the client's session began, empty without one.
    pub async fn cancel(&self, owner: Owner, scope: &str, request_id: &str, home: &str) {
        if !self.cancel_here(owner, scope, request_id) {
            self.spread(home, letter::cancellation(owner, scope, request_id)).await;
        }
    }

    /// Keeps what a client wants of its further requests, on every node that is known. `scope` and `home` are as with
    /// [`Self::cancel`].
    pub async fn wish(&self, owner: Owner, scope: &str, word: &str, home: &str) {
        self.wish_here(owner, scope, word);
        self.spread(home, letter::wish(owner, scope, word)).await;
    }

    fn wish_here(&self, owner: Owner, scope: &str, word: &str) {
        self.0.wishes.insert((owner, scope.to_owned()), word.to_owned());
    }

    /// What a client wants, if it has said so.
    #[must_use]
    pub fn wished(&self, owner: Owner, scope: String) -> Option<String> {
        self.0.wishes.get(&(owner, scope))
    }

    /// Two calls of one client under one id cannot be told apart, so neither is cancelled.
    fn cancel_here(&self, owner: Owner, scope: &str, request_id: &str) -> bool {
        let calls = self.0.calls();
        match calls.get(&(owner, scope.to_owned(), request_id.to_owned())).map(Vec::as_slice) {
            Some([(_, call)]) => call.cancel(),
            Some(_) => {}
            None => return false,
        }
        true
    }

    /// Sends a letter to the node where a session began, which passes it on, and to those that are known here: where the session
    /// began there may be no node any more.
    async fn spread(&self, home: &str, letter: impl Fn(bool) -> Contents) {
        let away = !home.is_empty() && home != self.0.address;
        let others = self.0.client.known().into_iter().filter(|other| other != home);
        let told = others.map(|other| (other, false)).chain(away.then(|| (home.to_owned(), true)));
        let told: Vec<_> = told.map(|(node, pass_on)| (node, letter(pass_on))).collect();
        self.tell(told).await;
    }

    /// Passes a letter on to all that are known but whom it came from.
    async fn pass_on(&self, from: &str, letter: impl Fn(bool) -> Contents) {
        let others = self.0.client.known().into_iter().filter(|other| other != from);
        let told: Vec<_> = others.map(|other| (other, letter(false))).collect();
        self.tell(told).await;
    }

    async fn tell(&self, told: Vec<(String, Contents)>) {
        let posts = told.iter().map(|(node, contents)| self.0.client.post(node, contents.clone()));
        join_all(posts).await;
    }

    /// Hears of a node: the one where a client's session began. It is greeted when it is new, in the background.
    pub fn learn(&self, address: &str) {
        self.0.client.learn(address);
    }

    /// Opens an event stream that every node can write to.
    ///
    /// # Errors
    /// When there is no room.
    pub fn open_stream(&self, owner: Owner) -> Result<OpenStream, NoRoom> {
        let (messages, taken) = mpsc::channel(UNTAKEN);
        let (key, reached) = self.0.streams.hold(owner, StreamEnd { messages, session: String::new() })?;
        Ok(OpenStream { id: self.id(Kind::Stream, owner, key)?, messages: taken, _reached: reached })
    }

    /// The session of an open stream; empty before there is one.
    ///
    /// # Errors
    /// When the stream is not open, or its node cannot be reached.
    pub async fn session_of(&self, owner: Owner, id: &str) -> Result<String, Undeliverable> {
        let place = self.place(Kind::Stream, owner, id)?;
        if place.address == self.0.address {
            return self.look_here(owner, place.key).ok_or(Undeliverable::Gone);
        }
        let look = v1::StreamLook { owner: Some(letter::owner(owner)), key: place.key.to_vec() };
        done(self.0.client.post(&place.address, Contents::Look(look)).await).map(|receipt| receipt.session)
    }

    fn look_here(&self, owner: Owner, key: Key) -> Option<String> {
        self.0.streams.with(owner, key, |stream| stream.session.clone())
    }

    /// Writes one message to an open stream; a session that is not empty becomes the stream's.
    ///
    /// # Errors
    /// When the stream is not open or does not take more, or its node cannot be reached.
    pub async fn push(
        &self,
        owner: Owner,
        id: &str,
        message: Bytes,
        session: &str,
    ) -> Result<(), Undeliverable> {
        let place = self.place(Kind::Stream, owner, id)?;
        if place.address == self.0.address {
            return self.push_here(owner, place.key, message, session).await;
        }
        let message_json = String::from_utf8(message.to_vec()).map_err(|_| Undeliverable::Gone)?;
        let push = v1::StreamPush {
            owner: Some(letter::owner(owner)),
            key: place.key.to_vec(),
            message_json,
            session: session.to_owned(),
        };
        done(self.0.client.post(&place.address, Contents::Push(push)).await).map(drop)
    }

    async fn push_here(
        &self,
        owner: Owner,
        key: Key,
        message: Bytes,
        session: &str,
    ) -> Result<(), Undeliverable> {
        let sender = self.0.streams.with(owner, key, |stream| {
            if !session.is_empty() {
                session.clone_into(&mut stream.session);
            }
            stream.messages.clone()
        });
        let sender = sender.ok_or(Undeliverable::Gone)?;
        match tokio::time::timeout(PUSH_WITHIN, sender.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Undeliverable::Gone),
            Err(_) => {
                // A message is lost, so the stream is no longer what its client takes it for.
                drop(self.0.streams.take(owner, key));
                Err(Undeliverable::Busy)
            }
        }
    }

    /// Throws away what is over, until the node stops; then everything that waits is over.
    pub async fn keep(self, table: Arc<Table>, stop: CancellationToken) {
        let mut access = table.access_changes();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(SWEEP) => {}
                changed = access.changed() => if changed.is_err() { break },
            }
            let allowed = |owner: Owner| {
                table.tenant_by_id(owner.tenant).is_some_and(|tenant| tenant.knows(owner.subject))
            };
            self.0.questions.sweep(|owner, answer| allowed(owner) && !answer.is_closed());
            self.0.parked.sweep(|owner, parked| allowed(owner) && parked.is_alive());
            self.0.streams.sweep(|owner, stream| allowed(owner) && !stream.messages.is_closed());
        }
        self.0.questions.close();
        self.0.parked.close();
        self.0.streams.close();
    }

    fn id(&self, kind: Kind, owner: Owner, key: Key) -> Result<String, NoRoom> {
        // Only a system without randomness cannot seal.
        place::seal(&self.0.seals, kind, owner, &Place { key, address: self.0.address.clone() })
            .map_err(|_| NoRoom)
    }

    fn place(&self, kind: Kind, owner: Owner, id: &str) -> Result<Place, Undeliverable> {
        place::open(&self.0.seals, kind, owner, id).ok_or(Undeliverable::Unknown)
    }
}

impl Inner {
    /// The table is whole at every point where a panic could be.
    fn calls(&self) -> std::sync::MutexGuard<'_, HashMap<CallKey, Vec<(u64, CancellationToken)>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        let mut calls = self.peers.calls();
        if let Some(same) = calls.get_mut(&self.key) {
            same.retain(|(serial, _)| *serial != self.serial);
            if same.is_empty() {
                calls.remove(&self.key);
            }
        }
    }
}

fn done(receipt: Result<v1::Receipt, Away>) -> Result<v1::Receipt, Undeliverable> {
    let receipt = receipt.map_err(|Away| Undeliverable::Away)?;
    match receipt.status() {
        receipt::Status::Done => Ok(receipt),
        receipt::Status::Busy => Err(Undeliverable::Busy),
        receipt::Status::Unspecified => Err(Undeliverable::Gone),
    }
}

#[cfg(test)]
mod tests;
