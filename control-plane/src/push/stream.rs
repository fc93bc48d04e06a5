//! One node's stream: what it is told, and what it answers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use toolmesh_proto::ids::TenantId;
use toolmesh_proto::v1::control_message::Message as Out;
use toolmesh_proto::v1::node_message::Message as In;
use toolmesh_proto::v1::{self, ControlMessage, NodeMessage};

use super::Hub;
use super::hub::Seat;

/// A node that takes nothing for this long is cut off; it reconnects and starts from what it has.
const SEND_DEADLINE: Duration = Duration::from_secs(60);

/// A node says hello within this time.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);

pub(super) type Sender = mpsc::Sender<Result<ControlMessage, Status>>;

/// Why a stream ended, for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("the node left")]
    Left,
    #[error("the node did not say hello first")]
    NoHello,
    #[error("the node took nothing for a minute")]
    Stuck,
    #[error("this control plane is stopping")]
    Stopping,
    #[error("the connection broke: {0}")]
    Broken(#[from] Status),
}

/// What the node is known to have.
struct Held {
    tenants: HashMap<TenantId, u64>,
    connectors: HashSet<String>,
}

/// Speaks with a node until one side ends it.
pub(super) async fn serve(
    hub: Hub,
    mut incoming: Streaming<NodeMessage>,
    out: Sender,
    stop: CancellationToken,
) -> Ended {
    let hello = match tokio::time::timeout(HELLO_DEADLINE, incoming.message()).await {
        Ok(Ok(Some(NodeMessage { message: Some(In::Hello(hello)) }))) => hello,
        Ok(Err(status)) => return status.into(),
        _ => return Ended::NoHello,
    };
    let node = hello.node.clone();
    let mut held = held(hello);
    let mut seat = hub.join(node.clone(), held.tenants.clone());
    tracing::info!(node, tenants = held.tenants.len(), "node connected");
    if let Err(ended) = catch_up(&hub, &out, &mut held, &stop).await {
        return ended;
    }
    loop {
        tokio::select! {
            changed = seat.changes.recv() => {
                let result = match changed {
                    Ok(tenant) => tell(&hub, &out, &mut held, tenant).await,
                    Err(broadcast::error::RecvError::Lagged(_)) => tell_all(&hub, &out, &mut held).await,
                    Err(broadcast::error::RecvError::Closed) => Err(Ended::Stopping),
                };
                if let Err(ended) = result { return ended; }
            }
            Some(request) = seat.probes.recv() => {
                if let Err(ended) = send(&out, Out::Probe(request)).await { return ended; }
            }
            message = incoming.message() => match message {
                Ok(Some(NodeMessage { message: Some(message) })) => heard(&seat, &node, message),
                Ok(Some(NodeMessage { message: None })) => {}
                Ok(None) => return Ended::Left,
                Err(status) => return status.into(),
            },
            () = stop.cancelled() => return Ended::Stopping,
        }
    }
}

fn held(hello: v1::Hello) -> Held {
    let tenants =
        hello.tenants.into_iter().filter_map(|head| Some((head.tenant_id.parse().ok()?, head.revision)));
    Held { tenants: tenants.collect(), connectors: hello.connector_hashes.into_iter().collect() }
}

async fn catch_up(hub: &Hub, out: &Sender, held: &mut Held, stop: &CancellationToken) -> Result<(), Ended> {
    // Until every tenant has been compiled once, a snapshot would read as if some had been deleted.
    while !hub.is_complete() {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
            () = stop.cancelled() => return Err(Ended::Stopping),
        }
    }
    send(out, Out::Snapshot(hub.snapshot())).await?;
    tell_all(hub, out, held).await?;
    send(out, Out::CaughtUp(v1::CaughtUp {})).await
}

async fn tell_all(hub: &Hub, out: &Sender, held: &mut Held) -> Result<(), Ended> {
    let gone: Vec<TenantId> = held.tenants.keys().copied().filter(|id| hub.tenant(*id).is_none()).collect();
    for tenant in hub.tenants().into_iter().chain(gone) {
        tell(hub, out, held, tenant).await?;
    }
    Ok(())
}

/// Sends a tenant's newest bundle, whatever was announced: what came in between is skipped.
async fn tell(hub: &Hub, out: &Sender, held: &mut Held, tenant: TenantId) -> Result<(), Ended> {
    let Some(compiled) = hub.tenant(tenant) else {
        if held.tenants.remove(&tenant).is_some() {
            let removed = v1::TenantRemoved { tenant_id: tenant.to_string() };
            return send(out, Out::Removed(removed)).await;
        }
        return Ok(());
    };
    let revision = compiled.bundle.revision;
    if held.tenants.get(&tenant).is_some_and(|known| *known >= revision) {
        return Ok(());
    }
    for (hash, connector) in &compiled.connectors {
        if held.connectors.insert(hash.clone()) {
            send(out, Out::Connector(v1::Connector::clone(connector))).await?;
        }
    }
    send(out, Out::Bundle(Arc::unwrap_or_clone(compiled).bundle)).await?;
    held.tenants.insert(tenant, revision);
    Ok(())
}

async fn send(out: &Sender, message: Out) -> Result<(), Ended> {
    let message = ControlMessage { message: Some(message) };
    match tokio::time::timeout(SEND_DEADLINE, out.send(Ok(message))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Ended::Left),
        Err(_) => Err(Ended::Stuck),
    }
}

fn heard(seat: &Seat, node: &str, message: In) {
    match message {
        In::Ack(ack) => match ack.tenant_id.parse() {
            Ok(tenant) => seat.acked(tenant, ack.revision),
            Err(_) => tracing::warn!(node, "ack without a tenant"),
        },
        In::Nack(nack) => tracing::error!(
            node,
            tenant = nack.tenant_id,
            revision = nack.revision,
            kept = nack.kept_revision,
            reason = nack.reason,
            "node refused a bundle"
        ),
        In::ProbeResult(result) => seat.answer_probe(result),
        In::Hello(_) => tracing::warn!(node, "hello in the middle of a stream"),
    }
}
