//! The conversation with the control plane: Hello, what follows, and again after every break.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use toolmesh_proto::v1::control_message::Message as Control;
use toolmesh_proto::v1::node_message::Message as Reply;
use toolmesh_proto::v1::{ControlMessage, NodeMessage};

use super::apply::Applier;
use super::backoff::Backoff;
use super::channel::ControlPlane;
use super::probe::Prober;
use super::reports::Reporter;

/// Answers that wait to be sent.
const OUTGOING: usize = 256;
/// Longest wait for the control plane's answer to Hello, and for it to take an answer of ours.
const PATIENCE: Duration = Duration::from_secs(15);
/// Most probes at a time on this stream, waiting ones included.
const PROBES: usize = 32;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("{:?} {}", .0.code(), .0.message())]
    Refused(Status),
    #[error("the control plane is silent")]
    Silent,
    #[error("the stream ended")]
    Ended,
}

/// Keeps the stream up.
#[derive(Debug)]
pub struct Conversation {
    pub control: ControlPlane,
    pub node: String,
    pub applier: Applier,
    pub prober: Arc<Prober>,
    /// What there is to tell of MCP servers.
    pub reporter: Reporter,
}

impl Conversation {
    /// Talks until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            let Some(ended) = stop.run_until_cancelled(self.talk(&mut backoff)).await else { return };
            if let Err(error) = ended {
                tracing::warn!(%error, "configuration stream broke, will try again");
            }
            if stop.run_until_cancelled(tokio::time::sleep(backoff.wait())).await.is_none() {
                return;
            }
        }
    }

    async fn talk(&mut self, backoff: &mut Backoff) -> Result<(), StreamError> {
        let (out, outgoing) = mpsc::channel(OUTGOING);
        let hello = self.applier.hello(&self.node).await;
        send(&out, Reply::Hello(hello)).await?;
        let opening = self.control.sync(ReceiverStream::new(outgoing));
        let mut incoming = timeout(opening).await?.map_err(StreamError::Refused)?;
        // Probes end with their stream: their answers have nowhere else to go.
        let mut probes = JoinSet::new();
        let mut greeted = false;
        loop {
            let next = incoming.message();
            let next = if greeted {
                tokio::select! {
                    next = next => next,
                    report = self.reporter.next() => {
                        send(&out, report).await?;
                        continue;
                    }
                }
            } else {
                timeout(next).await?
            };
            let Some(ControlMessage { message }) = next.map_err(StreamError::Refused)? else {
                return Err(StreamError::Ended);
            };
            match message {
                Some(Control::Probe(request)) => self.probe(request, &out, &mut probes).await?,
                Some(message) => {
                    if matches!(message, Control::Snapshot(_)) {
                        greeted = true;
                        self.reporter.again();
                        *backoff = Backoff::default();
                    }
                    if let Some(reply) = self.applier.apply(message).await {
                        send(&out, reply).await?;
                    }
                }
                None => tracing::warn!("message of an unknown kind ignored"),
            }
        }
    }

    async fn probe(
        &self,
        request: toolmesh_proto::v1::ProbeRequest,
        out: &mpsc::Sender<NodeMessage>,
        probes: &mut JoinSet<()>,
    ) -> Result<(), StreamError> {
        while probes.try_join_next().is_some() {}
        if probes.len() >= PROBES {
            return send(out, Reply::ProbeResult(super::probe::too_many(request.probe_id))).await;
        }
        let (prober, out) = (Arc::clone(&self.prober), out.clone());
        probes.spawn(async move {
            let result = prober.run(request).await;
            if let Err(error) = send(&out, Reply::ProbeResult(result)).await {
                tracing::debug!(%error, "probe result not delivered");
            }
        });
        Ok(())
    }
}

async fn send(out: &mpsc::Sender<NodeMessage>, reply: Reply) -> Result<(), StreamError> {
    let message = NodeMessage { message: Some(reply) };
    out.send_timeout(message, PATIENCE).await.map_err(|_| StreamError::Silent)
}

async fn timeout<T>(wait: impl Future<Output = T>) -> Result<T, StreamError> {
    tokio::time::timeout(PATIENCE, wait).await.map_err(|_| StreamError::Silent)
}
