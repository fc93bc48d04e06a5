//! How servers fare: what nodes say of the calls that they make, beside what this plane's own looks have found.
//!
//! A node says what is not as usual, once and again on each new stream. What it said on an earlier one is forgotten when it is
//! back, and what nodes said that are gone after a day.

use std::collections::HashMap;

use time::{Duration, OffsetDateTime};
use toolmesh_proto::ids::{InstallationId, TenantId};
use toolmesh_proto::v1;

pub use super::store::Fares;
use super::{Upstreams, store};
use crate::error::Result;

/// How long a node's word holds without another; pages show nothing that is older.
const HOLDS: Duration = Duration::days(1);

impl Upstreams {
    /// How servers fare, of all installations or of one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn faring(
        &self,
        tenant: TenantId,
        only: Option<InstallationId>,
    ) -> Result<HashMap<InstallationId, Fares>> {
        let mut tx = self.db.tenant(tenant).await?;
        store::faring(&mut tx, only).await
    }

    /// Keeps how a server fares on a node.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fares(
        &self,
        tenant: TenantId,
        id: InstallationId,
        node: &str,
        told: &v1::UpstreamState,
    ) -> Result<()> {
        let mut tx = self.db.tenant(tenant).await?;
        store::set_state(&mut tx, id, node, told).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets what a node has said: it has come back, perhaps as another process, and says anew what is not as usual.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn node_is_back(&self, node: &str) -> Result<u64> {
        self.forget(Some(node)).await
    }

    /// Forgets what was said by nodes that are gone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tidy(&self) -> Result<u64> {
        self.forget(None).await
    }

    async fn forget(&self, node: Option<&str>) -> Result<u64> {
        let mut tx = self.db.global().await?;
        let forgotten = store::forget_states(&mut tx, node, OffsetDateTime::now_utc() - HOLDS).await?;
        tx.commit().await?;
        Ok(forgotten)
    }
}
