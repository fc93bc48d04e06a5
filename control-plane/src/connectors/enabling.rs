//! Enabling connectors for a workspace: what an admin enters, checked, and what it begins with.

use prost::Message as _;
use secrecy::SecretString;
use toolmesh_proto::ids::{InstallationId, PrivateConnectorId};
use toolmesh_proto::{connector_hash, names, v1};
use url::Url;

use super::exposure::Exposure;
use super::private::Opened;
use super::{Installation, Installations, dadl, store};
use crate::accounts::members::{Membership, Permission};
use crate::db::TenantTx;
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

impl Installations {
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
