//! What is in force: tenants by host, keys, settings. Read without locks by every request, replaced by `apply` alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use toolmesh_proto::ids::TenantId;
use toolmesh_proto::v1;

use crate::catalog::Tenant;
use crate::identity::{Keys, Revoked};
use crate::policy::Feed;

/// Silence of the feed of revocations that is no longer usual; the control plane lets hear of itself every five seconds.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(30);

/// Stands for a feed that was never heard.
const NEVER: u64 = u64::MAX;

/// The live table.
#[derive(Debug)]
pub struct Table {
    tenants: ArcSwap<Tenants>,
    keys: ArcSwap<Keys>,
    revoked: ArcSwap<Revoked>,
    settings: ArcSwap<v1::NodeSettings>,
    ready: watch::Sender<bool>,
    /// Sent whenever somebody's access may have ended.
    access: watch::Sender<()>,
    began: Instant,
    /// When the feed of revocations was last heard, in milliseconds since `began`, or [`NEVER`].
    feed_heard: AtomicU64,
}

#[derive(Clone, Debug, Default)]
struct Tenants {
    by_host: HashMap<Arc<str>, Arc<Tenant>>,
    by_id: HashMap<TenantId, Arc<Tenant>>,
}

/// A tenant whose host is another's.
#[derive(Debug, thiserror::Error)]
#[error("host {host} belongs to tenant {owner}")]
pub struct HostTaken {
    host: String,
    owner: TenantId,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            tenants: ArcSwap::default(),
            keys: ArcSwap::default(),
            revoked: ArcSwap::default(),
            settings: ArcSwap::default(),
            ready: watch::Sender::new(false),
            access: watch::Sender::new(()),
            began: Instant::now(),
            feed_heard: AtomicU64::new(NEVER),
        }
    }
}

impl Table {
    /// The tenant that a host names.
    #[must_use]
    pub fn tenant(&self, host: &str) -> Option<Arc<Tenant>> {
        self.tenants.load().by_host.get(host).cloned()
    }

    /// The tenant with an id.
    #[must_use]
    pub fn tenant_by_id(&self, id: TenantId) -> Option<Arc<Tenant>> {
        self.tenants.load().by_id.get(&id).cloned()
    }

    /// All tenants.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Tenant>> {
        self.tenants.load().by_id.values().cloned().collect()
    }

    /// Keys that access tokens are checked with.
    #[must_use]
    pub fn keys(&self) -> Arc<Keys> {
        self.keys.load_full()
    }

    /// What was taken back before its tokens expired.
    #[must_use]
    pub fn revoked(&self) -> Arc<Revoked> {
        self.revoked.load_full()
    }

    /// Hears of every change after which somebody may have lost access.
    #[must_use]
    pub fn access_changes(&self) -> watch::Receiver<()> {
        self.access.subscribe()
    }

    /// How long nothing has been heard of revocations: while the feed lives, a few seconds at most.
    #[must_use]
    pub fn revocation_age(&self) -> Duration {
        let heard = match self.feed_heard.load(Ordering::Relaxed) {
            NEVER => Duration::ZERO,
            heard => Duration::from_millis(heard),
        };
        self.began.elapsed().saturating_sub(heard)
    }

    /// Whether the feed of revocations is heard. A node that was started while the control plane is away does not know how old
    /// what it has is, so it is silent from the beginning.
    #[must_use]
    pub fn feed(&self) -> Feed {
        let never = self.feed_heard.load(Ordering::Relaxed) == NEVER;
        if never || self.revocation_age() > SILENT_AFTER { Feed::Silent } else { Feed::Heard }
    }

    #[must_use]
    pub fn settings(&self) -> Arc<v1::NodeSettings> {
        self.settings.load_full()
    }

    /// Whether there has been a whole state, from the stream or from the disk.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        // The sender lives as long as `self`, so the wait ends only with the value.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    pub(super) fn set_ready(&self) {
        self.ready.send_replace(true);
    }

    pub(super) fn set_keys(&self, keys: &v1::KeySet) {
        self.keys.store(Arc::new(Keys::new(keys)));
        self.access.send_replace(());
    }

    pub(super) fn set_revoked(&self, revoked: Revoked) {
        self.revoked.store(Arc::new(revoked));
        self.access.send_replace(());
    }

    pub(super) fn hear_feed(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NEVER - 1);
        self.feed_heard.store(millis, Ordering::Relaxed);
    }

    pub(super) fn set_settings(&self, settings: v1::NodeSettings) {
        self.settings.store(Arc::new(settings));
    }

    /// Puts a tenant in force, in place of what it was.
    pub(super) fn put(&self, tenant: Arc<Tenant>) -> Result<(), HostTaken> {
        let mut tenants = Tenants::clone(&self.tenants.load());
        if let Some(other) = tenants.by_host.get(tenant.host.as_str())
            && other.id != tenant.id
        {
            return Err(HostTaken { host: tenant.host.clone(), owner: other.id });
        }
        if let Some(before) = tenants.by_id.insert(tenant.id, Arc::clone(&tenant)) {
            tenants.by_host.remove(before.host.as_str());
        }
        tenants.by_host.insert(Arc::from(tenant.host.as_str()), tenant);
        self.tenants.store(Arc::new(tenants));
        self.access.send_replace(());
        Ok(())
    }

    pub(super) fn remove(&self, id: TenantId) {
        let mut tenants = Tenants::clone(&self.tenants.load());
        if let Some(before) = tenants.by_id.remove(&id) {
            tenants.by_host.remove(before.host.as_str());
            self.tenants.store(Arc::new(tenants));
            self.access.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::samples;

    #[test]
    fn a_tenant_is_found_by_its_host_until_it_moves_or_goes() {
        let table = Table::default();
        table.put(Arc::new(samples::tenant())).unwrap();
        assert!(table.tenant("acme.localhost").is_some());
        let mut bundle = samples::bundle();
        bundle.origin = "https://new.example.net".into();
        table.put(Arc::new(samples::compile(&bundle))).unwrap();
        assert!(table.tenant("acme.localhost").is_none());
        assert!(table.tenant("new.example.net").is_some());
        table.remove(samples::TENANT.parse().unwrap());
        assert!(table.tenant("new.example.net").is_none());
        assert!(table.all().is_empty());
    }

    #[test]
    fn a_feed_that_was_never_heard_is_silent_from_the_beginning() {
        let table = Table::default();
        assert_eq!(table.feed(), Feed::Silent);
        table.hear_feed();
        assert_eq!(table.feed(), Feed::Heard);
    }

    #[test]
    fn a_host_cannot_be_taken_from_its_tenant() {
        let table = Table::default();
        table.put(Arc::new(samples::tenant())).unwrap();
        let mut bundle = samples::bundle();
        bundle.tenant_id = TenantId::new().to_string();
        assert!(table.put(Arc::new(samples::compile(&bundle))).is_err());
        assert_eq!(table.tenant("acme.localhost").unwrap().id.to_string(), samples::TENANT);
    }
}
