//! What a message of the stream changes, and what the node answers.
//!
//! The only writer of the table. A change is in force first, then on disk, then acknowledged. An installation that does not
//! compile is left out and told to operators; a bundle that cannot be used at all is refused with its reason and leaves
//! what was.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use toolmesh_proto::ids::TenantId;
use toolmesh_proto::v1;
use toolmesh_proto::v1::control_message::Message as Control;
use toolmesh_proto::v1::node_message::Message as Reply;

use super::ledger::{Ledger, LedgerError, Loaded};
use super::table::Table;
use crate::catalog::{Connector, Tenant};

/// Applies messages, one at a time.
#[derive(Debug)]
pub struct Applier {
    table: Arc<Table>,
    ledger: Ledger,
    /// By hash; what was refused, with the reason, so that bundles that name it can say why.
    connectors: HashMap<String, Result<Arc<Connector>, String>>,
    keys: v1::KeySet,
}

impl Applier {
    #[must_use]
    pub fn new(table: Arc<Table>, ledger: Ledger) -> Self {
        Self { table, ledger, connectors: HashMap::new(), keys: v1::KeySet::default() }
    }

    /// Puts in force what the ledger holds. If that was ever everything there is, the node is ready.
    ///
    /// # Errors
    /// When the ledger cannot be read at all.
    pub async fn restore(&mut self) -> Result<(), LedgerError> {
        let ledger = self.ledger.clone();
        let Loaded { node, connectors, bundles, revocations, caught_up } =
            blocking(move || ledger.load()).await?;
        for connector in connectors {
            self.compile_connector(connector).await;
        }
        let mut served = 0;
        for bundle in bundles {
            match self.compile_bundle(bundle).await {
                Ok(_) => served += 1,
                Err(reason) => tracing::error!(reason, "bundle from disk refused"),
            }
        }
        self.table.set_revoked(self.table.revoked().with(&revocations, now()));
        let node = node.unwrap_or_default();
        self.table.set_settings(node.settings.unwrap_or_default());
        self.keys = node.keys.unwrap_or_default();
        self.table.set_keys(&self.keys);
        // A node that was stopped in the middle of its first snapshot does not know which workspaces there are.
        if caught_up {
            self.table.set_ready();
        }
        tracing::info!(tenants = served, ready = caught_up, "ledger read");
        Ok(())
    }

