//! Who belongs to a workspace, and as what.

mod role;
pub mod store;

use time::OffsetDateTime;
use toolmesh_proto::ids::{TenantId, UserId};

use crate::db::{Db, TenantTx};
use crate::error::{Error, Result};
use crate::revocations::{self, Reach, What};

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
}

/// The user's membership.
///
/// # Errors
/// `NotFound` for who is no member: a stranger does not learn that the workspace exists.
pub async fn membership(db: &Db, tenant: TenantId, user: UserId) -> Result<Membership> {
    let mut tx = db.tenant(tenant).await?;
    let role = store::role(&mut tx, user).await?.ok_or(Error::NotFound)?;
    Ok(Membership { tenant, user, role })
}

/// Adds the first owner, in the transaction that makes the workspace.
///
/// # Errors
/// When the database fails.
pub async fn add_first_owner(tx: &mut TenantTx, user: UserId) -> Result<()> {
    store::insert(tx, user, Role::Owner).await
}

/// # Errors
/// When the database fails.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<Member>> {
    store::list(tx).await
}

/// Takes a member out. Their API keys and grants go with the membership; nodes refuse at once what is left of them.
///
/// # Errors
/// `NotFound` for who is no member; `Refused` for the last owner; `Forbidden` for who may do less than the member.
pub async fn remove(db: &Db, by: &Membership, user: UserId) -> Result<()> {
    let mut tx = db.tenant(by.tenant).await?;
    let by = still(&mut tx, by).await?;
    if by.user != user {
        by.require(Permission::Members)?;
    }
    let role = store::role(&mut tx, user).await?.ok_or(Error::NotFound)?;
    by.require_covers(role)?;
    guard_last_owner(&mut tx, role).await?;
    store::withdraw_invitations_of(&mut tx, user).await?;
    let everything = What::User(user);
    let ended =
        revocations::revoke(&mut tx, &everything, Reach::TokensAndKeys, "the member was removed").await?;
    store::delete(&mut tx, user).await?;
    tx.commit_change().await?;
    tracing::info!(tenant = %by.tenant, %user, grants = ended.grants, "member removed");
    Ok(())
}

/// Changes a member's role.
///
/// # Errors
/// As for `remove`; `Forbidden` for a role that may do more than one's own.
pub async fn set_role(db: &Db, by: &Membership, user: UserId, role: Role) -> Result<()> {
    let mut tx = db.tenant(by.tenant).await?;
    let by = still(&mut tx, by).await?;
    by.require(Permission::Members)?;
    by.require_covers(role)?;
    let before = store::role(&mut tx, user).await?.ok_or(Error::NotFound)?;
    if before != role {
        by.require_covers(before)?;
        guard_last_owner(&mut tx, before).await?;
        store::set_role(&mut tx, user, role).await?;
        if !role.covers(before) {
            revocations::renew(&mut tx, user).await?;
        }
        if !role.may(Permission::Members) {
            store::withdraw_invitations_of(&mut tx, user).await?;
        }
    }
    tx.commit_change().await?;
    Ok(())
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

/// The membership as it is now, locked until the transaction ends: who acts may have been removed since the page was shown.
///
/// # Errors
/// `NotFound` for who is no member any more.
pub async fn still(tx: &mut TenantTx, member: &Membership) -> Result<Membership> {
    let role = store::lock_role(tx, member.user).await?.ok_or(Error::NotFound)?;
    Ok(Membership { role, ..*member })
}

/// Locks the owners, so that two removals at once cannot leave a workspace without one.
async fn guard_last_owner(tx: &mut TenantTx, role: Role) -> Result<()> {
    if role == Role::Owner && store::lock_owners(tx).await? < 2 {
        let message = "This is the last owner. Make somebody else an owner first.";
        return Err(Error::Refused(message.to_owned()));
    }
    Ok(())
}
