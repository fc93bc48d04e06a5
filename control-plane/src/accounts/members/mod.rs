//! Who belongs to a workspace, and as what.

pub mod store;

use time::OffsetDateTime;
use toolmesh_proto::ids::{TenantId, UserId};

use crate::db::{Db, TenantTx};
use crate::error::{Error, Result};

/// What a member may do; each role may do all that stands above it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Uses the tools, has keys of their own.
    Member,
    /// Manages connectors, members and settings, reads the audit log.
    Admin,
    /// Also makes and unmakes owners.
    Owner,
}

impl Role {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    #[must_use]
    pub fn is_admin(self) -> bool {
        self >= Self::Admin
    }
}

impl std::str::FromStr for Role {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "member" => Ok(Self::Member),
            "admin" => Ok(Self::Admin),
            "owner" => Ok(Self::Owner),
            _ => Err(Error::field("role", "Choose a role.")),
        }
    }
}

impl TryFrom<String> for Role {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// One kind of thing that a role may or may not do in its workspace; what a role may do stands in [`Role::may`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Enable, change and remove connectors, their credentials and tools.
    Connectors,
    /// Invite, change, suspend and remove members; groups; service accounts.
    Members,
    /// OAuth clients, other people's grants, keys and sessions in this workspace.
    Clients,
    /// Settings of the workspace: name, security, sign-in.
    Settings,
    /// Read everybody's calls and events.
    Audit,
    /// Plan and invoices.
    Billing,
    /// Make owners, hand the workspace over, delete it.
    Ownership,
}

impl Role {
    /// Whether the role may do this.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        match permission {
            Permission::Ownership => self == Self::Owner,
            _ => self.is_admin(),
        }
    }
}

/// Proof that a user belongs to a tenant, with the role; made by looking it up, and asked for by everything that acts.
#[derive(Clone, Copy, Debug)]
pub struct Membership {
    pub tenant: TenantId,
    pub user: UserId,
    pub role: Role,
}

impl Membership {
    /// # Errors
    /// `Forbidden` where the role may not.
    pub fn require(&self, permission: Permission) -> Result<()> {
        if self.role.may(permission) {
            Ok(())
        } else {
            Err(Error::Forbidden("Your role in this workspace does not include this. Ask an owner or admin."))
        }
    }

    /// # Errors
    /// `Forbidden` for plain members.
    pub fn require_admin(&self) -> Result<()> {
        if self.role.is_admin() {
            Ok(())
        } else {
            Err(Error::Forbidden("Only admins of this workspace may do this."))
        }
    }
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

/// Takes a member out. Their API keys and grants go with the membership; nodes refuse them with the next push.
///
/// # Errors
/// `NotFound` for who is no member; `Refused` for the last owner; `Forbidden` for an admin who removes an owner.
pub async fn remove(db: &Db, by: &Membership, user: UserId) -> Result<()> {
    let mut tx = db.tenant(by.tenant).await?;
    let by = still(&mut tx, by).await?;
    if by.user != user {
        by.require_admin()?;
    }
    let role = store::role(&mut tx, user).await?.ok_or(Error::NotFound)?;
    guard_owner(&mut tx, &by, role).await?;
    store::withdraw_invitations_of(&mut tx, user).await?;
    store::delete(&mut tx, user).await?;
    tx.commit_change().await?;
    Ok(())
}

/// Changes a member's role.
///
/// # Errors
/// As for `remove`; `Forbidden` for an admin who would make an owner.
pub async fn set_role(db: &Db, by: &Membership, user: UserId, role: Role) -> Result<()> {
    let mut tx = db.tenant(by.tenant).await?;
    let by = still(&mut tx, by).await?;
    by.require_admin()?;
    if role > by.role {
        return Err(Error::Forbidden("Only an owner may make an owner."));
    }
    let before = store::role(&mut tx, user).await?.ok_or(Error::NotFound)?;
    if before != role {
        guard_owner(&mut tx, &by, before).await?;
        store::set_role(&mut tx, user, role).await?;
        if !role.is_admin() {
            store::withdraw_invitations_of(&mut tx, user).await?;
        }
    }
    tx.commit_change().await?;
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
async fn guard_owner(tx: &mut TenantTx, by: &Membership, role: Role) -> Result<()> {
    if role != Role::Owner {
        return Ok(());
    }
    if by.role != Role::Owner {
        return Err(Error::Forbidden("Only an owner may change or remove an owner."));
    }
    if store::lock_owners(tx).await? < 2 {
        let message = "This is the last owner. Make somebody else an owner first.";
        return Err(Error::Refused(message.to_owned()));
    }
    Ok(())
}
