//! How a workspace is used from outside: whether writing needs a permission of its own, and what waits while a node is cut off.

use toolmesh_proto::ids::TenantId;

use crate::accounts::members::{self, Membership, Permission};
use crate::db::{Db, TenantTx};
use crate::error::Result;

use super::store;

/// What nodes and the authorization server go by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Access {
    /// Tools that do more than read need a token with `mcp:write`.
    pub writes_need_scope: bool,
    /// Tools that are hard to undo wait while a node hears nothing of revocations.
    pub strict_when_cut_off: bool,
}

/// What is in force.
///
/// # Errors
/// When the database fails.
pub async fn for_nodes(tx: &mut TenantTx) -> Result<Access> {
    store::access(tx).await
}

/// What is in force, for whoever is about to be asked for something.
///
/// # Errors
/// When the database fails.
pub async fn of(db: &Db, tenant: TenantId) -> Result<Access> {
    let mut tx = db.tenant(tenant).await?;
    store::access(&mut tx).await
}

/// What is in force, for a page.
///
/// # Errors
/// `Forbidden` for who may not see settings.
pub async fn get(db: &Db, by: &Membership) -> Result<Access> {
    by.require(Permission::Settings)?;
    let mut tx = db.tenant(by.tenant).await?;
    store::access(&mut tx).await
}

/// Says whether writing needs a permission of its own.
///
/// # Errors
/// `Forbidden` for who may not change settings.
pub async fn set_writes_need_scope(db: &Db, by: &Membership, needed: bool) -> Result<()> {
    let mut tx = db.tenant(by.tenant).await?;
    members::still(&mut tx, by).await?.require(Permission::Settings)?;
    store::set_writes_need_scope(&mut tx, needed).await?;
    tx.commit_change().await?;
    Ok(())
}

/// Says whether tools that are hard to undo wait while a node hears nothing of revocations.
///
/// # Errors
/// `Forbidden` for who may not change settings.
pub async fn set_strict_when_cut_off(db: &Db, by: &Membership, strict: bool) -> Result<()> {
    let mut tx = db.tenant(by.tenant).await?;
    members::still(&mut tx, by).await?.require(Permission::Settings)?;
    store::set_strict_when_cut_off(&mut tx, strict).await?;
    tx.commit_change().await?;
    Ok(())
}
