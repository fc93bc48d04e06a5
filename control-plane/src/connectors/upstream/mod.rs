//! Other MCP servers as connectors: found by an address, looked at now and then, and offered as far as an admin has approved.
//!
//! What a server says is compared with what was approved; a definition is in use while the two are the same, and waits for
//! somebody otherwise. A server that does not answer keeps everything that was approved of it. Nodes get the connector that
//! is compiled from what is in use, and never ask a server for its lists.

mod authentication;
pub mod client;
mod compile;
mod deciding;
pub mod definitions;
mod faring;
mod looking;
pub mod review;
pub mod scan;
pub(super) mod store;

use std::collections::HashMap;

use prost::Message as _;
use secrecy::SecretString;
use time::OffsetDateTime;
use toolmesh_proto::ids::{InstallationId, TenantId, UserId};
use toolmesh_proto::{connector_hash, names, v1};
use url::Url;

pub use self::authentication::{Authentication, HEADER_FIELDS, MOST_HEADERS, SecretHeader, VALUE_FIELDS};
use self::authentication::{Entered, headers};
use self::client::Trouble;
pub use self::deciding::{Choice, Decided};
pub use self::faring::Fares;
use self::review::Known;
use self::scan::Neighbour;
pub use self::store::{NodeState, ServerRow};
use super::grants::Grants;
use super::{Installation, Installations};
use crate::accounts::members::{Membership, Permission};
use crate::credentials::envelope::Vault;
use crate::db::{Db, TenantTx};
use crate::error::{Error, Result};
use crate::outbound::Outbound;

/// What an admin enters to add a server.
pub struct NewServer {
    pub name: String,
    pub url: String,
    pub authentication: Authentication,
}

/// A server with everything that is known of it.
pub struct Server {
    pub facts: ServerRow,
    pub known: Vec<Known>,
    pub states: Vec<NodeState>,
    /// Tools of other installations, whose names must not be borrowed.
    pub neighbours: Vec<Neighbour>,
}

/// What a look at a server came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// So many definitions wait for somebody.
    Well { waiting: usize },
    /// What was known of it still holds.
    Failed(String),
    /// Somebody else is looking at it right now.
    Busy,
}

/// The capability with what it needs. Cheap to clone.
#[derive(Clone)]
pub struct Upstreams {
    db: Db,
    vault: Vault,
    outbound: Outbound,
    installations: Installations,
    grants: Grants,
}

impl Upstreams {
    #[must_use]
    pub const fn new(
        db: Db,
        vault: Vault,
        outbound: Outbound,
        installations: Installations,
        grants: Grants,
    ) -> Self {
        Self { db, vault, outbound, installations, grants }
    }

    /// Looks at a server and adds it with what was found; nothing of that is in use before somebody has decided.
    ///
    /// # Errors
    /// Names the field that has to be mended: `name`, `url`, one of [`HEADER_FIELDS`] or of [`VALUE_FIELDS`].
    pub async fn add(&self, by: &Membership, new: NewServer) -> Result<InstallationId> {
        by.require(Permission::Connectors)?;
        let name = new.name.trim().to_owned();
        if !names::is_installation_name(&name) {
            let message = "Use 1 to 24 lower-case letters, digits and hyphens, starting with a letter, such as docs or crm-eu.";
            return Err(Error::field("name", message));
        }
        self.check_free(by.tenant, &name).await?;
        let url = self.installations.endpoint(&new.url)?;
        let login = match new.authentication {
            Authentication::Login { personal } => Some(personal),
            _ => None,
        };
        let Entered { auth, secrets } = new.authentication.entered()?;
        if let Some(personal) = login {
            return self.add_unseen(by, &name, &url, auth, personal).await;
        }
        let secrets: HashMap<String, SecretString> = secrets.into_iter().collect();
        let credentials = headers(Some(&auth), &[], &secrets)
            .map_err(|trouble| Error::field("credential", trouble.sentence()))?;
        let found = client::look(&self.outbound, &url, &credentials).await.map_err(|trouble| {
            let field = if matches!(trouble, Trouble::Unauthorized(_)) { "credential" } else { "url" };
            Error::field(field, trouble.sentence())
        })?;
        let mut server = ServerRow::default();
        server.learn(&found);
        let known = review::reconcile(&[], &found.definitions, &[], OffsetDateTime::now_utc());
        let like = v1::Connector { auth: Some(auth), ..v1::Connector::default() };
        let connector = compile::connector(&name, &server, &known, &like);
        let mut tx = self.db.tenant(by.tenant).await?;
        let secrets = secrets.into_iter().collect();
        let id =
            self.installations.insert_server(&mut tx, by, &name, url.as_str(), &connector, secrets).await?;
        store::insert(&mut tx, id).await?;
        store::save(&mut tx, id, &server).await?;
        store::replace(&mut tx, id, &known, None).await?;
        tx.commit_change().await?;
        Ok(id)
    }

