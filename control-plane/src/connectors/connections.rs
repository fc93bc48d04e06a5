//! Connections: the accounts that members connect for themselves, where an installation is set so that each uses their own.
//!
//! Owns whose account an installation uses, and what a member enters or takes back; how tokens are got for a consent is in
//! `grants`. Nothing here shows one member what another has connected, admins included: they see how many have.

use secrecy::SecretString;
use toolmesh_proto::ids::InstallationId;
use toolmesh_proto::v1;
use toolmesh_proto::v1::o_auth2_auth::Flow;

use super::grants::{self, GrantFacts, Grants};
use super::installation::{entered_by_members, oauth2, required_credentials};
use super::installations::given;
use super::loading::complete;
use super::{Installation, store};
use crate::accounts::members::{Membership, Permission};
use crate::credentials::{self, Account, CredentialFacts};
use crate::db::TenantTx;
use crate::error::{Error, Result};

/// How a member connects an account of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// They log in at the provider and allow the access.
    Consent,
    /// They enter a key, or a name and a password.
    Entry,
}

/// A member's own account at an installation, or that there is none yet.
#[derive(Clone, Debug)]
pub struct Connection {
    pub installation: Installation,
    pub way: Way,
    /// Nothing where they have never connected.
    pub facts: Option<GrantFacts>,
    /// What they entered.
    pub entered: Vec<CredentialFacts>,
}

impl Connection {
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.connected)
    }
}

/// How members could connect accounts of their own; `None` where a connector has no use for that: an open API, or one that is
/// called with what only a workspace has.
#[must_use]
pub fn way(connector: &v1::Connector) -> Option<Way> {
    match oauth2(connector) {
        Some(auth) => (auth.flow() == Flow::AuthorizationCode).then_some(Way::Consent),
        None => (!required_credentials(connector).is_empty()).then_some(Way::Entry),
    }
}

/// The capability. Cheap to clone.
#[derive(Clone)]
pub struct Connections {
    grants: Grants,
}

impl Connections {
    #[must_use]
    pub const fn new(grants: Grants) -> Self {
        Self { grants }
    }