    /// What this node says first. Connectors that no tenant uses any more are forgotten here, since the control plane sends
    /// each only once per stream.
    pub async fn hello(&mut self, node: &str) -> v1::Hello {
        let tenants = self.table.all();
        let used: HashSet<String> =
            tenants.iter().flat_map(|tenant| tenant.connector_hashes().map(str::to_owned)).collect();
        let unused: Vec<String> =
            self.connectors.keys().filter(|hash| !used.contains(*hash)).cloned().collect();
        for hash in unused {
            self.connectors.remove(&hash);
            self.on_disk("connector not removed", move |ledger| ledger.remove_connector(&hash)).await;
        }
        let head = |tenant: &Arc<Tenant>| v1::TenantHead {
            tenant_id: tenant.id.to_string(),
            revision: tenant.revision,
        };
        v1::Hello {
            node: node.to_owned(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            // One that lacks a connector is not held in any revision, so that everything it needs is sent again.
            tenants: tenants.iter().filter(|tenant| tenant.is_whole()).map(head).collect(),
            connector_hashes: self.connectors.keys().cloned().collect(),
        }
    }

    /// Applies one message; what it answers goes back on the stream.
    pub async fn apply(&mut self, message: Control) -> Option<Reply> {
        match message {
            Control::Snapshot(mut snapshot) => {
                let revocations = snapshot.revocations.take().unwrap_or_default();
                let sequence = revocations.sequence;
                // First: what comes in force must not serve whom it no longer should, not for a moment.
                self.revoke(revocations).await;
                self.snapshot(snapshot).await;
                return Some(Reply::RevocationsAck(v1::RevocationsAck { sequence }));
            }
            Control::Connector(connector) => {
                let hash = self.compile_connector(connector.clone()).await;
                self.on_disk("connector not kept", move |ledger| ledger.put_connector(&hash, &connector))
                    .await;
            }
            Control::Bundle(bundle) => return Some(self.bundle(bundle).await),
            Control::Removed(removed) => self.remove(&removed.tenant_id).await,
            Control::Keys(keys) => self.set_node(None, keys).await,
            Control::Revocations(revocations) => {
                let sequence = revocations.sequence;
                self.revoke(revocations).await;
                return Some(Reply::RevocationsAck(v1::RevocationsAck { sequence }));
            }
            Control::CaughtUp(_) => {
                self.table.set_ready();
                self.on_disk("being caught up not kept", Ledger::put_caught_up).await;
                tracing::info!(tenants = self.table.all().len(), "caught up with the control plane");
            }
            // Run beside the stream, by whoever reads it.
            Control::Probe(_) => {}
        }
        None
    }

    async fn snapshot(&mut self, snapshot: v1::Snapshot) {
        let live: HashSet<String> = snapshot.tenants.into_iter().map(|head| head.tenant_id).collect();
        for tenant in self.table.all() {
            if !live.contains(&tenant.id.to_string()) {
                self.table.remove(tenant.id);
                tracing::info!(tenant = %tenant.id, "tenant removed");
            }
        }
        // By what is on disk, not by what is served: a bundle that was refused lies there too.
        self.on_disk("tenants not removed", move |ledger| ledger.retain_bundles(&live)).await;
        self.set_node(snapshot.settings, snapshot.keys.unwrap_or_default()).await;
    }

    /// Takes back what is told, for good: nothing that comes later undoes it.
    async fn revoke(&self, told: v1::Revocations) {
        self.table.hear_feed();
        if told.revocations.is_empty() {
            return;
        }
        let revoked = self.table.revoked().with(&told.revocations, now());
        let all = revoked.entries();
        self.table.set_revoked(revoked);
        tracing::info!(count = told.revocations.len(), sequence = told.sequence, "revocations in force");
        self.on_disk("revocations not kept", move |ledger| ledger.put_revocations(all)).await;
    }

    async fn set_node(&mut self, settings: Option<v1::NodeSettings>, keys: v1::KeySet) {
        if let Some(settings) = settings {
            self.table.set_settings(settings);
        }
        // Known tokens stay remembered while the keys are the same.
        if keys != self.keys {
            self.table.set_keys(&keys);
            self.keys = keys;
        }
        let (settings, keys) = (self.table.settings(), self.keys.clone());
        self.on_disk("settings not kept", move |ledger| ledger.put_node(&settings, &keys)).await;
    }

    async fn remove(&self, tenant_id: &str) {
        let Ok(id) = tenant_id.parse::<TenantId>() else { return };
        self.table.remove(id);
        tracing::info!(tenant = %id, "tenant removed");
        self.on_disk("tenant not removed", move |ledger| ledger.remove_bundle(id)).await;
    }

    async fn bundle(&mut self, bundle: v1::TenantBundle) -> Reply {
        let (tenant_id, revision) = (bundle.tenant_id.clone(), bundle.revision);
        let before = tenant_id.parse().ok().and_then(|id| self.table.tenant_by_id(id));
        let held = before.as_ref().map_or(0, |tenant| tenant.revision);
        let lacking = before.is_some_and(|tenant| !tenant.is_whole());
        if held > revision || (held == revision && !lacking) {
            return Reply::Ack(v1::Ack { tenant_id, revision });
        }
        match self.compile_bundle(bundle.clone()).await {
            Ok(id) => {
                tracing::info!(tenant = tenant_id, revision, "bundle in force");
                self.on_disk("bundle not kept", move |ledger| ledger.put_bundle(id, &bundle)).await;
                Reply::Ack(v1::Ack { tenant_id, revision })
            }
            Err(reason) => {
                tracing::error!(tenant = tenant_id, revision, kept = held, reason, "bundle refused");
                Reply::Nack(v1::Nack { tenant_id, revision, kept_revision: held, reason })
            }
        }
    }

    async fn compile_bundle(&self, bundle: v1::TenantBundle) -> Result<TenantId, String> {
        let used: HashMap<String, Result<Arc<Connector>, String>> = bundle
            .installations
            .iter()
            .filter_map(|i| Some((i.connector_hash.clone(), self.connectors.get(&i.connector_hash)?.clone())))
            .collect();
        let compile = move || Tenant::compile(&bundle, &|hash| used.get(hash).cloned());
        let compiled = tokio::task::spawn_blocking(compile).await;
        let tenant =
            compiled.map_err(|_| "compiling it failed".to_owned())?.map_err(|error| error.to_string())?;
        let id = tenant.id;
        for fault in &tenant.faults {
            let reason = fault.to_string();
            tracing::error!(tenant = %id, revision = tenant.revision, reason, "part of a bundle left out");
        }
        self.table.put(Arc::new(tenant)).map_err(|error| error.to_string())?;
        Ok(id)
    }

    /// Compiles a connector, or keeps why it cannot be; answers its hash.
    async fn compile_connector(&mut self, definition: v1::Connector) -> String {
        let hash = toolmesh_proto::connector_hash(&definition);
        if self.connectors.contains_key(&hash) {
            return hash;
        }
        // A definition that makes a library panic hurts the tenants that use it, not the node.
        let compiled = tokio::task::spawn_blocking(move || Connector::compile(&definition)).await;
        let compiled = match compiled {
            Ok(Ok(connector)) => Ok(Arc::new(connector)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("compiling it failed".to_owned()),
        };
        if let Err(reason) = &compiled {
            tracing::error!(hash, reason, "connector refused");
        }
        self.connectors.insert(hash.clone(), compiled);
        hash
    }

    /// Changes the ledger. A failure is told to operators and does not undo what is in force.
    async fn on_disk(
        &self,
        failure: &'static str,
        change: impl FnOnce(&Ledger) -> Result<(), LedgerError> + Send + 'static,
    ) {
        let ledger = self.ledger.clone();
        if let Err(error) = blocking(move || change(&ledger)).await {
            tracing::error!(%error, "{failure}");
        }
    }
}

fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(LedgerError::Io("ledger".into(), std::io::Error::other(error))))
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::catalog::samples;

