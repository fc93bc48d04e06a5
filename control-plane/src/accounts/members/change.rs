//! What is done with members: other roles, suspension, removal, handing over.
//!
//! All of it takes effect on nodes with the next push, since bundles hold only members who are neither gone nor suspended;
//! access tokens of who may do less than before are refused even earlier.
//! Changes of one workspace's members happen one after the other, so that what a change was judged by still holds when it is made.

use toolmesh_proto::ids::UserId;

use super::{Member, Membership, Permission, Role, still, store};
use crate::db::{Db, TenantTx};
use crate::error::{Error, Result};
use crate::revocations::{self, Reach, What};

/// What stands for the order of changes in [`TenantTx::one_at_a_time`].
const MEMBERS: &str = "members";

/// Who acts, as they are now, and whom they act on.
struct Change {
    tx: TenantTx,
    by: Membership,
    member: Member,
}

impl Change {
    /// Opens a change of a member by somebody who may do at least as much.
    async fn of(db: &Db, by: &Membership, user: UserId) -> Result<Self> {
        let mut tx = db.tenant(by.tenant).await?;
        tx.one_at_a_time(MEMBERS).await?;
        let by = still(&mut tx, by).await?;
        if by.user != user {
            by.require(Permission::Members)?;
        }
        // Locked before anything of theirs, as they themselves do.
        store::lock_role(&mut tx, user).await?.ok_or(Error::NotFound)?;
        let member = store::one(&mut tx, user).await?.ok_or(Error::NotFound)?;
        by.require_covers(member.role)?;
        Ok(Self { tx, by, member })
    }

    /// Refuses where the workspace would be left without an owner who can act.
    async fn keep_an_owner(&mut self) -> Result<()> {
        let is_owner = self.member.role == Role::Owner && self.member.suspended_at.is_none();
        if is_owner && store::active_owners(&mut self.tx).await? < 2 {
            let message = "This is the last owner. Make somebody else an owner first.";
            return Err(Error::Refused(message.to_owned()));
        }
        Ok(())
    }

    async fn done(self) -> Result<()> {
        self.tx.commit_change().await?;
        Ok(())
    }
}

/// Takes a member out; anybody may take themselves out. Their API keys and grants go with the membership; nodes
/// refuse at once what is left of them.
///
/// # Errors
/// `NotFound` for who is no member; `Refused` for the last owner; `Forbidden` for who may do less than the member.
pub async fn remove(db: &Db, by: &Membership, user: UserId) -> Result<()> {
    let mut change = Change::of(db, by, user).await?;
    change.keep_an_owner().await?;
    store::withdraw_invitations_of(&mut change.tx, user).await?;
    let (tenant, everything) = (change.by.tenant, What::User(user));
    let ended =
        revocations::revoke(&mut change.tx, &everything, Reach::TokensAndKeys, "the member was removed")
            .await?;
    store::delete(&mut change.tx, user).await?;
    change.done().await?;
    tracing::info!(%tenant, %user, grants = ended.grants, "member removed");
    Ok(())
}

/// Changes a member's role.
///
/// # Errors
/// As for `remove`; `Forbidden` for a role that may do more than one's own.
pub async fn set_role(db: &Db, by: &Membership, user: UserId, role: Role) -> Result<()> {
    let mut change = Change::of(db, by, user).await?;
    change.by.require(Permission::Members)?;
    change.by.require_covers(role)?;
    if change.member.role == role {
        return Ok(());
    }
    change.keep_an_owner().await?;
    store::set_role(&mut change.tx, user, role).await?;
    if !role.covers(change.member.role) {
        revocations::renew(&mut change.tx, user).await?;
    }
    if !role.may(Permission::Members) {
        store::withdraw_invitations_of(&mut change.tx, user).await?;
    }
    change.done().await
}

/// Keeps a member out until [`resume`]: console, tools, keys and clients refuse them, and nothing of theirs is lost but the
/// invitations they made.
///
/// # Errors
/// As for `remove`; `Refused` for oneself.
pub async fn suspend(db: &Db, by: &Membership, user: UserId) -> Result<()> {
    let mut change = Change::of(db, by, user).await?;
    change.by.require(Permission::Members)?;
    if change.by.user == user {
        let message = "You cannot suspend yourself. Leave the workspace, or ask another admin.";
        return Err(Error::Refused(message.to_owned()));
    }
    change.keep_an_owner().await?;
    store::withdraw_invitations_of(&mut change.tx, user).await?;
    store::suspend(&mut change.tx, user, change.by.user).await?;
    // Ahead of the bundle, and for open streams too. Grants stay, for when they are let in again.
    revocations::renew(&mut change.tx, user).await?;
    change.done().await
}

/// Lets a suspended member in again.
///
/// # Errors
/// `NotFound` for who is no member; `Forbidden` for who may do less than the member.
pub async fn resume(db: &Db, by: &Membership, user: UserId) -> Result<()> {
    let mut change = Change::of(db, by, user).await?;
    change.by.require(Permission::Members)?;
    store::resume(&mut change.tx, user).await?;
    change.done().await
}

/// Makes another member an owner and oneself an admin, both or neither.
///
/// # Errors
/// `Forbidden` for who is no owner; `Refused` for oneself or a suspended member; on the field `confirm` unless it is the new
/// owner's address.
pub async fn hand_over(db: &Db, by: &Membership, to: UserId, confirm: &str) -> Result<()> {
    let mut change = Change::of(db, by, to).await?;
    change.by.require(Permission::Ownership)?;
    if change.by.user == to {
        return Err(Error::Refused("You are an owner already. Choose somebody else.".to_owned()));
    }
    if change.member.suspended_at.is_some() {
        return Err(Error::Refused("This member is suspended. Let them in again first.".to_owned()));
    }
    if !confirm.trim().eq_ignore_ascii_case(&change.member.email) {
        return Err(Error::field("confirm", format!("Type {} to confirm.", change.member.email)));
    }
    store::set_role(&mut change.tx, to, Role::Owner).await?;
    store::set_role(&mut change.tx, change.by.user, Role::Admin).await?;
    revocations::renew(&mut change.tx, change.by.user).await?;
    change.done().await
}
