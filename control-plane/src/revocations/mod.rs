//! Taking back what was granted, in one transaction: refresh tokens end, and every node is told to refuse the access tokens
//! that are still good by themselves.
//!
//! Called by whoever has the right to; knows who may do so no more than what pages say of it. Nodes learn of the rows by
//! `push`, ahead of everything else.

pub mod store;

use sqlx::PgConnection;
use toolmesh_proto::claims::Subject;
use toolmesh_proto::ids::{GrantId, ServiceAccountId, TenantId, UserId};
use uuid::Uuid;

use crate::db::TenantTx;
use crate::error::Result;

/// Where a committed revocation is announced; a wake-up, never the message.
pub const CHANNEL: &str = "toolmesh_revocations";

/// What is taken back in a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// One consent of one person.
    Grant(GrantId),
    /// Everything that a client holds, of all members.
    Client(String),
    /// Everything that all clients hold of one member.
    User(UserId),
    /// Everything that a service account's callers hold.
    ServiceAccount(ServiceAccountId),
    /// Everything that all clients hold of everybody.
    Everything,
}

impl What {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Grant(_) => "grant",
            Self::Client(_) => "client",
            Self::User(_) | Self::ServiceAccount(_) => "user",
            Self::Everything => "tenant",
        }
    }

    fn subject(&self) -> String {
        match self {
            Self::Grant(id) => id.to_string(),
            Self::Client(id) => id.clone(),
            Self::User(id) => id.to_string(),
            Self::ServiceAccount(id) => Subject::Service(*id).to_string(),
            Self::Everything => String::new(),
        }
    }

    /// The id of the grant or user whose grants end. A service account has none: its tokens are not renewed.
    const fn id(&self) -> Option<Uuid> {
        match self {
            Self::Grant(id) => Some(id.uuid()),
            Self::User(id) => Some(id.uuid()),
            Self::Client(_) | Self::ServiceAccount(_) | Self::Everything => None,
        }
    }
}

/// How far a revocation reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// What clients got by OAuth.
    Tokens,
    /// API keys that exist now, too: for who is shut out, not only logged out. The caller ends their rows.
    TokensAndKeys,
}

/// A revocation that was written; in force on nodes soon after the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "whoever shows a page says on how many nodes it is in force"]
pub struct Recorded {
    /// By these, `push` knows which nodes have it.
    pub sequences: Vec<i64>,
    /// Grants that ended.
    pub grants: u64,
}

/// Takes something back, in the transaction of the caller, which commits. `reason` is kept beside each grant.
///
/// # Errors
/// When the database fails.
pub async fn revoke(tx: &mut TenantTx, what: &What, reach: Reach, reason: &str) -> Result<Recorded> {
    let tenant = tx.tenant();
    within(tx.conn(), tenant, what, reach, reason).await
}

/// Makes the access tokens of a member worth nothing, while grants stay: clients get new tokens by themselves, and those are
/// of what the member may do now.
///
/// # Errors
/// When the database fails.
pub async fn renew(tx: &mut TenantTx, user: UserId) -> Result<()> {
    let tenant = tx.tenant();
    let last_iat = store::last_iat(tx, user).await?;
    store::insert(tx.conn(), tenant, &What::User(user), Reach::Tokens, last_iat).await?;
    Ok(())
}

/// Takes back everything that clients hold of a person, in every workspace: after a new password, a reset, an end of all
/// sessions. Any transaction will do; afterwards it acts for no tenant and no user.
///
/// # Errors
/// When the database fails.
pub async fn revoke_everywhere(conn: &mut PgConnection, user: UserId, reason: &str) -> Result<Recorded> {
    let mut all = Recorded { sequences: Vec::new(), grants: 0 };
    for tenant in store::workspaces_of(conn, user).await? {
        store::act_for(conn, Some(tenant)).await?;
        let one = within(conn, tenant, &What::User(user), Reach::Tokens, reason).await?;
        all.sequences.extend(one.sequences);
        all.grants += one.grants;
    }
    store::act_for(conn, None).await?;
    Ok(all)
}

/// The workspaces that a person belongs to, for who goes through them in one transaction with [`act_for`]. Afterwards the
/// transaction acts for no user.
///
/// # Errors
/// When the database fails.
pub async fn workspaces_of(conn: &mut PgConnection, user: UserId) -> Result<Vec<TenantId>> {
    store::workspaces_of(conn, user).await
}

/// Makes a transaction that is no tenant's act for one, or for none again.
///
/// # Errors
/// When the database fails.
pub async fn act_for(conn: &mut PgConnection, tenant: Option<TenantId>) -> Result<()> {
    store::act_for(conn, tenant).await
}

async fn within(
    conn: &mut PgConnection,
    tenant: TenantId,
    what: &What,
    reach: Reach,
    reason: &str,
) -> Result<Recorded> {
    // First the grants: their locks make sure that no token is being issued from them while the time is taken.
    let ended = store::end_grants(conn, tenant, what, reason).await?;
    let sequence = store::insert(conn, tenant, what, reach, ended.last_iat).await?;
    Ok(Recorded { sequences: vec![sequence], grants: ended.count })
}

/// The second after which a token must be issued to be good, 0 for any: somebody who comes back within the second of a
/// revocation gets a token of the next.
///
/// # Errors
/// When the database fails.
pub async fn issue_after(tx: &mut TenantTx, client_id: &str, subject: Subject) -> Result<i64> {
    store::issue_after(tx, client_id, subject).await
}

/// Whether a grant has been taken back already, and nodes told.
///
/// # Errors
/// When the database fails.
pub async fn is_revoked(tx: &mut TenantTx, grant: GrantId) -> Result<bool> {
    store::is_revoked(tx, grant).await
}

/// Deletes what has long mattered to nobody.
///
/// # Errors
/// When the database fails.
pub async fn prune(tx: &mut TenantTx) -> Result<()> {
    store::prune(tx).await
}