    fn applier(folder: &std::path::Path) -> Applier {
        let ledger = Ledger::open(folder, &SecretString::from("secret")).unwrap();
        Applier::new(Arc::new(Table::default()), ledger)
    }

    fn snapshot(tenants: &[&str]) -> Control {
        let head = |id: &&str| v1::TenantHead { tenant_id: (*id).to_owned(), revision: 1 };
        Control::Snapshot(v1::Snapshot {
            tenants: tenants.iter().map(head).collect(),
            settings: Some(v1::NodeSettings { console_origin: "http://localhost:8080".into() }),
            keys: None,
            revocations: None,
        })
    }

    fn revoked_grant(applier: &Applier) -> bool {
        applier.table.revoked().entries().iter().any(|entry| entry.subject == "g")
    }

    fn grant_revocation() -> v1::Revocations {
        let entry = v1::Revocation {
            tenant_id: samples::TENANT.into(),
            kind: v1::RevocationKind::Grant.into(),
            subject: "g".into(),
            min_iat: now(),
            api_keys: false,
        };
        v1::Revocations { sequence: 7, revocations: vec![entry] }
    }

    #[tokio::test]
    async fn a_revocation_is_in_force_when_it_is_acknowledged_and_survives_snapshots_and_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let mut applier = filled(folder.path()).await;
        let reply = applier.apply(Control::Revocations(grant_revocation())).await;
        assert!(matches!(reply, Some(Reply::RevocationsAck(ack)) if ack.sequence == 7));
        assert!(revoked_grant(&applier));
        // A control plane that does not know of it, its database put back, takes nothing back.
        applier.apply(snapshot(&[samples::TENANT])).await;
        assert!(revoked_grant(&applier));
        let mut restarted = self::applier(folder.path());
        restarted.restore().await.unwrap();
        assert!(revoked_grant(&restarted));
    }

    #[tokio::test]
    async fn a_node_that_was_away_learns_from_the_snapshot_what_was_revoked_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let mut applier = filled(folder.path()).await;
        let Control::Snapshot(mut message) = snapshot(&[samples::TENANT]) else { panic!("no snapshot") };
        message.revocations = Some(grant_revocation());
        let reply = applier.apply(Control::Snapshot(message)).await;
        assert!(matches!(reply, Some(Reply::RevocationsAck(ack)) if ack.sequence == 7));
        assert!(revoked_grant(&applier));
    }

    async fn filled(folder: &std::path::Path) -> Applier {
        let mut applier = applier(folder);
        applier.apply(snapshot(&[samples::TENANT])).await;
        applier.apply(Control::Connector(samples::connector())).await;
        let reply = applier.apply(Control::Bundle(samples::bundle())).await;
        assert!(matches!(reply, Some(Reply::Ack(v1::Ack { revision: 1, .. }))), "{reply:?}");
        applier.apply(Control::CaughtUp(v1::CaughtUp {})).await;
        applier
    }

    #[tokio::test]
    async fn a_bundle_is_in_force_when_it_is_acknowledged_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let applier = filled(folder.path()).await;
        assert!(applier.table.is_ready());
        assert!(applier.table.tenant("acme.localhost").is_some());

        let mut restarted = self::applier(folder.path());
        restarted.restore().await.unwrap();
        assert!(restarted.table.is_ready());
        assert!(restarted.table.tenant("acme.localhost").is_some());
        assert_eq!(restarted.table.settings().console_origin, "http://localhost:8080");
        let hello = restarted.hello("n").await;
        assert_eq!((hello.tenants.len(), hello.connector_hashes.len()), (1, 1));
    }

    #[tokio::test]
    async fn a_bad_bundle_is_refused_with_its_reason_and_the_one_before_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut applier = filled(folder.path()).await;
        let mut bad = samples::bundle();
        bad.revision = 2;
        bad.origin = "nowhere".into();
        let reply = applier.apply(Control::Bundle(bad)).await;
        let Some(Reply::Nack(nack)) = reply else { panic!("{reply:?}") };
        assert_eq!((nack.revision, nack.kept_revision), (2, 1));
        assert!(nack.reason.contains("nowhere"), "{}", nack.reason);
        assert_eq!(applier.table.tenant("acme.localhost").unwrap().revision, 1);
        let mut restarted = self::applier(folder.path());
        restarted.restore().await.unwrap();
        assert_eq!(restarted.table.tenant("acme.localhost").unwrap().revision, 1);
    }

    #[tokio::test]
    async fn an_old_bundle_is_acknowledged_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut applier = filled(folder.path()).await;
        let mut old = samples::bundle();
        old.name = "Old".into();
        assert!(matches!(applier.apply(Control::Bundle(old)).await, Some(Reply::Ack(_))));
        assert_eq!(applier.table.tenant("acme.localhost").unwrap().name, "Acme");
    }

    #[tokio::test]
    async fn a_tenant_that_a_snapshot_does_not_list_is_gone_from_memory_and_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut applier = filled(folder.path()).await;
        applier.apply(snapshot(&[])).await;
        assert!(applier.table.tenant("acme.localhost").is_none());
        let mut restarted = self::applier(folder.path());
        restarted.restore().await.unwrap();
        assert!(restarted.table.all().is_empty());
        assert!(applier.hello("n").await.connector_hashes.is_empty());
    }

    #[tokio::test]
    async fn a_refused_connector_costs_its_installation_and_not_the_removal_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut applier = filled(folder.path()).await;
        let mut definition = samples::connector();
        definition.tools[0].call = None;
        let mut bundle = samples::bundle();
        bundle.revision = 2;
        bundle.members.clear();
        bundle.installations[0].connector_hash = toolmesh_proto::connector_hash(&definition);
        applier.apply(Control::Connector(definition)).await;
        let reply = applier.apply(Control::Bundle(bundle)).await;
        assert!(matches!(reply, Some(Reply::Ack(v1::Ack { revision: 2, .. }))), "{reply:?}");
        let tenant = applier.table.tenant("acme.localhost").unwrap();
        assert!(tenant.member(samples::USER.parse().unwrap()).is_none() && tenant.tools.is_empty());
        assert!(tenant.faults[0].to_string().contains("kind of call"), "{:?}", tenant.faults);
    }

    #[tokio::test]
    async fn a_connector_that_is_missing_on_disk_is_asked_for_and_its_bundle_mended() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path()).await;
        std::fs::remove_dir_all(folder.path().join("connectors")).unwrap();
        let mut restarted = applier(folder.path());
        restarted.restore().await.unwrap();
        assert!(restarted.table.tenant("acme.localhost").unwrap().tools.is_empty());
        let hello = restarted.hello("n").await;
        assert!(hello.tenants.is_empty() && hello.connector_hashes.is_empty(), "{hello:?}");
        restarted.apply(Control::Connector(samples::connector())).await;
        restarted.apply(Control::Bundle(samples::bundle())).await;
        assert!(!restarted.table.tenant("acme.localhost").unwrap().tools.is_empty());
    }

    #[tokio::test]
    async fn a_node_that_never_caught_up_is_not_ready_from_its_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut applier = applier(folder.path());
        applier.apply(snapshot(&[samples::TENANT])).await;
        applier.apply(Control::Connector(samples::connector())).await;
        applier.apply(Control::Bundle(samples::bundle())).await;
        let mut restarted = self::applier(folder.path());
        restarted.restore().await.unwrap();
        assert!(restarted.table.tenant("acme.localhost").is_some());
        assert!(!restarted.table.is_ready());
    }

    #[tokio::test]
    async fn a_snapshot_removes_from_disk_also_what_is_not_served() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path()).await;
        // Never restored, so nothing of it is in the table.
        let mut applier = applier(folder.path());
        applier.apply(snapshot(&[])).await;
        assert_eq!(std::fs::read_dir(folder.path().join("tenants")).unwrap().count(), 0);
    }
}
