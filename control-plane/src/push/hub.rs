//! Which tenants there are, as the database says, and the newest bundle of each that could be compiled.
//!
//! Written by the relay, read by the streams. Knows no database; what could not be compiled is still a tenant that lives.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, broadcast, watch};
use toolmesh_proto::ids::TenantId;
use toolmesh_proto::v1;

use super::alerts::Alerts;
use super::compile::Compiled;
use super::seats::{Feed, Seat, Seats};
use crate::error::Result;

/// Changes that a slow node may lag behind before it looks at all tenants again.
const BACKLOG: usize = 1024;

/// How long a page waits to say that a revocation is in force.
const IN_FORCE_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

/// A revision above this one is no count of changes; lifting a tenant over it would leave no room to count on.
const MAX_REVISION: u64 = i64::MAX.cast_unsigned() / 2;

/// Shared by the relay, the streams and the console. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    stage: watch::Sender<Stage>,
    changes: broadcast::Sender<TenantId>,
    someone_ahead: Notify,
    seats: Seats,
    alerts: Alerts,
    settings: v1::NodeSettings,
    keys: watch::Receiver<v1::KeySet>,
}

/// On how many of the nodes that are connected a revocation is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce {
    pub nodes: usize,
    pub of: usize,
}

/// What the hub can say to nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing: it is not known which tenants there are.
    Starting,
    /// Which tenants there are; their bundles are on the way.
    Listed,
    /// Every tenant has been tried once.
    Complete,
    /// Nothing any more: bundles are made from another basis than this process has.
    Outdated,
}

#[derive(Default)]
struct State {
    tenants: HashMap<TenantId, Live>,
    /// By hash; tenants that have the same connector share it.
    connectors: HashMap<String, Weak<v1::Connector>>,
    /// Revisions that nodes hold and the database has not come to.
    ahead: HashMap<TenantId, u64>,
}

impl State {
    fn share_connectors(&mut self, compiled: &mut Compiled) {
        for (hash, connector) in &mut compiled.connectors {
            match self.connectors.get(hash).and_then(Weak::upgrade) {
                Some(shared) => *connector = shared,
                None => {
                    self.connectors.insert(hash.clone(), Arc::downgrade(connector));
                }
            }
        }
    }
}

/// A tenant that the database has.
struct Live {
    head: u64,
    compiled: Option<Arc<Compiled>>,
}

impl Live {
    fn in_place(&self) -> u64 {
        self.compiled.as_ref().map_or(0, |compiled| compiled.bundle.revision)
    }
}

/// What there is to tell of a tenant.
pub(super) enum Word {
    /// It has been deleted, or never was.
    Gone,
    /// It lives, and what nodes have of it stays in force.
    Keep,
    /// Its newest bundle.
    Bundle(Arc<Compiled>),
}

impl Hub {
    /// `keys` are those that tokens are checked with, now and whenever they change.
    #[must_use]
    pub fn new(settings: v1::NodeSettings, keys: watch::Receiver<v1::KeySet>) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::default(),
            stage: watch::Sender::new(Stage::Starting),
            changes: broadcast::Sender::new(BACKLOG),
            someone_ahead: Notify::new(),
            seats: Seats::default(),
            alerts: Alerts::default(),
            settings,
            keys,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds this lock can leave the state half-changed.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No receiver means no node, which is fine.
    fn announce(&self, tenants: impl IntoIterator<Item = TenantId>) {
        for tenant in tenants {
            let _ = self.0.changes.send(tenant);
        }
    }

