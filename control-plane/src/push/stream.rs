//! One node's stream: what it is told, and what it answers. Both go on at the same time, so that a node that answers while it
//! is being sent a lot is heard.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{PollNext, select_with_strategy};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use toolmesh_proto::ids::TenantId;
use toolmesh_proto::v1::control_message::Message as Out;
use toolmesh_proto::v1::node_message::Message as In;
use toolmesh_proto::v1::{self, ControlMessage, NodeMessage};

use super::Hub;
use super::alerts::Now;
use super::hub::{Stage, Word};
use super::seats::{Feed, Seat};

/// A node that takes nothing for this long is cut off; it reconnects and starts from what it has.
const SEND_DEADLINE: Duration = Duration::from_secs(60);

/// A node says hello within this time.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);

pub(super) type Sender = mpsc::Sender<Result<ControlMessage, Status>>;

/// The two ways to a node. What is urgent overtakes what waits in bulk.
#[derive(Clone)]
pub(super) struct Ways {
    pub urgent: Sender,
    pub bulk: Sender,
}

/// Both ways as one stream; whatever is urgent goes first.
pub(super) fn joined(
    urgent: mpsc::Receiver<Result<ControlMessage, Status>>,
    bulk: mpsc::Receiver<Result<ControlMessage, Status>>,
) -> impl Stream<Item = Result<ControlMessage, Status>> {
    let urgent_first = |(): &mut ()| PollNext::Left;
    select_with_strategy(ReceiverStream::new(urgent), ReceiverStream::new(bulk), urgent_first)
}

/// What a node has said of an MCP server.
#[derive(Debug)]
pub struct Report {
    pub node: String,
    pub told: Told,
}

/// Its word.
#[derive(Debug)]
pub enum Told {
    /// It has connected: what it said before on another stream may hold no more, and it says again what does.
    Back,
    /// How it fares there.
    Fares(v1::UpstreamState),
    /// The server says that what it offers has changed.
    Changed(v1::UpstreamChanged),
}

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
    #[error("another control plane has the say")]
    Outdated,
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
    mut incoming: impl Stream<Item = Result<NodeMessage, Status>> + Unpin,
    ways: Ways,
    reports: mpsc::Sender<Report>,
    stop: CancellationToken,
) -> Ended {
    let hello = tokio::select! {
        hello = tokio::time::timeout(HELLO_DEADLINE, incoming.next()) => hello,
        () = stop.cancelled() => return Ended::Stopping,
    };
    let hello = match hello {
        Ok(Some(Ok(NodeMessage { message: Some(In::Hello(hello)) }))) => hello,
        Ok(Some(Err(status))) => return status.into(),
        _ => return Ended::NoHello,
    };
    let node = hello.node.clone();
    let held = held(hello);
    let (seat, feed) = hub.join(node.clone());
    tracing::info!(node, tenants = held.tenants.len(), "node connected");
    report(&reports, Report { node: node.clone(), told: Told::Back });
    // Before the snapshot is made, so that nothing falls between that and the first alert.
    let (alerts, keys) = (hub.alerts().subscribe(), hub.keys());
    let ended = tokio::select! {
        ended = speak(&hub, &seat, feed, &ways.bulk, held) => ended,
        ended = warn(&hub, &ways.urgent, alerts, keys) => ended,
        ended = listen(&seat, &node, &reports, incoming) => ended,
        () = hub.reach(&[Stage::Outdated]) => Err(Ended::Outdated),
        () = stop.cancelled() => Err(Ended::Stopping),
    };
    let Err(ended) = ended;
    ended
}

fn held(hello: v1::Hello) -> Held {
    let tenants =
        hello.tenants.into_iter().filter_map(|head| Some((head.tenant_id.parse().ok()?, head.revision)));
    Held { tenants: tenants.collect(), connectors: hello.connector_hashes.into_iter().collect() }
}

/// Tells a node all that it lacks, and then what changes.
async fn speak(
    hub: &Hub,
    seat: &Seat,
    mut feed: Feed,
    out: &Sender,
    mut held: Held,
) -> Result<Infallible, Ended> {
    // Before the tenants are known, a snapshot would read as if all had been deleted.
    hub.reach(&[Stage::Listed, Stage::Complete]).await;
    hub.alerts().known().await;
    send(out, Out::Snapshot(hub.snapshot())).await?;
    for (tenant, revision) in &held.tenants {
        hub.note_held(*tenant, *revision);
    }
    tell_all(hub, out, &mut held).await?;
    let mut caught_up = false;
    loop {
        tokio::select! {
            changed = feed.changes.recv() => match changed {
                Ok(tenant) => tell(hub, out, &mut held, tenant).await?,
                Err(broadcast::error::RecvError::Lagged(_)) => tell_all(hub, out, &mut held).await?,
                Err(broadcast::error::RecvError::Closed) => return Err(Ended::Stopping),
            },
            () = hub.reach(&[Stage::Complete]), if !caught_up => {
                // What has been announced and not been told yet comes first.
                tell_all(hub, out, &mut held).await?;
                send(out, Out::CaughtUp(v1::CaughtUp {})).await?;
                seat.set_ready();
                caught_up = true;
            }
            Some(request) = feed.probes.recv() => send(out, Out::Probe(request)).await?,
        }
    }
}

