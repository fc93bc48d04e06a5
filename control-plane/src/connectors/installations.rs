//! Enabling connectors for a workspace, and changing what was enabled.

use std::sync::Arc;

use prost::Message as _;
use secrecy::SecretString;
use toolmesh_proto::egress::EgressPolicy;
use toolmesh_proto::ids::{InstallationId, PrivateConnectorId, TenantId, UserId};
use toolmesh_proto::seal::Sealer;
use toolmesh_proto::{connector_hash, names, v1};
use url::Url;

use super::catalog::{Catalog, CatalogEntry};
use super::exposure::Exposure;
use super::installation::{Installation, ToolRow, known_credentials, oauth2};
use super::private::Opened;
use super::{dadl, grants, overrides, store};
use crate::accounts::members::{Membership, Permission};
use crate::credentials;
use crate::credentials::envelope::Vault;
use crate::db::{Db, TenantTx};
use crate::error::{Error, OnConstraint as _, Result};

/// Installations in one workspace.
const MAX_INSTALLATIONS: usize = 100;

/// Where a connector comes from.
pub enum Source {
    /// Its name in the built-in catalog.
    BuiltIn(String),
    /// DADL text, and what to call it in messages.
    Dadl { text: String, origin: String },
    /// A connector of the workspace's own, in its newest version.
    Private { id: PrivateConnectorId, opened: Box<Opened> },
}

/// What an admin enters to enable a connector.
pub struct Install {
    pub source: Source,
    /// Prefix of the tools' names; the connector's own name where empty.
    pub name: String,
    /// The connector's own where empty.
    pub base_url: String,
    /// By logical name; empty ones count as not given.
    pub credentials: Vec<(String, SecretString)>,
}

/// A compiled connector with its source text.
pub(super) struct Prepared {
    source: String,
    pub(super) connector: v1::Connector,
    hash: String,
    built_in: bool,
    /// Tools that it begins without.
    default_off: Vec<String>,
    private: Option<PrivateConnectorId>,
}

/// The capability with what it needs.
#[derive(Clone)]
pub struct Installations {
    pub(super) db: Db,
    pub(super) vault: Vault,
    pub(super) sealer: Sealer,
    catalog: Arc<Catalog>,
    egress: EgressPolicy,
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

