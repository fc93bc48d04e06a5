//! The OAuth 2.1 authorization server of every tenant.
//!
//! Issuer is the tenant's origin; the endpoints stand on the console's origin, one set per tenant. Knows users by id only;
//! login and the consent page belong to the console, which asks [`authorize`] what to show and what follows.

pub mod authorize;
pub mod clients;
pub mod connections;
mod giving_back;
pub mod http;
mod id_jag;
pub mod identity_providers;
pub mod key_sets;
pub mod keys;
mod machines;
pub mod redirect;
pub mod refusals;
pub mod schedule;
mod scopes;
pub mod store;
pub mod tokens;

use std::sync::Arc;

use crate::credentials::envelope::{SealedValues, Vault};
use crate::db::Db;
use crate::error::Result;
use crate::outbound::Outbound;
use crate::revocations;
use crate::tenants::Tenant;
use clients::documents::Documents;
use clients::registered::{DerivedSecrets, RegistrationLimits};
use key_sets::KeySets;
use keys::KeyRing;
use refusals::RefusalLimit;
use toolmesh_proto::ids::{TenantId, UserId};
use toolmesh_proto::slug::TenantOrigins;

/// Where the authorization server stands.
pub struct Places {
    pub origins: TenantOrigins,
    pub console_origin: String,
}

/// The authorization server with what it needs. Cheap to clone.
#[derive(Clone)]
pub struct Oauth {
    db: Db,
    keys: Arc<KeyRing>,
    origins: TenantOrigins,
    console_origin: String,
    /// Clients that are known by a document.
    documents: Documents,
    /// Public keys of those who sign, fetched and kept.
    key_sets: KeySets,
    /// Secrets of clients that registered themselves.
    client_secrets: DerivedSecrets,
    /// Seals what a client registered into its client id.
    registrations: SealedValues,
    /// Seals an authorization request while the person decides.
    requests: SealedValues,
    registration_limits: Arc<RegistrationLimits>,
    refusal_limit: Arc<RefusalLimit>,
}

impl Oauth {
    /// # Errors
    /// Only if the crypto library refuses.
    pub fn new(
        db: Db,
        vault: &Vault,
        keys: Arc<KeyRing>,
        places: Places,
        outbound: Outbound,
    ) -> Result<Self> {
        let Places { origins, console_origin } = places;
        Ok(Self {
            documents: Documents::new(outbound.clone()),
            key_sets: KeySets::new(outbound),
            client_secrets: DerivedSecrets::new(vault)?,
            console_origin,
            db,
            keys,
            origins,
            registrations: vault.sealed_values("oauth client registration v1")?,
            requests: vault.sealed_values("oauth authorization request v1")?,
            registration_limits: Arc::default(),
            refusal_limit: Arc::default(),
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

    /// Names of the clients that a person has connected in a tenant.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn clients_of(&self, tenant: TenantId, user: UserId) -> Result<Vec<String>> {
        let mut tx = self.db.tenant(tenant).await?;
        store::clients_of(&mut tx, user).await
    }

    /// Deletes what has ended in a tenant, and forgets what limits no longer need.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tidy(&self, tenant: TenantId) -> Result<()> {
        self.registration_limits.tidy();
        self.refusal_limit.tidy();
        let mut tx = self.db.tenant(tenant).await?;
        store::prune(&mut tx).await?;
        revocations::prune(&mut tx).await?;
        clients::store::prune(&mut tx).await?;
        refusals::store::prune(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    /// The tenant's issuer and origin.
    fn origin(&self, slug: &str) -> String {
        self.origins.of_stored(slug)
    }

    /// The tenant's token endpoint, as its metadata name it.
    fn token_endpoint(&self, tenant: &Tenant) -> String {
        format!("{}/oauth/{}/token", self.console_origin, tenant.slug)
    }
}