    /// A member's connections, and what waits to be connected by them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self, by: &Membership) -> Result<Vec<Connection>> {
        let mut tx = self.grants.db.tenant(by.tenant).await?;
        let rows = store::all(&mut tx).await?.into_iter().filter(|row| row.personal).collect();
        self.of(&mut tx, by, rows, None).await
    }

    /// One of them.
    ///
    /// # Errors
    /// `NotFound` for an installation that members do not connect for themselves.
    pub async fn get(&self, by: &Membership, id: InstallationId) -> Result<Connection> {
        let mut tx = self.grants.db.tenant(by.tenant).await?;
        self.one(&mut tx, by, id).await
    }

    /// Keeps what a member enters for themselves, in place of what they entered before.
    ///
    /// # Errors
    /// A field error for what is missing or cannot be a credential.
    pub async fn enter(
        &self,
        by: &Membership,
        id: InstallationId,
        secrets: Vec<(String, SecretString)>,
    ) -> Result<()> {
        let mut tx = self.grants.db.tenant(by.tenant).await?;
        let connection = self.one(&mut tx, by, id).await?;
        if connection.way != Way::Entry {
            return Err(Error::NotFound);
        }
        let connector = &connection.installation.connector;
        let own = entered_by_members(connector);
        let secrets = given(connector, &own, secrets)?;
        let is_there = |name: &String| secrets.iter().any(|(given, _)| given == name);
        if required_credentials(connector).iter().any(|name| own.contains(name) && !is_there(name)) {
            return Err(Error::field("credential", "Enter all of it: what is stored is replaced."));
        }
        let account = Account::of_member(id, by.user);
        grants::of_member(&mut tx, account).await?;
        credentials::forget_account(&mut tx, account).await?;
        for (name, secret) in secrets {
            credentials::set(&mut tx, &self.grants.vault, account, &name, &secret, by.user).await?;
        }
        grants::entered(&mut tx, account, by.user).await?;
        tx.commit_change().await?;
        tracing::info!(tenant = %by.tenant, installation = %id, "a member entered credentials of their own");
        Ok(())
    }

    /// Ends a member's connection: what was stored is deleted, and every node forgets what it was given.
    ///
    /// # Errors
    /// `NotFound` for an installation that members do not connect for themselves.
    pub async fn disconnect(&self, by: &Membership, id: InstallationId) -> Result<grants::GivenBack> {
        self.get(by, id).await?;
        self.grants.disconnect(by, id).await
    }

    /// Lets the service accounts that a member made use the member's connection, or no longer.
    ///
    /// # Errors
    /// `NotFound` for an installation that members do not connect for themselves.
    pub async fn lend(&self, by: &Membership, id: InstallationId, lent: bool) -> Result<()> {
        let mut tx = self.grants.db.tenant(by.tenant).await?;
        self.one(&mut tx, by, id).await?;
        grants::lend(&mut tx, Account::of_member(id, by.user), lent).await?;
        tx.commit_change().await?;
        Ok(())
    }

    /// How many members have connected an account of their own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn connected(&self, by: &Membership, id: InstallationId) -> Result<i64> {
        by.require(Permission::Connectors)?;
        let mut tx = self.grants.db.tenant(by.tenant).await?;
        grants::connected(&mut tx, id).await
    }

    /// Sets whether each member uses an account of their own. What was connected until then is deleted: an account that was given
    /// for all is not used for one, nor the other way round.
    ///
    /// # Errors
    /// `Refused` for a connector that members cannot connect to.
    pub async fn set_personal(&self, by: &Membership, id: InstallationId, personal: bool) -> Result<()> {
        by.require(Permission::Connectors)?;
        let mut tx = self.grants.db.tenant(by.tenant).await?;
        let installation = load(&mut tx, id).await?;
        if installation.personal == personal {
            return Ok(());
        }
        if personal && way(&installation.connector).is_none() {
            return Err(Error::Refused(format!(
                "{} is called in a way that is the workspace's alone, so members cannot connect accounts of their own.",
                installation.connector.title
            )));
        }
        // The client id and secret of an app at the provider, and keys that are shown beside a credential, are the workspace's
        // either way.
        for name in entered_by_members(&installation.connector) {
            credentials::forget_named(&mut tx, id, &name).await?;
        }
        grants::forget(&mut tx, id).await?;
        store::set_personal(&mut tx, id, personal).await?;
        tx.commit_change().await?;
        Ok(())
    }

    async fn one(&self, tx: &mut TenantTx, by: &Membership, id: InstallationId) -> Result<Connection> {
        let row = store::get(tx, id).await?.filter(|row| row.personal).ok_or(Error::NotFound)?;
        self.of(tx, by, vec![row], Some(id)).await?.pop().ok_or(Error::NotFound)
    }

    async fn of(
        &self,
        tx: &mut TenantTx,
        by: &Membership,
        rows: Vec<store::InstallationRow>,
        only: Option<InstallationId>,
    ) -> Result<Vec<Connection>> {
        let mut facts = grants::facts(tx, only, Some(by.user)).await?;
        let mut entered = credentials::facts(tx, only, Some(by.user)).await?;
        let installations = complete(tx, rows, only).await?.into_iter();
        Ok(installations
            .filter_map(|installation| {
                Some(Connection {
                    way: way(&installation.connector)?,
                    facts: facts.remove(&installation.id),
                    entered: entered.remove(&installation.id).unwrap_or_default(),
                    installation,
                })
            })
            .collect())
    }
}

async fn load(tx: &mut TenantTx, id: InstallationId) -> Result<Installation> {
    let row = store::get(tx, id).await?.ok_or(Error::NotFound)?;
    complete(tx, vec![row], Some(id)).await?.pop().ok_or(Error::NotFound)
}