    /// Enables a connector; nodes serve its tools with the next push.
    ///
    /// # Errors
    /// Names the field that has to be mended; `source` for text that does not compile.
    pub async fn install(&self, by: &Membership, input: Install) -> Result<Installation> {
        by.require(Permission::Connectors)?;
        let prepared = self.prepare(&input.source)?;
        let name =
            if input.name.trim().is_empty() { prepared.connector.name.as_str() } else { input.name.trim() };
        let name = check_name(name)?;
        let base_url = self.base_url(&input.base_url, &prepared.connector)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        if store::count(&mut tx).await? >= MAX_INSTALLATIONS {
            return Err(full());
        }
        let id = InstallationId::new();
        let compiled = prepared.connector.encode_to_vec();
        let named = (prepared.hash.as_str(), prepared.connector.name.as_str());
        store::insert_connector(&mut tx, named, &prepared.source, &compiled, prepared.built_in).await?;
        let others = self.load_all(&mut tx).await?;
        let shown = |tool: &&v1::Tool| !tool.hidden && !prepared.default_off.contains(&tool.name);
        let shown = prepared.connector.tools.iter().filter(shown).count();
        let exposure = Exposure::of_new(&others, shown).as_str();
        let row = store::NewInstallation { name: &name, hash: &prepared.hash, base_url: &base_url, exposure };
        store::insert(&mut tx, id, row, prepared.private, by.user)
            .await
            .on_constraint("installations_name_key", || name_taken(&name))?;
        store::set_tools(&mut tx, id, &prepared.default_off, false, by.user).await?;
        self.set_credentials(&mut tx, by.user, id, &prepared.connector, input.credentials).await?;
        let installation = self.load(&mut tx, id).await?;
        tx.commit_change().await?;
        Ok(installation)
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

    pub(super) fn prepare(&self, source: &Source) -> Result<Prepared> {
        match source {
            Source::BuiltIn(name) => {
                let entry = self.catalog.get(name).ok_or(Error::NotFound)?;
                Ok(Prepared {
                    source: entry.source.to_string(),
                    connector: entry.compiled.connector.clone(),
                    hash: entry.connector_hash.clone(),
                    built_in: true,
                    default_off: entry.compiled.default_off.iter().cloned().collect(),
                    private: None,
                })
            }
            Source::Dadl { text, origin } => {
                let compiled =
                    dadl::compile(text, origin).map_err(|e| Error::field("source", e.to_string()))?;
                let hash = connector_hash(&compiled.connector);
                Ok(Prepared {
                    source: text.clone(),
                    connector: compiled.connector,
                    hash,
                    built_in: false,
                    default_off: compiled.default_off.into_iter().collect(),
                    private: None,
                })
            }
            Source::Private { id, opened } => {
                let connector = opened.compiled.connector.clone();
                Ok(Prepared {
                    source: opened.source.clone(),
                    hash: connector_hash(&connector),
                    connector,
                    built_in: false,
                    default_off: opened.compiled.default_off.iter().cloned().collect(),
                    private: Some(*id),
                })
            }
        }
    }

    pub(super) fn base_url(&self, typed: &str, connector: &v1::Connector) -> Result<String> {
        let text = if typed.trim().is_empty() { connector.base_url.as_str() } else { typed.trim() };
        if text.is_empty() {
            return Err(Error::field(
                "base_url",
                "This connector has no address of its own. Enter its base URL.",
            ));
        }
        let url = self.egress.parse(text).map_err(|e| Error::field("base_url", sentence(&e.to_string())))?;
        // The address of an MCP server is that of its endpoint, and may tell apart by its query what is behind it.
        if (url.query().is_some() && connector.server.is_none()) || url.fragment().is_some() {
            return Err(Error::field("base_url", "Leave out everything from ? or # on."));
        }
        Ok(url.to_string())
    }

    /// Reads the address of an MCP server as an admin typed it.
    pub(super) fn endpoint(&self, typed: &str) -> Result<Url> {
        if typed.trim().is_empty() {
            return Err(Error::field(
                "url",
                "Enter the server's address, such as https://mcp.example.com/mcp.",
            ));
        }
        let mut url = self.egress.parse(typed).map_err(|e| Error::field("url", sentence(&e.to_string())))?;
        url.set_fragment(None);
        Ok(url)
    }

    /// Enables an MCP server, with none of its definitions in use.
    pub(super) async fn insert_server(
        &self,
        tx: &mut TenantTx,
        by: &Membership,
        name: &str,
        url: &str,
        connector: &v1::Connector,
        secrets: Vec<(String, SecretString)>,
    ) -> Result<InstallationId> {
        if store::count(tx).await? >= MAX_INSTALLATIONS {
            return Err(full());
        }
        let (id, hash) = (InstallationId::new(), connector_hash(connector));
        let compiled = connector.encode_to_vec();
        store::insert_connector(tx, (&hash, &connector.name), "", &compiled, false).await?;
        let exposure = Exposure::Direct.as_str();
        let row = store::NewInstallation { name, hash: &hash, base_url: url, exposure };
        store::insert(tx, id, row, None, by.user)
            .await
            .on_constraint("installations_name_key", || name_taken(name))?;
        self.set_credentials(tx, by.user, id, connector, secrets).await?;
        Ok(id)
    }

    async fn set_credentials(
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

    pub(super) async fn load(&self, tx: &mut TenantTx, id: InstallationId) -> Result<Installation> {
        let row = store::get(tx, id).await?.ok_or(Error::NotFound)?;
        complete(tx, vec![row], Some(id)).await?.pop().ok_or(Error::NotFound)
    }

    pub(super) async fn load_all(&self, tx: &mut TenantTx) -> Result<Vec<Installation>> {
        let rows = store::all(tx).await?;
        complete(tx, rows, None).await
    }
}

/// Adds what stands in other tables, with one query each; `only` where the rows are those of one installation.
pub(super) async fn complete(
    tx: &mut TenantTx,
    rows: Vec<store::InstallationRow>,
    only: Option<InstallationId>,
) -> Result<Vec<Installation>> {
    let mut disabled = store::disabled_tools(tx, only).await?;
    let mut promoted = store::promoted_tools(tx, only).await?;
    let mut credentials = credentials::facts(tx, only, None).await?;
    let mut granted = grants::facts(tx, only, None).await?;
    let mut overrides = overrides::store::all(tx, only).await?;
    let with_both = |row: store::InstallationRow| {
        let overrides = overrides.remove(&row.id).unwrap_or_default();
        Ok(Installation {
            connector: decode(&row)?,
            disabled: disabled.remove(&row.id).unwrap_or_default(),
            credentials: credentials.remove(&row.id).unwrap_or_default(),
            grant: granted.remove(&row.id),
            promoted: promoted.remove(&row.id).unwrap_or_default(),
            exposure: exposure(&row.exposure),
            personal: row.personal,
            id: row.id,
            name: row.name,
            base_url: row.base_url,
            connector_hash: row.connector_hash,
            built_in: row.built_in,
            private: row.private_connector_id.map(Into::into),
            created_at: row.created_at,
            created_by: row.created_by,
            created_by_email: row.created_by_email,
            bare_names: row.bare_names,
            timeout_seconds: row.timeout_seconds.unsigned_abs(),
            overrides,
        })
    };
    rows.into_iter().map(with_both).collect()
}

pub(super) fn decode(row: &store::InstallationRow) -> Result<Arc<v1::Connector>> {
    v1::Connector::decode(row.compiled.as_slice())
        .map(Arc::new)
        .map_err(|error| Error::Internal(format!("connector of installation {}: {error}", row.id)))
}

/// The table's own rule lets no other word in.
pub(super) fn exposure(word: &str) -> Exposure {
    Exposure::parse(word).unwrap_or_default()
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

fn check_name(name: &str) -> Result<String> {
    if names::is_installation_name(name) {
        return Ok(name.to_owned());
    }
    let message = "Use 1 to 24 lower-case letters, digits and hyphens, starting with a letter, such as github or crm-eu.";
    Err(Error::field("name", message))
}

fn full() -> Error {
    Error::field("name", "This workspace has 100 connectors, which is the most.")
}

pub(super) fn name_taken(name: &str) -> Error {
    Error::field(
        "name",
        format!("A connector named {name} is enabled already. Choose another name, such as {name}-2."),
    )
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), chars.as_str()))
}
