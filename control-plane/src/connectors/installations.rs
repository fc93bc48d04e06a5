//! Connectors that a workspace has enabled: what there is, and changing it. How one is enabled is in `enabling`.

use std::sync::Arc;

use secrecy::SecretString;
use toolmesh_proto::egress::EgressPolicy;
use toolmesh_proto::ids::{InstallationId, TenantId, UserId};
use toolmesh_proto::seal::Sealer;
use toolmesh_proto::v1;
use url::Url;

use super::catalog::{Catalog, CatalogEntry};
use super::exposure::Exposure;
use super::installation::{Installation, ToolRow, known_credentials, oauth2};
use super::{grants, store};
use crate::accounts::members::{Membership, Permission};
use crate::credentials;
use crate::credentials::envelope::Vault;
use crate::db::{Db, TenantTx};
use crate::error::{Error, Result};

/// The capability with what it needs.
#[derive(Clone)]
pub struct Installations {
    pub(super) db: Db,
    pub(super) vault: Vault,
    pub(super) sealer: Sealer,
    pub(super) catalog: Arc<Catalog>,
    pub(super) egress: EgressPolicy,
}

impl Installations {
    #[must_use]
    pub const fn new(
        db: Db,
        vault: Vault,
        sealer: Sealer,
        catalog: Arc<Catalog>,
        egress: EgressPolicy,
    ) -> Self {
        Self { db, vault, sealer, catalog, egress }
    }

    /// # Errors
    /// When the database fails.
    pub async fn list(&self, tenant: TenantId) -> Result<Vec<Installation>> {
        let mut tx = self.db.tenant(tenant).await?;
        self.load_all(&mut tx).await
    }

    /// # Errors
    /// `NotFound` for an id of no or another workspace.
    pub async fn get(&self, tenant: TenantId, id: InstallationId) -> Result<Installation> {
        let mut tx = self.db.tenant(tenant).await?;
        self.load(&mut tx, id).await
    }

    /// Switches one tool on or off.
    ///
    /// # Errors
    /// `NotFound` for an unknown installation or tool.
    pub async fn set_tool(
        &self,
        by: &Membership,
        id: InstallationId,
        tool: &str,
        enabled: bool,
    ) -> Result<Installation> {
        self.set_tools(by, id, |row| row.tool == tool, enabled).await
    }

    /// Switches all tools of an access class on or off; `all` means every tool.
    ///
    /// # Errors
    /// `NotFound` when no tool has this class.
    pub async fn set_access(
        &self,
        by: &Membership,
        id: InstallationId,
        class: &str,
        enabled: bool,
    ) -> Result<Installation> {
        self.set_tools(by, id, |row| class == "all" || row.access.as_str() == class, enabled).await
    }

    async fn set_tools(
        &self,
        by: &Membership,
        id: InstallationId,
        which: impl Fn(&ToolRow) -> bool,
        enabled: bool,
    ) -> Result<Installation> {
        by.require(Permission::Connectors)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let before = self.load(&mut tx, id).await?;
        let tools: Vec<String> = before.tools().into_iter().filter(which).map(|row| row.tool).collect();
        if tools.is_empty() {
            return Err(Error::NotFound);
        }
        store::set_tools(&mut tx, id, &tools, enabled, by.user).await?;
        let after = self.load(&mut tx, id).await?;
        tx.commit_change().await?;
        Ok(after)
    }

    /// Says where clients find the tools of an installation.
    ///
    /// # Errors
    /// `NotFound` for an unknown installation.
    pub async fn set_exposure(
        &self,
        by: &Membership,
        id: InstallationId,
        exposure: Exposure,
    ) -> Result<Installation> {
        by.require(Permission::Connectors)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        self.load(&mut tx, id).await?;
        store::set_exposure(&mut tx, id, exposure.as_str()).await?;
        let after = self.load(&mut tx, id).await?;
        tx.commit_change().await?;
        Ok(after)
    }

    /// Puts a tool into the list though the others of its installation are for code, or takes it out again.
    ///
    /// # Errors
    /// `NotFound` for an unknown installation or a tool that clients cannot use.
    pub async fn set_promoted(
        &self,
        by: &Membership,
        id: InstallationId,
        tool: &str,
        promoted: bool,
    ) -> Result<Installation> {
        by.require(Permission::Connectors)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let before = self.load(&mut tx, id).await?;
        if !before.tools().iter().any(|row| row.tool == tool && !row.hidden) {
            return Err(Error::NotFound);
        }
        store::set_promoted(&mut tx, id, tool, promoted, by.user).await?;
        let after = self.load(&mut tx, id).await?;
        tx.commit_change().await?;
        Ok(after)
    }

