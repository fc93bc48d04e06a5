//! Learns of committed changes and puts fresh bundles into the hub.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use toolmesh_proto::ids::TenantId;

use super::Hub;
use super::compile::Compiler;
use super::store;
use crate::db::{CHANGES_CHANNEL, Db};
use crate::error::{Error, Result};
use crate::tenants;

/// Without a notification, the outbox is read this often.
const POLL: Duration = Duration::from_millis(500);

/// All tenants are compared this often, whatever the outbox says.
const FULL_EVERY: u32 = 240;

/// The relay's task.
pub struct Relay {
    pub db: Db,
    pub compiler: Compiler,
    pub hub: Hub,
}

impl Relay {
    /// Runs until it is told to stop; a database that is away is waited for.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.follow(&stop).await {
                tracing::warn!(%error, "relay lost the database; it will try again");
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }

    async fn follow(&self, stop: &CancellationToken) -> Result<()> {
        // Listening starts before the first look, so that nothing commits unseen in between.
        let mut listener = self.db.listener().await?;
        listener.listen(CHANGES_CHANNEL).await?;
        self.compare_all().await?;
        self.hub.mark_complete();
        let mut rounds = 0;
        while !stop.is_cancelled() {
            tokio::select! {
                heard = listener.recv() => { heard?; }
                () = tokio::time::sleep(POLL) => rounds += 1,
                () = stop.cancelled() => return Ok(()),
            }
            self.read_outbox().await?;
            if rounds >= FULL_EVERY {
                rounds = 0;
                self.compare_all().await?;
                let mut tx = self.db.global().await?;
                store::prune(&mut tx).await?;
                tx.commit().await?;
            }
        }
        Ok(())
    }

    async fn read_outbox(&self) -> Result<()> {
        let mut tx = self.db.global().await?;
        let changes = store::recent_changes(&mut tx).await?;
        drop(tx);
        for (tenant, revision) in changes {
            self.refresh(tenant, revision).await?;
        }
        Ok(())
    }

    async fn compare_all(&self) -> Result<()> {
        let mut tx = self.db.global().await?;
        let heads = tenants::store::heads(&mut tx).await?;
        drop(tx);
        for (tenant, revision) in &heads {
            self.refresh(*tenant, *revision).await?;
        }
        for tenant in self.hub.tenants() {
            if heads.binary_search_by_key(&tenant, |(id, _)| *id).is_err() {
                self.hub.remove(tenant);
            }
        }
        Ok(())
    }

    /// Compiles a tenant whose revision is not in place yet. One that cannot be compiled keeps what its nodes have, and costs
    /// no other tenant anything.
    async fn refresh(&self, tenant: TenantId, revision: u64) -> Result<()> {
        if self.hub.revision(tenant) >= revision {
            return Ok(());
        }
        match self.compiler.compile(tenant).await {
            Ok(compiled) => self.hub.publish(tenant, compiled),
            Err(Error::NotFound) => self.hub.remove(tenant),
            Err(Error::Db(error)) => return Err(error.into()),
            Err(error) => tracing::error!(%tenant, revision, %error, "bundle could not be compiled"),
        }
        Ok(())
    }
}
