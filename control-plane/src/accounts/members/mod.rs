//! Who belongs to a workspace, and as what.

mod change;
mod role;
pub mod store;

use time::OffsetDateTime;
use toolmesh_proto::ids::{TenantId, UserId};

use crate::db::{Db, TenantTx};
use crate::error::{Error, Result};

pub use change::Doer;
pub use role::{Permission, Role};

/// Proof that a user belongs to a tenant, with the role; made by looking it up, and asked for by everything that acts.
#[derive(Clone, Copy, Debug)]
pub struct Membership {
    pub tenant: TenantId,
    pub user: UserId,
    pub role: Role,
}

/// A row of the members page.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Member {
    #[sqlx(try_from = "uuid::Uuid")]
    pub user_id: UserId,
    pub email: String,
    pub name: String,
    #[sqlx(try_from = "String")]
    pub role: Role,
    pub created_at: OffsetDateTime,
    pub suspended_at: Option<OffsetDateTime>,
    /// The name of who suspended them, while they have an account.
    pub suspended_by: Option<String>,
}

/// The user's membership.
///
/// # Errors
/// `NotFound` for who is no member: a stranger does not learn that the workspace exists. `Forbidden` for a suspended member.
pub async fn membership(db: &Db, tenant: TenantId, user: UserId) -> Result<Membership> {
    let mut tx = db.tenant(tenant).await?;
    standing(store::role(&mut tx, user).await?, tenant, user)
}

/// The membership as it is now, locked until the transaction ends: who acts may have been removed since the page was shown.
///
/// # Errors
/// As for [`membership`].
pub async fn still(tx: &mut TenantTx, member: &Membership) -> Result<Membership> {
    standing(store::lock_role(tx, member.user).await?, member.tenant, member.user)
}

/// Keeps a member as they are until the transaction ends; false for who is none.
///
/// # Errors
/// When the database fails.
pub async fn lock(tx: &mut TenantTx, user: UserId) -> Result<bool> {
    Ok(store::lock_role(tx, user).await?.is_some())
}

/// Whether somebody is a member who is not suspended.
///
/// # Errors
/// When the database fails.
pub async fn is_active(tx: &mut TenantTx, user: UserId) -> Result<bool> {
    Ok(store::role(tx, user).await?.is_some_and(|row| row.suspended_at.is_none()))
}

fn standing(row: Option<store::RoleRow>, tenant: TenantId, user: UserId) -> Result<Membership> {
    let row = row.ok_or(Error::NotFound)?;
    if row.suspended_at.is_some() {
        return Err(Error::Forbidden(
            "Your access to this workspace is suspended. Nothing of yours is lost. Ask one of its owners or admins.",
        ));
    }
    Ok(Membership { tenant, user, role: row.role })
}

/// Adds the first owner, in the transaction that makes the workspace.
///
/// # Errors
/// When the database fails.
pub async fn add_first_owner(tx: &mut TenantTx, user: UserId) -> Result<()> {
    store::insert(tx, user, Role::Owner).await
}

/// All members, the suspended too.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<Member>> {
    store::list(tx).await
}

/// One member, suspended or not.
///
/// # Errors
/// `Forbidden` without [`Permission::Members`], unless it is oneself; `NotFound` for who is no member.
pub async fn one(db: &Db, by: &Membership, user: UserId) -> Result<Member> {
    if by.user != user {
        by.require(Permission::Members)?;
    }
    let mut tx = db.tenant(by.tenant).await?;
    store::one(&mut tx, user).await?.ok_or(Error::NotFound)
}

/// Has the nodes take anew what they know of a person, after their address has changed.
///
/// # Errors
/// When the database fails.
pub async fn renew_workspaces_of(db: &Db, user: UserId) -> Result<()> {
    let tenants = store::tenants_of(&mut db.user(user).await?).await?;
    for tenant in tenants {
        db.tenant(tenant).await?.commit_change().await?;
    }
    Ok(())
}
