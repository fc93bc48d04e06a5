//! The door for other nodes. Who does not show the join token gets UNAUTHENTICATED and no other word; a letter that does not
//! open, or was opened before, is refused.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use moka::sync::Cache;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use toolmesh_proto::v1::contents::Contents;
use toolmesh_proto::v1::peer_server::{Peer, PeerServer};
use toolmesh_proto::v1::receipt;
use toolmesh_proto::{MAX_GRPC_MESSAGE, v1};

use super::parked::{Frame, Frames, written};
use super::shelf::Key;
use super::{Owner, Peers, Undeliverable, letter};
use crate::sealed::Seals;

/// Most requests of one node at a time.
const AT_A_TIME: usize = 1024;
/// Letters that were opened are remembered for longer than they open.
const REMEMBERED_FOR: Duration = Duration::from_secs(120);
const REMEMBERED: u64 = 200_000;

struct Door {
    peers: Peers,
    opened: Cache<Vec<u8>, ()>,
}

/// Serves other nodes until it is told to stop.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    peers: Peers,
    join_token: SecretString,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let opened = Cache::builder().max_capacity(REMEMBERED).time_to_live(REMEMBERED_FOR).build();
    let service = PeerServer::new(Door { peers, opened })
        .max_decoding_message_size(MAX_GRPC_MESSAGE)
        .max_encoding_message_size(MAX_GRPC_MESSAGE);
    tonic::transport::Server::builder()
        .concurrency_limit_per_connection(AT_A_TIME)
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .layer(tonic::service::InterceptorLayer::new(move |request: Request<()>| {
            authenticate(request, &join_token)
        }))
        .add_service(service)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.cancelled_owned())
        .await
}

fn authenticate(request: Request<()>, join_token: &SecretString) -> Result<Request<()>, Status> {
    let given = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if bool::from(given.as_bytes().ct_eq(join_token.expose_secret().as_bytes())) {
        Ok(request)
    } else {
        Err(Status::unauthenticated(""))
    }
}

#[tonic::async_trait]
impl Peer for Door {
    async fn post(&self, request: Request<v1::Letter>) -> Result<Response<v1::Receipt>, Status> {
        let opened = self.open(request.get_ref())?;
        let receipt = match opened.contents {
            Some(Contents::Answer(answer)) => self.answer(answer),
            Some(Contents::Cancellation(cancellation)) => self.cancel(cancellation, &opened.from).await,
            Some(Contents::Wish(wish)) => self.wish(wish, &opened.from).await,
            Some(Contents::Push(push)) => self.push(push).await,
            Some(Contents::Look(look)) => self.look(&look),
            Some(Contents::Greeting(v1::Greeting {})) => Some(self.greeted()),
            Some(Contents::Resumption(_)) | None => None,
        };
        receipt.map(Response::new).ok_or_else(|| Status::invalid_argument("the letter cannot be read"))
    }

    type ResumeStream = Pin<Box<dyn Stream<Item = Result<v1::Letter, Status>> + Send>>;

    async fn resume(&self, request: Request<v1::Letter>) -> Result<Response<Self::ResumeStream>, Status> {
        let opened = self.open(request.get_ref())?;
        let Some(Contents::Resumption(resumption)) = opened.contents else {
            return Err(Status::invalid_argument("the letter cannot be read"));
        };
        let unread = || Status::invalid_argument("the letter cannot be read");
        let (owner, key) = whose(resumption.owner.as_ref(), &resumption.key).ok_or_else(unread)?;
        let answers = resumption
            .answers
            .into_iter()
            .map(|(key, answer)| letter::read_answer(Some(answer)).map(|answer| (key, answer)));
        let answers: BTreeMap<_, _> = answers.collect::<Option<_>>().ok_or_else(unread)?;
        let frames =
            self.peers.resume_here(owner, key, answers).map_err(|_| Status::not_found("nothing waits"))?;
        Ok(Response::new(row(self.peers.0.seals.clone(), opened.id, frames)))
    }
}

/// What a call says, each part sealed for its place in the row.
fn row(seals: Seals, id: Vec<u8>, frames: Frames) -> <Door as Peer>::ResumeStream {
    Box::pin(stream::unfold((frames, 0_u64), move |(mut frames, index)| {
        let (seals, id) = (seals.clone(), id.clone());
        async move {
            let frame: Frame = frames.next().await?;
            let sealed = letter::seal_frame(&seals, &id, index, &written(frame))
                .map_err(|_| Status::internal("no randomness"));
            Some((sealed, (frames, index + 1)))
        }
    }))
}

impl Door {
    /// What a letter says, once.
    fn open(&self, sent: &v1::Letter) -> Result<v1::Contents, Status> {
        let refused = || Status::permission_denied("the letter does not open");
        let opened = letter::open(&self.peers.0.seals, self.peers.address(), sent).ok_or_else(refused)?;
        if self.opened.entry(opened.id.clone()).or_insert(()).is_fresh() {
            self.peers.0.client.note(&opened.from);
            Ok(opened)
        } else {
            Err(refused())
        }
    }

    fn answer(&self, delivery: v1::AnswerDelivery) -> Option<v1::Receipt> {
        let (owner, key) = whose(delivery.owner.as_ref(), &delivery.key)?;
        let answer = letter::read_answer(delivery.answer)?;
        Some(receipt(self.peers.deliver_here(owner, key, answer)))
    }

    async fn cancel(&self, cancellation: v1::Cancellation, from: &str) -> Option<v1::Receipt> {
        let owner = letter::read_owner(cancellation.owner.as_ref())?;
        let v1::Cancellation { scope, request_id, pass_on, .. } = cancellation;
        if !self.peers.cancel_here(owner, &scope, &request_id) && pass_on {
            self.peers.pass_on(from, letter::cancellation(owner, &scope, &request_id)).await;
        }
        Some(receipt(Ok(())))
    }

    async fn wish(&self, wish: v1::Wish, from: &str) -> Option<v1::Receipt> {
        let owner = letter::read_owner(wish.owner.as_ref())?;
        self.peers.wish_here(owner, &wish.scope, &wish.word);
        if wish.pass_on {
            self.peers.pass_on(from, letter::wish(owner, &wish.scope, &wish.word)).await;
        }
        Some(receipt(Ok(())))
    }

    async fn push(&self, push: v1::StreamPush) -> Option<v1::Receipt> {
        let (owner, key) = whose(push.owner.as_ref(), &push.key)?;
        let message = Bytes::from(push.message_json);
        Some(receipt(self.peers.push_here(owner, key, message, &push.session).await))
    }

    fn look(&self, look: &v1::StreamLook) -> Option<v1::Receipt> {
        let (owner, key) = whose(look.owner.as_ref(), &look.key)?;
        Some(match self.peers.look_here(owner, key) {
            Some(session) => v1::Receipt { session, ..receipt(Ok(())) },
            None => receipt(Err(Undeliverable::Gone)),
        })
    }

    fn greeted(&self) -> v1::Receipt {
        v1::Receipt { peers: self.peers.0.client.known(), ..receipt(Ok(())) }
    }
}

fn whose(owner: Option<&v1::Owner>, key: &[u8]) -> Option<(Owner, Key)> {
    Some((letter::read_owner(owner)?, key.try_into().ok()?))
}

fn receipt(done: Result<(), Undeliverable>) -> v1::Receipt {
    let status = match done {
        Ok(()) => receipt::Status::Done,
        Err(Undeliverable::Busy) => receipt::Status::Busy,
        Err(_) => receipt::Status::Unspecified,
    };
    v1::Receipt { status: status.into(), ..v1::Receipt::default() }
}
