//! The newest bundle of each tenant, and the nodes that are connected.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};
use toolmesh_proto::ids::TenantId;
use toolmesh_proto::v1;

use super::compile::Compiled;
use crate::error::{Error, Result};

/// Changes that a slow node may lag behind before it looks at all tenants again.
const BACKLOG: usize = 1024;

/// How long a connection test may take, the node's own deadline included.
const PROBE_DEADLINE: Duration = Duration::from_secs(20);

/// Shared by the relay, the streams and the console. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    changes: broadcast::Sender<TenantId>,
    settings: v1::NodeSettings,
    keys: v1::KeySet,
}

#[derive(Default)]
struct State {
    tenants: HashMap<TenantId, Arc<Compiled>>,
    /// Whether all tenants have been compiled once; before that no node is told which tenants there are.
    complete: bool,
    nodes: BTreeMap<u64, Node>,
    next_node: u64,
    probes: HashMap<String, oneshot::Sender<v1::ProbeResult>>,
}

struct Node {
    name: String,
    probes: mpsc::Sender<v1::ProbeRequest>,
    acked: HashMap<TenantId, u64>,
}

/// A node's place in the hub; leaving scope, it is taken out.
pub(super) struct Seat {
    hub: Hub,
    id: u64,
    pub changes: broadcast::Receiver<TenantId>,
    pub probes: mpsc::Receiver<v1::ProbeRequest>,
}

/// How far a revision has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    pub nodes: usize,
    pub in_force: usize,
}

impl Hub {
    #[must_use]
    pub fn new(settings: v1::NodeSettings, keys: v1::KeySet) -> Self {
        let (changes, _) = broadcast::channel(BACKLOG);
        Self(Arc::new(Inner { state: Mutex::default(), changes, settings, keys }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing that holds this lock can leave the state half-changed.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a tenant's bundle in place, unless a newer one is there.
    pub(super) fn publish(&self, tenant: TenantId, compiled: Compiled) {
        let mut state = self.state();
        let newer = state.tenants.get(&tenant).is_none_or(|c| c.bundle.revision < compiled.bundle.revision);
        if newer {
            state.tenants.insert(tenant, Arc::new(compiled));
            drop(state);
            // No receiver means no node, which is fine.
            let _ = self.0.changes.send(tenant);
        }
    }

    pub(super) fn remove(&self, tenant: TenantId) {
        if self.state().tenants.remove(&tenant).is_some() {
            let _ = self.0.changes.send(tenant);
        }
    }

    pub(super) fn mark_complete(&self) {
        self.state().complete = true;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.state().complete
    }

    /// The revision that is in place for a tenant; 0 for none.
    pub(super) fn revision(&self, tenant: TenantId) -> u64 {
        self.state().tenants.get(&tenant).map_or(0, |c| c.bundle.revision)
    }

    pub(super) fn tenant(&self, tenant: TenantId) -> Option<Arc<Compiled>> {
        self.state().tenants.get(&tenant).cloned()
    }

    pub(super) fn tenants(&self) -> Vec<TenantId> {
        self.state().tenants.keys().copied().collect()
    }

    /// What a node is told first.
    pub(super) fn snapshot(&self) -> v1::Snapshot {
        let state = self.state();
        let head = |(id, c): (&TenantId, &Arc<Compiled>)| v1::TenantHead {
            tenant_id: id.to_string(),
            revision: c.bundle.revision,
        };
        v1::Snapshot {
            tenants: state.tenants.iter().map(head).collect(),
            settings: Some(self.0.settings.clone()),
            keys: Some(self.0.keys.clone()),
        }
    }

    pub(super) fn join(&self, name: String, held: HashMap<TenantId, u64>) -> Seat {
        let (probe_sender, probes) = mpsc::channel(8);
        let changes = self.0.changes.subscribe();
        let mut state = self.state();
        let id = state.next_node;
        state.next_node += 1;
        state.nodes.insert(id, Node { name, probes: probe_sender, acked: held });
        Seat { hub: self.clone(), id, changes, probes }
    }

    /// On how many nodes a tenant's revision is in force.
    #[must_use]
    pub fn spread(&self, tenant: TenantId, revision: u64) -> Spread {
        let state = self.state();
        let reached = |node: &&Node| node.acked.get(&tenant).is_some_and(|acked| *acked >= revision);
        Spread { nodes: state.nodes.len(), in_force: state.nodes.values().filter(reached).count() }
    }

    /// Names of the nodes that are connected.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.state().nodes.values().map(|node| node.name.clone()).collect()
    }

    /// Has one node make one call with settings that may not be saved.
    ///
    /// # Errors
    /// `Refused` when no node is connected or none answers in time.
    pub async fn probe(&self, request: v1::ProbeRequest) -> Result<v1::ProbeResult> {
        let away = || {
            Error::Refused(
                "No data-plane node is connected, so the connection cannot be tested now.".to_owned(),
            )
        };
        let (sender, receiver) = oneshot::channel();
        let id = request.probe_id.clone();
        {
            let mut state = self.state();
            let node = state.nodes.values().next_back().ok_or_else(away)?;
            node.probes.try_send(request).map_err(|_| Error::Busy)?;
            state.probes.insert(id.clone(), sender);
        }
        let answer = tokio::time::timeout(PROBE_DEADLINE, receiver).await;
        self.state().probes.remove(&id);
        match answer {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(away()),
            Err(_) => Err(Error::Refused("The node did not answer within 20 seconds. Try again.".to_owned())),
        }
    }
}

impl Seat {
    pub fn acked(&self, tenant: TenantId, revision: u64) {
        if let Some(node) = self.hub.state().nodes.get_mut(&self.id) {
            node.acked.insert(tenant, revision);
        }
    }

    pub fn answer_probe(&self, result: v1::ProbeResult) {
        let waiting = self.hub.state().probes.remove(&result.probe_id);
        if let Some(waiting) = waiting {
            // Whoever asked may have left.
            let _ = waiting.send(result);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.state().nodes.remove(&self.id);
    }
}