    /// Replaces credentials; the old ones are gone for good.
    ///
    /// # Errors
    /// A field error for an unusable secret or one that the connector does not know.
    pub async fn replace_credentials(
        &self,
        by: &Membership,
        id: InstallationId,
        secrets: Vec<(String, SecretString)>,
    ) -> Result<Installation> {
        by.require(Permission::Connectors)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let installation = self.load(&mut tx, id).await?;
        if secrets.iter().any(|(name, _)| !installation.is_of_workspace(name)) {
            let message =
                "Each member enters their own here. To store one for all, choose the workspace's account.";
            return Err(Error::field("credential", message));
        }
        if self.set_credentials(&mut tx, by.user, id, &installation.connector, secrets).await? == 0 {
            return Err(Error::field("credential", "Enter the new credential."));
        }
        let after = self.load(&mut tx, id).await?;
        tx.commit_change().await?;
        Ok(after)
    }

    /// Points an installation at another address. Answers whether its credentials were deleted, because it is another service's.
    ///
    /// # Errors
    /// A field error for a URL that is not called.
    pub async fn set_base_url(&self, by: &Membership, id: InstallationId, base_url: &str) -> Result<bool> {
        by.require(Permission::Connectors)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let installation = self.load(&mut tx, id).await?;
        let base_url = self.base_url(base_url, &installation.connector)?;
        // A credential was given for one service; pointed at another, it would be shown to whoever runs that. Members' own count
        // as well as the workspace's.
        let other = !same_origin(&base_url, &installation.base_url);
        if other {
            credentials::forget(&mut tx, id).await?;
            grants::forget_service(&mut tx, id).await?;
        }
        store::set_base_url(&mut tx, id, &base_url).await?;
        tx.commit_change().await?;
        Ok(other && !installation.credentials.is_empty())
    }

    /// Removes an installation with its credentials; its tools are gone with the next push.
    ///
    /// # Errors
    /// A field error unless `confirm` is the installation's name.
    pub async fn remove(&self, by: &Membership, id: InstallationId, confirm: &str) -> Result<()> {
        by.require(Permission::Connectors)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let installation = self.load(&mut tx, id).await?;
        if confirm.trim() != installation.name {
            let message = format!("Type {} to confirm.", installation.name);
            return Err(Error::field("confirm", message));
        }
        store::delete(&mut tx, id).await?;
        tx.commit_change().await?;
        Ok(())
    }

    pub(super) async fn set_credentials(
        &self,
        tx: &mut TenantTx,
        by: UserId,
        id: InstallationId,
        connector: &v1::Connector,
        secrets: Vec<(String, SecretString)>,
    ) -> Result<usize> {
        let secrets = given(connector, &known_credentials(connector), secrets)?;
        let count = secrets.len();
        for (name, secret) in secrets {
            credentials::set(tx, &self.vault, id, &name, &secret, by).await?;
        }
        if count > 0 && oauth2(connector).is_some() {
            grants::secrets_changed(tx, id).await?;
        }
        Ok(count)
    }

    /// The catalog's connector that an installation stands on.
    pub(super) fn catalog_entry(&self, installation: &Installation) -> Option<&CatalogEntry> {
        self.catalog.get(&installation.connector.name).filter(|_| installation.built_in)
    }
}

pub(super) fn same_origin(a: &str, b: &str) -> bool {
    matches!((Url::parse(a), Url::parse(b)), (Ok(a), Ok(b)) if a.origin() == b.origin())
}

/// The secrets that were filled in; one that is none of those the connector is `known` to use is a mistake worth telling.
pub(super) fn given(
    connector: &v1::Connector,
    known: &[String],
    secrets: Vec<(String, SecretString)>,
) -> Result<Vec<(String, SecretString)>> {
    use secrecy::ExposeSecret as _;
    let filled: Vec<_> = secrets.into_iter().filter(|(_, s)| !s.expose_secret().trim().is_empty()).collect();
    match filled.iter().find(|(name, _)| !known.contains(name)) {
        None => {
            let kept = |(name, secret): (String, SecretString)| {
                let secret = grants::as_kept(oauth2(connector), &name, secret)?;
                Ok((name, secret))
            };
            filled.into_iter().map(kept).collect()
        }
        Some((name, _)) if known.is_empty() => Err(Error::field(
            "credential",
            format!("{} needs no credential, so {name:?} is not used.", connector.title),
        )),
        Some((name, _)) => {
            let message =
                format!("{} has no credential {name:?}; it uses {}.", connector.title, known.join(" and "));
            Err(Error::field("credential", message))
        }
    }
}