    /// Takes the database's list of all tenants: one that is missing there is gone. Answers the ones whose bundle is missing
    /// or older than their head.
    pub(super) fn list(&self, heads: &[(TenantId, u64)]) -> Vec<(TenantId, u64)> {
        let mut state = self.state();
        let mut before = std::mem::take(&mut state.tenants);
        let (mut stale, mut behind) = (Vec::new(), Vec::new());
        for &(tenant, head) in heads {
            let live = Live { head, compiled: before.remove(&tenant).and_then(|live| live.compiled) };
            match live.in_place() {
                older if older < head => stale.push((tenant, head)),
                newer if newer > head => behind.push((tenant, newer)),
                _ => {}
            }
            state.tenants.insert(tenant, live);
        }
        state.connectors.retain(|_, connector| connector.strong_count() > 0);
        drop(state);
        self.announce(before.into_keys());
        for (tenant, revision) in behind {
            self.note_held(tenant, revision);
        }
        stale
    }

    /// Takes a committed change. Answers whether the bundle is older.
    pub(super) fn learn(&self, tenant: TenantId, revision: u64) -> bool {
        let mut state = self.state();
        let live = state.tenants.entry(tenant).or_insert(Live { head: 0, compiled: None });
        live.head = live.head.max(revision);
        live.in_place() < revision
    }

    /// Puts a tenant's bundle in place, unless a newer one is there or the tenant has gone meanwhile.
    pub(super) fn publish(&self, tenant: TenantId, mut compiled: Compiled) {
        let mut state = self.state();
        state.share_connectors(&mut compiled);
        let revision = compiled.bundle.revision;
        let Some(live) = state.tenants.get_mut(&tenant).filter(|live| live.in_place() < revision) else {
            return;
        };
        live.head = live.head.max(revision);
        live.compiled = Some(Arc::new(compiled));
        drop(state);
        self.announce([tenant]);
    }

    pub(super) fn remove(&self, tenant: TenantId) {
        if self.state().tenants.remove(&tenant).is_some() {
            self.announce([tenant]);
        }
    }

    pub(super) fn tenant(&self, tenant: TenantId) -> Word {
        match self.state().tenants.get(&tenant) {
            None => Word::Gone,
            Some(Live { compiled: None, .. }) => Word::Keep,
            Some(Live { compiled: Some(compiled), .. }) => Word::Bundle(Arc::clone(compiled)),
        }
    }

    pub(super) fn tenants(&self) -> Vec<TenantId> {
        self.state().tenants.keys().copied().collect()
    }

    /// What a node is told first.
    pub(super) fn snapshot(&self) -> v1::Snapshot {
        let head = |(id, live): (&TenantId, &Live)| v1::TenantHead {
            tenant_id: id.to_string(),
            revision: live.head,
        };
        v1::Snapshot {
            tenants: self.state().tenants.iter().map(head).collect(),
            settings: Some(self.0.settings.clone()),
            keys: Some(self.0.keys.borrow().clone()),
            revocations: Some(self.0.alerts.since(0)),
        }
    }

    pub(super) fn alerts(&self) -> &Alerts {
        &self.0.alerts
    }

    /// The keys that tokens are checked with, and their changes.
    pub(super) fn keys(&self) -> watch::Receiver<v1::KeySet> {
        self.0.keys.clone()
    }

    /// Waits until a tenant's revocations are in force on every node that is connected here, a second at most, and answers on
    /// how many they are.
    pub async fn in_force(&self, tenant: TenantId, sequences: &[i64]) -> InForce {
        let everywhere = async {
            let mut now = self.0.alerts.subscribe();
            let version = loop {
                now.mark_unchanged();
                let known: Option<Vec<u64>> =
                    sequences.iter().map(|sequence| self.0.alerts.version_of(tenant, *sequence)).collect();
                if let Some(versions) = known {
                    break versions.into_iter().max().unwrap_or_default();
                }
                if now.changed().await.is_err() {
                    return;
                }
            };
            self.0.seats.all_acked(version).await;
        };
        let complete = tokio::time::timeout(IN_FORCE_WITHIN, everywhere).await.is_ok();
        let known = sequences.iter().map(|sequence| self.0.alerts.version_of(tenant, *sequence));
        let version = known.map(|version| version.unwrap_or(u64::MAX)).max().unwrap_or_default();
        let (nodes, of) = self.0.seats.acked(version);
        InForce { nodes: if complete { of } else { nodes }, of }
    }

