//! The way to other nodes: connections that mend themselves, and which nodes are known.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Semaphore, mpsc};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};
use toolmesh_proto::seal::{SealError, join_token};
use toolmesh_proto::v1::contents::Contents;
use toolmesh_proto::v1::peer_client::PeerClient as Rpc;
use toolmesh_proto::{MAX_GRPC_MESSAGE, v1};

use super::parked::{Frame, Frames, failed, read};
use super::{Undeliverable, letter};
use crate::sealed::Seals;

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Longest wait for a receipt.
const RECEIPT_WITHIN: Duration = Duration::from_secs(5);
/// Most nodes that are known at a time, and most connections.
const KNOWN: u64 = 64;
/// A node that nothing was heard of for so long is forgotten.
const KNOWN_FOR: Duration = Duration::from_secs(60 * 60);
/// Most letters on their way at a time.
const LETTERS: usize = 256;
const UNTAKEN: usize = 8;

/// The node that was to get a letter does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Away;

/// Clones share connections and acquaintances.
#[derive(Clone)]
pub(super) struct PeerClient {
    seals: Seals,
    own: String,
    join: MetadataValue<Ascii>,
    channels: Cache<String, Channel>,
    known: Cache<String, ()>,
    letters: Arc<Semaphore>,
}

impl std::fmt::Debug for PeerClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerClient").field("own", &self.own).finish_non_exhaustive()
    }
}

impl PeerClient {
    pub(super) fn new(seals: Seals, join_secret: &SecretString, own: String) -> Result<Self, SealError> {
        let token = join_token(join_secret)?;
        let text = zeroize::Zeroizing::new(format!("Bearer {}", token.expose_secret()));
        let mut join: MetadataValue<Ascii> = text.parse().map_err(|_| SealError)?;
        join.set_sensitive(true);
        let kept = || Cache::builder().max_capacity(KNOWN);
        Ok(Self {
            seals,
            own,
            join,
            channels: kept().time_to_idle(KNOWN_FOR).build(),
            known: Cache::builder().max_capacity(KNOWN).time_to_live(KNOWN_FOR).build(),
            letters: Arc::new(Semaphore::new(LETTERS)),
        })
    }

    /// The nodes that are known.
    pub(super) fn known(&self) -> Vec<String> {
        self.known.iter().map(|(address, ())| String::clone(&address)).collect()
    }

    /// Hears of a node; who is new is greeted.
    pub(super) fn learn(&self, address: &str) {
        if self.note(address) {
            let (greeter, address) = (self.clone(), address.to_owned());
            tokio::spawn(async move {
                match greeter.post(&address, Contents::Greeting(v1::Greeting {})).await {
                    // Those it knows are noted, not greeted: they hear of this node from it when they ask.
                    Ok(receipt) => receipt.peers.iter().take(KNOWN as usize).for_each(|peer| {
                        greeter.note(peer);
                    }),
                    Err(Away) => greeter.known.invalidate(&address),
                }
            });
        }
    }

    /// Whether the node was not known yet.
    pub(super) fn note(&self, address: &str) -> bool {
        let other = !address.is_empty() && !self.own.is_empty() && address != self.own;
        other && self.known.entry_by_ref(address).or_insert(()).is_fresh()
    }

    /// Sends a letter.
    pub(super) async fn post(&self, to: &str, contents: Contents) -> Result<v1::Receipt, Away> {
        // A node that cannot keep up gets no queue of letters.
        let _room = self.letters.try_acquire().map_err(|_| Away)?;
        let (_, letter) = self.seal(to, contents)?;
        let mut rpc = self.rpc(to)?;
        let sent = tokio::time::timeout(RECEIPT_WITHIN, rpc.post(self.signed(letter))).await;
        match sent {
            Ok(Ok(receipt)) => Ok(receipt.into_inner()),
            Ok(Err(status)) => {
                tracing::warn!(code = ?status.code(), node = to, "a letter was not taken");
                Err(Away)
            }
            Err(_) => Err(Away),
        }
    }

    /// Goes on with a call on another node.
    pub(super) async fn resume(&self, to: &str, resumption: v1::Resumption) -> Result<Frames, Undeliverable> {
        let (id, letter) =
            self.seal(to, Contents::Resumption(resumption)).map_err(|Away| Undeliverable::Away)?;
        let mut rpc = self.rpc(to).map_err(|Away| Undeliverable::Away)?;
        let begun = tokio::time::timeout(RECEIPT_WITHIN, rpc.resume(self.signed(letter))).await;
        let sent = match begun {
            Ok(Ok(sent)) => sent.into_inner(),
            Ok(Err(status)) if status.code() == tonic::Code::NotFound => return Err(Undeliverable::Gone),
            Ok(Err(status)) => {
                tracing::warn!(code = ?status.code(), node = to, "a call was not gone on with");
                return Err(Undeliverable::Away);
            }
            Err(_) => return Err(Undeliverable::Away),
        };
        let (frames, taken) = mpsc::channel(UNTAKEN);
        tokio::spawn(pass_on(self.seals.clone(), id, sent, frames));
        Ok(Frames(taken))
    }

    fn seal(&self, to: &str, contents: Contents) -> Result<(Vec<u8>, v1::Letter), Away> {
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| Away)?;
        let contents = v1::Contents { id: id.to_vec(), from: self.own.clone(), contents: Some(contents) };
        let letter = letter::seal(&self.seals, to, &contents).map_err(|_| Away)?;
        Ok((id.to_vec(), letter))
    }

    pub(super) fn signed(&self, letter: v1::Letter) -> Request<v1::Letter> {
        let mut request = Request::new(letter);
        request.metadata_mut().insert("authorization", self.join.clone());
        request
    }

    pub(super) fn rpc(&self, to: &str) -> Result<Rpc<Channel>, Away> {
        if to.is_empty() {
            return Err(Away);
        }
        let channel = self.channels.try_get_with_by_ref(to, || channel(to)).map_err(|error| {
            tracing::error!(node = to, %error, "a node's address is unusable");
            Away
        })?;
        Ok(Rpc::new(channel)
            .max_decoding_message_size(MAX_GRPC_MESSAGE)
            .max_encoding_message_size(MAX_GRPC_MESSAGE))
    }
}

fn channel(to: &str) -> Result<Channel, tonic::transport::Error> {
    Ok(Endpoint::from_shared(format!("http://{to}"))?
        .connect_timeout(CONNECT_WITHIN)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .connect_lazy())
}

/// Passes on what a call says elsewhere, in its order; a row that breaks off is an error. Nobody left to hear it ends the row,
/// and with it the call.
async fn pass_on(seals: Seals, id: Vec<u8>, mut sent: Streaming<v1::Letter>, frames: mpsc::Sender<Frame>) {
    for index in 0_u64.. {
        let next = tokio::select! {
            () = frames.closed() => return,
            next = sent.message() => next,
        };
        let frame = next.ok().flatten();
        let frame = frame.and_then(|sent| letter::open_frame(&seals, &id, index, &sent)).and_then(read);
        let frame = frame.unwrap_or_else(|| {
            Frame::Done(failed(-32603, "The node that carried the call out went away. Try again."))
        });
        let last = !matches!(frame, Frame::Notification { .. });
        if frames.send(frame).await.is_err() || last {
            return;
        }
    }
}
