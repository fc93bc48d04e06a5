//! Workspaces: creating them, their slugs and settings, finding one by its slug.

pub mod access;
pub mod endpoint;
pub mod store;

use time::OffsetDateTime;
use toolmesh_proto::ids::{TenantId, UserId};
use toolmesh_proto::slug::Slug;

use crate::accounts::members::{self, Membership, Permission, Role};
use crate::credentials::{self, envelope::Vault};
use crate::db::Db;
use crate::error::{Error, OnConstraint as _, Result};

/// Workspaces that one person may own.
const MAX_OWNED: i64 = 20;

/// A workspace.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Tenant {
    #[sqlx(try_from = "uuid::Uuid")]
    pub id: TenantId,
    #[sqlx(try_from = "String")]
    pub slug: TenantSlug,
    pub name: String,
    #[sqlx(try_from = "i64")]
    pub revision: Revision,
    pub created_at: OffsetDateTime,
}

/// A slug as stored; one that was valid once stays so, though the list of reserved words grows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantSlug(String);

impl TenantSlug {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for TenantSlug {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Display for TenantSlug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Counts up with every change that nodes must learn of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

impl From<i64> for Revision {
    fn from(number: i64) -> Self {
        Self(number.cast_unsigned())
    }
}

/// A workspace in somebody's list, with their role.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct OwnWorkspace {
    #[sqlx(flatten)]
    pub tenant: Tenant,
    #[sqlx(try_from = "String")]
    pub role: Role,
    /// Whether the person may not enter it at present.
    pub suspended: bool,
}

/// Whether a slug can be had.
///
/// # Errors
/// On the field `slug`, with what is wrong with it.
pub async fn check_slug(db: &Db, text: &str) -> Result<Slug> {
    let slug = Slug::parse(text).map_err(|e| Error::field("slug", e.to_string()))?;
    let mut tx = db.global().await?;
    if store::slug_is_taken(&mut tx, slug.as_str()).await? { Err(taken()) } else { Ok(slug) }
}

/// Makes a workspace with `owner` as its first owner.
///
/// # Errors
/// Names the field that has to be mended.
pub async fn create(
    db: &Db,
    vault: &Vault,
    owner: UserId,
    name: &str,
    slug: &str,
) -> Result<(Tenant, Membership)> {
    let name = workspace_name(name)?;
    let slug = check_slug(db, slug).await?;
    let id = TenantId::new();
    let mut tx = db.tenant(id).await?;
    if store::lock_and_count_owned(&mut tx, owner).await? >= MAX_OWNED {
        return Err(Error::field("name", "You own 20 workspaces, which is the most one person can own."));
    }
    // The unique index decides, however fast somebody else was. An address that is given up is not given out again.
    store::insert(&mut tx, slug.as_str(), &name).await.on_constraint("tenants_slug_key", taken)?;
    members::add_first_owner(&mut tx, owner).await?;
    credentials::create_tenant_key(&mut tx, vault).await?;
    let tenant = store::by_id(&mut tx).await?.ok_or(Error::NotFound)?;
    tx.commit_change().await?;
    Ok((tenant, Membership { tenant: id, user: owner, role: Role::Owner }))
}

/// Finds a workspace by its slug; knowing that it exists is no right to anything in it.
///
/// # Errors
/// `NotFound` where there is none.
pub async fn by_slug(db: &Db, slug: &str) -> Result<Tenant> {
    // What no slug can look like is not worth a question, and may hold what the database refuses.
    if slug.len() > 63 || !slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err(Error::NotFound);
    }
    let mut tx = db.global().await?;
    store::by_slug(&mut tx, slug).await?.ok_or(Error::NotFound)
}

/// # Errors
/// `NotFound` where there is none.
pub async fn by_id(db: &Db, id: TenantId) -> Result<Tenant> {
    let mut tx = db.tenant(id).await?;
    store::by_id(&mut tx).await?.ok_or(Error::NotFound)
}

/// The workspaces that a person belongs to, by name.
///
/// # Errors
/// When the database fails.
pub async fn of_user(db: &Db, user: UserId) -> Result<Vec<OwnWorkspace>> {
    let mut tx = db.user(user).await?;
    store::of_user(&mut tx).await
}

/// Changes the name.
///
/// # Errors
/// `Forbidden` without [`Permission::Settings`]; a field error for an unusable name.
pub async fn rename(db: &Db, by: &Membership, name: &str) -> Result<()> {
    by.require(Permission::Settings)?;
    let name = workspace_name(name)?;
    let mut tx = db.tenant(by.tenant).await?;
    store::set_name(&mut tx, &name).await?;
    tx.commit_change().await?;
    Ok(())
}

fn workspace_name(text: &str) -> Result<String> {
    crate::accounts::person_name(text)
}

fn taken() -> Error {
    Error::field("slug", "This address is taken. Choose another.")
}