    /// Takes note of what a node holds. A revision that the database has not come to means that the database was put back to
    /// an earlier state; the relay then lifts it above what nodes hold, since they take nothing older.
    pub(super) fn note_held(&self, tenant: TenantId, revision: u64) {
        let mut state = self.state();
        if state.tenants.get(&tenant).is_none_or(|live| live.head >= revision) {
            return;
        }
        if revision > MAX_REVISION {
            drop(state);
            tracing::error!(%tenant, revision, "a node claims a revision that cannot be; it keeps it");
            return;
        }
        let most = state.ahead.entry(tenant).or_default();
        *most = revision.max(*most);
        drop(state);
        self.0.someone_ahead.notify_one();
    }

    /// What `note_held` found since the last call.
    pub(super) fn take_ahead(&self) -> HashMap<TenantId, u64> {
        std::mem::take(&mut self.state().ahead)
    }

    /// Waits until `take_ahead` may have something.
    pub(super) async fn someone_ahead(&self) {
        self.0.someone_ahead.notified().await;
    }

    pub(super) fn enter(&self, next: Stage) {
        self.0.stage.send_if_modified(|stage| {
            let changes = match next {
                // Said after each list; takes nothing back.
                Stage::Listed => matches!(stage, Stage::Starting | Stage::Outdated),
                Stage::Complete => *stage == Stage::Listed,
                Stage::Starting | Stage::Outdated => *stage != next,
            };
            if changes {
                *stage = next;
            }
            changes
        });
    }

    pub(super) fn stage(&self) -> Stage {
        *self.0.stage.borrow()
    }

    /// Waits for a stage.
    pub(super) async fn reach(&self, stages: &[Stage]) {
        // The sender lives as long as `self`, so the wait ends only with the value.
        let _ = self.0.stage.subscribe().wait_for(|stage| stages.contains(stage)).await;
    }

    /// Gives a node a seat, and the changes from now on.
    pub(super) fn join(&self, node: String) -> (Seat, Feed) {
        self.0.seats.take(node, self.0.changes.subscribe())
    }

    /// The names of the nodes that are connected here.
    #[must_use]
    pub fn nodes(&self) -> BTreeSet<String> {
        self.0.seats.names()
    }