/// Tells a node what was revoked, and which keys tokens are checked with, the moment it changes.
async fn warn(
    hub: &Hub,
    out: &Sender,
    mut alerts: watch::Receiver<Now>,
    mut keys: watch::Receiver<v1::KeySet>,
) -> Result<Infallible, Ended> {
    // The snapshot has what was known when this was subscribed to, and maybe more; the same once more does no harm.
    let mut told = alerts.borrow().version;
    hub.reach(&[Stage::Listed, Stage::Complete]).await;
    // Where the sender of keys is gone, this process is stopping, and keys change no more.
    let mut keys_live = true;
    loop {
        tokio::select! {
            changed = alerts.changed() => {
                changed.map_err(|_| Ended::Stopping)?;
                let revocations = hub.alerts().since(told);
                told = revocations.sequence;
                send(out, Out::Revocations(revocations)).await?;
            }
            changed = keys.changed(), if keys_live => match changed {
                Ok(()) => {
                    let set = keys.borrow_and_update().clone();
                    send(out, Out::Keys(set)).await?;
                }
                Err(_) => keys_live = false,
            }
        }
    }
}

async fn tell_all(hub: &Hub, out: &Sender, held: &mut Held) -> Result<(), Ended> {
    let known: HashSet<TenantId> = hub.tenants().into_iter().collect();
    let gone: Vec<TenantId> = held.tenants.keys().copied().filter(|id| !known.contains(id)).collect();
    for tenant in known.into_iter().chain(gone) {
        tell(hub, out, held, tenant).await?;
    }
    Ok(())
}

