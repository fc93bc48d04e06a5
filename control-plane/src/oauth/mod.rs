//! The OAuth 2.1 authorization server of every tenant.
//!
//! Issuer is the tenant's origin; the endpoints stand on the console's origin, one set per tenant. Knows users by id only;
//! login and the consent page belong to the console, which asks [`authorize`] what to show and what follows.

pub mod authorize;
pub mod clients;
pub mod http;
pub mod keys;
pub mod redirect;
pub mod store;
pub mod tokens;

use governor::DefaultKeyedRateLimiter;
use std::sync::Arc;

use crate::credentials::envelope::{SealedValues, Vault};
use crate::db::Db;
use crate::error::Result;
use keys::KeyRing;
use toolmesh_proto::ids::{TenantId, UserId};
use toolmesh_proto::slug::TenantOrigins;

/// The authorization server with what it needs. Cheap to clone.
#[derive(Clone)]
pub struct Oauth {
    db: Db,
    keys: Arc<KeyRing>,
    origins: TenantOrigins,
    /// Seals what a client registered into its client id.
    registrations: SealedValues,
    /// Seals an authorization request while the person decides.
    requests: SealedValues,
    registration_limit: Arc<DefaultKeyedRateLimiter<String>>,
}

impl Oauth {
    /// # Errors
    /// Only if the crypto library refuses.
    pub fn new(db: Db, vault: &Vault, keys: Arc<KeyRing>, origins: TenantOrigins) -> Result<Self> {
        Ok(Self {
            db,
            keys,
            origins,
            registrations: vault.sealed_values("oauth client registration v1")?,
            requests: vault.sealed_values("oauth authorization request v1")?,
            registration_limit: Arc::new(clients::registration_limit()),
        })
    }

    /// The public keys that access tokens are checked with.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Name of the client that a person, or for `anybody` the workspace, connected last.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_client(&self, tenant: TenantId, user: UserId, anybody: bool) -> Result<Option<String>> {
        let mut tx = self.db.tenant(tenant).await?;
        store::last_client(&mut tx, if anybody { None } else { Some(user) }).await
    }

    /// Deletes what has ended in a tenant, and forgets what limits no longer need.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tidy(&self, tenant: TenantId) -> Result<()> {
        self.registration_limit.retain_recent();
        let mut tx = self.db.tenant(tenant).await?;
        store::prune(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    /// The tenant's issuer and origin.
    fn origin(&self, slug: &str) -> String {
        self.origins.of_stored(slug)
    }
}
