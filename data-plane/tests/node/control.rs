//! A control plane of the tests' own: speaks the protocol, remembers what nodes say, and goes away on demand.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::Stream;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};
use toolmesh_proto::seal;
use toolmesh_proto::v1::config_server::{Config, ConfigServer};
use toolmesh_proto::v1::control_message::Message as Control;
use toolmesh_proto::v1::node_message::Message as Reply;
use toolmesh_proto::v1::telemetry_server::{Telemetry, TelemetryServer};
use toolmesh_proto::v1::{self, AuditBatch, AuditReceipt, ControlMessage, NodeMessage};

pub const JOIN_SECRET: &str = "a join secret of more than 32 characters";

/// What it tells every node, and what nodes have told it.
pub struct FakeControl {
    pub address: SocketAddr,
    state: State,
    /// Its own, so that it can end as a killed process does, with its sockets.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for FakeControl {
    fn drop(&mut self) {
        self.kill();
    }
}

type Line = mpsc::Sender<Result<ControlMessage, Status>>;

#[derive(Clone)]
struct State {
    opening: Arc<Mutex<Vec<Control>>>,
    nodes: Arc<Mutex<Vec<Line>>>,
    said: watch::Sender<Vec<Reply>>,
    batches: watch::Sender<Vec<AuditBatch>>,
}

impl FakeControl {
    /// Starts on a port; 0 for any. `opening` is what a node hears after its Hello.
    pub async fn start(port: u16, opening: Vec<Control>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        // The one before on this port may still be closing.
        let bind = async move {
            loop {
                match tokio::net::TcpListener::bind(("127.0.0.1", port)).await {
                    Ok(listener) => return listener,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        let listener = within(runtime.spawn(bind)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            opening: Arc::new(Mutex::new(opening)),
            nodes: Arc::default(),
            said: watch::Sender::default(),
            batches: watch::Sender::default(),
        };
        let server = tonic::transport::Server::builder()
            .add_service(ConfigServer::new(state.clone()))
            .add_service(TelemetryServer::new(state.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        runtime.spawn(server);
        Self { address, state, runtime: Some(runtime) }
    }

    /// Goes away at once, as a killed process does.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Tells every connected node something, and whoever connects later.
    pub async fn tell(&self, message: Control) {
        self.state.opening.lock().unwrap().push(message.clone());
        let nodes = self.state.nodes.lock().unwrap().clone();
        for node in nodes {
            let _ = node.send(Ok(ControlMessage { message: Some(message.clone()) })).await;
        }
    }

    /// Waits until a node has said something, and gives it back.
    pub async fn heard<T>(&self, mut wanted: impl FnMut(&Reply) -> Option<T>) -> T {
        let mut said = self.state.said.subscribe();
        let all = within(said.wait_for(|said| said.iter().any(|reply| wanted(reply).is_some())))
            .await
            .unwrap()
            .clone();
        all.iter().find_map(wanted).unwrap()
    }

    /// Waits until that many events are stored, and gives them back with the boot each came from.
    pub async fn events(&self, count: usize) -> Vec<(String, v1::AuditEvent)> {
        let mut batches = self.state.batches.subscribe();
        let total = |batches: &Vec<AuditBatch>| batches.iter().map(|batch| batch.events.len()).sum::<usize>();
        let all = within(batches.wait_for(|batches| total(batches) >= count)).await.unwrap().clone();
        all.into_iter().flat_map(|b| b.events.into_iter().map(move |e| (b.boot_id.clone(), e))).collect()
    }
}

/// Waits, but not for ever.
pub async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(10), wait)
        .await
        .expect("it happens within 10 seconds")
}

fn check<T>(request: &Request<T>) -> Result<(), Status> {
    let given = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
    let token = seal::join_token(&SecretString::from(JOIN_SECRET)).expect("a token");
    if given == Some(format!("Bearer {}", token.expose_secret()).as_str()) {
        Ok(())
    } else {
        Err(Status::unauthenticated(""))
    }
}

#[tonic::async_trait]
impl Config for State {
    type SyncStream = Pin<Box<dyn Stream<Item = Result<ControlMessage, Status>> + Send>>;

    async fn sync(
        &self,
        request: Request<Streaming<NodeMessage>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        check(&request)?;
        let mut incoming = request.into_inner();
        let (out, outgoing) = mpsc::channel(100);
        let state = self.clone();
        tokio::spawn(async move {
            while let Some(Ok(NodeMessage { message: Some(reply) })) = incoming.next().await {
                if matches!(reply, Reply::Hello(_)) {
                    let opening = state.opening.lock().unwrap().clone();
                    state.nodes.lock().unwrap().push(out.clone());
                    for message in opening {
                        let _ = out.send(Ok(ControlMessage { message: Some(message) })).await;
                    }
                }
                state.said.send_modify(|said| said.push(reply));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

#[tonic::async_trait]
impl Telemetry for State {
    async fn record(&self, request: Request<AuditBatch>) -> Result<Response<AuditReceipt>, Status> {
        check(&request)?;
        let batch = request.into_inner();
        let stored_through = batch.events.last().map_or(0, |event| event.sequence);
        self.batches.send_modify(|batches| batches.push(batch));
        Ok(Response::new(AuditReceipt { stored_through }))
    }
}
