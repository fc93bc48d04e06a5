//! The gRPC door for nodes. Who does not show the join token gets UNAUTHENTICATED for every path, and no other word.

use std::pin::Pin;

use futures_util::Stream;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};
use toolmesh_proto::MAX_GRPC_MESSAGE;
use toolmesh_proto::claims::Subject;
use toolmesh_proto::v1;
use toolmesh_proto::v1::access_token_answer::Answer;
use toolmesh_proto::v1::config_server::{Config, ConfigServer};
use toolmesh_proto::v1::credentials_server::{Credentials, CredentialsServer};
use toolmesh_proto::v1::no_access_token::Reason;
use toolmesh_proto::v1::telemetry_server::{Telemetry, TelemetryServer};

use super::stream::Report;
use super::{Hub, stream};
use crate::audit;
use crate::connectors::Grants;
use crate::connectors::grants::{Handed, NoToken};
use crate::db::Db;
use crate::error::Error;

/// Messages under way to one node.
const OUTGOING: usize = 32;

/// What the door needs.
#[derive(Clone)]
pub struct NodeDoor {
    pub hub: Hub,
    pub db: Db,
    pub grants: Grants,
    /// Takes what nodes say of MCP servers.
    pub reports: mpsc::Sender<Report>,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
}

#[tonic::async_trait]
impl Config for NodeDoor {
    type SyncStream = Pin<Box<dyn Stream<Item = Result<v1::ControlMessage, Status>> + Send>>;

    async fn sync(
        &self,
        request: Request<Streaming<v1::NodeMessage>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let (urgent, first) = mpsc::channel(OUTGOING);
        let (bulk, then) = mpsc::channel(OUTGOING);
        let ways = stream::Ways { urgent, bulk };
        let (hub, stop, reports) = (self.hub.clone(), self.stop.clone(), self.reports.clone());
        let incoming = request.into_inner();
        self.tasks.spawn(async move {
            let ended = stream::serve(hub, incoming, ways.clone(), reports, stop).await;
            tracing::info!(reason = %ended, "node stream ended");
            // Tells the node, if it still listens; it reconnects either way.
            let _ = ways.bulk.try_send(Err(Status::unavailable("the stream ended")));
        });
        Ok(Response::new(Box::pin(stream::joined(first, then))))
    }
}

#[tonic::async_trait]
impl Telemetry for NodeDoor {
    async fn record(&self, request: Request<v1::AuditBatch>) -> Result<Response<v1::AuditReceipt>, Status> {
        let stored_through = audit::ingest(&self.db, request.into_inner()).await.map_err(|error| {
            tracing::error!(error = ?error, "audit batch could not be stored");
            Status::unavailable("try again")
        })?;
        Ok(Response::new(v1::AuditReceipt { stored_through }))
    }
}

#[tonic::async_trait]
impl Credentials for NodeDoor {
    async fn access_token(
        &self,
        request: Request<v1::AccessTokenRequest>,
    ) -> Result<Response<v1::AccessTokenAnswer>, Status> {
        let asked = request.into_inner();
        let (Ok(tenant), Ok(id)) = (asked.tenant_id.parse(), asked.installation_id.parse()) else {
            return Err(Status::invalid_argument("an id is malformed"));
        };
        let Some(caller) = caller(&asked.caller) else {
            return Err(Status::invalid_argument("the caller is malformed"));
        };
        let none = |reason: Reason, detail: String| {
            Answer::None(v1::NoAccessToken { reason: reason.into(), detail, connect_url: String::new() })
        };
        let answer = match self
            .grants
            .for_node(tenant, id, caller, asked.refused_version, &asked.challenge)
            .await
        {
            Ok(handed) => answer(handed),
            // The next bundle says so too.
            Err(Error::NotFound) => none(Reason::Later, "it is no longer enabled".to_owned()),
            Err(error) => {
                tracing::error!(error = ?error, tenant = %tenant, installation = %id, "no access token for a node");
                return Err(Status::unavailable("try again"));
            }
        };
        Ok(Response::new(v1::AccessTokenAnswer { answer: Some(answer) }))
    }
}

/// Nobody where all use the workspace's account; `None` for what cannot be read.
fn caller(text: &str) -> Option<Option<Subject>> {
    if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
}

fn answer(handed: Handed) -> Answer {
    match handed {
        Handed::Token(token) => Answer::Token(v1::AccessToken {
            sealed: Some(token.sealed),
            epoch: token.epoch,
            expires_in_seconds: token.expires_in,
            refresh_after_seconds: token.refresh_after,
        }),
        Handed::Entered(entered) => Answer::Own(v1::OwnCredentials {
            sealed: entered.sealed,
            version: entered.version,
            epoch: entered.epoch,
            expires_in_seconds: entered.expires_in,
            refresh_after_seconds: entered.refresh_after,
        }),
        Handed::None(why, connect_url) => {
            let (reason, detail) = match why {
                NoToken::Person(detail) => (Reason::Unspecified, detail),
                NoToken::Later(detail) => (Reason::Later, detail),
                NoToken::Connect(detail) => (Reason::Connect, detail),
            };
            Answer::None(v1::NoAccessToken { reason: reason.into(), detail, connect_url })
        }
    }
}

/// Serves nodes until it is told to stop.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    door: NodeDoor,
    join_token: SecretString,
) -> Result<(), tonic::transport::Error> {
    let stop = door.stop.clone();
    let config = ConfigServer::new(door.clone())
        .max_decoding_message_size(MAX_GRPC_MESSAGE)
        .max_encoding_message_size(MAX_GRPC_MESSAGE);
    let credentials = CredentialsServer::new(door.clone());
    let telemetry = TelemetryServer::new(door).max_decoding_message_size(MAX_GRPC_MESSAGE);
    let routes = Routes::new(config).add_service(telemetry).add_service(credentials);
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(std::time::Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(std::time::Duration::from_secs(5)))
        // Before routing, so that a stranger cannot even learn which services there are.
        .layer(tonic::service::InterceptorLayer::new(move |request: Request<()>| {
            authenticate(request, &join_token)
        }))
        .add_routes(routes)
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