    /// Has one node make one call with settings that may not be saved.
    ///
    /// # Errors
    /// `Refused` when no node is ready, or the one that was asked leaves or does not answer in time; `Busy` when all nodes
    /// have enough of them.
    pub async fn probe(&self, request: v1::ProbeRequest) -> Result<v1::ProbeResult> {
        self.0.seats.probe(request).await
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    pub(in crate::push) fn hub() -> Hub {
        // The sender may go: a receiver keeps the last value.
        let hub = Hub::new(v1::NodeSettings::default(), watch::Sender::default().subscribe());
        hub.alerts().learn(Vec::new(), tokio::time::Instant::now());
        hub
    }

    pub(in crate::push) fn compiled(tenant: TenantId, revision: u64) -> Compiled {
        let bundle =
            v1::TenantBundle { tenant_id: tenant.to_string(), revision, ..v1::TenantBundle::default() };
        Compiled { bundle, connectors: BTreeMap::new() }
    }

    fn in_place(hub: &Hub, tenant: TenantId) -> Option<u64> {
        match hub.tenant(tenant) {
            Word::Bundle(compiled) => Some(compiled.bundle.revision),
            Word::Keep => Some(0),
            Word::Gone => None,
        }
    }

    #[test]
    fn a_tenant_that_does_not_compile_is_in_the_snapshot_all_the_same() {
        let (hub, well, sick) = (hub(), TenantId::new(), TenantId::new());
        assert_eq!(hub.list(&[(well, 3), (sick, 7)]), [(well, 3), (sick, 7)]);
        hub.publish(well, compiled(well, 3));
        let mut listed: Vec<_> =
            hub.snapshot().tenants.into_iter().map(|head| (head.tenant_id, head.revision)).collect();
        listed.sort_by_key(|head| head.1);
        assert_eq!(listed, [(well.to_string(), 3), (sick.to_string(), 7)]);
        assert_eq!(in_place(&hub, sick), Some(0));
    }

    #[test]
    fn only_a_tenant_that_the_database_does_not_list_is_gone() {
        let (hub, stays, goes) = (hub(), TenantId::new(), TenantId::new());
        hub.list(&[(stays, 1), (goes, 1)]);
        let (_seat, mut feed) = hub.join("n".into());
        assert_eq!(hub.list(&[(stays, 1)]), [(stays, 1)]);
        assert_eq!(feed.changes.try_recv().unwrap(), goes);
        assert!(feed.changes.try_recv().is_err());
        assert_eq!((in_place(&hub, stays), in_place(&hub, goes)), (Some(0), None));
        // A compilation that was under way does not bring it back.
        hub.publish(goes, compiled(goes, 1));
        assert_eq!(in_place(&hub, goes), None);
    }

    #[test]
    fn an_older_bundle_never_replaces_a_newer_one() {
        let (hub, tenant) = (hub(), TenantId::new());
        assert!(hub.learn(tenant, 5));
        hub.publish(tenant, compiled(tenant, 5));
        hub.publish(tenant, compiled(tenant, 4));
        assert_eq!(in_place(&hub, tenant), Some(5));
        assert!(!hub.learn(tenant, 5));
        assert!(hub.learn(tenant, 6));
    }

    #[test]
    fn tenants_with_the_same_connector_share_it() {
        let (hub, tenants) = (hub(), [TenantId::new(), TenantId::new()]);
        hub.list(&tenants.map(|tenant| (tenant, 1)));
        for tenant in tenants {
            let connectors = [("00".to_owned(), Arc::new(v1::Connector::default()))].into();
            hub.publish(tenant, Compiled { connectors, ..compiled(tenant, 1) });
        }
        let [one, other] = tenants.map(|tenant| match hub.tenant(tenant) {
            Word::Bundle(compiled) => Arc::clone(&compiled.connectors["00"]),
            Word::Keep | Word::Gone => panic!("no bundle"),
        });
        assert!(Arc::ptr_eq(&one, &other));
    }

    #[test]
    fn a_revision_that_the_database_has_not_come_to_is_noted_once_at_its_highest() {
        let (hub, tenant) = (hub(), TenantId::new());
        hub.list(&[(tenant, 50)]);
        hub.note_held(TenantId::new(), 60);
        hub.note_held(tenant, 50);
        hub.note_held(tenant, u64::MAX);
        assert!(hub.take_ahead().is_empty());
        hub.note_held(tenant, 60);
        hub.note_held(tenant, 55);
        assert_eq!(hub.take_ahead(), HashMap::from([(tenant, 60)]));
        assert!(hub.take_ahead().is_empty());
    }

    #[test]
    fn a_database_put_back_under_a_running_hub_is_noted_too() {
        let (hub, tenant) = (hub(), TenantId::new());
        hub.list(&[(tenant, 60)]);
        hub.publish(tenant, compiled(tenant, 60));
        assert!(hub.list(&[(tenant, 50)]).is_empty());
        assert_eq!(hub.take_ahead(), HashMap::from([(tenant, 60)]));
    }

    #[test]
    fn a_list_of_later_days_does_not_undo_completeness_but_an_outdated_hub_starts_over() {
        let hub = hub();
        hub.enter(Stage::Complete);
        assert_eq!(hub.stage(), Stage::Starting);
        for (next, then) in [
            (Stage::Listed, Stage::Listed),
            (Stage::Complete, Stage::Complete),
            (Stage::Listed, Stage::Complete),
            (Stage::Outdated, Stage::Outdated),
            (Stage::Complete, Stage::Outdated),
            (Stage::Listed, Stage::Listed),
        ] {
            hub.enter(next);
            assert_eq!(hub.stage(), then);
        }
    }
}