/// Sends a tenant's newest bundle, whatever was announced: what came in between is skipped.
async fn tell(hub: &Hub, out: &Sender, held: &mut Held, tenant: TenantId) -> Result<(), Ended> {
    let compiled = match hub.tenant(tenant) {
        Word::Bundle(compiled) => compiled,
        Word::Keep => return Ok(()),
        Word::Gone if held.tenants.remove(&tenant).is_some() => {
            return send(out, Out::Removed(v1::TenantRemoved { tenant_id: tenant.to_string() })).await;
        }
        Word::Gone => return Ok(()),
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

/// Hears a node out.
async fn listen(
    seat: &Seat,
    node: &str,
    reports: &mpsc::Sender<Report>,
    mut incoming: impl Stream<Item = Result<NodeMessage, Status>> + Unpin,
) -> Result<Infallible, Ended> {
    while let Some(message) = incoming.next().await {
        match message?.message {
            Some(In::Ack(ack)) => {
                tracing::debug!(node, tenant = ack.tenant_id, revision = ack.revision, "bundle in force");
            }
            Some(In::Nack(nack)) => tracing::error!(
                node,
                tenant = nack.tenant_id,
                revision = nack.revision,
                kept = nack.kept_revision,
                reason = nack.reason,
                "node refused a bundle"
            ),
            Some(In::ProbeResult(result)) => seat.answer(result),
            Some(In::RevocationsAck(ack)) => seat.set_revocations(ack.sequence),
            Some(In::UpstreamState(state)) => {
                report(reports, Report { node: node.to_owned(), told: Told::Fares(state) });
            }
            Some(In::UpstreamChanged(changed)) => {
                report(reports, Report { node: node.to_owned(), told: Told::Changed(changed) });
            }
            Some(In::Hello(_)) => tracing::warn!(node, "hello in the middle of a stream"),
            None => tracing::warn!(node, "message of an unknown kind ignored"),
        }
    }
    Err(Ended::Left)
}

/// Hands on what a node says of an MCP server. Where nobody keeps up, it is dropped: a server is looked at anyway, and a node
/// says again how it fares when that changes.
fn report(reports: &mpsc::Sender<Report>, report: Report) {
    if let Err(error) = reports.try_send(report) {
        tracing::warn!(%error, "a node's word about an MCP server is lost");
    }
}

#[cfg(test)]
mod tests {
    use super::super::alerts::tests::row;
    use super::super::hub::tests::{compiled, hub};
    use super::*;

    /// A node at the other end of a stream.
    struct Node {
        say: mpsc::Sender<Result<NodeMessage, Status>>,
        hear: mpsc::Receiver<Result<ControlMessage, Status>>,
        warned: mpsc::Receiver<Result<ControlMessage, Status>>,
        stop: CancellationToken,
        stream: tokio::task::JoinHandle<Ended>,
    }

    impl Node {
        /// Connects to a hub; `room` is how many messages fit on the wire.
        async fn connect(hub: &Hub, held: &[(TenantId, u64)], room: usize) -> Self {
            let (say, incoming) = mpsc::channel(8);
            let (out, hear) = mpsc::channel(room);
            let stop = CancellationToken::new();
            let (urgent, warned) = mpsc::channel(room);
            let ways = Ways { urgent, bulk: out };
            let stream = {
                let (reports, _) = mpsc::channel(1);
                tokio::spawn(serve(hub.clone(), ReceiverStream::new(incoming), ways, reports, stop.clone()))
            };
            let head = |(id, revision): &(TenantId, u64)| v1::TenantHead {
                tenant_id: id.to_string(),
                revision: *revision,
            };
            let tenants = held.iter().map(head).collect();
            let node = Self { say, hear, warned, stop, stream };
            node.say(In::Hello(v1::Hello { tenants, ..v1::Hello::default() })).await;
            node
        }

        async fn say(&self, message: In) {
            self.say.send(Ok(NodeMessage { message: Some(message) })).await.unwrap();
        }

        async fn hear(&mut self) -> Out {
            self.hear.recv().await.unwrap().unwrap().message.unwrap()
        }

        /// What comes up to and with CaughtUp, in words.
        async fn hear_until_caught_up(&mut self) -> Vec<String> {
            let mut heard = Vec::new();
            loop {
                heard.push(match self.hear().await {
                    Out::Snapshot(snapshot) => format!("{} tenants", snapshot.tenants.len()),
                    Out::Bundle(bundle) => format!("{} at {}", bundle.tenant_id, bundle.revision),
                    Out::Removed(removed) => format!("{} removed", removed.tenant_id),
                    Out::CaughtUp(_) => return heard,
                    other => format!("{other:?}"),
                });
            }
        }
    }

    fn complete(heads: &[(TenantId, u64)]) -> Hub {
        let hub = hub();
        hub.list(heads);
        hub.enter(Stage::Listed);
        hub.enter(Stage::Complete);
        hub
    }

    #[tokio::test]
    async fn a_node_keeps_a_tenant_that_does_not_compile_and_loses_one_that_was_deleted() {
        let [well, sick, deleted] = [TenantId::new(), TenantId::new(), TenantId::new()];
        let hub = complete(&[(well, 2), (sick, 9)]);
        hub.publish(well, compiled(well, 2));
        let mut node = Node::connect(&hub, &[(well, 1), (sick, 8), (deleted, 1)], 8).await;
        let heard = node.hear_until_caught_up().await;
        assert_eq!(heard[0], "2 tenants");
        assert!(heard.contains(&format!("{well} at 2")), "{heard:?}");
        assert!(heard.contains(&format!("{deleted} removed")), "{heard:?}");
        assert_eq!(heard.len(), 3, "{heard:?}");
    }

    #[tokio::test]
    async fn a_node_is_told_what_is_there_before_everything_is() {
        let [first, second] = [TenantId::new(), TenantId::new()];
        let hub = hub();
        let mut node = Node::connect(&hub, &[], 8).await;
        hub.list(&[(first, 1), (second, 1)]);
        hub.enter(Stage::Listed);
        assert!(matches!(node.hear().await, Out::Snapshot(snapshot) if snapshot.tenants.len() == 2));
        hub.publish(first, compiled(first, 1));
        assert!(matches!(node.hear().await, Out::Bundle(bundle) if bundle.tenant_id == first.to_string()));
        hub.publish(second, compiled(second, 1));
        hub.enter(Stage::Complete);
        assert_eq!(node.hear_until_caught_up().await, [format!("{second} at 1")]);
    }

    #[tokio::test]
    async fn a_node_that_is_ahead_is_noted_and_takes_the_lifted_revision() {
        let tenant = TenantId::new();
        let hub = complete(&[(tenant, 50)]);
        hub.publish(tenant, compiled(tenant, 50));
        let mut node = Node::connect(&hub, &[(tenant, 60)], 8).await;
        assert_eq!(node.hear_until_caught_up().await, ["1 tenants"]);
        hub.someone_ahead().await;
        assert_eq!(hub.take_ahead(), HashMap::from([(tenant, 60)]));
        hub.publish(tenant, compiled(tenant, 61));
        assert!(matches!(node.hear().await, Out::Bundle(bundle) if bundle.revision == 61));
    }

    #[tokio::test]
    async fn a_node_that_reads_slowly_is_heard_all_the_same() {
        let tenants: Vec<(TenantId, u64)> = (0..4).map(|_| (TenantId::new(), 1)).collect();
        let hub = complete(&tenants);
        let mut node = Node::connect(&hub, &[], 8).await;
        node.hear_until_caught_up().await;
        let request = v1::ProbeRequest { probe_id: "a".into(), ..v1::ProbeRequest::default() };
        let (answer, ()) = tokio::join!(hub.probe(request), async {
            assert!(matches!(node.hear().await, Out::Probe(request) if request.probe_id == "a"));
            // More than fits on the wire; nothing of it is read before the answer is through.
            for revision in 1..20 {
                for (tenant, _) in &tenants {
                    hub.publish(*tenant, compiled(*tenant, revision));
                    tokio::task::yield_now().await;
                }
            }
            node.say(In::ProbeResult(v1::ProbeResult { probe_id: "a".into(), ok: true, steps: vec![] }))
                .await;
        });
        assert!(answer.unwrap().ok);
        assert_eq!(node.hear.len(), 8);
    }

    #[tokio::test]
    async fn a_stream_that_cannot_send_ends_when_it_is_told_to() {
        let tenants: Vec<(TenantId, u64)> = (0..4).map(|_| (TenantId::new(), 1)).collect();
        let hub = complete(&tenants);
        for (tenant, revision) in &tenants {
            hub.publish(*tenant, compiled(*tenant, *revision));
        }
        let node = Node::connect(&hub, &[], 1).await;
        node.stop.cancel();
        assert!(matches!(node.stream.await.unwrap(), Ended::Stopping));
    }

    #[tokio::test]
    async fn an_outdated_control_plane_sends_its_nodes_away() {
        let hub = complete(&[]);
        let mut node = Node::connect(&hub, &[], 8).await;
        node.hear_until_caught_up().await;
        hub.enter(Stage::Outdated);
        assert!(matches!(node.stream.await.unwrap(), Ended::Outdated));
        let late = Node::connect(&hub, &[], 8).await;
        assert!(matches!(late.stream.await.unwrap(), Ended::Outdated));
    }

    #[tokio::test]
    async fn a_revocation_overtakes_bundles_that_a_slow_node_has_not_taken() {
        let tenants: Vec<(TenantId, u64)> = (0..4).map(|_| (TenantId::new(), 1)).collect();
        let hub = complete(&tenants);
        for (tenant, revision) in &tenants {
            hub.publish(*tenant, compiled(*tenant, *revision));
        }
        let mut node = Node::connect(&hub, &[], 1).await;
        assert!(matches!(node.hear().await, Out::Snapshot(_)));
        hub.alerts().learn(vec![row(tenants[0].0, 1)], tokio::time::Instant::now());
        let warned = node.warned.recv().await.unwrap().unwrap().message.unwrap();
        let Out::Revocations(revocations) = warned else { panic!("{warned:?}") };
        assert_eq!(revocations.revocations[0].subject, "g1");

        let asked = hub.in_force(tenants[0].0, &[1]);
        let ack = In::RevocationsAck(v1::RevocationsAck { sequence: revocations.sequence });
        let (in_force, ()) = tokio::join!(asked, node.say(ack));
        assert_eq!(in_force, super::super::hub::InForce { nodes: 1, of: 1 });
    }

    #[tokio::test]
    async fn a_node_that_does_not_answer_is_not_counted_and_waited_for_only_a_second() {
        let (hub, tenant) = (complete(&[]), TenantId::new());
        let mut node = Node::connect(&hub, &[], 8).await;
        node.hear_until_caught_up().await;
        hub.alerts().learn(vec![row(tenant, 1)], tokio::time::Instant::now());
        let in_force = hub.in_force(tenant, &[1]).await;
        assert_eq!(in_force, super::super::hub::InForce { nodes: 0, of: 1 });
    }

    #[tokio::test]
    async fn what_was_revoked_before_a_node_came_is_in_its_snapshot() {
        let (hub, tenant) = (complete(&[]), TenantId::new());
        hub.alerts().learn(vec![row(tenant, 1)], tokio::time::Instant::now());
        let mut node = Node::connect(&hub, &[], 8).await;
        let Out::Snapshot(snapshot) = node.hear().await else { panic!("no snapshot") };
        assert_eq!(snapshot.revocations.unwrap().revocations[0].subject, "g1");
    }

    #[tokio::test]
    async fn who_does_not_say_hello_is_told_nothing() {
        let (say, incoming) = mpsc::channel(1);
        let (out, mut hear) = mpsc::channel(1);
        let ack = In::Ack(v1::Ack::default());
        say.send(Ok(NodeMessage { message: Some(ack) })).await.unwrap();
        let ways = Ways { urgent: out.clone(), bulk: out };
        let (reports, _) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let ended = serve(complete(&[]), ReceiverStream::new(incoming), ways, reports, stop).await;
        assert!(matches!(ended, Ended::NoHello));
        assert!(hear.recv().await.is_none());
    }
}