    /// Adds a server that shows nothing before somebody has logged in; it is looked at when they have.
    async fn add_unseen(
        &self,
        by: &Membership,
        name: &str,
        url: &Url,
        auth: v1::Auth,
        personal: bool,
    ) -> Result<InstallationId> {
        let server = ServerRow::default();
        let like = v1::Connector { auth: Some(auth), ..v1::Connector::default() };
        let connector = compile::connector(name, &server, &[], &like);
        let mut tx = self.db.tenant(by.tenant).await?;
        let id =
            self.installations.insert_server(&mut tx, by, name, url.as_str(), &connector, Vec::new()).await?;
        super::store::set_personal(&mut tx, id, personal).await?;
        store::insert(&mut tx, id).await?;
        store::save(&mut tx, id, &server).await?;
        tx.commit_change().await?;
        Ok(id)
    }

    async fn check_free(&self, tenant: TenantId, name: &str) -> Result<()> {
        // Before a long look that would be for nothing; the database has the last word.
        match self.installations.list(tenant).await?.iter().any(|other| other.name == name) {
            true => Err(super::enabling::name_taken(name)),
            false => Ok(()),
        }
    }

    /// Everything that is known of a server.
    ///
    /// # Errors
    /// `NotFound` for an installation of no or another workspace, or of another kind.
    pub async fn get(&self, by: &Membership, id: InstallationId) -> Result<Server> {
        by.require(Permission::Connectors)?;
        let neighbours = neighbours(&self.installations.list(by.tenant).await?, id);
        let mut tx = self.db.tenant(by.tenant).await?;
        let facts = store::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let known = store::definitions(&mut tx, id).await?;
        let states = store::states(&mut tx, id).await?;
        Ok(Server { facts, known, states, neighbours })
    }

    /// How many definitions of each server wait for somebody to look at them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waiting(&self, tenant: TenantId) -> Result<HashMap<InstallationId, usize>> {
        let mut tx = self.db.tenant(tenant).await?;
        store::waiting(&mut tx).await
    }

    /// Looks at a server because somebody wants to.
    ///
    /// # Errors
    /// `NotFound` for an installation of no or another workspace, or of another kind.
    pub async fn refresh(&self, by: &Membership, id: InstallationId) -> Result<Looked> {
        by.require(Permission::Connectors)?;
        self.look_as(by.tenant, id, Some(by.user)).await
    }

    /// Looks at a server as soon as somebody has connected it, with their account where each member uses their own.
    ///
    /// # Errors
    /// As for [`Self::look`].
    pub async fn connected(&self, tenant: TenantId, id: InstallationId, by: UserId) -> Result<Looked> {
        self.look_as(tenant, id, Some(by)).await
    }

    /// Looks at a server and keeps what is found. A server that fails keeps what was approved.
    ///
    /// # Errors
    /// `NotFound` for one that is gone; otherwise when the database fails.
    pub async fn look(&self, tenant: TenantId, id: InstallationId) -> Result<Looked> {
        self.look_as(tenant, id, None).await
    }

    /// Makes the connector anew from what is in use, and commits; nodes hear of it if it is another.
    async fn recompile(
        &self,
        mut tx: TenantTx,
        before: &Installation,
        server: &ServerRow,
        known: &[Known],
    ) -> Result<()> {
        let connector = compile::connector(&before.connector.name, server, known, &before.connector);
        let hash = connector_hash(&connector);
        if hash == before.connector_hash {
            tx.commit().await?;
            return Ok(());
        }
        super::store::insert_connector(
            &mut tx,
            (&hash, &connector.name),
            "",
            &connector.encode_to_vec(),
            false,
        )
        .await?;
        super::store::set_connector(&mut tx, before.id, &hash).await?;
        super::store::delete_unused(&mut tx, &before.connector_hash).await?;
        tx.commit_change().await?;
        Ok(())
    }

    /// Servers that are due, in every workspace.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due(&self, most: i64) -> Result<Vec<(TenantId, InstallationId)>> {
        let mut tx = self.db.global().await?;
        store::due(&mut tx, most).await
    }

    /// Takes a server's own word that what it offers has changed: it is looked at soon, and not more often than is good.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn changed(&self, tenant: TenantId, id: InstallationId) -> Result<()> {
        let mut tx = self.db.tenant(tenant).await?;
        store::hasten(&mut tx, id).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Has a server looked at at once, since its address or credential is another; of other connectors, nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reached_anew(&self, tenant: TenantId, id: InstallationId) -> Result<()> {
        let mut tx = self.db.tenant(tenant).await?;
        store::reached_anew(&mut tx, id).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// How many wait for somebody to look at them.
#[must_use]
pub fn waiting(known: &[Known]) -> usize {
    use review::State;
    review::items(known)
        .iter()
        .filter(|item| matches!(item.state, State::New | State::Changed | State::Gone))
        .count()
}

/// What other installations' tools are called.
fn neighbours(all: &[Installation], but: InstallationId) -> Vec<Neighbour> {
    let others = all.iter().filter(|one| one.id != but);
    let tools = others.flat_map(|one| {
        one.tools()
            .into_iter()
            .map(|tool| Neighbour { installation: one.name.clone(), public_name: tool.public_name })
    });
    tools.collect()
}
