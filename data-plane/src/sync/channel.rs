//! The connection to the control plane: one HTTP/2 channel that mends itself, and the proof that this node may join.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use toolmesh_proto::MAX_GRPC_MESSAGE;
use toolmesh_proto::seal;
use toolmesh_proto::v1::config_client::ConfigClient;
use toolmesh_proto::v1::credentials_client::CredentialsClient;
use toolmesh_proto::v1::telemetry_client::TelemetryClient;
use toolmesh_proto::v1::{AccessTokenAnswer, AccessTokenRequest, AuditBatch, ControlMessage, NodeMessage};
use url::Url;

/// The control plane could not even be addressed.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    #[error("the control plane's address is unusable: {0}")]
    Address(#[from] tonic::transport::Error),
    #[error("the join secret holds characters that cannot be sent")]
    Secret,
}

/// The control plane does not answer; what it is asked for may be had later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the control plane is away")]
pub struct Away;

/// Longest wait for an access token: longer than the control plane waits for a provider.
const TOKEN_WITHIN: Duration = Duration::from_secs(15);

/// The control plane, as this node can reach it. Clones share the connection.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    channel: Channel,
    join: Join,
}

/// Shows the join token with every call.
#[derive(Clone)]
struct Join(MetadataValue<Ascii>);

impl std::fmt::Debug for Join {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Join")
    }
}

impl Interceptor for Join {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

impl ControlPlane {
    /// Addresses the control plane; connects when first needed, and again whenever needed.
    ///
    /// # Errors
    /// When the address or the secret cannot be used.
    pub fn new(url: &Url, secret: &SecretString) -> Result<Self, ChannelError> {
        let token = seal::join_token(secret).map_err(|_| ChannelError::Secret)?;
        let text = zeroize::Zeroizing::new(format!("Bearer {}", token.expose_secret()));
        let mut join: MetadataValue<Ascii> = text.parse().map_err(|_| ChannelError::Secret)?;
        join.set_sensitive(true);
        let channel = Endpoint::from_shared(url.to_string())?
            .connect_timeout(Duration::from_secs(5))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .connect_lazy();
        Ok(Self { channel, join: Join(join) })
    }

    /// Opens the configuration stream.
    ///
    /// # Errors
    /// When the control plane is away or refuses.
    pub async fn sync(
        &self,
        messages: impl futures_util::Stream<Item = NodeMessage> + Send + 'static,
    ) -> Result<Streaming<ControlMessage>, Status> {
        let service = InterceptedService::new(self.channel.clone(), self.join.clone());
        let mut client = ConfigClient::new(service)
            .max_decoding_message_size(MAX_GRPC_MESSAGE)
            .max_encoding_message_size(MAX_GRPC_MESSAGE);
        Ok(client.sync(messages).await?.into_inner())
    }

    /// Asks for an access token.
    ///
    /// # Errors
    /// When the control plane is away.
    pub async fn access_token(&self, request: AccessTokenRequest) -> Result<AccessTokenAnswer, Away> {
        let service = InterceptedService::new(self.channel.clone(), self.join.clone());
        let mut client = CredentialsClient::new(service);
        let answer = tokio::time::timeout(TOKEN_WITHIN, client.access_token(request)).await;
        match answer {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => {
                tracing::warn!(code = ?status.code(), "no answer about an access token");
                Err(Away)
            }
            Err(_) => Err(Away),
        }
    }

    /// Hands over audit events; answers the sequence up to which everything is stored.
    ///
    /// # Errors
    /// When the control plane is away or refuses.
    pub async fn record(&self, batch: AuditBatch) -> Result<u64, Status> {
        let service = InterceptedService::new(self.channel.clone(), self.join.clone());
        let mut client = TelemetryClient::new(service).max_encoding_message_size(MAX_GRPC_MESSAGE);
        Ok(client.record(batch).await?.into_inner().stored_through)
    }
}
