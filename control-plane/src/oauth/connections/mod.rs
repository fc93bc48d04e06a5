//! What is connected: the grants of a workspace, as members see their own and admins everybody's, and ending them.

mod store;

use time::OffsetDateTime;
use toolmesh_proto::ids::{GrantId, UserId};

use super::{Oauth, redirect};
use crate::accounts::keys;
use crate::accounts::members::{self, Membership, Permission};
use crate::db::TenantTx;
use crate::error::{Error, Result};
use crate::revocations::{self, Reach, Recorded, What};

/// Most that one page shows.
pub const SHOWN: i64 = 500;

/// A grant that is in force.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Connection {
    #[sqlx(try_from = "uuid::Uuid")]
    pub id: GrantId,
    #[sqlx(try_from = "uuid::Uuid")]
    pub user_id: UserId,
    pub user_name: String,
    pub user_email: String,
    pub client_id: String,
    pub client_name: String,
    redirect_uri: String,
    pub scope: String,
    pub created_at: OffsetDateTime,
    /// The last call of this client for this person.
    pub last_used_at: Option<OffsetDateTime>,
}

impl Connection {
    /// Where the client takes what it gets; tells clients of one name apart.
    #[must_use]
    pub fn host(&self) -> String {
        redirect::display_host(&self.redirect_uri)
    }
}

/// Which connections are looked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub user: Option<UserId>,
    pub client: Option<String>,
}

/// The people and clients that there are connections of, for the filter; ids with names.
#[derive(Clone, Debug, Default)]
pub struct Facets {
    pub users: Vec<(UserId, String)>,
    pub clients: Vec<(String, String)>,
}

/// What stops when something is ended.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Stops {
    pub connections: i64,
    pub people: i64,
    /// Names of clients, some of them.
    pub apps: Vec<String>,
    /// Keys that work now, of members and service accounts.
    pub api_keys: i64,
    /// Name of the client or person that is meant; empty for everything.
    pub name: String,
}

impl Oauth {
    /// The member's own connections; everybody's for who manages clients. The newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn connections(&self, by: &Membership, filter: &Filter) -> Result<Vec<Connection>> {
        let mut tx = self.db.tenant(by.tenant).await?;
        let user = if by.may(Permission::Clients) { filter.user } else { Some(by.user) };
        store::list(&mut tx, None, user, filter.client.as_deref()).await
    }

    /// # Errors
    /// `Forbidden` for who does not manage clients.
    pub async fn connection_facets(&self, by: &Membership) -> Result<Facets> {
        by.require(Permission::Clients)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        Ok(Facets { users: store::users(&mut tx).await?, clients: store::clients(&mut tx).await? })
    }

    /// What would stop.
    ///
    /// # Errors
    /// `NotFound` for what is not there; `Forbidden` for who may not end it.
    pub async fn what_stops(&self, by: &Membership, what: &What) -> Result<Stops> {
        let mut tx = self.db.tenant(by.tenant).await?;
        may_end(&mut tx, by, what).await?;
        let (user, client) = match what {
            What::User(id) => (Some(*id), None),
            What::Client(id) => (None, Some(id.as_str())),
            What::Everything => (None, None),
            What::Grant(_) | What::ServiceAccount(_) => return Err(Error::NotFound),
        };
        store::stops(&mut tx, user, client).await?.ok_or(Error::NotFound)
    }

    /// Ends connections: one of one's own, or any for who manages clients. `api_keys` ends all API keys of the workspace too,
    /// where everything is ended.
    ///
    /// # Errors
    /// `NotFound` for what is not there, or is another's; `Forbidden` for who may not end it.
    pub async fn end(&self, by: &Membership, what: &What, api_keys: bool) -> Result<Recorded> {
        let mut tx = self.db.tenant(by.tenant).await?;
        let by = members::still(&mut tx, by).await?;
        may_end(&mut tx, &by, what).await?;
        let reason = if by.may(Permission::Clients) { "an admin ended it" } else { "its owner ended it" };
        if api_keys && *what == What::Everything {
            let recorded = revocations::revoke(&mut tx, what, Reach::TokensAndKeys, reason).await?;
            keys::revoke_all(&mut tx).await?;
            tx.commit_change().await?;
            return Ok(recorded);
        }
        let recorded = revocations::revoke(&mut tx, what, Reach::Tokens, reason).await?;
        tx.commit().await?;
        Ok(recorded)
    }
}

/// A grant that is not one's own is, for who manages no clients, no different from one that is not there.
async fn may_end(tx: &mut TenantTx, by: &Membership, what: &What) -> Result<()> {
    let manages = by.may(Permission::Clients);
    match what {
        What::Grant(id) => {
            let found = store::list(tx, Some(*id), None, None).await?;
            found.iter().find(|one| manages || one.user_id == by.user).map(|_| ()).ok_or(Error::NotFound)
        }
        What::User(user) if *user == by.user => Ok(()),
        _ => by.require(Permission::Clients),
    }
}
